//! Inspections over HTTP: what was found.

use actix_web::get;
use actix_web::web::{Data, Path};
use serde::Serialize;
use utoipa::ToSchema;

use super::Findings;
use crate::app::App;
use crate::catalog::{self, VersionRef};
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::Json;
use crate::identity::routes::MaybeCaller;
use crate::signing::Envelope;
use crate::types::EntryId;

/// What the exchange found when it read a version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InspectionView {
    /// What it found, and which records it drew. The records themselves are in the preview.
    findings: Findings,
    /// The signed statement that says so.
    envelope: Envelope,
    /// Its entry in the log: `GET /v1/log/proofs/{entry_id}` proves it.
    entry_id: EntryId,
}

/// Shows what the exchange found when it read a version: formats, columns and their statistics, and which records its
/// sample holds. For anybody who may see the version.
#[utoipa::path(tag = "catalog", security((), ("bearer" = [])), params(VersionRef), responses(
    (status = 200, body = InspectionView),
    (status = 404, body = Problem, description = "no such version, or it was not inspected yet")))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/inspection")]
pub(crate) async fn get_inspection(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
) -> Result<Json<InspectionView>> {
    let show = move |c: &mut Conn| {
        let (_, version) = catalog::view_version(c, caller.0.as_ref(), &which)?;
        let inspection = super::inspection_of(c, version.id)?;
        let (findings, stored) = super::findings(c, &inspection)?;
        Ok(InspectionView { findings, envelope: stored.envelope, entry_id: stored.entry_id })
    };
    Ok(Json(app.db.read(show).await?))
}
