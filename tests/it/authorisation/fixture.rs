//! The people who try, and the things they try it on.

use std::time::Duration;

use base64::Engine as _;
use corpex::config::Config;
use corpex::identity::{self, PlatformRole, Role, Scope};
use corpex::signing::SecretKey;
use corpex::types::Digest;
use serde_json::{Value, json};

use crate::support::{Actor, PASSWORD, TestApp, token_wish};

pub const HOUSE: &str = "poetry-house";
pub const LAB: &str = "verse-lab";
pub const OWNER_EMAIL: &str = "admin@poetry-house.test";
/// Whose the things are that belong to one person.
pub const OWNER: &str = "house-admin";

/// An organisation of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The provider.
    House,
    /// The buyer.
    Lab,
    /// One that no operator has verified; the provider's admin registered it.
    Attic,
}

/// Somebody who tries.
#[derive(Clone)]
pub struct Person {
    pub name: &'static str,
    pub platform: Option<PlatformRole>,
    pub roles: Vec<(Side, Role)>,
    pub write_token: Option<String>,
    pub read_token: Option<String>,
}

impl Person {
    pub fn is_anonymous(&self) -> bool {
        self.write_token.is_none()
    }
    pub fn token(&self) -> Option<&str> {
        self.write_token.as_deref()
    }
    pub fn role_in(&self, side: Side) -> Option<Role> {
        self.roles.iter().find(|(of, _)| *of == side).map(|(_, role)| *role)
    }
}

/// What is sent.
pub struct Request {
    pub path: String,
    pub body: Option<Value>,
}

/// A request without a body.
pub fn at(path: impl Into<String>) -> Request {
    Request { path: path.into(), body: None }
}

/// A request with a body.
pub fn with(path: impl Into<String>, body: Value) -> Request {
    Request { path: path.into(), body: Some(body) }
}

/// An envelope that nobody signed: it can be read, and is refused once it is looked at.
pub fn unsigned(organisation: &str) -> Value {
    let payload = json!({ "predicate": { "organisation": organisation } }).to_string();
    let payload = base64::engine::general_purpose::STANDARD.encode(payload);
    json!({ "envelope": { "payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": [] } })
}

/// What is tried on.
#[derive(Clone)]
pub struct Things {
    /// A version that is listed, and was bought.
    pub open: String,
    /// Its dataset: `org/name`.
    pub open_dataset: String,
    pub listing: String,
    pub terms: String,
    pub certificate: String,
    pub log_entry: String,
    pub download_url: String,
    pub part_url: String,
    pub spare_key: String,
    pub webhook: String,
    pub leaver: String,
    pub invitation: String,
    /// A dataset with nothing but a draft.
    pub draft_dataset: String,
    pub upload: String,
    pub deposit: String,
    /// A voucher programme that the lab funds.
    pub programme: String,
    pub withdrawal: String,
    pub offer: String,
    /// One that the provider began.
    pub negotiation: String,
    pub order: String,
    pub entitlement: String,
    pub evaluation: String,
    pub model: String,
    /// A claim that nobody looked at yet.
    pub claim: String,
    /// A case that ended in a recall.
    pub case: String,
    pub recall: String,
    pub spare_token: String,
    /// What a program shows that waits to be signed in.
    pub user_code: String,
    /// The handle of [`Side::Attic`].
    pub attic: String,
    /// The handle of one that the same person registered, and an operator rejected.
    pub loft: String,
}

impl Things {
    /// The draft.
    pub fn draft(&self) -> String {
        format!("/v1/datasets/{}/versions/1", self.draft_dataset)
    }

    /// The names of what some may not know of.
    pub fn hidden(&self) -> [&str; 15] {
        let Self {
            draft_dataset,
            upload,
            withdrawal,
            offer,
            negotiation,
            order,
            entitlement,
            evaluation,
            model,
            claim,
            case,
            recall,
            spare_token,
            attic,
            loft,
            ..
        } = self;
        [
            draft_dataset,
            upload,
            withdrawal,
            offer,
            negotiation,
            order,
            entitlement,
            evaluation,
            model,
            claim,
            case,
            recall,
            spare_token,
            attic,
            loft,
        ]
    }

    /// The same with names of nothing in place of those.
    pub fn ghosts(&self) -> Self {
        let other = |id: &str| {
            let (rest, last) = id.split_at(id.len() - 1);
            format!("{rest}{}", if last == "0" { "1" } else { "0" })
        };
        Self {
            draft_dataset: format!("{HOUSE}/unbegun"),
            upload: other(&self.upload),
            withdrawal: other(&self.withdrawal),
            offer: other(&self.offer),
            negotiation: other(&self.negotiation),
            order: other(&self.order),
            entitlement: other(&self.entitlement),
            evaluation: other(&self.evaluation),
            model: other(&self.model),
            claim: other(&self.claim),
            case: other(&self.case),
            recall: other(&self.recall),
            spare_token: other(&self.spare_token),
            attic: "poetry-cellar".to_string(),
            loft: "poetry-garret".to_string(),
            ..self.clone()
        }
    }
}

