//! Writes: each is one serialisable transaction to its caller, and those that wait at the same time share one in the
//! database.
//!
//! A write joins a queue. A lane takes the next, and whatever else waits by then, and commits all of it at once, so that
//! the disk is flushed once. Nobody is answered before that commit. Those of a group that only append do so together (see
//! `db/gather.rs`). Most groups hold no write that fails; where one does, the group begins anew without it, and it runs alone.
//! If another one fails then, there is a savepoint around each write: the one that fails is rolled back to it, and takes no other
//! with it. When the transaction as a whole fails, by a conflict or a refused commit, each write of the group runs again in a
//! transaction of its own. When nobody knows whether the commit was done, because the connection or the disk failed during it, none
//! of them runs again.
//!
//! The queue is bounded, and so is the wait in it: a write that is turned away is answered that nothing was done. When no
//! connection can be had, all writes that wait are answered so at once, and not one group after the other.
//!
//! The requests of a process have one lane. SQLite takes one writer at a time anyway; on PostgreSQL, transactions that append to the
//! same tables side by side are in each other's way in serialisable isolation (its locks cover whole pages of an index), and
//! one lane that commits groups is faster than several that repeat their work. The background of a process (the sequencer, the
//! dispatcher, jobs) has a second lane there, as it has in a worker: it writes to other tables for the most part. What meets a
//! conflict, with that lane or with another instance, is repeated while nobody else writes ([`Turn`]), and what follows for a while
//! begins so, too: beside others it would mostly meet the next conflict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use diesel::connection::{SimpleConnection as _, TransactionManager};
use diesel::r2d2::PoolError;
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use tokio::sync::oneshot;

use super::checkpoints::Checkpoints;
use super::facts::{AtHand, Facts, Memory};
use super::gather::Gathered;
use super::lane::{self, Lane, MOST_WAITING};
use super::pool::{away, is_away, is_broken};
use super::{Ahead, Conn, ConnPool, FIRST_FAILURE, Manager, ahead, begin, is_conflict, outcome_of, roll_back, span};
use crate::error::{DISK_FAILS, Error, Kind, Result};
use crate::failpoints::{self, Site};

/// How often a write is repeated on a serialisation failure before the caller is told to try later.
const WRITE_ATTEMPTS: u32 = 20;
/// How often a group is attempted as a whole before each of it runs alone.
const GROUP_ATTEMPTS: u32 = 3;
/// How often one is repeated when a key is taken that it had not seen: another instance was faster by a moment, and
/// on the next attempt the rule that looks for the key says so in its own words.
const TAKEN_ATTEMPTS: u32 = 3;
/// How many transactions that follow a conflict have their turn alone from the start.
const WARY: u32 = 32;
/// How long a write waits at most.
const MOST_WAIT: Duration = Duration::from_secs(10);

/// The queue through which a process writes, or its background work does.
pub(super) struct Writer {
    pool: ConnPool,
    lane: Lane<dyn Write>,
    /// Of a database to which no other process writes.
    checkpoints: Option<Arc<Checkpoints>>,
    facts: Arc<Facts>,
    retries: AtomicU64,
    /// How many of the next transactions have their turn alone.
    wary: AtomicU32,
}

/// A write that waits for its turn.
trait Write: Send {
    /// Begins it, unless its caller has given it up by now.
    fn begin(&self) -> bool;
    /// What it is about to ask for, if it is gathered with others; nothing if it is not.
    fn ahead(&self) -> Option<&[Ahead]>;
    /// Does the work; more than once where a transaction has to be repeated.
    fn run(&mut self, conn: &mut Conn) -> Result<()>;
    /// Tells the caller.
    fn answer(self: Box<Self>, outcome: Result<()>);
}

struct Queued<T, F> {
    ahead: Option<Vec<Ahead>>,
    work: F,
    value: Option<T>,
    caller: oneshot::Sender<Result<T>>,
    claim: Claim,
    span: tracing::Span,
}

/// Whether a write is begun, or given up before it was: whoever takes the claim first decides that.
#[derive(Debug, Clone, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Gives the write up when nobody waits for it any more.
struct GivenUp(Claim);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.take();
    }
}

