//! Recalls: what the holder of a licence to a recalled version has to do, and what it did.
//!
//! With its recall a licence is revoked, or the version withdrawn from a subscription; its holder acknowledges the recall, and
//! then signs that the bytes are gone, or says what was trained on them. A holder that says neither in time is overdue, and can
//! still do so later.
//!
//! The hold of the version keeps everybody out all the while, however many licensed it. So recalls are issued by pages: the
//! first with the step of the case, and the others by a job. Pages may be repeated: what was recalled is not recalled again.
//!
//! Invariant: a recall moves only as [`RecallState::may_become`] allows.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{Takedown, TakedownState, prose, queries};
use crate::app::App;
use crate::catalog;
use crate::db::{self, Conn};
use crate::delivery;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::jobs::{self, Job, sweep};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::text_enum;
use crate::types::{
    DAY, Digest, EntitlementId, Instant, OrganisationId, Page, PageQuery, RecallId, StatementId, TakedownId, VersionId,
    kind,
};

/// How long a licensee has.
const ANSWER: Duration = DAY.saturating_mul(30);
/// How many licences one transaction recalls at most.
const PAGE: i64 = 50;

text_enum! {
    /// What a licensee did about a recall.
    pub enum RecallState {
        /// It was told.
        Notified = "notified",
        /// It said that it knows.
        Acknowledged = "acknowledged",
        /// It signed that every copy is deleted.
        DeletionAttested = "deletion_attested",
        /// It said what was trained on the version.
        TrainingDeclared = "training_declared",
        /// It said neither in time.
        Overdue = "overdue",
    }
}

impl RecallState {
    /// The states that wait for an answer.
    pub(super) const WAITING: [Self; 2] = [Self::Notified, Self::Acknowledged];

    /// Whether a recall in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use RecallState::{Acknowledged, DeletionAttested, Notified, Overdue, TrainingDeclared};
        matches!(
            (self, next),
            (Notified, Acknowledged | Overdue)
                | (Acknowledged, DeletionAttested | TrainingDeclared | Overdue)
                | (Overdue, DeletionAttested | TrainingDeclared)
        )
    }
}

/// The recall of one licence.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::recalls, check_for_backend(crate::db::MultiBackend))]
pub struct Recall {
    /// Its identifier.
    pub id: RecallId,
    /// The case that led to it.
    pub takedown_id: TakedownId,
    /// The licence.
    pub entitlement_id: EntitlementId,
    /// The licensee.
    pub organisation_id: OrganisationId,
    /// What the licensee did.
    pub state: RecallState,
    /// By when an answer is due.
    pub due_at: Instant,
    /// What was trained, in the licensee's words.
    pub declaration: Option<String>,
    /// The statement that the bytes are gone.
    pub attestation_id: Option<StatementId>,
    /// When it was issued.
    pub issued_at: Instant,
}

/// The predicate of a `deletion-attestation` (schemas/deletion-attestation.v1.json).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attestation {
    organisation: String,
    recall: RecallId,
    dataset: String,
    version: i32,
    manifest_sha256: Digest,
    deleted_at: Instant,
}

/// Issues the first recalls of a case, and leaves to a job what is more than a page.
pub(super) fn issue(c: &mut Conn, keys: &ExchangeKeys, case: &Takedown, now: Instant) -> Result<()> {
    if issue_page(c, keys, case, "", now)?.is_some() {
        jobs::enqueue(c, Job::IssueRecalls { takedown_id: case.id }, now)?;
    }
    Ok(())
}

/// Issues the recalls of a case that are not issued yet, each page in a transaction of its own.
///
/// # Errors
/// `NotFound`; those of the database.
pub async fn issue_rest(app: &App, id: TakedownId) -> Result<()> {
    let keys = app.keys.clone();
    let page = move |c: &mut Conn, after: &str, now: Instant| {
        let case = queries::find_takedown(c, id)?.ok_or_else(|| Error::not_found(format!("takedown {id}")))?;
        issue_page(c, &keys, &case, after, now)
    };
    sweep::pages(&app.db, &app.clock, page).await
}

