//! The `datasets`, `versions`, `shards`, `objects` and `seals` tables.

use std::cmp::Reverse;

use diesel::dsl::{count_star, exists, max, min, select, sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{
    Dataset, Domain, LOOKED_THROUGH_AT_ONCE, Media, Seal, Shard, StoredObject, Version, VersionName, VersionState,
};
use crate::db::{Among as _, Conn};
use crate::schema::{datasets, objects, organisations, seals, shards, versions};
use crate::store::StorageKey;
use crate::types::{DatasetId, Digest, Json, ObjectId, OrganisationId, VersionId};

/// How many versions or digests one statement looks up: SQLite binds at most 32,766 values.
const AT_ONCE: usize = 1000;

diesel::define_sql_function! {
    /// Lower case as the database knows it.
    fn lower(text: Text) -> Text;
}

impl From<Json<Vec<String>>> for Vec<String> {
    fn from(json: Json<Vec<String>>) -> Self {
        json.0
    }
}

/// Of which organisations unassessed datasets are seen.
#[derive(Debug, Clone)]
pub(super) enum Sees {
    Everything,
    AllOf(Vec<OrganisationId>),
}

/// Which datasets are wanted.
#[derive(Debug, Clone)]
pub(super) struct DatasetFilter {
    pub(super) sees: Sees,
    pub(super) handle: Option<String>,
    /// Only datasets older than this one.
    pub(super) before: Option<DatasetId>,
}

pub(super) fn insert_dataset(c: &mut Conn, dataset: &Dataset) -> QueryResult<usize> {
    diesel::insert_into(datasets::table)
        .values((
            datasets::id.eq(dataset.id),
            datasets::organisation_id.eq(dataset.organisation_id),
            datasets::name.eq(&dataset.name),
            datasets::title.eq(&dataset.title),
            datasets::modality.eq(dataset.modality),
            datasets::domain.eq(dataset.domain),
            datasets::languages.eq(Json(dataset.languages.clone())),
            datasets::created_at.eq(dataset.created_at),
        ))
        .execute(c)
}

pub(super) fn find_owner(c: &mut Conn, id: DatasetId) -> QueryResult<Option<OrganisationId>> {
    datasets::table.find(id).select(datasets::organisation_id).first(c).optional()
}

pub(super) fn find_dataset(c: &mut Conn, handle: &str, name: &str) -> QueryResult<Option<Dataset>> {
    if handle.contains('\0') || name.contains('\0') {
        return Ok(None); // PostgreSQL refuses such text, and nothing is named so
    }
    datasets::table
        .inner_join(organisations::table)
        .filter(organisations::handle.eq(handle).and(datasets::name.eq(name)))
        .select(Dataset::as_select())
        .first(c)
        .optional()
}

/// True if the organisation has a dataset of this name, in whatever case.
pub(super) fn has_dataset_named(c: &mut Conn, organisation: OrganisationId, name: &str) -> QueryResult<bool> {
    let same = lower(datasets::name).eq(name.to_ascii_lowercase());
    select(exists(datasets::table.filter(datasets::organisation_id.eq(organisation).and(same)))).get_result(c)
}

pub(super) fn has_assessed_version(c: &mut Conn, dataset: DatasetId) -> QueryResult<bool> {
    let assessed = versions::dataset_id.eq(dataset).and(versions::state.eq(VersionState::Assessed));
    select(exists(versions::table.filter(assessed))).get_result(c)
}

pub(super) fn list_datasets(c: &mut Conn, filter: &DatasetFilter, limit: i64) -> QueryResult<Vec<Dataset>> {
    let mut query = datasets::table
        .inner_join(organisations::table)
        .select(Dataset::as_select())
        .order(datasets::id.desc())
        .limit(limit)
        .into_boxed();
    if let Sees::AllOf(organisations) = &filter.sees {
        let assessed = versions::table
            .filter(versions::dataset_id.eq(datasets::id).and(versions::state.eq(VersionState::Assessed)));
        query = query.filter(exists(assessed).or(datasets::organisation_id.among(organisations.clone())));
    }
    if let Some(handle) = &filter.handle {
        query = query.filter(organisations::handle.eq(handle.clone()));
    }
    if let Some(before) = filter.before {
        query = query.filter(datasets::id.lt(before));
    }
    query.load(c)
}

pub(super) fn find_last_number(c: &mut Conn, dataset: DatasetId) -> QueryResult<Option<i32>> {
    versions::table.filter(versions::dataset_id.eq(dataset)).select(max(versions::number)).first(c)
}

pub(super) fn insert_version(c: &mut Conn, version: &Version, card: &str) -> QueryResult<usize> {
    diesel::insert_into(versions::table)
        .values((
            versions::id.eq(version.id),
            versions::dataset_id.eq(version.dataset_id),
            versions::number.eq(version.number),
            versions::state.eq(version.state),
            versions::card.eq(card),
            versions::created_at.eq(version.created_at),
        ))
        .execute(c)
}

pub(super) fn find_version(
    c: &mut Conn,
    handle: &str,
    name: &str,
    number: i32,
) -> QueryResult<Option<(Dataset, Version)>> {
    if handle.contains('\0') || name.contains('\0') {
        return Ok(None); // PostgreSQL refuses such text, and nothing is named so
    }
    versions::table
        .inner_join(datasets::table.inner_join(organisations::table))
        .filter(organisations::handle.eq(handle).and(datasets::name.eq(name)).and(versions::number.eq(number)))
        .select((Dataset::as_select(), Version::as_select()))
        .first(c)
        .optional()
}

pub(super) fn find_version_by_id(c: &mut Conn, id: VersionId) -> QueryResult<Option<(Dataset, Version)>> {
    versions::table
        .inner_join(datasets::table.inner_join(organisations::table))
        .filter(versions::id.eq(id))
        .select((Dataset::as_select(), Version::as_select()))
        .first(c)
        .optional()
}

pub(super) fn find_version_name(c: &mut Conn, id: VersionId) -> QueryResult<Option<VersionName>> {
    Ok(list_version_names(c, &[id])?.pop().map(|(_, name)| name))
}

pub(super) fn list_version_names(c: &mut Conn, ids: &[VersionId]) -> QueryResult<Vec<(VersionId, VersionName)>> {
    let names: Vec<(VersionId, String, String, i32)> = versions::table
        .inner_join(datasets::table.inner_join(organisations::table))
        .filter(versions::id.among(ids))
        .select((versions::id, organisations::handle, datasets::name, versions::number))
        .load(c)?;
    let names = names.into_iter();
    Ok(names
        .map(|(id, handle, name, number)| (id, VersionName { dataset: format!("{handle}/{name}"), number }))
        .collect())
}

pub(super) fn list_versions(
    c: &mut Conn,
    dataset: DatasetId,
    assessed_only: bool,
    after: i32,
    limit: i64,
) -> QueryResult<Vec<(Version, Option<Seal>)>> {
    let mut query = versions::table
        .left_join(seals::table)
        .filter(versions::dataset_id.eq(dataset).and(versions::number.gt(after)))
        .select((Version::as_select(), Option::<Seal>::as_select()))
        .order(versions::number)
        .limit(limit)
        .into_boxed();
    if assessed_only {
        query = query.filter(versions::state.eq(VersionState::Assessed));
    }
    query.load(c)
}

/// The sealed versions of these datasets, those of the greatest numbers first.
pub(super) fn list_sealed(c: &mut Conn, datasets: &[DatasetId], limit: i64) -> QueryResult<Vec<VersionId>> {
    versions::table
        .inner_join(seals::table)
        .filter(versions::dataset_id.among(datasets))
        .order(versions::number.desc())
        .limit(limit)
        .select(versions::id)
        .load(c)
}

/// Of each of these datasets the sealed version that has the greatest number.
pub(super) fn list_newest_sealed(c: &mut Conn, datasets: &[DatasetId]) -> QueryResult<Vec<VersionId>> {
    let newest = versions::table
        .filter(versions::dataset_id.eq(datasets::id))
        .filter(exists(seals::table.filter(seals::version_id.eq(versions::id))))
        .order(versions::number.desc())
        .limit(1)
        .select(versions::id)
        .single_value();
    let found: Vec<Option<VersionId>> = datasets::table.filter(datasets::id.among(datasets)).select(newest).load(c)?;
    Ok(found.into_iter().flatten().collect())
}

/// The version of a dataset with this number, if it is sealed.
pub(super) fn find_sealed(c: &mut Conn, dataset: DatasetId, number: i32) -> QueryResult<Option<VersionId>> {
    versions::table
        .inner_join(seals::table)
        .filter(versions::dataset_id.eq(dataset).and(versions::number.eq(number)))
        .select(versions::id)
        .first(c)
        .optional()
}

/// The sealed versions of a dataset whose manifest has a digest that begins so.
pub(super) fn list_sealed_with(c: &mut Conn, dataset: DatasetId, digest: &str) -> QueryResult<Vec<VersionId>> {
    versions::table
        .inner_join(seals::table)
        .filter(versions::dataset_id.eq(dataset))
        .filter(seals::manifest_sha256.between(digest, format!("{digest}g"))) // no hexadecimal digit comes after f
        .select(versions::id)
        .load(c)
}

/// The seals of those of these versions that have one, those of the greatest numbers first.
pub(super) fn list_seals_among(c: &mut Conn, ids: &[VersionId]) -> QueryResult<Vec<(DatasetId, i32, Seal)>> {
    let mut found = Vec::new();
    for ids in ids.chunks(AT_ONCE) {
        let some: Vec<(DatasetId, i32, Seal)> = versions::table
            .inner_join(seals::table)
            .filter(versions::id.among(ids))
            .select((versions::dataset_id, versions::number, Seal::as_select()))
            .load(c)?;
        found.extend(some);
    }
    found.sort_by_key(|(_, number, _)| Reverse(*number));
    Ok(found)
}

pub(super) fn find_card(c: &mut Conn, id: VersionId) -> QueryResult<Option<String>> {
    versions::table.find(id).select(versions::card).first(c).optional()
}

pub(super) fn set_card(c: &mut Conn, id: VersionId, card: &str) -> QueryResult<usize> {
    let draft = versions::table.find(id).filter(versions::state.eq(VersionState::Draft));
    diesel::update(draft).set(versions::card.eq(card)).execute(c)
}

pub(super) fn set_version_state(
    c: &mut Conn,
    id: VersionId,
    from: VersionState,
    to: VersionState,
) -> QueryResult<usize> {
    diesel::update(versions::table.find(id).filter(versions::state.eq(from))).set(versions::state.eq(to)).execute(c)
}

pub(super) fn insert_seal(c: &mut Conn, seal: &Seal) -> QueryResult<usize> {
    diesel::insert_into(seals::table).values(seal).execute(c)
}

pub(super) fn find_seal(c: &mut Conn, version: VersionId) -> QueryResult<Option<Seal>> {
    seals::table.find(version).select(Seal::as_select()).first(c).optional()
}

pub(super) fn list_seals_by_version(c: &mut Conn, ids: &[VersionId]) -> QueryResult<Vec<(VersionId, Seal)>> {
    seals::table.filter(seals::version_id.among(ids)).select((seals::version_id, Seal::as_select())).load(c)
}

pub(super) fn find_shard(c: &mut Conn, version: VersionId, path: &str) -> QueryResult<Option<Shard>> {
    shards::table.find((version, path)).select(Shard::as_select()).first(c).optional()
}

pub(super) fn list_shards(c: &mut Conn, version: VersionId, after: &str, limit: i64) -> QueryResult<Vec<Shard>> {
    shards::table
        .filter(shards::version_id.eq(version).and(shards::path.gt(after)))
        .order(shards::path)
        .limit(limit)
        .select(Shard::as_select())
        .load(c)
}

/// The first shards of a version, each with where its bytes lie.
pub(super) fn list_stored_shards(
    c: &mut Conn,
    version: VersionId,
    limit: i64,
) -> QueryResult<Vec<(Shard, StorageKey)>> {
    shards::table
        .inner_join(objects::table)
        .filter(shards::version_id.eq(version))
        .order(shards::path)
        .limit(limit)
        .select((Shard::as_select(), objects::storage_key))
        .load(c)
}

/// The shards of a version at these paths, each with where its bytes lie.
pub(super) fn list_stored_shards_at(
    c: &mut Conn,
    version: VersionId,
    paths: &[&str],
) -> QueryResult<Vec<(Shard, StorageKey)>> {
    shards::table
        .inner_join(objects::table)
        .filter(shards::version_id.eq(version))
        .filter(shards::path.among(paths))
        .select((Shard::as_select(), objects::storage_key))
        .load(c)
}

/// What the shards of each of these versions are, by media type: the first `most` of each. Of several versions some may be left
/// out, where others have more than that.
pub(super) fn list_media(
    c: &mut Conn,
    versions: &[VersionId],
    most: usize,
) -> QueryResult<Vec<(VersionId, Vec<Media>)>> {
    type Row = (VersionId, String, i64, i64, Option<String>, Option<Digest>);
    let mut found = Vec::new();
    for versions in versions.chunks(LOOKED_THROUGH_AT_ONCE) {
        let limit = versions.len().saturating_mul(most);
        let rows: Vec<Row> = shards::table
            .filter(shards::version_id.among(versions))
            .group_by((shards::version_id, shards::media_type))
            .order((shards::version_id, shards::media_type))
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select((
                shards::version_id,
                shards::media_type,
                count_star(),
                sql::<BigInt>("CAST(SUM(shards.size_bytes) AS BIGINT)"),
                min(shards::path),
                min(shards::sha256),
            ))
            .load(c)?;
        let is_cut = rows.len() >= limit;
        let media = |(version_id, media_type, files, total_bytes, path, sha256): Row| Media {
            version_id,
            media_type,
            files,
            total_bytes,
            only_file: path.zip(sha256).filter(|_| files == 1), // the least of one is that one
        };
        let media: Vec<Media> = rows.into_iter().map(media).collect();
        let of_versions = media.chunk_by(|one, next| one.version_id == next.version_id);
        found.extend(of_versions.filter_map(|media| {
            let version = media.first()?.version_id;
            Some((version, media.iter().take(most).cloned().collect::<Vec<_>>()))
        }));
        // What comes last may go on beyond the limit.
        if is_cut && found.last().is_some_and(|(_, media)| media.len() < most) {
            found.pop();
        }
    }
    Ok(found)
}

/// The shards of a version that have one of these digests.
pub(super) fn list_shards_with_digests_in(
    c: &mut Conn,
    version: VersionId,
    digests: &[Digest],
) -> QueryResult<Vec<Shard>> {
    let mut found: Vec<Shard> = Vec::new();
    for digests in digests.chunks(AT_ONCE) {
        let among = shards::sha256.among(digests).and(shards::version_id.eq(version));
        found.extend(shards::table.filter(among).select(Shard::as_select()).load(c)?);
    }
    Ok(found)
}

/// Adds a shard, or puts it in the place of the one with its path.
pub(super) fn set_shard(c: &mut Conn, shard: &Shard) -> QueryResult<usize> {
    delete_shard(c, shard.version_id, &shard.path)?;
    diesel::insert_into(shards::table).values(shard).execute(c)
}

/// Writes what a manifest says of some shards: language, domain and licence.
pub(super) fn set_facets(
    c: &mut Conn,
    version: VersionId,
    paths: &[&str],
    (language, domain, licence): (Option<&str>, Option<Domain>, Option<&str>),
) -> QueryResult<usize> {
    diesel::update(shards::table.filter(shards::version_id.eq(version).and(shards::path.among(paths))))
        .set((shards::language.eq(language), shards::domain.eq(domain), shards::licence.eq(licence)))
        .execute(c)
}

/// Writes how many tokens a manifest says that each of some shards holds.
pub(super) fn set_tokens(c: &mut Conn, version: VersionId, counts: &[(&str, i64)]) -> QueryResult<usize> {
    let parameter = |index: usize| format!("${}", index.saturating_add(1));
    let cases = counts.iter().enumerate();
    let cases: String = cases.map(|(index, (_, tokens))| format!(" WHEN {} THEN {tokens}", parameter(index))).collect();
    let paths: Vec<String> = (0..counts.len()).map(parameter).collect();
    let mut query = diesel::sql_query(format!(
        "UPDATE shards SET tokens = CASE path{cases} END WHERE path IN ({}) AND version_id = {}",
        paths.join(", "),
        parameter(counts.len()),
    ))
    .into_boxed();
    for (path, _) in counts {
        query = query.bind::<Text, _>(*path);
    }
    query.bind::<Text, _>(version.to_string()).execute(c)
}

pub(super) fn delete_shard(c: &mut Conn, version: VersionId, path: &str) -> QueryResult<usize> {
    diesel::delete(shards::table.find((version, path))).execute(c)
}

/// The verified bytes of this digest, whoever brought them.
pub(super) fn find_object_by_digest(c: &mut Conn, sha256: Digest) -> QueryResult<Option<StoredObject>> {
    objects::table.filter(objects::sha256.eq(sha256)).select(StoredObject::as_select()).first(c).optional()
}

/// The verified bytes of this digest and size, if a version of the organisation holds them.
pub(super) fn find_object_of(
    c: &mut Conn,
    organisation: OrganisationId,
    sha256: Digest,
    size_bytes: i64,
) -> QueryResult<Option<StoredObject>> {
    shards::table
        .inner_join(objects::table)
        .inner_join(versions::table.inner_join(datasets::table))
        .filter(shards::sha256.eq(sha256).and(shards::size_bytes.eq(size_bytes)))
        .filter(datasets::organisation_id.eq(organisation))
        .select(StoredObject::as_select())
        .first(c)
        .optional()
}

pub(super) fn find_object(c: &mut Conn, id: ObjectId) -> QueryResult<Option<StoredObject>> {
    objects::table.find(id).select(StoredObject::as_select()).first(c).optional()
}

pub(super) fn has_object_at(c: &mut Conn, key: &StorageKey) -> QueryResult<bool> {
    select(exists(objects::table.filter(objects::storage_key.eq(key)))).get_result(c)
}

pub(super) fn list_objects(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<StoredObject>> {
    objects::table
        .filter(objects::id.gt(after))
        .order(objects::id)
        .limit(limit)
        .select(StoredObject::as_select())
        .load(c)
}

/// Both databases widen a sum of BIGINT; the cast brings it back.
pub(super) fn sum_object_bytes(c: &mut Conn) -> QueryResult<i64> {
    objects::table.select(sql::<BigInt>("CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT)")).first(c)
}

pub(super) fn insert_object(c: &mut Conn, object: &StoredObject) -> QueryResult<usize> {
    diesel::insert_into(objects::table).values(object).execute(c)
}

/// The keys among these that objects have.
pub(super) fn list_keys_of_objects(c: &mut Conn, keys: &[StorageKey]) -> QueryResult<Vec<StorageKey>> {
    objects::table.filter(objects::storage_key.among(keys)).select(objects::storage_key).load(c)
}
