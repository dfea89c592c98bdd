//! Webhooks over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attempt, Webhook};
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::Caller;
use crate::types::{AttemptId, Instant, Page, PageQuery, TransitionId, WebhookId};

/// What is wanted of a webhook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookInput {
    /// Where events go: an `https` URL that leads to public addresses.
    #[schema(max_length = 2000)]
    url: String,
    /// Which types of event; all, when there are none.
    #[serde(default)]
    #[schema(max_items = 50)]
    types: Vec<String>,
}

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    /// The identifier.
    id: WebhookId,
    /// Where events go.
    url: String,
    /// Which types of event; all, when there are none.
    types: Vec<String>,
    /// The position of the last event that was delivered.
    position: i64,
    /// How often delivery of the next event has failed in a row.
    failures: i32,
    /// Until when the previous secret also signs.
    overlap_until: Option<Instant>,
    /// Since when nothing is sent any more.
    disabled_at: Option<Instant>,
    /// Why.
    disabled_because: Option<String>,
    /// When it was made.
    created_at: Instant,
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        let Webhook { id, url, types, position, failures, overlap_until, .. } = webhook;
        let Webhook { disabled_at, disabled_because, created_at, .. } = webhook;
        let types = types.0;
        Self { id, url, types, position, failures, overlap_until, disabled_at, disabled_because, created_at }
    }
}

/// A webhook with a new secret, which is shown only this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookWithSecret {
    /// `whsec_…`: what a library of Standard Webhooks verifies with.
    secret: String,
    #[serde(flatten)]
    webhook: WebhookView,
}

/// The webhooks of an organisation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookList {
    /// All of them, oldest first; at most 10.
    items: Vec<WebhookView>,
}

/// One try to deliver an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// The identifier.
    id: AttemptId,
    /// Which event.
    event_id: TransitionId,
    /// The status that the receiver answered; null when it did not answer.
    status: Option<i32>,
    /// Why it does not count as delivered; null when it does.
    failure: Option<String>,
    /// When.
    attempted_at: Instant,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        let Attempt { id, event_id, status, failure, attempted_at, .. } = attempt;
        Self { id, event_id, status, failure, attempted_at }
    }
}

/// How a secret is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationInput {
    /// For how many hours the previous secret also signs, 0 to 168; give 0 when it leaked.
    #[schema(maximum = 168)]
    overlap_hours: u64,
}

/// From where a webhook resumes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResumptionInput {
    /// A cursor of the organisation's events: everything after it is sent, again if need be. Where it stopped, when absent.
    cursor: Option<String>,
}

/// Creates a webhook for a verified organisation, which receives its events from now on; admins only.
#[utoipa::path(tag = "events", security(("bearer" = [])), request_body = WebhookInput, responses(
    (status = 201, body = WebhookWithSecret),
    (status = 403, body = Problem, description = "not an admin"),
    (status = 409, body = Problem, description = "the organisation is not verified, or has ten already"),
    (status = 422, body = Problem, description = "the URL is not https, or leads to an address that is not public")))]
#[post("/v1/organisations/{handle}/webhooks")]
pub(crate) async fn create_webhook(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    input: Json<WebhookInput>,
) -> Result<HttpResponse> {
    let WebhookInput { url, types } = input.into_inner();
    let (webhook, secret) = super::register(&app, caller, handle.into_inner(), url, types).await?;
    Ok(HttpResponse::Created().json(WebhookWithSecret { secret: secret.reveal(), webhook: webhook.into() }))
}

/// Lists the webhooks of an organisation for its admins, without their secrets.
#[utoipa::path(tag = "events", security(("bearer" = [])), responses((status = 200, body = WebhookList),
    (status = 403, body = Problem, description = "not an admin")))]
#[get("/v1/organisations/{handle}/webhooks")]
pub(crate) async fn list_webhooks(app: Data<App>, caller: Caller, handle: Path<String>) -> Result<Json<WebhookList>> {
    let found = app.db.read(move |c| super::webhooks(c, &caller, &handle)).await?;
    Ok(Json(WebhookList { items: found.into_iter().map(WebhookView::from).collect() }))
}

