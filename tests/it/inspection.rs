//! Inspection: what the exchange finds in a corpus, the sample that it draws by lot, and who may look at it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use corpex::catalog::inspection::draw;
use corpex::error::Kind;
use corpex::provenance::lot;
use corpex::provenance::passport::{EvaluatedSample, Trust, verify};
use corpex::signing::{Envelope, PublicKey};
use corpex::types::{DAY, Digest};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use crate::support::{Actor, Offer, Published, TestApp, kinds_in_log, refused};

/// So many records, each another one.
fn records(of: &str, count: usize) -> Vec<u8> {
    (0..count).map(|n| format!("{{\"{of}\":{n}}}\n")).collect::<String>().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The corpora that were given for tests, if any were: each as its shards.
fn given(name: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let folder = PathBuf::from(std::env::var_os("CORPEX_CORPORA")?).join(name).join("data");
    let mut shards: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| shard(&entry.unwrap().path())).collect();
    shards.sort();
    Some(shards)
}

fn shard(file: &Path) -> (String, Vec<u8>) {
    (format!("data/{}", file.file_name().unwrap().to_str().unwrap()), std::fs::read(file).unwrap())
}

async fn inspected(app: &TestApp, provider: &Actor, name: &str, shards: &[(&str, &[u8])]) -> (Published, Value) {
    let published = provider.publish(name, shards).await;
    app.drain().await;
    let found = provider.get(format!("{}/inspection", published.path())).await.unwrap();
    (published, found)
}

/// Every record of shards of JSON Lines, by its rank in a draw.
fn ranked(seed: Digest, shards: &[(&str, Digest, &[u8])]) -> Vec<Value> {
    let mut all = Vec::new();
    for (path, sha256, lines) in shards {
        for (index, line) in (0_u64..).zip(lines.split_inclusive(|byte| *byte == b'\n')) {
            let record = line.strip_suffix(b"\n").unwrap();
            let drawn = json!({ "path": path, "index": index, "sha256": Digest::of(record) });
            all.push((draw::rank(seed, *sha256, index), drawn));
        }
    }
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter().map(|(_, drawn)| drawn).collect()
}

