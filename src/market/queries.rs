//! The `listings` and `holds` tables.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::listings::{Listing, ListingState};
use crate::catalog::Version;
use crate::db::{Among as _, Conn};
use crate::schema::{datasets, holds, listings, versions};
use crate::types::{DatasetId, Instant, ListingId, TakedownId, TermsId, VersionId};

pub(super) fn insert_listing(c: &mut Conn, listing: &Listing) -> QueryResult<usize> {
    diesel::insert_into(listings::table).values(listing).execute(c)
}

pub(super) fn find_listing(c: &mut Conn, id: ListingId) -> QueryResult<Option<Listing>> {
    listings::table.find(id).select(Listing::as_select()).first(c).optional()
}

pub(super) fn list_listings_by_id(c: &mut Conn, ids: &[ListingId]) -> QueryResult<Vec<(ListingId, Listing)>> {
    listings::table.filter(listings::id.among(ids)).select((listings::id, Listing::as_select())).load(c)
}

pub(super) fn find_listing_of(c: &mut Conn, version: VersionId, terms: TermsId) -> QueryResult<Option<Listing>> {
    listings::table
        .filter(listings::version_id.eq(version))
        .filter(listings::terms_id.eq(terms))
        .select(Listing::as_select())
        .first(c)
        .optional()
}

