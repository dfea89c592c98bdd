//! The audit trail: who was turned away, and how a day of it is closed for good.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use corpex::db::Conn;
use corpex::error::Kind;
use corpex::identity::{Caller, Credential, PlatformRole, Scope, audit_trail, close_days, record_read};
use corpex::types::{DAY, Instant, TokenId};
use diesel::connection::SimpleConnection as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::TestApp;

/// The records with this outcome, once they stand for so many requests.
async fn records(app: &TestApp, outcome: &str, least: i64) -> Vec<Value> {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let page = app.operator.get(format!("/v1/audit/records?outcome={outcome}&limit=1000")).await.unwrap();
            let records = page["items"].as_array().unwrap().clone();
            if times(&records) >= least {
                return records;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("what happened is not recorded")
}

/// For how many requests records stand.
fn times(records: &[Value]) -> i64 {
    records.iter().map(|record| record["times"].as_i64().unwrap()).sum()
}

/// The operator who made a record, as the request layer knows them.
fn of_the_platform(record: &Value) -> Caller {
    Caller {
        user_id: record["user_id"].as_str().unwrap().parse().unwrap(),
        email: "operator@exchange.test".to_string(),
        platform_role: Some(PlatformRole::Operator),
        scope: Scope::Read,
        credential: Credential::Token(TokenId::new(Instant::from_unix_micros(0))),
        memberships: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_turned_away_is_on_record_with_what_they_asked_for_and_why() {
    let app = TestApp::start().await;
    let (lab, stranger) = (app.lab("verse-lab", 0).await, app.lab("prose-lab", 0).await);
    let path = "/v1/organisations/verse-lab/verification";
    assert_eq!(lab.post(path, &Value::Null).await.unwrap_err().kind, Kind::Forbidden);
    let stolen = app.anonymous().with_token("cpx_notatoken");
    for _ in 0..3 {
        let refused = stolen.get("/v1/organisations/verse-lab/accounts").send::<Value>().await.unwrap_err();
        assert_eq!(refused.kind, Kind::Unauthenticated);
    }
    // Both are told the same; what is there and kept from who asks is on record.
    let hidden = "/v1/organisations/verse-lab/accounts";
    for path in ["/v1/organisations/no-lab/accounts", hidden] {
        assert_eq!(stranger.get(path).await.unwrap_err().kind, Kind::NotFound);
    }

    let denied = records(&app, "denied", 5).await;
    let known = denied.iter().filter(|record| !record["user_id"].is_null());
    let known: BTreeSet<_> = known.map(|record| (record["request"].as_str(), record["reason"].as_str())).collect();
    let (forbidden, withheld) = (format!("POST {path}"), format!("GET {hidden}"));
    let expected = [(Some(forbidden.as_str()), Some("forbidden")), (Some(withheld.as_str()), Some("not-found"))];
    assert_eq!(known, expected.into(), "{denied:#?}");
    let unknown = denied.iter().filter(|record| record["user_id"].is_null()).cloned();
    let of_the_thief: Vec<_> =
        unknown.filter(|record| record["request"] == "GET /v1/organisations/{handle}/accounts").collect();
    assert_eq!(times(&of_the_thief), 3, "{denied:#?}");
    assert!(of_the_thief.iter().all(|record| record["reason"] == "unauthenticated"), "{denied:#?}");
    let is_named = |record: &Value| record["user_id"].is_null() != record["address"].is_null();
    assert!(denied.iter().all(is_named), "by who it was, or else by where from: {denied:#?}");
    assert!(!json!(denied).to_string().contains("cpx_"), "no credential is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_to_sign_in_and_fails_is_on_record_by_address() {
    let app = TestApp::start_with(|config| config.trusted_proxies = 1).await;
    let lab = app.lab("verse-lab", 0).await;
    let (anybody, wrong) = (reqwest::Client::new(), json!({ "email": lab.email, "password": "not the password" }));
    for from in ["203.0.113.9", "203.0.113.9", "2001:db8:1:2:3:4:5:6"] {
        let guess = anybody.post(format!("{}/v1/sessions", app.url)).header("X-Forwarded-For", from).json(&wrong);
        assert_eq!(guess.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let denied = records(&app, "denied", 3).await;
    let mut tried: BTreeMap<&str, i64> = BTreeMap::new();
    for record in &denied {
        assert_eq!((&record["request"], &record["reason"]), (&json!("POST /v1/sessions"), &json!("unauthenticated")));
        *tried.entry(record["address"].as_str().unwrap()).or_default() += record["times"].as_i64().unwrap();
    }
    assert_eq!(tried, BTreeMap::from([("203.0.113.9", 2), ("2001:db8:1:2::", 1)]));
    assert!(!json!(denied).to_string().contains("verse-lab"), "nor is whose account it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_an_order_that_is_kept_from_them_is_on_record() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let (lab, stranger) = (app.lab("verse-lab", 50_000).await, app.organisation("prose-lab").await);
    let order = lab.order(&offer).await.unwrap();
    let hidden = format!("/v1/orders/{order}");
    // Told the same of both, and turned away from one.
    for path in ["/v1/orders/order_01jd0000000000000000000000", &hidden] {
        assert_eq!(stranger.get(path).await.unwrap_err().kind, Kind::NotFound);
    }
    assert_eq!(stranger.answer(&order, "cancellation").await.unwrap_err().kind, Kind::NotFound);

    let me = stranger.get("/v1/me").await.unwrap();
    let denied = records(&app, "denied", 2).await;
    let is_told = |record: &Value| record["user_id"] == me["user_id"] && record["reason"] == "not-found";
    assert!(denied.iter().all(is_told), "{denied:#?}");
    let requests: BTreeSet<_> = denied.iter().map(|record| record["request"].as_str().unwrap()).collect();
    let expected = [format!("GET {hidden}"), format!("POST {hidden}/cancellation")];
    assert_eq!(requests, expected.iter().map(String::as_str).collect(), "{denied:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_hub_turns_away_is_on_record_too() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 0).await);
    app.listed_corpus(&provider, "poems", 100).await;
    let file = "/datasets/poetry-house/poems/resolve/main/data/a.jsonl";
    // What is not there for somebody is not a denial.
    HubClient::new(&app, None).get("/api/datasets/poetry-house/odes").await.refused(401, Some("RepoNotFound"));
    HubClient::of(&app, &lab).get(file).await.refused(403, Some("GatedRepo"));
    HubClient::new(&app, None).get(file).await.refused(401, Some("GatedRepo"));
    HubClient::new(&app, Some("cpx_notatoken")).get("/api/whoami-v2").await.refused(401, None);
    let mut denied: Vec<_> = records(&app, "denied", 3)
        .await
        .into_iter()
        .map(|record| {
            let text = |name: &str| record[name].as_str().unwrap().to_string();
            (text("request"), text("reason"), record["user_id"].is_null())
        })
        .collect();
    denied.sort();
    let pattern = "GET /datasets/{organisation}/{name}/resolve/{revision}/{path:.*}".to_string();
    let expected = [
        ("GET /api/whoami-v2".to_string(), "unauthenticated".to_string(), true),
        (format!("GET {file}"), "not-entitled".to_string(), false),
        (pattern, "unauthenticated".to_string(), true),
    ];
    assert_eq!(denied, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_often_is_on_record() {
    let app = TestApp::start_with(|config| (config.requests_per_address, config.trusted_proxies) = (40, 1)).await;
    let (path, from) = ("/.well-known/jwks.json", [("X-Forwarded-For", "203.0.113.9")]);
    let anybody = HubClient::new(&app, None);
    for _ in 0..1000 {
        if anybody.send(Method::GET, path, &from, None).await.status == StatusCode::TOO_MANY_REQUESTS {
            let denied = records(&app, "denied", 1).await;
            let told = ["request", "reason", "address"].map(|name| denied[0][name].as_str().unwrap());
            assert_eq!(told, ["GET /.well-known/jwks.json", "rate-limited", "203.0.113.9"]);
            return;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_refused_in_the_words_of_oauth_is_on_record_too() {
    let app = TestApp::start_with(|config| (config.attempts, config.trusted_proxies) = (3, 1)).await;
    let (path, from) = ("/oauth/device", [("X-Forwarded-For", "203.0.113.9")]);
    let program = HubClient::new(&app, None);
    for _ in 0..1000 {
        let answer = program.send(Method::POST, path, &from, Some("client_id=verse-trainer")).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let denied = records(&app, "denied", 1).await;
            let told = ["request", "reason", "address"].map(|name| denied[0][name].as_str().unwrap());
            assert_eq!(told, ["POST /oauth/device", "rate-limited", "203.0.113.9"]);
            return;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_no_denial() {
    let mut app = TestApp::start().await;
    let lab = app.lab("verse-lab", 0).await;
    assert_eq!(lab.get("/v1/audit/records").await.unwrap_err().kind, Kind::Forbidden);
    app.restart().await;
    let page = app.operator.get("/v1/audit/records?outcome=denied").await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_audit_trail_is_closed_and_nothing_can_be_taken_from_it_unseen() {
    let app = TestApp::start().await;
    app.operator.get("/v1/audit/records").await.unwrap();
    close_days(app.app()).await.unwrap();
    let days = app.operator.get("/v1/audit/days").await.unwrap();
    assert_eq!(days["items"], json!([]), "today goes on");

    let read = records(&app, "read", 3).await;
    let today = read[0]["day"].as_str().unwrap().to_string();
    app.clock.advance(DAY);
    close_days(app.app()).await.unwrap();
    close_days(app.app()).await.unwrap();
    let days = app.operator.get("/v1/audit/days").await.unwrap()["items"].as_array().unwrap().clone();
    assert_eq!(days.len(), 1, "{days:?}");
    assert_eq!((&days[0]["day"], &days[0]["records"]), (&json!(today), &json!(read.len())));

    // An instance whose clock is behind adds nothing to a day that is closed.
    let db = app.app().db.clone();
    let (operator, behind) = (of_the_platform(&read[0]), app.clock.now().minus(DAY));
    db.write(move |c| record_read(c, &operator, "GET /late", behind)).await.unwrap();
    let late = records(&app, "read", times(&read) + 1).await;
    let late = late.iter().find(|record| record["request"] == "GET /late").unwrap();
    assert!(late["day"].as_str().unwrap() > today.as_str(), "{late}");
    assert_eq!(db.read(audit_trail).await.unwrap(), Vec::<String>::new());

    let unseen = format!("DELETE FROM audit_records WHERE id = '{}'", read[1]["id"].as_str().unwrap());
    let refused = unseen.clone();
    let refused = db.write(move |c| Ok(c.batch_execute(&refused)?)).await.unwrap_err();
    assert!(format!("{refused:?}").contains("append-only"), "{refused:?}");
    by_its_owner(&app, "audit_records", &unseen).await;
    let found = db.read(audit_trail).await.unwrap().join("\n");
    assert!(found.contains(&format!("the audit trail of {today} has {} records", read.len() - 1)), "{found}");

    // Nor is it hidden by taking the day away, or by closing it once more.
    by_its_owner(&app, "audit_days", "DELETE FROM audit_days").await;
    let found = db.read(audit_trail).await.unwrap();
    assert_eq!(found, [format!("the log says that the audit trail of {today} was closed, and it is not")]);
    close_days(app.app()).await.unwrap();
    let found = db.read(audit_trail).await.unwrap();
    assert_eq!(found, [format!("2 statements in the log say what the audit trail of {today} was")]);
    app.abandon().await;
}

/// Changes what refuses to be changed, as the owner of the database can.
async fn by_its_owner(app: &TestApp, table: &str, change: &str) {
    let (sqlite, postgres) = (
        format!("DROP TRIGGER {table}_refuse_DELETE; {change}"),
        format!("ALTER TABLE {table} DISABLE TRIGGER USER; {change}"),
    );
    let change = move |c: &mut Conn| match c {
        Conn::Sqlite(c) => c.batch_execute(&sqlite),
        Conn::Pg(c) => c.batch_execute(&postgres),
    };
    app.app().db.write(move |c| Ok(change(c)?)).await.unwrap();
}
