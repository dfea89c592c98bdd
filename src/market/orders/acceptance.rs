//! Acceptance: the buyer agrees to what was delivered, and the provider is paid.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::settlement::settle;
use super::{Order, OrderState, advance, require_in_time, visible_order, wrong_state};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::{Caller, Role};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, OrderId, ReceiptId};

/// What the receipts under an order's licence show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryEvidence {
    /// How many different shards links were given to.
    pub shards_delivered: i64,
    /// How many shards there are.
    pub shards: i64,
    /// The last receipt; null while there is none.
    pub last_receipt: Option<ReceiptId>,
    /// When it was recorded.
    pub last_receipt_at: Option<Instant>,
}

/// The buyer accepts what was delivered, in time; the provider is paid in the same transaction.
pub fn accept(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", Role::TRADERS)?;
    if !matches!(order.state, OrderState::Delivering | OrderState::Delivered) {
        return Err(wrong_state(&order, "delivering or delivered"));
    }
    require_in_time(&order, now, "nothing is to be done: the exchange accepts it for the buyer")?;
    let order = advance(c, order, OrderState::Accepted, None, caller.user_id, "accepted by the buyer", now)?;
    settle(c, keys, order, evidence, now)
}
