//! The `ledger_closings` table, and the sums between closing balances.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

use super::SUM;
use crate::db::Conn;
use crate::ledger::closings::Closing;
use crate::schema::{ledger_accounts as accounts, ledger_closings as closings, ledger_postings as postings};
use crate::types::{AccountId, PostingId};

pub(in crate::ledger) fn insert_closing(c: &mut Conn, closing: &Closing) -> QueryResult<usize> {
    diesel::insert_into(closings::table).values(closing).execute(c)
}

/// The last closing of an account, or the last that is not after this posting.
pub(in crate::ledger) fn find_closing(
    c: &mut Conn,
    account: AccountId,
    until: Option<&str>,
) -> QueryResult<Option<Closing>> {
    let mut query = closings::table
        .filter(closings::account_id.eq(account))
        .order(closings::last_posting_id.desc())
        .select(Closing::as_select())
        .into_boxed();
    if let Some(until) = until {
        query = query.filter(closings::last_posting_id.le(until.to_string()));
    }
    query.first(c).optional()
}

/// The first closing of an account after this posting.
pub(in crate::ledger) fn find_closing_after(
    c: &mut Conn,
    account: AccountId,
    after: &str,
) -> QueryResult<Option<Closing>> {
    closings::table
        .filter(closings::account_id.eq(account))
        .filter(closings::last_posting_id.gt(after))
        .order(closings::last_posting_id)
        .select(Closing::as_select())
        .first(c)
        .optional()
}

/// The sum of an account's postings after one, and up to another or to the last.
pub(in crate::ledger) fn sum_postings(
    c: &mut Conn,
    account: AccountId,
    after: &str,
    last: Option<&str>,
) -> QueryResult<i64> {
    let mut query = postings::table
        .filter(postings::account_id.eq(account))
        .filter(postings::id.gt(after.to_string()))
        .select(sql::<BigInt>(SUM))
        .into_boxed();
    if let Some(last) = last {
        query = query.filter(postings::id.le(last.to_string()));
    }
    query.first(c)
}

/// The last posting to an account.
pub(in crate::ledger) fn find_last_posting(c: &mut Conn, account: AccountId) -> QueryResult<Option<PostingId>> {
    postings::table
        .filter(postings::account_id.eq(account))
        .order(postings::id.desc())
        .select(postings::id)
        .first(c)
        .optional()
}

/// The `number`th posting to an account after another, counted from 1.
pub(in crate::ledger) fn find_posting_number(
    c: &mut Conn,
    account: AccountId,
    after: &str,
    number: i64,
) -> QueryResult<Option<PostingId>> {
    postings::table
        .filter(postings::account_id.eq(account))
        .filter(postings::id.gt(after))
        .order(postings::id)
        .offset(number.saturating_sub(1))
        .limit(1)
        .select(postings::id)
        .first(c)
        .optional()
}

/// The accounts that have closing balances and got at least so many postings since the last one, by identifier.
pub(in crate::ledger) fn list_due_accounts(
    c: &mut Conn,
    postings: i64,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<AccountId>> {
    let since = "EXISTS (SELECT 1 FROM ledger_postings posting WHERE posting.account_id = ledger_accounts.id \
                 AND posting.id > COALESCE((SELECT MAX(closing.last_posting_id) FROM ledger_closings closing \
                                            WHERE closing.account_id = ledger_accounts.id), '') \
                 ORDER BY posting.id LIMIT 1 OFFSET ";
    accounts::table
        .filter(accounts::organisation_id.is_not_null())
        .filter(accounts::gated_balance_minor.is_null())
        .filter(accounts::id.gt(after))
        .filter(sql::<Bool>(since).bind::<BigInt, _>(postings.saturating_sub(1)).sql(")"))
        .order(accounts::id)
        .limit(limit)
        .select(accounts::id)
        .load(c)
}

/// The accounts that have closing balances, by identifier.
pub(in crate::ledger) fn list_closed_accounts(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<AccountId>> {
    accounts::table
        .filter(accounts::organisation_id.is_not_null())
        .filter(accounts::gated_balance_minor.is_null())
        .filter(accounts::id.gt(after))
        .order(accounts::id)
        .limit(limit)
        .select(accounts::id)
        .load(c)
}
