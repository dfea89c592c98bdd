//! Signed statements and the public log that commits to them: why the exchange need not be trusted.
//!
//! Every claim (who made these bytes, on what terms, who assessed them, who may use them) is a [`Statement`] in a
//! DSSE envelope. An action of another domain calls [`admit`] or [`countersign`] (of a [`VerifiedEnvelope`]) or [`declare`] in
//! its own transaction; that stores the statement and queues an entry of the log. The [`sequencer`] gives entries their
//! places and signs checkpoints, and [`publication`] lets them out, cosigned by witnesses; [`log`] answers what clients
//! and auditors ask; a [`passport`] takes it all offline. A [`witness`] and a [`monitor`] keep the log honest from outside,
//! under a [`policy`] of their own.
//!
//! Invariant: a statement, its log entry and what it is about are committed together or not at all.
//! Invariant: these actions trust their callers to have authorised; what they publish is public by design.

pub mod audit;
pub mod cosignature;
pub mod exchange_keys;
pub mod log;
pub mod lot;
pub mod monitor;
pub mod note;
pub mod passport;
pub mod policy;
pub mod proof;
pub mod publication;
mod queries;
pub mod routes;
pub mod sequencer;
mod statement;
pub mod tiles;
pub mod tree;
mod verified;
pub mod witness;
mod witness_client;

use std::fmt::Display;

use serde::Serialize;

pub use self::statement::{
    BYTES_REHASHED, ENVELOPE_SUBJECT, KEY_ACTIVE, Leaf, ResourceDescriptor, SCHEMA_VALID, STATEMENT_TYPE, SVR_TYPE,
    Sha256Digest, Signers, Statement, StatementKind, VerificationResult, Verifier, parse, verifier_id,
};
pub use self::verified::VerifiedEnvelope;
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::keys::{ExchangeKeys, KeyRole};
use crate::schemas;
use crate::signing::{Envelope, PublicKey, SecretKey};
use crate::types::{Digest, EntryId, Instant, Json, PageQuery, StatementId, kind};

/// The most statements about one subject that are listed, or of one kind that are read at a time.
const MAX_ABOUT: i64 = 1000;

/// A statement that was just stored and queued for the log.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The statement.
    pub id: StatementId,
    /// Its entry in the log.
    pub entry_id: EntryId,
    /// The digest by which other statements refer to it.
    pub pae_sha256: Digest,
    /// The envelope with every signature.
    pub envelope: Envelope,
}

/// A statement as it is kept.
#[derive(Debug, Clone)]
pub struct StoredStatement {
    /// The statement.
    pub id: StatementId,
    /// What it says.
    pub kind: StatementKind,
    /// The identifier of what it is about.
    pub subject: String,
    /// The signed document.
    pub envelope: Envelope,
    /// The exchange's receipt, where somebody else signed alone.
    pub receipt: Option<Envelope>,
    /// Its entry in the log.
    pub entry_id: EntryId,
    /// When.
    pub recorded_at: Instant,
}

/// Records a statement that an organisation signed, with keys that the caller found active.
///
/// Adds the exchange's receipt, and queues the log entry, which names the signature of the first signer. For a manifest
/// the receipt says that the bytes were re-hashed: the caller admits it only when every shard is verified.
pub fn admit(
    c: &mut Conn,
    keys: &ExchangeKeys,
    subject_id: impl Display,
    signed: &VerifiedEnvelope,
    now: Instant,
) -> Result<Recorded> {
    let exchange = exchange_keys::signers(c, keys, KeyRole::Statement)?;
    admitted(&exchange, signed, now)?.record(c, &subject_id.to_string(), now)
}

