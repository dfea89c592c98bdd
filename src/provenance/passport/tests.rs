//! Passports of a whole purchase, honest and otherwise.

mod evaluation_tests;
mod licence_tests;
mod offer_tests;
mod tamper_tests;
mod tamper_whole_tests;
mod vectors;

use serde_json::{Value, json};

use super::verify::verify_with;
use super::*;
use crate::provenance::note::Checkpoint;
use crate::provenance::policy::Policy;
use crate::provenance::proof::TlogProof;
use crate::provenance::statement::{Leaf, ResourceDescriptor, Signers, Statement, receipt_for};
use crate::provenance::tree;
use crate::signing::SecretKey;

mod rotation_tests;

const ORIGIN: &str = "corpex.example/log";

/// Predicates belong to other domains, and have schemas there; here only batches and receipts are checked against theirs.
fn lenient(name: &str, value: &Value) -> Result<()> {
    if ["receipt-batch.v1", DELIVERY_RECEIPT].contains(&name) { schemas::validate(name, value) } else { Ok(()) }
}

fn check(bytes: &[u8]) -> Result<Report> {
    verify_with(bytes, &Trust::default(), &lenient)
}

fn at(seconds: i64) -> Instant {
    Instant::from_unix_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// An identifier of that kind.
fn id(kind: &str) -> String {
    format!("{kind}_01jcm9qf80e5wvpd4d6d9k1m2n")
}

/// The receipt of a link to the one shard of [`Story::bought`].
fn receipt(number: i64) -> Value {
    json!({
        "v": 1, "receipt": id("receipt"), "entitlement": id("entitlement"), "user": id("user"), "dataset": "provider/poems",
        "version": 1, "path": "a.jsonl", "sha256": Digest::of("a"), "size_bytes": 1, "issued_at": at(number),
    })
}

/// Everything that goes into a passport, still soft.
struct Story {
    keys: ExchangeKeys,
    provider: SecretKey,
    lab: SecretKey,
    recorded: Vec<(StatementKind, Envelope, Option<Envelope>, Leaf)>,
    signers: Vec<PassportKey>,
    receipts: Vec<Value>,
}

impl Story {
    fn new() -> Self {
        let seed = |byte| SecretKey::from_seed([byte; 32]);
        let keys = ExchangeKeys { statement: seed(1), log: seed(2), ..ExchangeKeys::generate() };
        let (provider, lab) = (seed(6), seed(7));
        let key = |organisation: &str, key: &SecretKey| PassportKey {
            organisation: organisation.to_string(),
            key_id: key.public().key_id(),
            public_key: key.public(),
            registered_at: at(0),
            revoked_at: None,
            compromised_at: None,
        };
        let signers = vec![key("provider", &provider), key("lab", &lab)];
        let receipts = (0..3).map(receipt).collect();
        Self { keys, provider, lab, recorded: Vec::new(), signers, receipts }
    }

    /// Records as `admit`, `countersign` and `declare` do, and gives the digest others refer to.
    fn record(&mut self, kind: StatementKind, party: Option<SecretKey>, predicate: Value) -> Digest {
        self.record_about(kind, party, vec![ResourceDescriptor::new("a.jsonl", Digest::of("a"))], predicate)
    }

    fn record_about(
        &mut self,
        kind: StatementKind,
        party: Option<SecretKey>,
        subject: Vec<ResourceDescriptor>,
        predicate: Value,
    ) -> Digest {
        let now = at(10 + i64::try_from(self.recorded.len()).unwrap());
        let predicate_has_both = predicate.get("negotiation").is_some();
        let statement = Statement::new(kind, subject, predicate);
        let exchange: Vec<&SecretKey> =
            [Some(&self.keys.statement), self.keys.statement_next.as_ref()].into_iter().flatten().collect();
        let (envelope, receipt, signer) = match party {
            None => (statement.cosign(&exchange).unwrap(), None, exchange[0]),
            Some(key) if kind.signers() == Signers::Both && predicate_has_both => {
                let mut envelope = statement.sign(&self.provider).unwrap();
                key.add_signature(&mut envelope);
                exchange.iter().for_each(|own| own.add_signature(&mut envelope));
                (envelope, None, exchange[0])
            }
            Some(key) if kind.signers() == Signers::Both => {
                let mut envelope = statement.sign(&key).unwrap();
                exchange.iter().for_each(|own| own.add_signature(&mut envelope));
                (envelope, None, exchange[0])
            }
            Some(key) => {
                let envelope = statement.sign(&key).unwrap();
                let receipt = receipt_for(&statement.subject, kind, envelope.pae_sha256(), &exchange, now).unwrap();
                (envelope, Some(receipt), &key.clone())
            }
        };
        let leaf = Leaf::new(kind, &envelope, signer.public().key_id(), receipt.as_ref(), now).unwrap();
        let digest = leaf.pae_sha256;
        self.recorded.push((kind, envelope, receipt, leaf));
        digest
    }

    fn bought() -> Self {
        Self::bought_of("provider", json!({}))
    }

    /// A purchase at the terms of an organisation; the contract says something more, or else.
    fn bought_of(terms_of: &str, more: Value) -> Self {
        let mut story = Self::new();
        let (provider, lab) = (story.provider.clone(), story.lab.clone());
        let of = |also: Value| {
            let mut said = json!({"dataset": "provider/poems", "version": 1});
            said.as_object_mut().unwrap().extend(also.as_object().unwrap().clone());
            said
        };
        let manifest = story.record(StatementKind::Manifest, Some(provider.clone()), of(json!({})));
        let seller = if terms_of == "lab" { lab.clone() } else { provider };
        let terms = json!({"organisation": terms_of, "uses": ["pretrain"]});
        let terms = story.record(StatementKind::Terms, Some(seller), terms);
        story.record(StatementKind::Assessment, None, of(json!({"manifest_sha256": manifest})));
        let mut contract = of(json!({
            "provider": {"handle": "provider"}, "manifest_sha256": manifest, "terms_sha256": terms, "order": id("order"),
        }));
        contract.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let contract = story.record(StatementKind::Contract, Some(lab), contract);
        let entitlement = of(json!({
            "entitlement": id("entitlement"), "contract_sha256": contract, "manifest_sha256": manifest, "order": id("order"),
            "granted_at": at(14),
        }));
        story.record(StatementKind::Entitlement, None, entitlement);
        story.record_batch();
        story
    }

    fn receipt_leaves(&self) -> Vec<Digest> {
        self.receipts.iter().map(|receipt| tree::leaf_hash(canonical_json(receipt).unwrap())).collect()
    }

    fn record_batch(&mut self) {
        let root = tree::root_of(&self.receipt_leaves());
        self.record(StatementKind::ReceiptBatch, None, json!({"root_sha256": root, "count": self.receipts.len()}));
    }

    fn statements(&self) -> Vec<PassportStatement> {
        let leaves: Vec<String> = self.recorded.iter().map(|(_, _, _, leaf)| leaf.to_json().unwrap()).collect();
        let hashes: Vec<Digest> = leaves.iter().map(tree::leaf_hash).collect();
        let size = u64::try_from(hashes.len()).unwrap();
        let checkpoint = Checkpoint::sign(ORIGIN, size, tree::root_of(&hashes), &self.keys.log).unwrap().note;
        let statement = |index: usize| {
            let (kind, envelope, receipt, _) = self.recorded[index].clone();
            let path = tree::path_of(&hashes, index).unwrap();
            let proof =
                TlogProof { extra: None, index: u64::try_from(index).unwrap(), path, checkpoint: checkpoint.clone() };
            PassportStatement {
                kind,
                envelope,
                receipt,
                leaf: Bytes(leaves[index].clone().into()),
                proof: proof.to_string(),
            }
        };
        (0..leaves.len()).map(statement).collect()
    }

    fn deliveries(&self) -> Vec<Delivery> {
        let Some(batch) = self.recorded.iter().position(|(kind, ..)| *kind == StatementKind::ReceiptBatch) else {
            return Vec::new();
        };
        let leaves = self.receipt_leaves();
        let small = |n: usize| u32::try_from(n).unwrap();
        vec![Delivery {
            receipt: Bytes(canonical_json(&self.receipts[1]).unwrap()),
            batch: small(batch),
            leaf_index: 1,
            tree_size: small(leaves.len()),
            path: tree::path_of(&leaves, 1).unwrap(),
        }]
    }

    fn passport(&self) -> Passport {
        Passport::issue(&self.keys, ORIGIN, &[], self.statements(), self.signers.clone(), self.deliveries()).unwrap()
    }

    /// The passport after a change that the exchange itself would have had to make: it is signed again.
    fn forged(&self, change: impl FnOnce(&mut Passport)) -> Result<Report> {
        let mut passport = self.passport();
        change(&mut passport);
        let Passport { statements, keys, deliveries, .. } = passport;
        check(&Passport::issue(&self.keys, ORIGIN, &[], statements, keys, deliveries).unwrap().to_bytes().unwrap())
    }
}

fn reason(result: Result<Report>) -> String {
    result.unwrap_err().to_string()
}

/// Changes each byte of a passport that verifies, and its length: it does not verify any more.
fn each_byte_counts(good: &[u8]) {
    check(good).unwrap();
    for at in 0..good.len() {
        // The bits take turns, so that changes of case, of digits and of base64 padding all occur.
        let mut bytes = good.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert!(check(&bytes).is_err(), "the change of byte {at} was accepted");
    }
    assert!(check(&[good, b"\n"].concat()).is_err());
    assert!(check(&good[..good.len() - 1]).is_err());
}

#[test]
fn a_passport_says_what_was_checked_and_what_was_not() {
    let story = Story::bought();
    let report = check(&story.passport().to_bytes().unwrap()).unwrap();
    assert_eq!(report.log.tree_size, 6);
    assert_eq!(report.log.origin, ORIGIN);
    let by: Vec<_> = report.statements.iter().map(|s| (s.kind.as_str(), s.signed_by.join(" "))).collect();
    assert_eq!(
        by,
        [
            ("manifest", "provider".to_string()),
            ("terms", "provider".to_string()),
            ("assessment", "exchange".to_string()),
            ("contract", "lab exchange".to_string()),
            ("entitlement", "exchange".to_string()),
            ("receipt-batch", "exchange".to_string()),
        ]
    );
    assert_eq!(report.statements[3].refers_to, [StatementKind::Manifest, StatementKind::Terms]);
    let shard = ResourceDescriptor::new("a.jsonl", Digest::of("a"));
    assert_eq!(report.shards, [LicensedShard { shard, manifest_sha256: report.statements[0].pae_sha256 }]);
    assert_eq!(report.deliveries.len(), 1);
    assert_eq!(report.unchecked.len(), 7, "{:?}", report.unchecked);
    let word = "that provider offered this version on these terms is the exchange's word";
    assert!(report.unchecked.iter().any(|line| line.starts_with(word)), "{:?}", report.unchecked);

    let trusted = Trust {
        log: Some(Policy::of_log(story.passport().log_vkey)),
        exchange_keys: vec![story.keys.statement.public()],
    };
    let report = verify_with(&story.passport().to_bytes().unwrap(), &trusted, &lenient).unwrap();
    assert_eq!(report.unchecked.len(), 5);
}

#[test]
fn no_byte_of_a_passport_can_be_changed() {
    let mut story = Story::new();
    let provider = story.provider.clone();
    let manifest = json!({"dataset": "provider/poems", "version": 1});
    let manifest = story.record(StatementKind::Manifest, Some(provider), manifest);
    let entitlement = json!({"entitlement": id("entitlement"), "manifest_sha256": manifest, "granted_at": at(11)});
    story.record(StatementKind::Entitlement, None, entitlement);
    story.record_batch();
    each_byte_counts(&story.passport().to_bytes().unwrap());
}

#[test]
fn a_passport_of_another_log_or_exchange_is_refused() {
    let bytes = Story::bought().passport().to_bytes().unwrap();
    let other = SecretKey::from_seed([9; 32]).public();
    let log = Trust { log: Some(Policy::of_log(VerifierKey::new(ORIGIN, other).unwrap())), exchange_keys: vec![] };
    assert!(reason(verify_with(&bytes, &log, &lenient)).starts_with("log_vkey: trusted log"));
    let exchange = Trust { log: None, exchange_keys: vec![other] };
    assert!(reason(verify_with(&bytes, &exchange, &lenient)).starts_with("exchange_key: trusted exchange"));
}

#[test]
fn each_forgery_is_named_by_document_and_check() {
    let story = Story::bought();
    type Forgery = Box<dyn FnOnce(&mut Passport)>;
    let cases: Vec<(&str, Forgery)> = vec![
        ("statements/0 (manifest): signature", Box::new(|p| p.statements[0].envelope.payload.0[20] ^= 1)),
        ("statements/0 (manifest): signature", Box::new(|p| p.statements[0].envelope.signatures[0].sig.0[5] ^= 1)),
        ("statements/0 (manifest): receipt", Box::new(|p| p.statements[0].receipt = None)),
        ("statements/0 (manifest): receipt", Box::new(|p| p.statements[0].receipt = p.statements[1].receipt.clone())),
        ("statements/1 (terms): log entry", Box::new(|p| p.statements[1].leaf = p.statements[2].leaf.clone())),
        ("statements/1 (terms): log proof", Box::new(|p| p.statements[1].proof = p.statements[0].proof.clone())),
        ("statements/1 (manifest): signature", Box::new(|p| p.statements[1].kind = StatementKind::Manifest)),
        ("statements/3 (contract): signature", Box::new(|p| drop(p.statements[3].envelope.signatures.remove(0)))),
        ("statements/3 (contract): signature", Box::new(|p| drop(p.statements[3].envelope.signatures.pop()))),
        ("statements/3 (contract): key validity", Box::new(|p| p.keys[1].revoked_at = Some(at(13)))),
        ("statements/0 (manifest): key validity", Box::new(|p| p.keys[0].compromised_at = Some(at(1)))),
        ("statements/0 (manifest): key validity", Box::new(|p| p.keys[0].registered_at = at(11))),
        ("statements/0 (manifest): signature", Box::new(|p| drop(p.keys.remove(0)))),
        ("keys/0 (provider): key", Box::new(|p| p.keys[0].key_id = p.keys[1].key_id)),
        ("keys/1 (provider): key", Box::new(|p| p.keys[1] = p.keys[0].clone())),
        ("statements/1 (manifest): log proof", Box::new(|p| p.statements[1] = p.statements[0].clone())),
        ("deliveries/0: receipt", Box::new(|p| p.deliveries[0].receipt.0[3] ^= 1)),
        ("deliveries/0: receipt", Box::new(|p| p.deliveries[0].leaf_index = 0)),
        ("deliveries/0: receipt", Box::new(|p| p.deliveries[0].tree_size = 4)),
        ("deliveries/0: receipt", Box::new(|p| p.deliveries[0].batch = 4)),
        ("deliveries/0: receipt", Box::new(|p| p.deliveries[0].batch = 99)),
    ];
    for (expected, change) in cases {
        let found = reason(story.forged(change));
        assert!(found.starts_with(expected), "{found}\n  expected {expected}");
    }
    story.forged(|p| p.keys[1].revoked_at = Some(at(14))).unwrap();
}

#[test]
fn the_key_table_must_agree_with_the_log() {
    let mut story = Story::new();
    let provider = story.provider.clone();
    let (key, kind) = (provider.public(), StatementKind::KeyRegistration);
    let subject = |key: PublicKey| vec![ResourceDescriptor::new("key", key.key_id())];
    story.record_about(kind, Some(provider.clone()), subject(key), json!({"organisation": "provider"}));
    story.record(StatementKind::Manifest, Some(provider), json!({}));
    let registered = story.recorded[0].3.recorded_at;
    assert!(reason(story.forged(|_| {})).starts_with("keys/0 (provider): key"));
    let report = story.forged(|p| p.keys[0].registered_at = registered).unwrap();
    assert!(!report.unchecked.iter().any(|line| line.contains("provider's")), "{:?}", report.unchecked);
    story.forged(|p| (p.keys[0].registered_at, p.keys[0].organisation) = (registered, "other".into())).unwrap_err();

    story.signers[0].registered_at = registered;
    let revocation = json!({"organisation": "provider", "revoked_at": at(20)});
    story.record_about(StatementKind::KeyRevocation, None, subject(key), revocation);
    assert!(reason(story.forged(|_| {})).starts_with("keys/0 (provider): key"));
    story.forged(|p| p.keys[0].revoked_at = Some(at(20))).unwrap();
}

#[test]
fn a_chain_that_leads_elsewhere_is_refused() {
    let mut story = Story::new();
    let (provider, lab) = (story.provider.clone(), story.lab.clone());
    let manifest = story.record(StatementKind::Manifest, Some(provider.clone()), json!({}));
    story.record(StatementKind::Terms, Some(provider), json!({}));
    let contract = json!({"manifest_sha256": manifest, "terms_sha256": manifest});
    story.record(StatementKind::Contract, Some(lab), contract);
    assert!(reason(story.forged(|_| {})).starts_with("statements/2 (contract): chain: terms_sha256"));
    assert!(reason(story.forged(|p| drop(p.statements.remove(1)))).contains("chain: it refers to a terms"));
    assert!(reason(story.forged(|p| drop(p.statements.remove(0)))).contains("no manifest"));
}

#[test]
fn a_statement_signed_by_another_organisation_than_it_speaks_for_is_refused() {
    for (kind, predicate) in [
        (StatementKind::Manifest, json!({"dataset": "provider/poems"})),
        (StatementKind::Terms, json!({"organisation": "provider"})),
        (StatementKind::Contract, json!({"buyer": {"handle": "another-lab"}})),
    ] {
        let mut story = Story::new();
        let lab = story.lab.clone();
        story.record(kind, Some(lab), predicate);
        assert!(reason(story.forged(|_| {})).contains("and a key of lab signed it"), "{kind}");
    }
}

#[test]
fn a_log_that_signed_two_histories_is_caught() {
    let (story, mut other) = (Story::bought(), Story::bought());
    other.recorded.swap(4, 5);
    let split = story.forged(|p| p.statements[0] = other.statements()[0].clone());
    assert!(reason(split).contains("two roots for 6 entries"));
}

#[test]
fn a_longer_passport_is_not_read() {
    let refusal = |bytes| Passport::read(&vec![0; bytes]).unwrap_err().detail;
    assert!(refusal(MAX_PASSPORT_BYTES + 1).contains("it is longer than 268435456 bytes"));
    assert!(!refusal(MAX_PASSPORT_BYTES).contains("it is longer than"));
}

#[test]
fn an_unknown_member_or_another_spelling_is_refused() {
    let bytes = Story::bought().passport().to_bytes().unwrap();
    let mut value: Value = serde_json::from_slice(&bytes).unwrap();
    assert!(reason(check(serde_json::to_string_pretty(&value).unwrap().as_bytes())).contains("canonical"));
    value["note"] = json!("hello");
    assert!(reason(check(&canonical_json(&value).unwrap())).contains("unknown field"));
}

#[test]
fn the_real_schemas_are_used_outside_these_tests() {
    let mut story = Story::new();
    let provider = story.provider.clone();
    story.record(StatementKind::Manifest, Some(provider), json!({"not": "a manifest"}));
    assert!(verify(&story.passport().to_bytes().unwrap(), &Trust::default()).is_err());
}

#[test]
fn the_last_change_of_the_licence_is_told_and_must_be_of_this_licence() {
    let mut story = Story::bought();
    let (granted, kind) = (story.recorded[4].3.pae_sha256, StatementKind::EntitlementChange);
    let change = |of: Digest, state: &str| json!({"entitlement_sha256": of, "state": state, "reason": "a court ordered it", "changed_at": at(20)});
    assert_eq!(check(&story.passport().to_bytes().unwrap()).unwrap().standing, None);
    story.record(kind, None, change(granted, "suspended"));
    story.record(kind, None, change(granted, "revoked"));
    for order in [|_: &mut Passport| {}, |p: &mut Passport| p.statements.swap(6, 7)] {
        let standing = story.forged(order).unwrap().standing.unwrap();
        assert_eq!((standing.state.as_str(), standing.reason.as_str()), ("revoked", "a court ordered it"));
    }
    story.record(kind, None, change(Digest::of("another licence"), "active"));
    assert!(reason(story.forged(|_| {})).starts_with("statements/8 (entitlement-change): chain: entitlement_sha256"));
}
