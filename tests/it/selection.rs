//! Buying a part: shards that the manifest tells apart, priced by what they hold.

use corpex::error::{Error, Kind};
use corpex::provenance::StatementKind;
use corpex::types::Digest;
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, Offer, Published, TestApp, contract, terms};

/// Poems in two languages, three records and five.
const SHARDS: &[(&str, &[u8])] = &[("data/en.jsonl", b"{}\n{}\n{}\n"), ("data/zh.jsonl", b"{}\n{}\n{}\n{}\n{}\n")];

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, field: &str) -> Error {
    let error = outcome.expect_err("this had to be refused");
    assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some(field)), "{error:?}");
    error
}

/// Seals the draft of the poems with what else the manifest says of the two shards.
async fn seal(provider: &Actor, said: [Value; 2]) -> Result<Published, Error> {
    let (subjects, mut predicate) = provider.manifest("poems", 1, SHARDS);
    for (index, said) in said.into_iter().enumerate() {
        predicate["shards"][index].as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
    }
    let manifest = provider.sign(StatementKind::Manifest, subjects, predicate);
    let sealed = Published { dataset: format!("{}/poems", provider.handle), version: 1, manifest };
    provider.post(format!("{}/seal", sealed.path()), &json!({ "envelope": sealed.manifest })).await?;
    Ok(sealed)
}

async fn draft(provider: &Actor) -> String {
    let version = provider.draft("poems").await;
    for ((path, bytes), records) in SHARDS.iter().zip([3, 5]) {
        provider.put_shard(&version, &format!("{path}?records={records}"), bytes).await.unwrap();
    }
    version
}

/// What the manifest says of both shards: all that it can say.
fn facets() -> [Value; 2] {
    [
        json!({ "records": 3, "tokens": 700, "language": "en", "domain": "education", "licence": "CC-BY-4.0" }),
        json!({ "records": 5, "tokens": 1100, "language": "zh-Hant", "domain": "culture", "licence": "MIT OR Apache-2.0" }),
    ]
}

/// Terms that ask 150 fen for every two of a unit.
fn priced_by(unit: &str) -> Value {
    let mut document = terms(1);
    document["price"] =
        json!({ "model": "per_unit", "unit": unit, "amount": { "amount_minor": 150, "currency": "CNY" }, "per": 2 });
    document
}

