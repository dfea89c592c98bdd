//! The rules of disputes: within which time one is opened, who decides it, and what moves when that is final.

use corpex::error::Kind;
use corpex::market::disputes::Outcome;

use super::settlement::{PAYEES, split};
use super::{APPEAL_DAYS, Book, IN_ESCROW, Trade, allowed};
use crate::model::steps::Step;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dispute {
    /// What of the settlement was unpaid to each payee when it was opened; absent when the price was in escrow.
    pub(super) frozen: Option<[i64; PAYEES]>,
    /// For whom it is decided, with how much of a split, and the day from which on that is carried out.
    pub(super) decided: Option<(Outcome, i64, i64)>,
    pub(super) is_appealed: bool,
    /// For whom it ended, with how much of a split.
    pub(super) ended: Option<(Outcome, i64)>,
}

impl Trade {
    /// A split gives back something, and not all that is left.
    fn weigh(&self, outcome: Outcome, fen: i64) -> Result<(), Kind> {
        let left = self.price - self.refund.unwrap_or(0);
        if outcome == Outcome::Split && !(1..left).contains(&fen) { Err(Kind::Invalid) } else { Ok(()) }
    }
}

impl Book {
    pub(super) fn step_of_dispute(&mut self, trade: &mut Trade, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Dispute(_) => self.open_dispute(trade)?,
            Step::Decide { outcome, fen, .. } => {
                let Some(dispute) = trade.dispute else { return Err(Kind::WrongState) };
                trade.weigh(*outcome, *fen)?;
                allowed(dispute.decided.is_none())?;
                let decided = Some((*outcome, *fen, self.day + APPEAL_DAYS));
                trade.dispute = Some(Dispute { decided, ..dispute });
            }
            Step::Appeal(_) => {
                let Some(dispute) = trade.dispute else { return Err(Kind::WrongState) };
                let is_in_time = dispute.decided.is_some_and(|(_, _, due)| self.day < due);
                allowed(is_in_time && !dispute.is_appealed && dispute.ended.is_none())?;
                trade.dispute = Some(Dispute { is_appealed: true, ..dispute });
            }
            Step::DecideAppeal { outcome, fen, .. } => {
                allowed(trade.dispute.is_some_and(|dispute| dispute.is_appealed && dispute.ended.is_none()))?;
                trade.weigh(*outcome, *fen)?;
                self.carry_out(trade, *outcome, *fen);
            }
            _ => {}
        }
        Ok(())
    }

    fn open_dispute(&mut self, trade: &mut Trade) -> Result<(), Kind> {
        if trade.dispute.is_some() {
            return Err(Kind::AlreadyExists);
        }
        let frozen = match trade.settlement {
            Some(settlement) => {
                allowed(self.day < settlement.final_from)?;
                Some(self.freeze(settlement.owed))
            }
            None => {
                allowed(IN_ESCROW.contains(&trade.state) && !trade.is_late(self.day))?;
                (trade.state, trade.due, trade.refund) = ("disputed", None, None);
                None
            }
        };
        trade.dispute = Some(Dispute { frozen, ..Dispute::default() });
        Ok(())
    }

    /// Keeps what each payee is owed from being paid out, as far as it is there.
    fn freeze(&mut self, owed: [i64; PAYEES]) -> [i64; PAYEES] {
        std::array::from_fn(|number| {
            self.stop_payouts(number, owed[number]);
            let payee = &mut self.payees[number];
            let frozen = owed[number].min(payee.payable);
            payee.payable -= frozen;
            payee.frozen += frozen;
            frozen
        })
    }

    /// A decision that nobody appealed against in time is carried out.
    pub(super) fn end_dispute(&mut self, trade: &mut Trade) {
        let unopposed = trade.dispute.filter(|dispute| !dispute.is_appealed && dispute.ended.is_none());
        if let Some((outcome, fen, due)) = unopposed.and_then(|dispute| dispute.decided)
            && due <= self.day
        {
            self.carry_out(trade, outcome, fen);
        }
    }

    /// The last decision moves the money.
    fn carry_out(&mut self, trade: &mut Trade, outcome: Outcome, fen: i64) {
        let Some(dispute) = trade.dispute else { return };
        trade.dispute = Some(Dispute { ended: Some((outcome, fen)), ..dispute });
        match (dispute.frozen, outcome) {
            (Some(frozen), _) => self.recover(trade, frozen, (outcome, fen)),
            (None, Outcome::Buyer) => self.refund_all(trade),
            (None, _) => {
                trade.refund = (outcome == Outcome::Split).then_some(fen);
                self.settle(trade);
            }
        }
    }

    /// The exchange and the payees give back their parts of what the buyer gets, the payees no more than was frozen.
    fn recover(&mut self, trade: &mut Trade, frozen: [i64; PAYEES], (outcome, fen): (Outcome, i64)) {
        let Some(settlement) = trade.settlement else { return };
        let before = trade.refund.unwrap_or(0);
        let wanted = match outcome {
            Outcome::Buyer => trade.price - before,
            Outcome::Split => fen,
            Outcome::Provider => 0,
        };
        let [provider, co_builder] = settlement.owed;
        let [fee, provider, co_builder] = split(wanted, [settlement.fee, provider, co_builder]);
        self.fees -= fee;
        let mut recovered = fee;
        for ((payee, part), frozen) in self.payees.iter_mut().zip([provider, co_builder]).zip(frozen) {
            let taken = part.min(frozen);
            payee.frozen -= frozen;
            payee.payable += frozen - taken;
            recovered += taken;
        }
        self.give_back(trade, before, recovered);
        trade.refund = Some(before + recovered);
        if outcome == Outcome::Buyer {
            trade.state = "refunded";
            self.follow(trade);
        }
    }
}
