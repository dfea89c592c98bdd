//! What is signed, and what the log keeps of it: in-toto statements, the exchange's receipts, log entries.
//!
//! A statement is an in-toto Statement v1 as canonical JSON in a DSSE envelope. When only somebody else signed it, the
//! exchange adds a statement of its own, an in-toto Simple Verification Result (SVR v0.2): the same subjects, the
//! envelope itself as `_envelope_pae`, and which checks it made. It never repeats the other's claims as its own.
//!
//! Invariant: a log entry holds digests only, at most 65,535 bytes, and can be recomputed from the envelope, the receipt
//! and the moment it was recorded. When the exchange signed the statement, alone or with a trading party, the entry
//! names the exchange's key and signature: the public log never shows who trades. While one key of the exchange takes over
//! from another, both sign; the entry names the first, which is the older.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{Error, Kind, Result};
use crate::schemas;
use crate::signing::{Bytes, Envelope, IN_TOTO_PAYLOAD_TYPE, PublicKey, SecretKey, canonical_json};
use crate::text_enum;
use crate::types::{Digest, Instant};

/// The `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// The `predicateType` of the exchange's receipts.
pub const SVR_TYPE: &str = "https://in-toto.io/attestation/svr/v0.2";
/// The subject of a receipt that stands for the envelope it is about.
pub const ENVELOPE_SUBJECT: &str = "_envelope_pae";
/// Each shard was read back from the store and had the declared size and digest.
pub const BYTES_REHASHED: &str = "bytes-rehashed";
/// The signing key was registered, and neither revoked nor expired.
pub const KEY_ACTIVE: &str = "key-active";
/// The statement follows its published JSON Schema.
pub const SCHEMA_VALID: &str = "schema-valid";

text_enum! {
    /// What a statement says.
    pub enum StatementKind {
        /// An organisation's signing key is registered.
        KeyRegistration = "key-registration",
        /// An organisation's signing key is revoked.
        KeyRevocation = "key-revocation",
        /// A key of the exchange itself takes over from another.
        ExchangeKey = "exchange-key",
        /// The provider declares the shards of a version.
        Manifest = "manifest",
        /// The provider offers licence terms.
        Terms = "terms",
        /// The exchange read a version and drew a sample of it.
        Inspection = "inspection",
        /// The exchange assessed a version.
        Assessment = "assessment",
        /// The exchange registered a version.
        Certificate = "certificate",
        /// A version is announced for the board, under terms.
        Listing = "listing",
        /// A listing went on the board, was taken off it, put back, or withdrawn for ever.
        ListingChange = "listing-change",
        /// An objection to an announced listing was filed or decided.
        Objection = "objection",
        /// One side of a trade offers the other what is listed, at a price.
        Offer = "offer",
        /// An offer was withdrawn.
        OfferChange = "offer-change",
        /// A negotiation took a step.
        NegotiationChange = "negotiation-change",
        /// A buyer and the exchange agreed on an order; where it was negotiated, the provider too.
        Contract = "contract",
        /// An agreed order was cancelled, expired, rejected, cured or refunded.
        OrderChange = "order-change",
        /// A dispute over an order took a step.
        Dispute = "dispute",
        /// What was delivered was accepted, and the provider is owed its share.
        Settlement = "settlement",
        /// The exchange certifies that a trade is settled.
        TradeCertificate = "trade-certificate",
        /// The exchange lets a licensee download a version.
        Entitlement = "entitlement",
        /// The exchange lets a lab evaluate a version by its sample.
        Evaluation = "evaluation",
        /// A link to a sample was given under an evaluation.
        EvaluationReceipt = "evaluation-receipt",
        /// An entitlement was suspended, reinstated or revoked, or its term ended.
        EntitlementChange = "entitlement-change",
        /// A claim against a version took a step.
        Takedown = "takedown",
        /// The recall of a licence took a step.
        Recall = "recall",
        /// A licensee attests that it deleted a recalled version.
        DeletionAttestation = "deletion-attestation",
        /// Delivery receipts that were committed together.
        ReceiptBatch = "receipt-batch",
        /// A day of the exchange's audit trail is closed.
        AuditTrail = "audit-trail",
        /// A lab declares which versions a model was trained on.
        ModelTraining = "model-training",
    }
}

