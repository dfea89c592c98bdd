//! Using a voucher at payment, and clawing it back on a refund.

use std::collections::BTreeMap;

use super::{MovementKind, Programme, movement, pool, programme, queries};
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity;
use crate::ledger::AccountRef;
use crate::market::{Order, orders};
use crate::types::{BASIS_POINTS, Instant, Money, ProgrammeId};

/// The parameter of a payment that names the programme.
const FIELD: &str = "voucher";

/// The part of a price that a programme pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Voucher {
    /// The pool that pays it.
    pub pool: AccountRef,
    /// How much.
    pub amount: Money,
}

/// Grants an order the voucher of a programme, and records its use. The caller of this function authorises, and posts
/// [`Voucher::amount`] from [`Voucher::pool`] in the same transaction.
///
/// # Errors
/// `Invalid`, `NotFound` and `InsufficientFunds`, all of the field `voucher`, with the rule that refuses it.
pub fn apply(c: &mut Conn, order: &Order, id: ProgrammeId, now: Instant) -> Result<Voucher> {
    let programme = programme(c, id).map_err(|error| error.field(FIELD))?;
    check_eligible(c, order, &programme, now)?;
    refuse_affiliates(c, order, &programme)?;
    let wanted = order.price().part(programme.rate_basis_points, BASIS_POINTS)?;
    let used = Money::new(queries::sum_used(c, id, order.buyer_id)?, programme.currency);
    let left = programme.cap().minus(used)?;
    if left.amount_minor <= 0 {
        return refuse(
            format!("this buyer has used {used} of programme {id}, which gives at most {}", programme.cap()),
            "pay without this voucher",
        );
    }
    let amount = Money::new(wanted.amount_minor.min(left.amount_minor), wanted.currency);
    if amount.amount_minor == 0 {
        return refuse(format!("its part of {} is less than one minor unit", order.price()), "pay without a voucher");
    }
    let pool = pool(c, &programme)?;
    if pool.amount_minor < amount.amount_minor {
        let detail = format!("the pool of programme {id} holds {pool}, and {amount} is needed");
        return Err(Error::new(Kind::InsufficientFunds, detail)
            .field(FIELD)
            .remedy("pay without this voucher, or wait until its funder adds to it"));
    }
    let used = movement(c, &programme, MovementKind::Use, amount.negated()?, now)?;
    queries::insert_movement(
        c,
        &queries::Movement { order_id: Some(order.id), buyer_id: Some(order.buyer_id), ..used },
    )?;
    Ok(Voucher { pool: programme.pool(), amount })
}

fn refuse<T>(detail: String, remedy: &str) -> Result<T> {
    Err(Error::invalid(FIELD, detail).remedy(remedy))
}

/// Refuses an order that the programme is not for: by time, currency or domain.
fn check_eligible(c: &mut Conn, order: &Order, programme: &Programme, now: Instant) -> Result<()> {
    let Programme { id, starts_at, ends_at, .. } = programme;
    if now < *starts_at || *ends_at <= now {
        return refuse(format!("programme {id} pays from {starts_at} until {ends_at}"), "pay within its period");
    }
    if order.currency != programme.currency {
        let detail = format!("programme {id} pays in {}, and the price is in {}", programme.currency, order.currency);
        return refuse(detail, "use a programme of the price's currency");
    }
    let domain = catalog::version(c, order.version_id)?.0.domain;
    if !programme.domains.0.contains(&domain) {
        let eligible: Vec<_> = programme.domains.0.iter().map(|domain| domain.as_str()).collect();
        let detail = format!("the corpus is of the domain {domain}; programme {id} is for {}", eligible.join(", "));
        return refuse(detail, "use a programme for this domain");
    }
    Ok(())
}

/// Refuses a buyer that belongs to the provider, to anybody who has a part in the price, or to the funder: public money is not
/// for dealings within one group.
fn refuse_affiliates(c: &mut Conn, order: &Order, programme: &Programme) -> Result<()> {
    let payees = orders::payees(c, order)?.into_iter().map(|payee| (payee, "the payee"));
    let sides = [(order.provider_id, "the provider"), (programme.funder_id, "the funder")];
    let mut roles = BTreeMap::new();
    for (other, role) in payees.chain(sides) {
        roles.insert(identity::organisation(c, other)?.handle, role);
    }
    let buyer = identity::organisation(c, order.buyer_id)?.handle;
    let others: Vec<&str> = roles.keys().map(String::as_str).collect();
    let path = identity::affiliation(c, &buyer, &others).map_err(|error| error.field(FIELD))?.unwrap_or_default();
    match path.last().and_then(|other| roles.get_key_value(other)) {
        None => Ok(()),
        Some((other, role)) => refuse(
            format!("the buyer {buyer} belongs to {role} {other}: {}", path.join(" – ")),
            "vouchers are for purchases between independent parties; pay without one",
        ),
    }
}

