//! API tokens over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::caller::SignedIn;
use crate::identity::tokens::{self, NewToken, TokenText};
use crate::identity::{ApiToken, Caller, Scope};
use crate::types::{Instant, Page, PageQuery, TokenId};

/// What is wanted of a new API token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenInput {
    /// What you call it, at most 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// How far it reaches.
    scope: Scope,
    /// When it ends: within 365 days.
    expires_at: Instant,
}

/// An API token, without its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// The identifier.
    id: TokenId,
    /// What its owner calls it.
    name: String,
    /// How far it reaches.
    scope: Scope,
    /// When it was issued.
    created_at: Instant,
    /// When it ends.
    expires_at: Instant,
    /// When it was revoked; null while it was not.
    revoked_at: Option<Instant>,
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        let ApiToken { id, name, scope, created_at, expires_at, revoked_at, .. } = token;
        Self { id, name, scope, created_at, expires_at, revoked_at }
    }
}

/// A new API token. The token itself is shown only this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssuedToken {
    /// `cpx_…`: presented as `Authorization: Bearer cpx_…`.
    token: String,
    #[serde(flatten)]
    about: TokenView,
}

/// Which token.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TokenPath {
    /// The token's identifier.
    id: TokenId,
}

/// Issues an API token to the caller.
///
/// A token that is requested with another API token ends no later than that one, and is revoked with it. An account can
/// have at most a hundred usable tokens at a time.
#[utoipa::path(tag = "identity", security(("bearer" = [])), request_body = TokenInput, responses(
    (status = 201, body = IssuedToken),
    (status = 403, body = Problem, description = "asked for with a token that may only read"),
    (status = 409, body = Problem, description = "the caller has too many tokens that may be used"),
    (status = 422, body = Problem, description = "a field is not acceptable")))]
#[post("/v1/tokens")]
pub(crate) async fn create_token(app: Data<App>, signed_in: SignedIn, input: Json<TokenInput>) -> Result<HttpResponse> {
    let now = app.clock.now();
    let TokenInput { name, scope, expires_at } = input.into_inner();
    let wanted = NewToken { name, scope, expires_at, minted_by: Some(signed_in.caller.credential.to_string()) };
    let text = TokenText::generate();
    let kept = text.clone();
    let token = app.db.write(move |c| tokens::create(c, &signed_in, &kept, &wanted, now)).await?;
    Ok(HttpResponse::Created().json(IssuedToken { token: text.reveal().to_string(), about: token.into() }))
}

/// Lists the caller's API tokens, oldest first, without the tokens themselves.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<TokenView>)))]
#[get("/v1/tokens")]
pub(crate) async fn list_tokens(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<TokenView>> {
    let limit = page.limit()?;
    let rows = app.db.read(move |c| tokens::tokens(c, &caller, &page)).await?;
    Ok(Page::new(rows, limit, |token| token.id.to_string()).map(TokenView::from))
}

/// Revokes one of the caller's API tokens, and every token that was requested with it.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(TokenPath), responses(
    (status = 200, body = TokenView),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "revoked already")))]
#[delete("/v1/tokens/{id}")]
pub(crate) async fn revoke_token(app: Data<App>, caller: Caller, path: Path<TokenPath>) -> Result<Json<TokenView>> {
    let (user_id, now) = (caller.user_id, app.clock.now());
    let token = app.db.write(move |c| tokens::revoke_token(c, &caller, path.id, now)).await?;
    app.caller_cache.forget_user(user_id);
    Ok(Json(token.into()))
}
