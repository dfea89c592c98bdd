//! The `transitions` and `outbox` tables.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use super::{Transition, Unsent};
use crate::appends;
use crate::db::{Among as _, Conn};
use crate::schema::{outbox, transitions};
use crate::types::TransitionId;

/// The most steps of a subject that are listed.
const MOST_STEPS: i64 = 1000;

/// A step of a subject.
#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = transitions)]
pub(super) struct TransitionRow {
    pub(super) id: TransitionId,
    pub(super) subject: String,
    #[diesel(embed)]
    pub(super) step: Transition,
}

/// A step that nobody was told of yet.
#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = outbox)]
pub(super) struct UnsentRow {
    pub(super) transition_id: TransitionId,
}

appends!(TransitionRow => transitions, UnsentRow => outbox);

pub(super) fn list_unsent(c: &mut Conn, limit: i64) -> QueryResult<Vec<Unsent>> {
    outbox::table
        .inner_join(transitions::table)
        .order(outbox::transition_id)
        .limit(limit)
        .select(Unsent::as_select())
        .load(c)
}

/// Deletes these steps from the outbox; gives those that were there.
pub(super) fn delete_unsent(c: &mut Conn, ids: &[TransitionId]) -> QueryResult<Vec<TransitionId>> {
    let waiting = outbox::table.filter(outbox::transition_id.among(ids));
    diesel::delete(waiting).returning(outbox::transition_id).load(c)
}

/// The steps of each of these subjects, oldest first.
pub(super) fn list_transitions(c: &mut Conn, subjects: &[String]) -> QueryResult<Vec<(String, Vec<Transition>)>> {
    let most = i64::try_from(subjects.len()).unwrap_or(i64::MAX).saturating_mul(MOST_STEPS);
    let rows: Vec<(String, Transition)> = transitions::table
        .filter(transitions::subject.among(subjects))
        .order(transitions::id)
        .limit(most)
        .select((transitions::subject, Transition::as_select()))
        .load(c)?;
    let mut lists: HashMap<String, Vec<Transition>> = HashMap::new();
    for (subject, step) in rows {
        lists.entry(subject).or_default().push(step);
    }
    Ok(lists.into_iter().collect())
}

pub(super) fn find_last_id(c: &mut Conn, subject: &str) -> QueryResult<Option<TransitionId>> {
    transitions::table
        .filter(transitions::subject.eq(subject))
        .order(transitions::id.desc())
        .select(transitions::id)
        .first(c)
        .optional()
}

pub(super) fn find_last_transition(c: &mut Conn, subject: &str) -> QueryResult<Option<Transition>> {
    transitions::table
        .filter(transitions::subject.eq(subject))
        .order(transitions::id.desc())
        .select(Transition::as_select())
        .first(c)
        .optional()
}

pub(super) fn find_last_transition_into(c: &mut Conn, subject: &str, state: &str) -> QueryResult<Option<Transition>> {
    transitions::table
        .filter(transitions::subject.eq(subject).and(transitions::to_state.eq(state)))
        .order(transitions::id.desc())
        .select(Transition::as_select())
        .first(c)
        .optional()
}

/// A row whose history leads elsewhere.
#[derive(QueryableByName)]
pub(super) struct Astray {
    #[diesel(sql_type = Text)]
    pub(super) id: String,
    #[diesel(sql_type = Text)]
    pub(super) state: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) led_to: Option<String>,
}

/// The rows of a table of lives whose state is not the one that was entered once more often than it was left.
pub(super) fn list_astray(c: &mut Conn, life: &str) -> QueryResult<Vec<Astray>> {
    let query = format!(
        "WITH steps AS ( \
             SELECT transitions.subject, state_edges.from_state, state_edges.to_state FROM transitions \
             JOIN state_edges ON state_edges.life = '{life}' AND state_edges.to_state = transitions.to_state \
                 AND state_edges.from_state = COALESCE(transitions.from_state, '') \
             WHERE transitions.subject IN (SELECT id FROM {life})), \
         moves AS ( \
             SELECT subject, to_state AS state, 1 AS entered FROM steps \
             UNION ALL SELECT subject, from_state, -1 FROM steps WHERE from_state <> ''), \
         ends AS (SELECT subject, state, SUM(entered) AS entered FROM moves GROUP BY subject, state HAVING SUM(entered) <> 0) \
         SELECT {life}.id AS id, MIN({life}.state) AS state, MIN(ends.state) AS led_to \
         FROM {life} LEFT JOIN ends ON ends.subject = {life}.id GROUP BY {life}.id \
         HAVING COUNT(ends.state) <> 1 OR MIN(ends.state) <> MIN({life}.state) OR MIN(ends.entered) <> 1 \
         ORDER BY {life}.id LIMIT 1000"
    );
    diesel::sql_query(query).load(c)
}
