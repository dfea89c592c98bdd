//! One change at a time, each refused for its own reason.
//!
//! Earlier checks hide later ones: what is changed here is signed, receipted, logged and packed again by whoever could have
//! done so, up to the one check that is meant.

use super::*;
use crate::signing::IN_TOTO_PAYLOAD_TYPE;

/// The places of the statements in [`Story::bought`].
pub(super) const MANIFEST: usize = 0;
pub(super) const CONTRACT: usize = 3;
pub(super) const BATCH: usize = 5;

pub(super) type Change<T> = fn(&mut T);

pub(super) fn expect(what: &str, found: Result<Report>, reason: &str) {
    let found = match found {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => error.to_string(),
    };
    assert!(found.contains(reason), "{what}\n  was refused: {found}\n  expected: {reason}");
}

impl Story {
    /// Signs a changed statement again, with its receipt and log entry, as its signers would have to.
    pub(super) fn resigned(mut self, at: usize, change: impl FnOnce(&mut Value)) -> Self {
        let (kind, envelope, receipt, leaf) = self.recorded[at].clone();
        let mut payload: Value = serde_json::from_slice(&envelope.payload.0).unwrap();
        change(&mut payload);
        let signers = envelope.signatures.iter().map(|signature| self.secret(signature.keyid)).collect::<Vec<_>>();
        let mut changed = signers[0].sign_envelope(IN_TOTO_PAYLOAD_TYPE, canonical_json(&payload).unwrap());
        signers[1..].iter().for_each(|key| key.add_signature(&mut changed));
        let exchange = &self.keys.statement;
        let receipt = receipt.map(|receipt| match serde_json::from_value::<Statement>(payload) {
            Ok(statement) => {
                receipt_for(&statement.subject, kind, changed.pae_sha256(), &[exchange], leaf.recorded_at).unwrap()
            }
            Err(_) => receipt,
        });
        let leaf = Leaf::new(kind, &changed, leaf.signer_key_sha256, receipt.as_ref(), leaf.recorded_at).unwrap();
        self.recorded[at] = (kind, changed, receipt, leaf);
        self
    }

    /// Signs a changed receipt again and logs it.
    pub(super) fn rereceipted(mut self, at: usize, change: impl FnOnce(&mut Value)) -> Self {
        let (kind, envelope, receipt, leaf) = self.recorded[at].clone();
        let mut payload: Value = serde_json::from_slice(&receipt.unwrap().payload.0).unwrap();
        change(&mut payload);
        let receipt = self.keys.statement.sign_envelope(IN_TOTO_PAYLOAD_TYPE, canonical_json(&payload).unwrap());
        let leaf = Leaf::new(kind, &envelope, leaf.signer_key_sha256, Some(&receipt), leaf.recorded_at).unwrap();
        self.recorded[at] = (kind, envelope, Some(receipt), leaf);
        self
    }

    /// Commits to other receipts, in a batch that is signed and logged again, and delivers the second.
    pub(super) fn with_receipt(mut self, receipt: &[u8]) -> Result<Report> {
        let leaves = [tree::leaf_hash("first"), tree::leaf_hash(receipt)];
        let root = tree::root_of(&leaves);
        self = self.resigned(BATCH, |batch| batch["predicate"] = json!({ "root_sha256": root, "count": 2 }));
        self.forged(|passport| {
            let delivery = &mut passport.deliveries[0];
            (delivery.receipt, delivery.tree_size) = (Bytes(receipt.to_vec()), 2);
            delivery.path = tree::path_of(&leaves, 1).unwrap();
        })
    }

    /// Puts another proof of the first statement into the passport.
    pub(super) fn with_proof(&self, change: impl FnOnce(&mut TlogProof)) -> Result<Report> {
        self.forged(|passport| {
            let mut proof: TlogProof = passport.statements[0].proof.parse().unwrap();
            change(&mut proof);
            passport.statements[0].proof = proof.to_string();
        })
    }

    pub(super) fn secret(&self, key_id: Digest) -> SecretKey {
        let all = [&self.keys.statement, &self.provider, &self.lab];
        (*all.iter().find(|key| key.public().key_id() == key_id).unwrap()).clone()
    }

    pub(super) fn checkpoint(&self, origin: &str, size: u64, key: &SecretKey) -> String {
        let leaves = self.recorded.iter().map(|(_, _, _, leaf)| tree::leaf_hash(leaf.to_json().unwrap()));
        let leaves: Vec<Digest> = leaves.take(usize::try_from(size).unwrap()).collect();
        Checkpoint::sign(origin, size, tree::root_of(&leaves), key).unwrap().note
    }
}

