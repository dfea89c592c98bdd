//! The `events` and `event_lease` tables.

use diesel::prelude::*;

use super::Event;
use crate::appends;
use crate::db::{Among as _, Conn};
use crate::identity::OrganisationState;
use crate::schema::{event_lease, events, organisations};
use crate::types::{Instant, OrganisationId};

appends!(Event => events);

pub(super) fn find_last_position(c: &mut Conn, organisation_id: OrganisationId) -> QueryResult<Option<i64>> {
    events::table
        .filter(events::organisation_id.eq(organisation_id))
        .order(events::position.desc())
        .select(events::position)
        .first(c)
        .optional()
}

/// The number of the last event of each of these organisations, `None` for one without events. Those that were rejected are left
/// out: nobody reads their events.
pub(super) fn list_last_positions(
    c: &mut Conn,
    owners: &[OrganisationId],
) -> QueryResult<Vec<(OrganisationId, Option<i64>)>> {
    let last = events::table
        .filter(events::organisation_id.eq(organisations::id))
        .order(events::position.desc())
        .limit(1)
        .select(events::position)
        .single_value();
    organisations::table
        .filter(organisations::id.among(owners))
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .select((organisations::id, last))
        .load(c)
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
        query = query.filter(events::event_type.among(types.to_vec()));
    }
    query.load(c)
}

/// The one row of the leases: that of the dispatcher.
const DISPATCHER: &str = "dispatcher";

pub(super) fn find_lease(c: &mut Conn) -> QueryResult<Option<(String, Instant)>> {
    event_lease::table.find(DISPATCHER).select((event_lease::owner, event_lease::leased_until)).first(c).optional()
}

pub(super) fn insert_lease(c: &mut Conn, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::insert_into(event_lease::table)
        .values((event_lease::name.eq(DISPATCHER), event_lease::owner.eq(owner), event_lease::leased_until.eq(until)))
        .execute(c)
}

pub(super) fn set_lease(c: &mut Conn, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::update(event_lease::table.find(DISPATCHER))
        .set((event_lease::owner.eq(owner), event_lease::leased_until.eq(until)))
        .execute(c)
}

pub(super) fn set_lease_end(c: &mut Conn, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::update(event_lease::table.find(DISPATCHER).filter(event_lease::owner.eq(owner)))
        .set(event_lease::leased_until.eq(until))
        .execute(c)
}

/// Organisations with an event from before a time, other than their last event.
pub(super) fn list_owners_of_old(
    c: &mut Conn,
    before: Instant,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<OrganisationId>> {
    let later = diesel::alias!(events as later);
    let newer = later
        .filter(later.field(events::organisation_id).eq(events::organisation_id))
        .filter(later.field(events::position).gt(events::position));
    let old = events::table.filter(events::occurred_at.lt(before)).filter(diesel::dsl::exists(newer));
    // The organisations are looked through for those of old events, so that the events need not all be.
    organisations::table
        .filter(organisations::id.gt(after))
        .filter(organisations::id.eq_any(old.select(events::organisation_id)))
        .order(organisations::id)
        .limit(limit)
        .select(organisations::id)
        .load(c)
}

/// The number of the first event that is kept.
pub(super) fn find_first_position(c: &mut Conn, owner: OrganisationId) -> QueryResult<Option<i64>> {
    events::table
        .filter(events::organisation_id.eq(owner))
        .order(events::position)
        .select(events::position)
        .first(c)
        .optional()
}

/// The number of the first event from a time on.
pub(super) fn find_first_position_since(
    c: &mut Conn,
    owner: OrganisationId,
    since: Instant,
) -> QueryResult<Option<i64>> {
    events::table
        .filter(events::organisation_id.eq(owner))
        .filter(events::occurred_at.ge(since))
        .order(events::position)
        .select(events::position)
        .first(c)
        .optional()
}

pub(super) fn delete_events(c: &mut Conn, owner: OrganisationId, below: i64) -> QueryResult<usize> {
    let old = events::table.filter(events::organisation_id.eq(owner)).filter(events::position.lt(below));
    diesel::delete(old).execute(c)
}
