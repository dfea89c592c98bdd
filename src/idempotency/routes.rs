//! The `Idempotency-Key` header.

use actix_web::HttpRequest;
use serde::Serialize;

use super::IdempotencyKey;
use crate::error::{Error, Result};
use crate::types::UserId;

impl IdempotencyKey {
    /// Reads the header and binds it to the operation and its whole input.
    pub fn from_request<T: Serialize>(request: &HttpRequest, principal: UserId, operation: &str, input: &T) -> Result<Self> {
        let mut given = request.headers().get_all("Idempotency-Key");
        let key = match given.next() {
            Some(value) => Some(value.to_str().map_err(|_| Error::invalid("Idempotency-Key", "a key is visible ASCII characters"))?),
            None => None,
        };
        if given.next().is_some() {
            return Err(Error::invalid("Idempotency-Key", "the header was sent twice; send one key"));
        }
        Self::new(principal, key, operation, input)
    }
}
