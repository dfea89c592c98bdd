//! The test vectors of docs/provenance.md, made from fixed seeds: they are the starting point for writing a verifier.
//!
//! `UPDATE_VECTORS=1 cargo test vectors` writes them anew; without it a difference between file and code is a failure.

use std::path::Path;

use super::*;
use crate::keys::KeyRole;
use crate::provenance::cosignature::cosign;
use crate::provenance::exchange_keys::KeyEvent;
use crate::provenance::lot;
use crate::provenance::note::{Note, WitnessKey};
use crate::provenance::tiles::{Resource, Tile};
use crate::signing::{IN_TOTO_PAYLOAD_TYPE, read_canonical_json};

/// Compares a file below the repository's root with what it should hold, or writes it.
fn published(file: &str, expected: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{file} is not what the code makes; run UPDATE_VECTORS=1 cargo test vectors, and explain"
    );
}

fn published_json(file: &str, expected: &Value) {
    let text = serde_json::to_string_pretty(expected).unwrap() + "\n";
    published(&format!("docs/vectors/{file}"), text.as_bytes());
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    Bytes(bytes.as_ref().to_vec()).to_string()
}

const DATASET: &str = "poetry-house/poems";
const PATH: &str = "data/a.jsonl";
const SHARD: &[u8] = b"{\"text\":\"\xe5\xba\x8a\xe5\x89\x8d\xe6\x98\x8e\xe6\x9c\x88\xe5\x85\x89\"}\n";

fn about(name: &str, digest: Digest) -> Vec<ResourceDescriptor> {
    vec![ResourceDescriptor::new(name, digest)]
}

/// What is on offer, with predicates that follow their schemas: the keys of both sides, the manifest and terms with more
/// members; and the digests of the two.
fn offered(members: Value) -> (Story, [Digest; 2]) {
    let mut story = Story::new();
    story
        .signers
        .iter_mut()
        .zip(["poetry-house", "verse-lab"])
        .for_each(|(key, handle)| key.organisation = handle.into());
    for number in 0..2 {
        let (key, secret) =
            (story.signers[number].clone(), [story.provider.clone(), story.lab.clone()][number].clone());
        let predicate = json!({ "organisation": key.organisation, "public_key": key.public_key });
        story.record_about(StatementKind::KeyRegistration, Some(secret), about("key", key.key_id), predicate);
        story.signers[number].registered_at = story.recorded[number].3.recorded_at;
    }
    let (provider, sha256) = (story.provider.clone(), Digest::of(SHARD));
    let manifest = json!({
        "dataset": DATASET, "version": 1, "card_sha256": Digest::of("# Poems\n"), "parents": [],
        "shards": [{ "path": PATH, "size_bytes": SHARD.len(), "sha256": sha256, "media_type": "application/jsonl" }],
        "provenance": { "collection_method": "other", "source_licence": "public domain", "consent": "not required", "personal_data": "none" },
    });
    let manifest = story.record_about(StatementKind::Manifest, Some(provider.clone()), about(PATH, sha256), manifest);
    let mut document = json!({
        "permitted_uses": ["pretrain"], "prohibited_uses": ["redistribute"], "territory": ["*"], "duration_days": null,
        "attribution": true, "affiliates": false,
        "price": { "model": "one_off", "amount": { "amount_minor": 128_000, "currency": "CNY" } },
    });
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let subject = about("terms", Digest::of(canonical_json(&document).unwrap()));
    let terms = story.record_about(
        StatementKind::Terms,
        Some(provider),
        subject,
        json!({ "organisation": "poetry-house", "document": document }),
    );
    (story, [manifest, terms])
}

