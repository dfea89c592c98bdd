//! What delivery does to an order: the first link begins it, a link to every shard completes it.

use super::{Order, OrderState, advance, order};
use crate::db::Conn;
use crate::error::Result;
use crate::types::{Instant, OrderId};

/// Delivery began: an order in escrow is delivering from now on; any other is left as it is.
pub fn mark_delivering(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Escrowed {
        return Ok(order);
    }
    advance(c, order, OrderState::Delivering, "exchange", "the first link was given", now)
}

/// Every shard was delivered.
pub fn mark_delivered(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Delivering {
        return Ok(order);
    }
    advance(c, order, OrderState::Delivered, "exchange", "a link to every shard was given", now)
}
