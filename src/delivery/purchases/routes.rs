//! Buying in one step over HTTP.

use actix_web::web::Data;
use actix_web::{HttpResponse, post};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::db::Conn;
use crate::delivery::routes::{Payment, payment};
use crate::error::{Problem, Result};
use crate::http::input::Json;
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once, once_gathered};
use crate::identity::Caller;
use crate::market::orders::{NewOrder, Purchase, SignedQuote};
use crate::signing::Envelope;
use crate::types::ProgrammeId;

/// A purchase at a quote.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPurchase {
    /// What was asked to be quoted.
    order: NewOrder,
    /// The quote, as it came.
    quote: String,
    /// The contract's bytes, signed by an active key of the buyer.
    envelope: Envelope,
    /// The voucher programme that pays its part of the price; when absent, the buyer pays all of it.
    voucher: Option<ProgrammeId>,
}

/// Buys at a quote: places the order, signs its contract, pays it into escrow and grants the licence, all or nothing. The
/// idempotency key covers the order and the voucher: it may be repeated with another quote.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = NewPurchase, responses(
    (status = 201, body = Payment),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 409, body = Problem, description = "the quote does not hold any more, or was used"),
    (status = 422, body = Problem, description = "not a quote of this exchange, not its contract, or too little in the wallet")))]
#[post("/v1/purchases")]
pub(crate) async fn buy(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<NewPurchase>,
) -> Result<HttpResponse> {
    let NewPurchase { order: wanted, quote, envelope, voucher } = input.into_inner();
    let key = IdempotencyKey::new(caller.user_id, key.value(), "buy", &(&wanted, voucher))?;
    let signed = SignedQuote::open(&app.db, &app.keys, &caller, &wanted, &quote, envelope).await;
    let purchase = Purchase { wanted, signed, voucher };
    let (keys, config, now) = (app.keys.clone(), app.config.clone(), app.clock.now());
    let (only_appends, ahead) = (purchase.only_appends(), purchase.ahead(&caller));
    let buy = move |c: &mut Conn| {
        let (order, entitlement) = super::buy(c, &caller, &keys, &config, &purchase, now)?;
        payment(c, order, entitlement)
    };
    let paid = match only_appends {
        true => once_gathered(&app, key, ahead, buy).await?,
        false => once(&app, key, buy).await?,
    };
    Ok(HttpResponse::Created().json(paid))
}
