//! Buying in one step: a quote, its contract signed, and everything else at once or not at all.

use std::time::Duration;

use corpex::error::Kind;
use corpex::signing::{Envelope, SecretKey};
use corpex::types::DAY;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Actor, Offer, TestApp, at_once, in_one_group, kinds_in_log, refused};

const PRICE: i64 = 50_000;

async fn market(deposit_fen: i64) -> (TestApp, Actor, Offer, Actor) {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", PRICE).await;
    let lab = app.lab("verse-lab", deposit_fen).await;
    (app, provider, offer, lab)
}

async fn has_nothing(lab: &Actor, fen: i64) {
    assert_eq!(lab.get("/v1/orders").await.unwrap()["items"], json!([]));
    assert_eq!(lab.get("/v1/entitlements").await.unwrap()["items"], json!([]));
    assert_eq!(lab.balance("wallet").await, fen);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_quote_buys_in_one_step_what_three_would() {
    let (app, provider, offer, lab) = market(PRICE).await;
    let quote = lab.post("/v1/quotes", &lab.wanted(&offer)).await.unwrap();
    assert_eq!((&quote["price"]["amount_minor"], &quote["fee"]["amount_minor"]), (&json!(PRICE), &json!(1500)));
    has_nothing(&lab, PRICE).await;

    let bought = lab.buy_at_a_quote(&offer).await.unwrap();
    let (order, licence) = (&bought["order"], bought["entitlement"]["id"].as_str().unwrap());
    assert_eq!(order["state"], "escrowed");
    assert_eq!((lab.balance("wallet").await, &bought["entitlement"]["state"]), (0, &json!("active")));
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let history = &lab.get(&path).await.unwrap()["history"];
    assert_eq!(history.as_array().unwrap().len(), 1, "{history}");
    assert_eq!((&history[0]["from_state"], &history[0]["to_state"]), (&Value::Null, &json!("escrowed")));

    let contract: Envelope = serde_json::from_value(lab.get(format!("{path}/contract")).await.unwrap()).unwrap();
    for key in [lab.key.public(), app.app().keys.statement.public()] {
        assert!(contract.signature_by(key.key_id()).is_ok(), "both sides signed");
    }
    app.sequenced().await;
    let logged = kinds_in_log(&app.anonymous()).await;
    assert_eq!((logged["contract"], logged["entitlement"]), (1, 1));

    lab.links(licence, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
    let accepted = lab.effect(format!("{path}/acceptance"), &Value::Null).await.unwrap();
    assert_eq!(accepted["state"], "certificated");
    assert_eq!(provider.balance("payable").await, PRICE - 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_buys_once_whatever_quote_it_is_repeated_with() {
    let (_app, _, offer, lab) = market(2 * PRICE).await;
    let buy = async || {
        let purchase = lab.quoted(&offer).await.unwrap();
        lab.keyed("once", "/v1/purchases", &purchase).send::<Value>().await.unwrap()
    };
    assert_eq!(buy().await, buy().await);
    assert_eq!(lab.balance("wallet").await, PRICE);

    let purchase = lab.quoted(&offer).await.unwrap();
    refused(lab.post("/v1/purchases", &purchase).await, Kind::IdempotencyKeyRequired, Some("Idempotency-Key"));
    lab.effect("/v1/purchases", &purchase).await.unwrap();
    refused(lab.effect("/v1/purchases", &purchase).await, Kind::AlreadyExists, Some("quote"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_that_was_touched_is_no_quote() {
    let (app, _, offer, lab) = market(PRICE).await;
    let (good, other) = (lab.quoted(&offer).await.unwrap(), lab.quoted(&offer).await.unwrap());
    let with = |member: &str, value: &Value| {
        let mut purchase = good.clone();
        purchase[member] = value.clone();
        purchase
    };
    let (terms, seal) = good["quote"].as_str().unwrap().split_once('.').unwrap();
    let (other_terms, _) = other["quote"].as_str().unwrap().split_once('.').unwrap();
    for quote in ["", "no.quote", terms, &format!("{terms}."), &format!("{other_terms}.{seal}")] {
        let refusal = lab.effect("/v1/purchases", &with("quote", &json!(quote))).await;
        refused(refusal, Kind::Invalid, Some("quote"));
    }
    let mut nobodys = other["envelope"].clone();
    nobodys["signatures"] = json!([]);
    for swapped in [&other["envelope"], &nobodys] {
        let refusal = lab.effect("/v1/purchases", &with("envelope", swapped)).await;
        refused(refusal, Kind::Invalid, Some("quote"));
    }
    let mut wanted = good["order"].clone();
    wanted["purpose"] = json!("something else than what was quoted");
    refused(lab.effect("/v1/purchases", &with("order", &wanted)).await, Kind::WrongState, Some("quote"));

    let mut unsigned = good["envelope"].clone();
    unsigned["signatures"][0]["sig"] = other["envelope"]["signatures"][0]["sig"].clone();
    refused(lab.effect("/v1/purchases", &with("envelope", &unsigned)).await, Kind::BadSignature, Some("signature"));
    let rival = app.lab("other-lab", PRICE).await;
    refused(rival.effect("/v1/purchases", &good).await, Kind::Forbidden, Some("organisation"));
    has_nothing(&lab, PRICE).await;
    lab.effect("/v1/purchases", &good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_takes_the_signature_of_one_key_of_the_buyer_and_no_other() {
    let (app, _, offer, lab) = market(PRICE).await;
    let (rival, stranger) = (app.lab("other-lab", PRICE).await, SecretKey::generate());
    rival.buy_at_a_quote(&offer).await.unwrap();
    let quoted = lab.quoted(&offer).await.unwrap();
    let signed_by = |keys: &[&SecretKey]| {
        let mut envelope: Envelope = serde_json::from_value(quoted["envelope"].clone()).unwrap();
        envelope.signatures.clear();
        keys.iter().for_each(|key| key.add_signature(&mut envelope));
        let mut purchase = quoted.clone();
        purchase["envelope"] = json!(envelope);
        purchase
    };
    for foreign in [&rival.key, &stranger] {
        let refusal = lab.effect("/v1/purchases", &signed_by(&[foreign])).await;
        let refusal = refused(refusal, Kind::BadSignature, Some("signatures"));
        assert!(refusal.detail.contains("is not registered by verse-lab"), "{refusal}");
    }
    for keys in [vec![], vec![&lab.key, &rival.key]] {
        refused(lab.effect("/v1/purchases", &signed_by(&keys)).await, Kind::BadSignature, Some("signatures"));
    }
    has_nothing(&lab, PRICE).await;
    lab.effect("/v1/purchases", &signed_by(&[&lab.key])).await.unwrap();
}

/// The other instance first sees the key when it is revoked.
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_repeated_after_its_key_was_revoked_is_answered_and_another_is_refused() {
    let (app, _, offer, lab) = market(2 * PRICE).await;
    let other = app.another().await;
    let (purchase, later) = (lab.quoted(&offer).await.unwrap(), lab.quoted(&offer).await.unwrap());
    let mut unsigned = purchase.clone();
    unsigned["envelope"]["signatures"] = json!([]);
    let buy =
        async |at: &Actor, key: &str, purchase: &Value| at.keyed(key, "/v1/purchases", purchase).send::<Value>().await;
    let bought = buy(&lab, "once", &purchase).await.unwrap();
    let keys = format!("/v1/organisations/{}/keys", lab.handle);
    let id = lab.get(&keys).await.unwrap()["items"][0]["id"].as_str().unwrap().to_string();
    lab.post(format!("{keys}/{id}/revocation"), &json!({ "compromised_at": null })).await.unwrap();

    for at in [&lab, &lab.at(&other)] {
        for repeated in [&purchase, &unsigned] {
            assert_eq!(buy(at, "once", repeated).await.unwrap(), bought);
        }
        let refusal = refused(buy(at, "another", &later).await, Kind::BadSignature, Some("signatures"));
        assert!(refusal.detail.contains("was revoked at"), "{refusal}");
    }
    assert_eq!(lab.balance("wallet").await, PRICE);
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_holds_while_what_it_rests_on_does() {
    let (app, provider, offer, lab) = market(PRICE - 1).await;
    let purchase = lab.quoted(&offer).await.unwrap();
    refused(lab.effect("/v1/purchases", &purchase).await, Kind::InsufficientFunds, None);
    app.operator.deposit("verse-lab", 1, "the last fen").await;

    let listing = format!("/v1/listings/{}", offer.listing);
    provider.post(format!("{listing}/pause"), &Value::Null).await.unwrap();
    refused(lab.effect("/v1/purchases", &purchase).await, Kind::WrongState, Some("listing_id"));
    provider.post(format!("{listing}/resume"), &Value::Null).await.unwrap();

    app.clock.advance(DAY * 7);
    let late = refused(lab.effect("/v1/purchases", &purchase).await, Kind::WrongState, Some("quote"));
    assert!(late.detail.starts_with("the quote ended at "), "there is no order yet: {late}");
    has_nothing(&lab, PRICE).await;
    lab.buy_at_a_quote(&offer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_of_one_lab_in_one_moment_spend_what_it_has_and_no_more_and_each_key_buys_once() {
    let (app, _, offer, lab) = market(2 * PRICE).await;
    let mut wanted = Vec::new();
    for key in ["first", "second", "third", "first"] {
        wanted.push((key, lab.quoted(&offer).await.unwrap()));
    }
    let buy = |(key, purchase): &(&str, Value)| lab.keyed(key, "/v1/purchases", purchase).send::<Value>();
    let outcomes = in_one_group(&app.app().db, wanted.len(), join_all(wanted.iter().map(buy))).await;

    let order = |outcome: &corpex::error::Result<Value>| outcome.as_ref().ok().map(|paid| paid["order"]["id"].clone());
    assert_eq!(order(&outcomes[0]), order(&outcomes[3]), "one key, one effect");
    let (bought, refusals): (Vec<_>, Vec<_>) = outcomes.into_iter().take(3).partition(Result::is_ok);
    assert_eq!(bought.len(), 2);
    refusals.into_iter().for_each(|outcome| drop(refused(outcome, Kind::InsufficientFunds, None)));
    assert_eq!(lab.balance("wallet").await, 0);
    assert_eq!(lab.get("/v1/orders").await.unwrap()["items"].as_array().unwrap().len(), 2);
}

/// The clock of the other instance is an hour behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_instances_answer_one_key_once_and_spend_what_a_wallet_has_and_no_more() {
    let (app, _, offer, lab) = market(3 * PRICE).await;
    app.clock.advance(Duration::from_secs(3600));
    let other = app.another().await;
    let there = lab.at(&other);
    let mut alike = Vec::new();
    for number in 0..16 {
        let at = if number % 2 == 0 { &lab } else { &there };
        let key = if number < 8 { "once".to_string() } else { format!("key-{number}") };
        alike.push((at.clone(), key, at.quoted(&offer).await.unwrap()));
    }
    let different = alike.split_off(8);
    let buy = |(at, key, purchase): (Actor, String, Value)| async move {
        at.keyed(&key, "/v1/purchases", &purchase).send::<Value>().await
    };

    let answers = at_once(alike.into_iter().map(buy)).await;
    let answers: Vec<Value> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(lab.balance("wallet").await, 2 * PRICE);

    let outcomes = at_once(different.into_iter().map(buy)).await;
    let (bought, refusals): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(bought.len(), 2, "{refusals:?}");
    refusals.into_iter().for_each(|outcome| drop(refused(outcome, Kind::InsufficientFunds, None)));
    assert_eq!(lab.balance("wallet").await, 0);
    assert_eq!(lab.get("/v1/orders").await.unwrap()["items"].as_array().unwrap().len(), 3);
    let report = app.operator.get("/v1/reconciliation").await.unwrap();
    assert_eq!(report["differences"], json!([]));
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_moment_a_repeated_key_is_answered_a_reused_one_refused_and_anothers_is_its_own() {
    let (app, _, offer, lab) = market(3 * PRICE).await;
    let other = app.lab("other-lab", PRICE).await;
    let purchase = lab.quoted(&offer).await.unwrap();
    let before = lab.keyed("once", "/v1/purchases", &purchase).send::<Value>().await.unwrap();
    let mut reused = lab.quoted(&offer).await.unwrap();
    reused["order"]["purpose"] = json!("something else than what the key stands for");
    let wanted = [
        (&lab, "once", lab.quoted(&offer).await.unwrap()),
        (&other, "once", other.quoted(&offer).await.unwrap()),
        (&lab, "once", reused),
        (&lab, "another", lab.quoted(&offer).await.unwrap()),
    ];
    let buying = wanted
        .iter()
        .map(|(lab, key, purchase)| async { lab.keyed(key, "/v1/purchases", purchase).send::<Value>().await });
    let outcomes = in_one_group(&app.app().db, wanted.len(), join_all(buying)).await;
    let [again, others, reused, another]: [corpex::error::Result<Value>; 4] = outcomes.try_into().unwrap();
    assert_eq!(again.unwrap(), before);
    assert_ne!(others.unwrap()["order"]["id"], before["order"]["id"]);
    refused(reused, Kind::IdempotencyKeyReused, Some("Idempotency-Key"));
    assert_eq!(another.unwrap()["order"]["state"], "escrowed");
    assert_eq!((lab.balance("wallet").await, other.balance("wallet").await), (PRICE, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_of_one_moment_are_each_whole_and_what_cannot_stand_falls_alone() {
    let (app, provider, offer, first) = market(2 * PRICE).await;
    let mut labs = vec![first];
    for (number, deposit) in [(1, PRICE), (2, PRICE - 1), (3, PRICE), (4, PRICE)] {
        labs.push(app.lab(&format!("lab-{number}"), deposit).await);
    }
    let mut wanted = Vec::new();
    for lab in &labs {
        wanted.push((lab, lab.quoted(&offer).await.unwrap()));
    }
    wanted.push((&labs[0], wanted[0].1.clone())); // the same quote under another key

    let buying = join_all(wanted.iter().map(|(lab, purchase)| lab.effect("/v1/purchases", purchase)));
    let mut outcomes = in_one_group(&app.app().db, wanted.len(), buying).await;

    let again = outcomes.pop().unwrap();
    refused(outcomes.remove(2), Kind::InsufficientFunds, None);
    let once = outcomes.remove(0);
    let (bought, twice) = if once.is_ok() { (once, again) } else { (again, once) };
    refused(twice, Kind::AlreadyExists, Some("quote"));
    outcomes.push(bought);
    for outcome in outcomes {
        assert_eq!(outcome.unwrap()["order"]["state"], "escrowed");
    }
    let poor = labs.remove(2);
    has_nothing(&poor, PRICE - 1).await;
    for (lab, left) in labs.iter().zip([PRICE, 0, 0, 0]) {
        assert_eq!(lab.balance("wallet").await, left, "{}", lab.handle);
        let order = lab.get("/v1/orders").await.unwrap()["items"][0]["id"].as_str().unwrap().to_string();
        let contract = lab.get(format!("/v1/orders/{order}/contract")).await.unwrap();
        assert_eq!(contract["signatures"].as_array().unwrap().len(), 2);
        let licence = lab.get("/v1/entitlements").await.unwrap()["items"][0]["id"].as_str().unwrap().to_string();
        lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
        app.told().await;
        let events = lab.get(format!("/v1/events?organisation={}", lab.handle)).await.unwrap();
        let types: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
        for told in ["order.escrowed", "entitlement.active"] {
            assert_eq!(types.iter().filter(|one| *one == told).count(), 1, "{told}: {types:?}");
        }
    }
    app.sequenced().await;
    let logged = kinds_in_log(&app.anonymous()).await;
    assert_eq!((logged["contract"], logged["entitlement"]), (4, 4));
    assert_eq!(provider.get("/v1/orders").await.unwrap()["items"].as_array().unwrap().len(), 4);
}
