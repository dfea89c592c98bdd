//! Signing keys: the public halves with which an organisation's statements are verified.
//!
//! A key is registered with a `key-registration` statement signed by the key itself, which proves that the
//! registrant holds the private half. Registration and revocation are both in the log. A registration that names the key
//! it replaces is signed by that key, too: a rotation is a chain that anybody can follow.
//!
//! Invariant: a key id is registered once, by one organisation, for ever; a revoked key never becomes active again.
//! Invariant: a statement is judged by the state of its key when it was logged. Revocation ends a key from then on;
//! `compromised_at` also voids what was logged at that time or later, and nothing that was logged before. What lies further back
//! than a month no organisation voids by itself: others bought it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Caller, Organisation, Role, organisations, queries};
use crate::db::{self, Ahead, Conn};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::keys::ExchangeKeys;
use crate::provenance::passport::PassportKey;
use crate::provenance::{self, ResourceDescriptor, StatementKind, VerifiedEnvelope};
use crate::signing::{Envelope, PublicKey};
use crate::types::{DAY, Digest, Instant, OrganisationId, PageQuery, SigningKeyId, StatementId, kind};

/// The name of a key in the subjects of the statements about it.
const SUBJECT: &str = "key";
/// How far back an organisation itself dates a compromise.
const HINDSIGHT: Duration = DAY.saturating_mul(30);
const ACTIVE: &str = "active";
const REVOKED: &str = "revoked";

/// A public key registered by an organisation.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::signing_keys, check_for_backend(crate::db::MultiBackend))]
pub struct SigningKey {
    /// The identifier of the registration.
    pub id: SigningKeyId,
    /// Whose key it is.
    pub organisation_id: OrganisationId,
    /// SHA-256 of the raw public key: the `keyid` of its signatures.
    pub key_id: Digest,
    /// The key.
    pub public_key: PublicKey,
    /// Since when its signatures are accepted.
    pub registered_at: Instant,
    /// Since when they are not.
    pub revoked_at: Option<Instant>,
    /// Since when others may have held the private half.
    pub compromised_at: Option<Instant>,
}

/// The predicate of a `key-registration` statement (schemas/key-registration.v1.json).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    organisation: String,
    public_key: PublicKey,
    replaces: Option<Digest>,
}

/// Registers a key with the statement that it signed itself; admins and signers of verified organisations only: in the log an
/// organisation goes by its handle, which may be anybody's until then.
///
/// [`Kind::BadSignature`] when the statement does not prove possession of the key it names, or the key that it
/// replaces is not an active one of the organisation that signed, too; [`Kind::AlreadyExists`] when anyone registered that
/// key before.
pub fn register_key(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    handle: &str,
    envelope: &Envelope,
    now: Instant,
) -> Result<SigningKey> {
    let organisation = organisations::for_standing_member(c, caller, handle, Role::SIGNERS, now)?;
    organisations::require_verified(&organisation)?;
    let registration = proven_registration(envelope, handle)?;
    let public_key = registration.public_key;
    let key_id = public_key.key_id();
    if let Some(standing) = signing_key(c, key_id)? {
        let remedy = match standing.organisation_id == organisation.id && standing.revoked_at.is_none() {
            true => "nothing is to be done: this organisation signs with it",
            false => "make a new key: each is registered once, by one organisation",
        };
        return Err(Error::new(Kind::AlreadyExists, format!("key {key_id} is registered"))
            .field("envelope")
            .remedy(remedy));
    }
    let mut signers = vec![public_key];
    if let Some(replaced) = registration.replaces {
        signers.push(signing_key_for(c, organisation.id, replaced)?.public_key);
    }
    let id = SigningKeyId::new(now);
    let (verified, _) = VerifiedEnvelope::open(envelope.clone(), &signers, StatementKind::KeyRegistration)?;
    provenance::admit(c, keys, id, &verified, now)?;
    let key = SigningKey {
        id,
        organisation_id: organisation.id,
        key_id,
        public_key,
        registered_at: now,
        revoked_at: None,
        compromised_at: None,
    };
    queries::insert_key(c, &key)?;
    history::record(c, id, None, ACTIVE, caller.user_id, "registered with proof of possession", now)?;
    Ok(key)
}

