//! Events: everything that happened to a subject, one flat row each, oldest first and without end.
//!
//! An event is a record that stands for ever: a statement of the log, a delivery receipt, the first sight of some
//! bytes, a step in the life of a thing, a conflict. Records carry identifiers that sort by time, so the records of
//! several tables are merged by identifier, a page at a time, and what follows an identifier's prefix is the cursor.
//!
//! Invariant: two events have one order, the same in each page, filter and export.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::queries::{self, About, EventRow, SOURCES, Source, Window};
use super::subject::{Scope, Subject, is_suffix};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::provenance::StatementKind;
use crate::types::{Digest, EntryId, Instant, Page, PageQuery, StatementId, TransitionId, VersionId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// The record: `statement_…`, `receipt_…`, `object_…`, `step_…` or `conflict_…`.
    pub id: String,
    /// When.
    pub at: Instant,
    /// The kind of the statement (`manifest`, `assessment`, `contract`, …), or `delivery`, `first-seen`, `transition`
    /// or `conflict`.
    pub kind: String,
    /// What it is about: a version, order, entitlement, key, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// `org/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The version's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// The shard's path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The digest of the shard's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// The handle of its owner: the provider, or the owner of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// The handle of the other side: who licensed it, or who sealed the same bytes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// The user who did it, or `exchange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What a step did, and why; for a conflict, the version that was sealed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The statement; for a delivery that of its batch of receipts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementId>,
    /// The digest of what was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pae_sha256: Option<Digest>,
    /// The log entry: `GET /v1/log/proofs/{entry}` proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryId>,
    /// The entry's place in the log, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<i64>,
    /// The version, as the exchange itself refers to it.
    #[serde(skip)]
    pub(super) version_id: Option<VersionId>,
}

/// Which events are wanted; what is not said is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// What they have to do with.
    pub subject: Option<String>,
    /// Of what kind they are.
    pub kind: Option<String>,
    /// The handle of an organisation that the events must also concern.
    pub organisation: Option<String>,
    /// Since when.
    pub from: Option<Instant>,
    /// Until when, that moment excluded.
    pub to: Option<Instant>,
}

/// Events that were looked up and can be read page by page.
#[derive(Debug, Clone)]
pub(super) struct Events {
    scopes: Vec<Scope>,
    kind: Option<String>,
    from: Option<Instant>,
    to: Instant,
}

impl EventQuery {
    /// Checks the query and looks up what it names. Events after `now` are left out, so that reading ends.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter; `NotFound` when the subject or organisation does not exist.
    pub(super) fn open(&self, c: &mut Conn, now: Instant) -> Result<Events> {
        let mut scopes = Vec::new();
        if let Some(subject) = &self.subject {
            scopes.push(subject.parse::<Subject>()?.resolve(c)?);
        }
        if let Some(handle) = &self.organisation {
            crate::identity::check_handle("organisation", handle)?;
            scopes.push(Subject::Organisation(handle.clone()).resolve(c)?);
        }
        if let Some(kind) = &self.kind {
            check_kind(kind)?;
        }
        let to = self.to.unwrap_or(now).min(now);
        if self.from.is_some_and(|from| self.to.is_some_and(|to| from >= to)) {
            return Err(Error::invalid("to", "this is not after \"from\""));
        }
        Ok(Events { scopes, kind: self.kind.clone(), from: self.from, to })
    }
}

fn check_kind(kind: &str) -> Result<()> {
    let own = SOURCES.iter().filter_map(|source| source.kind);
    let known: Vec<&str> = StatementKind::ALL.iter().map(|kind| kind.as_str()).chain(own).collect();
    match known.contains(&kind) {
        true => Ok(()),
        false => Err(Error::invalid("kind", format!("{kind:?} is not one of {}", known.join(", ")))),
    }
}

