//! What the exchange itself does to the board: it lists versions when their public notice is over, takes them off while
//! they may not be traded, and puts them back.
//!
//! A listing is looked at when something about it changed (a claim, an objection, an assessment), and when a date comes
//! that was written down beside it: the end of its notice, or of its assessment.
//!
//! Invariant: after a review, a listing that was ever on the board and is not delisted is suspended exactly when its version
//! is held, has no valid assessment, or has a shard that is not what it says it is.
//! Invariant: no listing on public notice goes on the board while its notice runs, or while an objection to a listing of its
//! version is open. One that was on the board before stays, or returns: against it there are claims.

use std::fmt::Display;

use super::listings::{self, Listing, ListingState, advance};
use super::{objections, queries};
use crate::app::App;
use crate::assessment;
use crate::catalog::inspection;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::types::{Instant, VersionId};

/// Listings of a version that are read at a time.
const PAGE: i64 = 1000;
const CLAIMED: &str = "a claim about the version is examined";

/// Looks at the listings whose notice or assessment ended.
pub async fn review_due_listings(app: &App) -> Result<()> {
    let keys = app.keys.clone();
    let list = |c: &mut Conn, after: &str, now| Ok(queries::list_due(c, now, after, sweep::PAGE)?);
    let look = move |c: &mut Conn, id, now| {
        let listing = listings::listing(c, id)?;
        review(c, &keys, listing, "exchange", now).map(drop)
    };
    sweep::each(&app.db, &app.clock, "a listing to be looked at", list, look).await
}

/// Looks at every listing of a version.
pub async fn review_listings(app: &App, version: VersionId) -> Result<()> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    app.db.write(move |c| review_all(c, &keys, version, "exchange", now)).await
}

pub(super) fn review_all(
    c: &mut Conn,
    keys: &ExchangeKeys,
    version: VersionId,
    actor: impl Display + Copy,
    now: Instant,
) -> Result<()> {
    for listing in listings_of(c, version)? {
        review(c, keys, listing, actor, now)?;
    }
    Ok(())
}

/// Moves a listing to the state in which it belongs now, and writes down when to look again.
pub(super) fn review(
    c: &mut Conn,
    keys: &ExchangeKeys,
    listing: Listing,
    actor: impl Display,
    now: Instant,
) -> Result<Listing> {
    use ListingState::{Delisted, Listed, Paused, PublicNotice, Suspended};
    let (obstacle, good_until) = standing(c, listing.version_id, now)?;
    let listing = match (listing.state, obstacle) {
        (Listed | Paused, Some(reason)) => advance(c, keys, listing, Suspended, actor, &reason, now)?,
        (Suspended, None) => {
            let before = history::last_into(c, listing.id, Suspended.as_str())?.and_then(|step| step.from_state);
            let before = before.ok_or_else(|| Error::internal(format!("{} was never suspended", listing.id)))?;
            advance(c, keys, listing, before.parse()?, actor, "nothing stands against it any more", now)?
        }
        (PublicNotice, None) if listing.notice_ends_at <= now && !objections::is_any_open(c, listing.version_id)? => {
            advance(c, keys, listing, Listed, actor, "the public notice is over, and no objection stands", now)?
        }
        _ => listing,
    };
    let next = match listing.state {
        PublicNotice => Some(listing.notice_ends_at).filter(|end| *end > now),
        Listed | Paused => good_until,
        Suspended | Delisted => None,
    };
    queries::set_review_at(c, listing.id, next)?;
    Ok(Listing { review_at: next, ..listing })
}

/// The reason why a version may not be traded now, or the time until which it may.
fn standing(c: &mut Conn, version: VersionId, now: Instant) -> Result<(Option<String>, Option<Instant>)> {
    if queries::is_held(c, version)? {
        return Ok((Some(CLAIMED.to_string()), None));
    }
    if let Some(inspection) = inspection::find(c, version)?
        && inspection.refusal.is_some()
    {
        return Ok((inspection.refusal, None));
    }
    match assessment::valid_assessment(c, version, now) {
        Ok(valid) => Ok((None, Some(valid.valid_until))),
        Err(error) if error.kind == Kind::NotAssessed => Ok((Some(error.detail), None)),
        Err(error) => Err(error),
    }
}

pub(super) fn listings_of(c: &mut Conn, version: VersionId) -> Result<Vec<Listing>> {
    let mut all: Vec<Listing> = Vec::new();
    loop {
        let after = all.last().map(|listing| listing.id.to_string()).unwrap_or_default();
        let page = queries::list_listings_of(c, version, &after, PAGE)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
