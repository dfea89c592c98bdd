//! Retention: events, and the log of attempts to deliver them, are kept for some time and then removed.
//!
//! The last event of an organisation stays, however old it is: the next one is numbered after it. So does what an enabled
//! webhook still waits for.
//!
//! Invariant: the events of an organisation that are kept are its last ones, without gaps; a reader whose cursor lies so
//! far back that it would miss removed events is told so.

use super::{queries, webhooks};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::jobs::sweep;
use crate::types::{DAY, Instant, OrganisationId};

/// Rows that are removed in one transaction.
pub(super) const AT_ONCE: i64 = 10_000;

/// Removes what has been kept long enough.
pub async fn remove_old(app: &App) -> Result<()> {
    let kept = DAY * app.config.event_retention_days.unsigned_abs();
    let list = move |c: &mut Conn, after: &str, now: Instant| {
        Ok(queries::list_owners_of_old(c, now.minus(kept), after, sweep::PAGE)?)
    };
    let remove = move |c: &mut Conn, owner, now: Instant| remove_before(c, owner, now.minus(kept));
    sweep::each(&app.db, &app.clock, "an organisation with old events", list, remove).await?;
    loop {
        let before = app.clock.now().minus(kept);
        if app.db.write(move |c| webhooks::remove_attempts(c, before, AT_ONCE)).await? < AT_ONCE {
            return Ok(());
        }
    }
}

/// Removes an organisation's first events, up to the first one that is to be kept; at most [`AT_ONCE`] of them.
fn remove_before(c: &mut Conn, owner: OrganisationId, before: Instant) -> Result<()> {
    let Some(first) = queries::find_first_position(c, owner)? else { return Ok(()) };
    let recent = match queries::find_first_position_since(c, owner, before)? {
        Some(position) => position,
        None => queries::find_last_position(c, owner)?.unwrap_or(first),
    };
    let awaited = webhooks::furthest_behind(c, owner)?.map_or(recent, |position| position.saturating_add(1));
    queries::delete_events(c, owner, recent.min(awaited).min(first.saturating_add(AT_ONCE)))?;
    Ok(())
}

/// Refuses a cursor after which there were events that are no longer kept.
///
/// # Errors
/// `Gone`, with the field `cursor`.
pub(super) fn require_kept(c: &mut Conn, owner: OrganisationId, cursor: i64) -> Result<()> {
    match queries::find_first_position(c, owner)? {
        Some(first) if cursor.saturating_add(1) < first => {
            let detail = format!("events up to {} are no longer kept, and this cursor comes before", first - 1);
            Err(Error::new(Kind::Gone, detail)
                .field("cursor")
                .remedy(format!("look at the things themselves, and read on from cursor {}", first - 1)))
        }
        _ => Ok(()),
    }
}
