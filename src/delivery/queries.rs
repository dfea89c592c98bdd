//! The `entitlements`, `receipts` and `receipt_batches` tables.

use diesel::dsl::{count, exists, min, not};
use diesel::prelude::*;

use super::desk::Written;
use super::{Entitlement, EntitlementState, Receipt};
use crate::appends;
use crate::db::{Among as _, Append as _, Conn, MultiBackend};
use crate::market::orders::OrderState;
use crate::schema::{entitlements, orders, receipt_batches, receipts, subscription_versions, versions};
use crate::types::{
    DatasetId, Digest, EntitlementId, Instant, Json, OrderId, OrganisationId, ReceiptBatchId, ReceiptId, StatementId,
    UserId, VersionId,
};

/// How many rows one statement inserts: PostgreSQL binds at most 65,535 values.
const ROWS: usize = 1000;

appends!(Entitlement => entitlements, ReceiptRow => receipts);

pub(super) fn find_entitlement(c: &mut Conn, id: EntitlementId) -> QueryResult<Option<Entitlement>> {
    entitlements::table.find(id).select(Entitlement::as_select()).first(c).optional()
}

pub(super) fn list_entitlements_by_id(c: &mut Conn, ids: &[EntitlementId]) -> QueryResult<Vec<Entitlement>> {
    entitlements::table.filter(entitlements::id.among(ids)).select(Entitlement::as_select()).load(c)
}

pub(super) fn find_entitlement_of(c: &mut Conn, order: OrderId) -> QueryResult<Option<Entitlement>> {
    entitlements::table.filter(entitlements::order_id.eq(order)).select(Entitlement::as_select()).first(c).optional()
}

