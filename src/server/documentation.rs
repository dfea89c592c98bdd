//! Where the API is described to people and programs.

use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpResponse, get};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::routes;
use crate::error::{Error, Kind, Problem, Result};

/// The documentation page, with its scripts and styles.
pub(super) fn page() -> SwaggerUi {
    SwaggerUi::new("/docs/{file:.*}").config(Config::from("../openapi.yaml"))
}

/// Leads somebody who knows only the host to the documentation page.
#[get("/")]
pub(super) async fn lead_in() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "docs/")).finish()
}

/// Describes the API, as OpenAPI 3.1 in YAML.
#[utoipa::path(tag = "operations", operation_id = "get_openapi", security(()), responses(
    (status = 200, description = "this document", body = Object, content_type = "application/yaml"),
    (status = 500, body = Problem, description = "the exchange failed")))]
#[get("/openapi.yaml")]
pub(crate) async fn get_openapi() -> Result<HttpResponse> {
    static YAML: OnceLock<Option<String>> = OnceLock::new();
    match YAML.get_or_init(|| openapi_yaml().ok()) {
        Some(yaml) => Ok(HttpResponse::Ok().content_type("application/yaml").body(yaml.as_str())),
        None => Err(Error::new(Kind::Internal, "the API description cannot be written")),
    }
}

/// The API description as the repository keeps it in `openapi.yaml`.
pub fn openapi_yaml() -> Result<String> {
    routes::openapi()
        .to_yaml()
        .map_err(|error| Error::internal("the API description cannot be written").because(error.to_string()))
}

/// Redirects to the documentation page.
#[utoipa::path(tag = "operations", security(()), responses((status = 307, description = "to /docs/")))]
#[get("/docs")]
pub(crate) async fn get_docs() -> HttpResponse {
    HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, "docs/")).finish()
}
