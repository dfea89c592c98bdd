//! Money: what arrives, what it pays for, and that the books always balance.

use corpex::error::Kind;
use corpex::ledger::{self, AccountRef, TransactionKind};
use corpex::schema::ledger_closings;
use corpex::types::{Currency, Money, OrganisationId};
use diesel::prelude::*;
use serde_json::{Value, json};

use crate::support::TestApp;

/// What one of the exchange's own accounts holds, in fen.
async fn held(app: &TestApp, account: AccountRef) -> i64 {
    app.app().db.read(move |c| ledger::balance(c, account, Currency::CNY)).await.unwrap().amount_minor
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deposit_credits_the_wallet_and_its_reference_works_once() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 0).await;
    let deposit = json!({
        "organisation": "verse-lab", "amount": { "amount_minor": 88_800, "currency": "CNY" }, "reference": "ICBC-000001",
    });
    let first: Value = app.operator.keyed("one", "/v1/deposits", &deposit).send().await.unwrap();
    assert_eq!((&first["state"], &first["amount"]), (&json!("posted"), &deposit["amount"]));
    let again: Value = app.operator.keyed("one", "/v1/deposits", &deposit).send().await.unwrap();
    assert_eq!(again, first, "the same key gets the same answer");
    let error = app.operator.effect("/v1/deposits", &deposit).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::AlreadyExists, Some("reference")));
    assert_eq!(lab.balance("wallet").await, 88_800);
    assert_eq!(held(&app, AccountRef::Bank).await, -88_800, "the bank is the other side");

    let refused = lab.effect("/v1/deposits", &deposit).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Forbidden, "only operators record deposits");
    let dollars = json!({
        "organisation": "verse-lab", "amount": { "amount_minor": 5, "currency": "USD" }, "reference": "CITI-000001",
    });
    app.operator.effect("/v1/deposits", &dollars).await.unwrap();
    let accounts = lab.get("/v1/organisations/verse-lab/accounts").await.unwrap();
    assert_eq!(accounts["items"].as_array().unwrap().len(), 2, "a wallet per currency");
    let unknown = json!({
        "organisation": "verse-lab", "amount": { "amount_minor": 5, "currency": "XYZ" }, "reference": "r",
    });
    let unknown = app.operator.effect("/v1/deposits", &unknown).await.unwrap_err();
    assert_eq!((unknown.kind, unknown.field.as_deref()), (Kind::Invalid, Some("amount.currency")));
    assert!(unknown.detail.contains("\"XYZ\" is not an ISO 4217 currency code such as CNY"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_that_is_not_verified_gets_no_deposit() {
    let app = TestApp::start().await;
    let _unverified = crate::support::Actor::register(&app.anonymous(), "hopeful-lab").await;
    let deposit = json!({
        "organisation": "hopeful-lab", "amount": { "amount_minor": 1, "currency": "CNY" }, "reference": "r",
    });
    assert!(app.operator.effect("/v1/deposits", &deposit).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_goes_to_escrow_and_from_there_to_the_provider_and_the_fees_to_the_fen() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    // Three per cent of 99,999 fen is 2,999.97.
    let offer = app.listed_corpus(&provider, "poems", 99_999).await;
    let lab = app.lab("verse-lab", 100_000).await;
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    assert_eq!((lab.balance("wallet").await, held(&app, AccountRef::Escrow).await), (1, 99_999));
    assert_eq!(provider.balance("payable").await, 0, "nothing is owed before acceptance");

    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    let accepted = lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    assert_eq!(accepted["state"], "certificated");
    assert_eq!(held(&app, AccountRef::Escrow).await, 0);
    assert_eq!((provider.balance("payable").await, held(&app, AccountRef::Fees).await), (96_999, 3_000));

    let postings = lab.get("/v1/organisations/verse-lab/postings?limit=1").await.unwrap();
    assert_eq!(postings["items"][0]["kind"], "deposit");
    let next = format!("/v1/organisations/verse-lab/postings?cursor={}", postings["next"].as_str().unwrap());
    let rest = lab.get(next).await.unwrap();
    assert_eq!(rest["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest["items"][0]["kind"], "payment");
    assert_eq!(rest["items"][0]["reference"], order.as_str());
    assert_eq!(rest["items"][0]["amount"]["amount_minor"], -99_999);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tax_in_a_fee_has_an_account_of_its_own() {
    let app = TestApp::start_with(|config| config.tax_basis_points = 600).await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 99_999).await;
    let lab = app.lab("verse-lab", 100_000).await;
    let (order, _) = lab.take_delivery(&offer).await;
    let settled = lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    assert_eq!((&settled["fee"]["amount_minor"], &settled["tax"]["amount_minor"]), (&json!(3000), &json!(180)));
    let exchange = (held(&app, AccountRef::Fees).await, held(&app, AccountRef::Tax).await);
    assert_eq!((provider.balance("payable").await, exchange), (96_999, (2820, 180)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_members_and_staff_see_the_money_of_an_organisation() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 1).await;
    let stranger = app.lab("other-lab", 1).await;
    for list in ["accounts", "postings"] {
        let path = format!("/v1/organisations/verse-lab/{list}");
        for seer in [&lab, &app.operator, &app.compliance] {
            assert_eq!(seer.get(&path).await.unwrap()["items"].as_array().unwrap().len(), 1, "{list}");
        }
        assert_eq!(stranger.get(&path).await.unwrap_err().kind, Kind::NotFound, "{list}");
        let bad = lab.get(format!("{path}?cursor=%00")).await.unwrap_err();
        assert_eq!((bad.kind, bad.field.as_deref()), (Kind::Invalid, Some("cursor")), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_is_owed_is_written_down_after_a_thousand_sales() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let shown = provider.get("/v1/organisations/poetry-house").await.unwrap();
    let owner: OrganisationId = shown["id"].as_str().unwrap().parse().unwrap();
    let (db, now) = (app.app().db.clone(), app.clock.now());
    let sell = move |c: &mut corpex::db::Conn| {
        let fen = |minor| Money::new(minor, Currency::CNY);
        for sale in 0..1000 {
            let lines = [(AccountRef::Bank, fen(-1)), (AccountRef::Payable(owner), fen(1))];
            ledger::post(c, TransactionKind::Settlement, &format!("sale {sale}"), &lines, now)?;
        }
        Ok(())
    };
    db.write(sell).await.unwrap();
    ledger::close_accounts(app.app()).await.unwrap();
    let closed = move |c: &mut corpex::db::Conn| {
        Ok(ledger_closings::table.select(ledger_closings::balance_minor).load::<i64>(c)?)
    };
    assert_eq!(db.read(closed).await.unwrap(), [1000]);
    assert_eq!(provider.balance("payable").await, 1000);
}
