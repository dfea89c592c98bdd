//! The catalogue over HTTP, except for uploads, which have routes of their own.

use actix_web::http::header::{ETAG, IF_MATCH};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::datasets::NewDataset;
use super::seal::SignedManifest;
use super::versions::Described;
use super::{
    Dataset, DatasetRef, Domain, Modality, Seal, Shard, Version, VersionRef, VersionState, datasets, seal, versions,
    view_dataset,
};
use crate::app::App;
use crate::error::{Error, Kind, Problem, Result};
use crate::http::body::read_body;
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::identity::routes::MaybeCaller;
use crate::signing::Envelope;
use crate::store::routes::is_unchanged;
use crate::types::{DatasetId, Digest, Instant, Page, PageQuery, VersionId};

/// A dataset.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct DatasetView {
    id: DatasetId,
    /// The handle of the organisation that offers it.
    organisation: String,
    name: String,
    title: String,
    modality: Modality,
    domain: Domain,
    /// BCP 47 tags.
    languages: Vec<String>,
    created_at: Instant,
}

impl From<Dataset> for DatasetView {
    fn from(dataset: Dataset) -> Self {
        let Dataset { id, organisation_id: _, handle, name, title, modality, domain, languages, created_at } = dataset;
        Self { id, organisation: handle, name, title, modality, domain, languages, created_at }
    }
}

/// A version of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct VersionView {
    id: VersionId,
    number: i32,
    state: VersionState,
    /// The digest of the dataset card: its ETag.
    card_sha256: Digest,
    created_at: Instant,
    /// The provider's seal; absent while it is a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<SealView>,
}

/// The seal of a version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct SealView {
    /// The digest of the manifest's pre-authentication encoding: how the log knows it.
    manifest_sha256: Digest,
    shard_count: i64,
    total_bytes: i64,
    /// The sum of the shards' records; null unless each says how many it holds.
    total_records: Option<i64>,
    /// The sum of the shards' tokens; null unless each says how many it holds.
    total_tokens: Option<i64>,
    sealed_at: Instant,
}

impl From<Described> for VersionView {
    fn from((version, card_sha256, seal): Described) -> Self {
        let Version { id, number, state, created_at, .. } = version;
        let view = |seal: Seal| SealView {
            manifest_sha256: seal.manifest_sha256,
            shard_count: seal.shard_count,
            total_bytes: seal.total_bytes,
            total_records: seal.total_records,
            total_tokens: seal.total_tokens,
            sealed_at: seal.sealed_at,
        };
        Self { id, number, state, card_sha256, created_at, seal: seal.map(view) }
    }
}

/// A shard of a version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ShardView {
    path: String,
    size_bytes: i64,
    sha256: Digest,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<i64>,
    /// The language of its records, as the signed manifest says: a BCP 47 tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<String>,
    /// What its records are about, as the signed manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<Domain>,
    /// The licence of its records, as the signed manifest says: an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    /// How many tokens it holds, as the signed manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<i64>,
}

impl From<Shard> for ShardView {
    fn from(shard: Shard) -> Self {
        let Shard { path, size_bytes, sha256, media_type, records, language, domain, licence, tokens, .. } = shard;
        Self { path, size_bytes, sha256, media_type, records, language, domain, licence, tokens }
    }
}

/// A dataset card.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardInput {
    /// Markdown, with YAML front matter between `---` lines if there is any; at most 1 MiB.
    #[serde(default)]
    card: String,
}

/// A signed manifest.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealInput {
    /// The manifest statement, signed by an active key of the organisation.
    envelope: Envelope,
}

/// A shard as a path names it.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ShardRef {
    /// The handle of the organisation.
    organisation: String,
    /// The name of the dataset.
    name: String,
    /// The version's number.
    number: i32,
    /// The shard's path; its slashes may stand as they are.
    pub(super) path: String,
}

impl ShardRef {
    pub(super) fn version(&self) -> VersionRef {
        VersionRef { organisation: self.organisation.clone(), name: self.name.clone(), number: self.number }
    }
}

/// Registers a dataset of a verified organisation.
#[utoipa::path(tag = "catalog", responses(
    (status = 201, body = DatasetView),
    (status = 409, body = Problem, description = "The organisation has a dataset of this name"),
    (status = 422, body = Problem, description = "A field was refused")))]
#[post("/v1/datasets")]
pub(crate) async fn create_dataset(app: Data<App>, caller: Caller, input: Json<NewDataset>) -> Result<HttpResponse> {
    let (input, now) = (input.into_inner(), app.clock.now());
    let dataset = app.db.write(move |c| datasets::create(c, &caller, &input, now)).await?;
    Ok(HttpResponse::Created().json(DatasetView::from(dataset)))
}

