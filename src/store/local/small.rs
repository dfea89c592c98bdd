//! A cache of small objects that were delivered recently: for these, reading the disk would be most of the work.
//!
//! Invariant: only what is delivered is kept here. It was verified, and its file is never written to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::store::{ObjectInfo, StorageKey};

/// How many bytes are kept at most; where there would be more, all that is kept is dropped first.
const MOST_BYTES: usize = 2 * 1024 * 1024;

/// Small objects, whole. Clones share what they hold.
#[derive(Debug, Clone, Default)]
pub(super) struct SmallObjects(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    objects: HashMap<StorageKey, (ObjectInfo, Bytes)>,
    bytes: usize,
}

impl Held {
    fn remove(&mut self, key: &StorageKey) {
        if let Some((_, bytes)) = self.objects.remove(key) {
            self.bytes = self.bytes.saturating_sub(weight(key, &bytes));
        }
    }
}

/// How much an object counts.
fn weight(key: &StorageKey, bytes: &Bytes) -> usize {
    bytes.len().saturating_add(key.as_str().len())
}

impl SmallObjects {
    /// An object, if it is at hand.
    pub(super) fn find(&self, key: &StorageKey) -> Option<(ObjectInfo, Bytes)> {
        self.held().objects.get(key).cloned()
    }

    /// Keeps an object at hand.
    pub(super) fn keep(&self, key: StorageKey, info: ObjectInfo, bytes: Bytes) {
        let mut held = self.held();
        held.remove(&key);
        if held.bytes.saturating_add(weight(&key, &bytes)) > MOST_BYTES {
            *held = Held::default();
        }
        held.bytes = held.bytes.saturating_add(weight(&key, &bytes));
        held.objects.insert(key, (info, bytes));
    }

    /// Lets go of an object that is removed.
    pub(super) fn forget(&self, key: &StorageKey) {
        self.held().remove(key);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
