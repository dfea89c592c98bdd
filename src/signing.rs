//! Ed25519 signatures over DSSE envelopes, and canonical JSON.
//!
//! - Canonical JSON is RFC 8785.
//! - Envelopes are DSSE 1.0.2: the signature covers `PAE(payloadType, payload)`, never the bare payload.
//! - `keyid` is the hexadecimal SHA-256 of the raw 32-byte public key; it is always present, and only a hint
//!   where DSSE is concerned: [`Envelope::verify`] is told which key to believe.
//!
//! Invariant: verification is strict (`verify_strict`), and weak (small-order) keys are refused.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use utoipa::ToSchema;

use crate::error::{Error, Kind, Result};
use crate::text_column;
use crate::types::{Digest, from_text};

/// The payload type of an in-toto statement.
pub const IN_TOTO_PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Writes a value as canonical JSON (RFC 8785).
pub fn canonical_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json_canonicalizer::to_vec(value).map_err(|error| {
        Error::invalid("", "the document cannot be written as canonical JSON (RFC 8785)").because(error)
    })
}

/// The largest integer that every reader of JSON keeps exact (RFC 7493): 2^53 - 1.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;
/// From here on canonical JSON writes numbers with an exponent, and nobody takes them for integers.
const MIN_EXPONENT: f64 = 1e21;

/// Reads a document that must be canonical JSON: one document has one encoding and one digest.
///
/// Integers beyond 2^53 - 1 are refused, for others would read other values. Fails with the reason.
pub fn read_canonical_json(bytes: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("is not JSON: {error}"))?;
    match canonical_json(&value) {
        Ok(canonical) if canonical == bytes => {}
        _ => return Err("is not canonical JSON (RFC 8785)".to_string()),
    }
    match inexact(&value) {
        Some(number) => Err(format!("holds {number}, an integer that not every reader keeps exact (RFC 7493)")),
        None => Ok(value),
    }
}

/// The first integer beyond 2^53 - 1.
fn inexact(value: &Value) -> Option<&Number> {
    match value {
        Value::Number(number) => {
            let size = number.as_f64().map(f64::abs)?;
            (size > MAX_EXACT && size < MIN_EXPONENT).then_some(number)
        }
        Value::Array(items) => items.iter().find_map(inexact),
        Value::Object(members) => members.values().find_map(inexact),
        _ => None,
    }
}

/// A secret Ed25519 key. It is wiped from memory when dropped and prints only its key id.
#[derive(Clone)]
pub struct SecretKey(ed25519_dalek::SigningKey);

impl SecretKey {
    /// A new key from the operating system's randomness.
    pub fn generate() -> Self {
        Self::from_seed(rand::random())
    }
    /// The key made from a 32-byte seed (RFC 8032).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }
    /// The 32-byte seed.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }
    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
    /// Signs raw bytes; for statements use [`SecretKey::sign_envelope`].
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
    /// Wraps a payload in an envelope with this key's signature.
    pub fn sign_envelope(&self, payload_type: &str, payload: Vec<u8>) -> Envelope {
        let mut envelope =
            Envelope { payload_type: payload_type.to_string(), payload: Bytes(payload), signatures: Vec::new() };
        self.add_signature(&mut envelope);
        envelope
    }
    /// Adds this key's signature to an envelope that others may have signed already.
    pub fn add_signature(&self, envelope: &mut Envelope) {
        let sig = Bytes(self.sign(&envelope.pae()).to_vec());
        envelope.signatures.push(Signature { keyid: self.public().key_id(), sig });
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public().key_id())
    }
}

