//! Invitations over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accounts::MembershipView;
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::invitations::{self, Invitation};
use crate::identity::tokens::TokenText;
use crate::identity::{Caller, Role};
use crate::types::{Instant, InvitationId, Page, PageQuery, UserId};

/// What the person who presents the code is offered.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationInput {
    /// What the member may do for the organisation.
    role: Role,
}

/// An invitation to become a member of an organisation, without its code.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationView {
    /// The identifier.
    id: InvitationId,
    /// What the member may do.
    role: Role,
    /// The admin who invites.
    invited_by: UserId,
    /// Since when.
    created_at: Instant,
    /// Until when it can be accepted.
    expires_at: Instant,
}

impl From<Invitation> for InvitationView {
    fn from(Invitation { id, role, invited_by, created_at, expires_at, .. }: Invitation) -> Self {
        Self { id, role, invited_by, created_at, expires_at }
    }
}

/// A new invitation. Its code is shown only this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedInvitation {
    /// Give it only to the person for whom it is meant.
    code: String,
    #[serde(flatten)]
    about: InvitationView,
}

/// The code of an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationCode {
    /// As the admin was shown it.
    #[schema(max_length = 43)]
    code: String,
}

/// Which invitation of which organisation.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct InvitationPath {
    /// The organisation's handle.
    handle: String,
    /// The invitation.
    id: InvitationId,
}

/// Invites somebody to act for an organisation; admins only.
///
/// Whoever accepts with the code within seven days becomes a member, provided that the admin still is one.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle")), request_body = InvitationInput, responses(
    (status = 201, body = IssuedInvitation),
    (status = 403, body = Problem, description = "the caller is not an admin"),
    (status = 404, body = Problem, description = "unknown organisation"),
    (status = 409, body = Problem, description = "too many wait to be accepted")))]
#[post("/v1/organisations/{handle}/invitations")]
pub(crate) async fn create_invitation(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    input: Json<InvitationInput>,
) -> Result<HttpResponse> {
    let (code, role, now) = (TokenText::generate_refresh(), input.role, app.clock.now());
    let kept = code.clone();
    let invite = move |c: &mut _| invitations::invite(c, &caller, &handle, role, &kept, now);
    let about = app.db.write(invite).await?.into();
    Ok(HttpResponse::Created().json(IssuedInvitation { code: code.reveal().to_string(), about }))
}

/// Lists an organisation's invitations that nobody has accepted, oldest first, without their codes; admins only.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<InvitationView>),
    (status = 403, body = Problem, description = "the caller is not an admin"),
    (status = 404, body = Problem, description = "unknown organisation")))]
#[get("/v1/organisations/{handle}/invitations")]
pub(crate) async fn list_invitations(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<InvitationView>> {
    let limit = page.limit()?;
    let rows = app.db.read(move |c| invitations::invitations(c, &caller, &handle, &page)).await?;
    Ok(Page::new(rows, limit, |row| row.id.to_string()).map(InvitationView::from))
}

/// Withdraws an invitation; admins only.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(InvitationPath), responses(
    (status = 200, body = InvitationView),
    (status = 403, body = Problem, description = "the caller is not an admin"),
    (status = 404, body = Problem, description = "no such organisation or invitation")))]
#[delete("/v1/organisations/{handle}/invitations/{id}")]
pub(crate) async fn withdraw_invitation(
    app: Data<App>,
    caller: Caller,
    path: Path<InvitationPath>,
) -> Result<Json<InvitationView>> {
    let now = app.clock.now();
    let withdraw = move |c: &mut _| invitations::withdraw(c, &caller, &path.handle, path.id, now);
    Ok(Json(app.db.write(withdraw).await?.into()))
}

/// Accepts an invitation: the caller becomes a member of the organisation.
#[utoipa::path(tag = "identity", security(("bearer" = [])), request_body = InvitationCode, responses(
    (status = 200, body = MembershipView),
    (status = 409, body = Problem, description = "the caller is a member, or staff of the platform, or acts for too many organisations"),
    (status = 422, body = Problem, description = "no invitation has this code, or it has ended")))]
#[post("/v1/invitations/acceptance")]
pub(crate) async fn accept_invitation(
    app: Data<App>,
    caller: Caller,
    input: Json<InvitationCode>,
) -> Result<Json<MembershipView>> {
    let (user_id, now) = (caller.user_id, app.clock.now());
    let membership = app.db.write(move |c| invitations::accept(c, &caller, &input.code, now)).await?;
    app.caller_cache.forget_user(user_id);
    Ok(Json(membership.into()))
}