/// A purchase with predicates that follow their schemas.
fn purchase() -> Story {
    let (mut story, [manifest, terms]) = offered(json!({}));
    let (lab, dataset, version) = (story.lab.clone(), DATASET, 1);
    let assessment = json!({
        "assessment": id("assessment"), "dataset": dataset, "version": version, "manifest_sha256": manifest,
        "checklist": [{ "key": "lawful_source", "finding": "compliant", "evidence": [] }], "decision": "passed",
        "assessor": id("user"), "assessed_at": at(14), "valid_until": at(14 + 365 * 24 * 3600),
    });
    let assessment = story.record_about(StatementKind::Assessment, None, about("manifest", manifest), assessment);
    let holder = |handle: &str| json!({ "handle": handle, "legal_name": format!("{handle} Ltd"), "registration_number": "91310000MA1FL0AB1C" });
    let number = "CPX-2023-0000000001";
    let certificate = json!({
        "number": number, "dataset": dataset, "version": version, "manifest_sha256": manifest, "provider": holder("poetry-house"),
        "assessment": id("assessment"), "assessment_sha256": assessment, "issued_at": at(15),
    });
    story.record_about(StatementKind::Certificate, None, about("manifest", manifest), certificate);
    let money = |fen: u32| json!({ "amount_minor": fen, "currency": "CNY" });
    let party = |handle: &str, legal_name: &str| json!({ "handle": handle, "legal_name": legal_name, "registration_number": "91310000MA1FL0AB1C", "country": "CN" });
    // Renderings are of the market, above this: its test makes them of the published vector, and compares.
    let rendered = |html: &str, text: &str| json!({ "html_sha256": html, "text_sha256": text });
    let renderings = json!({
        "zh": rendered("a765c692d8278eb36531105b1b07c27bc0428a8c549366d5ecf81c698e763783", "86bd006a76775ebef6c23c7e0ca53c10b0572c372e4c07cc306699700b4efcb2"),
        "en": rendered("2694bbb84ba3dc19d96e0f7b83c15039f6bef541df3e6d59ca98c0bfa30ebd7a", "c3112c3b64b0b88c5e194076457f203363e9c6dd5fd18b421b087b5a8f01d5f2"),
    });
    let contract = json!({
        "order": id("order"), "listing": id("listing"),
        "buyer": party("verse-lab", "诗律<实验室>（上海）有限公司"), "provider": party("poetry-house", "诗词之家（上海）数据有限公司"),
        "dataset": dataset, "version": version, "manifest_sha256": manifest, "terms": id("terms"), "terms_sha256": terms,
        "certificate": number, "use": "pretrain", "purpose": "预训练一个古诗词小型语言模型，仅供内部使用。\n第三条　价款与支付：CNY 0.00",
        "licence": { "prohibited_uses": ["redistribute"], "territory": ["*"], "duration_days": null, "attribution": true, "affiliates": false },
        "price": money(128_000), "fee": money(3_840), "acceptance_days": 14, "made_at": at(16), "renderings": renderings,
    });
    let contract = story.record_about(StatementKind::Contract, Some(lab), about("manifest", manifest), contract);
    let entitlement = json!({
        "entitlement": id("entitlement"), "order": id("order"), "contract_sha256": contract, "dataset": dataset,
        "version": version, "manifest_sha256": manifest, "granted_at": at(17), "expires_at": null,
    });
    story.record_about(StatementKind::Entitlement, None, about("contract", contract), entitlement);
    story.receipts = (0..3)
        .map(|number| {
            json!({
                "v": 1, "receipt": format!("receipt_01jcm9qf80e5wvpd4d6d9k1m2{number}"), "entitlement": id("entitlement"),
                "user": id("user"), "dataset": dataset, "version": version, "path": PATH, "sha256": Digest::of(SHARD),
                "size_bytes": SHARD.len(), "issued_at": at(18),
            })
        })
        .collect();
    story.record_batch();
    story
}

