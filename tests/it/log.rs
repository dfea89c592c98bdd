//! The life of the public log: consistency, witnesses, monitors, and what happens when an old backup comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use corpex::config::Config;
use corpex::error::Kind;
use corpex::provenance::cosignature::cosigned_at;
use corpex::provenance::monitor::Monitor;
use corpex::provenance::note::{Checkpoint, Note, VerifierKey, WitnessKey};
use corpex::provenance::passport::{self, Trust};
use corpex::provenance::policy::Policy;
use corpex::provenance::proof::TlogProof;
use corpex::provenance::witness::routes::Serving;
use corpex::provenance::witness::{Submission, Witness};
use corpex::provenance::{self, ResourceDescriptor, StatementKind, sequencer, tree};
use corpex::server::Running;
use corpex::signing::SecretKey;
use corpex::types::{Clock, Digest};
use serde_json::{Value, json};

use crate::support::process::{Exchange, organisation};
use crate::support::{Actor, TestApp, TestDatabase};

const ORIGIN: &str = "corpex.localhost/log";

async fn published(app: &TestApp) -> Checkpoint {
    app.sequenced().await;
    let note = app.anonymous().get("/log/checkpoint").text().await.unwrap();
    Checkpoint::open(&note, &app.app().log_vkey().unwrap()).unwrap()
}

fn witness(name: &str, log: VerifierKey, folder: &Path, listen: &str) -> (WitnessKey, Serving) {
    let witness = Witness::open(name, vec![log], folder).unwrap();
    let vkey = witness.vkey().unwrap();
    (vkey, Serving::start(witness, Clock::default(), listen.parse::<SocketAddr>().unwrap()).unwrap())
}

/// An exchange whose log is witnessed. Its keys are made first, for the witness must know them.
async fn witnessed_app(folder: &Path, quorum: &str) -> (TestApp, WitnessKey, Serving) {
    let keys_dir = folder.join("keys");
    let keys = corpex::keys::ExchangeKeys::load_or_create(&keys_dir).unwrap();
    let log = VerifierKey::new(ORIGIN, keys.log.public()).unwrap();
    let (vkey, serving) = witness("lab.example/witness", log, &folder.join("witness"), "127.0.0.1:0");
    let policy = folder.join("policy");
    let text = format!("witness lab {vkey} http://{}\nquorum {quorum}\n", serving.address);
    std::fs::write(&policy, text).unwrap();
    let app = TestApp::start_with(|config| {
        config.keys_dir = Some(keys_dir);
        config.log_policy = Some(policy);
    })
    .await;
    (app, vkey, serving)
}

