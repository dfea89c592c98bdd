//! What all routes of the Hub share: the caller, the parameters, and the form of a refusal.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use serde_json::json;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::http::body::read_body;
use crate::hub::Refusal;
use crate::identity::{Caller, MaybeReader};

/// The largest form: a thousand long paths.
const MAX_FORM_BYTES: usize = 1024 * 1024;
/// Decides which exception a client raises.
const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
/// The text of that exception, for an answer to HEAD has no body.
const X_ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");
/// The commit that was looked into.
pub(super) const X_REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");

/// The caller, or nobody; a bad credential is refused in the words of the Hub.
pub(crate) struct HubCaller(pub(crate) Option<Caller>);

impl FromRequest for HubCaller {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = MaybeReader::from_request(request, payload);
        Box::pin(async { Ok(Self(caller.await?.0)) })
    }
}

/// The parameters of a query or a form. Those that nobody here knows are passed over: clients send many.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// Python's `True` is as good as `true`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
    /// The number of this name, from 1 to `most`; `most` when it is absent.
    pub(super) fn limit(&self, most: usize) -> Result<usize> {
        match self.get("limit").map(str::parse) {
            None => Ok(most),
            Some(Ok(limit @ 1..)) => Ok(most.min(limit)),
            Some(_) => Err(Error::invalid("limit", "this is not a number from 1 on")),
        }
    }
}

/// Reads the body of a form.
pub(super) async fn form(mut body: actix_web::web::Payload) -> Result<Parameters> {
    let too_large = || Error::new(Kind::TooLarge, format!("a form is at most {MAX_FORM_BYTES} bytes"));
    Ok(Parameters::read(&read_body(&mut body, MAX_FORM_BYTES, too_large).await?))
}

impl FromRequest for Parameters {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::read(request.query_string().as_bytes())))
    }
}

/// Reads for a handler that may be refused in the words of the Hub.
pub(crate) async fn read<T, F>(app: &App, work: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: FnOnce(&mut Conn) -> Result<T, Refusal> + Send + 'static,
{
    app.db.read(move |c| Ok(work(c))).await?
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message())
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        // The exchange's own errors know their headers and are logged.
        let mut response = match self {
            Refusal::Failed(error) => error.error_response().map_into_boxed_body(),
            _ => HttpResponse::new(self.status_code()),
        };
        response.extensions_mut().insert(self.kind());
        let mut set = |name, value: &str| {
            response.headers_mut().insert(name, HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("")));
        };
        let message = self.message();
        set(X_ERROR_MESSAGE, &visible(&message));
        set(header::CONTENT_TYPE, "application/json");
        if let Some(code) = self.code() {
            set(X_ERROR_CODE, code);
        }
        if let Refusal::Entry { commit, .. } = self {
            set(X_REPO_COMMIT, commit);
        }
        if self.status_code() == StatusCode::UNAUTHORIZED {
            set(header::WWW_AUTHENTICATE, "Bearer");
        }
        response.set_body(BoxBody::new(json!({ "error": message }).to_string()))
    }
}

/// The most that a header says, in bytes: clients and proxies refuse an answer with a longer head than they have room for, and
/// a name that was asked for may be of any length.
const MOST_SAID: usize = 1000;

/// A text as a header may carry it: visible ASCII, the rest escaped, and cut off where it is too long.
fn visible(text: &str) -> String {
    let escaped = |c: char| if (' '..='~').contains(&c) { c.to_string() } else { c.escape_default().to_string() };
    let fits = |said: &mut usize, piece: String| {
        *said = said.saturating_add(piece.len());
        (*said <= MOST_SAID).then_some(piece)
    };
    text.chars().map(escaped).scan(0, fits).collect()
}

/// The answer to whatever else clients of the Hub ask for: there is no such repository.
pub(crate) async fn no_such_repository(caller: HubCaller) -> Result<HttpResponse, Refusal> {
    Err(Refusal::Repo { signed_in: caller.0.is_some() })
}
