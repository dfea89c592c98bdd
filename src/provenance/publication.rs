//! How a checkpoint becomes public: signed in the database, remembered outside of it, shown to the witnesses, published.
//!
//! The order is the point. Before anybody sees a checkpoint, the object store remembers it (the *mark*), and the
//! witnesses do, each by itself. A database that is restored from an old backup is then found out before it signs a
//! second history: the mark, or a witness, knows of more entries than it holds.
//!
//! A lease does not stop a write that is on its way to the store: what a sequencer sent before it lost the lease may arrive after
//! another took over and went on. So the mark has several places. Each change of the sequencer moves on to the next, as does a
//! write that failed, and each rotation of the log's key to places under the new key; the mark is the largest checkpoint in any of
//! them.
//!
//! Invariant: no checkpoint that anybody was shown is larger than the mark.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;

use super::exchange_keys;
use super::note::{Checkpoint, VerifierKey};
use super::policy::Policy;
use super::sequencer;
use super::witness_client::Witnesses;
use crate::db::Db;
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::leases::Claimant;
use crate::store::{StorageKey, Store};
use crate::types::Instant;

/// The most batches that are signed before the log is published once.
const MAX_BATCHES: usize = 20;
/// How many places the mark has: a late write does harm only if it is on its way for as many changes of the sequencer.
const PLACES: i64 = 32;
/// How often an idle log is compared with what the object store and the witnesses remember; the first time at the start, and
/// again at the next step after a failure.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Extends the log and publishes it, for as long as it holds the sequencer's lease.
pub struct Publisher {
    db: Db,
    store: Store,
    keys: Arc<ExchangeKeys>,
    origin: String,
    claimant: Claimant,
    witnesses: Witnesses,
    /// The last checkpoint that it showed, and in which epoch of the lease: while that lasts, nobody shows another.
    shown: Option<(i64, Checkpoint)>,
    /// Whether a checkpoint was sent to the store in this epoch of the lease that may arrive yet, after others.
    is_astray: bool,
    /// When an idle log was looked at last.
    looked_at: Option<Instant>,
}

impl Publisher {
    /// A publisher of the log `origin` under the name `owner`; `policy` names the witnesses and how many must cosign.
    pub fn new(
        db: Db,
        store: Store,
        keys: Arc<ExchangeKeys>,
        origin: &str,
        owner: &str,
        policy: Policy,
    ) -> Result<Self> {
        let witnesses = Witnesses::new(policy)?;
        Ok(Self {
            db,
            store,
            keys,
            origin: origin.to_string(),
            claimant: Claimant::new(owner),
            witnesses,
            shown: None,
            is_astray: false,
            looked_at: None,
        })
    }

    /// Does one step: gives waiting entries their places and publishes the tree, or looks after a log that is idle.
    ///
    /// Fails as unverified when the log cannot go on, as unavailable when the store does not answer or too few witnesses
    /// do; either is told by [`sequencer::check`] until a step succeeds.
    pub async fn step(&mut self, now: Instant) -> Result<()> {
        let due = self.db.read(sequencer::is_due).await?;
        if !due && self.looked_at.is_some_and(|at| at.plus(LOOK_AGAIN) > now) {
            return Ok(());
        }
        let outcome = if due { self.advance(now).await } else { self.look_after(now).await };
        let problem = outcome.as_ref().err().map(ToString::to_string);
        if problem.is_some() {
            (self.shown, self.looked_at) = (None, None);
        }
        let (claimant, found) = (self.claimant.clone(), problem.clone());
        if self.db.read(move |c| sequencer::is_news(c, &claimant, found.as_deref(), now)).await? {
            let claimant = self.claimant.clone();
            self.db.write(move |c| sequencer::report(c, &claimant, problem.as_deref(), now)).await?;
        }
        outcome
    }

    async fn advance(&mut self, now: Instant) -> Result<()> {
        let claimant = self.claimant.clone();
        let standing = move |c: &mut _| {
            let is_led_by_another = sequencer::is_led_by_another(c, &claimant, now)?;
            Ok((is_led_by_another, sequencer::epoch_of(c, claimant.name())?))
        };
        let (is_led_by_another, epoch) = self.db.read(standing).await?;
        if is_led_by_another {
            return Ok(());
        }
        let shown = match &self.shown {
            Some((shown_in, shown)) if Some(*shown_in) == epoch => Some(shown.clone()),
            _ => mark(&self.db, &self.store, &self.keys, &self.origin).await?,
        };
        for _ in 0..MAX_BATCHES {
            let (keys, origin, claimant, shown) =
                (self.keys.clone(), self.origin.clone(), self.claimant.clone(), shown.clone());
            let integrate = move |c: &mut _| sequencer::integrate(c, &keys, &origin, &claimant, shown.as_ref(), now);
            // Entries that come meanwhile share the next checkpoint.
            if !self.db.write(integrate).await?.is_some_and(|signed| signed.is_full) {
                break;
            }
        }
        if self.is_astray {
            let claimant = self.claimant.clone();
            self.db.write(move |c| sequencer::begin_epoch(c, &claimant, now)).await?;
            self.is_astray = false;
        }
        let (keys, origin, claimant) = (self.keys.clone(), self.origin.clone(), self.claimant.clone());
        let signed = self.db.read(move |c| sequencer::unpublished(c, &keys, &origin, claimant.name(), now)).await?;
        match signed {
            Some((checkpoint, epoch)) => self.publish(checkpoint, epoch, now).await,
            None => Ok(()),
        }
    }