/// Revokes a page of the licences to the version of a case, those after one, and tells their holders; says where the next page
/// begins, if there is one.
fn issue_page(c: &mut Conn, keys: &ExchangeKeys, case: &Takedown, after: &str, now: Instant) -> Result<Option<String>> {
    let decided = history::last_into(c, case.id, TakedownState::RecallIssued.as_str())?;
    let decided = decided.ok_or_else(|| Error::internal(format!("{} recalls nothing", case.id)))?;
    let unrecalled = queries::list_unrecalled(c, case, after, PAGE.saturating_add(1))?;
    let Page { items, next } = Page::new(unrecalled, PAGE, ToString::to_string);
    for licence in items {
        let why = (case.id, decided.reason.as_str());
        let entitlement = delivery::recall(c, keys, (licence, case.version_id), why, now)?;
        let recall = Recall {
            id: RecallId::new(now),
            takedown_id: case.id,
            entitlement_id: entitlement.id,
            organisation_id: entitlement.organisation_id,
            state: RecallState::Notified,
            due_at: now.plus(ANSWER),
            declaration: None,
            attestation_id: None,
            issued_at: now,
        };
        queries::insert_recall(c, &recall)?;
        put_on_record(c, keys, &recall, None, &decided.actor, &decided.reason, now)?;
    }
    Ok(next.map(|cursor| cursor.0))
}

/// The licensee says that it knows of a recall.
pub fn acknowledge(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, id: RecallId, now: Instant) -> Result<Recall> {
    let recall = recall(c, caller, id)?;
    caller.may_for(recall.organisation_id, "the licensee", Role::DEALERS)?;
    advance(c, keys, recall, RecallState::Acknowledged, caller.user_id, "acknowledged by the licensee", now)
}

/// The licensee signs that every copy of the version is deleted. The exchange signs too: so the log does not show
/// whose key it was.
pub fn attest_deletion(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: RecallId,
    envelope: &Envelope,
    now: Instant,
) -> Result<Recall> {
    let recall = recall(c, caller, id)?;
    caller.may_for(recall.organisation_id, "the licensee", Role::SIGNERS)?;
    let key = identity::signing_key_for(c, recall.organisation_id, envelope.sole_signature()?.keyid)?.public_key;
    let (signed, statement) = VerifiedEnvelope::open(envelope.clone(), &[key], StatementKind::DeletionAttestation)?;
    check_attestation(c, &recall, serde_json::from_value(statement.predicate)?, signed.subject(), now)?;
    let recorded = provenance::countersign(c, keys, id, &signed, now)?;
    queries::set_attestation(c, id, recorded.id)?;
    let recall = Recall { attestation_id: Some(recorded.id), ..recall };
    advance(c, keys, recall, RecallState::DeletionAttested, caller.user_id, "deletion attested by the licensee", now)
}

fn check_attestation(
    c: &mut Conn,
    recall: &Recall,
    said: Attestation,
    subject: &[ResourceDescriptor],
    now: Instant,
) -> Result<()> {
    let recalled = recalled_version(c, recall)?;
    let (dataset, version) = catalog::version(c, recalled)?;
    let manifest = catalog::seal_of(c, version.id)?.manifest_sha256;
    let handle = identity::organisation(c, recall.organisation_id)?.handle;
    let expected = [
        ("predicate/organisation", said.organisation, handle),
        ("predicate/recall", said.recall.to_string(), recall.id.to_string()),
        ("predicate/dataset", said.dataset, dataset.full_name()),
        ("predicate/version", said.version.to_string(), version.number.to_string()),
        ("predicate/manifest_sha256", said.manifest_sha256.to_string(), manifest.to_string()),
    ];
    if let Some((field, said, expected)) = expected.into_iter().find(|(_, said, expected)| said != expected) {
        return Err(Error::invalid(field, format!("{said:?} stands where {expected:?} was expected")));
    }
    if subject != [ResourceDescriptor::new("manifest", manifest)] {
        return Err(Error::invalid("subject", format!("the only subject must be \"manifest\" with {manifest}")));
    }
    if said.deleted_at > now {
        return Err(Error::invalid("predicate/deleted_at", "this lies in the future").remedy("delete first, then sign"));
    }
    Ok(())
}

/// The licensee says what was trained on the version.
pub fn declare_training(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: RecallId,
    declaration: &str,
    now: Instant,
) -> Result<Recall> {
    let recall = recall(c, caller, id)?;
    caller.may_for(recall.organisation_id, "the licensee", Role::DEALERS)?;
    let declaration = prose("declaration", declaration)?;
    queries::set_declaration(c, id, &declaration)?;
    let recall = Recall { declaration: Some(declaration), ..recall };
    advance(c, keys, recall, RecallState::TrainingDeclared, caller.user_id, "training declared by the licensee", now)
}

/// Marks the recalls whose licensees are late.
pub async fn mark_overdue(app: &App) -> Result<()> {
    let keys = app.keys.clone();
    let list = |c: &mut Conn, after: &str, now| Ok(queries::list_late(c, now, after, sweep::PAGE)?);
    let mark = move |c: &mut Conn, id, now| {
        let late = queries::find_recall(c, id)?.ok_or_else(|| Error::not_found(format!("recall {id}")))?;
        match late.due_at <= now && RecallState::WAITING.contains(&late.state) {
            true => advance(c, &keys, late, RecallState::Overdue, "exchange", "not answered in time", now).map(drop),
            false => Ok(()),
        }
    };
    sweep::each(&app.db, &app.clock, "a late recall", list, mark).await
}

