//! Paying an order: from the buyer's wallet into escrow.

use super::{BUYERS, Order, OrderState, advance, require_state, visible_order};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::market::holds;
use crate::types::{Instant, OrderId};

/// The buyer pays from its wallet into escrow. A free licence moves no money.
pub fn pay(c: &mut Conn, caller: &Caller, id: OrderId, now: Instant) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", BUYERS)?;
    require_state(&order, OrderState::AwaitingPayment)?;
    holds::require_free(c, order.version_id)?;
    let price = order.price();
    if price.amount_minor > 0 {
        let lines = [(AccountRef::Wallet(order.buyer_id), price.negated()?), (AccountRef::Escrow, price)];
        ledger::post(c, TransactionKind::Payment, &id.to_string(), &lines, now)?;
    }
    advance(c, order, OrderState::Escrowed, caller.user_id, "paid into escrow", now)
}
