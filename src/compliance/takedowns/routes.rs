//! Claims against versions, and recalls, over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::recalls::{self, Recall, RecallState};
use super::{Ground, NewTakedown, Takedown, TakedownState};
use crate::app::App;
use crate::assessment::Evidence;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::history::{self, Transition};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::signing::Envelope;
use crate::types::{Digest, EntitlementId, Instant, Page, PageQuery, RecallId, StatementId, TakedownId};

/// A claim against a version, as its viewer may see it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct TakedownView {
    /// Its identifier.
    id: TakedownId,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// Its state.
    state: TakedownState,
    /// The reason for that state.
    reason: String,
    /// Who claims.
    claimant: String,
    /// How to reach the claimant; not for the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    /// What the claim rests on.
    ground: Ground,
    /// The claim itself.
    statement: String,
    /// Paths or digests of the shards in question; none for the whole version.
    shards: Vec<String>,
    /// Documents that support it.
    evidence: Vec<Evidence>,
    /// The digest by which statements in the log refer to the claim.
    claim_sha256: Digest,
    /// The salt in that digest; not for the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<Digest>,
    /// The provider's answer.
    counter: Option<String>,
    /// Until when the provider may answer, while it may.
    answer_due_at: Option<Instant>,
    /// When it was filed.
    filed_at: Instant,
    /// Every step, oldest first; for compliance only.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Transition>>,
}

fn takedown_view(c: &mut Conn, caller: &Caller, case: Takedown) -> Result<TakedownView> {
    let version = catalog::name_of(c, case.version_id)?;
    let answer_due_at = super::answer_due(c, &case)?;
    let history = history::list(c, case.id)?;
    let reason = history.last().map(|step| step.reason.clone()).unwrap_or_default();
    let whole = caller.is_compliance() || case.filed_by == caller.user_id;
    let claim = case.claim.0;
    Ok(TakedownView {
        id: case.id,
        dataset: version.dataset,
        version: version.number,
        state: case.state,
        reason,
        claimant: claim.claimant,
        contact: whole.then_some(claim.contact),
        ground: claim.ground,
        statement: claim.statement,
        shards: claim.shards,
        evidence: claim.evidence,
        claim_sha256: case.claim_sha256,
        salt: whole.then_some(claim.salt),
        counter: case.counter,
        answer_due_at,
        filed_at: case.filed_at,
        history: caller.is_compliance().then_some(history),
    })
}

/// Files a claim against a version. Anybody who is signed in may; compliance examines it.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = NewTakedown, responses(
    (status = 201, body = TakedownView),
    (status = 404, body = Problem, description = "no such version or shard"),
    (status = 422, body = Problem, description = "a field was refused")))]
#[post("/v1/takedowns")]
pub(crate) async fn file_takedown(app: Data<App>, caller: Caller, input: Json<NewTakedown>) -> Result<HttpResponse> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let file = move |c: &mut Conn| {
        let case = super::file(c, &caller, &keys, &input, now)?;
        takedown_view(c, &caller, case)
    };
    Ok(HttpResponse::Created().json(app.db.write(file).await?))
}

/// Lists the cases that the caller may see: compliance all, others those they filed or were notified of.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<TakedownView>)))]
#[get("/v1/takedowns")]
pub(crate) async fn list_takedowns(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<TakedownView>> {
    let list = move |c: &mut Conn| {
        let rows = super::takedowns(c, &caller, &page)?;
        catalog::load_names(c, rows.iter().map(|case| case.version_id))?;
        history::load_lists(c, rows.iter().map(|case| case.id))?;
        let views = rows.into_iter().map(|row| takedown_view(c, &caller, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Shows a case.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), responses((status = 200, body = TakedownView), (status = 404, body = Problem, description = "unknown, or not for you")))]
#[get("/v1/takedowns/{id}")]
pub(crate) async fn get_takedown(app: Data<App>, caller: Caller, id: Path<TakedownId>) -> Result<Json<TakedownView>> {
    let show = move |c: &mut Conn| {
        let case = super::takedown(c, &caller, *id)?;
        takedown_view(c, &caller, case)
    };
    Ok(Json(app.db.read(show).await?))
}

/// Why a case takes its next step.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = TakedownDecision)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// In 1 to 500 characters; whoever may see the case may read it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

async fn decide(
    app: Data<App>,
    caller: Caller,
    id: TakedownId,
    to: TakedownState,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    Ok(Json(app.db.write(decision(&app, caller, id, to, why)).await?))
}

fn decision(
    app: &App,
    caller: Caller,
    id: TakedownId,
    to: TakedownState,
    why: Json<Decision>,
) -> impl Fn(&mut Conn) -> Result<TakedownView> + Send + 'static {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    move |c| {
        let case = super::decide(c, &caller, &keys, id, to, &why.reason, now)?;
        takedown_view(c, &caller, case)
    }
}

