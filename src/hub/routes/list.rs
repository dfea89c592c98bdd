//! The list of repositories.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, get};

use super::info::Info;
use super::reply::{HubCaller, Parameters, read};
use crate::app::App;
use crate::error::Result;
use crate::http::answers::next_link;
use crate::hub::{self, BoardQuery, Refusal, Repo};

/// The most repositories of one page.
const PAGE: usize = 100;

/// Lists repositories, newest first; or those on the board that are searched for, the most relevant first.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets")]
pub(crate) async fn hub_list_datasets(
    app: Data<App>,
    caller: HubCaller,
    request: HttpRequest,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    let wanted = BoardQuery {
        words: query.all("search").join(" "),
        author: query.get("author").map(str::to_string),
        tags: query.all("filter"),
        cursor: query.get("cursor").map(str::to_string),
        limit: query.limit(PAGE)?,
    };
    let (repos, next) = if wanted.words.trim().is_empty() {
        read(&app, move |c| Ok(hub::board(c, caller.0.as_ref(), &wanted)?)).await?
    } else {
        hub::find_on_board(&app, caller.0.as_ref(), &wanted).await?
    };
    let brief = |repo: &Repo| repo.revisions.first().map(|newest| Info::brief(repo, newest));
    let mut response = HttpResponse::Ok();
    if let Some(cursor) = next {
        response.insert_header(next_link(&request, &cursor));
    }
    Ok(response.json(repos.iter().filter_map(brief).collect::<Vec<_>>()))
}
