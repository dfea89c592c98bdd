//! What surrounds every handler: the request's span, its deadline, the audit trail's denials, and the headers of each answer.

use std::time::{Duration, Instant as Stopwatch};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use tracing::Instrument as _;

use super::payload;
use crate::app::App;
use crate::error::{Error, Kind};
use crate::http::limits::client_address;
use crate::identity::{self, Denials};

/// A handler that has not answered by then is given up, and one that waits for its body a little before.
const DEADLINE: Duration = Duration::from_secs(60);
/// The same for those that carry file bytes: a body that trickles in may not hold its place for ever.
const BYTES_DEADLINE: Duration = Duration::from_secs(60 * 60);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps a request: gives it an id and a span, bounds its time, counts it, and sets the headers that every answer has.
///
/// The span holds the route's pattern, never the query: signed URLs carry their signature there.
pub(super) async fn envelop<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, payload::Answer>>, actix_web::Error> {
    let route = request.match_pattern().unwrap_or_else(|| "unmatched".to_string());
    let carries_bytes = route.starts_with("/objects/") || route.contains("/shards/");
    within(if carries_bytes { BYTES_DEADLINE } else { DEADLINE }, route, request, next).await
}

async fn within<B: MessageBody + 'static>(
    limit: Duration,
    route: String,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, payload::Answer>>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let method = request.method().clone();
    let metrics = request.app_data::<Data<App>>().map(|app| app.metrics.clone());
    let span = tracing::info_span!("request", id, %method, route);
    let started = Stopwatch::now();
    // A body that comes too slowly is refused by the handler, before the handler itself is given up as too slow.
    let body = payload::hold(&mut request, limit.mul_f32(0.9));
    let answered = async {
        let given_up = |_| Err(given_up(&method, limit).into());
        tokio::time::timeout(limit, next.call(request)).await.unwrap_or_else(given_up)
    };
    let answered = answered.instrument(span.clone()).await;
    let seal = |status: StatusCode, headers: &mut HeaderMap| {
        if let Some(metrics) = metrics {
            metrics.request(method.as_str(), &route, status.as_u16(), started.elapsed());
        }
        tracing::info!(status = status.as_u16(), micros = started.elapsed().as_micros(), "answered");
        set_headers(headers, &id, route.starts_with("/docs/"));
    };
    span.in_scope(|| match answered {
        Ok(mut response) => {
            note_denial(&response, &route);
            seal(response.status(), response.headers_mut());
            Ok(response.map_body(|_, answer| payload::until_answered(body, answer)))
        }
        Err(error) => {
            let mut response = error.error_response();
            seal(response.status(), response.headers_mut());
            let response = response.map_body(|_, answer| payload::until_answered(body, answer)).map_into_boxed_body();
            Err(InternalError::from_response(error, response).into())
        }
    })
}

/// The error of a handler that did not answer in time. What it was to change may still be done.
fn given_up(method: &Method, limit: Duration) -> Error {
    let detail = format!("no answer within {} seconds", limit.as_secs());
    match method.is_safe() {
        true => Error::new(Kind::Unavailable, detail).remedy("try again in a few seconds"),
        false => Error::new(Kind::OutcomeUnknown, format!("{detail}: this may have been done"))
            .remedy("look whether it was; a request with an Idempotency-Key may be sent again as it was"),
    }
}

/// Counts a refusal that belongs in the audit trail.
fn note_denial<B>(response: &ServiceResponse<B>, route: &str) {
    let answer = response.response();
    let refused = answer.extensions().get::<Kind>().copied();
    let withheld = answer.error().and_then(|error| error.as_error::<Error>()).is_some_and(Error::is_withheld);
    let Some(kind) = refused.filter(|kind| withheld || Denials::concern(*kind)) else { return };
    let request = response.request();
    let Some(app) = request.app_data::<Data<App>>() else { return };
    let user = identity::lately_known(app, request).map(|(_, user_id)| user_id);
    let what = if user.is_some() { request.path() } else { route };
    let address = client_address(request, app.config.trusted_proxies);
    app.denials.count(user, address, &format!("{} {what}", request.method()), kind);
}

/// The documentation page runs its own scripts and styles; nothing else runs anything.
const DOCS_POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

fn set_headers(headers: &mut HeaderMap, id: &str, is_docs: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, if is_docs { DOCS_POLICY } else { POLICY }),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::HttpResponse;
    use actix_web::body::BoxBody;
    use actix_web::dev::Service as _;
    use actix_web::error::PayloadError;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::web::{self, Payload};
    use bytes::Bytes;

    use super::*;
    use crate::http::body::read_body;

    /// Reads the body, and takes for ever then.
    async fn slow(mut body: Payload) -> Result<HttpResponse, Error> {
        read_body(&mut body, 1, || Error::invalid("body", "this is too large")).await?;
        std::future::pending().await
    }

    /// What is answered by a server that soon gives a request up; the body of one that is `late` never comes.
    async fn answered(request: TestRequest, late: bool) -> HttpResponse {
        let soon = |request: ServiceRequest, next: Next<BoxBody>| {
            within(Duration::from_millis(20), String::new(), request, next)
        };
        let server = actix_web::App::new().default_service(web::to(slow)).wrap(from_fn(soon));
        let mut request = request.to_request();
        if late {
            let never = futures_util::stream::pending::<Result<Bytes, PayloadError>>();
            *request.payload() = actix_web::dev::Payload::Stream { payload: Box::pin(never) };
        }
        match init_service(server).await.call(request).await {
            Ok(answer) => answer.into_parts().1.map_into_boxed_body(),
            Err(error) => error.error_response(),
        }
    }

    #[actix_web::test]
    async fn who_waits_too_long_is_told_whether_it_may_be_done_and_who_sends_too_slowly_that_they_do() {
        let read = answered(TestRequest::get(), false).await;
        assert_eq!(read.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(read.headers().contains_key(header::RETRY_AFTER) && read.headers().contains_key(REQUEST_ID));
        let changed = answered(TestRequest::post().set_payload("1"), false).await;
        assert_eq!(changed.status(), StatusCode::GATEWAY_TIMEOUT);
        let late = answered(TestRequest::post(), true).await;
        assert_eq!(late.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
