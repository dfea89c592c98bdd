//! The `transitions` table.

use diesel::prelude::*;

use super::Transition;
use crate::db::Conn;
use crate::schema::transitions;
use crate::types::{Instant, TransitionId};

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
    let rows: Vec<Row> = transitions::table
        .filter(transitions::subject.eq(subject))
        .order(transitions::id)
        .limit(1000)
        .select(COLUMNS)
        .load(c)?;
    Ok(rows.into_iter().map(step).collect())
}

pub(super) fn find_last_transition(c: &mut Conn, subject: &str) -> QueryResult<Option<Transition>> {
    let row: Option<Row> = transitions::table
        .filter(transitions::subject.eq(subject))
        .order(transitions::id.desc())
        .select(COLUMNS)
        .first(c)
        .optional()?;
    Ok(row.map(step))
}

type Row = (Option<String>, String, String, String, Instant);
type Columns =
    (transitions::from_state, transitions::to_state, transitions::actor, transitions::reason, transitions::at);
const COLUMNS: Columns =
    (transitions::from_state, transitions::to_state, transitions::actor, transitions::reason, transitions::at);

fn step((from_state, to_state, actor, reason, at): Row) -> Transition {
    Transition { from_state, to_state, actor, reason, at }
}
