//! Payouts of what the provider is owed, taken in the real exchange.

use corpex::error::Error;
use corpex::ledger::withdrawals::{self, NewWithdrawal, Source};
use corpex::types::{Currency, Instant, Money, WithdrawalId};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::World;
use crate::model::staff::Staff;

/// What the provider asked to be paid out.
#[derive(Debug, QueryableByName)]
pub(super) struct Payout {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = BigInt)]
    pub(super) amount_minor: i64,
}

impl World {
    pub(super) async fn pay_out(&self, fen: i64, now: Instant) -> Result<(), Error> {
        let (caller, handle) = (self.provider.caller.clone(), self.provider.handle.clone());
        let (amount, pay_to) = (Money::new(fen, Currency::CNY), "ICBC 1".to_string());
        let wanted = NewWithdrawal { amount, from: Source::Payable, pay_to };
        self.write(move |c| withdrawals::request(c, &caller, &handle, &wanted, now).map(drop)).await
    }

    /// An operator takes up what the provider asked for first, if it asked for anything.
    pub(super) async fn take_up(&self, now: Instant) -> Result<(), Error> {
        let Some(oldest) = self.waiting().await.into_iter().next() else { return Ok(()) };
        let id: WithdrawalId = oldest.id.parse()?;
        let (caller, config) = (&self.provider.caller, self.app.app().config.clone());
        let staff = Staff::of(caller, caller);
        self.write(move |c| staff.take_up(c, &config, id, now)).await
    }

    /// What the provider asked to be paid out and no operator has taken up, oldest first.
    pub(super) async fn waiting(&self) -> Vec<Payout> {
        let sql = "SELECT id, amount_minor FROM withdrawals WHERE state = 'requested' ORDER BY id";
        self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).load(c)?)).await.unwrap()
    }
}
