//! The rules of payouts: who asks for them, who takes them up, and what a dispute does to those that wait.

use corpex::error::Kind;

use super::Book;

/// How many payouts may wait to be taken up.
const MOST_WAITING: usize = 10;

impl Book {
    /// The provider asks for all that it is owed, but so much.
    pub(super) fn pay_out(&mut self, leave: i64) -> Result<(), Kind> {
        if leave >= self.payable {
            return Err(Kind::Invalid);
        }
        if self.waiting.len() >= MOST_WAITING {
            return Err(Kind::WrongState);
        }
        self.waiting.push(self.payable - leave);
        self.payable = leave;
        Ok(())
    }

    /// An operator takes up the oldest.
    pub(super) fn take_up(&mut self) {
        self.waiting = self.waiting.iter().skip(1).copied().collect();
    }

    /// A dispute stops the newest, until as much is there as it would freeze.
    pub(super) fn stop_payouts(&mut self, wanted: i64) {
        while self.payable < wanted
            && let Some(newest) = self.waiting.pop()
        {
            self.payable += newest;
        }
    }
}
