//! The board, orders and contracts over HTTP.

use actix_web::web::{Data, Json, Path, Query};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::listings::{self, Listing, ListingState};
use super::orders::{self, NewOrder, Order, OrderState};
use crate::app::App;
use crate::catalog::{self, VersionRef};
use crate::db::Conn;
use crate::error::{Error, Problem, Result};
use crate::history::{self, Transition};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::KeyHeader;
use crate::identity::{self, Caller};
use crate::provenance::{self, StatementKind, StoredStatement};
use crate::signing::{Bytes, Envelope};
use crate::terms::{self, Use};
use crate::types::{EntryId, Instant, ListingId, Money, OrderId, Page, PageQuery, StatementId, TermsId, kind};

/// What a provider puts on the board.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewListing {
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The provider's own terms.
    terms_id: TermsId,
}

/// A version offered under terms.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ListingView {
    /// Its identifier.
    id: ListingId,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// On which terms.
    terms_id: TermsId,
    /// What it costs.
    price: Money,
    /// The uses that the terms permit.
    permitted_uses: Vec<Use>,
    /// Where it is in its life.
    state: ListingState,
    /// When it was made.
    created_at: Instant,
}

fn listing_view(c: &mut Conn, listing: Listing) -> Result<ListingView> {
    let (dataset, version) = catalog::version(c, listing.version_id)?;
    let document = terms::terms(c, listing.terms_id)?.document;
    Ok(ListingView {
        id: listing.id,
        dataset: dataset.full_name(),
        version: version.number,
        terms_id: listing.terms_id,
        price: terms::price(&document),
        permitted_uses: document.permitted_uses,
        state: listing.state,
        created_at: listing.created_at,
    })
}

/// Puts an assessed version on the board.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = NewListing, responses(
    (status = 201, body = ListingView),
    (status = 403, body = Problem, description = "the version is of another provider, or your role is too small"),
    (status = 404, body = Problem, description = "no such version, or no such terms of its provider"),
    (status = 422, body = Problem, description = "no valid assessment: not compliant, not listed")))]
#[post("/v1/listings")]
pub(crate) async fn create_listing(app: Data<App>, caller: Caller, input: Json<NewListing>) -> Result<HttpResponse> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let open = move |c: &mut Conn| {
        let (organisation, name) = dataset_name(&input.dataset)?;
        let which =
            VersionRef { organisation: organisation.to_string(), name: name.to_string(), number: input.version };
        let (dataset, version) = catalog::view_version(c, Some(&caller), &which).map_err(|e| e.field("dataset"))?;
        let listing = listings::open(c, &caller, &keys, (&dataset, &version), input.terms_id, now)?;
        listing_view(c, listing)
    };
    Ok(HttpResponse::Created().json(app.db.write(open).await?))
}

/// Which listings.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListingQuery {
    /// Only those of this dataset: `org/name`.
    dataset: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000.
    limit: Option<i64>,
}

