//! Statements of account and the reconciliation of the books.

use corpex::error::Kind;
use corpex::types::Instant;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp};

const ALL: &str = "from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&currency=CNY";

fn path(actor: &Actor, query: &str) -> String {
    format!("/v1/organisations/{}/statements?{query}", actor.handle)
}

fn minor(amount: &Value) -> i64 {
    amount["amount_minor"].as_i64().unwrap()
}

/// A lab that deposited twice, bought and asked for a payout; gives the time between the deposits.
async fn year(app: &TestApp) -> (Actor, Instant) {
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 1250).await;
    let lab = app.lab("verse-lab", 2000).await;
    app.clock.advance(std::time::Duration::from_secs(60));
    let between = app.clock.now();
    app.operator.deposit("verse-lab", 500, "=cmd|' /C calc'!A1").await;
    lab.buy(&offer).await.unwrap();
    lab.withdraw(50).await.unwrap();
    (lab, between)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_leads_from_the_opening_balance_line_by_line_to_the_closing_one() {
    let app = TestApp::start().await;
    let (lab, between) = year(&app).await;
    let whole = lab.get(path(&lab, ALL)).await.unwrap();
    assert_eq!(whole["accounts"][0]["opening"], json!({ "amount_minor": 0, "currency": "CNY", "decimal": "0.00" }));
    assert_eq!(whole["accounts"][0]["closing"]["decimal"], "12.00");
    assert_eq!(minor(&whole["accounts"][1]["closing"]), 50, "what is held for payout");
    let lines = whole["items"].as_array().unwrap();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["deposit", "deposit", "payment", "withdrawal_hold", "withdrawal_hold"]);
    assert_eq!(lines[2]["amount"], json!({ "amount_minor": -1250, "currency": "CNY", "decimal": "-12.50" }));

    let later = format!("currency=CNY&from={between}&to=2100-01-01T00:00:00Z");
    let (mut balance, mut cursor) = (2000, String::new());
    loop {
        let page = lab.get(path(&lab, &format!("{later}&limit=1{cursor}"))).await.unwrap();
        assert_eq!((minor(&page["accounts"][0]["opening"]), minor(&page["accounts"][0]["closing"])), (2000, 1200));
        let line = &page["items"][0];
        if line["account"] == "wallet" {
            balance += minor(&line["amount"]);
            assert_eq!(minor(&line["balance"]), balance, "{line}");
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(balance, 1200);
    let before = lab.get(path(&lab, &format!("currency=CNY&from=2026-01-01T00:00:00Z&to={between}"))).await.unwrap();
    assert_eq!((before["items"].as_array().unwrap().len(), minor(&before["accounts"][0]["closing"])), (1, 2000));
    let dollars = lab.get(path(&lab, &ALL.replace("CNY", "USD"))).await.unwrap();
    assert_eq!((&dollars["accounts"], &dollars["items"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_as_a_file_says_the_same_and_runs_nothing_in_a_spreadsheet() {
    let app = TestApp::start().await;
    let (lab, _) = year(&app).await;
    let answer = lab.client.get(path(&lab, &format!("{ALL}&format=csv"))).response().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8; header=present");
    let text = answer.text().await.unwrap();
    let rows: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(
        rows[0],
        "row,at,account,kind,reference,transaction,posting,amount,amount_minor,balance,balance_minor,currency"
    );
    assert!(rows[1].starts_with("opening,2026-01-01T00:00:00.000000Z,wallet,") && rows[1].ends_with(",0.00,0,CNY"));
    assert!(text.contains(",'=cmd|' /C calc'!A1,"), "{text}");
    assert!(text.contains(",-12.50,-1250,12.50,1250,CNY\r\n"), "{text}");
    let closing: Vec<_> = rows.iter().filter(|row| row.starts_with("closing,")).collect();
    assert!(closing[0].contains(",wallet,") && closing[0].ends_with(",12.00,1200,CNY"), "{closing:?}");
    assert!(closing[1].contains(",held,") && closing[1].ends_with(",0.50,50,CNY"), "{closing:?}");
    assert_eq!(rows.len(), 1 + 2 + 5 + 2);
    assert!(rows.iter().all(|row| row.matches(',').count() == 11), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_wallet_stand_as_they_were_posted_whatever_the_clocks_say() {
    let app = TestApp::start().await;
    let (bureau, lab) = (app.lab("city-bureau", 0).await, app.lab("verse-lab", 0).await);
    app.clock.advance(std::time::Duration::from_secs(3600));
    app.operator.deposit("city-bureau", 500, "first").await;
    app.operator.deposit("verse-lab", 500, "second").await;
    let other = app.another().await;
    app.operator.at(&other).deposit("verse-lab", 20, "third").await;
    let programme = bureau.at(&other).announce(400, 3000, 400).await;
    let lines = lab.get(path(&lab, ALL)).await.unwrap()["items"].clone();
    let told: Vec<_> =
        lines.as_array().unwrap().iter().map(|line| (&line["reference"], minor(&line["balance"]))).collect();
    assert_eq!(told, [(&json!("second"), 500), (&json!("third"), 520)]);
    let lines = bureau.get(path(&bureau, ALL)).await.unwrap()["items"].clone();
    let told: Vec<_> = lines.as_array().unwrap().iter().map(|line| (&line["kind"], minor(&line["balance"]))).collect();
    assert_eq!(told, [(&json!("deposit"), 500), (&json!("voucher_funding"), 100)], "{programme}");
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_period_that_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 1).await;
    for (query, field) in [
        ("currency=CNY&from=2026-02-01T00:00:00Z&to=2026-02-01T00:00:00Z", Some("to")),
        ("currency=CNY&from=2026-02-01T00:00:00Z&to=2026-02-02T00:00:00Z&limit=1001", Some("limit")),
        ("currency=CNY&from=2026-02-01T00:00:00Z&to=2026-02-02T00:00:00Z&cursor=x", Some("cursor")),
    ] {
        let error = lab.get(path(&lab, query)).await.unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, field), "{query}");
    }
    for query in
        ["currency=XYZ&from=2026-02-01T00:00:00Z&to=2026-03-01T00:00:00Z", "currency=CNY&from=x&to=y", "", "a=b"]
    {
        assert_eq!(lab.get(path(&lab, query)).await.unwrap_err().kind, Kind::Invalid, "{query}");
    }
    let stranger = app.lab("other-lab", 0).await;
    assert_eq!(stranger.get(path(&lab, ALL)).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciliation_recomputes_everything_and_names_what_differs() {
    let app = TestApp::start().await;
    let (lab, _) = year(&app).await;
    for staff in [&app.operator, &app.compliance] {
        let report = staff.get("/v1/reconciliation").await.unwrap();
        assert_eq!((&report["differences"], &report["transactions"]), (&json!([]), &json!(4)), "{report}");
        assert_eq!(report["postings"], 8);
    }
    assert_eq!(lab.get("/v1/reconciliation").await.unwrap_err().kind, Kind::Forbidden);

    // Somebody reaches into the database.
    let tamper = |sql: &'static str| {
        let db = app.app().db.clone();
        async move { db.write(move |c| Ok(diesel::connection::SimpleConnection::batch_execute(c, sql)?)).await.unwrap() }
    };
    tamper("UPDATE ledger_accounts SET gated_balance_minor = 9999 WHERE kind = 'wallet'").await;
    tamper("UPDATE withdrawals SET amount_minor = 49").await;
    tamper("UPDATE orders SET price_minor = 1251").await;
    let report = app.operator.get("/v1/reconciliation").await.unwrap();
    let found: Vec<_> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| [&d["rule"], &d["expected"], &d["found"]].map(|text| text.as_str().unwrap()))
        .collect();
    let expected =
        [["gate", "CNY 12.00", "CNY 99.99"], ["held", "CNY 0.49", "CNY 0.50"], ["escrow", "CNY 12.51", "CNY 12.50"]];
    assert_eq!(found, expected, "{report}");
    tamper("UPDATE ledger_accounts SET gated_balance_minor = 1200 WHERE kind = 'wallet'").await;
    tamper("UPDATE orders SET price_minor = 1250").await;
    tamper("UPDATE withdrawals SET amount_minor = 50").await;
}
