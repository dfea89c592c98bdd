//! Who the client is, the description of a repository, and its revisions.

use std::sync::Arc;

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;

use super::reply::{HubCaller, Parameters, read};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::http::input::Json;
use crate::hub::{self, File, Files, Refusal, Repo, Revision, Shelf};
use crate::identity::{Caller, Scope};
use crate::types::Instant;

/// The files that are written at a time.
const SIBLINGS: usize = 1000;

/// A user, as `huggingface_hub.whoami` reads it.
#[derive(Serialize)]
pub(crate) struct WhoAmI {
    r#type: &'static str,
    id: String,
    name: String,
    email: String,
    orgs: Vec<Organisation>,
    auth: Auth,
}

#[derive(Serialize)]
struct Organisation {
    r#type: &'static str,
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    r#type: &'static str,
    access_token: AccessToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessToken {
    display_name: String,
    role: &'static str,
}

impl From<Caller> for WhoAmI {
    fn from(caller: Caller) -> Self {
        let role = match caller.scope {
            Scope::Read => "read",
            Scope::Write => "write",
        };
        let organisation = |name| Organisation { r#type: "org", name };
        Self {
            r#type: "user",
            id: caller.user_id.to_string(),
            name: caller.email.clone(),
            email: caller.email.clone(),
            orgs: caller.memberships.into_iter().map(|membership| organisation(membership.handle)).collect(),
            auth: Auth { r#type: "access_token", access_token: AccessToken { display_name: caller.email, role } },
        }
    }
}

/// Tells a client whose token it holds.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/whoami-v2")]
pub(crate) async fn hub_whoami(caller: HubCaller) -> Result<Json<WhoAmI>, Refusal> {
    let caller = caller.0.ok_or_else(|| Error::new(Kind::Unauthenticated, "this request needs a credential"))?;
    Ok(Json(caller.into()))
}

/// A repository at one of its revisions, as `DatasetInfo` reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    #[serde(rename = "_id")]
    internal_id: String,
    id: String,
    author: String,
    sha: String,
    private: bool,
    gated: Gated,
    disabled: bool,
    last_modified: Instant,
    created_at: Instant,
    tags: Vec<String>,
    downloads: u32,
    likes: u32,
}

/// Whether files take something more than a token: `false`, or the word for "ask somebody".
#[derive(Serialize)]
#[serde(untagged)]
enum Gated {
    No(bool),
    Yes(&'static str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    #[serde(flatten)]
    blob: Option<Blob>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    size: i64,
    blob_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    lfs: Option<SiblingLfs>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SiblingLfs {
    sha256: String,
    size: i64,
    pointer_size: usize,
}

impl Info {
    /// What a list shows of a repository.
    pub(super) fn brief(repo: &Repo, revision: &Revision) -> Self {
        let gated = if revision.is_licensed() { Gated::No(false) } else { Gated::Yes("manual") };
        Self {
            internal_id: repo.dataset.id.to_string(),
            id: repo.dataset.full_name(),
            author: repo.dataset.handle.clone(),
            sha: revision.commit(),
            private: repo.is_private,
            gated,
            disabled: false,
            last_modified: revision.seal.sealed_at,
            created_at: repo.dataset.created_at,
            tags: hub::tags(&repo.dataset),
            downloads: 0,
            likes: 0,
        }
    }

    /// All that is shown of a repository but its card and its files.
    fn whole(repo: &Repo, revision: &Revision, files: &Files) -> Self {
        let tagged = |key: &str, prefix: &str| {
            files.readme.texts(key).into_iter().map(|value| format!("{prefix}{value}")).collect::<Vec<_>>()
        };
        Self {
            tags: [
                vec![format!("modality:{}", repo.dataset.modality)],
                tagged("language", "language:"),
                tagged("license", "license:"),
                tagged("size_categories", "size_categories:"),
                tagged("tags", ""),
            ]
            .concat(),
            ..Self::brief(repo, revision)
        }
    }
}

impl Sibling {
    fn new(file: &File, blobs: bool) -> Self {
        let lfs = file.lfs.map(|lfs| SiblingLfs {
            sha256: lfs.sha256.to_string(),
            size: file.size_bytes,
            pointer_size: lfs.pointer_bytes,
        });
        let blob = blobs.then(|| Blob { size: file.size_bytes, blob_id: file.oid.clone(), lfs });
        Self { rfilename: file.path.clone(), blob }
    }
}

async fn info(
    (app, shelf): (&App, &Shelf),
    caller: HubCaller,
    (organisation, name): (String, String),
    revision: String,
    blobs: bool,
) -> Result<HttpResponse, Refusal> {
    let shelf = shelf.clone();
    let show = move |c: &mut crate::db::Conn| {
        let (repo, revision) = hub::repo_at(c, caller.0.as_ref(), (&organisation, &name), &revision)?;
        let files = hub::files(c, &shelf, &repo.dataset, &revision)?;
        Ok((Info::whole(&repo, &revision, &files), files))
    };
    let (info, files) = read(app, show).await?;
    let head = serde_json::to_string(&info).map_err(Error::from)?;
    Ok(HttpResponse::Ok().content_type("application/json").streaming(with_files(head, files, blobs)))
}

/// A repository with its card and its files, of which there may be a hundred thousand: some at a time, as the client takes
/// them, out of what stands on the shelf.
fn with_files(info: String, files: Arc<Files>, blobs: bool) -> impl Stream<Item = Result<Bytes>> + 'static {
    let mut head = vec![Bytes::from(info.strip_suffix('}').unwrap_or(&info).to_string())];
    if let Some(card_data) = &files.card_data {
        head.extend([Bytes::from_static(b",\"cardData\":"), card_data.clone()]);
    }
    head.push(Bytes::from_static(b",\"siblings\":["));
    let pieces = files.all().len().div_ceil(SIBLINGS);
    let piece = move |number: usize| -> Result<Bytes> {
        let mut piece = String::new();
        let first = number.saturating_mul(SIBLINGS);
        for (index, file) in files.all().iter().enumerate().skip(first).take(SIBLINGS) {
            piece.push_str(if index == 0 { "" } else { "," });
            piece.push_str(&serde_json::to_string(&Sibling::new(file, blobs))?);
        }
        Ok(Bytes::from(piece))
    };
    let end = Bytes::from_static(b"]}");
    stream::iter(head.into_iter().map(Ok).chain((0..pieces).map(piece)).chain([Ok(end)]))
}

/// Describes a repository.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}")]
pub(crate) async fn hub_get_dataset(
    app: Data<App>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String)>,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    info((&app, &shelf), caller, which.into_inner(), "main".to_string(), query.is_set("blobs")).await
}

/// Describes a repository at a revision.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/revision/{revision}")]
pub(crate) async fn hub_get_revision(
    app: Data<App>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String)>,
    query: Parameters,
) -> Result<HttpResponse, Refusal> {
    let (organisation, name, revision) = which.into_inner();
    info((&app, &shelf), caller, (organisation, name), revision, query.is_set("blobs")).await
}

/// Branches and tags, as `GitRefs` reads them.
#[derive(Serialize)]
pub(crate) struct Refs {
    branches: Vec<Ref>,
    tags: Vec<Ref>,
    converts: Vec<Ref>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ref {
    name: String,
    r#ref: String,
    target_commit: String,
}

/// Lists the branch and the tags of a repository.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/refs")]
pub(crate) async fn hub_list_refs(
    app: Data<App>,
    caller: HubCaller,
    which: Path<(String, String)>,
) -> Result<Json<Refs>, Refusal> {
    let (organisation, name) = which.into_inner();
    let repo = read(&app, move |c| hub::repo(c, caller.0.as_ref(), &organisation, &name)).await?;
    let main = repo.revision("main")?.commit();
    let tag = |revision: &Revision| Ref {
        name: revision.tag(),
        r#ref: format!("refs/tags/{}", revision.tag()),
        target_commit: revision.commit(),
    };
    Ok(Json(Refs {
        branches: vec![Ref { name: "main".into(), r#ref: "refs/heads/main".into(), target_commit: main }],
        tags: repo.revisions.iter().map(tag).collect(),
        converts: Vec::new(),
    }))
}

/// A commit, as `GitCommitInfo` reads it.
#[derive(Serialize)]
pub(crate) struct Commit {
    id: String,
    title: String,
    message: String,
    date: Instant,
    authors: Vec<Author>,
}

#[derive(Serialize)]
struct Author {
    user: String,
}

/// Lists the commits up to a revision, newest first.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/api/datasets/{organisation}/{name}/commits/{revision}")]
pub(crate) async fn hub_list_commits(
    app: Data<App>,
    caller: HubCaller,
    which: Path<(String, String, String)>,
) -> Result<Json<Vec<Commit>>, Refusal> {
    let (organisation, name, revision) = which.into_inner();
    let repo = read(&app, move |c| hub::repo(c, caller.0.as_ref(), &organisation, &name)).await?;
    let newest = repo.revision(&revision)?.number;
    let commit = |revision: &Revision| Commit {
        id: revision.commit(),
        title: revision.title(),
        message: String::new(),
        date: revision.seal.sealed_at,
        authors: vec![Author { user: repo.dataset.handle.clone() }],
    };
    Ok(Json(repo.revisions.iter().filter(|revision| revision.number <= newest).map(commit).collect()))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;
    use crate::hub::Readme;

    #[tokio::test]
    async fn a_repository_of_many_files_is_written_some_at_a_time() {
        let file = |n: usize| File { path: format!("{n:05}"), size_bytes: 1, oid: String::new(), lfs: None };
        let files = Files::new(String::new(), Readme::default(), (0..2 * SIBLINGS + 1).map(file).collect());
        let written = with_files("{\"id\":\"a/b\"}".to_string(), Arc::new(files), false);
        let pieces: Vec<Bytes> = written.try_collect().await.unwrap();
        assert_eq!(pieces.len(), 8, "three of files, after its beginning and its card and before its end");
        let whole: serde_json::Value = serde_json::from_slice(&pieces.concat()).unwrap();
        assert_eq!(whole["id"], "a/b");
        let siblings = whole["siblings"].as_array().unwrap();
        assert_eq!((siblings.len(), &siblings[1000]["rfilename"]), (2001, &serde_json::json!("01000")));
    }
}
