//! The life of one version: a bounded list of each kind of record.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text, Timestamp};

use super::events::{parameter, versions};
use super::sql::Sql;
use crate::compliance::subject::Scope;
use crate::db::{Among as _, Conn, MultiBackend};
use crate::delivery::Entitlement;
use crate::delivery::evaluations::Evaluation;
use crate::identity::Organisation;
use crate::market::Order;
use crate::schema::{
    contracts, entitlements, evaluations, log_sequence, objects, orders, organisations, receipt_batches, receipts,
    shards, statements,
};
use crate::terms::TermsDocument;
use crate::types::{
    Digest, EntitlementId, EntryId, Instant, Json, ListingId, ReceiptId, StatementId, TermsId, TransitionId, UserId,
    VersionId,
};

/// Where a statement is in the log, without the statement itself: a manifest can be long.
#[derive(Debug, Clone, Queryable)]
pub(in crate::compliance) struct LoggedRow {
    pub(in crate::compliance) id: StatementId,
    pub(in crate::compliance) pae_sha256: Digest,
    pub(in crate::compliance) entry_id: EntryId,
    pub(in crate::compliance) recorded_at: Instant,
    pub(in crate::compliance) leaf_index: Option<i64>,
}

pub(in crate::compliance) fn list_logged(c: &mut Conn, ids: &[StatementId]) -> QueryResult<Vec<LoggedRow>> {
    statements::table
        .left_join(log_sequence::table.on(log_sequence::entry_id.eq(statements::entry_id)))
        .filter(statements::id.among(ids))
        .select((
            statements::id,
            statements::pae_sha256,
            statements::entry_id,
            statements::recorded_at,
            log_sequence::leaf_index.nullable(),
        ))
        .load(c)
}

#[derive(QueryableByName)]
#[diesel(check_for_backend(MultiBackend))]
struct VersionRow {
    #[diesel(sql_type = Text)]
    id: VersionId,
}

