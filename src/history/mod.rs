//! History: who moved what from which state to which, when and why. It is kept for ever, for everything that has states.
//!
//! The state itself is a column that its domain compares and swaps; this is the record beside it. The transaction of a step
//! also puts it into the outbox, where it stays until the organisations that it concerns are notified. So nobody is
//! notified of what did not happen, and nothing that happened is missed.
//!
//! Invariant: the steps of a life sort as they were taken, whatever the clocks say: what a hold or a suspension found is
//! where its end leads back to.

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

/// Records a step of `subject` (any identifier) in the caller's transaction; one that is not its first comes after those before it,
/// even by an instance whose clock is behind.
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
    let subject = subject.to_string();
    let before = match from {
        Some(_) => queries::find_last_id(c, &subject)?,
        None => None,
    };
    let id = TransitionId::after(before, now);
    db::append(c, queries::TransitionRow { id, subject, step })?;
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
    Ok(queries::delete_unsent(c, ids)?.into_iter().collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::types::DAY;

    #[tokio::test]
    async fn the_last_step_is_the_one_that_was_taken_last_whatever_the_clocks_say() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        let now = Instant::from_unix_micros(1_800_000_000_000_000);
        let steps = [
            (None, "listed", now),
            (Some("listed"), "suspended", now.plus(DAY)),
            (Some("suspended"), "listed", now),
            (Some("listed"), "paused", now),
            (Some("paused"), "suspended", now.minus(DAY)),
        ];
        db.write(move |c| {
            steps.iter().try_for_each(|(from, to, at)| record(c, "listing", *from, to, "staff", "", *at))
        })
        .await
        .unwrap();
        let (all, last) =
            db.read(|c| Ok((list(c, "listing")?, last_into(c, "listing", "suspended")?.unwrap()))).await.unwrap();
        let taken: Vec<_> = steps.iter().map(|(_, to, at)| (*to, *at)).collect();
        assert_eq!(all.iter().map(|step| (step.to_state.as_str(), step.at)).collect::<Vec<_>>(), taken);
        assert_eq!(last.from_state.as_deref(), Some("paused"));
    }
}
