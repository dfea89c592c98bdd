//! What a claim about a version does to all licences to it. Each change is a step and a statement of its own.
//!
//! A licence of one version stands and falls with it. A subscription covers several, and a claim about one leaves the others.
//!
//! Nobody downloads a version from the transaction on in which its hold is placed, however many licensed it: the hold is one row,
//! at which every link looks. That each licence is suspended, and returns, is put on record after that, by pages: the first
//! at once, and the others by a job. A page goes by whether the version is held when its own transaction runs. So pages may be
//! repeated, those of a hold and of its end may run at the same time, and a licence that a hold did not reach before it ended is
//! left as it is. No licence is sold while the version is held.
//!
//! Invariant: lifting a hold restores only the licences that a hold suspended.

use std::fmt::Display;

use super::standing::{advance, refund};
use super::{Entitlement, EntitlementState, queries, subscriptions};
use crate::app::App;
use crate::db::Conn;
use crate::error::Result;
use crate::jobs::{self, Job, sweep};
use crate::keys::ExchangeKeys;
use crate::types::{EntitlementId, Instant, TakedownId, VersionId};
use crate::{history, market};

/// Why what was paid for a recalled version goes back.
const RECALLED: &str = "the version was recalled";
/// The most that one transaction changes of each kind of thing that follows a hold.
const FOLLOWERS: i64 = 50;

/// A hold that began or ended, with all that it takes to change what follows it.
#[derive(Debug, Clone, Copy)]
struct Change<'a> {
    keys: &'a ExchangeKeys,
    version: VersionId,
    cause: TakedownId,
    since: Instant,
    now: Instant,
}

/// Brings what sorts after a key, a page of it, to where it belongs; says where the next page begins, if there may be one.
type Follow = fn(&mut Conn, Change, &str) -> Result<Option<String>>;

/// What follows a hold, in this order: the time of the orders before their licences, for no deadline passes while these are
/// suspended.
const FOLLOW: [Follow; 3] = [follow_with_orders, follow_with_licences, follow_with_subscriptions];

/// Holds a version because of `cause`: nobody trades it, and nobody downloads it. Callers authorise.
pub fn hold(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    market::hold(c, keys, version, cause, now)?;
    begin_to_follow(c, Change { keys, version, cause, since: now, now })
}

/// Ends the hold of `cause`: unless something else holds the version, what holds suspended becomes as it was before.
/// Callers authorise.
pub fn lift(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    match market::lift(c, keys, version, cause, now)? {
        true => begin_to_follow(c, Change { keys, version, cause, since: now, now }),
        false => Ok(()),
    }
}

/// Follows a hold as far as one page of each kind goes, and leaves the rest to a job: no kind comes before the one before it is
/// done.
fn begin_to_follow(c: &mut Conn, change: Change) -> Result<()> {
    let Change { version, cause, since, .. } = change;
    for follow in FOLLOW {
        if follow(c, change, "")?.is_some() {
            jobs::enqueue(c, Job::FollowHold { version_id: version, cause, since }, since)?;
            break;
        }
    }
    Ok(())
}

/// Follows a hold of a version that began or ended because of `cause`, each page in a transaction of its own.
pub async fn follow_hold(app: &App, version: VersionId, cause: TakedownId, since: Instant) -> Result<()> {
    for follow in FOLLOW {
        let keys = app.keys.clone();
        let page = move |c: &mut Conn, after: &str, now: Instant| {
            follow(c, Change { keys: &keys, version, cause, since, now }, after)
        };
        sweep::pages(&app.db, &app.clock, page).await?;
    }
    Ok(())
}

/// Where the page after this one begins, if there may be one.
fn next<T: Display>(page: &[T]) -> Option<String> {
    let is_full = i64::try_from(page.len()).is_ok_and(|length| length >= FOLLOWERS);
    page.last().filter(|_| is_full).map(ToString::to_string)
}

/// Lets the time of those who bought a version begin anew with the end of its hold.
fn follow_with_orders(c: &mut Conn, change: Change, after: &str) -> Result<Option<String>> {
    if market::cause_of_hold(c, change.version)?.is_some() {
        return Ok(None);
    }
    let page = market::orders::begin_page_again(c, change.version, change.since, (after, FOLLOWERS))?;
    Ok(next(&page))
}

/// Suspends the licences of a version that is held, and lets those return that a hold suspended when it no longer is.
fn follow_with_licences(c: &mut Conn, change: Change, after: &str) -> Result<Option<String>> {
    use EntitlementState::{Active, Suspended};
    let Change { keys, version, cause, now, .. } = change;
    let (from, to, actor, reason) = match market::cause_of_hold(c, version)? {
        Some(cause) => (Active, Suspended, cause, "a claim about the version is examined"),
        None => (Suspended, Active, cause, "no claim about the version stands"),
    };
    let page = queries::list_licences_of_version(c, version, from, after, FOLLOWERS)?;
    let ids: Vec<_> = page.iter().map(|licence| licence.id).collect();
    for licence in page {
        if to == Suspended || returns(c, &licence, now)? {
            advance(c, keys, licence, to, actor, reason, now)?;
        }
    }
    Ok(next(&ids))
}

/// Tells the subscriptions that cover a version whether it is held.
fn follow_with_subscriptions(c: &mut Conn, change: Change, after: &str) -> Result<Option<String>> {
    let Change { keys, version, cause, now, .. } = change;
    let held_because = market::cause_of_hold(c, version)?;
    let told = (held_because.is_some(), held_because.unwrap_or(cause));
    let page = subscriptions::note_hold(c, keys, version, told, (after, FOLLOWERS), now)?;
    Ok(next(&page))
}

/// Revokes a licence to a recalled version, or withdraws the version from a subscription, and gives the licence; one that had ended
/// before as well, for its holder may still have the bytes. What was paid for it goes back where it is still in escrow. Callers
/// authorise.
pub fn recall(
    c: &mut Conn,
    keys: &ExchangeKeys,
    (id, version): (EntitlementId, VersionId),
    (cause, reason): (TakedownId, &str),
    now: Instant,
) -> Result<Entitlement> {
    let licence = super::entitlement_of(c, id)?;
    if subscriptions::is_one(c, &licence)? {
        subscriptions::withdraw(c, keys, &licence, version, (cause, reason), now)?;
        if licence.version_id == version {
            end_unsettled(c, keys, &licence, cause, now)?;
        }
    } else {
        if licence.state.may_become(EntitlementState::Revoked) {
            advance(c, keys, licence.clone(), EntitlementState::Revoked, cause, reason, now)?;
        }
        refund(c, keys, &licence, cause, RECALLED, now)?;
    }
    Ok(licence)
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

/// Whether a suspended licence returns with the end of a hold: a hold suspended it, and its term runs.
fn returns(c: &mut Conn, licence: &Entitlement, now: Instant) -> Result<bool> {
    let suspended = history::last_into(c, licence.id, EntitlementState::Suspended.as_str())?;
    let by_a_hold = suspended.is_some_and(|step| step.actor.parse::<TakedownId>().is_ok());
    Ok(by_a_hold && licence.expires_at.is_none_or(|end| end > now))
}
