//! Renderings of contracts over HTTP.

use actix_web::http::header;
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Language, RenderingFormat};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::Query;
use crate::identity::Caller;
use crate::market::orders;
use crate::types::OrderId;

/// Which rendering.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RenderingQuery {
    /// The language.
    #[param(inline)]
    lang: Language,
    /// The format.
    #[param(inline)]
    format: RenderingFormat,
}

/// Returns an order's contract in readable form, signed or not. The signed document holds the SHA-256 of these bytes.
#[utoipa::path(tag = "market", security(("bearer" = [])), params(RenderingQuery), responses(
    (status = 200, body = String, content_type = "text/html", description = "The page, or plain text"),
    (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/orders/{id}/contract/rendering")]
pub(crate) async fn get_contract_rendering(
    app: Data<App>,
    caller: Caller,
    id: Path<OrderId>,
    which: Query<RenderingQuery>,
) -> Result<HttpResponse> {
    let RenderingQuery { lang, format } = *which;
    let media_type = match format {
        RenderingFormat::Html => "text/html; charset=utf-8",
        RenderingFormat::Text => "text/plain; charset=utf-8",
    };
    let render = move |c: &mut Conn| orders::rendering(c, &caller, *id, lang, format);
    let body = app.db.read(render).await?;
    Ok(HttpResponse::Ok().content_type(media_type).insert_header((header::CONTENT_LANGUAGE, lang.as_str())).body(body))
}
