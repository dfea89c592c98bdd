//! The dispatcher: takes steps from the outbox, and numbers them for the organisations that they concern.
//!
//! A trade writes one row of its own to the outbox and none that another trade writes. Numbers are given here, afterwards, by
//! one process at a time; steps that concern the board get a number for the search indexes, too. The audience of a step is found
//! over a snapshot, so that the numbering transaction reads nothing that trades change.
//!
//! Invariant: an event's number is larger than that of every event that its organisation could read before.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::audience::{self, Trades};
use super::{Event, queries, webhooks};
use crate::app::App;
use crate::db::{Append as _, Conn};
use crate::error::{Error, Kind, Result};
use crate::history::{self, Unsent};
use crate::leases::{Claimant, Verdict};
use crate::market::search;
use crate::types::{DatasetId, Instant, OrganisationId};

/// How long a dispatcher keeps the outbox without renewing.
const LEASE: Duration = Duration::from_secs(3);
/// The most steps that are numbered at once.
const MAX_BATCH: i64 = 256;

/// A step with its audience.
#[derive(Debug, Clone)]
struct Addressed {
    step: Unsent,
    audience: Vec<OrganisationId>,
    /// The dataset whose listings on the board it may have changed.
    dataset: Option<DatasetId>,
}

/// Numbers the oldest steps in the outbox, as `claimant`. True when it took as many as it may at once: more are likely to wait.
pub async fn step(app: &App, claimant: &Claimant) -> Result<bool> {
    let (looking, now) = (claimant.clone(), app.clock.now());
    let batch = app.db.read(move |c| match is_told_by_another(c, &looking, now)? {
        true => Ok(Vec::new()),
        false => addressed(c),
    });
    let batch = batch.await?;
    if batch.is_empty() {
        return Ok(false);
    }
    let is_full = batch.len() == usize::try_from(MAX_BATCH).unwrap_or_default();
    let claimant = claimant.clone();
    Ok(app.db.write(move |c| number(c, &claimant, &batch, now)).await? && is_full)
}

/// Gives the lease up at a graceful stop, so that another dispatcher, by whatever clock, need not wait for it to lapse.
pub fn release(c: &mut Conn, owner: &str) -> Result<()> {
    queries::set_lease_end(c, owner, Instant::from_unix_micros(0))?;
    Ok(())
}

/// True if a step waits in the outbox.
pub fn is_due(c: &mut Conn) -> Result<bool> {
    Ok(!history::unsent(c, 1)?.is_empty())
}

/// Checks that the dispatcher keeps up: no step waits for longer than `limit`.
///
/// # Errors
/// `Unavailable`, when one does.
pub fn check(c: &mut Conn, limit: Duration, now: Instant) -> Result<()> {
    match history::unsent(c, 1)?.first() {
        Some(step) if step.at.plus(limit) < now => {
            let detail = format!("steps have waited to be told of since {}", step.at);
            Err(Error::new(Kind::Unavailable, detail)
                .remedy("look for the dispatcher's error in the log of `corpex serve` or `corpex worker`"))
        }
        _ => Ok(()),
    }
}

fn addressed(c: &mut Conn) -> Result<Vec<Addressed>> {
    let unsent = history::unsent(c, MAX_BATCH)?;
    let trades = Trades::of(c, &unsent)?;
    let address = |step| {
        let (audience, dataset) = (audience::audience(c, &trades, &step)?, search::dataset_concerned(c, &step)?);
        Ok(Addressed { audience, dataset, step })
    };
    unsent.into_iter().map(address).collect()
}

fn number(c: &mut Conn, claimant: &Claimant, batch: &[Addressed], now: Instant) -> Result<bool> {
    if !hold_lease(c, claimant, now)? {
        return Ok(false);
    }
    let ids: Vec<_> = batch.iter().map(|addressed| addressed.step.id).collect();
    // What is missing was told of by another dispatcher since we looked.
    let taken = history::take(c, &ids)?;
    let told: Vec<_> = batch.iter().filter(|addressed| taken.contains(&addressed.step.id)).collect();
    let owners: HashSet<_> = told.iter().flat_map(|addressed| &addressed.audience).copied().collect();
    let owners: Vec<_> = owners.into_iter().collect();
    let known = queries::list_last_positions(c, &owners)?.into_iter();
    let mut last: HashMap<_, _> = known.map(|(owner, position)| (owner, position.unwrap_or_default())).collect();
    let (mut events, mut on_board) = (Vec::new(), Vec::new());
    for Addressed { step, audience, dataset } in told {
        on_board.extend(dataset.map(|dataset_id| (step.id, dataset_id)));
        for organisation_id in audience {
            let Some(position) = last.get_mut(organisation_id) else { continue };
            *position += 1;
            events.push(event(step, *organisation_id, *position));
        }
    }
    Event::insert(&events, c)?;
    search::number(c, &on_board)?;
    webhooks::wake(c, &owners, now)?;
    Ok(true)
}

fn event(step: &Unsent, organisation_id: OrganisationId, position: i64) -> Event {
    Event {
        organisation_id,
        position,
        id: step.id,
        event_type: audience::event_type(step),
        subject: step.subject.clone(),
        from_state: step.from_state.clone(),
        to_state: step.to_state.clone(),
        occurred_at: step.at,
    }
}

/// Whether another process is the dispatcher now.
fn is_told_by_another(c: &mut Conn, claimant: &Claimant, now: Instant) -> Result<bool> {
    let standing = queries::find_lease(c)?;
    Ok(standing.is_some_and(|standing| claimant.look_at(&standing, LEASE, now) == Verdict::Others))
}

/// Takes the lease or keeps it.
fn hold_lease(c: &mut Conn, claimant: &Claimant, now: Instant) -> Result<bool> {
    let (owner, until) = (claimant.name(), now.plus(LEASE));
    let Some(standing) = queries::find_lease(c)? else {
        return Ok(queries::insert_lease(c, owner, until)? == 1);
    };
    match claimant.look_at(&standing, LEASE, now) {
        Verdict::Held => Ok(true),
        Verdict::Others => Ok(false),
        Verdict::Renew | Verdict::Take => Ok(queries::set_lease(c, owner, until)? == 1),
    }
}
