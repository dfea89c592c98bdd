//! The connection pool: how many connections there are, what is set on each, and how long a caller waits for one.
//!
//! A caller that needs one while all are in use waits for a while. While the database cannot be reached, a caller gets an
//! error soon: waiting would improve nothing, and all that waited would run at once when the database is back.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use diesel::connection::{SimpleConnection as _, TransactionManager as _};
use diesel::r2d2::event::AcquireEvent;
use diesel::r2d2::{
    Error as Failure, HandleError, HandleEvent, ManageConnection, Pool, PoolError, PooledConnection,
    R2D2Connection as _,
};
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel::{Connection as _, PgConnection, SqliteConnection};

use super::{Conn, Manager, note};
use crate::error::{Error, Kind, Result};

/// Older SQLite can corrupt a database when the write-ahead log is reset.
const SQLITE_AT_LEAST: i32 = 3_051_003;
/// How long a connection is waited for while all are in use, and at the start.
const BUSY_WAIT: Duration = Duration::from_secs(10);
/// How long one is waited for while none can be made.
const AWAY_WAIT: Duration = Duration::from_millis(1500);
/// How long a copy that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);
/// What libpq is told, unless the URL says otherwise, for the case that a network swallows what is sent: for how many seconds it
/// tries to connect, after how many milliseconds without an acknowledgement it gives a connection up, and how many seconds it waits
/// for an answer until it asks for one. Without the latter who waits for an answer that was lost would wait for hours.
const ON_A_BROKEN_NETWORK: [(&str, u32); 4] =
    [("connect_timeout", 2), ("tcp_user_timeout", 1500), ("keepalives_idle", 1), ("keepalives_interval", 1)];

/// The connections of one process to a database, for one purpose.
#[derive(Clone)]
pub(super) struct ConnPool {
    pool: Pool<Source>,
    source: Source,
    reach: Reach,
    /// Of a copy, when it last did not answer.
    missed: Arc<Mutex<Option<Stopwatch>>>,
}

/// A connection in use.
pub(super) type InUse = PooledConnection<Source>;

impl ConnPool {
    /// Connections to PostgreSQL, for reading and writing.
    pub(super) fn of_postgres(url: &str, size: u32) -> Result<Self> {
        Self::open(Source::of_postgres(url), size)
    }

    /// Connections to a copy of a PostgreSQL, for reading. It may be away.
    pub(super) fn of_copy(url: &str, size: u32) -> Result<Self> {
        Self::build(Source::of_postgres(url), size).map_err(cannot_be_opened)
    }

    /// Connections to an SQLite file, which is made if it is missing: those for reading, and the one for writing.
    pub(super) fn of_sqlite(file: &str, readers: u32) -> Result<(Self, Self)> {
        make_private_file(Path::new(file))?;
        let writers = Self::open(Source::SqliteWriter(file.into()), 1)?;
        assert_sqlite_version(&mut *writers.checkout()?)?;
        Ok((Self::open(Source::SqliteReader(file.into()), readers)?, writers))
    }

    /// One more connection to the same, which nobody else in this pool waits for. It is made when it is needed.
    pub(super) fn aside(&self) -> Result<Self> {
        Self::build(self.source.clone(), 1).map_err(cannot_be_opened)
    }

    /// Connections to what must be there now.
    fn open(source: Source, size: u32) -> Result<Self> {
        let opened = Self::build(source, size).map_err(cannot_be_opened)?;
        opened.pool.get_timeout(BUSY_WAIT).map_err(cannot_be_opened)?;
        Ok(opened)
    }

    fn build(source: Source, size: u32) -> Result<Self, PoolError> {
        let reach = Reach::default();
        let pool = Pool::builder()
            .max_size(size)
            // None is opened ahead: a thread of the pool would do that, and may be half way when the program ends, which takes
            // OpenSSL from under it.
            .min_idle(Some(0))
            .connection_timeout(AWAY_WAIT)
            // One that broke while nobody used it shows that at its next transaction's beginning; see `begin`.
            .test_on_check_out(false)
            .event_handler(Box::new(reach.clone()))
            .error_handler(Box::new(reach.clone()))
            .build(source.clone())?;
        Ok(Self { pool, source, reach, missed: Arc::default() })
    }

    /// A connection of its own, which the pool does not count.
    pub(super) fn connect(&self) -> Result<Conn> {
        self.source.connect().map_err(|error| away().because(error))
    }

    /// A connection, once one is free.
    pub(super) fn checkout(&self) -> Result<InUse> {
        let since = Stopwatch::now();
        loop {
            match self.pool.get_timeout(AWAY_WAIT) {
                Ok(conn) => return Ok(conn),
                Err(error) if self.reach.is_lost() && self.pool.state().connections == 0 => {
                    return Err(away().because(error));
                }
                Err(error) if since.elapsed() >= BUSY_WAIT => {
                    let detail = "all connections to the database were in use for too long";
                    return Err(Error::new(Kind::Unavailable, detail).because(error));
                }
                Err(_) => {}
            }
        }
    }

    /// As [`ConnPool::begin`], of a copy that the database itself can stand in for: once it does not answer, it is left alone for a
    /// while.
    pub(super) fn begin_if_there(&self, begin: impl Fn(&mut Conn) -> Result<()>) -> Option<InUse> {
        let missed = *self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.is_some_and(|at| at.elapsed() < LEFT_ALONE) {
            return None;
        }
        let begun = self.begin(begin);
        if let Err(error) = &begun {
            tracing::warn!(%error, "the copy of the database does not answer; the database itself is asked");
        }
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = begun.is_err().then(Stopwatch::now);
        begun.ok()
    }

