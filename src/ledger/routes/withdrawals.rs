//! Withdrawals over HTTP.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::deposits::Because;
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::idempotency::IdempotencyKey;
use crate::idempotency::routes::{KeyHeader, once};
use crate::identity::{self, Caller};
use crate::ledger::withdrawals::{self, NewWithdrawal, Source, Withdrawal, WithdrawalState};
use crate::types::{Instant, Money, Page, PageQuery, WithdrawalId};

/// A payout to an organisation's bank account.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct WithdrawalView {
    /// Its identifier.
    id: WithdrawalId,
    /// The handle of the organisation.
    organisation: String,
    /// How much.
    amount: Money,
    /// Where the money comes from.
    from: Source,
    /// The bank account to pay to.
    pay_to: String,
    /// The bank's reference, once it has paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// Where it is in its life.
    state: WithdrawalState,
    /// When it was requested.
    requested_at: Instant,
}

fn view(c: &mut Conn, withdrawal: Withdrawal) -> Result<WithdrawalView> {
    Ok(WithdrawalView {
        id: withdrawal.id,
        organisation: identity::organisation(c, withdrawal.organisation_id)?.handle,
        amount: withdrawal.amount(),
        from: withdrawal.source,
        pay_to: withdrawal.pay_to,
        reference: withdrawal.reference,
        state: withdrawal.state,
        requested_at: withdrawal.requested_at,
    })
}

/// Requests a payout. The amount is held until the bank has paid.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = NewWithdrawal, params(("handle" = String, Path, description = "The organisation's handle"), ("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 201, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "No such organisation"),
    (status = 409, body = Problem, description = "Ten wait to be taken up"),
    (status = 422, body = Problem, description = "A field was refused, or the account holds less"),
))]
#[post("/v1/organisations/{handle}/withdrawals")]
pub(crate) async fn request_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    handle: Path<String>,
    input: Json<NewWithdrawal>,
) -> Result<HttpResponse> {
    let now = app.clock.now();
    let key = IdempotencyKey::new(caller.user_id, key.value(), "request_withdrawal", &(&*handle, &*input))?;
    let request = move |c: &mut Conn| {
        let withdrawal = withdrawals::request(c, &caller, &handle, &input, now)?;
        view(c, withdrawal)
    };
    Ok(HttpResponse::Created().json(once(&app, key, request).await?))
}

/// Lists the withdrawals of the caller's organisations; all of them for the exchange's staff.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(PageQuery), responses((status = 200, body = Page<WithdrawalView>)))]
#[get("/v1/withdrawals")]
pub(crate) async fn list_withdrawals(
    app: Data<App>,
    caller: Caller,
    page: Query<PageQuery>,
) -> Result<Page<WithdrawalView>> {
    let list = move |c: &mut Conn| {
        let rows = withdrawals::withdrawals(c, &caller, &page)?;
        identity::load_organisations(c, rows.iter().map(|withdrawal| withdrawal.organisation_id))?;
        let views = rows.into_iter().map(|row| view(c, row)).collect::<Result<Vec<_>>>()?;
        Ok(Page::new(views, page.limit()?, |view| view.id.to_string()))
    };
    app.db.read(list).await
}

/// Withdraws a request that no operator has taken up.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not your organisation, or your role is too small"),
    (status = 404, body = Problem, description = "Unknown, or not yours"),
    (status = 409, body = Problem, description = "An operator has taken it up, or it is at its end"),
))]
#[post("/v1/withdrawals/{id}/cancellation")]
pub(crate) async fn cancel_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
) -> Result<Json<WithdrawalView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "cancel_withdrawal", &id)?;
    let cancel = move |c: &mut Conn| {
        let withdrawal = withdrawals::cancel(c, &caller, id, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, cancel).await?))
}