/// Shows a dataset.
#[utoipa::path(tag = "catalog", responses((status = 200, body = DatasetView), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}")]
pub(crate) async fn get_dataset(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<DatasetRef>,
) -> Result<Json<DatasetView>> {
    let dataset = app.db.read(move |c| view_dataset(c, caller.0.as_ref(), &which)).await?;
    Ok(Json(dataset.into()))
}

/// Creates the next version of a dataset, as a draft.
#[utoipa::path(tag = "catalog", responses(
    (status = 201, body = VersionView),
    (status = 422, body = Problem, description = "The card cannot be read")))]
#[post("/v1/datasets/{organisation}/{name}/versions")]
pub(crate) async fn create_version(
    app: Data<App>,
    caller: Caller,
    which: Path<DatasetRef>,
    input: Json<CardInput>,
) -> Result<HttpResponse> {
    let now = app.clock.now();
    let (which, input) = (which.into_inner(), input.into_inner());
    let version = app.db.write(move |c| versions::create(c, &caller, &which, &input.card, now)).await?;
    Ok(HttpResponse::Created().insert_header(card_etag(version.1)).json(VersionView::from(version)))
}

/// Lists the versions of a dataset that you may see, by number.
#[utoipa::path(tag = "catalog", responses((status = 200, body = Page<VersionView>), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions")]
pub(crate) async fn list_versions(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<DatasetRef>,
    page: Query<PageQuery>,
) -> Result<Page<VersionView>> {
    let page = app.db.read(move |c| versions::list(c, caller.0.as_ref(), &which, &page)).await?;
    Ok(page.map(VersionView::from))
}

/// Shows a version.
#[utoipa::path(tag = "catalog", responses((status = 200, body = VersionView), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}")]
pub(crate) async fn get_version(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
) -> Result<Json<VersionView>> {
    Ok(Json(app.db.read(move |c| versions::get(c, caller.0.as_ref(), &which)).await?.into()))
}

/// Shows the dataset card of a version, with exactly the bytes that the manifest names.
#[utoipa::path(tag = "catalog", responses(
    (status = 200, body = String, content_type = "text/markdown", headers(("ETag" = String, description = "The card's SHA-256, in quotes"))),
    (status = 304, description = "You have it"),
    (status = 404, body = Problem),
    (status = 412, body = Problem, description = "The card is another one than `If-Match` names")),
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the card you have"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the only card that you want")))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/card")]
pub(crate) async fn get_card(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let (card, sha256) = app.db.read(move |c| versions::card(c, caller.0.as_ref(), &which)).await?;
    if is_unchanged(&request, &sha256.to_string())? {
        return Ok(HttpResponse::NotModified().insert_header(card_etag(sha256)).finish());
    }
    let mut response = HttpResponse::Ok();
    response.insert_header(card_etag(sha256)).content_type("text/markdown; charset=utf-8");
    Ok(response.body(card))
}

/// Replaces the card of a draft; with `If-Match`, only if it is still the one you know.
#[utoipa::path(tag = "catalog",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the card you know")),
    responses((status = 200, body = VersionView),
        (status = 409, body = Problem, description = "The version is sealed"),
        (status = 412, body = Problem, description = "The card changed in the meantime")))]
#[put("/v1/datasets/{organisation}/{name}/versions/{number}/card")]
pub(crate) async fn put_card(
    app: Data<App>,
    caller: Caller,
    which: Path<VersionRef>,
    input: Json<CardInput>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let known = parse_if_match(header(&request, IF_MATCH.as_str())?);
    let (which, input) = (which.into_inner(), input.into_inner());
    let write = move |c: &mut crate::db::Conn| versions::set_card(c, &caller, &which, &input.card, known.as_deref());
    let version = app.db.write(write).await?;
    Ok(HttpResponse::Ok().insert_header(card_etag(version.1)).json(VersionView::from(version)))
}

/// Lists the verified shards of a version, by path.
#[utoipa::path(tag = "catalog", responses((status = 200, body = Page<ShardView>), (status = 404, body = Problem)))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/shards")]
pub(crate) async fn list_shards(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    page: Query<PageQuery>,
) -> Result<Page<ShardView>> {
    let page = app.db.read(move |c| versions::list_shards(c, caller.0.as_ref(), &which, &page)).await?;
    Ok(page.map(ShardView::from))
}

