//! Privileged reads: what the platform's own people looked at, recorded before they see it.
//!
//! Operators and compliance staff see what its owners alone could see otherwise. The request layer records every
//! read that one of them makes with a credential, whatever it turns out to show: which routes show more to staff
//! than to others need not be listed anywhere, and a new one cannot be forgotten.

use utoipa::ToSchema;

use super::{Caller, queries};
use crate::db::Conn;
use crate::error::Result;
use crate::types::{AuditId, Instant, Page, PageQuery, UserId, kind};

/// A caller whose read stands on record, if it is a privileged one. Actions that open other parties' records take
/// this instead of a [`Caller`].
#[derive(Debug, Clone)]
pub struct AuditedCaller(Caller);

impl AuditedCaller {
    /// Whom [`record_read`] was called for, in this request.
    pub(super) fn of_recorded(caller: Caller) -> Self {
        Self(caller)
    }
    /// Refuses everyone but staff of the platform.
    pub fn require_staff(&self) -> Result<()> {
        self.0.require_staff()
    }
    /// Refuses everyone but compliance staff.
    pub fn require_compliance(&self) -> Result<()> {
        self.0.require_compliance()
    }
}

/// A privileged read.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema, diesel::Queryable, diesel::Selectable,
)]
#[diesel(table_name = crate::schema::audit_reads, check_for_backend(crate::db::MultiBackend))]
pub struct AuditRead {
    /// The record.
    pub id: AuditId,
    /// Who read.
    pub user_id: UserId,
    /// What was asked for: the method, path and query of the request.
    pub query: String,
    /// When.
    pub read_at: Instant,
}

/// Records that a caller reads `what`, if it has a platform role. Commit this before anything is read.
///
/// # Errors
/// Those of the database.
pub fn record_read(c: &mut Conn, caller: &Caller, what: &str, now: Instant) -> Result<AuditedCaller> {
    if caller.platform_role.is_some() {
        queries::insert_audit_read(c, AuditId::new(now), caller.user_id, what, now)?;
    }
    Ok(AuditedCaller(caller.clone()))
}

/// The privileged reads, oldest first; operators only, so that those who read most are watched by others.
///
/// # Errors
/// `Forbidden`; `Invalid`, naming the parameter.
pub fn audit_reads(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Page<AuditRead>> {
    caller.require_operator()?;
    let limit = page.limit()?;
    let rows = queries::list_audit_reads(c, page.after_id::<kind::Audit>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |read| read.id.to_string()))
}
