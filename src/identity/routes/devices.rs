//! The device authorization grant (RFC 8628) over HTTP. Its two endpoints speak OAuth: forms, and errors by OAuth's names.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse, ResponseError, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::{Error, Kind, Problem, Result};
use crate::http::input::Json;
use crate::http::limits::client_address;
use crate::identity::Caller;
use crate::identity::caller::SignedIn;
use crate::identity::devices::{self, Codes, DeviceLogin, INTERVAL_SECONDS, LIFETIME, Told};
use crate::identity::tokens::TokenText;
use crate::types::Instant;

/// What attempts to guess the codes of sign-ins are called where they are counted and refused (RFC 8628, section 5.1).
const GUESS: &str = "to name a sign-in by its code";
const ENDED: &str = "the code ended, or was used; begin again";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// An error of OAuth 2.0 (RFC 6749, section 5.2; RFC 8628, section 3.5): the exchange's own, by OAuth's name.
#[derive(Debug)]
pub(crate) struct OAuthError {
    error: &'static str,
    cause: Error,
}

impl OAuthError {
    /// A refusal: to OAuth each is a bad request.
    fn new(error: &'static str, why: impl Into<String>) -> Self {
        Self { error, cause: Error::new(Kind::Malformed, why) }
    }
}

impl From<Error> for OAuthError {
    fn from(cause: Error) -> Self {
        match cause.kind {
            Kind::RateLimited | Kind::Unavailable | Kind::OutcomeUnknown => {
                Self { error: "temporarily_unavailable", cause }
            }
            kind if kind.status().is_server_error() => Self { error: "server_error", cause },
            _ => Self::new("invalid_request", cause.detail),
        }
    }
}

impl From<actix_web::Error> for OAuthError {
    fn from(error: actix_web::Error) -> Self {
        Self::new("invalid_request", format!("the form cannot be read: {error}"))
    }
}

impl std::fmt::Display for OAuthError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.error, self.cause.problem().detail)
    }
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        self.cause.status_code()
    }
    fn error_response(&self) -> HttpResponse {
        // The exchange's own errors know their headers, and are logged.
        let mut response = self.cause.error_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = json!({ "error": self.error, "error_description": self.cause.problem().detail });
        response.set_body(BoxBody::new(body.to_string()))
    }
}

/// A program that asks to be signed in.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct DeviceRequest {
    /// What the program calls itself; the person who approves reads it.
    client_id: String,
}

/// The codes of a sign-in (RFC 8628, section 3.2).
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceCodes {
    /// The program keeps it secret, and polls with it.
    device_code: String,
    /// The program shows it.
    user_code: String,
    /// Where a person decides.
    verification_uri: String,
    /// The same, with the code in it.
    verification_uri_complete: String,
    /// How long the codes are valid, in seconds.
    expires_in: u64,
    /// How long to wait between two polls, in seconds.
    interval: u64,
}

/// Begins the sign-in of a program that has no browser (RFC 8628).
#[utoipa::path(tag = "identity", security(()), request_body(content = DeviceRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DeviceCodes),
    (status = 400, description = "an OAuth error: invalid_request"),
    (status = 429, description = "too many programs wait"),
    (status = 503, description = "an OAuth error: temporarily_unavailable")))]
#[post("/oauth/device")]
pub(crate) async fn request_device_code(
    app: Data<App>,
    request: HttpRequest,
    form: Result<Form<DeviceRequest>, actix_web::Error>,
) -> Result<Json<DeviceCodes>, OAuthError> {
    let address = client_address(&request, app.config.trusted_proxies);
    app.limits.attempt("to begin the sign-in of a program", &address.to_string())?;
    let client = form?.into_inner().client_id;
    let (codes, now) = (Codes::generate(), app.clock.now());
    let kept = codes.clone();
    app.db.write(move |c| devices::begin(c, &client, &kept, now)).await?;
    let verification_uri = format!("{}/v1/device-logins", app.config.public_url());
    Ok(Json(DeviceCodes {
        device_code: codes.device.reveal().to_string(),
        verification_uri_complete: format!("{verification_uri}/{}", codes.user),
        verification_uri,
        user_code: codes.user,
        expires_in: LIFETIME.as_secs(),
        interval: INTERVAL_SECONDS,
    }))
}

/// A program that polls its sign-in.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct TokenRequest {
    /// `urn:ietf:params:oauth:grant-type:device_code`.
    grant_type: String,
    /// The code that the program keeps.
    device_code: Option<String>,
}

/// The token of a program that was signed in (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceToken {
    /// `cpx_…`: a read-only API token.
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// How long it is good for, in seconds.
    expires_in: u64,
    /// `read`.
    scope: &'static str,
}

