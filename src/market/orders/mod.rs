//! Orders: from a declared use to settlement.
//!
//! Each file is a step of an order's life: placing, contract, payment or cancellation, delivery, acceptance or rejection
//! and its cure; and what happens when a deadline passes. A purchase at a quote takes the first three in one.
//!
//! A state that must not last has a deadline, `due_at`, which is stored when the state begins. Until then it is for one
//! side to act; from then on that side is refused, and the exchange moves the order on by itself. Whoever comes first
//! wins by compare and swap, so it does not matter how far clocks differ. In the end, what was paid and not completely downloaded
//! counts as accepted, too; both sides are told of it some days before. While the exchange itself keeps the buyer from the
//! download, the time for it does not end, and it begins anew afterwards.
//!
//! Invariant: what a buyer paid leaves escrow once: all of it to the buyer; or what both sides agreed, or the exchange decided, to
//! refund to the buyer, and the rest to the provider, those with a share or a royalty, and the exchange.
//! A [dispute](super::disputes) after that takes back no more than was settled.

mod acceptance;
mod cancellation;
mod certificate;
mod conclusion;
mod contract;
mod deadlines;
mod delivery;
mod disputed;
mod extent;
mod payment;
mod place;
mod purchase;
mod queries;
pub mod quotes;
mod rejection;
mod renewal;
pub mod routes;
mod royalties;
mod settlement;

pub use acceptance::{DeliveryEvidence, accept};
pub use cancellation::cancel;
pub use certificate::{certificate_number, trade_certificate};
pub(super) use conclusion::{conclude, negotiated_contract};
pub(super) use contract::load_contracts;
pub use contract::{Contract, contract_of, rendering, sign_contract};
pub use deadlines::{announce_acceptance, begin_again, begin_page_again, list_due, list_unannounced, pass_deadline};
pub use delivery::{mark_delivered, mark_delivering, mark_renewed};
pub(super) use disputed::{dispute, note_recovery, require_disputable, settle_dispute};
pub use payment::pay;
pub(super) use place::{Deal, Grounds};
pub use place::{NewOrder, check_purpose, open_listing, place};
pub use purchase::{Purchase, SignedQuote, purchase};
pub(super) use rejection::refund_all;
pub use rejection::{CureOffer, Remedy, accept_cure, offer_cure, redeliver, refund_escrowed, reject, reject_cure};
pub use renewal::{paid_renewals, renew};
pub use royalties::Royalty;
pub(super) use royalties::require_derivable;
pub(super) use settlement::payees;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalog::Selection;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::terms::Use;
use crate::text_enum;
use crate::types::{
    Currency, DAY, Instant, Json, ListingId, Money, OrderId, OrganisationId, PageQuery, TermsId, VersionId, kind,
};

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
        /// The exchange has certified the trade.
        Certificated = "certificated",
        /// The buyer took it back before paying.
        Cancelled = "cancelled",
        /// It was not paid in time.
        Expired = "expired",
        /// The buyer refused what was delivered; the provider may offer a cure.
        Rejected = "rejected",
        /// The provider offered to deliver again, or to refund a part.
        Curing = "curing",
        /// The exchange decides what becomes of the money.
        Disputed = "disputed",
        /// The buyer has its money back, and no licence.
        Refunded = "refunded",
    }
}

impl OrderState {
    /// Whether an order in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Cancelled, Certificated, Curing};
        use OrderState::{Delivered, Delivering, Disputed, Escrowed, Expired, Refunded, Rejected, Settled};
        matches!(
            (self, next),
            (AwaitingSignature, AwaitingPayment | Cancelled | Expired)
                | (AwaitingPayment, Escrowed | Cancelled | Expired)
                | (Escrowed, Delivering | Accepted | Disputed | Refunded)
                | (Delivering, Delivered | Accepted | Rejected | Disputed | Refunded)
                | (Delivered, Accepted | Rejected | Disputed | Refunded)
                | (Rejected, Curing | Refunded | Disputed)
                | (Curing, Delivering | Rejected | Accepted | Refunded | Disputed)
                | (Disputed, Accepted | Refunded)
                | (Accepted, Settled)
                | (Settled, Certificated)
                | (Certificated, Refunded)
        )
    }
}

