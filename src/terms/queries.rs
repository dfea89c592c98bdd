//! The `terms` table.

use diesel::prelude::*;

use super::{Terms, TermsDocument};
use crate::db::{Among as _, Conn};
use crate::schema::terms;
use crate::types::{Digest, Instant, Json, OrganisationId, StatementId, TermsId};

#[derive(Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = terms, check_for_backend(crate::db::MultiBackend))]
struct Row {
    id: TermsId,
    organisation_id: OrganisationId,
    sha256: Digest,
    document: Json<TermsDocument>,
    statement_id: StatementId,
    published_at: Instant,
}

impl From<Row> for Terms {
    fn from(row: Row) -> Self {
        let Row { id, organisation_id, sha256, document: Json(document), statement_id, published_at } = row;
        Self { id, organisation_id, sha256, document, statement_id, published_at }
    }
}

pub(super) fn insert_terms(c: &mut Conn, new: &Terms) -> QueryResult<usize> {
    let Terms { id, organisation_id, sha256, document, statement_id, published_at } = new.clone();
    let row = Row { id, organisation_id, sha256, document: Json(document), statement_id, published_at };
    diesel::insert_into(terms::table).values(&row).execute(c)
}

pub(super) fn find_terms(c: &mut Conn, id: TermsId) -> QueryResult<Option<Terms>> {
    Ok(terms::table.find(id).select(Row::as_select()).first(c).optional()?.map(Terms::from))
}

pub(super) fn list_terms_by_id(c: &mut Conn, ids: &[TermsId]) -> QueryResult<Vec<(TermsId, Terms)>> {
    let rows: Vec<Row> = terms::table.filter(terms::id.among(ids)).select(Row::as_select()).load(c)?;
    Ok(rows.into_iter().map(|row| (row.id, Terms::from(row))).collect())
}

pub(super) fn find_terms_by_sha256(
    c: &mut Conn,
    organisation: OrganisationId,
    sha256: Digest,
) -> QueryResult<Option<Terms>> {
    let same = terms::table.filter(terms::organisation_id.eq(organisation)).filter(terms::sha256.eq(sha256));
    Ok(same.select(Row::as_select()).first(c).optional()?.map(Terms::from))
}

pub(super) fn list_terms(
    c: &mut Conn,
    organisation: OrganisationId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Terms>> {
    let rows: Vec<Row> = terms::table
        .filter(terms::organisation_id.eq(organisation))
        .filter(terms::id.gt(after))
        .order(terms::id)
        .limit(limit)
        .select(Row::as_select())
        .load(c)?;
    Ok(rows.into_iter().map(Terms::from).collect())
}
