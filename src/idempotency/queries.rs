//! The `idempotency_keys` table.

use diesel::prelude::*;
use diesel::sql_types::{Array, Text};

use crate::appends;
use crate::db::Conn;
use crate::schema::idempotency_keys as keys;
use crate::types::{Digest, Instant, UserId};

/// What a request was answered.
#[derive(Debug, Clone, Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = keys, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Answer {
    pub(super) principal: UserId,
    pub(super) idempotency_key: String,
    pub(super) request_sha256: Digest,
    pub(super) answer: String,
    pub(super) created_at: Instant,
}

appends!(Answer => keys);

pub(super) fn find_answer(c: &mut Conn, principal: UserId, key: &str) -> QueryResult<Option<Answer>> {
    keys::table.find((principal, key)).select(Answer::as_select()).first(c).optional()
}

/// The answers under these keys, each of a principal.
pub(super) fn list_answers(c: &mut Conn, of: &[(UserId, &str)]) -> QueryResult<Vec<Answer>> {
    let alone = |c: &mut Conn| -> QueryResult<Vec<Answer>> {
        let found = of.iter().map(|(principal, key)| find_answer(c, *principal, key));
        Ok(found.collect::<QueryResult<Vec<_>>>()?.into_iter().flatten().collect())
    };
    let (Conn::Pg(pg), [_, _, ..]) = (&mut *c, of) else { return alone(c) };
    let (principals, keys): (Vec<_>, Vec<_>) = of.iter().copied().unzip();
    diesel::sql_query(
        "SELECT kept.* FROM UNNEST($1, $2) AS wanted (principal, idempotency_key) \
         JOIN idempotency_keys AS kept USING (principal, idempotency_key)",
    )
    .bind::<Array<Text>, _>(principals)
    .bind::<Array<Text>, _>(keys)
    .load(pg)
}