/// A recall that the caller may see: the licensee its own, compliance any.
pub fn recall(c: &mut Conn, caller: &Caller, id: RecallId) -> Result<Recall> {
    let named = || format!("recall {id}");
    let recall = queries::find_recall(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    let sees = caller.is_compliance() || caller.member_of(recall.organisation_id).is_some();
    if sees { Ok(recall) } else { Err(Error::withheld(named())) }
}

/// The version that a recall is about: one of those that the licence covers. Callers authorise.
pub(super) fn recalled_version(c: &mut Conn, recall: &Recall) -> Result<VersionId> {
    let case = db::load_once(c, recall.takedown_id, |c| queries::find_takedown(c, recall.takedown_id))?;
    Ok(case.ok_or_else(|| Error::internal(format!("{} follows from no case", recall.id)))?.version_id)
}

/// The versions that these recalls are about, in their order. Callers authorise.
pub(super) fn recalled_versions(c: &mut Conn, recalls: &[Recall]) -> Result<Vec<VersionId>> {
    db::load_ahead(c, recalls.iter().map(|recall| recall.takedown_id), queries::list_takedowns_by_id)?;
    recalls.iter().map(|recall| recalled_version(c, recall)).collect()
}

/// Whose licence is recalled.
///
/// # Errors
/// `NotFound`.
pub fn licensee(c: &mut Conn, id: RecallId) -> Result<OrganisationId> {
    Ok(queries::find_recall(c, id)?.ok_or_else(|| Error::not_found(format!("recall {id}")))?.organisation_id)
}

/// The recalls that the caller may see, oldest first: up to one more than a page.
pub fn recalls(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Recall>> {
    let (after, limit) = (page.after_id::<kind::Recall>()?, page.limit()?.saturating_add(1));
    let own = caller.organisations();
    let holders = (!caller.is_compliance()).then_some(own.as_slice());
    Ok(queries::list_recalls(c, holders, after, limit)?)
}

/// Refuses a case whose recalls are not all issued, or still wait for an answer.
pub(super) fn require_answered(c: &mut Conn, case: &Takedown) -> Result<()> {
    let refused = |why: String| {
        Err(Error::new(Kind::WrongState, why).remedy("close it when each licensee answered, or is overdue"))
    };
    if !queries::list_unrecalled(c, case, "", 1)?.is_empty() {
        return refused(format!("the recall of {} has not reached every licensee yet", case.id));
    }
    match queries::count_waiting(c, case.id)? {
        0 => Ok(()),
        waiting => refused(format!("{waiting} recalls of {} wait for an answer", case.id)),
    }
}

fn advance(
    c: &mut Conn,
    keys: &ExchangeKeys,
    recall: Recall,
    to: RecallState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<Recall> {
    let from = recall.state;
    if !from.may_become(to) || queries::set_recall_state(c, recall.id, from, to)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("recall {} is {from} and cannot become {to}", recall.id)));
    }
    let recall = Recall { state: to, ..recall };
    put_on_record(c, keys, &recall, Some(from), actor, reason, now)?;
    Ok(recall)
}

fn put_on_record(
    c: &mut Conn,
    keys: &ExchangeKeys,
    recall: &Recall,
    from: Option<RecallState>,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<()> {
    history::record(c, recall.id, from.map(RecallState::as_str), recall.state.as_str(), actor, reason, now)?;
    let entitlement = delivery::entitlement_of(c, recall.entitlement_id)?;
    let granted = provenance::statement(c, entitlement.statement_id)?.envelope.pae_sha256();
    let recalled = recalled_version(c, recall)?;
    let manifest = catalog::seal_of(c, recalled)?.manifest_sha256;
    let predicate = json!({
        "recall": recall.id, "takedown": recall.takedown_id, "entitlement_sha256": granted,
        "manifest_sha256": manifest, "state": recall.state, "due_at": recall.due_at, "at": now,
    });
    let subjects = vec![ResourceDescriptor::new("entitlement", granted)];
    provenance::declare(c, keys, StatementKind::Recall, recall.id, subjects, &predicate, now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_a_recall_exist() {
        use RecallState::{Acknowledged, DeletionAttested, Notified, Overdue, TrainingDeclared};
        let edges = [
            (Notified, Acknowledged),
            (Notified, Overdue),
            (Acknowledged, DeletionAttested),
            (Acknowledged, TrainingDeclared),
            (Acknowledged, Overdue),
            (Overdue, DeletionAttested),
            (Overdue, TrainingDeclared),
        ];
        for from in RecallState::ALL {
            for to in RecallState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }
}
