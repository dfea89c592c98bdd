//! The `idempotency_keys` table.

use diesel::prelude::*;

use crate::appends;
use crate::db::Conn;
use crate::schema::idempotency_keys as keys;
use crate::types::{Digest, Instant, UserId};

/// What a request was answered.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
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

/// The answers under these keys of these principals; of each of these, also those under the others' keys.
pub(super) fn list_answers(c: &mut Conn, of: &[(&str, &str)]) -> QueryResult<Vec<Answer>> {
    keys::table
        .filter(keys::principal.eq_any(of.iter().map(|(principal, _)| *principal)))
        .filter(keys::idempotency_key.eq_any(of.iter().map(|(_, key)| *key)))
        .select(Answer::as_select())
        .load(c)
}
