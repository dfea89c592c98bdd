//! Who may do what: every operation is tried by every kind of caller, and each refusal says its reason.
//!
//! The rule: whoever may not know of a thing is told that it does not exist (404), in the words in which the exchange
//! speaks of what does not exist; whoever sees it is told what is missing (403). [`table`] has a line for each
//! operation; an operation without a line fails here, and so does a line without an operation.

use std::collections::{BTreeMap, BTreeSet};

use corpex::identity::{PlatformRole, Role};
use reqwest::{Method, StatusCode};
use serde_json::Value;

mod fixture;
mod hub;
mod table;

pub use fixture::settings;
use fixture::{Fixture, Person, Request, Side};
use table::{Case, Known, TABLE, Who};

use crate::support::TestApp;

/// Every operation of the description: its method and the pattern of its path.
pub fn operations() -> BTreeMap<String, (Method, String)> {
    let found = operations_of(&corpex::server::routes::openapi());
    assert!(found.len() > 60, "the operations were not found");
    found
}

fn operations_of(description: &impl serde::Serialize) -> BTreeMap<String, (Method, String)> {
    let document = serde_json::to_value(description).unwrap();
    let mut found = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_string();
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let earlier = found.insert(id, (method, path.clone()));
            assert!(earlier.is_none(), "two operations have the id of {path}");
        }
    }
    found
}

/// Fails unless `decided` names each of `operations` and nothing else.
#[track_caller]
pub fn assert_covers<'a>(operations: impl IntoIterator<Item = &'a String>, decided: BTreeSet<&str>, what: &str) {
    let operations: BTreeSet<&str> = operations.into_iter().map(String::as_str).collect();
    let (missing, stale): (Vec<_>, Vec<_>) =
        (operations.difference(&decided).collect(), decided.difference(&operations).collect());
    assert!(missing.is_empty(), "{what}: nothing is said of {missing:?}");
    assert!(stale.is_empty(), "{what}: these do not exist any more: {stale:?}");
}

#[test]
fn every_operation_has_a_line_in_the_table() {
    let decided = TABLE.iter().map(|case| case.operation).collect();
    assert_covers(operations().keys(), decided, "tests/it/authorisation/table.rs");
}

/// Why a caller is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NoCredential,
    Hidden,
    Outsider,
    TooSmall(Role),
    NotStaff,
    NotOfRole(PlatformRole),
    OnlyReads,
    NoLink,
}

impl Refusal {
    /// The status, the problem's type and what its detail says.
    fn answer(self) -> (StatusCode, &'static str, String) {
        let words = |text: &str| text.to_string();
        match self {
            Refusal::NoCredential => (StatusCode::UNAUTHORIZED, "unauthenticated", words("needs a credential")),
            Refusal::Hidden => (StatusCode::NOT_FOUND, "not-found", words("does not exist, or you may not see it")),
            Refusal::Outsider => (StatusCode::FORBIDDEN, "forbidden", words("only members of ")),
            Refusal::TooSmall(role) => (StatusCode::FORBIDDEN, "forbidden", format!("; yours is {role}")),
            Refusal::NotStaff => (StatusCode::FORBIDDEN, "forbidden", words("role operator or compliance")),
            Refusal::NotOfRole(role) => {
                (StatusCode::FORBIDDEN, "forbidden", format!("this takes the platform role {role}"))
            }
            Refusal::OnlyReads => (StatusCode::FORBIDDEN, "forbidden", words("may only read")),
            Refusal::NoLink => (StatusCode::FORBIDDEN, "", String::new()),
        }
    }
}

