//! Verification of a passport: a pure function, offline, which is given the keys to trust.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;

use serde::Serialize;
use serde_json::Value;

use super::chain::chain;
use super::evaluation::{EvaluatedSample, evaluated};
use super::exchange::{self, ExchangeKeys};
use super::licence::{Licensed, licensed, open_delivery};
use super::signers::{self, Holder, Signed};
use super::{NarrowedVersion, Passport, PassportKey, PassportStatement, Standing, keys, standing};
use crate::error::{Error, Kind, Result};
use crate::provenance::note::{Checkpoint, VerifierKey};
use crate::provenance::policy::{Policy, Witnessed};
use crate::provenance::proof::TlogProof;
use crate::provenance::statement::{Leaf, ResourceDescriptor, Statement, StatementKind, Validate, verify_receipt};
use crate::schemas;
use crate::signing::PublicKey;
use crate::types::{Digest, Instant};

/// Whom the verifier trusts. What is absent is taken from the passport itself, and the report says so.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The log, its witnesses, and how many of them must have cosigned each proof's checkpoint.
    pub log: Option<Policy>,
    /// The exchange's statement keys: those that these vouch for are believed, too.
    pub exchange_keys: Vec<PublicKey>,
}

/// What was verified, by whom it was signed, and what could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The log that commits to every statement.
    pub log: CheckedLog,
    /// The key id of the exchange.
    pub exchange_key_id: Digest,
    /// Every statement, in the passport's order.
    pub statements: Vec<CheckedStatement>,
    /// Every delivery, in the passport's order.
    pub deliveries: Vec<CheckedDelivery>,
    /// The last change of the licence; absent where it is as it was granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// The versions of a subscription that are held, or were withdrawn from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub narrowed: Vec<NarrowedVersion>,
    /// The shards that the licences cover: what files can be compared with.
    pub shards: Vec<LicensedShard>,
    /// The samples that evaluations cover.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<EvaluatedSample>,
    /// What this passport does not prove, in a sentence each.
    pub unchecked: Vec<String>,
}

/// The log as the passport's proofs show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedLog {
    /// The log's name.
    pub origin: String,
    /// The log's key.
    pub vkey: VerifierKey,
    /// The largest tree that a proof leads to.
    pub tree_size: u64,
    /// Its root.
    pub root: Digest,
}

/// A verified statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedStatement {
    /// What it says.
    pub kind: StatementKind,
    /// The digest by which others refer to it.
    pub pae_sha256: Digest,
    /// The organisations' handles, and `exchange`.
    pub signed_by: Vec<String>,
    /// When the exchange recorded it.
    pub recorded_at: Instant,
    /// Its place in the log.
    pub log_index: u64,
    /// The tree under which its proof stands.
    pub tree_size: u64,
    /// Which witnesses cosigned that tree.
    pub witnessed_by: Vec<String>,
    /// The statements it refers to by digest.
    pub refers_to: Vec<StatementKind>,
    /// Which checks passed.
    pub checks: Vec<&'static str>,
    /// What it says, by the schema of its kind.
    #[serde(skip)]
    pub predicate: Value,
}

/// A shard that a licence covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LicensedShard {
    /// Its path and its digest.
    #[serde(flatten)]
    pub shard: ResourceDescriptor,
    /// The manifest that names it.
    pub manifest_sha256: Digest,
}

/// A verified delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedDelivery {
    /// SHA-256 of the receipt document.
    pub receipt_sha256: Digest,
    /// The batch that commits to it.
    pub batch_sha256: Digest,
}

/// Verifies a passport's file, offline.
///
/// Fails as unverified at the first fault: the field names the document, the detail the check and why it failed.
pub fn verify(passport: &[u8], trust: &Trust) -> Result<Report> {
    verify_with(passport, trust, &schemas::validate)
}

/// As [`verify`], with the schemas of predicates given.
pub(super) fn verify_with(passport: &[u8], trust: &Trust, validate: &Validate) -> Result<Report> {
    let passport = Passport::read(passport)?;
    let verifier = Verification::begin(&passport, trust, validate)?;
    let mut opened = Vec::new();
    for (number, document) in passport.statements.iter().enumerate() {
        let name = format!("statements/{number} ({})", document.kind);
        opened.push(verifier.open(document, name)?);
    }
    let log = verifier.one_log(&opened)?;
    let mut unchecked = verifier.assumptions(trust);
    keys::registrations(&passport.keys, &opened, &mut unchecked)?;
    let references = chain(&opened, &mut unchecked)?;
    let licensed = licensed(&opened)?;
    let samples = evaluated(&opened, &verifier.exchange, &mut unchecked)?;
    let mut deliveries = Vec::new();
    for (number, delivery) in passport.deliveries.iter().enumerate() {
        deliveries.push(open_delivery(delivery, &opened, &licensed, validate, &format!("deliveries/{number}"))?);
    }
    verifier.whole(&opened)?;
    let shards = licensed.iter().flat_map(Licensed::shards).collect();
    let (standing, narrowed) = (standing::last_change(&opened), standing::narrowed(&opened));
    let statements = opened.into_iter().zip(references).map(|(opened, refers_to)| opened.checked(refers_to)).collect();
    let exchange_key_id = passport.exchange_key.key_id();
    Ok(Report { log, exchange_key_id, statements, deliveries, standing, narrowed, shards, samples, unchecked })
}

