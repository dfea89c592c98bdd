//! Acceptance and settlement: the provider is paid, less the exchange's fee and what was agreed to refund.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{BUYERS, Order, OrderState, advance, contract_of, require_in_time, visible_order, wrong_state};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::market::vouchers;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::types::{Instant, Money, OrderId, ReceiptId};

/// What the receipts under an order's licence show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryEvidence {
    /// How many different shards links were given to.
    pub shards_delivered: i64,
    /// How many shards there are.
    pub shards: i64,
    /// The last receipt; null while there is none.
    pub last_receipt: Option<ReceiptId>,
    /// When it was recorded.
    pub last_receipt_at: Option<Instant>,
}

/// The buyer accepts what was delivered, in time; the provider is paid in the same transaction.
pub fn accept(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", BUYERS)?;
    if !matches!(order.state, OrderState::Delivering | OrderState::Delivered) {
        return Err(wrong_state(&order, "delivering or delivered"));
    }
    require_in_time(&order, now, "nothing is to be done: the exchange accepts it for the buyer")?;
    let order = advance(c, order, OrderState::Accepted, None, caller.user_id, "accepted by the buyer", now)?;
    settle(c, keys, order, evidence, now)
}

/// Pays the provider of an accepted order, and the buyer what was agreed to refund.
pub(super) fn settle(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let id = order.id;
    let Division { refund, fee, tax, provider } = divide(&order)?;
    give_back(c, &order, refund, now)?;
    let settled = order.price().minus(refund)?;
    if settled.amount_minor > 0 {
        let lines = [
            (AccountRef::Escrow, settled.negated()?),
            (AccountRef::Payable(order.provider_id), provider),
            (AccountRef::Fees, fee.minus(tax)?),
            (AccountRef::Tax, tax),
        ];
        ledger::post(c, TransactionKind::Settlement, &id.to_string(), &lines, now)?;
    }
    let contract = contract_of(c, id)?.sha256;
    let subjects = vec![ResourceDescriptor::new("contract", contract)];
    let predicate = json!({
        "order": id, "contract_sha256": contract, "accepted_at": now, "settled_at": now, "delivery": evidence,
        "refund": order.refund(),
    });
    provenance::declare(c, keys, StatementKind::Settlement, id, subjects, &predicate, now)?;
    advance(c, order, OrderState::Settled, None, "exchange", "settled on acceptance", now)
}

/// Moves a part of an order's price, or all of it, from escrow back to those who paid it.
pub(super) fn give_back(c: &mut Conn, order: &Order, amount: Money, now: Instant) -> Result<()> {
    if amount.amount_minor > 0 {
        let mut lines = vouchers::refund_lines(c, order, amount, now)?;
        lines.push((AccountRef::Escrow, amount.negated()?));
        ledger::post(c, TransactionKind::Refund, &order.id.to_string(), &lines, now)?;
    }
    Ok(())
}

/// What becomes of a price.
#[derive(Debug, PartialEq, Eq)]
struct Division {
    refund: Money,
    fee: Money,
    /// A part of the fee.
    tax: Money,
    provider: Money,
}

/// Divides an order's price: the refund comes off first, and of the rest the exchange has the same share as of the whole,
/// and in it the same tax.
fn divide(order: &Order) -> Result<Division> {
    let (price, zero) = (order.price(), Money::zero(order.currency));
    let refund = order.refund().unwrap_or(zero);
    let rest = price.minus(refund)?;
    if rest.amount_minor == 0 {
        return Ok(Division { refund, fee: zero, tax: zero, provider: zero });
    }
    let weights = [order.fee_minor, price.minus(order.fee())?.amount_minor];
    let fee = rest.split(&weights)?.first().copied().unwrap_or(zero);
    let tax = match fee.amount_minor {
        0 => zero,
        _ => {
            let weights = [order.tax_minor, order.fee().minus(order.tax())?.amount_minor];
            fee.split(&weights)?.first().copied().unwrap_or(zero)
        }
    };
    Ok(Division { refund, fee, tax, provider: rest.minus(fee)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::terms::Use;
    use crate::types::{Currency, ListingId, OrganisationId, TermsId, VersionId};

    fn order(price_minor: i64, fee_minor: i64, refund_minor: Option<i64>) -> Order {
        let now = Instant::from_unix_micros(0);
        Order {
            id: OrderId::new(now),
            listing_id: ListingId::new(now),
            buyer_id: OrganisationId::new(now),
            provider_id: OrganisationId::new(now),
            version_id: VersionId::new(now),
            terms_id: TermsId::new(now),
            permitted_use: Use::Pretrain,
            purpose: String::new(),
            price_minor,
            fee_minor,
            tax_minor: fee_minor / 10,
            currency: Currency::CNY,
            contract_document: String::new(),
            state: OrderState::Accepted,
            acceptance_days: 1,
            cure_days: 1,
            due_at: None,
            refund_minor,
            created_at: now,
        }
    }

    #[test]
    fn what_is_refunded_lowers_the_fee_as_it_lowers_the_price() {
        let division = divide(&order(50_000, 1500, Some(20_000))).unwrap();
        let parts = [division.refund, division.fee, division.provider].map(|part| part.amount_minor);
        assert_eq!((parts, division.tax.amount_minor), ([20_000, 900, 29_100], 90));
        let whole = divide(&order(50_000, 1500, None)).unwrap();
        assert_eq!((whole.fee.amount_minor, whole.provider.amount_minor), (1500, 48_500));
        assert_eq!(divide(&order(0, 0, None)).unwrap().provider.amount_minor, 0);
    }

    proptest! {
        #[test]
        fn a_price_is_divided_exactly_up_to_the_limit(price in 0..=i64::MAX, fee in 0..=i64::MAX, refund in 0..=i64::MAX) {
            let (fee, refund) = (fee.min(price), refund.min(price));
            let division = divide(&order(price, fee, Some(refund))).unwrap();
            let parts = [division.refund, division.fee, division.provider].map(|part| part.amount_minor);
            prop_assert!(parts.iter().all(|part| *part >= 0), "{parts:?}");
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(price));
            prop_assert!(division.fee.amount_minor <= fee);
            prop_assert!((0..=division.fee.amount_minor).contains(&division.tax.amount_minor));
        }
    }
}
