//! The rules of private offers: one order at most, before their time is over.

use corpex::error::Kind;
use corpex::types::{OfferId, OrderId};
use proptest::sample::Index;

use super::{Book, PAYMENT_DAYS, Trade, meant};
use crate::model::steps::Step;

/// What the provider offers to one lab.
#[derive(Debug, Clone)]
pub struct PrivateOffer {
    pub id: OfferId,
    pub lab: usize,
    pub state: &'static str,
    fen: i64,
    /// The day from which on nothing is ordered at it.
    ends: i64,
}

impl Book {
    /// Notes an offer to a lab, at a price and for some days.
    pub fn offered(&mut self, id: OfferId, lab: usize, fen: i64, days: i64) {
        self.offers.push(PrivateOffer { id, lab, state: "offered", fen, ends: self.day + days });
    }
    pub fn offer(&self, offer: Index) -> Option<&PrivateOffer> {
        meant(&self.offers, offer)
    }
    /// Notes the order that was placed at an offer.
    pub fn placed_at(&mut self, id: OrderId, offer: &PrivateOffer, contract: String) {
        let trade = Trade::new(id, offer.lab, contract, "awaiting_signature", self.day + PAYMENT_DAYS);
        self.trades.push(Trade { price: offer.fen, ..trade });
    }

    /// What a step of a private offer does, or why it is refused; one that is made is added by [`Book::offered`], and an order
    /// at one by [`Book::placed_at`].
    pub(super) fn step_of_offer(&mut self, step: &Step) -> Result<(), Kind> {
        let day = self.day;
        match step {
            Step::PlaceAt(offer) => {
                let is_closed = self.is_closed();
                self.end_offer(*offer, "accepted", |offer| day < offer.ends && !is_closed)
            }
            Step::Withdraw(offer) => self.end_offer(*offer, "withdrawn", |_| true),
            Step::ExpireOffers => {
                let over = self.offers.iter_mut().filter(|offer| offer.state == "offered" && offer.ends <= day);
                over.for_each(|offer| offer.state = "expired");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end_offer(
        &mut self,
        offer: Index,
        state: &'static str,
        is_in_time: impl Fn(&PrivateOffer) -> bool,
    ) -> Result<(), Kind> {
        if self.offers.is_empty() {
            return Ok(());
        }
        let number = offer.index(self.offers.len());
        let offer = &mut self.offers[number];
        if offer.state != "offered" || !is_in_time(offer) {
            return Err(Kind::WrongState);
        }
        offer.state = state;
        Ok(())
    }
}
