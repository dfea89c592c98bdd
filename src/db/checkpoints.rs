//! Checkpoints of SQLite: what lies in its write-ahead log is copied into the database.
//!
//! The connection that writes would do all of that itself, once the log is long enough, as a part of some commit: everybody who
//! writes would wait for the disk meanwhile. So another connection copies, on a thread of its own, while commits go on. To the one
//! that writes are left the last pages, after which the log begins anew.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Integer;

use super::{Conn, ConnPool};
use crate::error::Result;

/// After so many commits the log is looked at.
const COMMITS: u32 = 64;
/// How many pages are copied at least.
const PAGES: i32 = 1000;

/// What copies the log of one database.
pub(super) struct Checkpoints {
    source: ConnPool,
    /// The connection that copies, once one was needed; whoever holds it is at it.
    conn: Mutex<Option<Conn>>,
    commits: AtomicU32,
}

/// How many pages the log holds, and how many of them are copied.
#[derive(Debug, diesel::QueryableByName)]
struct Log {
    #[diesel(sql_type = Integer)]
    log: i32,
    #[diesel(sql_type = Integer)]
    checkpointed: i32,
}

impl Checkpoints {
    /// Of the database to which these are connections.
    pub(super) fn new(source: ConnPool) -> Self {
        Self { source, conn: Mutex::default(), commits: AtomicU32::default() }
    }

    /// Notes a commit, on a thread of a runtime. Now and then what the log holds is copied meanwhile.
    pub(super) fn note_commit(self: &Arc<Self>) {
        if self.commits.fetch_add(1, Ordering::Relaxed).wrapping_add(1).is_multiple_of(COMMITS) {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.copy());
        }
    }

    /// Copies what the log holds, unless that is little, or somebody is at it.
    fn copy(&self) {
        let Ok(mut conn) = self.conn.try_lock() else { return };
        if let Err(error) = self.copy_by(&mut conn) {
            tracing::warn!(%error, "the write-ahead log was not copied; what writes will do it");
            *conn = None;
        }
    }

    fn copy_by(&self, kept: &mut Option<Conn>) -> Result<()> {
        if kept.is_none() {
            *kept = Some(self.source.connect()?);
        }
        let Some(conn) = kept else { return Ok(()) };
        let Log { log, checkpointed } = log_of(conn)?;
        if log.saturating_sub(checkpointed) >= PAGES {
            // It waits for nobody, and leaves what somebody still reads.
            conn.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
    }
}

fn log_of(conn: &mut Conn) -> Result<Log> {
    Ok(diesel::sql_query("PRAGMA wal_checkpoint(NOOP)").get_result(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    #[tokio::test]
    async fn what_many_commits_leave_in_the_log_is_copied_while_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.write(|c| Ok(c.batch_execute("CREATE TABLE bytes (bytes BLOB)")?)).await.unwrap();
        let hundred_pages = |c: &mut Conn| Ok(c.batch_execute("INSERT INTO bytes VALUES (zeroblob(400000))")?);
        for _ in 0..COMMITS {
            db.write(hundred_pages).await.unwrap();
        }
        let mut conn = db.readers.connect().unwrap();
        while log_of(&mut conn).unwrap().checkpointed < PAGES {
            tokio::task::yield_now().await;
        }
    }
}
