//! Settlement: what becomes of a price, to the minor unit.
//!
//! 1. What both sides agreed to refund goes back to those who paid it.
//! 2. The exchange has its fee, the same share of the rest as of the whole, and in it the same tax.
//! 3. Of what is left, the providers of ancestors whose terms ask for one have their [royalties](super::royalties).
//! 4. The co-builders divide the remainder by the shares in the terms; without such, the provider has all of it.
//!
//! Every division is by largest remainder, so that the parts sum to the whole.

use serde_json::json;

use super::{Order, OrderState, Royalty, advance, certificate, contract_of, days};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity;
use crate::keys::ExchangeKeys;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::market::{DeliveryEvidence, vouchers};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::terms::{self, MAX_ROYALTY_BASIS_POINTS, RevenueShare};
use crate::types::{BASIS_POINTS, Instant, Money, OrganisationId};

/// Pays everybody who has a part in an accepted order, and certifies the trade.
pub(super) fn settle(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let (id, royalties, shares) = (order.id, order.royalties.0.clone(), shares_of(c, &order)?);
    let asked: Vec<i64> = royalties.iter().map(|royalty| royalty.basis_points).collect();
    let held: Vec<i64> = shares.iter().map(|(_, points)| *points).collect();
    let division = divide(&order, &asked, &held)?;
    give_back(c, &order, division.refund, now)?;
    let payees: Vec<(OrganisationId, &str, Money)> = (royalties.iter().zip(&division.royalties))
        .map(|(Royalty { owner_id, .. }, amount)| (*owner_id, "royalty", *amount))
        .chain(shares.iter().zip(&division.shares).map(|((owner, _), amount)| (*owner, "share", *amount)))
        .collect();
    let settled = order.price().minus(division.refund)?;
    if settled.amount_minor > 0 {
        let (fee, tax) = (division.fee.minus(division.tax)?, division.tax);
        let mut lines = vec![(AccountRef::Escrow, settled.negated()?), (AccountRef::Fees, fee), (AccountRef::Tax, tax)];
        lines.extend(payees.iter().map(|(payee, _, amount)| (AccountRef::Payable(*payee), *amount)));
        ledger::post(c, TransactionKind::Settlement, &id.to_string(), &lines, now)?;
    }
    let mut paid = Vec::with_capacity(payees.len());
    for (payee, role, amount) in payees {
        paid.push(json!({ "organisation": identity::organisation(c, payee)?.handle, "role": role, "amount": amount }));
    }
    let contract = contract_of(c, id)?.sha256;
    let subjects = vec![ResourceDescriptor::new("contract", contract)];
    let predicate = json!({
        "order": id, "contract_sha256": contract, "accepted_at": now, "settled_at": now, "delivery": evidence,
        "refund": order.refund(), "fee": division.fee, "paid": paid,
    });
    let stated = provenance::declare(c, keys, StatementKind::Settlement, id, subjects, &predicate, now)?;
    let order = Order { dispute_until: Some(now.plus(days(order.dispute_days))), ..order };
    let order = advance(c, order, OrderState::Settled, None, "exchange", "settled on acceptance", now)?;
    certificate::certify(c, keys, order, stated.pae_sha256, now)
}

/// The organisations that get a part of an order's price when it is settled; some stand here more than once.
pub(in crate::market) fn payees(c: &mut Conn, order: &Order) -> Result<Vec<OrganisationId>> {
    let owners = order.royalties.0.iter().map(|royalty| royalty.owner_id);
    Ok(owners.chain(shares_of(c, order)?.into_iter().map(|(owner, _)| owner)).collect())
}

/// The organisations that share what the royalties leave, each with its basis points.
fn shares_of(c: &mut Conn, order: &Order) -> Result<Vec<(OrganisationId, i64)>> {
    match terms::terms(c, order.terms_id)?.document.revenue_shares {
        None => Ok(vec![(order.provider_id, BASIS_POINTS)]),
        Some(shares) => shares
            .into_iter()
            .map(|RevenueShare { organisation, basis_points }| {
                Ok((identity::find_organisation(c, &organisation)?.id, basis_points))
            })
            .collect(),
    }
}

/// Moves a part of an order's price, or all of it, from escrow back to those who paid it.
pub(super) fn give_back(c: &mut Conn, order: &Order, amount: Money, now: Instant) -> Result<()> {
    if amount.amount_minor > 0 {
        let mut lines = vouchers::refund_lines(c, order, (Money::zero(order.currency), amount), now)?;
        lines.push((AccountRef::Escrow, amount.negated()?));
        ledger::post(c, TransactionKind::Refund, &order.id.to_string(), &lines, now)?;
    }
    Ok(())
}

/// The parts of a price; royalties and shares in the order in which they were given to [`divide`].
#[derive(Debug, PartialEq, Eq)]
struct Division {
    refund: Money,
    fee: Money,
    /// A part of the fee.
    tax: Money,
    royalties: Vec<Money>,
    shares: Vec<Money>,
}

