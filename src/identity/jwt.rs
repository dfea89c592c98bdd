//! Access tokens: JSON Web Tokens (RFC 7519, RFC 9068) signed with Ed25519 (RFC 8037), good for ten minutes.
//!
//! The token library brings no cryptography of its own here: the provider below knows one algorithm, strict
//! Ed25519, and refuses every other, so there is nothing to confuse it with. Times are checked here, against
//! the caller's `now`.
//!
//! Invariant: a token is believed only when every claim is there, one of the exchange's two keys signed it,
//! and its header says `at+jwt` and `EdDSA`.

use std::sync::Once;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind as JwtErrorKind};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::signing::{PublicKey, SecretKey};
use crate::types::{Instant, SessionId, UserId};

/// How long an access token is good for, in seconds.
const LIFETIME_SECONDS: u64 = 600;
/// How far the clocks of two machines may differ, in seconds.
const LEEWAY_SECONDS: u64 = 5;
/// Longer text is not a token of ours.
const MAX_LENGTH: usize = 2048;
/// The media type of access tokens (RFC 9068).
const TYPE: &str = "at+jwt";

/// What an access token says. Every claim is required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The exchange that issued it.
    pub(super) iss: String,
    /// The exchange it is for: the same.
    pub(super) aud: String,
    /// The user.
    pub(super) sub: UserId,
    /// The session; when it is revoked, the token dies with it.
    pub(super) sid: SessionId,
    /// Unique to this token.
    pub(super) jti: String,
    /// Issued at, in seconds since 1970-01-01T00:00:00Z.
    pub(super) iat: u64,
    /// Not valid before.
    pub(super) nbf: u64,
    /// Not valid from then on.
    pub(super) exp: u64,
}

impl Claims {
    /// When the token ends.
    pub(super) fn expires_at(&self) -> Instant {
        Instant::from_unix_micros(0).plus(Duration::from_secs(self.exp))
    }
}

/// Issues an access token for a session of `user_id`.
pub(super) fn issue(
    keys: &ExchangeKeys,
    issuer: &str,
    user_id: UserId,
    session_id: SessionId,
    now: Instant,
) -> Result<(String, Claims)> {
    let (seconds, _) = now.unix();
    let claims = Claims {
        iss: issuer.to_string(),
        aud: issuer.to_string(),
        sub: user_id,
        sid: session_id,
        jti: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
        iat: seconds,
        nbf: seconds,
        exp: seconds.saturating_add(LIFETIME_SECONDS),
    };
    Ok((encode(&keys.access, TYPE, &claims)?, claims))
}

fn encode(key: &SecretKey, media_type: &str, claims: &impl Serialize) -> Result<String> {
    install_provider();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(media_type.to_string());
    header.kid = Some(key.public().key_id().to_string());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_ed_der(&key.seed()))
        .map_err(|error| Error::internal("an access token cannot be signed").because(error))
}

/// Checks an access token and gives its claims; [`Kind::Unauthenticated`] says what is wrong with it.
pub(super) fn verify(keys: &ExchangeKeys, issuer: &str, token: &str, now: Instant) -> Result<Claims> {
    install_provider();
    if token.len() > MAX_LENGTH {
        return Err(refused("is longer than any that this exchange issues"));
    }
    let header = jsonwebtoken::decode_header(token)
        .map_err(|error| refused("is neither a JSON Web Token of this exchange nor an API token").because(error))?;
    if header.alg != Algorithm::EdDSA {
        return Err(refused("is not signed with EdDSA"));
    }
    if header.typ.as_deref() != Some(TYPE) || header.crit.is_some() {
        return Err(refused("is not an access token"));
    }
    let key = key_named(keys, header.kid.as_deref())?;
    let data = jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ed_der(&key.to_bytes()), &validation(issuer))
        .map_err(|error| refused(fault(&error)).because(error))?;
    check_times(&data.claims, now)?;
    Ok(data.claims)
}

fn validation(issuer: &str) -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub", "nbf"]);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[issuer]);
    // The library reads the wall clock; `check_times` is told the time.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

