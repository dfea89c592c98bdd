//! Orders and their contracts over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NewOrder, Order, OrderState};
use crate::app::App;
use crate::catalog::{self, Selection};
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history::{self, Transition};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::provenance::{self, StoredStatement};
use crate::signing::{Bytes, Envelope};
use crate::terms::Use;
use crate::types::{EntryId, Instant, ListingId, Money, OrderId, Page, PageQuery, TermsId};

/// A purchase.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrderView {
    /// Its identifier.
    id: OrderId,
    /// What was ordered from the board.
    listing_id: ListingId,
    /// The buyer's handle.
    buyer: String,
    /// The provider's handle.
    provider: String,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// Which of its shards; null for the whole version.
    selection: Option<Selection>,
    /// How many shards that is.
    shards: i64,
    /// On which terms.
    terms_id: TermsId,
    /// The kind of use.
    r#use: Use,
    /// The declared use.
    purpose: String,
    /// What the buyer pays.
    price: Money,
    /// The exchange's part of it.
    fee: Money,
    /// The tax in the fee.
    tax: Money,
    /// Where it is in its life.
    state: OrderState,
    /// Until when it may stay there: for the buyer to pay, to accept or reject, or to answer an offer; for the provider
    /// to cure. Then the exchange moves it on. Null where it may stay.
    due_at: Option<Instant>,
    /// Until when either side may open a dispute over what was settled; null until then.
    dispute_until: Option<Instant>,
    /// What the provider offers to refund while it cures, and has refunded at the end; null when nothing.
    refund: Option<Money>,
    /// The order whose licence it renews; null when it is for a licence of its own.
    renews: Option<OrderId>,
    /// The number of the trade certificate (交易凭证), once the trade is certified.
    certificate_number: Option<String>,
    /// The contract: the exact bytes that the buyer signs, an in-toto statement in canonical JSON.
    contract_payload: Bytes,
    /// When it was made.
    created_at: Instant,
}

/// How other domains' answers show an order.
pub(crate) fn order_view(c: &mut Conn, order: Order) -> Result<OrderView> {
    let version = catalog::name_of(c, order.version_id)?;
    Ok(OrderView {
        id: order.id,
        listing_id: order.listing_id,
        buyer: identity::organisation(c, order.buyer_id)?.handle,
        provider: identity::organisation(c, order.provider_id)?.handle,
        dataset: version.dataset,
        version: version.number,
        selection: order.selection().cloned(),
        shards: order.shard_count,
        terms_id: order.terms_id,
        r#use: order.permitted_use,
        price: order.price(),
        fee: order.fee(),
        tax: order.tax(),
        state: order.state,
        due_at: order.due_at,
        dispute_until: order.dispute_until,
        refund: order.refund(),
        renews: order.renews,
        certificate_number: super::certificate_number(&order),
        contract_payload: Bytes(order.contract_document.into_bytes()),
        purpose: order.purpose,
        created_at: order.created_at,
    })
}

fn views(c: &mut Conn, orders: Vec<Order>) -> Result<Vec<OrderView>> {
    catalog::load_names(c, orders.iter().map(|order| order.version_id))?;
    identity::load_organisations(c, orders.iter().flat_map(|order| [order.buyer_id, order.provider_id]))?;
    orders.into_iter().map(|order| order_view(c, order)).collect()
}

/// Orders a listed version for a declared use. Sign the contract that is returned.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = NewOrder, responses(
    (status = 201, body = OrderView),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 422, body = Problem, description = "the use is not permitted, or not declared")))]
#[post("/v1/orders")]
pub(crate) async fn place_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<NewOrder>,
) -> Result<HttpResponse> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "place_order", &*input)?;
    let (config, now) = (app.config.clone(), app.clock.now());
    let place = move |c: &mut Conn| {
        let order = super::place(c, &caller, &config, &input, now)?;
        order_view(c, order)
    };
    Ok(HttpResponse::Created().json(once(&app, key, place).await?))
}

/// An order as it would be placed now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteView {
    /// Send it back unchanged to buy.
    quote: String,
    /// What the buyer pays.
    price: Money,
    /// The exchange's part of it.
    fee: Money,
    /// The tax in the fee.
    tax: Money,
    /// The contract: the exact bytes that the buyer signs, an in-toto statement in canonical JSON.
    contract_payload: Bytes,
    /// Until when it can be bought, if nothing that it depends on changes.
    valid_until: Option<Instant>,
}

/// Quotes a listed version for a declared use: the price and the contract. Nothing is reserved. To buy in one step, sign
/// the contract and send both to `POST /v1/purchases`.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = NewOrder, responses(
    (status = 200, body = QuoteView),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 422, body = Problem, description = "the use is not permitted, or not declared")))]