/// Divides an order's price between its refund, the fee, `royalties` and `shares`, both in basis points.
fn divide(order: &Order, royalties: &[i64], shares: &[i64]) -> Result<Division> {
    let (price, zero) = (order.price(), Money::zero(order.currency));
    let refund = order.refund().unwrap_or(zero);
    let rest = price.minus(refund)?;
    let fee = rest.part(order.fee_minor, order.price_minor)?;
    let tax = fee.part(order.tax_minor, order.fee_minor)?;
    let mut paid = rest.minus(fee)?.split(&royalty_weights(royalties))?;
    let remainder = paid.pop().ok_or_else(|| Error::internal("a price without a remainder"))?;
    Ok(Division { refund, fee, tax, royalties: paid, shares: remainder.split(shares)? })
}

/// The weights of the royalties, and last of what they leave. Together they take no more than
/// [`MAX_ROYALTY_BASIS_POINTS`]; if they ask for more, all are reduced in proportion.
fn royalty_weights(royalties: &[i64]) -> Vec<i64> {
    let asked: i64 = royalties.iter().sum();
    if asked <= MAX_ROYALTY_BASIS_POINTS {
        return royalties.iter().copied().chain([BASIS_POINTS - asked]).collect();
    }
    let each = royalties.iter().map(|points| points * MAX_ROYALTY_BASIS_POINTS);
    each.chain([asked * (BASIS_POINTS - MAX_ROYALTY_BASIS_POINTS)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::terms::Use;
    use crate::types::{Currency, Json, ListingId, OrderId, TermsId, VersionId};

    fn order(price_minor: i64, fee_minor: i64, refund_minor: Option<i64>) -> Order {
        let now = Instant::from_unix_micros(0);
        Order {
            id: OrderId::new(now),
            listing_id: ListingId::new(now),
            buyer_id: OrganisationId::new(now),
            provider_id: OrganisationId::new(now),
            version_id: VersionId::new(now),
            terms_id: TermsId::new(now),
            selection: None,
            shard_count: 1,
            permitted_use: Use::Pretrain,
            purpose: String::new(),
            price_minor,
            fee_minor,
            tax_minor: fee_minor / 10,
            currency: Currency::CNY,
            royalties: Json(Vec::new()),
            contract_document: String::new(),
            state: OrderState::Accepted,
            download_days: 1,
            acceptance_days: 1,
            cure_days: 1,
            dispute_days: 1,
            dispute_until: None,
            due_at: None,
            refund_minor,
            renews: None,
            created_at: now,
        }
    }

    /// Refund, fee, royalties and shares, one after the other.
    fn parts(order: &Order, royalties: &[i64], shares: &[i64]) -> Vec<i64> {
        let Division { refund, fee, royalties, shares, .. } = divide(order, royalties, shares).unwrap();
        [refund, fee].into_iter().chain(royalties).chain(shares).map(|part| part.amount_minor).collect()
    }

    #[test]
    fn what_is_refunded_lowers_the_fee_as_it_lowers_the_price() {
        assert_eq!(parts(&order(50_000, 1500, Some(20_000)), &[], &[10_000]), [20_000, 900, 29_100]);
        assert_eq!(parts(&order(50_000, 1500, None), &[], &[10_000]), [0, 1500, 48_500]);
        assert_eq!(parts(&order(0, 0, None), &[500], &[10_000]), [0, 0, 0, 0]);
        let tax = |refund| divide(&order(50_000, 1500, refund), &[], &[10_000]).unwrap().tax.amount_minor;
        assert_eq!((tax(None), tax(Some(20_000))), (150, 90));
    }

    #[test]
    fn royalties_come_before_shares_and_the_odd_fen_goes_to_the_largest_remainder() {
        let order = order(10_000, 300, None);
        assert_eq!(parts(&order, &[1000], &[3333, 6667]), [0, 300, 970, 2910, 5820]);
        assert_eq!(parts(&order, &[], &[3333, 3333, 3334]), [0, 300, 3233, 3233, 3234]);
    }

    #[test]
    fn royalties_together_take_half_at_most() {
        assert_eq!(parts(&order(10_000, 0, None), &[5000, 5000, 2500], &[10_000]), [0, 0, 2000, 2000, 1000, 5000]);
    }

    proptest! {
        #[test]
        fn a_price_is_divided_exactly_up_to_the_limit(
            price in prop_oneof![0..=i64::MAX, 0..=100_i64, i64::MAX - 100..=i64::MAX],
            fee in 0..=i64::MAX,
            refund in 0..=i64::MAX,
            royalties in prop::collection::vec(1..=MAX_ROYALTY_BASIS_POINTS, 0..100),
            cut in 1..BASIS_POINTS,
        ) {
            let (fee, refund) = (fee.min(price), refund.min(price));
            let order = order(price, fee, Some(refund));
            let tax = divide(&order, &royalties, &[cut, BASIS_POINTS - cut]).unwrap().tax.amount_minor;
            let parts = parts(&order, &royalties, &[cut, BASIS_POINTS - cut]);
            prop_assert!((0..=parts[1]).contains(&tax));
            prop_assert!(parts.iter().all(|part| *part >= 0), "{parts:?}");
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(price));
            prop_assert_eq!(parts[0], refund);
            prop_assert!(parts[1] <= fee);
        }
    }
}
