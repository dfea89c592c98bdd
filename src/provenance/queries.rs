//! The tables of statements and of the log.

use diesel::prelude::*;

use super::StoredStatement;
use super::exchange_keys::ExchangeKey;
use super::statement::StatementKind;
use crate::appends;
use crate::db::{Among as _, Conn, MultiBackend};
use crate::schema::{
    exchange_keys, log_checkpoints, log_entries, log_lease, log_publications, log_queue, log_sequence, log_tiles,
    statements,
};
use crate::signing::Envelope;
use crate::types::{Digest, EntryId, Instant, Json, StatementId};

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = statements, check_for_backend(MultiBackend))]
pub(super) struct StatementRow {
    pub(super) id: StatementId,
    pub(super) kind: StatementKind,
    pub(super) subject: String,
    pub(super) envelope: Json<Envelope>,
    pub(super) receipt: Option<Json<Envelope>>,
    pub(super) pae_sha256: Digest,
    pub(super) entry_id: EntryId,
    pub(super) recorded_at: Instant,
}

impl From<StatementRow> for StoredStatement {
    fn from(row: StatementRow) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            subject: row.subject,
            envelope: row.envelope.0,
            receipt: row.receipt.map(|receipt| receipt.0),
            entry_id: row.entry_id,
            recorded_at: row.recorded_at,
        }
    }
}

/// An entry of the log.
#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = log_entries)]
pub(super) struct EntryRow {
    pub(super) id: EntryId,
    pub(super) leaf: String,
    pub(super) recorded_at: Instant,
}

/// An entry that has no place yet.
#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = log_queue)]
pub(super) struct QueuedRow {
    pub(super) entry_id: EntryId,
}

appends!(EntryRow => log_entries, QueuedRow => log_queue, StatementRow => statements, PlaceRow => log_sequence);

pub(super) fn find_statement(c: &mut Conn, id: StatementId) -> QueryResult<Option<StatementRow>> {
    statements::table.find(id).select(StatementRow::as_select()).first(c).optional()
}

pub(super) fn list_statements_by_id(
    c: &mut Conn,
    ids: &[StatementId],
) -> QueryResult<Vec<(StatementId, StatementRow)>> {
    statements::table.filter(statements::id.among(ids)).select((statements::id, StatementRow::as_select())).load(c)
}

/// The entry of the first statement with this digest.
pub(super) fn find_entry_of(c: &mut Conn, pae_sha256: Digest) -> QueryResult<Option<EntryId>> {
    statements::table
        .filter(statements::pae_sha256.eq(pae_sha256))
        .order(statements::entry_id)
        .select(statements::entry_id)
        .first(c)
        .optional()
}

pub(super) fn list_statements(c: &mut Conn, subject: &str, after: &str, limit: i64) -> QueryResult<Vec<StatementRow>> {
    statements::table
        .filter(statements::subject.eq(subject))
        .filter(statements::id.gt(after))
        .order(statements::id)
        .limit(limit)
        .select(StatementRow::as_select())
        .load(c)
}

pub(super) fn find_first_statement(
    c: &mut Conn,
    subject: &str,
    kind: StatementKind,
) -> QueryResult<Option<StatementRow>> {
    statements::table
        .filter(statements::subject.eq(subject).and(statements::kind.eq(kind)))
        .order(statements::id)
        .select(StatementRow::as_select())
        .first(c)
        .optional()
}