impl<T: Send, F: Fn(&mut Conn) -> Result<T> + Send> Write for Queued<T, F> {
    fn begin(&self) -> bool {
        self.claim.take()
    }
    fn ahead(&self) -> Option<&[Ahead]> {
        self.ahead.as_deref()
    }
    fn run(&mut self, conn: &mut Conn) -> Result<()> {
        self.value = Some(self.span.in_scope(|| (self.work)(conn))?);
        Ok(())
    }
    fn answer(self: Box<Self>, outcome: Result<()>) {
        let value = self.value.ok_or_else(|| Error::internal("a write that succeeded has a value"));
        // A caller that went away wants no answer.
        let _ = self.caller.send(outcome.and(value));
    }
}

impl Writer {
    /// `checkpoints` are those of a database to which no other process writes.
    pub(super) fn new(pool: ConnPool, checkpoints: Option<Arc<Checkpoints>>, facts: Arc<Facts>) -> Self {
        Self {
            pool,
            lane: Lane::default(),
            checkpoints,
            facts,
            retries: AtomicU64::default(),
            wary: AtomicU32::default(),
        }
    }

    /// A writer with a queue of its own, where the database takes more than one; this one where it does not.
    pub(super) fn beside(self: &Arc<Self>) -> Arc<Self> {
        match self.is_shared() {
            true => Arc::new(Self::new(self.pool.clone(), None, self.facts.clone())),
            false => self.clone(),
        }
    }

    pub(super) fn pool(&self) -> &ConnPool {
        &self.pool
    }

    /// Whether other processes may write at the same moment.
    pub(super) fn is_shared(&self) -> bool {
        self.checkpoints.is_none()
    }

    /// How many writes were repeated because of a conflict, since the start.
    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// How many writes wait for their turn now.
    pub(super) fn waiting(&self) -> usize {
        self.lane.waiting().len()
    }

    /// Queues `work`, and waits for its outcome. It is gathered when it says what it is about to ask for.
    pub(super) async fn write<T, F>(self: &Arc<Self>, ahead: Option<Vec<Ahead>>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        if self.waiting() >= MOST_WAITING {
            return Err(busy());
        }
        let ((caller, mut answer), claim) = (oneshot::channel(), Claim::default());
        // The span covers the wait as well as the work.
        let (writer, span) = (self.clone(), span("write"));
        let given_up = GivenUp(claim.clone());
        let write = Queued { ahead, work, value: None, caller, claim, span };
        self.lane.queue(Box::new(write), move |group| writer.work_off(group));
        let answered = match tokio::time::timeout(MOST_WAIT, &mut answer).await {
            Err(_) if given_up.0.take() => return Err(busy()),
            Err(_) => answer.await,
            Ok(answered) => answered,
        };
        answered.map_err(|error| Error::internal("the write was given up").because(error))?
    }

