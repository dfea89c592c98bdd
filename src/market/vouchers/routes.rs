//! Voucher programmes over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::file::{self, VoucherFile};
use super::{NewProgramme, Programme, VoucherMovement};
use crate::app::App;
use crate::catalog::Domain;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::answers::attachment;
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::types::csv::{self, ListFormat};
use crate::types::{Instant, Money, Page, PageQuery, ProgrammeId};

/// A public programme that subsidises purchases.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProgrammeView {
    /// Its identifier: what a payment names.
    id: ProgrammeId,
    /// The funder's handle.
    funder: String,
    /// Its name.
    name: String,
    /// Its part of each price, in basis points.
    rate_basis_points: i64,
    /// The most that one buyer gets.
    cap: Money,
    /// What a corpus must be about.
    domains: Vec<Domain>,
    /// Since when it pays.
    starts_at: Instant,
    /// Until when, that moment excluded.
    ends_at: Instant,
    /// What its pool holds.
    pool: Money,
}

fn view(c: &mut Conn, programme: Programme) -> Result<ProgrammeView> {
    Ok(ProgrammeView {
        funder: identity::organisation(c, programme.funder_id)?.handle,
        pool: super::pool(c, &programme)?,
        cap: programme.cap(),
        id: programme.id,
        name: programme.name,
        rate_basis_points: programme.rate_basis_points,
        domains: programme.domains.0,
        starts_at: programme.starts_at,
        ends_at: programme.ends_at,
    })
}

/// Announces a voucher programme, and fills its pool from the funder's wallet.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = NewProgramme, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 201, body = ProgrammeView),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "no such organisation"),
    (status = 422, body = Problem, description = "a field was refused, or the wallet holds less")))]
#[post("/v1/voucher-programmes")]
pub(crate) async fn create_programme(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<NewProgramme>,
) -> Result<HttpResponse> {
    let now = app.clock.now();
    let key = IdempotencyKey::new(caller.user_id, key.value(), "create_programme", &*input)?;
    let announce = move |c: &mut Conn| {
        let programme = super::announce(c, &caller, &input, now)?;
        view(c, programme)
    };
    Ok(HttpResponse::Created().json(once(&app, key, announce).await?))
}

/// Lists the voucher programmes, oldest first.
#[utoipa::path(tag = "market", security(()), params(PageQuery), responses((status = 200, body = Page<ProgrammeView>)))]
#[get("/v1/voucher-programmes")]
pub(crate) async fn list_programmes(app: Data<App>, page: Query<PageQuery>) -> Result<Page<ProgrammeView>> {
    let list = move |c: &mut Conn| {
        let rows = super::programmes(c, &page)?;
        identity::load_organisations(c, rows.iter().map(|programme| programme.funder_id))?;
        let views = rows.into_iter().map(|row| view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Shows a voucher programme.
#[utoipa::path(tag = "market", security(()), responses((status = 200, body = ProgrammeView), (status = 404, body = Problem, description = "no such programme")))]
#[get("/v1/voucher-programmes/{id}")]
pub(crate) async fn get_programme(app: Data<App>, id: Path<ProgrammeId>) -> Result<Json<ProgrammeView>> {
    let show = move |c: &mut Conn| {
        let programme = super::programme(c, *id)?;
        view(c, programme)
    };
    Ok(Json(app.db.read(show).await?))
}

/// What is put into a pool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Funding {
    /// How much, from the funder's wallet; above zero.
    amount: Money,
}

/// Puts more into a programme's pool, from the funder's wallet.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = Funding, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = ProgrammeView),
    (status = 403, body = Problem, description = "not the funder, or your role is too small"),
    (status = 409, body = Problem, description = "the programme has ended"),
    (status = 422, body = Problem, description = "the amount was refused, or the wallet holds less")))]
#[post("/v1/voucher-programmes/{id}/funding")]
pub(crate) async fn fund_programme(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<ProgrammeId>,
    input: Json<Funding>,
) -> Result<Json<ProgrammeView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "fund_programme", &(id, &*input))?;
    let fund = move |c: &mut Conn| {
        let programme = super::fund(c, &caller, id, input.amount, now)?;
        view(c, programme)
    };
    Ok(Json(once(&app, key, fund).await?))
}

/// Returns what an ended programme has left to the funder's wallet.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = ProgrammeView),
    (status = 403, body = Problem, description = "not the funder, or your role is too small"),
    (status = 409, body = Problem, description = "the programme has not ended, or nothing is left")))]
#[post("/v1/voucher-programmes/{id}/return")]
pub(crate) async fn return_programme(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<ProgrammeId>,
) -> Result<Json<ProgrammeView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "return_programme", &id)?;
    let take_back = move |c: &mut Conn| {
        let programme = super::take_back_rest(c, &caller, id, now)?;
        view(c, programme)
    };
    Ok(Json(once(&app, key, take_back).await?))
}

/// Which movements, and how they are written.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MovementParams {
    /// `json`, a page, when absent; `csv`: all of them as one file.
    #[param(inline)]
    format: Option<ListFormat>,
    /// The `next` of the page before; absent for the first page. Of `json` only.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent. Of `json` only.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Returns the audit file of a programme: each funding, use, clawback and return, with what was left after it.
///
/// For the funder's members and the exchange's staff.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(MovementParams), responses(
    (status = 200, description = "The movements", content((Page<VoucherMovement> = "application/json"), (String = "text/csv"))),
    (status = 404, body = Problem, description = "no such programme, or not yours")))]
#[get("/v1/voucher-programmes/{id}/movements")]
pub(crate) async fn list_voucher_movements(
    app: Data<App>,
    caller: Caller,
    id: Path<ProgrammeId>,
    query: Query<MovementParams>,
) -> Result<HttpResponse> {
    let (id, MovementParams { format, cursor, limit }) = (*id, query.into_inner());
    if format.unwrap_or(ListFormat::Json) == ListFormat::Json {
        let page = PageQuery { cursor, limit };
        return Ok(HttpResponse::Ok().json(app.db.read(move |c| file::movements(c, &caller, id, &page)).await?));
    }
    let file = app.db.read(move |c| file::voucher_file(c, &caller, id)).await?;
    Ok(attachment(app, (&format!("{id}.csv"), csv::MEDIA_TYPE), file, VoucherFile::next))
}
