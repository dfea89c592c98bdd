//! `corpex buy`: a quote, its contract signed, and the purchase.
//!
//! It can be repeated: the purchase carries a key made from what is bought, so a command that was cut off gets the answer
//! that it missed, and never buys twice.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::contract::{Buyer, Ordered, agree, text};
use super::listing::{Listing, open_listing};
use super::output::Out;
use super::parse_word;
use super::reference::DatasetRef;
use crate::catalog::{Domain, Selection};
use crate::error::{Error, Kind, Result};
use crate::signing::{Bytes, IN_TOTO_PAYLOAD_TYPE};
use crate::terms::Use;
use crate::types::{Digest, EntitlementId, ListingId, Money, OfferId, OrderId, TermsId};

#[derive(Debug, Args)]
pub(super) struct Buy {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    pub(super) dataset: DatasetRef,
    /// The terms to buy under (terms_…), as the listing shows them; may be left out when there is only one choice
    #[arg(long, value_name = "ID")]
    pub(super) terms: Option<TermsId>,
    /// The use you declare, in words: it becomes part of the contract
    #[arg(long = "use", value_name = "DECLARED USE")]
    pub(super) purpose: String,
    /// The kind of use, which the terms must permit
    #[arg(long, value_name = "KIND", default_value = "pretrain", value_parser = parse_word::<Use>)]
    pub(super) kind: Use,
    /// Buy only the shards in this language (BCP 47; `zh` includes zh-Hant), where the terms are divisible; may be repeated
    #[arg(long = "language", value_name = "TAG")]
    pub(super) languages: Vec<String>,
    /// Buy only the shards about this domain: manufacturing, education, finance, …; may be repeated
    #[arg(long = "domain", value_name = "NAME", value_parser = parse_word::<Domain>)]
    pub(super) domains: Vec<Domain>,
    /// Buy only the shards under this licence (SPDX); may be repeated
    #[arg(long = "licence", value_name = "EXPRESSION")]
    pub(super) licences: Vec<String>,
    /// Buy at the price of this private offer (offer_…)
    #[arg(long, value_name = "ID")]
    pub(super) offer: Option<OfferId>,
    /// Buy again what was bought before: give a text that is new for each such purchase
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) again: String,
    #[command(flatten)]
    pub(super) buyer: Buyer,
}

/// What a purchase came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bought {
    pub(super) dataset: String,
    pub(super) version: i32,
    pub(super) order: OrderId,
    pub(super) entitlement: EntitlementId,
    pub(super) price: Money,
}

#[derive(Deserialize)]
struct Quote {
    quote: String,
    price: Money,
    contract_payload: Bytes,
}

/// The answer to a payment.
#[derive(Deserialize)]
pub(super) struct Paid {
    order: Order,
    entitlement: Entitlement,
}

impl Paid {
    /// The purchase that was paid: of this version of a dataset.
    pub(super) fn into_bought(self, dataset: String, version: i32) -> Bought {
        let Self { order, entitlement } = self;
        Bought { dataset, version, order: order.id, entitlement: entitlement.id, price: order.price }
    }
}

#[derive(Deserialize)]
struct Offer {
    id: OfferId,
    listing_id: ListingId,
    price: Money,
    sha256: Digest,
}

/// What was paid.
#[derive(Deserialize)]
struct Order {
    id: OrderId,
    price: Money,
}

/// The licence that it gave.
#[derive(Deserialize)]
struct Entitlement {
    id: EntitlementId,
}

impl Buy {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<Bought> {
        let organisation = self.buyer.organisation(client).await?;
        let key = self.buyer.key.read(&organisation)?;
        let offer: Option<Offer> = match self.offer {
            Some(id) => Some(client.get(format!("/v1/offers/{id}")).send().await?),
            None => None,
        };
        let at = offer.as_ref().map(|offer| offer.listing_id);
        let listing = open_listing(client, &self.dataset, self.terms, at).await?;
        let mut wanted = json!({ "listing_id": listing.id, "organisation": organisation, "use": self.kind, "purpose": self.purpose });
        if let (Some(offer), Some(members)) = (&offer, wanted.as_object_mut()) {
            members.extend([("offer_id".to_string(), json!(offer.id)), ("price".to_string(), json!(offer.price))]);
        }
        if let (Some(selection), Some(members)) = (self.selection(), wanted.as_object_mut()) {
            members.insert("selection".to_string(), json!(selection));
        }
        let once = Digest::of(format!("{wanted}{}", self.again)).to_string();
        let asked = client.post("/v1/quotes").safe_to_repeat().json(&wanted)?;
        let quoted: Quote = asked.send().await.map_err(by_option)?;
        let ordered = self.ordered(&quoted, &listing, &organisation);
        let contract = ordered.contract(&quoted.contract_payload)?;
        agree([("offer_sha256", text(contract.offer_sha256), text(offer.map(|offer| offer.sha256)))])?;
        self.buyer.agree_to(&ordered, &organisation, out)?;
        let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, quoted.contract_payload.0);
        let purchase =
            json!({ "order": wanted, "quote": quoted.quote, "envelope": envelope, "voucher": self.buyer.voucher });
        let sent = client.post("/v1/purchases").idempotent(format!("buy-{once}")).json(&purchase)?.send().await;
        let paid: Paid = sent.map_err(by_voucher)?;
        let bought = paid.into_bought(ordered.dataset, ordered.version);
        out.result(&bought, || {
            let Bought { dataset, version, order, entitlement, price } = &bought;
            // An order that was placed now is that of the contract which was signed now.
            match *order == contract.order {
                true => format!("bought {dataset}@{version} for {price}: {order}, licensed by {entitlement}"),
                false => format!(
                    "{dataset}@{version} was bought before, for {price}: {order}, licensed by {entitlement}; nothing was \
                     paid now (--again TEXT buys it once more)"
                ),
            }
        })?;
        Ok(bought)
    }

    /// Which shards are wanted; all of them when nothing is said.
    fn selection(&self) -> Option<Selection> {
        let Self { languages, domains, licences, .. } = self;
        let selection =
            Selection { languages: languages.clone(), domains: domains.clone(), licences: licences.clone() };
        (selection != Selection::default()).then_some(selection)
    }

    /// What the contract must say: it is of this purchase and no other.
    fn ordered(&self, quoted: &Quote, listing: &Listing, organisation: &str) -> Ordered {
        Ordered {
            listing_id: listing.id,
            buyer: organisation.to_string(),
            dataset: self.dataset.full_name(),
            version: listing.version,
            selection: self.selection(),
            terms_id: listing.terms_id.to_string(),
            r#use: self.kind,
            purpose: self.purpose.clone(),
            price: quoted.price,
            renews: None,
        }
    }
}

/// An error that names a field of an order, by the option that gave it.
pub(super) fn by_option(error: Error) -> Error {
    match error.field.as_deref() {
        Some("organisation") => error.field("--organisation"),
        Some("purpose") => error.field("--use"),
        Some("use") => error.field("--kind"),
        Some("offer_id") => error.field("--offer"),
        Some("voucher") => error.field("--voucher"),
        _ => error,
    }
}

/// The refusal of a purchase that was made before, by the option that makes it another one.
fn by_voucher(error: Error) -> Error {
    match error.kind {
        Kind::IdempotencyKeyReused => {
            Error::new(error.kind, "this was bought before, with another voucher or without one; nothing was paid now")
                .field("--voucher")
                .remedy("--again TEXT buys it once more")
        }
        _ => by_option(error),
    }
}
