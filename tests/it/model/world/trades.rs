//! The steps of a trade, taken in the real exchange, and where it is then.

use corpex::catalog::Selection;
use corpex::db::Conn;
use corpex::delivery::{self, purchases, trades};
use corpex::error::Error;
use corpex::market::disputes::{self, NewDispute};
use corpex::market::orders::{self, CureOffer, NewOrder, Purchase, Remedy, SignedQuote, quotes};
use corpex::market::{self, Order};
use corpex::signing::IN_TOTO_PAYLOAD_TYPE;
use corpex::terms::Use;
use corpex::types::{Currency, Instant, Money};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use super::{World, time};
use crate::model::rules::{Book, Trade, VERSES};
use crate::model::staff::{REVOKED, Staff, licence_of};
use crate::model::steps::Step;
use crate::support::Offer;

#[derive(Debug, QueryableByName)]
pub(super) struct Standing {
    #[diesel(sql_type = Text)]
    pub(super) order_state: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) licence_state: Option<String>,
    /// How often staff revoked the licence.
    #[diesel(sql_type = BigInt)]
    pub(super) revocations: i64,
    /// How often it was recalled.
    #[diesel(sql_type = BigInt)]
    pub(super) recalls: i64,
    /// How many versions it covers as a subscription.
    #[diesel(sql_type = BigInt)]
    pub(super) versions: i64,
}

impl World {
    pub(super) async fn take_of_order(
        &self,
        before: &Book,
        step: &Step,
        book: &mut Book,
        now: Instant,
    ) -> Result<(), Error> {
        match step {
            Step::Place { lab } => {
                let order = self.place(*lab, &self.wanted(*lab, &self.offer()), now).await?;
                book.placed(order.id, *lab, order.contract_document);
            }
            Step::Subscribe { lab } => {
                let order = self.place(*lab, &self.wanted(*lab, &self.subscription), now).await?;
                book.subscribed(order.id, *lab, order.contract_document);
            }
            Step::Select { lab, language } => {
                let of = |language: usize| vec![VERSES[language].0.to_string()];
                let selection = language.map(|language| Selection { languages: of(language), ..Selection::default() });
                let wanted = NewOrder { selection, ..self.wanted(*lab, &self.verses) };
                let order = self.place(*lab, &wanted, now).await?;
                book.selected(order.id, *lab, order.contract_document, *language);
            }
            Step::Buy { lab, days } => {
                let order = self.buy(*lab, now, *days).await?;
                book.bought(order.id, *lab, order.contract_document, *days);
            }
            _ => {
                let Some(trade) = step.order().and_then(|order| before.trade(order)) else { return Ok(()) };
                match step {
                    Step::Renew(_) => self.renew(&trade, book, now).await?,
                    Step::Extend(_) => self.extend(&trade, before.day).await?,
                    _ => self.trade(&trade, step, now).await?,
                }
            }
        }
        Ok(())
    }

    pub(super) async fn place(&self, lab: usize, wanted: &NewOrder, now: Instant) -> Result<Order, Error> {
        let (caller, config) = (self.labs[lab].caller.clone(), self.app.app().config.clone());
        let wanted = wanted.clone();
        self.write(move |c| orders::place(c, &caller, &config, &wanted, now)).await
    }

    pub(super) fn wanted(&self, lab: usize, offer: &Offer) -> NewOrder {
        NewOrder {
            listing_id: offer.listing.parse().unwrap(),
            organisation: self.labs[lab].handle.clone(),
            r#use: Use::Pretrain,
            purpose: "pretraining of a small language model".to_string(),
            offer_id: None,
            price: None,
            selection: None,
        }
    }