fn check_times(claims: &Claims, now: Instant) -> Result<()> {
    let (seconds, _) = now.unix();
    if seconds >= claims.exp.saturating_add(LEEWAY_SECONDS) {
        return Err(refused("has expired"));
    }
    if seconds.saturating_add(LEEWAY_SECONDS) < claims.nbf.max(claims.iat) {
        return Err(refused("is not valid yet"));
    }
    if claims.exp.saturating_sub(claims.iat) > LIFETIME_SECONDS {
        return Err(refused("is good for longer than any that this exchange issues"));
    }
    Ok(())
}

fn key_named(keys: &ExchangeKeys, kid: Option<&str>) -> Result<PublicKey> {
    let candidates = [keys.access.public(), keys.access_next.public()];
    let named = candidates.into_iter().find(|key| Some(key.key_id().to_string().as_str()) == kid);
    named.ok_or_else(|| refused("names a key that this exchange does not have"))
}

fn fault(error: &JwtError) -> &'static str {
    match error.kind() {
        JwtErrorKind::InvalidSignature => "was not signed by this exchange",
        JwtErrorKind::InvalidAudience | JwtErrorKind::InvalidIssuer => "was issued by or for somebody else",
        JwtErrorKind::MissingRequiredClaim(_) | JwtErrorKind::Json(_) => "lacks a claim, or has one of the wrong form",
        _ => "cannot be read",
    }
}

fn refused(why: &str) -> Error {
    Error::new(Kind::Unauthenticated, format!("the access token {why}"))
        .remedy("check the token, or sign in again: `corpex login`, or POST /v1/sessions")
}

/// A JSON Web Key Set (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One public key with which access tokens are verified (RFC 8037).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Key {
    /// `OKP`.
    kty: &'static str,
    /// `Ed25519`.
    crv: &'static str,
    /// The 32 bytes of the key, in base64url without padding.
    x: String,
    /// SHA-256 of those bytes: what a token's header names.
    kid: String,
    /// `EdDSA`.
    alg: &'static str,
    /// `sig`.
    r#use: &'static str,
}

/// The keys with which access tokens are verified: the present one, and the one that follows it.
pub(super) fn key_set(keys: &ExchangeKeys) -> KeySet {
    let key = |public: PublicKey| Key {
        kty: "OKP",
        crv: "Ed25519",
        x: URL_SAFE_NO_PAD.encode(public.to_bytes()),
        kid: public.key_id().to_string(),
        alg: "EdDSA",
        r#use: "sig",
    };
    KeySet { keys: vec![key(keys.access.public()), key(keys.access_next.public())] }
}

/// Gives the token library its only cryptography.
fn install_provider() {
    static ONCE: Once = Once::new();
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |algorithm, key| Ok(Box::new(Ed25519Signer::new(*algorithm, key)?)),
        verifier_factory: |algorithm, key| Ok(Box::new(Ed25519Verifier::new(*algorithm, key)?)),
        key_utils: KeyUtils::new_unimplemented(),
    };
    ONCE.call_once(|| {
        if PROVIDER.install_default().is_err() {
            tracing::error!("another cryptography provider was installed for access tokens");
        }
    });
}

fn only_ed25519(algorithm: Algorithm, family: AlgorithmFamily) -> Result<(), JwtError> {
    match (algorithm, family) {
        (Algorithm::EdDSA, AlgorithmFamily::Ed) => Ok(()),
        _ => Err(JwtErrorKind::InvalidAlgorithm.into()),
    }
}

struct Ed25519Signer(SecretKey);

impl Ed25519Signer {
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self, JwtError> {
        only_ed25519(algorithm, key.family())?;
        let seed = key.as_bytes().try_into().map_err(|_| JwtErrorKind::InvalidEddsaKey)?;
        Ok(Self(SecretKey::from_seed(seed)))
    }
}
impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).to_vec())
    }
}
impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(PublicKey);

impl Ed25519Verifier {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, JwtError> {
        only_ed25519(algorithm, key.family())?;
        match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => {
                Ok(Self(PublicKey::from_bytes(bytes).map_err(|_| JwtErrorKind::InvalidEddsaKey)?))
            }
            DecodingKeyKind::RsaModulusExponent { .. } => Err(JwtErrorKind::InvalidEddsaKey.into()),
        }
    }
}
impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.0.verify(message, signature).map_err(|_| SignatureError::new())
    }
}
impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
