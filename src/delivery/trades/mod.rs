//! Trades after payment: where an order's money and its licence meet.
//!
//! The market moves the money; here the licence follows it, in the same transaction, and the receipts bear witness.
//!
//! Invariant: a licence to use exists exactly when its trade is paid and not refunded.

mod evidence;
pub mod routes;

pub use evidence::evidence_of;

use std::fmt::Display;

use super::standing::{advance, refund};
use super::{EntitlementState, queries, renewals};
use crate::app::App;
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::market;
use crate::market::disputes::{self, Decision};
use crate::market::orders::{self, CureOffer};
use crate::market::{Order, OrderState};
use crate::types::{Instant, OrderId, merged};

/// The buyer accepts what was delivered; the settlement states what the receipts show.
pub fn accept(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, id: OrderId, now: Instant) -> Result<Order> {
    let order = orders::visible_order(c, caller, id)?;
    let evidence = evidence_of(c, &order)?;
    orders::accept(c, caller, keys, id, &evidence, now)
}

/// The buyer accepts the refund of a part.
pub fn accept_cure(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, id: OrderId, now: Instant) -> Result<Order> {
    let order = orders::visible_order(c, caller, id)?;
    let evidence = evidence_of(c, &order)?;
    orders::accept_cure(c, caller, keys, id, &evidence, now)
}

/// The provider offers a cure; with a refund of the whole price the licence ends.
pub fn offer_cure(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    offer: &CureOffer,
    now: Instant,
) -> Result<Order> {
    let order = orders::offer_cure(c, caller, keys, id, offer, now)?;
    follow(c, keys, order, caller.user_id, now)
}

/// An operator decides a dispute that was appealed; when it is for the buyer, the licence ends.
pub fn decide_appeal(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    decision: &Decision,
    now: Instant,
) -> Result<Order> {
    caller.require_operator()?;
    let order = orders::visible_order(c, caller, id)?;
    let evidence = evidence_of(c, &order)?;
    let order = disputes::decide_appeal(c, caller, keys, id, (decision, &evidence), now)?;
    follow(c, keys, order, caller.user_id, now)
}

/// Moves an order on if its deadline has passed, or that of its dispute, and its licence with it.
pub fn pass_deadline(c: &mut Conn, keys: &ExchangeKeys, id: OrderId, now: Instant) -> Result<Order> {
    let before = orders::order(c, id)?;
    if before.is_overdue(now) && before.state.is_with_buyer() && is_kept_waiting(c, &before)? {
        return orders::begin_again(c, before, now);
    }
    let evidence = evidence_of(c, &before)?;
    let order = match before.state {
        OrderState::Disputed | OrderState::Certificated => disputes::pass_deadline(c, keys, id, &evidence, now)?,
        _ => orders::pass_deadline(c, keys, id, &evidence, now)?,
    };
    // An order that was refunded before took its licence along then: the term of a renewal would be taken back twice.
    match order.state == before.state {
        true => Ok(order),
        false => follow(c, keys, order, "exchange", now),
    }
}

/// Whether the exchange keeps the buyer from the download for now: the licence is suspended, or the version held. What has
/// ended or was revoked is waited for no longer.
fn is_kept_waiting(c: &mut Conn, order: &Order) -> Result<bool> {
    let licence = queries::find_entitlement_of(c, order.licensed_by())?;
    match licence.map(|licence| licence.state) {
        Some(EntitlementState::Suspended) => Ok(true),
        Some(EntitlementState::Active) => match market::require_free(c, order.version_id) {
            Ok(()) => Ok(false),
            Err(error) if error.kind.status().is_client_error() => Ok(true),
            Err(error) => Err(error),
        },
        Some(EntitlementState::Expired | EntitlementState::Revoked) | None => Ok(false),
    }
}

/// Ends the licence of an order that was refunded, and gives back what of its renewals is in escrow; or shortens the one that
/// it renewed.
fn follow(c: &mut Conn, keys: &ExchangeKeys, order: Order, actor: impl Display, now: Instant) -> Result<Order> {
    if order.state != OrderState::Refunded {
        return Ok(order);
    }
    let Some(entitlement) = queries::find_entitlement_of(c, order.licensed_by())? else { return Ok(order) };
    if order.renews.is_some() {
        renewals::take_back(c, keys, entitlement, &order, actor, now)?;
    } else if entitlement.state.may_become(EntitlementState::Revoked) {
        let reason = "the order was refunded";
        let ended = advance(c, keys, entitlement, EntitlementState::Revoked, &actor, reason, now)?;
        refund(c, keys, &ended, actor, "the licence that it renews ended with its order", now)?;
    }
    Ok(order)
}

/// Orders past their deadline, or that of their dispute, which sort after `after`, in order.
fn list_due(c: &mut Conn, after: &str, now: Instant) -> Result<Vec<OrderId>> {
    let mut due = orders::list_due(c, now, after, sweep::PAGE)?;
    due.extend(disputes::list_due(c, now, after, sweep::PAGE)?);
    Ok(merged(due, sweep::PAGE, |id| *id))
}

/// Moves on every order whose deadline has passed, and tells the sides of those that count as accepted soon.
pub async fn pass_deadlines(app: &App) -> Result<()> {
    let keys = app.keys.clone();
    let pass = move |c: &mut Conn, id, now| pass_deadline(c, &keys, id, now).map(drop);
    sweep::each(&app.db, &app.clock, "an order past its deadline", list_due, pass).await?;
    let unannounced = |c: &mut Conn, after: &str, now| orders::list_unannounced(c, now, after, sweep::PAGE);
    sweep::each(&app.db, &app.clock, "an order to announce", unannounced, orders::announce_acceptance).await
}
