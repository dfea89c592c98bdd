//! The `downloads` and `download_excesses` tables, and which shards have a receipt.

use diesel::dsl::{exists, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::{Count, Under, Usage};
use crate::db::{Among as _, Conn};
use crate::market::orders::Trade;
use crate::schema::{download_excesses, downloads, receipts, shards};
use crate::types::{EntitlementId, Instant, ListingId, OrganisationId, VersionId};

type Sums = (i64, i64, i64, i64);

/// Adds to what a desk counted under a licence, of a version and on a day.
pub(super) fn add(
    c: &mut Conn,
    (licence, trade): (EntitlementId, Trade),
    (version, day, desk): (VersionId, &str, &str),
    more: Count,
) -> QueryResult<()> {
    let row = downloads::table.find((licence, version, day, desk));
    let added = diesel::update(row)
        .set((
            downloads::shards.eq(downloads::shards + more.shards),
            downloads::bytes.eq(downloads::bytes + more.bytes),
            downloads::records.eq(downloads::records + more.records),
        ))
        .execute(c)?;
    if added == 0 {
        diesel::insert_into(downloads::table)
            .values((
                downloads::entitlement_id.eq(licence),
                downloads::version_id.eq(version),
                downloads::day.eq(day),
                downloads::desk.eq(desk),
                downloads::organisation_id.eq(trade.buyer_id),
                downloads::provider_id.eq(trade.provider_id),
                downloads::listing_id.eq(trade.listing_id),
                downloads::shards.eq(more.shards),
                downloads::bytes.eq(more.bytes),
                downloads::records.eq(more.records),
            ))
            .execute(c)?;
    }
    Ok(())
}

/// Those of these shards for which a receipt was issued in a time.
pub(super) fn list_downloaded(
    c: &mut Conn,
    (licence, version): (EntitlementId, VersionId),
    paths: &[&str],
    (start, end): (Instant, Instant),
) -> QueryResult<Vec<String>> {
    // A shard may have many receipts: one is enough.
    let receipt = receipts::table
        .filter(receipts::entitlement_id.eq(licence))
        .filter(receipts::version_id.eq(version))
        .filter(receipts::path.eq(shards::path))
        .filter(receipts::issued_at.ge(start).and(receipts::issued_at.lt(end)));
    shards::table
        .filter(shards::version_id.eq(version))
        .filter(shards::path.among(paths))
        .filter(exists(receipt))
        .select(shards::path)
        .load(c)
}

/// How many bytes of a version were downloaded under a licence from a day on.
pub(super) fn sum_since(c: &mut Conn, licence: EntitlementId, version: VersionId, day: &str) -> QueryResult<i64> {
    downloads::table
        .filter(downloads::entitlement_id.eq(licence))
        .filter(downloads::version_id.eq(version))
        .filter(downloads::day.ge(day))
        .select(sql::<BigInt>("CAST(COALESCE(SUM(downloads.bytes), 0) AS BIGINT)"))
        .first(c)
}

/// How many shards of a version were downloaded under a licence, each once a day.
pub(super) fn sum_shards(c: &mut Conn, licence: EntitlementId, version: VersionId) -> QueryResult<i64> {
    downloads::table
        .filter(downloads::entitlement_id.eq(licence))
        .filter(downloads::version_id.eq(version))
        .select(sql::<BigInt>("CAST(COALESCE(SUM(downloads.shards), 0) AS BIGINT)"))
        .first(c)
}

pub(super) fn is_told(c: &mut Conn, licence: EntitlementId, version: VersionId, since: &str) -> QueryResult<bool> {
    let told = download_excesses::table
        .filter(download_excesses::entitlement_id.eq(licence))
        .filter(download_excesses::version_id.eq(version))
        .filter(download_excesses::day.ge(since));
    diesel::select(exists(told)).get_result(c)
}

pub(super) fn insert_told(c: &mut Conn, licence: EntitlementId, version: VersionId, day: &str) -> QueryResult<usize> {
    diesel::insert_into(download_excesses::table)
        .values((
            download_excesses::entitlement_id.eq(licence),
            download_excesses::version_id.eq(version),
            download_excesses::day.eq(day),
        ))
        .execute(c)
}

/// What an organisation downloaded in some days, by licence and version.
pub(super) fn list_by_licence(
    c: &mut Conn,
    holder: OrganisationId,
    (from, to): (&str, &str),
    (licence, version): (&str, &str),
    limit: i64,
) -> QueryResult<Vec<Usage>> {
    let later = downloads::entitlement_id.eq(licence).and(downloads::version_id.gt(version));
    let rows: Vec<(EntitlementId, VersionId, Sums)> = downloads::table
        .filter(downloads::organisation_id.eq(holder))
        .filter(downloads::day.between(from, to))
        .filter(downloads::entitlement_id.gt(licence).or(later))
        .group_by((downloads::entitlement_id, downloads::version_id))
        .order((downloads::entitlement_id, downloads::version_id))
        .limit(limit)
        .select((downloads::entitlement_id, downloads::version_id, sums()))
        .load(c)?;
    Ok(rows.into_iter().map(|(id, version, sums)| usage(Under::Licence(id), version, sums)).collect())
}

/// What was downloaded of an organisation's corpora in some days, by listing and version.
pub(super) fn list_by_listing(
    c: &mut Conn,
    provider: OrganisationId,
    (from, to): (&str, &str),
    (listing, version): (&str, &str),
    limit: i64,
) -> QueryResult<Vec<Usage>> {
    let later = downloads::listing_id.eq(listing).and(downloads::version_id.gt(version));
    let rows: Vec<(ListingId, VersionId, Sums)> = downloads::table
        .filter(downloads::provider_id.eq(provider))
        .filter(downloads::day.between(from, to))
        .filter(downloads::listing_id.gt(listing).or(later))
        .group_by((downloads::listing_id, downloads::version_id))
        .order((downloads::listing_id, downloads::version_id))
        .limit(limit)
        .select((downloads::listing_id, downloads::version_id, sums()))
        .load(c)?;
    Ok(rows.into_iter().map(|(id, version, sums)| usage(Under::Listing(id), version, sums)).collect())
}

fn usage(under: Under, version_id: VersionId, (licences, shards, bytes, records): Sums) -> Usage {
    Usage { under, version_id, licences, shards, bytes, records }
}

type Sum = diesel::expression::SqlLiteral<BigInt>;

/// Sums are of any size to PostgreSQL; these fit.
fn sums() -> (Sum, Sum, Sum, Sum) {
    (
        sql("COUNT(DISTINCT downloads.entitlement_id)"),
        sql("CAST(SUM(downloads.shards) AS BIGINT)"),
        sql("CAST(SUM(downloads.bytes) AS BIGINT)"),
        sql("CAST(SUM(downloads.records) AS BIGINT)"),
    )
}
