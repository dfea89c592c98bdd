//! What a credential that was revoked a moment ago does at an instance that has not learnt of it yet: nothing that outlives it.

use corpex::db::Conn;
use corpex::error::{Error, Kind};
use corpex::identity::{self, Caller, Member, PlatformRole, Role};
use corpex::ledger::deposits::{self, NewDeposit};
use corpex::ledger::withdrawals::{self, NewWithdrawal, Source};
use corpex::market::vouchers;
use corpex::types::{Currency, Money};
use serde_json::{Value, json};

use crate::support::{Actor, PASSWORD, TestApp, refused};

/// Gives the admin of verse-lab the role of an admin, for a caller whom an instance remembers.
async fn give_role(app: &TestApp, remembered: &Caller) -> Result<Member, Error> {
    let (caller, now) = (remembered.clone(), app.clock.now());
    let put = move |c: &mut Conn| identity::put_member(c, &caller, "verse-lab", &caller.email, Role::Admin, now);
    app.app().db.write(put).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_revoked_a_moment_ago_gives_no_role_and_moves_no_money_out_of_the_wallet() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 1000).await;
    let remembered = lab.caller().await;
    let programme = lab.announce(100, 1000, 500).await.parse().unwrap();
    give_role(&app, &remembered).await.unwrap();
    let tokens = lab.get("/v1/tokens").await.unwrap();
    let token = format!("/v1/tokens/{}", tokens["items"][0]["id"].as_str().unwrap());
    let _: Value = lab.client.delete(token).send().await.unwrap();

    refused(give_role(&app, &remembered).await, Kind::Unauthenticated, None);
    let (amount, now) = (Money::new(100, Currency::CNY), app.clock.now());
    let wanted = NewWithdrawal { amount, from: Source::Wallet, pay_to: "ICBC 1".to_string() };
    let caller = remembered.clone();
    let ask = move |c: &mut Conn| withdrawals::request(c, &caller, "verse-lab", &wanted, now);
    refused(app.app().db.write(ask).await, Kind::Unauthenticated, None);
    let fund = move |c: &mut Conn| vouchers::fund(c, &remembered, programme, amount, now);
    refused(app.app().db.write(fund).await, Kind::Unauthenticated, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_signed_out_a_moment_ago_gives_no_role() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 0).await;
    let person = json!({ "email": lab.email, "password": PASSWORD });
    let session: Value = app.anonymous().post("/v1/sessions").json(&person).unwrap().send().await.unwrap();
    let client = app.anonymous().with_token(session["access_token"].as_str().unwrap());
    let signed_in = Actor { client, ..lab };
    let remembered = signed_in.caller().await;
    give_role(&app, &remembered).await.unwrap();
    let _: Value = signed_in.client.delete("/v1/sessions/current").send().await.unwrap();

    refused(give_role(&app, &remembered).await, Kind::Unauthenticated, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_an_operator_a_moment_ago_credits_nobody() {
    let app = TestApp::start().await;
    app.lab("verse-lab", 0).await;
    let remembered = app.staff("teller@exchange.test", PlatformRole::Operator).await.caller().await;
    let credit = |reference: &str| {
        let (caller, config, now) = (remembered.clone(), app.app().config.clone(), app.clock.now());
        let amount = Money::new(100, Currency::CNY);
        let wanted = NewDeposit { organisation: "verse-lab".to_string(), amount, reference: reference.to_string() };
        app.app().db.write(move |c| deposits::record(c, &caller, &config, &wanted, now))
    };
    credit("bank-1").await.unwrap();
    let (email, now) = (remembered.email.clone(), app.clock.now());
    app.app().db.write(move |c| identity::remove_platform_role(c, &email, now)).await.unwrap();

    refused(credit("bank-2").await, Kind::Unauthenticated, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_an_admin_a_moment_ago_invites_nobody_at_another_instance() {
    let app = TestApp::start().await;
    let (lab, helper) = (app.lab("verse-lab", 0).await, app.organisation("helper-house").await);
    helper.accept(&lab.invite("verse-lab", "admin").await.unwrap()).await.unwrap();
    let other = app.another().await;
    let there = helper.at(&other);
    let invited = there.invite("verse-lab", "reader").await.unwrap();
    let member = json!({ "email": helper.email, "role": "reader" });
    let _: Value = lab.client.put("/v1/organisations/verse-lab/members").json(&member).unwrap().send().await.unwrap();

    refused(there.invite("verse-lab", "admin").await, Kind::Forbidden, None);
    let invitation = format!("/v1/organisations/verse-lab/invitations/{}", invited["id"].as_str().unwrap());
    refused(there.client.delete(invitation).send::<Value>().await, Kind::Forbidden, None);
    other.stop().await.unwrap();
}
