//! The record of privileged reads over HTTP.

use actix_web::get;
use actix_web::web::{Data, Query};

use crate::app::App;
use crate::error::{Problem, Result};
use crate::identity::{AuditRead, Caller, audit};
use crate::types::{Page, PageQuery};

/// Lists what operators and compliance staff read, oldest first.
///
/// Every read that they make with their credential is recorded before it is answered, this one included.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = Page<AuditRead>),
    (status = 403, body = Problem, description = "not an operator")))]
#[get("/v1/audit/reads")]
pub(crate) async fn list_audit_reads(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<AuditRead>> {
    app.db.read(move |c| audit::audit_reads(c, &caller, &page)).await
}