#[test]
fn what_is_signed_again_without_a_change_is_accepted() {
    Story::bought()
        .resigned(MANIFEST, |_| {})
        .resigned(CONTRACT, |_| {})
        .rereceipted(MANIFEST, |_| {})
        .forged(|_| {})
        .unwrap();
    for until_the_batch in [1, 15] {
        Story::bought().with_receipt(&canonical_json(&receipt(until_the_batch)).unwrap()).unwrap();
    }
    Story::bought().with_proof(|_| {}).unwrap();
}

#[test]
fn each_field_of_a_statement() {
    let cases: &[(&str, Change<Value>, &str)] = &[
        ("another _type", |s| s["_type"] = json!("https://in-toto.io/Statement/v0.1"), "_type: "),
        ("another predicateType", |s| s["predicateType"] = json!("urn:corpex:predicate:terms:v1"), "predicateType: "),
        ("an unknown member", |s| s["note"] = json!(1), "unknown field `note`"),
        ("no predicate", |s| drop(s.as_object_mut().unwrap().remove("predicate")), "missing field `predicate`"),
        ("no subject", |s| s["subject"] = json!([]), "about something"),
        ("a subject twice", |s| s["subject"] = json!([s["subject"][0], s["subject"][0]]), "named twice"),
        (
            "the reserved subject",
            |s| s["subject"][0]["name"] = json!("_envelope_pae"),
            "kept for the exchange's receipts",
        ),
        (
            "a digest of another algorithm",
            |s| s["subject"][0]["digest"] = json!({ "sha512": "00" }),
            "unknown field `sha512`",
        ),
        ("a digest in upper case", |s| s["subject"][0]["digest"]["sha256"] = json!("A".repeat(64)), "lower-case"),
        ("a member of a subject", |s| s["subject"][0]["uri"] = json!("x"), "unknown field `uri`"),
        ("another party", |s| s["predicate"]["dataset"] = json!("lab/poems"), "it speaks for lab"),
    ];
    for (what, change, reason) in cases {
        let changed = Story::bought().resigned(MANIFEST, change).forged(|_| {});
        expect(what, changed, "statements/0 (manifest): signature: ");
        expect(what, Story::bought().resigned(MANIFEST, change).forged(|_| {}), reason);
    }
}

#[test]
fn each_field_of_a_receipt() {
    let cases: &[(&str, Change<Value>, &str)] = &[
        ("another _type", |r| r["_type"] = json!("x"), "_type: "),
        (
            "another predicateType",
            |r| r["predicateType"] = json!("urn:corpex:predicate:manifest:v1"),
            "predicateType: ",
        ),
        (
            "another envelope",
            |r| r["subject"][1]["digest"]["sha256"] = json!(Digest::of("x")),
            "is about another envelope",
        ),
        (
            "the envelope under another name",
            |r| r["subject"][1]["name"] = json!("envelope"),
            "is about another envelope",
        ),
        ("no envelope", |r| drop(r["subject"].as_array_mut().unwrap().pop()), "is about another envelope"),
        ("another shard", |r| r["subject"][0]["name"] = json!("b.jsonl"), "names other subjects"),
        (
            "another shard's digest",
            |r| r["subject"][0]["digest"]["sha256"] = json!(Digest::of("b")),
            "names other subjects",
        ),
        ("one shard less", |r| drop(r["subject"].as_array_mut().unwrap().remove(0)), "names other subjects"),
        (
            "another verifier",
            |r| r["predicate"]["verifier"]["id"] = json!("urn:corpex:exchange:x:v1"),
            "names another verifier",
        ),
        (
            "bytes not rehashed",
            |r| r["predicate"]["properties"] = json!(["key-active", "schema-valid"]),
            "does not assert bytes-rehashed",
        ),
        (
            "key not active",
            |r| r["predicate"]["properties"] = json!(["bytes-rehashed", "schema-valid"]),
            "does not assert key-active",
        ),
        (
            "schema not checked",
            |r| r["predicate"]["properties"] = json!(["bytes-rehashed", "key-active"]),
            "does not assert schema-valid",
        ),
        ("a later time", |r| r["predicate"]["timeCreated"] = json!(at(11)), "of a later time than the log entry"),
        ("no time", |r| drop(r["predicate"].as_object_mut().unwrap().remove("timeCreated")), "is malformed"),
        ("an unknown member", |r| r["predicate"]["note"] = json!(1), "is malformed"),
    ];
    for (what, change, reason) in cases {
        expect(
            what,
            Story::bought().rereceipted(MANIFEST, change).forged(|_| {}),
            "statements/0 (manifest): receipt: ",
        );
        expect(what, Story::bought().rereceipted(MANIFEST, change).forged(|_| {}), reason);
    }
    // A receipt that is right, of the wrong signer.
    let mut story = Story::bought();
    let (kind, envelope, receipt, leaf) = story.recorded[MANIFEST].clone();
    let receipt = story.lab.sign_envelope(IN_TOTO_PAYLOAD_TYPE, receipt.unwrap().payload.0);
    let leaf = Leaf::new(kind, &envelope, leaf.signer_key_sha256, Some(&receipt), leaf.recorded_at).unwrap();
    story.recorded[MANIFEST] = (kind, envelope, Some(receipt), leaf);
    expect("a lab's receipt", story.forged(|_| {}), "is not the exchange's");
}

