//! Deposits over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::ledger::deposits::{self, Deposit, DepositState, NewDeposit};
use crate::types::{DepositId, Instant, Money, Page, PageQuery, TransactionId};

/// Money that arrived at the exchange's bank for an organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DepositView {
    /// Its identifier.
    id: DepositId,
    /// The handle of the organisation.
    organisation: String,
    /// What arrived.
    amount: Money,
    /// The bank's reference.
    reference: String,
    /// Its state; it is credited from `posted` until `reversed`.
    state: DepositState,
    /// The ledger transaction that credited it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction_id: Option<TransactionId>,
    /// When it was recorded.
    recorded_at: Instant,
}

fn view(c: &mut Conn, deposit: Deposit) -> Result<DepositView> {
    Ok(DepositView {
        id: deposit.id,
        organisation: identity::organisation(c, deposit.organisation_id)?.handle,
        amount: deposit.amount(),
        state: deposit.state,
        transaction_id: deposits::transaction(c, &deposit)?,
        reference: deposit.reference,
        recorded_at: deposit.recorded_at,
    })
}

/// Why something is refused or reversed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Because {
    /// 1 to 500 characters; it is kept with the step.
    #[schema(min_length = 1, max_length = 500)]
    pub(super) reason: String,
}

/// Records money that arrived at the bank for an organisation.
///
/// For operators. A bank reference can be used only once, whatever the Idempotency-Key. Beyond the amount that one operator
/// may move in a day, the state is `awaiting_approval`, and nothing is credited until a second operator approves.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "Your own key for this deposit; the same key gets the same answer")), responses(
    (status = 201, body = DepositView),
    (status = 400, body = Problem, description = "No Idempotency-Key"),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 409, body = Problem, description = "The reference was used before"),
    (status = 422, body = Problem, description = "A field was refused"),
))]
#[post("/v1/deposits")]
pub(crate) async fn create_deposit(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    input: Json<NewDeposit>,
) -> Result<HttpResponse> {
    let (config, input, now) = (app.config.clone(), input.into_inner(), app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "create_deposit", &input)?;
    let record = move |c: &mut Conn| {
        let deposit = deposits::record(c, &caller, &config, &input, now)?;
        view(c, deposit)
    };
    Ok(HttpResponse::Created().json(once(&app, key, record).await?))
}

/// Lists the deposits of the caller's organisations; all of them for the exchange's staff.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<DepositView>)))]
#[get("/v1/deposits")]
pub(crate) async fn list_deposits(app: Data<App>, caller: Caller, page: Query<PageQuery>) -> Result<Page<DepositView>> {
    let list = move |c: &mut Conn| {
        let rows = deposits::deposits(c, &caller, &page)?;
        identity::load_organisations(c, rows.iter().map(|deposit| deposit.organisation_id))?;
        deposits::load_transactions(c, &rows)?;
        let views = rows.into_iter().map(|row| view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Approves a deposit that another operator recorded, or its reversal.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = DepositView),
    (status = 403, body = Problem, description = "Not an operator, or the one who recorded it"),
    (status = 404, body = Problem, description = "No such deposit"),
    (status = 409, body = Problem, description = "Nothing waits for approval"),
    (status = 422, body = Problem, description = "What is reversed was spent"),
))]
#[post("/v1/deposits/{id}/approval")]
pub(crate) async fn approve_deposit(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<DepositId>,
) -> Result<Json<DepositView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "approve_deposit", &id)?;
    let approve = move |c: &mut Conn| {
        let deposit = deposits::approve(c, &caller, id, now)?;
        view(c, deposit)
    };
    Ok(Json(once(&app, key, approve).await?))
}

/// Refuses a deposit that waits for approval, or its reversal.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = Because, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = DepositView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such deposit"),
    (status = 409, body = Problem, description = "Nothing waits for approval"),
    (status = 422, body = Problem, description = "No reason was given"),
))]
#[post("/v1/deposits/{id}/refusal")]
pub(crate) async fn refuse_deposit(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<DepositId>,
    input: Json<Because>,
) -> Result<Json<DepositView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "refuse_deposit", &(id, &*input))?;
    let refuse = move |c: &mut Conn| {
        let deposit = deposits::refuse(c, &caller, id, &input.reason, now)?;
        view(c, deposit)
    };
    Ok(Json(once(&app, key, refuse).await?))
}

/// Reverses a wrong deposit by an opposite transaction.
///
/// For operators. Beyond the amount that one operator may move in a day, the state is `reversing` until a second operator
/// approves.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = Because, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = DepositView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such deposit"),
    (status = 409, body = Problem, description = "It is not credited, or reversed already"),
    (status = 422, body = Problem, description = "It was spent, or no reason was given"),
))]
#[post("/v1/deposits/{id}/reversal")]
pub(crate) async fn reverse_deposit(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<DepositId>,
    input: Json<Because>,
) -> Result<Json<DepositView>> {
    let (config, id, now) = (app.config.clone(), *id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reverse_deposit", &(id, &*input))?;
    let reverse = move |c: &mut Conn| {
        let deposit = deposits::reverse(c, &caller, &config, id, &input.reason, now)?;
        view(c, deposit)
    };
    Ok(Json(once(&app, key, reverse).await?))
}
