//! Private offers: what a provider offers to one buyer, at a price of its own and for a while.
//!
//! An offer is a document that the provider signs ([`OfferDocument`]); the exchange countersigns it, so that the public log
//! shows that something was offered, and not by whom. The two sides see it, and nobody else. The buyer places one order at
//! it; the order's contract names the offer, which is the provider's signature of that contract in advance. In a
//! negotiation either side signs such documents, each in reply to the one before.
//!
//! Invariant: at most one order is ever placed at an offer: when that is cancelled or expires, the provider makes another.
//! Invariant: an order at an offer is placed within the offer's window, whether or not the sweep has come by.

mod document;
mod queries;
pub mod routes;

pub(in crate::market) use document::{Checked, check, require_new, require_valid};
pub use document::{OfferDocument, statement};

use std::fmt::Display;

use serde_json::json;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Organisation, Role};
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::market::Listing;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::signing::Envelope;
use crate::terms::Use;
use crate::text_enum;
use crate::types::{
    Currency, Digest, Instant, Json, ListingId, Money, OfferId, OrderId, OrganisationId, PageQuery, StatementId, kind,
    text,
};

text_enum! {
    /// Where an offer is in its life.
    pub enum OfferState {
        /// It stands: within its window the buyer may order at it.
        Offered = "offered",
        /// An order was placed at it.
        Accepted = "accepted",
        /// The provider took it back.
        Withdrawn = "withdrawn",
        /// Its window ended.
        Expired = "expired",
    }
}

impl OfferState {
    /// Whether an offer in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use OfferState::{Accepted, Expired, Offered, Withdrawn};
        matches!((self, next), (Offered, Accepted | Withdrawn | Expired))
    }
}

/// A private offer.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::offers, check_for_backend(crate::db::MultiBackend))]
pub struct Offer {
    /// Its identifier.
    pub id: OfferId,
    /// What is offered.
    pub listing_id: ListingId,
    /// Who offers it.
    pub provider_id: OrganisationId,
    /// To whom.
    pub buyer_id: OrganisationId,
    /// The digest by which other statements refer to it.
    pub sha256: Digest,
    /// The statement with both signatures.
    pub statement_id: StatementId,
    /// For which uses.
    pub uses: Json<Vec<Use>>,
    /// The price in minor units.
    pub price_minor: i64,
    /// The currency of the price.
    pub currency: Currency,
    /// From when on it is valid.
    pub valid_from: Instant,
    /// Until when; that instant excluded.
    pub valid_until: Instant,
    /// Where it is in its life.
    pub state: OfferState,
    /// The one order that was placed at it.
    pub order_id: Option<OrderId>,
    /// When it was made.
    pub created_at: Instant,
}

impl Offer {
    /// At what price.
    pub fn price(&self) -> Money {
        Money::new(self.price_minor, self.currency)
    }
}

/// A provider offers a version on the board to one buyer, by a document that it signed.
///
/// # Errors
/// `Forbidden` for who may not sign for the provider; `BadSignature`; `Invalid`, naming the member of the document that does not
/// fit the listing, its terms or its own window; `AlreadyExists` for a document that was offered before.
pub fn make(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, envelope: Envelope, now: Instant) -> Result<Offer> {
    let Checked { document, listing, provider, buyer, signed } = check(c, caller, envelope, now)?;
    if document.organisation != provider.handle {
        let detail = format!("{} is the buyer, and a private offer is the provider's", document.organisation);
        return Err(Error::invalid("organisation", detail).remedy("ask for a price in a negotiation"));
    }
    if document.replies_to_sha256.is_some() {
        return Err(Error::invalid("replies_to_sha256", "a private offer answers no other")
            .remedy("leave it out, or send the offer in the negotiation that it belongs to"));
    }
    require_new(c, &signed)?;
    let id = OfferId::new(now);
    let recorded = provenance::countersign(c, keys, id, &signed, now)?;
    let offer = Offer {
        id,
        listing_id: listing.id,
        provider_id: provider.id,
        buyer_id: buyer.id,
        sha256: recorded.pae_sha256,
        statement_id: recorded.id,
        uses: Json(document.uses),
        price_minor: document.price.amount_minor,
        currency: document.price.currency,
        valid_from: document.valid_from,
        valid_until: document.valid_until,
        state: OfferState::Offered,
        order_id: None,
        created_at: now,
    };
    queries::insert_offer(c, &offer)?;
    history::record(c, id, None, offer.state.as_str(), caller.user_id, "offered by the provider", now)?;
    Ok(offer)
}

