//! Paying an order: from the buyer's wallet, and a voucher's pool, into escrow.

use super::{Order, OrderState, advance, days, require_in_time, require_state, visible_order};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::{Caller, Role};
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::market::{holds, vouchers};
use crate::types::{Instant, Money, OrderId, ProgrammeId};

/// The buyer pays from its wallet into escrow, and a voucher of `programme` its part of the price. A free licence moves
/// no money.
pub fn pay(c: &mut Conn, caller: &Caller, id: OrderId, programme: Option<ProgrammeId>, now: Instant) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", Role::TRADERS)?;
    require_state(&order, OrderState::AwaitingPayment)?;
    require_in_time(&order, now, "place another order")?;
    into_escrow(c, &order, programme, now)?;
    let due = download_due(&order, now);
    advance(c, order, OrderState::Escrowed, Some(due), caller.user_id, "paid into escrow", now)
}

/// Until when an order that is paid now must be downloaded.
pub(super) fn download_due(order: &Order, now: Instant) -> Instant {
    now.plus(days(order.download_days))
}

/// Moves the price of an order that may be paid now into escrow. Callers authorise.
pub(super) fn into_escrow(c: &mut Conn, order: &Order, programme: Option<ProgrammeId>, now: Instant) -> Result<()> {
    holds::require_free(c, order.version_id)?;
    let price = order.price();
    if price.amount_minor > 0 {
        let mut lines = vec![(AccountRef::Escrow, price)];
        let mut subsidy = Money::zero(price.currency);
        if let Some(programme) = programme {
            let voucher = vouchers::apply(c, order, programme, now)?;
            lines.push((voucher.pool, voucher.amount.negated()?));
            subsidy = voucher.amount;
        }
        lines.push((AccountRef::Wallet(order.buyer_id), subsidy.minus(price)?));
        ledger::post(c, TransactionKind::Payment, &order.id.to_string(), &lines, now)?;
    } else if programme.is_some() {
        return Err(Error::invalid("voucher", "the licence costs nothing").remedy("pay without a voucher"));
    }
    Ok(())
}
