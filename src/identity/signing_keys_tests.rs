//! What proves possession of a key, and what does not.

use super::*;
use crate::provenance::Statement;
use crate::signing::{IN_TOTO_PAYLOAD_TYPE, SecretKey};

fn envelope(signer: &SecretKey, handle: &str, claimed: PublicKey, subject: &str) -> Envelope {
    let predicate = json!({"organisation": handle, "public_key": claimed});
    let subjects = vec![ResourceDescriptor::new(subject, claimed.key_id())];
    let statement = Statement::new(StatementKind::KeyRegistration, subjects, predicate);
    signer.sign_envelope(IN_TOTO_PAYLOAD_TYPE, statement.to_payload().unwrap())
}

#[test]
fn a_key_that_signed_its_own_registration_is_proven() {
    let key = SecretKey::generate();
    assert_eq!(
        proven_registration(&envelope(&key, "acme", key.public(), "key"), "acme").unwrap().public_key,
        key.public()
    );
}

#[test]
fn a_key_signed_by_another_or_for_another_is_refused() {
    let (key, other) = (SecretKey::generate(), SecretKey::generate());
    let mut doubly = envelope(&key, "acme", key.public(), "key");
    other.add_signature(&mut doubly);
    for (envelope, field) in [
        (envelope(&other, "acme", key.public(), "key"), "signatures"),
        (envelope(&key, "rival", key.public(), "key"), "predicate/organisation"),
        (envelope(&key, "acme", key.public(), "shard"), "subject"),
        (doubly, "signatures"),
        (key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, b"{}".to_vec()), "payload"),
        (key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, b"\xff".to_vec()), "payload"),
        (key.sign_envelope("text/plain", envelope(&key, "acme", key.public(), "key").payload.0), "payloadType"),
    ] {
        let error = proven_registration(&envelope, "acme").unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (Kind::BadSignature, Some(field)), "{error}");
    }
}

#[test]
fn a_registration_that_replaces_a_key_carries_both_signatures() {
    let (new, old) = (SecretKey::generate(), SecretKey::generate());
    let predicate = json!({"organisation": "acme", "public_key": new.public(), "replaces": old.public().key_id()});
    let subjects = vec![ResourceDescriptor::new("key", new.public().key_id())];
    let statement = Statement::new(StatementKind::KeyRegistration, subjects, predicate);
    let mut envelope = statement.sign(&new).unwrap();
    let alone = proven_registration(&envelope, "acme").unwrap_err();
    assert!(alone.detail.contains("that of the key it replaces"), "{alone}");
    old.add_signature(&mut envelope);
    assert_eq!(proven_registration(&envelope, "acme").unwrap().replaces, Some(old.public().key_id()));
}

#[test]
fn a_signature_under_a_foreign_key_id_is_refused() {
    let (key, other) = (SecretKey::generate(), SecretKey::generate());
    let mut forged = envelope(&other, "acme", key.public(), "key");
    forged.signatures[0].keyid = key.public().key_id();
    assert_eq!(proven_registration(&forged, "acme").unwrap_err().field.as_deref(), Some("signature"));
}

#[test]
fn a_weak_key_is_refused() {
    let weak = r#"{"predicate":{"public_key":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}"#;
    let envelope = SecretKey::generate().sign_envelope(IN_TOTO_PAYLOAD_TYPE, weak.as_bytes().to_vec());
    let error = proven_registration(&envelope, "acme").unwrap_err();
    assert!(error.detail.contains("weak"), "{error}");
    assert_eq!(error.field.as_deref(), Some("predicate/public_key"));
}
