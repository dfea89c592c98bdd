//! Renewals: a licence that ends is lengthened before its end, and its holder is told in time.
//!
//! A renewal is an order ([`market::orders::renew`]). When it is paid, the term grows by that of the terms, from the end that
//! it has then; when its price goes back, it shrinks by as much. So there is neither a gap nor an overlap, whatever is paid and
//! refunded in which order.
//!
//! Invariant: a licence whose term is over is not renewed.
//! Invariant: of each end of a licence, its holder is told once.

use std::fmt::Display;
use std::time::Duration;

use serde_json::json;

use super::standing::announce;
use super::{Entitlement, EntitlementState, queries, term_of};
use crate::app::App;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{Caller, Role};
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::market::{self, Order};
use crate::types::{DAY, EntitlementId, Instant};

/// The licensee orders the renewal of a licence, at the terms' present price.
pub fn renew(c: &mut Conn, caller: &Caller, config: &Config, id: EntitlementId, now: Instant) -> Result<Order> {
    let entitlement = super::entitlement(c, caller, id)?;
    caller.may_for(entitlement.organisation_id, "the licensee", Role::TRADERS)?;
    end_of_renewable(&entitlement, now)?;
    market::orders::renew(c, caller, config, entitlement.order_id, now)
}

/// Lengthens the licence that a paid order renews.
pub(super) fn extend(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    order: Order,
    now: Instant,
) -> Result<(Order, Entitlement)> {
    let entitlement = queries::find_entitlement_of(c, order.licensed_by())?
        .ok_or_else(|| Error::internal(format!("order {} renews a licence that was never granted", order.id)))?;
    let end = end_of_renewable(&entitlement, now)?.plus(term(c, &order)?);
    let reason = format!("renewed by {}", order.id);
    let entitlement = move_end(c, keys, entitlement, (&order, end), ("renewed", &caller.user_id, &reason), now)?;
    Ok((market::mark_renewed(c, order, now)?, entitlement))
}

/// Shortens the licence again when the price of its renewal went back.
pub(super) fn take_back(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: Entitlement,
    order: &Order,
    actor: impl Display,
    now: Instant,
) -> Result<()> {
    use EntitlementState::{Active, Suspended};
    let (Active | Suspended, Some(end)) = (entitlement.state, entitlement.expires_at) else { return Ok(()) };
    let end = end.minus(term(c, order)?);
    let reason = format!("the renewal {} was refunded", order.id);
    move_end(c, keys, entitlement, (order, end), ("shortened", &actor, &reason), now)?;
    Ok(())
}

/// When a licence ends, if it can be renewed.
fn end_of_renewable(entitlement: &Entitlement, now: Instant) -> Result<Instant> {
    let refused = |why: String, remedy: &str| {
        let error = Error::new(Kind::WrongState, format!("entitlement {} {why}", entitlement.id));
        Err(error.remedy(remedy))
    };
    match (entitlement.state, entitlement.expires_at) {
        (_, None) => refused("has no end".to_string(), "nothing is to be done: it holds for ever"),
        (EntitlementState::Active, Some(end)) if end > now => Ok(end),
        (EntitlementState::Active, Some(end)) => refused(format!("ended at {end}"), "order what is on the board"),
        (EntitlementState::Suspended, _) => refused("is suspended".to_string(), "wait until it is reinstated"),
        (state, _) => refused(format!("is {state}"), "order what is on the board"),
    }
}

fn term(c: &mut Conn, order: &Order) -> Result<Duration> {
    term_of(c, order.terms_id)?.ok_or_else(|| Error::internal(format!("order {} renews for ever", order.id)))
}

/// Moves the end of a licence, if it is still where it was read, and states so in the log.
fn move_end(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: Entitlement,
    (order, end): (&Order, Instant),
    (step, actor, reason): (&str, &dyn Display, &str),
    now: Instant,
) -> Result<Entitlement> {
    let (id, state) = (entitlement.id, entitlement.state);
    if queries::set_end(c, &entitlement, end)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("the term of entitlement {id} changed meanwhile")));
    }
    history::record(c, id, Some(state.as_str()), step, actor, reason, now)?;
    let entitlement = Entitlement { expires_at: Some(end), ..entitlement };
    let contract = market::contract_of(c, order.id)?.sha256;
    let more = json!({ "contract_sha256": contract, "expires_at": end });
    announce(c, keys, &entitlement, state, reason, more, now)?;
    Ok(entitlement)
}

/// Tells the holders of licences that end soon, each once.
pub async fn announce_ends(app: &App) -> Result<()> {
    let notice = DAY * app.config.renewal_notice_days.unsigned_abs();
    let list = move |c: &mut Conn, after: &str, now: Instant| {
        Ok(queries::list_ending(c, now, now.plus(notice), after, sweep::PAGE)?)
    };
    sweep::each(&app.db, &app.clock, "a licence that ends soon", list, announce_end).await
}

/// Tells the holder of a licence when it ends, unless it was told.
fn announce_end(c: &mut Conn, id: EntitlementId, now: Instant) -> Result<()> {
    let entitlement = super::entitlement_of(c, id)?;
    let Some(end) = entitlement.expires_at else { return Ok(()) };
    if queries::set_announced(c, id, end)? == 1 {
        let reason = format!("it ends at {end}; renew it before");
        history::record(c, id, Some(entitlement.state.as_str()), "ending", "exchange", &reason, now)?;
    }
    Ok(())
}
