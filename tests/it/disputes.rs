//! Disputes: the exchange decides what becomes of the money, once, and nothing is paid before that.

use std::time::Duration;

use corpex::delivery::trades;
use corpex::error::{Kind, Result};
use corpex::identity::PlatformRole;
use corpex::market::OrderState;
use corpex::types::{DAY, OrderId};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, at_once, refused, terms};

const PRICE: i64 = 50_000;

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

    /// Poems for a thousand fen, of which a co-builder has four tenths.
    async fn with_a_co_builder(deposit_fen: i64) -> (Self, Actor) {
        let app = TestApp::start().await;
        let (provider, builder) = (app.provider().await, app.organisation("tone-lab").await);
        let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{}\n")]).await;
        app.compliance.assess(&published).await;
        let mut document = terms(1000);
        document["revenue_shares"] = json!([
            { "organisation": "poetry-house", "basis_points": 6000 },
            { "organisation": "tone-lab", "basis_points": 4000 },
        ]);
        let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", deposit_fen).await;
        (Self { app, provider, lab, offer }, builder)
    }

    /// The events of disputes that somebody got, without the prefix.
    async fn told(&self, who: &Actor) -> Vec<String> {
        self.app.told().await;
        let events = who.get(format!("/v1/events?organisation={}&limit=1000", who.handle)).await.unwrap();
        let types = events["items"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap());
        types.filter_map(|kind| kind.strip_prefix("dispute.")).map(str::to_string).collect()
    }

    async fn state(&self, order: &str) -> String {
        let shown = self.lab.get(format!("/v1/orders/{order}")).await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }

    async fn days_pass(&self, days: u32) {
        self.app.clock.advance(DAY * days);
        trades::pass_deadlines(self.app.app()).await.unwrap();
    }

    /// Another operator decides what was appealed against.
    async fn on_appeal(&self, order: &str, outcome: &str, fen: Option<i64>) -> Value {
        let second = self.app.staff("second@exchange.test", PlatformRole::Operator).await;
        second.decide_dispute(order, "appeal/decision", outcome, fen).await.unwrap()
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
    let foreign = json!({ "amount_minor": 1, "currency": "USD" });
    let foreign = json!({ "outcome": "split", "refund": foreign, "reason": "so we found" });
    let foreign = app.operator.effect(format!("/v1/orders/{order}/dispute/decision"), &foreign).await;
    assert_eq!(refused(foreign, Kind::Invalid, Some("refund")).remedy.unwrap(), "refund CNY");
    let aimless = app.operator.decide_dispute(&order, "decision", "buyer", Some(1)).await;
    refused(aimless, Kind::Invalid, Some("refund"));
    app.operator.decide_dispute(&order, "decision", "buyer", None).await.unwrap();
    refused(app.operator.decide_dispute(&order, "appeal/decision", "buyer", None).await, Kind::WrongState, None);
    provider.answer(&order, "dispute/appeal").await.unwrap();
    refused(lab.answer(&order, "dispute/appeal").await, Kind::WrongState, None);
    let own = refused(
        app.operator.decide_dispute(&order, "appeal/decision", "split", Some(20_000)).await,
        Kind::Forbidden,
        None,
    );
    assert!(own.detail.contains("you decided this dispute"), "{own}");
    let done = story.on_appeal(&order, "split", Some(20_000)).await;
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

/// The appeal is in time by one clock, and the end of the window has come by another, which is an hour ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_appeal_and_the_end_of_its_window_at_once_one_wins() {
    let story = Story::begin(4).await;
    let Story { app, lab, provider, offer } = &story;
    let mut orders = Vec::new();
    for _ in 0..4 {
        let (order, _) = lab.take_delivery(offer).await;
        lab.open_dispute(&order).await.unwrap();
        app.operator.decide_dispute(&order, "decision", "provider", None).await.unwrap();
        orders.push(order);
    }
    app.clock.advance(DAY * 7 - Duration::from_secs(1800));
    let ahead = app.clock.now().plus(Duration::from_secs(3600));
    let wanted = orders.iter().flat_map(|order| [(order, true), (order, false)]).map(|(order, appeals)| {
        let (lab, app, order) = (lab.clone(), app.app().clone(), order.clone());
        async move {
            if appeals {
                return lab.answer(&order, "dispute/appeal").await.is_ok();
            }
            let (keys, id) = (app.keys.clone(), order.parse::<OrderId>().unwrap());
            let carried_out = app.db.write(move |c| trades::pass_deadline(c, &keys, id, ahead)).await.unwrap();
            carried_out.state == OrderState::Certificated
        }
    });
    let won = at_once(wanted.collect::<Vec<_>>()).await;
    let mut settled = 0;
    for (order, won) in orders.iter().zip(won.chunks(2)) {
        assert_ne!(won[0], won[1], "{order} was appealed: {}, and carried out: {}", won[0], won[1]);
        assert_eq!(story.state(order).await, if won[0] { "disputed" } else { "certificated" });
        settled += i64::from(won[1]);
    }
    assert_eq!(provider.balance("payable").await, settled * 48_500);
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
    assert_eq!(story.state(&order).await, "certificated");
    story.days_pass(30).await;
    let late = refused(provider.open_dispute(&order).await, Kind::WrongState, None);
    assert!(late.detail.contains("the time to dispute that ended at") && late.remedy.is_some());
}

