//! Envelopes that were verified, in as much as that takes no database: what may be recorded of what others signed.

use super::statement::{ResourceDescriptor, Statement, StatementKind, Validate, expect_signatures, parse_with};
use crate::error::{Error, Result};
use crate::schemas;
use crate::signing::{Envelope, PublicKey};
use crate::types::Digest;

/// An envelope that was opened and found in order: each of its signers signed it and nobody else, and what it holds is a statement
/// of its kind. There is no way to have one but to open it. Whether the signers' keys are active only the database knows.
#[derive(Debug)]
pub struct VerifiedEnvelope {
    kind: StatementKind,
    envelope: Envelope,
    pae_sha256: Digest,
    signer: Digest,
    subject: Vec<ResourceDescriptor>,
}

impl VerifiedEnvelope {
    /// Opens an envelope that every one of `signers` signed and no other: checks the signatures, and the statement as
    /// [`parse`](super::parse) does. Gives the statement, too. Pure; a long statement takes its time.
    ///
    /// # Errors
    /// `BadSignature`, or `Invalid` with the field at fault.
    pub fn open(envelope: Envelope, signers: &[PublicKey], kind: StatementKind) -> Result<(Self, Statement)> {
        Self::open_with(envelope, signers, kind, &schemas::validate)
    }

    /// As [`VerifiedEnvelope::open`], with the schemas given.
    pub(super) fn open_with(
        envelope: Envelope,
        signers: &[PublicKey],
        kind: StatementKind,
        validate: &Validate,
    ) -> Result<(Self, Statement)> {
        expect_signatures(&envelope, signers.len())?;
        let (first, others) = signers.split_first().ok_or_else(|| Error::internal("somebody signs every statement"))?;
        let statement = parse_with(&envelope, *first, kind, validate)?;
        for other in others {
            parse_with(&envelope, *other, kind, validate)?;
        }
        let (pae_sha256, subject) = (envelope.pae_sha256(), statement.subject.clone());
        Ok((Self { kind, envelope, pae_sha256, signer: first.key_id(), subject }, statement))
    }

    /// What the statement says.
    pub fn kind(&self) -> StatementKind {
        self.kind
    }
    /// The envelope itself.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
    /// The digest by which the log knows it.
    pub fn pae_sha256(&self) -> Digest {
        self.pae_sha256
    }
    /// The key id of its first signer.
    pub fn signer(&self) -> Digest {
        self.signer
    }
    /// What the statement is about.
    pub fn subject(&self) -> &[ResourceDescriptor] {
        &self.subject
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::signing::{IN_TOTO_PAYLOAD_TYPE, SecretKey, canonical_json};
    use serde_json::json;

    const KIND: StatementKind = StatementKind::ReceiptBatch;

    fn batch(count: i64) -> Statement {
        let root = Digest::of("root");
        let subject = vec![ResourceDescriptor::new("batch", root)];
        Statement::new(KIND, subject, json!({"root_sha256": root, "count": count}))
    }

    #[test]
    fn an_envelope_in_order_is_opened() {
        let (one, other) = (SecretKey::generate(), SecretKey::generate());
        let envelope = batch(1).cosign(&[&one, &other]).unwrap();
        let signers = [one.public(), other.public()];
        let (verified, statement) = VerifiedEnvelope::open(envelope.clone(), &signers, KIND).unwrap();
        assert_eq!((verified.envelope(), verified.kind()), (&envelope, KIND));
        assert_eq!((verified.pae_sha256(), verified.signer()), (envelope.pae_sha256(), one.public().key_id()));
        assert_eq!((verified.subject(), &statement), (&statement.subject[..], &batch(1)));
    }

    #[test]
    fn nothing_is_had_of_an_envelope_that_is_refused() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let good = batch(1).sign(&key).unwrap();
        let mut unsigned = good.clone();
        unsigned.signatures.clear();
        let mut twice = good.clone();
        other.add_signature(&mut twice);
        let mut changed = good.clone();
        changed.payload = batch(2).sign(&key).unwrap().payload;
        let mut spaced = batch(1).to_payload().unwrap();
        spaced.push(b' ');
        let spaced = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, spaced);
        let foreign = batch(1).sign(&other).unwrap();
        let elsewhere = key.sign_envelope("text/plain", batch(1).to_payload().unwrap());
        let none = batch(0).sign(&key).unwrap();
        let bare = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, canonical_json(&json!({})).unwrap());
        for (envelope, kind, field) in [
            (unsigned, Kind::BadSignature, "signatures"),
            (twice, Kind::BadSignature, "signatures"),
            (foreign, Kind::BadSignature, "signatures"),
            (changed, Kind::BadSignature, "signature"),
            (elsewhere, Kind::BadSignature, "payloadType"),
            (spaced, Kind::BadSignature, "payload"),
            (bare, Kind::Invalid, "payload"),
            (none, Kind::Invalid, "predicate/count"),
        ] {
            let error = VerifiedEnvelope::open(envelope, &[key.public()], KIND).unwrap_err();
            assert_eq!((error.kind, error.field.as_deref()), (kind, Some(field)), "{error}");
        }
        let another = VerifiedEnvelope::open(good, &[key.public()], StatementKind::Manifest).unwrap_err();
        assert_eq!((another.kind, another.field.as_deref()), (Kind::Invalid, Some("predicateType")));
    }
}
