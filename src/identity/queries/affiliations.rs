//! The `affiliations` table.

use diesel::prelude::*;

use crate::db::Conn;
use crate::schema::affiliations;

pub(in crate::identity) fn insert_affiliation(c: &mut Conn, handle: &str, affiliate: &str) -> QueryResult<usize> {
    diesel::insert_into(affiliations::table)
        .values((affiliations::handle.eq(handle), affiliations::affiliate.eq(affiliate)))
        .execute(c)
}

/// Who declares to belong to `handle`, and whom it declares, by handle.
pub(in crate::identity) fn list_affiliates(c: &mut Conn, handle: &str, limit: i64) -> QueryResult<Vec<String>> {
    let declared = affiliations::table
        .filter(affiliations::handle.eq(handle))
        .order(affiliations::affiliate)
        .limit(limit)
        .select(affiliations::affiliate)
        .load::<String>(c)?;
    let declaring = affiliations::table
        .filter(affiliations::affiliate.eq(handle))
        .order(affiliations::handle)
        .limit(limit)
        .select(affiliations::handle)
        .load::<String>(c)?;
    Ok([declared, declaring].concat())
}
