//! Evaluations over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Evaluation, NewEvaluation};
use crate::app::App;
use crate::catalog;
use crate::catalog::inspection::{SAMPLE_MEDIA_TYPE, SAMPLE_PATH};
use crate::config::SIGNED_URL_TTL;
use crate::db::Conn;
use crate::delivery::passport_of_evaluation;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::signing::Envelope;
use crate::types::{EntryId, EvaluationId, Instant, ListingId, Page, PageQuery, TermsId};

/// A lab's right to evaluate a version by its sample, free of charge.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct EvaluationView {
    /// Its identifier.
    id: EvaluationId,
    /// Where it was offered.
    listing_id: ListingId,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The handle of the lab.
    organisation: String,
    /// Under which terms.
    terms_id: TermsId,
    /// What for, in the lab's words.
    purpose: String,
    /// Since when it holds.
    granted_at: Instant,
    /// Until when.
    expires_at: Instant,
}

fn view(c: &mut Conn, evaluation: Evaluation) -> Result<EvaluationView> {
    let version = catalog::name_of(c, evaluation.version_id)?;
    Ok(EvaluationView {
        id: evaluation.id,
        listing_id: evaluation.listing_id,
        dataset: version.dataset,
        version: version.number,
        organisation: identity::organisation(c, evaluation.organisation_id)?.handle,
        terms_id: evaluation.terms_id,
        purpose: evaluation.purpose,
        granted_at: evaluation.granted_at,
        expires_at: evaluation.expires_at,
    })
}

fn views(c: &mut Conn, evaluations: Vec<Evaluation>) -> Result<Vec<EvaluationView>> {
    catalog::load_names(c, evaluations.iter().map(|evaluation| evaluation.version_id))?;
    identity::load_organisations(c, evaluations.iter().map(|evaluation| evaluation.organisation_id))?;
    evaluations.into_iter().map(|evaluation| view(c, evaluation)).collect()
}

/// Grants an evaluation of a listed version whose terms have `evaluation_days`: for that many days, of the sample only,
/// once per organisation and version.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), request_body = NewEvaluation,
    params(("Idempotency-Key" = String, Header, description = "One key, one effect")),
    responses((status = 201, body = EvaluationView),
        (status = 403, body = Problem, description = "not your organisation, or your role is too small"),
        (status = 404, body = Problem, description = "no such listing, or no sample was drawn"),
        (status = 409, body = Problem, description = "not on the board, or evaluated before"),
        (status = 422, body = Problem, description = "the terms offer no evaluation, or the purpose says nothing")))]
#[post("/v1/evaluations")]
pub(crate) async fn create_evaluation(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    wanted: Json<NewEvaluation>,
) -> Result<HttpResponse> {
    let (keys, wanted, now) = (app.keys.clone(), wanted.into_inner(), app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "create_evaluation", &wanted)?;
    let grant = move |c: &mut Conn| {
        let evaluation = super::grant(c, &caller, &keys, &wanted, now)?;
        view(c, evaluation)
    };
    Ok(HttpResponse::Created().json(once(&app, key, grant).await?))
}

/// Lists the evaluations of the caller's organisations, on either side.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<EvaluationView>)))]
#[get("/v1/evaluations")]
pub(crate) async fn list_evaluations(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<EvaluationView>> {
    let list = move |c: &mut Conn| {
        let limit = page.limit()?;
        let rows = super::evaluations(c, &caller, &page)?;
        Ok(Page::new(views(c, rows)?, limit, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Shows an evaluation, to both sides.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), responses(
    (status = 200, body = EvaluationView), (status = 404, body = Problem, description = "unknown, or not yours")))]
#[get("/v1/evaluations/{id}")]
pub(crate) async fn get_evaluation(
    app: Data<App>,
    caller: Caller,
    id: Path<EvaluationId>,
) -> Result<Json<EvaluationView>> {
    let show = move |c: &mut Conn| {
        let evaluation = super::evaluation(c, &caller, *id)?;
        view(c, evaluation)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Returns the evaluation's passport: every statement that it rests on, how its sample was drawn, and that it was
/// downloaded, with proofs, for offline verification.
#[utoipa::path(tag = "delivery", security(("bearer" = [])),
    responses((status = 200, description = "the passport (schemas/passport.v1.json)", body = serde_json::Value),
        (status = 404, body = Problem, description = "unknown, or not yours"),
        (status = 413, body = Problem, description = "it rests on more than a passport holds"),
        (status = 503, body = Problem, description = "the log has not taken in the newest statements yet")))]
#[get("/v1/evaluations/{id}/passport")]
pub(crate) async fn get_evaluation_passport(
    app: Data<App>,
    caller: Caller,
    id: Path<EvaluationId>,
) -> Result<HttpResponse> {
    let (keys, origin) = (app.keys.clone(), app.config.log_origin.clone());
    let witnesses = app.log_policy.witnesses.clone();
    let issue = move |c: &mut Conn| passport_of_evaluation(c, &caller, &keys, &origin, &witnesses, *id);
    let passport = app.db.read(issue).await?;
    Ok(HttpResponse::Ok().content_type("application/json").body(passport))
}

/// Where to get a sample, for a few minutes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SampleLink {
    /// The signed URL of the sample: JSON Lines. Keep it out of logs.
    url: String,
    /// Its size.
    size_bytes: u64,
    /// When the URL stops working; ask for a new one then.
    expires_at: Instant,
    /// The receipt, which names the digest of the sample.
    receipt: Envelope,
    /// Its entry in the log.
    entry_id: EntryId,
}

/// Returns a link to the sample under an evaluation. Its receipt is durable before the link leaves the exchange.
#[utoipa::path(tag = "delivery", security(("bearer" = [])), responses((status = 200, body = SampleLink),
    (status = 403, body = Problem, description = "it has ended, or your role is too small"),
    (status = 404, body = Problem, description = "unknown, or not yours"),
    (status = 409, body = Problem, description = "a claim about the version is examined")))]
#[post("/v1/evaluations/{id}/links")]
pub(crate) async fn create_sample_link(
    app: Data<App>,
    caller: Caller,
    id: Path<EvaluationId>,
) -> Result<Json<SampleLink>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let released = app.db.write(move |c| super::release(c, &caller, &keys, *id, now)).await?;
    let url = app.store.url(&released.storage_key, SAMPLE_MEDIA_TYPE, SAMPLE_PATH, SIGNED_URL_TTL, now).await?;
    Ok(Json(SampleLink {
        url: url.to_string(),
        size_bytes: released.size_bytes,
        expires_at: now.plus(SIGNED_URL_TTL),
        receipt: released.receipt.envelope,
        entry_id: released.receipt.entry_id,
    }))
}
