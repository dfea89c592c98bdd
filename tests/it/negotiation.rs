//! Negotiations: two sides come to a price by signed offers, and both sign the contract.

use corpex::error::{Kind, Result};
use corpex::market::negotiation;
use corpex::provenance::StatementKind;
use corpex::provenance::passport::{self, Trust};
use corpex::types::{DAY, Digest};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, kinds_in_log, refused, terms};

const PRICE: i64 = 50_000;

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
}

fn id(negotiation: &Value) -> String {
    negotiation["id"].as_str().unwrap().to_string()
}

fn declared() -> Value {
    json!({ "use": "pretrain", "purpose": "pretraining of a small language model" })
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", PRICE).await;
        let lab = app.lab("verse-lab", PRICE).await;
        Self { app, provider, lab, offer }
    }

    /// An offer of a side at a price in fen, in reply to the last one of a negotiation, if there is one.
    async fn document(&self, side: &Actor, fen: i64, negotiation: Option<&Value>) -> Value {
        let mut document = side.offer_to("verse-lab", &self.offer, fen).await;
        if let Some(negotiation) = negotiation {
            document["replies_to_sha256"] = negotiation["offer_sha256"].clone();
        }
        document
    }

    async fn request(&self, fen: i64, before: Option<&Value>) -> Result<Value> {
        let envelope = self.lab.sign_offer(&self.document(&self.lab, fen, before).await);
        let path = before.map_or("/v1/negotiations".to_string(), |before| format!("/v1/negotiations/{}", id(before)));
        self.lab.effect(format!("{path}/request"), &json!({ "envelope": envelope, "declared": declared() })).await
    }

    async fn counter(&self, fen: i64, before: Option<&Value>) -> Result<Value> {
        let envelope = self.provider.sign_offer(&self.document(&self.provider, fen, before).await);
        let path = before.map_or("/v1/negotiations".to_string(), |before| format!("/v1/negotiations/{}", id(before)));
        self.provider.effect(format!("{path}/offers"), &json!({ "envelope": envelope })).await
    }

    async fn event(&self, side: &Actor, event: &str, negotiation: &Value) -> Result<Value> {
        let message = json!({ "event_type": event, "declared": (event == "ACCEPTED").then(declared) });
        side.effect(format!("/v1/negotiations/{}/events", id(negotiation)), &message).await
    }

    /// A side signs the contract and sends it as its `agreement`, or as `agreement/verification`.
    async fn sign(&self, side: &Actor, message: &str, negotiation: &Value) -> Result<Value> {
        let envelope = side.sign_payload(&negotiation["contract_payload"]);
        side.effect(format!("/v1/negotiations/{}/{message}", id(negotiation)), &json!({ "envelope": envelope })).await
    }

    async fn terminate(&self, side: &Actor, negotiation: &Value) -> Result<Value> {
        let why = json!({ "code": "PRICE", "reason": "we are too far apart" });
        side.effect(format!("/v1/negotiations/{}/termination", id(negotiation)), &why).await
    }

    /// A negotiation in one of the protocol's states.
    async fn arrived_at(&self, state: &str) -> Value {
        let (lab, provider) = (&self.lab, &self.provider);
        if state == "OFFERED" {
            return self.counter(45_000, None).await.unwrap();
        }
        let mut now = self.request(30_000, None).await.unwrap();
        if state == "ACCEPTED" {
            now = self.counter(45_000, Some(&now)).await.unwrap();
            now = self.event(lab, "ACCEPTED", &now).await.unwrap();
        }
        for (side, message) in [(provider, "agreement"), (lab, "agreement/verification")] {
            if now["state"] != state && state != "ACCEPTED" && state != "TERMINATED" {
                now = self.sign(side, message, &now).await.unwrap();
            }
        }
        if state == "FINALIZED" {
            now = self.event(provider, "FINALIZED", &now).await.unwrap();
        }
        if state == "TERMINATED" {
            now = self.terminate(lab, &now).await.unwrap();
        }
        assert_eq!(now["state"], state);
        now
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_and_counter_offers_lead_to_a_contract_that_both_sides_and_the_exchange_signed() {
    let story = Story::begin().await;
    let Story { app, provider, lab, .. } = &story;
    let asked = story.request(30_000, None).await.unwrap();
    let offered = story.counter(45_000, Some(&asked)).await.unwrap();
    let asked = story.request(38_000, Some(&offered)).await.unwrap();
    let offered = story.counter(40_000, Some(&asked)).await.unwrap();
    assert!(offered["contract_payload"].is_null(), "there is nothing to sign while the buyer has not answered");
    let accepted = story.event(lab, "ACCEPTED", &offered).await.unwrap();
    let agreed = story.sign(provider, "agreement", &accepted).await.unwrap();
    let verified = story.sign(lab, "agreement/verification", &agreed).await.unwrap();
    assert_eq!(verified["order_id"], Value::Null);
    let finalized = story.event(provider, "FINALIZED", &verified).await.unwrap();
    assert_eq!(finalized["state"], "FINALIZED");

    let shown = lab.get(format!("/v1/negotiations/{}", id(&asked))).await.unwrap();
    let states: Vec<&str> =
        shown["history"].as_array().unwrap().iter().map(|s| s["to_state"].as_str().unwrap()).collect();
    let way = ["REQUESTED", "OFFERED", "REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED"];
    assert_eq!(states, way);
    assert_eq!(shown["offers"].as_array().unwrap().len(), 4);

    let order = finalized["order_id"].as_str().unwrap();
    let shown = lab.get(format!("/v1/orders/{order}")).await.unwrap();
    assert_eq!((&shown["state"], &shown["price"]["amount_minor"]), (&json!("awaiting_payment"), &json!(40_000)));
    assert_eq!(shown["contract_payload"], accepted["contract_payload"]);
    let contract = lab.get(format!("/v1/orders/{order}/contract")).await.unwrap();
    assert_eq!(contract["signatures"].as_array().unwrap().len(), 3);
    let paid = lab.pay(order).await.unwrap();
    assert_eq!(lab.balance("wallet").await, PRICE - 40_000);

    app.sequenced().await;
    let passport = format!("/v1/entitlements/{}/passport", paid["entitlement"]["id"].as_str().unwrap());
    let passport = lab.client.get(passport).text().await.unwrap();
    let report = passport::verify(passport.as_bytes(), &Trust::default()).unwrap();
    let checked = |kind| report.statements.iter().find(|checked| checked.kind == kind).unwrap();
    assert_eq!(checked(StatementKind::Contract).signed_by, ["poetry-house", "verse-lab", "exchange"]);
    assert!(checked(StatementKind::Contract).refers_to.contains(&StatementKind::Offer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_agrees_to_a_request_as_it_is_and_a_buyer_accepts_an_offer_that_was_made_to_it() {
    let story = Story::begin().await;
    let Story { provider, lab, .. } = &story;
    let asked = story.request(30_000, None).await.unwrap();
    let agreed = story.sign(provider, "agreement", &asked).await.unwrap();
    assert_eq!(agreed["state"], "AGREED");
    let offered = story.counter(20_000, None).await.unwrap();
    let silent = json!({ "event_type": "ACCEPTED" });
    let path = format!("/v1/negotiations/{}/events", id(&offered));
    refused(lab.effect(&path, &silent).await, Kind::Invalid, Some("use"));
    let other =
        json!({ "event_type": "ACCEPTED", "declared": { "use": "derive", "purpose": "deriving another corpus" } });
    refused(lab.effect(&path, &other).await, Kind::UseNotPermitted, Some("use"));
    let accepted = story.event(lab, "ACCEPTED", &offered).await.unwrap();
    assert_eq!(accepted["declared"], declared());
}

/// The protocol's table: in which state whose message of which kind leads where. `P` is the provider, `C` the consumer.
const FIGURE: &[(&str, &str, &str)] = &[
    ("REQUESTED", "P", "offers"),
    ("REQUESTED", "P", "agreement"),
    ("REQUESTED", "C", "termination"),
    ("REQUESTED", "P", "termination"),
    ("OFFERED", "C", "request"),
    ("OFFERED", "C", "ACCEPTED"),
    ("OFFERED", "C", "termination"),
    ("OFFERED", "P", "termination"),
    ("ACCEPTED", "P", "agreement"),
    ("ACCEPTED", "P", "termination"),
    ("AGREED", "C", "agreement/verification"),
    ("AGREED", "C", "termination"),
    ("VERIFIED", "P", "FINALIZED"),
    ("VERIFIED", "P", "termination"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_taken_that_the_protocol_does_not_allow() {
    let story = Story::begin().await;
    for state in ["REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED", "FINALIZED", "TERMINATED"] {
        let here = story.arrived_at(state).await;
        for (side, who) in [("C", &story.lab), ("P", &story.provider)] {
            for message in
                ["request", "offers", "ACCEPTED", "FINALIZED", "agreement", "agreement/verification", "termination"]
            {
                let of = match message {
                    "request" | "ACCEPTED" | "agreement/verification" => "C",
                    "offers" | "FINALIZED" | "agreement" => "P",
                    _ => side,
                };
                // Offers are signed by the side that sends them: the authorisation table tries the other's.
                let tried = of == side || !["request", "offers"].contains(&message);
                if !tried || FIGURE.contains(&(state, side, message)) {
                    continue;
                }
                let outcome = match message {
                    "request" => story.request(1, Some(&here)).await,
                    "offers" => story.counter(1, Some(&here)).await,
                    "ACCEPTED" | "FINALIZED" => story.event(who, message, &here).await,
                    "termination" => story.terminate(who, &here).await,
                    _ => story.sign(who, message, &here).await,
                };
                let kind = if of == side { Kind::WrongState } else { Kind::Forbidden };
                let error = refused(outcome, kind, None);
                assert!(of != side || error.remedy.is_some(), "{state} {side} {message}: {error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_answers_the_last_one_and_nothing_else() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let asked = story.request(30_000, None).await.unwrap();
    let path = format!("/v1/negotiations/{}/offers", id(&asked));
    let odes = app.listed_corpus(provider, "odes", PRICE).await;
    let prose_lab = app.lab("prose-lab", 0).await;
    let last = &asked["offer_sha256"];
    let mut foreign = provider.offer_to("verse-lab", &odes, 40_000).await;
    foreign["replies_to_sha256"] = last.clone();
    let mut to_another = provider.offer_to("prose-lab", offer, 40_000).await;
    to_another["replies_to_sha256"] = last.clone();
    let mut stale = story.document(provider, 40_000, None).await;
    let bare = stale.clone();
    stale["replies_to_sha256"] = json!(Digest::of("an earlier offer"));
    for (document, field) in
        [(foreign, "listing"), (to_another, "buyer"), (stale.clone(), "replies_to_sha256"), (bare, "replies_to_sha256")]
    {
        let message = json!({ "envelope": provider.sign_offer(&document) });
        refused(provider.effect(&path, &message).await, Kind::Invalid, Some(field));
    }
    let first = json!({ "envelope": provider.sign_offer(&stale) });
    refused(provider.effect("/v1/negotiations/offers", &first).await, Kind::Invalid, Some("replies_to_sha256"));
    let document = story.document(lab, 30_000, None).await;
    let first = json!({ "envelope": lab.sign_offer(&document), "declared": declared() });
    lab.effect("/v1/negotiations/request", &first).await.unwrap();
    refused(lab.effect("/v1/negotiations/request", &first).await, Kind::AlreadyExists, None);
    refused(
        lab.effect(
            "/v1/negotiations/offers",
            &json!({ "envelope": lab.sign_offer(&story.document(lab, 1, None).await) }),
        )
        .await,
        Kind::Invalid,
        Some("organisation"),
    );
    let undeclared = json!({ "envelope": lab.sign_offer(&story.document(lab, 30_000, None).await) });
    refused(lab.effect("/v1/negotiations/request", &undeclared).await, Kind::Invalid, Some("use"));
    for stranger in [&prose_lab, &app.organisation("another-house").await] {
        refused(stranger.get(format!("/v1/negotiations/{}", id(&asked))).await, Kind::NotFound, None);
        refused(story.terminate(stranger, &asked).await, Kind::NotFound, None);
        assert_eq!(stranger.get("/v1/negotiations").await.unwrap()["items"], json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_agreed_on_that_cannot_be_kept() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let asked = story.arrived_at("REQUESTED").await;
    let verified = story.arrived_at("VERIFIED").await;
    let listing = format!("/v1/listings/{}", offer.listing);
    provider.post(format!("{listing}/pause"), &Value::Null).await.unwrap();
    refused(story.sign(provider, "agreement", &asked).await, Kind::WrongState, Some("listing_id"));
    refused(story.event(provider, "FINALIZED", &verified).await, Kind::WrongState, Some("listing_id"));
    provider.post(format!("{listing}/resume"), &Value::Null).await.unwrap();

    let forged = json!({ "contract_payload": verified["contract_payload"], "id": asked["id"] });
    refused(story.sign(provider, "agreement", &forged).await, Kind::BadSignature, Some("payload"));
    let stranger = Actor { key: lab.key.clone(), ..provider.clone() };
    refused(story.sign(&stranger, "agreement", &asked).await, Kind::BadSignature, Some("signatures"));

    let mut brief = story.document(lab, 30_000, None).await;
    brief["valid_until"] = json!(app.clock.now().plus(DAY));
    let message = json!({ "envelope": lab.sign_offer(&brief), "declared": declared() });
    let brief = lab.effect("/v1/negotiations/request", &message).await.unwrap();
    app.clock.advance(DAY);
    let late = refused(story.sign(provider, "agreement", &brief).await, Kind::WrongState, Some("offer"));
    assert!(late.detail.contains("expired at") && late.remedy.is_some());
    story.sign(provider, "agreement", &asked).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_the_board_after_the_contract_was_made_out_has_no_part_in_its_price() {
    let app = TestApp::start().await;
    let (source, provider) = (app.organisation("source-house").await, app.provider().await);
    let shards: &[(&str, &[u8])] = &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{\"n\":2}\n")];
    let drafts = source.publish("drafts", shards).await;
    let poems = source.publish_from("poems", shards, &[drafts.as_parent()]).await;
    for published in [&drafts, &poems] {
        app.compliance.assess(published).await;
    }
    source.list(&poems, &source.publish_terms(PRICE).await).await;
    let remix = provider.publish_from("remix", shards, &[poems.as_parent()]).await;
    app.compliance.assess(&remix).await;
    let offer = provider.list(&remix, &provider.publish_terms(PRICE).await).await;
    let lab = app.lab("verse-lab", PRICE).await;
    let story = Story { app, provider, lab, offer };

    let mut now = story.request(40_000, None).await.unwrap();
    let mut document = terms(100);
    document["derivative_royalty_basis_points"] = json!(5000);
    let asking = source.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
    source.list(&drafts, &asking).await;
    for (side, message) in [(&story.provider, "agreement"), (&story.lab, "agreement/verification")] {
        now = story.sign(side, message, &now).await.unwrap();
    }
    now = story.event(&story.provider, "FINALIZED", &now).await.unwrap();
    let order = now["order_id"].as_str().unwrap();
    let paid = story.lab.pay(order).await.unwrap();
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();
    story.lab.links(entitlement, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
    story.lab.answer(order, "acceptance").await.unwrap();
    assert_eq!((source.balance("payable").await, story.provider.balance("payable").await), (0, 38_800));
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_terminates_and_the_other_is_told_why_and_silence_terminates_too() {
    let story = Story::begin().await;
    let Story { app, provider, lab, .. } = &story;
    let (asked, offered) = (story.arrived_at("REQUESTED").await, story.arrived_at("OFFERED").await);
    let ended = story.terminate(provider, &asked).await.unwrap();
    let why = json!({ "code": "PRICE", "reason": "we are too far apart" });
    assert_eq!((&ended["state"], &ended["termination"]), (&json!("TERMINATED"), &why));
    app.told().await;
    for side in [lab, provider] {
        let path = format!("/v1/events?organisation={}&types=negotiation.terminated", side.handle);
        let told = side.get(path).await.unwrap();
        assert_eq!(told["items"][0]["data"]["subject"], asked["id"]);
    }

    app.clock.advance(DAY * 14);
    let late = refused(story.event(lab, "ACCEPTED", &offered).await, Kind::WrongState, None);
    assert!(late.detail.contains("that ended at"), "before the sweep has come by: {late:?}");
    negotiation::expire_idle(app.app()).await.unwrap();
    negotiation::expire_idle(app.app()).await.unwrap();
    let shown = lab.get(format!("/v1/negotiations/{}", id(&offered))).await.unwrap();
    assert_eq!((&shown["state"], &shown["termination"]["code"]), (&json!("TERMINATED"), &json!("EXPIRED")));
    app.sequenced().await;
    assert_eq!(kinds_in_log(&app.anonymous()).await["negotiation-change"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_agreement_an_offer_and_a_termination_at_once_one_wins() {
    let story = std::sync::Arc::new(Story::begin().await);
    let asked = story.arrived_at("REQUESTED").await;
    let mut racing = tokio::task::JoinSet::new();
    for number in 0..9 {
        let (story, asked) = (story.clone(), asked.clone());
        racing.spawn(async move {
            match number % 3 {
                0 => story.sign(&story.provider, "agreement", &asked).await,
                1 => story.counter(45_000, Some(&asked)).await,
                _ => story.terminate(&story.provider, &asked).await,
            }
        });
    }
    let outcomes = racing.join_all().await;
    let shown = story.lab.get(format!("/v1/negotiations/{}", id(&asked))).await.unwrap();
    let steps = shown["history"].as_array().unwrap().len();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), steps - 1);
    assert!((2..=3).contains(&steps), "an offer may be terminated after it: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_for_the_buyer_and_deals_for_the_provider_ends_a_negotiation_for_the_provider() {
    let story = Story::begin().await;
    let Story { lab, provider, .. } = &story;
    let asked = story.request(30_000, None).await.unwrap();
    provider.accept(&lab.invite("verse-lab", "reader").await.unwrap()).await.unwrap();
    assert_eq!(story.terminate(provider, &asked).await.unwrap()["state"], "TERMINATED");
}
