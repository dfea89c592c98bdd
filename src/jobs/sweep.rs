//! Sweeps: going through a list of what time has ended or begun; and what a job does page by page.

use std::fmt::Display;

use super::queries;
use crate::db::{Conn, Db};
use crate::error::Result;
use crate::types::{Clock, Instant};

/// How much of a list is read at a time.
pub const PAGE: i64 = 100;

/// Does something to everything on a list, each in a transaction of its own: what fails is logged, does not stop the others, and is
/// tried again by the next sweep. `list` gives at most [`PAGE`] identifiers that sort after a key, in order; `act` expects that
/// what it is given may have changed since it was listed.
///
/// # Errors
/// Those of reading the list.
pub async fn each<T, L, A>(db: &Db, clock: &Clock, what: &'static str, list: L, act: A) -> Result<()>
where
    T: Display + Copy + Send + 'static,
    L: Fn(&mut Conn, &str, Instant) -> Result<Vec<T>> + Clone + Send + 'static,
    A: Fn(&mut Conn, T, Instant) -> Result<()> + Clone + Send + 'static,
{
    let mut after = String::new();
    loop {
        let (list, now) = (list.clone(), clock.now());
        let page = db.read(move |c| list(c, &after, now)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.to_string();
        for id in page {
            let (act, now) = (act.clone(), clock.now());
            if let Err(error) = db.write(move |c| act(c, id, now)).await {
                tracing::error!(?error, what, %id, "a sweep passed over something");
            }
        }
    }
}

/// Does something by pages, each in a transaction of its own, until nothing is left: `page` is told after which key its page
/// begins, and says after which the next one does.
///
/// # Errors
/// Those of `page`; what came before is done.
pub async fn pages<P>(db: &Db, clock: &Clock, page: P) -> Result<()>
where
    P: Fn(&mut Conn, &str, Instant) -> Result<Option<String>> + Clone + Send + 'static,
{
    let mut next = Some(String::new());
    while let Some(after) = next {
        let (page, now) = (page.clone(), clock.now());
        next = db.write(move |c| page(c, &after, now)).await?;
    }
    Ok(())
}

/// Notes that a sweep went through everything whose time may have come.
///
/// # Errors
/// Those of the database.
pub fn note(c: &mut Conn, now: Instant) -> Result<()> {
    if queries::set_swept(c, now)? == 0 {
        queries::insert_swept(c, now)?;
    }
    Ok(())
}

/// When a sweep last went through everything; nothing before the first.
///
/// # Errors
/// Those of the database.
pub fn last(c: &mut Conn) -> Result<Option<Instant>> {
    Ok(queries::find_swept(c)?)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::Error;

    #[tokio::test]
    async fn what_fails_keeps_nothing_else_of_its_page_or_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let done = seen.clone();
        let list = |_: &mut Conn, after: &str, _: Instant| {
            Ok("abcdefg".chars().filter(|letter| *letter.to_string() > *after).take(3).collect())
        };
        let act = move |_: &mut Conn, letter: char, _: Instant| match letter {
            'a' | 'e' => Err(Error::internal("this one fails")),
            _ => {
                done.lock().unwrap().push(letter);
                Ok(())
            }
        };
        each(&db, &Clock::default(), "a letter", list, act).await.unwrap();
        assert_eq!(seen.lock().unwrap().iter().collect::<String>(), "bcdfg");
    }
}
