//! Seats over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{delete, get, put};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Seat;
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::{self, Caller};
use crate::types::{EntitlementId, Instant, Page, PageQuery, SeatId, TokenId};

/// An API token that may use a licence whose terms limit how many may.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeatView {
    /// Its identifier.
    id: SeatId,
    /// The licence.
    entitlement_id: EntitlementId,
    /// The token.
    token_id: TokenId,
    /// The e-mail address of the token's owner.
    user: String,
    /// Since when it has the seat.
    assigned_at: Instant,
    /// Until when it had it; null while it has.
    freed_at: Option<Instant>,
}

fn view(c: &mut Conn, seat: Seat) -> Result<SeatView> {
    let Seat { id, entitlement_id, token_id, user_id, assigned_at, freed_at } = seat;
    let user = identity::user(c, user_id)?.email;
    Ok(SeatView { id, entitlement_id, token_id, user, assigned_at, freed_at })
}

/// Which seat.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SeatPath {
    /// The licence.
    id: EntitlementId,
    /// The token's identifier, as its owner finds it by `GET /v1/tokens`.
    token: TokenId,
}

/// Assigns a seat to an API token; admins of the licensee only. A token that already has one keeps it.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(SeatPath), responses((status = 200, body = SeatView),
    (status = 403, body = Problem, description = "not an admin of the licensee"),
    (status = 404, body = Problem, description = "no such licence"),
    (status = 409, body = Problem, description = "all seats are taken, or the terms do not limit them"),
    (status = 422, body = Problem, description = "the token's owner may not use the licence, or it has ended")))]
#[put("/v1/entitlements/{id}/seats/{token}")]
pub(crate) async fn assign_seat(app: Data<App>, caller: Caller, path: Path<SeatPath>) -> Result<Json<SeatView>> {
    let now = app.clock.now();
    let assign = move |c: &mut Conn| {
        let seat = super::assign(c, &caller, path.id, path.token, now)?;
        view(c, seat)
    };
    Ok(Json(app.db.write(assign).await?))
}

/// Removes the seat of an API token; admins of the licensee only. The token is given no link from then on.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(SeatPath), responses((status = 200, body = SeatView),
    (status = 403, body = Problem, description = "not an admin of the licensee"),
    (status = 404, body = Problem, description = "no such licence"),
    (status = 409, body = Problem, description = "the token has no seat")))]
#[delete("/v1/entitlements/{id}/seats/{token}")]
pub(crate) async fn free_seat(app: Data<App>, caller: Caller, path: Path<SeatPath>) -> Result<Json<SeatView>> {
    let now = app.clock.now();
    let free = move |c: &mut Conn| {
        let seat = super::free(c, &caller, path.id, path.token, now)?;
        view(c, seat)
    };
    Ok(Json(app.db.write(free).await?))
}

/// Lists the assigned seats of a licence, oldest first.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(("id" = EntitlementId, Path), PageQuery), responses(
    (status = 200, body = Page<SeatView>), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/entitlements/{id}/seats")]
pub(crate) async fn list_seats(
    app: Data<App>,
    caller: Caller,
    id: Path<EntitlementId>,
    page: Query<PageQuery>,
) -> Result<Page<SeatView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = super::seats(c, &caller, *id, &page)?;
        identity::load_users(c, rows.iter().map(|seat| seat.user_id))?;
        let views = rows.into_iter().map(|row| view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}
