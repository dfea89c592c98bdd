//! Who may use a licence: the licensee, its affiliates where the terms let them, and where the terms limit the seats,
//! with a seat only.

use corpex::cli::client::Client;
use corpex::delivery;
use corpex::error::{Kind, Result};
use corpex::types::{EntitlementId, OrganisationId, TransitionId};
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, PASSWORD, TestApp, at_once, refused, terms, token_wish};

/// An API token: what it is called by, and a client that presents it.
#[derive(Clone)]
struct Token {
    id: String,
    client: Client,
}

impl Token {
    async fn issue(owner: &Actor) -> Self {
        let issued = owner.post("/v1/tokens", &token_wish("write", 100)).await.unwrap();
        let client = owner.client.with_token(issued["token"].as_str().unwrap());
        Self { id: issued["id"].as_str().unwrap().to_string(), client }
    }

    async fn links(&self, entitlement: &str) -> Result<Value> {
        let wanted = json!({ "paths": ["data/a.jsonl"] });
        self.client.post(format!("/v1/entitlements/{entitlement}/links")).json(&wanted)?.send().await
    }
}

/// Licenses poems to a lab under terms of which some members are changed.
async fn licensed(app: &TestApp, lab: &Actor, changes: Value) -> String {
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let mut document = terms(50_000);
    document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
    let offer = provider.list(&published, &terms).await;
    lab.buy(&offer).await.unwrap()
}

async fn funded(app: &TestApp, lab: Actor) -> Actor {
    app.operator.deposit(&lab.handle, 50_000, "bank-1").await;
    lab
}

async fn assign(admin: &Actor, entitlement: &str, token: &str) -> Result<Value> {
    admin.client.put(format!("/v1/entitlements/{entitlement}/seats/{token}")).send().await
}

async fn free(admin: &Actor, entitlement: &str, token: &str) -> Result<Value> {
    admin.client.delete(format!("/v1/entitlements/{entitlement}/seats/{token}")).send().await
}

async fn taken(admin: &Actor, entitlement: &str) -> Vec<Value> {
    let seats = admin.get(format!("/v1/entitlements/{entitlement}/seats")).await.unwrap();
    seats["items"].as_array().unwrap().iter().map(|seat| seat["token_id"].clone()).collect()
}