/// An exchange where something of every kind has happened.
pub struct Fixture {
    pub app: TestApp,
    pub people: Vec<Person>,
    pub things: Things,
}

impl Fixture {
    pub async fn build() -> Self {
        Self::build_in(TestApp::start_with(settings).await).await
    }

    /// The same, in an exchange that was started with [`settings`].
    pub async fn build_in(app: TestApp) -> Self {
        let (house, lab) = (app.provider().await, app.lab(LAB, 100_000).await);
        app.organisation("other-house").await;
        let things = things(&app, &house, &lab).await;
        let people = people(&app, &house, &lab).await;
        app.sequenced().await;
        Self { app, people, things }
    }
}

/// In a bucket, links lead to the bucket, and the operations behind the exchange's own would go untried.
pub fn settings(config: &mut Config) {
    (config.s3_endpoint, config.s3_bucket) = (None, None);
    config.webhook_private_networks = true;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a text")).to_string()
}

async fn things(app: &TestApp, house: &Actor, lab: &Actor) -> Things {
    let offer = app.listed_corpus(house, "poems", 50_000).await;
    let offer_again = offer.clone();
    app.drain().await; // its sample is drawn
    let seen = house.list_again(&offer, &json!({ "preview": true, "evaluation_days": 14 })).await;
    let evaluation = text(&lab.evaluate(&seen).await.unwrap()["id"]);
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    let entitlement = text(&paid["entitlement"]["id"]);
    let links = lab.links(&entitlement, &["data/a.jsonl"]).await.unwrap();
    let model = lab.declare_model("Verse", &offer.dataset, &entitlement).await.unwrap();
    let trace = app.compliance.get(format!("/v1/trace?subject={}@1", offer.dataset)).await.unwrap();
    let draft = house.draft("unfinished").await;
    let uploads = format!("{draft}/uploads");
    let upload = house.post(&uploads, &upload_wish("a.jsonl")).await.unwrap();
    let other = house.post(&uploads, &upload_wish("b.jsonl")).await.unwrap();
    let token = house.post("/v1/tokens", &token_wish("read", 1)).await.unwrap();
    let deposits = lab.get("/v1/deposits").await.unwrap();
    let withdrawal = lab.withdraw(1).await.unwrap();
    let private = lab.offered_by(house, &offer, 40_000).await;
    let programme = lab.announce(1, 3000, 1000).await;
    let (case, recall) = recalled(app, house, lab).await;
    let leaver = register_person(app, "leaver@poetry-house.test").await;
    add_member(app, house, "leaver@poetry-house.test", "reader").await;
    Things {
        open: format!("/v1/datasets/{}/versions/1", offer.dataset),
        open_dataset: offer.dataset,
        listing: offer.listing,
        terms: offer.terms,
        certificate: text(&trace["chains"][0]["certificate"]["number"]),
        log_entry: text(&trace["chains"][0]["sealed"]["entry"]),
        download_url: text(&links["links"][0]["url"]),
        part_url: text(&other["urls"][0]["url"]),
        spare_key: register_spare_key(house).await,
        webhook: register_webhook(house).await,
        leaver,
        invitation: text(&house.invite(HOUSE, "reader").await.unwrap()["id"]),
        draft_dataset: format!("{HOUSE}/unfinished"),
        upload: text(&upload["id"]),
        deposit: text(&deposits["items"][0]["id"]),
        programme,
        withdrawal: text(&withdrawal["id"]),
        offer: private,
        negotiation: text(&lab.negotiated_by(house, &offer_again, 40_000).await["id"]),
        order,
        entitlement,
        evaluation,
        model: text(&model["id"]),
        claim: house.claim(&format!("{HOUSE}/poems")).await,
        case,
        recall,
        spare_token: text(&token["id"]),
        user_code: begin_device_login(app).await,
        attic: register_another(house, "poetry-attic").await,
        loft: rejected(app, house).await,
    }
}

/// Registers a second organisation, which nobody verifies; gives its handle.
async fn register_another(house: &Actor, handle: &str) -> String {
    let unverified = json!({
        "handle": handle, "legal_name": format!("{handle} Ltd"), "registration_number": format!("91310000{handle}"),
        "country": "CN",
    });
    house.post("/v1/organisations", &unverified).await.unwrap();
    handle.to_string()
}

async fn rejected(app: &TestApp, house: &Actor) -> String {
    let handle = register_another(house, "poetry-loft").await;
    let because = json!({ "reason": "one is enough" });
    app.operator.post(format!("/v1/organisations/{handle}/rejection"), &because).await.unwrap();
    handle
}

