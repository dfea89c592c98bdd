//! Disputes after the settlement: what can still be recovered.
//!
//! When such a dispute is opened, what the settlement owes to the provider, to its co-builders and to those who have
//! royalties leaves their payables for accounts from which nobody is paid out, as far as it is there. Where it is not, payouts that
//! they asked for are stopped, newest first, and no more of them than it takes. When the dispute is final, each gives back its part
//! of what the buyer gets, in proportion to what it had, and the exchange of its fee and tax; what is left returns to the payables.
//! What was paid out before cannot be taken back: it is the buyer's claim, on record. So is what an operator has taken up when the
//! dispute is opened: the bank may have paid it already. Everybody is told whose payout is stopped, whose money is frozen, and when
//! it no longer is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Dispute, Outcome, queries};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::market::orders::Order;
use crate::market::vouchers;
use crate::types::{Currency, DisputeId, Instant, Money, OrganisationId, UserId};

/// What an organisation owes the buyer by a decision, beyond what could be taken back from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The handle of the organisation that owes it.
    pub organisation: String,
    /// How much.
    pub amount: Money,
}

/// Freezes what was settled of an order, as far as it is not paid out and no operator has taken the payout up.
pub(super) fn freeze(c: &mut Conn, order: &Order, dispute: DisputeId, opener: UserId, now: Instant) -> Result<()> {
    let why = format!("{dispute} freezes it");
    let mut lines = Vec::new();
    for (payee, owed) in by_owner(&parts(c, order)?) {
        let owed = Money::new(owed, order.currency);
        let there = ledger::withdrawals::stop(c, payee, owed, (opener, &why), now)?;
        let amount = Money::new(owed.amount_minor.min(there.amount_minor), order.currency);
        lines.extend([(AccountRef::Payable(payee), amount.negated()?), (AccountRef::Frozen(payee), amount)]);
    }
    move_money(c, TransactionKind::Freeze, dispute, &lines, now)
}

/// Takes back for the buyer what a decision gives it, as far as that is frozen, and releases the rest of what is frozen. Gives what
/// went back, and the claims for what did not.
pub(super) fn recover(c: &mut Conn, order: &Order, dispute: &Dispute, now: Instant) -> Result<(Money, Vec<Claim>)> {
    let zero = Money::zero(order.currency);
    let before = order.refund().unwrap_or(zero);
    let wanted = match dispute.outcome {
        Some(Outcome::Buyer) => order.price().minus(before)?,
        Some(Outcome::Split) => Money::new(dispute.refund_minor.unwrap_or(0), order.currency),
        Some(Outcome::Provider) => zero,
        None => return Err(Error::internal(format!("the dispute over {} ends undecided", order.id))),
    };
    let parts = parts(c, order)?;
    let mut frozen = by_owner(&ledger::lines_of(c, TransactionKind::Freeze, &dispute.id.to_string())?);
    let (mut lines, mut recovered, mut missing) = (Vec::new(), zero, BTreeMap::new());
    for ((account, _), part) in parts.iter().zip(divide(wanted, &parts)?) {
        let (account, taken) = match account {
            AccountRef::Payable(payee) => {
                let left = frozen.entry(*payee).or_default();
                let taken = part.amount_minor.min(*left);
                *left -= taken;
                *missing.entry(*payee).or_insert(0) += part.amount_minor - taken;
                (AccountRef::Frozen(*payee), Money::new(taken, order.currency))
            }
            account => (*account, part),
        };
        recovered = recovered.plus(taken)?;
        lines.push((account, taken.negated()?));
    }
    for (payee, left) in frozen {
        let left = Money::new(left, order.currency);
        lines.extend([(AccountRef::Frozen(payee), left.negated()?), (AccountRef::Payable(payee), left)]);
    }
    lines.extend(vouchers::refund_lines(c, order, (before, recovered), now)?);
    move_money(c, TransactionKind::Recovery, dispute.id, &lines, now)?;
    let mut claims = Vec::new();
    for (payee, amount) in missing.into_iter().filter(|(_, amount)| *amount > 0) {
        let organisation = identity::organisation(c, payee)?.handle;
        claims.push(Claim { organisation, amount: Money::new(amount, order.currency) });
    }
    Ok((recovered, claims))
}

/// The organisations whose money a dispute froze. Callers authorise.
pub fn owners_of_frozen(c: &mut Conn, id: DisputeId) -> Result<Vec<OrganisationId>> {
    let frozen = by_owner(&ledger::lines_of(c, TransactionKind::Freeze, &id.to_string())?);
    Ok(frozen.into_keys().collect())
}

/// What is frozen by the disputes that are not final: what must be in the accounts for it.
pub fn frozen(c: &mut Conn) -> Result<Vec<(OrganisationId, Currency, i64)>> {
    let mut sums = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = queries::list_open_after_settlement(c, &after)?;
        let Some(last) = page.last() else { break };
        after = last.to_string();
        for dispute in page {
            for (account, amount) in ledger::lines_of(c, TransactionKind::Freeze, &dispute.to_string())? {
                if let AccountRef::Frozen(owner) = account {
                    *sums.entry((owner, amount.currency)).or_insert(0) += amount.amount_minor;
                }
            }
        }
    }
    Ok(sums.into_iter().map(|((owner, currency), sum)| (owner, currency, sum)).collect())
}

/// The accounts that an order's settlement credited, with the amounts.
fn parts(c: &mut Conn, order: &Order) -> Result<Vec<(AccountRef, Money)>> {
    let mut lines = ledger::lines_of(c, TransactionKind::Settlement, &order.id.to_string())?;
    lines.retain(|(_, amount)| amount.amount_minor > 0);
    Ok(lines)
}

/// The sum of the credits to each organisation.
fn by_owner(lines: &[(AccountRef, Money)]) -> BTreeMap<OrganisationId, i64> {
    let mut sums = BTreeMap::new();
    for (account, amount) in lines.iter().filter(|(_, amount)| amount.amount_minor > 0) {
        if let Some(owner) = account.owner() {
            *sums.entry(owner).or_insert(0) += amount.amount_minor;
        }
    }
    sums
}

/// How much of an amount each part gives, in proportion; the amount is no more than all parts together.
fn divide(amount: Money, parts: &[(AccountRef, Money)]) -> Result<Vec<Money>> {
    if amount.amount_minor == 0 {
        return Ok(vec![amount; parts.len()]);
    }
    amount.split(&parts.iter().map(|(_, part)| part.amount_minor).collect::<Vec<_>>())
}

fn move_money(
    c: &mut Conn,
    kind: TransactionKind,
    dispute: DisputeId,
    lines: &[(AccountRef, Money)],
    now: Instant,
) -> Result<()> {
    if lines.iter().any(|(_, amount)| amount.amount_minor != 0) {
        ledger::post(c, kind, &dispute.to_string(), lines, now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_gives_back_more_than_it_had(
            parts in prop::collection::vec(1..=i64::MAX / 200, 1..100),
            share in 0..=10_000_i64,
        ) {
            let cny = |minor| Money::new(minor, Currency::CNY);
            let whole: i64 = parts.iter().sum();
            let amount = cny(whole).part(share, 10_000).unwrap();
            let lines: Vec<_> = parts.iter().map(|part| (AccountRef::Fees, cny(*part))).collect();
            let given = divide(amount, &lines).unwrap();
            prop_assert_eq!(given.iter().map(|part| part.amount_minor).sum::<i64>(), amount.amount_minor);
            prop_assert!(given.iter().zip(&parts).all(|(given, had)| (0..=*had).contains(&given.amount_minor)));
        }
    }
}