/// Removes a shard from a draft, and returns it.
#[utoipa::path(tag = "catalog", responses(
    (status = 200, body = ShardView),
    (status = 404, body = Problem),
    (status = 409, body = Problem, description = "The version is sealed")))]
#[delete("/v1/datasets/{organisation}/{name}/versions/{number}/shards/{path:.*}")]
pub(crate) async fn delete_shard(app: Data<App>, caller: Caller, which: Path<ShardRef>) -> Result<Json<ShardView>> {
    let which = which.into_inner();
    let write = move |c: &mut crate::db::Conn| versions::remove_shard(c, &caller, &which.version(), &which.path);
    Ok(Json(app.db.write(write).await?.into()))
}

/// Seals a draft with the provider's signed manifest, for ever.
#[utoipa::path(tag = "catalog", request_body = SealInput, responses(
    (status = 200, body = VersionView),
    (status = 409, body = Problem, description = "The version is sealed already"),
    (status = 422, body = Problem, description = "The signature is refused, or the manifest differs from what was verified")))]
#[post("/v1/datasets/{organisation}/{name}/versions/{number}/seal")]
pub(crate) async fn seal_version(
    app: Data<App>,
    caller: Caller,
    which: Path<VersionRef>,
    mut body: Payload,
) -> Result<Json<VersionView>> {
    let which = which.into_inner();
    let (by, version) = (caller.clone(), which.clone());
    app.db.read(move |c| seal::may_seal(c, &by, &version).map(drop)).await?; // nobody else gets to send so much
    let too_large =
        || Error::new(Kind::TooLarge, format!("a signed manifest is at most {} bytes", seal::MAX_SEAL_BYTES));
    let body = read_body(&mut body, seal::MAX_SEAL_BYTES, too_large).await?;
    let bytes = body.clone(); // the body keeps its room in memory until this is answered
    let SealInput { envelope } = read_apart(move || Ok(serde_json::from_slice::<SealInput>(&bytes)?)).await?;
    let (by, version, signer) = (caller.clone(), which.clone(), envelope.sole_signature()?.keyid);
    let (_, _, key) = app.db.read(move |c| seal::may_seal_with(c, &by, &version, signer)).await?;
    let manifest = read_apart(move || SignedManifest::read(envelope, key)).await?;
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let write = move |c: &mut crate::db::Conn| seal::seal(c, &keys, &caller, &which, &manifest, now);
    Ok(Json(app.db.write(write).await?.into()))
}

/// Reads what may be long on a thread of its own: neither those who write nor other requests wait for it.
async fn read_apart<T: Send + 'static>(read: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let read = tokio::task::spawn_blocking(read);
    read.await.map_err(|error| Error::internal("reading panicked").because(error))?
}

/// Shows the signed manifest of a sealed version.
#[utoipa::path(tag = "catalog", responses(
    (status = 200, body = Envelope),
    (status = 404, body = Problem),
    (status = 409, body = Problem, description = "The version is not sealed")))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/manifest")]
pub(crate) async fn get_manifest(
    app: Data<App>,
    caller: MaybeCaller,
    which: Path<VersionRef>,
    manifests: Data<seal::Manifests>,
) -> Result<HttpResponse> {
    let read = move |c: &mut crate::db::Conn| seal::manifest(c, caller.0.as_ref(), &which, &manifests);
    let manifest = app.db.read(read).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(Bytes::clone(&manifest)))
}

fn card_etag(card_sha256: Digest) -> (actix_web::http::header::HeaderName, String) {
    (ETAG, format!("\"{card_sha256}\""))
}

/// A header's value, if there is one.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Result<Option<&'a str>> {
    let value = request.headers().get(name).map(|value| value.to_str()).transpose();
    value.map_err(|_| Error::invalid(name, "the header is not visible ASCII"))
}

/// The digests an `If-Match` header names (RFC 9110 §13.1.1); nothing when whatever stands is meant.
fn parse_if_match(header: Option<&str>) -> Option<Vec<Digest>> {
    let header = header.filter(|header| header.trim() != "*")?;
    let tag = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
    Some(header.split(',').filter_map(tag).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_names_digests_or_anything() {
        let digest = Digest::of("card");
        assert_eq!(parse_if_match(None), None);
        assert_eq!(parse_if_match(Some("*")), None);
        assert_eq!(parse_if_match(Some(&format!("\"{digest}\""))), Some(vec![digest]));
        assert_eq!(parse_if_match(Some(&format!("\"x\", \"{digest}\""))), Some(vec![digest]));
        assert_eq!(parse_if_match(Some(&format!("W/\"{digest}\""))), Some(vec![]));
    }
}