/// Why this person may not do it; nothing when it is allowed.
fn refusal(who: &Who, person: &Person) -> Option<Refusal> {
    let insider = |side| person.platform.is_some() || person.role_in(side).is_some();
    let compliance = person.platform == Some(PlatformRole::Compliance);
    let hidden = |seen: bool| (!seen).then_some(Refusal::Hidden);
    if person.is_anonymous() && !matches!(who, Who::Anyone | Who::Link | Who::Viewers(_)) {
        return Some(Refusal::NoCredential);
    }
    match *who {
        Who::Anyone | Who::Link | Who::SignedIn => None,
        Who::Owner => hidden(person.name == fixture::OWNER),
        Who::Staff => person.platform.is_none().then_some(Refusal::NotStaff),
        Who::Platform(role) => (person.platform != Some(role)).then_some(Refusal::NotOfRole(role)),
        Who::Viewers(side) | Who::Insiders(side) => hidden(insider(side)),
        Who::Claimant => hidden(person.name == fixture::OWNER || compliance),
        Who::Notified(side) => hidden(person.role_in(side).is_some() || compliance),
        Who::Parties => hidden(insider(Side::House) || insider(Side::Lab)),
        Who::Sides(roles) => match person.role_in(Side::House).or(person.role_in(Side::Lab)) {
            Some(role) if role == Role::Admin || roles.contains(&role) => None,
            Some(role) => Some(Refusal::TooSmall(role)),
            None if person.platform.is_some() => Some(Refusal::Outsider),
            None => Some(Refusal::Hidden),
        },
        Who::Of(side, roles, known) => match person.role_in(side) {
            Some(role) if role == Role::Admin || roles.contains(&role) => None,
            Some(role) => Some(Refusal::TooSmall(role)),
            None => {
                let seen = match known {
                    Known::Public => true,
                    Known::Inside => insider(side),
                    Known::Told => compliance,
                    Known::Traded => insider(Side::House) || insider(Side::Lab),
                };
                Some(if seen { Refusal::Outsider } else { Refusal::Hidden })
            }
        },
    }
}

/// What came back: the status, and the problem if it is one.
struct Answer {
    status: StatusCode,
    problem: Value,
}

impl Answer {
    fn detail(&self) -> &str {
        self.problem["detail"].as_str().unwrap_or_default()
    }

    /// What is wrong with this answer, if it had to be that refusal, or an admission.
    fn fault(&self, expected: Option<Refusal>, method: &Method) -> Option<String> {
        let said = format!("{} {}", self.status, self.problem);
        let Some(refusal) = expected else {
            // A refresh token that is not one is no missing credential.
            let refused = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND].contains(&self.status)
                || self.status == StatusCode::UNAUTHORIZED && self.detail().contains("credential")
                || self.status.is_server_error();
            return refused.then(|| format!("had to be let through: {said}"));
        };
        let (status, slug, words) = refusal.answer();
        let right = self.status == status
            && (*method == Method::HEAD
                || self.problem["type"].as_str().is_some_and(|found| found.ends_with(slug))
                    && self.detail().contains(&words));
        (!right).then(|| format!("had to be refused as {refusal:?}: {said}"))
    }
}

/// One run of the table.
struct Matrix {
    fixture: Fixture,
    http: reqwest::Client,
    operations: BTreeMap<String, (Method, String)>,
    faults: Vec<String>,
}

impl Matrix {
    async fn send(&self, method: &Method, request: &Request, token: Option<&str>) -> Answer {
        let url = match request.path.starts_with('/') {
            true => format!("{}{}", self.fixture.app.url, request.path),
            false => request.path.clone(),
        };
        let mut wanted = self.http.request(method.clone(), url);
        if let Some(token) = token {
            wanted = wanted.bearer_auth(token);
        }
        if *method == Method::POST {
            wanted = wanted.header("Idempotency-Key", uuid::Uuid::now_v7().to_string());
        }
        match &request.body {
            Some(body) => wanted = wanted.json(body),
            None if *method == Method::POST => wanted = wanted.header("Content-Length", "0"),
            None => {}
        }
        let response = wanted.send().await.unwrap();
        let (status, is_problem) = (
            response.status(),
            response.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json"),
        );
        let problem = if is_problem { response.json().await.unwrap_or_default() } else { Value::Null };
        Answer { status, problem }
    }

    async fn expect(&mut self, case: &Case, who: &str, token: Option<&str>, expected: Option<Refusal>) {
        let method = self.operations[case.operation].0.clone();
        let request = (case.request)(&self.fixture.things);
        let answer = self.send(&method, &request, token).await;
        if let Some(fault) = answer.fault(expected, &method) {
            self.faults.push(format!("{} ({}) by {who} {fault}", case.operation, request.path));
        }
    }

