//! When the keys in a passport were valid: the key table, and the logged statements that support it.

use serde_json::Value;

use super::PassportKey;
use super::verify::{Opened, failed};
use crate::error::Result;
use crate::provenance::statement::{Statement, StatementKind};
use crate::types::{Digest, Instant};

/// Refuses a key that was not good at `at`, and says why.
pub(super) fn valid_at(key: &PassportKey, at: Instant) -> Result<(), String> {
    let name = format!("the key {} of {}", key.key_id, key.organisation);
    if at < key.registered_at {
        return Err(format!("{name} was registered only at {}, after {at}", key.registered_at));
    }
    let ended = [("revoked", key.revoked_at), ("compromised", key.compromised_at)];
    match ended.into_iter().find_map(|(how, when)| when.filter(|when| at >= *when).map(|when| (how, when))) {
        Some((how, when)) => Err(format!("{name} was {how} at {when}, before {at}")),
        None => Ok(()),
    }
}

/// The key id that a registration names as replaced; `None` for any other statement.
pub(super) fn replaced(kind: StatementKind, predicate: &Value) -> Option<Digest> {
    let named = predicate.get("replaces").filter(|_| kind == StatementKind::KeyRegistration);
    named.and_then(Value::as_str).and_then(|key_id| key_id.parse().ok())
}

/// Refuses a registration that was not signed by the very key, and by the key that it replaces if it names one.
pub(super) fn possession(kind: StatementKind, statement: &Statement, signers: &[&PassportKey]) -> Result<(), String> {
    if kind != StatementKind::KeyRegistration {
        return Ok(());
    }
    let registered = statement.subject.iter().map(|subject| subject.digest.sha256);
    let mut expected = registered.chain(replaced(kind, &statement.predicate));
    match expected.find(|key_id| !signers.iter().any(|key| key.key_id == *key_id)) {
        Some(absent) => Err(format!("the key {absent} did not sign its own registration, or the one that replaces it")),
        None => Ok(()),
    }
}

/// Compares the key table with the registrations and revocations that the passport holds. A key whose registration
/// is not there is the exchange's word, and is reported so.
pub(super) fn registrations(keys: &[PassportKey], opened: &[Opened], unchecked: &mut Vec<String>) -> Result<()> {
    for (number, key) in keys.iter().enumerate() {
        let name = format!("keys/{number} ({})", key.organisation);
        let about = |kind: StatementKind| {
            opened.iter().filter(move |document| {
                let mut subjects = document.statement.subject.iter();
                document.kind == kind && subjects.any(|subject| subject.digest.sha256 == key.key_id)
            })
        };
        let mut registrations = about(StatementKind::KeyRegistration).peekable();
        if registrations.peek().is_none() {
            unchecked.push(format!(
                "that the key {} was {}'s from {} on is the exchange's word: its registration is not in the passport",
                key.key_id, key.organisation, key.registered_at
            ));
        }
        for registration in registrations {
            if text(registration, "organisation") != Some(&key.organisation)
                || registration.recorded_at != key.registered_at
            {
                let why = format!("{} registers it for another organisation or at another time", registration.name);
                return Err(failed(&name, "key", why));
            }
        }
        for revocation in about(StatementKind::KeyRevocation) {
            let since = |member, said: Option<Instant>| match text(revocation, member).map(str::parse::<Instant>) {
                Some(Ok(logged)) => said.is_some_and(|said| said <= logged),
                Some(Err(_)) => false,
                None => true,
            };
            if !since("revoked_at", key.revoked_at) || !since("compromised_at", key.compromised_at) {
                return Err(failed(
                    &name,
                    "key",
                    format!("{} ended it earlier than the passport says", revocation.name),
                ));
            }
        }
    }
    Ok(())
}

fn text<'a>(document: &'a Opened, member: &str) -> Option<&'a str> {
    document.statement.predicate.get(member).and_then(Value::as_str)
}
