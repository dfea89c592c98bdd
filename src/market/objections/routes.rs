//! Objections over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{NewObjection, Objection, ObjectionDocument, ObjectionState};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history;
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::types::{Digest, Instant, ListingId, ObjectionId, Page, PageQuery};

/// An objection to a listing.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ObjectionView {
    /// Its identifier.
    id: ObjectionId,
    /// To what.
    listing_id: ListingId,
    /// Its state.
    state: ObjectionState,
    /// The reason for that state.
    state_reason: String,
    /// Who objects, why, and on what evidence.
    document: ObjectionDocument,
    /// The digest of the document as canonical JSON, by which statements in the log refer to it.
    document_sha256: Digest,
    /// When it was filed.
    filed_at: Instant,
}

fn objection_view(c: &mut Conn, objection: Objection) -> Result<ObjectionView> {
    Ok(ObjectionView {
        id: objection.id,
        listing_id: objection.listing_id,
        state: objection.state,
        state_reason: history::list(c, objection.id)?.pop().map(|step| step.reason).unwrap_or_default(),
        document: objection.document.0,
        document_sha256: objection.document_sha256,
        filed_at: objection.filed_at,
    })
}

fn objection_views(c: &mut Conn, objections: Vec<Objection>) -> Result<Vec<ObjectionView>> {
    history::load_lists(c, objections.iter().map(|objection| objection.id))?;
    objections.into_iter().map(|objection| objection_view(c, objection)).collect()
}

/// Objects to a listing on public notice. Any verified organisation but the provider may; compliance decides.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = NewObjection, responses(
    (status = 201, body = ObjectionView),
    (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "no such listing or organisation"),
    (status = 409, body = Problem, description = "the public notice is over, or your organisation objected already"),
    (status = 422, body = Problem, description = "a field was refused")))]
#[post("/v1/listings/{id}/objections")]
pub(crate) async fn object_to_listing(
    app: Data<App>,
    caller: Caller,
    id: Path<ListingId>,
    input: Json<NewObjection>,
) -> Result<HttpResponse> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let object = move |c: &mut Conn| {
        let objection = super::object(c, &caller, &keys, *id, &input, now)?;
        objection_view(c, objection)
    };
    Ok(HttpResponse::Created().json(app.db.write(object).await?))
}

/// Lists the objections to a listing: compliance and the provider see all, others their own.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<ObjectionView>), (status = 404, body = Problem, description = "no such listing")))]
#[get("/v1/listings/{id}/objections")]
pub(crate) async fn list_objections(
    app: Data<App>,
    caller: Caller,
    id: Path<ListingId>,
    page: Query<PageQuery>,
) -> Result<Page<ObjectionView>> {
    let list = move |c: &mut Conn| {
        let rows = super::objections(c, &caller, *id, &page)?;
        Ok(Page::new(objection_views(c, rows)?, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Why an objection is decided so.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ruling {
    /// In 1 to 400 characters. If the objection is upheld, everybody may read it beside the listing.
    #[schema(min_length = 1, max_length = 400)]
    reason: String,
}

/// Upholds an objection: the listing is withdrawn for ever, and with it those of the same version on public notice.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = Ruling, responses((status = 200, body = ObjectionView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "decided already")))]
#[post("/v1/objections/{id}/upholding")]
pub(crate) async fn uphold_objection(
    app: Data<App>,
    caller: Caller,
    id: Path<ObjectionId>,
    why: Json<Ruling>,
) -> Result<Json<ObjectionView>> {
    decide(app, caller, *id, ObjectionState::Upheld, why).await
}

/// Dismisses an objection: unless another one is open, the listings of the version go on the board when their public notice is over.
#[utoipa::path(tag = "market", security(("bearer" = [])), request_body = Ruling, responses((status = 200, body = ObjectionView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "decided already")))]
#[post("/v1/objections/{id}/dismissal")]
pub(crate) async fn dismiss_objection(
    app: Data<App>,
    caller: Caller,
    id: Path<ObjectionId>,
    why: Json<Ruling>,
) -> Result<Json<ObjectionView>> {
    decide(app, caller, *id, ObjectionState::Dismissed, why).await
}

async fn decide(
    app: Data<App>,
    caller: Caller,
    id: ObjectionId,
    to: ObjectionState,
    why: Json<Ruling>,
) -> Result<Json<ObjectionView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let decide = move |c: &mut Conn| {
        let objection = super::decide(c, &caller, &keys, id, to, &why.reason, now)?;
        objection_view(c, objection)
    };
    Ok(Json(app.db.write(decide).await?))
}
