//! Cancelling an order: the buyer takes it back before it is paid.

use super::{Order, OrderState, advance, announce, visible_order, wrong_state};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::{Caller, Role};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, OrderId, text};

/// The buyer cancels an order that it has not paid.
pub fn cancel(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", Role::TRADERS)?;
    let reason = text::reason(reason)?;
    let from = order.state;
    if !from.may_become(OrderState::Cancelled) {
        return Err(
            wrong_state(&order, "not paid yet").remedy("reject what was delivered, within the acceptance window")
        );
    }
    let order = advance(c, order, OrderState::Cancelled, None, caller.user_id, &reason, now)?;
    announce(c, keys, order, from, &reason, now)
}
