//! The `evaluations` table.

use diesel::prelude::*;

use super::Evaluation;
use crate::db::Conn;
use crate::schema::evaluations;
use crate::types::{EvaluationId, OrganisationId, VersionId};

pub(super) fn insert_evaluation(c: &mut Conn, evaluation: &Evaluation) -> QueryResult<usize> {
    diesel::insert_into(evaluations::table).values(evaluation).execute(c)
}

pub(super) fn find_evaluation(c: &mut Conn, id: EvaluationId) -> QueryResult<Option<Evaluation>> {
    evaluations::table.find(id).select(Evaluation::as_select()).first(c).optional()
}

pub(super) fn find_evaluation_of(
    c: &mut Conn,
    version: VersionId,
    organisation: OrganisationId,
) -> QueryResult<Option<Evaluation>> {
    evaluations::table
        .filter(evaluations::version_id.eq(version))
        .filter(evaluations::organisation_id.eq(organisation))
        .select(Evaluation::as_select())
        .first(c)
        .optional()
}

pub(super) fn list_evaluations(
    c: &mut Conn,
    sides: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Evaluation>> {
    evaluations::table
        .filter(evaluations::organisation_id.eq_any(sides).or(evaluations::provider_id.eq_any(sides)))
        .filter(evaluations::id.gt(after))
        .order(evaluations::id)
        .limit(limit)
        .select(Evaluation::as_select())
        .load(c)
}
