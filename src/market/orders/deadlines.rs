//! What the exchange does when a deadline passes: every state that must not last has one.

use std::time::Duration;

use super::acceptance::DeliveryEvidence;
use super::payment::download_due;
use super::rejection::refund_all;
use super::settlement::settle;
use super::{Order, OrderState, advance, announce, days, order, queries, states};
use crate::db::Conn;
use crate::error::Result;
use crate::history;
use crate::keys::ExchangeKeys;
use crate::types::{DAY, Instant, OrderId, VersionId};

/// Orders whose deadline has passed by `now` and whose identifiers sort after `after`; at most `limit`.
pub fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> Result<Vec<OrderId>> {
    Ok(queries::list_due(c, now, after, limit)?)
}

/// Moves an order on if its deadline has passed; any other is left as it is.
pub fn pass_deadline(
    c: &mut Conn,
    keys: &ExchangeKeys,
    id: OrderId,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = order(c, id)?;
    if !order.is_overdue(now) {
        return Ok(order);
    }
    let from = order.state;
    let accepted = match (from, order.refund_minor) {
        (OrderState::AwaitingSignature | OrderState::AwaitingPayment, _) => {
            let reason = "not paid in time";
            let order = advance(c, order, OrderState::Expired, None, "exchange", reason, now)?;
            return announce(c, keys, order, from, reason, now);
        }
        (OrderState::Escrowed, _) => "not downloaded in time",
        (OrderState::Delivering, _) => "neither downloaded completely nor rejected in time",
        (OrderState::Delivered, _) => "neither accepted nor rejected in time",
        (OrderState::Curing, Some(_)) => "the offer of a refund was not answered in time",
        (OrderState::Rejected | OrderState::Curing, _) => {
            return refund_all(c, keys, order, "exchange", "not cured in time", now);
        }
        _ => return Ok(order),
    };
    let order = advance(c, order, OrderState::Accepted, None, "exchange", accepted, now)?;
    settle(c, keys, order, evidence, now)
}

/// Begins the time of an order that is with its buyer anew, at `since`: the exchange itself was in the way. No deadline comes
/// sooner by that, and an order that is not with its buyer is left as it is.
pub fn begin_again(c: &mut Conn, order: Order, since: Instant) -> Result<Order> {
    if !order.state.is_with_buyer() {
        return Ok(order);
    }
    let due = match order.state {
        OrderState::Delivered => since.plus(days(order.acceptance_days)),
        _ => download_due(&order, since),
    };
    let due = order.due_at.map_or(due, |before| before.max(due));
    queries::set_due(c, order.id, order.state, due)?;
    Ok(Order { due_at: Some(due), ..order })
}

/// As [`begin_again`], for the first `limit` orders of a version whose identifiers sort after `after`. Gives their identifiers.
pub fn begin_page_again(
    c: &mut Conn,
    version: VersionId,
    since: Instant,
    (after, limit): (&str, i64),
) -> Result<Vec<OrderId>> {
    let page = queries::list_orders_of(c, version, &states(OrderState::is_with_buyer), after, limit)?;
    page.into_iter().map(|order| Ok(begin_again(c, order, since)?.id)).collect()
}

/// How long before an order counts as accepted that was not completely downloaded, both sides are told.
const NOTICE: Duration = DAY.saturating_mul(7);
/// The states in which the time to download runs.
const DOWNLOADING: &[OrderState] = &[OrderState::Escrowed, OrderState::Delivering];

/// Orders that were not completely downloaded and count as accepted soon, of which the sides were not told yet: those whose
/// identifiers sort after `after`; at most `limit`.
pub fn list_unannounced(c: &mut Conn, now: Instant, after: &str, limit: i64) -> Result<Vec<OrderId>> {
    Ok(queries::list_unannounced(c, DOWNLOADING, (now, now.plus(NOTICE)), after, limit)?)
}

/// Tells both sides, once, that an order which was not completely downloaded counts as accepted soon.
pub fn announce_acceptance(c: &mut Conn, id: OrderId, now: Instant) -> Result<()> {
    let order = order(c, id)?;
    let Some(due) = order.due_at.filter(|due| DOWNLOADING.contains(&order.state) && *due > now) else { return Ok(()) };
    if queries::set_announced(c, id, order.state, due)? == 1 {
        let reason = format!("not completely downloaded: it counts as accepted at {due}");
        history::record(c, id, Some(order.state.as_str()), "acceptance_due", "exchange", &reason, now)?;
    }
    Ok(())
}
