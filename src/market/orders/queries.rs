//! The `orders` and `contracts` tables.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::{Contract, Order, OrderState, Trade};
use crate::appends;
use crate::db::{Among as _, Conn};
use crate::schema::{contracts, orders};
use crate::types::{Currency, Instant, OrderId, OrganisationId, VersionId, merged};

appends!(Order => orders, Contract => contracts);

pub(super) fn find_order(c: &mut Conn, id: OrderId) -> QueryResult<Option<Order>> {
    orders::table.find(id).select(Order::as_select()).first(c).optional()
}

pub(super) fn find_trade(c: &mut Conn, id: OrderId) -> QueryResult<Option<Trade>> {
    orders::table.find(id).select(Trade::as_select()).first(c).optional()
}

/// The buyer and the provider of each of these orders.
pub(super) fn list_parties(
    c: &mut Conn,
    ids: &[OrderId],
) -> QueryResult<Vec<(OrderId, OrganisationId, OrganisationId)>> {
    orders::table.filter(orders::id.among(ids)).select((orders::id, orders::buyer_id, orders::provider_id)).load(c)
}

/// Orders in which one of these organisations buys or sells: of each and on each side no more is looked at than the
/// identifiers of a page, and no row is read that is not on it.
pub(super) fn list_orders(
    c: &mut Conn,
    parties: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    let page = || orders::table.filter(orders::id.gt(after)).order(orders::id).limit(limit).select(orders::id);
    let mut found = Vec::new();
    for party in parties {
        found.extend(page().filter(orders::buyer_id.eq(*party)).load::<OrderId>(c)?);
        found.extend(page().filter(orders::provider_id.eq(*party)).load::<OrderId>(c)?);
    }
    let page = merged(found, limit, |id| *id);
    orders::table.filter(orders::id.among(page)).order(orders::id).select(Order::as_select()).load(c)
}

/// The orders of a version in these states.
pub(super) fn list_orders_of(
    c: &mut Conn,
    version: VersionId,
    states: &[OrderState],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Order>> {
    orders::table
        .filter(orders::version_id.eq(version).and(orders::state.among(states)))
        .filter(orders::id.gt(after))
        .order(orders::id)
        .limit(limit)
        .select(Order::as_select())
        .load(c)
}

/// The orders in these states that renew the licence of another.
pub(super) fn list_renewals(c: &mut Conn, id: OrderId, states: &[OrderState], limit: i64) -> QueryResult<Vec<Order>> {
    orders::table
        .filter(orders::renews.eq(id).and(orders::state.among(states)))
        .order(orders::id)
        .limit(limit)
        .select(Order::as_select())
        .load(c)
}

/// Writes where an order is now, unless it has left `from` meanwhile.
pub(super) fn set_order_state(c: &mut Conn, order: &Order, from: OrderState) -> QueryResult<usize> {
    diesel::update(orders::table.find(order.id).filter(orders::state.eq(from)))
        .set((
            orders::state.eq(order.state),
            orders::due_at.eq(order.due_at),
            orders::refund_minor.eq(order.refund_minor),
            orders::dispute_until.eq(order.dispute_until),
        ))
        .execute(c)
}

/// Writes what was refunded of an order that stays in its state.
pub(super) fn set_refund(c: &mut Conn, order: &Order) -> QueryResult<usize> {
    diesel::update(orders::table.find(order.id).filter(orders::state.eq(order.state)))
        .set(orders::refund_minor.eq(order.refund_minor))
        .execute(c)
}

/// Orders whose deadline has passed, and that are not moved on yet.
pub(super) fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<OrderId>> {
    orders::table
        .filter(orders::due_at.between(Instant::epoch(), now))
        .filter(orders::id.gt(after))
        .order(orders::id)
        .limit(limit)
        .select(orders::id)
        .load(c)
}

/// Orders in these states whose deadline passes after `now` and until `soon`, of which nobody was told.
pub(super) fn list_unannounced(
    c: &mut Conn,
    states: &[OrderState],
    (now, soon): (Instant, Instant),
    after: &str,
    limit: i64,
) -> QueryResult<Vec<OrderId>> {
    orders::table
        .filter(orders::state.among(states))
        .filter(orders::due_at.gt(now))
        .filter(orders::due_at.le(soon))
        .filter(orders::announced_due_at.is_null().or(orders::announced_due_at.ne(orders::due_at)))
        .filter(orders::id.gt(after))
        .order(orders::id)
        .limit(limit)
        .select(orders::id)
        .load(c)
}

/// Writes down that the sides were told of a deadline, unless they were before, or the order moved on.
pub(super) fn set_announced(c: &mut Conn, id: OrderId, state: OrderState, due: Instant) -> QueryResult<usize> {
    let waiting = orders::table.find(id).filter(orders::state.eq(state)).filter(orders::due_at.eq(due));
    let untold = orders::announced_due_at.is_null().or(orders::announced_due_at.ne(due));
    diesel::update(waiting.filter(untold)).set(orders::announced_due_at.eq(due)).execute(c)
}

/// Moves the deadline of an order that stays in its state.
pub(super) fn set_due(c: &mut Conn, id: OrderId, state: OrderState, due: Instant) -> QueryResult<usize> {
    diesel::update(orders::table.find(id).filter(orders::state.eq(state))).set(orders::due_at.eq(due)).execute(c)
}

pub(super) fn find_contract_of(c: &mut Conn, order: OrderId) -> QueryResult<Option<Contract>> {
    contracts::table.filter(contracts::order_id.eq(order)).select(Contract::as_select()).first(c).optional()
}

pub(super) fn list_contracts_of(c: &mut Conn, orders: &[OrderId]) -> QueryResult<Vec<(OrderId, Contract)>> {
    contracts::table
        .filter(contracts::order_id.among(orders))
        .select((contracts::order_id, Contract::as_select()))
        .load(c)
}

/// The prices of the orders in some states, by currency.
pub(super) fn sum_prices(c: &mut Conn, states: &[OrderState]) -> QueryResult<Vec<(Currency, i64)>> {
    const PRICES: &str = "CAST(SUM(price_minor) AS BIGINT)";
    orders::table
        .filter(orders::state.among(states))
        .group_by(orders::currency)
        .select((orders::currency, sql::<BigInt>(PRICES)))
        .load(c)
}
