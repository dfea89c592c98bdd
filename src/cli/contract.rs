//! What a contract must say before a command signs it.

use std::fmt::Display;

use serde::Deserialize;

use crate::catalog::Selection;
use crate::error::{Error, Kind, Result};
use crate::market::contracts::{self, ContractDocument};
use crate::provenance::Statement;
use crate::signing::Bytes;
use crate::terms::Use;
use crate::types::{ListingId, Money, OrderId};

/// What was ordered, as the exchange shows an order.
#[derive(Deserialize)]
pub(super) struct Ordered {
    pub(super) listing_id: ListingId,
    pub(super) buyer: String,
    pub(super) dataset: String,
    pub(super) version: i32,
    pub(super) selection: Option<Selection>,
    pub(super) terms_id: String,
    pub(super) r#use: Use,
    pub(super) purpose: String,
    pub(super) price: Money,
    pub(super) renews: Option<OrderId>,
}

impl Ordered {
    /// Reads what is about to be signed: it must be the contract of this and of nothing else, and read as its renderings do.
    pub(super) fn contract(&self, payload: &Bytes) -> Result<ContractDocument> {
        let statement: Statement = serde_json::from_slice(&payload.0)?;
        let contract = contracts::check(statement.predicate)?;
        let part = contract.part.as_ref().map(|part| &part.selection);
        agree([
            ("renews", text(contract.renews), text(self.renews)),
            ("part", text(part), text(self.selection.as_ref())),
            ("listing", contract.listing.to_string(), self.listing_id.to_string()),
            ("dataset", contract.dataset.clone(), self.dataset.clone()),
            ("version", contract.version.to_string(), self.version.to_string()),
            ("terms", contract.terms.to_string(), self.terms_id.clone()),
            ("buyer", contract.buyer.handle.clone(), self.buyer.clone()),
            ("purpose", contract.purpose.clone(), self.purpose.clone()),
            ("use", contract.r#use.to_string(), self.r#use.to_string()),
            ("price", contract.price.to_string(), self.price.to_string()),
        ])?;
        Ok(contract)
    }
}

/// Compares what a contract says with what was ordered: (field, found, wanted).
pub(super) fn agree(fields: impl IntoIterator<Item = (&'static str, String, String)>) -> Result<()> {
    for (field, found, wanted) in fields {
        if found != wanted {
            let detail = format!("the contract says {found:?} and {wanted:?} was ordered; it was not signed");
            return Err(Error::new(Kind::Unverified, detail).field(field));
        }
    }
    Ok(())
}

/// What may be absent, as [`agree`] compares it.
pub(super) fn text(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
