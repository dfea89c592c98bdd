//! Keys change hands: what was signed before stays proven, and what was signed later is judged by the state of its key
//! when it was logged.

use corpex::app::App;
use corpex::error::{Error, Kind, Result};
use corpex::keys::{self, ExchangeKeys, KeyRole};
use corpex::provenance::exchange_keys;
use corpex::provenance::note::VerifierKey;
use corpex::provenance::passport::{Report, Trust, verify};
use corpex::provenance::policy::Policy;
use corpex::provenance::{ResourceDescriptor, Statement, StatementKind};
use corpex::signing::{Envelope, PublicKey, SecretKey};
use corpex::types::{DAY, Instant};
use serde_json::{Value, json};

use crate::command_line::{assess, deposit};
use crate::support::process::{Exchange, Person, organisation};
use crate::support::{Actor, TestApp};

/// The registration of a key that takes over from others, signed by those.
fn succession(handle: &str, new: &SecretKey, replaces: Option<PublicKey>, by: &[&SecretKey]) -> Envelope {
    let subject = ResourceDescriptor::new("key", new.public().key_id());
    let mut predicate = json!({ "organisation": handle, "public_key": new.public() });
    if let Some(old) = replaces {
        predicate["replaces"] = json!(old.key_id());
    }
    let statement = Statement::new(StatementKind::KeyRegistration, vec![subject], predicate);
    let mut envelope = statement.sign(new).unwrap();
    by.iter().for_each(|key| key.add_signature(&mut envelope));
    envelope
}

async fn register(actor: &Actor, envelope: &Envelope) -> Result<Value> {
    actor.post(format!("/v1/organisations/{}/keys", actor.handle), &json!({ "envelope": envelope })).await
}

/// Revokes the organisation's first key.
async fn revoke(actor: &Actor, compromised_at: Option<Instant>) -> Result<Value> {
    revoke_of(actor, &actor.handle, compromised_at).await
}

/// Revokes the first key of an organisation.
async fn revoke_of(by: &Actor, handle: &str, compromised_at: Option<Instant>) -> Result<Value> {
    let keys = by.get(format!("/v1/organisations/{handle}/keys")).await.unwrap();
    let id = keys["items"][0]["id"].as_str().unwrap();
    by.post(format!("/v1/organisations/{handle}/keys/{id}/revocation"), &json!({ "compromised_at": compromised_at }))
        .await
}

/// The licence's passport, as it is now, once the log has everything.
async fn passport(app: &TestApp, lab: &Actor, entitlement: &str) -> Vec<u8> {
    app.sequenced().await;
    lab.client.get(format!("/v1/entitlements/{entitlement}/passport")).text().await.unwrap().into_bytes()
}

fn recorded_at(report: &Report, kind: StatementKind) -> Instant {
    report.statements.iter().find(|statement| statement.kind == kind).unwrap().recorded_at
}

fn reason(refused: Result<Report>) -> String {
    let error: Error = refused.unwrap_err();
    error.to_string()
}

const MICROSECOND: std::time::Duration = std::time::Duration::from_micros(1);

