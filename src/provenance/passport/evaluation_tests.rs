//! What the passport of an evaluation proves: that the provider's terms allowed it, which sample was drawn by lot, and that
//! this one was taken.

use std::time::Duration;

use super::tamper_tests::expect;
use super::*;
use crate::provenance::StatementKind::{Evaluation, EvaluationReceipt, Inspection, Terms};
use crate::provenance::lot;

/// The places of the statements in [`evaluated`].
const TERMS: usize = 1;
const INSPECTION: usize = 2;
const EVALUATION: usize = 3;

/// When the evaluation of [`evaluated`] ends: after two days.
fn end() -> Instant {
    at(13 + 2 * 24 * 60 * 60)
}

/// The lot that the key of a seed draws over a manifest; the exchange's seed is 1.
fn drawn(seed: u8, manifest: Digest) -> Envelope {
    let payload = canonical_json(&lot::lot(manifest)).unwrap();
    SecretKey::from_seed([seed; 32]).sign_envelope(lot::LOT_TYPE, payload)
}

/// A sample that was evaluated; what a statement says at a JSON pointer is changed before it is signed, and named by others.
fn evaluated(changed: Option<(StatementKind, &str, Value)>) -> Story {
    recorded(|kind, predicate| {
        if let Some((of, pointer, value)) = changed.clone().filter(|(of, ..)| *of == kind) {
            *predicate.pointer_mut(pointer).unwrap_or_else(|| panic!("{of} has no {pointer}")) = value;
        }
    })
}

/// The same without a member of what a statement says.
fn evaluated_without(of: StatementKind, member: &str) -> Story {
    recorded(|kind, predicate| {
        if kind == of {
            predicate.as_object_mut().unwrap().remove(member).unwrap_or_else(|| panic!("{of} has no {member}"));
        }
    })
}

/// A sample that was evaluated; what the statements say goes through `change` before they are signed.
fn recorded(change: impl Fn(StatementKind, &mut Value)) -> Story {
    let mut story = Story::new();
    let mut record = |kind: StatementKind, mut predicate: Value| {
        change(kind, &mut predicate);
        let party = if predicate["organisation"] == "lab" { story.lab.clone() } else { story.provider.clone() };
        story.record(kind, (kind.signers() == Signers::Organisation).then_some(party), predicate)
    };
    let sample = Digest::of("sample");
    let manifest = record(StatementKind::Manifest, json!({"dataset": "provider/poems", "version": 1}));
    let terms = record(Terms, json!({"organisation": "provider", "document": {"evaluation_days": 2}}));
    let inspection = json!({
        "dataset": "provider/poems", "version": 1, "manifest_sha256": manifest,
        "sample": {"lot": drawn(1, manifest), "sha256": sample},
    });
    record(Inspection, inspection);
    let evaluation = json!({
        "evaluation": id("evaluation"), "organisation": "lab", "dataset": "provider/poems", "version": 1,
        "manifest_sha256": manifest, "terms_sha256": terms, "sample_sha256": sample, "granted_at": at(13), "expires_at": end(),
    });
    let evaluation = record(Evaluation, evaluation);
    let receipt = json!({
        "evaluation": id("evaluation"), "evaluation_sha256": evaluation, "sample_sha256": sample, "issued_at": at(14),
    });
    record(EvaluationReceipt, receipt);
    story
}

#[test]
fn the_passport_of_an_evaluation_says_which_sample_was_held_and_until_when() {
    let report = evaluated(None).forged(|_| {}).unwrap();
    let manifest = report.statements[0].pae_sha256;
    let [EvaluatedSample { granted, seed }] = report.samples.as_slice() else { panic!("{:?}", report.samples) };
    assert_eq!((granted.organisation.as_str(), granted.sample_sha256), ("lab", Digest::of("sample")));
    assert_eq!((granted.manifest_sha256, granted.expires_at), (manifest, end()));
    assert_eq!(*seed, Digest::of(&drawn(1, manifest).signatures[0].sig.0));
    assert!(report.shards.is_empty(), "the corpus itself is not licensed");
    let told = |what: &str| report.unchecked.iter().any(|line| line.contains(what));
    assert!(told("that provider offered this version on these terms is the exchange's word"), "{:?}", report.unchecked);
    assert!(told("draws the sample") && !told("holds no contract"), "{:?}", report.unchecked);
}

#[test]
fn no_byte_of_the_passport_of_an_evaluation_can_be_changed() {
    each_byte_counts(&evaluated(None).passport().to_bytes().unwrap());
}

