//! What writes that share a transaction do to each other: nothing.

use std::sync::{Mutex, mpsc};

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tokio::task::JoinHandle;

use super::*;
use crate::appends;
use crate::db::{Db, append, keep, load_once};

diesel::table! {
    numbers (number) {
        number -> Integer,
    }
}

#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = numbers)]
struct Number {
    number: i32,
}

appends!(Number => numbers);

/// A database with a table of numbers, each of which it takes once.
async fn numbers() -> (tempfile::TempDir, Db) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 2).unwrap();
    db.write(|c| Ok(c.batch_execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")?)).await.unwrap();
    (folder, db)
}

/// What a write does: adds its number, and says how deep in a transaction it was.
fn add(number: u32) -> impl Fn(&mut Conn) -> Result<u32> + Send {
    move |c| {
        c.batch_execute(&format!("INSERT INTO numbers VALUES ({number})"))?;
        match number {
            13 => panic!("unlucky"),
            7 => Err(Error::invalid("number", "seven is refused")),
            _ => {
                Ok(Manager::transaction_manager_status_mut(c).transaction_depth()?.map_or(0, std::num::NonZeroU32::get))
            }
        }
    }
}

/// The outcomes of writes that all waited while another was busy.
async fn together(db: &Db, numbers: &[u32]) -> Vec<Result<u32>> {
    let writes = numbers.iter().map(|number| (None, add(*number)));
    all_at_once(db, writes.collect()).await
}

/// Begins a write that ends when it is told to.
async fn keep_busy(db: &Db) -> (mpsc::Sender<()>, JoinHandle<Result<bool>>) {
    let ((begin, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (first, released) = (db.clone(), Mutex::new(released));
    let wait = move |_: &mut Conn| Ok(begin.send(()).is_ok() && released.lock().unwrap().recv().is_ok());
    let busy = tokio::spawn(async move { first.write(wait).await });
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    (release, busy)
}

/// As [`together`]; with each gathered write goes what it is about to ask for.
async fn all_at_once<F>(db: &Db, writes: Vec<(Option<Vec<Ahead>>, F)>) -> Vec<Result<u32>>
where
    F: Fn(&mut Conn) -> Result<u32> + Send + 'static,
{
    let (release, busy) = keep_busy(db).await;
    let mut waiting = Vec::new();
    for (ahead, work) in writes {
        let of = db.clone();
        waiting.push(tokio::spawn(async move {
            match ahead {
                Some(ahead) => of.write_gathered(ahead, work).await,
                None => of.write(work).await,
            }
        }));
        // One after another, so that they stand in the queue in this order.
        while db.waiting() < waiting.len() {
            tokio::task::yield_now().await;
        }
    }
    release.send(()).unwrap();
    assert!(busy.await.unwrap().unwrap());
    let mut outcomes = Vec::new();
    for write in waiting {
        outcomes.push(write.await.unwrap());
    }
    outcomes
}

async fn count(db: &Db) -> i64 {
    db.read(|c| Ok(i64::from(seen(c)?))).await.unwrap()
}

/// How many numbers a transaction sees.
fn seen(c: &mut Conn) -> Result<u32> {
    let sql = "(SELECT COUNT(*) FROM numbers)";
    let count: i64 = diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(sql)).get_result(c)?;
    Ok(u32::try_from(count).unwrap())
}

#[tokio::test]
async fn those_that_all_succeed_share_one_transaction_without_savepoints() {
    let (_folder, db) = numbers().await;
    for outcome in together(&db, &[1, 2, 3]).await {
        assert_eq!(outcome.unwrap(), 1);
    }
    assert_eq!(count(&db).await, 3);
}

/// However many rows wait, they go in by a few numbers at a time.
#[tokio::test]
async fn of_many_rows_that_wait_none_is_left_out() {
    let (_folder, db) = numbers().await;
    for (first, many) in [(0, 1), (1, 15), (16, 63), (79, 107)] {
        let append = move |c: &mut Conn| {
            (first..first + many).try_for_each(|number| append(c, Number { number }))?;
            Ok(())
        };
        db.write_gathered(Vec::new(), append).await.unwrap();
        assert_eq!(count(&db).await, i64::from(first + many));
    }
}

#[tokio::test]
async fn one_that_fails_takes_no_other_with_it() {
    let (_folder, db) = numbers().await;
    let outcomes = together(&db, &[1, 7, 1, 2]).await;
    // Depth two: a savepoint within the transaction that they share.
    assert_eq!(outcomes[0].as_ref().unwrap(), &2);
    assert_eq!(outcomes[1].as_ref().unwrap_err().field.as_deref(), Some("number"));
    assert!(outcomes[2].as_ref().unwrap_err().cause::<Diesel>().is_some(), "the number was taken a moment before");
    assert_eq!(outcomes[3].as_ref().unwrap(), &2);
    assert_eq!(count(&db).await, 2);
}

/// SQLite keeps what pages held before it, first in memory and then in a file.
#[tokio::test]
async fn one_that_changed_many_pages_is_undone() {
    let (_folder, db) = numbers().await;
    let fill = "CREATE TABLE pages (bytes BLOB); WITH RECURSIVE page (number) AS \
                (VALUES (1) UNION ALL SELECT number + 1 FROM page WHERE number < 200) \
                INSERT INTO pages SELECT zeroblob(4000) FROM page";
    db.write(move |c| Ok(c.batch_execute(fill)?)).await.unwrap();
    let undo = "SAVEPOINT many; UPDATE pages SET bytes = randomblob(4000); DELETE FROM pages WHERE rowid % 2 = 0; \
                ROLLBACK TO many; RELEASE many";
    db.write(move |c| Ok(c.batch_execute(undo)?)).await.unwrap();
    let whole = "INSERT INTO numbers SELECT count(*) FROM pages WHERE bytes = zeroblob(4000)";
    db.write(move |c| Ok(c.batch_execute(whole)?)).await.unwrap();
    let found = db.read(|c| Ok(numbers::table.select(numbers::number).first::<i32>(c)?)).await.unwrap();
    assert_eq!(found, 200);
}

#[tokio::test]
async fn one_that_panics_takes_no_other_with_it() {
    let (_folder, db) = numbers().await;
    let outcomes = together(&db, &[1, 13, 2]).await;
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind, Kind::Internal);
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&1, &1), "without a savepoint");
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn when_their_transaction_fails_each_runs_alone() {
    let (_folder, db) = numbers().await;
    // At the commit, not before: a deferred constraint that one of them breaks.
    let sql = "CREATE TABLE refers (number INTEGER REFERENCES numbers (number) DEFERRABLE INITIALLY DEFERRED);
               CREATE TRIGGER refer AFTER INSERT ON numbers WHEN NEW.number = 3 BEGIN INSERT INTO refers VALUES (99); END";
    db.write(move |c| Ok(c.batch_execute(sql)?)).await.unwrap();
    let outcomes = together(&db, &[1, 3, 2]).await;
    assert!(outcomes[1].is_err(), "its transaction cannot be committed");
    // Depth one: a transaction of its own.
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&1, &1));
    assert_eq!(count(&db).await, 2);
}

