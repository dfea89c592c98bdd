//! Passports: a file from anybody, and a passport that its own exchange forged.
//!
//! The input is a list of edits to a good passport, which is then signed again by the keys it was made with: so the fuzzer
//! gets past the last signature to what lies behind. What verifies verifies again when its keys are pinned, and says the
//! same of each document.
#![no_main]

use std::sync::LazyLock;

use corpex::keys::ExchangeKeys;
use corpex::provenance::passport::{Passport, Trust, verify};
use corpex::provenance::policy::Policy;
use corpex::signing::{Bytes, SecretKey, canonical_json};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const GOOD: &[u8] = include_bytes!("../../docs/vectors/passport.json");

static PASSPORT: LazyLock<Value> = LazyLock::new(|| serde_json::from_slice(GOOD).expect("a passport is JSON"));
/// The keys of the published vectors.
static KEYS: LazyLock<ExchangeKeys> = LazyLock::new(|| {
    let seed = |byte| SecretKey::from_seed([byte; 32]);
    ExchangeKeys {
        statement: seed(1),
        statement_next: None,
        log: seed(2),
        log_next: None,
        access: seed(3),
        access_next: seed(4),
        url: seed(5),
    }
});

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// A file as it is.
    File(&'a [u8]),
    /// Changes to a good passport, each at a place counted in document order.
    Forgery(Vec<(u16, Edit<'a>)>),
}

#[derive(Debug, Arbitrary)]
enum Edit<'a> {
    /// Takes the member or item away.
    Remove,
    /// Puts what stands at another place here.
    Copy(u16),
    /// Changes one bit of a text, or of the bytes that a base64 text stands for.
    Flip(u16, bool),
    /// Writes something else here.
    Text(&'a str),
    /// Writes a number here.
    Number(i64),
}

fuzz_target!(|input: Input| {
    match input {
        Input::File(bytes) => {
            if let Ok(passport) = Passport::read(bytes) {
                assert_eq!(passport.to_bytes().expect("a passport is JSON"), bytes);
            }
            assert!(verify(bytes, &Trust::default()).is_err() || bytes == GOOD);
        }
        Input::Forgery(edits) => {
            let mut document = PASSPORT.clone();
            for (place, edit) in edits.into_iter().take(8) {
                apply(&mut document, usize::from(place), edit);
            }
            forged(&document);
        }
    }
});

fn forged(document: &Value) {
    let Ok(bytes) = canonical_json(document) else { return };
    let Ok(Passport { statements, keys, deliveries, log_vkey, witness_vkeys, .. }) = Passport::read(&bytes) else {
        return;
    };
    let count = (statements.len(), deliveries.len());
    let log = Policy::unproven(log_vkey, &witness_vkeys);
    let signed = Passport::issue(&KEYS, "corpex.example/log", &log.witnesses, statements, keys, deliveries)
        .expect("a fit origin");
    let bytes = signed.to_bytes().expect("a passport is JSON");
    let Ok(report) = verify(&bytes, &Trust::default()) else { return };
    assert_eq!((report.statements.len(), report.deliveries.len()), count);
    let log = Policy::unproven(signed.log_vkey.clone(), &witness_vkeys);
    let pinned = Trust { log: Some(log), exchange_keys: vec![signed.exchange_key] };
    let again = verify(&bytes, &pinned).expect("it verified before");
    assert_eq!((again.log, again.statements, again.deliveries), (report.log, report.statements, report.deliveries));
}

fn apply(document: &mut Value, place: usize, edit: Edit) {
    let count = places(document);
    let place = place % count;
    let copied = match edit {
        Edit::Copy(from) => at(document, &mut (usize::from(from) % count)).cloned(),
        _ => None,
    };
    let Some(found) = at(document, &mut place.clone()) else { return };
    match edit {
        Edit::Remove => *found = Value::Null,
        Edit::Copy(_) => *found = copied.unwrap_or(Value::Null),
        Edit::Text(text) => *found = text.into(),
        Edit::Number(number) => *found = number.into(),
        Edit::Flip(bit, decode) => {
            let Some(text) = found.as_str() else { return };
            let decoded = text.parse::<Bytes>().ok().filter(|_| decode);
            let mut bytes = decoded.as_ref().map_or_else(|| text.as_bytes().to_vec(), |bytes| bytes.0.clone());
            let length = bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(usize::from(bit) / 8 % length) {
                *byte ^= 1 << (bit % 8);
            }
            let flipped = if decoded.is_some() { Ok(Bytes(bytes).to_string()) } else { String::from_utf8(bytes) };
            *found = flipped.unwrap_or_default().into();
        }
    }
    without_nulls(document);
}

/// How many values a document holds, itself included.
fn places(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(places).sum(),
        Value::Object(members) => members.values().map(places).sum(),
        _ => 0,
    }
}

/// The value at a place, counted in document order from 0.
fn at<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| at(item, place)),
        Value::Object(members) => members.values_mut().find_map(|member| at(member, place)),
        _ => None,
    }
}

/// No document of ours holds a null: taking something away writes one first.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(without_nulls);
        }
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}
