//! Paying, entitlements, links and passports over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Entitlement, EntitlementState};
use crate::app::App;
use crate::catalog::{self, Selection};
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history::{self, Transition};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::market::Order;
use crate::market::orders::routes::{OrderView, order_view};
use crate::terms;
use crate::types::{Digest, EntitlementId, Instant, OrderId, Page, PageQuery, ProgrammeId, ReceiptId, TermsId};

/// A licensee's right to download one version, or what its subscription covers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EntitlementView {
    /// Its identifier.
    id: EntitlementId,
    /// The order that it was bought with.
    order_id: OrderId,
    /// The licensee's handle.
    organisation: String,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The versions that may be downloaded, and those that might: the one that it was bought with, and those that joined it
    /// since where the terms are those of a subscription.
    versions: Vec<CoveredVersionView>,
    /// Which of its shards; null for the whole version.
    selection: Option<Selection>,
    /// Under which terms.
    terms_id: TermsId,
    /// How many API tokens may use it at a time; null when any number may.
    seats: Option<i32>,
    /// Whether it may be used.
    state: EntitlementState,
    /// Since when it holds.
    granted_at: Instant,
    /// Until when it is valid; null for a perpetual licence.
    expires_at: Option<Instant>,
}

/// A version under a licence.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct CoveredVersionView {
    /// Its number.
    number: i32,
    /// Since when it is licensed.
    since: Instant,
    /// Since when it is no longer covered, because it was recalled; null while it is.
    withdrawn_at: Option<Instant>,
}

fn covered(c: &mut Conn, entitlement: &Entitlement, own: i32) -> Result<Vec<CoveredVersionView>> {
    let mut views = Vec::new();
    for (covered, number) in super::subscriptions::versions(c, entitlement)? {
        let (since, withdrawn_at) = (covered.joined_at, covered.withdrawn_at);
        views.push(CoveredVersionView { number, since, withdrawn_at });
    }
    if views.is_empty() {
        views.push(CoveredVersionView { number: own, since: entitlement.granted_at, withdrawn_at: None });
    }
    Ok(views)
}

fn view(c: &mut Conn, entitlement: Entitlement) -> Result<EntitlementView> {
    let version = catalog::name_of(c, entitlement.version_id)?;
    Ok(EntitlementView {
        id: entitlement.id,
        order_id: entitlement.order_id,
        organisation: identity::organisation(c, entitlement.organisation_id)?.handle,
        dataset: version.dataset,
        version: version.number,
        versions: covered(c, &entitlement, version.number)?,
        selection: entitlement.selection().cloned(),
        terms_id: entitlement.terms_id,
        seats: super::seats::limit(c, &entitlement)?,
        state: entitlement.state,
        granted_at: entitlement.granted_at,
        expires_at: entitlement.expires_at,
    })
}

fn views(c: &mut Conn, entitlements: Vec<Entitlement>) -> Result<Vec<EntitlementView>> {
    catalog::load_names(c, entitlements.iter().map(|entitlement| entitlement.version_id))?;
    identity::load_organisations(c, entitlements.iter().map(|entitlement| entitlement.organisation_id))?;
    terms::load_terms(c, entitlements.iter().map(|entitlement| entitlement.terms_id))?;
    super::subscriptions::load_versions(c, entitlements.iter().map(|entitlement| entitlement.id))?;
    entitlements.into_iter().map(|entitlement| view(c, entitlement)).collect()
}

/// What paying an order gives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Payment {
    /// The order, now in escrow.
    order: OrderView,
    /// The licence.
    entitlement: EntitlementView,
}

/// The answer to a payment.
pub(crate) fn payment(c: &mut Conn, order: Order, entitlement: Entitlement) -> Result<Payment> {
    Ok(Payment { order: order_view(c, order)?, entitlement: view(c, entitlement)? })
}

/// What pays beside the buyer's wallet.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PaymentParams {
    /// The voucher programme that pays its part of the price; when absent, the buyer pays all of it.
    voucher: Option<ProgrammeId>,
}

/// Pays an order from the buyer's wallet into escrow and grants the licence.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(PaymentParams, ("Idempotency-Key" = String, Header, description = "One key, one effect")),
    responses((status = 200, body = Payment),
        (status = 409, body = Problem, description = "the order does not wait for payment"),
        (status = 422, body = Problem, description = "the wallet does not hold enough, or the voucher was refused")))]