/// Records a statement by the exchange itself: signs it and queues the log entry.
///
/// A predicate that does not follow its schema is a fault of the exchange.
pub fn declare(
    c: &mut Conn,
    keys: &ExchangeKeys,
    kind: StatementKind,
    subject_id: impl Display,
    subjects: Vec<ResourceDescriptor>,
    predicate: &impl Serialize,
    now: Instant,
) -> Result<Recorded> {
    expect_signers(kind, Signers::Exchange)?;
    let exchange = exchange_keys::signers(c, keys, KeyRole::Statement)?;
    let envelope = Statement::new(kind, subjects, serde_json::to_value(predicate)?).cosign(&exchange)?;
    let payload = serde_json::from_slice(&envelope.payload.0)?;
    statement::checked(payload, kind, &schemas::validate).map_err(|error| {
        Error::internal(format!("the exchange would sign a {kind} that breaks its own schema")).because(error)
    })?;
    NewEntry::of_exchange(kind, envelope, first(&exchange)?).record(c, &subject_id.to_string(), now)
}

/// Records a document that the exchange signs with others, whose keys the caller found active: adds the exchange's signature,
/// and queues a log entry that names that one only.
///
/// Fails as a bad signature when the exchange is one of the others.
pub fn countersign(
    c: &mut Conn,
    keys: &ExchangeKeys,
    subject_id: impl Display,
    signed: &VerifiedEnvelope,
    now: Instant,
) -> Result<Recorded> {
    let exchange = exchange_keys::signers(c, keys, KeyRole::Statement)?;
    countersigned(&exchange, signed)?.record(c, &subject_id.to_string(), now)
}

/// Signs a document that is not a statement, in an envelope of another payload type; gives it and the key that signed.
pub fn sign_apart(
    c: &mut Conn,
    keys: &ExchangeKeys,
    payload_type: &str,
    payload: Vec<u8>,
) -> Result<(Envelope, PublicKey)> {
    let exchange = exchange_keys::signers(c, keys, KeyRole::Statement)?;
    let signer = first(&exchange)?;
    Ok((signer.sign_envelope(payload_type, payload), signer.public()))
}

/// Which organisation an envelope claims to speak for: read before anything is verified, to know whose key must have
/// signed. Fails as invalid where the predicate names none.
pub fn claimed_organisation(envelope: &Envelope) -> Result<String> {
    let payload: serde_json::Value = serde_json::from_slice(&envelope.payload.0)
        .map_err(|error| Error::invalid("envelope.payload", format!("the signed payload is not JSON: {error}")))?;
    let handle = payload.pointer("/predicate/organisation").and_then(|handle| handle.as_str());
    handle.map(str::to_string).ok_or_else(|| {
        Error::invalid("envelope.payload", "the statement does not say which organisation makes it")
            .remedy("sign an in-toto statement whose predicate names the \"organisation\"")
    })
}

/// A statement, whole.
pub fn statement(c: &mut Conn, id: StatementId) -> Result<StoredStatement> {
    let row = db::load_once(c, id, |c| queries::find_statement(c, id))?;
    Ok(row.ok_or_else(|| Error::not_found(format!("the statement {id}")))?.into())
}

/// Loads these statements together, for a page that asks [`statement`] for each.
pub fn load_statements(c: &mut Conn, ids: impl IntoIterator<Item = StatementId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_statements_by_id)?)
}

/// Whether a document was recorded before.
pub fn is_recorded(c: &mut Conn, pae_sha256: Digest) -> Result<bool> {
    Ok(queries::find_entry_of(c, pae_sha256)?.is_some())
}

/// The statements about a thing, oldest first; at most 1,000.
pub fn statements_about(c: &mut Conn, subject: impl Display) -> Result<Vec<StoredStatement>> {
    let rows = queries::list_statements(c, &subject.to_string(), "", MAX_ABOUT)?;
    Ok(rows.into_iter().map(StoredStatement::from).collect())
}

/// A page of the statements about a thing, oldest first: up to one more than the page holds.
pub fn page_about(c: &mut Conn, subject: impl Display, page: &PageQuery) -> Result<Vec<StoredStatement>> {
    let (after, limit) = (page.after_id::<kind::Statement>()?, page.limit()?.saturating_add(1));
    let rows = queries::list_statements(c, &subject.to_string(), after, limit)?;
    Ok(rows.into_iter().map(StoredStatement::from).collect())
}

