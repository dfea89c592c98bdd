//! The secrets that sign webhooks, as Standard Webhooks have it.
//!
//! A secret is derived from the exchange's webhook key, the webhook and its generation. It is shown once and kept nowhere:
//! a copy of the database signs nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::keys::ExchangeKeys;
use crate::types::WebhookId;

/// The secret of one generation of a webhook.
pub(super) struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The secret of this generation, from 1 on.
    pub(super) fn derive(keys: &ExchangeKeys, id: WebhookId, generation: i32) -> Result<Self> {
        let derived = mac(&keys.webhook.seed(), format!("corpex webhook secret v1\n{id}\n{generation}").as_bytes())?;
        Ok(Self(derived))
    }

    /// As its owner keeps it: `whsec_` and base64.
    pub(super) fn reveal(&self) -> String {
        format!("whsec_{}", BASE64.encode(self.0))
    }

    /// One signature of the `webhook-signature` header.
    pub(super) fn sign(&self, message_id: &str, timestamp: u64, body: &str) -> Result<String> {
        let signed = mac(&self.0, format!("{message_id}.{timestamp}.{body}").as_bytes())?;
        Ok(format!("v1,{}", BASE64.encode(signed)))
    }
}

fn mac(key: &[u8], text: &[u8]) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| Error::internal(error.to_string()))?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Instant;

    /// The example of the Standard Webhooks specification's libraries.
    #[test]
    fn a_signature_is_the_one_that_the_libraries_of_standard_webhooks_make() {
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = mac(&key, b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}").unwrap();
        assert_eq!(BASE64.encode(signed), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_webhook_and_each_generation_has_a_secret_of_its_own() {
        let (keys, now) = (ExchangeKeys::generate(), Instant::from_unix_micros(0));
        let (one, other) = (WebhookId::new(now), WebhookId::new(now));
        let secret = |id, generation| Secret::derive(&keys, id, generation).unwrap().reveal();
        assert_eq!(secret(one, 1), secret(one, 1));
        assert!(secret(one, 1) != secret(one, 2) && secret(one, 1) != secret(other, 1));
        assert!(secret(one, 1).starts_with("whsec_"));
        assert_eq!(format!("{:?}", Secret::derive(&keys, one, 1).unwrap()), "Secret(…)");
    }
}
