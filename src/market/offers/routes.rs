//! Private offers over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Offer, OfferState};
use crate::app::App;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::market::listings;
use crate::market::orders::routes::OrderReason;
use crate::provenance;
use crate::signing::Envelope;
use crate::terms::Use;
use crate::types::{Digest, Instant, ListingId, Money, OfferId, OrderId, Page, PageQuery};

/// A private offer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct OfferView {
    /// Its identifier.
    id: OfferId,
    /// What is offered.
    listing_id: ListingId,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The handle of who offers it.
    provider: String,
    /// The handle of who may buy at it.
    buyer: String,
    /// For which uses.
    uses: Vec<Use>,
    /// At what price; zero for a free licence.
    price: Money,
    /// From when on it is valid.
    valid_from: Instant,
    /// Until when; that instant excluded.
    valid_until: Instant,
    /// Where it is in its life.
    state: OfferState,
    /// The one order that was placed at it.
    order_id: Option<OrderId>,
    /// The digest by which the contract refers to it.
    sha256: Digest,
    /// The document, signed by the provider and the exchange.
    envelope: Envelope,
    /// When it was made.
    created_at: Instant,
}

fn view(c: &mut Conn, offer: Offer) -> Result<OfferView> {
    let listing = listings::listing(c, offer.listing_id)?;
    let version = catalog::name_of(c, listing.version_id)?;
    Ok(OfferView {
        id: offer.id,
        listing_id: offer.listing_id,
        dataset: version.dataset,
        version: version.number,
        provider: identity::organisation(c, offer.provider_id)?.handle,
        buyer: identity::organisation(c, offer.buyer_id)?.handle,
        price: offer.price(),
        uses: offer.uses.0,
        valid_from: offer.valid_from,
        valid_until: offer.valid_until,
        state: offer.state,
        order_id: offer.order_id,
        sha256: offer.sha256,
        envelope: provenance::statement(c, offer.statement_id)?.envelope,
        created_at: offer.created_at,
    })
}

fn views(c: &mut Conn, offers: Vec<Offer>) -> Result<Vec<OfferView>> {
    listings::load_with_names(c, offers.iter().map(|offer| offer.listing_id))?;
    identity::load_organisations(c, offers.iter().flat_map(|offer| [offer.provider_id, offer.buyer_id]))?;
    provenance::load_statements(c, offers.iter().map(|offer| offer.statement_id))?;
    offers.into_iter().map(|offer| view(c, offer)).collect()
}

/// An offer as its provider signed it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedOffer {
    /// A statement of the kind `offer`, by an active key of the provider.
    envelope: Envelope,
}

/// Offers a listed version to one buyer, for given uses, at a price, for a limited time. The two sides and staff see it.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = SignedOffer, responses(
    (status = 201, body = OfferView),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 409, body = Problem, description = "the listing takes no orders, or this document was offered before"),
    (status = 422, body = Problem, description = "the member of the document that is refused")))]
#[post("/v1/offers")]
pub(crate) async fn make_offer(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<SignedOffer>,
) -> Result<HttpResponse> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "make_offer", &*input)?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let make = move |c: &mut Conn| {
        let offer = super::make(c, &caller, &keys, input.envelope.clone(), now)?;
        view(c, offer)
    };
    Ok(HttpResponse::Created().json(once(&app, key, make).await?))
}

/// Lists the offers to and by the caller's organisations.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<OfferView>)))]
#[get("/v1/offers")]
pub(crate) async fn list_offers(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<OfferView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = super::offers(c, &caller, &page)?;
        Ok(Page::new(views(c, rows)?, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Shows an offer.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = OfferView), (status = 404, body = Problem, description = "unknown, or neither by nor to you")))]
#[get("/v1/offers/{id}")]
pub(crate) async fn get_offer(app: Data<App>, caller: Caller, id: Path<OfferId>) -> Result<Json<OfferView>> {
    let show = move |c: &mut Conn| {
        let offer = super::visible_offer(c, &caller, *id)?;
        view(c, offer)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Withdraws an offer under which no order was placed.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = OrderReason, responses(
    (status = 200, body = OfferView),
    (status = 404, body = Problem, description = "unknown, or neither by nor to you"),
    (status = 409, body = Problem, description = "an order was placed at it, or it ended")))]
#[post("/v1/offers/{id}/withdrawal")]
pub(crate) async fn withdraw_offer(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OfferId>,
    why: Json<OrderReason>,
) -> Result<Json<OfferView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "withdraw_offer", &(*id, &*why))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let withdraw = move |c: &mut Conn| {
        let offer = super::withdraw(c, &caller, &keys, *id, &why.reason, now)?;
        view(c, offer)
    };
    Ok(Json(once(&app, key, withdraw).await?))
}
