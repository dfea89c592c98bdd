//! How often a command tries again, and how long it waits before: one rule for all of them.

use std::time::Duration;

use super::output::say;
use crate::error::{Error, Kind, Result};

const FIRST_WAIT: Duration = Duration::from_millis(250);
/// A server that asks for more patience is asked again after so long all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The attempts at one thing that have failed in a row.
pub(super) struct Attempts {
    most: u32,
    failed: u32,
    wait: Duration,
}

impl Attempts {
    /// Begins: after `most` failures in a row it is given up.
    pub(super) fn at_most(most: u32) -> Self {
        Self { most, failed: 0, wait: FIRST_WAIT }
    }

    /// Begins anew: the last attempt came further than those before it.
    pub(super) fn begin_anew(&mut self) {
        *self = Self::at_most(self.most);
    }

    /// Waits for the next attempt after one that failed so.
    ///
    /// # Errors
    /// That very failure, when it was the last one that is allowed.
    pub(super) async fn wait_after(&mut self, failure: Error) -> Result<()> {
        let Self { most, failed, .. } = *self;
        let again = format!("{failure}; trying again in");
        let pause = self.pause_after(failure)?;
        let again = format!("{again} {:.1} s ({} of {most})", pause.as_secs_f64(), failed.saturating_add(1));
        // Most of what passes has passed by then: the log takes in what was just done within a second.
        match failed {
            0 => tracing::debug!("{again}"),
            _ => say(&again),
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Counts a failure, and says how long to wait then: twice as long each time, and no less than the server asks for.
    fn pause_after(&mut self, failure: Error) -> Result<Duration> {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= self.most {
            return Err(failure.remedy(format!("gave up after {} attempts; try again later", self.most)));
        }
        let asked = failure.seconds_to_wait().map_or(Duration::ZERO, Duration::from_secs).min(LONGEST_WAIT);
        let pause = self.wait.mul_f64(rand::random_range(0.75..1.25)).max(asked);
        self.wait = self.wait.saturating_mul(2);
        Ok(pause)
    }
}

/// Whether what failed so may succeed when it is tried again.
pub(super) fn may_pass(failure: &Error) -> bool {
    matches!(failure.kind, Kind::Unavailable | Kind::OutcomeUnknown | Kind::Timeout | Kind::RateLimited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> Error {
        Error::new(Kind::Unavailable, "the connection broke")
    }

    #[test]
    fn attempts_are_bounded_however_they_fail_until_one_comes_further() {
        let mut attempts = Attempts::at_most(3);
        let (first, second) = (attempts.pause_after(failure()).unwrap(), attempts.pause_after(failure()).unwrap());
        assert!(first < second && second < 4 * FIRST_WAIT, "{first:?} {second:?}");
        let given_up = attempts.pause_after(failure()).unwrap_err();
        assert!(given_up.remedy.unwrap().contains("gave up after 3 attempts"));
        attempts.begin_anew();
        attempts.pause_after(failure()).unwrap();
    }

    #[test]
    fn a_server_is_given_the_time_that_it_asks_for_up_to_a_minute() {
        let asked = |seconds| Attempts::at_most(2).pause_after(failure().retry_after(seconds)).unwrap();
        assert_eq!([7, 3600].map(asked), [7, 60].map(Duration::from_secs));
    }
}
