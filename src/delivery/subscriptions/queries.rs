//! The `subscription_versions` table.

use std::collections::HashMap;

use diesel::prelude::*;

use super::CoveredVersion;
use crate::catalog::Version;
use crate::db::{Among as _, Conn};
use crate::delivery::{Entitlement, EntitlementState};
use crate::schema::{entitlements, subscription_versions as versions, versions as catalogue};
use crate::types::{DatasetId, EntitlementId, Instant, OrganisationId, VersionId};

pub(super) fn insert_version(c: &mut Conn, version: &CoveredVersion) -> QueryResult<usize> {
    diesel::insert_into(versions::table).values(version).execute(c)
}

pub(super) fn find_version(c: &mut Conn, id: EntitlementId, version: VersionId) -> QueryResult<Option<CoveredVersion>> {
    versions::table.find((id, version)).select(CoveredVersion::as_select()).first(c).optional()
}

pub(super) fn find_numbered(c: &mut Conn, id: EntitlementId, number: i32) -> QueryResult<Option<CoveredVersion>> {
    versions::table
        .inner_join(catalogue::table.on(catalogue::id.eq(versions::version_id)))
        .filter(versions::entitlement_id.eq(id))
        .filter(catalogue::number.eq(number))
        .select(CoveredVersion::as_select())
        .first(c)
        .optional()
}

/// Versions with their numbers, by when they joined.
type Numbered = Vec<(CoveredVersion, i32)>;

/// The versions of each of these licences.
pub(super) fn list_versions(c: &mut Conn, ids: &[EntitlementId]) -> QueryResult<Vec<(EntitlementId, Numbered)>> {
    let rows: Numbered = versions::table
        .inner_join(catalogue::table.on(catalogue::id.eq(versions::version_id)))
        .filter(versions::entitlement_id.among(ids))
        .order((versions::joined_at, versions::version_id))
        .select((CoveredVersion::as_select(), catalogue::number))
        .load(c)?;
    let mut lists: HashMap<EntitlementId, Numbered> = HashMap::new();
    for (covered, number) in rows {
        lists.entry(covered.entitlement_id).or_default().push((covered, number));
    }
    Ok(lists.into_iter().collect())
}

/// The subscriptions that were bought with versions that came before this one, and whose term runs.
pub(super) fn list_running(
    c: &mut Conn,
    version: &Version,
    now: Instant,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<EntitlementId>> {
    let older = catalogue::dataset_id.eq(version.dataset_id).and(catalogue::number.lt(version.number));
    versions::table
        .inner_join(entitlements::table)
        .filter(versions::version_id.eq_any(catalogue::table.filter(older).select(catalogue::id)))
        .filter(versions::version_id.eq(entitlements::version_id))
        // Else SQLite, which keeps no statistics, goes through every licence in use rather than those to these versions.
        .filter(entitlements::state.ne_all([EntitlementState::Expired, EntitlementState::Revoked]))
        .filter(entitlements::expires_at.gt(now))
        .filter(versions::entitlement_id.gt(after))
        .order(versions::entitlement_id)
        .limit(limit)
        .select(versions::entitlement_id)
        .load(c)
}

pub(super) fn set_withdrawn(c: &mut Conn, id: EntitlementId, version: VersionId, now: Instant) -> QueryResult<usize> {
    diesel::update(versions::table.find((id, version)).filter(versions::withdrawn_at.is_null()))
        .set(versions::withdrawn_at.eq(now))
        .execute(c)
}

pub(super) fn set_held(
    c: &mut Conn,
    id: EntitlementId,
    version: VersionId,
    held_at: Option<Instant>,
) -> QueryResult<usize> {
    diesel::update(versions::table.find((id, version))).set(versions::held_at.eq(held_at)).execute(c)
}

/// The subscriptions in use or suspended that cover a version, and of which it is not on record whether it is held.
pub(super) fn list_untold(
    c: &mut Conn,
    version: VersionId,
    is_held: bool,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Entitlement>> {
    let mut query = versions::table
        .inner_join(entitlements::table)
        .filter(versions::version_id.eq(version))
        .filter(versions::withdrawn_at.is_null())
        .filter(entitlements::state.among([EntitlementState::Active, EntitlementState::Suspended]))
        .filter(versions::entitlement_id.gt(after.to_string()))
        .order(versions::entitlement_id)
        .limit(limit)
        .select(Entitlement::as_select())
        .into_boxed();
    query = match is_held {
        true => query.filter(versions::held_at.is_null()),
        false => query.filter(versions::held_at.is_not_null()),
    };
    query.load(c)
}

/// The versions of these datasets that joined subscriptions of these holders. A subscription is found by the version that it was
/// bought with, which is of the same dataset: a holder may have many licences, and few of them to one dataset.
pub(super) fn list_covering(
    c: &mut Conn,
    holders: &[OrganisationId],
    datasets: &[DatasetId],
) -> QueryResult<Vec<(VersionId, Entitlement)>> {
    let bought = catalogue::table.filter(catalogue::dataset_id.among(datasets.to_vec())).select(catalogue::id);
    versions::table
        .inner_join(entitlements::table)
        .filter(entitlements::organisation_id.among(holders))
        .filter(entitlements::version_id.eq_any(bought))
        .filter(versions::version_id.ne(entitlements::version_id))
        .filter(versions::withdrawn_at.is_null())
        .select((versions::version_id, Entitlement::as_select()))
        .load(c)
}