/// Takes up a request, to instruct the bank to pay it.
///
/// For operators. Beyond the amount that one operator may move in a day, the state is `awaiting_approval` until a second
/// operator approves. Instruct the bank to pay only what is `processing`: from then on the organisation cannot withdraw the
/// request, no dispute stops it, and no other operator pays it as well.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such withdrawal"),
    (status = 409, body = Problem, description = "It is not requested"),
))]
#[post("/v1/withdrawals/{id}/processing")]
pub(crate) async fn process_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
) -> Result<Json<WithdrawalView>> {
    let (config, id, now) = (app.config.clone(), *id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "process_withdrawal", &id)?;
    let process = move |c: &mut Conn| {
        let withdrawal = withdrawals::process(c, &caller, &config, id, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, process).await?))
}

/// What the bank said.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BankPayment {
    /// The bank's reference, 1 to 140 characters. It can be used once.
    #[schema(min_length = 1, max_length = 140)]
    reference: String,
}

/// Records that the bank has paid.
///
/// For operators. If the bank does not pay, reverse the withdrawal instead.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = BankPayment, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such withdrawal"),
    (status = 409, body = Problem, description = "It is not processing, or the reference was used before"),
    (status = 422, body = Problem, description = "The reference was refused"),
))]
#[post("/v1/withdrawals/{id}/execution")]
pub(crate) async fn execute_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
    input: Json<BankPayment>,
) -> Result<Json<WithdrawalView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "execute_withdrawal", &(id, &*input))?;
    let execute = move |c: &mut Conn| {
        let withdrawal = withdrawals::execute(c, &caller, id, &input.reference, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, execute).await?))
}

/// Approves a request that another operator is taking up, or its reversal.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not an operator, or the one whose step it is"),
    (status = 404, body = Problem, description = "No such withdrawal"),
    (status = 409, body = Problem, description = "Nothing waits for approval"),
))]
#[post("/v1/withdrawals/{id}/approval")]
pub(crate) async fn approve_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
) -> Result<Json<WithdrawalView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "approve_withdrawal", &id)?;
    let approve = move |c: &mut Conn| {
        let withdrawal = withdrawals::approve(c, &caller, id, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, approve).await?))
}

/// Refuses a request that is not taken up, or the reversal of one that is.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = Because, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such withdrawal"),
    (status = 409, body = Problem, description = "Nothing waits for a decision"),
    (status = 422, body = Problem, description = "No reason was given"),
))]
#[post("/v1/withdrawals/{id}/refusal")]
pub(crate) async fn refuse_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
    input: Json<Because>,
) -> Result<Json<WithdrawalView>> {
    let (id, now) = (*id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "refuse_withdrawal", &(id, &*input))?;
    let refuse = move |c: &mut Conn| {
        let withdrawal = withdrawals::refuse(c, &caller, id, &input.reason, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, refuse).await?))
}

/// Records that the bank does not pay, or that what it paid came back; the amount returns to where it was taken from.
///
/// For operators. Beyond the amount that one operator may move in a day, the state is `reversing` until a second operator
/// approves.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), request_body = Because, params(("Idempotency-Key" = String, Header, description = "One key, one effect")), responses(
    (status = 200, body = WithdrawalView),
    (status = 403, body = Problem, description = "Not an operator"),
    (status = 404, body = Problem, description = "No such withdrawal"),
    (status = 409, body = Problem, description = "It is neither processing nor executed"),
    (status = 422, body = Problem, description = "No reason was given"),
))]
#[post("/v1/withdrawals/{id}/reversal")]
pub(crate) async fn reverse_withdrawal(
    app: Data<App>,
    caller: Caller,
    key: KeyHeader,
    id: Path<WithdrawalId>,
    input: Json<Because>,
) -> Result<Json<WithdrawalView>> {
    let (config, id, now) = (app.config.clone(), *id, app.clock.now());
    let key = IdempotencyKey::new(caller.user_id, key.value(), "reverse_withdrawal", &(id, &*input))?;
    let reverse = move |c: &mut Conn| {
        let withdrawal = withdrawals::reverse(c, &caller, &config, id, &input.reason, now)?;
        view(c, withdrawal)
    };
    Ok(Json(once(&app, key, reverse).await?))
}
