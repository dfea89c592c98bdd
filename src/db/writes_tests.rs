//! What writes that share a transaction do to each other: nothing.

use std::sync::mpsc;

use diesel::connection::SimpleConnection as _;

use super::*;
use crate::db::Db;
use crate::error::Kind;

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
    let ((begin, begun), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (first, released) = (db.clone(), Mutex::new(released));
    let wait = move |_: &mut Conn| Ok(begin.send(()).is_ok() && released.lock().unwrap().recv().is_ok());
    let busy = tokio::spawn(async move { first.write(wait).await });
    while begun.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let writes: Vec<_> = numbers
        .iter()
        .map(|number| {
            let (db, work) = (db.clone(), add(*number));
            tokio::spawn(async move { db.write(work).await })
        })
        .collect();
    while db.writer.waiting().len() < numbers.len() {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert!(busy.await.unwrap().unwrap());
    let mut outcomes = Vec::new();
    for write in writes {
        outcomes.push(write.await.unwrap());
    }
    outcomes
}

async fn count(db: &Db) -> i64 {
    db.read(|c| {
        use diesel::prelude::*;
        Ok(diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>("(SELECT COUNT(*) FROM numbers)"))
            .get_result(c)?)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn those_that_all_succeed_share_one_transaction_without_savepoints() {
    let (_folder, db) = numbers().await;
    for outcome in together(&db, &[1, 2, 3]).await {
        assert_eq!(outcome.unwrap(), 1);
    }
    assert_eq!(count(&db).await, 3);
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

#[tokio::test]
async fn one_that_panics_takes_no_other_with_it() {
    let (_folder, db) = numbers().await;
    let outcomes = together(&db, &[1, 13, 2]).await;
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind, Kind::Internal);
    assert_eq!((outcomes[0].as_ref().unwrap(), outcomes[2].as_ref().unwrap()), (&2, &2));
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