/// A public Ed25519 key that is not weak. Written as base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key with these 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let refused = |why: &str| Error::new(Kind::BadSignature, format!("the public key {why}")).field("public_key");
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| refused("is not 32 bytes of Ed25519"))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| refused("is not a point of Ed25519"))?;
        // The key keeps the bytes it was read from: only the point itself knows its one encoding.
        if key.to_edwards().compress().to_bytes() != *bytes {
            return Err(refused("is not in canonical form"));
        }
        if key.is_weak() {
            return Err(refused("is weak (of small order); generate a new one"));
        }
        Ok(Self(key))
    }
    /// The 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }
    /// The SHA-256 of the 32 bytes.
    pub fn key_id(self) -> Digest {
        Digest::of(self.0.to_bytes())
    }
    /// Checks a signature over raw bytes, strictly (RFC 8032, no small-order components).
    pub fn verify(self, message: &[u8], signature: &[u8]) -> Result<()> {
        let refused = |why: &str| Error::new(Kind::BadSignature, format!("the signature {why}")).field("signature");
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| refused("is not 64 bytes"))?;
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| refused(&format!("was not made by key {} over these bytes", self.key_id())))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE64.encode(self.0.as_bytes()))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for PublicKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::from_bytes(&text.parse::<Bytes>()?.0)
    }
}
impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
impl utoipa::PartialSchema for PublicKey {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        Bytes::schema()
    }
}
impl utoipa::ToSchema for PublicKey {}
text_column!(PublicKey);

/// Bytes written as standard base64 with padding.
#[derive(Debug, Clone, PartialEq, Eq, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&BASE64.encode(&self.0))
    }
}
impl FromStr for Bytes {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        BASE64
            .decode(text)
            .map(Self)
            .map_err(|error| Error::invalid("", format!("this is not standard base64 with padding: {error}")))
    }
}
impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
impl utoipa::PartialSchema for Bytes {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .content_encoding("base64")
            .into()
    }
}
impl utoipa::ToSchema for Bytes {
    fn name() -> std::borrow::Cow<'static, str> {
        "base64".into()
    }
}
text_column!(Bytes);

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is: `application/vnd.in-toto+json` for statements.
    pub payload_type: String,
    /// The signed document, byte for byte.
    pub payload: Bytes,
    /// One signature or more.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// SHA-256 of the raw public key.
    pub keyid: Digest,
    /// The Ed25519 signature of the envelope's pre-authentication encoding.
    pub sig: Bytes,
}

impl Envelope {
    /// The pre-authentication encoding: the bytes that are signed.
    pub fn pae(&self) -> Vec<u8> {
        let header = format!("DSSEv1 {} {} {} ", self.payload_type.len(), self.payload_type, self.payload.0.len());
        [header.as_bytes(), &self.payload.0].concat()
    }
    /// The digest by which the log knows this envelope.
    pub fn pae_sha256(&self) -> Digest {
        Digest::of(self.pae())
    }
    /// The one signature of an envelope that a single party signed.
    pub fn sole_signature(&self) -> Result<&Signature> {
        match self.signatures.as_slice() {
            [signature] => Ok(signature),
            several => Err(Error::new(
                Kind::BadSignature,
                format!("the envelope carries {} signatures, and one was expected", several.len()),
            )
            .field("signatures")),
        }
    }
    /// The signature whose key id is `keyid`.
    pub fn signature_by(&self, keyid: Digest) -> Result<&Signature> {
        self.signatures.iter().find(|signature| signature.keyid == keyid).ok_or_else(|| {
            Error::new(Kind::BadSignature, format!("the envelope carries no signature by key {keyid}"))
                .field("signatures")
        })
    }
    /// Checks that `key` signed this envelope and gives the payload.
    ///
    /// The payload must be canonical JSON of `payload_type`: one document has one encoding and one digest.
    pub fn verify(&self, key: PublicKey, payload_type: &str) -> Result<Value> {
        if self.payload_type != payload_type {
            return Err(Error::new(
                Kind::BadSignature,
                format!("the payload type is {:?}, and {payload_type:?} was expected", self.payload_type),
            )
            .field("payloadType"));
        }
        let signature = self.signature_by(key.key_id())?;
        key.verify(&self.pae(), &signature.sig.0)?;
        read_canonical_json(&self.payload.0)
            .map_err(|why| Error::new(Kind::BadSignature, format!("the signed payload {why}")).field("payload"))
    }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
