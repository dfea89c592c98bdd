//! The database: SQLite on a laptop, PostgreSQL for a fleet, one code path over both.
//!
//! [`Db::read`] and [`Db::write`] are the only ways to a [`Conn`]. Each runs its closure whole on one blocking
//! thread, so a request that is dropped cannot cut a transaction in two.
//!
//! - A write is serialisable: `BEGIN IMMEDIATE` on SQLite, `ISOLATION LEVEL SERIALIZABLE` on PostgreSQL. Those that
//!   wait at the same time share one commit (see `db/writes.rs`), and one that met a conflict is repeated. Closures
//!   are therefore `Fn`, and free of side effects.
//! - A read sees one snapshot and cannot write.
//! - What never changes is remembered ([`fact`]).
//! - Text compares by its bytes on both, whatever collation a PostgreSQL was set up with.
//!
//! Invariant: a transaction in which a statement failed is not committed, even if its closure returns `Ok`.
//! PostgreSQL would answer such a `COMMIT` with success, and have kept nothing.
//! Invariant: rows of the [`APPEND_ONLY`] tables are never changed or removed, and those of the [`KEPT_A_WHILE`] tables never
//! changed; triggers refuse it.
//! Invariant: the rows of the [`LIVES`] move along the edges in `state_edges` and no others; triggers refuse it.

use std::cell::Cell;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use diesel::Connection;
use diesel::backend::Backend;
use diesel::connection::{AnsiTransactionManager, InstrumentationEvent, SimpleConnection, TransactionManager};
use diesel::migration::{MigrationSource, MigrationVersion};
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool, PooledConnection};
use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::error::{Error, Kind, Result};

mod conn;
mod facts;
mod writes;

pub use conn::{Conn, MultiBackend};
pub use facts::fact;
use facts::{AtHand, Facts, Memory};
use writes::Writer;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// Tables whose rows are facts: corrected by another row, never changed.
pub const APPEND_ONLY: &[&str] = &[
    "transitions",
    "ledger_transactions",
    "ledger_postings",
    "ledger_closings",
    "log_entries",
    "log_sequence",
    "log_checkpoints",
    "log_publications",
    "statements",
    "objects",
    "seals",
    "inspections",
    "evaluations",
    "version_parents",
    "offered_versions",
    "terms",
    "assessments",
    "certificates",
    "board_changes",
    "contracts",
    "receipt_batches",
    "receipts",
    "models",
    "model_versions",
    "audit_reads",
    "conflicts",
    "voucher_programmes",
    "voucher_movements",
];

/// Tables whose rows never change, and are removed when they have been kept long enough.
pub const KEPT_A_WHILE: &[&str] = &["events"];

/// Tables whose rows live through states. A row enters a state, and leaves it for another, only where `state_edges` draws
/// that edge; triggers refuse every other.
pub const LIVES: &[&str] = &[
    "versions",
    "deposits",
    "withdrawals",
    "listings",
    "objections",
    "orders",
    "entitlements",
    "takedowns",
    "recalls",
    "disputes",
    "offers",
    "negotiations",
];

/// Older SQLite can corrupt a database when the write-ahead log is reset.
const SQLITE_AT_LEAST: i32 = 3_051_003;

const POOL_WAIT: Duration = Duration::from_secs(10);

type ConnPool = Pool<ConnectionManager<Conn>>;

/// The database of one process.
#[derive(Clone)]
pub struct Db {
    readers: ConnPool,
    writer: Arc<Writer>,
    facts: Arc<Facts>,
}