#[post("/v1/quotes")]
pub(crate) async fn create_quote(app: Data<App>, caller: Caller, wanted: Json<NewOrder>) -> Result<Json<QuoteView>> {
    let (config, now) = (app.config.clone(), app.clock.now());
    let (looks_at_shards, ahead) = (wanted.selection.is_some(), wanted.ahead(&caller));
    let quote = move |c: &mut Conn| super::quotes::quote(c, &caller, &config, &wanted, now);
    // Others would wait until all the shards were looked at.
    let order = match looks_at_shards {
        true => app.db.read(quote).await?,
        false => app.db.read_shared(ahead, quote).await?,
    };
    Ok(Json(QuoteView {
        quote: super::quotes::seal(&app.keys, &order)?,
        price: order.price(),
        fee: order.fee(),
        tax: order.tax(),
        valid_until: order.due_at,
        contract_payload: Bytes(order.contract_document.into_bytes()),
    }))
}

/// Lists the orders of the caller's organisations, as buyer or provider.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<OrderView>)))]
#[get("/v1/orders")]
pub(crate) async fn list_orders(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<OrderView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = super::orders(c, &caller, &page)?;
        Ok(Page::new(views(c, rows)?, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// An order and every step of its life.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct OrderWithHistory {
    /// The order.
    #[serde(flatten)]
    order: OrderView,
    /// Its steps, oldest first.
    history: Vec<Transition>,
}

/// Shows an order and its history.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = OrderWithHistory), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/orders/{id}")]
pub(crate) async fn get_order(app: Data<App>, caller: Caller, id: Path<OrderId>) -> Result<Json<OrderWithHistory>> {
    let show = move |c: &mut Conn| {
        let order = super::visible_order(c, &caller, *id)?;
        let history = history::list(c, order.id)?;
        Ok(OrderWithHistory { order: order_view(c, order)?, history })
    };
    Ok(Json(app.db.read(show).await?))
}

/// The buyer's signature.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedContract {
    /// The contract's bytes, signed by an active key of the buyer.
    envelope: Envelope,
}

/// Signs an order's contract. The exchange countersigns it, and the log commits to it.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = SignedContract, responses(
    (status = 200, body = OrderView),
    (status = 409, body = Problem, description = "signed already"),
    (status = 422, body = Problem, description = "another document, or another key")))]
#[post("/v1/orders/{id}/contract")]
pub(crate) async fn sign_contract(
    app: Data<App>,
    caller: Caller,
    id: Path<OrderId>,
    input: Json<SignedContract>,
) -> Result<Json<OrderView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let sign = move |c: &mut Conn| {
        let (order, _) = super::sign_contract(c, &caller, &keys, *id, input.envelope.clone(), now)?;
        order_view(c, order)
    };
    Ok(Json(app.db.write(sign).await?))
}

/// Returns the contract with both signatures.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = Envelope), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "not signed yet")))]
#[get("/v1/orders/{id}/contract")]
pub(crate) async fn get_contract(app: Data<App>, caller: Caller, id: Path<OrderId>) -> Result<Json<Envelope>> {
    let show = move |c: &mut Conn| {
        let order = super::visible_order(c, &caller, *id)?;
        let contract = super::contract_of(c, order.id)?;
        Ok(provenance::statement(c, contract.statement_id)?.envelope)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Why a party does something.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderReason {
    /// In 1 to 500 characters. Both sides see it, and it becomes part of the exchange's statement.
    #[schema(min_length = 1, max_length = 500)]
    pub(crate) reason: String,
}

/// Cancels an order before it is paid.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = OrderReason, responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "it is paid, or it ended")))]
#[post("/v1/orders/{id}/cancellation")]
pub(crate) async fn cancel_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    why: Json<OrderReason>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "cancel_order", &(*id, &*why))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let cancel = move |c: &mut Conn| {
        let order = super::cancel(c, &caller, &keys, *id, &why.reason, now)?;
        order_view(c, order)
    };
    Ok(Json(once(&app, key, cancel).await?))
}

/// The exchange's word that a trade is settled (交易凭证).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TradeCertificate {
    /// Its number; no other trade has it.
    number: String,
    /// The signed statement.
    envelope: Envelope,
    /// Its entry in the log: `GET /v1/log/proofs/{entry_id}` proves it.
    entry_id: EntryId,
    /// When it was issued.
    issued_at: Instant,
}

/// Returns the trade certificate of a settled order.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = TradeCertificate), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "not settled")))]
#[get("/v1/orders/{id}/certificate")]
pub(crate) async fn get_trade_certificate(
    app: Data<App>,
    caller: Caller,
    id: Path<OrderId>,
) -> Result<Json<TradeCertificate>> {
    let show = move |c: &mut Conn| {
        let (number, StoredStatement { envelope, entry_id, recorded_at, .. }) =
            super::trade_certificate(c, &caller, *id)?;
        Ok(TradeCertificate { number, envelope, entry_id, issued_at: recorded_at })
    };
    Ok(Json(app.db.read(show).await?))
}