/// Where a refund of `amount`, after one of `before`, goes: the voucher's part back to its pool, in proportion to what it paid
/// of the price, and the rest to the buyer. Records the clawback; the caller posts the lines with the refund.
///
/// # Errors
/// `Invalid` for more than the price; those of the database.
pub fn refund_lines(
    c: &mut Conn,
    order: &Order,
    (before, amount): (Money, Money),
    now: Instant,
) -> Result<Vec<(AccountRef, Money)>> {
    let wallet = AccountRef::Wallet(order.buyer_id);
    let Some(used) = queries::find_use(c, order.id)? else { return Ok(vec![(wallet, amount)]) };
    let paid = Money::new(used.amount_minor, order.currency).negated()?;
    let (voucher, own) = clawed_back(order.price(), paid, (before, amount))?;
    let programme = programme(c, used.programme_id)?;
    if voucher.amount_minor > 0 {
        let clawback = movement(c, &programme, MovementKind::Clawback, voucher, now)?;
        queries::insert_movement(
            c,
            &queries::Movement { order_id: Some(order.id), buyer_id: Some(order.buyer_id), ..clawback },
        )?;
    }
    Ok(vec![(programme.pool(), voucher), (wallet, own)])
}

/// How `refund`, which follows a refund of `before`, is divided between the voucher, which paid `voucher` of the price, and the
/// buyer: so that both refunds together are divided, to the minor unit, as one refund of their sum would be.
fn clawed_back(price: Money, voucher: Money, (before, refund): (Money, Money)) -> Result<(Money, Money)> {
    let together = before.plus(refund)?;
    if together.minus(price)?.amount_minor > 0 {
        let detail = format!("{together} to be refunded is more than the price of {price}");
        return Err(Error::invalid("amount.amount_minor", detail));
    }
    let part = |refund: Money| refund.part(voucher.amount_minor, price.amount_minor);
    let back = part(together)?.minus(part(before)?)?;
    Ok((back, refund.minus(back)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::Currency;

    fn cny(minor: i64) -> Money {
        Money::new(minor, Currency::CNY)
    }

    #[test]
    fn a_refund_takes_back_the_part_that_was_given() {
        let first = |price, voucher, refund| clawed_back(cny(price), cny(voucher), (cny(0), cny(refund)));
        assert_eq!(first(1000, 300, 1000).unwrap(), (cny(300), cny(700)));
        assert_eq!(first(1000, 300, 500).unwrap(), (cny(150), cny(350)));
        assert_eq!(first(1000, 300, 1).unwrap(), (cny(0), cny(1)));
        assert!(first(1000, 300, 1001).is_err());
        assert!(clawed_back(cny(1000), cny(300), (cny(500), cny(501))).is_err());
    }

    proptest! {
        #[test]
        fn no_refunds_give_either_side_more_than_it_paid(
            price in 1..=i64::MAX,
            rate in 1..=3000_i64,
            refunds in (0..=i64::MAX, 0..=i64::MAX),
        ) {
            let first = cny(refunds.0.min(price));
            let second = cny(refunds.1.min(price - first.amount_minor));
            let price = cny(price);
            let voucher = price.part(rate, BASIS_POINTS).unwrap();
            prop_assert!(i128::from(voucher.amount_minor) * 10_000 <= i128::from(price.amount_minor) * i128::from(rate) + 10_000);
            let before = clawed_back(price, voucher, (cny(0), first)).unwrap();
            let after = clawed_back(price, voucher, (first, second)).unwrap();
            prop_assert_eq!(before.0.plus(before.1).unwrap(), first);
            prop_assert_eq!(after.0.plus(after.1).unwrap(), second);
            prop_assert!(after.0.amount_minor >= 0 && after.1.amount_minor >= 0);
            prop_assert!(before.0.amount_minor + after.0.amount_minor <= voucher.amount_minor);
            prop_assert!(before.1.amount_minor + after.1.amount_minor <= price.amount_minor - voucher.amount_minor);
        }
    }
}