/// Lists what is on the board, or was.
#[utoipa::path(tag = "market", security(()), params(ListingQuery), responses((status = 200, body = Page<ListingView>)))]
#[get("/v1/listings")]
pub(crate) async fn list_listings(app: Data<App>, query: Query<ListingQuery>) -> Result<Page<ListingView>> {
    let list = move |c: &mut Conn| {
        let page = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
        let limit = page.limit()?;
        let versions = match &query.dataset {
            Some(dataset) => {
                let (organisation, name) = dataset_name(dataset)?;
                Some(listings::versions_named(c, organisation, name)?)
            }
            None => None,
        };
        let rows =
            listings::listings(c, versions.as_deref(), page.after_id::<kind::Listing>()?, limit.saturating_add(1))?;
        let views = rows.into_iter().map(|row| listing_view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Shows a listing.
#[utoipa::path(tag = "market", security(()), responses((status = 200, body = ListingView), (status = 404, body = Problem, description = "no such listing")))]
#[get("/v1/listings/{id}")]
pub(crate) async fn get_listing(app: Data<App>, id: Path<ListingId>) -> Result<Json<ListingView>> {
    let show = move |c: &mut Conn| {
        let listing = listings::listing(c, *id)?;
        listing_view(c, listing)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Takes a listing off the board for a while.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = ListingView), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/listings/{id}/pause")]
pub(crate) async fn pause_listing(app: Data<App>, caller: Caller, id: Path<ListingId>) -> Result<Json<ListingView>> {
    change(app, caller, *id, ListingState::Paused).await
}

/// Puts a paused listing back on the board.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = ListingView), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/listings/{id}/resume")]
pub(crate) async fn resume_listing(app: Data<App>, caller: Caller, id: Path<ListingId>) -> Result<Json<ListingView>> {
    change(app, caller, *id, ListingState::Listed).await
}

/// Withdraws a listing for ever. Licences that were bought stay as they are.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = ListingView), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/listings/{id}/withdraw")]
pub(crate) async fn withdraw_listing(app: Data<App>, caller: Caller, id: Path<ListingId>) -> Result<Json<ListingView>> {
    change(app, caller, *id, ListingState::Delisted).await
}

async fn change(app: Data<App>, caller: Caller, id: ListingId, to: ListingState) -> Result<Json<ListingView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let change = move |c: &mut Conn| {
        let listing = listings::change(c, &caller, &keys, id, to, now)?;
        listing_view(c, listing)
    };
    Ok(Json(app.db.write(change).await?))
}

/// A signed statement about a listing: `GET /v1/log/proofs/{entry_id}` proves that the log holds it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ListingStatement {
    /// The statement.
    id: StatementId,
    /// `listing` opened it; each `listing-change` moved it on.
    kind: StatementKind,
    /// The signed document.
    envelope: Envelope,
    /// Its entry in the log.
    entry_id: EntryId,
    /// When it was recorded.
    recorded_at: Instant,
}

/// Lists what the exchange stated about a listing: how it was opened, and each change since.
#[utoipa::path(tag = "market", security(()), params(PageQuery), responses((status = 200, body = Page<ListingStatement>), (status = 404, body = Problem, description = "no such listing")))]
#[get("/v1/listings/{id}/statements")]
pub(crate) async fn list_listing_statements(
    app: Data<App>,
    id: Path<ListingId>,
    page: Query<PageQuery>,
) -> Result<Page<ListingStatement>> {
    let list = move |c: &mut Conn| {
        let listing = listings::listing(c, *id)?;
        let statements = provenance::page_about(c, listing.id, &page)?.into_iter();
        let views = statements.map(|StoredStatement { id, kind, envelope, entry_id, recorded_at, .. }| {
            ListingStatement { id, kind, envelope, entry_id, recorded_at }
        });
        Ok(Page::new(views.collect(), page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

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
    /// Where it is in its life.
    state: OrderState,
    /// The contract: the exact bytes that the buyer signs, an in-toto statement in canonical JSON.
    contract_payload: Bytes,
    /// When it was made.
    created_at: Instant,
}

/// How other domains' answers show an order.
pub(crate) fn order_view(c: &mut Conn, order: Order) -> Result<OrderView> {
    let (dataset, version) = catalog::version(c, order.version_id)?;
    Ok(OrderView {
        id: order.id,
        listing_id: order.listing_id,
        buyer: identity::organisation(c, order.buyer_id)?.handle,
        provider: identity::organisation(c, order.provider_id)?.handle,
        dataset: dataset.full_name(),
        version: version.number,
        terms_id: order.terms_id,
        r#use: order.permitted_use,
        price: order.price(),
        fee: order.fee(),
        state: order.state,
        contract_payload: Bytes(order.contract_document.into_bytes()),
        purpose: order.purpose,
        created_at: order.created_at,
    })
}

/// Orders what is on the board, for a declared use. Sign the contract that comes back.
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
        key.once(c, now, |c| {
            let order = orders::place(c, &caller, &config, &input, now)?;
            order_view(c, order)
        })
    };
    Ok(HttpResponse::Created().json(app.db.write(place).await?))
}

/// Lists the orders of the caller's organisations, as buyer or provider.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<OrderView>)))]
#[get("/v1/orders")]
pub(crate) async fn list_orders(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<OrderView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = orders::orders(c, &caller, &page)?;
        let views = rows.into_iter().map(|row| order_view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, limit, |view| view.id.to_string()))
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
        let order = orders::visible_order(c, &caller, *id)?;
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
        let (order, _) = orders::sign_contract(c, &caller, &keys, *id, input.envelope.clone(), now)?;
        order_view(c, order)
    };
    Ok(Json(app.db.write(sign).await?))
}

/// Gives the contract with both signatures.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = Envelope), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "not signed yet")))]
#[get("/v1/orders/{id}/contract")]
pub(crate) async fn get_contract(app: Data<App>, caller: Caller, id: Path<OrderId>) -> Result<Json<Envelope>> {
    let show = move |c: &mut Conn| {
        let order = orders::visible_order(c, &caller, *id)?;
        let contract = orders::contract_of(c, order.id)?;
        Ok(provenance::statement(c, contract.statement_id)?.envelope)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Accepts what was delivered: the provider is paid, less the exchange's fee.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = OrderView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "nothing was delivered yet, or it is accepted already")))]
#[post("/v1/orders/{id}/acceptance")]
pub(crate) async fn accept_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
) -> Result<Json<OrderView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "accept_order", &*id)?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let accept = move |c: &mut Conn| {
        key.once(c, now, |c| {
            let order = orders::accept(c, &caller, &keys, *id, now)?;
            order_view(c, order)
        })
    };
    Ok(Json(app.db.write(accept).await?))
}

fn dataset_name(text: &str) -> Result<(&str, &str)> {
    text.split_once('/').ok_or_else(|| Error::invalid("dataset", format!("{text:?} is not of the form org/name")))
}