/// The seed of a sample, from the exchange's published key.
async fn seed(app: &TestApp, published: &Published, sample: &Value) -> Digest {
    let keys: Value = app.anonymous().get("/v1/exchange/keys").send().await.unwrap();
    let statement_key = keys["keys"].as_array().unwrap().iter().find(|key| key["role"] == "statement").unwrap();
    let key: PublicKey = serde_json::from_value(statement_key["public_key"].clone()).unwrap();
    let lot: Envelope = serde_json::from_value(sample["lot"].clone()).unwrap();
    lot::seed(&lot, published.manifest.pae_sha256(), key).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_drawn_that_anybody_who_has_the_shards_can_draw_again() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let (one, other) = (records("a", 150), records("b", 250));
    let packed = gzip(&other);
    let shards: [(&str, &[u8]); 3] = [("a.jsonl", &one), ("b.jsonl.gz", &packed), ("c.txt", b"once upon a time")];
    let (published, found) = inspected(&app, &provider, "poems", &shards).await;

    let sample = &found["findings"]["sample"];
    let readable = [("a.jsonl", Digest::of(&one), &one[..]), ("b.jsonl.gz", Digest::of(&packed), &other[..])];
    let seed = seed(&app, &published, sample).await;
    assert_eq!(sample["records"], json!(ranked(seed, &readable)[..draw::MAX_RECORDS]));
    assert_eq!(found["findings"]["records"], 400);
    let of = |name: &str| json!([{ "name": name, "type": "integer" }]);
    let formats = json!([
        { "format": "json-lines", "shards": 1, "bytes": one.len(), "records": 150, "columns": of("a") },
        { "format": "json-lines", "packing": "gzip", "shards": 1, "bytes": packed.len(), "records": 250, "columns": of("b") },
        { "format": "other", "shards": 1, "bytes": 16, "records": 0 },
    ]);
    assert_eq!(found["findings"]["formats"], formats);
    let column = |name: &str| json!({ "name": name, "type": "integer", "tokens": 0 });
    for (name, (nulls, bytes)) in [("a", (250, 10 + 180 + 150)), ("b", (150, 10 + 180 + 450))] {
        let columns = found["findings"]["columns"].as_array().unwrap();
        let mut expected = column(name);
        expected["nulls"] = json!(nulls);
        expected["bytes"] = json!(bytes);
        assert!(columns.contains(&expected), "{columns:?}");
    }
    app.sequenced().await;
    assert_eq!(kinds_in_log(&app.anonymous()).await["inspection"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_corpora_are_read_whole() {
    let (Some(tang), Some(song)) = (given("tang-poems"), given("song-ci")) else { return };
    let app = TestApp::start().await;
    let provider = app.provider().await;
    for (name, shards, records) in [("tang-poems", tang, 4003), ("song-ci", song, 3000)] {
        let shards: Vec<(&str, &[u8])> = shards.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let (published, found) = inspected(&app, &provider, name, &shards).await;
        let findings = &found["findings"];
        assert_eq!((&findings["records"], &findings["unreadable_shards"]), (&json!(records), &json!(0)), "{findings}");
        let columns: Vec<_> =
            findings["columns"].as_array().unwrap().iter().map(|c| (&c["name"], &c["type"])).collect();
        let text = json!("string");
        let names = ["author", "id", "text", "title"].map(|name| json!(name));
        assert_eq!(columns, names.iter().map(|name| (name, &text)).collect::<Vec<_>>());
        let column = &findings["columns"][2];
        assert!(
            column["tokens"].as_u64().unwrap() > 10_000 && column["lengths"]["p50"].as_u64().unwrap() > 20,
            "{column}"
        );
        let preview = provider.get(format!("{}/preview", published.path())).await.unwrap();
        assert_eq!(preview["records"].as_array().unwrap().len(), 10);
        assert!(preview["records"][9]["text"].as_str().unwrap().chars().count() > 10, "{preview}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_told_and_is_not_offered() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let whole = gzip(&records("n", 50));
    let cases: [(&str, &str, Vec<u8>, &str); 6] = [
        (
            "bomb",
            "a.jsonl.gz",
            gzip(&[&b"\""[..], &[b'0'; 1000], b"\"\n"].concat().repeat(16 << 10)),
            "it unpacks to more than 300 times its size",
        ),
        ("cut", "a.jsonl.gz", whole[..whole.len() / 2].to_vec(), ""),
        ("prose", "a.jsonl", b"{}\nonce upon a time\n".to_vec(), "record 1 is not JSON: "),
        ("deep", "a.jsonl", [b"[".repeat(100_000), b"]".repeat(100_000)].concat(), "record 0 is not JSON: recursion"),
        ("table", "a.parquet", b"PAR1 but not really".to_vec(), "it does not end as Parquet does"),
        (
            "footer",
            "b.parquet",
            [&b"PAR1"[..], &[0xff; 100], &100_u32.to_le_bytes(), b"PAR1"].concat(),
            "its footer is corrupt",
        ),
    ];
    for (name, path, bytes, reason) in cases {
        let (published, found) = inspected(&app, &provider, name, &[("fine.jsonl", b"{}\n"), (path, &bytes)]).await;
        let findings = &found["findings"];
        assert_eq!((&findings["unreadable_shards"], &findings["records"].is_u64()), (&json!(1), &true), "{findings}");
        let unreadable = &findings["unreadable"][0];
        assert_eq!(unreadable["path"], path);
        assert!(unreadable["reason"].as_str().unwrap().contains(reason), "{unreadable}");
        assert_eq!(findings["sample"], Value::Null);
        refused(provider.get(format!("{}/preview", published.path())).await, Kind::NotFound, None);

        app.compliance.assess(&published).await;
        let terms = provider.publish_terms(100).await;
        let wanted = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
        let error = refused(provider.post("/v1/listings", &wanted).await, Kind::WrongState, None);
        assert!(error.detail.contains(path) && error.detail.contains(reason), "{error}");
    }
}

/// Lists the same corpus under terms with these members.
async fn on_the_board(app: &TestApp, provider: &Actor) -> (Offer, String) {
    let offer = app.listed_corpus(provider, "poems", 100).await;
    app.drain().await;
    let path = format!("/v1/datasets/{}/versions/1", offer.dataset);
    (offer, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_for_anyone_signed_in_where_terms_allow_it_and_not_before() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 0).await);
    let (offer, path) = on_the_board(&app, &provider).await;

    let denied = refused(lab.get(format!("{path}/preview")).await, Kind::Forbidden, None);
    assert!(denied.remedy.is_some(), "{denied}");
    provider.get(format!("{path}/preview")).await.unwrap();

    let open = provider.list_again(&offer, &json!({ "preview": true })).await;
    let seen = lab.get(format!("{path}/preview")).await.unwrap();
    let mut records = seen["records"].as_array().unwrap().clone();
    records.sort_by_key(|record| record["text"].to_string());
    assert_eq!(records, [json!({ "text": "one" }), json!({ "text": "two" })]);
    assert_eq!(seen["findings"]["columns"][0]["lengths"]["max"], 3);
    refused(app.anonymous().get(format!("{path}/preview")).send::<Value>().await, Kind::Unauthenticated, None);

    provider.post(format!("/v1/listings/{}/pause", open.listing), &json!({})).await.unwrap();
    refused(lab.get(format!("{path}/preview")).await, Kind::Forbidden, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_evaluates_the_sample_for_some_days_where_terms_offer_it_and_once() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 0).await);
    let (offer, path) = on_the_board(&app, &provider).await;
    refused(lab.evaluate(&offer).await, Kind::UseNotPermitted, Some("listing_id"));

    let open = provider.list_again(&offer, &json!({ "evaluation_days": 14 })).await;
    refused(provider.evaluate(&open).await, Kind::Invalid, Some("organisation"));
    let granted = lab.evaluate(&open).await.unwrap();
    refused(lab.evaluate(&open).await, Kind::AlreadyExists, None);
    let evaluation = format!("/v1/evaluations/{}", granted["id"].as_str().unwrap());
    app.told().await;
    for side in [&lab, &provider] {
        let events = format!("/v1/events?organisation={}&types=evaluation.granted", side.handle);
        assert_eq!(side.get(events).await.unwrap()["items"][0]["data"]["subject"], granted["id"]);
        assert_eq!(side.get(&evaluation).await.unwrap()["purpose"], granted["purpose"]);
    }

    let link = lab.post(format!("{evaluation}/links"), &Value::Null).await.unwrap();
    let sample = reqwest::get(link["url"].as_str().unwrap()).await.unwrap().bytes().await.unwrap();
    let found = lab.get(format!("{path}/inspection")).await.unwrap();
    assert_eq!(json!(Digest::of(&sample)), found["findings"]["sample"]["sha256"]);
    let receipt: Envelope = serde_json::from_value(link["receipt"].clone()).unwrap();
    let receipt: Value = serde_json::from_slice(&receipt.payload.0).unwrap();
    assert_eq!(receipt["predicate"]["sample_sha256"], found["findings"]["sample"]["sha256"]);
    app.sequenced().await;
    let logged = kinds_in_log(&app.anonymous()).await;
    assert_eq!((logged["evaluation"], logged["evaluation-receipt"]), (1, 1));

    for subject in [offer.dataset.as_str(), granted["id"].as_str().unwrap()] {
        let trace = app.compliance.get(format!("/v1/trace?subject={subject}")).await.unwrap();
        let told = &trace["chains"][0]["evaluations"][0];
        assert_eq!((&told["holder"]["handle"], &told["evaluation"]), (&json!("verse-lab"), &granted["id"]));
        assert_eq!(told["samples"].as_array().unwrap().len(), 1);
    }

    let licences = lab.get("/v1/entitlements").await.unwrap();
    assert_eq!(licences["items"], json!([]), "the corpus itself is not licensed");
    app.clock.advance(DAY * 14);
    refused(lab.post(format!("{evaluation}/links"), &Value::Null).await, Kind::NotEntitled, None);
    refused(lab.evaluate(&open).await, Kind::AlreadyExists, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_evaluated_a_sample_proves_by_its_passport_what_it_held_and_until_when() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 0).await);
    let (offer, path) = on_the_board(&app, &provider).await;
    let open = provider.list_again(&offer, &json!({ "evaluation_days": 14 })).await;
    let granted = lab.evaluate(&open).await.unwrap();
    let evaluation = format!("/v1/evaluations/{}", granted["id"].as_str().unwrap());
    let passport = async || {
        app.sequenced().await;
        let passport = lab.client.get(format!("{evaluation}/passport")).text().await.unwrap();
        verify(passport.as_bytes(), &Trust::default()).unwrap()
    };
    let rests_on = ["manifest", "terms", "inspection", "assessment", "certificate", "evaluation"];

    for links in 0..3 {
        let report = passport().await;
        let kinds: Vec<_> = report.statements.iter().map(|statement| statement.kind.as_str()).collect();
        assert!(rests_on.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
        let receipts = kinds.iter().filter(|kind| **kind == "evaluation-receipt").count();
        assert_eq!(receipts, links.min(1), "later ones prove nothing more");
        let [EvaluatedSample { granted, .. }] = report.samples.as_slice() else { panic!("{:?}", report.samples) };
        let found = lab.get(format!("{path}/inspection")).await.unwrap();
        assert_eq!(json!(granted.sample_sha256), found["findings"]["sample"]["sha256"]);
        assert_eq!((granted.organisation.as_str(), report.shards.len()), ("verse-lab", 0));
        lab.post(format!("{evaluation}/links"), &Value::Null).await.unwrap();
    }

    provider.post(format!("/v1/listings/{}/pause", open.listing), &json!({})).await.unwrap();
    app.clock.advance(DAY * 14);
    assert_eq!(passport().await.samples.len(), 1, "it ended, and what was held stays proven");
    refused(provider.get(format!("{evaluation}/passport")).await, Kind::NotFound, None);
}