#[tokio::test(flavor = "multi_thread")]
async fn compromised_at_voids_what_was_logged_from_then_on_and_nothing_before() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 50_000).await);
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let licence = lab.buy(&offer).await.unwrap();
    let check = async || verify(&passport(&app, &lab, &licence).await, &Trust::default());
    let report = check().await.unwrap();
    let (manifest, terms) = (recorded_at(&report, StatementKind::Manifest), recorded_at(&report, StatementKind::Terms));

    revoke(&provider, None).await.unwrap();
    check().await.expect("a revocation voids nothing that was logged before");
    revoke(&provider, Some(terms.plus(MICROSECOND))).await.unwrap();
    check().await.expect("the key was safe when it signed");
    lab.order(&offer).await.expect("what it signed stands, and is sold");
    revoke(&provider, Some(terms)).await.unwrap();
    let said = reason(check().await);
    assert!(said.starts_with("statements/3 (terms): key validity: "), "{said}");
    let refused = lab.order(&offer).await.unwrap_err();
    assert!(
        refused.detail.starts_with(&format!("the terms statement logged at {terms} is void")),
        "nobody buys it any more: {refused}"
    );
    assert!(said.contains(&format!("of poetry-house was compromised at {terms}, before {terms}")), "{said}");
    revoke(&provider, Some(manifest)).await.unwrap();
    let said = reason(check().await);
    assert!(said.starts_with("statements/0 (manifest): key validity: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_more_than_a_month_ago_is_voided_by_no_provider_alone() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    let registered = app.clock.now();
    let before = revoke(&provider, Some(registered.minus(DAY))).await.unwrap_err();
    assert_eq!((before.kind, before.field.as_deref()), (Kind::Invalid, Some("compromised_at")), "{before}");
    assert!(before.detail.contains("was registered only at"), "{before}");
    app.clock.advance(40 * DAY);
    let (month, longer) = (app.clock.now().minus(29 * DAY), app.clock.now().minus(31 * DAY));
    let refused = revoke(&provider, Some(longer)).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Forbidden, Some("compromised_at")), "{refused}");
    revoke(&provider, Some(month)).await.unwrap();
    assert_eq!(revoke(&provider, Some(longer)).await.unwrap_err().kind, Kind::Forbidden, "nor afterwards");
    let revoked = revoke_of(&app.compliance, "poetry-house", Some(longer)).await.unwrap();
    assert_eq!(revoked["compromised_at"], json!(longer));
    let lab = app.lab("verse-lab", 0).await;
    assert_eq!(revoke_of(&app.compliance, &lab.handle, None).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(revoke_of(&app.operator, &lab.handle, Some(longer)).await.unwrap_err().kind, Kind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_whose_key_was_stolen_before_the_contract_did_not_agree_to_it() {
    let app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 50_000).await);
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let stolen = app.clock.now();
    let licence = lab.buy(&offer).await.unwrap();
    verify(&passport(&app, &lab, &licence).await, &Trust::default()).unwrap();
    revoke(&lab, Some(stolen)).await.unwrap();
    let said = reason(verify(&passport(&app, &lab, &licence).await, &Trust::default()));
    assert!(said.starts_with("statements/4 (contract): key validity: "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_takes_over_with_the_signatures_of_both() {
    let app = TestApp::start().await;
    let (mut provider, lab) = (app.provider().await, app.lab("verse-lab", 50_000).await);
    let (old, new, stranger) = (provider.key.clone(), SecretKey::generate(), SecretKey::generate());
    let refused = async |replaces: &SecretKey, by: &[&SecretKey]| {
        register(&provider, &succession("poetry-house", &new, Some(replaces.public()), by)).await.unwrap_err().detail
    };
    assert!(refused(&old, &[]).await.contains("that of the key it replaces"));
    assert!(refused(&old, &[&stranger]).await.contains("carries no signature by key"));
    assert!(refused(&stranger, &[&stranger]).await.contains("is not registered by poetry-house"));
    assert!(refused(&lab.key, &[&lab.key]).await.contains("is not registered by poetry-house"));

    register(&provider, &succession("poetry-house", &new, Some(old.public()), &[&old])).await.unwrap();
    revoke(&provider, None).await.unwrap();
    let late = SecretKey::generate();
    let envelope = succession("poetry-house", &late, Some(old.public()), &[&old]);
    assert!(register(&provider, &envelope).await.unwrap_err().detail.contains("was revoked at"));

    provider.key = new.clone();
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let licence = lab.buy(&offer).await.unwrap();
    let report = verify(&passport(&app, &lab, &licence).await, &Trust::default()).unwrap();
    let registrations: Vec<_> = report.statements.iter().filter(|s| s.kind == StatementKind::KeyRegistration).collect();
    let by: Vec<_> = registrations.iter().map(|s| s.signed_by.join(" ")).collect();
    assert!(
        by.contains(&"poetry-house poetry-house".to_string()),
        "the chain leads from the new key to the old: {by:?}"
    );
    assert_eq!(registrations.len(), 3, "the provider's two keys and the lab's");
    assert!(
        !report.unchecked.iter().any(|line| line.contains("its registration is not in the passport")),
        "{:?}",
        report.unchecked
    );
}

fn key_states(provider: &Person) -> Vec<bool> {
    let keys = provider.json(&["key", "list", "poetry-house"]);
    keys["items"].as_array().unwrap().iter().map(|key| key["revoked_at"].is_null()).collect()
}

#[tokio::test]
async fn the_command_rotates_a_key_and_goes_on_where_it_was_cut_off() {
    let exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 100_000);
    let work = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = work.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (terms, provenance) = (
        file("terms.json", &crate::support::terms(50_000).to_string()),
        file("provenance.json", &crate::support::provenance().to_string()),
    );
    file("poems/data/a.jsonl", "{\"text\":\"one\"}\n");
    let corpus = work.path().join("poems").display().to_string();

    let first = provider.json(&["key", "generate", "poetry-house"]);
    let rotated = provider.json(&["key", "rotate", "poetry-house"]);
    assert_eq!(rotated["replaced"], first["key_id"]);
    assert_eq!(rotated["file"], first["file"], "the new key lies where the old one lay");
    let aside =
        provider.json(&["key", "generate", "poetry-house", "--key", rotated["replaced_file"].as_str().unwrap()]);
    assert_eq!(aside["key_id"], first["key_id"], "the old key was kept");
    assert_eq!(key_states(&provider), [false, true]);

    let publish =
        ["publish", &corpus, "--dataset", "poetry-house/poems", "--terms", &terms, "--provenance", &provenance];
    let published = provider.json(&publish);
    assess(&compliance, "poetry-house/poems", &published["version"]);
    let listing =
        json!({ "dataset": "poetry-house/poems", "version": published["version"], "terms_id": published["terms_id"] });
    provider.api("POST", "/v1/listings", &listing);
    lab.done(&[
        "buy",
        "poetry-house/poems",
        "--terms",
        published["terms_id"].as_str().unwrap(),
        "--use",
        "pretraining",
    ]);
    let passport = work.path().join("passport.json").display().to_string();
    lab.done(&["passport", "poetry-house/poems", "--out", &passport]);
    let verified = lab.done(&["verify", &passport]);
    assert!(verified.contains("signed by poetry-house and poetry-house"), "{verified}");

    // Cut off when the next key was registered and nothing else was done.
    let next = std::path::Path::new(rotated["file"].as_str().unwrap()).with_extension("next.key");
    let next = next.display().to_string();
    let waiting = provider.json(&["key", "generate", "poetry-house", "--key", &next]);
    provider.done(&["key", "register", "poetry-house", "--key", &next]);
    assert_eq!(provider.json(&["key", "rotate", "poetry-house"])["key_id"], waiting["key_id"]);
    assert_eq!(key_states(&provider), [false, false, true]);

    // A stolen key cannot vouch for the next one, which is registered on its own.
    let keys = provider.json(&["key", "list", "poetry-house"]);
    let stolen = keys["items"][2]["id"].as_str().unwrap();
    let since = keys["items"][2]["registered_at"].as_str().unwrap();
    provider.done(&["key", "revoke", "poetry-house", stolen, "--compromised-at", since]);
    provider.done(&["key", "rotate", "poetry-house"]);
    assert_eq!(key_states(&provider), [false, false, false, true]);
}

/// What a verifier kept from a visit to the exchange: its statement key and its log's key.
fn trust(statement: &Value, vkey: &Value) -> Trust {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let log: VerifierKey = text(vkey).parse().unwrap();
    Trust { log: Some(Policy::of_log(log)), exchange_keys: vec![text(statement).parse().unwrap()] }
}

/// Trust in the exchange's keys of a state, by their role; retired and next ones, too.
async fn trust_in(app: &TestApp, state: &str) -> Trust {
    let keys: Value = app.anonymous().get("/v1/exchange/keys").send().await.unwrap();
    let find = |role: &str| {
        let mut keys = keys["keys"].as_array().unwrap().iter();
        keys.find(|key| key["role"] == role && key["state"] == state)
            .unwrap_or_else(|| panic!("{state} {role}: {keys:?}"))
    };
    trust(&find("statement")["public_key"], &find("log")["vkey"])
}

async fn rotate(app: &TestApp, role: KeyRole) -> Result<bool> {
    let next = keys::load_or_create_next(&app.app().config.keys_dir(), role).unwrap();
    let (own, now) = (app.app().keys.clone(), app.clock.now());
    app.app().db.write(move |c| exchange_keys::activate(c, &own, role, &next, now)).await
}

/// Retires with the keys that lie in the directory now, whatever the running server holds.
async fn retire(app: &TestApp, role: KeyRole) -> Result<bool> {
    let dir = app.app().config.keys_dir();
    let (own, origin) = (ExchangeKeys::load_or_create(&dir).unwrap(), app.app().config.log_origin.clone());
    let (retired, now) = (own.of(role).0.public().key_id(), app.clock.now());
    let changed = app.app().db.write(move |c| exchange_keys::retire(c, &own, role, &origin, now)).await?;
    keys::promote_next(&dir, role, retired).unwrap();
    Ok(changed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exchange_rotates_its_keys_and_everything_it_signed_stays_proven() {
    let mut app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 500_000).await);
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let buy = async |app: &TestApp| {
        let licence = lab.buy(&offer).await.unwrap();
        lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
        passport(app, &lab, &licence).await
    };
    let before = buy(&app).await;
    let old = trust_in(&app, "current").await;

    for role in KeyRole::ALL {
        assert!(rotate(&app, *role).await.unwrap());
        assert!(!rotate(&app, *role).await.unwrap(), "a rotation that is under way goes on");
    }
    let new = trust_in(&app, "next").await;
    let not_restarted = buy(&app).await;
    let refused = retire(&app, KeyRole::Log).await.unwrap_err().to_string();
    assert!(refused.contains("not signed by the new key") && refused.contains("restart every instance"), "{refused}");

    app.restart().await;
    let during = buy(&app).await;
    let checkpoint = app.anonymous().get("/log/checkpoint").text().await.unwrap();
    for trusted in [&old, &new] {
        trusted.log.as_ref().unwrap().by_a_known_log(&checkpoint).expect("both keys of the log sign");
    }
    for role in KeyRole::ALL {
        assert!(retire(&app, *role).await.unwrap());
    }
    let not_restarted_either = buy(&app).await;
    app.restart().await;
    let after = buy(&app).await;

    for passport in [&before, &not_restarted, &during, &not_restarted_either, &after] {
        verify(passport, &old).unwrap();
    }
    for passport in [&not_restarted, &during, &not_restarted_either, &after] {
        verify(passport, &new).unwrap();
    }
    let said = reason(verify(&before, &new));
    assert!(said.starts_with("exchange_key: trusted exchange"), "no chain leads there yet: {said}");
    assert_eq!(trust_in(&app, "current").await.exchange_keys, new.exchange_keys);
    assert_eq!(trust_in(&app, "retired").await.exchange_keys, old.exchange_keys);
    let logged = crate::support::kinds_in_log(&app.anonymous()).await;
    assert_eq!(logged["exchange-key"], 4, "each step of each role");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_holds_a_retired_key_alone_refuses_to_sign() {
    let mut app = TestApp::start().await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 50_000).await);
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    rotate(&app, KeyRole::Statement).await.unwrap();
    retire(&app, KeyRole::Statement).await.unwrap();
    let refused = lab.order(&offer).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unavailable);
    assert!(refused.detail.contains("this instance holds the statement key"), "{refused}");
    app.restart().await;
    let licence = lab.buy(&offer).await.unwrap();
    verify(&passport(&app, &lab, &licence).await, &Trust::default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_the_keys_of_another_exchange_does_not_start() {
    let app = TestApp::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let mut config = (*app.app().config).clone();
    config.keys_dir = Some(elsewhere.path().to_path_buf());
    let refused = App::open(config.clone()).await.err().unwrap();
    assert!(refused.detail.contains("statement.key is missing"), "{refused}");
    ExchangeKeys::load_or_create(elsewhere.path()).unwrap();
    for refused in [App::open(config.clone()).await, App::open_standing(config).await] {
        let refused = refused.err().unwrap();
        assert!(refused.detail.contains("in the keys directory is not the exchange's"), "{refused}");
    }
}

#[tokio::test]
async fn a_key_that_a_restoration_left_out_is_made_by_nobody_who_was_not_told_to() {
    let mut exchange = Exchange::serve().await;
    exchange.stop();
    let key = |name: &str| exchange.folder.path().join("data/keys").join(name);
    let (url, log) = (key("url.key"), key("log.key"));
    std::fs::remove_file(&url).unwrap();
    let refused = |exchange: &Exchange, args: &[&str], words: &str| {
        let output = exchange.operate(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(said.contains(words) && said.contains("restore it from the backup"), "{args:?}: {said}");
    };
    let create = ["admin", "create-user", "--email", "operator@exchange.test", "--role", "operator"];
    for args in
        [&["serve", "--listen", "127.0.0.1:0"][..], &["worker"], &["audit"], &["key", "exchange", "list"], &create]
    {
        refused(&exchange, args, "url.key is missing");
    }
    assert!(!url.exists(), "nobody made it");
    let made = exchange.operate(&["key", "exchange", "make-missing", "--json"]);
    assert_eq!(serde_json::from_slice::<Value>(&made.stdout).unwrap(), json!({ "made": ["url"] }));
    std::fs::rename(&log, log.with_extension("aside")).unwrap();
    refused(&exchange, &["key", "exchange", "make-missing"], "log.key is missing");
    std::fs::rename(log.with_extension("aside"), &log).unwrap();
    exchange.start();
    exchange.stop();
}

#[tokio::test]
async fn the_commands_rotate_the_exchanges_keys_and_go_on_where_they_were_cut_off() {
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let done = |exchange: &Exchange, args: &[&str]| -> Value {
        let output = exchange.operate(&[&["key", "exchange"], args, &["--json"]].concat());
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let states = |exchange: &Exchange| -> Vec<String> {
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_string();
        let list = done(exchange, &["list"]);
        list["items"].as_array().unwrap().iter().map(|key| text(key, "role") + " " + &text(key, "state")).collect()
    };
    let refused = |exchange: &Exchange, args: &[&str]| {
        let output = exchange.operate(&[&["key", "exchange"], args].concat());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    organisation(&exchange, &operator, "poetry-house");
    assert!(refused(&exchange, &["retire", "log"]).contains("no log key waits to take over"));
    for role in ["statement", "log"] {
        assert_eq!(done(&exchange, &["rotate", role])["changed"], true);
        assert_eq!(done(&exchange, &["rotate", role])["changed"], false);
    }
    assert_eq!(states(&exchange), ["statement current", "statement next", "log current", "log next"]);
    exchange.stop();
    exchange.start();
    organisation(&exchange, &operator, "verse-lab");
    let signed_by_both = || async {
        let client = corpex::cli::client::Client::new(&exchange.url, None).unwrap();
        for _ in 0..200 {
            let checkpoint = client.get("/log/checkpoint").text().await.unwrap();
            if checkpoint.matches("\n— corpex.localhost/log ").count() == 2 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("the log was never signed with both keys");
    };
    signed_by_both().await;

    let keys = exchange.folder.path().join("data/keys");
    for role in ["statement", "log"] {
        let (waiting, next) = (keys.join("kept"), keys.join(format!("{role}-next.key")));
        std::fs::copy(&next, &waiting).unwrap();
        let current = std::fs::read(keys.join(format!("{role}.key"))).unwrap();
        let retired = done(&exchange, &["retire", role]);
        assert_eq!(retired["changed"], true);
        assert!(keys.join(format!("{role}-retired-{}.key", retired["retired"].as_str().unwrap())).exists());
        // Cut off between the record and the files: it is done again, and nothing is recorded twice.
        std::fs::rename(&waiting, &next).unwrap();
        std::fs::write(keys.join(format!("{role}.key")), current).unwrap();
        assert_eq!(done(&exchange, &["retire", role])["changed"], false);
        assert!(!next.exists());
    }
    exchange.stop();
    exchange.start();
    organisation(&exchange, &operator, "prose-lab");
    assert_eq!(states(&exchange), ["statement retired", "statement current", "log retired", "log current"]);
    exchange.stop();
    exchange.audit();
}
