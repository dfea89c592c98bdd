//! The rules of payouts: who asks for them, what operators make of them, and which a dispute stops.

use corpex::error::Kind;
use corpex::types::WithdrawalId;
use proptest::sample::Index;

use super::{Book, meant};
use crate::model::steps::Step;

/// How many payouts of a payee may wait to be taken up.
const MOST_WAITING: usize = 10;

/// What a payee asked to be paid out.
#[derive(Debug, Clone)]
pub struct Payout {
    pub id: WithdrawalId,
    pub payee: usize,
    pub state: &'static str,
    fen: i64,
}

impl Payout {
    fn may_become(&self, next: &str) -> bool {
        matches!(
            (self.state, next),
            ("requested", "processing" | "refused" | "cancelled")
                | ("processing", "executed" | "reversed")
                | ("executed", "reversed")
        )
    }
}

impl Book {
    /// Notes a payout that a payee asked for.
    pub fn asked(&mut self, id: WithdrawalId, payee: usize, fen: i64) {
        self.payouts.push(Payout { id, payee, state: "requested", fen });
    }
    pub fn payout(&self, payout: Index) -> Option<&Payout> {
        meant(&self.payouts, payout)
    }

    /// What a step of a payout does, or why it is refused; one that is asked for is added by [`Book::asked`].
    pub(super) fn step_of_payout(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::PayOut { payee, leave } => self.pay_out(*payee, *leave),
            Step::Treat { payout, to } if !self.payouts.is_empty() => {
                let number = payout.index(self.payouts.len());
                let (payout, next) = (&mut self.payouts[number], to.as_str());
                if !payout.may_become(next) {
                    return Err(Kind::WrongState);
                }
                payout.state = next;
                if matches!(next, "refused" | "cancelled" | "reversed") {
                    self.payees[payout.payee].payable += payout.fen;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A payee asks for all that it is owed, but so much.
    fn pay_out(&mut self, payee: usize, leave: i64) -> Result<(), Kind> {
        let payable = &mut self.payees[payee].payable;
        if leave >= *payable {
            return Err(Kind::Invalid);
        }
        let waiting = self.payouts.iter().filter(|payout| payout.payee == payee && payout.state == "requested");
        if waiting.count() >= MOST_WAITING {
            return Err(Kind::WrongState);
        }
        *payable = leave;
        Ok(())
    }

    /// A dispute stops the newest, until as much is there as it would freeze.
    pub(super) fn stop_payouts(&mut self, payee: usize, wanted: i64) {
        let waiting = self.payouts.iter_mut().filter(|payout| payout.payee == payee && payout.state == "requested");
        for payout in waiting.rev() {
            if self.payees[payee].payable >= wanted {
                break;
            }
            payout.state = "stopped";
            self.payees[payee].payable += payout.fen;
        }
    }
}
