//! The `evaluations` table.

use diesel::prelude::*;

use super::Evaluation;
use crate::db::{Among as _, Conn};
use crate::schema::evaluations;
use crate::types::{EvaluationId, OrganisationId, VersionId, merged};

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

/// The evaluations by or with one of these organisations: of each and on each side no more is looked at than the
/// identifiers of a page, and no row is read that is not on it.
pub(super) fn list_evaluations(
    c: &mut Conn,
    sides: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Evaluation>> {
    let page = || {
        evaluations::table.filter(evaluations::id.gt(after)).order(evaluations::id).limit(limit).select(evaluations::id)
    };
    let mut found = Vec::new();
    for side in sides {
        found.extend(page().filter(evaluations::organisation_id.eq(*side)).load::<EvaluationId>(c)?);
        found.extend(page().filter(evaluations::provider_id.eq(*side)).load::<EvaluationId>(c)?);
    }
    let page = merged(found, limit, |id| *id);
    evaluations::table
        .filter(evaluations::id.among(page))
        .order(evaluations::id)
        .select(Evaluation::as_select())
        .load(c)
}
