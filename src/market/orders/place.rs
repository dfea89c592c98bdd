//! Placing an order: what is on the board, for a declared use that the terms permit.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extent::extent;
use super::{Order, OrderState, days, quotes, royalties};
use crate::catalog::Selection;
use crate::config::Config;
use crate::db::{self, Ahead, Conn};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Organisation, Role};
use crate::market::listings::{self, Listing, ListingState};
use crate::market::offers::{self, Offer};
use crate::terms::{self, Use};
use crate::types::{BASIS_POINTS, Digest, Instant, Json, ListingId, Money, NegotiationId, OfferId, OrderId, text};
use crate::{assessment, catalog, history};

/// A declared use says something, and no more than fits a page.
const PURPOSE_CHARS: std::ops::RangeInclusive<usize> = 10..=2000;

/// What a buyer wants.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// What to buy.
    pub listing_id: ListingId,
    /// The buying organisation's handle.
    pub organisation: String,
    /// The kind of use, which the terms must permit.
    pub r#use: Use,
    /// What the corpus will be used for, in 10 to 2,000 characters. It becomes part of the contract.
    #[schema(min_length = 10, max_length = 2000)]
    pub purpose: String,
    /// Which shards to buy, where the terms are `divisible`; the whole version when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// A private offer to this organisation, at whose price to buy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_id: Option<OfferId>,
    /// What the buyer expects to pay: the order is refused if it costs anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
}

impl NewOrder {
    /// What a quote of it loads, beside the listing, which others load as well: the buyer, if the caller is its member.
    pub fn ahead(&self, caller: &Caller) -> Vec<Ahead> {
        let buyer = caller.member_of_handle(&self.organisation);
        buyer.map(|buyer| identity::ahead_of_organisation(&buyer.handle)).into_iter().collect()
    }
}

/// Orders what is on the board, for a declared use that the terms permit.
pub fn place(c: &mut Conn, caller: &Caller, config: &Config, input: &NewOrder, now: Instant) -> Result<Order> {
    let order = quotes::quote(c, caller, config, input, now)?;
    db::append(c, order.clone())?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "ordered", now)?;
    take_offer(c, caller, input, order.id, now)?;
    Ok(order)
}

/// Notes an order at the private offer that its buyer named, if it did.
pub(super) fn take_offer(c: &mut Conn, caller: &Caller, input: &NewOrder, order: OrderId, now: Instant) -> Result<()> {
    match input.offer_id {
        Some(id) => offers::accept(c, id, order, caller.user_id, now),
        None => Ok(()),
    }
}

/// The grounds of a contract's price beside the listing and its terms.
#[derive(Debug, Clone, Copy)]
pub(in crate::market) struct Grounds {
    /// A private offer, or the last one of a negotiation.
    pub(in crate::market) offer_sha256: Option<Digest>,
    /// A negotiation.
    pub(in crate::market) negotiation: Option<NegotiationId>,
}

/// What an order is made out for: listing, part, buyer, declared use and price.
#[derive(Debug, Clone, Copy)]
pub(in crate::market) struct Deal<'a> {
    pub(in crate::market) listing: &'a Listing,
    pub(in crate::market) selection: Option<&'a Selection>,
    pub(in crate::market) shard_count: i64,
    pub(in crate::market) buyer: &'a Organisation,
    pub(in crate::market) wanted: Use,
    pub(in crate::market) purpose: &'a str,
    pub(in crate::market) price: Money,
}

/// The organisation that is to buy, if the caller may order for it.
pub(super) fn buyer(c: &mut Conn, caller: &Caller, input: &NewOrder) -> Result<Organisation> {
    let buyer =
        identity::for_member(c, caller, &input.organisation, Role::TRADERS).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&buyer).map_err(|e| e.field("organisation"))?;
    Ok(buyer)
}

