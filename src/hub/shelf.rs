//! The files of the commits that were asked for lately. Clients ask for a commit page by page and file by file, and a commit
//! may have a hundred thousand files.
//!
//! Invariant: the files of a commit never change, so what was read for one caller is right for every other who may see the commit.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::Files;

/// How much is kept at most, in bytes.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Files by their commit. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct Shelf(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Each with its weight.
    commits: LruCache<String, (Arc<Files>, usize)>,
    bytes: usize,
}

impl Default for Shelf {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Kept { commits: LruCache::unbounded(), bytes: 0 })))
    }
}

impl Shelf {
    /// The files of a commit, if they are here.
    pub(super) fn find(&self, commit: &str) -> Option<Arc<Files>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).commits.get(commit).map(|(files, _)| files.clone())
    }

    /// Puts the files of a commit here, and takes away those that nobody asked for longest, where there is no room for all.
    pub(super) fn keep(&self, files: Arc<Files>) {
        let weight = files.weight();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes = kept.bytes.saturating_add(weight);
        if let Some((_, weight)) = kept.commits.put(files.commit.clone(), (files, weight)) {
            kept.bytes = kept.bytes.saturating_sub(weight);
        }
        while kept.bytes > MOST_BYTES
            && let Some((_, (_, weight))) = kept.commits.pop_lru()
        {
            kept.bytes = kept.bytes.saturating_sub(weight);
        }
    }
}
