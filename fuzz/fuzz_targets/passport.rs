//! Passports: a file from anybody, and a passport that its own exchange forged.
//!
//! The input is a list of edits to a good passport, which is then signed again by the keys it was made with: so the fuzzer
//! gets past the last signature to what lies behind. What verifies verifies again when its keys are pinned, and says the
//! same of each document.
#![no_main]

mod edits;

use std::sync::LazyLock;

use corpex::keys::ExchangeKeys;
use corpex::provenance::passport::{Passport, Trust, verify};
use corpex::provenance::policy::Policy;
use corpex::signing::{SecretKey, canonical_json};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

use edits::{Edit, apply};

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
        quote: seed(6),
        webhook: seed(7),
    }
});

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// A file as it is.
    File(&'a [u8]),
    /// Changes to a good passport, each at a place counted in document order.
    Forgery(Vec<(u16, Edit<'a>)>),
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
                apply(&mut document, usize::from(place), &edit);
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
