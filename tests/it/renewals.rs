//! Renewals: a licence is lengthened from its end, its holder is told in time, and what becomes of it holds everywhere at once.

use std::time::Duration;

use corpex::delivery::{self, trades};
use corpex::error::{Kind, Result};
use corpex::provenance::passport::{Trust, verify};
use corpex::types::{DAY, Instant};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, refused, terms};

const PRICE: i64 = 50_000;
const TERM: u32 = 60;

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
    order: String,
    entitlement: String,
}

impl Story {
    /// A lab licensed poems for sixty days, accepted them, and has money for two licences more.
    async fn begin() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{}\n")]).await;
        app.compliance.assess(&published).await;
        let mut document = terms(PRICE);
        document["duration_days"] = json!(TERM);
        let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", 3 * PRICE).await;
        let (order, entitlement) = lab.take_delivery(&offer).await;
        Self { app, provider, lab, offer, order, entitlement }
    }

    async fn accepted() -> Self {
        let story = Self::begin().await;
        story.lab.answer(&story.order, "acceptance").await.unwrap();
        story
    }

    async fn renew(&self) -> Result<Value> {
        self.lab.effect(format!("/v1/entitlements/{}/renewals", self.entitlement), &Value::Null).await
    }

    /// Orders a renewal, signs it and pays it; gives the order.
    async fn renewed(&self) -> String {
        let order = self.renew().await.unwrap();
        self.lab.sign_contract(&order).await.unwrap();
        let id = order["id"].as_str().unwrap().to_string();
        self.lab.pay(&id).await.unwrap();
        id
    }

    async fn shown(&self) -> Value {
        self.lab.get(format!("/v1/entitlements/{}", self.entitlement)).await.unwrap()
    }

    async fn end(&self) -> Instant {
        self.shown().await["expires_at"].as_str().unwrap().parse().unwrap()
    }

    async fn order_state(&self, id: &str) -> Value {
        self.lab.get(format!("/v1/orders/{id}")).await.unwrap()["state"].clone()
    }

    async fn download(&self) -> Result<Value> {
        self.lab.links(&self.entitlement, &["data/a.jsonl"]).await
    }

    async fn notices(&self, who: &Actor) -> usize {
        self.app.told().await;
        let path = format!("/v1/events?organisation={}&types=entitlement.ending", who.handle);
        who.get(path).await.unwrap()["items"].as_array().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_lengthens_the_licence_from_its_end_and_is_paid_and_settled_like_any_order() {
    let story = Story::accepted().await;
    let end = story.end().await;
    story.app.clock.advance(DAY * 20);
    let order = story.renewed().await;
    assert_eq!(story.end().await, end.plus(DAY * TERM), "no gap and no overlap");
    assert_eq!(story.order_state(&order).await, "delivered");
    story.lab.answer(&order, "acceptance").await.unwrap();
    assert_eq!(story.order_state(&order).await, "certificated");
    assert_eq!(story.provider.balance("payable").await, 2 * (PRICE - 1500));

    story.app.clock.advance(DAY * TERM);
    delivery::expire_ended(story.app.app()).await.unwrap();
    story.download().await.unwrap();
    story.app.clock.advance(DAY * TERM);
    delivery::expire_ended(story.app.app()).await.unwrap();
    assert_eq!(story.shown().await["state"], "expired");
    let late = refused(story.renew().await, Kind::WrongState, None);
    assert!(late.remedy.unwrap().contains("on the board"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_passport_of_a_renewed_licence_verifies_with_both_contracts() {
    let story = Story::accepted().await;
    story.renewed().await;
    story.app.sequenced().await;
    let path = format!("/v1/entitlements/{}/passport", story.entitlement);
    let passport = story.lab.client.get(path).text().await.unwrap();
    let report = verify(passport.as_bytes(), &Trust::default()).unwrap();
    let kinds: Vec<_> = report.statements.iter().map(|statement| statement.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "contract").count(), 2, "{kinds:?}");
    assert_eq!(report.standing.unwrap().state, "active");
    let order = &story.order;
    let text = story.lab.client.get(format!("/v1/orders/{order}/contract/rendering?lang=en&format=text"));
    assert!(!text.text().await.unwrap().contains("renewed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refunded_renewal_takes_its_days_back_and_leaves_the_licence() {
    let story = Story::accepted().await;
    let end = story.end().await;
    let (first, second) = (story.renewed().await, story.renewed().await);
    assert_eq!(story.end().await, end.plus(DAY * (2 * TERM)));
    story.lab.answer(&first, "rejection").await.unwrap();
    story.provider.offer_refund(&first, PRICE).await.unwrap();
    // A worker that found it overdue just before comes too late.
    let (app, id, now) = (story.app.app(), first.parse().unwrap(), story.app.clock.now());
    let keys = app.keys.clone();
    app.db.write(move |c| trades::pass_deadline(c, &keys, id, now)).await.unwrap();
    assert_eq!(
        (story.order_state(&first).await, story.order_state(&second).await),
        (json!("refunded"), json!("delivered"))
    );
    assert_eq!(story.end().await, end.plus(DAY * TERM));
    assert_eq!(story.lab.balance("wallet").await, PRICE);
    story.download().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_that_ends_with_its_order_gives_its_renewals_back() {
    let story = Story::accepted().await;
    let renewal = story.renewed().await;
    story.lab.open_dispute(&story.order).await.unwrap();
    story.app.operator.decide_dispute(&story.order, "decision", "buyer", None).await.unwrap();
    story.app.clock.advance(DAY * 7);
    trades::pass_deadlines(story.app.app()).await.unwrap();
    assert_eq!(story.shown().await["state"], "revoked");
    assert_eq!(story.order_state(&renewal).await, "refunded", "nobody pays for a term that will not run");
    assert_eq!((story.lab.balance("wallet").await, story.provider.balance("payable").await), (3 * PRICE, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_renewed_says_why() {
    let story = Story::begin().await;
    let unsettled = refused(story.renew().await, Kind::WrongState, None);
    assert!(unsettled.remedy.unwrap().contains("accept"));
    story.lab.answer(&story.order, "acceptance").await.unwrap();
    let because = json!({ "reason": "the invoice is disputed" });
    let path = format!("/v1/entitlements/{}", story.entitlement);
    story.app.operator.post(format!("{path}/suspension"), &because).await.unwrap();
    let suspended = refused(story.renew().await, Kind::WrongState, None);
    assert!(suspended.remedy.unwrap().contains("reinstated"));
    story.app.operator.post(format!("{path}/reinstatement"), &because).await.unwrap();
    story.provider.post(format!("/v1/listings/{}/pause", story.offer.listing), &json!({})).await.unwrap();
    refused(story.renew().await, Kind::WrongState, Some("listing_id"));
    refused(story.provider.effect(format!("{path}/renewals"), &Value::Null).await, Kind::NotFound, None);

    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", PRICE).await;
    let lab = app.lab("verse-lab", PRICE).await;
    let (order, entitlement) = lab.take_delivery(&offer).await;
    lab.answer(&order, "acceptance").await.unwrap();
    let endless = lab.effect(format!("/v1/entitlements/{entitlement}/renewals"), &Value::Null).await;
    assert!(refused(endless, Kind::WrongState, None).detail.contains("has no end"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_licence_is_told_of_each_end_once_whatever_the_clocks_say() {
    let story = Story::accepted().await;
    let tell = || delivery::announce_ends(story.app.app());
    story.app.clock.advance(DAY * 29);
    tell().await.unwrap();
    assert_eq!(story.notices(&story.lab).await, 0);
    // However often it is looked for, and an hour later or earlier.
    for hours in [25, 0, 1, 1] {
        story.app.clock.advance(Duration::from_secs(hours * 3600));
        tell().await.unwrap();
        assert_eq!(story.notices(&story.lab).await, 1);
    }
    assert_eq!(story.notices(&story.provider).await, 0, "it is a matter of the licensee");
    story.renewed().await;
    tell().await.unwrap();
    assert_eq!(story.notices(&story.lab).await, 1, "the new end is far");
    story.app.clock.advance(DAY * TERM);
    tell().await.unwrap();
    assert_eq!(story.notices(&story.lab).await, 2);
    delivery::expire_ended(story.app.app()).await.unwrap();
    assert_eq!(story.shown().await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_at_one_instance_holds_at_the_other_at_once() {
    let story = Story::accepted().await;
    let other = story.app.another().await;
    let there = story.lab.at(&other);
    let links = async || there.links(&story.entitlement, &["data/a.jsonl"]).await;
    links().await.unwrap();
    let path = format!("/v1/entitlements/{}", story.entitlement);
    let because = json!({ "reason": "the invoice is disputed" });
    for (step, state) in [("suspension", "suspended"), ("reinstatement", "active"), ("revocation", "revoked")] {
        story.app.operator.effect(format!("{path}/{step}"), &because).await.unwrap();
        let answer = links().await;
        match state {
            "active" => drop(answer.unwrap()),
            _ => assert!(refused(answer, Kind::NotEntitled, None).detail.contains(state)),
        }
    }
    other.stop().await.unwrap();
}
