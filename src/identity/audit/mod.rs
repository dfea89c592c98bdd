//! The audit trail: what the platform's own staff looked at, and who was turned away.
//!
//! Operators and compliance staff see what its owners alone could see otherwise. The request layer records every read that
//! one of them makes with a credential, before they see it, whatever it turns out to show: which routes show more to staff
//! than to others need not be listed anywhere, and a new one cannot be forgotten. Refusals for want of a credential or of a
//! right are recorded within a second (see [`Denials`]), and so are those that say "not found" of what exists but the
//! caller may not see, and those for too many requests. Unknown callers are distinguished by address.
//!
//! Nothing of it is ever changed or removed, and the exchange commits itself to each day of it in the public log (see
//! `days`).

mod days;
mod denials;
mod keys;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use days::{AuditDay, audit_trail, close_days};
pub use denials::{Denials, keep_denials};
pub use keys::audit_keys;

use super::{Caller, queries};
use crate::db::Conn;
use crate::error::Result;
use crate::text_enum;
use crate::types::{AuditId, Instant, Page, PageQuery, UserId, kind};

text_enum! {
    /// What became of a request in the audit trail.
    pub enum AuditOutcome {
        /// Staff of the platform read what it showed, or learned that there is nothing.
        Read = "read",
        /// It was refused: for want of a credential or of a right, told or not, or because it was asked too often.
        Denied = "denied",
    }
}

/// A record of the audit trail.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    diesel::Queryable,
    diesel::Selectable,
    diesel::Insertable,
)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::audit_records, check_for_backend(crate::db::MultiBackend))]
pub struct AuditRecord {
    /// The record.
    pub id: AuditId,
    /// The day (UTC) that it counts to: that of `recorded_at`, or a later one when that was closed.
    pub day: String,
    /// Who asked; absent when nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The caller's address, if the caller is unknown: an IPv4 address, or an IPv6 network of 64 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// What was asked for: of a read the method, path and query; of a denial the method and path, and where nobody knows who asked,
    /// the route's pattern.
    pub request: String,
    /// Why it was denied: the last part of the problem's type; `not-found` for what the caller may not know to exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often, within a second.
    pub times: i64,
    /// When.
    pub recorded_at: Instant,
}

/// Records that a caller reads what a `request` shows, if it has a platform role. Commit this before anything is read.
///
/// # Errors
/// Those of the database.
pub fn record_read(c: &mut Conn, caller: &Caller, request: &str, now: Instant) -> Result<()> {
    if caller.is_staff() {
        let read = AuditRecord {
            id: AuditId::new(now),
            day: days::open_day(c, now)?,
            user_id: Some(caller.user_id),
            address: None,
            outcome: AuditOutcome::Read,
            request: request.to_string(),
            reason: None,
            times: 1,
            recorded_at: now,
        };
        queries::insert_audit_record(c, &read)?;
    }
    Ok(())
}

/// The audit trail, oldest first, or the records with one outcome; operators only, so that those who read most are watched
/// by others.
///
/// # Errors
/// `Forbidden`; `Invalid`, naming the parameter.
pub fn audit_records(
    c: &mut Conn,
    caller: &Caller,
    outcome: Option<AuditOutcome>,
    page: &PageQuery,
) -> Result<Page<AuditRecord>> {
    caller.require_operator()?;
    let limit = page.limit()?;
    let rows = queries::list_audit_records(c, outcome, page.after_id::<kind::Audit>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |record| record.id.to_string()))
}

/// The days of the audit trail that are closed, oldest first; operators only.
///
/// # Errors
/// `Forbidden`; `Invalid`, naming the parameter.
pub fn audit_days(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Page<AuditDay>> {
    caller.require_operator()?;
    let limit = page.limit()?;
    let rows = queries::list_audit_days(c, page.after()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |day| day.day.clone()))
}
