//! Keys: checks that the database says the same of organisations' signing keys as the statements in the log.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::{passport_key, queries};
use crate::db::Conn;
use crate::error::Result;
use crate::provenance::passport::PassportKey;
use crate::provenance::{self, StatementKind, StoredStatement};
use crate::signing::PublicKey;
use crate::types::{Digest, Instant};

/// How many keys are read at a time.
const PAGE: i64 = 1000;

#[derive(Deserialize)]
struct Registration {
    organisation: String,
    public_key: PublicKey,
}

#[derive(Deserialize)]
struct Revocation {
    key_id: Digest,
    revoked_at: Instant,
    compromised_at: Option<Instant>,
}

/// Everything in which the signing keys differ from what the log's statements say of them. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn audit_keys(c: &mut Conn) -> Result<Vec<String>> {
    let (mut found, mut after) = (Vec::new(), String::new());
    let mut said = said(c, &mut found)?;
    loop {
        let page = queries::list_all_keys(c, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        for key in page {
            let known = passport_key(c, &key)?;
            if said.remove(&key.key_id).as_ref() != Some(&known) {
                let whose = known.organisation;
                found.push(format!("the signing key {} of {whose} is not what the log says of it", key.key_id));
            }
        }
    }
    found.extend(said.iter().map(|(key_id, key)| format!("the signing key {key_id} of {} is lost", key.organisation)));
    Ok(found)
}

/// The keys as the log's statements leave them.
fn said(c: &mut Conn, found: &mut Vec<String>) -> Result<BTreeMap<Digest, PassportKey>> {
    let mut said = BTreeMap::new();
    provenance::each_of_kind(c, StatementKind::KeyRegistration, |_, stored| {
        let Some(Registration { organisation, public_key }) = predicate(&stored) else {
            found.push(format!("statement {} does not say which key it registers", stored.id));
            return Ok(());
        };
        let (key_id, registered_at) = (public_key.key_id(), stored.recorded_at);
        let (revoked_at, compromised_at) = (None, None);
        let known = PassportKey { organisation, key_id, public_key, registered_at, revoked_at, compromised_at };
        said.insert(key_id, known);
        Ok(())
    })?;
    provenance::each_of_kind(c, StatementKind::KeyRevocation, |_, stored| {
        if let Some(Revocation { key_id, revoked_at, compromised_at }) = predicate(&stored)
            && let Some(known) = said.get_mut(&key_id)
        {
            known.revoked_at = Some(revoked_at);
            // It is only ever moved back.
            known.compromised_at = known.compromised_at.into_iter().chain(compromised_at).min();
        } else {
            found.push(format!("statement {} revokes a key that is not known", stored.id));
        }
        Ok(())
    })?;
    Ok(said)
}

fn predicate<T: DeserializeOwned>(stored: &StoredStatement) -> Option<T> {
    let mut statement: Value = serde_json::from_slice(&stored.envelope.payload.0).ok()?;
    serde_json::from_value(statement.get_mut("predicate")?.take()).ok()
}
