//! Organisations and their members over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::{self, Caller, Member, NewOrganisation, Organisation, OrganisationState, Rejection, Role};
use crate::types::{Instant, OrganisationId, Page, PageQuery, UserId};

/// A company or institution that trades.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganisationView {
    /// The identifier.
    id: OrganisationId,
    /// Its short name, part of the name of every dataset it publishes.
    handle: String,
    /// Its name in law.
    legal_name: String,
    /// Its number in the country's register.
    registration_number: String,
    /// ISO 3166-1 alpha-2.
    country: String,
    /// Handles of the organisations that it declares to be affiliated with.
    affiliations: Vec<String>,
    /// How far the exchange knows it.
    state: OrganisationState,
    /// Since when it is registered.
    created_at: Instant,
    /// Since when it is verified; null while it is not.
    verified_at: Option<Instant>,
}

impl From<Organisation> for OrganisationView {
    fn from(organisation: Organisation) -> Self {
        Self {
            id: organisation.id,
            handle: organisation.handle,
            legal_name: organisation.legal_name,
            registration_number: organisation.registration_number,
            country: organisation.country,
            affiliations: organisation.affiliations.0,
            state: organisation.state,
            created_at: organisation.created_at,
            verified_at: organisation.verified_at,
        }
    }
}

/// Registers an organisation; the caller becomes its admin. An operator verifies it before it can trade, or rejects it.
#[utoipa::path(tag = "identity", security(("bearer" = [])), request_body = NewOrganisation, responses(
    (status = 201, body = OrganisationView),
    (status = 409, body = Problem, description = "the handle is taken, or a verified organisation has the registration number; or the caller is staff of the platform, or acts for too many organisations, or for too many that are not verified"),
    (status = 422, body = Problem, description = "a field is not acceptable")))]
#[post("/v1/organisations")]
pub(crate) async fn register_organisation(
    app: Data<App>,
    caller: Caller,
    input: Json<NewOrganisation>,
) -> Result<HttpResponse> {
    let (input, user_id, now) = (input.into_inner(), caller.user_id, app.clock.now());
    let register = move |c: &mut _| identity::register_organisation(c, &caller, input.clone(), now);
    let organisation = app.db.write(register).await?;
    app.caller_cache.forget_user(user_id);
    Ok(HttpResponse::Created().json(OrganisationView::from(organisation)))
}

/// Lists the verified organisations and the caller's own; operators and compliance see all except rejected ones.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<OrganisationView>)))]
#[get("/v1/organisations")]
pub(crate) async fn list_organisations(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<OrganisationView>> {
    let limit = page.limit()?;
    let rows = app.db.read(move |c| identity::organisations(c, &caller, &page)).await?;
    Ok(Page::new(rows, limit, |row| row.handle.clone()).map(OrganisationView::from))
}

/// Shows one organisation. One that is not verified is shown to its members, operators and compliance only.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), responses(
    (status = 200, body = OrganisationView),
    (status = 404, body = Problem, description = "unknown, or not verified and not yours")))]
#[get("/v1/organisations/{handle}")]
pub(crate) async fn get_organisation(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
) -> Result<Json<OrganisationView>> {
    let show = move |c: &mut _| identity::visible_organisation(c, Some(&caller), &handle);
    Ok(Json(app.db.read(show).await?.into()))
}

/// Verifies an organisation, after its papers were checked; operators only.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), responses(
    (status = 200, body = OrganisationView),
    (status = 403, body = Problem, description = "the caller is not an operator"),
    (status = 404, body = Problem, description = "unknown"),
    (status = 409, body = Problem, description = "verified already, or another organisation is with its registration number")))]
#[post("/v1/organisations/{handle}/verification")]
pub(crate) async fn verify_organisation(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
) -> Result<Json<OrganisationView>> {
    let now = app.clock.now();
    let organisation = app.db.write(move |c| identity::verify_organisation(c, &caller, &handle, now)).await?;
    // Every member's memberships say whether the organisation is verified.
    app.caller_cache.clear();
    Ok(Json(organisation.into()))
}

/// Why a registration is rejected.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectionInput {
    /// 1 to 500 characters; it is shown to whoever registered the organisation.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Rejects the registration of an organisation that is not who it says it is; operators only.
