//! The steps of vouchers, taken in the real exchange.

use corpex::catalog::Domain;
use corpex::db::Conn;
use corpex::delivery;
use corpex::error::Error;
use corpex::ledger::AccountRef;
use corpex::market::vouchers::{self, NewProgramme};
use corpex::types::{Currency, Instant, Money, ProgrammeId};

use super::{World, time};
use crate::model::rules::vouchers::{CAP, RATE_BASIS_POINTS};
use crate::model::rules::{Book, Trade};
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_programme(
        &self,
        before: &Book,
        step: &Step,
        book: &mut Book,
        now: Instant,
    ) -> Result<(), Error> {
        match step {
            Step::Announce { lab, fen, days } => {
                let id = self.announce(*lab, *fen, *days, now).await?;
                book.announced(id, *lab, *fen, *days);
                Ok(())
            }
            Step::Fund { programme, fen } => {
                let Some(programme) = before.programme(*programme) else { return Ok(()) };
                let (id, caller) = (programme.id, self.labs[programme.funder].caller.clone());
                let amount = Money::new(*fen, Currency::CNY);
                self.write(move |c| vouchers::fund(c, &caller, id, amount, now).map(drop)).await
            }
            Step::TakeBack(programme) => {
                let Some(programme) = before.programme(*programme) else { return Ok(()) };
                let (id, caller) = (programme.id, self.labs[programme.funder].caller.clone());
                self.write(move |c| vouchers::take_back_rest(c, &caller, id, now).map(drop)).await
            }
            Step::PayWith { order, programme } => match before.trade(*order) {
                Some(trade) => self.pay_with(&trade, before.programme(*programme).map(|of| of.id), now).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn announce(&self, lab: usize, fen: i64, days: i64, now: Instant) -> Result<ProgrammeId, Error> {
        let caller = self.labs[lab].caller.clone();
        let wanted = NewProgramme {
            organisation: self.labs[lab].handle.clone(),
            name: "poems for all".to_string(),
            pool: Money::new(fen, Currency::CNY),
            rate_basis_points: RATE_BASIS_POINTS,
            cap_minor: CAP,
            domains: vec![Domain::Education],
            starts_at: now,
            ends_at: now.plus(time(days)),
        };
        self.write(move |c| vouchers::announce(c, &caller, &wanted, now).map(|programme| programme.id)).await
    }

    async fn pay_with(&self, trade: &Trade, programme: Option<ProgrammeId>, now: Instant) -> Result<(), Error> {
        let (id, buyer) = (trade.id, self.labs[trade.lab].caller.clone());
        let keys = self.app.app().keys.clone();
        self.write(move |c: &mut Conn| delivery::pay_order(c, &buyer, &keys, id, programme, now).map(drop)).await
    }

    /// Every pool holds what the book says.
    pub(super) async fn compare_pools(&self, book: &Book) -> Result<(), String> {
        for programme in &book.programmes {
            let pool = self.balance(AccountRef::Vouchers(programme.id)).await;
            if pool != programme.pool {
                return Err(format!("the pool of {} holds {pool}, not {}", programme.id, programme.pool));
            }
        }
        Ok(())
    }
}
