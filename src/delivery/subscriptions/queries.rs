//! The `subscription_versions` table.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::CoveredVersion;
use crate::db::Conn;
use crate::delivery::{Entitlement, EntitlementState};
use crate::schema::{entitlements, subscription_versions as versions};
use crate::types::{EntitlementId, Instant, OrganisationId, VersionId};

pub(super) fn insert_version(c: &mut Conn, version: &CoveredVersion) -> QueryResult<usize> {
    diesel::insert_into(versions::table).values(version).execute(c)
}

pub(super) fn find_version(c: &mut Conn, id: EntitlementId, version: VersionId) -> QueryResult<Option<CoveredVersion>> {
    versions::table.find((id, version)).select(CoveredVersion::as_select()).first(c).optional()
}

/// By when they joined.
pub(super) fn list_versions(c: &mut Conn, id: EntitlementId, limit: i64) -> QueryResult<Vec<CoveredVersion>> {
    versions::table
        .filter(versions::entitlement_id.eq(id))
        .order((versions::joined_at, versions::version_id))
        .limit(limit)
        .select(CoveredVersion::as_select())
        .load(c)
}

/// The subscriptions that were bought with any of these versions, and whose term runs.
pub(super) fn list_running(
    c: &mut Conn,
    bought: &[VersionId],
    now: Instant,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<EntitlementId>> {
    versions::table
        .inner_join(entitlements::table)
        .filter(versions::version_id.eq_any(bought))
        .filter(versions::version_id.eq(entitlements::version_id))
        .filter(entitlements::state.eq_any([EntitlementState::Active, EntitlementState::Suspended]))
        .filter(entitlements::expires_at.gt(now))
        .filter(versions::entitlement_id.gt(after.to_string().into_sql::<Text>()))
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

pub(super) fn list_covering(
    c: &mut Conn,
    holders: &[OrganisationId],
    wanted: &[VersionId],
) -> QueryResult<Vec<(VersionId, Entitlement)>> {
    versions::table
        .inner_join(entitlements::table)
        .filter(entitlements::organisation_id.eq_any(holders))
        .filter(versions::version_id.eq_any(wanted))
        .filter(versions::version_id.ne(entitlements::version_id))
        .filter(versions::withdrawn_at.is_null())
        .order(versions::entitlement_id)
        .select((versions::version_id, Entitlement::as_select()))
        .load(c)
}

pub(super) fn list_covering_version(
    c: &mut Conn,
    version: VersionId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Entitlement>> {
    versions::table
        .inner_join(entitlements::table)
        .filter(versions::version_id.eq(version))
        .filter(versions::entitlement_id.gt(after.to_string().into_sql::<Text>()))
        .order(versions::entitlement_id)
        .limit(limit)
        .select(Entitlement::as_select())
        .load(c)
}