impl Db {
    /// Opens `postgres://…`, or the SQLite file of any other name, and checks that it can be used.
    ///
    /// The schema is not touched; see [`Db::migrate`].
    pub fn open(url: &str, pool_size: u32) -> Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let pool = pool(url, pool_size, Settings::Postgres)?;
            return Ok(Self::over(pool.clone(), pool, true));
        }
        if url.contains("://") {
            // Not repeated here: it may hold a password.
            return Err(Error::invalid("database_url", "the database is of a kind that is not known here")
                .remedy("give postgres://… or the path of an SQLite file"));
        }
        make_private_file(Path::new(url))?;
        let writers = pool(url, 1, Settings::SqliteWriter)?;
        assert_sqlite_version(&mut *checkout(&writers)?)?;
        let readers = pool(url, pool_size, Settings::SqliteReader)?;
        Ok(Self::over(readers, writers, false))
    }

    /// `is_shared` says whether other processes may write at the same moment.
    fn over(readers: ConnPool, writers: ConnPool, is_shared: bool) -> Self {
        let facts = Arc::<Facts>::default();
        Self { readers, writer: Arc::new(Writer::new(writers, is_shared, facts.clone())), facts }
    }

    /// Brings the schema up to date and installs the guards of append-only tables.
    pub async fn migrate(&self) -> Result<()> {
        self.on_blocking_thread(|db| {
            let mut conn = checkout(db.writer.pool())?;
            match &mut *conn {
                Conn::Pg(pg) => {
                    // Several instances may start at once: one migrates, the others wait for it.
                    pg.batch_execute("SELECT pg_advisory_lock(4993215467)")?;
                    let done = run_pending_migrations(pg);
                    let guarded = done.and_then(|()| Ok(pg.batch_execute(&postgres_guards())?));
                    pg.batch_execute("SELECT pg_advisory_unlock(4993215467)")?;
                    guarded
                }
                Conn::Sqlite(sqlite) => {
                    run_pending_migrations(sqlite)?;
                    Ok(sqlite.batch_execute(&sqlite_guards())?)
                }
            }
        })
        .await
    }

    /// Undoes every migration: tests prove with it that each `down.sql` is real.
    pub async fn revert_all_migrations(&self) -> Result<()> {
        self.on_blocking_thread(|db| match &mut *checkout(db.writer.pool())? {
            Conn::Pg(pg) => pg.revert_all_migrations(MIGRATIONS).map(drop).map_err(migration_failed),
            Conn::Sqlite(sqlite) => sqlite.revert_all_migrations(MIGRATIONS).map(drop).map_err(migration_failed),
        })
        .await
    }

    /// Runs `work` over one consistent snapshot; it cannot write.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.on_blocking_thread(move |db| {
            let mut conn = checkout(&db.readers)?;
            begin(&mut conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN DEFERRED")?;
            let _at_hand = AtHand::new(&db.facts, Memory::Learns);
            finish(&mut conn, work)
        })
        .await
    }

    /// Runs `work` as one serialisable transaction: all of it is durable when this returns `Ok`, none of it otherwise.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&mut Conn) -> Result<T> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// How many writes were repeated because of a conflict, since the start.
    pub fn retries(&self) -> u64 {
        self.writer.retries()
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

fn migration_failed(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::internal("a migration failed").because(error)
}

/// Brings the schema up to date, unless another build made it: that one may have drawn it otherwise.
fn run_pending_migrations<C: MigrationHarness<B>, B: Backend>(conn: &mut C) -> Result<()> {
    let known = MigrationSource::<B>::migrations(&MIGRATIONS).map_err(migration_failed)?;
    let applied = conn.applied_migrations().map_err(migration_failed)?;
    let is_known = |version: &MigrationVersion| known.iter().any(|migration| migration.name().version() == *version);
    if let Some(stranger) = applied.iter().find(|version| !is_known(version)) {
        return Err(Error::internal(format!("this database has the migration {stranger}, which this program lacks"))
            .remedy("start the build that made this database or a later one, or give another data directory"));
    }
    conn.run_pending_migrations(MIGRATIONS).map(drop).map_err(migration_failed)
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

fn pool(url: &str, size: u32, settings: Settings) -> Result<ConnPool> {
    Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .connection_timeout(POOL_WAIT)
        .test_on_check_out(settings == Settings::Postgres)
        .connection_customizer(Box::new(settings))
        .build(ConnectionManager::new(url))
        .map_err(|error| {
            Error::new(Kind::Unavailable, "the database cannot be opened")
                .remedy("check DATABASE_URL and that the server runs")
                .because(error)
        })
}

fn checkout(pool: &ConnPool) -> Result<PooledConnection<ConnectionManager<Conn>>> {
    pool.get()
        .map_err(|error| Error::new(Kind::Unavailable, "no database connection became free in time").because(error))
}

/// What is set on every new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Settings {
    Postgres,
    SqliteWriter,
    SqliteReader,
}

impl CustomizeConnection<Conn, diesel::r2d2::Error> for Settings {
    fn on_acquire(&self, conn: &mut Conn) -> Result<(), diesel::r2d2::Error> {
        let sql = match self {
            Settings::Postgres => {
                "SET TIME ZONE 'UTC'; SET lock_timeout = '10s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '60s'"
            }
            Settings::SqliteWriter => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            }
            Settings::SqliteReader => "PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON; PRAGMA query_only = ON",
        };
        conn.set_instrumentation(note_failure);
        conn.batch_execute(sql).map_err(diesel::r2d2::Error::QueryError)
    }
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

thread_local! {
    /// What the first statement that failed in this thread's transaction failed with.
    static FIRST_FAILURE: Cell<Option<Diesel>> = const { Cell::new(None) };
}

fn note_failure(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::FinishQuery { error: Some(Diesel::DatabaseError(kind, info)), .. } = event {
        let this = || Diesel::DatabaseError(*kind, Box::new(info.message().to_string()));
        FIRST_FAILURE.set(FIRST_FAILURE.take().or_else(|| Some(this())));
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

type Manager = <Conn as Connection>::TransactionManager;

#[allow(clippy::disallowed_methods)] // as above
fn finish<T>(conn: &mut Conn, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
    match outcome_of(work(conn)) {
        Ok(value) => Manager::commit_transaction(conn).map(|()| value).map_err(Error::from),
        Err(error) => {
            roll_back(conn);
            Err(error)
        }
    }
}

/// What became of work whose last word is `said`, whatever it passed over on the way.
fn outcome_of<T>(said: Result<T>) -> Result<T> {
    match (said, FIRST_FAILURE.take()) {
        (Ok(_), Some(passed_over)) => Err(Error::from(passed_over)),
        // Whatever the work made of it, it may succeed when it is repeated.
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

fn sqlite_guards() -> String {
    let guard = |table: &str, event: &str| {
        format!(
            "CREATE TRIGGER IF NOT EXISTS {table}_refuse_{event} BEFORE {event} ON {table} \
             BEGIN SELECT RAISE(ABORT, '{table} is append-only: correct it with another row'); END;"
        )
    };
    let edge = |table: &str, event: &str, from: &str| {
        format!(
            "CREATE TRIGGER IF NOT EXISTS {table}_refuse_edge_of_{event} BEFORE {event} ON {table} \
             WHEN NOT EXISTS (SELECT 1 FROM state_edges \
                              WHERE life = '{table}' AND from_state = {from} AND to_state = NEW.state) \
             BEGIN SELECT RAISE(ABORT, '{table}: state_edges draws no edge to this state'); END;"
        )
    };
    let unchanging = APPEND_ONLY.iter().flat_map(|table| [guard(table, "UPDATE"), guard(table, "DELETE")]);
    let lives = LIVES.iter().flat_map(|table| {
        [
            edge(table, "INSERT", "''"),
            edge(table, "UPDATE", "OLD.state").replace("WHEN ", "WHEN NEW.state <> OLD.state AND "),
        ]
    });
    let kept = KEPT_A_WHILE.iter().map(|table| guard(table, "UPDATE"));
    unchanging.chain(kept).chain(lives).collect()
}

/// Gives every text column the collation that compares bytes, as SQLite does: the order of shards in a manifest and
/// of pages in a list must not depend on the language that a server was set up for.
const POSTGRES_BYTE_ORDER: &str = r#"
    DO $$ DECLARE change TEXT; BEGIN
        FOR change IN
            SELECT format('ALTER TABLE %s %s', attrelid::regclass,
                string_agg(format('ALTER COLUMN %I TYPE TEXT COLLATE pg_catalog."C"', attname), ', '))
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT attisdropped
                AND atttypid = 'TEXT'::regtype AND attcollation <> 'pg_catalog."C"'::regcollation
            GROUP BY attrelid
        LOOP EXECUTE change; END LOOP;
    END $$;"#;

fn postgres_guards() -> String {
    let refuse = "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ \
                  BEGIN RAISE EXCEPTION '% is append-only: correct it with another row', TG_TABLE_NAME; END $$;";
    let guard = |table: &&str, events: &str| {
        format!(
            "CREATE OR REPLACE TRIGGER {table}_refuse_change BEFORE {events} ON {table} \
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();"
        )
    };
    let unchanging = APPEND_ONLY.iter().map(|table| guard(table, "UPDATE OR DELETE OR TRUNCATE"));
    let kept = KEPT_A_WHILE.iter().map(|table| guard(table, "UPDATE OR TRUNCATE"));
    let refuse_edge = "CREATE OR REPLACE FUNCTION refuse_edge() RETURNS trigger LANGUAGE plpgsql AS $$ \
                       DECLARE before TEXT := CASE WHEN TG_OP = 'INSERT' THEN '' ELSE OLD.state END; BEGIN \
                       IF before <> NEW.state AND NOT EXISTS (SELECT 1 FROM state_edges WHERE life = TG_TABLE_NAME \
                           AND from_state = before AND to_state = NEW.state) \
                       THEN RAISE EXCEPTION '%: state_edges draws no edge to this state', TG_TABLE_NAME; END IF; \
                       RETURN NEW; END $$;";
    let edge = |table: &&str| {
        format!(
            "CREATE OR REPLACE TRIGGER {table}_refuse_edge BEFORE INSERT OR UPDATE OF state ON {table} \
             FOR EACH ROW EXECUTE FUNCTION refuse_edge();"
        )
    };
    let functions = [POSTGRES_BYTE_ORDER, refuse, refuse_edge].map(str::to_string);
    functions.into_iter().chain(unchanging).chain(kept).chain(LIVES.iter().map(edge)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_private_and_writes_go_on_after_one_that_panicked() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new").join("db.sqlite3");
        let db = Db::open(&file.display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
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
    fn a_database_of_an_unknown_kind_is_refused_without_repeating_its_password() {
        let refused = Db::open("postgress://user:hunter2@host/db", 1).err().unwrap();
        assert_eq!(refused.field.as_deref(), Some("database_url"));
        assert!(!format!("{refused:?}").contains("hunter2"));
    }
}