/// An evaluation of the only record's sample, with predicates that follow their schemas.
fn evaluation() -> Story {
    let (mut story, [manifest, terms]) = offered(json!({ "evaluation_days": 14 }));
    let lot = story.keys.statement.sign_envelope(lot::LOT_TYPE, canonical_json(&lot::lot(manifest)).unwrap());
    let (sample, record) = (Digest::of(SHARD), Digest::of(SHARD.strip_suffix(b"\n").unwrap()));
    let inspection = json!({
        "dataset": DATASET, "version": 1, "manifest_sha256": manifest, "records": 1, "tokens": 5,
        "formats": [{ "format": "json-lines", "shards": 1, "bytes": SHARD.len(), "records": 1 }],
        "tokenizer": "uax29-words/16.0.0", "unreadable_shards": 0, "unreadable": [], "inspected_at": at(14),
        "columns": [{ "name": "text", "type": "string", "nulls": 0, "bytes": 15, "tokens": 5 }],
        "sample": {
            "lot": lot, "sha256": sample, "size_bytes": SHARD.len(),
            "records": [{ "path": PATH, "index": 0, "sha256": record }],
        },
    });
    let drawn = ResourceDescriptor::new("sample.jsonl", sample);
    let subjects = [about("manifest", manifest), vec![drawn.clone()]].concat();
    story.record_about(StatementKind::Inspection, None, subjects, inspection);
    let granted = json!({
        "evaluation": id("evaluation"), "listing": id("listing"), "organisation": "verse-lab", "dataset": DATASET, "version": 1,
        "manifest_sha256": manifest, "terms_sha256": terms, "sample_sha256": sample, "use": "evaluate",
        "purpose": "does the verse scan", "granted_at": at(15), "expires_at": at(15 + 14 * 24 * 3600),
    });
    let subjects = [about("manifest", manifest), about("terms", terms), vec![drawn.clone()]].concat();
    let granted = story.record_about(StatementKind::Evaluation, None, subjects, granted);
    let receipt = json!({
        "evaluation": id("evaluation"), "evaluation_sha256": granted, "sample_sha256": sample, "size_bytes": SHARD.len(),
        "user": id("user"), "issued_at": at(16),
    });
    let subjects = [about("evaluation", granted), vec![drawn]].concat();
    story.record_about(StatementKind::EvaluationReceipt, None, subjects, receipt);
    story
}

const WITNESS: &str = "witness.example/w1";

fn witness() -> SecretKey {
    SecretKey::from_seed([8; 32])
}

/// Adds the witness's cosignature to a checkpoint.
fn cosigned(checkpoint: &str) -> String {
    let mut note: Note = checkpoint.parse().unwrap();
    note.signatures.push(cosign(&note.text, WITNESS, &witness(), at(19)).unwrap());
    note.to_string()
}

/// The purchase's passport, its checkpoints cosigned, and the policy of somebody who wants that.
fn witnessed() -> (Passport, Policy) {
    let (story, key) = (purchase(), WitnessKey::new(WITNESS, witness().public()).unwrap());
    let log = VerifierKey::new(ORIGIN, story.keys.log.public()).unwrap();
    let policy: Policy = format!("log {log}\nwitness w1 {key}\nquorum w1\n").parse().unwrap();
    let mut statements = story.statements();
    for statement in &mut statements {
        let mut proof: TlogProof = statement.proof.parse().unwrap();
        proof.checkpoint = cosigned(&proof.checkpoint);
        statement.proof = proof.to_string();
    }
    let (signers, deliveries) = (story.signers.clone(), story.deliveries());
    (Passport::issue(&story.keys, ORIGIN, &policy.witnesses, statements, signers, deliveries).unwrap(), policy)
}

#[test]
fn a_whole_passport_and_what_is_said_of_it() {
    let (passport, policy) = witnessed();
    let (exchange_keys, bytes) = (vec![passport.exchange_key], passport.to_bytes().unwrap());
    published("docs/vectors/passport.json", &bytes);
    let report = verify(&bytes, &Trust { log: Some(policy), exchange_keys: exchange_keys.clone() }).unwrap();
    assert_eq!((report.statements.len(), report.deliveries.len()), (9, 1));
    published_json("passport-report.json", &serde_json::to_value(report).unwrap());
    // Without a cosignature the same policy wants nothing to do with it.
    let (bare, policy) = (purchase().passport().to_bytes().unwrap(), witnessed().1);
    assert!(reason(verify(&bare, &Trust { log: Some(policy), exchange_keys })).contains("w1"));
}