/// Names the document and the check at which verification failed.
pub(super) fn failed(document: impl Display, check: &str, why: impl Display) -> Error {
    Error::new(Kind::Unverified, format!("{check}: {why}")).field(document.to_string())
}

/// A statement whose own checks have passed.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) kind: StatementKind,
    pub(super) pae_sha256: Digest,
    pub(super) statement: Statement,
    signed_by: Vec<String>,
    pub(super) recorded_at: Instant,
    pub(super) log_index: u64,
    checkpoint: Checkpoint,
    witnessed_by: Vec<String>,
    checks: Vec<&'static str>,
}

impl Opened {
    /// Refuses what says that it was done at another time than that at which the log took it in, which everybody sees.
    pub(super) fn is_of_its_time(&self, said: Instant) -> Result<(), String> {
        match said == self.recorded_at {
            true => Ok(()),
            false => Err(format!("it says that this was at {said}, and was recorded at {}", self.recorded_at)),
        }
    }

    fn checked(self, refers_to: Vec<StatementKind>) -> CheckedStatement {
        CheckedStatement {
            kind: self.kind,
            pae_sha256: self.pae_sha256,
            signed_by: self.signed_by,
            recorded_at: self.recorded_at,
            log_index: self.log_index,
            tree_size: self.checkpoint.tree_size,
            witnessed_by: self.witnessed_by,
            refers_to,
            checks: self.checks,
            predicate: self.statement.predicate,
        }
    }
}

struct Verification<'a> {
    passport: &'a Passport,
    exchange: ExchangeKeys,
    keys: HashMap<Digest, &'a PassportKey>,
    policy: Policy,
    validate: &'a Validate,
}

impl<'a> Verification<'a> {
    fn begin(passport: &'a Passport, trust: &Trust, validate: &'a Validate) -> Result<Self> {
        let logs: Option<Vec<VerifierKey>> =
            trust.log.as_ref().map(|policy| policy.logs.iter().map(|log| log.key.clone()).collect());
        let exchange = ExchangeKeys::follow(passport, &trust.exchange_keys, logs.as_deref(), validate)?;
        let mut keys = HashMap::new();
        for (number, key) in passport.keys.iter().enumerate() {
            let refused = |why: &str| failed(format!("keys/{number} ({})", key.organisation), "key", why);
            if key.key_id != key.public_key.key_id() {
                return Err(refused("the key id is not the SHA-256 of the public key"));
            }
            if exchange.find(key.key_id).is_some() || keys.insert(key.key_id, key).is_some() {
                return Err(refused("the key is named twice"));
            }
        }
        let mut policy = match &trust.log {
            Some(policy) => policy.clone(),
            None => Policy::unproven(passport.log_vkey.clone(), &passport.witness_vkeys),
        };
        exchange.log_vkeys()?.into_iter().for_each(|key| policy.trust_also(key));
        Ok(Self { passport, exchange, keys, policy, validate })
    }

    /// Everything that can be said of one statement alone.
    fn open(&self, document: &PassportStatement, name: String) -> Result<Opened> {
        let leaf: Leaf = serde_json::from_slice(&document.leaf.0).map_err(|error| failed(&name, "log entry", error))?;
        for envelope in [Some(&document.envelope), document.receipt.as_ref()].into_iter().flatten() {
            signers::distinct(envelope).map_err(|why| failed(&name, "signature", why))?;
        }
        let signed = self.signatures(document, &leaf, &name)?;
        let mut checks = vec!["signature", "key validity", "canonical payload", "schema", "log entry", "log proof"];
        self.receipt(document, &signed, &leaf, &name)?;
        if document.receipt.is_some() {
            checks.push("receipt");
        }
        let signer = signed.logged_as(leaf.signer_key_sha256);
        let expected =
            Leaf::new(document.kind, &document.envelope, signer, document.receipt.as_ref(), leaf.recorded_at)
                .and_then(|leaf| leaf.to_json())
                .map_err(|error| failed(&name, "log entry", error))?;
        if expected.as_bytes() != document.leaf.0 {
            return Err(failed(&name, "log entry", "the entry does not commit to this envelope and receipt"));
        }
        let proof: TlogProof = document.proof.parse().map_err(|error| failed(&name, "log proof", error))?;
        self.exchange
            .check_proof(&proof, &document.leaf.0, leaf.recorded_at)
            .map_err(|error| failed(&name, "log proof", error))?;
        let Witnessed { checkpoint, by } =
            self.policy.open(&proof.checkpoint, leaf.recorded_at).map_err(|error| failed(&name, "witnesses", error))?;
        Ok(Opened {
            name,
            kind: document.kind,
            pae_sha256: leaf.pae_sha256,
            signed_by: signed.names(),
            statement: signed.statement,
            recorded_at: leaf.recorded_at,
            log_index: proof.index,
            checkpoint,
            witnessed_by: by.into_iter().map(|(name, _)| name).collect(),
            checks,
        })
    }

