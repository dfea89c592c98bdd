//! The `takedowns` and `recalls` tables.

use diesel::dsl::{exists, not};
use diesel::prelude::*;

use super::recalls::{Recall, RecallState};
use super::{Takedown, TakedownState};
use crate::db::{Among as _, Conn};
use crate::identity::Caller;
use crate::schema::{entitlements, recalls, subscription_versions, takedowns};
use crate::types::{EntitlementId, Instant, OrganisationId, RecallId, StatementId, TakedownId, UserId, merged};

pub(super) fn insert_takedown(c: &mut Conn, case: &Takedown) -> QueryResult<usize> {
    diesel::insert_into(takedowns::table).values(case).execute(c)
}

pub(super) fn find_takedown(c: &mut Conn, id: TakedownId) -> QueryResult<Option<Takedown>> {
    takedowns::table.find(id).select(Takedown::as_select()).first(c).optional()
}

pub(super) fn list_takedowns_by_id(c: &mut Conn, ids: &[TakedownId]) -> QueryResult<Vec<(TakedownId, Takedown)>> {
    takedowns::table.filter(takedowns::id.among(ids)).select((takedowns::id, Takedown::as_select())).load(c)
}

/// The claims of one person that nobody looked at yet.
pub(super) fn count_received(c: &mut Conn, filed_by: UserId) -> QueryResult<i64> {
    takedowns::table
        .filter(takedowns::filed_by.eq(filed_by))
        .filter(takedowns::state.eq(TakedownState::Received))
        .count()
        .get_result(c)
}

/// Every case; with `whose`, those that this person filed, and those of its organisations that these know of.
pub(super) fn list_takedowns(
    c: &mut Conn,
    whose: Option<&Caller>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Takedown>> {
    let mut query = takedowns::table
        .filter(takedowns::id.gt(after.to_string()))
        .order(takedowns::id)
        .limit(limit)
        .select(Takedown::as_select())
        .into_boxed();
    if let Some(caller) = whose {
        let own = caller.organisations();
        let notified = takedowns::state.among(TakedownState::NOTIFIED.to_vec());
        query =
            query.filter(takedowns::filed_by.eq(caller.user_id).or(takedowns::provider_id.among(own).and(notified)));
    }
    query.load(c)
}

pub(super) fn set_takedown_state(
    c: &mut Conn,
    id: TakedownId,
    from: TakedownState,
    to: TakedownState,
) -> QueryResult<usize> {
    diesel::update(takedowns::table.find(id).filter(takedowns::state.eq(from))).set(takedowns::state.eq(to)).execute(c)
}

pub(super) fn set_counter(c: &mut Conn, id: TakedownId, statement: &str) -> QueryResult<usize> {
    diesel::update(takedowns::table.find(id)).set(takedowns::counter.eq(statement)).execute(c)
}

pub(super) fn insert_recall(c: &mut Conn, recall: &Recall) -> QueryResult<usize> {
    diesel::insert_into(recalls::table).values(recall).execute(c)
}

/// Up to `limit` licences to the version of a case that it did not recall yet, those after one, in order: those that were bought
/// with it, and the subscriptions that it joined.
pub(super) fn list_unrecalled(
    c: &mut Conn,
    case: &Takedown,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<EntitlementId>> {
    let recalled = || recalls::table.filter(recalls::takedown_id.eq(case.id));
    let bought = entitlements::table
        .filter(entitlements::version_id.eq(case.version_id))
        .filter(not(exists(recalled().filter(recalls::entitlement_id.eq(entitlements::id)))))
        .filter(entitlements::id.gt(after))
        .order(entitlements::id)
        .limit(limit)
        .select(entitlements::id);
    let joined = subscription_versions::table
        .filter(subscription_versions::version_id.eq(case.version_id))
        .filter(not(exists(recalled().filter(recalls::entitlement_id.eq(subscription_versions::entitlement_id)))))
        .filter(subscription_versions::entitlement_id.gt(after))
        .order(subscription_versions::entitlement_id)
        .limit(limit)
        .select(subscription_versions::entitlement_id);
    let mut found: Vec<EntitlementId> = bought.load(c)?;
    found.extend(joined.load::<EntitlementId>(c)?);
    // A subscription covers the version that it was bought with, too.
    Ok(merged(found, limit, |id| *id))
}

pub(super) fn find_recall(c: &mut Conn, id: RecallId) -> QueryResult<Option<Recall>> {
    recalls::table.find(id).select(Recall::as_select()).first(c).optional()
}

/// Every recall; with `holders`, those of these organisations.
pub(super) fn list_recalls(
    c: &mut Conn,
    holders: Option<&[OrganisationId]>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Recall>> {
    let mut query = recalls::table
        .filter(recalls::id.gt(after.to_string()))
        .order(recalls::id)
        .limit(limit)
        .select(Recall::as_select())
        .into_boxed();
    if let Some(holders) = holders {
        query = query.filter(recalls::organisation_id.among(holders));
    }
    query.load(c)
}

/// Recalls that wait for an answer although it was due; at most `limit`.
pub(super) fn list_late(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<RecallId>> {
    recalls::table
        .filter(recalls::state.among(RecallState::WAITING))
        .filter(recalls::due_at.le(now))
        .filter(recalls::id.gt(after))
        .order(recalls::id)
        .limit(limit)
        .select(recalls::id)
        .load(c)
}

/// How many of a case's recalls wait for an answer.
pub(super) fn count_waiting(c: &mut Conn, takedown: TakedownId) -> QueryResult<i64> {
    recalls::table
        .filter(recalls::takedown_id.eq(takedown))
        .filter(recalls::state.among(RecallState::WAITING))
        .count()
        .get_result(c)
}

pub(super) fn set_recall_state(c: &mut Conn, id: RecallId, from: RecallState, to: RecallState) -> QueryResult<usize> {
    diesel::update(recalls::table.find(id).filter(recalls::state.eq(from))).set(recalls::state.eq(to)).execute(c)
}

pub(super) fn set_declaration(c: &mut Conn, id: RecallId, declaration: &str) -> QueryResult<usize> {
    diesel::update(recalls::table.find(id)).set(recalls::declaration.eq(declaration)).execute(c)
}

pub(super) fn set_attestation(c: &mut Conn, id: RecallId, statement: StatementId) -> QueryResult<usize> {
    diesel::update(recalls::table.find(id)).set(recalls::attestation_id.eq(statement)).execute(c)
}
