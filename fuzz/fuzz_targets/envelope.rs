//! DSSE envelopes, the statements in them, and public keys.
//!
//! An envelope that parses prints and parses to itself. A payload that we sign ourselves is accepted only as canonical
//! JSON, and canonical JSON is a fixed point: what it says, written again, is the same bytes.
#![no_main]

use std::sync::LazyLock;

use corpex::provenance::{StatementKind, parse};
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, PublicKey, SecretKey, canonical_json, read_canonical_json};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([1; 32]));

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) {
        let printed = canonical_json(&envelope).expect("an envelope is JSON");
        let again: Envelope = serde_json::from_slice(&printed).expect("what is printed parses");
        assert_eq!(again, envelope);
        for signature in &envelope.signatures {
            assert!(
                KEY.public().verify(&envelope.pae(), &signature.sig.0).is_err()
                    || signature.keyid == KEY.public().key_id()
            );
        }
        judge(&envelope.payload.0);
    }
    judge(bytes);
    if let Ok(key) = PublicKey::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
        assert!(key.verify(bytes, &[0; 64]).is_err());
        assert_eq!(key.to_string().parse::<PublicKey>().expect("what is printed parses"), key);
    }
});

fn judge(payload: &[u8]) {
    let envelope = KEY.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.to_vec());
    let verified = envelope.verify(KEY.public(), IN_TOTO_PAYLOAD_TYPE);
    assert_eq!(verified.is_ok(), read_canonical_json(payload).is_ok());
    let Ok(value) = verified else { return };
    assert_eq!(canonical_json(&value).expect("JSON is JSON"), payload);
    let pretty = serde_json::to_vec_pretty(&value).expect("JSON is JSON");
    let reread: serde_json::Value = serde_json::from_slice(&pretty).expect("what is printed parses");
    assert_eq!(canonical_json(&reread).expect("JSON is JSON"), payload);
    for kind in
        [StatementKind::Manifest, StatementKind::Terms, StatementKind::KeyRevocation, StatementKind::ReceiptBatch]
    {
        if let Ok(statement) = parse(&envelope, KEY.public(), kind) {
            assert_eq!(statement.to_payload().expect("a statement is JSON"), payload);
        }
    }
}
