//! Statements, receipts and log entries, as they are written and as they are refused.

use super::*;
use serde_json::json;

fn key() -> SecretKey {
    SecretKey::from_seed([1; 32])
}
fn exchange() -> SecretKey {
    SecretKey::from_seed([2; 32])
}
fn batch() -> Statement {
    let root = Digest::of("root");
    let predicate = json!({"root_sha256": root, "count": 1});
    Statement::new(StatementKind::ReceiptBatch, vec![ResourceDescriptor::new("batch", root)], predicate)
}
fn refusal(statement: &Statement) -> String {
    parse(&statement.sign(&key()).unwrap(), key().public(), StatementKind::ReceiptBatch)
        .unwrap_err()
        .field
        .unwrap_or_default()
}

#[test]
fn envelopes_are_those_of_the_dsse_test_vectors() {
    let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
    let key = SecretKey::from_seed(seed.try_into().unwrap());
    let payload = br#"{"_type":"https://in-toto.io/Statement/v1"}"#.to_vec();
    let signature = |payload_type, payload| key.sign_envelope(payload_type, payload).signatures[0].sig.to_string();
    assert_eq!(
        signature(IN_TOTO_PAYLOAD_TYPE, payload.clone()),
        "2WAfaHm5jluo0w+0rk8uVkluELJYWjSmU9x7EUzx+AyteDGJ4/nqyJXfmAUVFIAoQafWm7AxBZNw5M9ixNHiCA=="
    );
    assert_eq!(
        signature("application/vnd.exämple+json", payload),
        "xmSk/ug66ysT7ayhkCIjhAq42zgZXSsEWuzUaNL7w2eGAdF/NU6/fRXPtmfN+5DNSAs5/i2lUnHjbbjPsu0tAw=="
    );
    assert_eq!(
        signature(IN_TOTO_PAYLOAD_TYPE, Vec::new()),
        "gSggCAaTLTYyRH6FIDBem6meyIynsYy8RTHVzwx9tnTb7Bg/1jMWnuVgI/gffqmbsC2VX5/jHfkkDqsj7CDbDg=="
    );
}

#[test]
fn a_statement_is_canonical_in_toto() {
    insta::assert_snapshot!(String::from_utf8(batch().to_payload().unwrap()).unwrap(), @r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"count":1,"root_sha256":"4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"},"predicateType":"urn:corpex:predicate:receipt-batch:v1","subject":[{"digest":{"sha256":"4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"},"name":"batch"}]}"#);
}

#[test]
fn a_signed_statement_reads_back() {
    let statement = batch();
    let envelope = statement.sign(&key()).unwrap();
    assert_eq!(parse(&envelope, key().public(), StatementKind::ReceiptBatch).unwrap(), statement);
    let foreign = parse(&envelope, exchange().public(), StatementKind::ReceiptBatch).unwrap_err();
    assert_eq!(foreign.kind, Kind::BadSignature);
}

#[test]
fn a_statement_that_is_not_what_it_should_be_is_refused_by_field() {
    let good = batch();
    assert_eq!(refusal(&Statement { _type: "x".into(), ..good.clone() }), "_type");
    assert_eq!(refusal(&Statement { predicate_type: SVR_TYPE.into(), ..good.clone() }), "predicateType");
    assert_eq!(refusal(&Statement { subject: vec![], ..good.clone() }), "subject");
    let twice = vec![ResourceDescriptor::new("a", Digest::of("1")), ResourceDescriptor::new("a", Digest::of("2"))];
    assert_eq!(refusal(&Statement { subject: twice, ..good.clone() }), "subject");
    let reserved = vec![ResourceDescriptor::new(ENVELOPE_SUBJECT, Digest::of("1"))];
    assert_eq!(refusal(&Statement { subject: reserved, ..good.clone() }), "subject");
    assert_eq!(refusal(&Statement { predicate: json!({"count": 1}), ..good.clone() }), "predicate");
    let unknown = json!({"root_sha256": Digest::of("root"), "count": "1"});
    assert_eq!(refusal(&Statement { predicate: unknown, ..good }), "predicate/count");
}

#[test]
fn a_receipt_is_an_svr_of_the_same_subjects_and_the_envelope() {
    let (statement, now) = (batch(), Instant::from_unix_micros(1_700_000_000_000_000));
    let envelope = statement.sign(&key()).unwrap();
    let receipt =
        receipt_for(&statement.subject, StatementKind::Manifest, envelope.pae_sha256(), &[&exchange()], now).unwrap();
    insta::assert_snapshot!(String::from_utf8(receipt.payload.0.clone()).unwrap(), @r#"{"_type":"https://in-toto.io/Statement/v1","predicate":{"properties":["bytes-rehashed","key-active","schema-valid"],"timeCreated":"2023-11-14T22:13:20.000000Z","verifier":{"id":"urn:corpex:exchange:6a3803d5f059902a1c6dafbc9ba4729212f7caac08634cc3ae76b27529f03827:v1","policies":[]}},"predicateType":"https://in-toto.io/attestation/svr/v0.2","subject":[{"digest":{"sha256":"4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"},"name":"batch"},{"digest":{"sha256":"9783f840e76be48c250b4990aac53ca8de2559fcbd1df2c074fdfecf02affb07"},"name":"_envelope_pae"}]}"#);
    let verify =
        |kind, envelope: &Envelope, exchange: PublicKey| verify_receipt(&receipt, &statement, kind, envelope, exchange);
    verify(StatementKind::Manifest, &envelope, exchange().public()).unwrap();
    verify(StatementKind::Terms, &envelope, exchange().public()).unwrap();
    assert!(verify(StatementKind::Manifest, &envelope, key().public()).is_err());
    let other = batch().sign(&exchange()).map(|mut other| {
        other.payload.0.push(b' ');
        other
    });
    assert!(verify(StatementKind::Manifest, &other.unwrap(), exchange().public()).is_err());
}

#[test]
fn a_log_entry_holds_digests_only() {
    let (statement, now) = (batch(), Instant::from_unix_micros(1_700_000_000_000_000));
    let envelope = statement.sign(&key()).unwrap();
    let receipt =
        receipt_for(&statement.subject, StatementKind::Terms, envelope.pae_sha256(), &[&exchange()], now).unwrap();
    let leaf = Leaf::new(StatementKind::Terms, &envelope, key().public().key_id(), Some(&receipt), now).unwrap();
    insta::assert_snapshot!(leaf.to_json().unwrap(), @r#"{"kind":"terms","pae_sha256":"9783f840e76be48c250b4990aac53ca8de2559fcbd1df2c074fdfecf02affb07","receipt_pae_sha256":"cc2cbb67fdcd69866a618bf5894ea32d74ecc03cb80a3fe864943db6c955fa01","receipt_signature_sha256":"3cc36f1631251dd1667e0d936c8fa952bb2d2be61ff18f94ca63fca7a52cb861","recorded_at":"2023-11-14T22:13:20.000000Z","signature_sha256":"17855c8e86e6ba9f533d23eb85937dea2e56d4ffdef083b662a9bb1b420cb898","signer_key_sha256":"34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e","v":1}"#);
    let stranger = Leaf::new(StatementKind::Terms, &envelope, exchange().public().key_id(), None, now);
    assert_eq!(stranger.unwrap_err().kind, Kind::BadSignature);
}
