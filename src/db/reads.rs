//! Shared reads: reads that wait at the same time share one snapshot, and query it once for what they all need.
//!
//! For a read of a few rows, the transaction costs more than the queries. Where many such reads run at the same time, they join
//! a lane: a snapshot is opened for those that wait, after the last of them was asked for, and each is answered as soon as it is
//! done. The lane is bounded: a read that is turned away is answered so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec;

use tokio::sync::oneshot;

use super::facts::{AtHand, Facts, Memory};
use super::gather::Gathered;
use super::lane::{Lane, MOST_WAITING, busy};
use super::{Ahead, Conn, ConnPool, ahead, begin_read, has_failed, outcome_of, roll_back, span};
use crate::error::{Error, Result};

/// The one way in which a process makes reads that share a snapshot.
pub(super) struct Reader {
    pool: ConnPool,
    lane: Lane<dyn Read>,
    facts: Arc<Facts>,
}

/// A read that waits for its turn.
trait Read: Send {
    /// What it is about to ask for.
    fn ahead(&self) -> &[Ahead];
    /// Does the work, and tells the caller. False when the snapshot is of no more use.
    fn run(self: Box<Self>, conn: &mut Conn) -> bool;
    /// Tells the caller that there is no snapshot.
    fn fail(self: Box<Self>, error: Error);
}

struct Queued<T, F> {
    ahead: Vec<Ahead>,
    work: F,
    caller: oneshot::Sender<Result<T>>,
    span: tracing::Span,
}

impl<T: Send, F: FnOnce(&mut Conn) -> Result<T> + Send> Read for Queued<T, F> {
    fn ahead(&self) -> &[Ahead] {
        &self.ahead
    }
    fn run(self: Box<Self>, conn: &mut Conn) -> bool {
        let Self { work, caller, span, .. } = *self;
        if caller.is_closed() {
            return true;
        }
        let ran = catch_unwind(AssertUnwindSafe(|| span.in_scope(|| work(conn))));
        let is_whole = ran.is_ok() && !has_failed();
        let _ = caller.send(outcome_of(ran.unwrap_or_else(|_| Err(Error::internal("database work panicked")))));
        is_whole
    }
    fn fail(self: Box<Self>, error: Error) {
        let _ = self.caller.send(Err(error));
    }
}

impl Reader {
    pub(super) fn new(pool: ConnPool, facts: Arc<Facts>) -> Self {
        Self { pool, lane: Lane::default(), facts }
    }

