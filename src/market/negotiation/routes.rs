//! Negotiations over HTTP: one path for each message, named as in the protocol's HTTPS binding.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeclaredUse, Negotiation, NegotiationState, Side};
use crate::app::App;
use crate::catalog;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history::{self, Transition};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::market::listings;
use crate::provenance::{self, StatementKind};
use crate::signing::{Bytes, Envelope};
use crate::text_enum;
use crate::types::{Digest, Instant, ListingId, Money, NegotiationId, OrderId, Page, PageQuery};

/// A negotiation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct NegotiationView {
    /// Its identifier.
    id: NegotiationId,
    /// What it is about.
    listing_id: ListingId,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The handle of who would sell.
    provider: String,
    /// The handle of who would buy.
    buyer: String,
    /// Where it is.
    state: NegotiationState,
    /// The digest of the last offer: the next one names it as `replies_to_sha256`.
    offer_sha256: Digest,
    /// The price of the last offer.
    price: Money,
    /// Until when the last offer is valid; that instant excluded.
    valid_until: Instant,
    /// The use that the buyer declared; null until then.
    declared: Option<DeclaredUse>,
    /// The contract, once the provider may agree: the exact bytes that both sides sign.
    contract_payload: Option<Bytes>,
    /// The order that came of it.
    order_id: Option<OrderId>,
    /// How it was terminated; null where it was not.
    termination: Option<Termination>,
    /// Until when the next message may come; null when none may.
    due_at: Option<Instant>,
    /// When it began.
    created_at: Instant,
}

fn view(c: &mut Conn, negotiation: Negotiation) -> Result<NegotiationView> {
    let listing = listings::listing(c, negotiation.listing_id)?;
    let version = catalog::name_of(c, listing.version_id)?;
    let offer = negotiation.offer_document.0;
    let declared = negotiation.permitted_use.zip(negotiation.purpose);
    let termination = negotiation.termination_code.zip(negotiation.termination_reason);
    Ok(NegotiationView {
        id: negotiation.id,
        listing_id: negotiation.listing_id,
        dataset: version.dataset,
        version: version.number,
        provider: offer.provider,
        buyer: offer.buyer,
        state: negotiation.state,
        offer_sha256: negotiation.offer_sha256,
        price: offer.price,
        valid_until: offer.valid_until,
        declared: declared.map(|(r#use, purpose)| DeclaredUse { r#use, purpose }),
        contract_payload: negotiation.contract_document.map(|text| Bytes(text.into_bytes())),
        order_id: negotiation.order_id,
        termination: termination.map(|(code, reason)| Termination { code, reason }),
        due_at: negotiation.due_at,
        created_at: negotiation.created_at,
    })
}

fn views(c: &mut Conn, negotiations: Vec<Negotiation>) -> Result<Vec<NegotiationView>> {
    listings::load_with_names(c, negotiations.iter().map(|negotiation| negotiation.listing_id))?;
    negotiations.into_iter().map(|negotiation| view(c, negotiation)).collect()
}

/// A request message: what the buyer would agree to, and for which use.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractRequest {
    /// A statement of the kind `offer`, by an active key of the buyer.
    envelope: Envelope,
    /// The use that the buyer declares; in a later request what was declared before stands where this is absent.
    #[serde(default)]
    declared: Option<DeclaredUse>,
}

/// An offer message: what the provider would agree to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractOffer {
    /// A statement of the kind `offer`, by an active key of the provider.
    envelope: Envelope,
}

/// An agreement message, or its verification.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContractAgreement {
    /// The bytes of `contract_payload`, signed by an active key of the side that sends it.
    envelope: Envelope,
}

text_enum! {
    /// What an event message says.
    pub enum NegotiationEvent {
        /// The buyer accepts the last offer.
        Accepted = "ACCEPTED",
        /// The provider finalises what both have signed.
        Finalized = "FINALIZED",
    }
}

/// An event message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventMessage {
    /// What it says.
    event_type: NegotiationEvent,
    /// With `ACCEPTED`: the use that the buyer declares; what it declared before stands where this is absent.
    #[serde(default)]
    declared: Option<DeclaredUse>,
}

