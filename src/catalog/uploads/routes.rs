//! Uploads over HTTP.

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{NewUpload, PartUrl, UploadState, UploadStatus, small, unknown_media_type};
use crate::app::App;
use crate::catalog::VersionRef;
use crate::catalog::routes::{ShardRef, ShardView, header};
use crate::config::MAX_SMALL_SHARD_BYTES;
use crate::error::{Problem, Result};
use crate::http::body::read_body;
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::types::{Digest, Instant, UploadId};

/// An upload.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct UploadView {
    id: UploadId,
    path: String,
    size_bytes: i64,
    sha256: Digest,
    state: UploadState,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// The size of every part but the last.
    part_size_bytes: i64,
    /// How many parts there are.
    parts: u32,
    /// The parts that were received, while it is open: these need not be sent again.
    parts_standing: Vec<u32>,
    /// Where to PUT the missing parts, at most 1,000; request more with `urls`.
    urls: Vec<PartUrl>,
    /// When the addresses cease to work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Instant>,
    created_at: Instant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed_at: Option<Instant>,
}

impl From<UploadStatus> for UploadView {
    fn from(UploadStatus { upload, standing, urls, expires_at }: UploadStatus) -> Self {
        Self {
            parts: upload.part_count(),
            id: upload.id,
            path: upload.path,
            size_bytes: upload.size_bytes,
            sha256: upload.sha256,
            state: upload.state,
            refusal: upload.refusal,
            part_size_bytes: upload.part_size_bytes,
            parts_standing: standing,
            urls,
            expires_at,
            created_at: upload.created_at,
            completed_at: upload.completed_at,
        }
    }
}

/// Which addresses are wanted.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedUrls {
    /// The parts, counted from 1; 1 to 1,000 of them.
    parts: Vec<u32>,
}

/// What is said of a shard beside its bytes.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShardQuery {
    /// How many records it holds.
    #[param(minimum = 0)]
    records: Option<i64>,
}

/// Declares an upload into a draft and says where to send its parts. The same declaration again resumes it.
#[utoipa::path(tag = "catalog", responses(
    (status = 201, body = UploadView, description = "Declared, found as declared before, or verified at once because you uploaded these bytes before"),
    (status = 409, body = Problem, description = "The version is sealed, or too many uploads into it are open"),
    (status = 413, body = Problem, description = "The shard is larger than 5 GiB"),
    (status = 422, body = Problem, description = "A field was refused")))]
#[post("/v1/datasets/{organisation}/{name}/versions/{number}/uploads")]
pub(crate) async fn create_upload(
    app: Data<App>,
    caller: Caller,
    which: Path<VersionRef>,
    input: Json<NewUpload>,
) -> Result<HttpResponse> {
    let status = super::open(&app, &caller, &which, &input).await?;
    Ok(HttpResponse::Created().json(UploadView::from(status)))
}

/// Shows the state of an upload, and which of its parts were received.
#[utoipa::path(tag = "catalog", responses((status = 200, body = UploadView), (status = 404, body = Problem)))]
#[get("/v1/uploads/{id}")]
pub(crate) async fn get_upload(app: Data<App>, caller: Caller, id: Path<UploadId>) -> Result<Json<UploadView>> {
    Ok(Json(super::get(&app, &caller, *id).await?.into()))
}

/// Returns new URLs for parts of an open upload.
#[utoipa::path(tag = "catalog", responses(
    (status = 200, body = UploadView),
    (status = 409, body = Problem, description = "The upload is not open"),
    (status = 422, body = Problem, description = "There is no such part")))]
#[post("/v1/uploads/{id}/urls")]
pub(crate) async fn create_upload_urls(
    app: Data<App>,
    caller: Caller,
    id: Path<UploadId>,
    input: Json<WantedUrls>,
) -> Result<Json<UploadView>> {
    Ok(Json(super::refresh_urls(&app, &caller, *id, &input.parts).await?.into()))
}

/// Completes an upload whose parts all stand: they are put together, and the bytes verified, after the answer. Ask for the
/// upload to see how that ended.
#[utoipa::path(tag = "catalog", responses(
    (status = 200, body = UploadView),
    (status = 409, body = Problem, description = "Parts are missing, or the upload was refused"),
    (status = 422, body = Problem, description = "A part has another size than it must")))]
#[post("/v1/uploads/{id}/complete")]
pub(crate) async fn complete_upload(app: Data<App>, caller: Caller, id: Path<UploadId>) -> Result<Json<UploadView>> {
    Ok(Json(super::complete(&app, &caller, *id).await?.into()))
}

/// Puts a small shard into a draft in one request; it is durable when this is answered.
#[utoipa::path(tag = "catalog", request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The bytes, at most 32 MiB"),
    params(("Content-Digest" = String, Header, description = "sha-256=:<base64>: (RFC 9530)"), ShardQuery, ShardRef),
    responses((status = 200, body = ShardView),
        (status = 409, body = Problem, description = "The version is sealed, or too many uploads into it are open"),
        (status = 413, body = Problem, description = "The body is larger than 32 MiB"),
        (status = 422, body = Problem, description = "The bytes have another digest, or a field was refused")))]
#[put("/v1/datasets/{organisation}/{name}/versions/{number}/shards/{path:.*}")]
pub(crate) async fn put_shard(
    app: Data<App>,
    caller: Caller,
    which: Path<ShardRef>,
    query: Query<ShardQuery>,
    request: HttpRequest,
    mut body: Payload,
) -> Result<Json<ShardView>> {
    let version = which.version();
    small::may_put(&app, &caller, &version).await?;
    let sha256 = small::parse_content_digest(header(&request, "Content-Digest")?)?;
    let announced = header(&request, CONTENT_LENGTH.as_str())?.and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_SMALL_SHARD_BYTES) {
        return Err(small::too_large());
    }
    let media_type = header(&request, CONTENT_TYPE.as_str())?.map_or_else(unknown_media_type, str::to_string);
    let (path, records) = (which.path.clone(), query.records);
    let input = |size_bytes| NewUpload { path, size_bytes, sha256, media_type, records };
    let most = usize::try_from(MAX_SMALL_SHARD_BYTES).unwrap_or(usize::MAX);
    let bytes = read_body(&mut body, most, small::too_large).await?;
    let input = input(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    Ok(Json(small::put(&app, &caller, &version, &input, bytes).await?.into()))
}