pub(super) fn list_statements_of_kind(
    c: &mut Conn,
    kind: StatementKind,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<StatementRow>> {
    statements::table
        .filter(statements::kind.eq(kind))
        .filter(statements::id.gt(after))
        .order(statements::id)
        .limit(limit)
        .select(StatementRow::as_select())
        .load(c)
}

pub(super) fn list_exchange_keys(c: &mut Conn, limit: i64) -> QueryResult<Vec<ExchangeKey>> {
    exchange_keys::table.limit(limit).select(ExchangeKey::as_select()).load(c)
}

pub(super) fn insert_exchange_key(c: &mut Conn, key: &ExchangeKey) -> QueryResult<usize> {
    diesel::insert_into(exchange_keys::table).values(key).execute(c)
}

pub(super) fn set_exchange_key_retired(c: &mut Conn, key_id: Digest, at: Instant) -> QueryResult<usize> {
    diesel::update(exchange_keys::table.find(key_id)).set(exchange_keys::retired_at.eq(at)).execute(c)
}

pub(super) fn find_leaf(c: &mut Conn, id: EntryId) -> QueryResult<Option<String>> {
    log_entries::table.find(id).select(log_entries::leaf).first(c).optional()
}

/// The oldest entries without a place, with their leaves.
pub(super) fn list_queued(c: &mut Conn, limit: i64) -> QueryResult<Vec<(EntryId, String)>> {
    log_queue::table
        .inner_join(log_entries::table)
        .order(log_queue::entry_id)
        .limit(limit)
        .select((log_queue::entry_id, log_entries::leaf))
        .load(c)
}

pub(super) fn count_queued(c: &mut Conn) -> QueryResult<i64> {
    log_queue::table.count().get_result(c)
}

pub(super) fn delete_queued(c: &mut Conn, ids: &[EntryId]) -> QueryResult<usize> {
    diesel::delete(log_queue::table.filter(log_queue::entry_id.among(ids))).execute(c)
}

/// The place of an entry.
#[derive(Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = log_sequence)]
pub(super) struct PlaceRow {
    pub(super) leaf_index: i64,
    pub(super) entry_id: EntryId,
}

pub(super) fn find_leaf_index(c: &mut Conn, id: EntryId) -> QueryResult<Option<i64>> {
    log_sequence::table.filter(log_sequence::entry_id.eq(id)).select(log_sequence::leaf_index).first(c).optional()
}

/// The place of the last entry that has one.
pub(super) fn find_last_leaf_index(c: &mut Conn) -> QueryResult<Option<i64>> {
    log_sequence::table.select(diesel::dsl::max(log_sequence::leaf_index)).first(c)
}

/// The leaves from `from` on, in the log's order.
pub(super) fn list_leaves(c: &mut Conn, from: i64, limit: i64) -> QueryResult<Vec<String>> {
    log_sequence::table
        .inner_join(log_entries::table)
        .filter(log_sequence::leaf_index.ge(from))
        .order(log_sequence::leaf_index)
        .limit(limit)
        .select(log_entries::leaf)
        .load(c)
}

pub(super) fn find_tile(c: &mut Conn, level: i32, index: i64) -> QueryResult<Option<Vec<u8>>> {
    log_tiles::table.find((level, index)).select(log_tiles::hashes).first(c).optional()
}

/// Writes a tile: a new one, or an old one that grew.
pub(super) fn set_tile(c: &mut Conn, level: i32, index: i64, hashes: &[u8]) -> QueryResult<usize> {
    let grown = diesel::update(log_tiles::table.find((level, index))).set(log_tiles::hashes.eq(hashes)).execute(c)?;
    if grown > 0 {
        return Ok(grown);
    }
    diesel::insert_into(log_tiles::table)
        .values((log_tiles::level.eq(level), log_tiles::tile_index.eq(index), log_tiles::hashes.eq(hashes)))
        .execute(c)
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = log_checkpoints, check_for_backend(MultiBackend))]
pub(super) struct CheckpointRow {
    pub(super) tree_size: i64,
    pub(super) root_sha256: Digest,
    pub(super) note: String,
    pub(super) signed_at: Instant,
}

pub(super) fn find_last_checkpoint(c: &mut Conn) -> QueryResult<Option<CheckpointRow>> {
    log_checkpoints::table
        .order(log_checkpoints::tree_size.desc())
        .select(CheckpointRow::as_select())
        .first(c)
        .optional()
}

