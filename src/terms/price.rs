//! What a licence costs: nothing, one amount, an amount for so many records, bytes or tokens, or one for so many days.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TermsDocument;
use crate::catalog::Measure;
use crate::error::{Error, Result};
use crate::text_enum;
use crate::types::{Currency, Money};

/// The highest price, in minor units: the largest integer that canonical JSON (RFC 8785) writes exactly.
pub const MAX_AMOUNT_MINOR: i64 = (1 << 53) - 1;

text_enum! {
    /// What a price is counted in.
    pub enum Unit {
        /// Records, as the manifest counts them shard by shard.
        Record = "record",
        /// Bytes.
        Byte = "byte",
        /// Tokens, as the manifest counts them shard by shard.
        Token = "token",
    }
}

/// What a licence costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "model", rename_all = "snake_case", deny_unknown_fields)]
pub enum Price {
    /// Nothing.
    Free {},
    /// One amount, paid once.
    OneOff {
        /// The amount; above zero.
        amount: Money,
    },
    /// An amount for so many units of what is licensed, paid once. The total is rounded once, to the nearest minor unit (a
    /// half upwards), and is one minor unit at least.
    PerUnit {
        /// What is counted.
        unit: Unit,
        /// The amount; above zero.
        amount: Money,
        /// For how many units; above zero.
        per: i64,
    },
    /// An amount for so many days, paid for the whole term at once. The versions of the dataset that come on the board on
    /// subscription terms while the term runs are licensed too.
    Subscription {
        /// The amount; above zero.
        amount: Money,
        /// For how many days; above zero, and the term is a multiple of them.
        per_days: i32,
    },
}

impl Measure {
    /// How many units there are; none where the manifest does not count them.
    pub fn units(&self, unit: Unit) -> Option<i64> {
        match unit {
            Unit::Record => self.records,
            Unit::Byte => Some(self.bytes),
            Unit::Token => self.tokens,
        }
    }
}

/// What a licence to so much costs under a document: zero yuan when it is free.
///
/// # Errors
/// `Invalid`, with the field `price`, when the manifest does not count the units, or when they cost more than
/// [`MAX_AMOUNT_MINOR`].
pub fn price(document: &TermsDocument, measure: &Measure) -> Result<Money> {
    match document.price {
        Price::Free {} => Ok(Money::zero(Currency::CNY)),
        Price::OneOff { amount } => Ok(amount),
        Price::PerUnit { unit, amount, per } => {
            let units = measure.units(unit).ok_or_else(|| {
                Error::invalid(
                    "price",
                    format!("the terms ask a price by {unit}, and not every shard counts its {unit}s"),
                )
                .remedy(format!(
                    "seal a version whose manifest counts the {unit}s of each shard, or choose other terms"
                ))
            })?;
            let total = i64::try_from(total(amount.amount_minor, units, per)).ok();
            let total = total.filter(|total| *total <= MAX_AMOUNT_MINOR).ok_or_else(|| {
                let detail =
                    format!("{units} {unit}s at {amount} for {per} cost more than {MAX_AMOUNT_MINOR} minor units");
                Error::invalid("price", detail).remedy("choose other terms, or fewer shards")
            })?;
            Ok(Money::new(total, amount.currency))
        }
        Price::Subscription { amount, per_days } => {
            let total = periods(document, per_days).and_then(|periods| periods.checked_mul(amount.amount_minor));
            let total = total.ok_or_else(|| Error::internal("subscription terms were published unchecked"))?;
            Ok(Money::new(total, amount.currency))
        }
    }
}

/// How many periods of `per_days` days the term of a document has; none where that is not a whole number.
fn periods(document: &TermsDocument, per_days: i32) -> Option<i64> {
    let days = document.duration_days.filter(|days| *days > 0 && days.checked_rem(per_days) == Some(0))?;
    days.checked_div(per_days).map(i64::from)
}

/// `amount` for each `per` of `units`, to the nearest whole number, a half upwards; at least one for any unit at all.
fn total(amount: i64, units: i64, per: i64) -> i128 {
    let (exact, per) = (i128::from(amount) * i128::from(units), i128::from(per));
    let nearest = (2 * exact + per) / (2 * per);
    nearest.max(i128::from(exact > 0))
}

