//! Buying a part: shards that the manifest tells apart, priced by what they hold.

use corpex::error::{Error, Kind};
use corpex::provenance::StatementKind;
use serde_json::{Value, json};

use crate::support::{Actor, Published, TestApp, terms};

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
