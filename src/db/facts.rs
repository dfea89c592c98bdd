//! Facts: rows of [`APPEND_ONLY`](super::APPEND_ONLY) tables, contents of sealed versions and the public keys of key ids,
//! remembered so that they are not read again and again.
//!
//! A [`Db`](super::Db) remembers some of the facts that its reads came across, and gives them to reads and writes alike. What
//! can change, be it a state, a balance or a revocation, is no fact, and is read in the transaction that decides by it.
//!
//! Invariant: what is remembered is committed: it is learned over the snapshot of a read, and never within a write, which
//! may yet be rolled back.
//! Invariant: that something is not there is never remembered: it may come.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, PoisonError, RwLock};

use super::Conn;
use super::gather::loaded;

/// How many facts of a generation are remembered at most.
const MOST: usize = 5_000;

/// Of which type a fact is, and by which key it goes.
type Key = (TypeId, String);
type Fact = Arc<dyn Any + Send + Sync>;

/// What a [`Db`](super::Db) remembers.
#[derive(Default)]
pub(super) struct Facts(RwLock<Generations>);

/// What was asked for lately, and what was before that. When there is no room for more, the young take the place of the old:
/// what nobody asked for meanwhile is forgotten, and nothing else, however much somebody asks for once.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Fact>,
    old: HashMap<Key, Fact>,
}

impl Facts {
    fn find(&self, key: &Key) -> Option<Fact> {
        let known = {
            let generations = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = generations.young.get(key) {
                return Some(known.clone());
            }
            generations.old.get(key).cloned()?
        };
        self.keep(key.clone(), known.clone());
        Some(known)
    }

    /// The fact of type `T` that goes by `key`, if it is remembered.
    pub(super) fn recall<T: Clone + 'static>(&self, key: &str) -> Option<T> {
        self.find(&(TypeId::of::<T>(), key.to_string()))?.downcast_ref().cloned()
    }

    /// Remembers a fact that a read found.
    pub(super) fn learn<T: Send + Sync + 'static>(&self, key: &str, fact: T) {
        self.keep((TypeId::of::<T>(), key.to_string()), Arc::new(fact));
    }

    fn keep(&self, key: Key, fact: Fact) {
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= MOST {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, fact);
    }
}

/// Whether this thread's transaction adds to what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// It sees only what is committed, and may.
    Learns,
    /// It may not.
    Recalls,
}

thread_local! {
    /// The memory of the database whose transaction this thread is in.
    static AT_HAND: RefCell<Option<(Arc<Facts>, Memory)>> = const { RefCell::new(None) };
}

/// Has the facts at hand until it is dropped.
pub(super) struct AtHand;

impl AtHand {
    pub(super) fn new(facts: &Arc<Facts>, memory: Memory) -> Self {
        AT_HAND.set(Some((facts.clone(), memory)));
        Self
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        AT_HAND.set(None);
    }
}

/// The fact of type `T` that goes by `key`, remembered, loaded ahead or as `load` finds it: something that is either not
/// there or always the same, such as a row of an append-only table.
///
/// # Errors
/// Those of `load`.
pub fn fact<T, E>(
    c: &mut Conn,
    key: impl Display,
    load: impl FnOnce(&mut Conn) -> Result<Option<T>, E>,
) -> Result<Option<T>, E>
where
    T: Clone + Send + Sync + 'static,
{
    let at_hand = AT_HAND.with_borrow(Clone::clone);
    let key = (TypeId::of::<T>(), key.to_string());
    if let Some((facts, _)) = &at_hand
        && let Some(known) = facts.find(&key)
    {
        return Ok(known.downcast_ref().cloned());
    }
    let found = loaded(&key.1).map_or_else(|| load(c), Ok)?;
    if let (Some(fact), Some((facts, Memory::Learns))) = (&found, at_hand) {
        facts.keep(key, Arc::new(fact.clone()));
    }
    Ok(found)
}

