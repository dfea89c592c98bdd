//! The `board_changes` table, and what is on the board with all that it is searched by.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::changes::Change;
use crate::appends;
use crate::assessment::Answer;
use crate::catalog::{Dataset, LOOKED_THROUGH_AT_ONCE, Measure};
use crate::db::{Among as _, Conn};
use crate::market::listings::ListingState;
use crate::schema::{assessments, board_changes, datasets, listings, organisations, seals, shards, terms, versions};
use crate::terms::TermsDocument;
use crate::types::{DatasetId, Json, ListingId, TermsId, VersionId};

appends!(Change => board_changes);

pub(super) fn find_last_change(c: &mut Conn) -> QueryResult<Option<Change>> {
    board_changes::table.order(board_changes::position.desc()).select(Change::as_select()).first(c).optional()
}

pub(super) fn find_change(c: &mut Conn, position: i64) -> QueryResult<Option<Change>> {
    board_changes::table.find(position).select(Change::as_select()).first(c).optional()
}

pub(super) fn list_changes(c: &mut Conn, after: i64, limit: i64) -> QueryResult<Vec<Change>> {
    board_changes::table
        .filter(board_changes::position.gt(after))
        .order(board_changes::position)
        .limit(limit)
        .select(Change::as_select())
        .load(c)
}

pub(super) fn find_dataset_of(c: &mut Conn, version: VersionId) -> QueryResult<Option<DatasetId>> {
    versions::table.find(version).select(versions::dataset_id).first(c).optional()
}

pub(super) fn find_dataset_of_listing(c: &mut Conn, listing: ListingId) -> QueryResult<Option<DatasetId>> {
    listings::table
        .inner_join(seals::table.inner_join(versions::table))
        .filter(listings::id.eq(listing))
        .select(versions::dataset_id)
        .first(c)
        .optional()
}

/// Datasets with a listing on the board whose identifiers sort after `after`.
pub(super) fn list_datasets_on_board(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<DatasetId>> {
    listings::table
        .inner_join(seals::table.inner_join(versions::table))
        .filter(listings::state.eq(ListingState::Listed).and(versions::dataset_id.gt(after)))
        .select(versions::dataset_id)
        .distinct()
        .order(versions::dataset_id)
        .limit(limit)
        .load(c)
}

/// The listings on the board of these datasets, oldest first, each with its dataset, the number of its version and the size
/// of the card.
pub(super) fn list_sizes(c: &mut Conn, datasets: &[DatasetId]) -> QueryResult<Vec<(ListingId, DatasetId, i32, i64)>> {
    listings::table
        .inner_join(seals::table.inner_join(versions::table))
        .filter(listings::state.eq(ListingState::Listed))
        .filter(versions::dataset_id.among(datasets))
        .order(listings::id)
        .select((
            listings::id,
            versions::dataset_id,
            versions::number,
            sql::<BigInt>("CAST(OCTET_LENGTH(versions.card) AS BIGINT)"),
        ))
        .load(c)
}

/// A listing on the board, with what its version, its dataset, its provider and its terms say; of its card, the beginning.
#[derive(Queryable)]
pub(super) struct OnBoard {
    pub(super) listing: ListingId,
    pub(super) version_id: VersionId,
    pub(super) terms_id: TermsId,
    pub(super) dataset: Dataset,
    pub(super) version: i32,
    pub(super) card: String,
    pub(super) provider: String,
    pub(super) measure: Measure,
    pub(super) terms: Json<TermsDocument>,
}

/// The listings among these that are on the board now, oldest first.
pub(super) fn list_on_board(c: &mut Conn, ids: &[ListingId]) -> QueryResult<Vec<OnBoard>> {
    let version = versions::table.inner_join(datasets::table.inner_join(organisations::table));
    listings::table
        .inner_join(seals::table.inner_join(version))
        .inner_join(terms::table)
        .filter(listings::state.eq(ListingState::Listed))
        .filter(listings::id.among(ids))
        .order(listings::id)
        .select((
            listings::id,
            listings::version_id,
            listings::terms_id,
            Dataset::as_select(),
            versions::number,
            sql::<Text>("SUBSTR(versions.card, 1, 65536)"),
            organisations::legal_name,
            Measure::as_select(),
            terms::document,
        ))
        .load(c)
}

/// Every media type among the shards of each version.
pub(super) fn list_media_types(c: &mut Conn, versions: &[VersionId]) -> QueryResult<Vec<(VersionId, String)>> {
    let mut found = Vec::new();
    for versions in versions.chunks(LOOKED_THROUGH_AT_ONCE) {
        let some: Vec<(VersionId, String)> = shards::table
            .filter(shards::version_id.among(versions))
            .select((shards::version_id, shards::media_type))
            .distinct()
            .load(c)?;
        found.extend(some);
    }
    Ok(found)
}

/// The checklists that were answered about each version, oldest first.
pub(super) fn list_checklists(
    c: &mut Conn,
    versions: &[VersionId],
) -> QueryResult<Vec<(VersionId, Json<Vec<Answer>>)>> {
    assessments::table
        .filter(assessments::version_id.among(versions))
        .order((assessments::assessed_at, assessments::id))
        .select((assessments::version_id, assessments::checklist))
        .load(c)
}