    /// Works off a group.
    fn work_off(&self, mut group: Vec<Box<dyn Write>>) {
        let _at_hand = AtHand::new(&self.facts, Memory::Recalls);
        group.retain(|write| write.begin());
        let mut is_reached = true;
        let alone = if group.len() > 1 { self.run_together(group, &mut is_reached) } else { group };
        for mut write in alone {
            let outcome = if is_reached { self.run_alone(&mut *write) } else { Err(away()) };
            is_reached &= !outcome.as_ref().is_err_and(has_no_connection);
            write.answer(outcome);
        }
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.note_commit();
        }
        if !is_reached {
            self.lane.take_all().into_iter().filter(|write| write.begin()).for_each(|write| write.answer(Err(away())));
        }
    }

    /// Runs a group in one transaction, and gives back those that must run again alone.
    fn run_together(&self, mut group: Vec<Box<dyn Write>>, is_reached: &mut bool) -> Vec<Box<dyn Write>> {
        let (mut again, mut attempt) = (Vec::new(), 1);
        let tried = loop {
            match self.try_together(&mut group, &mut again, self.turn(attempt)) {
                Err(error) if attempt < GROUP_ATTEMPTS && error.cause().is_some_and(is_conflict) => {
                    self.rest_before(&mut attempt);
                }
                tried => break tried,
            }
        };
        let outcomes = match tried {
            Ok(outcomes) => outcomes,
            Err(error) if is_away(&error) || error.kind == Kind::OutcomeUnknown => {
                *is_reached = !has_no_connection(&error);
                group.into_iter().for_each(|write| write.answer(Err(error.for_another())));
                return again;
            }
            Err(error) => {
                tracing::debug!(%error, writes = group.len(), "a group of writes was not committed; each runs alone");
                self.retries.fetch_add(1, Ordering::Relaxed);
                again.append(&mut group);
                return again;
            }
        };
        for (write, outcome) in group.into_iter().zip(outcomes) {
            match outcome {
                Err(error) if self.attempts(&error) > 1 => again.push(write),
                outcome => write.answer(outcome),
            }
        }
        again
    }

    /// The outcome of each write of the group, once the transaction is committed; without one that failed, if that alone was in
    /// the others' way.
    fn try_together(
        &self,
        group: &mut Vec<Box<dyn Write>>,
        alone: &mut Vec<Box<dyn Write>>,
        turn: Turn,
    ) -> Result<Vec<Result<()>>> {
        let mut tried = self.all_succeed(group, turn)?;
        if let Tried::FailedAt(failed) = tried {
            alone.push(group.remove(failed));
            tried = self.all_succeed(group, turn)?;
        }
        match tried {
            Tried::Committed => Ok(group.iter().map(|_| Ok(())).collect()),
            Tried::FailedAt(_) | Tried::Failed => self.try_apart(group, turn),
        }
    }

    /// Runs the group in one transaction. If one of it fails, nothing is committed.
    fn all_succeed(&self, group: &mut [Box<dyn Write>], turn: Turn) -> Result<Tried> {
        let mut conn = self.pool.begin(|conn| begin_write(conn, turn))?;
        let mut done = 0;
        match run_gathering(&mut conn, group, &mut done) {
            Ok(()) => commit(&mut conn).map(|()| Tried::Committed),
            Err(error) => {
                roll_back(&mut conn);
                match error.cause().is_some_and(is_conflict) {
                    true => Err(error),
                    false if done < group.len() => Ok(Tried::FailedAt(done)),
                    false => Ok(Tried::Failed),
                }
            }
        }
    }

    /// The outcome of each write of the group, once the transaction is committed: each has a savepoint to which it is rolled
    /// back if it fails.
    fn try_apart(&self, group: &mut [Box<dyn Write>], turn: Turn) -> Result<Vec<Result<()>>> {
        let mut conn = self.pool.begin(|conn| begin_write(conn, turn))?;
        let mut outcomes = Vec::new();
        for write in group {
            match run_in_savepoint(&mut conn, &mut **write) {
                Err(error) => {
                    roll_back(&mut conn);
                    return Err(error);
                }
                Ok(outcome) => outcomes.push(outcome),
            }
        }
        commit(&mut conn)?;
        Ok(outcomes)
    }

    /// Runs a write in a transaction of its own, again where another instance was in its way.
    fn run_alone(&self, write: &mut dyn Write) -> Result<()> {
        let mut attempt = 1;
        loop {
            match self.try_alone(write, self.turn(attempt)) {
                Err(error) if attempt < self.attempts(&error) => self.rest_before(&mut attempt),
                outcome => return outcome,
            }
        }
    }

    /// Rests before the next attempt, the longer the more there were, so that those that were in each other's way come apart.
    fn rest_before(&self, attempt: &mut u32) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.wary.store(WARY, Ordering::Relaxed);
        let most = 1_u64 << (*attempt).min(7);
        std::thread::sleep(Duration::from_millis(rand::random_range(0..=most)));
        *attempt += 1;
    }

    /// What turn an attempt has.
    fn turn(&self, attempt: u32) -> Turn {
        let is_wary = self.wary.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if attempt > 1 || is_wary { Turn::Alone } else { Turn::Beside }
    }

    fn try_alone(&self, write: &mut dyn Write, turn: Turn) -> Result<()> {
        let mut conn = self.pool.begin(|conn| begin_write(conn, turn))?;
        match run(&mut conn, write) {
            Ok(()) => commit(&mut conn),
            Err(error) => {
                roll_back(&mut conn);
                Err(error)
            }
        }
    }

    /// How often a write that failed with `error` is attempted in all.
    fn attempts(&self, error: &Error) -> u32 {
        match error.cause() {
            Some(error) if is_conflict(error) => WRITE_ATTEMPTS,
            // Where nobody else writes, what is taken was taken before.
            Some(Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if self.is_shared() => TAKEN_ATTEMPTS,
            _ => 1,
        }
    }
}

/// What became of a group that was run in one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Committed,
    /// This write of it failed, or the rows that waited before it, or what was to be loaded ahead from it on.
    FailedAt(usize),
    /// The rows that waited could not be inserted at the end.
    Failed,
}

