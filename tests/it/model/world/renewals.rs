//! The renewals of licences, taken in the real exchange.

use corpex::delivery;
use corpex::error::Error;
use corpex::types::Instant;

use super::{World, time};
use crate::model::rules::{Book, Trade};
use crate::model::staff::licence_of;

impl World {
    /// Orders the renewal of a trade's licence, if it has one.
    pub(super) async fn renew(&self, trade: &Trade, book: &mut Book, now: Instant) -> Result<(), Error> {
        let (id, buyer) = (trade.id, self.labs[trade.lab].caller.clone());
        let config = self.app.app().config.clone();
        let order = self.write(move |c| match licence_of(c, id)? {
            Some(licence) => delivery::renew(c, &buyer, &config, licence, now).map(Some),
            None => Ok(None),
        });
        if let Some(order) = order.await? {
            book.renewed(order.id, trade, order.contract_document);
        }
        Ok(())
    }

    /// Every licence ends when the book says.
    pub(super) async fn compare_ends(&self, book: &Book) -> Result<(), String> {
        for trade in &book.trades {
            let Some(day) = trade.ends() else { continue };
            let id = trade.id;
            let end = self.app.app().db.read(move |c| match licence_of(c, id)? {
                Some(licence) => Ok(delivery::entitlement_of(c, licence)?.expires_at),
                None => Ok(None),
            });
            let (end, expected) = (end.await.unwrap(), Some(self.begun_at().plus(time(day))));
            if end != expected {
                return Err(format!("the licence of {} ends at {end:?}, not at {expected:?}", trade.id));
            }
        }
        Ok(())
    }
}