/// What a gathered write does: appends its number, and says how many the transaction sees then.
fn gather(number: i32) -> impl Fn(&mut Conn) -> Result<u32> + Send {
    move |c| {
        append(c, Number { number })?;
        seen(c)
    }
}

#[tokio::test]
async fn what_gathered_writes_append_waits_for_the_commit_or_for_a_write_of_another_kind() {
    let (_folder, db) = numbers().await;
    let writes = [1, 2, 3, 4].map(|number| ((number != 3).then(Vec::new), gather(number)));
    let outcomes: Vec<u32> = all_at_once(&db, writes.into()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [0, 0, 3, 3], "the third sees those before it, and what it appends itself");
    assert_eq!(count(&db).await, 4);
}

#[tokio::test]
async fn gathered_writes_that_cannot_both_stand_begin_anew_one_after_another() {
    let (_folder, db) = numbers().await;
    let outcomes = all_at_once(&db, [1, 1, 2].map(|number| (Some(Vec::new()), gather(number))).into()).await;
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&1, &2));
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind, Kind::AlreadyExists);
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn one_that_is_refused_does_not_keep_the_others_from_appending_together() {
    let (_folder, db) = numbers().await;
    let work = |number: i32| {
        let gather = gather(number);
        move |c: &mut Conn| match number {
            7 => Err(Error::invalid("number", "seven is refused")),
            _ => gather(c),
        }
    };
    let outcomes = all_at_once(&db, [1, 7, 2].map(|number| (Some(Vec::new()), work(number))).into()).await;
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&0, &0), "neither is inserted yet");
    assert_eq!(outcomes[1].as_ref().unwrap_err().field.as_deref(), Some("number"));
    assert_eq!(count(&db).await, 2);
}

