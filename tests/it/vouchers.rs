//! Vouchers: a city bureau pays a part of what labs buy, for whom and as far as its programme says.

use corpex::error::{Error, Kind};
use serde_json::{Value, json};

use crate::support::{Actor, Published, TestApp, terms};

/// A refusal of the voucher for this reason, with something to act on.
#[track_caller]
fn refused(outcome: Result<Value, Error>, kind: Kind, words: &str) {
    let error = outcome.expect_err("this had to be refused");
    assert_eq!((error.kind, error.field.as_deref()), (kind, Some("voucher")), "{error:?}");
    assert!(error.detail.contains(words) && error.remedy.is_some(), "{error:?}");
}

fn fen(amount: &Value) -> i64 {
    amount["amount_minor"].as_i64().unwrap()
}

async fn pool(app: &TestApp, programme: &str) -> i64 {
    let shown: Value = app.anonymous().get(format!("/v1/voucher-programmes/{programme}")).send().await.unwrap();
    fen(&shown["pool"])
}

async fn movements(funder: &Actor, programme: &str) -> Vec<Value> {
    let path = format!("/v1/voucher-programmes/{programme}/movements");
    funder.get(path).await.unwrap()["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_programme_pays_its_part_of_the_price_up_to_a_cap_per_buyer() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 10_000).await);
    let (offer, lab) = (app.listed_corpus(&provider, "poems", 1001).await, app.lab("verse-lab", 5000).await);
    let programme = bureau.announce(1000, 3000, 500).await;
    assert_eq!((bureau.balance("wallet").await, pool(&app, &programme).await), (9000, 1000));

    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay_with(&programme, &order).await.unwrap();
    assert_eq!(fen(&paid["order"]["price"]), 1001, "the price stays what was agreed");
    assert_eq!((lab.balance("wallet").await, pool(&app, &programme).await), (5000 - 701, 700));
    let second = lab.order(&offer).await.unwrap();
    lab.pay_with(&programme, &second).await.unwrap();
    assert_eq!(pool(&app, &programme).await, 500, "the cap leaves 200 of 300");
    let third = lab.order(&offer).await.unwrap();
    refused(lab.pay_with(&programme, &third).await, Kind::Invalid, "has used CNY 5.00");
    lab.pay(&third).await.unwrap();

    let told = movements(&bureau, &programme).await;
    let lines: Vec<_> =
        told.iter().map(|m| (m["kind"].as_str().unwrap(), fen(&m["amount"]), fen(&m["remaining"]))).collect();
    assert_eq!(lines, [("funding", 1000, 1000), ("use", -300, 700), ("use", -200, 500)]);
    assert_eq!((&told[1]["buyer"], &told[1]["order_id"]), (&json!("verse-lab"), &json!(order)));
    let contract = lab.get(format!("/v1/orders/{order}/contract")).await.unwrap();
    let contract: corpex::signing::Envelope = serde_json::from_value(contract).unwrap();
    assert_eq!(told[1]["contract_sha256"], contract.pae_sha256().to_string());
    assert_eq!(
        lab.get(format!("/v1/voucher-programmes/{programme}/movements")).await.unwrap_err().kind,
        Kind::NotFound
    );
    let file = format!("/v1/voucher-programmes/{programme}/movements?format=csv");
    let file = app.operator.client.get(file).text().await.unwrap();
    let rows: Vec<_> = file.split_terminator("\r\n").collect();
    assert_eq!(rows.len(), 4);
    assert!(rows[3].contains(&format!(",use,{second},")) && rows[3].ends_with(",-2.00,-200,5.00,500,CNY"), "{file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_is_for_its_period_domain_currency_and_pool_alone() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 10_000).await);
    let (offer, lab) = (app.listed_corpus(&provider, "poems", 1000).await, app.lab("verse-lab", 5000).await);
    let announced = |change: fn(&mut Value)| {
        let mut wanted = json!({
            "organisation": "city-bureau", "name": "语料券", "pool": { "amount_minor": 100, "currency": "CNY" },
            "rate_basis_points": 1000, "cap_minor": 500, "domains": ["education"],
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2126-01-01T00:00:00Z",
        });
        change(&mut wanted);
        let bureau = bureau.clone();
        async move { bureau.effect("/v1/voucher-programmes", &wanted).await.map(|p| p["id"].as_str().unwrap().to_string()) }
    };
    let order = lab.order(&offer).await.unwrap();
    let past = announced(|p| p["ends_at"] = json!("2026-01-02T00:00:00Z")).await.unwrap();
    refused(lab.pay_with(&past, &order).await, Kind::Invalid, "until 2026-01-02");
    let law = announced(|p| p["domains"] = json!(["law", "finance"])).await.unwrap();
    refused(lab.pay_with(&law, &order).await, Kind::Invalid, "is for finance, law");
    let poor = announced(|p| p["pool"]["amount_minor"] = json!(99)).await.unwrap();
    refused(lab.pay_with(&poor, &order).await, Kind::InsufficientFunds, "holds CNY 0.99, and CNY 1.00 is needed");
    let nothing = "programme_01jd0000000000000000000000";
    refused_unknown(lab.pay_with(nothing, &order).await);
    let free = app.listed_corpus(&provider, "prose", 0).await;
    let free = lab.order(&free).await.unwrap();
    refused(lab.pay_with(&poor, &free).await, Kind::Invalid, "costs nothing");
    assert_eq!(lab.balance("wallet").await, 5000, "nothing moved");

    let more = json!({ "amount": { "amount_minor": 1, "currency": "CNY" } });
    let stranger = lab.effect(format!("/v1/voucher-programmes/{poor}/funding"), &more).await.unwrap_err();
    assert_eq!(stranger.kind, Kind::Forbidden);
    bureau.effect(format!("/v1/voucher-programmes/{poor}/funding"), &more).await.unwrap();
    for (fen, kind) in [(0, Kind::Invalid), (1_000_000, Kind::InsufficientFunds)] {
        let wrong = json!({ "amount": { "amount_minor": fen, "currency": "CNY" } });
        let error = bureau.effect(format!("/v1/voucher-programmes/{poor}/funding"), &wrong).await.unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (kind, Some("amount.amount_minor")), "{error:?}");
    }
    let late = bureau.effect(format!("/v1/voucher-programmes/{past}/funding"), &more).await.unwrap_err();
    assert!(late.kind == Kind::WrongState && late.remedy.is_some(), "{late:?}");
    lab.pay_with(&poor, &order).await.unwrap();
    assert_eq!((pool(&app, &poor).await, lab.balance("wallet").await), (0, 4100));

    let early = bureau.effect(format!("/v1/voucher-programmes/{law}/return"), &Value::Null).await.unwrap_err();
    assert_eq!(early.kind, Kind::WrongState);
    bureau.effect(format!("/v1/voucher-programmes/{past}/return"), &Value::Null).await.unwrap();
    assert_eq!(pool(&app, &past).await, 0);
    let again = bureau.effect(format!("/v1/voucher-programmes/{past}/return"), &Value::Null).await.unwrap_err();
    assert!(again.kind == Kind::WrongState && again.remedy.is_some(), "{again:?}");
    for (change, field) in [
        ((|p| p["rate_basis_points"] = json!(3001)) as fn(&mut Value), "rate_basis_points"),
        (|p| p["cap_minor"] = json!(0), "cap_minor"),
        (|p| p["domains"] = json!([]), "domains"),
        (|p| p["ends_at"] = p["starts_at"].clone(), "ends_at"),
        (|p| p["pool"]["amount_minor"] = json!(1_000_000), "pool.amount_minor"),
        (|p| p["pool"]["amount_minor"] = json!(0), "pool.amount_minor"),
        (|p| p["name"] = json!(""), "name"),
    ] {
        assert_eq!(announced(change).await.unwrap_err().field.as_deref(), Some(field));
    }
}

#[track_caller]
fn refused_unknown(outcome: Result<Value, Error>) {
    let error = outcome.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::NotFound, Some("voucher")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_that_belong_together_get_no_voucher_and_are_told_by_which_way() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 10_000).await);
    let offer = app.listed_corpus(&provider, "poems", 1000).await;
    let programme = bureau.announce(5000, 3000, 3000).await;
    let far = app.organisation("verse-lab").await;
    let direct = app.affiliate("direct-lab", &["poetry-house"]).await;
    let funded = app.affiliate("bureau-lab", &["city-bureau"]).await;
    // Each declares in another direction: the holding the provider, and the lab's parent the holding.
    app.affiliate("holding", &["poetry-house"]).await;
    app.affiliate("parent", &["holding", "verse-lab"]).await;
    for (lab, words) in [
        (far, "verse-lab – parent – holding – poetry-house"),
        (direct, "belongs to the provider poetry-house: direct-lab – poetry-house"),
        (funded, "belongs to the funder city-bureau: bureau-lab – city-bureau"),
    ] {
        let handle = lab.handle.as_str();
        app.operator.deposit(handle, 1000, &format!("bank {handle}")).await;
        let order = lab.order(&offer).await.unwrap();
        refused(lab.pay_with(&programme, &order).await, Kind::Invalid, words);
        lab.pay(&order).await.unwrap();
    }
    let own = bureau.order(&offer).await.unwrap();
    refused(bureau.pay_with(&programme, &own).await, Kind::Invalid, "belongs to the funder city-bureau: city-bureau");
    assert_eq!(pool(&app, &programme).await, 5000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_declares_of_others_counts_once_an_operator_knows_who_it_is() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 10_000).await);
    let (offer, lab) = (app.listed_corpus(&provider, "poems", 1000).await, app.lab("verse-lab", 2000).await);
    let programme = bureau.announce(5000, 3000, 3000).await;
    Actor::register_with(&app.anonymous(), "busybody", &["verse-lab", "poetry-house"]).await;
    let (before, after) = (lab.order(&offer).await.unwrap(), lab.order(&offer).await.unwrap());
    lab.pay_with(&programme, &before).await.unwrap();
    app.operator.verify("busybody").await;
    let words = "verse-lab – busybody – poetry-house";
    refused(lab.pay_with(&programme, &after).await, Kind::Invalid, words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_whose_affiliate_has_a_part_in_the_price_gets_no_voucher() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let (partner, bureau) = (app.organisation("partner-house").await, app.lab("city-bureau", 10_000).await);
    let shards: &[(&str, &[u8])] = &[("data/a.jsonl", b"{}\n")];
    let poems = source.publish("poems", shards).await;
    source.list(&poems, &asking(&app, &source, &poems, json!({ "derivative_royalty_basis_points": 1000 })).await).await;
    let remix = remixer.publish_from("remix", shards, &[poems.as_parent()]).await;
    let shares = [("remix-house", 1), ("partner-house", 9999)]
        .map(|(house, points)| json!({ "organisation": house, "basis_points": points }));
    let offer = remixer.list(&remix, &asking(&app, &remixer, &remix, json!({ "revenue_shares": shares })).await).await;
    let programme = bureau.announce(5000, 3000, 3000).await;
    for payee in [&source, &partner] {
        let handle = format!("lab-of-{}", payee.handle);
        let lab = app.affiliate(&handle, &[&payee.handle]).await;
        app.operator.deposit(&handle, 1000, &format!("bank {handle}")).await;
        let order = lab.order(&offer).await.unwrap();
        let words = format!("belongs to the payee {0}: {handle} – {0}", payee.handle);
        refused(lab.pay_with(&programme, &order).await, Kind::Invalid, &words);
        lab.pay(&order).await.unwrap();
    }
    app.operator.deposit("partner-house", 1000, "bank partner-house").await;
    let own = partner.order(&offer).await.unwrap();
    let words = "belongs to the payee partner-house: partner-house";
    refused(partner.pay_with(&programme, &own).await, Kind::Invalid, words);
    assert_eq!(pool(&app, &programme).await, 5000);
}

