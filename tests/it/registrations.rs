//! Registrations of organisations under the names of others: what they can do, and how the names come to whom they belong.

use corpex::error::Kind;
use corpex::provenance::{ResourceDescriptor, StatementKind};
use serde_json::json;

use crate::support::{Actor, TestApp, refused};

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
