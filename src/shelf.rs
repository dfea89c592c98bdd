//! A cache of things that take long to read and are the same for everybody. Clients ask for a commit page by page and file by
//! file, and many ask for one manifest at once; either may list a hundred thousand files.
//!
//! Invariant: what a key stands for never changes, so what was read for one caller is right for every other who may see it.
//! Invariant: a thing is read by one at a time; whoever asks for it meanwhile gets what that one read, or is the next to try.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use lru::LruCache;

use crate::error::Result;

/// How many bytes one shelf keeps at most; a thing that is heavier is kept alone.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What may be kept.
pub trait Weighs {
    /// About how much memory it takes, in bytes.
    fn weight(&self) -> usize;
}

impl Weighs for Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

/// Things by their key. Clones share what they hold.
pub struct Shelf<T>(Arc<Mutex<Kept<T>>>);

struct Kept<T> {
    /// Each with its weight.
    things: LruCache<String, (Arc<T>, usize)>,
    bytes: usize,
    /// The turns of those who read something or wait for it, who hold them.
    reading: HashMap<String, Weak<Mutex<()>>>,
}

impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { things: LruCache::unbounded(), bytes: 0, reading: HashMap::new() })))
    }
}

impl<T: Weighs> Shelf<T> {
    /// The thing of a key: from the shelf, or as `read` gives it, which is then kept. Blocks while another caller reads it.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn find_or(&self, key: &str, read: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let turn = {
            let mut kept = self.kept();
            if let Some(thing) = kept.find(key) {
                return Ok(thing);
            }
            kept.turn(key)
        };
        let found = self.find_or_read(&turn, key, read);
        drop(turn);
        self.kept().reading.retain(|_, turn| turn.strong_count() > 0);
        found
    }

    fn find_or_read(&self, turn: &Mutex<()>, key: &str, read: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thing) = self.kept().find(key) {
            return Ok(thing);
        }
        let thing = Arc::new(read()?);
        self.kept().put(key, thing.clone());
        Ok(thing)
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Weighs> Kept<T> {
    fn find(&mut self, key: &str) -> Option<Arc<T>> {
        self.things.get(key).map(|(thing, _)| thing.clone())
    }

    /// The turn shared by all who want to read the same thing, for as long as one of them is there.
    fn turn(&mut self, key: &str) -> Arc<Mutex<()>> {
        let turn = self.reading.get(key).and_then(Weak::upgrade).unwrap_or_default();
        self.reading.insert(key.to_string(), Arc::downgrade(&turn));
        turn
    }

    /// Keeps a thing, and drops those that were asked for least recently where there is no room for all.
    fn put(&mut self, key: &str, thing: Arc<T>) {
        let weight = thing.weight();
        self.bytes = self.bytes.saturating_add(weight);
        if let Some((_, weight)) = self.things.put(key.to_string(), (thing, weight)) {
            self.bytes = self.bytes.saturating_sub(weight);
        }
        while self.bytes > MOST_BYTES
            && self.things.len() > 1
            && let Some((_, (_, weight))) = self.things.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    /// Something that weighs so much.
    struct Weight(usize);

    impl Weighs for Weight {
        fn weight(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn what_nobody_asked_for_longest_makes_room() {
        let shelf = Shelf::default();
        let is_read = |key: &str, thirds: usize| {
            let mut is_read = false;
            let read = || {
                is_read = true;
                Ok(Weight(MOST_BYTES / 3 * thirds))
            };
            shelf.find_or(key, read).unwrap();
            is_read
        };
        assert_eq!(["a", "b", "c", "c", "a"].map(|key| is_read(key, 1)), [true, true, true, false, false]);
        assert!(is_read("d", 1), "three fit");
        assert_eq!(["a", "d", "c"].map(|key| is_read(key, 1)), [false; 3], "b made room");
        assert!(is_read("e", 4));
        assert!(!is_read("e", 4), "what is too heavy for the shelf stands on it alone");
        assert!(is_read("a", 1) && is_read("e", 4), "until something else is asked for");
    }

    fn until(done: impl Fn() -> bool) {
        while !done() {
            std::thread::yield_now();
        }
    }

    /// How many read "a", or wait for it.
    fn asking(shelf: &Shelf<Weight>) -> usize {
        shelf.kept().reading.get("a").map_or(0, Weak::strong_count)
    }

    #[test]
    fn two_who_ask_at_once_share_one_reading() {
        let (shelf, read) = (Shelf::default(), AtomicUsize::new(0));
        let ask = || {
            let read = || {
                read.fetch_add(1, Ordering::Relaxed);
                until(|| asking(&shelf) == 2);
                Ok(Weight(1))
            };
            shelf.find_or("a", read).unwrap()
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(ask);
            (ask(), other.join().unwrap())
        });
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(read.into_inner(), 1);
    }

    #[test]
    fn what_could_not_be_read_is_read_by_the_next() {
        let shelf = Shelf::default();
        assert!(shelf.find_or("a", || Err(Error::internal("not now"))).is_err());
        assert_eq!(shelf.find_or("a", || Ok(Weight(1))).unwrap().0, 1);
        assert!(shelf.kept().reading.is_empty(), "nobody reads any more");
    }

    #[test]
    fn after_a_reading_that_failed_one_of_those_who_wait_reads_and_not_two() {
        let shelf = Shelf::default();
        let (second_reads, third_reads) = (AtomicBool::new(false), AtomicBool::new(false));
        let (first, second, third) = std::thread::scope(|scope| {
            let first = scope.spawn(|| {
                let fails = || {
                    until(|| asking(&shelf) == 2);
                    Err(Error::internal("not now"))
                };
                shelf.find_or("a", fails)
            });
            until(|| asking(&shelf) == 1);
            let second = scope.spawn(|| {
                let read = || {
                    until(|| asking(&shelf) == 1);
                    second_reads.store(true, Ordering::Relaxed);
                    until(|| asking(&shelf) == 2 || third_reads.load(Ordering::Relaxed));
                    Ok(Weight(1))
                };
                shelf.find_or("a", read)
            });
            until(|| second_reads.load(Ordering::Relaxed));
            let read = || {
                third_reads.store(true, Ordering::Relaxed);
                Ok(Weight(2))
            };
            let third = shelf.find_or("a", read);
            (first.join().unwrap(), second.join().unwrap(), third)
        });
        assert!(first.is_err());
        assert!(Arc::ptr_eq(&second.unwrap(), &third.unwrap()), "the third reads what the second does");
    }
}
