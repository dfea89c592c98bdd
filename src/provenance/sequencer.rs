//! The sequencer: gives queued entries their places in the log, and signs the new checkpoint.
//!
//! One process at a time, by a lease in the database. Everything of one step (lease, places, tiles, checkpoint,
//! queue) is one serialisable transaction, so a step is whole or never was, and a sequencer that slept
//! through its lease cannot write. Nobody is shown the checkpoint yet: [`super::publication`] does that.
//!
//! Invariant: a checkpoint is signed only when the stored tiles give exactly the last checkpoint's root at its
//! size, and consistency proofs lead to it from that one and from the last one that anybody was shown. Otherwise the log
//! stops, and says so.

use std::fmt::Display;
use std::time::Duration;

use super::exchange_keys;
use super::log::{self, DatabaseTiles, counted, stored};
use super::note::Checkpoint;
use super::queries::{self, CheckpointRow, PlaceRow, PublicationRow};
use super::tree::{self, Frontier};
use crate::db::{Append as _, Conn};
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::leases::{Claimant, Verdict};
use crate::types::{EntryId, Instant};

/// How long a sequencer keeps the log without renewing.
pub const LEASE: Duration = Duration::from_secs(3);
/// The most entries one step takes.
const MAX_BATCH: i64 = 1024;
/// How the error of a log that can never go on begins, before the reason; and what to do about it.
const STOPPED: &str = "the log is not signed any further";
const RESTORE: &str =
    "restore the database that holds the last signed checkpoint; never start over under the same origin";

/// How far the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogStatus {
    /// Entries under the last published checkpoint; `None` before the first one is signed.
    pub tree_size: Option<u64>,
    /// Entries that wait for their place.
    pub queued: u64,
}

/// What a step signed.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The new checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the step took as many entries as it may, so that others are likely to wait.
    pub is_full: bool,
}

/// Does one step of the sequencer as `claimant`, in the caller's write transaction: up to 1,024 entries.
///
/// `shown` is the last checkpoint that left the exchange, if one did. Gives what it signed, or `None` when there was
/// nothing to do or another owner holds the lease. The first step signs the empty log. Fails as unverified, and changes
/// nothing, if the log does not continue its last checkpoint and what was shown.
pub fn integrate(
    c: &mut Conn,
    keys: &ExchangeKeys,
    origin: &str,
    claimant: &Claimant,
    shown: Option<&Checkpoint>,
    now: Instant,
) -> Result<Option<Signed>> {
    if !hold_lease(c, claimant, now)? {
        return Ok(None);
    }
    let last = last_checkpoint(c, keys, origin)?;
    continues(c, last.as_ref(), shown)?;
    let Some(last) = last else {
        let first = exchange_keys::sign_checkpoint(c, keys, origin, 0, tree::empty_root())?;
        return Ok(Some(Signed { checkpoint: store_checkpoint(c, first, now)?, is_full: false }));
    };
    let queued = queries::list_queued(c, MAX_BATCH)?;
    if queued.is_empty() {
        return Ok(None);
    }
    let mut frontier = verified_frontier(c, &last)?;
    append(c, &mut frontier, &queued)?;
    let next = exchange_keys::sign_checkpoint(c, keys, origin, frontier.size(), frontier.root())?;
    let proof = log::consistency(c, last.tree_size, &next)?;
    tree::verify_consistency(last.tree_size, last.root, next.tree_size, next.root, &proof)?;
    let is_full = queued.len() == usize::try_from(MAX_BATCH).unwrap_or_default();
    Ok(Some(Signed { checkpoint: store_checkpoint(c, next, now)?, is_full }))
}

/// The last signed checkpoint, if it is not published yet and `owner` still holds the lease; and the epoch of the lease.
pub(super) fn unpublished(
    c: &mut Conn,
    keys: &ExchangeKeys,
    origin: &str,
    owner: &str,
    now: Instant,
) -> Result<Option<(Checkpoint, i64)>> {
    let held = queries::find_lease(c)?.filter(|lease| lease.owner == owner && lease.leased_until > now);
    match (held, last_checkpoint(c, keys, origin)?) {
        (Some(lease), Some(last)) if Some(last.tree_size) != published_size(c)? => Ok(Some((last, lease.epoch))),
        _ => Ok(None),
    }
}

/// The last signed checkpoint and the note under which it is published, when they are the same tree.
pub(super) fn published(c: &mut Conn, keys: &ExchangeKeys, origin: &str) -> Result<Option<(Checkpoint, String)>> {
    let shown = queries::find_last_publication(c)?;
    Ok(last_checkpoint(c, keys, origin)?
        .zip(shown)
        .filter(|(last, shown)| stored(last.tree_size).is_ok_and(|size| size == shown.tree_size))
        .map(|(last, shown)| (last, shown.note)))
}