#[test]
fn the_passport_of_an_evaluation() {
    let (story, bytes) = (evaluation(), evaluation().passport().to_bytes().unwrap());
    published("docs/vectors/passport-evaluation.json", &bytes);
    let log = Policy::of_log(VerifierKey::new(ORIGIN, story.keys.log.public()).unwrap());
    let trust = Trust { log: Some(log), exchange_keys: vec![story.keys.statement.public()] };
    let report = verify(&bytes, &trust).unwrap();
    let [EvaluatedSample { granted, .. }] = report.samples.as_slice() else { panic!("{:?}", report.samples) };
    assert_eq!((granted.sample_sha256, report.statements.len()), (Digest::of(SHARD), 7));
}

/// The purchase's passport after both of the exchange's keys were replaced, and the licence was suspended meanwhile.
fn rotated() -> Passport {
    let mut story = purchase();
    let granted = story.recorded.iter().find(|(kind, ..)| *kind == StatementKind::Entitlement).unwrap().3.pae_sha256;
    (story.keys.statement_next, story.keys.log_next) =
        (Some(SecretKey::from_seed([11; 32])), Some(SecretKey::from_seed([12; 32])));
    story.succeed(KeyRole::Statement, KeyEvent::Activated);
    story.succeed(KeyRole::Log, KeyEvent::Activated);
    let change = json!({
        "entitlement": "entitlement_01jcm9qf80e5wvpd4d6d9k1m2n", "entitlement_sha256": granted, "from_state": "active",
        "state": "suspended", "reason": "a claim is examined", "changed_at": at(21),
    });
    story.record_about(
        StatementKind::EntitlementChange,
        None,
        vec![ResourceDescriptor::new("entitlement", granted)],
        change,
    );
    story.succeed(KeyRole::Statement, KeyEvent::Retired);
    story.succeed(KeyRole::Log, KeyEvent::Retired);
    story.keys.statement = story.keys.statement_next.take().unwrap();
    story.keys.log = story.keys.log_next.take().unwrap();
    story.passport()
}

#[test]
fn a_passport_over_a_rotation_that_the_old_keys_still_vouch_for() {
    let (bytes, old) = (rotated().to_bytes().unwrap(), purchase().keys);
    published("docs/vectors/passport-rotated.json", &bytes);
    let log = Policy::of_log(VerifierKey::new(ORIGIN, old.log.public()).unwrap());
    let report = verify(&bytes, &Trust { log: Some(log), exchange_keys: vec![old.statement.public()] }).unwrap();
    assert_eq!((report.statements.len(), report.standing.unwrap().state.as_str()), (14, "suspended"));
}

#[test]
fn keys_and_their_names() {
    let story = Story::new();
    let named = |name: &str, key: &SecretKey| json!({ "who": name, "seed_hex": hex::encode(key.seed()), "public_key": key.public(), "key_id": key.public().key_id() });
    let log = VerifierKey::new(ORIGIN, story.keys.log.public()).unwrap();
    let witness_key = WitnessKey::new(WITNESS, witness().public()).unwrap();
    published_json(
        "keys.json",
        &json!({
            "keys": [
                named("the exchange's statements", &story.keys.statement), named("the log", &story.keys.log),
                named("poetry-house", &story.provider), named("verse-lab", &story.lab), named("a witness", &witness()),
            ],
            "log": { "origin": ORIGIN, "vkey": log, "key_id_hex": hex::encode(log.key_id()) },
            "witness": { "name": WITNESS, "vkey": witness_key, "key_id_hex": hex::encode(witness_key.key_id()) },
        }),
    );
}

