//! The steps of negotiations, taken in the real exchange.

use corpex::config::Config;
use corpex::db::Conn;
use corpex::error::Error;
use corpex::keys::ExchangeKeys;
use corpex::market::negotiation::{self, DeclaredUse, Side};
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE};
use corpex::terms::Use;
use corpex::types::Instant;

use super::{Party, World};
use crate::model::rules::Book;
use crate::model::rules::negotiations::Negotiation;
use crate::model::steps::{Message, Step};

fn declared() -> DeclaredUse {
    DeclaredUse { r#use: Use::Pretrain, purpose: "pretraining of a small language model".to_string() }
}

impl World {
    pub(super) async fn take_of_negotiation(
        &self,
        before: &Book,
        step: &Step,
        book: &mut Book,
        now: Instant,
    ) -> Result<(), Error> {
        match step {
            Step::Negotiate { lab, side, fen, days } => {
                let begun = self.begin_to_negotiate((*lab, *side), (*fen, *days), now).await?;
                book.negotiates(&begun, (*lab, *side), (*fen, *days));
                Ok(())
            }
            Step::Send { negotiation, message } => {
                let Some(known) = before.negotiation(*negotiation) else { return Ok(()) };
                let sent = self.send(known, message.unwrap_or(known.onward()), now).await?;
                book.negotiated(*negotiation, &sent);
                Ok(())
            }
            Step::ExpireNegotiations => negotiation::expire_idle(&self.on(before.day)).await,
            _ => Ok(()),
        }
    }

    fn party(&self, side: Side, lab: usize) -> &Party {
        match side {
            Side::Buyer => &self.labs[lab],
            Side::Provider => &self.provider,
        }
    }

    async fn begin_to_negotiate(
        &self,
        (lab, side): (usize, Side),
        (fen, days): (i64, i64),
        now: Instant,
    ) -> Result<negotiation::Negotiation, Error> {
        let party = self.party(side, lab);
        let envelope = self.signed_offer(party, lab, (fen, days), None, now).await?;
        let (caller, keys, config) = (party.caller.clone(), self.app.app().keys.clone(), self.app.app().config.clone());
        let declared = (side == Side::Buyer).then(declared);
        let begin = move |c: &mut Conn| {
            let message = (envelope.clone(), declared.as_ref());
            negotiation::begin(c, &caller, (&config, &keys), side, message, now)
        };
        self.write(begin).await
    }

    /// What goes with a message that is signed: an offer in answer to the last one, or the contract.
    async fn signed_message(&self, known: &Negotiation, message: Message, now: Instant) -> Result<Envelope, Error> {
        if let Message::Answer { side, fen, days } = message {
            let (party, answers) = (self.party(side, known.lab), Some(known.offer_sha256));
            return self.signed_offer(party, known.lab, (fen, days), answers, now).await;
        }
        let side = if matches!(message, Message::Verify) { Side::Buyer } else { Side::Provider };
        let contract = known.contract.clone().unwrap_or_default().into_bytes();
        Ok(self.party(side, known.lab).key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, contract))
    }

    async fn send(
        &self,
        known: &Negotiation,
        message: Message,
        now: Instant,
    ) -> Result<negotiation::Negotiation, Error> {
        let envelope = self.signed_message(known, message, now).await?;
        let (id, keys, config) = (known.id, self.app.app().keys.clone(), self.app.app().config.clone());
        let (buyer, seller) = (self.labs[known.lab].caller.clone(), self.provider.caller.clone());
        let declared = declared();
        let act = move |c: &mut Conn| {
            let with: (&Config, &ExchangeKeys) = (&config, &keys);
            let speaks = |side: Side| if side == Side::Buyer { &buyer } else { &seller };
            match message {
                Message::Answer { side, .. } => {
                    let said = (side == Side::Buyer).then_some(&declared);
                    negotiation::reply(c, speaks(side), with, id, side, (envelope.clone(), said), now)
                }
                Message::Accept => negotiation::accept(c, &buyer, with, id, Some(&declared), now),
                Message::Agree => negotiation::agree(c, &seller, with, id, &envelope, now),
                Message::Verify => negotiation::verify(c, &buyer, with, id, &envelope, now),
                Message::Finalize => negotiation::finalize(c, &seller, with, id, now),
                Message::Terminate(side) => {
                    negotiation::terminate(c, speaks(side), with, id, ("PRICE", "we are too far apart"), now)
                }
            }
        };
        self.write(act).await
    }

    /// Every negotiation is at the price that the book says.
    pub(super) async fn compare_negotiations(&self, book: &Book) -> Result<(), String> {
        for known in &book.negotiations {
            let id = known.id;
            let found = self.app.app().db.read(move |c| negotiation::negotiation(c, id)).await.unwrap();
            let found = found.offer_document.0.price.amount_minor;
            if found != known.fen {
                return Err(format!("negotiation {id} is at {found}, not {}", known.fen));
            }
        }
        Ok(())
    }
}
