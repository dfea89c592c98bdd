//! Renewal: an order for the same version, on the same terms and for the same use, which lengthens the term of a licence from
//! its end.
//!
//! It is an order like any other: offered on the board at the terms' present price, with a contract of its own, paid into
//! escrow and settled. It renews the licence of an order that is settled: before, that order might still be refunded.

use super::contract::contract_document;
use super::place::{buyer, draft};
use super::{NewOrder, Order, OrderState, queries, states, visible_order, wrong_state};
use crate::config::Config;
use crate::db::{self, Conn};
use crate::error::Result;
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::types::{Instant, OrderId};

/// The most renewals of one licence that are looked at.
const MOST_RENEWALS: i64 = 1000;

/// The buyer orders what it ordered before, to lengthen its licence.
pub fn renew(c: &mut Conn, caller: &Caller, config: &Config, id: OrderId, now: Instant) -> Result<Order> {
    let first = visible_order(c, caller, id)?;
    caller.may_for(first.buyer_id, "the buyer", Role::TRADERS)?;
    if !matches!(first.state, OrderState::Settled | OrderState::Certificated) {
        return Err(wrong_state(&first, "settled").remedy("accept what was delivered first"));
    }
    let wanted = NewOrder {
        listing_id: first.listing_id,
        organisation: identity::organisation(c, first.buyer_id)?.handle,
        r#use: first.permitted_use,
        selection: first.selection().cloned(),
        purpose: first.purpose,
        offer_id: None,
        price: None,
    };
    let buyer = buyer(c, caller, &wanted)?;
    let (order, grounds) = draft(c, &buyer, config, &wanted, (OrderId::new(now), now), now)?;
    let mut order = Order { renews: Some(id), ..order };
    order.contract_document = contract_document(c, &order, &buyer, grounds)?;
    db::append(c, order.clone())?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "the renewal was ordered", now)?;
    Ok(order)
}

/// The renewals of an order's licence that were ever paid, oldest first. Callers authorise.
pub fn paid_renewals(c: &mut Conn, id: OrderId) -> Result<Vec<Order>> {
    Ok(queries::list_renewals(c, id, &states(OrderState::is_paid), MOST_RENEWALS)?)
}

impl Order {
    /// The order that its licence was bought with: itself, or the one whose licence it renews.
    pub fn licensed_by(&self) -> OrderId {
        self.renews.unwrap_or(self.id)
    }
}