/// How a transaction that writes comes by its turn on PostgreSQL, where others may write at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Beside others.
    Beside,
    /// When those that were begun have ended, and before any other begins: nobody is in its way.
    Alone,
}

impl Turn {
    /// Takes the turn: to be done before the first query, with which the transaction's snapshot is taken. It ends with the
    /// transaction. The table stands for the whole database: nothing that serves writes to it, so that only a migration that does
    /// comes between.
    fn take(self, conn: &mut Conn) -> Result<()> {
        match (conn, self) {
            (Conn::Sqlite(_), _) => Ok(()),
            (Conn::Pg(pg), Self::Beside) => Ok(pg.batch_execute("LOCK TABLE state_edges IN ROW SHARE MODE")?),
            (Conn::Pg(pg), Self::Alone) => Ok(pg.batch_execute("LOCK TABLE state_edges IN EXCLUSIVE MODE")?),
        }
    }
}

fn begin_write(conn: &mut Conn, turn: Turn) -> Result<()> {
    begin(conn, "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN IMMEDIATE")?;
    turn.take(conn).inspect_err(|_| roll_back(conn))
}

#[allow(clippy::disallowed_methods)] // as in `begin`
fn commit(conn: &mut Conn) -> Result<()> {
    if let Err(error) = failpoints::pass(Site::DbCommit) {
        roll_back(conn);
        return Err(error.into());
    }
    Manager::commit_transaction(conn).map_err(|error| match may_be_done(&error) {
        true => perhaps_done(error),
        false => Error::from(error),
    })?;
    failpoints::pass(Site::DbCommitted).map_err(perhaps_done)
}

fn perhaps_done(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Kind::OutcomeUnknown, "the database failed while it committed: this may have been done")
        .remedy("look whether it was; a request with an Idempotency-Key may be sent again as it was")
        .because(error)
}

/// Whether a commit that failed may have been done all the same: no answer came, or the disk failed under it.
fn may_be_done(error: &Diesel) -> bool {
    match error {
        Diesel::RollbackErrorOnCommit { commit_error, .. } => may_be_done(commit_error),
        Diesel::DatabaseError(_, info) if info.message().contains(DISK_FAILS) => true,
        error => is_broken(error),
    }
}

/// The refusal of a write because too many wait.
fn busy() -> Error {
    lane::busy("too many changes wait for the database: this one was not made")
}

/// Whether no connection could be had.
fn has_no_connection(error: &Error) -> bool {
    error.cause::<PoolError>().is_some()
}

/// Runs the writes of a group one after another, as far as they succeed; those that append do it together. Counts those that
/// are done.
fn run_gathering(conn: &mut Conn, group: &mut [Box<dyn Write>], done: &mut usize) -> Result<()> {
    for alike in group.chunk_by_mut(|one, next| one.ahead().is_some() == next.ahead().is_some()) {
        let mut gathered = Gathered::default();
        gathered.within(|| ahead::load_all(conn, alike.iter().filter_map(|write| write.ahead()).flatten()))?;
        for write in alike {
            match write.ahead() {
                Some(_) => gathered.within(|| run(conn, &mut **write))?,
                None => run(conn, &mut **write)?,
            }
            *done += 1;
        }
        gathered.flush(conn)?;
    }
    Ok(())
}

/// Runs a write within the group's transaction: what it made of it, or why the whole group cannot go on.
#[allow(clippy::disallowed_methods)] // as in `begin`
fn run_in_savepoint(conn: &mut Conn, write: &mut dyn Write) -> Result<Result<()>> {
    Manager::begin_transaction(conn)?;
    match run(conn, write) {
        Err(error) if error.cause().is_some_and(is_conflict) => Err(error),
        Err(error) => {
            Manager::rollback_transaction(conn)?;
            Ok(Err(error))
        }
        Ok(()) => {
            Manager::commit_transaction(conn)?;
            Ok(Ok(()))
        }
    }
}

/// Runs a write on an open transaction. One that panicked has failed, and leaves nothing behind.
fn run(conn: &mut Conn, write: &mut dyn Write) -> Result<()> {
    FIRST_FAILURE.set(None);
    let ran = catch_unwind(AssertUnwindSafe(|| write.run(conn)));
    outcome_of(ran.unwrap_or_else(|_| Err(Error::internal("database work panicked"))))
}

#[cfg(test)]
#[path = "writes_tests.rs"]
mod tests;