pub(super) fn list_entitlements(
    c: &mut Conn,
    holders: &[OrganisationId],
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Entitlement>> {
    entitlements::table
        .filter(entitlements::organisation_id.among(holders))
        .filter(entitlements::id.gt(after))
        .order(entitlements::id)
        .limit(limit)
        .select(Entitlement::as_select())
        .load(c)
}

/// The licences of these organisations that were bought with versions of these datasets, in no order: SQLite
/// would read all that the organisations hold, rather than sort.
pub(super) fn list_entitlements_to(
    c: &mut Conn,
    holders: &[OrganisationId],
    datasets: &[DatasetId],
) -> QueryResult<Vec<Entitlement>> {
    let versions = versions::table.filter(versions::dataset_id.among(datasets.to_vec())).select(versions::id);
    entitlements::table
        .filter(entitlements::organisation_id.among(holders))
        .filter(entitlements::version_id.eq_any(versions))
        .select(Entitlement::as_select())
        .load(c)
}

/// The licences in a state that were bought with a version and are no subscriptions.
pub(super) fn list_licences_of_version(
    c: &mut Conn,
    id: VersionId,
    state: EntitlementState,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Entitlement>> {
    let subscription = subscription_versions::table
        .filter(subscription_versions::entitlement_id.eq(entitlements::id))
        .filter(subscription_versions::version_id.eq(id));
    entitlements::table
        .filter(entitlements::version_id.eq(id).and(entitlements::state.eq(state)))
        .filter(not(exists(subscription)))
        .filter(entitlements::id.gt(after))
        .order(entitlements::id)
        .limit(limit)
        .select(Entitlement::as_select())
        .load(c)
}

/// Entitlements whose term ended and that are not moved on yet.
pub(super) fn list_ended(c: &mut Conn, now: Instant, after: &str, limit: i64) -> QueryResult<Vec<EntitlementId>> {
    entitlements::table
        .filter(entitlements::state.among([EntitlementState::Active, EntitlementState::Suspended]))
        .filter(entitlements::expires_at.le(now))
        .filter(entitlements::id.gt(after))
        .order(entitlements::id)
        .limit(limit)
        .select(entitlements::id)
        .load(c)
}

/// Licences in use that end after `now` and until `soon`, of whose end the holder was not told.
pub(super) fn list_ending(
    c: &mut Conn,
    now: Instant,
    soon: Instant,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<EntitlementId>> {
    let untold =
        entitlements::announced_end_at.is_null().or(entitlements::announced_end_at.ne(entitlements::expires_at));
    entitlements::table
        .filter(entitlements::state.eq(EntitlementState::Active))
        .filter(entitlements::expires_at.gt(now))
        .filter(entitlements::expires_at.le(soon))
        .filter(untold)
        .filter(entitlements::id.gt(after))
        .order(entitlements::id)
        .limit(limit)
        .select(entitlements::id)
        .load(c)
}

/// Writes down of which end the holder was told, unless it was before, or the licence is not as it was read.
pub(super) fn set_announced(c: &mut Conn, id: EntitlementId, end: Instant) -> QueryResult<usize> {
    let untold = entitlements::announced_end_at.is_null().or(entitlements::announced_end_at.ne(end));
    diesel::update(
        entitlements::table
            .find(id)
            .filter(entitlements::state.eq(EntitlementState::Active))
            .filter(entitlements::expires_at.eq(end))
            .filter(untold),
    )
    .set(entitlements::announced_end_at.eq(end))
    .execute(c)
}

/// Moves the end of a licence, if both are as they were read.
pub(super) fn set_end(c: &mut Conn, entitlement: &Entitlement, end: Instant) -> QueryResult<usize> {
    diesel::update(
        entitlements::table
            .find(entitlement.id)
            .filter(entitlements::state.eq(entitlement.state))
            .filter(entitlements::expires_at.eq(entitlement.expires_at)),
    )
    .set(entitlements::expires_at.eq(end))
    .execute(c)
}

pub(super) fn set_entitlement_state(
    c: &mut Conn,
    id: EntitlementId,
    from: EntitlementState,
    to: EntitlementState,
) -> QueryResult<usize> {
    diesel::update(entitlements::table.find(id).filter(entitlements::state.eq(from)))
        .set(entitlements::state.eq(to))
        .execute(c)
}

pub(super) fn insert_batch(
    c: &mut Conn,
    id: ReceiptBatchId,
    root: Digest,
    count: i32,
    statement_id: StatementId,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(receipt_batches::table)
        .values((
            receipt_batches::id.eq(id),
            receipt_batches::root_sha256.eq(root),
            receipt_batches::receipt_count.eq(count),
            receipt_batches::statement_id.eq(statement_id),
            receipt_batches::committed_at.eq(now),
        ))
        .execute(c)
}

#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = receipts)]
struct ReceiptRow {
    id: ReceiptId,
    batch_id: ReceiptBatchId,
    batch_index: i32,
    entitlement_id: EntitlementId,
    version_id: VersionId,
    user_id: UserId,
    path: String,
    sha256: Digest,
    document: String,
    issued_at: Instant,
}

/// Inserts a batch's receipts in order, a bounded number of rows at a time.
pub(super) fn insert_receipts(
    c: &mut Conn,
    batch_id: ReceiptBatchId,
    receipts: &[(VersionId, &Written)],
) -> QueryResult<()> {
    let row = |(batch_index, (version_id, written)): (i32, &(VersionId, &Written))| ReceiptRow {
        id: written.receipt.receipt,
        batch_id,
        batch_index,
        entitlement_id: written.receipt.entitlement,
        version_id: *version_id,
        user_id: written.receipt.user,
        path: written.receipt.path.clone(),
        sha256: written.receipt.sha256,
        document: written.document.clone(),
        issued_at: written.receipt.issued_at,
    };
    let rows: Vec<ReceiptRow> = (0..).zip(receipts).map(row).collect();
    rows.chunks(ROWS).try_for_each(|rows| ReceiptRow::insert(rows, c).map(drop))
}

/// The receipts under an entitlement, oldest first.
pub(super) fn list_receipts(
    c: &mut Conn,
    id: EntitlementId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Json<Receipt>>> {
    receipts::table
        .filter(receipts::entitlement_id.eq(id))
        .filter(receipts::id.gt(after))
        .order(receipts::id)
        .limit(limit)
        .select(receipts::document)
        .load(c)
}

/// The first receipt of each shard under an entitlement, oldest first.
pub(super) fn list_first_receipts(c: &mut Conn, id: EntitlementId) -> QueryResult<Vec<ReceiptId>> {
    let first: Vec<Option<ReceiptId>> = receipts::table
        .filter(receipts::entitlement_id.eq(id))
        .group_by((receipts::version_id, receipts::path))
        .select(min(receipts::id))
        .load(c)?;
    let mut first: Vec<ReceiptId> = first.into_iter().flatten().collect();
    first.sort_unstable();
    Ok(first)
}

/// A receipt and its place in its batch.
#[derive(Queryable, Selectable)]
#[diesel(table_name = receipts, check_for_backend(MultiBackend))]
pub(super) struct StoredReceipt {
    pub(super) batch_id: ReceiptBatchId,
    pub(super) batch_index: i32,
    pub(super) document: String,
}

/// These receipts, oldest first.
pub(super) fn list_receipts_by_id(c: &mut Conn, ids: &[ReceiptId]) -> QueryResult<Vec<StoredReceipt>> {
    receipts::table.filter(receipts::id.among(ids)).order(receipts::id).select(StoredReceipt::as_select()).load(c)
}

/// The documents of a batch, in order: they are written, and read, as their leaves are hashed.
pub(super) fn list_batch(c: &mut Conn, id: ReceiptBatchId) -> QueryResult<Vec<String>> {
    receipts::table.filter(receipts::batch_id.eq(id)).order(receipts::batch_index).select(receipts::document).load(c)
}

pub(super) fn find_batch_statement(c: &mut Conn, id: ReceiptBatchId) -> QueryResult<StatementId> {
    receipt_batches::table.find(id).select(receipt_batches::statement_id).first(c)
}

/// The last receipt for what an entitlement was bought with, and when it was recorded.
pub(super) fn find_last_receipt(c: &mut Conn, entitlement: &Entitlement) -> QueryResult<Option<(ReceiptId, Instant)>> {
    receipts::table
        .filter(receipts::entitlement_id.eq(entitlement.id))
        .filter(receipts::version_id.eq(entitlement.version_id))
        .order(receipts::id.desc())
        .select((receipts::id, receipts::issued_at))
        .first(c)
        .optional()
}

/// How many different shards of what an entitlement was bought with its receipts cover.
pub(super) fn count_paths(c: &mut Conn, entitlement: &Entitlement) -> QueryResult<i64> {
    receipts::table
        .filter(receipts::entitlement_id.eq(entitlement.id))
        .filter(receipts::version_id.eq(entitlement.version_id))
        .select(count(receipts::path).aggregate_distinct())
        .first(c)
}

/// How many contradictions of one kind an audit reports.
const MOST_REPORTED: i64 = 1000;

/// The orders in these states that have no licence. One that renews a licence has none of its own.
pub(super) fn list_orders_without_entitlement(
    c: &mut Conn,
    states: &[OrderState],
) -> QueryResult<Vec<(OrderId, OrderState)>> {
    orders::table
        .left_join(entitlements::table.on(entitlements::order_id.eq(orders::id)))
        .filter(orders::state.among(states).and(orders::renews.is_null()).and(entitlements::id.is_null()))
        .order(orders::id)
        .limit(MOST_REPORTED)
        .select((orders::id, orders::state))
        .load(c)
}

/// The licences whose orders are in these states.
pub(super) fn list_entitlements_of_orders(
    c: &mut Conn,
    states: &[OrderState],
) -> QueryResult<Vec<(EntitlementId, OrderId, OrderState)>> {
    entitlements::table
        .inner_join(orders::table.on(entitlements::order_id.eq(orders::id)))
        .filter(orders::state.among(states))
        .order(entitlements::id)
        .limit(MOST_REPORTED)
        .select((entitlements::id, orders::id, orders::state))
        .load(c)
}

/// The licences that stand although their orders were refunded.
pub(super) fn list_entitlements_of_refunded(c: &mut Conn) -> QueryResult<Vec<(EntitlementId, OrderId)>> {
    entitlements::table
        .inner_join(orders::table.on(entitlements::order_id.eq(orders::id)))
        .filter(orders::state.eq(OrderState::Refunded))
        .filter(entitlements::state.among([EntitlementState::Active, EntitlementState::Suspended]))
        .order(entitlements::id)
        .limit(MOST_REPORTED)
        .select((entitlements::id, orders::id))
        .load(c)
}
