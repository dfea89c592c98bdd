//! Orders that a command signs and pays: with a voucher, and a renewal that was ordered over the API.

use serde_json::{Value, json};

use crate::command_line::{assess, deposit, papers};
use crate::support::process::{Exchange, organisation};

const PRICE: i64 = 50_000;
/// What the voucher pays of it.
const SUBSIDY: i64 = 15_000;

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
    let (terms, provenance) = papers(work.path());
    let mut document = crate::support::terms(PRICE);
    document["duration_days"] = json!(30);
    std::fs::write(&terms, document.to_string()).unwrap();
    let source = work.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a.jsonl"), "{}\n").unwrap();
    let (dataset, folder) = ("poetry-house/poems", source.display().to_string());
    let about = ["--language", "zh", "--domain", "education"];
    let publish = ["publish", &folder, "--dataset", dataset, "--terms", &terms, "--provenance", &provenance];
    let published = provider.json(&[&publish[..], &about].concat());
    assess(&compliance, dataset, &published["version"]);
    let listing = json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] });
    provider.api("POST", "/v1/listings", &listing);
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

    let buy = [&["buy", dataset, "--use", "pretraining of a small language model"], &voucher[..]].concat();
    let bought = lab.json(&buy);
    assert_eq!(lab.json(&buy), bought, "buying the same again is the same purchase");
    let said = lab.done(&buy);
    assert!(said.contains("was bought before") && said.contains("nothing was paid now"), "{said}");
    let said = lab.refused(&buy[..buy.len() - voucher.len()]);
    assert!(said.contains("--voucher: this was bought before") && said.contains("--again TEXT"), "{said}");
    assert_eq!(wallet(), 2 * PRICE - (PRICE - SUBSIDY));

    let (order, entitlement) = (bought["order"].as_str().unwrap(), bought["entitlement"].as_str().unwrap());
    lab.json(&["download", dataset, "--to", &work.path().join("target").display().to_string()]);
    lab.api("POST", &format!("/v1/orders/{order}/acceptance"), &Value::Null);
    let renewal = lab.api("POST", &format!("/v1/entitlements/{entitlement}/renewals"), &Value::Null);
    let pay = ["pay", renewal["id"].as_str().unwrap()];
    let said = bureau.refused(&pay);
    assert!(said.contains("does not exist, or you may not see it"), "{said}");
    let paid = lab.json(&pay);
    assert_eq!((&paid["order"], &paid["entitlement"]), (&renewal["id"], &bought["entitlement"]), "{paid}");
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