    /// Those who are refused come first: they change nothing.
    async fn run(&mut self, case: &Case) {
        self.check_path(case);
        let people = self.fixture.people.clone();
        let (refused, allowed): (Vec<_>, Vec<_>) =
            people.iter().partition(|person| refusal(&case.who, person).is_some());
        assert!(!allowed.is_empty(), "nobody may {}", case.operation);
        for person in refused {
            let expected = refusal(&case.who, person);
            self.expect(case, person.name, person.token(), expected).await;
            if expected == Some(Refusal::Hidden) {
                self.compare_with_nothing(case, person).await;
            }
        }
        let changes = ![Method::GET, Method::HEAD].contains(&self.operations[case.operation].0);
        let asks = !matches!(case.who, Who::Anyone | Who::Link | Who::Viewers(_));
        for person in &allowed {
            let expected = (changes && asks).then_some(Refusal::OnlyReads);
            let who = format!("{} with a token that only reads", person.name);
            if let Some(token) = &person.read_token {
                self.expect(case, &who, Some(token), expected).await;
            }
        }
        for person in allowed {
            self.expect(case, person.name, person.token(), None).await;
            if matches!(case.who, Who::Link) {
                self.refuse_without_link(case, person).await;
            }
        }
    }

    /// A request that would miss its operation proves nothing.
    fn check_path(&self, case: &Case) {
        let request = (case.request)(&self.fixture.things);
        let path = request.path.strip_prefix(&self.fixture.app.url).unwrap_or(&request.path);
        let path = path.split('?').next().unwrap();
        let pattern = &self.operations[case.operation].1;
        let mut left: Vec<&str> = path.split('/').collect();
        let wanted: Vec<&str> = pattern.split('/').collect();
        left.truncate(wanted.len().min(left.len())); // the last parameter may hold slashes
        let fits = left.len() == wanted.len()
            && left.iter().zip(&wanted).all(|(has, wants)| has == wants || wants.starts_with('{'));
        assert!(fits, "{path} is not {pattern}, the path of {}", case.operation);
    }

    /// What is hidden must read exactly like what does not exist: else the words give it away.
    async fn compare_with_nothing(&mut self, case: &Case, person: &Person) {
        let method = self.operations[case.operation].0.clone();
        let (things, ghosts) = (self.fixture.things.clone(), self.fixture.things.ghosts());
        let hidden = self.send(&method, &(case.request)(&things), person.token()).await;
        let nothing = self.send(&method, &(case.request)(&ghosts), person.token()).await;
        let mut said = nothing.problem.to_string();
        for (real, ghost) in things.hidden().into_iter().zip(ghosts.hidden()) {
            said = said.replace(ghost, real);
        }
        if (hidden.status, hidden.problem.to_string()) != (nothing.status, said) {
            let (hidden, nothing) = (hidden.problem, nothing.problem);
            self.faults.push(format!(
                "{} gives away to {} what is hidden: {hidden} but {nothing}",
                case.operation, person.name
            ));
        }
    }

    async fn refuse_without_link(&mut self, case: &Case, person: &Person) {
        let method = self.operations[case.operation].0.clone();
        let whole = (case.request)(&self.fixture.things);
        let bare = Request { path: whole.path.split('?').next().unwrap().to_string(), ..whole };
        let answer = self.send(&method, &bare, person.token()).await;
        if let Some(fault) = answer.fault(Some(Refusal::NoLink), &method) {
            self.faults.push(format!("{} without a signature by {} {fault}", case.operation, person.name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let (fixture, http) = (Fixture::build().await, reqwest::Client::new());
    let mut matrix = Matrix { fixture, http, operations: operations(), faults: Vec::new() };
    for case in TABLE {
        matrix.run(case).await;
    }
    let faults = &matrix.faults;
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Has every operation but these be done to one of everything, by staff, strangers and administrators who may; in an exchange
/// that was started with [`settings`].
pub async fn do_everything(app: TestApp, but: &[&str]) -> TestApp {
    let (fixture, http) = (Fixture::build_in(app).await, reqwest::Client::new());
    hub::read_everything(&fixture).await;
    let matrix = Matrix { fixture, http, operations: operations(), faults: Vec::new() };
    let people = &matrix.fixture.people;
    for case in TABLE.iter().filter(|case| !but.contains(&case.operation)) {
        let leads = |person: &&Person| person.roles.iter().all(|(_, role)| *role == Role::Admin);
        for person in people.iter().filter(leads).filter(|person| refusal(&case.who, person).is_none()) {
            let request = (case.request)(&matrix.fixture.things);
            matrix.send(&matrix.operations[case.operation].0, &request, person.token()).await;
        }
    }
    matrix.fixture.app
}