/// Assesses a version; gives terms for it that cost 1,000 fen and say more than the usual.
async fn asking(app: &TestApp, provider: &Actor, published: &Published, more: Value) -> String {
    app.compliance.assess(published).await;
    let mut document = terms(1000);
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_gives_the_programme_its_part_back() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 1000).await);
    let (offer, lab) = (app.listed_corpus(&provider, "poems", 1000).await, app.lab("verse-lab", 2000).await);
    let programme = bureau.announce(1000, 3000, 600).await;
    let mut orders = Vec::new();
    for _ in 0..2 {
        let order = lab.order(&offer).await.unwrap();
        let paid = lab.pay_with(&programme, &order).await.unwrap();
        lab.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
        lab.answer(&order, "rejection").await.unwrap();
        orders.push(order);
    }
    assert_eq!((pool(&app, &programme).await, lab.balance("wallet").await), (400, 600));
    provider.offer_refund(&orders[0], 1000).await.unwrap();
    assert_eq!((pool(&app, &programme).await, lab.balance("wallet").await), (700, 1300), "all of it");
    provider.offer_refund(&orders[1], 101).await.unwrap();
    lab.answer(&orders[1], "cure/acceptance").await.unwrap();
    assert_eq!((pool(&app, &programme).await, lab.balance("wallet").await), (730, 1371), "in proportion");

    let told = movements(&bureau, &programme).await;
    let last: Vec<_> = told[3..].iter().map(|m| (m["kind"].as_str().unwrap(), fen(&m["amount"]))).collect();
    assert_eq!(last, [("clawback", 300), ("clawback", 30)]);
    assert_eq!((&told[3]["order_id"], &told[4]["order_id"]), (&json!(orders[0]), &json!(orders[1])));
    let next = lab.order(&offer).await.unwrap();
    lab.pay_with(&programme, &next).await.unwrap();
    assert_eq!(pool(&app, &programme).await, 430, "what was given back counts for the cap no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_pays_no_more_than_it_holds_however_many_ask_at_once() {
    let app = TestApp::start().await;
    let (provider, bureau) = (app.provider().await, app.lab("city-bureau", 700).await);
    let (offer, lab) = (app.listed_corpus(&provider, "poems", 1000).await, app.lab("verse-lab", 100_000).await);
    let programme = bureau.announce(700, 3000, 100_000).await;
    let mut orders = Vec::new();
    for _ in 0..16 {
        orders.push(lab.order(&offer).await.unwrap());
    }
    let asked = orders.into_iter().map(|order| {
        let (lab, programme) = (lab.clone(), programme.clone());
        tokio::spawn(async move { lab.pay_with(&programme, &order).await })
    });
    let mut paid = 0;
    for one in asked.collect::<Vec<_>>() {
        match one.await.unwrap() {
            Ok(_) => paid += 1,
            Err(error) => assert_eq!(error.kind, Kind::InsufficientFunds, "{error:?}"),
        }
    }
    assert_eq!((paid, pool(&app, &programme).await, lab.balance("wallet").await), (2, 100, 100_000 - 1400));
    assert_eq!(movements(&bureau, &programme).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_pool_stand_as_they_were_made_whatever_the_clocks_say() {
    let app = TestApp::start().await;
    let bureau = app.lab("city-bureau", 500).await;
    app.clock.advance(std::time::Duration::from_secs(3600));
    let programme = bureau.announce(400, 3000, 400).await;
    let other = app.another().await;
    let more = json!({ "amount": { "amount_minor": 50, "currency": "CNY" } });
    bureau.at(&other).effect(format!("/v1/voucher-programmes/{programme}/funding"), &more).await.unwrap();
    let told = movements(&bureau, &programme).await;
    let told: Vec<_> = told.iter().map(|m| (fen(&m["amount"]), fen(&m["remaining"]))).collect();
    assert_eq!(told, [(400, 400), (50, 450)]);
    other.stop().await.unwrap();
}
