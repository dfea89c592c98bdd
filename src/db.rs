//! The database: SQLite on a laptop, PostgreSQL for a fleet, one code path over both.
//!
//! [`Db`]'s reads and writes are the only ways to a [`Conn`]. Each runs its closure whole on one blocking
//! thread, so a request that is dropped cannot cut a transaction in two.
//!
//! - A write is serialisable: `BEGIN IMMEDIATE` on SQLite, `ISOLATION LEVEL SERIALIZABLE` on PostgreSQL. Those that
//!   wait at the same time share one commit (see `db/writes.rs`), and one that met a conflict is repeated. Closures
//!   are therefore `Fn`, and free of side effects.
//! - A read sees one snapshot and cannot write. Small reads that run at the same time share a snapshot ([`Db::read_shared`]).
//!   What nothing is decided by may be read from a copy that lags behind ([`Db::read_catalogue`]). A health check waits for no
//!   connection that other work uses ([`Db::check`]).
//! - What never changes is remembered ([`fact`], [`Db::fact`]).
//! - Writes that only append do it together ([`append`], [`Db::write_gathered`]).
//! - Statements are kept by each connection, those that look for one of many values too ([`Among`]).
//! - Text compares by its bytes on both, whatever collation a PostgreSQL was set up with.
//!
//! Invariant: a transaction in which a statement failed is not committed, even if its closure returns `Ok`.
//! PostgreSQL would answer such a `COMMIT` with success, and have kept nothing.
//! Invariant: rows of the [`APPEND_ONLY`] tables are never changed or removed, and those of the [`KEPT_A_WHILE`] tables never
//! changed; triggers refuse it.
//! Invariant: the rows of the [`LIVES`] move along the edges in `state_edges` and no others; triggers refuse it.

