//! The `conflicts` table, and the places of bytes that it is made from.

use diesel::dsl::{exists, min, select};
use diesel::prelude::*;

use crate::db::{Among as _, Conn, MultiBackend};
use crate::schema::{conflicts, datasets, seals, shards, statements, versions};
use crate::types::{ConflictId, Digest, Instant, OrganisationId, StatementId, VersionId};

/// A shard of a sealed version.
#[derive(Debug, Clone, Queryable)]
pub(in crate::compliance) struct Place {
    pub(in crate::compliance) sha256: Digest,
    pub(in crate::compliance) version_id: VersionId,
    pub(in crate::compliance) path: String,
}

#[derive(Debug, Clone, Queryable, Selectable)]
#[diesel(table_name = conflicts, check_for_backend(MultiBackend))]
pub(in crate::compliance) struct ConflictRow {
    pub(in crate::compliance) id: ConflictId,
    pub(in crate::compliance) sha256: Digest,
    pub(in crate::compliance) path: String,
    pub(in crate::compliance) earlier_version_id: VersionId,
    pub(in crate::compliance) later_version_id: VersionId,
    pub(in crate::compliance) flagged_at: Instant,
}

/// For each digest that somebody but `owner` sealed before `seal`: the version of the first to do so.
pub(in crate::compliance) fn list_first_places(
    c: &mut Conn,
    digests: &[Digest],
    owner: OrganisationId,
    seal: StatementId,
) -> QueryResult<Vec<(Digest, VersionId)>> {
    let firsts: Vec<(Digest, Option<StatementId>)> = shards::table
        .inner_join(versions::table.inner_join(datasets::table))
        .inner_join(seals::table.on(seals::version_id.eq(shards::version_id)))
        .filter(shards::sha256.among(digests))
        .filter(datasets::organisation_id.ne(owner).and(seals::statement_id.lt(seal)))
        .group_by(shards::sha256)
        .select((shards::sha256, min(seals::statement_id)))
        .load(c)?;
    let of_seals: Vec<StatementId> = firsts.iter().filter_map(|(_, statement)| *statement).collect();
    // A manifest is about its version.
    let versions: Vec<(StatementId, VersionId)> = statements::table
        .filter(statements::id.among(of_seals))
        .select((statements::id, statements::subject))
        .load(c)?;
    let version_of = |wanted| versions.iter().find(|(id, _)| Some(*id) == wanted).map(|(_, version)| *version);
    Ok(firsts.into_iter().filter_map(|(sha256, first)| Some((sha256, version_of(first)?))).collect())
}

/// Where somebody but `owner` sealed bytes of these digests after `seal`.
pub(in crate::compliance) fn list_later_places(
    c: &mut Conn,
    digests: &[Digest],
    owner: OrganisationId,
    seal: StatementId,
    limit: i64,
) -> QueryResult<Vec<Place>> {
    shards::table
        .inner_join(versions::table.inner_join(datasets::table))
        .inner_join(seals::table.on(seals::version_id.eq(shards::version_id)))
        .filter(shards::sha256.among(digests))
        .filter(datasets::organisation_id.ne(owner).and(seals::statement_id.gt(seal)))
        .order((seals::statement_id, shards::path))
        .limit(limit)
        .select((shards::sha256, shards::version_id, shards::path))
        .load(c)
}

pub(in crate::compliance) fn has_conflict(c: &mut Conn, later: VersionId, path: &str) -> QueryResult<bool> {
    let same = conflicts::later_version_id.eq(later).and(conflicts::path.eq(path));
    select(exists(conflicts::table.filter(same))).get_result(c)
}

pub(in crate::compliance) fn insert_conflict(
    c: &mut Conn,
    id: ConflictId,
    later: &Place,
    earlier: VersionId,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(conflicts::table)
        .values((
            conflicts::id.eq(id),
            conflicts::sha256.eq(later.sha256),
            conflicts::path.eq(&later.path),
            conflicts::earlier_version_id.eq(earlier),
            conflicts::later_version_id.eq(later.version_id),
            conflicts::flagged_at.eq(now),
        ))
        .execute(c)
}

/// Whose each of these versions is.
pub(in crate::compliance) fn list_providers(
    c: &mut Conn,
    of: &[VersionId],
) -> QueryResult<Vec<(VersionId, OrganisationId)>> {
    versions::table
        .inner_join(datasets::table)
        .filter(versions::id.among(of))
        .select((versions::id, datasets::organisation_id))
        .load(c)
}

/// Conflicts, oldest first: all of them, or those of a version, or of these bytes in it.
pub(in crate::compliance) fn list_conflicts(
    c: &mut Conn,
    of: Option<(VersionId, Option<Digest>)>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<ConflictRow>> {
    let mut query = conflicts::table
        .filter(conflicts::id.gt(after.to_string()))
        .order(conflicts::id)
        .limit(limit)
        .select(ConflictRow::as_select())
        .into_boxed();
    if let Some((version, bytes)) = of {
        query = query.filter(conflicts::earlier_version_id.eq(version).or(conflicts::later_version_id.eq(version)));
        if let Some(sha256) = bytes {
            query = query.filter(conflicts::sha256.eq(sha256));
        }
    }
    query.load(c)
}
