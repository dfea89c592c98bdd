//! Holds: while a claim about a version is examined, and for ever once one was upheld, nobody trades the version.
//!
//! Invariant: a held version takes no listing, no order and no payment, and none of its listings is on the board.

use super::listings::{self, Listing, ListingState, advance};
use super::queries;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::keys::ExchangeKeys;
use crate::types::{Instant, TakedownId, VersionId};

/// Listings read at a time.
const PAGE: i64 = 1000;

/// Holds a version because of `cause`: its listings leave the board. Callers authorise.
pub fn hold(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    queries::insert_hold(c, cause, version, now)?;
    for listing in listings_of(c, version)? {
        if listing.state.may_become(ListingState::Suspended) {
            advance(c, keys, listing, ListingState::Suspended, cause, "a claim about the version is examined", now)?;
        }
    }
    Ok(())
}

/// Ends the hold of `cause`. If nothing else holds the version, its listings return to where they were, and the answer
/// is true. Callers authorise.
pub fn lift(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<bool> {
    queries::delete_hold(c, cause)?;
    if queries::is_held(c, version)? {
        return Ok(false);
    }
    for listing in listings_of(c, version)? {
        if listing.state != ListingState::Suspended {
            continue;
        }
        let before = history::last(c, listing.id)?.and_then(|step| step.from_state);
        let before = before.ok_or_else(|| Error::internal(format!("{} was never suspended", listing.id)))?.parse()?;
        advance(c, keys, listing, before, cause, "no claim about the version stands", now)?;
    }
    Ok(true)
}

/// Withdraws every listing of a held version for ever. Callers authorise.
pub fn delist(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    for listing in listings_of(c, version)? {
        if listing.state.may_become(ListingState::Delisted) {
            advance(c, keys, listing, ListingState::Delisted, cause, "a claim about the version was upheld", now)?;
        }
    }
    Ok(())
}

/// Refuses a version that is held.
pub fn require_free(c: &mut Conn, version: VersionId) -> Result<()> {
    match queries::is_held(c, version)? {
        false => Ok(()),
        true => Err(Error::new(Kind::WrongState, "a claim about this version is examined, or was upheld")
            .remedy("it can be traded again if every claim about it is rejected")),
    }
}

fn listings_of(c: &mut Conn, version: VersionId) -> Result<Vec<Listing>> {
    let mut all: Vec<Listing> = Vec::new();
    loop {
        let after = all.last().map(|listing| listing.id.to_string()).unwrap_or_default();
        let page = listings::listings(c, Some(&[version]), &after, PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
