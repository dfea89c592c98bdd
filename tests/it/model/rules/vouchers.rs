//! The rules of vouchers: what a programme pays of a price, and gets back with a refund.

use corpex::error::Kind;
use corpex::types::{BASIS_POINTS, ProgrammeId};
use proptest::sample::Index;

use super::{Book, CO_BUILDERS_LAB, Trade, meant, part};
use crate::model::steps::Step;

/// What a programme pays of each price, in basis points, and the most that one buyer gets, in fen.
pub const RATE_BASIS_POINTS: i64 = 3000;
pub const CAP: i64 = 300;

/// A voucher programme of one of the labs.
#[derive(Debug, Clone)]
pub struct Programme {
    pub id: ProgrammeId,
    pub funder: usize,
    pub pool: i64,
    /// The day from which on it pays no more.
    ends: i64,
    /// What each lab has of it.
    used: Vec<i64>,
}

/// What a programme pays of the price of a trade.
#[derive(Debug, Clone, Copy)]
pub struct Voucher {
    programme: usize,
    amount: i64,
}

impl Book {
    /// Notes a programme that a lab announced, and filled with so much, for so many days.
    pub fn announced(&mut self, id: ProgrammeId, funder: usize, pool: i64, days: i64) {
        let used = vec![0; self.wallets.len()];
        self.programmes.push(Programme { id, funder, pool, ends: self.day + days, used });
    }
    pub fn programme(&self, programme: Index) -> Option<&Programme> {
        meant(&self.programmes, programme)
    }

    /// What a step of a programme does, or why it is refused; one that is announced is added by [`Book::announced`].
    pub(super) fn step_of_programme(&mut self, step: &Step) -> Result<(), Kind> {
        match step {
            Step::Announce { lab, fen, .. } => self.pay(*lab, *fen),
            Step::Fund { programme, fen } => {
                let Some(Programme { funder, ends, .. }) = self.programme(*programme).cloned() else { return Ok(()) };
                if ends <= self.day {
                    return Err(Kind::WrongState);
                }
                self.pay(funder, *fen)?;
                let number = programme.index(self.programmes.len());
                self.programmes[number].pool += fen;
                Ok(())
            }
            Step::TakeBack(programme) => {
                let Some(Programme { funder, pool, ends, .. }) = self.programme(*programme).cloned() else {
                    return Ok(());
                };
                if self.day < ends || pool == 0 {
                    return Err(Kind::WrongState);
                }
                let number = programme.index(self.programmes.len());
                self.programmes[number].pool = 0;
                self.wallets[funder] += pool;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What the programme that a payment names, if it names one, pays of the price; or why it pays nothing.
    pub(super) fn voucher(&self, trade: &Trade, step: &Step) -> Result<Option<Voucher>, (Kind, &'static str)> {
        let Step::PayWith { programme, .. } = step else { return Ok(None) };
        let Some(Programme { funder, pool, ends, used, .. }) = self.programme(*programme) else { return Ok(None) };
        let left = CAP - used[trade.lab];
        let amount = part(trade.price, RATE_BASIS_POINTS, BASIS_POINTS).min(left);
        let is_affiliate_of_payee = trade.is_of_corpus() && trade.lab == CO_BUILDERS_LAB;
        let refusals = [
            (*ends <= self.day, Kind::Invalid, "after its time"),
            // Nobody gets one of its own.
            (*funder == trade.lab, Kind::Invalid, "to its funder"),
            (is_affiliate_of_payee, Kind::Invalid, "to an affiliate"),
            (left <= 0, Kind::Invalid, "beyond its cap"),
            (amount <= 0, Kind::Invalid, "for less than a fen"),
            (*pool < amount, Kind::InsufficientFunds, "beyond its pool"),
        ];
        match refusals.into_iter().find(|(applies, ..)| *applies) {
            Some((_, kind, why)) => Err((kind, why)),
            None => Ok(Some(Voucher { programme: programme.index(self.programmes.len()), amount })),
        }
    }

    /// Pays for a trade, with its voucher.
    pub(super) fn pay_for(&mut self, trade: &Trade) -> Result<(), Kind> {
        let amount = trade.voucher.map_or(0, |voucher| voucher.amount);
        self.pay(trade.lab, trade.price - amount)?;
        self.use_voucher(trade, amount);
        Ok(())
    }

    /// Gives so much of the price back to who paid it, after so much before.
    pub(super) fn give_back(&mut self, trade: &Trade, before: i64, amount: i64) {
        let paid = trade.voucher.map_or(0, |voucher| voucher.amount);
        let returned = part(before + amount, paid, trade.price) - part(before, paid, trade.price);
        self.wallets[trade.lab] += amount - returned;
        self.use_voucher(trade, -returned);
    }

    fn use_voucher(&mut self, trade: &Trade, amount: i64) {
        if let Some(voucher) = trade.voucher {
            let programme = &mut self.programmes[voucher.programme];
            programme.pool -= amount;
            programme.used[trade.lab] += amount;
        }
    }
}