use std::cell::Cell;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use diesel::Connection;
use diesel::connection::{AnsiTransactionManager, DebugQuery, InstrumentationEvent, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use tokio::runtime::Handle;

use crate::error::{Error, Result};
use crate::failpoints::{self, Site};

mod ahead;
mod among;
mod checkpoints;
mod conn;
mod facts;
mod gather;
mod guards;
mod lane;
mod migrations;
mod pool;
mod reads;
mod writes;

pub use ahead::Ahead;
pub use among::{Among, IsAmong};
use checkpoints::Checkpoints;
pub use conn::{Conn, MultiBackend};
pub use facts::fact;
use facts::{AtHand, Facts, Memory};
use gather::Gathered;
pub use gather::{Append, append, flush, flush_of, keep, load_ahead, load_once, load_one};
pub use guards::{APPEND_ONLY, KEPT_A_WHILE, LIVES};
use pool::ConnPool;
use reads::Reader;
use writes::Writer;

/// A statement that takes so long is logged.
const SLOW: Duration = Duration::from_millis(500);

/// The database of one process.
#[derive(Clone)]
pub struct Db {
    readers: ConnPool,
    /// One connection, for health checks.
    checks: ConnPool,
    /// The runtime on whose threads they run: those of the caller's may all be waiting for a connection.
    home: Handle,
    /// Connections to a copy that follows this database.
    catalogue: Option<ConnPool>,
    reader: Arc<Reader>,
    writer: Arc<Writer>,
    /// The writer of the process's background work.
    background: Arc<Writer>,
    facts: Arc<Facts>,
}

impl Db {
    /// Opens `postgres://…`, or the SQLite file of any other name, and checks that it can be used.
    ///
    /// The schema is not touched; see [`Db::migrate`].
    ///
    /// # Errors
    /// `Unavailable`, when it cannot be; `Internal` outside of a runtime of Tokio.
    pub fn open(url: &str, pool_size: u32) -> Result<Self> {
        if is_postgres(url) {
            let pool = ConnPool::of_postgres(url, pool_size)?;
            return Self::over(pool.clone(), pool, true);
        }
        if url.contains("://") {
            // Not repeated here: it may hold a password.
            return Err(Error::invalid("database_url", "the database is of a kind that is not known here")
                .remedy("give postgres://… or the path of an SQLite file"));
        }
        let (readers, writers) = ConnPool::of_sqlite(url, pool_size)?;
        Self::over(readers, writers, false)
    }

    /// The same database, with a copy that follows it at `url`. The copy need not answer yet.
    pub fn with_copy(self, url: &str, pool_size: u32) -> Result<Self> {
        if !is_postgres(url) || !self.writer.is_shared() {
            return Err(Error::invalid("database_read_url", "only a PostgreSQL has a copy that follows it")
                .remedy("give postgres://… for both databases, or for neither"));
        }
        Ok(Self { catalogue: Some(ConnPool::of_copy(url, pool_size)?), ..self })
    }

    /// `is_shared` says whether other processes may write at the same moment.
    fn over(readers: ConnPool, writers: ConnPool, is_shared: bool) -> Result<Self> {
        let home = Handle::try_current()
            .map_err(|error| Error::internal("a database is opened in a runtime of Tokio").because(error))?;
        let facts = Arc::<Facts>::default();
        let reader = Arc::new(Reader::new(readers.clone(), facts.clone()));
        let checkpoints = (!is_shared).then(|| Arc::new(Checkpoints::new(readers.clone())));
        let writer = Arc::new(Writer::new(writers, checkpoints, facts.clone()));
        let (checks, background) = (readers.aside()?, writer.beside());
        Ok(Self { checks, readers, home, catalogue: None, reader, writer, background, facts })
    }

    /// Runs `work` over one consistent snapshot; it cannot write.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let span = span("read");
        self.on_blocking_thread(move |db| {
            let _within = span.enter();
            let mut conn = db.readers.begin(begin_read)?;
            let _at_hand = AtHand::new(&db.facts, Memory::Learns);
            finish_read(&mut conn, work)
        })
        .await
    }

    /// As [`Db::read`], from a copy that follows the database, if there is one and it answers. It may lag behind: for what shows
    /// anybody what is on offer, and for nothing that is decided by it.
    pub async fn read_catalogue<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let Some(copy) = self.catalogue.clone() else { return self.read(work).await };
        let span = span("catalogue");
        self.on_blocking_thread(move |db| {
            let _within = span.enter();
            let mut conn = match copy.begin_if_there(begin_read) {
                Some(conn) => conn,
                None => db.readers.begin(begin_read)?,
            };
            let _at_hand = AtHand::new(&db.facts, Memory::Learns);
            finish_read(&mut conn, work)
        })
        .await
    }

    /// As [`Db::read`], for a small read of which many run at the same time: they share a snapshot (see `db/reads.rs`). `ahead`
    /// names what `work` is about to ask for; that of all of them is loaded together.
    pub async fn read_shared<T, F>(&self, ahead: Vec<Ahead>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.reader.read(ahead, work).await
    }

    /// The fact of type `T` that goes by `key` (see `db/facts.rs`): where it is not remembered, `load` finds it in a read.
    ///
    /// # Errors
    /// Those of the read, and of `load`.
    pub async fn fact<T, F>(&self, key: impl Display, load: F) -> Result<T>
    where
        T: Clone + Send + Sync + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let key = key.to_string();
        if let Some(known) = self.facts.recall(&key) {
            return Ok(known);
        }
        let found = self.read(load).await?;
        self.facts.learn(&key, found.clone());
        Ok(found)
    }

    /// As [`Db::read`], for health checks: it waits for no connection and no thread that other work uses, so that a busy database
    /// is not taken for one that cannot be reached.
    pub async fn check<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        let checks = self.checks.clone();
        let checked = self.home.spawn_blocking(move || finish_read(&mut *checks.begin(begin_read)?, work));
        checked.await.map_err(|error| Error::internal("database work panicked").because(error))?
    }

    /// Runs `work` as one serialisable transaction: all of it is durable when this returns `Ok`, none of it otherwise.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.writer.write(None, work).await
    }

    /// As [`Db::write`], for work that only appends rows, and swaps balances that it compared (see `db/gather.rs`): many of
    /// these at the same time cost less. `ahead` is as in [`Db::read_shared`].
    pub async fn write_gathered<T, F>(&self, ahead: Vec<Ahead>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.writer.write(Some(ahead), work).await
    }

    /// The same database, for the background work of a process. Where the database takes more than one writer, this work has a
    /// lane of its own, and requests do not wait for it.
    pub fn for_background(&self) -> Self {
        Self { writer: self.background.clone(), ..self.clone() }
    }

    /// How many writes were repeated because of a conflict, since the start.
    pub fn retries(&self) -> u64 {
        self.writers().map(|writer| writer.retries()).sum()
    }

    /// How many writes wait for their turn now.
    pub fn waiting(&self) -> usize {
        self.writers().map(|writer| writer.waiting()).sum()
    }

    /// The writers of this process: one, or two where the background has its own.
    fn writers(&self) -> impl Iterator<Item = &Arc<Writer>> {
        let beside = Some(&self.background).filter(|background| !Arc::ptr_eq(&self.writer, background));
        std::iter::once(&self.writer).chain(beside)
    }

    async fn on_blocking_thread<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Db) -> Result<T> + Send + 'static,
    {
        let db = self.clone();
        let span = tracing::Span::current();
        tokio::task::spawn_blocking(move || span.in_scope(|| work(&db)))
            .await
            .map_err(|error| Error::internal("database work panicked").because(error))?
    }
}

