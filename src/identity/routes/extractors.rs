//! From the `Authorization` header to a [`Caller`] argument; and the record of what staff read with it.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::{Method, header};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::config::MAX_ANONYMOUS_JSON_BYTES;
use crate::error::{Error, Kind, Result};
use crate::http::input::{Extracting, read_json};
use crate::identity::caller::{self, Presented, SignedIn};
use crate::identity::{Caller, Scope, audit, jwt};
use crate::types::{Digest, UserId};

/// The caller, or nobody: for what may be seen without a credential. A bad credential is still refused.
#[derive(Debug, Clone)]
pub struct MaybeCaller(pub Option<Caller>);

/// As [`MaybeCaller`], for a request that only reads, whatever its method: a token that only reads will do.
#[derive(Debug, Clone)]
pub struct MaybeReader(pub Option<Caller>);

/// The JSON body of somebody who shows no credential: anyone may send one, so it is short.
pub(crate) struct AnonymousJson<T>(pub(crate) T);

impl<T: DeserializeOwned + 'static> FromRequest for AnonymousJson<T> {
    type Error = Error;
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = read_json(request, payload, MAX_ANONYMOUS_JSON_BYTES);
        Box::pin(async { body.await.map(Self) })
    }
}

/// What the headers of a request say about its sender.
struct Asked {
    app: Result<Data<App>>,
    presented: Result<Option<Presented>>,
    changes: bool,
    request: HttpRequest,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let app = request.app_data::<Data<App>>().cloned();
        Self {
            app: app.ok_or_else(|| Error::internal("the server was started without its App")),
            presented: presented(request),
            changes: ![Method::GET, Method::HEAD].contains(request.method()),
            request: request.clone(),
        }
    }

    async fn signed_in(self) -> Result<Option<Arc<SignedIn>>> {
        let (app, changes) = (self.app?, self.changes);
        let Some(presented) = self.presented? else { return Ok(None) };
        let signed_in = authenticate(&app, presented).await?;
        if changes && signed_in.caller.scope == Scope::Read {
            return Err(Error::forbidden("this API token may only read").remedy("use a token with the scope write"));
        }
        if !changes && signed_in.caller.is_staff() {
            record(&app, &signed_in.caller, &self.request).await?;
        }
        Ok(Some(signed_in))
    }
}

fn presented(request: &HttpRequest) -> Result<Option<Presented>> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    match (headers.next(), headers.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Presented::read(value.as_bytes()).map(Some),
        (Some(_), Some(_)) => {
            Err(Error::new(Kind::Malformed, "there is more than one Authorization header").field("Authorization"))
        }
    }
}

/// The digest of the request's credential and who sent it, if the credential was checked a moment ago.
pub(crate) fn lately_known(app: &App, request: &HttpRequest) -> Option<(Digest, UserId)> {
    let sha256 = presented(request).ok()??.sha256();
    app.caller_cache.find(sha256, app.clock.now()).map(|signed_in| (sha256, signed_in.caller.user_id))
}

async fn authenticate(app: &App, presented: Presented) -> Result<Arc<SignedIn>> {
    let (now, sha256) = (app.clock.now(), presented.sha256());
    if let Some(signed_in) = app.caller_cache.find_or_renew(sha256, now) {
        return Ok(signed_in);
    }
    let signed_in = match presented {
        Presented::AccessToken(token) => {
            let claims = jwt::verify(&app.keys, &app.config.public_url(), &token, now)?;
            app.db.read(move |c| caller::by_session(c, &claims, now)).await?
        }
        Presented::ApiToken(_) => app.db.read(move |c| caller::by_token(c, sha256, now)).await?,
    };
    let signed_in = Arc::new(signed_in);
    app.caller_cache.remember(sha256, signed_in.clone(), now);
    Ok(signed_in)
}

/// Puts a privileged read on record, with its method, path and query; durable when this returns.
async fn record(app: &App, caller: &Caller, request: &HttpRequest) -> Result<()> {
    let (caller, now) = (caller.clone(), app.clock.now());
    let request = format!("{} {}", request.method(), request.uri());
    app.db.write(move |c| audit::record_read(c, &caller, &request, now)).await
}

impl FromRequest for SignedIn {
    type Error = Error;
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let asked = Asked::of(request);
        Box::pin(async { asked.signed_in().await?.map(Arc::unwrap_or_clone).ok_or_else(caller::missing) })
    }
}

impl FromRequest for Caller {
    type Error = Error;
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let signed_in = SignedIn::from_request(request, payload);
        Box::pin(async { Ok(signed_in.await?.caller) })
    }
}

impl FromRequest for MaybeCaller {
    type Error = Error;
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let asked = Asked::of(request);
        Box::pin(async { Ok(Self(asked.signed_in().await?.map(|signed_in| signed_in.caller.clone()))) })
    }
}

impl FromRequest for MaybeReader {
    type Error = Error;
    type Future = Extracting<Self>;
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let asked = Asked { changes: false, ..Asked::of(request) };
        Box::pin(async { Ok(Self(asked.signed_in().await?.map(|signed_in| signed_in.caller.clone()))) })
    }
}
