//! The `seats` table.

use diesel::prelude::*;

use super::Seat;
use crate::db::Conn;
use crate::schema::seats;
use crate::types::{EntitlementId, Instant, SeatId, TokenId};

pub(super) fn insert_seat(c: &mut Conn, seat: &Seat) -> QueryResult<usize> {
    diesel::insert_into(seats::table).values(seat).execute(c)
}

pub(super) fn find_seat(c: &mut Conn, id: SeatId) -> QueryResult<Option<Seat>> {
    seats::table.find(id).select(Seat::as_select()).first(c).optional()
}

/// The seat that a token has of a licence.
pub(super) fn find_seat_of(c: &mut Conn, id: EntitlementId, token: TokenId) -> QueryResult<Option<Seat>> {
    seats::table
        .filter(seats::entitlement_id.eq(id))
        .filter(seats::token_id.eq(token))
        .filter(seats::freed_at.is_null())
        .select(Seat::as_select())
        .first(c)
        .optional()
}

/// How many seats of a licence are taken.
pub(super) fn count_seats(c: &mut Conn, id: EntitlementId) -> QueryResult<i64> {
    seats::table.filter(seats::entitlement_id.eq(id)).filter(seats::freed_at.is_null()).count().get_result(c)
}

/// The seats of a licence that are taken, by the time they were assigned.
pub(super) fn list_seats(c: &mut Conn, id: EntitlementId, after: &str, limit: i64) -> QueryResult<Vec<Seat>> {
    seats::table
        .filter(seats::entitlement_id.eq(id))
        .filter(seats::freed_at.is_null())
        .filter(seats::id.gt(after))
        .order(seats::id)
        .limit(limit)
        .select(Seat::as_select())
        .load(c)
}

pub(super) fn set_freed(c: &mut Conn, id: SeatId, now: Instant) -> QueryResult<usize> {
    diesel::update(seats::table.find(id).filter(seats::freed_at.is_null())).set(seats::freed_at.eq(now)).execute(c)
}
