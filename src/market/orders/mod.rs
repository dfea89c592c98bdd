//! Orders: from a declared use to settlement.
//!
//! Each file is a step of an order's life: placing, contract, payment, delivery, acceptance.

mod acceptance;
mod contract;
mod delivery;
mod payment;
mod place;
mod queries;
pub mod routes;

pub use acceptance::accept;
pub use contract::{Contract, contract_of, order_of_contract, sign_contract};
pub use delivery::{mark_delivered, mark_delivering};
pub use payment::pay;
pub use place::{NewOrder, place};

use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{Caller, Role};
use crate::terms::Use;
use crate::text_enum;
use crate::types::{Currency, Instant, ListingId, Money, OrderId, OrganisationId, PageQuery, TermsId, VersionId, kind};

/// Who may buy for an organisation.
const BUYERS: &[Role] = &[Role::Trader];

text_enum! {
    /// Where an order is in its life.
    pub enum OrderState {
        /// The contract waits for the buyer's signature.
        AwaitingSignature = "awaiting_signature",
        /// Agreed; it waits for payment.
        AwaitingPayment = "awaiting_payment",
        /// Paid into escrow; nothing was delivered yet.
        Escrowed = "escrowed",
        /// Some shards were delivered.
        Delivering = "delivering",
        /// Every shard was delivered.
        Delivered = "delivered",
        /// The buyer accepted what was delivered.
        Accepted = "accepted",
        /// The provider was paid.
        Settled = "settled",
    }
}

impl OrderState {
    /// Whether an order in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Delivered, Delivering, Escrowed, Settled};
        matches!(
            (self, next),
            (AwaitingSignature, AwaitingPayment)
                | (AwaitingPayment, Escrowed)
                | (Escrowed, Delivering)
                | (Delivering, Delivered | Accepted)
                | (Delivered, Accepted)
                | (Accepted, Settled)
        )
    }
}

impl OrderState {
    /// Whether the price of an order in this state is in escrow.
    pub fn is_in_escrow(self) -> bool {
        use OrderState::{Accepted, Delivered, Delivering, Escrowed};
        matches!(self, Escrowed | Delivering | Delivered | Accepted)
    }
}

/// A purchase.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = crate::schema::orders, check_for_backend(crate::db::MultiBackend))]
pub struct Order {
    /// Its identifier.
    pub id: OrderId,
    /// What was ordered from the board.
    pub listing_id: ListingId,
    /// Who buys.
    pub buyer_id: OrganisationId,
    /// Who sells.
    pub provider_id: OrganisationId,
    /// What is bought.
    pub version_id: VersionId,
    /// On which terms.
    pub terms_id: TermsId,
    /// The kind of use.
    pub permitted_use: Use,
    /// The declared use, in the buyer's words.
    pub purpose: String,
    /// The price in minor units.
    pub price_minor: i64,
    /// The exchange's part of the price, in minor units.
    pub fee_minor: i64,
    /// The currency of both.
    pub currency: Currency,
    /// The exact bytes that both sides sign: canonical JSON.
    pub contract_document: String,
    /// Where it is in its life.
    pub state: OrderState,
    /// When it was made.
    pub created_at: Instant,
}

impl Order {
    /// What the buyer pays.
    pub fn price(&self) -> Money {
        Money::new(self.price_minor, self.currency)
    }
    /// The exchange's part of it.
    pub fn fee(&self) -> Money {
        Money::new(self.fee_minor, self.currency)
    }
}

/// An order. Callers authorise.
pub fn order(c: &mut Conn, id: OrderId) -> Result<Order> {
    queries::find_order(c, id)?.ok_or_else(|| Error::not_found(format!("order {id}")))
}

/// An order that the caller may see: a member of either side, or the platform's staff.
pub fn visible_order(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<Order> {
    let order = order(c, id)?;
    let party = caller.member_of(order.buyer_id).is_some() || caller.member_of(order.provider_id).is_some();
    if party || caller.is_operator() || caller.is_compliance() {
        Ok(order)
    } else {
        Err(Error::not_found(format!("order {id}")))
    }
}

/// The orders of the caller's organisations, on either side, oldest first.
pub fn orders(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Order>> {
    let own: Vec<OrganisationId> = caller.memberships.iter().map(|m| m.organisation_id).collect();
    Ok(queries::list_orders(c, &own, page.after_id::<kind::Order>()?, page.limit()?.saturating_add(1))?)
}

/// The prices of the orders that are paid, and neither settled nor refunded, by currency: what must be in escrow.
pub fn in_escrow(c: &mut Conn) -> Result<Vec<(Currency, i64)>> {
    let states: Vec<_> = OrderState::ALL.iter().copied().filter(|state| state.is_in_escrow()).collect();
    Ok(queries::sum_prices(c, &states)?)
}

fn require_state(order: &Order, state: OrderState) -> Result<()> {
    if order.state == state { Ok(()) } else { Err(wrong_state(order, state.as_str())) }
}

fn wrong_state(order: &Order, needed: &str) -> Error {
    Error::new(
        Kind::WrongState,
        format!("order {} is {}, and this can be done when it is {needed}", order.id, order.state),
    )
}

/// Moves an order to its next state, if it is still where it was read.
fn advance(
    c: &mut Conn,
    order: Order,
    to: OrderState,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    if !order.state.may_become(to) || queries::set_order_state(c, order.id, order.state, to)? != 1 {
        return Err(wrong_state(&order, &format!("one step before {to}")));
    }
    history::record(c, order.id, Some(order.state.as_str()), to.as_str(), actor, reason, now)?;
    Ok(Order { state: to, ..order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_an_orders_life_exist() {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Delivered, Delivering, Escrowed, Settled};
        let edges = [
            (AwaitingSignature, AwaitingPayment),
            (AwaitingPayment, Escrowed),
            (Escrowed, Delivering),
            (Delivering, Delivered),
            (Delivering, Accepted),
            (Delivered, Accepted),
            (Accepted, Settled),
        ];
        for from in OrderState::ALL {
            for to in OrderState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }
}
