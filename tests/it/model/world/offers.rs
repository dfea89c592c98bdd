//! The steps of private offers, taken in the real exchange.

use corpex::catalog;
use corpex::error::Error;
use corpex::market::listings;
use corpex::market::offers::{self, OfferDocument};
use corpex::market::orders::NewOrder;
use corpex::signing::Envelope;
use corpex::terms::{self, Use};
use corpex::types::{Currency, Digest, Instant, Money};

use super::{Party, World, time};
use crate::model::rules::Book;
use crate::model::rules::offers::PrivateOffer;
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_offer(
        &self,
        before: &Book,
        step: &Step,
        book: &mut Book,
        now: Instant,
    ) -> Result<(), Error> {
        match step {
            Step::Offer { lab, fen, days } => {
                let envelope = self.signed_offer(&self.provider, *lab, (*fen, *days), None, now).await?;
                let (caller, keys) = (self.provider.caller.clone(), self.app.app().keys.clone());
                let made = self.write(move |c| offers::make(c, &caller, &keys, envelope.clone(), now)).await?;
                book.offered(made.id, *lab, *fen, *days);
                Ok(())
            }
            Step::PlaceAt(offer) => match before.offer(*offer) {
                Some(offer) => self.place_at(offer, book, now).await,
                None => Ok(()),
            },
            Step::Withdraw(offer) => {
                let Some(id) = before.offer(*offer).map(|offer| offer.id) else { return Ok(()) };
                let (caller, keys) = (self.provider.caller.clone(), self.app.app().keys.clone());
                self.write(move |c| offers::withdraw(c, &caller, &keys, id, "sold out", now).map(drop)).await
            }
            Step::ExpireOffers => offers::expire_ended(&self.on(before.day)).await,
            _ => Ok(()),
        }
    }

    async fn place_at(&self, offer: &PrivateOffer, book: &mut Book, now: Instant) -> Result<(), Error> {
        let wanted = NewOrder { offer_id: Some(offer.id), ..self.wanted(offer.lab, &self.offer()) };
        let order = self.place(offer.lab, &wanted, now).await?;
        book.placed_at(order.id, offer, order.contract_document);
        Ok(())
    }

    /// What a side signs to offer the corpus, or to ask for it, at a price and for some days; in answer to another such, or not.
    pub(super) async fn signed_offer(
        &self,
        side: &Party,
        buyer: usize,
        (fen, days): (i64, i64),
        answers: Option<Digest>,
        now: Instant,
    ) -> Result<Envelope, Error> {
        let id = self.listing();
        let listed = self.app.app().db.read(move |c| {
            let listing = listings::listing(c, id)?;
            let manifest_sha256 = catalog::seal_of(c, listing.version_id)?.manifest_sha256;
            Ok((manifest_sha256, terms::terms(c, listing.terms_id)?.sha256))
        });
        let (manifest_sha256, terms_sha256) = listed.await?;
        let document = OfferDocument {
            organisation: side.handle.clone(),
            provider: self.provider.handle.clone(),
            buyer: self.labs[buyer].handle.clone(),
            listing: id,
            manifest_sha256,
            terms_sha256,
            uses: vec![Use::Pretrain],
            price: Money::new(fen, Currency::CNY),
            valid_from: now,
            valid_until: now.plus(time(days)),
            replies_to_sha256: answers,
            salt: Digest::of(uuid::Uuid::now_v7().to_string()),
        };
        offers::statement(&document)?.sign(&side.key)
    }
}
