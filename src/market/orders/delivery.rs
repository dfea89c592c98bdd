//! What delivery does to an order: the first link begins delivery, and a link to every shard completes it. Between the two
//! the time to download runs; on completion the time begins in which the buyer accepts or rejects. A link after the
//! deadline does not affect the order.

use super::{Order, OrderState, advance, days, order, require_state};
use crate::db::Conn;
use crate::error::Result;
use crate::types::{Instant, OrderId};

/// Delivery began, in time: an order in escrow is delivering from now on; any other is left as it is.
pub fn mark_delivering(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Escrowed || order.is_overdue(now) {
        return Ok(order);
    }
    let due = order.due_at;
    advance(c, order, OrderState::Delivering, due, "exchange", "the first link was given", now)
}

/// Every shard was delivered, in time.
pub fn mark_delivered(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Delivering || order.is_overdue(now) {
        return Ok(order);
    }
    let due = now.plus(days(order.acceptance_days));
    advance(c, order, OrderState::Delivered, Some(due), "exchange", "a link to every shard was given", now)
}

/// A paid renewal is delivered at once: all that it delivers is a longer term.
pub fn mark_renewed(c: &mut Conn, order: Order, now: Instant) -> Result<Order> {
    require_state(&order, OrderState::Escrowed)?;
    let due = Some(now.plus(days(order.acceptance_days)));
    let order = advance(c, order, OrderState::Delivering, due, "exchange", "the term of the licence grows", now)?;
    advance(c, order, OrderState::Delivered, due, "exchange", "there is nothing else to deliver", now)
}
