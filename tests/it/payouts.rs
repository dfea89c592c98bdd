//! Money in and out: what the bank received and paid, with two operators where it is much, and how errors are undone.

use corpex::error::{Error, Kind};
use corpex::identity::PlatformRole;
use corpex::types::DAY;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, at_once, refused};

/// An exchange where an operator moves 1,000 fen a day alone, and its second one.
async fn exchange() -> (TestApp, Actor) {
    let app = TestApp::start_with(|config| config.approval_above = 1000).await;
    let second = app.staff("second@exchange.test", PlatformRole::Operator).await;
    (app, second)
}

fn path(thing: &Value, step: &str) -> String {
    let id = thing["id"].as_str().unwrap();
    let list = if id.starts_with("deposit") { "deposits" } else { "withdrawals" };
    format!("/v1/{list}/{id}/{step}")
}

async fn decide(operator: &Actor, thing: &Value, step: &str) -> Result<Value, Error> {
    let body = match step {
        "approval" | "cancellation" | "processing" => Value::Null,
        "execution" => json!({ "reference": format!("ICBC {}", thing["id"]) }),
        _ => json!({ "reason": "it was for somebody else" }),
    };
    operator.effect(path(thing, step), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_deposit_moves_nothing_until_a_second_operator_approves() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 1000).await;
    let large = app.operator.deposit("verse-lab", 1001, "bank 1").await;
    assert_eq!((large["state"].as_str(), lab.balance("wallet").await), (Some("awaiting_approval"), 1000));
    refused(decide(&app.operator, &large, "approval").await, Kind::Forbidden, None);
    refused(decide(&app.compliance, &large, "approval").await, Kind::Forbidden, None);
    refused(decide(&app.operator, &large, "reversal").await, Kind::WrongState, None);
    assert_eq!(lab.balance("wallet").await, 1000);
    let approved = decide(&second, &large, "approval").await.unwrap();
    assert_eq!((approved["state"].as_str(), lab.balance("wallet").await), (Some("posted"), 2001));
    refused(decide(&second, &large, "approval").await, Kind::WrongState, None);

    let wrong = app.operator.deposit("verse-lab", 5000, "bank 2").await;
    let twice = json!({ "organisation": "verse-lab", "amount": wrong["amount"], "reference": "bank 2" });
    refused(second.effect("/v1/deposits", &twice).await, Kind::AlreadyExists, Some("reference"));
    let keyless = second.post(path(&wrong, "refusal"), &json!({ "reason": "it was for somebody else" })).await;
    refused(keyless, Kind::IdempotencyKeyRequired, Some("Idempotency-Key"));
    assert_eq!(decide(&second, &wrong, "refusal").await.unwrap()["state"], "refused");
    let again = second.deposit("verse-lab", 500, "bank 2").await;
    assert_eq!(again["state"], "posted", "what was refused never was");
    assert_eq!(lab.balance("wallet").await, 2501);

    let seen = lab.get("/v1/deposits").await.unwrap();
    let states: Vec<_> = seen["items"].as_array().unwrap().iter().map(|d| d["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["posted", "posted", "refused", "posted"]);
    assert_eq!(
        seen["items"][2]["transaction_id"],
        Value::Null,
        "what was refused is not what its reference paid for later"
    );
    assert_eq!(seen["items"][3]["transaction_id"], again["transaction_id"]);
    let stranger = app.lab("other-lab", 0).await;
    assert_eq!(stranger.get("/v1/deposits").await.unwrap()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_moves_alone_is_summed_over_a_day() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 0).await;
    let state = |moved: &Value| moved["state"].as_str().unwrap().to_string();
    assert_eq!(state(&app.operator.deposit("verse-lab", 600, "bank 1").await), "posted");
    assert_eq!(state(&app.operator.deposit("verse-lab", 400, "bank 2").await), "posted");
    let beyond = app.operator.deposit("verse-lab", 1, "bank 3").await;
    assert_eq!(state(&beyond), "awaiting_approval", "in parts it is as much");
    assert_eq!(state(&decide(&second, &beyond, "approval").await.unwrap()), "posted");
    let withdrawal = lab.withdraw(1).await.unwrap();
    let taken_up = decide(&app.operator, &withdrawal, "processing").await.unwrap();
    assert_eq!(state(&taken_up), "awaiting_approval", "money that leaves counts with money that comes");

    let wrong = second.deposit("verse-lab", 500, "bank 4").await;
    assert_eq!(
        state(&wrong),
        "posted",
        "what others recorded, and what was only approved, is not the second one's own"
    );
    assert_eq!(state(&decide(&second, &wrong, "reversal").await.unwrap()), "reversed");
    assert_eq!(state(&second.deposit("verse-lab", 1, "bank 5").await), "awaiting_approval", "a way back is a way, too");

    app.clock.advance(DAY);
    assert_eq!(state(&app.operator.deposit("verse-lab", 1000, "bank 6").await), "posted", "a new day");
    assert_eq!(state(&app.operator.deposit("verse-lab", 1, "bank 7").await), "awaiting_approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_held_until_the_bank_has_paid() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 900).await;
    let withdrawal = lab.withdraw(600).await.unwrap();
    assert_eq!((lab.balance("wallet").await, lab.balance("held").await), (300, 600));
    refused(lab.withdraw(301).await, Kind::InsufficientFunds, Some("amount.amount_minor"));
    refused(decide(&second, &withdrawal, "execution").await, Kind::WrongState, None);
    let taken_up = decide(&second, &withdrawal, "processing").await.unwrap();
    assert_eq!((taken_up["state"].as_str(), lab.balance("held").await), (Some("processing"), 600));
    refused(decide(&lab, &withdrawal, "cancellation").await, Kind::WrongState, None);
    for step in ["processing", "refusal"] {
        refused(decide(&app.operator, &withdrawal, step).await, Kind::WrongState, None);
    }
    let paid = decide(&second, &withdrawal, "execution").await.unwrap();
    assert_eq!((paid["state"].as_str(), lab.balance("held").await), (Some("executed"), 0));
    let postings = lab.get("/v1/organisations/verse-lab/postings").await.unwrap();
    let last = postings["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["kind"], &last["reference"]), (&json!("withdrawal"), &paid["reference"]), "{last}");

    let next = lab.withdraw(100).await.unwrap();
    let used = json!({ "reference": paid["reference"] });
    decide(&second, &next, "processing").await.unwrap();
    refused(app.operator.effect(path(&next, "execution"), &used).await, Kind::AlreadyExists, Some("reference"));
    assert_eq!(decide(&second, &next, "reversal").await.unwrap()["state"], "reversed", "the bank does not pay it");
    let other = lab.withdraw(100).await.unwrap();
    assert_eq!(decide(&lab, &other, "cancellation").await.unwrap()["state"], "cancelled");
    refused(decide(&second, &other, "processing").await, Kind::WrongState, None);
    let last = lab.withdraw(300).await.unwrap();
    assert_eq!(decide(&app.operator, &last, "refusal").await.unwrap()["state"], "refused");
    refused(decide(&lab, &last, "cancellation").await, Kind::WrongState, None);
    assert_eq!((lab.balance("wallet").await, lab.balance("held").await), (300, 0));
    let listed = lab.get("/v1/withdrawals").await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_cancellation_and_two_operators_who_take_a_payout_up_at_once_one_wins() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 8).await;
    let mut withdrawals = Vec::new();
    for _ in 0..8 {
        withdrawals.push(lab.withdraw(1).await.unwrap());
    }
    let steps = withdrawals.iter().flat_map(|withdrawal| {
        [(&lab, "cancellation"), (&app.operator, "processing"), (&second, "processing")].map(|(who, step)| {
            let (who, withdrawal) = (who.clone(), withdrawal.clone());
            async move { decide(&who, &withdrawal, step).await.is_ok() }
        })
    });
    let won = at_once(steps.collect::<Vec<_>>()).await;
    for (withdrawal, won) in withdrawals.iter().zip(won.chunks(3)) {
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{withdrawal}: {won:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_withdrawal_is_for_the_bank_when_a_second_operator_approves() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 900).await;
    decide(&second, &app.operator.deposit("verse-lab", 9000, "bank 1").await, "approval").await.unwrap();
    let withdrawal = lab.withdraw(9000).await.unwrap();
    let taken_up = decide(&app.operator, &withdrawal, "processing").await.unwrap();
    assert_eq!((taken_up["state"].as_str(), lab.balance("held").await), (Some("awaiting_approval"), 9000));
    refused(decide(&app.operator, &withdrawal, "approval").await, Kind::Forbidden, None);
    refused(decide(&app.operator, &withdrawal, "execution").await, Kind::WrongState, None);
    assert_eq!(decide(&second, &withdrawal, "approval").await.unwrap()["state"], "processing");
    refused(decide(&lab, &withdrawal, "cancellation").await, Kind::WrongState, None);
    assert_eq!(decide(&app.operator, &withdrawal, "execution").await.unwrap()["state"], "executed");
    assert_eq!((lab.balance("wallet").await, lab.balance("held").await), (900, 0));

    // The bank sends it back.
    assert_eq!(decide(&app.operator, &withdrawal, "reversal").await.unwrap()["state"], "reversing");
    refused(decide(&app.operator, &withdrawal, "approval").await, Kind::Forbidden, None);
    assert_eq!(decide(&second, &withdrawal, "refusal").await.unwrap()["state"], "executed");
    assert_eq!(lab.balance("wallet").await, 900);
    assert_eq!(decide(&second, &withdrawal, "reversal").await.unwrap()["state"], "reversing");
    assert_eq!(decide(&app.operator, &withdrawal, "approval").await.unwrap()["state"], "reversed");
    assert_eq!((lab.balance("wallet").await, lab.balance("held").await), (9900, 0));
    refused(decide(&app.operator, &withdrawal, "reversal").await, Kind::WrongState, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bank_does_not_pay_goes_back_when_a_second_operator_approves() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 0).await;
    decide(&second, &app.operator.deposit("verse-lab", 9000, "bank 1").await, "approval").await.unwrap();
    let early = lab.withdraw(9000).await.unwrap();
    decide(&app.operator, &early, "processing").await.unwrap();
    assert_eq!(decide(&lab, &early, "cancellation").await.unwrap()["state"], "cancelled", "one operator is not enough");
    refused(decide(&second, &early, "approval").await, Kind::WrongState, None);

    let withdrawal = lab.withdraw(9000).await.unwrap();
    decide(&app.operator, &withdrawal, "processing").await.unwrap();
    decide(&second, &withdrawal, "approval").await.unwrap();
    assert_eq!(decide(&second, &withdrawal, "reversal").await.unwrap()["state"], "reversing");
    let report = app.operator.get("/v1/reconciliation").await.unwrap();
    assert_eq!(report["differences"], json!([]), "what is held is what waits for the bank");
    assert_eq!(decide(&app.operator, &withdrawal, "refusal").await.unwrap()["state"], "processing", "it does pay");
    assert_eq!(decide(&app.operator, &withdrawal, "reversal").await.unwrap()["state"], "reversing");
    refused(decide(&app.operator, &withdrawal, "approval").await, Kind::Forbidden, None);
    assert_eq!(decide(&second, &withdrawal, "approval").await.unwrap()["state"], "reversed");
    assert_eq!((lab.balance("wallet").await, lab.balance("held").await), (9000, 0));
    let postings = lab.get("/v1/organisations/verse-lab/postings").await.unwrap();
    let kinds = postings["items"].as_array().unwrap().iter().map(|line| line["kind"].as_str().unwrap());
    assert!(kinds.clone().all(|kind| kind != "withdrawal"), "nothing left the books: {:?}", kinds.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_deposit_is_taken_back_once_by_its_opposite_unless_it_was_spent() {
    let (app, second) = exchange().await;
    let lab = app.lab("verse-lab", 0).await;
    let wrong = app.operator.deposit("verse-lab", 700, "bank 1").await;
    let without = json!({ "reason": " " });
    refused(app.operator.effect(path(&wrong, "reversal"), &without).await, Kind::Invalid, Some("reason"));
    let spent = lab.withdraw(1).await.unwrap();
    refused(decide(&second, &wrong, "reversal").await, Kind::InsufficientFunds, None);
    assert_eq!(lab.balance("wallet").await, 699, "nothing moved");
    decide(&lab, &spent, "cancellation").await.unwrap();
    assert_eq!(decide(&second, &wrong, "reversal").await.unwrap()["state"], "reversed");
    refused(decide(&app.operator, &wrong, "reversal").await, Kind::WrongState, None);
    let postings = lab.get("/v1/organisations/verse-lab/postings").await.unwrap();
    let last = postings["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((last["kind"].as_str(), last["amount"]["amount_minor"].as_i64()), (Some("reversal"), Some(-700)));
    assert_eq!(last["reference"], wrong["transaction_id"], "it refers to what it reverses");

    let large = app.operator.deposit("verse-lab", 7000, "bank 2").await;
    decide(&second, &large, "approval").await.unwrap();
    decide(&second, &large, "reversal").await.unwrap();
    refused(decide(&second, &large, "approval").await, Kind::Forbidden, None);
    assert_eq!(decide(&app.operator, &large, "refusal").await.unwrap()["state"], "posted");
    assert_eq!(lab.balance("wallet").await, 7000, "it was right after all");
    decide(&second, &large, "reversal").await.unwrap();
    assert_eq!(decide(&app.operator, &large, "approval").await.unwrap()["state"], "reversed");
    assert_eq!(lab.balance("wallet").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_paid_out_what_was_settled_and_not_a_fen_more() {
    let (app, second) = exchange().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 1000).await;
    let lab = app.lab("verse-lab", 1000).await;
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    refused(provider.withdraw_from("payable", 1).await, Kind::InsufficientFunds, Some("amount.amount_minor"));
    lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    lab.effect(format!("/v1/orders/{order}/acceptance"), &Value::Null).await.unwrap();
    assert_eq!(provider.balance("payable").await, 970);
    refused(provider.withdraw_from("payable", 971).await, Kind::InsufficientFunds, Some("amount.amount_minor"));
    let withdrawal = provider.withdraw_from("payable", 970).await.unwrap();
    for step in ["processing", "execution"] {
        decide(&second, &withdrawal, step).await.unwrap();
    }
    assert_eq!((provider.balance("payable").await, provider.balance("held").await), (0, 0));
    decide(&app.operator, &withdrawal, "reversal").await.unwrap();
    decide(&second, &withdrawal, "approval").await.unwrap();
    assert_eq!(provider.balance("payable").await, 970, "what came back can be paid out again");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_organisation_ten_requests_wait_at_most() {
    let (app, _) = exchange().await;
    let lab = app.lab("verse-lab", 900).await;
    let oldest = lab.withdraw(1).await.unwrap();
    for _ in 1..10 {
        lab.withdraw(1).await.unwrap();
    }
    let error = refused(lab.withdraw(1).await, Kind::WrongState, None);
    assert!(error.detail.contains("wait to be taken up") && error.remedy.is_some(), "{error}");
    assert_eq!(lab.balance("held").await, 10);
    decide(&app.operator, &oldest, "processing").await.unwrap();
    lab.withdraw(1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawals_that_say_too_little_are_refused() {
    let (app, _) = exchange().await;
    let lab = app.lab("verse-lab", 900).await;
    let wanted = json!({ "amount": { "amount_minor": 1, "currency": "CNY" }, "from": "wallet", "pay_to": "ICBC 1" });
    let all = "/v1/organisations/verse-lab/withdrawals";
    for (pointer, value, field) in [
        ("/amount/amount_minor", json!(0), "amount.amount_minor"),
        ("/amount/amount_minor", json!(i64::MIN), "amount.amount_minor"),
        ("/pay_to", json!(""), "pay_to"),
        ("/pay_to", json!("a\nb"), "pay_to"),
    ] {
        let mut bad = wanted.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        refused(lab.effect(all, &bad).await, Kind::Invalid, Some(field));
    }
    for (pointer, value) in [("/from", json!("escrow")), ("/amount/currency", json!("XYZ"))] {
        let mut bad = wanted.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert_eq!(lab.effect(all, &bad).await.unwrap_err().kind, Kind::Invalid);
    }
    let dollars = json!({ "amount": { "amount_minor": 1, "currency": "USD" }, "from": "wallet", "pay_to": "ICBC 1" });
    refused(lab.effect(all, &dollars).await, Kind::InsufficientFunds, Some("amount.amount_minor"));
    let unkeyed = lab.post(all, &wanted).await;
    refused(unkeyed, Kind::IdempotencyKeyRequired, Some("Idempotency-Key"));
    let withdrawal = lab.withdraw(1).await.unwrap();
    let nothing = json!({ "reference": "" });
    refused(app.operator.effect(path(&withdrawal, "execution"), &nothing).await, Kind::Invalid, Some("reference"));
}
