//! Money: whole minor units (fen, cents) of one ISO 4217 currency. No floating point anywhere.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::text_column;
use crate::types::from_text;

/// One hundred per cent: shares are given in hundredths of a per cent.
pub const BASIS_POINTS: i64 = 10_000;

/// An ISO 4217 currency, written as its three-letter code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Renminbi yuan, whose minor unit is the fen.
    pub const CNY: Self = Self(iso_currency::Currency::CNY);
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.code())
    }
}
impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Currency {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        iso_currency::Currency::from_code(text)
            .map(Self)
            .ok_or_else(|| Error::invalid("currency", format!("{text:?} is not an ISO 4217 currency code such as CNY")))
    }
}
impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[A-Z]{3}$"))
            .into()
    }
}
impl utoipa::ToSchema for Currency {}
text_column!(Currency);

/// An amount of money in minor units of its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    /// Minor units: fen for CNY, cents for USD.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl Money {
    /// An amount in minor units.
    pub fn new(amount_minor: i64, currency: Currency) -> Self {
        Self { amount_minor, currency }
    }
    /// Nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }
    /// The sum of two amounts of one currency.
    pub fn plus(self, other: Self) -> Result<Self> {
        self.same_currency(other)?;
        let sum = self.amount_minor.checked_add(other.amount_minor).ok_or_else(|| overflow(other))?;
        Ok(Self::new(sum, self.currency))
    }
    /// The difference of two amounts of one currency.
    pub fn minus(self, other: Self) -> Result<Self> {
        self.same_currency(other)?;
        let difference = self.amount_minor.checked_sub(other.amount_minor).ok_or_else(|| overflow(other))?;
        Ok(Self::new(difference, self.currency))
    }
    /// The same amount owed the other way.
    pub fn negated(self) -> Result<Self> {
        Money::zero(self.currency).minus(self)
    }
    /// Splits the amount by weights so that the parts sum to it exactly (largest remainder; ties to the first).
    ///
    /// The amount must not be negative; weights must not be negative and must not all be zero.
    pub fn split(self, weights: &[i64]) -> Result<Vec<Self>> {
        let total: i128 = weights.iter().map(|w| i128::from(*w)).sum();
        if total <= 0 || weights.iter().any(|w| *w < 0) || self.amount_minor < 0 {
            return Err(Error::invalid(
                "shares",
                "an amount can be split only by shares that are not negative and not all zero",
            ));
        }
        let exact = |weight: i64| i128::from(self.amount_minor) * i128::from(weight);
        let mut parts: Vec<i128> = weights.iter().map(|w| exact(*w) / total).collect();
        let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
        by_remainder.sort_by_key(|i| std::cmp::Reverse(weights.get(*i).map_or(0, |w| exact(*w) % total)));
        let left_over = i128::from(self.amount_minor) - parts.iter().sum::<i128>();
        for index in by_remainder.into_iter().take(usize::try_from(left_over).map_err(|_| overflow(self))?) {
            if let Some(part) = parts.get_mut(index) {
                *part += 1;
            }
        }
        parts
            .into_iter()
            .map(|part| Ok(Self::new(i64::try_from(part).map_err(|_| overflow(self))?, self.currency)))
            .collect()
    }

    /// As large a part of this amount as `part` is of `whole`, to the nearest minor unit; nothing of a whole of zero.
    ///
    /// The amount must not be negative, and `part` must lie between zero and `whole`.
    pub fn part(self, part: i64, whole: i64) -> Result<Self> {
        if whole == 0 {
            return Ok(Self::zero(self.currency));
        }
        let rest = whole.checked_sub(part).ok_or_else(|| overflow(self))?;
        Ok(self.split(&[part, rest])?.first().copied().unwrap_or(Self::zero(self.currency)))
    }

    fn same_currency(self, other: Self) -> Result<()> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(Error::invalid(
            "currency",
            format!("{} and {} cannot be added; use one currency", self.currency, other.currency),
        ))
    }
}

fn overflow(with: Money) -> Error {
    Error::invalid("amount_minor", format!("with {with} the amount is larger than {} minor units", i64::MAX))
        .remedy("use a smaller amount")
}

impl Money {
    /// The amount in whole units of its currency; what is less than one is left off.
    pub fn whole_units(self) -> i64 {
        self.amount_minor / 10_i64.pow(u32::from(self.currency.0.exponent().unwrap_or(0)))
    }
    /// The amount in whole units with the currency's decimals, such as `-12.50`.
    pub fn decimal(self) -> String {
        let digits = usize::from(self.currency.0.exponent().unwrap_or(0));
        let sign = if self.amount_minor < 0 { "-" } else { "" };
        let all = format!("{:0>width$}", self.amount_minor.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = all.split_at(all.len() - digits);
        let point = if digits == 0 { "" } else { "." };
        format!("{sign}{whole}{point}{fraction}")
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.currency, self.decimal()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_prints_with_its_currency_and_decimals() {
        assert_eq!(Money::new(123_456, Currency::CNY).to_string(), "CNY 1234.56");
        assert_eq!(Money::new(-5, Currency::CNY).to_string(), "CNY -0.05");
        assert_eq!(Money::new(7, "JPY".parse().unwrap()).to_string(), "JPY 7");
    }

    #[test]
    fn an_overflowing_sum_is_refused_and_names_the_field() {
        let error = Money::new(i64::MAX, Currency::CNY).plus(Money::new(1, Currency::CNY)).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("amount_minor"));
        assert!(error.detail.starts_with("with CNY 0.01 the amount is larger"), "{error}");
        assert!(error.remedy.is_some());
    }

    #[test]
    fn the_fen_left_over_goes_to_the_largest_remainder() {
        let parts = Money::new(100, Currency::CNY).split(&[1, 1, 1]).unwrap();
        assert_eq!(parts.iter().map(|p| p.amount_minor).collect::<Vec<_>>(), [34, 33, 33]);
    }

    proptest! {
        #[test]
        fn parts_always_sum_to_the_whole(amount in 0..=i64::MAX, weights in prop::collection::vec(0..=i64::MAX, 1..20)) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let parts = Money::new(amount, Currency::CNY).split(&weights).unwrap();
            prop_assert_eq!(parts.iter().map(|p| i128::from(p.amount_minor)).sum::<i128>(), i128::from(amount));
        }
    }
}
