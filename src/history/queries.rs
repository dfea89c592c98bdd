//! The `transitions` table.

use diesel::prelude::*;

use super::Transition;
use crate::db::Conn;
use crate::schema::transitions;
use crate::types::TransitionId;

pub(super) fn insert_transition(
    c: &mut Conn,
    id: TransitionId,
    subject: &str,
    step: &Transition,
) -> QueryResult<usize> {
    diesel::insert_into(transitions::table)
        .values((
            transitions::id.eq(id),
            transitions::subject.eq(subject),
            transitions::from_state.eq(&step.from_state),
            transitions::to_state.eq(&step.to_state),
            transitions::actor.eq(&step.actor),
            transitions::reason.eq(&step.reason),
            transitions::at.eq(step.at),
        ))
        .execute(c)
}

pub(super) fn list_transitions(c: &mut Conn, subject: &str) -> QueryResult<Vec<Transition>> {
    let rows: Vec<(Option<String>, String, String, String, crate::types::Instant)> = transitions::table
        .filter(transitions::subject.eq(subject))
        .order(transitions::id)
        .limit(1000)
        .select((
            transitions::from_state,
            transitions::to_state,
            transitions::actor,
            transitions::reason,
            transitions::at,
        ))
        .load(c)?;
    Ok(rows
        .into_iter()
        .map(|(from_state, to_state, actor, reason, at)| Transition { from_state, to_state, actor, reason, at })
        .collect())
}
