//! The `objections` table.

use diesel::prelude::*;

use super::{Objection, ObjectionState};
use crate::db::{Among as _, Conn};
use crate::schema::{listings, objections};
use crate::types::{ListingId, ObjectionId, OrganisationId, VersionId};

pub(super) fn insert_objection(c: &mut Conn, objection: &Objection) -> QueryResult<usize> {
    diesel::insert_into(objections::table).values(objection).execute(c)
}

pub(super) fn find_objection(c: &mut Conn, id: ObjectionId) -> QueryResult<Option<Objection>> {
    objections::table.find(id).select(Objection::as_select()).first(c).optional()
}

pub(super) fn find_objection_of(
    c: &mut Conn,
    listing: ListingId,
    objector: OrganisationId,
) -> QueryResult<Option<Objection>> {
    objections::table
        .filter(objections::listing_id.eq(listing))
        .filter(objections::objector_id.eq(objector))
        .select(Objection::as_select())
        .first(c)
        .optional()
}

/// The objections to a listing; with `objectors`, those of these organisations.
pub(super) fn list_objections(
    c: &mut Conn,
    listing: ListingId,
    objectors: Option<&[OrganisationId]>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Objection>> {
    let mut query = objections::table
        .filter(objections::listing_id.eq(listing))
        .filter(objections::id.gt(after.to_string()))
        .order(objections::id)
        .limit(limit)
        .select(Objection::as_select())
        .into_boxed();
    if let Some(objectors) = objectors {
        query = query.filter(objections::objector_id.among(objectors));
    }
    query.load(c)
}

pub(super) fn is_any_open(c: &mut Conn, version: VersionId) -> QueryResult<bool> {
    let open = objections::table
        .inner_join(listings::table)
        .filter(listings::version_id.eq(version))
        .filter(objections::state.eq(ObjectionState::Open))
        .select(objections::id);
    Ok(open.first::<ObjectionId>(c).optional()?.is_some())
}

pub(super) fn set_objection_state(
    c: &mut Conn,
    id: ObjectionId,
    from: ObjectionState,
    to: ObjectionState,
) -> QueryResult<usize> {
    diesel::update(objections::table.find(id).filter(objections::state.eq(from)))
        .set(objections::state.eq(to))
        .execute(c)
}