#[post("/v1/orders/{id}/payment")]
pub(crate) async fn pay_order(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<OrderId>,
    query: Query<PaymentParams>,
) -> Result<Json<Payment>> {
    let (keys, id, voucher, now) = (app.keys.clone(), *id, query.voucher, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "pay_order", &(id, voucher))?;
    let pay = move |c: &mut Conn| {
        let (order, entitlement) = super::pay_order(c, &caller, &keys, id, voucher, now)?;
        payment(c, order, entitlement)
    };
    Ok(Json(once(&app, key, pay).await?))
}

/// Lists the licences of the caller's organisations, and those that they may use as affiliates of the licensees; only their
/// own where more than 1,000 verified organisations declare them. A page may be short, or empty, and still have a next one.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<EntitlementView>)))]
#[get("/v1/entitlements")]
pub(crate) async fn list_entitlements(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<EntitlementView>> {
    let list = move |c: &mut Conn| {
        let Page { items, next } = super::entitlements(c, &caller, &page)?;
        Ok(Page { items: views(c, items)?, next })
    };
    app.db.read(list).await
}

/// Orders the renewal of a licence: the same version, under the same terms and for the same use, at the terms' present
/// price. Sign the contract that is returned, and pay; the term then grows from its present end.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(("id" = EntitlementId, Path), ("Idempotency-Key" = String, Header, description = "One key, one effect")),
    responses((status = 201, body = OrderView),
        (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
        (status = 404, body = Problem, description = "unknown, or not yours"),
        (status = 409, body = Problem, description = "it has no end, or has ended, or its order is not settled, or the version is not on the board")))]
#[post("/v1/entitlements/{id}/renewals")]
pub(crate) async fn renew_entitlement(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<EntitlementId>,
) -> Result<HttpResponse> {
    let (config, id, now) = (app.config.clone(), *id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "renew_entitlement", &id)?;
    let renew = move |c: &mut Conn| {
        let order = super::renew(c, &caller, &config, id, now)?;
        order_view(c, order)
    };
    Ok(HttpResponse::Created().json(once(&app, key, renew).await?))
}

/// A licence and every step of its life.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EntitlementWithHistory {
    /// The licence.
    #[serde(flatten)]
    entitlement: EntitlementView,
    /// Its steps, oldest first.
    history: Vec<Transition>,
}

/// Shows one licence and its history.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), responses((status = 200, body = EntitlementWithHistory), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/entitlements/{id}")]
pub(crate) async fn get_entitlement(
    app: Data<App>,
    caller: Caller,
    id: Path<EntitlementId>,
) -> Result<Json<EntitlementWithHistory>> {
    let show = move |c: &mut Conn| {
        let entitlement = super::entitlement(c, &caller, *id)?;
        let history = history::list(c, entitlement.id)?;
        Ok(EntitlementWithHistory { entitlement: view(c, entitlement)?, history })
    };
    Ok(Json(app.db.read(show).await?))
}

/// Why a licence is changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeReason {
    /// In 1 to 500 characters; it becomes part of the statement that the licensee's passport carries.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Suspends a licence: no link is given until it is reinstated.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), request_body = ChangeReason, responses((status = 200, body = EntitlementView), (status = 403, body = Problem, description = "not staff of the exchange"), (status = 409, body = Problem, description = "not active")))]
#[post("/v1/entitlements/{id}/suspension")]
pub(crate) async fn suspend_entitlement(
    app: Data<App>,
    caller: Caller,
    id: Path<EntitlementId>,
    why: Json<ChangeReason>,
) -> Result<Json<EntitlementView>> {
    change(app, caller, *id, EntitlementState::Suspended, why).await
}

/// Puts a suspended licence back into use.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), request_body = ChangeReason, responses((status = 200, body = EntitlementView), (status = 403, body = Problem, description = "not staff of the exchange"), (status = 409, body = Problem, description = "not suspended, or its term ended")))]
#[post("/v1/entitlements/{id}/reinstatement")]
pub(crate) async fn reinstate_entitlement(
    app: Data<App>,
    caller: Caller,
    id: Path<EntitlementId>,
    why: Json<ChangeReason>,
) -> Result<Json<EntitlementView>> {
    change(app, caller, *id, EntitlementState::Active, why).await
}

/// Why a licence is revoked, and what becomes of the money.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Revocation {
    /// In 1 to 500 characters; it becomes part of the statement that the licensee's passport carries.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Whether the buyer gets back what is still in escrow of the price. Without it the order goes its way: what is neither
    /// rejected nor disputed in time is settled.
    #[serde(default)]
    refund: bool,
}