/// Polls a program's sign-in, and returns its token once it is approved, a single time (RFC 8628, section 3.4).
#[utoipa::path(tag = "identity", security(()), request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, body = DeviceToken),
    (status = 400, description = "an OAuth error: authorization_pending, slow_down, access_denied, expired_token, unsupported_grant_type or invalid_request"),
    (status = 503, description = "an OAuth error: temporarily_unavailable")))]
#[post("/oauth/token")]
pub(crate) async fn redeem_device_code(
    app: Data<App>,
    form: Result<Form<TokenRequest>, actix_web::Error>,
) -> Result<HttpResponse, OAuthError> {
    let TokenRequest { grant_type, device_code } = form?.into_inner();
    if grant_type != DEVICE_CODE {
        return Err(OAuthError::new("unsupported_grant_type", format!("only {DEVICE_CODE} is supported here")));
    }
    let code = device_code.ok_or_else(|| OAuthError::new("invalid_request", "device_code is missing"))?;
    let (text, now) = (TokenText::generate(), app.clock.now());
    let (kept, asked) = (text.clone(), code.clone());
    if !app.db.read(move |c| devices::is_open(c, &asked, now)).await? {
        return Err(OAuthError::new("expired_token", ENDED));
    }
    let token = match app.db.write(move |c| devices::redeem(c, &code, &kept, now)).await? {
        Told::Granted(token) => token,
        Told::Pending => return Err(OAuthError::new("authorization_pending", "nobody has approved it yet")),
        Told::TooSoon => return Err(OAuthError::new("slow_down", format!("wait {INTERVAL_SECONDS} seconds more"))),
        Told::Denied => return Err(OAuthError::new("access_denied", "the person who was asked said no")),
        Told::Ended => return Err(OAuthError::new("expired_token", ENDED)),
    };
    let expires_in = token.expires_at.unix().0.saturating_sub(now.unix().0);
    let granted = DeviceToken {
        access_token: text.reveal().to_string(),
        token_type: "Bearer",
        expires_in,
        scope: token.scope.as_str(),
    };
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(granted))
}

/// Which sign-in.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DevicePath {
    /// The code that the program shows.
    user_code: String,
}

/// A program that waits, or waited, for a person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceLoginView {
    /// What the program calls itself; nobody has checked it.
    client: String,
    /// When it began.
    created_at: Instant,
    /// Until when it can be decided.
    expires_at: Instant,
    /// When it was decided; null before.
    decided_at: Option<Instant>,
}

impl From<DeviceLogin> for DeviceLoginView {
    fn from(login: DeviceLogin) -> Self {
        let DeviceLogin { client, created_at, expires_at, decided_at, .. } = login;
        Self { client, created_at, expires_at, decided_at }
    }
}

/// Shows the program that asks to be signed in, to anybody who has its code.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(DevicePath), responses(
    (status = 200, body = DeviceLoginView),
    (status = 404, body = Problem, description = "no program shows this code, or not any more")))]
#[get("/v1/device-logins/{user_code}")]
pub(crate) async fn get_device_login(
    app: Data<App>,
    caller: Caller,
    which: Path<DevicePath>,
) -> Result<Json<DeviceLoginView>> {
    app.limits.attempt(GUESS, &caller.user_id.to_string())?;
    let now = app.clock.now();
    Ok(Json(app.db.read(move |c| devices::device_login(c, &which.user_code, now)).await?.into()))
}

/// Signs a program in as the caller: it gets a read-only token, for 30 days at most.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(DevicePath), responses(
    (status = 200, body = DeviceLoginView),
    (status = 404, body = Problem, description = "no program shows this code, or not any more"),
    (status = 409, body = Problem, description = "decided already, or the caller has too many tokens that may be used")))]
#[post("/v1/device-logins/{user_code}/approval")]
pub(crate) async fn approve_device_login(
    app: Data<App>,
    signed_in: SignedIn,
    which: Path<DevicePath>,
) -> Result<Json<DeviceLoginView>> {
    decide(&app, signed_in, which.into_inner(), true).await
}

/// Refuses to sign a program in.
#[utoipa::path(tag = "identity", security(("bearer" = [])), params(DevicePath), responses(
    (status = 200, body = DeviceLoginView),
    (status = 404, body = Problem, description = "no program shows this code, or not any more"),
    (status = 409, body = Problem, description = "decided already")))]
#[post("/v1/device-logins/{user_code}/denial")]
pub(crate) async fn deny_device_login(
    app: Data<App>,
    signed_in: SignedIn,
    which: Path<DevicePath>,
) -> Result<Json<DeviceLoginView>> {
    decide(&app, signed_in, which.into_inner(), false).await
}

async fn decide(app: &App, signed_in: SignedIn, which: DevicePath, approved: bool) -> Result<Json<DeviceLoginView>> {
    app.limits.attempt(GUESS, &signed_in.caller.user_id.to_string())?;
    let now = app.clock.now();
    let decide = move |c: &mut _| devices::decide(c, &signed_in, &which.user_code, approved, now);
    Ok(Json(app.db.write(decide).await?.into()))
}