/// A termination message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Termination {
    /// What kind of termination it is, in 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    code: String,
    /// Why, in 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Begins a negotiation as the buyer. It is then `REQUESTED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractRequest, responses(
    (status = 201, body = NegotiationView),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 422, body = Problem, description = "the member of the offer that is refused, or no use is declared")))]
#[post("/v1/negotiations/request")]
pub(crate) async fn begin_request(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<ContractRequest>,
) -> Result<HttpResponse> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "begin_request", &*input)?;
    let input = input.into_inner();
    begin(app, caller, key, Side::Buyer, (input.envelope, input.declared)).await
}

/// Begins a negotiation as the provider. It is then `OFFERED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractOffer, responses(
    (status = 201, body = NegotiationView),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 422, body = Problem, description = "the member of the offer that is refused")))]
#[post("/v1/negotiations/offers")]
pub(crate) async fn begin_offer(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<ContractOffer>,
) -> Result<HttpResponse> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "begin_offer", &*input)?;
    begin(app, caller, key, Side::Provider, (input.into_inner().envelope, None)).await
}

async fn begin(
    app: Data<App>,
    caller: Caller,
    key: IdempotencyKey,
    side: Side,
    (envelope, declared): (Envelope, Option<DeclaredUse>),
) -> Result<HttpResponse> {
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let begin = move |c: &mut Conn| {
        let message = (envelope.clone(), declared.as_ref());
        let begun = super::begin(c, &caller, (&config, &keys), side, message, now)?;
        view(c, begun)
    };
    Ok(HttpResponse::Created().json(once(&app, key, begin).await?))
}

/// Answers the provider's offer with a request at other conditions. The negotiation is then `REQUESTED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractRequest, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message"),
    (status = 422, body = Problem, description = "the member of the offer that is refused")))]
#[post("/v1/negotiations/{id}/request")]
pub(crate) async fn reply_request(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<ContractRequest>,
) -> Result<Json<NegotiationView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reply_request", &(*id, &*input))?;
    let input = input.into_inner();
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let reply = move |c: &mut Conn| {
        let message = (input.envelope.clone(), input.declared.as_ref());
        let replied = super::reply(c, &caller, (&config, &keys), *id, Side::Buyer, message, now)?;
        view(c, replied)
    };
    Ok(Json(once(&app, key, reply).await?))
}

/// Answers the buyer's request with an offer at other conditions. The negotiation is then `OFFERED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractOffer, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message"),
    (status = 422, body = Problem, description = "the member of the offer that is refused")))]
#[post("/v1/negotiations/{id}/offers")]
pub(crate) async fn reply_offer(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<ContractOffer>,
) -> Result<Json<NegotiationView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reply_offer", &(*id, &*input))?;
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let reply = move |c: &mut Conn| {
        let message = (input.envelope.clone(), None);
        let replied = super::reply(c, &caller, (&config, &keys), *id, Side::Provider, message, now)?;
        view(c, replied)
    };
    Ok(Json(once(&app, key, reply).await?))
}

/// Accepts the provider's offer as the buyer (`ACCEPTED`), or finalises what both have signed as the provider
/// (`FINALIZED`): then the exchange countersigns the contract, and the order waits for payment.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = EventMessage, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message"),
    (status = 422, body = Problem, description = "no use is declared, or the offer is not for it")))]
#[post("/v1/negotiations/{id}/events")]
pub(crate) async fn post_negotiation_event(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<EventMessage>,
) -> Result<Json<NegotiationView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "post_negotiation_event", &(*id, &*input))?;
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let happen = move |c: &mut Conn| {
        let with = (&*config, &*keys);
        let moved = match input.event_type {
            NegotiationEvent::Accepted => super::accept(c, &caller, with, *id, input.declared.as_ref(), now)?,
            NegotiationEvent::Finalized => super::finalize(c, &caller, with, *id, now)?,
        };
        view(c, moved)
    };
    Ok(Json(once(&app, key, happen).await?))
}

