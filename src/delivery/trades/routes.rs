//! Acceptance, rejection and cure over HTTP, and what the receipts of an order show.

use actix_web::web::{Data, Path};
use actix_web::{get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::Json;
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::Caller;
use crate::market::disputes::Decision;
use crate::market::orders::routes::{OrderReason, OrderView, order_view};
use crate::market::orders::{self, CureOffer};
use crate::market::{DeliveryEvidence, Order};
use crate::types::OrderId;

/// Does something to an order once per key, and shows the order.
async fn effect<F>(app: Data<App>, key: IdempotencyKey, act: F) -> Result<Json<OrderView>>
where
    F: Fn(&mut Conn) -> Result<Order> + Send + 'static,
{
    let show = move |c: &mut Conn| {
        let order = act(c)?;
        order_view(c, order)
    };
    Ok(Json(once(&app, key, show).await?))
}

/// Shows what was delivered of an order, as its receipts prove it.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = DeliveryEvidence), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/orders/{id}/delivery")]
pub(crate) async fn get_delivery(app: Data<App>, caller: Caller, id: Path<OrderId>) -> Result<Json<DeliveryEvidence>> {
    let show = move |c: &mut Conn| {
        let order = orders::visible_order(c, &caller, *id)?;
        super::evidence_of(c, &order)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Accepts what was delivered: the provider is paid, less the exchange's fee.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "nothing was delivered yet, it is accepted already, or its time is over")))]
#[post("/v1/orders/{id}/acceptance")]
pub(crate) async fn accept_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "accept_order", &*id)?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| super::accept(c, &caller, &keys, *id, now)).await
}

/// Rejects what was delivered; the provider may offer a cure.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = OrderReason, responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "nothing was delivered yet, it is accepted already, or its time is over")))]
#[post("/v1/orders/{id}/rejection")]
pub(crate) async fn reject_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<OrderReason>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reject_order", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| orders::reject(c, &caller, &keys, *id, &input.reason, now)).await
}

/// Offers a cure for what was rejected: another delivery, or a refund. A refund of the whole price is made at once.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = CureOffer, responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not rejected, or the time to cure is over"),
    (status = 422, body = Problem, description = "an amount that cannot be refunded")))]
#[post("/v1/orders/{id}/cure")]
pub(crate) async fn offer_cure(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<CureOffer>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "offer_cure", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| super::offer_cure(c, &caller, &keys, *id, &input, now)).await
}

/// What a provider has done.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedeliveryNote {
    /// In 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    note: String,
}

/// Says that what was rejected is delivered again: the buyer has a new window to accept or reject it.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = RedeliveryNote, responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "no redelivery was offered, or the time to cure is over")))]
#[post("/v1/orders/{id}/redelivery")]
pub(crate) async fn redeliver_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<RedeliveryNote>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "redeliver_order", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| orders::redeliver(c, &caller, &keys, *id, &input.note, now)).await
}

/// Accepts the partial refund, which settles the rest.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "no refund of a part is offered, or the time to answer is over")))]
#[post("/v1/orders/{id}/cure/acceptance")]
pub(crate) async fn accept_cure(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "accept_cure", &*id)?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| super::accept_cure(c, &caller, &keys, *id, now)).await
}

/// Rejects the partial refund; the provider may offer another cure.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = OrderReason, responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "no refund of a part is offered, or the time to answer is over")))]
#[post("/v1/orders/{id}/cure/rejection")]
pub(crate) async fn reject_cure(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<OrderReason>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reject_cure", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| orders::reject_cure(c, &caller, &keys, *id, &input.reason, now)).await
}

/// Decides a dispute that was appealed. The decision is carried out at once, and is final.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = Decision, responses(
    (status = 200, body = OrderView),
    (status = 403, body = Problem, description = "not an operator"),
    (status = 409, body = Problem, description = "not appealed"),
    (status = 422, body = Problem, description = "an amount that cannot be refunded")))]
#[post("/v1/orders/{id}/dispute/appeal/decision")]
pub(crate) async fn decide_appeal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    input: Json<Decision>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "decide_appeal", &(*id, &*input))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    effect(app, key, move |c| super::decide_appeal(c, &caller, &keys, *id, &input, now)).await
}
