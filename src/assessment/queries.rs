//! The `assessments` and `certificates` tables.

use diesel::prelude::*;

use super::{Answer, Assessment, Certificate, Decision};
use crate::db::Conn;
use crate::schema::{assessments, certificates};
use crate::types::{AssessmentId, Instant, Json, StatementId, UserId, VersionId};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = assessments, check_for_backend(crate::db::MultiBackend))]
struct AssessmentRow {
    id: AssessmentId,
    version_id: VersionId,
    checklist: Json<Vec<Answer>>,
    decision: Decision,
    assessor_id: UserId,
    statement_id: StatementId,
    assessed_at: Instant,
    valid_until: Instant,
}

impl From<AssessmentRow> for Assessment {
    fn from(row: AssessmentRow) -> Self {
        Self {
            id: row.id,
            version_id: row.version_id,
            checklist: row.checklist.0,
            decision: row.decision,
            assessor_id: row.assessor_id,
            statement_id: row.statement_id,
            assessed_at: row.assessed_at,
            valid_until: row.valid_until,
        }
    }
}

pub(super) fn insert_assessment(c: &mut Conn, new: &Assessment) -> QueryResult<usize> {
    let row = AssessmentRow {
        id: new.id,
        version_id: new.version_id,
        checklist: Json(new.checklist.clone()),
        decision: new.decision,
        assessor_id: new.assessor_id,
        statement_id: new.statement_id,
        assessed_at: new.assessed_at,
        valid_until: new.valid_until,
    };
    diesel::insert_into(assessments::table).values(&row).execute(c)
}

/// The last assessment; where a moment is given, the last that there was then.
pub(super) fn find_last_assessment(
    c: &mut Conn,
    version: VersionId,
    at: Option<Instant>,
) -> QueryResult<Option<Assessment>> {
    let mut query = assessments::table
        .filter(assessments::version_id.eq(version))
        .order((assessments::assessed_at.desc(), assessments::id.desc()))
        .select(AssessmentRow::as_select())
        .into_boxed();
    if let Some(at) = at {
        query = query.filter(assessments::assessed_at.le(at));
    }
    query.first(c).optional().map(|row| row.map(Assessment::from))
}

pub(super) fn list_assessments(
    c: &mut Conn,
    version: VersionId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Assessment>> {
    let rows: Vec<AssessmentRow> = assessments::table
        .filter(assessments::version_id.eq(version))
        .filter(assessments::id.gt(after))
        .order(assessments::id)
        .limit(limit)
        .select(AssessmentRow::as_select())
        .load(c)?;
    Ok(rows.into_iter().map(Assessment::from).collect())
}

pub(super) fn insert_certificate(c: &mut Conn, new: &Certificate) -> QueryResult<usize> {
    diesel::insert_into(certificates::table).values(new).execute(c)
}

pub(super) fn find_certificate(c: &mut Conn, version: VersionId) -> QueryResult<Option<Certificate>> {
    let query = certificates::table.filter(certificates::version_id.eq(version));
    query.select(Certificate::as_select()).first(c).optional()
}

pub(super) fn find_certificate_by_number(c: &mut Conn, number: &str) -> QueryResult<Option<Certificate>> {
    let query = certificates::table.filter(certificates::number.eq(number));
    query.select(Certificate::as_select()).first(c).optional()
}
