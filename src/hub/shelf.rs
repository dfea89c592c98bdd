//! The files of the commits that were asked for lately. Clients ask for a commit page by page and file by file, and a commit
//! may have a hundred thousand files.
//!
//! Invariant: the files of a commit never change, so what was read for one caller is right for every other who may see the commit.
//! Invariant: a commit is read by one at a time; whoever asks for it meanwhile gets what that one read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::Files;
use crate::error::Result;

/// How much is kept at most, in bytes; of what is heavier, one commit.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Files by their commit. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Shelf(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Each with its weight.
    commits: LruCache<String, (Arc<Files>, usize)>,
    bytes: usize,
    /// The turns of those who read a commit.
    reading: HashMap<String, Arc<Mutex<()>>>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { commits: LruCache::unbounded(), bytes: 0, reading: HashMap::new() })))
    }
}

impl Shelf {
    /// The files of a commit: those that are here, or those that `read` gives, which are put here.
    pub(super) fn find_or(&self, commit: &str, read: impl FnOnce() -> Result<Files>) -> Result<Arc<Files>> {
        let turn = {
            let mut kept = self.kept();
            if let Some(files) = kept.find(commit) {
                return Ok(files);
            }
            kept.reading.entry(commit.to_string()).or_default().clone()
        };
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = self.kept().find(commit) {
            return Ok(files);
        }
        let files = read().map(Arc::new);
        let mut kept = self.kept();
        kept.reading.remove(commit);
        if let Ok(files) = &files {
            kept.put(files.clone());
        }
        files
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, commit: &str) -> Option<Arc<Files>> {
        self.commits.get(commit).map(|(files, _)| files.clone())
    }

    /// Puts files here, and takes away those that nobody asked for longest, where there is no room for all.
    fn put(&mut self, files: Arc<Files>) {
        let weight = files.weight();
        self.bytes = self.bytes.saturating_add(weight);
        if let Some((_, weight)) = self.commits.put(files.commit.clone(), (files, weight)) {
            self.bytes = self.bytes.saturating_sub(weight);
        }
        while self.bytes > MOST_BYTES
            && self.commits.len() > 1
            && let Some((_, (_, weight))) = self.commits.pop_lru()
        {
            self.bytes = self.bytes.saturating_sub(weight);
        }
    }
}