/// Takes up a claim for examination.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/triage")]
pub(crate) async fn triage_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::Triaged, why).await
}

/// Ends a case that needs no examination.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/rejection")]
pub(crate) async fn reject_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::Rejected, why).await
}

/// Blocks the version while the claim is examined: its listings and licences are suspended.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/interim-block")]
pub(crate) async fn block_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::InterimBlocked, why).await
}

/// Notifies the provider, which then has 14 days to answer.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/notification")]
pub(crate) async fn notify_provider(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::ProviderNotified, why).await
}

/// Decides for the provider: what the case suspended is restored.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/reinstatement")]
pub(crate) async fn reinstate_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::Reinstated, why).await
}

/// Decides for the claimant: the version's listings are withdrawn for ever.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/upholding")]
pub(crate) async fn uphold_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::Upheld, why).await
}

/// Revokes every licence to the version, tells each holder to delete it, and refunds what is in escrow of their prices.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/recall")]
pub(crate) async fn issue_recall(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    let key = IdempotencyKey::new(caller.user_id, key.value(), "issue_recall", &(*id, &*why))?;
    let recall = decision(&app, caller, *id, TakedownState::RecallIssued, why);
    Ok(Json(once(&app, key, recall).await?))
}

/// Closes a case whose licensees have all answered, or are overdue.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Decision, responses((status = 200, body = TakedownView), (status = 403, body = Problem, description = "not compliance staff"), (status = 409, body = Problem, description = "not in a state for this")))]
#[post("/v1/takedowns/{id}/closure")]
pub(crate) async fn close_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    why: Json<Decision>,
) -> Result<Json<TakedownView>> {
    decide(app, caller, *id, TakedownState::Closed, why).await
}

/// The provider's answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counter {
    /// In 1 to 5,000 characters.
    #[schema(min_length = 1, max_length = 5000)]
    statement: String,
}

/// Answers a claim against a version as its provider.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Counter, responses((status = 200, body = TakedownView), (status = 404, body = Problem, description = "unknown, or not for you"), (status = 409, body = Problem, description = "it does not wait for an answer")))]
#[post("/v1/takedowns/{id}/counter")]
pub(crate) async fn counter_takedown(
    app: Data<App>,
    caller: Caller,
    id: Path<TakedownId>,
    answer: Json<Counter>,
) -> Result<Json<TakedownView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let counter = move |c: &mut Conn| {
        let case = super::counter(c, &caller, &keys, *id, &answer.statement, now)?;
        takedown_view(c, &caller, case)
    };
    Ok(Json(app.db.write(counter).await?))
}

/// The recall of one licence.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RecallView {
    /// Its identifier.
    id: RecallId,
    /// The case that led to it.
    takedown_id: TakedownId,
    /// The licence that was revoked.
    entitlement_id: EntitlementId,
    /// The licensee's handle.
    organisation: String,
    /// `org/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The signed manifest: what is to be deleted.
    manifest_sha256: Digest,
    /// What the licensee did.
    state: RecallState,
    /// By when an answer is due.
    due_at: Instant,
    /// What was trained, in the licensee's words.
    declaration: Option<String>,
    /// The statement that the bytes are gone.
    attestation_id: Option<StatementId>,
    /// Every step with its reason, oldest first.
    history: Vec<Transition>,
}

