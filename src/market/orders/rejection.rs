//! Rejection and its cure: the buyer refuses what was delivered, and the provider delivers again or refunds.
//!
//! A full refund needs nobody's agreement. A refund of a part does: the buyer accepts it, which settles the rest, or
//! rejects it. Silence agrees to what the other side offered last: a provider that offers nothing in time has refunded
//! all, and a buyer that does not answer the offer of a part has accepted it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::acceptance::DeliveryEvidence;
use super::settlement::{give_back, settle};
use super::{
    Order, OrderState, advance, announce, days, order, require_in_time, require_state, visible_order, wrong_state,
};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{Caller, Role};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, Money, OrderId, text};

/// What happens when the provider has offered nothing in time.
const TOO_LATE: &str = "the exchange refunds the buyer";

/// How a provider offers to cure what was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CureOffer {
    /// What it will do.
    pub remedy: Remedy,
    /// In its words, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub note: String,
}

/// What a provider does about a rejection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Remedy {
    /// It will deliver again, before the order's deadline.
    Redelivery {},
    /// It gives money back: the whole price at once, or a part of it if the buyer agrees.
    Refund {
        /// How much; above zero and at most the price.
        amount: Money,
    },
}

/// The buyer refuses what was delivered, in time; the provider may offer a cure until the order's new deadline.
pub fn reject(
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
    if !matches!(order.state, OrderState::Delivering | OrderState::Delivered) {
        return Err(wrong_state(&order, "delivering or delivered"));
    }
    require_in_time(&order, now, "the exchange accepts it for the buyer")?;
    let (from, due) = (order.state, now.plus(days(order.cure_days)));
    let order = advance(c, order, OrderState::Rejected, Some(due), caller.user_id, &reason, now)?;
    announce(c, keys, order, from, &reason, now)
}

/// The provider offers a cure, in time. A refund of the whole price is made at once.
pub fn offer_cure(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    offer: &CureOffer,
    now: Instant,
) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.provider_id, "the provider", Role::TRADERS)?;
    let note = text::readable("note", &offer.note, text::MAX_REASON_CHARS)?;
    require_state(&order, OrderState::Rejected)?;
    require_in_time(&order, now, TOO_LATE)?;
    let (refund, due) = match &offer.remedy {
        Remedy::Redelivery {} => (None, order.due_at),
        Remedy::Refund { amount } => {
            check_refund(&order, *amount)?;
            if *amount == order.price() {
                return refund_all(c, keys, order, caller.user_id, &note, now);
            }
            (Some(amount.amount_minor), Some(now.plus(days(order.acceptance_days))))
        }
    };
    let order = Order { refund_minor: refund, ..order };
    let order = advance(c, order, OrderState::Curing, due, caller.user_id, &note, now)?;
    announce(c, keys, order, OrderState::Rejected, &note, now)
}

fn check_refund(order: &Order, amount: Money) -> Result<()> {
    let price = order.price();
    if amount.currency != price.currency {
        let detail = format!("{} was paid in {}, not in {}", order.id, price.currency, amount.currency);
        return Err(Error::invalid("remedy.amount.currency", detail).remedy(format!("offer {}", price.currency)));
    }
    if amount == price || (1..price.amount_minor).contains(&amount.amount_minor) {
        return Ok(());
    }
    let detail = format!("{amount} cannot be refunded of {price}");
    Err(Error::invalid("remedy.amount.amount_minor", detail).remedy(format!("offer above zero and at most {price}")))
}

/// The provider has delivered again: the buyer has a new window to accept or reject.
pub fn redeliver(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    note: &str,
    now: Instant,
) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.provider_id, "the provider", Role::TRADERS)?;
    let note = text::readable("note", note, text::MAX_REASON_CHARS)?;
    require_state(&order, OrderState::Curing)?;
    if order.refund_minor.is_some() {
        let detail = format!("the cure that was offered for order {id} is a refund");
        return Err(Error::new(Kind::WrongState, detail).remedy("wait for the buyer's answer"));
    }
    require_in_time(&order, now, TOO_LATE)?;
    let due = now.plus(days(order.acceptance_days));
    let order = advance(c, order, OrderState::Delivering, Some(due), caller.user_id, &note, now)?;
    announce(c, keys, order, OrderState::Curing, &note, now)
}

/// The buyer accepts the refund of a part, which settles the rest.
pub fn accept_cure(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = offered(c, caller, id, now)?;
    let order = advance(c, order, OrderState::Accepted, None, caller.user_id, "accepted against a refund", now)?;
    settle(c, keys, order, evidence, now)
}

/// The buyer does not agree to the refund of a part; the provider has a new window for another cure.
pub fn reject_cure(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    let order = offered(c, caller, id, now)?;
    let reason = text::reason(reason)?;
    let due = now.plus(days(order.cure_days));
    let order = Order { refund_minor: None, ..order };
    let order = advance(c, order, OrderState::Rejected, Some(due), caller.user_id, &reason, now)?;
    announce(c, keys, order, OrderState::Curing, &reason, now)
}

/// An order of which the provider offers to refund a part, for the buyer to answer in time.
fn offered(c: &mut Conn, caller: &Caller, id: OrderId, now: Instant) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", Role::TRADERS)?;
    require_state(&order, OrderState::Curing)?;
    if order.refund_minor.is_none() {
        let detail = format!("the cure that was offered for order {id} is to deliver again");
        return Err(Error::new(Kind::WrongState, detail).remedy("wait until it is delivered, then accept or reject it"));
    }
    require_in_time(&order, now, "the exchange accepts the refund for the buyer")?;
    Ok(order)
}

/// Gives the buyer the whole price back. The licence ends with it: the caller of this function ends that.
pub(in crate::market) fn refund_all(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    let (from, price) = (order.state, order.price());
    give_back(c, &order, price, now)?;
    let order = Order { refund_minor: Some(price.amount_minor), ..order };
    let order = advance(c, order, OrderState::Refunded, None, actor, reason, now)?;
    announce(c, keys, order, from, reason, now)
}

/// Gives the buyer its money back if it is in escrow and not in dispute; otherwise `None`: a dispute is for the exchange to decide,
/// and what is settled stays settled. Callers authorise, and end the licence.
pub fn refund_escrowed(
    c: &mut Conn,
    keys: &ExchangeKeys,
    id: OrderId,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Option<Order>> {
    use OrderState::{Curing, Delivered, Delivering, Escrowed, Rejected};
    let order = order(c, id)?;
    match order.state {
        Escrowed | Delivering | Delivered | Rejected | Curing => {
            refund_all(c, keys, order, actor, reason, now).map(Some)
        }
        _ => Ok(None),
    }
}
