//! Disputes: the exchange decides what becomes of the money, once, and nothing is paid before that.

use std::time::Duration;

use corpex::delivery::trades;
use corpex::error::Kind;
use serde_json::json;

use crate::support::{Actor, Offer, TestApp, refused};

const PRICE: i64 = 50_000;
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
}

impl Story {
    async fn begin(licences: i64) -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", PRICE).await;
        let lab = app.lab("verse-lab", licences * PRICE).await;
        Self { app, provider, lab, offer }
    }

    async fn state(&self, order: &str) -> String {
        let shown = self.lab.get(format!("/v1/orders/{order}")).await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }

    async fn days_pass(&self, days: u32) {
        self.app.clock.advance(DAY * days);
        trades::pass_deadlines(self.app.app()).await.unwrap();
    }

    /// What the buyer has, and what the provider is owed.
    async fn money(&self) -> (i64, i64) {
        (self.lab.balance("wallet").await, self.provider.balance("payable").await)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_freezes_the_payout_and_not_the_access() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let (order, licence) = lab.take_delivery(offer).await;
    let opened = provider.open_dispute(&order).await.unwrap();
    assert_eq!((&opened["state"], &opened["opened_by"]), (&json!("open"), &json!("poetry-house")));
    for answer in ["acceptance", "rejection"] {
        refused(lab.answer(&order, answer).await, Kind::WrongState, None);
    }
    refused(lab.open_dispute(&order).await, Kind::AlreadyExists, None);
    story.days_pass(100).await;
    assert_eq!((story.state(&order).await.as_str(), story.money().await), ("disputed", (0, 0)));
    lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
    refused(lab.decide_dispute(&order, "decision", "buyer", None).await, Kind::Forbidden, None);

    app.operator.decide_dispute(&order, "decision", "buyer", None).await.unwrap();
    assert_eq!(story.money().await, (0, 0), "nothing moves while a side may appeal");
    story.days_pass(7).await;
    assert_eq!((story.state(&order).await.as_str(), story.money().await), ("refunded", (PRICE, 0)));
    let ended = lab.get(format!("/v1/entitlements/{licence}")).await.unwrap();
    assert_eq!(ended["state"], "revoked");
    let shown = provider.get(format!("/v1/orders/{order}/dispute")).await.unwrap();
    assert_eq!((&shown["state"], &shown["outcome"]), (&json!("final"), &json!("buyer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_appeal_within_its_window_brings_a_second_decision_which_is_final() {
    let story = Story::begin(2).await;
    let Story { app, lab, provider, offer } = &story;
    let (order, _) = lab.take_delivery(offer).await;
    lab.answer(&order, "rejection").await.unwrap();
    lab.open_dispute(&order).await.unwrap();
    refused(provider.answer(&order, "dispute/appeal").await, Kind::WrongState, None);
    for fen in [None, Some(0), Some(-1), Some(PRICE), Some(i64::MAX)] {
        let error =
            refused(app.operator.decide_dispute(&order, "decision", "split", fen).await, Kind::Invalid, Some("refund"));
        assert!(error.remedy.unwrap().contains("less than CNY 500.00"), "{fen:?}");
    }
    let aimless = app.operator.decide_dispute(&order, "decision", "buyer", Some(1)).await;
    refused(aimless, Kind::Invalid, Some("refund"));
    app.operator.decide_dispute(&order, "decision", "buyer", None).await.unwrap();
    refused(app.operator.decide_dispute(&order, "appeal/decision", "buyer", None).await, Kind::WrongState, None);
    provider.answer(&order, "dispute/appeal").await.unwrap();
    refused(lab.answer(&order, "dispute/appeal").await, Kind::WrongState, None);
    let done = app.operator.decide_dispute(&order, "appeal/decision", "split", Some(20_000)).await.unwrap();
    assert_eq!(done["state"], "certificated");
    assert_eq!(story.money().await, (PRICE + 20_000, 29_100));

    let (second, _) = lab.take_delivery(offer).await;
    lab.open_dispute(&second).await.unwrap();
    app.operator.decide_dispute(&second, "decision", "provider", None).await.unwrap();
    app.clock.advance(DAY * 7);
    let late = refused(lab.answer(&second, "dispute/appeal").await, Kind::WrongState, None);
    assert!(late.detail.contains("the time to appeal ended"));
    story.days_pass(0).await;
    assert_eq!(story.money().await, (20_000, 29_100 + 48_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_outside_its_window_is_refused() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let unpaid = lab.order(offer).await.unwrap();
    refused(lab.open_dispute(&unpaid).await, Kind::WrongState, None);
    let (order, _) = lab.take_delivery(offer).await;
    app.clock.advance(DAY * 14);
    let late = refused(lab.open_dispute(&order).await, Kind::WrongState, None);
    assert!(late.detail.contains("that ended at") && late.remedy.is_some());
    story.days_pass(0).await;
    refused(provider.open_dispute(&order).await, Kind::WrongState, None);
}
