//! The `negotiations` table.

use diesel::prelude::*;

use super::{Negotiation, NegotiationState};
use crate::db::{Among as _, Conn};
use crate::schema::negotiations;
use crate::types::{Instant, NegotiationId, OrderId, OrganisationId, merged};

pub(super) fn insert_negotiation(c: &mut Conn, negotiation: &Negotiation) -> QueryResult<usize> {
    diesel::insert_into(negotiations::table).values(negotiation).execute(c)
}

pub(super) fn find_negotiation(c: &mut Conn, id: NegotiationId) -> QueryResult<Option<Negotiation>> {
    negotiations::table.find(id).select(Negotiation::as_select()).first(c).optional()
}

pub(super) fn find_negotiation_of(c: &mut Conn, order: OrderId) -> QueryResult<Option<Negotiation>> {
    negotiations::table.filter(negotiations::order_id.eq(order)).select(Negotiation::as_select()).first(c).optional()
}

/// Negotiations in which one of these organisations buys or sells: of each and on each side no more is looked at than the
/// identifiers of a page, and no row is read that is not on it.
pub(super) fn list_negotiations(
    c: &mut Conn,
    parties: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Negotiation>> {
    let page = || {
        negotiations::table
            .filter(negotiations::id.gt(after))
            .order(negotiations::id)
            .limit(limit)
            .select(negotiations::id)
    };
    let mut found = Vec::new();
    for party in parties {
        found.extend(page().filter(negotiations::buyer_id.eq(*party)).load::<NegotiationId>(c)?);
        found.extend(page().filter(negotiations::provider_id.eq(*party)).load::<NegotiationId>(c)?);
    }
    let page = merged(found, limit, |id| *id);
    negotiations::table
        .filter(negotiations::id.among(page))
        .order(negotiations::id)
        .select(Negotiation::as_select())
        .load(c)
}

/// Writes what a message changed, unless the negotiation has left `from` meanwhile.
pub(super) fn set_negotiation(c: &mut Conn, moved: &Negotiation, from: NegotiationState) -> QueryResult<usize> {
    diesel::update(negotiations::table.find(moved.id).filter(negotiations::state.eq(from)))
        .set((
            negotiations::state.eq(moved.state),
            negotiations::offer_document.eq(&moved.offer_document),
            negotiations::offer_sha256.eq(moved.offer_sha256),
            negotiations::offer_statement_id.eq(moved.offer_statement_id),
            negotiations::permitted_use.eq(moved.permitted_use),
            negotiations::purpose.eq(&moved.purpose),
            negotiations::contract_document.eq(&moved.contract_document),
            negotiations::royalties.eq(&moved.royalties),
            negotiations::agreement.eq(&moved.agreement),
            negotiations::order_id.eq(moved.order_id),
            negotiations::termination_code.eq(&moved.termination_code),
            negotiations::termination_reason.eq(&moved.termination_reason),
            negotiations::due_at.eq(moved.due_at),
        ))
        .execute(c)
}

/// Negotiations in which the time for the next message is over.
pub(super) fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<NegotiationId>> {
    negotiations::table
        .filter(negotiations::due_at.between(Instant::epoch(), now))
        .filter(negotiations::id.gt(after))
        .order(negotiations::id)
        .limit(limit)
        .select(negotiations::id)
        .load(c)
}
