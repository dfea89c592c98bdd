//! Passwords: Argon2id with the parameters that OWASP recommends, off the async threads.
//!
//! Each hash takes 19 MiB and some tens of milliseconds, so only a few run at once; callers beyond that wait
//! a little, and are then asked to come back, instead of taking the memory of the server.
//!
//! Invariant: checking a password takes the same work whether or not the account exists.

use std::time::Duration;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};
use unicode_normalization::UnicodeNormalization as _;

use crate::error::{Error, Kind, Result};

const SHORTEST: usize = 12;
const LONGEST: usize = 256;
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many hashes run at once in one process.
static TURNS: Semaphore = Semaphore::const_new(4);
const TURN_WAIT: Duration = Duration::from_secs(10);

/// No password hashes to this: it stands in for the accounts that do not exist.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGF0IGhvbWU$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes a new password of 12 to 256 characters, in PHC form; `field` is what the caller calls it.
pub(super) async fn hash(field: &str, password: String) -> Result<String> {
    let length = password.chars().count();
    if !(SHORTEST..=LONGEST).contains(&length) {
        let detail = format!("a password has {SHORTEST} to {LONGEST} characters; this one has {length}");
        return Err(Error::invalid(field, detail).remedy("several unrelated words make a good one"));
    }
    let failed = |error: argon2::password_hash::Error| Error::internal("a password cannot be hashed").because(error);
    on_a_turn(move || {
        let salt: [u8; 16] = rand::random();
        Ok(argon2id()?.hash_password_with_salt(&encoded(&password), &salt).map_err(failed)?.to_string())
    })
    .await
}

/// Tells whether `password` is the one behind `phc`; without a `phc` it works as long and says no.
pub(super) async fn matches(phc: Option<String>, password: String) -> Result<bool> {
    if password.chars().count() > LONGEST {
        return Ok(false);
    }
    on_a_turn(move || {
        let known = phc.is_some();
        let right = argon2id()?.verify_password(&encoded(&password), phc.as_deref().unwrap_or(NOBODY)).is_ok();
        Ok(known && right)
    })
    .await
}

/// The same password typed on different systems has the same bytes (NFC, RFC 8265).
fn encoded(password: &str) -> Vec<u8> {
    password.nfc().collect::<String>().into_bytes()
}

fn argon2id() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| Error::internal("the password parameters are wrong").because(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

async fn on_a_turn<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let busy = || Error::new(Kind::Unavailable, "too many people are signing in at this moment");
    let turn: SemaphorePermit<'_> = match tokio::time::timeout(TURN_WAIT, TURNS.acquire()).await {
        Ok(Ok(turn)) => turn,
        _ => return Err(busy()),
    };
    // The permit travels with the work: a caller who leaves does not make room before the work ends.
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    })
    .await
    .map_err(|error| Error::internal("password work panicked").because(error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_alone() {
        let phc = hash("password", "correct horse battery".into()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(matches(Some(phc.clone()), "correct horse battery".into()).await.unwrap());
        assert!(!matches(Some(phc.clone()), "correct horse batterz".into()).await.unwrap());
        assert!(!matches(Some(phc), "x".repeat(300)).await.unwrap());
    }

    #[tokio::test]
    async fn the_same_password_typed_on_another_system_matches() {
        let composed = hash("password", "caf\u{e9} au lait s'il".into()).await.unwrap();
        assert!(matches(Some(composed), "cafe\u{301} au lait s'il".into()).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_no_password_but_takes_the_same_work() {
        assert!(!matches(None, "correct horse battery".into()).await.unwrap());
        assert!(NOBODY.starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")));
        let parsed = argon2::password_hash::phc::PasswordHash::new(NOBODY).unwrap();
        let real = hash("password", "correct horse battery".into()).await.unwrap();
        let real = argon2::password_hash::phc::PasswordHash::new(&real).unwrap();
        assert_eq!(parsed.hash.unwrap().len(), real.hash.unwrap().len());
    }

    #[tokio::test]
    async fn the_longest_password_matches_and_a_longer_one_never_does() {
        let longest = "x".repeat(LONGEST);
        let phc = hash("password", longest.clone()).await.unwrap();
        assert!(matches(Some(phc), longest.clone()).await.unwrap());
        let longer = longest + "x";
        let phc = argon2id().unwrap().hash_password_with_salt(&encoded(&longer), &[0; 16]).unwrap().to_string();
        assert!(!matches(Some(phc), longer).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused_by_name() {
        for bad in ["", "elevenchars", &"x".repeat(257)] {
            assert_eq!(hash("password", bad.into()).await.unwrap_err().field.as_deref(), Some("password"));
        }
    }
}