    async fn publish(&mut self, checkpoint: Checkpoint, epoch: i64, now: Instant) -> Result<()> {
        let names = names(&self.db, &self.keys, &self.origin).await?;
        let newest = names.last().ok_or_else(|| Error::internal("the log has a key"))?;
        self.is_astray = true;
        self.store.put(&place(newest, epoch), Bytes::from(checkpoint.note.clone())).await?;
        self.is_astray = false;
        self.shown = Some((epoch, checkpoint.clone()));
        let note = self.witnesses.cosign(&self.db, &checkpoint).await?;
        let (claimant, size) = (self.claimant.clone(), checkpoint.tree_size);
        self.db.write(move |c| sequencer::publish(c, &claimant, size, &note, now).map(drop)).await
    }

    /// Finds out a database that was set back while nothing is entered, and shows what is published to witnesses that have
    /// not cosigned it: new ones, and ones that were away.
    async fn look_after(&mut self, now: Instant) -> Result<()> {
        self.looked_at = Some(now);
        let mark = mark(&self.db, &self.store, &self.keys, &self.origin).await?;
        let (keys, origin) = (self.keys.clone(), self.origin.clone());
        self.db.read(move |c| sequencer::require_continues(c, &keys, &origin, mark.as_ref())).await?;
        let (keys, origin) = (self.keys.clone(), self.origin.clone());
        let published = self.db.read(move |c| sequencer::published(c, &keys, &origin)).await?;
        let Some((checkpoint, shown)) = published else { return Ok(()) };
        let note = match self.witnesses.cosign(&self.db, &checkpoint).await {
            Ok(note) => note,
            // Enough cosigned when it was published; those away now are asked again.
            Err(error) if error.kind == Kind::Unavailable => return Ok(()),
            Err(error) => return Err(error),
        };
        if self.witnesses.count(&note)? <= self.witnesses.count(&shown)? {
            return Ok(());
        }
        let (claimant, size) = (self.claimant.clone(), checkpoint.tree_size);
        self.db.write(move |c| sequencer::publish(c, &claimant, size, &note, now).map(drop)).await
    }
}

/// The last checkpoint that the object store remembers.
///
/// # Errors
/// `Unverified` when what it remembers is none; those of the store and the database.
pub async fn mark(db: &Db, store: &Store, keys: &Arc<ExchangeKeys>, origin: &str) -> Result<Option<Checkpoint>> {
    let places = mark_keys(db, keys, origin).await?;
    let found = try_join_all(places.iter().map(|place| remembered(db, store, keys, origin, place))).await?;
    Ok(found.into_iter().flatten().max_by_key(|checkpoint| checkpoint.tree_size))
}

/// The checkpoint at one of the mark's places.
async fn remembered(
    db: &Db,
    store: &Store,
    keys: &Arc<ExchangeKeys>,
    origin: &str,
    place: &StorageKey,
) -> Result<Option<Checkpoint>> {
    let stored = match store.read(place, None).await {
        Ok(bytes) => bytes.try_collect::<Vec<Bytes>>().await?.concat(),
        Err(error) if error.kind == Kind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let unreadable =
        |why: String| sequencer::stopped(format!("the object store remembers a checkpoint that is none: {why}"));
    let note = String::from_utf8(stored).map_err(|error| unreadable(error.to_string()))?;
    let (keys, origin) = (keys.clone(), origin.to_string());
    let opened = db.read(move |c| exchange_keys::open_checkpoint(c, &keys, &origin, &note)).await;
    opened.map(Some).map_err(|error| match error.kind {
        Kind::Unverified => unreadable(error.detail),
        _ => error, // the database's
    })
}

/// Where the object store remembers how far a log is: places under each key that the log has or had, and under those in hand.
/// A database that was set back knows of no key that took over since: whoever holds that key finds the mark all the same.
///
/// # Errors
/// Those of the database.
pub async fn mark_keys(db: &Db, keys: &Arc<ExchangeKeys>, origin: &str) -> Result<Vec<StorageKey>> {
    let mut names = names(db, keys, origin).await?;
    for key in [Some(&keys.log), keys.log_next.as_ref()].into_iter().flatten() {
        let name = VerifierKey::new(origin, key.public())?.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names.iter().flat_map(|name| (0..PLACES).map(move |number| place(name, number))).collect())
}

/// The verifier keys of the log as text, oldest first: the places of the mark are named after them.
pub(super) async fn names(db: &Db, keys: &Arc<ExchangeKeys>, origin: &str) -> Result<Vec<String>> {
    let (keys, origin) = (keys.clone(), origin.to_string());
    let vkeys = db.read(move |c| exchange_keys::log_vkeys(c, &keys, &origin)).await?;
    Ok(vkeys.iter().map(ToString::to_string).collect())
}

/// The place of the mark under a name of the log, in an epoch of the sequencer's lease.
pub(super) fn place(name: &str, epoch: i64) -> StorageKey {
    match epoch.rem_euclid(PLACES) {
        // Where a log that had one place keeps it.
        0 => StorageKey::named(&format!("log {name}")),
        number => StorageKey::named(&format!("log {name} {number}")),
    }
}