/// The span of a transaction, inside that of the caller. Where transactions are not traced it is the caller's span itself, so that
/// what is logged on another thread still says which request it belongs to.
fn span(kind: &'static str) -> tracing::Span {
    let span = tracing::debug_span!("transaction", kind);
    if span.is_disabled() { tracing::Span::current() } else { span }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

thread_local! {
    /// What the first statement that failed in this thread's transaction failed with.
    static FIRST_FAILURE: Cell<Option<Diesel>> = const { Cell::new(None) };
    /// When this thread's statement began.
    static BEGAN: Cell<Option<Stopwatch>> = const { Cell::new(None) };
}

/// Whether a statement has failed in this thread's transaction.
fn has_failed() -> bool {
    let failure = FIRST_FAILURE.take();
    let has_failed = failure.is_some();
    FIRST_FAILURE.set(failure);
    has_failed
}

/// Logs a statement that took long, without the values in it: they are the business of those whom they concern.
fn note_slow(query: &dyn DebugQuery) {
    let Some(took) = BEGAN.take().map(|began| began.elapsed()).filter(|took| *took >= SLOW) else { return };
    let text = query.to_string();
    let sql = text.split(" -- binds:").next().unwrap_or_default();
    tracing::warn!(millis = took.as_millis(), sql, "a statement took long");
}

fn note(event: InstrumentationEvent<'_>) {
    match &event {
        InstrumentationEvent::StartQuery { query, .. } => {
            BEGAN.set(Some(Stopwatch::now()));
            if cfg!(debug_assertions) {
                gather::note_query(query);
            }
        }
        InstrumentationEvent::FinishQuery { query, error, .. } => {
            note_slow(*query);
            if failpoints::is_armed(Site::DbStatement) && error.is_none() && changes_rows(*query) {
                fail_if_armed();
            }
        }
        _ => {}
    }
    if let InstrumentationEvent::FinishQuery { error: Some(Diesel::DatabaseError(kind, info)), .. } = event {
        let this = || Diesel::DatabaseError(*kind, Box::new(info.message().to_string()));
        FIRST_FAILURE.set(FIRST_FAILURE.take().or_else(|| Some(this())));
    }
}

fn changes_rows(query: &dyn DebugQuery) -> bool {
    let text = query.to_string();
    ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| text.starts_with(verb))
}

/// Has the statement that just ran count as one that failed.
fn fail_if_armed() {
    if let Err(error) = failpoints::pass(Site::DbStatement) {
        FIRST_FAILURE.set(Some(Diesel::DatabaseError(DatabaseErrorKind::Unknown, Box::new(error.to_string()))));
    }
}

#[allow(clippy::disallowed_methods)] // the one home of raw transactions
fn begin(conn: &mut Conn, postgres: &str, sqlite: &str) -> Result<()> {
    match conn {
        Conn::Pg(pg) => AnsiTransactionManager::begin_transaction_sql(pg, postgres)?,
        Conn::Sqlite(lite) => AnsiTransactionManager::begin_transaction_sql(lite, sqlite)?,
    }
    FIRST_FAILURE.set(None);
    Ok(())
}

