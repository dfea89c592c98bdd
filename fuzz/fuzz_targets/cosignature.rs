//! Witnesses' cosignatures, and the policies that ask for them.
//!
//! A cosignature that we make is read back with its time, from whatever else the note carries; nobody else's line is taken
//! for it. A policy that is read names every witness once.
#![no_main]

use std::sync::LazyLock;

use corpex::provenance::cosignature::{cosign, cosigned_at};
use corpex::provenance::note::{Note, WitnessKey};
use corpex::provenance::policy::Policy;
use corpex::signing::SecretKey;
use corpex::types::Instant;
use libfuzzer_sys::fuzz_target;

const NAME: &str = "witness.example/w1";

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([8; 32]));
static WITNESS: LazyLock<WitnessKey> = LazyLock::new(|| WitnessKey::new(NAME, KEY.public()).expect("a fit name"));
static STRANGER: LazyLock<WitnessKey> =
    LazyLock::new(|| WitnessKey::new(NAME, SecretKey::from_seed([9; 32]).public()).expect("a fit name"));

fuzz_target!(|input: (u32, &str)| {
    let (seconds, text) = input;
    if let Ok(vkey) = text.parse::<WitnessKey>() {
        assert_eq!(vkey.to_string(), text);
    }
    if let Ok(policy) = text.parse::<Policy>() {
        let mut names: Vec<_> = policy.witnesses.iter().map(|witness| &witness.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), policy.witnesses.len());
    }
    let Ok(mut note) = text.parse::<Note>() else { return };
    let before = cosigned_at(&note, &WITNESS);
    assert_eq!(cosigned_at(&note, &STRANGER).ok().flatten(), None);
    let at = Instant::from_unix_micros(i64::from(seconds) * 1_000_000);
    note.signatures.push(cosign(&note.text, NAME, &KEY, at).expect("a fit name"));
    match (before, cosigned_at(&note, &WITNESS)) {
        (Ok(before), Ok(after)) => assert_eq!(after, before.max(Some(at))),
        (before, after) => assert!(before.is_err() && after.is_err()),
    }
    // Only so many signatures are read.
    if let Ok(again) = note.to_string().parse::<Note>() {
        assert_eq!(again, note);
    }
});
