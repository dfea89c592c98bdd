//! Many at once for one thing: exactly one gets it.

use std::collections::HashSet;

use corpex::error::{Kind, Result};
use serde_json::{Value, json};

use crate::support::{TestApp, at_once};

/// What those are told who came too late.
const TOO_LATE: &[Kind] = &[Kind::AlreadyExists, Kind::WrongState];
const TOO_POOR: &[Kind] = &[Kind::InsufficientFunds];

/// Sends each request at once with the others, and counts those that succeeded; the others must have been told one of
/// these.
async fn count_winners<F>(requests: impl IntoIterator<Item = F>, told: &[Kind]) -> usize
where
    F: Future<Output = Result<Value>> + Send + 'static,
{
    let mut won = 0;
    for outcome in at_once(requests).await {
        match outcome {
            Ok(_) => won += 1,
            Err(error) => assert!(told.contains(&error.kind), "{error:?}"),
        }
    }
    won
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_buyers_racing_for_funds_that_pay_for_one_order_exactly_one_succeeds() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let mut orders = Vec::new();
    for _ in 0..64 {
        orders.push(lab.order(&offer).await.unwrap());
    }
    let payments = orders.into_iter().map(|order| {
        let lab = lab.clone();
        async move { lab.pay(&order).await }
    });
    assert_eq!(count_winners(payments, TOO_POOR).await, 1);
    assert_eq!(lab.balance("wallet").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_payouts_racing_for_funds_that_cover_one_exactly_one_is_held() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 1000).await;
    let lab = app.lab("verse-lab", 1900).await;
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    for (actor, source, each, left) in [(&lab, "wallet", 500, 400), (&provider, "payable", 500, 470)] {
        let payouts = (0..64).map(|_| {
            let actor = actor.clone();
            async move { actor.withdraw_from(source, each).await }
        });
        let won = count_winners(payouts, TOO_POOR).await;
        assert_eq!((won, actor.balance(source).await, actor.balance("held").await), (1, left, each), "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_idempotency_key_makes_one_order_however_often_it_is_sent_at_once() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let wanted = json!({
        "listing_id": offer.listing, "organisation": "verse-lab", "use": "pretrain", "purpose": "pretraining of a small model",
    });
    let sent = (0..16).map(|_| {
        let (lab, wanted) = (lab.clone(), wanted.clone());
        async move { lab.keyed("the-same-key", "/v1/orders", &wanted).send::<Value>().await.unwrap() }
    });
    let ids: HashSet<String> = at_once(sent).await.into_iter().map(|order| order["id"].to_string()).collect();
    assert_eq!(ids.len(), 1);
    let orders = lab.get("/v1/orders").await.unwrap();
    assert_eq!(orders["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_take_the_same_name_at_once_exactly_one_gets_it() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let post = |path: &'static str, body: Value| {
        let provider = provider.clone();
        async move { provider.post(path, &body).await }
    };
    let person = json!({ "email": "li@verse.test", "password": crate::support::PASSWORD });
    assert_eq!(count_winners((0..4).map(|_| post("/v1/users", person.clone())), TOO_LATE).await, 1);
    let organisation = |number: i32| {
        json!({ "handle": "verse-lab", "legal_name": "Verse Lab Ltd", "registration_number": format!("{number}"),
            "country": "CN", "affiliations": [] })
    };
    assert_eq!(count_winners((0..16).map(|n| post("/v1/organisations", organisation(n))), TOO_LATE).await, 1);
    let dataset = json!({
        "organisation": "poetry-house", "name": "poems", "title": "Poems", "modality": "text", "domain": "education",
        "languages": ["zh"],
    });
    assert_eq!(count_winners((0..16).map(|_| post("/v1/datasets", dataset.clone())), TOO_LATE).await, 1);
    let versions = "/v1/datasets/poetry-house/poems/versions";
    let card = json!({ "card": crate::support::CARD });
    assert_eq!(
        count_winners((0..16).map(|_| post(versions, card.clone())), TOO_LATE).await,
        16,
        "each has a number of its own"
    );
    let listed = provider.get(versions).await.unwrap();
    let numbers: Vec<_> = listed["items"].as_array().unwrap().iter().map(|v| v["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_officers_who_change_one_thing_at_once_exactly_one_does() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    let case = lab.claim(&offer.dataset).await;
    app.compliance.decide(&case, "triage").await.unwrap();
    let decide = |step: &'static str| {
        let (officer, case) = (app.compliance.clone(), case.clone());
        async move { officer.decide(&case, step).await }
    };
    assert_eq!(count_winners((0..8).map(|n| decide(["interim-block", "rejection"][n % 2])), TOO_LATE).await, 1);
    let revoke = || {
        let (officer, path) = (app.compliance.clone(), format!("/v1/entitlements/{entitlement}/revocation"));
        async move { officer.effect(path, &json!({ "reason": "a court ordered it" })).await }
    };
    assert_eq!(count_winners((0..8).map(|_| revoke()), TOO_LATE).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_downloads_at_once_each_have_their_receipt() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let lab = app.lab("verse-lab", 50_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    let asked = (0..64).map(|_| {
        let (lab, entitlement) = (lab.clone(), entitlement.clone());
        async move { lab.links(&entitlement, &["data/a.jsonl", "data/b.jsonl"]).await }
    });
    assert_eq!(count_winners(asked, TOO_LATE).await, 64);
    let id = entitlement.parse().unwrap();
    let receipts = app.app().db.read(move |c| corpex::delivery::receipts_of(c, id, "", 1000)).await.unwrap();
    assert_eq!(receipts.len(), 128);
}