/// Publishes the checkpoint of `tree_size` with the cosignatures in `note`, if `claimant` holds the lease and nothing larger was
/// published meanwhile. True if it was published.
pub(super) fn publish(c: &mut Conn, claimant: &Claimant, tree_size: u64, note: &str, now: Instant) -> Result<bool> {
    if !hold_lease(c, claimant, now)? || published_size(c)?.is_some_and(|published| published > tree_size) {
        return Ok(false);
    }
    let row = PublicationRow { tree_size: stored(tree_size)?, note: note.to_string(), published_at: now };
    queries::insert_publication(c, &row)?;
    Ok(true)
}

/// Records why `claimant` cannot go on, or that it can again, for [`check`] to tell. Nothing if another holds the lease.
pub(super) fn report(c: &mut Conn, claimant: &Claimant, problem: Option<&str>, now: Instant) -> Result<()> {
    if hold_lease(c, claimant, now)? {
        queries::set_problem(c, problem)?;
    }
    Ok(())
}

/// Whether [`report`] would change what is recorded.
pub(super) fn is_news(c: &mut Conn, claimant: &Claimant, found: Option<&str>, now: Instant) -> Result<bool> {
    Ok(problem(c)?.as_deref() != found && !is_led_by_another(c, claimant, now)?)
}

/// Why the log cannot go on, as it was last recorded.
pub(super) fn problem(c: &mut Conn) -> Result<Option<String>> {
    Ok(queries::find_lease(c)?.and_then(|lease| lease.problem))
}

/// Refuses a database in which the log does not continue `shown`, the last checkpoint that left the exchange.
pub(super) fn require_continues(
    c: &mut Conn,
    keys: &ExchangeKeys,
    origin: &str,
    shown: Option<&Checkpoint>,
) -> Result<()> {
    let last = last_checkpoint(c, keys, origin)?;
    continues(c, last.as_ref(), shown)
}

fn published_size(c: &mut Conn) -> Result<Option<u64>> {
    queries::find_last_publication(c)?.map(|row| counted(row.tree_size)).transpose()
}

/// True if there is something to do: entries wait, or the last checkpoint is not signed or not published yet.
pub fn is_due(c: &mut Conn) -> Result<bool> {
    if queries::find_oldest_queued(c)?.is_some() {
        return Ok(true);
    }
    let signed = queries::find_last_checkpoint(c)?.map(|row| row.tree_size);
    Ok(signed.is_none() || signed != queries::find_last_publication(c)?.map(|row| row.tree_size))
}

/// Refuses when the sequencer said why it cannot go on (`Unverified` where that is for good: the database was set back, or signs
/// another history), or when entries have waited for longer than `limit`: no sequencer runs.
pub fn check(c: &mut Conn, limit: Duration, now: Instant) -> Result<()> {
    if let Some(problem) = problem(c)? {
        let kind = if problem.starts_with(STOPPED) { Kind::Unverified } else { Kind::Unavailable };
        return Err(Error::new(kind, problem));
    }
    match queries::find_oldest_queued(c)? {
        Some(since) if since.plus(limit) < now => {
            Err(Error::new(Kind::Unavailable, format!("entries have waited for their place in the log since {since}"))
                .remedy("look for the sequencer's error in the log of `corpex serve` or `corpex worker`"))
        }
        _ => Ok(()),
    }
}

/// Gives the lease up at a graceful stop, so that another sequencer, by whatever clock, need not wait for it to lapse.
pub fn release(c: &mut Conn, owner: &str) -> Result<()> {
    if let Some(lease) = queries::find_lease(c)?
        && lease.owner == owner
    {
        queries::set_lease(c, lease.epoch, owner, lease.epoch, Instant::from_unix_micros(0))?;
    }
    Ok(())
}

/// How far the log is.
pub fn status(c: &mut Conn) -> Result<LogStatus> {
    let tree_size = published_size(c)?;
    Ok(LogStatus { tree_size, queued: counted(queries::count_queued(c)?)? })
}

/// Whether somebody else extends the log now.
pub(super) fn is_led_by_another(c: &mut Conn, claimant: &Claimant, now: Instant) -> Result<bool> {
    let lease = queries::find_lease(c)?.map(|lease| (lease.owner, lease.leased_until));
    Ok(lease.is_some_and(|standing| claimant.look_at(&standing, LEASE, now) == Verdict::Others))
}

/// The epoch of the lease, if it was `owner` who took it last: nobody else led since.
pub(super) fn epoch_of(c: &mut Conn, owner: &str) -> Result<Option<i64>> {
    Ok(queries::find_lease(c)?.filter(|lease| lease.owner == owner).map(|lease| lease.epoch))
}

/// Begins another epoch of the lease, if `claimant` holds it.
pub(super) fn begin_epoch(c: &mut Conn, claimant: &Claimant, now: Instant) -> Result<()> {
    if hold_lease(c, claimant, now)?
        && let Some(lease) = queries::find_lease(c)?
    {
        queries::set_lease(c, lease.epoch, &lease.owner, lease.epoch + 1, lease.leased_until)?;
    }
    Ok(())
}

