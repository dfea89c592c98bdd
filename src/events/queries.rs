//! The `events` and `event_lease` tables.

use diesel::prelude::*;

use super::Event;
use crate::db::Conn;
use crate::schema::{event_lease, events};
use crate::types::{Instant, OrganisationId};

/// All in one statement where the database can.
pub(super) fn insert_events(c: &mut Conn, rows: &[Event]) -> QueryResult<usize> {
    let insert = diesel::insert_into(events::table).values(rows);
    match c {
        Conn::Pg(pg) => insert.execute(pg),
        Conn::Sqlite(sqlite) => insert.execute(sqlite),
    }
}

pub(super) fn find_last_position(c: &mut Conn, organisation_id: OrganisationId) -> QueryResult<Option<i64>> {
    events::table
        .filter(events::organisation_id.eq(organisation_id))
        .order(events::position.desc())
        .select(events::position)
        .first(c)
        .optional()
}

/// The events after a position, oldest first; only those of these types, when there are any.
pub(super) fn list_events(
    c: &mut Conn,
    organisation_id: OrganisationId,
    types: &[String],
    after: i64,
    limit: i64,
) -> QueryResult<Vec<Event>> {
    let mut query = events::table
        .filter(events::organisation_id.eq(organisation_id).and(events::position.gt(after)))
        .order(events::position)
        .limit(limit)
        .select(Event::as_select())
        .into_boxed();
    if !types.is_empty() {
        query = query.filter(events::event_type.eq_any(types.to_vec()));
    }
    query.load(c)
}

pub(super) fn find_lease(c: &mut Conn, name: &str) -> QueryResult<Option<(String, Instant)>> {
    event_lease::table.find(name).select((event_lease::owner, event_lease::leased_until)).first(c).optional()
}

pub(super) fn insert_lease(c: &mut Conn, name: &str, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::insert_into(event_lease::table)
        .values((event_lease::name.eq(name), event_lease::owner.eq(owner), event_lease::leased_until.eq(until)))
        .execute(c)
}

pub(super) fn set_lease(c: &mut Conn, name: &str, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::update(event_lease::table.find(name))
        .set((event_lease::owner.eq(owner), event_lease::leased_until.eq(until)))
        .execute(c)
}

pub(super) fn set_lease_end(c: &mut Conn, name: &str, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::update(event_lease::table.find(name).filter(event_lease::owner.eq(owner)))
        .set(event_lease::leased_until.eq(until))
        .execute(c)
}
