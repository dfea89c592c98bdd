//! The catalogue: drafts nobody else sees, bytes that arrive in parts, and what a seal ends.

use corpex::catalog::{self, DatasetRef, VersionRef, versions};
use corpex::config::MAX_SHARDS;
use corpex::db::Conn;
use corpex::error::{Error, Kind};
use corpex::provenance::StatementKind;
use corpex::types::{Digest, PageQuery};
use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, watch};

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, kind: Kind) {
    let error = outcome.expect_err("this had to be refused");
    assert_eq!(error.kind, kind, "{error:?}");
}

/// Nine mebibytes: two parts.
fn large() -> Vec<u8> {
    (0..9 * 1024 * 1024_u32).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

fn declaration(path: &str, bytes: &[u8]) -> Value {
    json!({ "path": path, "size_bytes": bytes.len(), "sha256": Digest::of(bytes), "media_type": "application/jsonl" })
}

async fn declare(who: &Actor, version: &str, path: &str, bytes: &[u8]) -> Value {
    who.post(format!("{version}/uploads"), &declaration(path, bytes)).await.unwrap()
}

/// Sends one part to the address the answer gives for it.
async fn send(who: &Actor, upload: &Value, number: usize, bytes: &[u8]) {
    let size = usize::try_from(upload["part_size_bytes"].as_u64().unwrap()).unwrap();
    let url = upload["urls"].as_array().unwrap().iter().find(|url| url["number"] == number).unwrap();
    let part = bytes.chunks(size).nth(number - 1).unwrap_or_default().to_vec();
    who.client.put(url["url"].as_str().unwrap()).bytes(part).response().await.unwrap();
}

fn at(upload: &Value) -> String {
    format!("/v1/uploads/{}", upload["id"].as_str().unwrap())
}

async fn complete(who: &Actor, upload: &Value) -> Result<Value, Error> {
    who.client.post(format!("{}/complete", at(upload))).send().await
}

async fn paths(who: &Actor, version: &str) -> Vec<String> {
    let shards = who.get(format!("{version}/shards")).await.unwrap();
    shards["items"].as_array().unwrap().iter().map(|shard| shard["path"].as_str().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_sees_a_dataset_before_it_is_assessed() {
    let app = TestApp::start().await;
    let (provider, stranger) = (app.provider().await, app.lab("verse-lab", 0).await);
    let published = provider.publish("poems", &[("a.jsonl", b"{}\n")]).await;
    let dataset = "/v1/datasets/poetry-house/poems";
    for path in [dataset.to_string(), format!("{dataset}/versions"), published.path()] {
        provider.get(&path).await.unwrap();
        app.operator.get(&path).await.unwrap();
        app.compliance.get(&path).await.unwrap();
        refused(stranger.get(&path).await, Kind::NotFound);
        refused(app.anonymous().get(&path).send::<Value>().await, Kind::NotFound);
    }
    for rest in ["/card", "/shards", "/manifest"] {
        refused(stranger.get(format!("{}{rest}", published.path())).await, Kind::NotFound);
    }
    assert_eq!(stranger.get("/v1/datasets").await.unwrap()["items"], json!([]));
    refused(stranger.post(format!("{dataset}/versions"), &json!({ "card": "" })).await, Kind::NotFound);

    app.compliance.assess(&published).await;
    let listed: Value = app.anonymous().get("/v1/datasets?organisation=poetry-house").send().await.unwrap();
    assert_eq!(listed["items"][0]["name"], "poems");
    let manifest = stranger.get(format!("{}/manifest", published.path())).await.unwrap();
    assert_eq!(manifest, serde_json::to_value(&published.manifest).unwrap());
    provider.post(format!("{dataset}/versions"), &json!({ "card": "" })).await.unwrap();
    refused(stranger.get(format!("{dataset}/versions/2")).await, Kind::NotFound);
    let versions = |seen: Value| seen["items"].as_array().unwrap().len();
    assert_eq!(versions(stranger.get(format!("{dataset}/versions")).await.unwrap()), 1);
    assert_eq!(versions(provider.get(format!("{dataset}/versions")).await.unwrap()), 2);
    refused(stranger.post(format!("{dataset}/versions"), &json!({ "card": "" })).await, Kind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_named_once_and_by_its_own_people() {
    let app = TestApp::start().await;
    let (provider, stranger) = (app.provider().await, app.lab("verse-lab", 0).await);
    provider.draft("poems").await;
    let dataset = |name: &str| json!({ "organisation": "poetry-house", "name": name, "title": "詩", "modality": "text", "domain": "culture" });
    refused(provider.post("/v1/datasets", &dataset("Poems")).await, Kind::AlreadyExists);
    refused(provider.post("/v1/datasets", &dataset("a..b")).await, Kind::Invalid);
    refused(stranger.post("/v1/datasets", &dataset("verses")).await, Kind::Forbidden);
    for handle in ["nobody", "a%00b"] {
        refused(provider.get(format!("/v1/datasets/{handle}/poems")).await, Kind::NotFound);
    }
    for name in ["one", "two"] {
        provider.post("/v1/datasets", &dataset(name)).await.unwrap();
    }
    let first = provider.get("/v1/datasets?limit=2").await.unwrap();
    let names = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&first), ["two", "one"]);
    let next = provider.get(format!("/v1/datasets?limit=2&cursor={}", first["next"].as_str().unwrap())).await.unwrap();
    assert_eq!((names(&next), next["next"].clone()), (vec!["poems".to_string()], Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_changed_only_by_who_knows_it() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let card = format!("{}/card", provider.draft("poems").await);
    let answer = provider.client.get(&card).response().await.unwrap();
    let etag = answer.headers()["etag"].to_str().unwrap().to_string();
    let text = answer.text().await.unwrap();
    assert_eq!(etag, format!("\"{}\"", Digest::of(&text)));
    let token = provider.client.token().unwrap();
    let known = reqwest::Client::new().get(format!("{}{card}", app.url)).bearer_auth(token);
    assert_eq!(known.header("If-None-Match", &etag).send().await.unwrap().status(), 304);
    let another = provider.client.get(&card).header("If-Match", "\"another\"").response().await;
    refused(another.map(drop), Kind::Stale);
    let put = |etag: &str, text: &str| {
        provider.client.put(&card).header("If-Match", etag).json(&json!({ "card": text })).unwrap().send::<Value>()
    };
    let changed = put(&etag, "# Poems\n").await.unwrap();
    assert_eq!(changed["card_sha256"], Digest::of("# Poems\n").to_string());
    refused(put(&etag, "# Others\n").await, Kind::Stale);
    put("*", "# Others\n").await.unwrap();
    refused(put("*", "---\n- a\n---\n").await, Kind::Invalid);
    assert_eq!(provider.client.get(&card).text().await.unwrap(), "# Others\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_versions_reads_no_card_a_second_time() {
    let app = TestApp::start().await;
    app.listed_corpus(&app.provider().await, "poems", 0).await;
    let poems = DatasetRef { organisation: "poetry-house".into(), name: "poems".into() };
    let which = VersionRef { organisation: "poetry-house".into(), name: "poems".into(), number: 1 };
    let mut cards_read = Vec::new();
    for _ in 0..2 {
        let (poems, which) = (poems.clone(), which.clone());
        let read = move |c: &mut Conn| {
            let statements = watch(c);
            let so_far = || {
                let asked = statements.lock().unwrap().clone();
                let of_cards =
                    |statement: &&String| statement.replace(['`', '"'], "").starts_with("SELECT versions.card");
                asked.iter().filter(of_cards).count()
            };
            let page = versions::list(c, None, &poems, &PageQuery::default())?;
            assert_eq!(page.items.len(), 1);
            let by_list = so_far();
            versions::card(c, None, &which)?;
            assert_eq!(so_far(), by_list + 1, "who asks for the card reads it");
            Ok(by_list)
        };
        cards_read.push(app.app().db.read(read).await.unwrap());
    }
    assert_eq!(cards_read[1], 0, "a card may have a mebibyte, and a page a thousand of them: {cards_read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_shard_arrives_in_parts_and_can_be_resumed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let bytes = large();
    let upload = declare(&provider, &version, "data/large.jsonl", &bytes).await;
    assert_eq!((&upload["state"], &upload["parts"]), (&json!("open"), &json!(2)));
    send(&provider, &upload, 2, &bytes).await;
    refused(complete(&provider, &upload).await, Kind::WrongState);

    let again = declare(&provider, &version, "data/large.jsonl", &bytes).await;
    assert_eq!((&again["id"], &again["parts_standing"]), (&upload["id"], &json!([2])));
    assert_eq!(again["urls"].as_array().unwrap().len(), 1, "only the missing part has an address");
    refused(provider.post(format!("{}/urls", at(&upload)), &json!({ "parts": [3] })).await, Kind::Invalid);
    let fresh = provider.post(format!("{}/urls", at(&upload)), &json!({ "parts": [1] })).await.unwrap();
    send(&provider, &fresh, 1, &bytes).await;
    for _ in 0..2 {
        let completed = complete(&provider, &upload).await.unwrap();
        assert!(["verifying", "verified"].contains(&completed["state"].as_str().unwrap()), "{completed}");
    }
    app.drain().await;
    assert_eq!(provider.get(at(&upload)).await.unwrap()["state"], "verified");
    assert_eq!(paths(&provider, &version).await, ["data/large.jsonl"]);
    let late = fresh["urls"][0]["url"].as_str().unwrap();
    assert!(provider.client.put(late).bytes(bytes[..8 * 1024 * 1024].to_vec()).response().await.is_err());
    refused(provider.post(format!("{}/urls", at(&upload)), &json!({ "parts": [1] })).await, Kind::WrongState);
    let settled = declare(&provider, &version, "data/large.jsonl", &bytes).await;
    assert_eq!((&settled["id"], &settled["state"]), (&upload["id"], &json!("verified")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_shard_is_complete_as_soon_as_it_is_declared() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let upload = declare(&provider, &version, "empty.jsonl", b"").await;
    assert_eq!((&upload["parts"], &upload["urls"]), (&json!(0), &json!([])));
    complete(&provider, &upload).await.unwrap();
    app.drain().await;
    assert_eq!(provider.get(at(&upload)).await.unwrap()["state"], "verified");
    provider.put_shard(&version, "also-empty.jsonl", b"").await.unwrap();
    assert_eq!(paths(&provider, &version).await, ["also-empty.jsonl", "empty.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_sent_before_are_known_to_their_owner_alone() {
    let app = TestApp::start().await;
    let (provider, other) = (app.provider().await, app.organisation("other-house").await);
    let version = provider.draft("poems").await;
    provider.put_shard(&version, "a.jsonl", b"{}\n").await.unwrap();
    let copy = declare(&provider, &version, "copy.jsonl", b"{}\n").await;
    assert_eq!(copy["state"], "verified", "the owner sends nothing twice");
    assert_eq!(paths(&provider, &version).await, ["a.jsonl", "copy.jsonl"]);

    let elsewhere = other.draft("poems").await;
    let upload = declare(&other, &elsewhere, "a.jsonl", b"{}\n").await;
    assert_eq!(upload["state"], "open", "nobody learns by a digest what others have");
    refused(provider.get(at(&upload)).await, Kind::NotFound);
    refused(complete(&provider, &upload).await, Kind::NotFound);
    send(&other, &upload, 1, b"{}\n").await;
    complete(&other, &upload).await.unwrap();
    other.put_shard(&elsewhere, "b.jsonl", b"{}\n").await.unwrap();
    app.drain().await;
    assert_eq!(paths(&other, &elsewhere).await, ["a.jsonl", "b.jsonl"]);
    let objects = app.app().db.read(|c| catalog::stored::objects(c, "", 10)).await.unwrap();
    assert_eq!(objects.len(), 1, "the bytes are kept once");
    assert_eq!(app.app().db.read(catalog::stored::total_object_bytes).await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_store_and_the_database_is_finished_by_the_next_request() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let upload = declare(&provider, &version, "a.jsonl", b"{}\n").await;
    send(&provider, &upload, 1, b"{}\n").await;
    let (key, multipart_id) = stored(&app, &upload).await;
    let store = &app.app().store;
    let parts = store.parts(&key, &multipart_id).await.unwrap();
    store.complete_multipart(&key, &multipart_id, &parts).await.unwrap();
    assert_eq!(declare(&provider, &version, "a.jsonl", b"{}\n").await["parts_standing"], json!([1]));
    complete(&provider, &upload).await.unwrap();
    app.drain().await;
    assert_eq!(paths(&provider, &version).await, ["a.jsonl"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_completes_an_upload_does_not_wait_until_its_parts_are_one() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let (bytes, store) = (large(), &app.app().store);
    let upload = declare(&provider, &version, "a.jsonl", &bytes).await;
    for number in [1, 2] {
        send(&provider, &upload, number, &bytes).await;
    }
    let (key, _) = stored(&app, &upload).await;
    for _ in 0..2 {
        assert_eq!(complete(&provider, &upload).await.unwrap()["state"], "verifying");
        assert_eq!(store.head(&key).await.unwrap(), None, "a job puts them together");
    }
    let id = |upload: &Value| upload["id"].as_str().unwrap().parse().unwrap();
    catalog::verify_upload(app.app(), id(&upload)).await.unwrap();
    assert_eq!(provider.get(at(&upload)).await.unwrap()["state"], "verified");
    assert_eq!(paths(&provider, &version).await, ["a.jsonl"]);

    // What is lost in between is sent again.
    let lost = declare(&provider, &version, "b.jsonl", b"{}\n").await;
    send(&provider, &lost, 1, b"{}\n").await;
    complete(&provider, &lost).await.unwrap();
    let (key, multipart_id) = stored(&app, &lost).await;
    store.abort_multipart(&key, &multipart_id).await.unwrap();
    catalog::verify_upload(app.app(), id(&lost)).await.unwrap();
    let refused = provider.get(at(&lost)).await.unwrap();
    assert_eq!(refused["refusal"], "the store no longer has the parts of this upload");
    assert_ne!(declare(&provider, &version, "b.jsonl", b"{}\n").await["id"], lost["id"]);
    app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_the_store_lost_are_sent_again() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let upload = declare(&provider, &version, "a.jsonl", b"{}\n").await;
    let (key, multipart_id) = stored(&app, &upload).await;
    app.app().store.abort_multipart(&key, &multipart_id).await.unwrap();
    refused(complete(&provider, &upload).await, Kind::WrongState);
    let again = declare(&provider, &version, "a.jsonl", b"{}\n").await;
    assert_ne!(again["id"], upload["id"]);
    send(&provider, &again, 1, b"{}\n").await;
    complete(&provider, &again).await.unwrap();
    app.drain().await;
    assert_eq!(paths(&provider, &version).await, ["a.jsonl"]);
    assert_eq!(provider.get(at(&upload)).await.unwrap()["state"], "refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_never_completed_is_given_up() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let upload = declare(&provider, &version, "a.jsonl", b"{}\n").await;
    send(&provider, &upload, 1, b"{}\n").await;
    let (key, multipart_id) = stored(&app, &upload).await;
    assert_eq!(catalog::sweep_stale_uploads(app.app()).await.unwrap(), 0);
    app.clock.advance(catalog::uploads::OPEN_FOR);
    app.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(catalog::sweep_stale_uploads(app.app()).await.unwrap(), 1);
    app.drain().await;
    refused(complete(&provider, &upload).await, Kind::WrongState);
    let left = app.app().store.parts(&key, &multipart_id).await;
    assert!(left.is_err_and(|error| error.kind == Kind::NotFound), "the parts are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_has_no_more_open_uploads_than_it_may_have_shards() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let upload = declare(&provider, &version, "a.jsonl", b"{}\n").await;
    let others = format!(
        "WITH RECURSIVE numbers (number) AS \
             (SELECT 2 UNION ALL SELECT number + 1 FROM numbers WHERE number < {MAX_SHARDS}) \
         INSERT INTO uploads (id, version_id, path, media_type, size_bytes, sha256, part_size_bytes, storage_key, \
                              multipart_id, state, created_at) \
         SELECT id || CAST(number AS TEXT), version_id, path || CAST(number AS TEXT), media_type, size_bytes, sha256, \
                part_size_bytes, storage_key || CAST(number AS TEXT), multipart_id, state, created_at \
         FROM uploads, numbers"
    );
    app.app().db.write(move |c| Ok(c.batch_execute(&others)?)).await.unwrap();
    let one_more = provider.post(format!("{version}/uploads"), &declaration("b.jsonl", b"[]\n")).await.unwrap_err();
    assert_eq!((one_more.kind, one_more.field.as_deref()), (Kind::WrongState, Some("path")), "{one_more}");
    assert!(one_more.detail.contains("100000 uploads"), "{one_more}");
    assert!(one_more.remedy.unwrap().contains("complete some of them"));
    refused(provider.put_shard(&version, "b.jsonl", b"[]\n").await, Kind::WrongState);

    assert_eq!(declare(&provider, &version, "a.jsonl", b"{}\n").await["id"], upload["id"], "what is open is resumed");
    send(&provider, &upload, 1, b"{}\n").await;
    complete(&provider, &upload).await.unwrap();
    app.drain().await;
    assert_eq!(declare(&provider, &version, "b.jsonl", b"[]\n").await["state"], "open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seal_ends_every_change() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    provider.put_shard(&version, "a.jsonl", b"{}\n").await.unwrap();
    provider.put_shard(&version, "a.jsonl", b"{\"n\":1}\n").await.unwrap();
    provider.put_shard(&version, "b.jsonl", b"{}\n").await.unwrap();
    let removed: Value = provider.client.delete(format!("{version}/shards/b.jsonl")).send().await.unwrap();
    assert_eq!(removed["path"], "b.jsonl");
    let pending = declare(&provider, &version, "late.jsonl", b"late").await;
    send(&provider, &pending, 1, b"late").await;

    let (subjects, predicate) = provider.manifest("poems", 1, &[("a.jsonl", b"{\"n\":1}\n")]);
    let envelope = provider.sign(StatementKind::Manifest, subjects, predicate);
    let sealed = provider.post(format!("{version}/seal"), &json!({ "envelope": envelope })).await.unwrap();
    assert_eq!((&sealed["state"], &sealed["seal"]["shard_count"]), (&json!("sealed"), &json!(1)));
    assert_eq!(sealed["seal"]["manifest_sha256"], envelope.pae_sha256().to_string());

    refused(provider.post(format!("{version}/uploads"), &declaration("c.jsonl", b"{}")).await, Kind::WrongState);
    refused(provider.put_shard(&version, "c.jsonl", b"{}\n").await, Kind::WrongState);
    refused(provider.client.delete(format!("{version}/shards/a.jsonl")).send::<Value>().await, Kind::WrongState);
    let card = provider.client.put(format!("{version}/card")).json(&json!({ "card": "x" })).unwrap();
    refused(card.send::<Value>().await, Kind::WrongState);
    complete(&provider, &pending).await.unwrap();
    app.drain().await;
    let late = provider.get(at(&pending)).await.unwrap();
    assert!(late["refusal"].as_str().unwrap().contains("sealed"), "{late}");
    assert_eq!(paths(&provider, &version).await, ["a.jsonl"]);
}

/// Where an upload lies, which no answer tells.
async fn stored(app: &TestApp, upload: &Value) -> (corpex::store::StorageKey, String) {
    let id = upload["id"].as_str().unwrap().parse().unwrap();
    let row = app.app().db.read(move |c| catalog::uploads::upload(c, id)).await.unwrap();
    (row.storage_key, row.multipart_id)
}
