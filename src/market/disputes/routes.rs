//! Disputes over HTTP: one for each order, at its address.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Claim, Decision, Dispute, DisputeState, NewDispute, Outcome};
use crate::app::App;
use crate::assessment::Evidence;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history::{self, Transition};
use crate::http::input::Json;
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::market::orders::routes::OrderReason;
use crate::types::{DisputeId, Instant, Money, OrderId};

/// A dispute over an order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DisputeView {
    /// Its identifier.
    id: DisputeId,
    /// What it is about.
    order_id: OrderId,
    /// The handle of the side that opened it.
    opened_by: String,
    /// Why, in its words.
    reason: String,
    /// What it rests on.
    evidence: Vec<Evidence>,
    /// Where it is in its life.
    state: DisputeState,
    /// In whose favour it is decided so far.
    outcome: Option<Outcome>,
    /// What goes back to the buyer by a split.
    refund: Option<Money>,
    /// Of a dispute over what was settled, once it is final: what went back to the buyer.
    recovered: Option<Money>,
    /// What a final decision awards the buyer beyond that, since it was paid out or taken up before: who owes what.
    claims: Vec<Claim>,
    /// Until when a side may appeal; null while there is nothing to appeal against.
    due_at: Option<Instant>,
    /// When it was opened.
    opened_at: Instant,
    /// Its steps, oldest first.
    history: Vec<Transition>,
}

fn view(c: &mut Conn, dispute: Dispute) -> Result<DisputeView> {
    let currency = crate::market::order(c, dispute.order_id)?.currency;
    Ok(DisputeView {
        id: dispute.id,
        order_id: dispute.order_id,
        opened_by: identity::organisation(c, dispute.opened_by)?.handle,
        reason: dispute.reason,
        evidence: dispute.evidence.0,
        state: dispute.state,
        outcome: dispute.outcome,
        refund: dispute.refund_minor.map(|minor| Money::new(minor, currency)),
        recovered: dispute.recovered_minor.map(|minor| Money::new(minor, currency)),
        claims: dispute.claims.map(|claims| claims.0).unwrap_or_default(),
        due_at: dispute.due_at,
        opened_at: dispute.opened_at,
        history: history::list(c, dispute.id)?,
    })
}

/// Asks the exchange to decide what becomes of an order's money: while one side waits for the other, or within some days
/// after the settlement. Until the decision is final, only what was taken up before is paid out; the licence stays as it
/// is.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = NewDispute, responses(
    (status = 201, body = DisputeView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "nothing of it is in escrow or was settled, the time for it is over, or it had its dispute")))]
#[post("/v1/orders/{id}/dispute")]
pub(crate) async fn open_dispute(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<NewDispute>,
) -> Result<HttpResponse> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "open_dispute", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let open = move |c: &mut Conn| {
        let dispute = super::open(c, &caller, &keys, *id, &input, now)?;
        view(c, dispute)
    };
    Ok(HttpResponse::Created().json(once(&app, key, open).await?))
}

/// Shows the dispute over an order.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = DisputeView), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "none was opened")))]
#[get("/v1/orders/{id}/dispute")]
pub(crate) async fn get_dispute(app: Data<App>, caller: Caller, id: Path<OrderId>) -> Result<Json<DisputeView>> {
    let show = move |c: &mut Conn| {
        let (_, dispute) = super::of_order(c, &caller, *id)?;
        view(c, dispute)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Decides an open dispute. The decision is carried out when nobody appeals in time.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = Decision, responses(
    (status = 200, body = DisputeView),
    (status = 403, body = Problem, description = "not an operator"),
    (status = 409, body = Problem, description = "not open"),
    (status = 422, body = Problem, description = "an amount that cannot be refunded")))]
#[post("/v1/orders/{id}/dispute/decision")]
pub(crate) async fn decide_dispute(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<Decision>,
) -> Result<Json<DisputeView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "decide_dispute", &(*id, &*input))?;
    let (keys, config, now) = (app.keys.clone(), app.config.clone(), app.clock.now());
    let decide = move |c: &mut Conn| {
        let dispute = super::decide(c, &caller, (&keys, &config), *id, &input, now)?;
        view(c, dispute)
    };
    Ok(Json(once(&app, key, decide).await?))
}

/// Appeals against a decision, once and in time.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = OrderReason, responses(
    (status = 200, body = DisputeView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not decided, or the time to appeal is over")))]
#[post("/v1/orders/{id}/dispute/appeal")]
pub(crate) async fn appeal_dispute(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    why: Json<OrderReason>,
) -> Result<Json<DisputeView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "appeal_dispute", &(*id, &*why))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let appeal = move |c: &mut Conn| {
        let dispute = super::appeal(c, &caller, &keys, *id, &why.reason, now)?;
        view(c, dispute)
    };
    Ok(Json(once(&app, key, appeal).await?))
}