    /// A connection on which a transaction has begun. One that broke while nobody used it is dropped, and the next is tried.
    pub(super) fn begin(&self, begin: impl Fn(&mut Conn) -> Result<()>) -> Result<InUse> {
        let since = Stopwatch::now();
        loop {
            let mut conn = self.checkout()?;
            match begin(&mut conn) {
                Err(error) if error.cause().is_some_and(is_broken) => {
                    Manager::transaction_manager_status_mut(&mut *conn).set_in_error(); // so that the pool drops it
                    if since.elapsed() >= AWAY_WAIT {
                        return Err(error);
                    }
                }
                begun => return begun.map(|()| conn),
            }
        }
    }
}

fn cannot_be_opened(error: PoolError) -> Error {
    Error::new(Kind::Unavailable, "the database cannot be opened")
        .remedy("check DATABASE_URL and that the server runs")
        .because(error)
}

/// The error of a database that cannot be reached.
pub(super) fn away() -> Error {
    Error::new(Kind::Unavailable, "the database cannot be reached").remedy("try again in a few seconds")
}

/// Whether the database could not be reached, so that other work would fare no better.
pub(super) fn is_away(error: &Error) -> bool {
    error.cause::<PoolError>().is_some() || error.cause().is_some_and(is_broken)
}

/// Whether the connection broke.
pub(super) fn is_broken(error: &Diesel) -> bool {
    match error {
        Diesel::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => true,
        Diesel::RollbackErrorOnCommit { commit_error, .. } => is_broken(commit_error),
        _ => false,
    }
}

/// Whether the last try to connect failed.
#[derive(Debug, Clone, Default)]
struct Reach(Arc<AtomicBool>);

impl Reach {
    fn is_lost(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl HandleError<Failure> for Reach {
    fn handle_error(&self, error: Failure) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database cannot be reached");
        }
    }
}

impl HandleEvent for Reach {
    fn handle_acquire(&self, _: AcquireEvent) {
        if self.0.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is reached again");
        }
    }
}

/// Where connections come from.
#[derive(Clone)]
pub(super) enum Source {
    /// From this URL.
    Postgres(Arc<str>),
    /// From this file, for writing.
    SqliteWriter(Arc<str>),
    /// From this file, for reading.
    SqliteReader(Arc<str>),
}

impl Source {
    fn of_postgres(url: &str) -> Self {
        let missing = ON_A_BROKEN_NETWORK.iter().filter(|(name, _)| !url.contains(name));
        let url = missing.fold(url.to_string(), |url, (name, value)| {
            let separator = if url.contains('?') { '&' } else { '?' };
            format!("{url}{separator}{name}={value}")
        });
        Self::Postgres(url.into())
    }

    fn settings(&self) -> &'static str {
        match self {
            Source::Postgres(_) => {
                // A client that vanished or froze in the middle of a transaction keeps its locks: others must not wait for long. A
                // vanished one is given up as it gives up PostgreSQL: see `ON_A_BROKEN_NETWORK`.
                "SET TIME ZONE 'UTC'; SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
                 SET idle_in_transaction_session_timeout = '5s'; \
                 SET tcp_keepalives_idle = '1s'; SET tcp_keepalives_interval = '1s'; SET tcp_user_timeout = '1500ms'"
            }
            Source::SqliteWriter(_) => {
                // The pages of a reader are of use until the next change; those of the writer stay, and it keeps more of them (in KiB).
                // Most of a log of 16,000 pages (64 MiB) is copied by then: see `db/checkpoints.rs`.
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8000; PRAGMA wal_autocheckpoint = 16000; PRAGMA foreign_keys = ON"
            }
            Source::SqliteReader(_) => "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA query_only = ON",
        }
    }
}

impl ManageConnection for Source {
    type Connection = Conn;
    type Error = Failure;

    fn connect(&self) -> Result<Conn, Failure> {
        let made = match self {
            Source::Postgres(url) => PgConnection::establish(url).map(Conn::Pg),
            Source::SqliteWriter(file) | Source::SqliteReader(file) => {
                SqliteConnection::establish(file).map(Conn::Sqlite)
            }
        };
        let mut conn = made.map_err(Failure::ConnectionError)?;
        conn.set_instrumentation(note);
        conn.batch_execute(self.settings()).map_err(Failure::QueryError)?;
        Ok(conn)
    }

    fn is_valid(&self, conn: &mut Conn) -> Result<(), Failure> {
        conn.ping().map_err(Failure::QueryError)
    }

    fn has_broken(&self, conn: &mut Conn) -> bool {
        std::thread::panicking() || conn.is_broken()
    }
}

/// Makes the database's file, if it is missing, readable by its owner only; SQLite gives the files beside it the same
/// mode. What it holds (digests of credentials, who trades what) is no business of the machine's other users.
fn make_private_file(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    Ok(())
}

fn assert_sqlite_version(conn: &mut Conn) -> Result<()> {
    use diesel::prelude::*;
    if let Conn::Sqlite(sqlite) = conn {
        let version: String =
            diesel::select(diesel::dsl::sql::<diesel::sql_types::Text>("sqlite_version()")).get_result(sqlite)?;
        let number = version.split('.').fold(0, |sum, part| sum * 1000 + part.parse::<i32>().unwrap_or(0));
        if number < SQLITE_AT_LEAST {
            return Err(Error::internal(format!(
                "SQLite {version} is too old: 3.51.3 is the first without a corruption bug in its log reset"
            )));
        }
    }
    Ok(())
}