/// The registration that a key signed itself for the organisation `handle`. The signature of the key that it replaces is
/// yet to be checked.
fn proven_registration(envelope: &Envelope, handle: &str) -> Result<Registration> {
    let refused = |field: &str, why: String| Error::new(Kind::BadSignature, why).field(field);
    // The key stands in the very document that it signs: it is read first, and believed once the signature holds.
    let claimed: PublicKey = serde_json::from_slice::<serde_json::Value>(&envelope.payload.0)
        .ok()
        .and_then(|payload| payload.pointer("/predicate/public_key").and_then(|key| key.as_str().map(str::to_string)))
        .ok_or_else(|| {
            refused("payload", "the signed statement names no public key".into())
                .remedy("sign a key-registration statement with predicate {organisation, public_key}")
        })?
        .parse()
        .map_err(|error: Error| error.field("predicate/public_key"))?;
    let statement = provenance::parse(envelope, claimed, StatementKind::KeyRegistration)?;
    let registration: Registration = serde_json::from_value(statement.predicate)?;
    if registration.organisation != handle {
        let why = format!("the statement registers the key for {:?}, not for {handle:?}", registration.organisation);
        return Err(refused("predicate/organisation", why));
    }
    if statement.subject != [ResourceDescriptor::new(SUBJECT, claimed.key_id())] {
        let why = format!("the statement's only subject must be {SUBJECT:?} with the key's id {}", claimed.key_id());
        return Err(refused("subject", why));
    }
    let expected = if registration.replaces.is_some() { 2 } else { 1 };
    if envelope.signatures.len() != expected {
        let why = "a key is registered with its own signature, and that of the key it replaces if it names one";
        return Err(refused("signatures", why.into()));
    }
    Ok(registration)
}

/// Revokes a key of the caller's organisation; admins and signers only. The exchange states it in the log.
///
/// A key that was revoked already can still be declared compromised, or compromised since an earlier time;
/// otherwise [`Kind::WrongState`]. Compliance staff may declare any organisation's key compromised, and they alone since more
/// than 30 days: that voids what others bought in good faith.
pub fn revoke_key(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    handle: &str,
    id: SigningKeyId,
    compromised_at: Option<Instant>,
    now: Instant,
) -> Result<SigningKey> {
    let organisation = match compromised_at.is_some() && caller.is_compliance() {
        true => organisations::visible_organisation(c, Some(caller), handle)?,
        false => organisations::for_standing_member(c, caller, handle, Role::SIGNERS, now)?,
    };
    let key = queries::find_key(c, id)?
        .filter(|key| key.organisation_id == organisation.id)
        .ok_or_else(|| Error::not_found(format!("key {id} of {handle}")))?;
    if let Some(at) = compromised_at {
        may_be_since(caller, &key, at, now)?;
    }
    let swapped = match (key.revoked_at, compromised_at) {
        (None, _) => queries::set_key_revoked(c, id, now, compromised_at)?,
        (Some(_), Some(at)) => queries::set_key_compromised(c, id, at)?,
        (Some(_), None) => 0,
    };
    if swapped != 1 {
        return Err(Error::new(Kind::WrongState, format!("key {} is revoked already", key.key_id))
            .remedy("only an earlier compromised_at can still be declared"));
    }
    let revoked = SigningKey {
        revoked_at: key.revoked_at.or(Some(now)),
        compromised_at: compromised_at.or(key.compromised_at),
        ..key
    };
    declare_revocation(c, keys, &organisation, &revoked, now)?;
    let from = if key.revoked_at.is_some() { REVOKED } else { ACTIVE };
    let reason = if compromised_at.is_some() { "revoked as compromised" } else { "revoked" };
    history::record(c, id, Some(from), REVOKED, caller.user_id, reason, now)?;
    Ok(revoked)
}

/// Refuses a time since which a key cannot have been compromised, or since which the caller may not declare it.
fn may_be_since(caller: &Caller, key: &SigningKey, at: Instant, now: Instant) -> Result<()> {
    let invalid = |why: String| Error::invalid("compromised_at", why);
    if at > now {
        return Err(invalid("this lies in the future".into()).remedy("leave it out if the key is safe"));
    }
    if at < key.registered_at {
        return Err(invalid(format!("the key was registered only at {}", key.registered_at))
            .remedy("give that time: nothing was signed with it before"));
    }
    match at < now.minus(HINDSIGHT) && !caller.is_compliance() {
        true => {
            Err(Error::forbidden("this lies more than 30 days back: it would void what others bought in good faith")
                .field("compromised_at")
                .remedy("revoke the key now, and ask compliance staff to declare since when it was compromised"))
        }
        false => Ok(()),
    }
}