#[tokio::test]
async fn what_gathered_writes_ask_for_once_is_forgotten_when_another_write_may_have_changed_it() {
    let (_folder, db) = numbers().await;
    db.write(|c| Ok(append(c, Number { number: 1 })?)).await.unwrap();
    let look = |number: i32| {
        move |c: &mut Conn| {
            let seen = load_once(c, "numbers", seen)?;
            append(c, Number { number })?;
            Ok(seen)
        }
    };
    let writes = [2, 3, 4, 5].map(|number| ((number != 4).then(Vec::new), look(number)));
    let outcomes: Vec<u32> = all_at_once(&db, writes.into()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, [1, 1, 3, 4]);
}

#[tokio::test]
async fn what_the_gathered_writes_of_a_group_are_about_to_ask_for_is_loaded_together_and_kept_as_they_change_it() {
    let (_folder, db) = numbers().await;
    let ahead = |key: &str| {
        Ahead::new(key, |_, keys| {
            keys.iter().for_each(|key| keep(key, keys.len()));
            Ok(())
        })
    };
    let ask = |key: &'static str, becomes: usize| {
        move |c: &mut Conn| {
            let loaded = load_once(c, key, |_| Ok::<_, Error>(0_usize))?;
            keep(key, becomes);
            Ok(u32::try_from(loaded).unwrap())
        }
    };
    let writes = vec![
        (Some(vec![ahead("a")]), ask("a", 7)),
        (Some(vec![ahead("b")]), ask("b", 8)),
        (Some(Vec::new()), ask("a", 9)),
        (Some(vec![ahead("c")]), ask("d", 9)),
        (None, ask("a", 9)),
    ];
    let outcomes: Vec<u32> = all_at_once(&db, writes).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        outcomes,
        [3, 3, 7, 0, 0],
        "three together; what was changed; not loaded; of a write that is not gathered"
    );
}

/// Those that gather see none of the rows that wait; each that runs alone sees its own, too.
#[tokio::test]
async fn a_group_that_meets_a_conflict_is_repeated_whole_and_falls_apart_when_it_meets_too_many() {
    for (conflicts, seen) in [(GROUP_ATTEMPTS - 1, [0, 0]), (GROUP_ATTEMPTS, [1, 2])] {
        let (_folder, db) = numbers().await;
        let left = Arc::new(std::sync::atomic::AtomicU32::new(conflicts));
        let writes = [1, 2].map(|number| {
            let (left, gather) = (left.clone(), gather(number));
            let meets = move |c: &mut Conn| match left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
            {
                Ok(_) => {
                    Err(Diesel::DatabaseError(DatabaseErrorKind::SerializationFailure, Box::new(String::new())).into())
                }
                Err(_) => gather(c),
            };
            (Some(Vec::new()), meets)
        });
        let outcomes: Vec<u32> = all_at_once(&db, writes.into()).await.into_iter().map(Result::unwrap).collect();
        assert_eq!((outcomes, db.retries()), (seen.into(), u64::from(conflicts)));
    }
}

