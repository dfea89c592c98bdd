//! The `offers` table.

use diesel::prelude::*;

use super::{Offer, OfferState};
use crate::db::{Among as _, Conn};
use crate::schema::offers;
use crate::types::{Instant, OfferId, OrderId, OrganisationId, merged};

pub(super) fn insert_offer(c: &mut Conn, offer: &Offer) -> QueryResult<usize> {
    diesel::insert_into(offers::table).values(offer).execute(c)
}

pub(super) fn find_offer(c: &mut Conn, id: OfferId) -> QueryResult<Option<Offer>> {
    offers::table.find(id).select(Offer::as_select()).first(c).optional()
}

pub(super) fn find_offer_of(c: &mut Conn, order: OrderId) -> QueryResult<Option<Offer>> {
    offers::table.filter(offers::order_id.eq(order)).select(Offer::as_select()).first(c).optional()
}

/// The offers to or by one of these organisations: of each and on each side no more is looked at than the
/// identifiers of a page, and no row is read that is not on it.
pub(super) fn list_offers(
    c: &mut Conn,
    parties: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Offer>> {
    let page = || offers::table.filter(offers::id.gt(after)).order(offers::id).limit(limit).select(offers::id);
    let mut found = Vec::new();
    for party in parties {
        found.extend(page().filter(offers::buyer_id.eq(*party)).load::<OfferId>(c)?);
        found.extend(page().filter(offers::provider_id.eq(*party)).load::<OfferId>(c)?);
    }
    let page = merged(found, limit, |id| *id);
    offers::table.filter(offers::id.among(page)).order(offers::id).select(Offer::as_select()).load(c)
}

/// Writes where an offer is now, unless it has left `from` meanwhile.
pub(super) fn set_offer_state(c: &mut Conn, offer: &Offer, from: OfferState) -> QueryResult<usize> {
    diesel::update(offers::table.find(offer.id).filter(offers::state.eq(from)))
        .set((offers::state.eq(offer.state), offers::order_id.eq(offer.order_id)))
        .execute(c)
}

/// Offers that stand though their window has ended.
pub(super) fn list_ended(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<OfferId>> {
    offers::table
        .filter(offers::state.eq(OfferState::Offered))
        .filter(offers::valid_until.le(now))
        .filter(offers::id.gt(after))
        .order(offers::id)
        .limit(limit)
        .select(offers::id)
        .load(c)
}