/// The order that `buyer` may place now, as it would be made at `made_at`, without its contract; and the grounds of that.
pub(super) fn draft(
    c: &mut Conn,
    buyer: &Organisation,
    config: &Config,
    input: &NewOrder,
    (id, made_at): (OrderId, Instant),
    now: Instant,
) -> Result<(Order, Grounds)> {
    check_purpose(&input.purpose)?;
    let listing = open_listing(c, input.listing_id, now).map_err(|error| error.field("listing_id"))?;
    if listing.provider_id == buyer.id {
        return Err(Error::invalid("organisation", format!("{} cannot buy from itself", buyer.handle))
            .remedy("order for another organisation"));
    }
    let terms = terms::terms(c, listing.terms_id)?;
    terms::permits(&terms.document, input.r#use)?;
    if input.selection.is_some() {
        terms::divides(&terms.document)?;
    }
    let (measure, _) = extent(c, listing.version_id, input.selection.as_ref())?;
    let offer = match input.offer_id {
        Some(id) => Some(open_offer(c, id, (buyer, &listing), input, now)?),
        None => None,
    };
    let price = match &offer {
        Some(offer) => offer.price(),
        None => terms::price(&terms.document, &measure)?,
    };
    check_price(input.price, price)?;
    let deal = Deal {
        listing: &listing,
        selection: input.selection.as_ref(),
        shard_count: measure.shards,
        buyer,
        wanted: input.r#use,
        purpose: &input.purpose,
        price,
    };
    let order = make_out(c, config, &deal, (id, made_at))?;
    Ok((order, Grounds { offer_sha256: offer.map(|offer| offer.sha256), negotiation: None }))
}

/// The order for a deal, as it would be made at `made_at`, without its contract.
pub(super) fn make_out(
    c: &mut Conn,
    config: &Config,
    deal: &Deal<'_>,
    (id, made_at): (OrderId, Instant),
) -> Result<Order> {
    let Deal { listing, price, .. } = *deal;
    let fee = price.part(config.fee_basis_points, BASIS_POINTS)?;
    let tax = fee.part(config.tax_basis_points, BASIS_POINTS)?;
    Ok(Order {
        id,
        listing_id: listing.id,
        buyer_id: deal.buyer.id,
        provider_id: listing.provider_id,
        version_id: listing.version_id,
        terms_id: listing.terms_id,
        selection: deal.selection.cloned().map(Json),
        shard_count: deal.shard_count,
        permitted_use: deal.wanted,
        purpose: deal.purpose.to_string(),
        price_minor: price.amount_minor,
        fee_minor: fee.amount_minor,
        tax_minor: tax.amount_minor,
        currency: price.currency,
        royalties: Json(royalties::owed(c, listing.version_id, listing.provider_id)?),
        contract_document: String::new(),
        state: OrderState::AwaitingSignature,
        download_days: config.download_window_days,
        acceptance_days: config.acceptance_window_days,
        cure_days: config.cure_window_days,
        dispute_days: config.dispute_window_days,
        dispute_until: None,
        due_at: Some(made_at.plus(days(config.payment_window_days))),
        refund_minor: None,
        renews: None,
        created_at: made_at,
    })
}

/// The listing of this identifier, if it can be bought now: it is on the board, its assessment is valid, and the provider
/// stands by what it signed.
pub fn open_listing(c: &mut Conn, id: ListingId, now: Instant) -> Result<Listing> {
    let listing = listings::listing(c, id)?;
    if listing.state != ListingState::Listed {
        return Err(Error::new(Kind::WrongState, format!("listing {id} is {}, and takes no orders", listing.state)));
    }
    assessment::valid_assessment(c, listing.version_id, now)?;
    let signed =
        [catalog::seal_of(c, listing.version_id)?.statement_id, terms::terms(c, listing.terms_id)?.statement_id];
    identity::require_sound(c, listing.provider_id, &signed)?;
    Ok(listing)
}

/// As [`offers::open_offer`], in terms of the input. A private offer names its price for the whole version.
fn open_offer(
    c: &mut Conn,
    id: OfferId,
    sides: (&Organisation, &Listing),
    input: &NewOrder,
    now: Instant,
) -> Result<Offer> {
    if input.selection.is_some() {
        return Err(Error::invalid("selection", format!("offer {id} is for the whole version"))
            .remedy("leave the selection out, or order at the listing's own price"));
    }
    offers::open_offer(c, id, sides, input.r#use, now).map_err(|error| match error.kind {
        Kind::UseNotPermitted => error.field("use"),
        _ => error.field("offer_id"),
    })
}

/// Refuses an order that costs something else than the buyer expects.
fn check_price(expected: Option<Money>, price: Money) -> Result<()> {
    match expected.filter(|expected| *expected != price) {
        None => Ok(()),
        Some(expected) => Err(Error::invalid("price", format!("the order costs {price}, and {expected} was expected"))
            .remedy("look at the offer again, and order at its price")),
    }
}

/// Refuses a declared use that says nothing, is too long, or holds invisible characters.
pub fn check_purpose(purpose: &str) -> Result<()> {
    purpose.split('\n').try_for_each(|line| text::visible("purpose", line))?;
    let (said, length) = (purpose.trim().chars().count(), purpose.chars().count());
    if said >= *PURPOSE_CHARS.start() && length <= *PURPOSE_CHARS.end() {
        return Ok(());
    }
    let (least, most) = (PURPOSE_CHARS.start(), PURPOSE_CHARS.end());
    Err(Error::invalid("purpose", format!("the declared use has {length} characters"))
        .remedy(format!("say in {least} to {most} what the corpus will be used for")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_use_must_say_something() {
        assert!(check_purpose("pretraining of a small model,\nfor poems").is_ok());
        let padded = format!("pretraining of a small model{}", " ".repeat(2000));
        let unseen = "\u{200b}".repeat(10);
        for bad in
            ["", "training", "   \n      ", "with a bell \u{7} in it", "to \u{202e}niart a model", &unseen, &padded]
        {
            let error = check_purpose(bad).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("purpose"), "{bad:?}");
            assert!(error.remedy.is_some(), "{error}");
        }
    }
}
