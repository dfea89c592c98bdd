//! Registering, signing in and out, and the caller's own account.

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extractors::AnonymousJson;
use crate::app::App;
use crate::error::{Error, Kind, Problem, Result};
use crate::http::input::Json;
use crate::http::limits::client_address;
use crate::identity::caller::{Credential, SignedIn};
use crate::identity::sessions::{self, Session};
use crate::identity::tokens::TokenText;
use crate::identity::{Caller, Membership, PlatformRole, Role, Scope, User, jwt, passwords, users};
use crate::types::{Digest, Instant, OrganisationId, SessionId, UserId};

/// What attempts with the password of an account are called where they are counted and refused.
const SIGN_IN: &str = "to sign in to an account";

/// An e-mail address, and the password of its account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailAndPassword {
    /// The e-mail address; upper and lower case are the same.
    #[schema(example = "li.wei@example.cn", max_length = 254)]
    email: String,
    /// 12 to 256 characters.
    #[schema(min_length = 12, max_length = 256, format = Password)]
    password: String,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UserView {
    /// The identifier.
    id: UserId,
    /// The e-mail address.
    email: String,
    /// When the account was created.
    created_at: Instant,
}

/// Registers a person, who then signs in with the password.
#[utoipa::path(tag = "identity", security(()), request_body = EmailAndPassword, responses(
    (status = 201, body = UserView),
    (status = 409, body = Problem, description = "the e-mail address is taken"),
    (status = 422, body = Problem, description = "the e-mail address or the password is not acceptable"),
    (status = 429, body = Problem, description = "too many people were registered from this address")))]
#[post("/v1/users")]
pub(crate) async fn register_user(
    app: Data<App>,
    request: HttpRequest,
    input: AnonymousJson<EmailAndPassword>,
) -> Result<HttpResponse> {
    let EmailAndPassword { email, password } = input.0;
    let address = client_address(&request, app.config.trusted_proxies);
    app.limits.attempt("to register from an address", &address.to_string())?;
    let now = app.clock.now();
    let email = app.db.read(move |c| users::free_email(c, &email)).await?;
    // Hashing takes one of the few turns that signing in needs: only for what can be registered.
    let phc = passwords::hash("password", password).await?;
    let User { id, email, created_at, .. } = app.db.write(move |c| users::register(c, &email, &phc, now)).await?;
    Ok(HttpResponse::Created().json(UserView { id, email, created_at }))
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    /// The caller's identifier.
    user_id: UserId,
    /// The caller's e-mail address.
    email: String,
    /// What the caller may do for the platform; null for most people.
    platform_role: Option<PlatformRole>,
    /// How far the credential of this request reaches.
    scope: Scope,
    /// The organisations for which the caller acts.
    memberships: Vec<MembershipView>,
}

/// An organisation for which a person acts, and as what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembershipView {
    /// The organisation's handle.
    handle: String,
    /// The organisation's identifier.
    organisation_id: OrganisationId,
    /// What the person may do for it.
    role: Role,
    /// Whether an operator has verified the organisation.
    verified: bool,
}

impl From<Membership> for MembershipView {
    fn from(Membership { organisation_id, handle, role, verified }: Membership) -> Self {
        Self { handle, organisation_id, role, verified }
    }
}

/// Shows who the caller is, and for whom the caller acts.
#[utoipa::path(tag = "identity", security(("bearer" = [])), responses(
    (status = 200, body = Me),
    (status = 401, body = Problem, description = "no credential, or one that ended")))]
#[get("/v1/me")]
pub(crate) async fn get_me(caller: Caller) -> Json<Me> {
    let Caller { user_id, email, platform_role, scope, memberships, .. } = caller;
    let memberships = memberships.into_iter().map(MembershipView::from).collect();
    Json(Me { user_id, email, platform_role, scope, memberships })
}

/// A new password for the old.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    /// The current password.
    #[schema(max_length = 256, format = Password)]
    current_password: String,
    /// 12 to 256 characters.
    #[schema(min_length = 12, max_length = 256, format = Password)]
    new_password: String,
}

/// A password that was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedPassword {
    /// When.
    changed_at: Instant,
}

/// Changes the caller's password. Every other session and API token of the caller ends; the credential of this request
/// stays.
#[utoipa::path(tag = "identity", security(("bearer" = [])), request_body = PasswordChange, responses(
    (status = 200, body = ChangedPassword),
    (status = 422, body = Problem, description = "the present password is another, or the new one is not acceptable"),
    (status = 429, body = Problem, description = "too many attempts with the password of this account")))]
#[put("/v1/me/password")]
pub(crate) async fn change_password(
    app: Data<App>,
    signed_in: SignedIn,
    input: Json<PasswordChange>,
) -> Result<Json<ChangedPassword>> {
    let PasswordChange { current_password, new_password } = input.into_inner();
    let (user_id, now) = (signed_in.caller.user_id, app.clock.now());
    app.limits.attempt(SIGN_IN, &signed_in.caller.email)?;
    let phc = password_phc(&app, &signed_in.caller.email).await?;
    if !passwords::matches(phc, current_password).await? {
        let detail = "this is not the password of the account";
        return Err(Error::invalid("current_password", detail).remedy("give the one that you sign in with"));
    }
    let phc = passwords::hash("new_password", new_password).await?;
    app.db.write(move |c| users::change_password(c, &signed_in, &phc, now)).await?;
    app.caller_cache.forget_user(user_id);
    Ok(Json(ChangedPassword { changed_at: now }))
}