/// Checks that a price can be paid and counted, and fits the term.
pub(super) fn check(document: &TermsDocument) -> Result<()> {
    let in_bounds = |field: &str, number: i64, remedy: &str| {
        if (1..=MAX_AMOUNT_MINOR).contains(&number) {
            return Ok(());
        }
        let detail = format!("{number} is not between 1 and {MAX_AMOUNT_MINOR}");
        Err(Error::invalid(format!("document.price.{field}"), detail).remedy(remedy))
    };
    let check_amount =
        |amount: &Money| in_bounds("amount.amount_minor", amount.amount_minor, "for no price use the model \"free\"");
    match &document.price {
        Price::Free {} => Ok(()),
        Price::OneOff { amount } => check_amount(amount),
        Price::PerUnit { amount, per, .. } => {
            check_amount(amount)?;
            in_bounds("per", *per, "say for how many units the amount is asked")
        }
        Price::Subscription { amount, per_days } => {
            check_amount(amount)?;
            in_bounds("per_days", i64::from(*per_days), "say for how many days the amount is asked")?;
            let Some(periods) = periods(document, *per_days) else {
                let term = document.duration_days.map_or("for ever".to_string(), |days| format!("{days} days"));
                let detail = format!("a subscription that is paid by {per_days} days cannot run {term}");
                let remedy = format!("choose a term that is a multiple of {per_days} days");
                return Err(Error::invalid("document.duration_days", detail).remedy(remedy));
            };
            let total = periods.saturating_mul(amount.amount_minor);
            in_bounds("amount.amount_minor", total, "ask less, or for a shorter term")
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::terms::tests::document;
    use crate::terms::{TermsDocument, Use};

    const MUCH: Measure = Measure { shards: 2, bytes: 5_000_000_000, records: Some(1_000_001), tokens: None };

    fn per_unit(unit: Unit, amount_minor: i64, per: i64) -> TermsDocument {
        let price = Price::PerUnit { unit, amount: Money::new(amount_minor, Currency::CNY), per };
        TermsDocument { price, ..document(&[Use::Pretrain], &[]) }
    }

    #[test]
    fn free_terms_cost_nothing_and_others_their_price() {
        let one_off = document(&[Use::Pretrain], &[]);
        assert_eq!(price(&one_off, &MUCH).unwrap(), Money::new(88_800, Currency::CNY));
        let free = TermsDocument { price: Price::Free {}, ..one_off };
        assert_eq!(price(&free, &MUCH).unwrap(), Money::zero(Currency::CNY));
        assert_eq!(serde_json::to_value(&free).unwrap()["price"], serde_json::json!({"model": "free"}));
    }

    #[test]
    fn a_subscription_costs_all_its_periods_and_runs_a_whole_number_of_them() {
        let subscription = |amount_minor, per_days, duration_days| {
            let price = Price::Subscription { amount: Money::new(amount_minor, Currency::CNY), per_days };
            TermsDocument { price, duration_days, ..document(&[Use::Pretrain], &[]) }
        };
        let yearly = subscription(1000, 30, Some(360));
        check(&yearly).unwrap();
        assert_eq!(price(&yearly, &MUCH).unwrap(), Money::new(12_000, Currency::CNY));
        for (bad, field) in [
            (subscription(1000, 30, Some(365)), "duration_days"),
            (subscription(1000, 30, Some(0)), "duration_days"),
            (subscription(1000, 30, None), "duration_days"),
            (subscription(1000, 0, Some(30)), "price.per_days"),
            (subscription(1000, -30, Some(30)), "price.per_days"),
            (subscription(0, 30, Some(30)), "price.amount.amount_minor"),
            (subscription(MAX_AMOUNT_MINOR, 30, Some(60)), "price.amount.amount_minor"),
        ] {
            let error = check(&bad).unwrap_err();
            assert_eq!(error.field, Some(format!("document.{field}")), "{bad:?}");
            assert!(error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn a_price_by_units_is_rounded_once_at_the_total() {
        // amount for so many units, how many there are, and what they cost
        for (amount, per, units, costs) in [
            (50, 1000, 1_000_000, 50_000),
            (1, 1000, 1499, 1),
            (1, 1000, 1500, 2),
            (1, 1000, 1, 1),
            (1, 1000, 0, 0),
            (3, 7, 7, 3),
            (MAX_AMOUNT_MINOR, MAX_AMOUNT_MINOR, i64::MAX, i128::from(i64::MAX)),
            (MAX_AMOUNT_MINOR, 1, i64::MAX, i128::from(MAX_AMOUNT_MINOR) * i128::from(i64::MAX)),
        ] {
            assert_eq!(total(amount, units, per), costs, "{amount} for {per}, {units} units");
        }
        assert_eq!(price(&per_unit(Unit::Record, 50, 1000), &MUCH).unwrap().amount_minor, 50_000);
        assert_eq!(price(&per_unit(Unit::Byte, 100, 1 << 30), &MUCH).unwrap().amount_minor, 466);
    }

    #[test]
    fn what_is_not_counted_or_costs_too_much_has_no_price() {
        for (terms, reason) in [
            (per_unit(Unit::Token, 1, 1000), "not every shard counts its tokens"),
            (per_unit(Unit::Byte, MAX_AMOUNT_MINOR, 1), "cost more than"),
        ] {
            let error = price(&terms, &MUCH).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("price"));
            assert!(error.detail.contains(reason) && error.remedy.is_some(), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_total_is_never_off_by_more_than_half_a_minor_unit(
            amount in 1..=MAX_AMOUNT_MINOR,
            per in prop_oneof![1..=MAX_AMOUNT_MINOR, 1..=10_i64],
            units in prop_oneof![0..=i64::MAX, 0..=10_i64],
        ) {
            let total = total(amount, units, per);
            let (exact, per) = (i128::from(amount) * i128::from(units), i128::from(per));
            let off = 2 * (total * per - exact);
            prop_assert!((-per < off && off <= per) || (total == 1 && 0 < 2 * exact && 2 * exact < per), "{off}");
            prop_assert_eq!(total == 0, units == 0);
        }
    }
}
