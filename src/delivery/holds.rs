//! What a claim about a version does to everybody's licences to it. Each change is an own step and statement.
//!
//! A licence of one version stands and falls with it. A subscription covers several, and a claim about one leaves the others.
//!
//! Invariant: of the suspended licences, lifting a hold touches those alone that a hold suspended.

use std::collections::HashSet;

use super::standing::{advance, refund};
use super::{Entitlement, EntitlementState, queries, subscriptions};
use crate::db::Conn;
use crate::error::Result;
use crate::keys::ExchangeKeys;
use crate::types::{Instant, TakedownId, VersionId};
use crate::{history, market};

/// Why what was paid for a recalled version goes back.
const RECALLED: &str = "the version was recalled";
/// Entitlements read at a time.
const PAGE: i64 = 1000;

/// Holds a version because of `cause`: nobody trades it, and nobody downloads it. Callers authorise.
pub fn hold(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    market::hold(c, keys, version, cause, now)?;
    for entitlement in entitlements_to(c, version)? {
        if entitlement.state == EntitlementState::Active {
            let reason = "a claim about the version is examined";
            advance(c, keys, entitlement, EntitlementState::Suspended, cause, reason, now)?;
        }
    }
    note_holds(c, keys, version, (true, cause), now)
}

/// Ends the hold of `cause`: unless something else holds the version, what holds suspended is as it was before.
/// Callers authorise.
pub fn lift(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    if !market::lift(c, keys, version, cause, now)? {
        return Ok(());
    }
    for entitlement in entitlements_to(c, version)? {
        let ended = entitlement.expires_at.is_some_and(|end| end <= now);
        if entitlement.state == EntitlementState::Suspended && !ended && suspended_by_a_hold(c, &entitlement)? {
            let reason = "no claim about the version stands";
            advance(c, keys, entitlement, EntitlementState::Active, cause, reason, now)?;
        }
    }
    note_holds(c, keys, version, (false, cause), now)
}

/// Tells the subscriptions that cover a version whether it is held.
fn note_holds(
    c: &mut Conn,
    keys: &ExchangeKeys,
    version: VersionId,
    (is_held, cause): (bool, TakedownId),
    now: Instant,
) -> Result<()> {
    for subscription in subscriptions_to(c, version)? {
        if subscription.state.may_become(EntitlementState::Revoked) {
            subscriptions::note_hold(c, keys, &subscription, version, (is_held, cause), now)?;
        }
    }
    Ok(())
}

/// Revokes every licence to a version, withdraws it from every subscription, and gives them all: those that had ended before
/// too, for their holders may still have the bytes. What was paid for them goes back where it is still in escrow. Callers
/// authorise.
pub fn recall(
    c: &mut Conn,
    keys: &ExchangeKeys,
    version: VersionId,
    cause: TakedownId,
    reason: &str,
    now: Instant,
) -> Result<Vec<Entitlement>> {
    let mut recalled = entitlements_to(c, version)?;
    for entitlement in &recalled {
        if entitlement.state.may_become(EntitlementState::Revoked) {
            advance(c, keys, entitlement.clone(), EntitlementState::Revoked, cause, reason, now)?;
        }
        refund(c, keys, entitlement, cause, RECALLED, now)?;
    }
    for subscription in subscriptions_to(c, version)? {
        subscriptions::withdraw(c, keys, &subscription, version, (cause, reason), now)?;
        if subscription.version_id == version {
            end_unsettled(c, keys, &subscription, cause, now)?;
        }
        recalled.push(subscription);
    }
    Ok(recalled)
}

/// Refunds and ends a subscription whose first version is recalled while its price is in escrow.
fn end_unsettled(
    c: &mut Conn,
    keys: &ExchangeKeys,
    subscription: &Entitlement,
    cause: TakedownId,
    now: Instant,
) -> Result<()> {
    let refunded = market::orders::refund_escrowed(c, keys, subscription.order_id, cause, RECALLED, now)?;
    if refunded.is_some() && subscription.state.may_become(EntitlementState::Revoked) {
        let reason = "the order was refunded";
        advance(c, keys, subscription.clone(), EntitlementState::Revoked, cause, reason, now)?;
    }
    Ok(())
}

fn suspended_by_a_hold(c: &mut Conn, entitlement: &Entitlement) -> Result<bool> {
    let suspended = history::last_into(c, entitlement.id, EntitlementState::Suspended.as_str())?;
    Ok(suspended.is_some_and(|step| step.actor.parse::<TakedownId>().is_ok()))
}

/// The licences that were bought with a version, and are of that version alone.
fn entitlements_to(c: &mut Conn, version: VersionId) -> Result<Vec<Entitlement>> {
    let mut all = all_pages(|after| Ok(queries::list_entitlements_of_version(c, version, after, PAGE)?))?;
    let subscriptions: HashSet<_> = subscriptions_to(c, version)?.into_iter().map(|one| one.id).collect();
    all.retain(|entitlement| !subscriptions.contains(&entitlement.id));
    Ok(all)
}

/// The subscriptions that cover a version.
fn subscriptions_to(c: &mut Conn, version: VersionId) -> Result<Vec<Entitlement>> {
    all_pages(|after| subscriptions::covering(c, version, after, PAGE))
}

fn all_pages(mut page: impl FnMut(&str) -> Result<Vec<Entitlement>>) -> Result<Vec<Entitlement>> {
    let mut all: Vec<Entitlement> = Vec::new();
    loop {
        let after = all.last().map(|entitlement| entitlement.id.to_string()).unwrap_or_default();
        let found = page(&after)?;
        if found.is_empty() {
            return Ok(all);
        }
        all.extend(found);
    }
}