async fn password_phc(app: &App, email: &str) -> Result<Option<String>> {
    let email = email.to_string();
    app.db.read(move |c| sessions::password_phc(c, &email)).await
}

/// The two tokens of a session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionTokens {
    /// The session.
    session_id: SessionId,
    /// Presented with each request: `Authorization: Bearer …`.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// When the access token ends.
    expires_at: Instant,
    /// Valid once, for the next pair of tokens.
    refresh_token: String,
    /// When the session ends, and a password is needed again.
    session_expires_at: Instant,
}

fn session_tokens(app: &App, session: &Session, refresh: &TokenText, now: Instant) -> Result<SessionTokens> {
    let (access_token, claims) = jwt::issue(&app.keys, &app.config.public_url(), session.user_id, session.id, now)?;
    Ok(SessionTokens {
        session_id: session.id,
        access_token,
        token_type: "Bearer",
        expires_at: claims.expires_at(),
        refresh_token: refresh.reveal().to_string(),
        session_expires_at: session.expires_at,
    })
}

/// Signs in with e-mail address and password; if the account already has a hundred sessions, the oldest ends.
#[utoipa::path(tag = "identity", security(()), request_body = EmailAndPassword, responses(
    (status = 201, body = SessionTokens),
    (status = 401, body = Problem, description = "no account has this e-mail address and password"),
    (status = 429, body = Problem, description = "too many attempts from this address, or to sign in to this account")))]
#[post("/v1/sessions")]
pub(crate) async fn create_session(
    app: Data<App>,
    request: HttpRequest,
    input: AnonymousJson<EmailAndPassword>,
) -> Result<HttpResponse> {
    let EmailAndPassword { email, password } = input.0;
    let email = users::normal_email(&email);
    let address = client_address(&request, app.config.trusted_proxies);
    app.limits.attempt("to sign in from an address", &address.to_string())?;
    app.limits.attempt(SIGN_IN, &email)?;
    let phc = password_phc(&app, &email).await?;
    let right = passwords::matches(phc.clone(), password).await?;
    let phc = phc.filter(|_| right).ok_or_else(sessions::wrong_credentials)?;
    let (refresh, now) = (TokenText::generate_refresh(), app.clock.now());
    let kept = refresh.clone();
    let session = app.db.write(move |c| sessions::open(c, &email, &phc, &kept, now)).await?;
    Ok(HttpResponse::Created().json(session_tokens(&app, &session, &refresh, now)?))
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshInput {
    /// The one that came with the last access token.
    #[schema(max_length = 43)]
    refresh_token: String,
}

/// Exchanges a refresh token for the next pair of tokens.
///
/// A refresh token is valid once. Using one again revokes the session, because somebody else may hold it.
#[utoipa::path(tag = "identity", security(()), request_body = RefreshInput, responses(
    (status = 200, body = SessionTokens),
    (status = 401, body = Problem, description = "unknown or used, or its session has ended")))]
#[post("/v1/sessions/refresh")]
pub(crate) async fn refresh_session(app: Data<App>, input: AnonymousJson<RefreshInput>) -> Result<Json<SessionTokens>> {
    let presented = Digest::of(input.0.refresh_token);
    let (next, now) = (TokenText::generate_refresh(), app.clock.now());
    let kept = next.clone();
    let refreshed = app.db.write(move |c| sessions::refresh(c, presented, &kept, now)).await?;
    if let sessions::Refreshed::Reused(session) = &refreshed {
        app.caller_cache.forget_user(session.user_id);
    }
    Ok(Json(session_tokens(&app, &refreshed.into_session()?, &next, now)?))
}

/// A session that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndedSession {
    /// The session.
    session_id: SessionId,
    /// When it ended.
    revoked_at: Instant,
}

/// Signs out: the session's access and refresh tokens stop working.
#[utoipa::path(tag = "identity", security(("bearer" = [])), responses(
    (status = 200, body = EndedSession),
    (status = 401, body = Problem, description = "no credential, or one that ended"),
    (status = 409, body = Problem, description = "the credential is an API token, not a session")))]
#[delete("/v1/sessions/current")]
pub(crate) async fn delete_session(app: Data<App>, signed_in: SignedIn) -> Result<Json<EndedSession>> {
    let (user_id, now) = (signed_in.caller.user_id, app.clock.now());
    let Credential::Session(session_id) = signed_in.caller.credential else {
        return Err(Error::new(Kind::WrongState, "this request came with an API token, which is not a session")
            .remedy("revoke the token at DELETE /v1/tokens/{id}"));
    };
    app.db.write(move |c| sessions::revoke(c, session_id, user_id, "signed out", now)).await?;
    app.caller_cache.forget_user(user_id);
    Ok(Json(EndedSession { session_id, revoked_at: now }))
}

/// Publishes the keys with which access tokens are verified, as a JSON Web Key Set.
#[utoipa::path(tag = "identity", security(()), responses((status = 200, body = jwt::KeySet)))]
#[get("/.well-known/jwks.json")]
pub(crate) async fn get_jwks(app: Data<App>) -> HttpResponse {
    let keys = jwt::key_set(&app.keys);
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(keys)
}