/// Listings, oldest first; those of one dataset, if it is given.
pub(super) fn list_listings(
    c: &mut Conn,
    dataset: Option<DatasetId>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Listing>> {
    let mut query = listings::table
        .filter(listings::id.gt(after.to_string()))
        .order(listings::id)
        .limit(limit)
        .select(Listing::as_select())
        .into_boxed();
    if let Some(dataset) = dataset {
        let versions = versions::table.filter(versions::dataset_id.eq(dataset)).select(versions::id);
        query = query.filter(listings::version_id.eq_any(versions));
    }
    query.load(c)
}

/// The listings of one version, oldest first.
pub(super) fn list_listings_of(c: &mut Conn, version: VersionId, after: &str, limit: i64) -> QueryResult<Vec<Listing>> {
    listings::table
        .filter(listings::version_id.eq(version))
        .filter(listings::id.gt(after))
        .order(listings::id)
        .limit(limit)
        .select(Listing::as_select())
        .load(c)
}

/// The last listing of a version.
pub(super) fn find_last_listing_of(c: &mut Conn, version: VersionId) -> QueryResult<Option<ListingId>> {
    listings::table
        .filter(listings::version_id.eq(version))
        .order(listings::id.desc())
        .select(listings::id)
        .first(c)
        .optional()
}

/// Moves a listing to a state, unless it has left its own meanwhile, and writes what takes its place.
pub(super) fn set_listing_state(c: &mut Conn, listing: &Listing, to: ListingState) -> QueryResult<usize> {
    diesel::update(listings::table.find(listing.id).filter(listings::state.eq(listing.state)))
        .set((listings::state.eq(to), listings::successor_id.eq(listing.successor_id)))
        .execute(c)
}

pub(super) fn set_review_at(c: &mut Conn, id: ListingId, at: Option<Instant>) -> QueryResult<usize> {
    diesel::update(listings::table.find(id)).set(listings::review_at.eq(at)).execute(c)
}

/// Listings that the exchange has to look at by `now`.
pub(super) fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<ListingId>> {
    listings::table
        .filter(listings::review_at.between(Instant::epoch(), now))
        .filter(listings::id.gt(after))
        .order(listings::id)
        .limit(limit)
        .select(listings::id)
        .load(c)
}

/// The listings on the board of any of these versions.
pub(super) fn list_listed(c: &mut Conn, versions: &[VersionId]) -> QueryResult<Vec<Listing>> {
    listings::table
        .filter(listings::version_id.among(versions))
        .filter(listings::state.eq(ListingState::Listed))
        .order(listings::id)
        .select(Listing::as_select())
        .load(c)
}

/// The versions of these datasets that are on the board, as often as they are listed, the greatest version numbers first.
pub(super) fn list_listed_versions(c: &mut Conn, datasets: &[DatasetId], limit: i64) -> QueryResult<Vec<VersionId>> {
    listings::table
        .inner_join(versions::table.on(versions::id.eq(listings::version_id)))
        .filter(versions::dataset_id.among(datasets))
        .filter(listings::state.eq(ListingState::Listed))
        .order(versions::number.desc())
        .limit(limit)
        .select(listings::version_id)
        .load(c)
}

/// Of each of these datasets the version on the board that has the greatest number.
pub(super) fn list_newest_versions(c: &mut Conn, datasets: &[DatasetId]) -> QueryResult<Vec<VersionId>> {
    let on_board =
        listings::table.filter(listings::version_id.eq(versions::id)).filter(listings::state.eq(ListingState::Listed));
    let newest = versions::table
        .filter(versions::dataset_id.eq(datasets::id))
        .filter(exists(on_board))
        .order(versions::number.desc())
        .limit(1)
        .select(versions::id)
        .single_value();
    let found: Vec<Option<VersionId>> = datasets::table.filter(datasets::id.among(datasets)).select(newest).load(c)?;
    Ok(found.into_iter().flatten().collect())
}

/// The listings on the board of a dataset's versions with numbers above `after`, those of the newest version first.
pub(super) fn list_newest_listed(
    c: &mut Conn,
    dataset: DatasetId,
    after: i32,
    limit: i64,
) -> QueryResult<Vec<Listing>> {
    listings::table
        .inner_join(versions::table.on(versions::id.eq(listings::version_id)))
        .filter(versions::dataset_id.eq(dataset).and(versions::number.gt(after)))
        .filter(listings::state.eq(ListingState::Listed))
        .order((versions::number.desc(), listings::id))
        .limit(limit)
        .select(Listing::as_select())
        .load(c)
}

/// The listings on the board of the versions that came after this one, oldest listing first.
pub(super) fn list_listed_since(
    c: &mut Conn,
    version: &Version,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<ListingId>> {
    listings::table
        .inner_join(versions::table.on(versions::id.eq(listings::version_id)))
        .filter(versions::dataset_id.eq(version.dataset_id).and(versions::number.gt(version.number)))
        .filter(listings::state.eq(ListingState::Listed))
        .filter(listings::id.gt(after))
        .order(listings::id)
        .limit(limit)
        .select(listings::id)
        .load(c)
}

/// The datasets of which a version is on the board, newest first.
pub(super) fn list_listed_datasets(c: &mut Conn, before: Option<DatasetId>, limit: i64) -> QueryResult<Vec<DatasetId>> {
    let on_board =
        listings::table.filter(listings::version_id.eq(versions::id)).filter(listings::state.eq(ListingState::Listed));
    let listed = versions::table.filter(versions::dataset_id.eq(datasets::id)).filter(exists(on_board));
    let mut query = datasets::table
        .filter(exists(listed))
        .order(datasets::id.desc())
        .limit(limit)
        .select(datasets::id)
        .into_boxed();
    if let Some(before) = before {
        query = query.filter(datasets::id.lt(before));
    }
    query.load(c)
}

pub(super) fn insert_hold(c: &mut Conn, cause: TakedownId, version: VersionId, now: Instant) -> QueryResult<usize> {
    diesel::insert_into(holds::table)
        .values((holds::cause.eq(cause), holds::version_id.eq(version), holds::placed_at.eq(now)))
        .execute(c)
}

pub(super) fn delete_hold(c: &mut Conn, cause: TakedownId) -> QueryResult<usize> {
    diesel::delete(holds::table.find(cause)).execute(c)
}

/// The cause of the first hold of a version that stands.
pub(super) fn find_hold(c: &mut Conn, version: VersionId) -> QueryResult<Option<TakedownId>> {
    holds::table
        .filter(holds::version_id.eq(version))
        .order((holds::placed_at, holds::cause))
        .select(holds::cause)
        .first(c)
        .optional()
}

pub(super) fn is_held(c: &mut Conn, version: VersionId) -> QueryResult<bool> {
    Ok(find_hold(c, version)?.is_some())
}