/// The first statement of a kind about a thing, if there is one.
pub fn first_about(c: &mut Conn, subject: impl Display, kind: StatementKind) -> Result<Option<StoredStatement>> {
    Ok(queries::find_first_statement(c, &subject.to_string(), kind)?.map(StoredStatement::from))
}

/// Looks at every statement of a kind, oldest first.
pub fn each_of_kind(
    c: &mut Conn,
    kind: StatementKind,
    mut look: impl FnMut(&mut Conn, StoredStatement) -> Result<()>,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let rows = queries::list_statements_of_kind(c, kind, &after, MAX_ABOUT)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.id.to_string();
        for row in rows {
            look(c, row.into())?;
        }
    }
}

/// Whether a kind of statement can be signed in this way at all: a fault of the exchange if not.
fn expect_signers(kind: StatementKind, signers: Signers) -> Result<()> {
    let expected = kind.signers();
    match expected == signers {
        true => Ok(()),
        false => Err(Error::internal(format!("a {kind} is signed by {expected:?}, not by {signers:?}"))),
    }
}

/// The key of the exchange that a log entry or receipt names.
fn first<'a>(exchange: &[&'a SecretKey]) -> Result<&'a SecretKey> {
    exchange.first().copied().ok_or_else(|| Error::internal("the exchange has no statement key"))
}

fn admitted(exchange: &[&SecretKey], signed: &VerifiedEnvelope, now: Instant) -> Result<NewEntry> {
    let (kind, pae_sha256) = (signed.kind(), signed.pae_sha256());
    expect_signers(kind, Signers::Organisation)?;
    let receipt = Some(statement::receipt_for(signed.subject(), kind, pae_sha256, exchange, now)?);
    Ok(NewEntry { kind, envelope: signed.envelope().clone(), pae_sha256, signer: signed.signer(), receipt })
}

fn countersigned(exchange: &[&SecretKey], signed: &VerifiedEnvelope) -> Result<NewEntry> {
    let (kind, pae_sha256) = (signed.kind(), signed.pae_sha256());
    expect_signers(kind, Signers::Both)?;
    let mut envelope = signed.envelope().clone();
    if exchange.iter().any(|own| envelope.signature_by(own.public().key_id()).is_ok()) {
        return Err(Error::new(Kind::BadSignature, "the exchange cannot be both sides").field("signatures"));
    }
    exchange.iter().for_each(|own| own.add_signature(&mut envelope));
    Ok(NewEntry { kind, envelope, pae_sha256, signer: first(exchange)?.public().key_id(), receipt: None })
}

/// A signed statement that nobody has stored yet.
struct NewEntry {
    kind: StatementKind,
    envelope: Envelope,
    pae_sha256: Digest,
    signer: Digest,
    receipt: Option<Envelope>,
}

impl NewEntry {
    /// A statement that the exchange signed alone: the log names its key.
    fn of_exchange(kind: StatementKind, envelope: Envelope, key: &SecretKey) -> Self {
        let (pae_sha256, signer) = (envelope.pae_sha256(), key.public().key_id());
        Self { kind, envelope, pae_sha256, signer, receipt: None }
    }

    fn record(self, c: &mut Conn, subject: &str, now: Instant) -> Result<Recorded> {
        let (id, entry_id, pae_sha256) = (StatementId::new(now), EntryId::new(now), self.pae_sha256);
        let leaf = Leaf::of(self.kind, (&self.envelope, pae_sha256), self.signer, self.receipt.as_ref(), now)?;
        db::append(c, queries::EntryRow { id: entry_id, leaf: leaf.to_json()?, recorded_at: now })?;
        db::append(c, queries::QueuedRow { entry_id })?;
        let row = queries::StatementRow {
            id,
            kind: self.kind,
            subject: subject.to_string(),
            envelope: Json(self.envelope.clone()),
            receipt: self.receipt.map(Json),
            pae_sha256,
            entry_id,
            recorded_at: now,
        };
        db::append(c, row)?;
        Ok(Recorded { id, entry_id, pae_sha256, envelope: self.envelope })
    }
}

#[cfg(test)]
mod log_tests;
