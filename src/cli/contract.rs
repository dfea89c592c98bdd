//! Checks a contract before a command signs it, and asks for agreement to its price.

use std::fmt::Display;
use std::io::IsTerminal as _;

use clap::Args;
use serde::Deserialize;

use super::client::Client;
use super::key::KeyFile;
use super::organisation::own_organisation;
use super::output::{Out, ask};
use super::parse_word;
use crate::catalog::Selection;
use crate::error::{Error, Kind, Result};
use crate::market::contracts::{self, ContractDocument};
use crate::provenance::Statement;
use crate::signing::Bytes;
use crate::terms::Use;
use crate::types::{Currency, ListingId, Money, OrderId, ProgrammeId};

/// Who buys, and how the price is paid.
#[derive(Debug, Args)]
pub(super) struct Buyer {
    /// The buying organisation; yours if you belong to only one
    #[arg(long, value_name = "HANDLE")]
    pub(super) organisation: Option<String>,
    /// Agree without asking if the price is at most this many minor units (fen, cents); asks at a terminal when absent
    #[arg(long, value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(0..))]
    pub(super) max_price: Option<i64>,
    /// The currency of --max-price
    #[arg(long, value_name = "CODE", default_value = "CNY", value_parser = parse_word::<Currency>, requires = "max_price")]
    pub(super) currency: Currency,
    /// A voucher programme (programme_…) that pays its part of the price
    #[arg(long, value_name = "ID")]
    pub(super) voucher: Option<ProgrammeId>,
    #[command(flatten)]
    pub(super) key: KeyFile,
}

impl Buyer {
    /// The organisation that buys.
    pub(super) async fn organisation(&self, client: &Client) -> Result<String> {
        own_organisation(client, self.organisation.as_deref()).await
    }

    /// Agrees, for the organisation that buys, to what is about to be signed and paid. Nothing may be signed or paid before this.
    pub(super) fn agree_to(&self, ordered: &Ordered, organisation: &str, out: &Out) -> Result<()> {
        let Ordered { buyer, dataset, version, price, terms_id, r#use: kind, .. } = ordered;
        out.note(format!("{dataset}@{version}: {price} under {terms_id}, to {kind}, for {buyer}"));
        if buyer != organisation {
            let detail = format!("this was ordered by {buyer}, not by {organisation}");
            return Err(Error::invalid("--organisation", detail).remedy(format!("name {buyer}, if it is yours")));
        }
        let most = self.max_price.map(|amount| Money::new(amount, self.currency));
        let agreed = match most {
            Some(most) => price.currency == most.currency && price.amount_minor <= most.amount_minor,
            None if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() => {
                let answer = ask(&format!("Sign for {buyer}, and pay {price} for {dataset}@{version}? [y/N] "))?;
                matches!(answer.as_str(), "y" | "Y" | "yes")
            }
            None => true,
        };
        match (agreed, most) {
            (true, _) => Ok(()),
            (false, Some(most)) => {
                let detail = format!("{dataset}@{version} costs {price}, which is not within {most}; nothing was paid");
                Err(Error::invalid("--max-price", detail))
            }
            (false, None) => Err(Error::invalid("", "you did not agree; nothing was paid")),
        }
    }
}

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
