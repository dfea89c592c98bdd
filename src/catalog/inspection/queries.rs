//! The `inspections` table.

use diesel::prelude::*;

use super::Inspection;
use crate::db::{Among as _, Conn};
use crate::schema::{inspections, statements};
use crate::signing::Envelope;
use crate::types::{Json, VersionId};

pub(super) fn find_inspection(c: &mut Conn, version: VersionId) -> QueryResult<Option<Inspection>> {
    inspections::table.find(version).select(Inspection::as_select()).first(c).optional()
}

/// What was stated of each of these versions that was inspected.
pub(super) fn list_statements(c: &mut Conn, versions: &[VersionId]) -> QueryResult<Vec<(VersionId, Json<Envelope>)>> {
    inspections::table
        .inner_join(statements::table.on(statements::id.eq(inspections::statement_id)))
        .filter(inspections::version_id.among(versions))
        .select((inspections::version_id, statements::envelope))
        .load(c)
}

pub(super) fn insert_inspection(c: &mut Conn, inspection: &Inspection) -> QueryResult<usize> {
    diesel::insert_into(inspections::table).values(inspection).execute(c)
}