/// A case against another corpus that both trade, up to the recall; gives the case and the recall.
async fn recalled(app: &TestApp, house: &Actor, lab: &Actor) -> (String, String) {
    let offer = app.listed_corpus(house, "prose", 100).await;
    lab.buy(&offer).await.unwrap();
    let case = house.claim(&offer.dataset).await;
    for step in ["triage", "interim-block", "notification"] {
        app.compliance.decide(&case, step).await.unwrap();
    }
    house.counter(&case).await.unwrap();
    for step in ["upholding", "recall"] {
        app.compliance.decide(&case, step).await.unwrap();
    }
    (case, text(&lab.get("/v1/recalls").await.unwrap()["items"][0]["id"]))
}

/// The declaration of a shard of two bytes.
pub fn upload_wish(path: &str) -> Value {
    json!({ "path": path, "size_bytes": 2, "sha256": Digest::of("{}"), "media_type": "application/jsonl" })
}

/// A webhook that nobody answers.
async fn register_webhook(house: &Actor) -> String {
    let wanted = json!({ "url": "http://127.0.0.1:9/" });
    text(&house.post(format!("/v1/organisations/{HOUSE}/webhooks"), &wanted).await.unwrap()["id"])
}

async fn register_spare_key(house: &Actor) -> String {
    let spare = Actor { key: SecretKey::generate(), ..house.clone() };
    text(&spare.register_key().await["id"])
}

async fn begin_device_login(app: &TestApp) -> String {
    let form = reqwest::Client::new().post(format!("{}/oauth/device", app.url));
    let form = form.header("Content-Type", "application/x-www-form-urlencoded").body("client_id=verse");
    let codes: Value = form.send().await.unwrap().json().await.unwrap();
    text(&codes["user_code"])
}

async fn register_person(app: &TestApp, email: &str) -> String {
    let person = json!({ "email": email, "password": PASSWORD });
    let made: Value = app.anonymous().post("/v1/users").json(&person).unwrap().send().await.unwrap();
    text(&made["id"])
}

async fn add_member(app: &TestApp, admin: &Actor, email: &str, role: &str) {
    let invited = admin.invite(&admin.handle, role).await.unwrap();
    let person = app.anonymous().with_token(&token(app, email, Scope::Write).await);
    Actor::platform(person, email).accept(&invited).await.unwrap();
}

/// One of every kind: nobody, a stranger, the platform's staff, and each role on both sides of a trade.
async fn people(app: &TestApp, house: &Actor, lab: &Actor) -> Vec<Person> {
    let nobody = Person { name: "nobody", platform: None, roles: Vec::new(), write_token: None, read_token: None };
    let mut people = vec![nobody];
    people.push(person(app, "a stranger", "admin@other-house.test", &[]).await);
    for (name, actor, role) in [
        ("an operator", &app.operator, PlatformRole::Operator),
        ("a compliance officer", &app.compliance, PlatformRole::Compliance),
    ] {
        people.push(Person { platform: Some(role), ..person(app, name, &actor.email, &[]).await });
    }
    let own = [(Side::House, Role::Admin), (Side::Attic, Role::Admin)];
    people.push(person(app, OWNER, &house.email, &own).await);
    people.push(person(app, "lab-admin", &lab.email, &[(Side::Lab, Role::Admin)]).await);
    for (name, admin, side, role) in [
        ("house-signer", house, Side::House, Role::Signer),
        ("house-trader", house, Side::House, Role::Trader),
        ("house-reader", house, Side::House, Role::Reader),
        ("lab-signer", lab, Side::Lab, Role::Signer),
        ("lab-trader", lab, Side::Lab, Role::Trader),
        ("lab-reader", lab, Side::Lab, Role::Reader),
    ] {
        let email = format!("{name}@people.test");
        register_person(app, &email).await;
        add_member(app, admin, &email, role.as_str()).await;
        people.push(person(app, name, &email, &[(side, role)]).await);
    }
    people
}

async fn person(app: &TestApp, name: &'static str, email: &str, roles: &[(Side, Role)]) -> Person {
    let (write, read) = (token(app, email, Scope::Write).await, token(app, email, Scope::Read).await);
    Person { name, platform: None, roles: roles.to_vec(), write_token: Some(write), read_token: Some(read) }
}

async fn token(app: &TestApp, email: &str, scope: Scope) -> String {
    let (email, now) = (email.to_string(), app.clock.now());
    let until = now.plus(Duration::from_secs(3600));
    let issued =
        app.app().db.write(move |c| identity::issue_token(c, &email, "matrix", scope, until, now)).await.unwrap();
    issued.0.reveal().to_string()
}
