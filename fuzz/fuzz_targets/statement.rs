//! Statements of every kind, as one who may sign them could write them.
//!
//! The input is a kind and a list of edits to a good statement of it, which is then signed with the key that may. What is
//! accepted is written as it was; a manifest, terms, an offer, a contract or a declared training that is accepted says the
//! same when it is written anew; terms cost what their price says, and no more than may be asked.
#![no_main]

mod edits;

use std::sync::LazyLock;

use corpex::catalog::{Manifest, Measure};
use corpex::market::contracts::{self, ContractDocument};
use corpex::market::offers::{self, OfferDocument};
use corpex::models::Training;
use corpex::provenance::{Statement, StatementKind, parse};
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, SecretKey, canonical_json};
use corpex::terms::{self, MAX_AMOUNT_MINOR, TermsDocument, TermsPredicate};
use corpex::types::{Digest, Instant, ListingId, Money};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

use edits::{Edit, apply};

const GOOD: &str = include_str!("../../docs/vectors/statements.json");

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([1; 32]));

/// The statements of the published vectors, and those that strangers sign besides.
static STATEMENTS: LazyLock<Vec<(StatementKind, Value)>> = LazyLock::new(|| {
    let vectors: Vec<Value> = serde_json::from_str(GOOD).expect("the vectors are JSON");
    let published = vectors.iter().map(|vector| {
        let kind = vector["kind"].as_str().and_then(|kind| kind.parse().ok()).expect("a kind");
        let envelope: Envelope = serde_json::from_value(vector["envelope"].clone()).expect("an envelope");
        (kind, serde_json::from_slice(&envelope.payload.0).expect("a payload is JSON"))
    });
    let (digest, now) = (Digest::of("something"), Instant::from_unix_micros(1_700_000_000_000_000));
    let offer = json!({
        "organisation": "lab", "provider": "poetry-house", "buyer": "lab", "listing": ListingId::first_at(now),
        "manifest_sha256": digest, "terms_sha256": digest, "uses": ["pretrain"],
        "price": { "amount_minor": 100, "currency": "CNY" }, "valid_from": now, "valid_until": now, "salt": digest,
    });
    let offer: OfferDocument = serde_json::from_value(offer).expect("an offer");
    let training = json!({
        "organisation": "lab", "model": { "name": "dew", "version": "1", "sha256": digest }, "use": "pretrain",
        "trained_on": [{ "dataset": "poetry-house/tang", "version": 1, "manifest_sha256": digest }],
        "trained_from": "2026-01-01", "trained_to": "2026-02-01",
    });
    let training: Training = serde_json::from_value(training).expect("a training");
    let own = [
        (StatementKind::Offer, offers::statement(&offer).expect("a statement")),
        (StatementKind::ModelTraining, training.statement().expect("a statement")),
    ];
    let own = own.map(|(kind, statement)| (kind, serde_json::to_value(statement).expect("a statement is JSON")));
    published.chain(own).collect()
});

fuzz_target!(|input: (u8, Vec<(u16, Edit)>)| {
    let (which, edits) = input;
    let (kind, good) = &STATEMENTS[usize::from(which) % STATEMENTS.len()];
    let mut document = good.clone();
    let untouched = edits.is_empty();
    for (place, edit) in edits.into_iter().take(8) {
        apply(&mut document, usize::from(place), &edit);
    }
    let Ok(payload) = canonical_json(&document) else { return };
    let envelope = KEY.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.clone());
    let statement = match parse(&envelope, KEY.public(), *kind) {
        Ok(statement) => statement,
        Err(error) => return assert!(!untouched, "{kind}: {error}"),
    };
    assert_eq!(statement.to_payload().expect("a statement is JSON"), payload);
    match kind {
        StatementKind::Manifest => manifest(&statement, &payload),
        StatementKind::Terms => terms_of(&statement),
        StatementKind::Contract => contract(&statement),
        StatementKind::Offer => {
            let offer: OfferDocument = serde_json::from_value(statement.predicate.clone()).expect("as its schema says");
            let again = offers::statement(&offer).expect("it was read");
            assert!(same(&again.predicate, &statement.predicate));
        }
        StatementKind::ModelTraining => {
            let training: Training = serde_json::from_value(statement.predicate.clone()).expect("as its schema says");
            assert!(same(&training.statement().expect("it was read").predicate, &statement.predicate));
        }
        _ => {}
    }
});

fn manifest(statement: &Statement, payload: &[u8]) {
    let Ok(manifest) = Manifest::from_statement(statement) else { return };
    assert_eq!(manifest.payload().expect("it was checked"), payload);
    let bytes: i128 = manifest.shards.iter().map(|shard| i128::from(shard.size_bytes)).sum();
    assert_eq!(Measure::of(manifest.shards.iter()).ok().map(|all| i128::from(all.bytes)), Some(bytes));
}

fn terms_of(statement: &Statement) {
    let read: TermsPredicate = serde_json::from_value(statement.predicate.clone()).expect("as its schema says");
    let again = terms::statement(&read.organisation, &read.document).expect("it was read");
    assert!(same(&again.predicate, &statement.predicate));
    let document: TermsDocument = read.document;
    if terms::check(&document).is_err() {
        return;
    }
    for units in [1, 1000, i64::MAX] {
        let measure = Measure { shards: 1, bytes: units, records: Some(units), tokens: Some(units) };
        let less = Measure { bytes: units / 2, records: Some(units / 2), tokens: Some(units / 2), ..measure };
        let Ok(price) = terms::price(&document, &measure) else { continue };
        assert!((0..=MAX_AMOUNT_MINOR).contains(&price.amount_minor));
        let less: Money = terms::price(&document, &less).expect("less costs no more");
        assert!(less.amount_minor <= price.amount_minor);
    }
    for wanted in &document.permitted_uses {
        assert_eq!(terms::permits(&document, *wanted).is_ok(), !document.prohibited_uses.contains(wanted));
    }
}

fn contract(statement: &Statement) {
    let Ok(document): Result<ContractDocument, _> = contracts::check(statement.predicate.clone()) else { return };
    let again = contracts::statement(&document).expect("it was read");
    assert!(same(&again.predicate, &statement.predicate));
}

/// Whether two documents are the same but for members that are null in one, and absent in the other.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let names = one.keys().chain(other.keys());
            names
                .into_iter()
                .all(|name| same(one.get(name).unwrap_or(&Value::Null), other.get(name).unwrap_or(&Value::Null)))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}
