//! The `disputes` table.

use diesel::prelude::*;

use super::{Dispute, DisputeState};
use crate::db::Conn;
use crate::market::orders::OrderState;
use crate::schema::{disputes, orders};
use crate::types::{DisputeId, Instant, OrderId};

pub(super) fn insert_dispute(c: &mut Conn, dispute: &Dispute) -> QueryResult<usize> {
    diesel::insert_into(disputes::table).values(dispute).execute(c)
}

pub(super) fn find_dispute(c: &mut Conn, id: DisputeId) -> QueryResult<Option<Dispute>> {
    disputes::table.find(id).select(Dispute::as_select()).first(c).optional()
}

pub(super) fn find_dispute_of(c: &mut Conn, order: OrderId) -> QueryResult<Option<Dispute>> {
    disputes::table.filter(disputes::order_id.eq(order)).select(Dispute::as_select()).first(c).optional()
}

/// Writes where a dispute is now, unless it has left `from` meanwhile.
pub(super) fn set_dispute(c: &mut Conn, dispute: &Dispute, from: DisputeState) -> QueryResult<usize> {
    diesel::update(disputes::table.find(dispute.id).filter(disputes::state.eq(from)))
        .set((
            disputes::state.eq(dispute.state),
            disputes::outcome.eq(dispute.outcome),
            disputes::refund_minor.eq(dispute.refund_minor),
            disputes::recovered_minor.eq(dispute.recovered_minor),
            disputes::claims.eq(&dispute.claims),
            disputes::due_at.eq(dispute.due_at),
        ))
        .execute(c)
}

/// The orders of the disputes whose window to appeal has passed.
pub(super) fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<OrderId>> {
    disputes::table
        .filter(disputes::due_at.between(Instant::epoch(), now))
        .filter(disputes::order_id.gt(after))
        .order(disputes::order_id)
        .limit(limit)
        .select(disputes::order_id)
        .load(c)
}

/// A page of the disputes over what was settled that are not final.
pub(super) fn list_open_after_settlement(c: &mut Conn, after: &str) -> QueryResult<Vec<DisputeId>> {
    const PAGE: i64 = 1000;
    disputes::table
        .inner_join(orders::table)
        .filter(disputes::state.ne(DisputeState::Final))
        .filter(orders::state.eq(OrderState::Certificated))
        .filter(disputes::id.gt(after))
        .order(disputes::id)
        .limit(PAGE)
        .select(disputes::id)
        .load(c)
}
