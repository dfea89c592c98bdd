//! Reads the `Idempotency-Key` header.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};

use crate::error::{Error, Result};

/// The `Idempotency-Key` header of a request, if it carries one. Whether it must is for
/// [`IdempotencyKey::new`](super::IdempotencyKey::new) to say.
#[derive(Debug, Clone)]
pub struct KeyHeader(Option<String>);

impl KeyHeader {
    /// The header's value.
    pub fn value(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequest for KeyHeader {
    type Error = Error;
    type Future = Ready<Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let values: Vec<_> = request.headers().get_all("Idempotency-Key").map(|value| value.to_str()).collect();
        ready(match values.as_slice() {
            [] => Ok(Self(None)),
            [Ok(key)] => Ok(Self(Some((*key).to_string()))),
            [Err(_)] => Err(Error::invalid("Idempotency-Key", "a key is visible ASCII characters only")),
            _ => Err(Error::invalid("Idempotency-Key", "send one key, not several")),
        })
    }
}
