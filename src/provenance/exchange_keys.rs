//! The exchange's own signing keys over time: when each was valid, and how one takes over from another.
//!
//! A rotation has two steps. [`activate`] puts a new key beside the present one: from then on both sign whatever the
//! exchange signs, so that verifiers that know either accept it. [`retire`] ends the overlap: the old key signs no more.
//! Each step is an `exchange-key` statement in the log, signed by both keys: whoever trusts one of them follows the chain to
//! the others, backwards and forwards ([`super::passport`] carries it).
//!
//! Instances read their keys when they start, so each is restarted after each step. One that still holds only the old key
//! is right until that is retired, and then refuses to sign; one that holds both follows by itself.
//!
//! Invariant: nothing is signed with a key after its retirement is on record; the record is read in the transaction that signs.
//! Invariant: a log entry names one signature of the exchange's: that of the oldest key that is not retired.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::note::{Checkpoint, VerifierKey};
use super::{NewEntry, ResourceDescriptor, Statement, StatementKind, parse, queries};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::keys::{ExchangeKeys, KeyRole};
use crate::signing::{Envelope, PublicKey, SecretKey};
use crate::text_enum;
use crate::types::{Digest, Instant};

/// The subject under which the statements about the exchange's keys are kept.
pub const SUBJECT: &str = "exchange-keys";
/// More keys than any exchange will ever have had.
const MAX_KEYS: i64 = 1000;
/// The name of the key that takes over, in the subjects of the statements.
const KEY: &str = "key";
/// The name of the key that it takes over from.
const REPLACES: &str = "replaces";

text_enum! {
    /// What an `exchange-key` statement says of its two keys.
    pub enum KeyEvent {
        /// The new key signs beside the old one from now on.
        Activated = "activated",
        /// The old key signs no more.
        Retired = "retired",
    }
}

text_enum! {
    /// The state of a key of the exchange.
    pub enum KeyState {
        /// It signs.
        Current = "current",
        /// It signs beside the current one, and will take its place.
        Next = "next",
        /// It signs no more; what it signed before stays proven.
        Retired = "retired",
    }
}

/// A signing key of the exchange, and when it was good.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::exchange_keys, check_for_backend(crate::db::MultiBackend))]
pub struct ExchangeKey {
    /// SHA-256 of the raw public key.
    pub key_id: Digest,
    /// What it signs.
    pub role: KeyRole,
    /// The key.
    pub public_key: PublicKey,
    /// The key id of the one it takes over from; `None` for the first key of its role.
    pub replaces: Option<Digest>,
    /// Since when it signs; `None` when that is since the log began.
    pub activated_at: Option<Instant>,
    /// Since when it does not.
    pub retired_at: Option<Instant>,
}

impl ExchangeKey {
    fn new(role: KeyRole, public_key: PublicKey, since: Option<(Digest, Instant)>) -> Self {
        Self {
            key_id: public_key.key_id(),
            role,
            public_key,
            replaces: since.map(|(replaces, _)| replaces),
            activated_at: since.map(|(_, at)| at),
            retired_at: None,
        }
    }

    /// Where the key stands among all of its role.
    pub fn state(&self, all: &[Self]) -> KeyState {
        let old = all.iter().find(|other| Some(other.key_id) == self.replaces);
        match (self.retired_at, old) {
            (Some(_), _) => KeyState::Retired,
            (None, Some(old)) if old.retired_at.is_none() => KeyState::Next,
            _ => KeyState::Current,
        }
    }
}

/// The predicate of an `exchange-key` statement (schemas/exchange-key.v1.json).
#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Succession {
    pub(super) role: KeyRole,
    pub(super) event: KeyEvent,
    pub(super) public_key: PublicKey,
    pub(super) replaces: PublicKey,
}

impl Succession {
    /// What an envelope says, whoever signed it.
    pub(super) fn read(envelope: &Envelope) -> serde_json::Result<Self> {
        let payload: Value = serde_json::from_slice(&envelope.payload.0)?;
        serde_json::from_value(payload.get("predicate").cloned().unwrap_or_default())
    }

    /// The subjects of a statement that says this.
    pub(super) fn subjects(&self) -> Vec<ResourceDescriptor> {
        vec![
            ResourceDescriptor::new(KEY, self.public_key.key_id()),
            ResourceDescriptor::new(REPLACES, self.replaces.key_id()),
        ]
    }
}

/// Every key of the exchange, in the order in which they came into use.
pub fn exchange_keys(c: &mut Conn) -> Result<Vec<ExchangeKey>> {
    let mut keys = db::load_once(c, "exchange", |c| queries::list_exchange_keys(c, MAX_KEYS))?;
    keys.sort_by_key(|key| (key.role, key.activated_at));
    Ok(keys)
}

