//! The ledger over HTTP: balances and postings, deposits, withdrawals.

mod deposits;
mod statements;
mod withdrawals;

use actix_web::get;
use actix_web::web::{Data, Path};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use deposits::*;
pub(crate) use statements::*;
pub(crate) use withdrawals::*;

use super::{AccountBalance, AccountKind, Posting, TransactionKind};
use crate::app::App;
use crate::error::{Problem, Result};
use crate::http::input::Query;
use crate::identity::Caller;
use crate::types::{AccountId, Instant, Money, Page, PageQuery, PostingId, TransactionId};

/// An account and what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountView {
    /// The account.
    id: AccountId,
    /// `wallet`: deposited and not spent; `payable`: earned and not paid out; `held`: waits for a payout by the bank.
    kind: AccountKind,
    /// What it holds.
    balance: Money,
}

impl From<AccountBalance> for AccountView {
    fn from(account: AccountBalance) -> Self {
        Self { id: account.id, kind: account.kind, balance: account.balance }
    }
}

/// One movement on an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PostingView {
    /// The posting.
    id: PostingId,
    /// The transaction it belongs to.
    transaction_id: TransactionId,
    /// Why money moved.
    kind: TransactionKind,
    /// What it was for: a bank reference, an order, a withdrawal or a transaction that was reversed.
    reference: String,
    /// Which of the organisation's accounts.
    account: AccountKind,
    /// Above zero: credited; below zero: debited.
    amount: Money,
    /// When.
    posted_at: Instant,
}

impl From<Posting> for PostingView {
    fn from(posting: Posting) -> Self {
        Self {
            id: posting.id,
            transaction_id: posting.transaction_id,
            kind: posting.transaction_kind,
            reference: posting.reference,
            account: posting.account_kind,
            amount: posting.amount,
            posted_at: posting.posted_at,
        }
    }
}

/// Lists an organisation's accounts and their balances.
///
/// For its members, operators and compliance staff.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<AccountView>),
    (status = 404, body = Problem, description = "No such organisation, or not yours"),
))]
#[get("/v1/organisations/{handle}/accounts")]
pub(crate) async fn list_accounts(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<AccountView>> {
    let accounts = app.db.read(move |c| super::accounts(c, &caller, &handle, &page)).await?;
    Ok(accounts.map(AccountView::from))
}

/// Lists the movements on an organisation's accounts, oldest first.
///
/// For its members, operators and compliance staff.
#[utoipa::path(tag = "ledger", security(("bearer" = [])), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<PostingView>),
    (status = 404, body = Problem, description = "No such organisation, or not yours"),
))]
#[get("/v1/organisations/{handle}/postings")]
pub(crate) async fn list_postings(
    app: Data<App>,
    caller: Caller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<PostingView>> {
    let postings = app.db.read(move |c| super::postings(c, &caller, &handle, &page)).await?;
    Ok(postings.map(PostingView::from))
}
