//! The passport: one JSON file with which a licensee, or a lab that evaluated a sample, proves offline what it holds and by
//! what right.
//!
//! It carries the signed statements with their log entries and proofs, the keys that signed them, and the receipts of
//! what was delivered. [`verify`] reads nothing else, and can be written again by anybody from the
//! standards it is made of: in-toto, DSSE, C2SP tlog-proof, RFC 6962, RFC 8785.
//!
//! Invariant: a passport has one spelling (canonical JSON, no unknown members) and the exchange signs all of it, so
//! that no byte of the file can change unnoticed.

mod chain;
mod evaluation;
mod exchange;
mod keys;
mod licence;
pub mod part;
pub(super) mod signers;
mod standing;
mod verify;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::evaluation::{EvaluatedSample, Evaluation};
pub use self::standing::{NarrowedVersion, Standing};
pub use self::verify::{CheckedDelivery, CheckedLog, CheckedStatement, LicensedShard, Report, Trust, verify};
use super::note::{VerifierKey, WitnessKey};
use super::policy::Witness;
use super::statement::StatementKind;
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::schemas;
use crate::signing::{Bytes, Envelope, PublicKey, Signature, canonical_json};
use crate::types::{Digest, Instant};

/// The payload type under which the exchange signs a passport.
pub const PASSPORT_PAYLOAD_TYPE: &str = "application/vnd.corpex.passport.v1+json";
/// The schema of the receipts of what was delivered.
const DELIVERY_RECEIPT: &str = "delivery-receipt.v1";
/// The version of the format.
const PASSPORT_VERSION: u8 = 1;
/// A longer passport is not read: a manifest of 100,000 shards and its receipt take about 60 MB.
pub const MAX_PASSPORT_BYTES: usize = 256 * 1024 * 1024;

/// A passport (`schemas/passport.v1.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passport {
    /// 1.
    pub passport_version: u8,
    /// Manifest, terms, assessment, contract, entitlement, receipt batches, or an evaluation and what was drawn for it, each
    /// with its proof.
    pub statements: Vec<PassportStatement>,
    /// The organisations' keys that signed them.
    pub keys: Vec<PassportKey>,
    /// The key with which the exchange signs statements.
    pub exchange_key: PublicKey,
    /// The log's verifier key.
    pub log_vkey: VerifierKey,
    /// The verifier keys of the witnesses that the exchange asks.
    pub witness_vkeys: Vec<WitnessKey>,
    /// What was delivered under a licence.
    pub deliveries: Vec<Delivery>,
    /// The exchange's signature over everything above.
    pub signature: Signature,
}

/// A signed statement and the proof that it is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassportStatement {
    /// What it says.
    pub kind: StatementKind,
    /// The signed document.
    pub envelope: Envelope,
    /// The exchange's receipt, where somebody else signed alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Envelope>,
    /// The log entry, byte for byte.
    pub leaf: Bytes,
    /// A `c2sp.org/tlog-proof@v1` text.
    pub proof: String,
}

/// An organisation's signing key and when it was good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassportKey {
    /// The organisation's handle.
    pub organisation: String,
    /// SHA-256 of the raw public key.
    pub key_id: Digest,
    /// The raw public key.
    pub public_key: PublicKey,
    /// When the exchange registered it.
    pub registered_at: Instant,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Instant>,
    /// From when on somebody else may have held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromised_at: Option<Instant>,
}

/// A delivery receipt and its place in a logged batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = PassportDelivery)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The receipt document: canonical JSON (`schemas/delivery-receipt.v1.json`).
    pub receipt: Bytes,
    /// Which of the statements is the batch, from 0.
    pub batch: u32,
    /// The receipt's place in the batch, from 0.
    pub leaf_index: u32,
    /// How many receipts the batch has.
    pub tree_size: u32,
    /// The RFC 6962 inclusion proof.
    pub path: Vec<Digest>,
}

impl Passport {
    /// Puts a passport together and signs it. `origin` is the log's name, `witnesses` are those that are asked.
    pub fn issue(
        keys: &ExchangeKeys,
        origin: &str,
        witnesses: &[Witness],
        statements: Vec<PassportStatement>,
        signers: Vec<PassportKey>,
        deliveries: Vec<Delivery>,
    ) -> Result<Self> {
        let nothing = Signature { keyid: keys.statement.public().key_id(), sig: Bytes(Vec::new()) };
        let mut passport = Self {
            passport_version: PASSPORT_VERSION,
            statements,
            keys: signers,
            exchange_key: keys.statement.public(),
            log_vkey: VerifierKey::new(origin, keys.log.public())?,
            witness_vkeys: witnesses.iter().map(|witness| witness.key.clone()).collect(),
            deliveries,
            signature: nothing,
        };
        let mut envelope = passport.unsigned()?;
        keys.statement.add_signature(&mut envelope);
        if let Some(signature) = envelope.signatures.pop() {
            passport.signature = signature;
        }
        Ok(passport)
    }

    /// The file's bytes: canonical JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        canonical_json(self)
    }

    /// Reads a passport's file. Nothing is verified but the format: no unknown members, one spelling.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_PASSPORT_BYTES {
            return Err(malformed(format!("it is longer than {MAX_PASSPORT_BYTES} bytes")));
        }
        let passport: Self = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if passport.passport_version != PASSPORT_VERSION {
            return Err(malformed(format!("its version is {}, and 1 is read here", passport.passport_version)));
        }
        if passport.to_bytes()? != bytes {
            return Err(malformed("it is not canonical JSON (RFC 8785)".to_string()));
        }
        let value = serde_json::to_value(&passport)?;
        schemas::validate("passport.v1", &value).map_err(|error| malformed(error.to_string()))?;
        Ok(passport)
    }

    /// What the exchange signs: everything but the signature, in an envelope still without one.
    fn unsigned(&self) -> Result<Envelope> {
        let mut document = serde_json::to_value(self)?;
        if let Some(members) = document.as_object_mut() {
            members.remove("signature");
        }
        let payload = Bytes(canonical_json(&document)?);
        Ok(Envelope { payload_type: PASSPORT_PAYLOAD_TYPE.to_string(), payload, signatures: Vec::new() })
    }
}

fn malformed(why: String) -> Error {
    Error::new(Kind::Unverified, format!("format: this is not a passport: {why}")).field("passport")
}

#[cfg(test)]
#[path = "passport/tests.rs"]
mod tests;
