//! The life of an order beyond the straight way: cancelled, expired, rejected, cured, refunded, and left alone.

use std::time::Duration;

use corpex::delivery::trades;
use corpex::error::Kind;
use corpex::types::{DAY, Instant, OrderId};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, at_once, last_step, refused};

const PRICE: i64 = 50_000;
const HOUR: i64 = 3_600_000_000;

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
}

impl Story {
    /// A corpus on the board, and a lab with money for so many licences to it.
    async fn begin(licences: i64) -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", PRICE).await;
        let lab = app.lab("verse-lab", licences * PRICE).await;
        Self { app, provider, lab, offer }
    }

    async fn order(&self, id: &str) -> Value {
        self.lab.get(format!("/v1/orders/{id}")).await.unwrap()
    }

    async fn licence(&self, id: &str) -> Value {
        self.lab.get(format!("/v1/entitlements/{id}")).await.unwrap()
    }

    /// The lab claims that the version is not what it seems, and it is held while that is examined.
    async fn hold(&self) -> String {
        let case = self.lab.claim(&self.offer.dataset).await;
        for step in ["triage", "interim-block", "notification"] {
            self.app.compliance.decide(&case, step).await.unwrap();
        }
        case
    }

    /// So many days go by, and the exchange looks for deadlines.
    async fn days_pass(&self, days: u32) {
        self.app.clock.advance(DAY * days);
        trades::pass_deadlines(self.app.app()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_takes_an_order_back_until_it_has_paid() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let (unsigned, unpaid) = (lab.place(offer).await.unwrap(), lab.order(offer).await.unwrap());
    refused(provider.answer(&unpaid, "cancellation").await, Kind::Forbidden, None);
    let silent = lab.effect(format!("/v1/orders/{unpaid}/cancellation"), &json!({ "reason": " " })).await;
    refused(silent, Kind::Invalid, Some("reason"));
    for order in [unsigned["id"].as_str().unwrap(), &unpaid] {
        assert_eq!(lab.answer(order, "cancellation").await.unwrap()["state"], "cancelled");
        refused(lab.answer(order, "cancellation").await, Kind::WrongState, None);
        refused(lab.pay(order).await, Kind::WrongState, None);
    }
    refused(lab.sign_contract(&unsigned).await, Kind::WrongState, None);
    assert_eq!(last_step(&story.order(&unpaid).await).2, "half of the poems are missing");
    let (paid, _) = lab.take_delivery(offer).await;
    let error = refused(lab.answer(&paid, "cancellation").await, Kind::WrongState, None);
    assert!(error.remedy.unwrap().contains("reject"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_not_paid_in_time_expires() {
    let story = Story::begin(1).await;
    let Story { app, lab, offer, .. } = &story;
    let (unsigned, unpaid) = (lab.place(offer).await.unwrap(), lab.order(offer).await.unwrap());
    story.days_pass(6).await;
    assert_eq!(story.order(&unpaid).await["state"], "awaiting_payment");
    app.clock.advance(DAY);
    let late = refused(lab.pay(&unpaid).await, Kind::WrongState, None);
    assert!(late.detail.contains("that ended at") && late.remedy.unwrap().contains("another order"));
    refused(lab.sign_contract(&unsigned).await, Kind::WrongState, None);
    story.days_pass(0).await;
    for id in [unsigned["id"].as_str().unwrap(), &unpaid] {
        let shown = story.order(id).await;
        assert_eq!(last_step(&shown), ("expired", "exchange", "not paid in time"));
        assert_eq!(shown["due_at"], Value::Null);
    }
    assert_eq!(lab.balance("wallet").await, PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_and_never_downloaded_is_accepted_at_last_and_announced_once_before() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    refused(lab.answer(&order, "acceptance").await, Kind::WrongState, None);
    story.days_pass(82).await;
    assert_eq!(story.order(&order).await["history"].as_array().unwrap().len(), 3, "it is not announced yet");
    for _ in 0..2 {
        story.days_pass(1).await;
        assert_eq!(last_step(&story.order(&order).await).0, "acceptance_due");
    }
    app.told().await;
    for side in [lab, provider] {
        let path = format!("/v1/events?organisation={}&types=order.acceptance_due", side.handle);
        assert_eq!(side.get(path).await.unwrap()["items"].as_array().unwrap().len(), 1, "each side is told once");
    }
    story.days_pass(6).await;
    let shown = story.order(&order).await;
    assert_eq!(shown["state"], "certificated");
    let reasons: Vec<_> = shown["history"].as_array().unwrap().iter().map(|step| step["reason"].clone()).collect();
    assert!(reasons.contains(&json!("not downloaded in time")), "{reasons:?}");
    assert_eq!((lab.balance("wallet").await, provider.balance("payable").await), (0, PRICE - 1500));
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_never_completed_is_accepted_when_the_time_that_the_contract_gives_it_ends() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let order = lab.order(offer).await.unwrap();
    let contract =
        lab.client.get(format!("/v1/orders/{order}/contract/rendering?lang=en&format=text")).text().await.unwrap();
    for term in ["complete the download, from payment: 90", "acceptance, from complete delivery: 14"] {
        assert!(contract.contains(term), "{contract}");
    }
    let paid = lab.pay(&order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    story.days_pass(84).await;
    let shown = story.order(&order).await;
    assert_eq!((&shown["state"], last_step(&shown).0), (&json!("delivering"), "acceptance_due"));
    story.days_pass(6).await;
    assert_eq!(story.order(&order).await["history"][5]["reason"], "neither downloaded completely nor rejected in time");
    assert_eq!(provider.balance("payable").await, PRICE - 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_to_download_does_not_end_while_the_exchange_is_in_the_way() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    let case = story.hold().await;
    story.days_pass(91).await;
    assert_eq!(story.order(&order).await["state"], "escrowed", "nobody could have downloaded it");
    provider.counter(&case).await.unwrap();
    app.compliance.decide(&case, "reinstatement").await.unwrap();
    story.days_pass(89).await;
    assert_eq!(story.order(&order).await["state"], "escrowed", "the time began anew");
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    assert_eq!(story.order(&order).await["state"], "delivering");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_for_silence_while_the_exchange_is_in_the_way() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let (order, licence) = lab.take_delivery(offer).await;
    let case = story.hold().await;
    story.days_pass(15).await;
    assert_eq!(story.order(&order).await["state"], "delivered", "the claim is examined");
    provider.counter(&case).await.unwrap();
    story.days_pass(13).await;
    app.compliance.decide(&case, "reinstatement").await.unwrap();
    story.days_pass(13).await;
    assert_eq!(story.order(&order).await["state"], "delivered", "the time began anew with the reinstatement");
    let because = json!({ "reason": "the invoice is disputed" });
    for step in ["suspension", "reinstatement"] {
        app.operator.post(format!("/v1/entitlements/{licence}/{step}"), &because).await.unwrap();
    }
    story.days_pass(13).await;
    assert_eq!(story.order(&order).await["state"], "delivered", "and with that of the licence alone");
    story.days_pass(1).await;
    assert_eq!(story.order(&order).await["state"], "certificated");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_kept_from_the_download_beyond_the_deadline_can_still_begin_it() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    let case = story.hold().await;
    provider.counter(&case).await.unwrap();
    app.clock.advance(DAY * 91);
    app.compliance.decide(&case, "reinstatement").await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    assert_eq!(story.order(&order).await["state"], "delivering", "nobody looked for deadlines meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_downloaded_after_the_deadline_gives_no_more_time() {
    let story = Story::begin(2).await;
    let Story { app, lab, offer, .. } = &story;
    let mut orders = Vec::new();
    for _ in 0..2 {
        let order = lab.order(offer).await.unwrap();
        let paid = lab.pay(&order).await.unwrap();
        orders.push((order, paid["entitlement"]["id"].as_str().unwrap().to_string()));
    }
    lab.links(&orders[1].1, &["data/a.jsonl"]).await.unwrap();
    app.clock.advance(DAY * 90);
    for ((order, licence), state) in orders.iter().zip(["escrowed", "delivering"]) {
        lab.links(licence, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
        assert_eq!(story.order(order).await["state"], state);
        refused(lab.answer(order, "rejection").await, Kind::WrongState, None);
    }
    story.days_pass(0).await;
    for (order, _) in &orders {
        assert_eq!(story.order(order).await["state"], "certificated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_gives_back_what_is_in_escrow_and_leaves_what_is_settled() {
    let story = Story::begin(3).await;
    let Story { app, lab, provider, offer } = &story;
    let unpaid = lab.order(offer).await.unwrap();
    let untouched = lab.order(offer).await.unwrap();
    lab.pay(&untouched).await.unwrap();
    let (delivered, _) = lab.take_delivery(offer).await;
    let (settled, _) = lab.take_delivery(offer).await;
    lab.answer(&settled, "acceptance").await.unwrap();
    let case = story.hold().await;
    provider.counter(&case).await.unwrap();
    for step in ["upholding", "recall"] {
        app.compliance.decide(&case, step).await.unwrap();
    }
    for order in [&untouched, &delivered] {
        let shown = story.order(order).await;
        assert_eq!(last_step(&shown), ("refunded", case.as_str(), "the version was recalled"));
    }
    assert_eq!(story.order(&settled).await["state"], "certificated");
    assert_eq!(story.order(&unpaid).await["state"], "awaiting_payment");
    refused(lab.pay(&unpaid).await, Kind::WrongState, None);
    assert_eq!((lab.balance("wallet").await, provider.balance("payable").await), (2 * PRICE, PRICE - 1500));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_buyer_does_not_answer_in_time_is_accepted() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();
    lab.links(entitlement, &["data/a.jsonl"]).await.unwrap();
    story.days_pass(15).await;
    assert_eq!(story.order(&order).await["state"], "delivering", "its window begins when all is delivered");
    lab.links(entitlement, &["data/b.jsonl"]).await.unwrap();
    story.days_pass(13).await;
    assert_eq!(story.order(&order).await["state"], "delivered");
    app.clock.advance(DAY);
    for answer in ["acceptance", "rejection"] {
        let late = refused(lab.answer(&order, answer).await, Kind::WrongState, None);
        assert!(late.remedy.unwrap().contains("the exchange accepts it"));
    }
    story.days_pass(0).await;
    let shown = story.order(&order).await;
    assert_eq!(last_step(&shown).0, "certificated");
    assert_eq!(shown["history"][5]["reason"], "neither accepted nor rejected in time");
    assert_eq!(provider.balance("payable").await, PRICE - PRICE * 3 / 100);
    let evidence = provider.get(format!("/v1/orders/{order}/delivery")).await.unwrap();
    assert_eq!((&evidence["shards_delivered"], &evidence["shards"]), (&json!(2), &json!(2)));
    assert!(evidence["last_receipt"].as_str().unwrap().starts_with("receipt_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_refund_gives_the_money_back_and_ends_the_licence() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let (order, licence) = lab.take_delivery(offer).await;
    refused(provider.offer_refund(&order, PRICE).await, Kind::WrongState, None);
    refused(provider.answer(&order, "rejection").await, Kind::Forbidden, None);
    assert_eq!(lab.answer(&order, "rejection").await.unwrap()["state"], "rejected");
    refused(lab.answer(&order, "acceptance").await, Kind::WrongState, None);
    assert_eq!(story.licence(&licence).await["state"], "active", "access is not taken while they talk");
    let (key, path) = ("the-refund", format!("/v1/orders/{order}/cure"));
    let amount = json!({ "amount_minor": PRICE, "currency": "CNY" });
    let whole = json!({ "remedy": { "kind": "refund", "amount": amount }, "note": "we are sorry" });
    let refunded: Value = provider.keyed(key, &path, &whole).send().await.unwrap();
    assert_eq!((&refunded["state"], &refunded["refund"]), (&json!("refunded"), &amount));
    assert_eq!(provider.keyed(key, &path, &whole).send::<Value>().await.unwrap(), refunded);
    assert_eq!((lab.balance("wallet").await, provider.balance("payable").await), (PRICE, 0));
    let ended = story.licence(&licence).await;
    assert_eq!((last_step(&ended).0, last_step(&ended).2), ("revoked", "the order was refunded"));
    refused(lab.links(&licence, &["data/a.jsonl"]).await, Kind::NotEntitled, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_refunded_when_the_buyer_agrees_and_the_rest_is_settled() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let (order, licence) = lab.take_delivery(offer).await;
    lab.answer(&order, "rejection").await.unwrap();
    for fen in [0, -1, PRICE + 1, i64::MAX, i64::MIN] {
        let error =
            refused(provider.offer_refund(&order, fen).await, Kind::Invalid, Some("remedy.amount.amount_minor"));
        assert!(error.remedy.unwrap().contains("CNY 500.00"), "{fen}");
    }
    let dollars =
        json!({ "remedy": { "kind": "refund", "amount": { "amount_minor": 5, "currency": "USD" } }, "note": "x" });
    let outcome = provider.effect(format!("/v1/orders/{order}/cure"), &dollars).await;
    refused(outcome, Kind::Invalid, Some("remedy.amount.currency"));

    provider.offer_refund(&order, 10_000).await.unwrap();
    refused(provider.redeliver(&order).await, Kind::WrongState, None);
    refused(provider.answer(&order, "cure/acceptance").await, Kind::Forbidden, None);
    assert_eq!(lab.answer(&order, "cure/rejection").await.unwrap()["refund"], Value::Null);
    provider.offer_refund(&order, 20_000).await.unwrap();
    let settled = lab.answer(&order, "cure/acceptance").await.unwrap();
    assert_eq!((&settled["state"], &settled["refund"]["amount_minor"]), (&json!("certificated"), &json!(20_000)));
    assert_eq!(lab.balance("wallet").await, 20_000);
    assert_eq!(provider.balance("payable").await, 29_100, "the fee is 3 % of what was not refunded");
    assert_eq!(story.licence(&licence).await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_gives_a_voucher_back_its_part() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let bureau = app.lab("city-bureau", 30_000).await;
    let programme = bureau.announce(30_000, 3000, 30_000).await;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay_with(&programme, &order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    assert_eq!(lab.balance("wallet").await, 15_000);
    lab.answer(&order, "rejection").await.unwrap();
    provider.offer_refund(&order, PRICE).await.unwrap();
    assert_eq!(lab.balance("wallet").await, PRICE);
    let shown: Value = app.anonymous().get(format!("/v1/voucher-programmes/{programme}")).send().await.unwrap();
    assert_eq!(shown["pool"]["amount_minor"], 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_begins_another_window() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let (order, _) = lab.take_delivery(offer).await;
    lab.answer(&order, "rejection").await.unwrap();
    refused(provider.redeliver(&order).await, Kind::WrongState, None);
    provider.offer_redelivery(&order).await.unwrap();
    refused(lab.answer(&order, "cure/acceptance").await, Kind::WrongState, None);
    story.days_pass(13).await;
    assert_eq!(provider.redeliver(&order).await.unwrap()["state"], "delivering");
    story.days_pass(13).await;
    assert_eq!(lab.answer(&order, "acceptance").await.unwrap()["state"], "certificated");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_agrees_to_what_the_other_side_offered_last() {
    let story = Story::begin(3).await;
    let Story { lab, provider, offer, .. } = &story;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let (order, _) = lab.take_delivery(offer).await;
        lab.answer(&order, "rejection").await.unwrap();
        orders.push(order);
    }
    provider.offer_redelivery(&orders[1]).await.unwrap();
    provider.offer_refund(&orders[2], 20_000).await.unwrap();
    story.app.clock.advance(DAY * 14);
    let late = refused(provider.offer_refund(&orders[0], 1).await, Kind::WrongState, None);
    assert!(late.remedy.unwrap().contains("refunds the buyer"));
    refused(provider.redeliver(&orders[1]).await, Kind::WrongState, None);
    refused(lab.answer(&orders[2], "cure/rejection").await, Kind::WrongState, None);
    story.days_pass(0).await;
    for (order, state) in orders.iter().zip(["refunded", "refunded", "certificated"]) {
        assert_eq!(story.order(order).await["state"], state);
    }
    assert_eq!((lab.balance("wallet").await, provider.balance("payable").await), (2 * PRICE + 20_000, 29_100));
}

/// Passes the deadline of an order as an instance would whose clock is `hours` ahead.
async fn sweep_at(app: &corpex::app::App, order: OrderId, hours: i64) -> bool {
    let now = Instant::from_unix_micros(app.clock.now().unix_micros() + hours * HOUR);
    let keys = app.keys.clone();
    let before = app.db.read(move |c| corpex::market::order(c, order)).await.unwrap().state;
    let after = app.db.write(move |c| trades::pass_deadline(c, &keys, order, now)).await.unwrap().state;
    before != after
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clocks_an_hour_apart_end_an_order_once() {
    let story = Story::begin(1).await;
    let Story { app, lab, offer, .. } = &story;
    let (order, _) = lab.take_delivery(offer).await;
    lab.answer(&order, "rejection").await.unwrap();
    app.clock.advance(DAY * 14 - Duration::from_secs(1800));
    let id: OrderId = order.parse().unwrap();
    assert!(!sweep_at(app.app(), id, -1).await, "too early on the slow clock");
    assert!(sweep_at(app.app(), id, 1).await, "late enough on the fast one");
    for hours in [-1, 0, 1] {
        assert!(!sweep_at(app.app(), id, hours).await);
    }
    assert_eq!(lab.balance("wallet").await, PRICE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_held_leaves_escrow_once_however_many_want_it() {
    let story = Story::begin(1).await;
    let Story { app, lab, provider, offer } = &story;
    let (order, licence) = lab.take_delivery(offer).await;
    lab.answer(&order, "rejection").await.unwrap();
    provider.offer_refund(&order, 20_000).await.unwrap();
    let id: OrderId = order.parse().unwrap();
    let wanted = (0..64).map(|number| {
        let (lab, order, app) = (lab.clone(), order.clone(), app.app().clone());
        async move {
            match number % 4 {
                0 => lab.answer(&order, "cure/acceptance").await.is_ok(),
                1 => lab.answer(&order, "cure/rejection").await.is_ok(),
                _ => sweep_at(&app, id, number * 24 + 400).await,
            }
        }
    });
    at_once(wanted).await;
    story.days_pass(30).await;
    let state = story.order(&order).await["state"].as_str().unwrap().to_string();
    let (wallet, payable) = (lab.balance("wallet").await, provider.balance("payable").await);
    let licence = story.licence(&licence).await["state"].as_str().unwrap().to_string();
    match state.as_str() {
        "certificated" => assert_eq!((wallet, payable, licence.as_str()), (20_000, 29_100, "active")),
        "refunded" => assert_eq!((wallet, payable, licence.as_str()), (PRICE, 0, "revoked")),
        other => panic!("the order is {other}"),
    }
}
