//! Holds: while a claim about a version is examined, and for ever once one was upheld, nobody trades the version.
//!
//! Invariant: a held version takes no listing, no order and no payment, and none of its listings is on the board.

use super::listings::{ListingState, advance};
use super::queries;
use super::review::{listings_of, review_all};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, TakedownId, VersionId};

/// Holds a version because of `cause`: its listings leave the board. Callers authorise.
pub fn hold(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<()> {
    queries::insert_hold(c, cause, version, now)?;
    review_all(c, keys, version, cause, now)
}

/// Ends the hold of `cause`. If nothing else holds the version, its listings return to where they were, and the answer is true.
/// Callers authorise, and let the time of those who bought it [begin anew](super::orders::begin_page_again).
pub fn lift(c: &mut Conn, keys: &ExchangeKeys, version: VersionId, cause: TakedownId, now: Instant) -> Result<bool> {
    queries::delete_hold(c, cause)?;
    if queries::is_held(c, version)? {
        return Ok(false);
    }
    review_all(c, keys, version, cause, now)?;
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

/// The claim because of which a version is held; of several, the one that came first.
pub fn cause_of_hold(c: &mut Conn, version: VersionId) -> Result<Option<TakedownId>> {
    Ok(queries::find_hold(c, version)?)
}

/// Refuses a version that is held.
pub fn require_free(c: &mut Conn, version: VersionId) -> Result<()> {
    match db::load_once(c, format_args!("hold of {version}"), |c| queries::is_held(c, version))? {
        false => Ok(()),
        true => Err(Error::new(Kind::WrongState, "a claim about this version is examined, or was upheld")
            .remedy("it can be traded again if every claim about it is rejected")),
    }
}
