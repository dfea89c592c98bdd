//! The `audit_reads` table.

use diesel::prelude::*;

use crate::db::Conn;
use crate::schema::audit_reads;
use crate::types::{AuditId, Instant, UserId};

pub(super) fn insert_audit_read(
    c: &mut Conn,
    id: AuditId,
    user: UserId,
    query: &str,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(audit_reads::table)
        .values((
            audit_reads::id.eq(id),
            audit_reads::user_id.eq(user),
            audit_reads::query.eq(query),
            audit_reads::read_at.eq(now),
        ))
        .execute(c)
}
