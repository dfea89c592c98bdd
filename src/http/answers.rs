//! Answers that many handlers give: pages, documents of JSON-LD, and files that are read while they are sent.

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Responder};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;

use crate::app::App;
use crate::db::Conn;
use crate::error::Error;
use crate::types::{Cursor, Page};

/// The media type of JSON-LD.
pub(crate) const JSON_LD: &str = "application/ld+json";

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
