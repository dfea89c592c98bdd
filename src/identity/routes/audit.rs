//! The audit trail over HTTP.

use actix_web::get;
use actix_web::web::Data;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::Query;
use crate::identity::Caller;
use crate::identity::audit::{self, AuditDay, AuditOutcome, AuditRecord};
use crate::types::{Page, PageQuery};

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RecordParams {
    /// `read`: what staff looked at; `denied`: who was turned away; both when absent.
    #[param(inline)]
    outcome: Option<AuditOutcome>,
    /// The `next` of the page before; absent for the first page.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists what operators and compliance staff read, and who was turned away, oldest first.
///
/// Every read that staff make with their credential is recorded before it is answered, this one included. Refusals for a
/// missing credential or right are recorded within a second; equal ones as one record.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(RecordParams), responses(
    (status = 200, body = Page<AuditRecord>),
    (status = 403, body = Problem, description = "not an operator"),
    (status = 422, body = Problem, description = "a parameter is not acceptable")))]
#[get("/v1/audit/records")]
pub(crate) async fn list_audit_records(
    app: Data<App>,
    caller: Caller,
    query: Query<RecordParams>,
) -> Result<Page<AuditRecord>> {
    let RecordParams { outcome, cursor, limit } = query.into_inner();
    app.db.read(move |c| audit::audit_records(c, &caller, outcome, &PageQuery { cursor, limit })).await
}

/// Lists the closed days of the audit trail, oldest first.
///
/// The statement `audit-trail` of each day is in the log: recomputing a day's digest from its records shows that none was
/// changed or removed since.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = Page<AuditDay>),
    (status = 403, body = Problem, description = "not an operator")))]
#[get("/v1/audit/days")]
pub(crate) async fn list_audit_days(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<AuditDay>> {
    app.db.read(move |c| audit::audit_days(c, &caller, &page)).await
}
