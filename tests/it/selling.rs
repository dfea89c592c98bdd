//! What a provider does by commands: it puts versions on the board and takes them off, and cures what was rejected.

use serde_json::{Value, json};

use crate::command_line::{Poems, assess, deposit};
use crate::paying::{DATASET, PRICE, put_on_the_board};
use crate::support::process::{Exchange, organisation};

#[tokio::test]
async fn a_listing_is_opened_paused_resumed_and_withdrawn_by_commands_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    let work = tempfile::tempdir().unwrap();
    let poems = Poems::new(work.path(), 1);
    let published = provider.json(&poems.publish());
    let terms = published["terms_id"].as_str().unwrap();
    let open = ["listing", "open", DATASET, "--terms", terms];

    let said = provider.refused(&open);
    assert!(said.contains("the version was never assessed"), "{said}");
    assess(&compliance, DATASET, &published["version"]);
    let said = provider.refused(&[&open[..4], &["terms_01jd0000000000000000000000"]].concat());
    assert!(said.contains("--terms: terms terms_01jd0000000000000000000000 does not exist"), "{said}");
    let usage = provider.run(&[&open[..4], &["terms_…"]].concat());
    assert_eq!(usage.status.code(), Some(2), "that is the identifier of no terms");
    let opened = provider.json(&open);
    assert_eq!(opened["state"], "listed", "{opened}");
    assert_eq!(provider.json(&open), opened, "opening again is the same listing");
    let id = opened["id"].as_str().unwrap();
    let said = lab.refused(&["listing", "pause", id]);
    assert!(said.contains("only members of the provider may do this"), "{said}");
    for (step, state) in [("pause", "paused"), ("resume", "listed")] {
        let advanced = provider.json(&["listing", step, DATASET]);
        assert_eq!((&advanced["id"], &advanced["state"]), (&opened["id"], &json!(state)), "{advanced}");
        let said = provider.done(&["listing", step, id]);
        assert!(said.contains(&format!("{id} is {state}; nothing was done now")), "{said}");
    }

    std::fs::write(&poems.terms, crate::support::terms(2 * PRICE).to_string()).unwrap();
    let terms_of_another = provider.json(&poems.publish())["terms_id"].as_str().unwrap().to_string();
    let another = provider.json(&["listing", "open", "poetry-house/poems@1", "--terms", &terms_of_another]);
    let another = another["id"].as_str().unwrap();
    let said = provider.refused(&["listing", "pause", DATASET]);
    assert!(said.contains(&format!("several listings; name one of {id}, {another}")), "{said}");
    let reason = "the price was mistaken";
    let withdraw = ["listing", "withdraw", id, "--reason", reason, "--successor"];
    let said = provider.refused(&[&withdraw[..], &[id]].concat());
    assert!(said.contains(&format!("--successor: {id} is the listing itself")), "{said}");
    let withdrawn = provider.json(&[&withdraw[..], &[another]].concat());
    assert_eq!((&withdrawn["id"], &withdrawn["state"]), (&opened["id"], &json!("delisted")), "{withdrawn}");
    let shown = lab.api("GET", &format!("/v1/listings/{id}"), &Value::Null);
    assert_eq!((&shown["state_reason"], &shown["successor"]), (&json!(reason), &json!(another)), "{shown}");
    let said = provider.refused(&open);
    let why = format!("this version was listed under these terms as {id}, which is delisted; resume that listing if");
    assert!(said.contains(&why), "{said}");

    let said = lab.done(&["listing", "list", DATASET]);
    let lines = [
        format!("{id}  {DATASET}@1  {terms}  CNY 500.00  delisted"),
        format!("{another}  {DATASET}@1  {terms_of_another}  CNY 1000.00  listed"),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), lines);
    let listed = lab.api("GET", &format!("/v1/listings?dataset={DATASET}"), &Value::Null);
    assert_eq!(lab.json(&["listing", "list", DATASET])["items"], listed["items"], "nothing of them is left out");
    provider.done(&["listing", "withdraw", DATASET]);
    let said = provider.refused(&["listing", "resume", DATASET]);
    assert!(said.contains("a listing of poetry-house/poems that was not withdrawn does not exist"), "{said}");
    exchange.stop();
    exchange.audit();
}

#[tokio::test]
async fn what_was_rejected_is_delivered_again_and_refunded_by_commands_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", PRICE);
    let work = tempfile::tempdir().unwrap();
    put_on_the_board(&provider, &compliance, work.path(), &crate::support::terms(PRICE));
    let bought = lab.json(&["buy", DATASET, "--use", "pretraining of a small language model"]);
    let order = bought["order"].as_str().unwrap();
    lab.json(&["download", DATASET, "--to", &work.path().join("target").display().to_string()]);
    let reject = ["reject", order, "--reason", "half of the poems are missing"];
    let cure = ["cure", order, "--note", "the other half follows"];
    let redeliver = ["redeliver", order, "--note", "the other half is there"];
    let refund = [&cure[..], &["--refund", "50000"]].concat();

    let said = provider.refused(&cure);
    assert!(said.contains("is delivered, and this can be done when it is rejected"), "{said}");
    lab.json(&reject);
    let said = lab.refused(&cure);
    assert!(said.contains("only members of the provider may do this"), "{said}");
    let said = provider.refused(&redeliver);
    assert!(said.contains("is rejected, and this can be done when it is curing"), "{said}");
    let said = provider.refused(&[&cure[..], &["--refund", "50001"]].concat());
    assert!(said.contains("--refund: CNY 500.01 cannot be refunded of CNY 500.00"), "{said}");
    let said = provider.refused(&["cure", order, "--note", " "]);
    assert!(said.contains("--note: this is 0 characters long"), "{said}");
    let usage = provider.run(&cure[..2]);
    assert_eq!(usage.status.code(), Some(2), "what it offers is for the provider to say");
    let answered_once = |command: &[&str], state: &str| {
        let answered = provider.json(command);
        assert_eq!((&answered["order"], &answered["state"]), (&json!(order), &json!(state)), "{answered}");
        assert_eq!(provider.json(command), answered, "answering again is the same answer");
        let said = provider.done(command);
        assert!(said.contains(&format!("is {state}; nothing was done now")), "{said}");
    };
    answered_once(&cure, "curing");
    answered_once(&redeliver, "delivering");
    lab.json(&reject);
    answered_once(&refund, "refunded");
    let said = lab.done(&["licences"]);
    assert!(said.contains(&format!("  {order}  revoked")), "{said}");
    exchange.stop();
    exchange.audit();
}
