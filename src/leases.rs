//! Leases: one process at a time extends the log, and one dispatches events; when it is gone, another takes over.
//!
//! A lease in the database ends at a time by its holder's clock, which may be an hour ahead of everybody else's. So whoever wants it
//! also takes it when the holder has not renewed it for as long as a lease lasts, by the watcher's own steady clock. What is done
//! under a lease is written in the transaction that checks it: a holder that comes back late changes nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use crate::types::Instant;

/// A lease as it stands in the database: whose it is, and until when.
pub type Standing = (String, Instant);

/// One who wants a lease, under a name that nobody else has. Clones are the same.
#[derive(Debug, Clone)]
pub struct Claimant {
    name: Arc<str>,
    /// What was seen last of somebody else's lease, and since when it stands like that.
    seen: Arc<Mutex<Option<(Standing, Stopwatch)>>>,
}

/// What a claimant may do about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the claimant's, for long enough.
    Held,
    /// It is the claimant's, and to be renewed.
    Renew,
    /// It is to be taken: nobody holds it any more.
    Take,
    /// Somebody else holds it.
    Others,
}

impl Claimant {
    /// A claimant of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), seen: Arc::default() }
    }

    /// The name under which it holds what it holds.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to do about a lease that lasts for `length` and stands like this.
    pub fn look_at(&self, standing: &Standing, length: Duration, now: Instant) -> Verdict {
        let (holder, until) = standing;
        if **holder == *self.name {
            let is_fresh = (now.plus(length / 2)..=now.plus(length)).contains(until);
            return if is_fresh { Verdict::Held } else { Verdict::Renew };
        }
        match *until <= now || self.has_stood(standing) >= 2 * length {
            true => Verdict::Take,
            false => Verdict::Others,
        }
    }

    /// For how long a lease was seen to stand like this.
    fn has_stood(&self, standing: &Standing) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some((same, since)) if same == standing => since.elapsed(),
            _ => {
                *seen = Some((standing.clone(), Stopwatch::now()));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(40);

    fn at(millis: i64) -> Instant {
        Instant::from_unix_micros(millis * 1000)
    }

    #[test]
    fn whoever_holds_it_renews_it_before_its_end_and_after_the_clock_was_set() {
        let one = Claimant::new("one");
        for (until, verdict) in
            [(1030, Verdict::Held), (1010, Verdict::Renew), (900, Verdict::Renew), (3_600_000, Verdict::Renew)]
        {
            assert_eq!(one.look_at(&("one".to_string(), at(until)), LENGTH, at(1000)), verdict, "until {until}");
        }
    }

    #[test]
    fn what_another_holds_is_taken_when_it_ends_or_is_not_renewed_whatever_its_clock_says() {
        let one = Claimant::new("one");
        let look = |until| one.look_at(&("two".to_string(), at(until)), LENGTH, at(1000));
        assert_eq!(look(1000), Verdict::Take, "it ended");
        let an_hour_ahead = 3_601_000;
        assert_eq!(look(an_hour_ahead), Verdict::Others);
        std::thread::sleep(3 * LENGTH);
        assert_eq!(look(an_hour_ahead + 20), Verdict::Others, "it was renewed");
        std::thread::sleep(3 * LENGTH);
        assert_eq!(look(an_hour_ahead + 20), Verdict::Take, "it was not");
    }
}