impl Events {
    /// The page after a cursor; empty text begins at the beginning.
    ///
    /// # Errors
    /// `Invalid` when the cursor is none.
    pub(super) fn page(&self, c: &mut Conn, after: &str, limit: i64) -> Result<Page<Event>> {
        if !after.is_empty() && !is_suffix(after) {
            return Err(PageQuery::not_a_cursor());
        }
        let (from, before) = (self.from.map(bound).unwrap_or_default(), bound(self.to));
        let window = Window {
            scopes: &self.scopes,
            statements: self.kind.as_deref(),
            after: after.max(&from),
            before: &before,
            limit: limit.saturating_add(1),
        };
        let mut rows = Vec::new();
        for source in SOURCES.iter().filter(|source| self.wants(source)) {
            rows.append(&mut queries::list_events(c, source, &window)?);
        }
        rows.sort_by(|one, other| suffix(&one.id).cmp(suffix(&other.id)));
        let page = Page::new(rows, limit, |row| suffix(&row.id).to_string());
        let abouts = abouts(c, &page.items)?;
        Ok(page.map(|row| event(row, &abouts)))
    }

    fn wants(&self, source: &Source) -> bool {
        match (&self.kind, source.kind) {
            (None, _) => true,
            (Some(wanted), Some(kind)) => wanted == kind,
            (Some(wanted), None) => wanted.parse::<StatementKind>().is_ok(),
        }
    }
}

/// What follows the prefix of the first identifier made at `at` or later.
fn bound(at: Instant) -> String {
    suffix(&TransitionId::first_at(at).to_string()).to_string()
}

fn suffix(id: &str) -> &str {
    id.rsplit_once('_').map_or(id, |(_, suffix)| suffix)
}

type Abouts = HashMap<String, About>;

fn abouts(c: &mut Conn, rows: &[EventRow]) -> Result<Abouts> {
    let mut things: Vec<&str> =
        rows.iter().flat_map(|row| [&row.about, &row.other]).flatten().map(String::as_str).collect();
    things.sort_unstable();
    things.dedup();
    let found = queries::list_abouts(c, &things)?;
    Ok(found.into_iter().map(|about| (about.thing.clone(), about)).collect())
}

fn event(row: EventRow, abouts: &Abouts) -> Event {
    let about = row.about.as_ref().and_then(|thing| abouts.get(thing));
    let name = |about: &About| Some(format!("{}/{}", about.owner.as_ref()?, about.name.as_ref()?));
    // Of a conflict, the other side sealed first.
    let other = row.other.as_ref().and_then(|thing| abouts.get(thing)).filter(|other| other.version_id.is_some());
    let other_version = other.and_then(|other| Some(format!("{}@{}", name(other)?, other.number?)));
    Event {
        id: row.id,
        at: row.at,
        kind: row.kind,
        dataset: about.and_then(name),
        version: about.and_then(|about| about.number),
        path: row.path,
        sha256: row.sha256,
        organisation: about.and_then(|about| about.owner.clone()),
        counterparty: other.map_or_else(|| about.and_then(|about| about.party.clone()), |other| other.owner.clone()),
        about: row.about,
        actor: row.actor,
        detail: row.detail.or_else(|| other_version.map(|version| format!("sealed before in {version}"))),
        statement: row.statement_id,
        pae_sha256: row.pae_sha256,
        entry: row.entry_id,
        log_index: row.leaf_index,
        version_id: about.and_then(|about| about.version_id),
    }
}

#[cfg(test)]
impl Event {
    /// An event that has a value in every field.
    pub(super) fn example() -> Self {
        let at = Instant::from_unix_micros(1);
        let text = || Some("text".to_string());
        Self {
            id: "receipt_1".into(),
            at,
            kind: "delivery".into(),
            about: text(),
            dataset: text(),
            version: Some(1),
            path: text(),
            sha256: Some(Digest::of("")),
            organisation: text(),
            counterparty: text(),
            actor: text(),
            detail: text(),
            statement: Some(StatementId::new(at)),
            pae_sha256: Some(Digest::of("")),
            entry: Some(EntryId::new(at)),
            log_index: Some(1),
            version_id: Some(VersionId::new(at)),
        }
    }
}
