//! Who moved what from which state to which, when and why: kept for ever, for everything that has a life.
//!
//! The state itself is a column that its domain compares and swaps; this is the record beside it. Each step lies in the
//! outbox, too, from its own transaction on until the organisations that it concerns are told of it: nobody is told of
//! what did not happen, and nothing that happened is kept from them.

mod audit;
mod queries;

pub use audit::audit;

use std::collections::HashSet;
use std::fmt::Display;

use diesel::{Insertable, Queryable, Selectable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::{self, Conn};
use crate::error::Result;
use crate::types::{Instant, TransitionId};

/// One step in a life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::transitions, check_for_backend(crate::db::MultiBackend))]
pub struct Transition {
    /// The state before; absent for the first.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: String,
    /// The user who did it, the takedown that led to it, or `exchange` for a job.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Instant,
}

/// Records a step of `subject` (any identifier) in the caller's transaction.
pub fn record(
    c: &mut Conn,
    subject: impl Display,
    from: Option<&str>,
    to: &str,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<()> {
    let step = Transition {
        from_state: from.map(str::to_string),
        to_state: to.to_string(),
        actor: actor.to_string(),
        reason: reason.to_string(),
        at: now,
    };
    let id = TransitionId::new(now);
    db::append(c, queries::TransitionRow { id, subject: subject.to_string(), step })?;
    db::append(c, queries::UnsentRow { transition_id: id })?;
    Ok(())
}

/// A step that nobody was told of yet.
#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = crate::schema::transitions, check_for_backend(crate::db::MultiBackend))]
pub struct Unsent {
    /// The step.
    pub id: TransitionId,
    /// What took it: any identifier.
    pub subject: String,
    /// The state before; absent for the first.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: String,
    /// When.
    pub at: Instant,
}

/// The oldest steps in the outbox.
pub fn unsent(c: &mut Conn, limit: i64) -> Result<Vec<Unsent>> {
    Ok(queries::list_unsent(c, limit)?)
}

/// Takes steps out of the outbox, in the transaction that tells of them; gives those that were still there.
pub fn take(c: &mut Conn, ids: &[TransitionId]) -> Result<HashSet<TransitionId>> {
    let taken: HashSet<_> = queries::list_waiting(c, ids)?.into_iter().collect();
    queries::delete_unsent(c, ids)?;
    Ok(taken)
}

/// The last step of `subject`.
pub fn last(c: &mut Conn, subject: impl Display) -> Result<Option<Transition>> {
    Ok(queries::find_last_transition(c, &subject.to_string())?)
}

/// The last step of `subject` that led to a state.
pub fn last_into(c: &mut Conn, subject: impl Display, state: &str) -> Result<Option<Transition>> {
    Ok(queries::find_last_transition_into(c, &subject.to_string(), state)?)
}

/// The steps of `subject`, oldest first; at most 1,000.
pub fn list(c: &mut Conn, subject: impl Display) -> Result<Vec<Transition>> {
    Ok(db::load_one(c, &subject.to_string(), queries::list_transitions)?.unwrap_or_default())
}

/// Loads the steps of these subjects together, for a page that asks [`list`] for each.
pub fn load_lists(c: &mut Conn, subjects: impl IntoIterator<Item = impl Display>) -> Result<()> {
    let subjects = subjects.into_iter().map(|subject| subject.to_string());
    Ok(db::load_ahead(c, subjects, queries::list_transitions)?)
}