#[test]
fn each_field_of_a_log_entry() {
    let cases: &[(&str, Change<Leaf>)] = &[
        ("v", |leaf| leaf.v = 2),
        ("kind", |leaf| leaf.kind = StatementKind::Terms),
        ("pae_sha256", |leaf| leaf.pae_sha256 = Digest::of("x")),
        ("signer_key_sha256", |leaf| leaf.signer_key_sha256 = Digest::of("x")),
        ("signature_sha256", |leaf| leaf.signature_sha256 = Digest::of("x")),
        ("receipt_pae_sha256", |leaf| leaf.receipt_pae_sha256 = Some(Digest::of("x"))),
        ("receipt_signature_sha256", |leaf| leaf.receipt_signature_sha256 = Some(Digest::of("x"))),
        ("no receipt", |leaf| (leaf.receipt_pae_sha256, leaf.receipt_signature_sha256) = (None, None)),
    ];
    for (what, change) in cases {
        let mut story = Story::bought();
        change(&mut story.recorded[MANIFEST].3);
        expect(
            what,
            story.forged(|_| {}),
            "statements/0 (manifest): log entry: the entry does not commit to this envelope",
        );
    }
    let mut earlier = Story::bought();
    earlier.recorded[MANIFEST].3.recorded_at = at(9);
    expect("recorded before the receipt", earlier.forged(|_| {}), "receipt: it is of a later time than the log entry");
    let mut before_the_key = Story::bought();
    before_the_key.recorded[MANIFEST].3.recorded_at = at(-1);
    expect("recorded before the key", before_the_key.forged(|_| {}), "key validity: ");
    let respelled = |p: &mut Passport| p.statements[0].leaf.0.insert(1, b' ');
    expect(
        "another spelling",
        Story::bought().forged(respelled),
        "log entry: the entry does not commit to this envelope",
    );
    let unknown = |p: &mut Passport| p.statements[0].leaf.0.splice(1..1, *br#""a":1,"#).for_each(drop);
    expect("an unknown member", Story::bought().forged(unknown), "log entry: unknown field `a`");
}

#[test]
fn each_part_of_a_log_proof() {
    let story = Story::bought();
    let log = &story.keys.log;
    let cases: Vec<(&str, Result<Report>, &str)> = vec![
        ("another index", story.with_proof(|p| p.index = 1), "leads to another root"),
        ("an index outside", story.with_proof(|p| p.index = 6), "the tree has 6 entries, and none with the index 6"),
        ("a hash less", story.with_proof(|p| p.path.truncate(2)), "is shorter than the tree is high"),
        ("a hash more", story.with_proof(|p| p.path.push(Digest::of("x"))), "is longer than the tree is high"),
        ("another hash", story.with_proof(|p| p.path[0].0[0] ^= 1), "leads to another root"),
        ("hashes in another order", story.with_proof(|p| p.path.swap(0, 1)), "leads to another root"),
        (
            "a shorter log",
            story.with_proof(|p| p.checkpoint = story.checkpoint(ORIGIN, 2, log)),
            "longer than the tree is high",
        ),
        (
            "an empty log",
            story.with_proof(|p| p.checkpoint = story.checkpoint(ORIGIN, 0, log)),
            "the tree has 0 entries",
        ),
        (
            "a checkpoint of another origin",
            story.with_proof(|p| p.checkpoint = story.checkpoint("other.example/log", 6, log)),
            "is of the log \"other.example/log\"",
        ),
        (
            "a checkpoint that another key signed",
            story.with_proof(|p| p.checkpoint = story.checkpoint(ORIGIN, 6, &story.lab)),
            "carries no signature by corpex.example/log",
        ),
        (
            "a checkpoint whose signature is another's",
            story.with_proof(|p| {
                let other = story.checkpoint(ORIGIN, 5, log);
                let (body, _) = p.checkpoint.split_once("\n\n").unwrap();
                p.checkpoint = format!("{body}\n\n{}", other.split_once("\n\n").unwrap().1);
            }),
            "is not what corpex.example/log signed",
        ),
        ("no checkpoint", story.with_proof(|p| p.checkpoint.clear()), "no blank line before its signatures"),
    ];
    for (what, found, reason) in cases {
        let found = found.map_err(|error| {
            assert!(error.to_string().starts_with("statements/0 (manifest): log proof: "), "{what}: {error}");
            error
        });
        expect(what, found, reason);
    }
    let another = |p: &mut Passport| p.statements[0].proof = p.statements[2].proof.clone();
    expect("the proof of another leaf", story.forged(another), "log proof: the inclusion proof leads to another root");
}

#[test]
fn no_byte_of_a_log_proof_counts_for_nothing() {
    let (story, good) = (Story::bought(), Story::bought().passport());
    let proof = &good.statements[0].proof;
    for at in 0..proof.len() {
        let mut bytes = proof.clone().into_bytes();
        bytes[at] ^= 1;
        // The passport's schema wants the first line as it is; what is not a text cannot be in a passport.
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        let found = reason(story.forged(|passport| passport.statements[0].proof = changed));
        let named =
            found.starts_with("statements/0 (manifest): log proof: ") || found.starts_with("passport: format: ");
        assert!(named, "byte {at}: {found}");
    }
}

#[test]
fn each_field_of_an_envelope() {
    let cases: &[(&str, Change<Envelope>, &str)] = &[
        ("another payload type", |e| e.payload_type = PASSPORT_PAYLOAD_TYPE.into(), "format: "),
        ("a bit of the payload", |e| e.payload.0[20] ^= 1, "signature: the signature was not made by key"),
        ("a byte more", |e| e.payload.0.push(b' '), "signature: the signature was not made by key"),
        ("a bit of the signature", |e| e.signatures[0].sig.0[0] ^= 1, "signature: the signature was not made by key"),
        ("a signature with the order added", |e| add_order(&mut e.signatures[0].sig.0), "was not made by key"),
        ("a byte less of the signature", |e| e.signatures[0].sig.0.truncate(63), "format: "),
        ("no signature", |e| e.signatures.clear(), "format: "),
        ("the signature twice", |e| e.signatures.push(e.signatures[0].clone()), "signs twice"),
        ("a key that is not there", |e| e.signatures[0].keyid = Digest::of("x"), "signature: there is no key"),
        (
            "another key that is there",
            |e| e.signatures[0].keyid = Story::new().lab.public().key_id(),
            "was not made by key",
        ),
        (
            "the exchange's key",
            |e| e.signatures[0].keyid = Story::new().keys.statement.public().key_id(),
            "was not made by key",
        ),
        (
            "the exchange's signature beside it",
            |e| Story::new().keys.statement.add_signature(e),
            "the exchange signed in place of an organisation",
        ),
    ];
    for (what, change, reason) in cases {
        expect(what, Story::bought().forged(|passport| change(&mut passport.statements[MANIFEST].envelope)), reason);
    }
    let lone = |p: &mut Passport| drop(p.statements[CONTRACT].envelope.signatures.pop());
    expect("one of two signatures", Story::bought().forged(lone), "signature: one of the two sides did not sign");
}

/// Adds the group's order to the second half of a signature: the same signature to a lenient reader.
fn add_order(signature: &mut [u8]) {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
}

#[test]
fn a_payload_that_is_signed_and_logged_but_not_canonical() {
    for (what, payload, reason) in [
        ("no JSON", "{", "the signed payload is not JSON"),
        ("members out of order", r#"{"b":1,"a":1}"#, "the signed payload is not canonical JSON"),
        ("a member twice", r#"{"a":1,"a":1}"#, "the signed payload is not canonical JSON"),
        ("a large integer", r#"{"a":9007199254740992}"#, "the signed payload holds 9007199254740992"),
    ] {
        let mut story = Story::bought();
        let (kind, _, receipt, leaf) = story.recorded[MANIFEST].clone();
        let envelope = story.provider.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload.into());
        let leaf = Leaf::new(kind, &envelope, leaf.signer_key_sha256, receipt.as_ref(), leaf.recorded_at).unwrap();
        story.recorded[MANIFEST] = (kind, envelope, receipt, leaf);
        expect(what, story.forged(|_| {}), &format!("statements/0 (manifest): signature: payload: {reason}"));
    }
}
