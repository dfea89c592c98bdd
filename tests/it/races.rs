//! Many at once for one thing: exactly one gets it.

use std::sync::Arc;

use corpex::error::Kind;
use serde_json::json;
use tokio::sync::Barrier;

use crate::support::TestApp;

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
    let start = Arc::new(Barrier::new(orders.len()));
    let racing: Vec<_> = orders
        .into_iter()
        .map(|order| {
            let (lab, start) = (lab.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                lab.pay(&order).await
            })
        })
        .collect();
    let mut won = 0;
    for racer in racing {
        match racer.await.unwrap() {
            Ok(_) => won += 1,
            Err(error) => assert_eq!(error.kind, Kind::InsufficientFunds, "{error:?}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(lab.balance("wallet").await, 0);
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
    let sent: Vec<_> = (0..16)
        .map(|_| {
            let (lab, wanted) = (lab.clone(), wanted.clone());
            tokio::spawn(
                async move { lab.keyed("the-same-key", "/v1/orders", &wanted).send::<serde_json::Value>().await },
            )
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for one in sent {
        ids.insert(one.await.unwrap().unwrap()["id"].to_string());
    }
    assert_eq!(ids.len(), 1);
    let orders = lab.get("/v1/orders").await.unwrap();
    assert_eq!(orders["items"].as_array().unwrap().len(), 1);
}