#[test]
fn an_evaluation_is_on_its_providers_terms_and_ends_as_they_say() {
    let later = end().plus(Duration::from_micros(1));
    let cases = [
        (Terms, "/organisation", json!("lab"), "provider: it names terms of lab, and provider as its provider"),
        (Terms, "/document", json!({}), "terms: its terms offer no evaluation"),
        (Terms, "/document/evaluation_days", json!(1), "terms: its terms offer 1 days, and it ends at "),
        (Evaluation, "/expires_at", json!(later), "terms: its terms offer 2 days, and it ends at "),
        (Evaluation, "/granted_at", json!(at(12)), "time: it says that this was at "),
        (Evaluation, "/dataset", json!("provider/prose"), "chain: dataset is not that of the manifest it names"),
    ];
    for (kind, pointer, value, reason) in cases {
        let found = evaluated(Some((kind, pointer, value))).forged(|_| {});
        expect(pointer, found, &format!("statements/3 (evaluation): {reason}"));
    }
    let without = evaluated(None).forged(|passport| drop(passport.statements.remove(TERMS)));
    expect("no terms", without, "(evaluation): chain: it refers to a terms that the passport does not hold");
}

#[test]
fn the_sample_of_an_evaluation_was_drawn_from_its_manifest_by_the_exchanges_lot() {
    let another = Digest::of("another");
    let unsigned = json!(Bytes(vec![7; 64]));
    let cases = [
        ("/sample/sha256", json!(another), "no inspection that is in the passport drew"),
        ("/sample", Value::Null, "no inspection that is in the passport drew"),
        ("/sample/lot", json!(drawn(1, another)), "lot: the lot was drawn over another manifest"),
        ("/sample/lot", json!(drawn(9, another)), "the lot of its sample is not the exchange's"),
        ("/sample/lot/signatures/0/sig", unsigned, "signature: the signature was not made by key"),
    ];
    for (pointer, value, reason) in cases {
        let found = evaluated(Some((Inspection, pointer, value))).forged(|_| {});
        expect(pointer, found, &format!("statements/3 (evaluation): sample: {reason}"));
    }
    let without = evaluated(None).forged(|passport| drop(passport.statements.remove(INSPECTION)));
    expect("no inspection", without, "(evaluation): sample: no inspection that is in the passport drew");
    let elsewhere = evaluated(Some((Inspection, "/manifest_sha256", json!(another)))).forged(|_| {});
    expect("another manifest", elsewhere, "statements/2 (inspection): chain: manifest_sha256 is ");
}

#[test]
fn what_was_taken_is_the_sample_of_the_evaluation_while_it_held() {
    let another = json!(Digest::of("another"));
    let other_sample = "evaluation: it is for another sample than that of evaluation_";
    let cases = [
        ("/sample_sha256", another.clone(), other_sample),
        ("/evaluation", json!("evaluation_01jcm9qf80e5wvpd4d6d9k1m2p"), other_sample),
        ("/issued_at", json!(at(12)), "evaluation: at "),
        ("/issued_at", json!(end()), "evaluation: at "),
        ("/issued_at", json!(at(15)), "evaluation: it says that this was at "),
        ("/evaluation_sha256", another, "chain: evaluation_sha256 is "),
    ];
    for (pointer, value, reason) in cases {
        let found = evaluated(Some((EvaluationReceipt, pointer, value))).forged(|_| {});
        expect(pointer, found, &format!("statements/4 (evaluation-receipt): {reason}"));
    }
    let without = evaluated(None).forged(|passport| drop(passport.statements.remove(EVALUATION)));
    expect(
        "no evaluation",
        without,
        "(evaluation-receipt): chain: it refers to a evaluation that the passport does not hold",
    );
}

#[test]
fn nothing_that_the_verification_rests_on_can_be_left_out() {
    let missing = |check: &str, member: &str| format!("(evaluation): {check}: missing field `{member}`");
    let mut cases: Vec<(StatementKind, &str, String)> = vec![
        (Evaluation, "manifest_sha256", "provider: it names terms of provider, and nobody as its provider".into()),
        (Evaluation, "terms_sha256", "provider: it names terms of nobody, and provider as its provider".into()),
        (Terms, "document", "(evaluation): terms: its terms offer no evaluation".into()),
        (Inspection, "manifest_sha256", missing("sample", "manifest_sha256")),
        (Inspection, "sample", "(evaluation): sample: no inspection that is in the passport drew".into()),
        (EvaluationReceipt, "evaluation_sha256", "evaluation: it names no evaluation that is in the passport".into()),
    ];
    for member in ["evaluation", "organisation", "sample_sha256", "granted_at", "expires_at"] {
        cases.push((Evaluation, member, missing("evaluation", member)));
    }
    for member in ["evaluation", "sample_sha256", "issued_at"] {
        cases.push((EvaluationReceipt, member, format!("(evaluation-receipt): evaluation: missing field `{member}`")));
    }
    for (kind, member, reason) in cases {
        expect(&format!("{kind} without {member}"), evaluated_without(kind, member).forged(|_| {}), &reason);
    }
}
