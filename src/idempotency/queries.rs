//! The `idempotency_keys` table.

use diesel::prelude::*;

use crate::db::Conn;
use crate::schema::idempotency_keys as keys;
use crate::types::{Digest, Instant, UserId};

pub(super) fn find_answer(c: &mut Conn, principal: UserId, key: &str) -> QueryResult<Option<(Digest, String)>> {
    keys::table.find((principal, key)).select((keys::request_sha256, keys::answer)).first(c).optional()
}

pub(super) fn insert_answer(
    c: &mut Conn,
    principal: UserId,
    key: &str,
    request: Digest,
    answer: &str,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(keys::table)
        .values((
            keys::principal.eq(principal),
            keys::idempotency_key.eq(key),
            keys::request_sha256.eq(request),
            keys::answer.eq(answer),
            keys::created_at.eq(now),
        ))
        .execute(c)
}
