//! The rules of licences: who suspends, reinstates, revokes, renews and extends them.

use corpex::error::Kind;

use super::trades::Subscription;
use super::{Book, IN_ESCROW, Trade, VERSIONS, allowed};
use crate::model::steps::Step;

impl Book {
    pub(super) fn step_of_licence(&mut self, trade: &mut Trade, step: &Step) -> Result<(), Kind> {
        let day = self.day;
        match step {
            // There is nothing to suspend, to reinstate, to revoke or to renew.
            _ if !trade.is_granted() => {}
            Step::Suspend(_) => {
                allowed(trade.licence() == Some("active"))?;
                trade.is_suspended = true;
            }
            Step::Reinstate(_) => {
                let runs = trade.subscription.is_none_or(|subscription| day < subscription.ends);
                let is_held = trade.is_of_corpus() && self.is_held();
                allowed(trade.licence() == Some("suspended") && runs && !is_held)?;
                trade.is_suspended = false;
                trade.begin_again(day);
                self.begin_renewals_again(trade);
            }
            Step::Revoke { refund, .. } => {
                allowed(trade.is_licensed())?;
                if *refund {
                    let is_in_escrow = IN_ESCROW.contains(&trade.state);
                    allowed(self.refund_renewals(trade) > 0 || is_in_escrow)?;
                    if is_in_escrow {
                        self.refund(trade);
                    }
                }
                trade.is_revoked = true;
            }
            Step::Renew(_) => allowed(trade.is_renewable(day) && trade.state == "settled")?,
            Step::Extend(_) => {
                let runs = |subscription: &Subscription| trade.is_licensed() && day < subscription.ends;
                if let Some(subscription) = trade.subscription.filter(runs) {
                    trade.subscription = Some(Subscription { covers: VERSIONS, ..subscription });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