/// Removes a webhook with its log of attempts; admins only.
#[utoipa::path(tag = "events", security(("bearer" = [])), responses((status = 200, body = WebhookView),
    (status = 403, body = Problem, description = "not an admin"), (status = 404, body = Problem, description = "unknown")))]
#[delete("/v1/organisations/{handle}/webhooks/{id}")]
pub(crate) async fn delete_webhook(
    app: Data<App>,
    caller: Caller,
    path: Path<(String, WebhookId)>,
) -> Result<Json<WebhookView>> {
    let (handle, id) = path.into_inner();
    Ok(Json(super::remove(&app, &caller, &handle, id).await?.into()))
}

/// Gives a webhook a new secret; for some more hours the previous one signs as well. Admins only.
#[utoipa::path(tag = "events", security(("bearer" = [])), request_body = RotationInput, responses(
    (status = 200, body = WebhookWithSecret),
    (status = 403, body = Problem, description = "not an admin"), (status = 404, body = Problem, description = "unknown"),
    (status = 422, body = Problem, description = "too long an overlap")))]
#[post("/v1/organisations/{handle}/webhooks/{id}/secret")]
pub(crate) async fn rotate_webhook_secret(
    app: Data<App>,
    caller: Caller,
    path: Path<(String, WebhookId)>,
    input: Json<RotationInput>,
) -> Result<Json<WebhookWithSecret>> {
    let ((handle, id), now, keys) = (path.into_inner(), app.clock.now(), app.keys.clone());
    let which = (id, input.overlap_hours);
    let (webhook, secret) = app.db.write(move |c| super::rotate(c, &caller, &keys, &handle, which, now)).await?;
    Ok(Json(WebhookWithSecret { secret: secret.reveal(), webhook: webhook.into() }))
}

/// Resumes a webhook: enables one that was disabled, or sends again what came after a cursor. Admins only.
#[utoipa::path(tag = "events", security(("bearer" = [])), request_body = ResumptionInput, responses(
    (status = 200, body = WebhookView),
    (status = 403, body = Problem, description = "not an admin"), (status = 404, body = Problem, description = "unknown"),
    (status = 410, body = Problem, description = "what comes after the cursor is no longer kept"),
    (status = 422, body = Problem, description = "not a cursor of the organisation's events")))]
#[post("/v1/organisations/{handle}/webhooks/{id}/resumption")]
pub(crate) async fn resume_webhook(
    app: Data<App>,
    caller: Caller,
    path: Path<(String, WebhookId)>,
    input: Json<ResumptionInput>,
) -> Result<Json<WebhookView>> {
    let ((handle, id), now, cursor) = (path.into_inner(), app.clock.now(), input.into_inner().cursor);
    let resume = move |c: &mut crate::db::Conn| super::resume(c, &caller, &handle, (id, cursor.as_deref()), now);
    Ok(Json(app.db.write(resume).await?.into()))
}

/// Lists the attempts to deliver to a webhook, oldest first, for admins.
#[utoipa::path(tag = "events", security(("bearer" = [])), params(PageQuery), responses(
    (status = 200, body = Page<AttemptView>),
    (status = 403, body = Problem, description = "not an admin"), (status = 404, body = Problem, description = "unknown")))]
#[get("/v1/organisations/{handle}/webhooks/{id}/attempts")]
pub(crate) async fn list_webhook_attempts(
    app: Data<App>,
    caller: Caller,
    path: Path<(String, WebhookId)>,
    page: Query<PageQuery>,
) -> Result<Page<AttemptView>> {
    let ((handle, id), limit) = (path.into_inner(), page.limit()?);
    let rows = app.db.read(move |c| super::attempts(c, &caller, &handle, id, &page)).await?;
    Ok(Page::new(rows, limit, |attempt| attempt.id.to_string()).map(AttemptView::from))
}
