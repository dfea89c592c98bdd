//! The log as C2SP tlog-tiles serves it, proofs of entries, and the exchange's public keys. All of it is public.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::exchange_keys::{self, ExchangeKey, KeyState};
use super::log::{self, ProofSubject};
use super::note::VerifierKey;
use super::tiles::Resource;
use crate::app::App;
use crate::error::{Error, Kind, Problem, Result};
use crate::http::input::{Json, Query};
use crate::keys::KeyRole;
use crate::signing::PublicKey;
use crate::types::{Digest, Instant};

const TEXT: &str = "text/plain; charset=utf-8";
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const FRESH: &str = "no-cache";

/// The public keys with which everything of this exchange can be verified.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeKeysView {
    /// Signs the exchange's statements, receipts, contracts and passports.
    pub statement_key: PublicKeyView,
    /// Signs the log's checkpoints.
    pub log: LogView,
    /// Every key of both roles: those that sign, those that will take over, and those that are retired.
    pub keys: Vec<ExchangeKeyView>,
}

/// A key of the exchange and when it is valid. Each takeover is in the log, signed by both keys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeKeyView {
    /// What it signs.
    pub role: KeyRole,
    /// Its state.
    pub state: KeyState,
    /// SHA-256 of the raw key.
    pub key_id: Digest,
    /// The raw key.
    pub public_key: PublicKey,
    /// For a key of the log, its verifier key, as C2SP signed-note writes it.
    pub vkey: Option<String>,
    /// The key id of the one it takes over from; null for the first of its role.
    pub replaces: Option<Digest>,
    /// Since when it signs; null when that is since the log began.
    pub activated_at: Option<Instant>,
    /// Since when it no longer signs; null while it does.
    pub retired_at: Option<Instant>,
}

impl ExchangeKeyView {
    /// The views of all keys of an exchange whose log has this origin.
    pub(crate) fn of_all(keys: &[ExchangeKey], origin: &str) -> Result<Vec<Self>> {
        let view = |key: &ExchangeKey| {
            let vkey = VerifierKey::new(origin, key.public_key)?.to_string();
            Ok(Self {
                role: key.role,
                state: key.state(keys),
                key_id: key.key_id,
                public_key: key.public_key,
                vkey: Some(vkey).filter(|_| key.role == KeyRole::Log),
                replaces: key.replaces,
                activated_at: key.activated_at,
                retired_at: key.retired_at,
            })
        };
        keys.iter().map(view).collect()
    }
}

/// An Ed25519 public key.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublicKeyView {
    /// SHA-256 of the raw key.
    pub key_id: Digest,
    /// The raw key.
    pub public_key: PublicKey,
}

/// The transparency log.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogView {
    /// The first line of every checkpoint.
    pub origin: String,
    /// The verifier key, as C2SP signed-note writes it.
    pub vkey: String,
    /// The verifier keys of the witnesses that are asked to cosign, as C2SP tlog-cosignature writes them.
    #[serde(default)]
    pub witnesses: Vec<String>,
}

/// Text that grows with the log: asked for again each time.
fn fresh_text(text: String) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT)).insert_header((CACHE_CONTROL, FRESH)).body(text)
}

/// Reads the log's last checkpoint.
///
/// A C2SP tlog-checkpoint: origin, tree size and root hash, signed by the log and cosigned by its witnesses.
#[utoipa::path(tag = "provenance", responses(
    (status = 200, body = String, content_type = "text/plain", description = "The signed checkpoint"),
    (status = 503, body = Problem, description = "Nothing is signed yet")))]
#[get("/log/checkpoint")]
pub(crate) async fn get_checkpoint(app: Data<App>) -> Result<HttpResponse> {
    let note = app.db.read(log::checkpoint).await?;
    Ok(fresh_text(note))
}

/// Reads a tile of the log: hashes, or entries.
///
/// Paths are those of C2SP tlog-tiles: `<level>/<index>[.p/<width>]` and `entries/<index>[.p/<width>]`.
#[utoipa::path(tag = "provenance", params(("path" = String, Path, description = "For example 0/x001/x234/067 or entries/000.p/5")),
    responses(
    (status = 200, body = [u8], content_type = "application/octet-stream", description = "The tile, which never changes"),
    (status = 404, body = Problem, description = "No such tile, or the log is not that long yet")))]
