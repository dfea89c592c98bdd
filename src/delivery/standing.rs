//! Whether a licence may be used: staff suspend, reinstate and revoke it for a reason, and it ends with its term.
//!
//! Every change is stated in the log, and no link leaves after it, whichever instance is asked: nothing remembers a
//! licence, and [`super::plan`] and the receipt desk look at its state in the transaction that records the receipt. A link that
//! left before is good for its five minutes.
//!
//! Invariant: an expired or revoked entitlement never becomes active again.

use std::fmt::Display;

use serde_json::{Value, json};

use super::{Entitlement, EntitlementState, queries, subscriptions};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::Caller;
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::market::{self, Order};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::types::{EntitlementId, Instant, text};

impl EntitlementState {
    /// Whether an entitlement in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use EntitlementState::{Active, Expired, Revoked, Suspended};
        matches!((self, next), (Active, Suspended | Expired | Revoked) | (Suspended, Active | Expired | Revoked))
    }
}

/// An operator or compliance officer suspends, reinstates or revokes a licence; what for becomes part of the
/// statement, which the licensee's passport carries. With a reinstatement the licensee's time to download, and to accept or
/// reject, begins anew.
pub fn change_standing(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: EntitlementId,
    to: EntitlementState,
    reason: &str,
    now: Instant,
) -> Result<Entitlement> {
    caller.require_staff()?;
    let reason = text::reason(reason)?;
    let entitlement = super::entitlement(c, caller, id)?;
    if to == EntitlementState::Active && entitlement.expires_at.is_some_and(|end| end <= now) {
        return Err(cannot_become(&entitlement, to).remedy("its term ended: the licensee buys another"));
    }
    if to == EntitlementState::Active && !subscriptions::is_one(c, &entitlement)? {
        market::require_free(c, entitlement.version_id)?;
    }
    let entitlement = advance(c, keys, entitlement, to, caller.user_id, &reason, now)?;
    if to == EntitlementState::Active {
        for order in paid_with(c, &entitlement)? {
            market::orders::begin_again(c, order, now)?;
        }
    }
    Ok(entitlement)
}

/// An operator or compliance officer revokes a licence; with `refunds`, the buyer gets back what is still in escrow of the
/// price.
///
/// # Errors
/// As [`change_standing`]; `WrongState` when nothing that is to be refunded is in escrow.
pub fn revoke(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: EntitlementId,
    (reason, refunds): (&str, bool),
    now: Instant,
) -> Result<Entitlement> {
    let entitlement = change_standing(c, caller, keys, id, EntitlementState::Revoked, reason, now)?;
    if refunds && refund(c, keys, &entitlement, caller.user_id, &text::reason(reason)?, now)? == 0 {
        let detail = format!("nothing that was paid for entitlement {id} is in escrow");
        return Err(Error::new(Kind::WrongState, detail)
            .field("refund")
            .remedy("revoke it without a refund; over what was settled its sides may open a dispute"));
    }
    Ok(entitlement)
}

/// Gives back what was paid for a licence and its renewals, as far as it is in escrow; of how many orders. Callers
/// authorise, and end the licence.
pub(super) fn refund(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: &Entitlement,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<usize> {
    let mut refunded: usize = 0;
    for order in paid_with(c, entitlement)? {
        let order = market::orders::refund_escrowed(c, keys, order.id, &actor, reason, now)?;
        refunded = refunded.saturating_add(usize::from(order.is_some()));
    }
    Ok(refunded)
}

/// What a licence was paid with: its renewals, oldest first, and then the order that it was bought with.
fn paid_with(c: &mut Conn, entitlement: &Entitlement) -> Result<Vec<Order>> {
    let mut orders = market::orders::paid_renewals(c, entitlement.order_id)?;
    orders.push(market::order(c, entitlement.order_id)?);
    Ok(orders)
}

/// Moves on the licences whose term ended. Links are refused from the end of the term on; the state and its statement
/// follow when this is called.
pub async fn expire_ended(app: &App) -> Result<()> {
    let keys = app.keys.clone();
    let list = |c: &mut Conn, after: &str, now| Ok(queries::list_ended(c, now, after, sweep::PAGE)?);
    let expire = move |c: &mut Conn, id, now| expire(c, &keys, id, now);
    sweep::each(&app.db, &app.clock, "a licence past its term", list, expire).await
}

fn expire(c: &mut Conn, keys: &ExchangeKeys, id: EntitlementId, now: Instant) -> Result<()> {
    let ended = super::entitlement_of(c, id)?;
    if ended.expires_at.is_some_and(|end| end <= now) && ended.state.may_become(EntitlementState::Expired) {
        advance(c, keys, ended, EntitlementState::Expired, "exchange", "its term ended", now)?;
    }
    Ok(())
}

/// Moves an entitlement on, if it is still where it was read, and states so in the log.
pub(super) fn advance(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: Entitlement,
    to: EntitlementState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<Entitlement> {
    let (id, from) = (entitlement.id, entitlement.state);
    if !from.may_become(to) || queries::set_entitlement_state(c, id, from, to)? != 1 {
        return Err(cannot_become(&entitlement, to));
    }
    history::record(c, id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    let entitlement = Entitlement { state: to, ..entitlement };
    announce(c, keys, &entitlement, from, reason, json!({}), now)?;
    Ok(entitlement)
}

/// States a change of an entitlement in the log; `more` are further members of the statement.
pub(super) fn announce(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: &Entitlement,
    from: EntitlementState,
    reason: &str,
    more: Value,
    now: Instant,
) -> Result<()> {
    let granted = provenance::statement(c, entitlement.statement_id)?.envelope.pae_sha256();
    let mut predicate = json!({
        "entitlement": entitlement.id, "entitlement_sha256": granted, "from_state": from, "state": entitlement.state,
        "reason": reason, "changed_at": now,
    });
    if let (Some(members), Value::Object(more)) = (predicate.as_object_mut(), more) {
        members.extend(more);
    }
    let subjects = vec![ResourceDescriptor::new("entitlement", granted)];
    provenance::declare(c, keys, StatementKind::EntitlementChange, entitlement.id, subjects, &predicate, now)?;
    Ok(())
}

fn cannot_become(entitlement: &Entitlement, to: EntitlementState) -> Error {
    let Entitlement { id, state, .. } = entitlement;
    Error::new(Kind::WrongState, format!("entitlement {id} is {state} and cannot become {to}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_an_entitlements_life_exist() {
        use EntitlementState::{Active, Expired, Revoked, Suspended};
        let edges = [
            (Active, Suspended),
            (Active, Expired),
            (Active, Revoked),
            (Suspended, Active),
            (Suspended, Expired),
            (Suspended, Revoked),
        ];
        for from in EntitlementState::ALL {
            for to in EntitlementState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }
}