fn recall_view(c: &mut Conn, recall: Recall) -> Result<RecallView> {
    let version = recalls::recalled_version(c, &recall)?;
    let manifest_sha256 = catalog::seal_of(c, version)?.manifest_sha256;
    let version = catalog::name_of(c, version)?;
    Ok(RecallView {
        organisation: identity::organisation(c, recall.organisation_id)?.handle,
        history: history::list(c, recall.id)?,
        id: recall.id,
        takedown_id: recall.takedown_id,
        entitlement_id: recall.entitlement_id,
        dataset: version.dataset,
        version: version.number,
        manifest_sha256,
        state: recall.state,
        due_at: recall.due_at,
        declaration: recall.declaration,
        attestation_id: recall.attestation_id,
    })
}

/// Lists the recalls that the caller may see: compliance all, licensees their own.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<RecallView>)))]
#[get("/v1/recalls")]
pub(crate) async fn list_recalls(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<RecallView>> {
    let list = move |c: &mut Conn| {
        let rows = recalls::recalls(c, &caller, &page)?;
        let versions = recalls::recalled_versions(c, &rows)?;
        catalog::load_names(c, versions.iter().copied())?;
        catalog::load_seals(c, versions)?;
        identity::load_organisations(c, rows.iter().map(|recall| recall.organisation_id))?;
        history::load_lists(c, rows.iter().map(|recall| recall.id))?;
        let views = rows.into_iter().map(|row| recall_view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Acknowledges a recall as the licensee.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), responses((status = 200, body = RecallView), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "acknowledged already")))]
#[post("/v1/recalls/{id}/acknowledgement")]
pub(crate) async fn acknowledge_recall(app: Data<App>, caller: Caller, id: Path<RecallId>) -> Result<Json<RecallView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let acknowledge = move |c: &mut Conn| {
        let recall = recalls::acknowledge(c, &caller, &keys, *id, now)?;
        recall_view(c, recall)
    };
    Ok(Json(app.db.write(acknowledge).await?))
}

/// The licensee's signed word that every copy is deleted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedAttestation {
    /// A `deletion-attestation` statement (schemas/deletion-attestation.v1.json), signed by an active key of the licensee.
    envelope: Envelope,
}

/// Attests that every copy of a recalled version is deleted.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = SignedAttestation, responses((status = 200, body = RecallView), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "not acknowledged yet, or answered already"), (status = 422, body = Problem, description = "another document, or another key")))]
#[post("/v1/recalls/{id}/deletion")]
pub(crate) async fn attest_deletion(
    app: Data<App>,
    caller: Caller,
    id: Path<RecallId>,
    signed: Json<SignedAttestation>,
) -> Result<Json<RecallView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let attest = move |c: &mut Conn| {
        let recall = recalls::attest_deletion(c, &caller, &keys, *id, &signed.envelope, now)?;
        recall_view(c, recall)
    };
    Ok(Json(app.db.write(attest).await?))
}

/// What was trained.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Training {
    /// Which models were trained on the version, and what becomes of them, in 1 to 5,000 characters.
    #[schema(min_length = 1, max_length = 5000)]
    declaration: String,
}

/// Declares what was trained on a recalled version.
#[utoipa::path(tag = "compliance", security(("bearer" = [])), request_body = Training, responses((status = 200, body = RecallView), (status = 404, body = Problem, description = "unknown, or not yours"), (status = 409, body = Problem, description = "not acknowledged yet, or answered already")))]
#[post("/v1/recalls/{id}/training")]
pub(crate) async fn declare_training(
    app: Data<App>,
    caller: Caller,
    id: Path<RecallId>,
    training: Json<Training>,
) -> Result<Json<RecallView>> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let declare = move |c: &mut Conn| {
        let recall = recalls::declare_training(c, &caller, &keys, *id, &training.declaration, now)?;
        recall_view(c, recall)
    };
    Ok(Json(app.db.write(declare).await?))
}
