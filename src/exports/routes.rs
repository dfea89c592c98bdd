//! Exports over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get};

use super::croissant::Description;
use super::{croissant, dcat};
use crate::app::App;
use crate::catalog::{DatasetRef, VersionRef};
use crate::db::Conn;
use crate::error::{Error, Problem, Result};
use crate::http::answers::{JSON_LD, next_link, pieces};
use crate::http::input::Query;
use crate::hub::routes::{HubCaller, read};
use crate::hub::{self, Refusal};
use crate::identity::routes::MaybeCaller;
use crate::types::PageQuery;

/// Lists what is on the board as a DCAT 3 catalogue with the fields of DCAT-AP, in JSON-LD, newest first.
///
/// Public. Each page is the catalogue with a part of its datasets; `Link` and `hydra:next` lead to the next.
#[utoipa::path(tag = "exports", security(()), params(PageQuery), responses(
    (status = 200, body = serde_json::Value, content_type = "application/ld+json"),
    (status = 422, body = Problem, description = "A parameter was refused")))]
#[get("/v1/catalog")]
pub(crate) async fn get_catalog(app: Data<App>, query: Query<PageQuery>, request: HttpRequest) -> Result<HttpResponse> {
    let url = app.config.public_url();
    let page = app.db.read(move |c| dcat::page(c, &query, url)).await?;
    let mut response = HttpResponse::Ok();
    response.content_type(JSON_LD);
    if let Some(next) = &page.next {
        response.insert_header(next_link(&request, &next.0));
    }
    Ok(response.streaming(pieces(app, page, dcat::Page::next_piece)))
}

/// Describes a sealed version in Croissant 1.1, for tools that load data: its files with their digests, its licence terms
/// and its lineage, and its columns where they are known. Files are read with a token as the password of HTTP Basic.
#[utoipa::path(tag = "exports", params(VersionRef), responses(
    (status = 200, body = serde_json::Value, content_type = "application/ld+json"),
    (status = 404, body = Problem, description = "No such version, or none that you may see")))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/croissant")]
pub(crate) async fn get_croissant(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
) -> Result<HttpResponse> {
    let url = app.config.public_url();
    let show = move |c: &mut Conn| {
        let unknown = || Error::not_found(&*which);
        let number = which.number.to_string();
        let found = hub::repo_at(c, caller.0.as_ref(), (&which.organisation, &which.name), &number);
        let (repo, revision) = found.map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            _ => unknown(),
        })?;
        croissant::croissant(c, (&repo.dataset, revision.number, &revision.seal), &url)
    };
    let description = app.db.read(show).await?;
    Ok(described(app, description))
}

/// Describes the newest version of a repository in Croissant, where the Hub does.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/croissant")]
pub(crate) async fn hub_get_croissant(
    app: Data<App>,
    caller: HubCaller,
    which: Path<DatasetRef>,
) -> Result<HttpResponse, Refusal> {
    let url = app.config.public_url();
    let show = move |c: &mut Conn| {
        let (repo, newest) = hub::repo_at(c, caller.0.as_ref(), (&which.organisation, &which.name), "main")?;
        Ok(croissant::croissant(c, (&repo.dataset, newest.number, &newest.seal), &url)?)
    };
    let description = read(&app, show).await?;
    Ok(described(app, description))
}

/// Sends a description while it is written.
fn described(app: Data<App>, description: Description) -> HttpResponse {
    HttpResponse::Ok().content_type(JSON_LD).streaming(pieces(app, description, Description::next_piece))
}