pub(super) fn find_checkpoint(c: &mut Conn, tree_size: i64) -> QueryResult<Option<CheckpointRow>> {
    log_checkpoints::table.find(tree_size).select(CheckpointRow::as_select()).first(c).optional()
}

pub(super) fn insert_checkpoint(c: &mut Conn, row: &CheckpointRow) -> QueryResult<usize> {
    diesel::insert_into(log_checkpoints::table).values(row).execute(c)
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = log_publications, check_for_backend(MultiBackend))]
pub(super) struct PublicationRow {
    pub(super) tree_size: i64,
    pub(super) published_at: Instant,
    pub(super) note: String,
}

pub(super) fn find_last_publication(c: &mut Conn) -> QueryResult<Option<PublicationRow>> {
    log_publications::table
        .order((log_publications::tree_size.desc(), log_publications::published_at.desc()))
        .select(PublicationRow::as_select())
        .first(c)
        .optional()
}

pub(super) fn insert_publication(c: &mut Conn, row: &PublicationRow) -> QueryResult<usize> {
    diesel::insert_into(log_publications::table).values(row).execute(c)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = log_lease, check_for_backend(MultiBackend))]
pub(super) struct LeaseRow {
    pub(super) owner: String,
    pub(super) epoch: i64,
    pub(super) leased_until: Instant,
    pub(super) problem: Option<String>,
}

/// The one row of the leases: that of the sequencer.
const SEQUENCER: &str = "sequencer";

pub(super) fn find_lease(c: &mut Conn) -> QueryResult<Option<LeaseRow>> {
    log_lease::table.find(SEQUENCER).select(LeaseRow::as_select()).first(c).optional()
}

pub(super) fn insert_lease(c: &mut Conn, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::insert_into(log_lease::table)
        .values((
            log_lease::name.eq(SEQUENCER),
            log_lease::owner.eq(owner),
            log_lease::epoch.eq(1_i64),
            log_lease::leased_until.eq(until),
        ))
        .execute(c)
}

/// Takes or renews the lease that stood at `seen`; no row if it has moved since.
pub(super) fn set_lease(c: &mut Conn, seen: i64, owner: &str, epoch: i64, until: Instant) -> QueryResult<usize> {
    diesel::update(log_lease::table.find(SEQUENCER).filter(log_lease::epoch.eq(seen)))
        .set((log_lease::owner.eq(owner), log_lease::epoch.eq(epoch), log_lease::leased_until.eq(until)))
        .execute(c)
}

/// Says why the holder of the lease cannot go on, or that it can.
pub(super) fn set_problem(c: &mut Conn, problem: Option<&str>) -> QueryResult<usize> {
    diesel::update(log_lease::table.find(SEQUENCER)).set(log_lease::problem.eq(problem)).execute(c)
}

/// When the entry that has waited longest was recorded.
pub(super) fn find_oldest_queued(c: &mut Conn) -> QueryResult<Option<Instant>> {
    log_queue::table
        .inner_join(log_entries::table)
        .order(log_queue::entry_id)
        .select(log_entries::recorded_at)
        .first(c)
        .optional()
}

pub(super) fn count_places(c: &mut Conn) -> QueryResult<i64> {
    log_sequence::table.count().get_result(c)
}

pub(super) fn count_entries(c: &mut Conn) -> QueryResult<i64> {
    log_entries::table.count().get_result(c)
}

/// Statements with their log entries, in the order of the entries' identifiers.
pub(super) fn list_statements_with_leaves(
    c: &mut Conn,
    after: Option<EntryId>,
    limit: i64,
) -> QueryResult<Vec<(StatementRow, String)>> {
    let mut query = statements::table
        .inner_join(log_entries::table)
        .order(statements::entry_id)
        .limit(limit)
        .select((StatementRow::as_select(), log_entries::leaf))
        .into_boxed();
    if let Some(after) = after {
        query = query.filter(statements::entry_id.gt(after));
    }
    query.load(c)
}

pub(super) fn count_statements(c: &mut Conn) -> QueryResult<i64> {
    statements::table.count().get_result(c)
}