fn begin_read(conn: &mut Conn) -> Result<()> {
    begin(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN DEFERRED")
}

type Manager = <Conn as Connection>::TransactionManager;

#[allow(clippy::disallowed_methods)] // as above
fn finish_read<T>(conn: &mut Conn, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
    match outcome_of(Gathered::of_reads().within(|| work(conn))) {
        Ok(value) => Manager::commit_transaction(conn).map(|()| value).map_err(Error::from),
        Err(error) => {
            roll_back(conn);
            Err(error)
        }
    }
}

/// The outcome of work that returned `said`: an error if one of its statements failed, even where the work ignored that.
fn outcome_of<T>(said: Result<T>) -> Result<T> {
    match (said, FIRST_FAILURE.take()) {
        (Ok(_), Some(passed_over)) => Err(Error::from(passed_over)),
        // However the work reported the conflict, it may succeed when it is repeated.
        (Err(_), Some(conflict)) if is_conflict(&conflict) => Err(Error::from(conflict)),
        (said, _) => said,
    }
}

/// Undoes the whole transaction, or drops the connection.
#[allow(clippy::disallowed_methods)] // as above
fn roll_back(conn: &mut Conn) {
    while let Ok(Some(_)) = Manager::transaction_manager_status_mut(conn).transaction_depth() {
        if let Err(rollback) = Manager::rollback_transaction(conn) {
            tracing::warn!(?rollback, "a rollback failed; the connection is dropped");
            return;
        }
    }
}

/// The error of a failed insertion: `taken` where a key was taken already.
pub fn or_taken(error: Diesel, taken: impl FnOnce() -> Error) -> Error {
    match error {
        Diesel::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => taken(),
        other => Error::from(other),
    }
}

/// True if another transaction got in the way and the same work may succeed when repeated.
///
/// PostgreSQL has codes for the others, which diesel does not pass on. Where it speaks another language than English,
/// they count as failures.
pub(crate) fn is_conflict(error: &Diesel) -> bool {
    match error {
        Diesel::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => true,
        Diesel::DatabaseError(DatabaseErrorKind::Unknown, info) => {
            ["deadlock detected", "due to lock timeout", "database is locked"]
                .iter()
                .any(|conflict| info.message().contains(conflict))
        }
        Diesel::RollbackErrorOnCommit { commit_error, .. } => is_conflict(commit_error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn the_file_is_private_and_writes_go_on_after_one_that_panicked() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new").join("db.sqlite3");
        let db = Db::open(&file.display().to_string(), 1).unwrap();
        db.write(|c| Ok(diesel::connection::SimpleConnection::batch_execute(c, "CREATE TABLE first (a TEXT)")?))
            .await
            .unwrap();
        for name in ["db.sqlite3", "db.sqlite3-wal"] {
            let mode = std::fs::metadata(file.with_file_name(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let panicked = db.write(|c| -> Result<()> {
            diesel::connection::SimpleConnection::batch_execute(c, "CREATE TABLE half (done INTEGER)")?;
            panic!("half way")
        });
        assert_eq!(panicked.await.unwrap_err().kind, Kind::Internal);
        let again =
            |c: &mut Conn| Ok(diesel::connection::SimpleConnection::batch_execute(c, "CREATE TABLE half (a TEXT)")?);
        db.write(again).await.unwrap();
    }

    #[test]
    fn a_check_waits_for_no_connection_and_no_thread_that_others_work_with() {
        use tokio::runtime::Builder;
        let (folder, home) = (tempfile::tempdir().unwrap(), Builder::new_current_thread().build().unwrap());
        let file = folder.path().join("db.sqlite3").display().to_string();
        let db = home.block_on(async { Db::open(&file, 1) }).unwrap();
        let of_a_server = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let ((begin, begun), (release, released)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel::<()>());
        of_a_server.block_on(async {
            let busy = db.clone();
            let works = move |_: &mut Conn| Ok(begin.send(()).is_ok() && released.recv().is_ok());
            let busy = tokio::spawn(async move { busy.read(works).await });
            while begun.try_recv().is_err() {
                tokio::task::yield_now().await;
            }
            db.check(|_| Ok(())).await.unwrap();
            release.send(()).unwrap();
            assert!(busy.await.unwrap().unwrap());
        });
    }

    #[test]
    fn a_database_of_an_unknown_kind_is_refused_without_repeating_its_password() {
        let refused = Db::open("postgress://user:hunter2@host/db", 1).err().unwrap();
        assert_eq!(refused.field.as_deref(), Some("database_url"));
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}
