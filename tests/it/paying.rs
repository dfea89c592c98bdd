//! Orders that a command signs and pays: with a voucher, renewals, and those that were placed over the API; and what commands answer
//! to what was delivered.

use std::path::Path;

use serde_json::{Value, json};

use crate::command_line::{Poems, assess, deposit};
use crate::support::process::{Exchange, Person, organisation};

pub const DATASET: &str = "poetry-house/poems";
pub const PRICE: i64 = 50_000;
/// What the voucher pays of it.
const SUBSIDY: i64 = 15_000;

/// Publishes a corpus of one file and puts it on the board, on these terms.
pub fn put_on_the_board(provider: &Person, compliance: &Person, work: &Path, document: &Value) {
    let poems = Poems::new(work, 1);
    std::fs::write(&poems.terms, document.to_string()).unwrap();
    let published = provider.json(&[&poems.publish()[..], &["--domain", "education"]].concat());
    assess(compliance, DATASET, &published["version"]);
    provider.done(&["listing", "open", DATASET, "--terms", published["terms_id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_purchase_with_a_voucher_and_its_renewal_are_paid_by_commands_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    let bureau = organisation(&exchange, &operator, "city-bureau");
    deposit(&operator, "verse-lab", 2 * PRICE);
    deposit(&operator, "city-bureau", PRICE);
    let work = tempfile::tempdir().unwrap();
    let mut document = crate::support::terms(PRICE);
    document["duration_days"] = json!(30);
    put_on_the_board(&provider, &compliance, work.path(), &document);
    let programme = json!({
        "organisation": "city-bureau", "name": "语料券", "pool": { "amount_minor": PRICE, "currency": "CNY" },
        "rate_basis_points": 3000, "cap_minor": PRICE, "domains": ["education"],
        "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2126-01-01T00:00:00Z",
    });
    let programme = bureau.api("POST", "/v1/voucher-programmes", &programme);
    let voucher = ["--voucher", programme["id"].as_str().unwrap()];
    let wallet = || {
        let accounts = lab.api("GET", "/v1/organisations/verse-lab/accounts", &Value::Null);
        let wallet = accounts["items"].as_array().unwrap().iter().find(|account| account["kind"] == "wallet");
        wallet.unwrap()["balance"]["amount_minor"].as_i64().unwrap()
    };

    let buy = [&["buy", DATASET, "--use", "pretraining of a small language model"], &voucher[..]].concat();
    let said = lab.refused(&[&buy[..], &["--max-price", "49999"]].concat());
    assert!(
        said.contains("--max-price: poetry-house/poems@1 costs CNY 500.00, which is not within CNY 499.99"),
        "{said}"
    );
    let usage = lab.run(&[&buy[..], &["--currency", "USD"]].concat());
    assert_eq!(usage.status.code(), Some(2), "a currency alone bounds no price");
    let unknown = "programme_01m8fqq2ske01rr0h7j91xejy1";
    let said = lab.refused(&[&buy[..buy.len() - 1], &[unknown]].concat());
    assert!(said.contains(&format!("--voucher: programme {unknown} does not exist")), "{said}");
    assert_eq!(wallet(), 2 * PRICE);
    let bought = lab.json(&[&buy[..], &["--max-price", "50000"]].concat());
    assert_eq!(lab.json(&buy), bought, "buying the same again is the same purchase");
    let said = lab.done(&buy);
    assert!(said.contains("was bought before") && said.contains("nothing was paid now"), "{said}");
    let said = lab.refused(&buy[..buy.len() - voucher.len()]);
    assert!(said.contains("--voucher: this was bought before") && said.contains("--again TEXT"), "{said}");
    assert_eq!(wallet(), 2 * PRICE - (PRICE - SUBSIDY));

    let (order, entitlement) = (bought["order"].as_str().unwrap(), bought["entitlement"].as_str().unwrap());
    lab.json(&["download", DATASET, "--to", &work.path().join("target").display().to_string()]);
    lab.json(&["accept", order]);
    let renewal = lab.api("POST", &format!("/v1/entitlements/{entitlement}/renewals"), &Value::Null);
    let pay = ["pay", renewal["id"].as_str().unwrap()];
    let said = bureau.refused(&pay);
    assert!(said.contains("does not exist, or you may not see it"), "{said}");
    for (given, why) in [
        (
            ["--max-price", "49999"],
            "--max-price: poetry-house/poems@1 costs CNY 500.00, which is not within CNY 499.99",
        ),
        (["--organisation", "city-bureau"], "--organisation: this was ordered by verse-lab, not by city-bureau"),
    ] {
        let said = lab.refused(&[&pay[..], &given].concat());
        assert!(said.contains(why), "{said}");
    }
    let paid = lab.json(&pay);
    let mut renewed = bought.clone();
    renewed["order"] = renewal["id"].clone();
    assert_eq!(paid, renewed, "what was paid is told as what was bought is");
    assert_eq!(lab.json(&pay), paid, "paying again is the same payment");
    let said = lab.done(&pay);
    assert!(said.contains("was paid before") && said.contains("nothing was paid now"), "{said}");
    for paid_before in [vec!["pay", order], [&pay[..], &voucher].concat()] {
        let said = lab.refused(&paid_before);
        assert!(said.contains("this can be done when it is awaiting_payment"), "{said}");
    }
    let said = lab.refused(&["pay", "order_01jd0000000000000000000000"]);
    assert!(said.contains("does not exist, or you may not see it"), "{said}");
    let said = String::from_utf8(lab.run(&["pay", entitlement]).stderr).unwrap();
    assert!(said.contains("is not an identifier of the form order_"), "{said}");
    assert_eq!(wallet(), SUBSIDY);
    exchange.stop();
    exchange.audit();
}

#[tokio::test]
async fn a_licence_is_renewed_by_a_command_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 2 * PRICE);
    let work = tempfile::tempdir().unwrap();
    let mut document = crate::support::terms(PRICE);
    document["duration_days"] = json!(30);
    put_on_the_board(&provider, &compliance, work.path(), &document);
    let bought = lab.json(&["buy", DATASET, "--use", "pretraining of a small language model"]);
    lab.json(&["download", DATASET, "--to", &work.path().join("target").display().to_string()]);

    let renew = ["renew", bought["entitlement"].as_str().unwrap()];
    let said = lab.refused(&renew);
    assert!(said.contains("accept what was delivered first"), "{said}");
    lab.json(&["accept", bought["order"].as_str().unwrap()]);
    let said = lab.refused(&[&renew[..], &["--max-price", "49999"]].concat());
    assert!(said.contains("--max-price: poetry-house/poems@1 costs CNY 500.00"), "{said}");
    let said = provider.refused(&renew);
    assert!(said.contains("does not exist, or you may not see it"), "{said}");
    let renewed = lab.json(&[&renew[..], &["--max-price", "50000"]].concat());
    let mut other = bought.clone();
    other["order"] = renewed["order"].clone();
    assert!(renewed["order"] != bought["order"] && renewed == other, "the same licence, by another order: {renewed}");
    assert_eq!(lab.json(&renew), renewed, "renewing again is the same renewal");
    let said = lab.done(&renew);
    assert!(said.contains("nothing was paid now (--again TEXT renews it once more)"), "{said}");

    let once_more = [&renew[..], &["--again", "the second year"]].concat();
    lab.refused(&[&once_more[..], &["--max-price", "0"]].concat());
    let orders = lab.json(&["orders"]);
    let unpaid = orders["items"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    lab.api("POST", &format!("/v1/orders/{unpaid}/cancellation"), &json!({ "reason": "too dear" }));
    let said = lab.refused(&once_more);
    assert!(said.contains("is cancelled") && said.contains("--again TEXT orders another renewal"), "{said}");
    exchange.stop();
    exchange.audit();
}

#[tokio::test]
async fn what_was_delivered_is_refused_and_accepted_by_commands_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 2 * PRICE);
    let work = tempfile::tempdir().unwrap();
    put_on_the_board(&provider, &compliance, work.path(), &crate::support::terms(PRICE));
    let bought = ["the first", "the second"].map(|again| {
        let buy = ["buy", DATASET, "--use", "pretraining of a small language model", "--again", again];
        let bought = lab.json(&buy);
        let (order, entitlement) = (bought["order"].as_str().unwrap(), bought["entitlement"].as_str().unwrap());
        let said = lab.refused(&["accept", order]);
        assert!(said.contains("this can be done when it is delivering or delivered"), "{said}");
        let to = work.path().join(again).display().to_string();
        lab.json(&["download", DATASET, "--to", &to, "--entitlement", entitlement]);
        order.to_string()
    });
    let [first, second] = bought.each_ref().map(String::as_str);

    let said = provider.refused(&["accept", first]);
    assert!(said.contains("the buyer"), "{said}");
    let reject = ["reject", first, "--reason", "half of the poems are missing"];
    let usage = lab.run(&reject[..2]);
    assert_eq!(usage.status.code(), Some(2), "why is for the buyer to say");
    for (reason, length) in [(" ", 0), ("缺".repeat(501).as_str(), 501)] {
        let said = lab.refused(&[&reject[..3], &[reason]].concat());
        assert!(said.contains(&format!("reason: this is {length} characters long; 1 to 500 are allowed")), "{said}");
    }
    let rejected = lab.json(&reject);
    assert_eq!((&rejected["order"], &rejected["state"]), (&json!(first), &json!("rejected")), "{rejected}");
    assert_eq!(lab.json(&reject), rejected, "rejecting again is the same rejection");
    let said = lab.done(&reject);
    assert!(said.contains("was rejected before") && said.contains("nothing was done now"), "{said}");
    let refund = json!({ "amount_minor": PRICE / 5, "currency": "CNY" });
    let cure = ["cure", first, "--refund", "10000", "--note", "a part of the price"];
    for answered in ["rejected", "certificated"] {
        let offered = provider.json(&cure);
        assert_eq!((&offered["state"], &offered["refund"]), (&json!("curing"), &refund), "{offered}");
        assert_eq!(provider.json(&cure), offered, "offering again is the same offer");
        let said = lab.done(&["orders"]);
        assert!(said.contains("CNY 500.00  refund CNY 100.00  curing until "), "{said}");
        let answer = if answered == "rejected" { lab.json(&reject) } else { lab.json(&["accept", first]) };
        assert_eq!(answer["state"], answered, "{answer}");
        assert_eq!(answer["refund"], if answered == "rejected" { Value::Null } else { refund.clone() });
    }
    let said = lab.refused(&reject);
    assert!(said.contains("is certificated, and this can be done when it is delivering or delivered"), "{said}");

    let said = lab.done(&["api", "GET", &format!("/v1/orders/{second}/contract/rendering?lang=zh&format=text")]);
    assert!(said.contains("合同") && !said.starts_with('"'), "what is no JSON is given as it is: {said}");
    let all = lab.json(&["orders"]);
    assert_eq!(all, lab.api("GET", "/v1/orders", &Value::Null), "nothing of them is left out");
    let page = lab.json(&["orders", "--limit", "1"]);
    assert_eq!((&page["items"][0]["id"], page["items"][1].get("id")), (&json!(first), None), "{page}");
    let said = lab.done(&["orders", "--limit", "1", "--cursor", page["next"].as_str().unwrap()]);
    assert!(said.starts_with(&format!("{second}  {DATASET}@1  verse-lab  CNY 500.00  delivered until 2")), "{said}");
    assert_eq!(said.lines().count(), 1, "that was the last: {said}");
    let said = lab.done(&["licences"]);
    assert!(said.contains(&format!("  {DATASET}@1  verse-lab  {second}  active")), "{said}");
    assert_eq!(provider.done(&["licences"]).trim(), "there is none");
    let said = lab.done(&["accept", second]);
    assert!(said.starts_with("accepted poetry-house/poems@1: ") && said.contains("CNY 500.00"), "{said}");
    let said = lab.done(&["accept", second]);
    assert!(said.contains("was accepted before") && said.contains("nothing was done now"), "{said}");
    assert_eq!(lab.json(&["accept", second])["state"], "certificated");
    exchange.stop();
    exchange.audit();
}