/// The versions that have to do with a scope, by identifier. Of those that an organisation bought licences to, however many, no
/// more is looked at than a page.
pub(in crate::compliance) fn list_versions(
    c: &mut Conn,
    scope: &Scope,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<VersionId>> {
    let Some(versions) = versions(scope) else { return Ok(Vec::new()) };
    let mut sql = Sql::new("SELECT v.id FROM versions v");
    sql.push_with(" WHERE v.id > ?", after);
    sql.push_with(&format!(" AND v.id IN ({versions}"), parameter(scope));
    if let Scope::Organisation(holder) = scope {
        sql.push_with(
            " UNION ALL SELECT version_id FROM (SELECT DISTINCT version_id FROM entitlements WHERE organisation_id = ?",
            holder,
        );
        sql.push_with(" AND version_id > ?", after);
        sql.push_number(" ORDER BY version_id LIMIT ?) bought", limit);
        sql.push_with(
            " UNION ALL SELECT joined.version_id FROM subscription_versions joined \
             JOIN entitlements ON entitlements.id = entitlement_id WHERE organisation_id = ?",
            holder,
        );
        sql.push_with(" AND joined.version_id > ?", after);
    }
    sql.push_number(") ORDER BY v.id LIMIT ?", limit);
    Ok(sql.load::<VersionRow>(c)?.into_iter().map(|row| row.id).collect())
}

/// A shard and when its bytes were first verified here: (path, sha256, size in bytes, first seen).
pub(in crate::compliance) type ShardRow = (String, Digest, i64, Instant);

/// The shards of a version, or those with these bytes.
pub(in crate::compliance) fn list_shards(
    c: &mut Conn,
    version: VersionId,
    bytes: Option<Digest>,
    limit: i64,
) -> QueryResult<Vec<ShardRow>> {
    let mut query = shards::table
        .inner_join(objects::table)
        .filter(shards::version_id.eq(version))
        .order(shards::path)
        .limit(limit)
        .select((shards::path, shards::sha256, shards::size_bytes, objects::verified_at))
        .into_boxed();
    if let Some(sha256) = bytes {
        query = query.filter(shards::sha256.eq(sha256));
    }
    query.load(c)
}

/// A licence with its order, its contract's digest and statement, and who holds it.
pub(in crate::compliance) type LicenceRow = (Entitlement, Order, Digest, StatementId, Organisation);

/// Who licensed a version, oldest first.
pub(in crate::compliance) fn list_licences(
    c: &mut Conn,
    version: VersionId,
    only: &Scope,
    limit: i64,
) -> QueryResult<Vec<LicenceRow>> {
    let mut query = entitlements::table
        .inner_join(orders::table)
        .inner_join(organisations::table)
        .inner_join(contracts::table.on(contracts::order_id.eq(entitlements::order_id)))
        // One list, and not two conditions of which one must hold: neither database would look for those by an index.
        .filter(
            sql::<Bool>("entitlements.id IN (SELECT id FROM entitlements WHERE version_id = ")
                .bind::<Text, _>(version)
                .sql(" UNION ALL SELECT entitlement_id FROM subscription_versions WHERE version_id = ")
                .bind::<Text, _>(version)
                .sql(")"),
        )
        .order(entitlements::id)
        .limit(limit)
        .select((
            Entitlement::as_select(),
            Order::as_select(),
            contracts::sha256,
            contracts::statement_id,
            Organisation::as_select(),
        ))
        .into_boxed();
    match only {
        Scope::Order(order) => query = query.filter(entitlements::order_id.eq(*order)),
        // Its own licences of others' versions, and everybody's of its own.
        Scope::Organisation(id) => {
            query = query.filter(orders::provider_id.eq(*id).or(entitlements::organisation_id.eq(*id)));
        }
        _ => {}
    }
    query.load(c)
}

/// Who evaluated a version, oldest first.
pub(in crate::compliance) fn list_evaluations(
    c: &mut Conn,
    version: VersionId,
    only: &Scope,
    limit: i64,
) -> QueryResult<Vec<(Evaluation, Organisation)>> {
    let mut query = evaluations::table
        .inner_join(organisations::table.on(organisations::id.eq(evaluations::organisation_id)))
        .filter(evaluations::version_id.eq(version))
        .order(evaluations::id)
        .limit(limit)
        .select((Evaluation::as_select(), Organisation::as_select()))
        .into_boxed();
    match only {
        Scope::Order(order) => {
            let buyer = orders::table.find(*order).select(orders::buyer_id);
            query = query.filter(evaluations::organisation_id.eq_any(buyer));
        }
        Scope::Organisation(id) => {
            query = query.filter(evaluations::provider_id.eq(*id).or(evaluations::organisation_id.eq(*id)));
        }
        _ => {}
    }
    query.load(c)
}

/// One receipt, and the statement of its batch.
#[derive(Debug, Clone, Queryable)]
pub(in crate::compliance) struct DeliveryRow {
    pub(in crate::compliance) id: ReceiptId,
    pub(in crate::compliance) entitlement_id: EntitlementId,
    pub(in crate::compliance) path: String,
    pub(in crate::compliance) sha256: Digest,
    pub(in crate::compliance) user_id: UserId,
    pub(in crate::compliance) issued_at: Instant,
    pub(in crate::compliance) statement_id: StatementId,
}

/// Which deliveries are wanted.
#[derive(Debug, Clone, Copy)]
pub(in crate::compliance) enum DeliveriesOf {
    Licence(EntitlementId, VersionId),
    Bytes(Digest),
}

/// What was delivered, oldest first.
pub(in crate::compliance) fn list_deliveries(
    c: &mut Conn,
    of: DeliveriesOf,
    limit: i64,
) -> QueryResult<Vec<DeliveryRow>> {
    let mut query = receipts::table
        .inner_join(receipt_batches::table)
        .order(receipts::id)
        .limit(limit)
        .select((
            receipts::id,
            receipts::entitlement_id,
            receipts::path,
            receipts::sha256,
            receipts::user_id,
            receipts::issued_at,
            receipt_batches::statement_id,
        ))
        .into_boxed();
    query = match of {
        DeliveriesOf::Licence(entitlement, version) => {
            query.filter(receipts::entitlement_id.eq(entitlement)).filter(receipts::version_id.eq(version))
        }
        DeliveriesOf::Bytes(sha256) => query.filter(receipts::sha256.eq(sha256)),
    };
    query.load(c)
}

/// Terms under which a version was on the board.
#[derive(Debug, Clone, QueryableByName)]
#[diesel(check_for_backend(MultiBackend))]
pub(in crate::compliance) struct TermsRow {
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) listing_id: ListingId,
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) terms_id: TermsId,
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) document: Json<TermsDocument>,
    #[diesel(sql_type = Text)]
    pub(in crate::compliance) statement_id: StatementId,
    #[diesel(sql_type = Timestamp)]
    pub(in crate::compliance) since: Instant,
}

/// The terms of the listings of a version whose last step before `before` put them on the board.
pub(in crate::compliance) fn list_terms_before(
    c: &mut Conn,
    version: VersionId,
    before: TransitionId,
    limit: i64,
) -> QueryResult<Vec<TermsRow>> {
    let mut sql = Sql::new(
        "SELECT listings.id AS listing_id, terms.id AS terms_id, document, statement_id, step.at AS since \
         FROM listings JOIN terms ON terms.id = terms_id JOIN transitions step ON step.subject = listings.id",
    );
    sql.push_with(
        " AND step.id = (SELECT MAX(id) FROM transitions WHERE subject = listings.id AND id < ?) AND step.to_state = 'listed'",
        before,
    );
    sql.push_with(" WHERE version_id = ?", version);
    sql.push_number(" ORDER BY listings.id LIMIT ?", limit);
    sql.load(c)
}
