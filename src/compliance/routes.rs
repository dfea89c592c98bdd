//! Traces over HTTP.

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Conflict, Event, EventQuery, Export, ExportFormat, Reconciliation, Trace, TraceQuery};
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::answers::attachment;
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::types::{Instant, Page, PageQuery};

/// What to trace.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TraceParams {
    /// A SHA-256 (of bytes, a signed document or a key), `ORG`, `ORG/NAME`, `ORG/NAME@VERSION`,
    /// `ORG/NAME@VERSION:PATH`, `order_…`, `contract_…`, `entitlement_…`, `listing_…`, `terms_…`, `CPX-…`, `log:INDEX`
    /// or `entry_…`.
    subject: String,
    /// The time at which the terms shown are in force; now when absent.
    at: Option<Instant>,
    /// Whether to prove every log entry that is named.
    #[serde(default)]
    proofs: bool,
    /// The `next` of the page before; absent for the first page.
    cursor: Option<String>,
    /// The most chains wanted, 1 to 100; 20 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// What they have to do with, in one of the forms of a trace's subject.
    subject: Option<String>,
    /// A kind of statement (`manifest`, `contract`, …), or `delivery`, `first-seen`, `transition` or `conflict`.
    kind: Option<String>,
    /// The handle of an organisation that the events must also concern.
    organisation: Option<String>,
    /// Since when.
    from: Option<Instant>,
    /// Until when, that moment excluded.
    to: Option<Instant>,
    /// The `next` of the page before; absent for the first page.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Which events, and how they are written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// `csv`, `jsonl` or `prov`.
    #[param(inline)]
    format: ExportFormat,
    /// What they have to do with, in one of the forms of a trace's subject.
    subject: Option<String>,
    /// A kind of statement (`manifest`, `contract`, …), or `delivery`, `first-seen`, `transition` or `conflict`.
    kind: Option<String>,
    /// The handle of an organisation that the events must also concern.
    organisation: Option<String>,
    /// Since when.
    from: Option<Instant>,
    /// Until when, that moment excluded.
    to: Option<Instant>,
}

/// Shows where bytes came from, who holds them and under which terms. The query itself is put on record.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(TraceParams),
    responses((status = 200, body = Trace),
        (status = 403, body = Problem, description = "not compliance staff"),
        (status = 404, body = Problem, description = "nothing of that name exists"),
        (status = 422, body = Problem, description = "not something that can be traced")))]
#[get("/v1/trace")]
pub(crate) async fn get_trace(app: Data<App>, caller: Caller, query: Query<TraceParams>) -> Result<Json<Trace>> {
    let (TraceParams { subject, at, proofs, cursor, limit }, now) = (query.into_inner(), app.clock.now());
    let query = TraceQuery { subject, at, proofs, page: PageQuery { cursor, limit } };
    Ok(Json(app.db.read(move |c| super::trace(c, &caller, &query, now)).await?))
}

/// Lists everything that happened to a subject, to an organisation or within a period, oldest first.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(EventParams),
    responses((status = 200, body = Page<Event>),
        (status = 403, body = Problem, description = "not compliance staff"),
        (status = 404, body = Problem, description = "nothing of that name exists"),
        (status = 422, body = Problem, description = "a parameter is not acceptable")))]
#[get("/v1/trace/events")]
pub(crate) async fn list_events(app: Data<App>, caller: Caller, query: Query<EventParams>) -> Result<Page<Event>> {
    let now = app.clock.now();
    let EventParams { subject, kind, organisation, from, to, cursor, limit } = query.into_inner();
    let (wanted, page) = (EventQuery { subject, kind, organisation, from, to }, PageQuery { cursor, limit });
    app.db.read(move |c| super::events(c, &caller, &wanted, &page, now)).await
}

/// Lists the bytes that more than one organisation sealed, oldest conflict first.
///
/// Neither organisation is told.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(PageQuery),
    responses((status = 200, body = Page<Conflict>),
        (status = 403, body = Problem, description = "not compliance staff")))]
#[get("/v1/conflicts")]
pub(crate) async fn list_conflicts(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<Conflict>> {
    app.db.read(move |c| super::conflicts(c, &caller, &page)).await
}

/// Writes everything that happened to a subject, to an organisation or within a period to one file.
///
/// The file is streamed. If the connection ends early, the file is incomplete.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(ExportParams),
    responses((status = 200, body = String, content_type = "text/csv", description = "The file: CSV, JSON Lines or PROV-JSON"),
        (status = 403, body = Problem, description = "not compliance staff"),
        (status = 404, body = Problem, description = "nothing of that name exists"),
        (status = 422, body = Problem, description = "a parameter is not acceptable")))]
#[get("/v1/trace/export")]
pub(crate) async fn export_trace(app: Data<App>, caller: Caller, query: Query<ExportParams>) -> Result<HttpResponse> {
    let now = app.clock.now();
    let ExportParams { format, subject, kind, organisation, from, to } = query.into_inner();
    let wanted = EventQuery { subject, kind, organisation, from, to };
    let export = app.db.read(move |c| super::export(c, &caller, &wanted, format, now)).await?;
    Ok(attachment(app, (format.file_name(), format.media_type()), export, Export::next))
}

/// Recomputes every balance from the postings, compares escrow with the orders that are paid and not settled, and
/// lists each difference.
#[utoipa::path(tag = "compliance", security(("bearer" = [])),
    responses((status = 200, body = Reconciliation),
        (status = 403, body = Problem, description = "not staff of the exchange")))]
#[get("/v1/reconciliation")]
pub(crate) async fn get_reconciliation(app: Data<App>, caller: Caller) -> Result<Json<Reconciliation>> {
    let now = app.clock.now();
    Ok(Json(app.db.read(move |c| super::reconciliation(c, &caller, now)).await?))
}