/// Revokes a licence for ever. What was delivered under it stays proven.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), request_body = Revocation, responses((status = 200, body = EntitlementView), (status = 403, body = Problem, description = "not staff of the exchange"), (status = 409, body = Problem, description = "ended already, or there is nothing to refund")))]
#[post("/v1/entitlements/{id}/revocation")]
pub(crate) async fn revoke_entitlement(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<EntitlementId>,
    why: Json<Revocation>,
) -> Result<Json<EntitlementView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "revoke_entitlement", &(*id, &*why))?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let revoke = move |c: &mut Conn| {
        let revoked = super::revoke(c, &caller, &keys, *id, (&why.reason, why.refund), now)?;
        view(c, revoked)
    };
    Ok(Json(once(&app, key, revoke).await?))
}

async fn change(
    app: Data<App>,
    caller: Caller,
    id: EntitlementId,
    to: EntitlementState,
    why: Json<ChangeReason>,
) -> Result<Json<EntitlementView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let change = move |c: &mut Conn| {
        let entitlement = super::change_standing(c, &caller, &keys, id, to, &why.reason, now)?;
        view(c, entitlement)
    };
    Ok(Json(app.db.write(change).await?))
}

/// The shards to download.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinksWanted {
    /// Shard paths, at most 1,000.
    paths: Vec<String>,
    /// The number of the version, of those that the licence covers; the one that it was bought with when absent.
    #[serde(default)]
    version: Option<i32>,
}

/// Links to shards, in the requested order.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Links {
    /// One per path.
    links: Vec<Link>,
    /// A warning that more is downloaded than the terms expect; absent while that is not so. Nothing is refused for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// Where to get one shard, for a few minutes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Link {
    /// The shard's path.
    path: String,
    /// Its digest: check it, the exchange need not be trusted.
    sha256: Digest,
    /// Its size.
    size_bytes: i64,
    /// The signed URL; it takes Range requests. Keep it out of logs.
    url: String,
    /// When the URL stops working; ask for a new one then.
    expires_at: Instant,
    /// The receipt that was recorded for it.
    receipt: ReceiptId,
}

/// Returns links to shards under a licence. The receipt of each is durable before its link leaves the exchange.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), request_body = LinksWanted,
    responses((status = 200, body = Links),
        (status = 403, body = Problem, description = "the licence ended, or was suspended or revoked"),
        (status = 404, body = Problem, description = "no such licence or shard")))]
#[post("/v1/entitlements/{id}/links")]
pub(crate) async fn create_links(
    app: Data<App>,
    caller: Caller,
    id: Path<EntitlementId>,
    wanted: Json<LinksWanted>,
) -> Result<Json<Links>> {
    let (id, LinksWanted { paths, version }, now) = (*id, wanted.into_inner(), app.clock.now());
    let planned = app.db.read(move |c| super::plan(c, &caller, id, (version, &paths), now)).await?;
    let delivered = app.receipts.record(planned).await?;
    let warning = delivered.first().and_then(|one| one.warning.clone());
    let mut links = Vec::with_capacity(delivered.len());
    for one in delivered {
        let url = super::link(&app.store, &one.storage_key, &one.shard, now).await?;
        links.push(Link {
            path: one.shard.path.clone(),
            sha256: one.shard.sha256,
            size_bytes: one.shard.size_bytes,
            url: url.to_string(),
            expires_at: now.plus(crate::config::SIGNED_URL_TTL),
            receipt: one.receipt.receipt,
        });
    }
    Ok(Json(Links { links, warning }))
}

/// Returns the licence's passport: every statement that it rests on, with proofs, for offline verification.
#[utoipa::path(tag = "delivery", security(("bearer" = [])),
    responses((status = 200, description = "the passport (schemas/passport.v1.json)", body = serde_json::Value),
        (status = 404, body = Problem, description = "unknown, or not yours"),
        (status = 413, body = Problem, description = "it rests on more than a passport holds"),
        (status = 503, body = Problem, description = "the log has not taken in the newest statements yet")))]
#[get("/v1/entitlements/{id}/passport")]
pub(crate) async fn get_passport(app: Data<App>, caller: Caller, id: Path<EntitlementId>) -> Result<HttpResponse> {
    let (keys, origin) = (app.keys.clone(), app.config.log_origin.clone());
    let witnesses = app.log_policy.witnesses.clone();
    let passport = app.db.read(move |c| super::passport(c, &caller, &keys, &origin, &witnesses, *id)).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(passport))
}
