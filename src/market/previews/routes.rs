//! Previews over HTTP.

use actix_web::get;
use actix_web::web::{Data, Path};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::app::App;
use crate::catalog::VersionRef;
use crate::catalog::inspection::Findings;
use crate::error::{Problem, Result};
use crate::http::input::Json;
use crate::identity::Caller;

/// A preview of a version before it is bought.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewView {
    /// The first records of its sample: ten, or fewer if they are long.
    #[schema(value_type = Vec<Object>)]
    records: Vec<Value>,
    /// Its columns, with their statistics, and how the sample was drawn.
    findings: Findings,
}

/// Shows the first records of a version's sample, where its terms allow a preview.
///
/// For anybody who is signed in, while the version is on the board under terms with `preview`; for its provider and the
/// exchange's staff at any time.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(VersionRef), responses(
    (status = 200, body = PreviewView),
    (status = 403, body = Problem, description = "no terms of its listings allow a preview"),
    (status = 404, body = Problem, description = "no such version, or no sample was drawn of it"),
    (status = 409, body = Problem, description = "it is not sealed yet")))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/preview")]
pub(crate) async fn get_preview(app: Data<App>, caller: Caller, which: Path<VersionRef>) -> Result<Json<PreviewView>> {
    let preview = app.db.read(move |c| super::preview(c, &caller, &which)).await?;
    let records = super::first_records(&app.store, &preview.sample).await?;
    Ok(Json(PreviewView { records, findings: preview.findings }))
}
