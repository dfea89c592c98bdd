//! What surrounds every handler: the request's span, its deadline, the response headers, and how a body is read.

use std::io;
use std::time::{Duration, Instant as Stopwatch};

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::{InternalError, PathError, PayloadError};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Data, PathConfig, PayloadConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Responder, get};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument as _;
use utoipa_swagger_ui::SwaggerUi;

use super::limits::client_address;
use super::{App, methods, payload};
use crate::config::{CLIENT_TIMEOUT, MAX_SMALL_SHARD_BYTES};
use crate::db::Conn;
use crate::error::{Error, Kind};
use crate::identity::{self, Denials};
use crate::types::{Cursor, Page};

/// A handler that has not answered by then is given up, and one that waits for its body a little before.
const DEADLINE: Duration = Duration::from_secs(60);
/// The same for those that carry file bytes: a body that trickles in may not hold its place for ever.
const BYTES_DEADLINE: Duration = Duration::from_secs(60 * 60);
const MIB: usize = 1024 * 1024;
/// How many MiB of bodies one process holds at once, the first of each not counted.
const MOST_HELD: usize = 256;
static ROOM: Semaphore = Semaphore::const_new(MOST_HELD);
/// The media type of JSON-LD.
pub(crate) const JSON_LD: &str = "application/ld+json";
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

/// Bounds and refusals of what the framework reads, and the answer where no route matches.
pub(super) fn outside_the_api(cfg: &mut ServiceConfig) {
    let small_shard = usize::try_from(MAX_SMALL_SHARD_BYTES).unwrap_or(usize::MAX);
    cfg.app_data(PayloadConfig::new(small_shard))
        .app_data(PathConfig::default().error_handler(refuse_path))
        .service(SwaggerUi::new("/docs/{file:.*}").config(utoipa_swagger_ui::Config::from("../openapi.yaml")))
        .service(lead_in)
        .default_service(web::to(methods::no_route));
}

/// Leads somebody who knows only the host to the documentation page.
#[get("/")]
async fn lead_in() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

impl<T: Serialize> Responder for Page<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        page_response(request, self.next.as_ref(), &self)
    }
}

/// A page answers with the address of the next one in its `Link` header (RFC 8288).
pub(crate) fn page_response(request: &HttpRequest, next: Option<&Cursor>, page: &impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let Some(next) = next {
        response.insert_header(next_link(request, &next.0));
    }
    response.json(page)
}

/// The header that leads to the next page, all parameters included. The address is whole: the exchange may lie below a path, and
/// a relative address ends the Hub's clients.
pub(crate) fn next_link(request: &HttpRequest, cursor: &str) -> (HeaderName, String) {
    let front_door = request.app_data::<Data<App>>().map(|app| app.config.public_url()).unwrap_or_default();
    let others = url::form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _)| name != "cursor");
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(others).append_pair("cursor", cursor).finish();
    (header::LINK, format!("<{front_door}{}?{query}>; rel=\"next\"", request.path()))
}

/// Answers with a document of JSON-LD.
pub(crate) fn json_ld(document: &serde_json::Value) -> HttpResponse {
    HttpResponse::Ok().content_type(JSON_LD).body(document.to_string())
}

/// Reads the next piece of a file.
type NextPiece<F> = fn(&mut F, &mut Conn) -> Result<Option<Vec<u8>>, Error>;

/// The pieces of a file, each read when the client has taken the one before; `next` gives none after the last.
pub(crate) fn pieces<F: Send + 'static>(
    app: Data<App>,
    file: F,
    next: NextPiece<F>,
) -> impl Stream<Item = Result<Bytes, Error>> + 'static {
    stream::try_unfold((app, file), move |(app, mut file)| async move {
        let read = app.db.read(move |c| Ok((next(&mut file, c)?, file))).await?;
        let (Some(piece), file) = read else { return Ok::<_, Error>(None) };
        Ok(Some((Bytes::from(piece), (app, file))))
    })
}

/// Sends a file to keep under a name while it is read, as [`pieces`].
pub(crate) fn attachment<F: Send + 'static>(
    app: Data<App>,
    (name, media_type): (&str, &str),
    file: F,
    next: NextPiece<F>,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(media_type)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(pieces(app, file, next))
}

