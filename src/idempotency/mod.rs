//! One key, one effect (`Idempotency-Key`).
//!
//! The answer to an effect is stored under the caller's key in the transaction of the effect itself, so both
//! exist or neither. The same key with the same request gets the stored answer again; with another request it is refused.
//! Answers are kept for good: the effects are money and agreements, and a payment whose client never learnt of it is not to be
//! made twice because it was repeated late.

mod queries;
pub mod routes;

use serde::{Serialize, de::DeserializeOwned};

use crate::db::{self, Ahead, Conn};
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, Instant, UserId};
use queries::Answer;

const MAX_KEY_LENGTH: usize = 255;

/// A caller's key together with the digest of the request it stands for.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    principal: UserId,
    key: String,
    request_sha256: Digest,
}

impl IdempotencyKey {
    /// Binds the `key` header of a request to what was asked: the operation's name and its whole input.
    pub fn new<T: Serialize>(principal: UserId, key: Option<&str>, operation: &str, request: &T) -> Result<Self> {
        let key = key.ok_or_else(|| {
            Error::new(Kind::IdempotencyKeyRequired, "this request moves money or makes an agreement, and must be safe to repeat")
                .field("Idempotency-Key")
                .remedy("send an Idempotency-Key header with a value of your own, and the same value when you repeat the request")
        })?;
        if key.is_empty() || key.len() > MAX_KEY_LENGTH || !key.bytes().all(|b| b.is_ascii_graphic()) {
            let detail = format!("a key is 1 to {MAX_KEY_LENGTH} visible ASCII characters");
            return Err(Error::invalid("Idempotency-Key", detail));
        }
        // Not canonical JSON: that rounds integers beyond 2^53, and two amounts must never look the same.
        let request_sha256 = Digest::of([operation.as_bytes(), b"\n", &serde_json::to_vec(request)?].concat());
        Ok(Self { principal, key: key.to_string(), request_sha256 })
    }

    /// Runs `effect` once per key, in the caller's transaction, and gives its answer every time.
    pub fn once<T, F>(&self, c: &mut Conn, now: Instant, effect: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(&mut Conn) -> Result<T>,
    {
        let find = |c: &mut Conn| {
            db::flush_of::<Answer>(c)?;
            queries::find_answer(c, self.principal, &self.key)
        };
        if let Some(Answer { request_sha256, answer, .. }) = db::load_once(c, self.name(), find)? {
            if request_sha256 != self.request_sha256 {
                return Err(Error::new(Kind::IdempotencyKeyReused, "this key was used for another request")
                    .field("Idempotency-Key")
                    .remedy("use a new key for a new request"));
            }
            return Ok(serde_json::from_str(&answer)?);
        }
        let answer = effect(c)?;
        let kept = Answer {
            principal: self.principal,
            idempotency_key: self.key.clone(),
            request_sha256: self.request_sha256,
            answer: serde_json::to_string(&answer)?,
            created_at: now,
        };
        db::keep(self.name(), Some(kept.clone()));
        db::append(c, kept)?;
        Ok(answer)
    }

    /// That [`once`](Self::once) is about to look whether there is an answer under this key.
    pub fn ahead(&self) -> Ahead {
        Ahead::new(self.name(), |c, names| {
            let keys = names.iter().filter_map(|name| name.split_once(' '));
            let keys: Vec<_> = keys.map(|(principal, key)| Ok((principal.parse()?, key))).collect::<Result<_>>()?;
            let found = queries::list_answers(c, &keys)?;
            names.iter().for_each(|name| db::keep(name, None::<Answer>));
            found
                .into_iter()
                .for_each(|answer| db::keep(name(answer.principal, &answer.idempotency_key), Some(answer)));
            Ok(())
        })
    }

    fn name(&self) -> String {
        name(self.principal, &self.key)
    }
}

/// By what an answer is known within a transaction. A key holds no space.
fn name(principal: UserId, key: &str) -> String {
    format!("{principal} {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_for_one_operation_with_one_input_exactly() {
        let user = UserId::new(Instant::from_unix_micros(0));
        let digest = |operation: &str, amount: i64| {
            IdempotencyKey::new(user, Some("key"), operation, &amount).unwrap().request_sha256
        };
        assert_eq!(digest("deposit", 1), digest("deposit", 1));
        assert_ne!(digest("deposit", 1), digest("payment", 1));
        assert_ne!(digest("deposit", i64::MAX), digest("deposit", i64::MAX - 1));
    }
}
