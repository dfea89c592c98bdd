//! The board over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::listings::{self, Listing, ListingState, Withdrawal};
use super::odrl;
use crate::app::App;
use crate::catalog::{self, VersionRef};
use crate::db::Conn;
use crate::error::{Error, Problem, Result};
use crate::history;
use crate::http::answers::json_ld;
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::provenance::{self, StatementKind, StoredStatement};
use crate::signing::Envelope;
use crate::terms::{self, Use};
use crate::types::{EntryId, Instant, ListingId, Money, Page, PageQuery, StatementId, TermsId, kind};

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
    /// What the whole version costs.
    price: Money,
    /// The uses that the terms permit.
    permitted_uses: Vec<Use>,
    /// Where it is in its life.
    state: ListingState,
    /// Until when others may object.
    notice_ends_at: Instant,
    /// When it was made.
    created_at: Instant,
}

fn listing_view(c: &mut Conn, listing: Listing) -> Result<ListingView> {
    let version = catalog::name_of(c, listing.version_id)?;
    let document = terms::terms(c, listing.terms_id)?.document;
    let measure = catalog::seal_of(c, listing.version_id)?.measure();
    Ok(ListingView {
        id: listing.id,
        dataset: version.dataset,
        version: version.number,
        terms_id: listing.terms_id,
        price: terms::price(&document, &measure)?,
        permitted_uses: document.permitted_uses,
        state: listing.state,
        notice_ends_at: listing.notice_ends_at,
        created_at: listing.created_at,
    })
}

fn listing_views(c: &mut Conn, listings: Vec<Listing>) -> Result<Vec<ListingView>> {
    catalog::load_names(c, listings.iter().map(|listing| listing.version_id))?;
    catalog::load_seals(c, listings.iter().map(|listing| listing.version_id))?;
    terms::load_terms(c, listings.iter().map(|listing| listing.terms_id))?;
    listings.into_iter().map(|listing| listing_view(c, listing)).collect()
}

/// Announces an assessed version for the board. It can be bought when the public notice is over and no objection is open.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = NewListing, responses(
    (status = 201, body = ListingView),
    (status = 403, body = Problem, description = "the version is of another provider, or your role is too small"),
    (status = 404, body = Problem, description = "no such version, or no such terms of its provider"),
    (status = 422, body = Problem, description = "no valid assessment: not compliant, not listed")))]
#[post("/v1/listings")]
pub(crate) async fn create_listing(app: Data<App>, caller: Caller, input: Json<NewListing>) -> Result<HttpResponse> {
    let (config, keys, now) = (app.config.clone(), app.keys.clone(), app.clock.now());
    let open = move |c: &mut Conn| {
        let which = VersionRef::of(&input.dataset, input.version)?;
        let (dataset, version) = catalog::view_version(c, Some(&caller), &which).map_err(|e| e.field("dataset"))?;
        let listing = listings::open(c, &caller, (&config, &keys), (&dataset, &version), input.terms_id, now)?;
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

/// Lists what is or was on the board.
#[utoipa::path(tag = "market", security(()), params(ListingQuery), responses((status = 200, body = Page<ListingView>)))]
#[get("/v1/listings")]
pub(crate) async fn list_listings(app: Data<App>, query: Query<ListingQuery>) -> Result<Page<ListingView>> {
    let list = move |c: &mut Conn| {
        let page = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
        let limit = page.limit()?;
        let dataset = query.dataset.as_deref().map(catalog::split_name).transpose()?;
        let rows = listings::listings(c, dataset, page.after_id::<kind::Listing>()?, limit.saturating_add(1))?;
        Ok(Page::new(listing_views(c, rows)?, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// A listing, its history, and what replaces it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ListingDetail {
    /// The listing.
    #[serde(flatten)]
    listing: ListingView,
    /// The number of the version's registration certificate.
    certificate: String,
    /// Why it is in its state.
    state_reason: String,
    /// Since when.
    state_since: Instant,
    /// The listing that takes its place: named by the provider, or of the newest later version that is on the board.
    successor: Option<ListingId>,
}

/// Shows a listing; if it was withdrawn, also when, why, and what replaces it.
#[utoipa::path(tag = "market", security(()), responses((status = 200, body = ListingDetail), (status = 404, body = Problem, description = "no such listing")))]
#[get("/v1/listings/{id}")]
pub(crate) async fn get_listing(app: Data<App>, id: Path<ListingId>) -> Result<Json<ListingDetail>> {
    let show = move |c: &mut Conn| {
        let listing = listings::listing(c, *id)?;
        let (certificate, successor) = (listings::certificate_of(c, &listing)?, listings::successor(c, &listing)?);
        let last = history::last(c, listing.id)?.ok_or_else(|| Error::internal("a listing has a history"))?;
        let listing = listing_view(c, listing)?;
        Ok(ListingDetail { listing, certificate, state_reason: last.reason, state_since: last.at, successor })
    };
    Ok(Json(app.db.read(show).await?))
}

/// Shows a listing that is on the board as an ODRL 2.2 Offer, in JSON-LD. Words that are not ODRL's own are defined in
/// `/v1/odrl-profile`.
#[utoipa::path(tag = "market", security(()), responses(
    (status = 200, body = serde_json::Value, content_type = "application/ld+json"),
    (status = 404, body = Problem, description = "no such listing"),
    (status = 409, body = Problem, description = "not on the board")))]
#[get("/v1/listings/{id}/odrl")]
pub(crate) async fn get_listing_odrl(app: Data<App>, id: Path<ListingId>) -> Result<HttpResponse> {
    let url = app.config.public_url();
    let show = move |c: &mut Conn| {
        let listing = listings::listing(c, *id)?;
        Ok(terms::odrl::document(&url, odrl::offer(c, &listing, &url)?))
    };
    Ok(json_ld(&app.db.read(show).await?))
}

/// Takes a listing off the board temporarily.
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

/// Withdraws a listing for ever. Existing licences stay as they are.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = Withdrawal, responses((status = 200, body = ListingView), (status = 422, body = Problem, description = "the successor cannot take its place"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/listings/{id}/withdraw")]
pub(crate) async fn withdraw_listing(
    app: Data<App>,
    caller: Caller,
    id: Path<ListingId>,
    why: Json<Withdrawal>,
) -> Result<Json<ListingView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let withdraw = move |c: &mut Conn| {
        let listing = listings::withdraw(c, &caller, &keys, *id, &why, now)?;
        listing_view(c, listing)
    };
    Ok(Json(app.db.write(withdraw).await?))
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
    /// `listing` opened it; each `listing-change` moved it on; `objection` tells of an objection to it.
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
