//! The `affiliations` table.

use diesel::prelude::*;

use crate::db::{Among as _, Conn};
use crate::identity::OrganisationState;
use crate::schema::{affiliations, organisations};
use crate::types::OrganisationId;

pub(in crate::identity) fn insert_affiliation(c: &mut Conn, handle: &str, affiliate: &str) -> QueryResult<usize> {
    diesel::insert_into(affiliations::table)
        .values((affiliations::handle.eq(handle), affiliations::affiliate.eq(affiliate)))
        .execute(c)
}

/// Takes back what `handle` declares.
pub(in crate::identity) fn delete_affiliations(c: &mut Conn, handle: &str) -> QueryResult<usize> {
    diesel::delete(affiliations::table.filter(affiliations::handle.eq(handle))).execute(c)
}

/// Whom `handle` declares to be affiliated with, by handle.
pub(in crate::identity) fn list_declared(c: &mut Conn, handle: &str, limit: i64) -> QueryResult<Vec<String>> {
    affiliations::table
        .filter(affiliations::handle.eq(handle))
        .order(affiliations::affiliate)
        .limit(limit)
        .select(affiliations::affiliate)
        .load(c)
}

/// The verified organisations that declare one of `affiliates`, each once, by handle.
pub(in crate::identity) fn list_verified_declaring(
    c: &mut Conn,
    affiliates: &[String],
    limit: i64,
) -> QueryResult<Vec<(String, OrganisationId)>> {
    affiliations::table
        .inner_join(organisations::table.on(organisations::handle.eq(affiliations::handle)))
        .filter(affiliations::affiliate.among(affiliates.to_vec()))
        .filter(organisations::state.eq(OrganisationState::Verified))
        .select((organisations::handle, organisations::id))
        .distinct()
        .order(organisations::handle)
        .limit(limit)
        .load(c)
}