impl Story {
    /// A trade that was accepted and settled; gives the order and the licence.
    async fn settled(&self) -> (String, String) {
        let (order, licence) = self.lab.take_delivery(&self.offer).await;
        self.lab.answer(&order, "acceptance").await.unwrap();
        (order, licence)
    }

    /// The operator takes up what somebody asked to be paid out.
    async fn take_up(&self, withdrawal: &Value) -> Result<Value> {
        let path = format!("/v1/withdrawals/{}/processing", withdrawal["id"].as_str().unwrap());
        self.app.operator.effect(path, &Value::Null).await
    }

    /// Where the provider's payouts are, oldest first.
    async fn payouts(&self) -> Vec<String> {
        let listed = self.provider.get("/v1/withdrawals").await.unwrap();
        let states = listed["items"].as_array().unwrap().iter().map(|payout| payout["state"].as_str().unwrap());
        states.map(str::to_string).collect()
    }

    /// What of the provider's is frozen, and what is held for payout.
    async fn kept(&self) -> (i64, i64) {
        (self.provider.balance("frozen").await, self.provider.balance("held").await)
    }

    async fn dispute(&self, order: &str) -> Value {
        self.lab.get(format!("/v1/orders/{order}/dispute")).await.unwrap()
    }

    /// An operator decides, and nobody appeals.
    async fn decide(&self, order: &str, outcome: &str, fen: Option<i64>) -> Value {
        self.app.operator.decide_dispute(order, "decision", outcome, fen).await.unwrap();
        self.days_pass(7).await;
        self.dispute(order).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_after_the_settlement_freezes_what_is_unpaid_and_gives_it_back_if_it_is_for_the_buyer() {
    let story = Story::begin(2).await;
    let Story { lab, provider, .. } = &story;
    let (order, licence) = story.settled().await;
    let (_other, _) = story.settled().await;
    lab.open_dispute(&order).await.unwrap();
    assert_eq!((provider.balance("payable").await, provider.balance("frozen").await), (48_500, 48_500));
    let report = story.app.operator.get("/v1/reconciliation").await.unwrap();
    assert_eq!(report["differences"], json!([]), "what is frozen is what the dispute froze");
    refused(provider.withdraw_from("payable", 48_501).await, Kind::InsufficientFunds, Some("amount.amount_minor"));
    provider.withdraw_from("payable", 48_500).await.unwrap();
    lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
    assert_eq!(story.state(&order).await, "certificated", "the trade stands until the dispute is final");
    refused(provider.open_dispute(&order).await, Kind::AlreadyExists, None);

    let shown = story.decide(&order, "buyer", None).await;
    assert_eq!((&shown["recovered"]["amount_minor"], &shown["claims"]), (&json!(PRICE), &json!([])));
    assert_eq!((story.state(&order).await.as_str(), story.money().await), ("refunded", (PRICE, 0)));
    assert_eq!(provider.balance("frozen").await, 0);
    assert_eq!(lab.get(format!("/v1/entitlements/{licence}")).await.unwrap()["state"], "revoked");
    let refund = lab.get(format!("/v1/orders/{order}")).await.unwrap()["refund"].clone();
    assert_eq!(refund["amount_minor"], json!(PRICE), "the exchange gives its fee back, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_out_before_the_dispute_is_a_claim_on_record_and_nothing_falls_below_zero() {
    let story = Story::begin(1).await;
    let Story { lab, provider, .. } = &story;
    let (order, _) = story.settled().await;
    let payout = provider.withdraw_from("payable", 40_000).await.unwrap();
    story.take_up(&payout).await.unwrap();
    lab.open_dispute(&order).await.unwrap();
    assert_eq!((provider.balance("payable").await, provider.balance("frozen").await), (0, 8500));
    let shown = story.decide(&order, "buyer", None).await;
    assert_eq!(shown["recovered"]["amount_minor"], json!(8500 + 1500));
    let owed = json!({ "organisation": "poetry-house", "amount": { "amount_minor": 40_000, "currency": "CNY" } });
    assert_eq!(shown["claims"], json!([owed]));
    assert_eq!((story.state(&order).await.as_str(), story.money().await), ("refunded", (10_000, 0)));
    assert_eq!(provider.balance("held").await, 40_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_stops_the_newest_payouts_that_no_operator_has_taken_up_and_no_more_than_it_takes() {
    let story = Story::begin(2).await;
    let Story { app, lab, provider, .. } = &story;
    let (order, _) = story.settled().await;
    let (_other, _) = story.settled().await;
    let mut payouts = Vec::new();
    for fen in [30_000, 10_000, 35_000, 15_000] {
        payouts.push(provider.withdraw_from("payable", fen).await.unwrap());
    }
    story.take_up(&payouts[0]).await.unwrap();
    assert_eq!(provider.balance("payable").await, 7000);
    lab.open_dispute(&order).await.unwrap();
    assert_eq!(story.payouts().await, ["processing", "requested", "stopped", "stopped"]);
    assert_eq!((provider.balance("payable").await, story.kept().await), (8500, (48_500, 40_000)));
    let report = app.operator.get("/v1/reconciliation").await.unwrap();
    assert_eq!(report["differences"], json!([]), "what is held is what waits for the bank");
    refused(story.take_up(&payouts[3]).await, Kind::WrongState, None);
    let cancellation = format!("/v1/withdrawals/{}/cancellation", payouts[3]["id"].as_str().unwrap());
    refused(provider.effect(cancellation, &Value::Null).await, Kind::WrongState, None);
    app.told().await;
    let told = provider.get("/v1/events?organisation=poetry-house&types=withdrawal.stopped").await.unwrap();
    let told: Vec<_> = told["items"].as_array().unwrap().iter().map(|event| &event["data"]["subject"]).collect();
    assert_eq!(told, [&payouts[3]["id"], &payouts[2]["id"]]);

    let shown = story.decide(&order, "buyer", None).await;
    assert_eq!((&shown["recovered"]["amount_minor"], &shown["claims"]), (&json!(PRICE), &json!([])));
    assert_eq!((story.money().await, story.kept().await), ((PRICE, 8500), (0, 40_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_stops_what_waits_for_a_second_operator_and_nothing_of_a_wallet() {
    let app = TestApp::start_with(|config| config.approval_above = PRICE).await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", PRICE).await;
    let lab = app.lab("verse-lab", PRICE).await;
    let story = Story { app, provider, lab, offer };
    let second = story.app.staff("second@exchange.test", PlatformRole::Operator).await;
    second.deposit("poetry-house", 9000, "bank 1").await;
    let (order, _) = story.settled().await;
    let large = story.provider.withdraw_from("payable", 48_500).await.unwrap();
    story.provider.withdraw(9000).await.unwrap();
    assert_eq!(story.take_up(&large).await.unwrap()["state"], "awaiting_approval");
    story.lab.open_dispute(&order).await.unwrap();
    assert_eq!(story.payouts().await, ["stopped", "requested"]);
    assert_eq!(story.kept().await, (48_500, 9000));
    let approval = format!("/v1/withdrawals/{}/approval", large["id"].as_str().unwrap());
    refused(second.effect(approval, &Value::Null).await, Kind::WrongState, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_an_operator_takes_up_as_a_dispute_is_opened_is_either_paid_or_frozen() {
    let story = Story::begin(4).await;
    for round in 1..=4 {
        let (order, _) = story.settled().await;
        let (frozen, held) = story.kept().await;
        let payout = story.provider.withdraw_from("payable", 48_500).await.unwrap();
        let path = format!("/v1/withdrawals/{}/processing", payout["id"].as_str().unwrap());
        let racers = [true, false].map(|disputes| {
            let (lab, operator) = (story.lab.clone(), story.app.operator.clone());
            let (order, path) = (order.clone(), path.clone());
            async move {
                match disputes {
                    true => lab.open_dispute(&order).await.is_ok(),
                    false => operator.effect(path, &Value::Null).await.is_ok(),
                }
            }
        });
        let won = at_once(racers).await;
        assert!(won[0], "round {round}: the dispute is opened either way");
        let expected = if won[1] { (frozen, held + 48_500) } else { (frozen + 48_500, held) };
        assert_eq!(story.kept().await, expected, "round {round}: taken up: {}", won[1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_order_is_split_or_left_as_it_is_after_one_appeal() {
    let story = Story::begin(2).await;
    let Story { app, lab, provider, .. } = &story;
    let (order, licence) = story.settled().await;
    provider.open_dispute(&order).await.unwrap();
    app.operator.decide_dispute(&order, "decision", "buyer", None).await.unwrap();
    provider.answer(&order, "dispute/appeal").await.unwrap();
    let done = story.on_appeal(&order, "split", Some(10_000)).await;
    assert_eq!((&done["state"], &done["refund"]["amount_minor"]), (&json!("certificated"), &json!(10_000)));
    assert_eq!(story.money().await, (PRICE + 10_000, 48_500 - 9700));
    lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
    refused(lab.open_dispute(&order).await, Kind::AlreadyExists, None);

    let (second, _) = story.settled().await;
    lab.open_dispute(&second).await.unwrap();
    let shown = story.decide(&second, "provider", None).await;
    assert_eq!((&shown["recovered"]["amount_minor"], story.state(&second).await.as_str()), (&json!(0), "certificated"));
    assert_eq!((story.money().await, provider.balance("frozen").await), ((10_000, 2 * 48_500 - 9700), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn co_builders_and_the_voucher_have_their_parts_in_what_goes_back() {
    let (story, builder) = Story::with_a_co_builder(700).await;
    let Story { app, provider, lab, offer } = &story;
    let programme = app.lab("city-bureau", 1000).await.announce(300, 3000, 300).await;
    let order = lab.order(offer).await.unwrap();
    let paid = lab.pay_with(&programme, &order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    lab.answer(&order, "acceptance").await.unwrap();
    assert_eq!((provider.balance("payable").await, builder.balance("payable").await), (582, 388));
    story.take_up(&builder.withdraw_from("payable", 388).await.unwrap()).await.unwrap();

    lab.open_dispute(&order).await.unwrap();
    assert_eq!((provider.balance("frozen").await, builder.balance("frozen").await), (582, 0));
    let shown = story.decide(&order, "split", Some(500)).await;
    // Of 500 fen the fee has 15, the provider 291 and its co-builder 194, who was paid out.
    assert_eq!(
        (&shown["recovered"]["amount_minor"], &shown["claims"][0]["organisation"]),
        (&json!(306), &json!("tone-lab"))
    );
    assert_eq!(shown["claims"][0]["amount"]["amount_minor"], json!(194));
    assert_eq!(story.money().await, (306 - 92, 291), "thirty per cent of what came back is the voucher's");
    let shown = lab.get(format!("/v1/voucher-programmes/{programme}")).await.unwrap();
    assert_eq!(shown["pool"]["amount_minor"], json!(92));
    assert!(story.told(&builder).await.is_empty(), "it was paid out, and nothing of it frozen");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_whose_money_is_frozen_is_told_of_it_and_when_it_no_longer_is() {
    let (story, builder) = Story::with_a_co_builder(1000).await;
    let (order, _) = story.settled().await;
    story.lab.open_dispute(&order).await.unwrap();
    assert_eq!((story.provider.balance("frozen").await, builder.balance("frozen").await), (582, 388));
    assert_eq!(story.told(&builder).await, ["frozen"]);

    let shown = story.decide(&order, "provider", None).await;
    assert_eq!((builder.balance("frozen").await, builder.balance("payable").await), (0, 388));
    assert_eq!(story.told(&builder).await, ["frozen", "released"], "and of nothing that is between the sides");
    assert_eq!(story.told(&story.provider).await, ["open", "frozen", "decided", "final", "released"]);
    assert_eq!(story.told(&story.lab).await, ["open", "decided", "final"]);
    let postings = builder.get("/v1/organisations/tone-lab/postings").await.unwrap().to_string();
    assert!(postings.contains(shown["id"].as_str().unwrap()), "where it finds how much it was: {postings}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_for_the_buyer_and_trades_for_the_provider_opens_a_dispute_for_the_provider() {
    let story = Story::begin(1).await;
    let Story { lab, provider, offer, .. } = &story;
    let (order, _) = lab.take_delivery(offer).await;
    provider.accept(&lab.invite("verse-lab", "reader").await.unwrap()).await.unwrap();
    assert_eq!(provider.open_dispute(&order).await.unwrap()["opened_by"], "poetry-house");
}
