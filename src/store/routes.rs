//! The local store's side of its signed URLs: parts are PUT here, objects downloaded. With S3, clients go to the
//! bucket instead, and nothing is found here.
//!
//! Invariant: bytes leave exactly as they are kept: no content encoding, no media type that a browser would run.

use std::ops::Range;

use actix_web::body::SizedStream;
use actix_web::http::Method;
use actix_web::http::header::{self, ByteRangeSpec, EntityTag, HeaderMap, HeaderValue, IfMatch, IfNoneMatch};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, get, head, put};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::local::{Download, wrong_size};
use super::{ByteStream, LocalStore, Store, content_disposition, range_not_satisfiable, safe_media_type};
use crate::app::App;
use crate::error::{Error, Kind, Problem, Result};
use crate::http::body::incomplete;

/// Receives one part of an upload, through a signed link.
///
/// The part is durable when this is answered; sending it again replaces it. The body must have exactly the size for which
/// the link was signed.
#[utoipa::path(
    tag = "store",
    params(
        ("multipart_id" = String, Path, description = "As in the link"),
        ("number" = u32, Path, description = "The part's number, from 1"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, description = "The part is durable; `ETag` is its SHA-256", headers(("ETag" = String))),
        (status = 403, body = Problem, description = "The link expired or was changed"),
        (status = 404, body = Problem, description = "The upload was completed or aborted"),
        (status = 413, body = Problem, description = "The body is longer than the part"),
        (status = 422, body = Problem, description = "The body is shorter than the part"),
    ),
    security(())
)]
#[put("/objects/parts/{multipart_id}/{number}")]
pub(crate) async fn upload_part(
    app: Data<App>,
    path: Path<(String, u32)>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse> {
    let store = local(&app)?;
    let (multipart_id, number) = path.into_inner();
    let slot = store.check_part_link(&multipart_id, number, request.query_string(), app.clock.now())?;
    match declared_length(request.headers()) {
        Some(length) if length > slot.size_bytes => return Err(wrong_size(slot.size_bytes, "more")),
        Some(length) if length < slot.size_bytes => return Err(wrong_size(slot.size_bytes, "fewer")),
        _ => {}
    }
    let part = store.put_part(&slot, payload.map_err(incomplete)).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, quoted(&part.etag))).finish())
}

/// Downloads an object, whole or by ranges, through a signed link.
#[utoipa::path(
    tag = "store",
    params(
        ("prefix" = String, Path, description = "As in the link"),
        ("name" = String, Path, description = "As in the link"),
        ("Range" = Option<String>, Header, description = "One byte range (RFC 9110); several are answered with the whole object"),
        ("If-Range" = Option<String>, Header, description = "The object's `ETag`; the range counts only if it still matches"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of what you have; nothing is sent if it is this"),
        ("If-Match" = Option<String>, Header, description = "The object's `ETag`; it is sent only if it still matches"),
    ),
    responses(
        (status = 200, description = "The whole object", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "You have it"),
        (status = 403, body = Problem, description = "The link expired or was changed"),
        (status = 404, body = Problem, description = "There is no such object"),
        (status = 412, body = Problem, description = "The object is another one than `If-Match` names"),
        (status = 416, body = Problem, description = "The range is not within the object"),
    ),
    security(())
)]
#[get("/objects/{prefix}/{name}")]
pub(crate) async fn download_object(
    app: Data<App>,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    serve(&app, &path, &request).await
}

/// Returns the headers of a download, without the bytes.
#[utoipa::path(
    tag = "store",
    params(
        ("prefix" = String, Path, description = "As in the link"),
        ("name" = String, Path, description = "As in the link"),
    ),
    responses(
        (status = 200, description = "The object is there"),
        (status = 403, description = "The link expired or was changed"),
        (status = 404, description = "There is no such object"),
    ),
    security(())
)]
#[head("/objects/{prefix}/{name}")]
pub(crate) async fn head_object(
    app: Data<App>,
    path: Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    serve(&app, &path, &request).await
}

async fn serve(app: &App, (prefix, name): &(String, String), request: &HttpRequest) -> Result<HttpResponse> {
    let store = local(app)?;
    let key = format!("objects/{prefix}/{name}").parse().map_err(|_| Error::not_found("the object"))?;
    let download = store.check_download_link(key, request.query_string(), app.clock.now())?;
    let object = store.open_sealed(&download.key).await?;
    let (etag, size_bytes) = (object.info.etag.clone(), object.info.size_bytes);
    let Download { media_type, file_name, .. } = &download;
    let shown = Shown { media_type, file_name, etag: &etag, size_bytes };
    present(&shown, request, async move |range| object.read(range)).await
}

/// What is told of bytes as they leave.
pub(crate) struct Shown<'a> {
    /// Their media type.
    pub(crate) media_type: &'a str,
    /// Under which name to save them.
    pub(crate) file_name: &'a str,
    /// The mark of their content, without quotes.
    pub(crate) etag: &'a str,
    /// Their number.
    pub(crate) size_bytes: u64,
}

