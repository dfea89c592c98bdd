//! What a dispute does to an order: nothing is paid out until it is final.

use super::acceptance::DeliveryEvidence;
use super::settlement::settle;
use super::{Order, OrderState, advance, require_in_time, wrong_state};
use crate::db::Conn;
use crate::error::Result;
use crate::keys::ExchangeKeys;
use crate::types::Instant;

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
