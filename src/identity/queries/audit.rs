//! The `audit_reads` table.

use diesel::prelude::*;

use crate::db::Conn;
use crate::identity::AuditRead;
use crate::schema::audit_reads;
use crate::types::{AuditId, Instant, UserId};

pub(in crate::identity) fn insert_audit_read(
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

pub(in crate::identity) fn list_audit_reads(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<AuditRead>> {
    audit_reads::table
        .filter(audit_reads::id.gt(after.to_string().into_sql::<diesel::sql_types::Text>()))
        .order(audit_reads::id)
        .limit(limit)
        .select(AuditRead::as_select())
        .load(c)
}
