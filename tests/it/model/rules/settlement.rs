//! The rules of a price: who pays it, what goes back of it, and who has what of the rest, to the fen.

use corpex::error::Kind;
use corpex::types::BASIS_POINTS;

use super::{Book, DISPUTE_DAYS, FEE_BASIS_POINTS, Trade, part};

/// Who has a part in a price: the provider, and its co-builder.
pub const PAYEES: usize = 2;
/// What each of them has of what the corpus is sold for, in basis points.
pub const SHARES: [i64; PAYEES] = [6667, 3333];
/// The same of all else: the provider built it alone.
const ALONE: [i64; PAYEES] = [BASIS_POINTS, 0];

/// What is kept for somebody who has a part in prices: what it can have paid out, and what is disputed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payee {
    pub payable: i64,
    pub frozen: i64,
}

/// What each payee and the exchange have of a price, and the day from which on it cannot be disputed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settlement {
    pub(super) owed: [i64; PAYEES],
    pub(super) fee: i64,
    pub(super) final_from: i64,
}

/// An amount in parts of these weights, of which one is above zero: each part is rounded down, and what is left goes fen by fen to
/// the part that lacks most, the first of several.
pub(super) fn split<const N: usize>(amount: i64, weights: [i64; N]) -> [i64; N] {
    let whole: i64 = weights.iter().sum();
    let mut parts = weights.map(|weight| amount * weight / whole);
    while parts.iter().sum::<i64>() < amount {
        let most = (0..N).rev().max_by_key(|number| amount * weights[*number] - parts[*number] * whole);
        parts[most.unwrap()] += 1;
    }
    parts
}

impl Trade {
    pub(super) fn shares(&self) -> [i64; PAYEES] {
        if self.is_of_corpus() { SHARES } else { ALONE }
    }
}

impl Book {
    pub(super) fn pay(&mut self, lab: usize, price: i64) -> Result<(), Kind> {
        let left = self.wallets[lab] - price;
        if left < 0 {
            return Err(Kind::InsufficientFunds);
        }
        self.wallets[lab] = left;
        Ok(())
    }

    pub(super) fn settle(&mut self, trade: &mut Trade) {
        let refund = trade.refund.unwrap_or(0);
        let rest = trade.price - refund;
        let fee = part(rest, part(trade.price, FEE_BASIS_POINTS, BASIS_POINTS), trade.price);
        let owed = split(rest - fee, trade.shares());
        self.give_back(trade, 0, refund);
        self.fees += fee;
        for (payee, owed) in self.payees.iter_mut().zip(owed) {
            payee.payable += owed;
        }
        trade.settlement = Some(Settlement { owed, fee, final_from: self.day + DISPUTE_DAYS });
        (trade.state, trade.due) = ("settled", None);
    }

    /// Gives the whole price back; the licence follows.
    pub(super) fn refund_all(&mut self, trade: &mut Trade) {
        self.refund(trade);
        self.follow(trade);
    }

    pub(super) fn refund(&mut self, trade: &mut Trade) {
        self.give_back(trade, 0, trade.price);
        (trade.state, trade.due, trade.refund) = ("refunded", None, Some(trade.price));
    }
}
