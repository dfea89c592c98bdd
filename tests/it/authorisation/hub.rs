//! The Hub's routes, tried by the same people: they refuse in words of their own, and hide as well as the others.

use std::collections::BTreeMap;

use reqwest::Method;

use super::fixture::{Fixture, HOUSE, Person, Side, Things};
use super::{assert_covers, operations_of};
use crate::hub::{Answer, HubClient};

/// Who is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everybody.
    Anyone,
    /// Everybody with a credential.
    SignedIn,
    /// Both sides of a trade whose listing is gone, and staff; nobody else knows of it.
    Parties,
    /// Members of the licensee; everybody else is told that it takes a licence.
    Lab,
    /// Nobody: the licences were revoked. Both sides and staff are told so, nobody else knows of it.
    Recalled,
}
use Who::{Anyone, Lab, Parties, Recalled, SignedIn};

struct Case {
    operation: &'static str,
    who: Who,
    path: fn(&str) -> String,
}

const fn row(operation: &'static str, who: Who, path: fn(&str) -> String) -> Case {
    Case { operation, who, path }
}

#[rustfmt::skip]
const TABLE: &[Case] = &[
    row("hub_whoami",       SignedIn, |_| "/api/whoami-v2".to_string()),
    row("hub_get_dataset",  Anyone,   |repo| format!("/api/datasets/{repo}")),
    row("hub_get_dataset",  Parties,  |repo| format!("/api/datasets/{repo}")),
    row("hub_get_revision", Anyone,   |repo| format!("/api/datasets/{repo}/revision/main")),
    row("hub_get_revision", Parties,  |repo| format!("/api/datasets/{repo}/revision/v1")),
    row("hub_list_refs",    Anyone,   |repo| format!("/api/datasets/{repo}/refs")),
    row("hub_list_refs",    Parties,  |repo| format!("/api/datasets/{repo}/refs")),
    row("hub_list_commits", Anyone,   |repo| format!("/api/datasets/{repo}/commits/main")),
    row("hub_list_commits", Parties,  |repo| format!("/api/datasets/{repo}/commits/main")),
    row("hub_list_root",    Anyone,   |repo| format!("/api/datasets/{repo}/tree/main")),
    row("hub_list_root",    Parties,  |repo| format!("/api/datasets/{repo}/tree/main")),
    row("hub_list_folder",  Anyone,   |repo| format!("/api/datasets/{repo}/tree/main/data")),
    row("hub_list_folder",  Parties,  |repo| format!("/api/datasets/{repo}/tree/main/data")),
    row("hub_get_paths",    Anyone,   |repo| format!("/api/datasets/{repo}/paths-info/main")),
    row("hub_get_paths",    Parties,  |repo| format!("/api/datasets/{repo}/paths-info/main")),
    row("hub_get_croissant", Anyone,  |repo| format!("/api/datasets/{repo}/croissant")),
    row("hub_get_croissant", Parties, |repo| format!("/api/datasets/{repo}/croissant")),
    row("hub_list_datasets", Anyone,  |_| "/api/datasets".to_string()),
    row("hub_get_file",     Lab,      |repo| format!("/datasets/{repo}/resolve/main/README.md")),
    row("hub_get_file",     Lab,      |repo| format!("/datasets/{repo}/resolve/main/data/a.jsonl")),
    row("hub_head_file",    Lab,      |repo| format!("/datasets/{repo}/resolve/main/data/a.jsonl")),
    row("hub_get_file",     Recalled, |repo| format!("/datasets/{repo}/resolve/main/data/a.jsonl")),
];

#[test]
fn every_operation_of_the_hub_has_a_line_in_the_table() {
    let decided = TABLE.iter().map(|case| case.operation).collect();
    assert_covers(
        operations_of(&corpex::server::routes::hub_openapi()).keys(),
        decided,
        "tests/it/authorisation/hub.rs",
    );
}

/// The `X-Error-Code` by which a person is refused; nothing for who is let through.
fn refusal(who: Who, person: &Person) -> Option<Option<&'static str>> {
    let knows =
        person.platform.is_some() || person.role_in(Side::House).is_some() || person.role_in(Side::Lab).is_some();
    match who {
        Anyone => None,
        SignedIn => person.is_anonymous().then_some(None),
        Parties => (!knows).then_some(Some("RepoNotFound")),
        Lab => person.role_in(Side::Lab).is_none().then_some(Some("GatedRepo")),
        Recalled if knows => Some(Some("GatedRepo")),
        Recalled => Some(Some("RepoNotFound")),
    }
}

/// The repository that a case is about.
fn repo(who: Who, things: &Things) -> String {
    match who {
        Anyone | SignedIn | Lab => things.open_dataset.clone(),
        Parties | Recalled => format!("{HOUSE}/prose"),
    }
}

async fn send(client: &HubClient, method: &Method, path: &str) -> Answer {
    client.send(method.clone(), path, &[], (*method == Method::POST).then_some("paths=data")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_reads_the_repositories_that_they_may_see_and_no_others() {
    let fixture = Fixture::build().await;
    let operations: BTreeMap<String, (Method, String)> = operations_of(&corpex::server::routes::hub_openapi());
    let mut faults = Vec::new();
    for case in TABLE {
        let method = &operations[case.operation].0;
        let path = (case.path)(&repo(case.who, &fixture.things));
        for person in &fixture.people {
            let tokens = [person.token(), person.read_token.as_deref()];
            for token in tokens {
                let client = HubClient::new(&fixture.app, token);
                let answer = send(&client, method, &path).await;
                let said = format!("{} of {path} by {}: {answer:?}", case.operation, person.name);
                let Some(code) = refusal(case.who, person) else {
                    if !answer.status.is_success() && !answer.status.is_redirection() {
                        faults.push(format!("had to be let through: {said}"));
                    }
                    continue;
                };
                let status = match code {
                    _ if person.is_anonymous() => 401,
                    Some("GatedRepo") => 403,
                    _ => 404,
                };
                if (answer.status.as_u16(), answer.header("x-error-code")) != (status, code) {
                    faults.push(format!("had to be refused with {status} {code:?}: {said}"));
                }
                let nothing = send(&client, method, &(case.path)(&format!("{HOUSE}/unbegun"))).await;
                if code == Some("RepoNotFound") && (nothing.status, nothing.body) != (answer.status, answer.body) {
                    faults.push(format!("gives away what is hidden: {said}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Has a licensee read everything.
pub async fn read_everything(fixture: &Fixture) {
    let operations: BTreeMap<String, (Method, String)> = operations_of(&corpex::server::routes::hub_openapi());
    let licensee = fixture.people.iter().find(|person| person.role_in(Side::Lab).is_some()).unwrap();
    let client = HubClient::new(&fixture.app, licensee.token());
    for case in TABLE {
        send(&client, &operations[case.operation].0, &(case.path)(&repo(case.who, &fixture.things))).await;
    }
}