fn monitor(app: &TestApp, policy: Policy, state: &Path) -> Monitor {
    let log = format!("{}/log", app.url).parse().unwrap();
    Monitor::new(log, policy, state.to_path_buf(), true).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_prove_that_the_log_continues_what_they_saw() {
    let app = TestApp::start().await;
    app.provider().await;
    let before = published(&app).await;
    app.lab("verse-lab", 0).await;
    let after = published(&app).await;
    assert!(after.tree_size > before.tree_size);

    let read = |old: u64| {
        let client = app.anonymous();
        async move { client.get(format!("/v1/log/consistency?old_size={old}")).text().await }
    };
    let proven = Submission::read(read(before.tree_size).await.unwrap().as_bytes()).unwrap();
    let opened = Checkpoint::open(&proven.checkpoint, &app.app().log_vkey().unwrap()).unwrap();
    assert_eq!((proven.old_size, &opened), (before.tree_size, &after));
    tree::verify_consistency(before.tree_size, before.root, after.tree_size, after.root, &proven.proof).unwrap();
    let beyond = read(after.tree_size + 1).await.unwrap_err();
    assert_eq!(beyond.kind, Kind::NotFound);
    assert!(beyond.remedy.unwrap().contains("/log/checkpoint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_proven_by_its_entry_its_identifier_and_its_digest() {
    let app = TestApp::start().await;
    let provider = app.provider().await;
    app.listed_corpus(&provider, "poems", 100).await;
    app.sequenced().await;
    let traced = app.compliance.get("/v1/trace?subject=poetry-house/poems").await.unwrap();
    let sealed = &traced["chains"][0]["sealed"];
    let mut proofs = Vec::new();
    for name in ["entry", "statement", "pae_sha256"] {
        let path = format!("/v1/log/proofs/{}", sealed[name].as_str().unwrap());
        proofs.push(app.anonymous().get(path).text().await.unwrap());
    }
    assert_eq!((&proofs[0], &proofs[0]), (&proofs[1], &proofs[2]));
    proofs[0].parse::<TlogProof>().unwrap();
    let nonsense = app.anonymous().get("/v1/log/proofs/nonsense").text().await.unwrap_err();
    assert_eq!(nonsense.kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_cosigns_every_checkpoint_and_a_passport_carries_it() {
    let folder = tempfile::tempdir().unwrap();
    let (app, vkey, serving) = witnessed_app(folder.path(), "lab").await;
    let (provider, lab) = (app.provider().await, app.lab("verse-lab", 100_000).await);
    let offer = app.listed_corpus(&provider, "poems", 50_000).await;
    let entitlement = lab.buy(&offer).await.unwrap();
    let checkpoint = published(&app).await;
    let note: Note = checkpoint.note.parse().unwrap();
    assert!(cosigned_at(&note, &vkey).unwrap().is_some());

    let passport = lab.get(format!("/v1/entitlements/{entitlement}/passport")).await.unwrap();
    assert_eq!(passport["witness_vkeys"], json!([vkey.to_string()]));
    let proof = passport["statements"][0]["proof"].as_str().unwrap().parse::<TlogProof>().unwrap();
    assert!(cosigned_at(&proof.checkpoint.parse().unwrap(), &vkey).unwrap().is_some());
    let keys = app.anonymous().get("/v1/exchange/keys").send::<Value>().await.unwrap();
    assert_eq!(keys["log"]["witnesses"][0], vkey.to_string());

    // Whether that is enough is for the verifier to say.
    let bytes = app_passport(&lab, &entitlement).await;
    let log = app.app().log_vkey().unwrap();
    let stranger = WitnessKey::new("regulator.example/witness", SecretKey::from_seed([9; 32]).public()).unwrap();
    let policy = |quorum: &str| {
        let text = format!("log {log}\nwitness lab {vkey}\nwitness regulator {stranger}\n{quorum}\n");
        Trust { log: Some(text.parse().unwrap()), exchange_keys: Vec::new() }
    };
    let report = passport::verify(&bytes, &policy("quorum lab")).unwrap();
    assert!(report.statements.iter().all(|statement| statement.witnessed_by == ["lab"]));
    let refused = passport::verify(&bytes, &policy("group both all lab regulator\nquorum both")).unwrap_err();
    assert!(refused.detail.starts_with("witnesses: "), "{refused}");
    assert!(refused.detail.ends_with("there are [lab], and [regulator] are missing or stale"), "{refused}");
    serving.stop().await.unwrap();
}

async fn app_passport(lab: &Actor, entitlement: &str) -> Vec<u8> {
    lab.client.get(format!("/v1/entitlements/{entitlement}/passport")).text().await.unwrap().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_quorum_the_log_waits_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (app, _, serving) = witnessed_app(folder.path(), "lab").await;
    let before = published(&app).await;
    let address = serving.address.to_string();
    serving.stop().await.unwrap();
    app.provider().await;
    let why = told_by_readiness(&app.url).await;
    assert!(why.contains("too few witnesses"), "{why}");
    let still = app.anonymous().get("/log/checkpoint").text().await.unwrap();
    assert_eq!(still, before.note, "nothing is shown that nobody witnessed");

    let log = app.app().log_vkey().unwrap();
    let (_, serving) = witness("lab.example/witness", log, &folder.path().join("witness"), &address);
    assert!(published(&app).await.tree_size > before.tree_size);
    assert_eq!(readiness(&app.url).await.0, 200);
    serving.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_was_away_cosigns_what_is_published_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (app, vkey, serving) = witnessed_app(folder.path(), "none").await;
    published(&app).await;
    let address = serving.address.to_string();
    serving.stop().await.unwrap();
    app.provider().await;
    let cosigned = |note: &str| cosigned_at(&note.parse::<Note>().unwrap(), &vkey).unwrap().is_some();
    let alone = published(&app).await;
    assert!(!cosigned(&alone.note), "nobody was there to see it");

    let log = app.app().log_vkey().unwrap();
    let (_, serving) = witness("lab.example/witness", log, &folder.path().join("witness"), &address);
    let mut seen = published(&app).await;
    for _ in 0..400 {
        if cosigned(&seen.note) {
            break;
        }
        app.clock.advance(Duration::from_secs(61));
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = published(&app).await;
    }
    assert!(cosigned(&seen.note));
    assert_eq!((seen.tree_size, seen.root), (alone.tree_size, alone.root), "of the same tree");
    serving.stop().await.unwrap();
}

async fn readiness(url: &str) -> (u16, Value) {
    let response = reqwest::get(format!("{url}/readyz")).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Waits until the exchange says that its log does not go on, and gives what it says. It is not ready where that is for good.
async fn told_by_readiness(url: &str) -> String {
    for _ in 0..400 {
        let (status, told) = readiness(url).await;
        if told["sequencer"] != "ok" {
            let why = told["sequencer"].as_str().unwrap();
            assert_eq!(status == 503, why.starts_with("the log is not signed any further"), "{status} {told}");
            return why.to_string();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the exchange stayed ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_follows_an_honest_log_and_reads_every_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (app, vkey, serving) = witnessed_app(folder.path(), "lab").await;
    let log = app.app().log_vkey().unwrap();
    let other = VerifierKey::new("other.example/log", SecretKey::from_seed([9; 32]).public()).unwrap();
    let policy = format!("log {other}\nlog {log}\nwitness lab {vkey} http://{}\nquorum lab\n", serving.address);
    let monitor = monitor(&app, policy.parse().unwrap(), &folder.path().join("seen"));
    app.provider().await;
    let first = published(&app).await;
    let seen = monitor.look().await.unwrap();
    assert_eq!((seen.known_size, seen.tree_size, seen.root), (0, first.tree_size, first.root));
    assert_eq!((seen.witnessed_by, seen.compared_with), (vec!["lab".to_string()], vec!["lab".to_string()]));
    assert_eq!(seen.new_entries.unwrap()["key-registration"], 1);
    app.lab("verse-lab", 0).await;
    let second = published(&app).await;
    let seen = monitor.look().await.unwrap();
    assert_eq!((seen.known_size, seen.tree_size), (first.tree_size, second.tree_size));
    assert_eq!(seen.new_entries.unwrap().values().sum::<u64>(), second.tree_size - first.tree_size);
    serving.stop().await.unwrap();
}

/// A monitor that has seen another history of the log, as a log that shows two faces would have it.
fn remember(state: &Path, app: &TestApp, tree_size: u64) {
    let other = Checkpoint::sign(ORIGIN, tree_size, Digest::of("another history"), &app.app().keys.log);
    std::fs::write(state, other.unwrap().note).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_raises_the_alarm_when_the_log_split_or_shrank() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start().await;
    app.provider().await;
    app.lab("verse-lab", 0).await;
    let now = published(&app).await;
    let state = folder.path().join("seen");
    let monitor = monitor(&app, Policy::of_log(app.app().log_vkey().unwrap()), &state);
    for (seen, why) in [
        (now.tree_size, "two roots for one size"),
        (now.tree_size - 1, "does not connect the two roots"),
        (now.tree_size + 1, "and this monitor has seen"),
    ] {
        remember(&state, &app, seen);
        let alarm = monitor.look().await.unwrap_err();
        assert_eq!(alarm.kind, Kind::LogMisbehaved);
        assert!(alarm.detail.contains(why), "{alarm}");
        let evidence = std::fs::read_to_string(state.with_extension("evidence")).unwrap();
        assert!(evidence.ends_with(&now.note), "both checkpoints are kept");
        assert!(evidence.contains(&format!("{ORIGIN}\n{seen}\n")));
    }
    std::fs::remove_file(&state).unwrap();
    assert_eq!(monitor.look().await.unwrap().tree_size, now.tree_size);
}

/// One exchange's keys and objects, under whatever database somebody restored.
struct Restored {
    running: Running,
}

impl Restored {
    /// Starts it; objects lie in `folder`, whatever the environment says, so that each has a memory of its own.
    async fn start(folder: &Path, keys: &Path, database: &TestDatabase, name: &str) -> Self {
        let mut config = Config::embedded(folder);
        database.configure(&mut config);
        if config.database_url.is_none() {
            config.database_url = Some(keys.join(name).with_extension("sqlite3").display().to_string());
        }
        config.keys_dir = Some(keys.to_path_buf());
        Self { running: Running::start(config).await.unwrap() }
    }

    async fn record(&self, about: &'static str) {
        let (keys, now) = (self.running.app.keys.clone(), self.running.app.clock.now());
        let declared = self.running.app.db.write(move |c| {
            let root = Digest::of(about);
            let subjects = vec![ResourceDescriptor::new(about, root)];
            let predicate = json!({ "root_sha256": root, "count": 1 });
            provenance::declare(c, &keys, StatementKind::ReceiptBatch, about, subjects, &predicate, now)
        });
        declared.await.unwrap();
    }

    async fn published(&self) -> u64 {
        for _ in 0..400 {
            let look = |c: &mut _| Ok((sequencer::is_due(c)?, sequencer::status(c)?.tree_size));
            if let (false, Some(size)) = self.running.app.db.read(look).await.unwrap() {
                return size;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the log does not go on");
    }

    async fn stop(self) {
        self.running.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_set_back_signs_nothing_until_the_right_one_is_there() {
    let (folder, elsewhere, keys) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (real, empty, other) =
        (TestDatabase::create().await, TestDatabase::create().await, TestDatabase::create().await);
    let exchange = Restored::start(folder.path(), keys.path(), &real, "real").await;
    for entry in ["one", "two", "three"] {
        exchange.record(entry).await;
        exchange.published().await;
    }
    exchange.stop().await;

    let exchange = Restored::start(folder.path(), keys.path(), &empty, "empty").await;
    let why = told_by_readiness(&exchange.running.url).await;
    assert!(why.contains("3 entries were signed and shown, and this database holds 0"), "{why}");
    assert!(why.contains("restore the database"), "{why}");
    let shown = reqwest::get(format!("{}/log/checkpoint", exchange.running.url)).await.unwrap();
    assert_eq!(shown.status(), 503, "nothing is signed");
    exchange.stop().await;

    // The same keys wrote another history where nobody remembered the first; then it is put in its place.
    let exchange = Restored::start(elsewhere.path(), keys.path(), &other, "other").await;
    for entry in ["un", "deux", "trois", "quatre"] {
        exchange.record(entry).await;
        exchange.published().await;
    }
    exchange.stop().await;
    let exchange = Restored::start(folder.path(), keys.path(), &other, "other").await;
    exchange.record("cinq").await;
    let why = told_by_readiness(&exchange.running.url).await;
    assert!(why.contains("another history than was shown"), "{why}");
    exchange.stop().await;

    let exchange = Restored::start(folder.path(), keys.path(), &real, "real").await;
    exchange.record("four").await;
    assert_eq!(exchange.published().await, 4);
    assert_eq!(readiness(&exchange.running.url).await.0, 200);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_log_finds_out_that_its_database_was_set_back() {
    let (folder, elsewhere, keys) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (real, old) = (TestDatabase::create().await, TestDatabase::create().await);
    // A backup that was published itself once: nothing in it waits for anything.
    let exchange = Restored::start(elsewhere.path(), keys.path(), &old, "old").await;
    assert_eq!(exchange.published().await, 0);
    exchange.stop().await;
    let exchange = Restored::start(folder.path(), keys.path(), &real, "real").await;
    exchange.record("one").await;
    assert_eq!(exchange.published().await, 1);
    exchange.stop().await;

    let exchange = Restored::start(folder.path(), keys.path(), &old, "old").await;
    let why = told_by_readiness(&exchange.running.url).await;
    assert!(why.contains("1 entries were signed and shown, and this database holds 0"), "{why}");
    exchange.stop().await;

    let exchange = Restored::start(folder.path(), keys.path(), &real, "real").await;
    exchange.published().await;
    assert_eq!(readiness(&exchange.running.url).await.0, 200);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_finds_out_a_database_that_was_set_back_together_with_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let (app, _, serving) = witnessed_app(folder.path(), "none").await;
    app.provider().await;
    app.lab("verse-lab", 0).await;
    let size = published(&app).await.tree_size;
    drop(app);

    // Keys and witness are those of before; database and objects are new.
    let app = TestApp::start_with(|config| {
        config.keys_dir = Some(folder.path().join("keys"));
        config.log_policy = Some(folder.path().join("policy"));
        config.s3_bucket = None;
        config.s3_endpoint = None;
    })
    .await;
    let why = told_by_readiness(&app.url).await;
    assert!(why.contains(&format!("the witness lab has cosigned {size} entries, and this database holds 0")), "{why}");
    serving.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_write_one_history_and_one_takes_over_from_the_other() {
    let (folder, keys, database) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), TestDatabase::create().await);
    let one = Restored::start(folder.path(), keys.path(), &database, "shared").await;
    let two = Restored::start(folder.path(), keys.path(), &database, "shared").await;
    tokio::join!(
        async {
            for entry in ["a", "b", "c", "d", "e"] {
                one.record(entry).await;
            }
        },
        async {
            for entry in ["f", "g", "h", "i", "j"] {
                two.record(entry).await;
            }
        }
    );
    assert_eq!((one.published().await, two.published().await), (10, 10));
    one.stop().await;
    two.record("k").await;
    assert_eq!(two.published().await, 11);
    let origin = two.running.app.config.log_origin.clone();
    let keys = two.running.app.keys.clone();
    let found = two.running.app.db.read(move |c| provenance::audit::audit(c, &keys, &origin)).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regulator_watches_with_commands_alone() {
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let log = operator.api("GET", "/v1/exchange/keys", &Value::Null)["log"]["vkey"].as_str().unwrap().to_string();
    let witness = exchange.witness("regulator.example/witness", &log);
    let (policy, state) = (exchange.folder.path().join("policy"), exchange.folder.path().join("seen"));
    let watched_by = format!("witness regulator {} {}\nquorum regulator\n", witness.vkey, witness.url);
    std::fs::write(&policy, format!("log {log} {}/log\n{watched_by}", exchange.url)).unwrap();
    exchange.stop();
    exchange.set("CORPEX_LOG_POLICY", policy.display().to_string());
    exchange.start();
    let lab = organisation(&exchange, &operator, "verse-lab");

    let (policy_text, state_text) = (policy.display().to_string(), state.display().to_string());
    let look = ["monitor", "--once", "--policy", &policy_text, "--state", &state_text];
    // The empty log was published before it had a witness; the checkpoint with the lab's key is being cosigned.
    let mut seen = Value::Null;
    for _ in 0..200 {
        let looked = lab.run(&[&look[..], &["--json"]].concat());
        if looked.status.success() {
            seen = serde_json::from_slice(&looked.stdout).unwrap();
        } else {
            let said = String::from_utf8(looked.stderr).unwrap();
            assert!(said.contains("too few witnesses cosigned the checkpoint: there are []"), "{said}");
        }
        if seen["tree_size"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen["tree_size"], 1);
    assert_eq!(seen["witnessed_by"], json!(["regulator"]));
    assert_eq!(seen["compared_with"], json!(["regulator"]));
    assert!(lab.done(&look).starts_with("ok  corpex.localhost/log  1 entry (0 new)"));

    // Somebody was shown another history: the monitor finds out, and scripts can tell by the exit code.
    let key = std::fs::read_to_string(exchange.folder.path().join("data/keys/log.key")).unwrap();
    let mut seed = [0; 32];
    hex::decode_to_slice(key.trim(), &mut seed).unwrap();
    let other = Checkpoint::sign(ORIGIN, 1, Digest::of("another history"), &SecretKey::from_seed(seed)).unwrap();
    std::fs::write(&state, other.note).unwrap();
    let alarm = lab.run(&look);
    assert_eq!(alarm.status.code(), Some(3));
    assert!(
        String::from_utf8(alarm.stderr).unwrap().contains("ALARM: the log corpex.localhost/log is not append-only")
    );
}
