//! Private offers: one buyer, a price of its own, for a while.

use std::time::Duration;

use corpex::error::Kind;
use corpex::market::offers;
use corpex::provenance::StatementKind;
use corpex::provenance::passport::{self, Trust};
use corpex::types::{DAY, Digest};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, contract, refused};

const PRICE: i64 = 50_000;

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
}

impl Story {
    async fn begin() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", PRICE).await;
        let lab = app.lab("verse-lab", PRICE).await;
        Self { app, provider, lab, offer }
    }

    /// The document of an offer to the lab, with one member of it changed.
    async fn changed(&self, member: &str, value: Value) -> Value {
        let mut document = self.provider.offer_to("verse-lab", &self.offer, 40_000).await;
        document[member] = value;
        document
    }

    async fn state(&self, private: &str) -> String {
        let shown = self.lab.get(format!("/v1/offers/{private}")).await.unwrap();
        shown["state"].as_str().unwrap().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_orders_once_at_the_price_of_an_offer_that_nobody_else_sees() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let other = app.lab("prose-lab", PRICE).await;
    let private = lab.offered_by(provider, offer, 40_000).await;
    for stranger in [&other, &app.organisation("another-house").await] {
        refused(stranger.get(format!("/v1/offers/{private}")).await, Kind::NotFound, None);
        assert_eq!(stranger.get("/v1/offers").await.unwrap()["items"], json!([]));
        refused(stranger.place_at(offer, &private).await, Kind::NotFound, Some("offer_id"));
    }
    for side in [lab, provider] {
        assert_eq!(side.get("/v1/offers").await.unwrap()["items"][0]["id"], private.as_str());
    }

    let order = lab.place_at(offer, &private).await.unwrap();
    assert_eq!(order["price"]["amount_minor"], 40_000);
    assert_eq!(order["fee"]["amount_minor"], 1_200);
    let shown = lab.get(format!("/v1/offers/{private}")).await.unwrap();
    assert_eq!((&shown["state"], &shown["order_id"]), (&json!("accepted"), &order["id"]));
    assert_eq!(contract(&order)["offer_sha256"], shown["sha256"]);
    refused(lab.place_at(offer, &private).await, Kind::WrongState, Some("offer_id"));
    lab.sign_contract(&order).await.unwrap();
    let paid = lab.pay(order["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(lab.balance("wallet").await, PRICE - 40_000);
    app.sequenced().await;
    let passport = format!("/v1/entitlements/{}/passport", paid["entitlement"]["id"].as_str().unwrap());
    let passport = lab.client.get(passport).text().await.unwrap();
    let report = passport::verify(passport.as_bytes(), &Trust::default()).unwrap();
    let checked = |kind| report.statements.iter().find(|checked| checked.kind == kind).unwrap();
    assert_eq!(checked(StatementKind::Offer).signed_by, ["poetry-house", "exchange"]);
    assert!(checked(StatementKind::Contract).refers_to.contains(&StatementKind::Offer));

    // Everybody else buys at the listed price.
    let order = other.place(offer).await.unwrap();
    assert_eq!(order["price"]["amount_minor"], PRICE);
    assert!(contract(&order).get("offer_sha256").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_may_be_of_a_free_licence_and_is_used_up_by_an_order_that_is_cancelled() {
    let story = Story::begin().await;
    let Story { provider, lab, offer, .. } = &story;
    let private = lab.offered_by(provider, offer, 0).await;
    let order = lab.place_at(offer, &private).await.unwrap();
    lab.answer(order["id"].as_str().unwrap(), "cancellation").await.unwrap();
    refused(lab.place_at(offer, &private).await, Kind::WrongState, Some("offer_id"));
    let again = lab.offered_by(provider, offer, 0).await;
    let order = lab.place_at(offer, &again).await.unwrap();
    lab.sign_contract(&order).await.unwrap();
    lab.pay(order["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(lab.balance("wallet").await, PRICE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_at_an_offer_is_bought_once() {
    let story = Story::begin().await;
    let Story { provider, lab, offer, .. } = &story;
    let private = lab.offered_by(provider, offer, 20_000).await;
    let mut wanted = lab.wanted(offer);
    wanted["offer_id"] = json!(private);
    let (quoted, again) = (lab.quoted_for(&wanted).await.unwrap(), lab.quoted_for(&wanted).await.unwrap());
    assert_eq!(story.state(&private).await, "offered", "a quote takes nothing");
    let mut other = quoted.clone();
    other["order"]["offer_id"] = json!(lab.offered_by(provider, offer, 20_000).await);
    refused(lab.effect("/v1/purchases", &other).await, Kind::WrongState, Some("quote"));
    lab.effect("/v1/purchases", &quoted).await.unwrap();
    assert_eq!((lab.balance("wallet").await, story.state(&private).await.as_str()), (PRICE - 20_000, "accepted"));
    refused(lab.effect("/v1/purchases", &again).await, Kind::WrongState, Some("offer_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_can_be_taken_back_until_an_order_is_placed_at_it() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let (first, second) =
        (lab.offered_by(provider, offer, 40_000).await, lab.offered_by(provider, offer, 41_000).await);
    let why = json!({ "reason": "the price has gone up" });
    refused(lab.effect(format!("/v1/offers/{first}/withdrawal"), &why).await, Kind::Forbidden, None);
    provider.effect(format!("/v1/offers/{first}/withdrawal"), &why).await.unwrap();
    let gone = refused(lab.place_at(offer, &first).await, Kind::WrongState, Some("offer_id"));
    assert!(gone.detail.contains("withdrawn") && gone.remedy.is_some());
    lab.place_at(offer, &second).await.unwrap();
    refused(provider.effect(format!("/v1/offers/{second}/withdrawal"), &why).await, Kind::WrongState, None);

    app.told().await;
    let told = lab.get("/v1/events?organisation=verse-lab&types=offer.offered,offer.withdrawn,offer.accepted").await;
    let told = told.unwrap()["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect::<Vec<_>>();
    assert_eq!(told, ["offer.offered", "offer.offered", "offer.withdrawn", "offer.accepted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_open_within_its_window_only() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let later = story.changed("valid_from", json!(app.clock.now().plus(DAY))).await;
    let private = provider.make_offer(&later).await.unwrap()["id"].as_str().unwrap().to_string();
    let early = refused(lab.place_at(offer, &private).await, Kind::WrongState, Some("offer_id"));
    assert!(early.detail.contains("not valid yet"));
    app.clock.advance(DAY * 31);
    let late = refused(lab.place_at(offer, &private).await, Kind::WrongState, Some("offer_id"));
    assert!(late.detail.contains("expired at") && late.remedy.is_some(), "before the sweep has come by");
    assert_eq!(story.state(&private).await, "offered");
    offers::expire_ended(app.app()).await.unwrap();
    offers::expire_ended(app.app()).await.unwrap();
    assert_eq!(story.state(&private).await, "expired");
    refused(lab.place_at(offer, &private).await, Kind::WrongState, Some("offer_id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_cannot_be_kept_is_refused_by_its_member() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let money = |minor: i64, currency: &str| json!({ "amount_minor": minor, "currency": currency });
    let now = app.clock.now();
    let unlisted = offer.listing.replace(|c: char| c.is_ascii_digit(), "0");
    for (member, value, kind, field) in [
        ("price", money(-1, "CNY"), Kind::Invalid, "predicate/price/amount_minor"),
        ("price", money(1 << 53, "CNY"), Kind::BadSignature, "payload"),
        ("price", money(1, "USD"), Kind::Invalid, "price.currency"),
        ("uses", json!([]), Kind::Invalid, "predicate/uses"),
        ("uses", json!(["redistribute"]), Kind::UseNotPermitted, "uses"),
        ("buyer", json!("poetry-house"), Kind::Invalid, "buyer"),
        ("buyer", json!("nobody"), Kind::NotFound, "buyer"),
        ("provider", json!("verse-lab"), Kind::Invalid, "provider"),
        ("listing", json!(unlisted), Kind::NotFound, "listing"),
        ("terms_sha256", json!(Digest::of("other terms")), Kind::Invalid, "terms_sha256"),
        ("manifest_sha256", json!(Digest::of("other bytes")), Kind::Invalid, "manifest_sha256"),
        ("valid_until", json!(now.plus(Duration::ZERO)), Kind::Invalid, "valid_until"),
        ("replies_to_sha256", json!(Digest::of("another offer")), Kind::Invalid, "replies_to_sha256"),
        ("colour", json!("red"), Kind::Invalid, "predicate"),
    ] {
        let error = refused(provider.make_offer(&story.changed(member, value).await).await, kind, Some(field));
        assert!(error.remedy.is_some() || [Kind::NotFound, Kind::BadSignature].contains(&kind), "{member}: {error:?}");
    }
    let asked = story.changed("organisation", json!("verse-lab")).await;
    refused(lab.make_offer(&asked).await, Kind::Invalid, Some("organisation"));
    refused(provider.make_offer(&asked).await, Kind::Forbidden, None);
    let document = story.changed("salt", json!(Digest::of("salt"))).await;
    let forged = json!({ "envelope": lab.sign_offer(&document) });
    refused(provider.effect("/v1/offers", &forged).await, Kind::BadSignature, Some("signatures"));
    provider.make_offer(&document).await.unwrap();
    refused(provider.make_offer(&document).await, Kind::AlreadyExists, None);
    provider.post(format!("/v1/listings/{}/pause", offer.listing), &Value::Null).await.unwrap();
    refused(
        provider.make_offer(&story.changed("buyer", json!("verse-lab")).await).await,
        Kind::WrongState,
        Some("listing"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_costs_something_else_than_expected_is_refused() {
    let story = Story::begin().await;
    let Story { app, provider, lab, offer } = &story;
    let private = lab.offered_by(provider, offer, 40_000).await;
    let second = app.listed_corpus(provider, "odes", PRICE).await;
    let wanted = |offer_id: Option<&str>, fen: i64| {
        json!({
            "listing_id": offer.listing, "organisation": "verse-lab", "use": "pretrain", "offer_id": offer_id,
            "price": { "amount_minor": fen, "currency": "CNY" }, "purpose": "pretraining of a small model",
        })
    };
    for (offer_id, fen) in [(None, 40_000), (Some(private.as_str()), PRICE), (None, -1)] {
        let error = refused(lab.effect("/v1/orders", &wanted(offer_id, fen)).await, Kind::Invalid, Some("price"));
        assert!(error.detail.contains("CNY") && error.remedy.is_some());
    }
    refused(lab.place_at(&second, &private).await, Kind::Invalid, Some("offer_id"));
    let mut other_use = wanted(Some(&private), 40_000);
    other_use["use"] = json!("derive");
    refused(lab.effect("/v1/orders", &other_use).await, Kind::UseNotPermitted, Some("use"));
    lab.effect("/v1/orders", &wanted(None, PRICE)).await.unwrap();
    lab.effect("/v1/orders", &wanted(Some(&private), 40_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_orders_and_a_withdrawal_at_once_one_wins() {
    let story = Story::begin().await;
    let Story { provider, lab, offer, .. } = &story;
    let private = lab.offered_by(provider, offer, 40_000).await;
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (lab, offer, private) = (lab.clone(), offer.clone(), private.clone());
        racing.spawn(async move { lab.place_at(&offer, &private).await });
    }
    let provider = provider.clone();
    racing.spawn(async move {
        let why = json!({ "reason": "the price has gone up" });
        provider.effect(format!("/v1/offers/{private}/withdrawal"), &why).await
    });
    let (won, lost): (Vec<_>, Vec<_>) = racing.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 8));
    lost.into_iter().for_each(|error| assert_eq!(error.unwrap_err().kind, Kind::WrongState));
}
