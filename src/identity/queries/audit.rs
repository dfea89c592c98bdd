//! The tables of the audit trail: `audit_records` and `audit_days`.

use diesel::prelude::*;

use crate::db::Conn;
use crate::identity::audit::{AuditDay, AuditOutcome, AuditRecord};
use crate::schema::{audit_days, audit_records};

pub(in crate::identity) fn insert_audit_record(c: &mut Conn, record: &AuditRecord) -> QueryResult<usize> {
    diesel::insert_into(audit_records::table).values(record).execute(c)
}

/// Oldest first, with one outcome or any.
pub(in crate::identity) fn list_audit_records(
    c: &mut Conn,
    outcome: Option<AuditOutcome>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<AuditRecord>> {
    let rows = audit_records::table
        .filter(audit_records::id.gt(after))
        .order(audit_records::id)
        .limit(limit)
        .select(AuditRecord::as_select());
    match outcome {
        Some(outcome) => rows.filter(audit_records::outcome.eq(outcome)).load(c),
        None => rows.load(c),
    }
}

/// Those that count to a day, in the order of their ids.
pub(in crate::identity) fn list_audit_records_of(
    c: &mut Conn,
    day: &str,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<AuditRecord>> {
    audit_records::table
        .filter(audit_records::day.eq(day))
        .filter(audit_records::id.gt(after))
        .order(audit_records::id)
        .limit(limit)
        .select(AuditRecord::as_select())
        .load(c)
}

pub(in crate::identity) fn count_audit_records(c: &mut Conn, day: &str) -> QueryResult<i64> {
    audit_records::table.filter(audit_records::day.eq(day)).count().get_result(c)
}

/// The first day after this one to which a record counts.
pub(in crate::identity) fn find_audit_day_after(c: &mut Conn, day: &str) -> QueryResult<Option<String>> {
    let days = audit_records::table.filter(audit_records::day.gt(day)).order(audit_records::day);
    days.select(audit_records::day).first(c).optional()
}

pub(in crate::identity) fn insert_audit_day(c: &mut Conn, day: &AuditDay) -> QueryResult<usize> {
    diesel::insert_into(audit_days::table).values(day).execute(c)
}

pub(in crate::identity) fn find_last_audit_day(c: &mut Conn) -> QueryResult<Option<AuditDay>> {
    audit_days::table.order(audit_days::day.desc()).select(AuditDay::as_select()).first(c).optional()
}

/// Oldest first.
pub(in crate::identity) fn list_audit_days(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<AuditDay>> {
    let rows = audit_days::table.filter(audit_days::day.gt(after)).order(audit_days::day);
    rows.limit(limit).select(AuditDay::as_select()).load(c)
}
