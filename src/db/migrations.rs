//! The schema: bringing it up to date, and checking that it is.

use diesel::backend::Backend;
use diesel::connection::SimpleConnection as _;
use diesel::migration::{Migration, MigrationSource as _, MigrationVersion};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Conn, Db, guards};
use crate::error::{Error, Kind, Result};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

impl Db {
    /// Brings the schema up to date and draws the guards of its tables, on a connection of its own, whose statements take as
    /// long as they take.
    pub async fn migrate(&self) -> Result<()> {
        self.on_blocking_thread(|db| {
            let known = known::<diesel::pg::Pg>()?;
            let versions: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
            let mut conn = db.writer.pool().connect()?;
            match &mut conn {
                Conn::Pg(pg) => {
                    // Several instances may start at once: one migrates, the others wait for it. The lock goes with the connection.
                    pg.batch_execute(
                        "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(4993215467); SET lock_timeout = '10s'",
                    )?;
                    run_pending_migrations(pg)?;
                }
                Conn::Sqlite(sqlite) => run_pending_migrations(sqlite)?,
            }
            guards::draw(&mut conn, &versions)
        })
        .await
    }

    /// Whether no migration was ever applied to this database.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.applied().await? == 0)
    }

    /// Refuses a database whose schema is not up to date.
    ///
    /// # Errors
    /// `WrongState`, when it lacks migrations of this program; `Internal`, when this program lacks some of its.
    pub async fn require_migrated(&self) -> Result<()> {
        let known = known::<diesel::pg::Pg>()?.len();
        match known - self.applied().await? {
            0 => Ok(()),
            missing => {
                let detail = format!("the database lacks {missing} migrations of this program");
                let remedy =
                    "bring it up to date with `corpex migrate`, or use the version of the program that serves it";
                Err(Error::new(Kind::WrongState, detail).remedy(remedy))
            }
        }
    }

    async fn applied(&self) -> Result<usize> {
        self.on_blocking_thread(|db| match &mut db.writer.pool().connect()? {
            Conn::Pg(pg) => applied(pg),
            Conn::Sqlite(sqlite) => applied(sqlite),
        })
        .await
    }

    /// Undoes every migration: tests prove with it that each `down.sql` is real.
    pub async fn revert_all_migrations(&self) -> Result<()> {
        self.on_blocking_thread(|db| match &mut *db.writer.pool().checkout()? {
            Conn::Pg(pg) => pg.revert_all_migrations(MIGRATIONS).map(drop).map_err(migration_failed),
            Conn::Sqlite(sqlite) => sqlite.revert_all_migrations(MIGRATIONS).map(drop).map_err(migration_failed),
        })
        .await
    }
}

fn migration_failed(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::internal("a migration failed").because(error)
}

/// The migrations of this program.
fn known<B: Backend>() -> Result<Vec<Box<dyn Migration<B>>>> {
    MIGRATIONS.migrations().map_err(migration_failed)
}

/// How many of them were applied. Refuses a database that another build made: that one may have drawn it otherwise.
fn applied<C: MigrationHarness<B>, B: Backend>(conn: &mut C) -> Result<usize> {
    let known = known::<B>()?;
    let applied = conn.applied_migrations().map_err(migration_failed)?;
    let is_known = |version: &MigrationVersion| known.iter().any(|migration| migration.name().version() == *version);
    if let Some(stranger) = applied.iter().find(|version| !is_known(version)) {
        return Err(Error::internal(format!("this database has the migration {stranger}, which this program lacks"))
            .remedy("start the build that made this database or a later one, or give another data directory"));
    }
    Ok(applied.len())
}

fn run_pending_migrations<C: MigrationHarness<B>, B: Backend>(conn: &mut C) -> Result<()> {
    applied(conn)?;
    conn.run_pending_migrations(MIGRATIONS).map(drop).map_err(migration_failed)
}
