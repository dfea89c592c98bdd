//! The rules of negotiations: whose message leads where, while the last offer holds and nobody waited too long.

use corpex::error::Kind;
use corpex::market::negotiation::{self, Side};
use corpex::types::{Digest, NegotiationId};
use proptest::sample::Index;

use super::{Book, PAYMENT_DAYS, Trade, meant};
use crate::model::steps::{Message, Step};

const NEGOTIATION_DAYS: i64 = 14;

/// What a lab and the provider negotiate.
#[derive(Debug, Clone)]
pub struct Negotiation {
    pub id: NegotiationId,
    pub lab: usize,
    pub state: &'static str,
    /// At what price, as it was offered last.
    pub fen: i64,
    pub offer_sha256: Digest,
    /// What both sides sign.
    pub contract: Option<String>,
    /// The day from which on the last offer does not hold.
    ends: i64,
    /// The day from which on it is too late for the next message.
    due: i64,
}

impl Negotiation {
    /// What leads to an agreement from here.
    pub fn onward(&self) -> Message {
        match self.state {
            "OFFERED" => Message::Accept,
            "AGREED" => Message::Verify,
            "VERIFIED" => Message::Finalize,
            _ => Message::Agree,
        }
    }

    /// Whether nobody went on in time.
    pub(super) fn is_idle(&self, day: i64) -> bool {
        self.due <= day && !matches!(self.state, "FINALIZED" | "TERMINATED")
    }

    /// The state to which a message leads, if it can be sent in this one.
    fn led_by(&self, message: Message) -> Option<&'static str> {
        match (self.state, message) {
            ("REQUESTED", Message::Answer { side: Side::Provider, .. }) => Some("OFFERED"),
            ("OFFERED", Message::Answer { side: Side::Buyer, .. }) => Some("REQUESTED"),
            ("OFFERED", Message::Accept) => Some("ACCEPTED"),
            ("REQUESTED" | "ACCEPTED", Message::Agree) => Some("AGREED"),
            ("AGREED", Message::Verify) => Some("VERIFIED"),
            ("VERIFIED", Message::Finalize) => Some("FINALIZED"),
            ("REQUESTED" | "OFFERED", Message::Terminate(_))
            | ("ACCEPTED" | "VERIFIED", Message::Terminate(Side::Provider))
            | ("AGREED", Message::Terminate(Side::Buyer)) => Some("TERMINATED"),
            _ => None,
        }
    }

    fn receive(&mut self, message: Message, day: i64, is_closed: bool) -> Result<(), Kind> {
        let Some(next) = self.led_by(message) else { return Err(Kind::WrongState) };
        // Nobody is held to an offer that is over.
        let needs_offer = matches!(message, Message::Accept | Message::Agree | Message::Finalize);
        // Nor is anything offered that is not on the board.
        let needs_listing = needs_offer || matches!(message, Message::Answer { .. });
        if self.due <= day || (needs_offer && self.ends <= day) || (needs_listing && is_closed) {
            return Err(Kind::WrongState);
        }
        (self.state, self.due) = (next, day + NEGOTIATION_DAYS);
        if let Message::Answer { fen, days, .. } = message {
            (self.fen, self.ends) = (fen, day + days);
        }
        Ok(())
    }
}

impl Book {
    /// Notes a negotiation of a lab that a side began at a price, with an offer for some days.
    pub fn negotiates(
        &mut self,
        begun: &negotiation::Negotiation,
        (lab, side): (usize, Side),
        (fen, days): (i64, i64),
    ) {
        self.negotiations.push(Negotiation {
            id: begun.id,
            lab,
            state: if side == Side::Buyer { "REQUESTED" } else { "OFFERED" },
            fen,
            offer_sha256: begun.offer_sha256,
            contract: begun.contract_document.clone(),
            ends: self.day + days,
            due: self.day + NEGOTIATION_DAYS,
        });
    }
    pub fn negotiation(&self, negotiation: Index) -> Option<&Negotiation> {
        meant(&self.negotiations, negotiation)
    }
    /// Notes what there is to answer and to sign after a message, and the order that came of the last one.
    pub fn negotiated(&mut self, negotiation: Index, sent: &negotiation::Negotiation) {
        let number = negotiation.index(self.negotiations.len());
        let known = &mut self.negotiations[number];
        (known.offer_sha256, known.contract) = (sent.offer_sha256, sent.contract_document.clone());
        if let (Some(order), Some(contract)) = (sent.order_id, &sent.contract_document) {
            let due = self.day + PAYMENT_DAYS;
            let trade = Trade::new(order, known.lab, contract.clone(), "awaiting_payment", due);
            self.trades.push(Trade { price: known.fen, ..trade });
        }
    }

    /// What a step of a negotiation does, or why it is refused; one that is begun is added by [`Book::negotiates`], and what
    /// comes of a message by [`Book::negotiated`].
    pub(super) fn step_of_negotiation(&mut self, step: &Step) -> Result<(), Kind> {
        let (day, is_closed) = (self.day, self.is_closed());
        match step {
            Step::Send { negotiation, message } if !self.negotiations.is_empty() => {
                let number = negotiation.index(self.negotiations.len());
                let known = &mut self.negotiations[number];
                let message = message.unwrap_or(known.onward());
                known.receive(message, day, is_closed)
            }
            Step::ExpireNegotiations => {
                let idle = self.negotiations.iter_mut().filter(|known| known.is_idle(day));
                idle.for_each(|known| known.state = "TERMINATED");
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