/// The provider takes back an offer at which no order was placed.
pub fn withdraw(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OfferId,
    reason: &str,
    now: Instant,
) -> Result<Offer> {
    let offer = visible_offer(c, caller, id)?;
    caller.may_for(offer.provider_id, "the provider", Role::DEALERS)?;
    let reason = text::reason(reason)?;
    let from = offer.state;
    let offer = advance(c, Offer { state: OfferState::Withdrawn, ..offer }, from, caller.user_id, &reason, now)?;
    let subjects = vec![ResourceDescriptor::new("offer", offer.sha256)];
    let predicate = json!({
        "offer": id, "offer_sha256": offer.sha256, "from_state": from, "state": offer.state, "reason": reason,
        "changed_at": now,
    });
    provenance::declare(c, keys, StatementKind::OfferChange, id, subjects, &predicate, now)?;
    Ok(offer)
}

/// The offer with this identifier, if the buyer can order what is listed at it now, for this use.
pub(in crate::market) fn open_offer(
    c: &mut Conn,
    id: OfferId,
    (buyer, listing): (&Organisation, &Listing),
    wanted: Use,
    now: Instant,
) -> Result<Offer> {
    let offer = offer(c, id)?;
    if offer.buyer_id != buyer.id {
        return Err(Error::withheld(named(id)));
    }
    if offer.listing_id != listing.id {
        let detail = format!("offer {id} is of listing {}, not of {}", offer.listing_id, listing.id);
        return Err(Error::invalid("", detail).remedy("order the listing that the offer names"));
    }
    if offer.state == OfferState::Offered {
        require_valid(offer.valid_from, offer.valid_until, now)?;
    } else {
        return Err(Error::new(Kind::WrongState, format!("offer {id} is {}, and takes no order", offer.state))
            .remedy("ask the provider for another offer"));
    }
    if !offer.uses.0.contains(&wanted) {
        let uses: Vec<&str> = offer.uses.0.iter().map(|of| of.as_str()).collect();
        return Err(Error::new(Kind::UseNotPermitted, format!("offer {id} is not for the use {wanted}"))
            .remedy(format!("it is for: {}", uses.join(", "))));
    }
    identity::require_sound(c, offer.provider_id, &[offer.statement_id])?;
    Ok(offer)
}

/// Notes the order that is placed at an offer, which callers have found open.
pub(in crate::market) fn accept(
    c: &mut Conn,
    id: OfferId,
    order: OrderId,
    actor: impl Display,
    now: Instant,
) -> Result<()> {
    let offer = offer(c, id)?;
    let from = offer.state;
    let accepted = Offer { state: OfferState::Accepted, order_id: Some(order), ..offer };
    advance(c, accepted, from, actor, "an order was placed at it", now)?;
    Ok(())
}

/// Ends the offers whose window has ended.
pub async fn expire_ended(app: &App) -> Result<()> {
    let list = |c: &mut Conn, after: &str, now| Ok(queries::list_ended(c, now, after, sweep::PAGE)?);
    sweep::each(&app.db, &app.clock, "an offer past its window", list, expire).await
}

fn expire(c: &mut Conn, id: OfferId, now: Instant) -> Result<()> {
    let ended = offer(c, id)?;
    let from = ended.state;
    if from.may_become(OfferState::Expired) {
        advance(c, Offer { state: OfferState::Expired, ..ended }, from, "exchange", "its window has ended", now)?;
    }
    Ok(())
}

fn advance(
    c: &mut Conn,
    moved: Offer,
    from: OfferState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<Offer> {
    let Offer { id, state: to, .. } = moved;
    if !from.may_become(to) || queries::set_offer_state(c, &moved, from)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("offer {id} is {from} and cannot become {to}")));
    }
    history::record(c, id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    Ok(moved)
}

/// An offer. Callers authorise.
pub fn offer(c: &mut Conn, id: OfferId) -> Result<Offer> {
    queries::find_offer(c, id)?.ok_or_else(|| Error::not_found(named(id)))
}

/// An offer that the caller may see: a member of either side, or the platform's staff.
pub fn visible_offer(c: &mut Conn, caller: &Caller, id: OfferId) -> Result<Offer> {
    let offer = offer(c, id)?;
    if caller.sees_trade(offer.buyer_id, offer.provider_id) { Ok(offer) } else { Err(Error::withheld(named(id))) }
}

/// The offers to and by the caller's organisations, oldest first: up to one more than a page.
pub fn offers(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Offer>> {
    let own = caller.organisations();
    Ok(queries::list_offers(c, &own, page.after_id::<kind::Offer>()?, page.limit()?.saturating_add(1))?)
}

/// The statement of the offer at which an order was placed, if it was at one. Callers authorise.
pub fn offer_of(c: &mut Conn, order: OrderId) -> Result<Option<StatementId>> {
    Ok(queries::find_offer_of(c, order)?.map(|offer| offer.statement_id))
}

fn named(id: OfferId) -> String {
    format!("offer {id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_ends_once() {
        use OfferState::{Accepted, Expired, Offered, Withdrawn};
        for from in OfferState::ALL {
            for to in OfferState::ALL {
                let drawn = *from == Offered && [Accepted, Withdrawn, Expired].contains(to);
                assert_eq!(from.may_become(*to), drawn, "{from} to {to}");
            }
        }
    }
}
