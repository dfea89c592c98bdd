//! What a dispute does to an order: nothing is paid out until the dispute is final. A dispute over a settled order leaves
//! the order as it is until then.

use super::acceptance::DeliveryEvidence;
use super::settlement::settle;
use super::{Order, OrderState, advance, announce, queries, require_in_time, wrong_state};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, Money};

/// Freezes the payout of an order, within the window of the state that it is in. Callers authorise.
pub(in crate::market) fn dispute(
    c: &mut Conn,
    order: Order,
    actor: impl std::fmt::Display,
    now: Instant,
) -> Result<Order> {
    if !order.state.may_become(OrderState::Disputed) {
        return Err(wrong_state(&order, "paid, and neither settled nor refunded"));
    }
    require_in_time(&order, now, "the exchange moves it on, and no dispute can be opened any more")?;
    let order = Order { refund_minor: None, ..order };
    advance(c, order, OrderState::Disputed, None, actor, "a dispute was opened", now)
}

/// Settles an order whose dispute was not decided for the buyer. Callers authorise.
pub(in crate::market) fn settle_dispute(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    actor: impl std::fmt::Display,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = advance(c, order, OrderState::Accepted, None, actor, "the dispute was decided", now)?;
    settle(c, keys, order, evidence, now)
}

/// Refuses a dispute over a settled order after the window for it. Callers authorise.
pub(in crate::market) fn require_disputable(order: &Order, now: Instant) -> Result<()> {
    match order.dispute_until {
        Some(until) if until > now => Ok(()),
        Some(until) => {
            let detail = format!("order {} is settled, and the time to dispute that ended at {until}", order.id);
            Err(Error::new(Kind::WrongState, detail).remedy("nothing is to be done here: the trade is closed"))
        }
        None => Err(wrong_state(order, "settled")),
    }
}

/// Writes down what a dispute over a settled order took back for the buyer. Decided for the buyer, it undoes the trade, and the
/// licence ends with it: the caller of this function ends that.
pub(in crate::market) fn note_recovery(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    (recovered, is_undone): (Money, bool),
    (actor, reason): (&str, &str),
    now: Instant,
) -> Result<Order> {
    let refund = order.refund().unwrap_or(Money::zero(order.currency)).plus(recovered)?;
    let from = order.state;
    if is_undone {
        let order = Order { refund_minor: Some(refund.amount_minor), ..order };
        let order = advance(c, order, OrderState::Refunded, None, actor, reason, now)?;
        return announce(c, keys, order, from, reason, now);
    }
    if recovered.amount_minor == 0 {
        return Ok(order);
    }
    let order = Order { refund_minor: Some(refund.amount_minor), ..order };
    if queries::set_refund(c, &order)? != 1 {
        return Err(wrong_state(&order, from.as_str()));
    }
    Ok(order)
}