impl OrderState {
    /// Whether an order in this state was paid, whatever became of it then.
    pub fn is_paid(self) -> bool {
        use OrderState::{AwaitingPayment, AwaitingSignature, Cancelled, Expired};
        !matches!(self, AwaitingSignature | AwaitingPayment | Cancelled | Expired)
    }
    /// Whether it is for the buyer to download, and to accept or reject what it has.
    pub fn is_with_buyer(self) -> bool {
        matches!(self, Self::Escrowed | Self::Delivering | Self::Delivered)
    }
    /// Whether the price of an order in this state is in escrow.
    pub fn is_in_escrow(self) -> bool {
        use OrderState::{Accepted, Curing, Delivered, Delivering, Disputed, Escrowed, Rejected};
        matches!(self, Escrowed | Delivering | Delivered | Accepted | Rejected | Curing | Disputed)
    }
}

/// A purchase.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, diesel::Queryable, diesel::Selectable, diesel::Insertable,
)]
#[diesel(treat_none_as_default_value = false)]
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
    /// Which of the version's shards; all of them when absent.
    pub selection: Option<Json<Selection>>,
    /// How many shards that is.
    pub shard_count: i64,
    /// The kind of use.
    pub permitted_use: Use,
    /// The declared use, in the buyer's words.
    pub purpose: String,
    /// The price in minor units.
    pub price_minor: i64,
    /// The exchange's part of the price, in minor units.
    pub fee_minor: i64,
    /// The tax in the fee, in minor units.
    pub tax_minor: i64,
    /// The currency of all three.
    pub currency: Currency,
    /// The royalties that its sale owes to the providers of the version's ancestors, nearest first; as they were when the contract
    /// was made out.
    #[serde(default)] // a quote by a program that knew of none names none
    pub royalties: Json<Vec<Royalty>>,
    /// The exact bytes that both sides sign: canonical JSON.
    #[serde(skip)]
    pub contract_document: String,
    /// Where it is in its life.
    pub state: OrderState,
    /// How many days the buyer has to download, once it has paid; as it was when the order was placed.
    pub download_days: i32,
    /// How many days the buyer has to accept or reject, once all was delivered; as it was when the order was placed.
    pub acceptance_days: i32,
    /// How many days the provider has to cure what was rejected; as it was when the order was placed.
    pub cure_days: i32,
    /// How many days after the settlement either side may open a dispute; as it was when the order was placed.
    pub dispute_days: i32,
    /// Until when either side may; absent until it is settled.
    pub dispute_until: Option<Instant>,
    /// Until when it may stay in its state; then the exchange moves it on. Absent where it may stay.
    pub due_at: Option<Instant>,
    /// What the provider offers to refund while it cures, and has refunded at the end, in minor units.
    pub refund_minor: Option<i64>,
    /// The order whose licence it renews, if it renews one.
    pub renews: Option<OrderId>,
    /// When it was made.
    pub created_at: Instant,
}

impl Order {
    /// Which of the version's shards; all of them when absent.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref().map(|selection| &selection.0)
    }
    /// Whether the deadline of its state has passed.
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }
    /// What the buyer pays.
    pub fn price(&self) -> Money {
        Money::new(self.price_minor, self.currency)
    }
    /// The exchange's part of it.
    pub fn fee(&self) -> Money {
        Money::new(self.fee_minor, self.currency)
    }
    /// The tax in the fee.
    pub fn tax(&self) -> Money {
        Money::new(self.tax_minor, self.currency)
    }
    /// What the provider offers to refund while it cures, and has refunded at the end.
    pub fn refund(&self) -> Option<Money> {
        self.refund_minor.map(|minor| Money::new(minor, self.currency))
    }
}

/// An order. Callers authorise.
pub fn order(c: &mut Conn, id: OrderId) -> Result<Order> {
    queries::find_order(c, id)?.ok_or_else(|| Error::not_found(format!("order {id}")))
}

/// The buyer and the provider of an order. Callers authorise.
pub fn parties(c: &mut Conn, id: OrderId) -> Result<[OrganisationId; 2]> {
    parties_of(c, &[id])?.remove(&id).ok_or_else(|| Error::not_found(format!("order {id}")))
}

/// The buyer and the provider of each of these orders, as far as they exist. Callers authorise.
pub fn parties_of(c: &mut Conn, ids: &[OrderId]) -> Result<HashMap<OrderId, [OrganisationId; 2]>> {
    let rows = queries::list_parties(c, ids)?.into_iter();
    Ok(rows.map(|(id, buyer, provider)| (id, [buyer, provider])).collect())
}

/// The listing at which an order was placed, with its buyer and its provider.
#[derive(Debug, Clone, Copy, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = crate::schema::orders, check_for_backend(crate::db::MultiBackend))]
pub struct Trade {
    /// The listing.
    pub listing_id: ListingId,
    /// Who buys.
    pub buyer_id: OrganisationId,
    /// Who sells.
    pub provider_id: OrganisationId,
}