/// Why a body did not arrive whole.
pub(crate) fn incomplete(error: PayloadError) -> Error {
    match error {
        PayloadError::Io(late) if late.kind() == io::ErrorKind::TimedOut => {
            Error::new(Kind::Timeout, "the body took too long to arrive")
        }
        other => Error::new(Kind::Malformed, format!("the body did not arrive whole: {other}")),
    }
}

/// A body that was read, and the room that it takes for as long as somebody holds it.
struct Kept {
    bytes: Bytes,
    _room: Vec<SemaphorePermit<'static>>,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a body of at most `most` bytes, and waits for no piece of it longer than [`CLIENT_TIMEOUT`].
///
/// # Errors
/// `Unavailable`, when so many large bodies are held already that there is no room for it.
pub(crate) async fn read_body(
    body: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
    most: usize,
    too_large: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    read_within(&ROOM, body, most, too_large).await
}

/// The same, in a room of so many MiB for large bodies.
async fn read_within(
    room: &'static Semaphore,
    body: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
    most: usize,
    too_large: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    let crowded = |_| Error::new(Kind::Unavailable, "too many large bodies are sent at once").retry_after(2);
    let (mut bytes, mut taken) = (BytesMut::new(), Vec::new());
    loop {
        let piece = tokio::time::timeout(CLIENT_TIMEOUT, body.next()).await;
        match piece.map_err(|_| Error::new(Kind::Timeout, "the body stopped arriving"))? {
            None => return Ok(Bytes::from_owner(Kept { bytes: bytes.freeze(), _room: taken })),
            Some(Ok(piece)) if bytes.len().saturating_add(piece.len()) <= most => {
                bytes.extend_from_slice(&piece);
                while taken.len() < bytes.len() / MIB {
                    taken.push(room.try_acquire().map_err(crowded)?);
                }
            }
            Some(Ok(_)) => return Err(too_large()),
            Some(Err(error)) => return Err(incomplete(error)),
        }
    }
}

fn refuse_path(error: PathError, request: &HttpRequest) -> actix_web::Error {
    Error::not_found(request.path()).because(error.to_string()).into()
}

/// What the API description says beside its routes.
pub(super) fn openapi_head() -> utoipa::openapi::OpenApi {
    use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
    let mut head = utoipa::openapi::OpenApiBuilder::new()
        .info(
            utoipa::openapi::InfoBuilder::new()
                .title("Corpus Exchange")
                .version("1")
                .description(Some(
                    "Where AI training corpora are listed, licensed, delivered and accounted for. Errors are RFC 9457 \
                     problems naming the field and the remedy. Lists are paged by `cursor`; `Link` leads to the next page. Requests that move money \
                     or make agreements carry an `Idempotency-Key`.",
                ))
                .license(Some(
                    utoipa::openapi::LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build(),
                ))
                .build(),
        )
        .build();
    let mut components = utoipa::openapi::Components::new();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token from `POST /v1/sessions`, or an API token (`cpx_…`)"))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    head.components = Some(components);
    head
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Service as _;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::web::Payload;

    use super::*;

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

    #[actix_web::test]
    async fn a_large_body_for_which_there_is_no_room_is_refused_until_others_are_done_with() {
        static SMALL: Semaphore = Semaphore::const_new(3);
        let send = async |length: usize| {
            let mut body = stream::iter([Ok::<_, PayloadError>(Bytes::from(vec![b'a'; length]))]);
            read_within(&SMALL, &mut body, 4 * MIB, || Error::invalid("body", "this is too large")).await
        };
        let large = send(3 * MIB).await.unwrap();
        let refused = send(2 * MIB).await.unwrap_err();
        assert_eq!((refused.kind, refused.seconds_to_wait()), (Kind::Unavailable, Some(2)));
        assert_eq!(send(MIB - 1).await.unwrap().len(), MIB - 1, "what is small needs no room");
        drop(large);
        assert_eq!(send(2 * MIB).await.unwrap().len(), 2 * MIB);
    }
}