/// Who must have signed a statement of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signers {
    /// An organisation, and nobody else; the exchange gives a receipt.
    Organisation,
    /// The exchange, and nobody else.
    Exchange,
    /// An organisation and the exchange; a negotiated contract both its sides.
    Both,
}

impl StatementKind {
    /// The statement's `predicateType`.
    pub fn predicate_type(self) -> String {
        format!("urn:corpex:predicate:{self}:v1")
    }
    /// The name of the JSON Schema of the statement's predicate.
    pub fn schema(self) -> String {
        format!("{self}.v1")
    }
    /// Who must have signed it.
    pub fn signers(self) -> Signers {
        match self {
            Self::Manifest | Self::Terms | Self::KeyRegistration | Self::ModelTraining => Signers::Organisation,
            Self::Assessment | Self::Certificate | Self::Entitlement | Self::ReceiptBatch => Signers::Exchange,
            Self::ExchangeKey | Self::KeyRevocation | Self::Inspection | Self::AuditTrail => Signers::Exchange,
            Self::Evaluation | Self::EvaluationReceipt => Signers::Exchange,
            Self::Listing | Self::ListingChange | Self::Settlement | Self::EntitlementChange => Signers::Exchange,
            Self::OrderChange
            | Self::OfferChange
            | Self::NegotiationChange
            | Self::Dispute
            | Self::TradeCertificate
            | Self::Takedown
            | Self::Recall
            | Self::Objection => Signers::Exchange,
            Self::Contract | Self::Offer | Self::DeletionAttestation => Signers::Both,
        }
    }
}

/// A thing a statement is about: a name and a digest (in-toto ResourceDescriptor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceDescriptor {
    /// A name that is unique in the statement: for a shard its path.
    pub name: String,
    /// The digest of the thing's bytes.
    pub digest: Sha256Digest,
}

/// An in-toto DigestSet of one algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sha256Digest {
    /// Hexadecimal SHA-256.
    pub sha256: Digest,
}

impl ResourceDescriptor {
    /// Names a thing and its digest.
    pub fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self { name: name.into(), digest: Sha256Digest { sha256 } }
    }
}

/// An in-toto Statement v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// `https://in-toto.io/Statement/v1`.
    #[serde(rename = "_type")]
    pub _type: String,
    /// What it is about; at least one thing.
    pub subject: Vec<ResourceDescriptor>,
    /// `urn:corpex:predicate:<kind>:v1`.
    pub predicate_type: String,
    /// What it says, by the schema of its kind.
    #[schema(value_type = Object)]
    pub predicate: Value,
}

impl Statement {
    /// A statement of a kind.
    pub fn new(kind: StatementKind, subject: Vec<ResourceDescriptor>, predicate: Value) -> Self {
        Self { _type: STATEMENT_TYPE.to_string(), subject, predicate_type: kind.predicate_type(), predicate }
    }
    /// The bytes to sign: canonical JSON.
    pub fn to_payload(&self) -> Result<Vec<u8>> {
        canonical_json(self)
    }
    /// Signs the statement.
    pub fn sign(&self, key: &SecretKey) -> Result<Envelope> {
        Ok(key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, self.to_payload()?))
    }

    /// Signs the statement with several keys.
    pub fn cosign(&self, keys: &[&SecretKey]) -> Result<Envelope> {
        let (payload_type, payload) = (IN_TOTO_PAYLOAD_TYPE.to_string(), Bytes(self.to_payload()?));
        let mut envelope = Envelope { payload_type, payload, signatures: Vec::new() };
        keys.iter().for_each(|key| key.add_signature(&mut envelope));
        Ok(envelope)
    }

    fn read(value: Value, predicate_type: &str) -> Result<Self> {
        let statement: Statement = serde_json::from_value(value)
            .map_err(|error| Error::invalid("payload", format!("this is not an in-toto statement: {error}")))?;
        let expect = |field: &str, found: &str, expected: &str| match found == expected {
            true => Ok(()),
            false => Err(Error::invalid(field, format!("{found:?} stands where {expected:?} was expected"))),
        };
        expect("_type", &statement._type, STATEMENT_TYPE)?;
        expect("predicateType", &statement.predicate_type, predicate_type)?;
        if statement.subject.is_empty() {
            return Err(Error::invalid("subject", "a statement must be about something"));
        }
        let mut names = HashSet::new();
        match statement.subject.iter().find(|subject| !names.insert(subject.name.as_str())) {
            Some(twice) => Err(Error::invalid("subject", format!("{:?} is named twice", twice.name))),
            None => Ok(statement),
        }
    }
}

