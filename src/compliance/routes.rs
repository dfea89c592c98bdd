//! Traces over HTTP.

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Trace;
use crate::app::App;
use crate::error::{Problem, Result};
use crate::identity::Caller;

/// What to trace.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceQuery {
    /// A SHA-256, `ORG/NAME`, `ORG/NAME@VERSION`, an order or a contract.
    subject: String,
}

/// Tells where bytes came from, who holds them and under which terms. The question itself is put on record.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(TraceQuery),
    responses((status = 200, body = Trace),
        (status = 403, body = Problem, description = "not compliance staff"),
        (status = 422, body = Problem, description = "not something that can be traced")))]
#[get("/v1/trace")]
pub(crate) async fn get_trace(app: Data<App>, caller: Caller, query: Query<TraceQuery>) -> Result<Json<Trace>> {
    let (subject, now) = (query.into_inner().subject, app.clock.now());
    let audited = app.db.write(move |c| super::begin_query(c, &caller, &subject, now)).await?;
    Ok(Json(app.db.read(move |c| super::trace(c, &audited)).await?))
}
