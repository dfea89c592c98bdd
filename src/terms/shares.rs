//! What terms say of money besides the price: how co-builders share the revenue, and the royalty that the provider asks of each
//! sale of a derived corpus.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TermsDocument;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity;
use crate::types::BASIS_POINTS;

/// The most organisations that may share a corpus's revenue.
const MAX_CO_BUILDERS: usize = 20;
/// The highest royalty that terms may ask for, in parts of 10,000; all royalties of one sale together take no more.
pub const MAX_ROYALTY_BASIS_POINTS: i64 = 5000;

/// One co-builder's part of what a sale leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevenueShare {
    /// The organisation's handle.
    pub organisation: String,
    /// Its part of 10,000; above zero.
    pub basis_points: i64,
}

/// Checks that the shares are whole, and the royalty within bounds.
pub(super) fn check(document: &TermsDocument) -> Result<()> {
    if let Some(royalty) = document.derivative_royalty_basis_points
        && !(1..=MAX_ROYALTY_BASIS_POINTS).contains(&royalty)
    {
        let detail = format!("a royalty of {royalty} is not between 1 and {MAX_ROYALTY_BASIS_POINTS} basis points");
        return Err(Error::invalid("document.derivative_royalty_basis_points", detail)
            .remedy("for no royalty leave the member out"));
    }
    let Some(shares) = &document.revenue_shares else { return Ok(()) };
    let mut named = HashSet::new();
    for (index, RevenueShare { organisation, basis_points }) in shares.iter().enumerate() {
        let field = |name: &str| format!("document.revenue_shares[{index}].{name}");
        if !(1..=BASIS_POINTS).contains(basis_points) {
            let detail = format!("a share of {basis_points} is not between 1 and {BASIS_POINTS} basis points");
            return Err(Error::invalid(field("basis_points"), detail).remedy("leave out who has no share"));
        }
        if !named.insert(organisation) {
            return Err(Error::invalid(field("organisation"), format!("{organisation} is named twice"))
                .remedy("add its shares together"));
        }
    }
    let sum: i64 = shares.iter().map(|share| share.basis_points).sum();
    if sum != BASIS_POINTS || shares.len() > MAX_CO_BUILDERS {
        let detail = format!("{} shares sum to {sum} basis points", shares.len());
        return Err(Error::invalid("document.revenue_shares", detail).remedy(format!(
            "make at most {MAX_CO_BUILDERS} shares sum to exactly {BASIS_POINTS}, or leave the member out: then the \
             provider has all"
        )));
    }
    Ok(())
}

/// Checks that everybody who has a share is a verified organisation of this exchange.
pub(super) fn check_known(c: &mut Conn, document: &TermsDocument) -> Result<()> {
    for (index, share) in document.revenue_shares.iter().flatten().enumerate() {
        let field = format!("document.revenue_shares[{index}].organisation");
        let known = identity::find_organisation(c, &share.organisation).and_then(|it| identity::require_verified(&it));
        known.map_err(|error| error.field(field).remedy("name verified organisations by their handles"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terms::{Use, tests::document};

    #[test]
    fn at_most_twenty_share_a_revenue() {
        let shared = |most: i64| {
            let share = |number| RevenueShare {
                organisation: format!("builder-{number}"),
                basis_points: if number == 0 { BASIS_POINTS - 100 * (most - 1) } else { 100 },
            };
            let revenue_shares = Some((0..most).map(share).collect());
            check(&TermsDocument { revenue_shares, ..document(&[Use::Derive], &[]) })
        };
        shared(20).unwrap();
        let error = shared(21).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("document.revenue_shares"));
        assert!(error.remedy.unwrap().starts_with("make at most 20 shares sum to exactly 10000"));
    }
}