    /// Queues `work`, and waits for its outcome.
    pub(super) async fn read<T, F>(self: &Arc<Self>, ahead: Vec<Ahead>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    {
        if self.lane.waiting().len() >= MOST_WAITING {
            return Err(busy("too many questions wait for the database: this one was not asked"));
        }
        let (caller, answer) = oneshot::channel();
        let reader = self.clone();
        let read = Queued { ahead, work, caller, span: span("shared read") };
        self.lane.queue(Box::new(read), move |group| reader.work_off(group));
        answer.await.map_err(|error| Error::internal("the read was given up").because(error))?
    }

    /// Works off a group: over one snapshot, or over more where a read broke one.
    fn work_off(&self, group: Vec<Box<dyn Read>>) {
        let _at_hand = AtHand::new(&self.facts, Memory::Learns);
        let mut group = group.into_iter();
        while group.len() > 0 {
            if let Err(error) = self.over_a_snapshot(&mut group) {
                // Those that wait would fare no better.
                group.by_ref().chain(self.lane.take_all()).for_each(|read| read.fail(error.for_another()));
            }
        }
    }

    /// Runs reads until one breaks the snapshot. Fails when there is none.
    fn over_a_snapshot(&self, group: &mut vec::IntoIter<Box<dyn Read>>) -> Result<()> {
        let mut conn = self.pool.begin(begin_read)?;
        let mut asked = Gathered::of_reads();
        let wanted = group.as_slice().iter().flat_map(|read| read.ahead());
        if let Err(error) = asked.within(|| ahead::load_all(&mut conn, wanted)) {
            tracing::warn!(%error, "nothing was loaded ahead; each read looks for itself");
            roll_back(&mut conn);
            drop(conn);
            (conn, asked) = (self.pool.begin(begin_read)?, Gathered::of_reads());
        }
        for read in group.by_ref() {
            if !asked.within(|| read.run(&mut conn)) {
                break;
            }
        }
        // Nothing was written: it does not matter how the transaction ends.
        roll_back(&mut conn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use diesel::connection::SimpleConnection as _;
    use diesel::prelude::*;
    use diesel::sql_types::BigInt;

    use super::*;
    use crate::db::{Db, keep, load_ahead, load_once};
    use crate::error::Kind;

    async fn numbers() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 3).unwrap();
        db.write(|c| Ok(c.batch_execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")?)).await.unwrap();
        (folder, db)
    }

    fn count(c: &mut Conn) -> Result<i64> {
        Ok(diesel::select(diesel::dsl::sql::<BigInt>("(SELECT COUNT(*) FROM numbers)")).get_result(c)?)
    }

    /// Keeps of each key how many were loaded together.
    #[allow(clippy::unnecessary_wraps)] // as whatever loads ahead
    fn keep_how_many(_: &mut Conn, keys: &[String]) -> Result<()> {
        keys.iter().for_each(|key| keep(key, i64::try_from(keys.len()).unwrap()));
        Ok(())
    }

    /// The outcomes of reads that all waited while another was busy; `meanwhile` happens once they wait.
    async fn together<F>(db: &Db, reads: Vec<F>, meanwhile: impl Future<Output = ()>) -> Vec<Result<i64>>
    where
        F: FnOnce(&mut Conn) -> Result<i64> + Send + 'static,
    {
        let ((begin, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
        let first = db.clone();
        let busy = tokio::spawn(async move {
            first.read_shared(Vec::new(), move |_| Ok(begin.send(()).is_ok() && released.recv().is_ok())).await
        });
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let mut waiting = Vec::new();
        for read in reads {
            let (of, ahead) = (db.clone(), vec![Ahead::new(waiting.len(), keep_how_many)]);
            waiting.push(tokio::spawn(async move { of.read_shared(ahead, read).await }));
            while db.reader.lane.waiting().len() < waiting.len() {
                tokio::task::yield_now().await;
            }
        }
        meanwhile.await;
        release.send(()).unwrap();
        assert!(busy.await.unwrap().unwrap());
        let mut outcomes = Vec::new();
        for read in waiting {
            outcomes.push(read.await.unwrap());
        }
        outcomes
    }

    #[tokio::test]
    async fn those_that_wait_see_what_is_committed_by_then_and_ask_for_it_once() {
        let (_folder, db) = numbers().await;
        let asked = Arc::new(AtomicU32::new(0));
        let look = |asked: &Arc<AtomicU32>| {
            let asked = asked.clone();
            move |c: &mut Conn| {
                load_once(c, "numbers", |c| {
                    asked.fetch_add(1, Ordering::Relaxed);
                    count(c)
                })
            }
        };
        let write = async { db.write(|c| Ok(c.batch_execute("INSERT INTO numbers VALUES (1)")?)).await.unwrap() };
        let outcomes = together(&db, vec![look(&asked), look(&asked), look(&asked)], write).await;
        assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn when_nothing_can_be_loaded_ahead_each_read_looks_for_itself() {
        let (_folder, db) = numbers().await;
        let broken = Ahead::new("ahead", |c, _| Ok(c.batch_execute("SELECT nothing")?));
        for ahead in [broken, Ahead::new("ahead", |_, _| panic!("unlucky"))] {
            assert_eq!(db.read_shared(vec![ahead], count).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn a_key_with_a_nul_which_postgresql_refuses_is_loaded_with_nobodys() {
        static ASKED: AtomicU32 = AtomicU32::new(0);
        let (_folder, db) = numbers().await;
        let other = Ahead::new("a\0b", |_, _| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!(db.read_shared(vec![other], count).await.unwrap(), 0);
        assert_eq!(ASKED.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_those_that_wait_are_about_to_ask_for_is_loaded_for_all_of_them() {
        let (_folder, db) = numbers().await;
        let ask = |c: &mut Conn| load_once(c, 0, |_| Err::<i64, _>(Error::internal("asked alone")));
        let outcomes = together(&db, vec![ask, ask, ask], async {}).await;
        assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [3, 3, 3]);
    }

    /// One blocking thread does everything.
    fn on_one_thread<T>(story: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().max_blocking_threads(1).build().unwrap().block_on(story)
    }

    #[test]
    fn a_read_asks_once_for_what_it_needs_again_and_leaves_nothing_behind() {
        on_one_thread(async {
            let (_folder, db) = numbers().await;
            let once = |c: &mut Conn| load_once(c, "numbers", count);
            let twice = db.read(move |c| {
                once(c)?;
                load_once(c, "numbers", |_| Err::<i64, _>(Error::internal("this was asked for before")))
            });
            assert_eq!(twice.await.unwrap(), 0);
            let panics = db.read(move |c| -> Result<()> {
                once(c)?;
                panic!("unlucky")
            });
            assert_eq!(panics.await.unwrap_err().kind, Kind::Internal);
            let counted = db.write(move |c| {
                c.batch_execute("INSERT INTO numbers VALUES (1)")?;
                once(c)
            });
            assert_eq!(counted.await.unwrap(), 1, "a write on the same thread remembers no read");
        });
    }

    #[tokio::test]
    async fn what_is_loaded_ahead_is_loaded_together_and_asked_for_no_more() {
        let (_folder, db) = numbers().await;
        let ahead = db.read(|c| {
            load_ahead(c, [2, 1, 2], |_, keys| {
                assert_eq!(keys, [1, 2]);
                Ok::<_, Error>(vec![(1, "together")])
            })?;
            load_ahead(c, [1], |_, _| Err::<Vec<(i32, &str)>, _>(Error::internal("this was loaded before")))?;
            let mut ask = |key: i32| load_once(c, key, |_| Ok::<_, Error>(Some("alone")));
            Ok((ask(1)?, ask(2)?))
        });
        assert_eq!(ahead.await.unwrap(), (Some("together"), Some("alone")), "what was not found is looked for again");
        let nothing = |_: &mut Conn, _: &[i32]| Err::<Vec<(i32, u8)>, _>(Error::internal("this was not to be asked"));
        db.read(move |c| load_ahead(c, [], nothing)).await.unwrap();
        db.write(move |c| load_ahead(c, [1], nothing)).await.unwrap();
    }

    #[tokio::test]
    async fn a_full_lane_takes_no_more_and_says_so() {
        let (_folder, db) = numbers().await;
        let one_more = async {
            let refused = db.read_shared(Vec::new(), count).await.unwrap_err();
            assert_eq!((refused.kind, refused.seconds_to_wait()), (Kind::Unavailable, Some(2)));
            assert!(refused.detail.contains("this one was not asked"), "{refused}");
        };
        let outcomes = together(&db, vec![count; MOST_WAITING], one_more).await;
        assert_eq!(outcomes.into_iter().map(Result::unwrap).sum::<i64>(), 0);
    }

    #[tokio::test]
    async fn one_that_fails_or_panics_or_would_write_takes_no_other_with_it() {
        let (_folder, db) = numbers().await;
        let look = |number: u32| {
            move |c: &mut Conn| {
                match number {
                    1 => c.batch_execute("SELECT nothing")?,
                    2 => panic!("unlucky"),
                    3 => c.batch_execute("INSERT INTO numbers VALUES (3)")?,
                    4 => return Err(Error::invalid("number", "four is refused")),
                    _ => (),
                }
                count(c)
            }
        };
        let outcomes = together(&db, (0..6).map(look).collect(), async {}).await;
        let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().map_err(|error| error.kind)).collect();
        let internal = Err(Kind::Internal);
        assert_eq!(kinds, [Ok(&0), internal, internal, internal, Err(Kind::Invalid), Ok(&0)]);
    }
}