async fn publish_terms(provider: &Actor, document: &Value) -> String {
    provider.try_publish_terms(document).await.unwrap()["id"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_tells_its_shards_apart_by_the_providers_word() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = draft(&provider).await;
    for (name, value) in [("language", json!("zh_CN")), ("licence", json!("freely")), ("tokens", json!(-1))] {
        let mut said = facets();
        said[1][name] = value;
        refused(seal(&provider, said).await, &format!("predicate/shards/1/{name}"));
    }
    let mut said = facets();
    said[0]["domain"] = json!("poetry");
    let error = refused(seal(&provider, said).await, "predicate/shards/0/domain");
    assert!(error.detail.contains("poetry"), "{error}");

    seal(&provider, facets()).await.unwrap();
    let shards = provider.get(format!("{version}/shards")).await.unwrap();
    for (index, said) in facets().iter().enumerate() {
        for (name, value) in said.as_object().unwrap() {
            assert_eq!(&shards["items"][index][name], value, "{name} of shard {index}");
        }
    }
    let seal = provider.get(&version).await.unwrap()["seal"].clone();
    assert_eq!((&seal["total_records"], &seal["total_tokens"]), (&json!(8), &json!(1800)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_by_units_is_counted_by_the_manifest_and_needs_one_that_counts() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    draft(&provider).await;
    let [mut one, other] = facets();
    one.as_object_mut().unwrap().remove("tokens");
    let published = seal(&provider, [one, other]).await.unwrap();
    app.compliance.assess(&published).await;

    let by_token = publish_terms(&provider, &priced_by("token")).await;
    let wanted = json!({ "dataset": published.dataset, "version": 1, "terms_id": by_token });
    let error = refused(provider.post("/v1/listings", &wanted).await, "terms_id");
    assert!(error.detail.contains("not every shard counts its tokens"), "{error}");

    let by_record = publish_terms(&provider, &priced_by("record")).await;
    let offer = provider.list(&published, &by_record).await;
    let listing = lab.get(format!("/v1/listings/{}", offer.listing)).await.unwrap();
    assert_eq!(listing["price"], json!({ "amount_minor": 600, "currency": "CNY" }));
    let order = lab.place(&offer).await.unwrap();
    assert_eq!(order["price"]["amount_minor"], 600);

    let mut for_nothing = priced_by("record");
    for_nothing["price"]["per"] = json!(0);
    refused(provider.try_publish_terms(&for_nothing).await, "predicate/document/price");
}

/// The poems on the board, at 150 fen for every two records, whole or in part.
async fn divisible_offer(app: &TestApp, provider: &Actor) -> Offer {
    draft(provider).await;
    let published = seal(provider, facets()).await.unwrap();
    app.compliance.assess(&published).await;
    let mut document = priced_by("record");
    document["divisible"] = json!(true);
    let terms = publish_terms(provider, &document).await;
    provider.list(&published, &terms).await
}

/// Orders a part.
async fn place(lab: &Actor, offer: &Offer, selection: Value) -> Result<Value, Error> {
    let wanted = json!({
        "listing_id": offer.listing, "organisation": lab.handle, "use": "pretrain", "selection": selection,
        "purpose": "pretraining of a small language model",
    });
    lab.effect("/v1/orders", &wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_buys_one_language_gets_no_other_and_the_trade_is_settled() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    let offer = divisible_offer(&app, &provider).await;

    let order = place(&lab, &offer, json!({ "languages": ["zh"] })).await.unwrap();
    assert_eq!((&order["price"]["amount_minor"], &order["shards"]), (&json!(375), &json!(1)), "five records of eight");
    let contract = contract(&order);
    let part = json!({
        "selection": { "languages": ["zh"] }, "shards": 1, "paths_sha256": Digest::of("data/zh.jsonl\n"),
    });
    assert_eq!(contract["part"], part);
    assert_eq!((&contract["priced_by"]["unit"], &contract["priced_by"]["count"]), (&json!("record"), &json!(5)));
    lab.sign_contract(&order).await.unwrap();
    let order = order["id"].as_str().unwrap();
    let paid = lab.pay(order).await.unwrap();
    assert_eq!(paid["entitlement"]["selection"], json!({ "languages": ["zh"] }));
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();

    let refused = lab.links(entitlement, &["data/zh.jsonl", "data/en.jsonl"]).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::NotEntitled, Some("paths")));
    assert!(refused.detail.contains("\"data/en.jsonl\" is not in the part"), "{refused}");
    lab.links(entitlement, &["data/zh.jsonl"]).await.unwrap();
    let evidence = lab.get(format!("/v1/orders/{order}/delivery")).await.unwrap();
    assert_eq!((&evidence["shards_delivered"], &evidence["shards"]), (&json!(1), &json!(1)));
    assert_eq!(lab.get(format!("/v1/orders/{order}")).await.unwrap()["state"], "delivered");
    lab.answer(order, "acceptance").await.unwrap();
    assert_eq!(provider.balance("payable").await, 375 - 11, "what the fee of three in a hundred leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_parts_that_were_bought_one_after_the_other_are_both_read_by_the_hubs_clients() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    let offer = divisible_offer(&app, &provider).await;
    let hub = HubClient::of(&app, &lab);
    let path = |shard: &str| format!("/datasets/{}/resolve/v1/{shard}", offer.dataset);
    let repository = format!("/api/datasets/{}", offer.dataset);
    let whole = hub.json(&repository).await;
    let mut commits = vec![whole["sha"].clone()];
    for (language, others) in [("en", true), ("zh", false)] {
        let order = place(&lab, &offer, json!({ "languages": [language] })).await.unwrap();
        lab.sign_contract(&order).await.unwrap();
        lab.pay(order["id"].as_str().unwrap()).await.unwrap();
        for (shard, is_bought) in [("data/en.jsonl", true), ("data/zh.jsonl", !others)] {
            let pinned = hub.get(&path(shard)).await;
            let Some(commit) = pinned.header("location") else {
                pinned.refused(403, Some("GatedRepo"));
                assert!(!is_bought, "{pinned:?}");
                continue;
            };
            let answer = hub.get(commit).await;
            assert!(is_bought && !answer.status.is_client_error(), "{shard} after {language}: {answer:?}");
        }
        // What is bought is a repository of its own, which a client fetches whole, whatever it calls the commit.
        let bought = hub.json(&repository).await;
        for revision in [bought["sha"].as_str().unwrap(), whole["sha"].as_str().unwrap(), "main"] {
            let tree = hub.json(&format!("{repository}/tree/{revision}/data")).await;
            let paths: Vec<_> = tree.as_array().unwrap().iter().map(|entry| entry["path"].clone()).collect();
            let parts = if others { vec!["data/en.jsonl"] } else { vec!["data/en.jsonl", "data/zh.jsonl"] };
            assert_eq!(paths, parts, "{revision}");
        }
        assert!(!commits.contains(&bought["sha"]), "{commits:?}");
        commits.push(bought["sha"].clone());
    }
}

/// Buys the shards of one language, and gives the licence.
async fn buy_part(lab: &Actor, offer: &Offer, language: &str) -> String {
    let order = place(lab, offer, json!({ "languages": [language] })).await.unwrap();
    lab.sign_contract(&order).await.unwrap();
    lab.pay(order["id"].as_str().unwrap()).await.unwrap()["entitlement"]["id"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_parts_is_found_by_its_name_whatever_is_bought_or_lost_since() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    let offer = divisible_offer(&app, &provider).await;
    let (hub, repository) = (HubClient::of(&app, &lab), format!("/api/datasets/{}", offer.dataset));
    let newest = async || hub.json(&repository).await["sha"].as_str().unwrap().to_string();
    let tree = async |commit: &str| {
        let tree = hub.json(&format!("{repository}/tree/{commit}/data")).await;
        tree.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let get =
        async |commit: &str, path: &str| hub.get(&format!("/datasets/{}/resolve/{commit}/{path}", offer.dataset)).await;
    let given = async |commit: &str, path: &str| {
        let answer = get(commit, path).await;
        assert!(matches!(answer.status.as_u16(), 200 | 302), "{path} of {commit}: {answer:?}");
        assert_eq!(answer.header("x-repo-commit"), Some(commit));
    };
    let (english, chinese) = ("data/en.jsonl", "data/zh.jsonl");
    let of_english = buy_part(&lab, &offer, "en").await;
    let first = newest().await;
    buy_part(&lab, &offer, "zh").await;
    let both = newest().await;

    assert_eq!((tree(&first).await, tree(&both).await), (vec![english.into()], vec![english.into(), chinese.into()]));
    assert_eq!(hub.json(&format!("{repository}/revision/{first}")).await["sha"], json!(first));
    given(&first, english).await;
    get(&first, chinese).await.refused(404, Some("EntryNotFound"));

    let reason = json!({ "reason": "the invoice is disputed" });
    app.operator.post(format!("/v1/entitlements/{of_english}/suspension"), &reason).await.unwrap();
    assert_eq!(tree(&newest().await).await, [chinese]);
    given(&both, chinese).await;
    get(&both, english).await.refused(403, Some("GatedRepo"));
    get(&first, english).await.refused(403, Some("GatedRepo"));
    let stranger = app.organisation("other-house").await;
    let unknown = HubClient::of(&app, &stranger).get(&format!("{repository}/revision/{first}")).await;
    unknown.refused(404, Some("RevisionNotFound"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_of_bytes_leads_to_those_whose_part_has_them() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    let offer = divisible_offer(&app, &provider).await;
    let order = place(&lab, &offer, json!({ "domains": ["culture"] })).await.unwrap();
    lab.sign_contract(&order).await.unwrap();
    lab.pay(order["id"].as_str().unwrap()).await.unwrap();
    for ((_, bytes), holders) in SHARDS.iter().zip([0, 1]) {
        let trace = app.compliance.get(format!("/v1/trace?subject={}", Digest::of(bytes))).await.unwrap();
        let licences = trace["chains"][0]["licences"].as_array().unwrap();
        assert_eq!(licences.len(), holders, "{licences:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_selection_that_cannot_be_sold_is_refused_with_its_reason() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 0).await);
    let offer = divisible_offer(&app, &provider).await;
    for (selection, field, reason) in [
        (json!({}), "selection", "names no language, domain or licence"),
        (json!({ "languages": ["fr"] }), "selection", "no shard matches the selection (languages fr)"),
        (json!({ "languages": ["zh"], "domains": ["education"] }), "selection", "no shard matches"),
        (json!({ "languages": ["zh_CN"] }), "selection.languages[0]", "not a language tag"),
        (json!({ "licences": ["freely"] }), "selection.licences[0]", "not an SPDX"),
    ] {
        let error = refused(place(&lab, &offer, selection).await, field);
        assert!(error.detail.contains(reason), "{error}");
    }
    let whole = app.organisation("whole-house").await;
    let published = whole.publish("odes", SHARDS).await;
    app.compliance.assess(&published).await;
    let terms = whole.publish_terms(0).await;
    let offer = whole.list(&published, &terms).await;
    let error = refused(place(&lab, &offer, json!({ "languages": ["zh"] })).await, "selection");
    assert!(error.detail.contains("the whole version only"), "{error}");
}