#[test]
fn envelopes_and_what_is_signed() {
    let story = purchase();
    let vectors = story.recorded.iter().map(|(kind, envelope, receipt, leaf)| {
        json!({
            "kind": kind, "envelope": envelope, "pae": base64(envelope.pae()), "pae_sha256": envelope.pae_sha256(),
            "receipt": receipt, "leaf": leaf.to_json().unwrap(), "leaf_hash": tree::leaf_hash(leaf.to_json().unwrap()),
        })
    });
    published_json("statements.json", &vectors.collect());

    let (_, first, ..) = &story.recorded[0];
    let pae = String::from_utf8(first.pae()).unwrap();
    let (opening, _) = pae.split_once("https://").unwrap();
    let text = include_str!("../../../docs/provenance.md");
    assert!(
        text.contains(&format!("`{}`", opening.trim_end_matches('"'))),
        "the example of docs/provenance.md: {opening}"
    );
}

#[test]
fn trees_of_up_to_eight_entries() {
    let entries: Vec<String> = (0..8).map(|n| format!("entry {n}")).collect();
    let leaves: Vec<Digest> = entries.iter().map(tree::leaf_hash).collect();
    let roots: Vec<Value> =
        (0..=8).map(|size| json!({ "size": size, "root": tree::root_of(&leaves[..size]) })).collect();
    let mut inclusion = Vec::new();
    let mut consistency = Vec::new();
    for size in 1..=8_usize {
        for index in 0..size {
            inclusion
                .push(json!({ "index": index, "size": size, "path": tree::path_of(&leaves[..size], index).unwrap() }));
        }
        for old in 1..=size {
            let path = in_memory(&leaves[..size]).consistency_path(u64::try_from(old).unwrap()).unwrap();
            consistency.push(json!({ "old_size": old, "new_size": size, "path": path }));
        }
    }
    published_json(
        "tree.json",
        &json!({
            "entries": entries, "leaf_hashes": leaves, "roots": roots, "inclusion": inclusion, "consistency": consistency,
        }),
    );
}

/// A tree whose leaves fit into one tile.
fn in_memory(leaves: &[Digest]) -> tree::Tree<impl tree::TileReader> {
    struct Leaves(Vec<Digest>);
    impl tree::TileReader for Leaves {
        fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
            assert_eq!((tile.level, tile.index), (0, 0));
            Ok(self.0.clone())
        }
    }
    tree::Tree::new(Leaves(leaves.to_vec()), u64::try_from(leaves.len()).unwrap())
}

