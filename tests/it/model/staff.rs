//! What staff of the exchange do about a trade.

use corpex::config::Config;
use corpex::db::Conn;
use corpex::delivery::{self, EntitlementState, trades};
use corpex::error::Result;
use corpex::identity::{Caller, PlatformRole};
use corpex::keys::ExchangeKeys;
use corpex::ledger::{WithdrawalState, withdrawals};
use corpex::market::disputes::{self, Decision, Outcome};
use corpex::types::{Currency, EntitlementId, Instant, Money, OrderId, WithdrawalId};

use super::sql::ids;
use super::steps::Step;

/// Why staff revoke licences.
pub const REVOKED: &str = "a court ordered it";
/// Why they suspend and reinstate them.
const EXAMINED: &str = "the use is examined";

/// The licence that was bought with an order.
pub fn licence_of(c: &mut Conn, order: OrderId) -> Result<Option<EntitlementId>> {
    Ok(ids(c, &format!("SELECT id FROM entitlements WHERE order_id = '{order}'"))?.pop())
}

/// Two operators: what one decided, the other decides again.
#[derive(Debug)]
pub struct Staff {
    first: Caller,
    second: Caller,
}

impl Staff {
    /// Two people, as operators.
    pub fn of(first: &Caller, second: &Caller) -> Self {
        let operator = |who: &Caller| Caller { platform_role: Some(PlatformRole::Operator), ..who.clone() };
        Self { first: operator(first), second: operator(second) }
    }

    /// Takes a step about an order, if it is one for staff.
    pub fn act(
        &self,
        c: &mut Conn,
        (keys, config): (&ExchangeKeys, &Config),
        id: OrderId,
        step: &Step,
        now: Instant,
    ) -> Result<()> {
        match step {
            Step::Decide { outcome, fen, .. } => {
                disputes::decide(c, &self.first, (keys, config), id, &decision(*outcome, *fen), now).map(drop)
            }
            Step::DecideAppeal { outcome, fen, .. } => {
                trades::decide_appeal(c, &self.second, keys, id, &decision(*outcome, *fen), now).map(drop)
            }
            Step::Suspend(_) | Step::Reinstate(_) | Step::Revoke { .. } => match licence_of(c, id)? {
                Some(licence) => self.change(c, keys, licence, step, now),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Has a payout taken up, which no dispute stops then; or paid, refused or reversed.
    pub fn treat(
        &self,
        c: &mut Conn,
        config: &Config,
        id: WithdrawalId,
        to: WithdrawalState,
        now: Instant,
    ) -> Result<()> {
        match to {
            WithdrawalState::Executed => withdrawals::execute(c, &self.first, id, &format!("ICBC {id}"), now),
            WithdrawalState::Refused => withdrawals::refuse(c, &self.first, id, "there is no such account", now),
            WithdrawalState::Reversed => withdrawals::reverse(c, &self.first, config, id, "it came back", now),
            _ => withdrawals::process(c, &self.first, config, id, now),
        }
        .map(drop)
    }

    fn change(
        &self,
        c: &mut Conn,
        keys: &ExchangeKeys,
        licence: EntitlementId,
        step: &Step,
        now: Instant,
    ) -> Result<()> {
        let to = match step {
            Step::Revoke { refund, .. } => {
                return delivery::revoke(c, &self.first, keys, licence, (REVOKED, *refund), now).map(drop);
            }
            Step::Suspend(_) => EntitlementState::Suspended,
            _ => EntitlementState::Active,
        };
        delivery::change_standing(c, &self.first, keys, licence, to, EXAMINED, now).map(drop)
    }
}

fn decision(outcome: Outcome, fen: i64) -> Decision {
    let refund = (outcome == Outcome::Split).then_some(Money::new(fen, Currency::CNY));
    Decision { outcome, refund, reason: "so we found".to_string() }
}
