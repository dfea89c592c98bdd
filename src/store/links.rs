//! Signed URLs: the local store's counterpart to S3's presigned requests.
//!
//! The signature is HMAC-SHA-256 over the method, the path and every parameter, decoded and sorted, so that
//! re-encoding on the way does no harm and no parameter can be added, dropped or changed. The host is not
//! covered: a proxy may change it.
//!
//! Invariant: signatures are compared in constant time, and before anything else in the URL is believed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use url::Url;

use crate::error::{Error, Result};
use crate::types::Instant;

/// A URL's parameters by name.
pub(super) type Parameters = BTreeMap<String, String>;

const EXPIRES: &str = "expires";
const SIGNATURE: &str = "signature";

/// Signs URLs and checks them.
#[derive(Clone)]
pub(super) struct Links {
    key: [u8; 32],
    base: Url,
}

impl Links {
    /// Signs with `key` URLs that start with `base`.
    pub(super) fn new(key: [u8; 32], base: Url) -> Self {
        Self { key, base }
    }

    /// A URL for `method` on `path` (plain ASCII, starting with a slash) with `parameters`, good until `now + ttl`.
    pub(super) fn sign(
        &self,
        method: &str,
        path: &str,
        parameters: Parameters,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        let mut parameters = parameters;
        parameters.insert(EXPIRES.to_string(), now.plus(ttl).unix().0.to_string());
        let signature = hex::encode(self.mac(method, path, &parameters)?.finalize().into_bytes());
        parameters.insert(SIGNATURE.to_string(), signature);
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        url.query_pairs_mut().clear().extend_pairs(&parameters);
        Ok(url)
    }

    /// The parameters of a URL that this exchange signed for `method` on `path` and that has not expired.
    pub(super) fn check(&self, method: &str, path: &str, query: &str, now: Instant) -> Result<Parameters> {
        let mut parameters = Parameters::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(refused("this link names a parameter twice"));
            }
        }
        let signature = parameters.remove(SIGNATURE).and_then(|text| hex::decode(text).ok()).unwrap_or_default();
        if self.mac(method, path, &parameters)?.verify_slice(&signature).is_err() {
            return Err(refused("this link was not signed by the exchange, or was changed since"));
        }
        let expires = parameters.remove(EXPIRES).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        if now.unix().0 > expires {
            return Err(refused("this link has expired"));
        }
        Ok(parameters)
    }

    fn mac(&self, method: &str, path: &str, parameters: &Parameters) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).map_err(|error| Error::internal(error.to_string()))?;
        mac.update(b"corpex link v1\n");
        mac.update(&serde_json::to_vec(&(method, path, parameters))?);
        Ok(mac)
    }
}

fn refused(why: &str) -> Error {
    Error::forbidden(why).remedy("ask the exchange for a new link")
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({})", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn links() -> Links {
        Links::new([1; 32], "https://exchange.example/base/".parse().unwrap())
    }
    fn signed() -> Url {
        let parameters = [("name".to_string(), "训练 ~1&2.jsonl".to_string())].into();
        let now = Instant::from_unix_micros(NOW);
        links().sign("GET", "/objects/ab", parameters, Duration::from_secs(60), now).unwrap()
    }
    fn check(method: &str, path: &str, query: &str, seconds_later: i64) -> Result<Parameters> {
        links().check(method, path, query, Instant::from_unix_micros(NOW + seconds_later * 1_000_000))
    }

    #[test]
    fn a_link_keeps_the_path_of_the_public_address_and_checks_until_it_expires() {
        let url = signed();
        assert_eq!(url.path(), "/base/objects/ab");
        let parameters = check("GET", "/objects/ab", url.query().unwrap(), 60).unwrap();
        assert_eq!(parameters, [("name".to_string(), "训练 ~1&2.jsonl".to_string())].into());
        let error = check("GET", "/objects/ab", url.query().unwrap(), 61).unwrap_err();
        assert_eq!((error.detail.as_str(), error.remedy.is_some()), ("this link has expired", true));
    }

    #[test]
    fn a_link_that_was_encoded_otherwise_on_the_way_is_the_same_link() {
        let query = signed().query().unwrap().replace('+', "%20").replace("%7E", "~");
        assert_ne!(query, signed().query().unwrap());
        check("GET", "/objects/ab", &query, 0).unwrap();
    }

    #[test]
    fn a_link_is_good_for_nothing_else() {
        let query = signed().query().unwrap().to_string();
        let expires = format!("expires={}", NOW / 1_000_000 + 60);
        for (method, path, query) in [
            ("PUT", "/objects/ab", query.clone()),
            ("GET", "/objects/cd", query.clone()),
            ("GET", "/objects/ab", query.replace("jsonl", "html")),
            ("GET", "/objects/ab", query.replace(&expires, "expires=9999999999")),
            ("GET", "/objects/ab", query.replace(&expires, "")),
            ("GET", "/objects/ab", format!("{query}&size=1")),
            ("GET", "/objects/ab", format!("{query}&name=x")),
            ("GET", "/objects/ab", query.split("&signature").next().unwrap().to_string()),
            ("GET", "/objects/ab", query[..query.len() - 1].to_string()),
            ("GET", "/objects/ab", String::new()),
        ] {
            let error = check(method, path, &query, 0).unwrap_err();
            assert!(error.remedy.is_some(), "{method} {path}?{query}");
        }
        let other = Links::new([2; 32], links().base);
        assert!(other.check("GET", "/objects/ab", &query, Instant::from_unix_micros(NOW)).is_err());
    }
}
