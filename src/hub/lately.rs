//! A short memory of what callers' licences were found to give them.
//!
//! A client requests the ranges of a file, and the files of a commit, one after the other. What the licence gives is looked
//! up for the first of them and remembered; the receipt desk still checks the licence itself for every one.
//!
//! Invariant: what is remembered is at most [`REMEMBERED`] old, and was found for this very caller.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::{Found, Wanted};
use crate::identity::Caller;
use crate::types::{Instant, UserId};

const REMEMBERED: Duration = Duration::from_secs(4);
/// After how long one request looks a file up again, so that not all of them do when it is remembered no longer.
const RENEWED_AFTER: Duration = Duration::from_secs(3);
const MOST_REMEMBERED: usize = 4096;

/// The files that one thread of the server has found lately.
#[derive(Default)]
pub struct Lately(RefCell<HashMap<(UserId, Wanted), Remembered>>);

struct Remembered {
    caller: Caller,
    found: Rc<Found>,
    since: Instant,
    /// Whether somebody was told to look it up again.
    is_renewed: Cell<bool>,
}

impl Remembered {
    fn holds(&self, now: Instant) -> bool {
        self.since <= now && now < self.since.plus(REMEMBERED)
    }

    /// Whether it is time to look it up again: true once, for whoever asks first.
    fn is_due(&self, now: Instant) -> bool {
        self.since.plus(RENEWED_AFTER) <= now && !self.is_renewed.replace(true)
    }
}

impl Lately {
    /// The file, if it was found for this caller a moment ago.
    pub fn recall(&self, caller: &Caller, wanted: &Wanted, now: Instant) -> Option<Rc<Found>> {
        let all = self.0.borrow();
        let known = all.get(&(caller.user_id, wanted.clone()))?;
        (known.holds(now) && known.caller == *caller && !known.is_due(now)).then(|| known.found.clone())
    }

    /// Remembers a file that was found at `since`.
    pub fn remember(&self, caller: Caller, wanted: Wanted, found: Rc<Found>, since: Instant) {
        let mut all = self.0.borrow_mut();
        if all.len() >= MOST_REMEMBERED {
            all.retain(|_, known| known.holds(since));
        }
        if all.len() >= MOST_REMEMBERED {
            all.clear();
        }
        let remembered = Remembered { caller, found, since, is_renewed: Cell::default() };
        all.insert((remembered.caller.user_id, wanted), remembered);
    }

    /// Forgets a file: it is not as it was remembered.
    pub fn forget(&self, caller: Option<&Caller>, wanted: &Wanted) {
        if let Some(caller) = caller {
            self.0.borrow_mut().remove(&(caller.user_id, wanted.clone()));
        }
    }
}