    /// Buys at a quote that is some days old by then.
    async fn buy(&self, lab: usize, quoted_at: Instant, days: i64) -> Result<Order, Error> {
        let (wanted, caller) = (self.wanted(lab, &self.offer()), self.labs[lab].caller.clone());
        let (config, keys) = (self.app.app().config.clone(), self.app.app().keys.clone());
        let now = quoted_at.plus(time(days));
        let (asked, who, with) = (wanted.clone(), caller.clone(), config.clone());
        let quoted = self.write(move |c| quotes::quote(c, &who, &with, &asked, quoted_at)).await?;
        let contract = quoted.contract_document.clone().into_bytes();
        let envelope = self.labs[lab].key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, contract);
        let quote = quotes::seal(&keys, &quoted)?;
        let signed = SignedQuote::open(&self.app.app().db, &keys, &caller, &wanted, &quote, envelope).await;
        let purchase = Purchase { wanted, signed, voucher: None };
        self.write(move |c| purchases::buy(c, &caller, &keys, &config, &purchase, now).map(|(order, _)| order)).await
    }

    /// Does the job that a purchase left, on some day: extends the licence, if it is a subscription, to what is on the board.
    async fn extend(&self, trade: &Trade, day: i64) -> Result<(), Error> {
        let (id, then) = (trade.id, self.on(day));
        match then.db.read(move |c| licence_of(c, id)).await? {
            Some(licence) => delivery::subscriptions::catch_up(&then, licence).await,
            None => Ok(()),
        }
    }

    pub(super) async fn trade(&self, trade: &Trade, step: &Step, now: Instant) -> Result<(), Error> {
        let (id, lab, keys) = (trade.id, &self.labs[trade.lab], self.app.app().keys.clone());
        let (buyer, seller) = (lab.caller.clone(), self.provider.caller.clone());
        let staff = Staff::of(&buyer, &seller);
        let envelope = lab.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, trade.contract.clone().into_bytes());
        let (step, config) = (step.clone(), self.app.app().config.clone());
        let offer = |remedy: Remedy| CureOffer { remedy, note: "to make good".to_string() };
        let act = move |c: &mut Conn| match &step {
            Step::Sign(_) => orders::sign_contract(c, &buyer, &keys, id, envelope.clone(), now).map(drop),
            Step::Cancel(_) => orders::cancel(c, &buyer, &keys, id, "another corpus", now).map(drop),
            Step::Pay(_) => delivery::pay_order(c, &buyer, &keys, id, None, now).map(drop),
            Step::Begin(_) => market::mark_delivering(c, id, now).map(drop),
            Step::Complete(_) => market::mark_delivered(c, id, now).map(drop),
            Step::Accept(_) => trades::accept(c, &buyer, &keys, id, now).map(drop),
            Step::Reject(_) => orders::reject(c, &buyer, &keys, id, "half is missing", now).map(drop),
            Step::OfferRedelivery(_) => {
                trades::offer_cure(c, &seller, &keys, id, &offer(Remedy::Redelivery {}), now).map(drop)
            }
            Step::OfferRefund { fen, .. } => {
                let amount = Money::new(*fen, Currency::CNY);
                trades::offer_cure(c, &seller, &keys, id, &offer(Remedy::Refund { amount }), now).map(drop)
            }
            Step::Redeliver(_) => orders::redeliver(c, &seller, &keys, id, "all of it", now).map(drop),
            Step::AcceptCure(_) => trades::accept_cure(c, &buyer, &keys, id, now).map(drop),
            Step::RejectCure(_) => orders::reject_cure(c, &buyer, &keys, id, "too little", now).map(drop),
            Step::Dispute(_) => {
                let dispute = NewDispute { reason: "half is missing".to_string(), evidence: Vec::new() };
                disputes::open(c, &buyer, &keys, id, &dispute, now).map(drop)
            }
            Step::Appeal(_) => disputes::appeal(c, &buyer, &keys, id, "it was otherwise", now).map(drop),
            Step::PassDeadline(_) => trades::pass_deadline(c, &keys, id, now).map(drop),
            _ => staff.act(c, (&keys, &config), id, &step, now),
        };
        self.write(act).await
    }

    pub(super) async fn standing(&self, trade: &Trade) -> Standing {
        let sql = format!(
            "SELECT orders.state AS order_state, entitlements.state AS licence_state, \
             (SELECT COUNT(*) FROM transitions WHERE subject = entitlements.id AND to_state = 'revoked' \
                 AND reason = '{REVOKED}') AS revocations, \
             (SELECT COUNT(*) FROM recalls WHERE entitlement_id = entitlements.id) AS recalls, \
             (SELECT COUNT(*) FROM subscription_versions WHERE entitlement_id = entitlements.id) AS versions \
             FROM orders LEFT JOIN entitlements ON entitlements.order_id = orders.id WHERE orders.id = '{}'",
            trade.id
        );
        let mut found: Standing =
            self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).get_result(c)?)).await.unwrap();
        // A settled order is certified in the same breath.
        if found.order_state == "certificated" {
            found.order_state = "settled".to_string();
        }
        found
    }
}