///
/// This is final: nobody can act for it any more, and its handle is free for another. A verified organisation cannot be
/// rejected.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), request_body = RejectionInput, responses(
    (status = 200, body = Rejection),
    (status = 403, body = Problem, description = "the caller is not an operator"),
    (status = 404, body = Problem, description = "unknown, or rejected already"),
    (status = 409, body = Problem, description = "verified already"),
    (status = 422, body = Problem, description = "no reason was given")))]
#[post("/v1/organisations/{handle}/rejection")]
pub(crate) async fn reject_organisation(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    input: Json<RejectionInput>,
) -> Result<Json<Rejection>> {
    let now = app.clock.now();
    let reject = move |c: &mut _| identity::reject_organisation(c, &caller, &handle, &input.reason, now);
    let rejection = app.db.write(reject).await?;
    // Its members are members no more.
    app.caller_cache.clear();
    Ok(Json(rejection))
}

/// Shows former members, operators and compliance why an organisation with this handle was rejected.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The handle that the organisation had")), responses(
    (status = 200, body = Rejection),
    (status = 404, body = Problem, description = "none was rejected, or not yours")))]
#[get("/v1/organisations/{handle}/rejection")]
pub(crate) async fn get_rejection(app: Data<App>, caller: Caller, handle: Path<String>) -> Result<Json<Rejection>> {
    Ok(Json(app.db.read(move |c| identity::rejection(c, &caller, &handle)).await?))
}

/// Which member is to have which role.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberInput {
    /// The e-mail address of the member.
    #[schema(max_length = 254)]
    email: String,
    /// What the person may do for the organisation.
    role: Role,
}

/// A person who acts for an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    /// The person.
    user_id: UserId,
    /// The person's e-mail address.
    email: String,
    /// What the person may do.
    role: Role,
    /// Since when the person is a member.
    created_at: Instant,
}

impl From<Member> for MemberView {
    fn from(Member { user_id, email, role, created_at }: Member) -> Self {
        Self { user_id, email, role, created_at }
    }
}

/// Which member of which organisation.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MemberPath {
    /// The organisation's handle.
    handle: String,
    /// The member.
    user_id: UserId,
}

/// Changes the role of a member; admins only.
///
/// To add a member, invite the person: `POST /v1/organisations/{handle}/invitations`.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), request_body = MemberInput, responses(
    (status = 200, body = MemberView),
    (status = 403, body = Problem, description = "the caller is not an admin"),
    (status = 404, body = Problem, description = "unknown organisation, or no member has this address"),
    (status = 409, body = Problem, description = "no admin would be left")))]
#[put("/v1/organisations/{handle}/members")]
pub(crate) async fn put_member(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    input: Json<MemberInput>,
) -> Result<Json<MemberView>> {
    let (MemberInput { email, role }, now) = (input.into_inner(), app.clock.now());
    let member = app.db.write(move |c| identity::put_member(c, &caller, &handle, &email, role, now)).await?;
    app.caller_cache.forget_user(member.user_id);
    Ok(Json(member.into()))
}

/// Lists the members of an organisation, for its members, operators and compliance.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<MemberView>),
    (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/organisations/{handle}/members")]
pub(crate) async fn list_members(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<MemberView>> {
    let limit = page.limit()?;
    let rows = app.db.read(move |c| identity::members(c, &caller, &handle, &page)).await?;
    Ok(Page::new(rows, limit, |member| member.user_id.to_string()).map(MemberView::from))
}

/// Ends a membership; admins only.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(MemberPath), responses(
    (status = 200, body = MemberView),
    (status = 403, body = Problem, description = "the caller is not an admin"),
    (status = 404, body = Problem, description = "no such organisation or member"),
    (status = 409, body = Problem, description = "no admin would be left")))]
#[delete("/v1/organisations/{handle}/members/{user_id}")]
pub(crate) async fn delete_member(app: Data<App>, caller: Caller, path: Path<MemberPath>) -> Result<Json<MemberView>> {
    let now = app.clock.now();
    let remove = move |c: &mut _| identity::remove_member(c, &caller, &path.handle, path.user_id, now);
    let member = app.db.write(remove).await?;
    app.caller_cache.forget_user(member.user_id);
    Ok(Json(member.into()))
}