async fn receipts(app: &TestApp, entitlement: &str) -> Vec<delivery::Receipt> {
    let id: EntitlementId = entitlement.parse().unwrap();
    app.app().db.read(move |c| delivery::receipts_of(c, id, "", 100)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_for_whom_the_licensee_vouches_use_its_licence_and_receipts_name_them() {
    let app = TestApp::start().await;
    let edge = app.organisation("verse-edge").await;
    let cloud = app.affiliate("verse-cloud", &["verse-edge"]).await;
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let hanger_on = app.affiliate("hanger-on", &["verse-lab", "verse-cloud"]).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": true })).await;
    for user in [&lab, &cloud, &edge] {
        user.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    }
    let named: Vec<_> = receipts(&app, &entitlement).await.into_iter().map(|receipt| receipt.affiliate).collect();
    assert_eq!(named, [None, Some("verse-cloud".to_string()), Some("verse-edge".to_string())]);
    assert_eq!(cloud.get(format!("/v1/entitlements/{entitlement}")).await.unwrap()["organisation"], "verse-lab");
    refused(hanger_on.links(&entitlement, &["data/a.jsonl"]).await, Kind::NotFound, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_for_whom_the_licensee_vouches_find_its_licence_listed_and_not_its_order() {
    let app = TestApp::start().await;
    let cloud = app.organisation("verse-cloud").await;
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let hanger_on = app.affiliate("hanger-on", &["verse-lab", "verse-cloud"]).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": true })).await;
    let listed = |user: Actor| async move { user.get("/v1/entitlements").await.unwrap()["items"].clone() };
    let found = listed(cloud.clone()).await;
    assert_eq!((&found[0]["id"], &found[0]["organisation"]), (&json!(entitlement), &json!("verse-lab")));
    assert_eq!(found, listed(lab).await, "it, and nothing else");
    assert_eq!(listed(hanger_on).await, json!([]));
    let order = found[0]["order_id"].as_str().unwrap();
    refused(cloud.get(format!("/v1/orders/{order}")).await, Kind::NotFound, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_too_many_vouch_for_is_listed_its_own_licences_alone_and_uses_the_others() {
    let app = TestApp::start().await;
    let cloud = app.organisation("verse-cloud").await;
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": true })).await;
    let (now, mut sql) = (app.clock.now(), String::new());
    for number in 0..1000 {
        let (id, handle) = (OrganisationId::new(now), format!("verse-{number}"));
        let same = "legal_name, country, affiliations, created_at";
        sql += &format!(
            "INSERT INTO organisations (id, handle, registration_number, state, {same}) \
             SELECT '{id}', '{handle}', '{number}', 'registered', {same} FROM organisations WHERE handle = 'verse-lab'; \
             UPDATE organisations SET state = 'verified', verified_at = created_at WHERE id = '{id}'; \
             INSERT INTO affiliations (handle, affiliate) VALUES ('{handle}', 'verse-cloud');"
        );
        for (from, to) in [("NULL", "registered"), ("'registered'", "verified")] {
            let step = TransitionId::new(now);
            sql += &format!(
                "INSERT INTO transitions (id, subject, from_state, to_state, actor, reason, at) \
                 SELECT '{step}', id, {from}, '{to}', 'story', 'one of many', created_at FROM organisations WHERE id = '{id}';"
            );
        }
    }
    app.app().db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap();
    assert_eq!(cloud.get("/v1/entitlements").await.unwrap(), json!({ "items": [] }));
    assert_eq!(lab.get("/v1/entitlements").await.unwrap()["items"][0]["id"], json!(entitlement));
    cloud.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hub_serves_those_for_whom_a_licensee_vouches_and_nobody_else() {
    let app = TestApp::start().await;
    let edge = app.organisation("verse-edge").await;
    let cloud = app.affiliate("verse-cloud", &["verse-edge"]).await;
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let unverified = Actor::register_with(&app.anonymous(), "verse-fog", &["verse-lab"]).await;
    let hanger_on = app.affiliate("hanger-on", &["verse-lab", "verse-cloud"]).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": true })).await;
    let (repo, file) = ("/api/datasets/poetry-house/poems", "/datasets/poetry-house/poems/resolve/main/data/a.jsonl");
    for user in [&lab, &cloud, &edge] {
        let hub = HubClient::of(&app, user);
        assert_eq!(hub.json(repo).await["gated"], false, "{}", user.handle);
        let answer = hub.get(file).await;
        assert!(answer.status.is_success() || answer.status.is_redirection(), "{answer:?}");
    }
    for user in [&unverified, &hanger_on] {
        let hub = HubClient::of(&app, user);
        assert_eq!(hub.json(repo).await["gated"], "manual", "{}", user.handle);
        hub.get(file).await.refused(403, Some("GatedRepo"));
    }
    let reason = json!({ "reason": "the invoice is disputed" });
    app.operator.post(format!("/v1/entitlements/{entitlement}/suspension"), &reason).await.unwrap();
    let gated = HubClient::of(&app, &edge).get(file).await;
    assert!(gated.refused(403, Some("GatedRepo")).header("x-error-message").unwrap().contains("is suspended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn affiliates_stay_outside_where_the_terms_do_not_let_them_in() {
    let app = TestApp::start().await;
    let cloud = app.organisation("verse-cloud").await;
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": false })).await;
    refused(cloud.links(&entitlement, &["data/a.jsonl"]).await, Kind::NotFound, None);
    assert_eq!(cloud.get("/v1/entitlements").await.unwrap(), json!({ "items": [] }));
    let file = "/datasets/poetry-house/poems/resolve/main/data/a.jsonl";
    HubClient::of(&app, &cloud).get(file).await.refused(403, Some("GatedRepo"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_seats_are_limited_only_a_token_with_a_seat_is_given_links() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = licensed(&app, &lab, json!({ "seats": 2 })).await;
    let (first, second, third) = (Token::issue(&lab).await, Token::issue(&lab).await, Token::issue(&lab).await);
    let without = refused(first.links(&entitlement).await, Kind::NotEntitled, Some("Authorization"));
    assert!(without.remedy.unwrap().contains(&format!("/seats/{}", first.id)));

    for token in [&first, &second, &first] {
        assign(&lab, &entitlement, &token.id).await.unwrap();
    }
    assert_eq!(taken(&lab, &entitlement).await, [json!(first.id), json!(second.id)]);
    first.links(&entitlement).await.unwrap();
    assert_eq!(receipts(&app, &entitlement).await[0].seat.unwrap().to_string(), first.id);
    refused(assign(&lab, &entitlement, &third.id).await, Kind::WrongState, Some("seats"));
    refused(third.links(&entitlement).await, Kind::NotEntitled, Some("Authorization"));

    free(&lab, &entitlement, &first.id).await.unwrap();
    refused(first.links(&entitlement).await, Kind::NotEntitled, Some("Authorization"));
    refused(free(&lab, &entitlement, &first.id).await, Kind::WrongState, Some("token"));
    assign(&lab, &entitlement, &third.id).await.unwrap();
    third.links(&entitlement).await.unwrap();

    app.told().await;
    let feed = lab.get("/v1/events?organisation=verse-lab&types=seat.assigned,seat.freed").await.unwrap();
    assert_eq!(feed["items"].as_array().unwrap().len(), 4, "{feed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_frees_its_seat() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = licensed(&app, &lab, json!({ "seats": 1 })).await;
    let (first, second) = (Token::issue(&lab).await, Token::issue(&lab).await);
    assign(&lab, &entitlement, &first.id).await.unwrap();
    refused(assign(&lab, &entitlement, &second.id).await, Kind::WrongState, Some("seats"));
    let _: Value = lab.client.delete(format!("/v1/tokens/{}", first.id)).send().await.unwrap();
    assign(&lab, &entitlement, &second.id).await.unwrap();
    second.links(&entitlement).await.unwrap();
    assert_eq!(taken(&lab, &entitlement).await, [json!(second.id)]);
    refused(assign(&lab, &entitlement, &first.id).await, Kind::Invalid, Some("token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_signed_in_with_a_password_has_no_seat() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = licensed(&app, &lab, json!({ "seats": 1 })).await;
    let person = json!({ "email": lab.email, "password": PASSWORD });
    let session: Value = app.anonymous().post("/v1/sessions").json(&person).unwrap().send().await.unwrap();
    let client = app.anonymous().with_token(session["access_token"].as_str().unwrap());
    let signed_in = Token { id: String::new(), client };
    let without = refused(signed_in.links(&entitlement).await, Kind::NotEntitled, Some("Authorization"));
    assert!(without.remedy.unwrap().contains("API token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_are_for_those_who_may_use_the_licence_and_for_limited_terms() {
    let app = TestApp::start().await;
    let (cloud, stranger) = (app.organisation("verse-cloud").await, app.organisation("idle-lab").await);
    let lab = funded(&app, app.affiliate("verse-lab", &["verse-cloud"]).await).await;
    let entitlement = licensed(&app, &lab, json!({ "affiliates": true, "seats": 1 })).await;
    let outside = Token::issue(&stranger).await;
    refused(assign(&lab, &entitlement, &outside.id).await, Kind::Invalid, Some("token"));
    let inside = Token::issue(&cloud).await;
    refused(assign(&cloud, &entitlement, &inside.id).await, Kind::Forbidden, None);
    assign(&lab, &entitlement, &inside.id).await.unwrap();
    inside.links(&entitlement).await.unwrap();

    let other = TestApp::start().await;
    let lab = other.lab("verse-lab", 50_000).await;
    let entitlement = licensed(&other, &lab, json!({})).await;
    let token = Token::issue(&lab).await;
    refused(assign(&lab, &entitlement, &token.id).await, Kind::WrongState, None);
    token.links(&entitlement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_are_given_a_seat_at_once_no_more_get_one_than_there_are() {
    const SEATS: usize = 3;
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = licensed(&app, &lab, json!({ "seats": SEATS })).await;
    let mut tokens = Vec::new();
    for _ in 0..12 {
        tokens.push(Token::issue(&lab).await);
    }
    let assigned = tokens.into_iter().map(|token| {
        let (lab, entitlement) = (lab.clone(), entitlement.clone());
        async move { assign(&lab, &entitlement, &token.id).await.map(|_| token) }
    });
    let mut seated = Vec::new();
    for outcome in at_once(assigned).await {
        match outcome {
            Ok(token) => seated.push(token),
            Err(error) => assert_eq!((error.kind, error.field.as_deref()), (Kind::WrongState, Some("seats"))),
        }
    }
    assert_eq!((seated.len(), taken(&lab, &entitlement).await.len()), (SEATS, SEATS));
    for token in seated {
        token.links(&entitlement).await.unwrap();
    }
}
