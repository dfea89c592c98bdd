//! The `ledger_*` tables; deposits and withdrawals are in [`movements`], closing balances in [`closings`], changes of the balances
//! that are kept beside their postings in [`gates`].

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::statements::Line;
use super::{AccountKind, AccountRef, Posting, TransactionKind, WithdrawalState};
use crate::appends;
use crate::db::{Among as _, Conn};
use crate::schema::{
    ledger_accounts as accounts, ledger_postings as postings, ledger_transactions as transactions, withdrawals,
};
use crate::types::{
    AccountId, Currency, Instant, Money, OrganisationId, PostingId, ProgrammeId, TransactionId, merged,
};

mod closings;
mod gates;
mod movements;

pub(super) use closings::*;
pub(super) use gates::Gate;
pub(super) use movements::*;

diesel::allow_columns_to_appear_in_same_group_by_clause!(postings::transaction_id, accounts::currency);
diesel::allow_columns_to_appear_in_same_group_by_clause!(accounts::organisation_id, accounts::currency);
diesel::allow_columns_to_appear_in_same_group_by_clause!(accounts::programme_id, accounts::currency);
diesel::allow_columns_to_appear_in_same_group_by_clause!(withdrawals::organisation_id, withdrawals::currency);

/// How many rows of one kind an audit reports.
pub(super) const MAX_FINDINGS: i64 = 1000;

/// A sum of amounts. Both databases widen a sum of BIGINT; the cast brings it back, and fails where it does not fit.
const SUM: &str = "CAST(COALESCE(SUM(ledger_postings.amount_minor), 0) AS BIGINT)";

#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = accounts, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Account {
    pub(super) id: AccountId,
    pub(super) organisation_id: Option<OrganisationId>,
    pub(super) programme_id: Option<ProgrammeId>,
    pub(super) kind: AccountKind,
    pub(super) currency: Currency,
    pub(super) gated_balance_minor: Option<i64>,
    /// The last posting that this balance includes; none before the first.
    pub(super) last_posting_id: Option<PostingId>,
    pub(super) created_at: Instant,
}

pub(super) fn find_account(c: &mut Conn, account: AccountRef, currency: Currency) -> QueryResult<Option<Account>> {
    let query = accounts::table
        .filter(accounts::kind.eq(account.kind()))
        .filter(accounts::currency.eq(currency))
        .select(Account::as_select())
        .into_boxed();
    match (account.owner(), account.programme()) {
        (Some(owner), _) => query.filter(accounts::organisation_id.eq(owner)),
        (None, Some(programme)) => query.filter(accounts::programme_id.eq(programme)),
        // As the index of the exchange's own says it.
        (None, None) => query.filter(accounts::organisation_id.is_null()).filter(accounts::programme_id.is_null()),
    }
    .first(c)
    .optional()
}

pub(super) fn insert_account(c: &mut Conn, account: &Account) -> QueryResult<usize> {
    diesel::insert_into(accounts::table).values(account).execute(c)
}

/// The accounts of a kind of these organisations, in any currency.
pub(super) fn list_accounts_of(c: &mut Conn, kind: AccountKind, organisations: &[String]) -> QueryResult<Vec<Account>> {
    accounts::table
        .filter(accounts::kind.eq(kind))
        .filter(accounts::organisation_id.among(organisations))
        .select(Account::as_select())
        .load(c)
}

