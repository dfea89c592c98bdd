//! The lot of a sample: a number that no provider can foresee, and that anybody can check.
//!
//! A *lot* is the exchange's signature under the digest of the signed manifest. Whoever signed the manifest could not know it.
//! Ed25519 as RFC 8032 has it gives one signature for one document and key; an exchange that signs otherwise could make several and
//! choose one, and nobody would see it. The SHA-256 of the signature is the seed of the draw.

use serde_json::{Value, json};

use crate::error::{Error, Kind, Result};
use crate::signing::{Envelope, PublicKey};
use crate::types::Digest;

/// The payload type of a lot.
pub const LOT_TYPE: &str = "application/vnd.corpex.lot+json";

/// What the exchange signs to draw a lot over a manifest.
pub fn lot(manifest_sha256: Digest) -> Value {
    json!({ "manifest_sha256": manifest_sha256 })
}

/// The seed that a lot gives.
///
/// # Errors
/// `BadSignature` unless it is the exchange's lot over this manifest.
pub fn seed(lot: &Envelope, manifest_sha256: Digest, exchange: PublicKey) -> Result<Digest> {
    if lot.verify(exchange, LOT_TYPE)? != self::lot(manifest_sha256) {
        return Err(Error::new(Kind::BadSignature, "the lot was drawn over another manifest").field("lot"));
    }
    Ok(Digest::of(&lot.signature_by(exchange.key_id())?.sig.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::{SecretKey, canonical_json};

    #[test]
    fn a_lot_is_the_exchanges_and_over_one_manifest() {
        let (exchange, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let manifest = Digest::of("manifest");
        let drawn = exchange.sign_envelope(LOT_TYPE, canonical_json(&lot(manifest)).unwrap());
        let seeded = seed(&drawn, manifest, exchange.public()).unwrap();
        assert_eq!(seeded, Digest::of(&drawn.signatures[0].sig.0));
        assert_eq!(seed(&drawn, Digest::of("another"), exchange.public()).unwrap_err().field.as_deref(), Some("lot"));
        assert_eq!(seed(&drawn, manifest, other.public()).unwrap_err().kind, Kind::BadSignature);
    }
}
