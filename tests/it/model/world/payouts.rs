//! Payouts of what the payees are owed, taken in the real exchange.

use corpex::db::Conn;
use corpex::error::Error;
use corpex::ledger::WithdrawalState;
use corpex::ledger::withdrawals::{self, NewWithdrawal, Source};
use corpex::types::{Currency, Instant, Money, WithdrawalId};

use super::World;
use crate::model::rules::Book;
use crate::model::sql::ids;
use crate::model::staff::Staff;
use crate::model::steps::Step;

impl World {
    pub(super) async fn take_of_payout(
        &self,
        before: &Book,
        step: &Step,
        book: &mut Book,
        now: Instant,
    ) -> Result<(), Error> {
        match step {
            Step::PayOut { payee, leave } => {
                let fen = before.payees[*payee].payable - leave;
                let party = self.payee(*payee);
                let (caller, handle) = (party.caller.clone(), party.handle.clone());
                let (amount, pay_to) = (Money::new(fen, Currency::CNY), "ICBC 1".to_string());
                let wanted = NewWithdrawal { amount, from: Source::Payable, pay_to };
                let asked = self.write(move |c| withdrawals::request(c, &caller, &handle, &wanted, now)).await?;
                book.asked(asked.id, *payee, fen);
                Ok(())
            }
            Step::Treat { payout, to } => match before.payout(*payout) {
                Some(payout) => self.treat(payout.id, payout.payee, *to, now).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn treat(&self, id: WithdrawalId, payee: usize, to: WithdrawalState, now: Instant) -> Result<(), Error> {
        let (caller, config) = (self.payee(payee).caller.clone(), self.app.app().config.clone());
        let staff = Staff::of(&self.provider.caller, &self.provider.caller);
        self.write(move |c| match to {
            WithdrawalState::Cancelled => withdrawals::cancel(c, &caller, id, now).map(drop),
            _ => staff.treat(c, &config, id, to, now),
        })
        .await
    }

    /// Operators take up what sequences before asked for, so that it is stopped no more.
    pub(super) async fn take_up_what_waits(&self) {
        let waiting = |c: &mut Conn| ids::<WithdrawalId>(c, "SELECT id FROM withdrawals WHERE state = 'requested'");
        for id in self.app.app().db.read(waiting).await.unwrap() {
            self.treat(id, 0, WithdrawalState::Processing, self.begun_at()).await.unwrap();
        }
    }
}