#[tokio::test]
async fn when_nothing_can_be_loaded_ahead_each_write_looks_for_itself() {
    let broken = Ahead::new("a", |_, _| Err(Error::internal("no such table")));
    for ahead in [broken, Ahead::new("a", |_, _| panic!("unlucky"))] {
        let (_folder, db) = numbers().await;
        let writes = [1, 2, 3].map(|number| (Some(vec![ahead.clone()]), add(number)));
        assert!(all_at_once(&db, writes.into()).await.iter().all(Result::is_ok));
        assert_eq!(count(&db).await, 3);
    }
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_gathered_write_that_asks_for_rows_which_may_wait_is_found_out() {
    let (_folder, db) = numbers().await;
    let asks = |c: &mut Conn| {
        append(c, Number { number: 1 })?;
        Ok(u32::try_from(numbers::table.count().get_result::<i64>(c)?).unwrap())
    };
    for outcome in all_at_once(&db, vec![(Some(Vec::new()), asks), (Some(Vec::new()), asks)]).await {
        assert_eq!(outcome.unwrap_err().kind, Kind::Internal);
    }
    assert_eq!(count(&db).await, 0);
}

#[tokio::test]
async fn one_that_nobody_waits_for_any_more_is_not_begun() {
    let (_folder, db) = numbers().await;
    let (release, busy) = keep_busy(&db).await;
    let of = db.clone();
    let given_up = tokio::spawn(async move { of.write(add(1)).await });
    while db.waiting() < 1 {
        tokio::task::yield_now().await;
    }
    given_up.abort();
    assert!(given_up.await.unwrap_err().is_cancelled());
    release.send(()).unwrap();
    assert!(busy.await.unwrap().unwrap());
    db.write(add(2)).await.unwrap();
    assert_eq!(count(&db).await, 1, "the second alone");
}

#[tokio::test]
async fn a_full_queue_takes_no_more_and_says_that_nothing_was_done() {
    let (_folder, db) = numbers().await;
    let (release, busy) = keep_busy(&db).await;
    let mut waiting = Vec::new();
    for number in 0..MOST_WAITING {
        let of = db.clone();
        waiting.push(tokio::spawn(async move { of.write(add(100 + u32::try_from(number).unwrap())).await }));
        while db.waiting() < waiting.len() {
            tokio::task::yield_now().await;
        }
    }
    let refused = db.write(add(1)).await.unwrap_err();
    assert_eq!((refused.kind, refused.seconds_to_wait()), (Kind::Unavailable, Some(2)));
    assert!(refused.detail.contains("this one was not made"), "{refused}");
    release.send(()).unwrap();
    assert!(busy.await.unwrap().unwrap());
    for write in waiting {
        write.await.unwrap().unwrap();
    }
    assert_eq!(count(&db).await, i64::try_from(MOST_WAITING).unwrap());
}

#[test]
fn a_commit_that_the_connection_or_the_disk_broke_off_may_have_been_done() {
    let said = |kind, message: &str| Diesel::DatabaseError(kind, Box::new(message.to_string()));
    let failed = |error| Diesel::RollbackErrorOnCommit {
        rollback_error: Box::new(Diesel::NotInTransaction),
        commit_error: Box::new(error),
    };
    assert!(may_be_done(&said(DatabaseErrorKind::ClosedConnection, "server closed the connection")));
    assert!(may_be_done(&failed(said(DatabaseErrorKind::Unknown, DISK_FAILS))));
    assert!(!may_be_done(&failed(said(DatabaseErrorKind::Unknown, "database or disk is full"))));
    assert!(!may_be_done(&said(DatabaseErrorKind::SerializationFailure, "could not serialize access")));
}
