//! The rules of terms: a licence grows by its term when a renewal is paid, shrinks by it when the price of that goes back, and
//! is over at its end.

use corpex::error::Kind;
use corpex::types::OrderId;

use super::{ACCEPTANCE_DAYS, Book, Goods, IN_ESCROW, PAYMENT_DAYS, SUBSCRIPTION_DAYS, Trade};

impl Trade {
    /// Whether its licence can be renewed: it is in use, and has an end that is still to come.
    pub(super) fn is_renewable(&self, day: i64) -> bool {
        self.licence() == Some("active") && self.subscription.is_some_and(|subscription| day < subscription.ends)
    }
    /// The day from which on its licence is over, if it has one that ends.
    pub fn ends(&self) -> Option<i64> {
        self.subscription.filter(|_| self.is_paid()).map(|subscription| subscription.ends)
    }
}

impl Book {
    /// Notes the order of a renewal of the licence of a trade.
    pub fn renewed(&mut self, id: OrderId, first: &Trade, contract: String) {
        let renewal = Trade::new(id, first.lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS);
        self.trades.push(Trade { goods: Goods::Essays, renews: Some(first.id), ..renewal });
    }

    /// The trade whose licence a trade has or renews.
    pub(super) fn licensed_by<'a>(&'a self, trade: &'a Trade) -> &'a Trade {
        self.trades.iter().find(|first| Some(first.id) == trade.renews).unwrap_or(trade)
    }

    /// A renewal that is paid has all that it delivers: the term of the licence grows.
    pub(super) fn lengthen(&mut self, renewal: &mut Trade) -> Result<(), Kind> {
        if !self.licensed_by(renewal).is_renewable(self.day) {
            return Err(Kind::WrongState);
        }
        self.move_end(renewal, SUBSCRIPTION_DAYS);
        (renewal.state, renewal.due) = ("delivered", Some(self.day + ACCEPTANCE_DAYS));
        Ok(())
    }

    fn move_end(&mut self, renewal: &Trade, days: i64) {
        let first = self.trades.iter_mut().find(|first| Some(first.id) == renewal.renews);
        if let Some(subscription) = first.and_then(|first| first.subscription.as_mut()) {
            subscription.ends += days;
        }
    }

    /// The licences whose term is over end.
    pub(super) fn expire_licences(&mut self) {
        let day = self.day;
        for trade in self.trades.iter_mut().filter(|trade| trade.is_licensed()) {
            trade.is_expired = trade.ends().is_some_and(|end| end <= day);
        }
    }

    /// What follows when a trade was refunded: a licence that stood ends, and what is in escrow of its renewals goes back, too; one
    /// that was renewed is the shorter.
    pub(super) fn follow(&mut self, refunded: &Trade) {
        if refunded.renews.is_some() {
            if self.licensed_by(refunded).is_licensed() {
                self.move_end(refunded, -SUBSCRIPTION_DAYS);
            }
        } else if !refunded.is_revoked && !refunded.is_expired {
            self.refund_renewals(refunded);
        }
    }

    /// Gives back what is in escrow of the renewals of a trade's licence; of how many.
    pub(super) fn refund_renewals(&mut self, first: &Trade) -> usize {
        let mut refunded = 0;
        for number in 0..self.trades.len() {
            let mut trade = self.trades[number].clone();
            if trade.renews == Some(first.id) && IN_ESCROW.contains(&trade.state) {
                self.refund(&mut trade);
                self.trades[number] = trade;
                refunded += 1;
            }
        }
        refunded
    }

    /// The time of the renewals of a trade's licence that are with their buyer begins anew.
    pub(super) fn begin_renewals_again(&mut self, first: &Trade) {
        let day = self.day;
        for renewal in self.trades.iter_mut().filter(|trade| trade.renews == Some(first.id)) {
            renewal.begin_again(day);
        }
    }
}