    /// Checks each signature, that those signed who must for the kind, and that their keys were good then.
    fn signatures(&self, document: &PassportStatement, leaf: &Leaf, name: &str) -> Result<Signed<'a>> {
        let envelope = &document.envelope;
        let holder = |key_id: Digest| match self.exchange.find(key_id) {
            Some(known) => Some(Holder::Exchange(known.key)),
            None => self.keys.get(&key_id).copied().map(Holder::Organisation),
        };
        let signed = signers::signed(document.kind, envelope, self.validate, &holder);
        let signed = signed.map_err(|why| failed(name, "signature", why))?;
        let unfit = |why: String| failed(name, "key validity", why);
        signed.organisations.iter().try_for_each(|key| keys::valid_at(key, leaf.recorded_at)).map_err(unfit)?;
        if document.kind != StatementKind::ExchangeKey && !signed.exchange.is_empty() {
            let own = signed.exchange.iter().filter_map(|key| self.exchange.find(key.key_id()));
            exchange::any_valid_at(own, leaf.recorded_at).map_err(unfit)?;
        }
        Ok(signed)
    }

    /// Checks the exchange's receipt: there is one exactly when an organisation signed alone.
    fn receipt(&self, document: &PassportStatement, signed: &Signed, leaf: &Leaf, name: &str) -> Result<()> {
        let refused = |why: String| failed(name, "receipt", why);
        let Some(receipt) = signed.receipt(document.receipt.as_ref()).map_err(refused)? else { return Ok(()) };
        let first = self.exchange.sole_signer(receipt, leaf.recorded_at).map_err(refused)?;
        let result = verify_receipt(receipt, &signed.statement, document.kind, &document.envelope, first)
            .map_err(|error| refused(error.to_string()))?;
        match result.time_created <= leaf.recorded_at {
            true => Ok(()),
            false => Err(refused("it is of a later time than the log entry".into())),
        }
    }

    /// All proofs are of one log: two trees of one size have one root, and no statement is given twice.
    fn one_log(&self, opened: &[Opened]) -> Result<CheckedLog> {
        let (mut roots, mut places, mut digests) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        for document in opened {
            let checkpoint = &document.checkpoint;
            if *roots.entry(checkpoint.tree_size).or_insert(checkpoint.root) != checkpoint.root {
                let why = format!(
                    "the log signed two roots for {} entries; keep this file as evidence",
                    checkpoint.tree_size
                );
                return Err(failed(&document.name, "log proof", why));
            }
            if let Some(other) = places.insert(document.log_index, &document.name) {
                return Err(failed(&document.name, "log proof", format!("{other} has the same place in the log")));
            }
            if let Some(other) = digests.insert(document.pae_sha256, &document.name) {
                return Err(failed(&document.name, "signature", format!("{other} is the same statement")));
            }
        }
        let (tree_size, root) = roots.pop_last().ok_or_else(|| failed("statements", "format", "there are none"))?;
        let vkey = self.passport.log_vkey.clone();
        Ok(CheckedLog { origin: vkey.name.clone(), vkey, tree_size, root })
    }

    /// What had to be taken from the passport itself.
    fn assumptions(&self, trust: &Trust) -> Vec<String> {
        let mut unchecked = Vec::new();
        if trust.log.is_none() {
            let vkey = &self.passport.log_vkey;
            unchecked.push(format!("the log's key was taken from the passport; compare it with one you trust: {vkey}"));
        }
        if self.policy.needs_nobody() {
            unchecked.push(
                "that everybody is shown the same log: no witness was asked for; give a policy with a quorum"
                    .to_string(),
            );
        }
        if trust.exchange_keys.is_empty() {
            let key = self.passport.exchange_key;
            unchecked
                .push(format!("the exchange's key was taken from the passport; compare it with one you trust: {key}"));
        }
        unchecked.push(
            "whether a licence or a key was revoked after the passport was issued is not in it; ask the exchange"
                .to_string(),
        );
        unchecked
    }

    /// The exchange's signature over the whole passport, by a key that was not retired when its newest statement was logged.
    fn whole(&self, opened: &[Opened]) -> Result<()> {
        let signature = &self.passport.signature;
        let known = self.exchange.find(signature.keyid).filter(|known| known.key == self.passport.exchange_key);
        let known =
            known.ok_or_else(|| failed("signature", "passport signature", "it is not by the exchange's key"))?;
        let newest = opened.iter().map(|document| document.recorded_at).max();
        newest
            .map_or(Ok(()), |newest| known.valid_at(newest))
            .map_err(|why| failed("signature", "key validity", why))?;
        let envelope = self.passport.unsigned()?;
        let verified = self.passport.exchange_key.verify(&envelope.pae(), &signature.sig.0);
        verified.map_err(|_| failed("signature", "passport signature", "the passport is not what the exchange signed"))
    }
}