#[test]
fn a_log_with_its_checkpoint_tile_bundle_and_proof() {
    let story = purchase();
    let statements = story.statements();
    let (mut tile, mut bundle) = (Vec::new(), Vec::new());
    for statement in &statements {
        tile.extend(tree::leaf_hash(&statement.leaf.0).0);
        bundle.extend(u16::try_from(statement.leaf.0.len()).unwrap().to_be_bytes());
        bundle.extend(&statement.leaf.0);
    }
    let proof: TlogProof = statements[2].proof.parse().unwrap();
    let witness_vkey = WitnessKey::new(WITNESS, witness().public()).unwrap();
    let paths = [(0, 0, 9), (0, 273, 112), (0, 1_234_067, 256), (1, 0, 1), (5, 1000, 255)];
    let paths: Vec<Value> = paths
        .into_iter()
        .map(|(level, index, width)| {
            let path = Resource::Hashes(Tile { level, index, width }).to_string();
            json!({ "level": level, "index": index, "width": width, "path": path })
        })
        .collect();
    published_json(
        "log.json",
        &json!({
            "vkey": story.passport().log_vkey,
            "checkpoint": proof.checkpoint,
            "cosigned": { "checkpoint": cosigned(&proof.checkpoint), "vkey": witness_vkey, "at": at(19) },
            "tile": { "path": format!("tile/0/000.p/{}", statements.len()), "bytes": base64(tile) },
            "bundle": { "path": format!("tile/entries/000.p/{}", statements.len()), "bytes": base64(bundle) },
            "proof": { "entry": String::from_utf8(statements[2].leaf.0.clone()).unwrap(), "text": statements[2].proof },
            "paths": paths,
        }),
    );
    published("fuzz/seeds/proof/entry.txt", &[&9_u64.to_le_bytes()[..], statements[2].proof.as_bytes()].concat());
    published("fuzz/seeds/note/checkpoint.txt", proof.checkpoint.as_bytes());
    published(
        "fuzz/seeds/cosignature/checkpoint.txt",
        &[&1_700_000_019_u32.to_le_bytes()[..], cosigned(&proof.checkpoint).as_bytes()].concat(),
    );
    published("fuzz/seeds/note/body.txt", proof.checkpoint.split("\n\n").next().unwrap().as_bytes());
    published("fuzz/seeds/note/vkey.txt", story.passport().log_vkey.to_string().as_bytes());
    published("fuzz/seeds/envelope/terms.json", &canonical_json(&statements[3].envelope).unwrap());
    published("fuzz/seeds/envelope/payload.json", &statements[8].envelope.payload.0);
    published("fuzz/seeds/envelope/key", &story.provider.public().to_bytes());
    published("fuzz/seeds/tile_path/hashes.txt", b"0/x001/x234/067");
    published("fuzz/seeds/tile_path/entries.txt", b"entries/273.p/112");
}

/// Texts of JSON and what canonical JSON makes of them, with the numbers and strings of RFC 8785.
const CANONICAL: &[&str] = &[
    r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
    r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
    r#"[0,-0,5e-324,-5e-324,1.7976931348623157e308,-1.7976931348623157e308,9007199254740991,-9007199254740991]"#,
    r#"[295147905179352830000,999999999999999700000000,1e+21,999999999999999900000,1e-7,0.000001,1e-6,9.999999999999997e22,1e23,1.0000000000000001e23]"#,
    r#"[333333333.3333332,333333333.33333325,333333333.3333333,333333333.3333334,333333333.33333343,-0.0000033333333333333333,1424953923781206.2]"#,
    r#"{"b":{"z":1,"a":[]},"a":{},"":"","A":"\u2028\u2029\u007f\u0000\b\f"}"#,
];

/// Documents that a verifier must not take, though their signature is right.
const NOT_CANONICAL: &[(&str, &str)] = &[
    ("members out of order", r#"{"b":1,"a":2}"#),
    ("a member twice", r#"{"a":1,"a":1}"#),
    ("white space", r#"{"a": 1}"#),
    ("a number in another spelling", r#"{"a":1.0}"#),
    ("an escape that is not needed", r#"{"a":"\u0041"}"#),
    ("a newline at the end", "{\"a\":1}\n"),
    ("an integer beyond 2^53 - 1", r#"{"a":9007199254740992}"#),
    ("an integer that a double cannot hold", r#"{"a":9007199254740993}"#),
    ("half a surrogate pair", r#"{"a":"\ud800"}"#),
];

#[test]
fn canonical_json_and_what_is_not() {
    let canonical = CANONICAL.iter().map(|text| {
        let value: Value = serde_json::from_str(text).unwrap();
        json!({ "text": text, "canonical": String::from_utf8(canonical_json(&value).unwrap()).unwrap() })
    });
    let refused = NOT_CANONICAL.iter().map(|(why, text)| {
        read_canonical_json(text.as_bytes()).unwrap_err();
        let envelope = SecretKey::from_seed([6; 32]).sign_envelope(IN_TOTO_PAYLOAD_TYPE, text.as_bytes().to_vec());
        json!({ "why": why, "text": text, "envelope": envelope })
    });
    published_json(
        "canonical-json.json",
        &json!({ "canonical": canonical.collect::<Vec<_>>(), "refused": refused.collect::<Vec<_>>() }),
    );
}