fn declare_revocation(
    c: &mut Conn,
    keys: &ExchangeKeys,
    organisation: &Organisation,
    key: &SigningKey,
    now: Instant,
) -> Result<()> {
    let mut predicate = json!({
        "organisation": organisation.handle,
        "key_id": key.key_id,
        "revoked_at": key.revoked_at.unwrap_or(now),
    });
    if let (Some(at), Some(members)) = (key.compromised_at, predicate.as_object_mut()) {
        members.insert("compromised_at".to_string(), json!(at));
    }
    let subjects = vec![ResourceDescriptor::new(SUBJECT, key.key_id)];
    provenance::declare(c, keys, StatementKind::KeyRevocation, key.id, subjects, &predicate, now)?;
    Ok(())
}

/// The keys of an organisation, revoked ones included, oldest first: up to one more than a page.
///
/// Verifiers need them, so whoever may know of the organisation may read them, without credential too.
pub fn signing_keys(
    c: &mut Conn,
    caller: Option<&Caller>,
    handle: &str,
    page: &PageQuery,
) -> Result<(Organisation, Vec<SigningKey>)> {
    let organisation = organisations::visible_organisation(c, caller, handle)?;
    let keys =
        queries::list_keys(c, organisation.id, page.after_id::<kind::SigningKey>()?, page.limit()?.saturating_add(1))?;
    Ok((organisation, keys))
}

/// The active key with this key id of the organisation; [`Kind::BadSignature`] says why there is none.
pub fn signing_key_for(c: &mut Conn, organisation_id: OrganisationId, key_id: Digest) -> Result<SigningKey> {
    let refused = |why: String| Error::new(Kind::BadSignature, why).field("signatures");
    match signing_key(c, key_id)? {
        Some(key) if key.organisation_id == organisation_id => match key.revoked_at {
            None => Ok(key),
            Some(at) => Err(refused(format!("key {key_id} was revoked at {at}")).remedy("sign with an active key")),
        },
        _ => {
            let handle = organisations::organisation(c, organisation_id)?.handle;
            Err(refused(format!("key {key_id} is not registered by {handle}"))
                .remedy(format!("register it at POST /v1/organisations/{handle}/keys")))
        }
    }
}

/// Refuses when any of these statements of an organisation is void: others may have held its key when it was logged.
pub fn require_sound(c: &mut Conn, organisation_id: OrganisationId, statements: &[StatementId]) -> Result<()> {
    // Statements may be large: they are read only where that can matter.
    if db::load_once(c, organisation_id, |c| queries::find_compromised_key(c, organisation_id))?.is_none() {
        return Ok(());
    }
    for id in statements {
        let statement = provenance::statement(c, *id)?;
        let is_void = |key: &SigningKey| {
            key.organisation_id == organisation_id && key.compromised_at.is_some_and(|at| at <= statement.recorded_at)
        };
        for signature in &statement.envelope.signatures {
            if let Some(key) = signing_key(c, signature.keyid)?.filter(is_void) {
                let what = format!("the {} statement logged at {} is void", statement.kind, statement.recorded_at);
                return Err(Error::new(
                    Kind::WrongState,
                    format!("{what}: others may have held the key {} by then", key.key_id),
                )
                .remedy("ask the provider to sign it again, with a key of its own"));
            }
        }
    }
    Ok(())
}

/// The organisation that registered a key.
///
/// # Errors
/// `NotFound`.
pub fn holder_of_key(c: &mut Conn, id: SigningKeyId) -> Result<OrganisationId> {
    Ok(queries::find_key(c, id)?.ok_or_else(|| Error::not_found(format!("key {id}")))?.organisation_id)
}

/// The key with this key id, whatever its state and whoever registered it.
pub fn signing_key(c: &mut Conn, key_id: Digest) -> Result<Option<SigningKey>> {
    Ok(db::load_once(c, key_id, |c| queries::find_key_by_key_id(c, key_id))?)
}

/// Announces that a shared read or a gathered write is going to call [`signing_key`] with this key id.
pub fn ahead_of_signing_key(key_id: Digest) -> Ahead {
    Ahead::new(key_id, |c, key_ids| Ok(db::load_ahead(c, key_ids.iter().cloned(), queries::list_keys_by_key_id)?))
}

/// A key as a passport, and whoever checks statements, has it.
pub fn passport_key(c: &mut Conn, key: &SigningKey) -> Result<PassportKey> {
    Ok(PassportKey {
        organisation: organisations::organisation(c, key.organisation_id)?.handle,
        key_id: key.key_id,
        public_key: key.public_key,
        registered_at: key.registered_at,
        revoked_at: key.revoked_at,
        compromised_at: key.compromised_at,
    })
}

#[cfg(test)]
#[path = "signing_keys_tests.rs"]
mod tests;