/// Answers with bytes, or the range of them that is asked for; to HEAD, with what is told of them. Nothing is read unless bytes
/// leave.
pub(crate) async fn present<E: From<Error>>(
    shown: &Shown<'_>,
    request: &HttpRequest,
    read: impl AsyncFnOnce(Range<u64>) -> Result<ByteStream, E>,
) -> Result<HttpResponse, E> {
    let wanted = wanted(request, shown)?;
    let mut response = match &wanted {
        Wanted::All => HttpResponse::Ok(),
        Wanted::Part(_) => HttpResponse::PartialContent(),
        Wanted::Unchanged => HttpResponse::NotModified(),
        Wanted::Beyond => {
            let mut response = range_not_satisfiable(shown.size_bytes).error_response();
            let range = HeaderValue::try_from(format!("bytes */{}", shown.size_bytes)).map_err(bad_header)?;
            response.headers_mut().insert(header::CONTENT_RANGE, range);
            return Ok(response);
        }
    };
    response.insert_header((header::ETAG, quoted(shown.etag))).insert_header((header::CACHE_CONTROL, "private"));
    let range = match wanted {
        Wanted::Part(range) => {
            let value = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), shown.size_bytes);
            response.insert_header((header::CONTENT_RANGE, value));
            range
        }
        Wanted::All => 0..shown.size_bytes,
        Wanted::Unchanged | Wanted::Beyond => return Ok(response.finish()),
    };
    response
        .insert_header((header::CONTENT_TYPE, safe_media_type(shown.media_type)))
        .insert_header((header::CONTENT_DISPOSITION, content_disposition(shown.file_name)))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    let length = range.end.saturating_sub(range.start);
    let bytes = if request.method() == Method::HEAD { stream::empty().boxed() } else { read(range).await? };
    Ok(response.body(SizedStream::new(length, bytes)))
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<u64>),
    /// Nothing: its sender has it.
    Unchanged,
    /// A range that is not within the object.
    Beyond,
}

/// Reads a request's preconditions and its range, in the order of RFC 9110 (section 13.2.2). What is not one byte range is
/// ignored, as it may be.
fn wanted(request: &HttpRequest, shown: &Shown<'_>) -> Result<Wanted> {
    if is_unchanged(request, shown.etag)? {
        return Ok(Wanted::Unchanged);
    }
    // A range is defined for GET alone (section 14.2).
    if request.method() == Method::HEAD {
        return Ok(Wanted::All);
    }
    // One that is there several times says nothing.
    let text = |name: header::HeaderName| {
        let mut values = request.headers().get_all(name).map(HeaderValue::to_str);
        let only = (values.next(), values.next());
        if let (Some(Ok(value)), None) = only { Some(value) } else { None }
    };
    if request.headers().contains_key(header::IF_RANGE) && text(header::IF_RANGE) != Some(&quoted(shown.etag)) {
        return Ok(Wanted::All);
    }
    Ok(match text(header::RANGE).and_then(|text| text.parse::<header::Range>().ok()) {
        Some(header::Range::Bytes(ranges)) => one_range(&ranges, shown.size_bytes),
        _ => Wanted::All,
    })
}

/// Whether the sender of a request to read has what bears this mark already (`If-None-Match`). Nothing here tells when it
/// was last changed, so dates decide nothing.
///
/// # Errors
/// `Stale`, when `If-Match` names others only.
pub(crate) fn is_unchanged(request: &HttpRequest, etag: &str) -> Result<bool> {
    let etag = EntityTag::new_strong(etag.to_string());
    if let Some(IfMatch::Items(wanted)) = request.get_header()
        && !wanted.iter().any(|known| known.strong_eq(&etag))
    {
        let detail = format!("what is here bears the mark {etag}, and another one was asked for");
        return Err(Error::new(Kind::Stale, detail).field("If-Match").remedy("ask for it without If-Match"));
    }
    Ok(match request.get_header() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(&etag)),
        None => false,
    })
}

fn one_range(ranges: &[ByteRangeSpec], size_bytes: u64) -> Wanted {
    let [range] = ranges else { return Wanted::All };
    match range.to_satisfiable_range(size_bytes) {
        Some((first, last)) => Wanted::Part(first..last.saturating_add(1)),
        None => Wanted::Beyond,
    }
}

fn local(app: &App) -> Result<&LocalStore> {
    match &app.store {
        Store::Local(store) => Ok(store),
        Store::S3(_) => Err(Error::not_found("the object")),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

fn bad_header(error: header::InvalidHeaderValue) -> Error {
    Error::internal("a header value cannot be written").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_counts_and_several_ask_for_all() {
        let ask = |text: &str, size| match text.parse::<header::Range>() {
            Ok(header::Range::Bytes(ranges)) => one_range(&ranges, size),
            _ => Wanted::All,
        };
        for (text, size, expected) in [
            ("bytes=0-0", 10, Wanted::Part(0..1)),
            ("bytes=2-4", 10, Wanted::Part(2..5)),
            ("bytes=2-99", 10, Wanted::Part(2..10)),
            ("bytes=7-", 10, Wanted::Part(7..10)),
            ("bytes=-3", 10, Wanted::Part(7..10)),
            ("bytes=-99", 10, Wanted::Part(0..10)),
            ("bytes=10-", 10, Wanted::Beyond),
            ("bytes=-0", 10, Wanted::Beyond),
            ("bytes=0-", 0, Wanted::Beyond),
            ("bytes=0-18446744073709551615", 10, Wanted::Part(0..10)),
            ("bytes=0-1,3-4", 10, Wanted::All),
            ("bytes=4-2", 10, Wanted::All),
            ("lines=1-2", 10, Wanted::All),
        ] {
            assert_eq!(ask(text, size), expected, "{text} of {size}");
        }
    }
}