/// Agrees as the provider, by its signature of the contract. The negotiation is then `AGREED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractAgreement, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message, or the offer cannot be kept any more"),
    (status = 422, body = Problem, description = "another document, or another key")))]
#[post("/v1/negotiations/{id}/agreement")]
pub(crate) async fn agree_negotiation(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<ContractAgreement>,
) -> Result<Json<NegotiationView>> {
    sign(&app, caller, &key, "agree_negotiation", *id, input.into_inner(), super::agree).await
}

/// Verifies the agreement as the buyer, by its signature of the same contract. The negotiation is then `VERIFIED`.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = ContractAgreement, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message"),
    (status = 422, body = Problem, description = "another document, or another key")))]
#[post("/v1/negotiations/{id}/agreement/verification")]
pub(crate) async fn verify_agreement(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<ContractAgreement>,
) -> Result<Json<NegotiationView>> {
    sign(&app, caller, &key, "verify_agreement", *id, input.into_inner(), super::verify).await
}

/// What a side does with its signature of the contract.
type Signing =
    fn(&mut Conn, &Caller, (&Config, &ExchangeKeys), NegotiationId, &Envelope, Instant) -> Result<Negotiation>;

async fn sign(
    app: &App,
    caller: Caller,
    key: &KeyHeader,
    operation: &str,
    id: NegotiationId,
    input: ContractAgreement,
    act: Signing,
) -> Result<Json<NegotiationView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), operation, &(id, &input))?;
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let signed = move |c: &mut Conn| {
        let signed = act(c, &caller, (&config, &keys), id, &input.envelope, now)?;
        view(c, signed)
    };
    Ok(Json(once(app, key, signed).await?))
}

/// Ends a negotiation, where the protocol allows this side to. The other side is notified by an event.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    request_body = Termination, responses(
    (status = 200, body = NegotiationView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "not in a state for this message")))]
#[post("/v1/negotiations/{id}/termination")]
pub(crate) async fn terminate_negotiation(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<NegotiationId>,
    input: Json<Termination>,
) -> Result<Json<NegotiationView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "terminate_negotiation", &(*id, &*input))?;
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let terminate = move |c: &mut Conn| {
        let why = (input.code.as_str(), input.reason.as_str());
        let ended = super::terminate(c, &caller, (&config, &keys), *id, why, now)?;
        view(c, ended)
    };
    Ok(Json(once(&app, key, terminate).await?))
}

/// Lists the negotiations of the caller's organisations.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<NegotiationView>)))]
#[get("/v1/negotiations")]
pub(crate) async fn list_negotiations(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<NegotiationView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = super::negotiations(c, &caller, &page)?;
        Ok(Page::new(views(c, rows)?, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// A negotiation, what was offered in it, and every step of its life.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct NegotiationWithHistory {
    /// The negotiation.
    #[serde(flatten)]
    negotiation: NegotiationView,
    /// The signed offers of both sides, oldest first.
    offers: Vec<Envelope>,
    /// Its steps, oldest first.
    history: Vec<Transition>,
}

/// Shows a negotiation, with what was offered in it.
#[utoipa::path(tag = "market", security(("bearer" = [])), responses((status = 200, body = NegotiationWithHistory), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/negotiations/{id}")]
pub(crate) async fn get_negotiation(
    app: Data<App>,
    caller: Caller,
    id: Path<NegotiationId>,
) -> Result<Json<NegotiationWithHistory>> {
    let show = move |c: &mut Conn| {
        let negotiation = super::visible_negotiation(c, &caller, *id)?;
        let statements = provenance::statements_about(c, negotiation.id)?.into_iter();
        let offers = statements.filter(|of| of.kind == StatementKind::Offer).map(|of| of.envelope).collect();
        let history = history::list(c, negotiation.id)?;
        Ok(NegotiationWithHistory { negotiation: view(c, negotiation)?, offers, history })
    };
    Ok(Json(app.db.read(show).await?))
}