pub(super) fn list_accounts(
    c: &mut Conn,
    organisation: OrganisationId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Account>> {
    accounts::table
        .filter(accounts::organisation_id.eq(organisation))
        .filter(accounts::id.gt(after))
        .order(accounts::id)
        .limit(limit)
        .select(Account::as_select())
        .load(c)
}

pub(super) fn find_transaction(
    c: &mut Conn,
    kind: TransactionKind,
    reference: &str,
) -> QueryResult<Option<TransactionId>> {
    let same = transactions::table.filter(transactions::kind.eq(kind)).filter(transactions::reference.eq(reference));
    same.select(transactions::id).first(c).optional()
}

/// The transactions of this kind and these references, each by its reference.
pub(super) fn list_transactions(
    c: &mut Conn,
    kind: TransactionKind,
    references: &[String],
) -> QueryResult<Vec<(String, TransactionId)>> {
    transactions::table
        .filter(transactions::kind.eq(kind))
        .filter(transactions::reference.among(references))
        .select((transactions::reference, transactions::id))
        .load(c)
}

#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = transactions)]
pub(super) struct TransactionRow {
    pub(super) id: TransactionId,
    pub(super) kind: TransactionKind,
    pub(super) reference: String,
    pub(super) posted_at: Instant,
}

#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = postings)]
pub(super) struct PostingRow {
    pub(super) id: PostingId,
    pub(super) transaction_id: TransactionId,
    pub(super) account_id: AccountId,
    pub(super) amount_minor: i64,
}

appends!(TransactionRow => transactions, PostingRow => postings);

pub(super) fn currency_of(c: &mut Conn, account: AccountId) -> QueryResult<Currency> {
    accounts::table.find(account).select(accounts::currency).first(c)
}

/// An organisation's accounts in one currency, in the order in which they were opened.
pub(super) fn list_accounts_in(
    c: &mut Conn,
    organisation: OrganisationId,
    currency: Currency,
) -> QueryResult<Vec<Account>> {
    accounts::table
        .filter(accounts::organisation_id.eq(organisation))
        .filter(accounts::currency.eq(currency))
        .order(accounts::id)
        .select(Account::as_select())
        .load(c)
}

/// The postings to some accounts after one and before another, oldest first: of each account no more than a page is read.
pub(super) fn list_lines(
    c: &mut Conn,
    of: &[AccountId],
    after: &str,
    before: &str,
    limit: i64,
) -> QueryResult<Vec<Line>> {
    let mut found = Vec::new();
    for account in of {
        let lines: Vec<Line> = postings::table
            .inner_join(transactions::table)
            .filter(postings::account_id.eq(*account))
            .filter(postings::id.gt(after))
            .filter(postings::id.lt(before))
            .order(postings::id)
            .limit(limit)
            .select(Line::as_select())
            .load(c)?;
        found.extend(lines);
    }
    Ok(merged(found, limit, |line| line.id))
}

/// The postings of a transaction with their accounts, in order.
pub(super) fn list_lines_of(c: &mut Conn, kind: TransactionKind, reference: &str) -> QueryResult<Vec<(Account, i64)>> {
    postings::table
        .inner_join(transactions::table)
        .inner_join(accounts::table)
        .filter(transactions::kind.eq(kind))
        .filter(transactions::reference.eq(reference))
        .order(postings::id)
        .select((Account::as_select(), postings::amount_minor))
        .load(c)
}

/// The postings to an organisation's accounts after one, oldest first: of each account no more than a page is read.
pub(super) fn list_postings(
    c: &mut Conn,
    organisation: OrganisationId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Posting>> {
    type Row = (PostingId, TransactionId, i64, TransactionKind, String, Instant);
    let of = accounts::table.filter(accounts::organisation_id.eq(organisation)).select(Account::as_select());
    let mut found = Vec::new();
    for Account { id: account, kind: account_kind, currency, .. } in of.load::<Account>(c)? {
        let rows: Vec<Row> = postings::table
            .inner_join(transactions::table)
            .filter(postings::account_id.eq(account))
            .filter(postings::id.gt(after))
            .order(postings::id)
            .limit(limit)
            .select((
                postings::id,
                postings::transaction_id,
                postings::amount_minor,
                transactions::kind,
                transactions::reference,
                transactions::posted_at,
            ))
            .load(c)?;
        let posting = |(id, transaction_id, minor, transaction_kind, reference, posted_at)| {
            let amount = Money::new(minor, currency);
            Posting { id, transaction_id, transaction_kind, reference, account_kind, amount, posted_at }
        };
        found.extend(rows.into_iter().map(posting));
    }
    Ok(merged(found, limit, |posting| posting.id))
}

/// Transactions whose postings in a currency do not sum to zero, with that sum.
pub(super) fn list_unbalanced(c: &mut Conn) -> QueryResult<Vec<(TransactionId, Currency, i64)>> {
    postings::table
        .inner_join(accounts::table)
        .group_by((postings::transaction_id, accounts::currency))
        .having(sql::<BigInt>(SUM).ne(0))
        .order(postings::transaction_id)
        .limit(MAX_FINDINGS)
        .select((postings::transaction_id, accounts::currency, sql::<BigInt>(SUM)))
        .load(c)
}

/// Transactions with fewer than two postings.
pub(super) fn list_incomplete(c: &mut Conn) -> QueryResult<Vec<TransactionId>> {
    transactions::table
        .left_join(postings::table)
        .group_by(transactions::id)
        .having(diesel::dsl::count(postings::id.nullable()).lt(2))
        .order(transactions::id)
        .limit(MAX_FINDINGS)
        .select(transactions::id)
        .load(c)
}

/// Accounts whose gate differs from the sum of their postings, with both.
pub(super) fn list_gates_astray(c: &mut Conn) -> QueryResult<Vec<(AccountId, Currency, i64, i64)>> {
    accounts::table
        .left_join(postings::table)
        .filter(accounts::gated_balance_minor.is_not_null())
        .group_by((accounts::id, accounts::currency, accounts::gated_balance_minor))
        .having(sql::<BigInt>(SUM).ne(accounts::gated_balance_minor.assume_not_null()))
        .order(accounts::id)
        .limit(MAX_FINDINGS)
        .select((accounts::id, accounts::currency, accounts::gated_balance_minor.assume_not_null(), sql::<BigInt>(SUM)))
        .load(c)
}

/// Accounts of organisations whose postings sum to less than zero, with that sum.
pub(super) fn list_overdrawn(c: &mut Conn) -> QueryResult<Vec<(AccountId, Currency, i64)>> {
    postings::table
        .inner_join(accounts::table)
        .filter(accounts::organisation_id.is_not_null())
        .group_by((accounts::id, accounts::currency))
        .having(sql::<BigInt>(SUM).lt(0))
        .order(accounts::id)
        .limit(MAX_FINDINGS)
        .select((accounts::id, accounts::currency, sql::<BigInt>(SUM)))
        .load(c)
}

/// What waits for the bank, which has given no reference for it yet, by organisation and currency.
pub(super) fn sum_unpaid_withdrawals(c: &mut Conn) -> QueryResult<Vec<(OrganisationId, Currency, i64)>> {
    use WithdrawalState::{AwaitingApproval, Processing, Requested, Reversing};
    const WAITING: &str = "CAST(SUM(withdrawals.amount_minor) AS BIGINT)";
    withdrawals::table
        .filter(withdrawals::state.among([Requested, AwaitingApproval, Processing, Reversing]))
        .filter(withdrawals::reference.is_null())
        .group_by((withdrawals::organisation_id, withdrawals::currency))
        .select((withdrawals::organisation_id, withdrawals::currency, sql::<BigInt>(WAITING)))
        .load(c)
}

/// What the accounts of a kind hold, by organisation and currency; those that hold nothing are left out.
pub(super) fn list_holding(
    c: &mut Conn,
    kind: AccountKind,
) -> QueryResult<Vec<(Option<OrganisationId>, Currency, i64)>> {
    postings::table
        .inner_join(accounts::table)
        .filter(accounts::kind.eq(kind))
        .group_by((accounts::organisation_id, accounts::currency))
        .having(sql::<BigInt>(SUM).ne(0))
        .select((accounts::organisation_id, accounts::currency, sql::<BigInt>(SUM)))
        .load(c)
}

/// What each programme's pool holds.
pub(super) fn list_pools(c: &mut Conn) -> QueryResult<Vec<(Option<ProgrammeId>, Currency, i64)>> {
    postings::table
        .inner_join(accounts::table)
        .filter(accounts::programme_id.is_not_null())
        .group_by((accounts::programme_id, accounts::currency))
        .select((accounts::programme_id, accounts::currency, sql::<BigInt>(SUM)))
        .load(c)
}

/// How many accounts, transactions and postings there are.
pub(super) fn count_all(c: &mut Conn) -> QueryResult<(i64, i64, i64)> {
    Ok((
        accounts::table.count().get_result(c)?,
        transactions::table.count().get_result(c)?,
        postings::table.count().get_result(c)?,
    ))
}