/// Takes the lease or keeps it. The epoch grows with each change of owner, and when one begins with [`begin_epoch`].
fn hold_lease(c: &mut Conn, claimant: &Claimant, now: Instant) -> Result<bool> {
    let (owner, until) = (claimant.name(), now.plus(LEASE));
    let Some(lease) = queries::find_lease(c)? else {
        return Ok(queries::insert_lease(c, owner, until)? == 1);
    };
    let epoch = match claimant.look_at(&(lease.owner, lease.leased_until), LEASE, now) {
        Verdict::Held => return Ok(true), // an idle log is not written to
        Verdict::Others => return Ok(false),
        Verdict::Renew => lease.epoch,
        Verdict::Take => lease.epoch + 1,
    };
    Ok(queries::set_lease(c, lease.epoch, owner, epoch, until)? == 1)
}

/// The last checkpoint, verified against the key, the origin, its row, and the places given so far.
fn last_checkpoint(c: &mut Conn, keys: &ExchangeKeys, origin: &str) -> Result<Option<Checkpoint>> {
    let placed = match queries::find_last_leaf_index(c)? {
        Some(index) => counted(index)? + 1,
        None => 0,
    };
    let checkpoint = match queries::find_last_checkpoint(c)? {
        None if placed == 0 => return Ok(None),
        None => return Err(stopped("entries have places and no checkpoint was signed")),
        Some(row) => {
            let checkpoint = exchange_keys::open_checkpoint(c, keys, origin, &row.note)?;
            if checkpoint.tree_size != counted(row.tree_size)? || checkpoint.root != row.root_sha256 {
                return Err(stopped("the last checkpoint differs from its own note"));
            }
            checkpoint
        }
    };
    match placed == checkpoint.tree_size {
        true => Ok(Some(checkpoint)),
        false => Err(stopped(format!("{placed} entries have places, and {} are signed", checkpoint.tree_size))),
    }
}

/// Refuses a database in which the log does not continue what was shown: it was set back, or is another one.
fn continues(c: &mut Conn, last: Option<&Checkpoint>, shown: Option<&Checkpoint>) -> Result<()> {
    let Some(shown) = shown else { return Ok(()) };
    let (size, root) = last.map_or((0, tree::empty_root()), |last| (last.tree_size, last.root));
    if size < shown.tree_size {
        let detail = format!("{} entries were signed and shown, and this database holds {size}", shown.tree_size);
        return Err(stopped(&detail));
    }
    let proof = match last {
        Some(last) => log::consistency(c, shown.tree_size, last)?,
        None => Vec::new(),
    };
    tree::verify_consistency(shown.tree_size, shown.root, size, root, &proof)
        .map_err(|error| stopped(format!("this database holds another history than was shown: {}", error.detail)))
}

/// The right edge of the tree, if it gives the root that was signed.
fn verified_frontier(c: &mut Conn, last: &Checkpoint) -> Result<Frontier> {
    let frontier = Frontier::read(&mut DatabaseTiles(c), last.tree_size)?;
    match frontier.root() == last.root {
        true => Ok(frontier),
        false => Err(stopped("the tiles give another root than the one that was signed")),
    }
}

fn append(c: &mut Conn, frontier: &mut Frontier, queued: &[(EntryId, String)]) -> Result<()> {
    let first = frontier.size();
    let leaves: Vec<_> = queued.iter().map(|(_, leaf)| tree::leaf_hash(leaf)).collect();
    for (tile, hashes) in frontier.append(&leaves) {
        let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        queries::set_tile(c, i32::from(tile.level), stored(tile.index)?, &bytes)?;
    }
    let place = |(index, (entry_id, _)): (u64, &(EntryId, String))| {
        Ok(PlaceRow { leaf_index: stored(index)?, entry_id: *entry_id })
    };
    queries::PlaceRow::insert(&(first..).zip(queued).map(place).collect::<Result<Vec<_>>>()?, c)?;
    let ids: Vec<EntryId> = queued.iter().map(|(id, _)| *id).collect();
    match queries::delete_queued(c, &ids)? == ids.len() {
        true => Ok(()),
        false => Err(Error::internal("an entry left the queue while it was given a place")),
    }
}

fn store_checkpoint(c: &mut Conn, checkpoint: Checkpoint, now: Instant) -> Result<Checkpoint> {
    let row = CheckpointRow {
        tree_size: stored(checkpoint.tree_size)?,
        root_sha256: checkpoint.root,
        note: checkpoint.note.clone(),
        signed_at: now,
    };
    queries::insert_checkpoint(c, &row)?;
    Ok(checkpoint)
}

/// The error of a log that cannot be signed any further.
pub(super) fn stopped(why: impl Display) -> Error {
    Error::new(Kind::Unverified, format!("{STOPPED}: {why}")).remedy(RESTORE)
}
