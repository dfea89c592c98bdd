//! A short memory of what callers' licences were found to give them.
//!
//! A client requests the ranges of a file, and the files of a commit, one after the other. What the licence gives is looked
//! up for the first of them and remembered; the receipt desk still checks the licence itself for every one.
//!
//! Invariant: what is remembered is at most [`REMEMBERED`] old, and was found for this very caller.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use super::{Found, Wanted};
use crate::identity::Caller;
use crate::types::{Instant, UserId};

const REMEMBERED: Duration = Duration::from_secs(4);
const MOST_REMEMBERED: usize = 4096;

/// The files that one thread of the server has found lately.
#[derive(Default)]
pub struct Lately(RefCell<HashMap<(UserId, Wanted), Remembered>>);

struct Remembered {
    caller: Caller,
    found: Found,
    since: Instant,
}

impl Remembered {
    fn holds(&self, now: Instant) -> bool {
        self.since <= now && now < self.since.plus(REMEMBERED)
    }
}

impl Lately {
    /// The file, if it was found for this caller a moment ago.
    pub fn recall(&self, caller: &Caller, wanted: &Wanted, now: Instant) -> Option<Found> {
        let all = self.0.borrow();
        let known = all.get(&(caller.user_id, wanted.clone()))?;
        (known.holds(now) && known.caller == *caller).then(|| known.found.clone())
    }

    /// Remembers a file that was found at `since`.
    pub fn remember(&self, caller: Caller, wanted: Wanted, found: Found, since: Instant) {
        let mut all = self.0.borrow_mut();
        if all.len() >= MOST_REMEMBERED {
            all.retain(|_, known| known.holds(since));
        }
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        all.insert((caller.user_id, wanted), Remembered { caller, found, since });
    }

    /// Forgets a file: it is not as it was remembered.
    pub fn forget(&self, caller: Option<&Caller>, wanted: &Wanted) {
        if let Some(caller) = caller {
            self.0.borrow_mut().remove(&(caller.user_id, wanted.clone()));
        }
    }
}