#[get("/log/tile/{path:.*}")]
pub(crate) async fn get_tile(app: Data<App>, path: Path<String>) -> Result<HttpResponse> {
    let resource: Resource = path.parse()?;
    let bytes = match resource {
        Resource::Hashes(tile) => app.db.read(move |c| log::tile(c, tile)).await?,
        Resource::Entries(tile) => app.db.read(move |c| log::entry_bundle(c, tile)).await?,
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/octet-stream"))
        .insert_header((CACHE_CONTROL, IMMUTABLE))
        .body(bytes))
}

/// Reads the proof that an entry, or the statement it commits to, is in the log.
///
/// A `c2sp.org/tlog-proof@v1` text under the last published checkpoint.
#[utoipa::path(tag = "provenance", params(("subject" = String, Path,
    description = "An entry (entry_…), a statement (statement_…), or the SHA-256 of a statement's pre-authentication encoding")),
    responses(
    (status = 200, body = String, content_type = "text/plain", description = "The proof"),
    (status = 404, body = Problem, description = "No such entry, or it waits for its place in the log")))]
#[get("/v1/log/proofs/{subject}")]
pub(crate) async fn get_log_proof(app: Data<App>, subject: Path<ProofSubject>) -> Result<HttpResponse> {
    let subject = subject.into_inner();
    let proof = app.db.read(move |c| log::proof_of_subject(c, subject)).await?;
    let proof = proof.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("{subject} has no proof yet"))
            .remedy("the entry is recorded and waits for its place in the log; ask again in a second")
    })?;
    Ok(fresh_text(proof))
}

/// Where a consistency proof starts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConsistencyQuery {
    /// The size of the tree that is already known.
    old_size: u64,
}

/// Reads the last checkpoint and the proof that it continues an older one.
///
/// The text that logs submit to witnesses in C2SP tlog-witness: `old` and the size, the RFC 6962 consistency proof line by
/// line in base64, an empty line, the checkpoint.
#[utoipa::path(tag = "provenance", params(ConsistencyQuery), responses(
    (status = 200, body = String, content_type = "text/plain", description = "The proof and the checkpoint"),
    (status = 404, body = Problem, description = "The log is not that long")))]
#[get("/v1/log/consistency")]
pub(crate) async fn get_log_consistency(app: Data<App>, query: Query<ConsistencyQuery>) -> Result<HttpResponse> {
    let old_size = query.old_size;
    let proven = app.db.read(move |c| log::consistency_since(c, old_size)).await?;
    Ok(fresh_text(proven.to_string()))
}

/// Reads the exchange's public keys.
///
/// Keep them from a first, trusted visit: offline verification starts from them. While a key takes over from another, both
/// sign; `statement_key` and `log` name the older one until it is retired.
#[utoipa::path(tag = "provenance", responses((status = 200, body = ExchangeKeysView)))]
#[get("/v1/exchange/keys")]
pub(crate) async fn get_exchange_keys(app: Data<App>) -> Result<Json<ExchangeKeysView>> {
    let own = app.keys.clone();
    let read = move |c: &mut _| Ok((exchange_keys::active(c, &own)?, exchange_keys::exchange_keys(c)?));
    let (active, known) = app.db.read(read).await?;
    let (statement, log) = (active.statement.public(), active.log.public());
    let vkey = VerifierKey::new(&app.config.log_origin, log)?;
    Ok(Json(ExchangeKeysView {
        statement_key: PublicKeyView { key_id: statement.key_id(), public_key: statement },
        log: LogView {
            origin: vkey.name.clone(),
            vkey: vkey.to_string(),
            witnesses: app.log_policy.witnesses.iter().map(|witness| witness.key.to_string()).collect(),
        },
        keys: ExchangeKeyView::of_all(&known, &app.config.log_origin)?,
    }))
}