fn of_role(c: &mut Conn, role: KeyRole) -> Result<Vec<ExchangeKey>> {
    Ok(exchange_keys(c)?.into_iter().filter(|key| key.role == role).collect())
}

/// Whether the exchange stands: its first keys are on record.
pub fn are_on_record(c: &mut Conn) -> Result<bool> {
    Ok(!exchange_keys(c)?.is_empty())
}

/// Puts the first keys of an exchange on record; refuses other keys, as [`require_own`] does.
pub fn enrol(c: &mut Conn, keys: &ExchangeKeys) -> Result<()> {
    for role in KeyRole::ALL {
        if of_role(c, *role)?.is_empty() {
            queries::insert_exchange_key(c, &ExchangeKey::new(*role, keys.of(*role).0.public(), None))?;
        }
    }
    require_own(c, keys)
}

/// Refuses keys that are not those of the exchange on record: an instance that was given another keys directory must not
/// start.
pub fn require_own(c: &mut Conn, keys: &ExchangeKeys) -> Result<()> {
    KeyRole::ALL.iter().try_for_each(|role| signers(c, keys, *role).map(drop))
}

/// The keys of a role that sign now, oldest first: one, or two during an overlap.
///
/// Fails as unavailable in an instance that holds retired keys only, or none that is on record.
pub fn signers<'k>(c: &mut Conn, keys: &'k ExchangeKeys, role: KeyRole) -> Result<Vec<&'k SecretKey>> {
    let known = of_role(c, role)?;
    let (current, next) = keys.of(role);
    if known.is_empty() {
        return Ok(vec![current]);
    }
    let on_record = |key: &SecretKey| known.iter().find(|known| known.public_key == key.public());
    let active = |key: &&SecretKey| on_record(key).is_some_and(|known| known.retired_at.is_none());
    let signers: Vec<&SecretKey> = [Some(current), next].into_iter().flatten().filter(active).collect();
    if !signers.is_empty() {
        return Ok(signers);
    }
    let id = current.public().key_id();
    Err(match on_record(current).and_then(|known| known.retired_at) {
        Some(at) => Error::new(Kind::Unavailable, format!("this instance holds the {role} key {id}, retired at {at}"))
            .remedy("restart it, so that it reads the keys directory again"),
        None => {
            Error::new(Kind::Unavailable, format!("the {role} key {id} in the keys directory is not the exchange's"))
                .remedy("give the exchange's own keys directory, or restore it from its backup")
        }
    })
}

/// The keys as they sign now: a waiting key stands in the place of the one that is retired.
pub fn active(c: &mut Conn, keys: &ExchangeKeys) -> Result<ExchangeKeys> {
    let mut active = keys.clone();
    for role in KeyRole::ALL {
        let mut signers = signers(c, keys, *role)?.into_iter().cloned();
        let (current, next) = match role {
            KeyRole::Statement => (&mut active.statement, &mut active.statement_next),
            KeyRole::Log => (&mut active.log, &mut active.log_next),
        };
        *current = signers.next().ok_or_else(|| Error::internal("a role has a key"))?;
        *next = signers.next();
    }
    Ok(active)
}

/// Signs a checkpoint with each key of the log that signs now.
pub(super) fn sign_checkpoint(
    c: &mut Conn,
    keys: &ExchangeKeys,
    origin: &str,
    tree_size: u64,
    root: Digest,
) -> Result<Checkpoint> {
    let signers = signers(c, keys, KeyRole::Log)?;
    let (first, others) = signers.split_first().ok_or_else(|| Error::internal("the log has a key"))?;
    let signed = Checkpoint::sign(origin, tree_size, root, first)?;
    others.iter().try_fold(signed, |checkpoint, key| checkpoint.cosign(key))
}

/// The verifier keys that the log has or had, oldest first.
pub(super) fn log_vkeys(c: &mut Conn, keys: &ExchangeKeys, origin: &str) -> Result<Vec<VerifierKey>> {
    let known = of_role(c, KeyRole::Log)?;
    let first = known.is_empty().then(|| keys.log.public());
    known.iter().map(|known| known.public_key).chain(first).map(|key| VerifierKey::new(origin, key)).collect()
}

/// Opens a checkpoint that any key of the log signed, retired ones included.
pub(super) fn open_checkpoint(c: &mut Conn, keys: &ExchangeKeys, origin: &str, note: &str) -> Result<Checkpoint> {
    let mut newest_first = log_vkeys(c, keys, origin)?.into_iter().rev().map(|vkey| Checkpoint::open(note, &vkey));
    newest_first
        .find(Result::is_ok)
        .unwrap_or_else(|| Checkpoint::open(note, &VerifierKey::new(origin, keys.log.public())?))
}

