//! The files of a revision.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post};
use serde::Serialize;

use super::reply::{HubCaller, Parameters, form, read};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::http::answers::next_link;
use crate::http::input::Json;
use crate::hub::{self, Entry, File, Refusal, Revision, Shelf};
use crate::types::Instant;

/// The most entries of one page.
const PAGE: usize = 1000;
/// The most paths of one request.
const MAX_PATHS: usize = 1000;

/// A file or folder, as `RepoFile` and `RepoFolder` read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    r#type: &'static str,
    path: String,
    size: i64,
    oid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs: Option<NodeLfs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_commit: Option<LastCommit>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeLfs {
    oid: String,
    size: i64,
    pointer_size: usize,
}

#[derive(Serialize)]
struct LastCommit {
    id: String,
    title: String,
    date: Instant,
}

impl Node {
    fn new(entry: &Entry<'_>, revision: &Revision, expand: bool) -> Self {
        let (r#type, file) = match entry {
            Entry::File(file) => ("file", Some(file)),
            Entry::Folder(_) => ("directory", None),
        };
        let lfs = |file: &&File| {
            let lfs = file.lfs?;
            Some(NodeLfs { oid: lfs.sha256.to_string(), size: file.size_bytes, pointer_size: lfs.pointer_bytes })
        };
        let last_commit =
            || LastCommit { id: revision.commit(), title: revision.title(), date: revision.seal.sealed_at };
        Self {
            r#type,
            path: entry.path().to_string(),
            size: file.map_or(0, |file| file.size_bytes),
            oid: entry.oid(&revision.commit()),
            lfs: file.and_then(lfs),
            last_commit: expand.then(last_commit),
        }
    }
}

async fn tree(
    (app, shelf): (&App, &Shelf),
    caller: HubCaller,
    (organisation, name, revision, folder): (String, String, String, String),
    request: &HttpRequest,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    let (limit, shelf) = (query.limit(PAGE)?, shelf.clone());
    let list = move |c: &mut Conn| {
        let (repo, revision) = &hub::repo_at(c, caller.0.as_ref(), (&organisation, &name), &revision)?;
        let files = hub::files(c, &shelf, &repo.dataset, revision)?;
        let after = query.get("cursor").unwrap_or_default();
        let page = (after, limit.saturating_add(1));
        let mut entries = files.tree(folder.trim_end_matches('/'), query.is_set("recursive"), page)?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(Entry::place);
        let nodes = entries.iter().map(|entry| Node::new(entry, revision, query.is_set("expand")));
        Ok((nodes.collect::<Vec<_>>(), next))
    };
    let (nodes, next) = read(app, list).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = next {
        response.insert_header(next_link(request, &next));
    }
    Ok(response.json(nodes))
}

/// Lists the root folder of a revision.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/tree/{revision}")]
pub(crate) async fn hub_list_root(
    app: Data<App>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String)>,
    request: HttpRequest,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    let (organisation, name, revision) = which.into_inner();
    tree((&app, &shelf), caller, (organisation, name, revision, String::new()), &request, query).await
}

/// Lists a folder of a revision.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/tree/{revision}/{path:.*}")]
pub(crate) async fn hub_list_folder(
    app: Data<App>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String, String)>,
    request: HttpRequest,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    tree((&app, &shelf), caller, which.into_inner(), &request, query).await
}

/// Tells of some files and folders of a revision; those that are not there are left out.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[post("/api/datasets/{organisation}/{name}/paths-info/{revision}")]
pub(crate) async fn hub_get_paths(
    app: Data<App>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String)>,
    body: Payload,
) -> Result<Json<Vec<Node>>, Refusal> {
    let form = form(body).await?;
    let (organisation, name, revision) = which.into_inner();
    let paths = form.all("paths");
    if paths.len() > MAX_PATHS {
        return Err(Error::invalid("paths", format!("ask for at most {MAX_PATHS} paths at a time")).into());
    }
    let shelf = (**shelf).clone();
    let find = move |c: &mut Conn| {
        let (repo, revision) = &hub::repo_at(c, caller.0.as_ref(), (&organisation, &name), &revision)?;
        let files = hub::files(c, &shelf, &repo.dataset, revision)?;
        let found = paths.iter().filter_map(|path| files.entry(path));
        Ok(found.map(|entry| Node::new(&entry, revision, form.is_set("expand"))).collect())
    };
    Ok(Json(read(&app, find).await?))
}