/// Reads a statement that `key` signed: checks signature, encoding, type, kind, and the predicate's JSON Schema.
/// Other signatures on the envelope are not looked at. Pure.
///
/// Fails as a bad signature, or as invalid with the field at fault.
pub fn parse(envelope: &Envelope, key: PublicKey, kind: StatementKind) -> Result<Statement> {
    parse_with(envelope, key, kind, &schemas::validate)
}

/// How a predicate is checked against the schema of a name.
pub(super) type Validate = dyn Fn(&str, &Value) -> Result<()>;

/// As [`parse`], with the schemas given.
pub(super) fn parse_with(
    envelope: &Envelope,
    key: PublicKey,
    kind: StatementKind,
    validate: &Validate,
) -> Result<Statement> {
    checked(envelope.verify(key, IN_TOTO_PAYLOAD_TYPE)?, kind, validate)
}

/// Reads a statement whose signature is known to be good: checks type, kind, and the predicate's JSON Schema.
pub(super) fn checked(payload: Value, kind: StatementKind, validate: &Validate) -> Result<Statement> {
    let statement = Statement::read(payload, &kind.predicate_type())?;
    if statement.subject.iter().any(|subject| subject.name == ENVELOPE_SUBJECT) {
        return Err(Error::invalid(
            "subject",
            format!("the name {ENVELOPE_SUBJECT} is kept for the exchange's receipts"),
        ));
    }
    validate(&kind.schema(), &statement.predicate).map_err(|mut error| {
        error.field = Some(format!("predicate{}", error.field.unwrap_or_default()));
        error
    })?;
    Ok(statement)
}

/// Refuses an envelope that does not carry exactly `count` signatures.
pub(super) fn expect_signatures(envelope: &Envelope, count: usize) -> Result<()> {
    if envelope.signatures.len() == count {
        return Ok(());
    }
    let detail = format!("the envelope carries {} signatures, and {count} was expected", envelope.signatures.len());
    Err(Error::new(Kind::BadSignature, detail).field("signatures"))
}

/// The predicate of an in-toto Simple Verification Result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerificationResult {
    /// Who checked.
    pub verifier: Verifier,
    /// When.
    pub time_created: Instant,
    /// Which checks passed.
    pub properties: Vec<String>,
}

/// Who made a verification result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifier {
    /// A URI; it ends with the version of the checks.
    pub id: String,
    /// Documents that define the checks; none, but the standard wants the member.
    pub policies: Vec<Value>,
}

/// The exchange as a verifier: named by its statement key (the older, while it has two), so that the name cannot be borrowed.
pub fn verifier_id(exchange: PublicKey) -> String {
    format!("urn:corpex:exchange:{}:v1", exchange.key_id())
}

/// The checks that a receipt for a statement of this kind asserts.
fn properties(kind: StatementKind) -> Vec<String> {
    let checked: &[&str] = match kind {
        StatementKind::Manifest => &[BYTES_REHASHED, KEY_ACTIVE, SCHEMA_VALID],
        _ => &[KEY_ACTIVE, SCHEMA_VALID],
    };
    checked.iter().map(|property| (*property).to_string()).collect()
}

/// The exchange's receipt for a statement that it checked just now, by what it is about and the digest of its envelope; signed
/// with each of the exchange's statement keys.
pub(super) fn receipt_for(
    subject: &[ResourceDescriptor],
    kind: StatementKind,
    pae_sha256: Digest,
    exchange: &[&SecretKey],
    now: Instant,
) -> Result<Envelope> {
    let first = super::first(exchange)?;
    let mut subject = subject.to_vec();
    subject.push(ResourceDescriptor::new(ENVELOPE_SUBJECT, pae_sha256));
    let result = VerificationResult {
        verifier: Verifier { id: verifier_id(first.public()), policies: Vec::new() },
        time_created: now,
        properties: properties(kind),
    };
    let predicate = serde_json::to_value(&result)?;
    Statement { subject, predicate_type: SVR_TYPE.to_string(), ..Statement::new(kind, Vec::new(), predicate) }
        .cosign(exchange)
}

