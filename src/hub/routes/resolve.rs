//! The bytes of a file.
//!
//! A name that may come to mean another commit leads to the commit (307), so that all that follows is of one commit. A
//! commit's file is described to HEAD, which delivers it if it is empty. To GET it comes straight from a local store, by ranges
//! too, or leads to the bucket (302); every GET asks here again, so that a client resumes with a fresh link, and each is on
//! record before a byte or a link leaves.

use std::ops::Range;
use std::rc::Rc;

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse, get, head};
use bytes::Bytes;

use super::reply::{HubCaller, X_REPO_COMMIT, read};
use crate::app::App;
use crate::delivery::{self, Planned};
use crate::error::{Error, Result};
use crate::hub::{Content, Files, Found, Lately, README, Refusal, Shelf, Wanted, file_path, find};
use crate::identity::Caller;
use crate::store::routes::{Shown, present};
use crate::store::{ByteStream, Store, part_of};
use crate::types::Instant;

const X_LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const X_LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const X_HF_WARNING: HeaderName = HeaderName::from_static("x-hf-warning");

/// Gives a file of a revision.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[get("/datasets/{organisation}/{name}/resolve/{revision}/{path:.*}")]
pub(crate) async fn hub_get_file(
    app: Data<App>,
    lately: Data<Lately>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    resolve((&app, &lately, &shelf), caller.0, which.into_inner(), &request).await
}

/// Describes a file of a revision.
#[utoipa::path(tag = "hub", responses((status = 200)))]
#[head("/datasets/{organisation}/{name}/resolve/{revision}/{path:.*}")]
pub(crate) async fn hub_head_file(
    app: Data<App>,
    lately: Data<Lately>,
    shelf: Data<Shelf>,
    caller: HubCaller,
    which: Path<(String, String, String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    resolve((&app, &lately, &shelf), caller.0, which.into_inner(), &request).await
}

async fn resolve(
    (app, lately, shelf): (&App, &Lately, &Shelf),
    caller: Option<Caller>,
    (organisation, name, revision, path): (String, String, String, String),
    request: &HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let now = app.clock.now();
    let wanted = Wanted { organisation, name, revision, path };
    if let Some(known) = caller.as_ref().and_then(|caller| lately.recall(caller, &wanted, now)) {
        match give(app, &known, &wanted, request, now).await {
            // Another licence may give it.
            Err(Refusal::Gated { .. }) => lately.forget(caller.as_ref(), &wanted),
            answered => return answered,
        }
    }
    let (shelf, config, asked, who) = (shelf.clone(), app.config.clone(), wanted.clone(), caller.clone());
    let found = Rc::new(read(app, move |c| find(c, who.as_ref(), &asked, (&shelf, &config), now)).await?);
    // What a name stands for is looked up each time; what a commit holds stays.
    if let (Some(caller), Content::Shard(_), true) = (caller, &found.content, wanted.revision == found.commit) {
        lately.remember(caller, wanted.clone(), found.clone(), now);
    }
    give(app, &found, &wanted, request, now).await
}

async fn give(
    app: &App,
    found: &Found,
    wanted: &Wanted,
    request: &HttpRequest,
    now: Instant,
) -> Result<HttpResponse, Refusal> {
    let Found { dataset, commit, warnings, content } = found;
    let mut response = if wanted.revision == *commit {
        answer(app, content, request, now).await?
    } else {
        pinned(app, dataset, commit, &wanted.path)?
    };
    set(&mut response, X_REPO_COMMIT, commit)?;
    for warning in warnings {
        response.headers_mut().append(X_HF_WARNING, written(warning)?);
    }
    Ok(response)
}

/// Leads from a name to the commit that it means now. The address has no host, and the whole path: the oldest clients
/// take either apart.
fn pinned(app: &App, dataset: &str, commit: &str, path: &str) -> Result<HttpResponse> {
    let public_url: url::Url = app.config.public_url().parse().map_err(|error: url::ParseError| {
        Error::internal("the exchange's own address cannot be read").because(error)
    })?;
    let location = format!("{}{}", public_url.path().trim_end_matches('/'), file_path(dataset, commit, path));
    Ok(HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, location)).finish())
}

async fn answer(app: &App, content: &Content, request: &HttpRequest, now: Instant) -> Result<HttpResponse, Refusal> {
    let planned = match content {
        Content::Shard(planned) => planned,
        Content::Readme(files) => return Ok(card(files, request).await?),
    };
    let (etag, size_bytes) = (planned.shard.sha256.to_string(), planned.shard.size_bytes.to_string());
    let mut response = match &app.store {
        Store::S3(_) if request.method() != Method::HEAD || follows_the_bucket(request) => {
            let delivered = deliver(app, planned.again(now)).await?;
            let url = delivery::link(&app.store, &delivered.storage_key, &delivered.shard, now).await?;
            HttpResponse::Found().insert_header((header::LOCATION, url.as_str())).finish()
        }
        store => {
            let read = async |range: Range<u64>| -> Result<ByteStream, Refusal> {
                let delivered = deliver(app, planned.again(now)).await?;
                Ok(store.read_sealed(&delivered.storage_key, range).await?)
            };
            let presented = present(&shown(planned, &etag), request, read).await?;
            // A client that is told that a file is empty has all of it, and asks no further.
            if request.method() == Method::HEAD && planned.shard.size_bytes == 0 && presented.status().is_success() {
                deliver(app, planned.again(now)).await?;
            }
            presented
        }
    };
    set(&mut response, X_LINKED_ETAG, &format!("\"{etag}\""))?;
    set(&mut response, X_LINKED_SIZE, &size_bytes)?;
    Ok(response)
}

/// Puts a delivery on record: only then may anything leave.
async fn deliver(app: &App, planned: Planned) -> Result<Planned, Refusal> {
    let mut delivered = app.receipts.record(vec![planned]).await.map_err(Refusal::of_the_desk)?;
    delivered.pop().ok_or_else(|| Error::internal("a receipt was recorded for nothing").into())
}

/// The clients before 1.0 send their token wherever GET leads them, and buckets refuse it: they look where HEAD leads, and
/// go there without.
fn follows_the_bucket(request: &HttpRequest) -> bool {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| agent.contains("hf_hub/0."))
}

fn shown<'a>(planned: &'a Planned, etag: &'a str) -> Shown<'a> {
    Shown {
        media_type: &planned.shard.media_type,
        file_name: &planned.shard.path,
        etag,
        size_bytes: u64::try_from(planned.shard.size_bytes).unwrap_or(0),
    }
}

async fn card(files: &Files, request: &HttpRequest) -> Result<HttpResponse> {
    let oid = files.entry(README).map(|entry| entry.oid(&files.commit)).unwrap_or_default();
    let bytes = Bytes::from(files.readme.text.clone());
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(0);
    let shown = Shown { media_type: "text/markdown; charset=utf-8", file_name: README, etag: &oid, size_bytes };
    present(&shown, request, async |range| part_of(&bytes, range)).await
}

fn set(response: &mut HttpResponse, name: HeaderName, value: &str) -> Result<()> {
    response.headers_mut().insert(name, written(value)?);
    Ok(())
}

fn written(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value).map_err(|error| Error::internal("a header value cannot be written").because(error))
}
