//! The `inspections` table.

use diesel::prelude::*;

use super::Inspection;
use crate::db::Conn;
use crate::schema::inspections;
use crate::types::VersionId;

pub(super) fn find_inspection(c: &mut Conn, version: VersionId) -> QueryResult<Option<Inspection>> {
    inspections::table.find(version).select(Inspection::as_select()).first(c).optional()
}

pub(super) fn insert_inspection(c: &mut Conn, inspection: &Inspection) -> QueryResult<usize> {
    diesel::insert_into(inspections::table).values(inspection).execute(c)
}
