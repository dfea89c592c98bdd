//! The rules of the corpus itself: its provider takes it off the board; while a claim is examined nobody trades it, and when one
//! is upheld its licences are recalled.

use corpex::compliance::takedowns::TakedownState;
use corpex::error::Kind;
use corpex::types::TakedownId;
use proptest::sample::Index;

use super::{Book, IN_ESCROW, meant};
use crate::model::steps::Step;

/// How long the provider, and whose licence is recalled, have to answer.
const ANSWER_DAYS: i64 = 14;
const RECALL_DAYS: i64 = 30;

/// A claim about the corpus, from its triage on.
#[derive(Debug, Clone)]
pub struct Case {
    pub id: TakedownId,
    pub state: &'static str,
    /// The day on which it came there.
    since: i64,
    /// How many licences it recalled.
    recalled: usize,
    /// Whether whose they were said what became of the bytes.
    pub(super) is_answered: bool,
    /// Whether the exchange found that nobody answered in time.
    pub(super) is_overdue: bool,
}

impl Case {
    /// Whether nobody trades the corpus because of it.
    fn holds(&self) -> bool {
        !matches!(self.state, "triaged" | "rejected" | "reinstated")
    }

    /// What compliance does with it as a rule.
    pub fn onward(&self) -> TakedownState {
        match self.state {
            "triaged" => TakedownState::InterimBlocked,
            "interim_blocked" => TakedownState::ProviderNotified,
            "countered" => TakedownState::Upheld,
            "upheld" => TakedownState::RecallIssued,
            "recall_issued" => TakedownState::Closed,
            _ => TakedownState::Reinstated,
        }
    }

    /// Whether somebody whose licence it recalled has not said yet what became of the bytes.
    fn waits_for_answers(&self) -> bool {
        self.state == "recall_issued" && self.recalled > 0 && !self.is_answered
    }

    fn may_become(&self, next: &str, day: i64) -> bool {
        match (self.state, next) {
            ("triaged", "rejected" | "interim_blocked")
            | ("interim_blocked", "provider_notified")
            | ("provider_notified", "countered" | "reinstated")
            | ("countered", "reinstated" | "upheld")
            | ("upheld", "recall_issued") => true,
            ("provider_notified", "upheld") => self.since + ANSWER_DAYS <= day,
            ("recall_issued", "closed") => !self.waits_for_answers() || self.is_overdue,
            _ => false,
        }
    }
}

/// Where the listing of the corpus is.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    pub state: &'static str,
    /// Where it was before the exchange suspended it.
    before: &'static str,
}

impl Listing {
    /// On the board.
    pub const LISTED: Self = Self { state: "listed", before: "listed" };
    /// Announced for it.
    pub const ON_NOTICE: Self = Self { state: "public_notice", before: "listed" };

    pub(super) fn is_on_notice(&self) -> bool {
        self.state == "public_notice"
    }

    /// What its provider does with it.
    fn change(&mut self, next: &'static str) -> Result<(), Kind> {
        match (self.state, next) {
            ("listed", "paused")
            | ("paused", "listed")
            | ("public_notice" | "listed" | "paused" | "suspended", "delisted") => {
                self.state = next;
                Ok(())
            }
            _ => Err(Kind::WrongState),
        }
    }
}

impl Book {
    /// Whether nobody trades the corpus.
    pub(super) fn is_held(&self) -> bool {
        self.cases.iter().any(Case::holds)
    }
    /// Whether nobody agrees to buy it.
    pub(super) fn is_closed(&self) -> bool {
        self.listing.state != "listed"
    }
    /// Notes a case that was found worth examining.
    pub fn claimed(&mut self, id: TakedownId) {
        let (is_answered, is_overdue) = (false, false);
        self.cases.push(Case { id, state: "triaged", since: self.day, recalled: 0, is_answered, is_overdue });
    }
    pub fn case(&self, case: Index) -> Option<&Case> {
        meant(&self.cases, case)
    }

    /// What a step of the listing or of a case does, or why it is refused; a case that is filed is added by [`Book::claimed`].
    pub(super) fn step_of_claim(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Pause => self.listing.change("paused"),
            Step::Resume => self.listing.change("listed"),
            Step::Delist => self.listing.change("delisted"),
            Step::Examine { case, to } if !self.cases.is_empty() => {
                let number = case.index(self.cases.len());
                let next = to.unwrap_or(self.cases[number].onward()).as_str();
                if !self.cases[number].may_become(next, self.day) {
                    return Err(Kind::WrongState);
                }
                self.advance(number, next);
                Ok(())
            }
            Step::Counter(case) if !self.cases.is_empty() => {
                let number = case.index(self.cases.len());
                match self.cases[number].state {
                    // The provider was not told.
                    "triaged" | "rejected" | "interim_blocked" => Err(Kind::NotFound),
                    "provider_notified" => {
                        self.advance(number, "countered");
                        Ok(())
                    }
                    _ => Err(Kind::WrongState),
                }
            }
            Step::AnswerRecalls(case) if !self.cases.is_empty() => {
                let number = case.index(self.cases.len());
                let case = &mut self.cases[number];
                if case.is_answered {
                    return Err(Kind::WrongState);
                }
                // Better late than never.
                case.is_answered = case.recalled > 0;
                Ok(())
            }
            Step::MarkOverdue => {
                let day = self.day;
                let waiting = self.cases.iter_mut().filter(|case| case.waits_for_answers());
                waiting.filter(|case| case.since + RECALL_DAYS <= day).for_each(|case| case.is_overdue = true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, number: usize, next: &'static str) {
        let case = &mut self.cases[number];
        (case.state, case.since) = (next, self.day);
        match next {
            "interim_blocked" => {
                if matches!(self.listing.state, "listed" | "paused") {
                    self.listing = Listing { state: "suspended", before: self.listing.state };
                }
                self.suspend_licences();
            }
            "reinstated" if !self.is_held() => {
                if self.listing.state == "suspended" {
                    self.listing.state = self.listing.before;
                }
                self.review();
                self.free_licences();
            }
            "upheld" => self.listing.state = "delisted",
            "recall_issued" => self.cases[number].recalled = self.recall_licences(),
            _ => {}
        }
    }

    fn suspend_licences(&mut self) {
        for trade in self.trades.iter_mut().filter(|trade| trade.is_of_corpus() && trade.licence() == Some("active")) {
            (trade.is_suspended, trade.is_held) = (true, true);
        }
    }

    /// Licences that staff suspended stay so.
    fn free_licences(&mut self) {
        for trade in self.trades.iter_mut().filter(|trade| trade.is_of_corpus()) {
            trade.begin_again(self.day);
            if trade.is_held {
                (trade.is_suspended, trade.is_held) = (false, false);
            }
        }
    }

    /// Every licence ends, and what was paid for it goes back as long as it is in escrow; of how many.
    fn recall_licences(&mut self) -> usize {
        let mut recalled = 0;
        for number in 0..self.trades.len() {
            let mut trade = self.trades[number].clone();
            if trade.is_of_corpus() && trade.is_granted() {
                if IN_ESCROW.contains(&trade.state) {
                    self.refund(&mut trade);
                }
                trade.is_recalled = true;
                self.trades[number] = trade;
                recalled += 1;
            }
        }
        recalled
    }
}