/// Whether the fact of type `T` that goes by `key` is remembered.
pub(super) fn is_remembered<T: 'static>(key: &str) -> bool {
    let key = (TypeId::of::<T>(), key.to_string());
    AT_HAND.with_borrow(|at_hand| at_hand.as_ref().is_some_and(|(facts, _)| facts.find(&key).is_some()))
}

#[cfg(test)]
mod tests {
    use crate::db::{Conn, Db, fact, load_ahead};
    use crate::error::{Error, Result};

    async fn database(folder: &tempfile::TempDir, name: &str) -> Db {
        Db::open(&folder.path().join(name).display().to_string(), 2).unwrap()
    }
    /// The fact that goes by `key`; `there` is what the database says.
    fn ask(c: &mut Conn, key: &str, there: Option<u8>) -> Result<Option<u8>> {
        fact(c, key, |_| Ok(there))
    }

    #[tokio::test]
    async fn a_read_remembers_what_is_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder, "a").await;
        assert_eq!(db.read(|c| ask(c, "seal", None)).await.unwrap(), None);
        assert_eq!(db.read(|c| ask(c, "seal", Some(1))).await.unwrap(), Some(1), "that nothing was there is forgotten");
        assert_eq!(db.read(|c| ask(c, "seal", None)).await.unwrap(), Some(1));
        assert_eq!(db.write(|c| ask(c, "seal", None)).await.unwrap(), Some(1), "a write is told, too");
        assert_eq!(db.read(|c| ask(c, "terms", None)).await.unwrap(), None, "of another thing nothing is known");
        let of_another_type = db.read(|c| fact(c, "seal", |_| Ok::<_, Error>(Some("text")))).await.unwrap();
        assert_eq!(of_another_type, Some("text"));
        assert_eq!(
            database(&folder, "b").await.read(|c| ask(c, "seal", None)).await.unwrap(),
            None,
            "another database"
        );
    }

    #[tokio::test]
    async fn what_is_remembered_takes_no_read_and_what_was_not_found_takes_another() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder, "a").await;
        let nothing = |_: &mut Conn| Err::<u8, _>(Error::internal("it was not there"));
        db.fact("seal", nothing).await.unwrap_err();
        assert_eq!(db.fact("seal", |_| Ok(1_u8)).await.unwrap(), 1);
        assert_eq!(db.fact("seal", nothing).await.unwrap(), 1);
        assert_eq!(db.write(|c| ask(c, "seal", None)).await.unwrap(), Some(1), "a write is told, too");
    }

    #[tokio::test]
    async fn what_is_asked_for_again_is_remembered_however_much_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder, "a").await;
        let crawled = db.read(|c| {
            ask(c, "seal", Some(1))?;
            for number in 0..super::MOST * 3 {
                ask(c, &format!("crawled {number}"), Some(2))?;
                if number % super::MOST == 0 {
                    assert_eq!(ask(c, "seal", None)?, Some(1), "after {number} others");
                }
            }
            Ok((ask(c, "seal", None)?, ask(c, "crawled 0", None)?))
        });
        assert_eq!(crawled.await.unwrap(), (Some(1), None), "what was asked for once made room");
    }

    #[tokio::test]
    async fn what_is_remembered_is_not_loaded_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder, "a").await;
        db.read(|c| ask(c, "seal", Some(1))).await.unwrap();
        let asked = db.read(|c| {
            load_ahead(c, ["seal", "terms"], |_, keys| {
                assert_eq!(keys, ["terms"]);
                Ok::<_, Error>(vec![("terms", 2_u8)])
            })?;
            Ok((ask(c, "seal", None)?, ask(c, "terms", None)?))
        });
        assert_eq!(asked.await.unwrap(), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn what_a_write_found_is_not_remembered_for_it_may_be_rolled_back() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder, "a").await;
        let undone = db.write(|c| {
            assert_eq!(ask(c, "seal", Some(1))?, Some(1));
            Err::<(), _>(Error::internal("rolled back"))
        });
        undone.await.unwrap_err();
        assert_eq!(db.read(|c| ask(c, "seal", None)).await.unwrap(), None);
    }
}
