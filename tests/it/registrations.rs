//! Registrations of organisations under the names of others: what they can do, and how the names come to whom they belong.

use corpex::db::Conn;
use corpex::error::Kind;
use corpex::provenance::{ResourceDescriptor, StatementKind};
use corpex::schema::events;
use corpex::types::OrganisationId;
use diesel::prelude::*;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, refused};

/// What somebody registers who has the registration number of `verse-lab`.
fn with_the_number(handle: &str) -> Value {
    json!({
        "handle": handle, "legal_name": "Verse Lab Ltd", "registration_number": "91310000verse-lab", "country": "CN",
        "affiliations": ["poetry-house"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_registers_under_anothers_name_is_rejected_and_the_name_is_free() {
    let app = TestApp::start().await;
    app.provider().await;
    let squatter = Actor::register_with(&app.anonymous(), "verse-lab", &["poetry-house"]).await;
    let firm = Actor::register(&app.anonymous(), "verse-holding").await;
    let invited = squatter.invite("verse-lab", "reader").await.unwrap();
    let (lab, path) = ("/v1/organisations/verse-lab", "/v1/organisations/verse-lab/rejection");
    let reason = "its papers are those of another firm";
    let because = json!({ "reason": reason });
    let taken = firm.post("/v1/organisations", &with_the_number("verse-lab")).await;
    refused(taken, Kind::AlreadyExists, Some("handle"));

    refused(squatter.post(path, &because).await, Kind::Forbidden, None);
    refused(app.operator.post(path, &json!({ "reason": " " })).await, Kind::Invalid, Some("reason"));
    refused(squatter.get(path).await, Kind::NotFound, None);
    let rejected = app.operator.post(path, &because).await.unwrap();
    assert_eq!((&rejected["handle"], &rejected["reason"]), (&json!("verse-lab"), &json!(reason)));
    refused(app.operator.post(path, &because).await, Kind::NotFound, None);
    refused(app.operator.post(format!("{lab}/verification"), &Value::Null).await, Kind::NotFound, None);

    // Its members learn why, and that is all that they still can.
    assert_eq!(squatter.get(path).await.unwrap(), rejected);
    assert_eq!(squatter.get("/v1/me").await.unwrap()["memberships"], json!([]));
    let listed = squatter.get("/v1/organisations").await.unwrap()["items"].clone();
    assert_eq!((&listed[0]["handle"], &listed[1]), (&json!("poetry-house"), &Value::Null));
    let unknown = refused(squatter.get(lab).await, Kind::NotFound, None);
    assert!(unknown.remedy.unwrap().contains(path));
    refused(squatter.invite("verse-lab", "reader").await, Kind::NotFound, None);
    refused(firm.accept(&invited).await, Kind::Invalid, Some("code"));
    refused(firm.get(path).await, Kind::NotFound, None);
    assert_eq!(app.compliance.get(path).await.unwrap(), rejected);

    firm.post("/v1/organisations", &with_the_number("verse-lab")).await.unwrap();
    app.operator.verify("verse-lab").await;
    refused(app.operator.post(path, &because).await, Kind::WrongState, None);
    let standing = squatter.get(lab).await.unwrap();
    assert_eq!((&standing["state"], standing["id"] == rejected["organisation_id"]), (&json!("verified"), false));
    refused(squatter.get(format!("{lab}/members")).await, Kind::NotFound, None);
    assert_eq!(squatter.get(path).await.unwrap(), rejected, "the reason stays");
    let members = firm.get(format!("{lab}/members")).await.unwrap();
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_sent_nothing_before_it_is_verified_and_told_of_nothing_once_it_is_rejected() {
    let app = TestApp::start().await;
    let squatter = Actor::register(&app.anonymous(), "verse-lab").await;
    let hook = json!({ "url": "https://hooks.example/corpex" });
    let webhook = squatter.post("/v1/organisations/verse-lab/webhooks", &hook).await;
    assert!(refused(webhook, Kind::WrongState, None).remedy.unwrap().contains("an operator verifies it"));
    let of_rejections = squatter.get("/v1/events?organisation=verse-lab&types=org.rejected").await;
    refused(of_rejections, Kind::Invalid, Some("types"));
    app.told().await;
    let because = json!({ "reason": "its papers are those of another firm" });
    let rejected = app.operator.post("/v1/organisations/verse-lab/rejection", &because).await.unwrap();
    app.told().await;
    let id: OrganisationId = rejected["organisation_id"].as_str().unwrap().parse().unwrap();
    let told = move |c: &mut Conn| {
        let told = events::table.filter(events::organisation_id.eq(id)).order(events::event_type);
        Ok(told.select(events::event_type).load::<String>(c)?)
    };
    assert_eq!(app.app().db.read(told).await.unwrap(), ["member.admin", "org.registered"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_claim_a_registration_number_and_one_is_verified_with_it() {
    let app = TestApp::start().await;
    app.provider().await;
    let squatter = Actor::register(&app.anonymous(), "rhyme-house").await;
    let firm = Actor::register(&app.anonymous(), "verse-holding").await;
    for (who, handle) in [(&squatter, "verse-first"), (&firm, "verse-lab")] {
        who.post("/v1/organisations", &with_the_number(handle)).await.unwrap();
    }
    app.operator.verify("verse-lab").await;
    let second = app.operator.post("/v1/organisations/verse-first/verification", &Value::Null).await;
    let error = refused(second, Kind::AlreadyExists, Some("registration_number"));
    assert!(error.detail.contains("verse-lab"), "{error}");
    let third = squatter.post("/v1/organisations", &with_the_number("verse-third")).await;
    refused(third, Kind::AlreadyExists, Some("registration_number"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_verified_can_be_declared_an_affiliate() {
    let app = TestApp::start().await;
    let firm = Actor::register(&app.anonymous(), "verse-holding").await;
    let squatter = Actor::register(&app.anonymous(), "rhyme-house").await;
    let wanted = with_the_number("verse-lab");
    let declare = || firm.post("/v1/organisations", &wanted);
    let why = "no verified organisation has the handle \"poetry-house\"";
    assert_eq!(refused(declare().await, Kind::Invalid, Some("affiliations")).detail, why);
    let itself = squatter.post("/v1/organisations", &with_the_number("poetry-house")).await;
    assert_eq!(refused(itself, Kind::Invalid, Some("affiliations")).detail, why);

    let mut squatted = with_the_number("poetry-house");
    squatted["affiliations"] = json!([]);
    squatter.post("/v1/organisations", &squatted).await.unwrap();
    assert_eq!(refused(declare().await, Kind::Invalid, Some("affiliations")).detail, why, "as if it were not there");
    let because = json!({ "reason": "its papers are those of another firm" });
    app.operator.post("/v1/organisations/poetry-house/rejection", &because).await.unwrap();
    refused(declare().await, Kind::Invalid, Some("affiliations"));
    app.provider().await;
    assert_eq!(declare().await.unwrap()["affiliations"], json!(["poetry-house"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_ten_registrations_to_be_decided_on_registers_another_when_one_is() {
    let app = TestApp::start().await;
    let squatter = Actor::register(&app.anonymous(), "verse-0").await;
    let register = async |number: u32| {
        let mut wanted = with_the_number(&format!("verse-{number}"));
        wanted["affiliations"] = json!([]);
        squatter.post("/v1/organisations", &wanted).await
    };
    for number in 1..10 {
        register(number).await.unwrap();
    }
    let full = refused(register(10).await, Kind::WrongState, None);
    assert!(full.detail.contains("10 organisations") && full.remedy.is_some(), "{full}");
    let because = json!({ "reason": "its papers are those of another firm" });
    app.operator.post("/v1/organisations/verse-1/rejection", &because).await.unwrap();
    register(10).await.unwrap();
    refused(register(11).await, Kind::WrongState, None);
    app.operator.verify("verse-0").await;
    register(11).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_speaks_in_the_log_only_once_it_is_verified() {
    let app = TestApp::start().await;
    let lab = Actor::register(&app.anonymous(), "verse-lab").await;
    let subject = ResourceDescriptor::new("key", lab.key.public().key_id());
    let predicate = json!({ "organisation": "verse-lab", "public_key": lab.key.public() });
    let envelope = lab.sign(StatementKind::KeyRegistration, vec![subject], predicate);
    let registered = lab.post("/v1/organisations/verse-lab/keys", &json!({ "envelope": envelope })).await;
    let error = refused(registered, Kind::WrongState, None);
    assert!(error.remedy.unwrap().contains("/verification"));
    app.operator.verify("verse-lab").await;
    lab.register_key().await;
}
