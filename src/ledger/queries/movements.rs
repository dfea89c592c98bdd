//! The `deposits` and `withdrawals` tables.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable};

use crate::db::{Among as _, Conn};
use crate::ledger::deposits::{Deposit, DepositState};
use crate::ledger::withdrawals::{Source, Withdrawal, WithdrawalState};
use crate::schema::{deposits, transitions, withdrawals};
use crate::types::{Currency, DepositId, Instant, OrganisationId, TransitionId, UserId, WithdrawalId};

/// The steps by which an operator moves money, in the words of their index.
const MOVED: &str = "transitions.to_state IN ('posted', 'processing', 'reversed')";
/// That no second operator had to approve a step.
const ALONE: &str = "COALESCE(transitions.from_state, '') NOT IN ('awaiting_approval', 'reversing')";
/// That no operator has taken a withdrawal up, in the words of the index of those.
const WAITING: &str = "withdrawals.state IN ('requested', 'awaiting_approval')";

/// What an operator has moved without a second one since `since`: deposits, withdrawals and reversals, in minor units of
/// whatever currency.
pub(in crate::ledger) fn sum_moved_alone(c: &mut Conn, operator: UserId, since: Instant) -> QueryResult<i64> {
    let (actor, first) = (operator.to_string(), TransitionId::first_at(since));
    let deposited: Option<i64> = transitions::table
        .inner_join(deposits::table.on(transitions::subject.eq(deposits::id)))
        .filter(transitions::actor.eq(&actor).and(transitions::id.ge(first)))
        .filter(sql::<Bool>(MOVED).and(sql::<Bool>(ALONE)))
        .select(sql::<Nullable<BigInt>>("CAST(SUM(deposits.amount_minor) AS BIGINT)"))
        .first(c)?;
    let withdrawn: Option<i64> = transitions::table
        .inner_join(withdrawals::table.on(transitions::subject.eq(withdrawals::id)))
        .filter(transitions::actor.eq(&actor).and(transitions::id.ge(first)))
        .filter(sql::<Bool>(MOVED).and(sql::<Bool>(ALONE)))
        .select(sql::<Nullable<BigInt>>("CAST(SUM(withdrawals.amount_minor) AS BIGINT)"))
        .first(c)?;
    Ok(deposited.unwrap_or(0).saturating_add(withdrawn.unwrap_or(0)))
}

pub(in crate::ledger) fn insert_deposit(c: &mut Conn, deposit: &Deposit) -> QueryResult<usize> {
    diesel::insert_into(deposits::table).values(deposit).execute(c)
}

pub(in crate::ledger) fn find_deposit(c: &mut Conn, id: DepositId) -> QueryResult<Option<Deposit>> {
    deposits::table.find(id).select(Deposit::as_select()).first(c).optional()
}

/// The deposit with this reference that was not refused.
pub(in crate::ledger) fn find_deposit_by_reference(c: &mut Conn, reference: &str) -> QueryResult<Option<Deposit>> {
    deposits::table
        .filter(deposits::reference.eq(reference))
        // As their index says it: SQLite looks at no value that is bound.
        .filter(sql::<Bool>("deposits.state <> 'refused'"))
        .select(Deposit::as_select())
        .first(c)
        .optional()
}

pub(in crate::ledger) fn set_deposit_state(
    c: &mut Conn,
    id: DepositId,
    from: DepositState,
    to: DepositState,
) -> QueryResult<usize> {
    diesel::update(deposits::table.find(id).filter(deposits::state.eq(from))).set(deposits::state.eq(to)).execute(c)
}

pub(in crate::ledger) fn set_deposit_proposer(c: &mut Conn, id: DepositId, user: UserId) -> QueryResult<usize> {
    diesel::update(deposits::table.find(id)).set(deposits::proposed_by.eq(user)).execute(c)
}

/// By identifier: all of them, or those of some organisations.
pub(in crate::ledger) fn list_deposits(
    c: &mut Conn,
    only_of: Option<&[OrganisationId]>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Deposit>> {
    let mut query = deposits::table
        .filter(deposits::id.gt(after.to_string()))
        .order(deposits::id)
        .limit(limit)
        .select(Deposit::as_select())
        .into_boxed();
    if let Some(organisations) = only_of {
        query = query.filter(deposits::organisation_id.among(organisations));
    }
    query.load(c)
}

pub(in crate::ledger) fn insert_withdrawal(c: &mut Conn, withdrawal: &Withdrawal) -> QueryResult<usize> {
    diesel::insert_into(withdrawals::table).values(withdrawal).execute(c)
}

pub(in crate::ledger) fn find_withdrawal(c: &mut Conn, id: WithdrawalId) -> QueryResult<Option<Withdrawal>> {
    withdrawals::table.find(id).select(Withdrawal::as_select()).first(c).optional()
}

/// How many withdrawals of an organisation no operator has taken up.
pub(in crate::ledger) fn count_waiting_withdrawals(c: &mut Conn, organisation: OrganisationId) -> QueryResult<i64> {
    withdrawals::table
        .filter(withdrawals::organisation_id.eq(organisation))
        .filter(sql::<Bool>(WAITING))
        .count()
        .get_result(c)
}

/// The withdrawals of what an organisation has earned that no operator has taken up, newest first.
pub(in crate::ledger) fn list_waiting_payouts(
    c: &mut Conn,
    organisation: OrganisationId,
    currency: Currency,
    limit: i64,
) -> QueryResult<Vec<Withdrawal>> {
    withdrawals::table
        .filter(withdrawals::organisation_id.eq(organisation))
        .filter(sql::<Bool>(WAITING))
        .filter(withdrawals::source.eq(Source::Payable).and(withdrawals::currency.eq(currency)))
        .order(withdrawals::id.desc())
        .limit(limit)
        .select(Withdrawal::as_select())
        .load(c)
}

pub(in crate::ledger) fn find_withdrawal_by_reference(
    c: &mut Conn,
    reference: &str,
) -> QueryResult<Option<Withdrawal>> {
    withdrawals::table.filter(withdrawals::reference.eq(reference)).select(Withdrawal::as_select()).first(c).optional()
}

pub(in crate::ledger) fn set_withdrawal_state(
    c: &mut Conn,
    id: WithdrawalId,
    from: WithdrawalState,
    to: WithdrawalState,
) -> QueryResult<usize> {
    diesel::update(withdrawals::table.find(id).filter(withdrawals::state.eq(from)))
        .set(withdrawals::state.eq(to))
        .execute(c)
}

pub(in crate::ledger) fn set_withdrawal_proposer(c: &mut Conn, id: WithdrawalId, user: UserId) -> QueryResult<usize> {
    diesel::update(withdrawals::table.find(id)).set(withdrawals::proposed_by.eq(user)).execute(c)
}

pub(in crate::ledger) fn set_withdrawal_reference(
    c: &mut Conn,
    id: WithdrawalId,
    reference: &str,
) -> QueryResult<usize> {
    diesel::update(withdrawals::table.find(id)).set(withdrawals::reference.eq(reference)).execute(c)
}

/// By identifier: all of them, or those of some organisations.
pub(in crate::ledger) fn list_withdrawals(
    c: &mut Conn,
    only_of: Option<&[OrganisationId]>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Withdrawal>> {
    let mut query = withdrawals::table
        .filter(withdrawals::id.gt(after.to_string()))
        .order(withdrawals::id)
        .limit(limit)
        .select(Withdrawal::as_select())
        .into_boxed();
    if let Some(organisations) = only_of {
        query = query.filter(withdrawals::organisation_id.among(organisations));
    }
    query.load(c)
}
