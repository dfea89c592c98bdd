//! The `version_parents` and `offered_versions` tables.

use diesel::dsl::{auto_type, exists, select};
use diesel::prelude::*;

use super::super::VersionState;
use super::super::queries::Sees;
use super::{Direction, Parent, ParentLink, Relative};
use crate::db::{Among as _, Conn, MultiBackend};
use crate::schema::{datasets, offered_versions, organisations, seals, version_parents, versions};
use crate::types::{Digest, Instant, Json, OrganisationId, VersionId};

/// What versions were made from.
#[derive(Debug, Clone, Copy)]
pub(super) enum MadeFrom {
    /// A version on this exchange.
    Version(VersionId),
    /// Bytes elsewhere.
    Source(Digest),
}

/// A version that is named as a parent, as far as it must be looked at.
#[derive(Queryable, Selectable)]
#[diesel(table_name = versions, check_for_backend(MultiBackend))]
pub(super) struct Candidate {
    pub(super) id: VersionId,
    pub(super) state: VersionState,
    #[diesel(select_expression = datasets::organisation_id)]
    pub(super) organisation_id: OrganisationId,
    #[diesel(embed)]
    pub(super) seal: Option<CandidateSeal>,
}

/// The seal of a version that is named as a parent.
#[derive(Queryable, Selectable)]
#[diesel(table_name = seals, check_for_backend(MultiBackend))]
pub(super) struct CandidateSeal {
    pub(super) manifest_sha256: Digest,
    pub(super) generation: i32,
}

pub(super) fn find_candidate(c: &mut Conn, handle: &str, name: &str, number: i32) -> QueryResult<Option<Candidate>> {
    versions::table
        .inner_join(datasets::table.inner_join(organisations::table))
        .left_join(seals::table)
        .filter(organisations::handle.eq(handle).and(datasets::name.eq(name)).and(versions::number.eq(number)))
        .select(Candidate::as_select())
        .first(c)
        .optional()
}

/// Records one parent of a version; both are given with their generations.
pub(super) fn insert_parent(
    c: &mut Conn,
    (child, child_generation): (VersionId, i32),
    ordinal: i32,
    version: Option<(VersionId, i32)>,
    parent: &Parent,
) -> QueryResult<usize> {
    let (source_url, source_sha256) = match parent {
        Parent::Source(source) => (source.url.as_deref(), source.sha256),
        Parent::Version(_) => (None, None),
    };
    diesel::insert_into(version_parents::table)
        .values((
            version_parents::child_id.eq(child),
            version_parents::ordinal.eq(ordinal),
            version_parents::child_generation.eq(child_generation),
            version_parents::parent_id.eq(version.map(|(id, _)| id)),
            version_parents::parent_generation.eq(version.map(|(_, generation)| generation)),
            version_parents::source_url.eq(source_url),
            version_parents::source_sha256.eq(source_sha256),
            version_parents::document.eq(Json(parent.clone())),
        ))
        .execute(c)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = version_parents, check_for_backend(MultiBackend))]
struct Row {
    ordinal: i32,
    parent_id: Option<VersionId>,
    document: Json<Parent>,
}

pub(super) fn list_parents(c: &mut Conn, child: VersionId, after: i32, limit: i64) -> QueryResult<Vec<ParentLink>> {
    let rows: Vec<Row> = version_parents::table
        .filter(version_parents::child_id.eq(child).and(version_parents::ordinal.gt(after)))
        .order(version_parents::ordinal)
        .limit(limit)
        .select(Row::as_select())
        .load(c)?;
    let link =
        |Row { ordinal, parent_id, document: Json(parent) }| ParentLink { ordinal, version_id: parent_id, parent };
    Ok(rows.into_iter().map(link).collect())
}

/// A version with all that [`Relative`] says of it.
#[auto_type]
fn sealed_versions() -> _ {
    versions::table.inner_join(seals::table).inner_join(datasets::table.inner_join(organisations::table))
}

/// Every line of lineage with its child.
#[auto_type]
fn lines_with_children() -> _ {
    let child = versions::table.inner_join(seals::table).inner_join(datasets::table.inner_join(organisations::table));
    version_parents::table.inner_join(child)
}

/// The versions that were made from something, a page of them.
pub(super) fn list_children(
    c: &mut Conn,
    of: MadeFrom,
    sees: &Sees,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Relative>> {
    let mut query = lines_with_children()
        .filter(version_parents::child_id.gt(after.to_string()))
        .order(version_parents::child_id)
        .limit(limit)
        .select(Relative::as_select())
        .into_boxed();
    query = match of {
        MadeFrom::Version(parent) => query.filter(version_parents::parent_id.eq(parent)),
        MadeFrom::Source(sha256) => query.filter(version_parents::source_sha256.eq(sha256)),
    };
    if let Sees::AllOf(organisations) = sees {
        let own = datasets::organisation_id.among(organisations.clone());
        query = query.filter(versions::state.eq(VersionState::Assessed).or(own));
    }
    query.load(c)
}

/// The versions one step away from any of `of`, except those in `except`.
pub(super) fn list_neighbours(
    c: &mut Conn,
    direction: Direction,
    of: &[VersionId],
    except: &[VersionId],
    sees: &Sees,
    limit: i64,
) -> QueryResult<Vec<Relative>> {
    let mut query = sealed_versions()
        .filter(versions::id.ne_all(except.to_vec()))
        .order(versions::id)
        .limit(limit)
        .select(Relative::as_select())
        .into_boxed();
    query = match direction {
        Direction::Up => query.filter(
            versions::id.nullable().eq_any(
                version_parents::table
                    .filter(version_parents::child_id.eq_any(of.to_vec()))
                    .select(version_parents::parent_id),
            ),
        ),
        Direction::Down => query.filter(
            versions::id.eq_any(
                version_parents::table
                    .filter(version_parents::parent_id.eq_any(of.to_vec()))
                    .select(version_parents::child_id),
            ),
        ),
    };
    if let Sees::AllOf(organisations) = sees {
        let own = datasets::organisation_id.eq_any(organisations.clone());
        query = query.filter(versions::state.eq(VersionState::Assessed).or(own));
    }
    query.load(c)
}

pub(super) fn was_offered(c: &mut Conn, version: VersionId) -> QueryResult<bool> {
    select(exists(offered_versions::table.find(version))).get_result(c)
}

pub(super) fn insert_offered(c: &mut Conn, version: VersionId, now: Instant) -> QueryResult<usize> {
    diesel::insert_into(offered_versions::table)
        .values((offered_versions::version_id.eq(version), offered_versions::offered_at.eq(now)))
        .execute(c)
}