/// What an order trades. Callers authorise.
pub fn trade(c: &mut Conn, id: OrderId) -> Result<Trade> {
    queries::find_trade(c, id)?.ok_or_else(|| Error::not_found(format!("order {id}")))
}

/// An order that the caller may see: a member of either side, or the platform's staff.
pub fn visible_order(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<Order> {
    let order = order(c, id)?;
    if caller.sees_trade(order.buyer_id, order.provider_id) {
        Ok(order)
    } else {
        Err(Error::withheld(format!("order {id}")))
    }
}

/// The orders of the caller's organisations, on either side, oldest first.
pub fn orders(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Order>> {
    let own = caller.organisations();
    Ok(queries::list_orders(c, &own, page.after_id::<kind::Order>()?, page.limit()?.saturating_add(1))?)
}

/// The sums of the prices of the orders that are paid, and neither settled nor refunded, by currency: what must be in escrow.
pub fn in_escrow(c: &mut Conn) -> Result<Vec<(Currency, i64)>> {
    Ok(queries::sum_prices(c, &states(OrderState::is_in_escrow))?)
}

/// The states for which a predicate holds.
fn states(is_true: fn(OrderState) -> bool) -> Vec<OrderState> {
    OrderState::ALL.iter().copied().filter(|state| is_true(*state)).collect()
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

/// Refuses what comes after the deadline of the order's state.
fn require_in_time(order: &Order, now: Instant, remedy: &str) -> Result<()> {
    match order.due_at.filter(|_| order.is_overdue(now)) {
        None => Ok(()),
        Some(due) => {
            let detail = format!("order {} is {}, and that ended at {due}", order.id, order.state);
            Err(Error::new(Kind::WrongState, detail).remedy(remedy))
        }
    }
}

pub(super) fn days(number: i32) -> Duration {
    DAY * number.unsigned_abs()
}

/// Moves an order to its next state, if it is still where it was read; `due_at` is the deadline of that state.
fn advance(
    c: &mut Conn,
    order: Order,
    to: OrderState,
    due_at: Option<Instant>,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    let from = order.state;
    let moved = Order { state: to, due_at, ..order };
    if !from.may_become(to) || queries::set_order_state(c, &moved, from)? != 1 {
        return Err(wrong_state(&Order { state: from, ..moved }, &format!("one step before {to}")));
    }
    history::record(c, moved.id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    Ok(moved)
}

/// States in the log that an order moved to its present state, if its contract was signed: without that there is no agreement of
/// which anything could be said.
fn announce(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    from: OrderState,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    if let Some(contract) = queries::find_contract_of(c, order.id)? {
        let subjects = vec![ResourceDescriptor::new("contract", contract.sha256)];
        let predicate = json!({
            "order": order.id, "contract_sha256": contract.sha256, "from_state": from, "state": order.state,
            "reason": reason, "due_at": order.due_at, "refund": order.refund(), "changed_at": now,
        });
        provenance::declare(c, keys, StatementKind::OrderChange, order.id, subjects, &predicate, now)?;
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_an_orders_life_exist() {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Cancelled, Certificated, Curing};
        use OrderState::{Delivered, Delivering, Disputed, Escrowed, Expired, Refunded, Rejected, Settled};
        let edges = [
            (AwaitingSignature, AwaitingPayment),
            (AwaitingSignature, Cancelled),
            (AwaitingSignature, Expired),
            (AwaitingPayment, Escrowed),
            (AwaitingPayment, Cancelled),
            (AwaitingPayment, Expired),
            (Escrowed, Delivering),
            (Escrowed, Accepted),
            (Escrowed, Disputed),
            (Escrowed, Refunded),
            (Delivering, Refunded),
            (Delivered, Refunded),
            (Delivering, Disputed),
            (Delivered, Disputed),
            (Rejected, Disputed),
            (Curing, Disputed),
            (Disputed, Accepted),
            (Disputed, Refunded),
            (Delivering, Delivered),
            (Delivering, Accepted),
            (Delivering, Rejected),
            (Delivered, Accepted),
            (Delivered, Rejected),
            (Rejected, Curing),
            (Rejected, Refunded),
            (Curing, Delivering),
            (Curing, Rejected),
            (Curing, Accepted),
            (Curing, Refunded),
            (Accepted, Settled),
            (Settled, Certificated),
            (Certificated, Refunded),
        ];
        for from in OrderState::ALL {
            for to in OrderState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }
}