/// Puts a new key beside the present one of its role; true unless it stands there already. `next` must be kept safe first.
///
/// [`Kind::WrongState`] while another rotation of the role is under way.
pub fn activate(c: &mut Conn, keys: &ExchangeKeys, role: KeyRole, next: &SecretKey, now: Instant) -> Result<bool> {
    let known = of_role(c, role)?;
    let standing: Vec<_> = known.iter().filter(|key| key.retired_at.is_none()).map(|key| key.public_key).collect();
    if standing.contains(&next.public()) {
        return Ok(false);
    }
    let current = keys.of(role).0;
    if standing != [current.public()] {
        return Err(Error::new(Kind::WrongState, format!("the {role} key is not alone: a rotation is under way"))
            .remedy(format!("finish it with `corpex key exchange retire {role}`")));
    }
    record(c, role, KeyEvent::Activated, (next, current), now)?;
    let since = (current.public().key_id(), now);
    queries::insert_exchange_key(c, &ExchangeKey::new(role, next.public(), Some(since)))?;
    Ok(true)
}

/// Ends the overlap of a role: the present key signs no more. True unless that is on record already.
///
/// [`Kind::WrongState`] when no key waits to take over, or the log's last checkpoint is not signed by it yet: then some
/// instance was not restarted.
pub fn retire(c: &mut Conn, keys: &ExchangeKeys, role: KeyRole, origin: &str, now: Instant) -> Result<bool> {
    let known = of_role(c, role)?;
    let refused = |why: String, remedy: String| Err(Error::new(Kind::WrongState, why).remedy(remedy));
    let (current, next) = keys.of(role);
    let find = |key: &SecretKey| known.iter().find(|known| known.public_key == key.public());
    let Some(next) = next.filter(|next| find(next).is_some()) else {
        let remedy = format!("make one with `corpex key exchange rotate {role}`");
        return refused(format!("no {role} key waits to take over"), remedy);
    };
    if find(current).is_some_and(|current| current.retired_at.is_some()) {
        return Ok(false);
    }
    let last = queries::find_last_checkpoint(c)?;
    let vkey = VerifierKey::new(origin, next.public())?;
    if role == KeyRole::Log && last.is_none_or(|last| Checkpoint::open(&last.note, &vkey).is_err()) {
        let remedy =
            "restart every instance and worker, and try again when the log has taken in another entry".to_string();
        return refused(format!("the log's last checkpoint is not signed by the new key {vkey}"), remedy);
    }
    record(c, role, KeyEvent::Retired, (next, current), now)?;
    queries::set_exchange_key_retired(c, current.public().key_id(), now)?;
    Ok(true)
}

fn record(
    c: &mut Conn,
    role: KeyRole,
    event: KeyEvent,
    (new, old): (&SecretKey, &SecretKey),
    now: Instant,
) -> Result<()> {
    let kind = StatementKind::ExchangeKey;
    let succession = Succession { role, event, public_key: new.public(), replaces: old.public() };
    let statement = Statement::new(kind, succession.subjects(), json!(succession));
    let envelope = statement.cosign(&[old, new])?;
    parse(&envelope, new.public(), kind).map_err(|error| {
        Error::internal("the exchange would sign an exchange-key statement that breaks its own schema").because(error)
    })?;
    NewEntry::of_exchange(kind, envelope, old).record(c, SUBJECT, now)?;
    Ok(())
}

/// Derives the keys that took over, and when each was retired, from the statements in the log; describes each difference.
pub(super) fn audit(c: &mut Conn) -> Result<Vec<String>> {
    let mut derived: HashMap<Digest, ExchangeKey> = HashMap::new();
    let known = exchange_keys(c)?;
    for first in known.iter().filter(|key| key.replaces.is_none()) {
        derived.insert(first.key_id, ExchangeKey::new(first.role, first.public_key, None));
    }
    let mut found = Vec::new();
    for stored in super::statements_about(c, SUBJECT)? {
        let Ok(says) = Succession::read(&stored.envelope) else {
            found.push(format!("statement {} does not say which key took over from which", stored.id));
            continue;
        };
        let (new, old) = (says.public_key.key_id(), says.replaces.key_id());
        match says.event {
            KeyEvent::Activated => {
                let since = Some((old, stored.recorded_at));
                derived.insert(new, ExchangeKey::new(says.role, says.public_key, since));
            }
            KeyEvent::Retired => match derived.get_mut(&old) {
                Some(key) => key.retired_at = Some(stored.recorded_at),
                None => found.push(format!("statement {} retires the key {old}, which is not known", stored.id)),
            },
        }
    }
    for key in known {
        if derived.remove(&key.key_id).as_ref() != Some(&key) {
            found.push(format!("the exchange's {} key {} is not what the log says of it", key.role, key.key_id));
        }
    }
    found.extend(derived.values().map(|key| format!("the exchange's {} key {} is lost", key.role, key.key_id)));
    Ok(found)
}
