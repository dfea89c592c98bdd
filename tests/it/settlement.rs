//! Who is paid for a trade, to the fen, and the certificate that says that it is settled.

use std::time::Duration;

use corpex::error::Kind;
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, Published, TestApp, terms};

const SHARDS: &[(&str, &[u8])] = &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{\"n\":2}\n")];

/// Assesses a version, and puts it on the board under terms that say more than the usual.
async fn offer(app: &TestApp, provider: &Actor, published: &Published, price: i64, more: Value) -> Offer {
    app.compliance.assess(published).await;
    let mut document = terms(price);
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
    provider.list(published, &terms).await
}

async fn statement(app: &TestApp, actor: &Actor, order: &str) -> (Value, Value) {
    let certificate = actor.get(format!("/v1/orders/{order}/certificate")).await.unwrap();
    let envelope: Envelope = serde_json::from_value(certificate["envelope"].clone()).unwrap();
    let signed = envelope.verify(app.app().keys.statement.public(), IN_TOTO_PAYLOAD_TYPE).unwrap();
    (certificate, signed["predicate"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn royalties_go_up_the_lineage_and_co_builders_share_the_rest() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let (partner, lab) = (app.organisation("partner-house").await, app.lab("verse-lab", 10_000).await);
    let poems = source.publish("poems", SHARDS).await;
    offer(&app, &source, &poems, 100, json!({ "derivative_royalty_basis_points": 1000 })).await;
    let remix = remixer.publish_from("remix", SHARDS, &[poems.as_parent()]).await;
    let shares = json!([
        { "organisation": "remix-house", "basis_points": 6667 }, { "organisation": "partner-house", "basis_points": 3333 },
    ]);
    let remixed = offer(&app, &remixer, &remix, 10_000, json!({ "revenue_shares": shares })).await;

    let (order, _) = lab.take_delivery(&remixed).await;
    let early = lab.get(format!("/v1/orders/{order}/certificate")).await.unwrap_err();
    assert_eq!(early.kind, Kind::WrongState);
    let accepted = lab.answer(&order, "acceptance").await.unwrap();
    let owed = [&source, &partner, &remixer].map(|actor| actor.balance("payable"));
    let [source_owed, partner_owed, remixer_owed] = owed;
    let owed = (source_owed.await, partner_owed.await, remixer_owed.await);
    assert_eq!(owed, (970, 2910, 5820), "of 9,700 fen that the fee leaves");

    let (certificate, stated) = statement(&app, &remixer, &order).await;
    assert_eq!(certificate["number"], accepted["certificate_number"]);
    assert_eq!((&stated["number"], &stated["order"]), (&certificate["number"], &json!(order)));
    assert!(stated["number"].as_str().unwrap().starts_with("CPX-T-"));
    app.sequenced().await;
    let proof = format!("/v1/log/proofs/{}", certificate["entry_id"].as_str().unwrap());
    assert!(app.anonymous().get(proof).text().await.unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    assert_eq!(source.get(format!("/v1/orders/{order}/certificate")).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_royalty_that_nobody_could_know_of_when_they_agreed_is_not_paid() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let lab = app.lab("verse-lab", 20_000).await;
    let kept = source.publish("poems", SHARDS).await;
    let poems = source.publish_from("chosen-poems", SHARDS, &[kept.as_parent()]).await;
    offer(&app, &source, &poems, 100, json!({})).await;
    let remix = remixer.publish_from("remix", SHARDS, &[poems.as_parent()]).await;
    let remixed = offer(&app, &remixer, &remix, 10_000, json!({})).await;

    let (before, _) = lab.take_delivery(&remixed).await;
    offer(&app, &source, &kept, 100, json!({ "derivative_royalty_basis_points": 5000 })).await;
    lab.answer(&before, "acceptance").await.unwrap();
    assert_eq!((source.balance("payable").await, remixer.balance("payable").await), (0, 9700));
    let (after, _) = lab.take_delivery(&remixed).await;
    lab.answer(&after, "acceptance").await.unwrap();
    assert_eq!((source.balance("payable").await, remixer.balance("payable").await), (4850, 9700 + 4850));
}

/// The second listing is made where the clock is an hour behind: by that, it is older than the first, and than the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_listing_asks_for_no_royalty_whatever_the_clocks_say() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let lab = app.lab("verse-lab", 10_000).await;
    let poems = source.publish("poems", SHARDS).await;
    app.compliance.assess(&poems).await;
    app.clock.advance(Duration::from_secs(3600));
    source.list(&poems, &source.publish_terms(100).await).await;
    let remix = remixer.publish_from("remix", SHARDS, &[poems.as_parent()]).await;
    let remixed = offer(&app, &remixer, &remix, 10_000, json!({})).await;
    let (order, _) = lab.take_delivery(&remixed).await;

    let other = app.another().await;
    let there = source.at(&other);
    let mut document = terms(100);
    document["derivative_royalty_basis_points"] = json!(5000);
    let asking = there.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
    there.list(&poems, &asking).await;
    lab.answer(&order, "acceptance").await.unwrap();
    assert_eq!((source.balance("payable").await, remixer.balance("payable").await), (0, 9700));
    other.stop().await.unwrap();
}

/// By the clocks, which differ by an hour, the first order came after the listing of one source, and the second before that of
/// the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_owes_goes_by_what_was_on_the_board_whatever_the_clocks_say() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let lab = app.lab("verse-lab", 20_000).await;
    let (drafts, notes) = (source.publish("drafts", SHARDS).await, source.publish("notes", SHARDS).await);
    let poems = source.publish_from("poems", SHARDS, &[drafts.as_parent(), notes.as_parent()]).await;
    for published in [&drafts, &notes, &poems] {
        app.compliance.assess(published).await;
    }
    source.list(&poems, &source.publish_terms(100).await).await;
    let remix = remixer.publish_from("remix", SHARDS, &[poems.as_parent()]).await;
    let remixed = offer(&app, &remixer, &remix, 10_000, json!({})).await;
    app.clock.advance(Duration::from_secs(3600));
    let other = app.another().await;
    let ask = async |seller: &Actor, published: &Published, points: i64| {
        let mut document = terms(100);
        document["derivative_royalty_basis_points"] = json!(points);
        let terms = seller.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
        seller.list(published, &terms).await;
    };
    let owed = async || (source.balance("payable").await, remixer.balance("payable").await);

    let (first, _) = lab.take_delivery(&remixed).await;
    ask(&source.at(&other), &drafts, 1000).await;
    lab.answer(&first, "acceptance").await.unwrap();
    assert_eq!(owed().await, (0, 9700), "nothing that came on the board later");

    ask(&source, &notes, 2000).await;
    let second = lab.at(&other).order(&remixed).await.unwrap();
    let paid = lab.pay(&second).await.unwrap();
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();
    lab.links(entitlement, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
    lab.answer(&second, "acceptance").await.unwrap();
    assert_eq!(owed().await, (970 + 1940, 9700 + 6790), "all that was on the board before");
    other.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_that_cannot_be_paid_are_refused_with_the_reason() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let publish = async |more: Value| {
        let mut document = terms(100);
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        provider.try_publish_terms(&document).await.unwrap_err()
    };
    let share = |handle: &str, points: i64| json!({ "organisation": handle, "basis_points": points });
    let short = publish(json!({ "revenue_shares": [share("poetry-house", 9999)] })).await;
    assert_eq!((short.kind, short.field.as_deref()), (Kind::Invalid, Some("document.revenue_shares")));
    assert!(short.detail.contains("9999") && short.remedy.unwrap().contains("exactly 10000"));
    let ghost = publish(json!({ "revenue_shares": [share("poetry-house", 5000), share("nobody", 5000)] })).await;
    assert_eq!((ghost.kind, ghost.field.as_deref()), (Kind::NotFound, Some("document.revenue_shares[1].organisation")));
    let greedy = publish(json!({ "derivative_royalty_basis_points": 5001 })).await;
    assert_eq!(greedy.kind, Kind::Invalid, "{greedy:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_from_a_corpus_that_forbids_it_is_not_listed() {
    let app = TestApp::start().await;
    let (source, remixer) = (app.provider().await, app.organisation("remix-house").await);
    let poems = source.publish("poems", SHARDS).await;
    let forbidding = json!({ "permitted_uses": ["pretrain"], "prohibited_uses": ["derive"] });
    offer(&app, &source, &poems, 100, forbidding).await;
    let remix = remixer.publish_from("remix", SHARDS, &[poems.as_parent()]).await;
    app.compliance.assess(&remix).await;
    let own = remixer.publish_terms(100).await;
    let listing = json!({ "dataset": remix.dataset, "version": 1, "terms_id": own });
    let error = remixer.post("/v1/listings", &listing).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::UseNotPermitted, Some("version")));
    assert!(error.detail.contains("poetry-house/poems@1") && error.remedy.unwrap().contains("permit to derive"));
    let permitting = source.publish_terms(200).await;
    source.list(&poems, &permitting).await;
    remixer.list(&remix, &own).await;
}
