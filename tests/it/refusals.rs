//! Bad input: each refusal is a problem that names the field and the remedy, and loses nothing.

use corpex::error::Kind;
use corpex::identity::PlatformRole;
use corpex::provenance::StatementKind;
use corpex::signing::{Bytes, SecretKey};
use serde_json::{Value, json};

use crate::support::{Actor, TestApp, refused, token_wish};

/// Sends bytes as they are and gives the status and the problem.
async fn raw(app: &TestApp, path: &str, content_type: &str, body: Vec<u8>) -> (u16, Value) {
    let response = reqwest::Client::new()
        .post(format!("{}{path}", app.url))
        .header("Content-Type", content_type)
        .body(body)
        .send()
        .await
        .unwrap();
    let (status, is_problem) =
        (response.status().as_u16(), response.headers()["content-type"] == "application/problem+json");
    assert!(is_problem, "{path} answered {status} without a problem document");
    (status, response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_refused_with_the_reason() {
    let app = TestApp::start().await;
    let (status, problem) = raw(&app, "/v1/users", "application/json", b"{\"email\": ".to_vec()).await;
    assert_eq!((status, problem["type"].as_str()), (400, Some("urn:corpex:problem:malformed")));
    let (status, problem) = raw(&app, "/v1/users", "application/json", b"{\"email\":\"\xff\"}".to_vec()).await;
    assert_eq!((status, problem["type"].as_str()), (400, Some("urn:corpex:problem:malformed")));
    let (status, problem) =
        raw(&app, "/v1/users", "application/json", br#"{"email":"a@b.test","password":"x","colour":1}"#.to_vec()).await;
    assert_eq!((status, problem["field"].as_str()), (422, Some("colour")));
    let (status, problem) = raw(&app, "/v1/users", "text/plain", b"hello".to_vec()).await;
    assert_eq!((status, problem["type"].as_str()), (415, Some("urn:corpex:problem:unsupported-media-type")));
    let huge = vec![b' '; corpex::config::MAX_ANONYMOUS_JSON_BYTES + 1];
    for path in ["/v1/users", "/v1/sessions", "/v1/sessions/refresh"] {
        let (status, problem) = raw(&app, path, "application/json", huge.clone()).await;
        assert_eq!((status, problem["type"].as_str()), (413, Some("urn:corpex:problem:too-large")), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_with_wrong_bytes_or_unsafe_paths_are_refused() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let declare = |path: &str, size: i64, sha256: &str| json!({ "path": path, "size_bytes": size, "sha256": sha256, "media_type": "text/plain" });
    let digest = corpex::types::Digest::of("hello").to_string();
    for path in ["../up", "/absolute", "a//b", "a/./b", "nul\0", "bidi\u{202e}txt", "e\u{301}.txt", ""] {
        let outcome = provider.post(format!("{version}/uploads"), &declare(path, 5, &digest)).await;
        refused(outcome, Kind::Invalid, Some("path"));
    }
    refused(
        provider.post(format!("{version}/uploads"), &declare("a.txt", -1, &digest)).await,
        Kind::Invalid,
        Some("size_bytes"),
    );
    let small = provider.client.put(format!("{version}/shards/a.txt")).header("Content-Digest", "sha-256=:AAAA:");
    refused(small.bytes("hello").response().await.map(drop), Kind::Invalid, Some("Content-Digest"));
    provider.put_shard(&version, "right.txt", b"hello").await.unwrap();

    // The bytes that arrive are not the bytes that were declared: found by reading them back.
    let promised = corpex::types::Digest::of("world").to_string();
    let upload = provider.post(format!("{version}/uploads"), &declare("wrong.txt", 5, &promised)).await.unwrap();
    let id = upload["id"].as_str().unwrap();
    let urls = provider.post(format!("/v1/uploads/{id}/urls"), &json!({ "parts": [1] })).await.unwrap();
    provider.client.put(urls["urls"][0]["url"].as_str().unwrap()).bytes("jello").response().await.unwrap();
    provider.client.post(format!("/v1/uploads/{id}/complete")).response().await.unwrap();
    app.drain().await;
    let settled = provider.get(format!("/v1/uploads/{id}")).await.unwrap();
    assert_eq!(settled["state"], "refused");
    assert!(
        settled["refusal"].as_str().unwrap().contains(&corpex::types::Digest::of("jello").to_string()),
        "{settled}"
    );
    let shards = provider.get(format!("{version}/shards")).await.unwrap();
    assert_eq!(shards["items"].as_array().unwrap().len(), 1, "only the right shard belongs to the draft");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_differ_from_the_verified_shards_are_not_sealed() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let version = provider.draft("poems").await;
    let shards: &[(&str, &[u8])] = &[("a.jsonl", b"{}\n"), ("b.jsonl", b"{\"n\":1}\n")];
    for (path, bytes) in shards {
        provider.put_shard(&version, path, bytes).await.unwrap();
    }
    let seal = format!("{version}/seal");
    let attempt = |subjects, predicate| {
        let envelope = provider.sign(StatementKind::Manifest, subjects, predicate);
        json!({ "envelope": envelope })
    };
    let (subjects, good) = provider.manifest("poems", 1, shards);
    for (name, wrong) in [("size_bytes", json!(4)), ("sha256", json!("00".repeat(32))), ("path", json!("c.jsonl"))] {
        let mut bad = good.clone();
        bad["shards"][0][name] = wrong;
        let error = provider.post(&seal, &attempt(subjects.clone(), bad)).await.unwrap_err();
        assert!(matches!(error.kind, Kind::Invalid | Kind::DigestMismatch), "{name}: {error:?}");
        assert!(error.detail.contains(".jsonl"), "the shard is named: {error}");
    }
    let mut twice = good.clone();
    twice["shards"][1] = twice["shards"][0].clone();
    assert!(provider.post(&seal, &attempt(subjects.clone(), twice)).await.is_err(), "a duplicate path was sealed");
    let mut unknown = good.clone();
    unknown["colour"] = json!("red");
    refused(
        provider.post(&seal, &attempt(subjects.clone(), unknown)).await.map_err(|e| e.field("")),
        Kind::Invalid,
        None,
    );

    let stranger = Actor { key: SecretKey::generate(), ..provider.clone() };
    let foreign = stranger.sign(StatementKind::Manifest, subjects.clone(), good.clone());
    refused(provider.post(&seal, &json!({ "envelope": foreign })).await, Kind::BadSignature, Some("signatures"));
    let mut tampered = provider.sign(StatementKind::Manifest, subjects.clone(), good.clone());
    tampered.signatures[0].sig = Bytes(vec![0; 64]);
    refused(provider.post(&seal, &json!({ "envelope": tampered })).await, Kind::BadSignature, Some("signature"));

    let draft = provider.get(&version).await.unwrap();
    assert_eq!(draft["state"], "draft", "nothing was lost and nothing was sealed");
    let envelope = attempt(subjects, good);
    provider.post(&seal, &envelope).await.unwrap();
    refused(provider.post(&seal, &envelope).await, Kind::WrongState, None);
    refused(provider.put_shard(&version, "late.jsonl", b"{}\n").await, Kind::WrongState, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_weak_foreign_or_revoked_are_refused() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let lab = app.lab("verse-lab", 0).await;
    let keys = "/v1/organisations/poetry-house/keys";
    let weak = json!({ "organisation": "poetry-house", "public_key": Bytes(vec![0; 32]) });
    let envelope = provider.sign(StatementKind::KeyRegistration, vec![], weak);
    let error = provider.post(keys, &json!({ "envelope": envelope })).await.unwrap_err();
    assert!(error.detail.contains("weak") || error.detail.contains("small order"), "{error:?}");

    let borrowed = Actor { key: lab.key.clone(), ..provider.clone() };
    let error = borrowed
        .client
        .post(keys)
        .json(&json!({ "envelope": registration(&borrowed) }))
        .unwrap()
        .response()
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::AlreadyExists, "a key of somebody else: {error:?}");

    let listed = provider.get(keys).await.unwrap();
    let id = listed["items"][0]["id"].as_str().unwrap();
    provider.post(format!("{keys}/{id}/revocation"), &json!({})).await.unwrap();
    let error = provider.try_publish_terms(&crate::support::terms(100)).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadSignature);
    assert!(error.detail.contains("revoked"), "{error}");
}

fn registration(actor: &Actor) -> corpex::signing::Envelope {
    let subject = corpex::provenance::ResourceDescriptor::new("key", actor.key.public().key_id());
    let predicate = json!({ "organisation": actor.handle, "public_key": actor.key.public() });
    actor.sign(StatementKind::KeyRegistration, vec![subject], predicate)
}

#[tokio::test(flavor = "multi_thread")]
async fn trades_that_break_a_rule_are_refused() {
    let app = TestApp::start_with(|config| config.approval_above = i64::MAX).await;
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("a.jsonl", b"{}\n")]).await;
    let terms = provider.publish_terms(50_000).await;
    let listing = json!({ "dataset": published.dataset, "version": 1, "terms_id": terms });
    refused(provider.post("/v1/listings", &listing).await, Kind::NotAssessed, None);
    let typo = json!({ "dataset": published.dataset, "version": 1, "terms_id": "terms_1" });
    refused(provider.post("/v1/listings", &typo).await, Kind::Invalid, Some("terms_id"));
    refused(provider.get("/v1/listings?dataset=a/b&limit=ten").await, Kind::Invalid, Some("limit"));
    app.compliance.assess(&published).await;
    let offer = provider.list(&published, &terms).await;

    let lab = app.lab("verse-lab", 49_999).await;
    let wanted = |use_: &str, purpose: &str| json!({ "listing_id": offer.listing, "organisation": "verse-lab", "use": use_, "purpose": purpose });
    let good = wanted("pretrain", "pretraining of a small model");
    refused(lab.post("/v1/orders", &good).await, Kind::IdempotencyKeyRequired, Some("Idempotency-Key"));
    refused(
        lab.effect("/v1/orders", &wanted("redistribute", "selling it on to others")).await,
        Kind::UseNotPermitted,
        Some("use"),
    );
    refused(lab.effect("/v1/orders", &wanted("pretrain", "")).await, Kind::Invalid, Some("purpose"));
    lab.keyed("k", "/v1/orders", &good).send::<Value>().await.unwrap();
    let other = wanted("finetune", "finetuning of a small model");
    refused(
        lab.keyed("k", "/v1/orders", &other).send::<Value>().await,
        Kind::IdempotencyKeyReused,
        Some("Idempotency-Key"),
    );

    let order = lab.order(&offer).await.unwrap();
    let short = refused(lab.pay(&order).await, Kind::InsufficientFunds, None);
    assert_eq!(short.detail, "the wallet of verse-lab holds CNY 499.99, and CNY 500.00 is needed");
    assert_eq!(lab.balance("wallet").await, 49_999, "nothing was taken");
    app.operator.deposit("verse-lab", 1, "one more fen").await;
    lab.pay(&order).await.unwrap();
    refused(lab.pay(&order).await, Kind::WrongState, None);

    let overflow = json!({ "organisation": "verse-lab", "amount": { "amount_minor": i64::MAX, "currency": "CNY" }, "reference": "too much" });
    let other = app.staff("other-operator@exchange.test", PlatformRole::Operator).await;
    other.effect("/v1/deposits", &overflow).await.unwrap();
    let more = json!({ "organisation": "verse-lab", "amount": { "amount_minor": 1, "currency": "CNY" }, "reference": "one over" });
    refused(app.operator.effect("/v1/deposits", &more).await, Kind::Invalid, Some("amount_minor"));
    let nothing = json!({ "organisation": "verse-lab", "amount": { "amount_minor": 0, "currency": "CNY" }, "reference": "nothing" });
    refused(
        app.operator.effect("/v1/deposits", &nothing).await.map_err(|e| e.field("amount_minor")),
        Kind::Invalid,
        Some("amount_minor"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_told_what_exists() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", 100).await;
    let lab = app.lab("verse-lab", 1000).await;
    let order = lab.order(&offer).await.unwrap();
    let paid = lab.pay(&order).await.unwrap();
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();
    let stranger = app.lab("other-lab", 0).await;
    let draft = provider.draft("unfinished").await;
    for path in [
        format!("/v1/orders/{order}"),
        format!("/v1/entitlements/{entitlement}"),
        format!("/v1/entitlements/{entitlement}/passport"),
        "/v1/organisations/verse-lab/accounts".to_string(),
        draft,
    ] {
        let error = stranger.get(&path).await.unwrap_err();
        assert_eq!(error.kind, Kind::NotFound, "{path}: {error:?}");
    }
    refused(stranger.links(entitlement, &["data/a.jsonl"]).await, Kind::NotFound, None);
    refused(stranger.pay(&order).await, Kind::NotFound, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_when_they_expire_or_are_revoked() {
    let app = TestApp::start().await;
    let lab = app.lab("verse-lab", 0).await;
    let made = lab.post("/v1/tokens", &token_wish("read", 1)).await.unwrap();
    let reader = Actor { client: lab.client.with_token(made["token"].as_str().unwrap()), ..lab.clone() };
    reader.get("/v1/me").await.unwrap();
    refused(reader.post("/v1/tokens", &token_wish("write", 1)).await, Kind::Forbidden, None);
    app.clock.advance(std::time::Duration::from_secs(25 * 3600));
    refused(reader.get("/v1/me").await, Kind::Unauthenticated, None);

    let made = lab.post("/v1/tokens", &token_wish("read", 30)).await.unwrap();
    let reader = Actor { client: lab.client.with_token(made["token"].as_str().unwrap()), ..lab.clone() };
    reader.get("/v1/me").await.unwrap();
    let _: Value = lab.client.delete(format!("/v1/tokens/{}", made["id"].as_str().unwrap())).send().await.unwrap();
    app.clock.advance(std::time::Duration::from_secs(5));
    refused(reader.get("/v1/me").await, Kind::Unauthenticated, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_licence_ends_when_its_term_does() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("a.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let mut short = crate::support::terms(0);
    short["duration_days"] = json!(1);
    let terms = provider.try_publish_terms(&short).await.unwrap()["id"].as_str().unwrap().to_string();
    let offer = provider.list(&published, &terms).await;
    let lab = app.lab("verse-lab", 0).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    lab.links(&entitlement, &["a.jsonl"]).await.unwrap();
    app.clock.advance(corpex::types::DAY);
    refused(lab.links(&entitlement, &["a.jsonl"]).await, Kind::NotEntitled, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_text_is_nobodys_fault_but_the_callers() {
    let app = TestApp::start().await;
    for path in ["organisations/a%00b", "organisations?cursor=%00", "organisations/a%00b/keys", "tokens?cursor=%00"] {
        // SQLite finds nothing of that name, and nothing beyond that cursor; PostgreSQL refuses the text.
        if let Err(error) = app.operator.get(format!("/v1/{path}")).await {
            assert!(matches!(error.kind, Kind::NotFound | Kind::Invalid), "{path}: {error:?}");
        }
    }
    let who = json!({ "email": "a\0@b.test", "password": "correct horse battery" });
    let error = app.anonymous().post("/v1/sessions").json(&who).unwrap().send::<Value>().await.unwrap_err();
    assert!(matches!(error.kind, Kind::Unauthenticated | Kind::Invalid), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_a_manifest_is_read() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let published = provider.publish("poems", &[("a.jsonl", b"{}\n")]).await;
    app.compliance.assess(&published).await;
    let stranger = app.lab("other-lab", 0).await;
    let sent = stranger.client.post(format!("{}/seal", published.path())).bytes("this is no JSON").response().await;
    refused(sent.map(drop), Kind::Forbidden, None);
}