/// Checks the exchange's receipt for a statement: signature, subjects, verifier, checks made. `exchange` is its first
/// signer; other signatures are not looked at.
pub(super) fn verify_receipt(
    receipt: &Envelope,
    statement: &Statement,
    kind: StatementKind,
    envelope: &Envelope,
    exchange: PublicKey,
) -> Result<VerificationResult> {
    let mut svr = Statement::read(receipt.verify(exchange, IN_TOTO_PAYLOAD_TYPE)?, SVR_TYPE)?;
    let refused = |field: &str, why: &str| Error::new(Kind::Unverified, format!("the receipt {why}")).field(field);
    if svr.subject.pop() != Some(ResourceDescriptor::new(ENVELOPE_SUBJECT, envelope.pae_sha256())) {
        return Err(refused("subject", "is about another envelope"));
    }
    if svr.subject != statement.subject {
        return Err(refused("subject", "names other subjects than the statement"));
    }
    let result: VerificationResult = serde_json::from_value(svr.predicate)
        .map_err(|error| refused("predicate", &format!("is malformed: {error}")))?;
    if result.verifier.id != verifier_id(exchange) {
        return Err(refused("verifier", "names another verifier than the exchange"));
    }
    match properties(kind).into_iter().find(|property| !result.properties.contains(property)) {
        Some(missing) => Err(refused("properties", &format!("does not assert {missing}"))),
        None => Ok(result),
    }
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The version of this format: 1.
    pub v: u8,
    /// What the statement says.
    pub kind: StatementKind,
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub pae_sha256: Digest,
    /// SHA-256 of the raw public key of the signature that follows.
    pub signer_key_sha256: Digest,
    /// SHA-256 of the raw signature: the exchange's where it signed, else the organisation's.
    pub signature_sha256: Digest,
    /// SHA-256 of the receipt's pre-authentication encoding, where there is a receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_pae_sha256: Option<Digest>,
    /// SHA-256 of the first raw signature of the receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_signature_sha256: Option<Digest>,
    /// When the exchange recorded the statement.
    pub recorded_at: Instant,
}

/// The version of [`Leaf`] written here.
const LEAF_VERSION: u8 = 1;

impl Leaf {
    /// The entry for an envelope, its signature by `signer`, and its receipt.
    pub fn new(
        kind: StatementKind,
        envelope: &Envelope,
        signer: Digest,
        receipt: Option<&Envelope>,
        recorded_at: Instant,
    ) -> Result<Self> {
        Self::of(kind, (envelope, envelope.pae_sha256()), signer, receipt, recorded_at)
    }

    /// As [`Leaf::new`], where the envelope's digest is at hand.
    pub(super) fn of(
        kind: StatementKind,
        (envelope, pae_sha256): (&Envelope, Digest),
        signer: Digest,
        receipt: Option<&Envelope>,
        recorded_at: Instant,
    ) -> Result<Self> {
        let receipt_signature = match receipt.map(|receipt| receipt.signatures.first()) {
            None => None,
            Some(Some(signature)) => Some(Digest::of(&signature.sig.0)),
            Some(None) => return Err(Error::new(Kind::BadSignature, "the receipt carries no signature")),
        };
        Ok(Self {
            v: LEAF_VERSION,
            kind,
            pae_sha256,
            signer_key_sha256: signer,
            signature_sha256: Digest::of(&envelope.signature_by(signer)?.sig.0),
            receipt_pae_sha256: receipt.map(Envelope::pae_sha256),
            receipt_signature_sha256: receipt_signature,
            recorded_at,
        })
    }
    /// The entry's bytes: canonical JSON.
    pub fn to_json(&self) -> Result<String> {
        String::from_utf8(canonical_json(self)?).map_err(|error| Error::internal("JSON is UTF-8").because(error))
    }
}

#[cfg(test)]
#[path = "statement_tests.rs"]
mod tests;
