//! Usage: how much was downloaded under each licence, for the licensee and for the provider.
//!
//! It is counted in the transaction that records the receipts. A shard counts once a day (UTC) under a licence, whole, however
//! many links to it were given: a download that is resumed, and a client that reads by ranges, download it once. So either
//! side can count it again from its receipts. Each process counts in rows of its own, so that no two wait for each other.
//!
//! Terms may say how much is [expected](crate::terms::ExpectedDownloads). More is not refused: answers carry a warning, and
//! both sides are told.
//!
//! Invariant: both sides are told of more than is expected once in each window of the terms.

mod queries;
pub(crate) mod routes;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::NaiveDate;

use super::desk::Written;
use super::{Entitlement, Planned, Receipt};
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::terms::{self, ExpectedDownloads};
use crate::text_enum;
use crate::types::{DAY, EntitlementId, Instant, ListingId, Page, PageQuery, VersionId};
use crate::{history, market};

/// The longest period that is summed up at a time, in days.
const MAX_PERIOD_DAYS: i64 = 366;
/// Paths that are looked up at a time.
const PATHS: usize = 500;

text_enum! {
    /// On which side of the licences an organisation stands.
    pub enum UsageSide {
        /// What it downloaded, by licence.
        Licensee = "licensee",
        /// What was downloaded of its corpora, by listing.
        Provider = "provider",
    }
}

/// Which usage.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    /// The handle of the organisation.
    pub organisation: String,
    /// On which side.
    pub side: UsageSide,
    /// The first day (UTC); that of the present month when absent.
    pub from: Option<String>,
    /// The last day; the present one when absent.
    pub to: Option<String>,
}

/// What is counted together: the downloads under a licence, or under all that were bought at a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// A licence.
    Licence(EntitlementId),
    /// The licences that were bought at a listing.
    Listing(ListingId),
}

/// What was downloaded of a version.
#[derive(Debug, Clone)]
pub struct Usage {
    /// Under what.
    pub under: Under,
    /// The version.
    pub version_id: VersionId,
    /// Under how many licences.
    pub licences: i64,
    /// How many shards, each once a day and licence.
    pub shards: i64,
    /// The sum of their sizes.
    pub bytes: i64,
    /// The sum of their records, as far as shards say how many they hold.
    pub records: i64,
}

/// What an organisation downloaded, or what was downloaded of its corpora, in a period: for its members.
///
/// # Errors
/// `NotFound` or `Forbidden` unless the caller is one; `Invalid`, naming the parameter.
pub fn usage(c: &mut Conn, caller: &Caller, query: &UsageQuery, page: &PageQuery, now: Instant) -> Result<Page<Usage>> {
    let organisation = identity::for_member(c, caller, &query.organisation, &[])?;
    let (from, to) = period(query, now)?;
    let (limit, after) = (page.limit()?, after(page)?);
    let days = (from.as_str(), to.as_str());
    let rows = match query.side {
        UsageSide::Licensee => queries::list_by_licence(c, organisation.id, days, after, limit.saturating_add(1))?,
        UsageSide::Provider => queries::list_by_listing(c, organisation.id, days, after, limit.saturating_add(1))?,
    };
    Ok(Page::new(rows, limit, |row| match row.under {
        Under::Licence(id) => format!("{id}.{}", row.version_id),
        Under::Listing(id) => format!("{id}.{}", row.version_id),
    }))
}

/// The first and the last day of a period.
fn period(query: &UsageQuery, now: Instant) -> Result<(String, String)> {
    let read = |field: &str, text: &str| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|date| date.to_string() == text);
        date.ok_or_else(|| Error::invalid(field, format!("{text:?} is not a day such as 2026-01-31")))
    };
    let today = now.day();
    let to = read("to", query.to.as_deref().unwrap_or(&today))?;
    let first = format!("{}01", today.get(..8).unwrap_or_default());
    let from = read("from", query.from.as_deref().unwrap_or(&first))?;
    let days = (to - from).num_days().saturating_add(1);
    if !(1..=MAX_PERIOD_DAYS).contains(&days) {
        let detail = format!("from {from} to {to} are {days} days, not 1 to {MAX_PERIOD_DAYS}");
        return Err(Error::invalid("to", detail).remedy("ask for one year at a time"));
    }
    Ok((from.to_string(), to.to_string()))
}

/// The line after which a page begins: a licence or listing, and a version.
fn after(page: &PageQuery) -> Result<(&str, &str)> {
    match page.after()? {
        "" => Ok(("", "")),
        key => key.split_once('.').ok_or_else(PageQuery::not_a_cursor),
    }
}

/// How much is counted at a time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    shards: i64,
    bytes: i64,
    records: i64,
}

/// Counts receipts under these licences that are about to be recorded, in the rows of one desk.
pub(super) fn count(
    c: &mut Conn,
    desk: &str,
    licences: &HashMap<EntitlementId, Entitlement>,
    receipts: &[(VersionId, &Written)],
    now: Instant,
) -> Result<()> {
    let mut groups: BTreeMap<(EntitlementId, VersionId, Instant), BTreeMap<&str, &Written>> = BTreeMap::new();
    for (version, metered) in receipts {
        let Receipt { entitlement, path, issued_at, .. } = &metered.receipt;
        groups.entry((*entitlement, *version, issued_at.day_began())).or_default().insert(path, metered);
    }
    for ((id, version, start), shards) in groups {
        let licence = licences.get(&id).ok_or_else(|| Error::internal(format!("{id} was not looked at")))?;
        let paths: Vec<&str> = shards.keys().copied().collect();
        let known = counted(c, id, version, &paths, start)?;
        let mut sum = Count::default();
        for (_, Written { receipt, records, .. }) in shards.into_iter().filter(|(path, _)| !known.contains(*path)) {
            sum.shards = sum.shards.saturating_add(1);
            sum.bytes = sum.bytes.saturating_add(receipt.size_bytes);
            sum.records = sum.records.saturating_add(records.unwrap_or(0));
        }
        if sum.shards > 0 {
            let trade = market::orders::trade(c, licence.order_id)?;
            queries::add(c, (id, trade), (version, &start.day(), desk), sum)?;
            tell_of_excess(c, licence, version, now)?;
        }
    }
    Ok(())
}

/// How many downloads were counted of what a licence was bought with: at least as many as there are different shards in its
/// receipts, for each shard counts on the day of its first.
pub(super) fn shards_of(c: &mut Conn, licence: &Entitlement) -> Result<i64> {
    Ok(queries::sum_shards(c, licence.id, licence.version_id)?)
}

/// Which of these shards were counted on a day already.
fn counted(
    c: &mut Conn,
    licence: EntitlementId,
    version: VersionId,
    paths: &[&str],
    at: Instant,
) -> Result<HashSet<String>> {
    let start = at.day_began();
    let mut known = HashSet::new();
    for paths in paths.chunks(PATHS) {
        known.extend(queries::list_downloaded(c, (licence, version), paths, (start, start.plus(DAY)))?);
    }
    Ok(known)
}

/// How much more than is expected a licensee downloads of a version.
#[derive(Debug, Clone, Copy)]
struct Excess {
    expected: ExpectedDownloads,
    bytes: i64,
}

/// What was downloaded of a version within the terms' window, with so many bytes more, if that exceeds what is expected.
fn excess(c: &mut Conn, licence: &Entitlement, version: VersionId, more: i64, now: Instant) -> Result<Option<Excess>> {
    let Some(expected) = expectation(c, licence)? else { return Ok(None) };
    let bytes = queries::sum_since(c, licence.id, version, &window(expected, now))?.saturating_add(more);
    let most = licensed_bytes(c, licence, version)?.saturating_mul(i64::from(expected.times));
    Ok((bytes > most).then_some(Excess { expected, bytes }))
}

fn expectation(c: &mut Conn, licence: &Entitlement) -> Result<Option<ExpectedDownloads>> {
    Ok(terms::terms(c, licence.terms_id)?.document.expected_downloads)
}

/// The first day of the window that ends today.
fn window(ExpectedDownloads { per_days, .. }: ExpectedDownloads, now: Instant) -> String {
    now.minus(DAY * per_days.saturating_sub(1).unsigned_abs()).day()
}

/// How much a licence lets its holder download of a version: a sealed version never changes, and a part never does.
fn licensed_bytes(c: &mut Conn, licence: &Entitlement, version: VersionId) -> Result<i64> {
    match licence.selection().filter(|_| version == licence.version_id) {
        Some(selection) => Ok(catalog::choose(c, version, selection)?.0.bytes),
        None => Ok(catalog::seal_of(c, version)?.total_bytes),
    }
}

/// Tells both sides that more is downloaded than is expected, unless they were told within the window.
fn tell_of_excess(c: &mut Conn, licence: &Entitlement, version: VersionId, now: Instant) -> Result<()> {
    let Some(Excess { expected, .. }) = excess(c, licence, version, 0, now)? else { return Ok(()) };
    if queries::is_told(c, licence.id, version, &window(expected, now))? {
        return Ok(());
    }
    queries::insert_told(c, licence.id, version, &now.day())?;
    let reason = format!("{} was downloaded {}", name(c, version)?, more_than(expected));
    history::record(c, licence.id, Some(licence.state.as_str()), "downloads_exceeded", "exchange", &reason, now)
}

fn name(c: &mut Conn, version: VersionId) -> Result<String> {
    let name = catalog::name_of(c, version)?;
    Ok(format!("{} v{}", name.dataset, name.number))
}

fn more_than(ExpectedDownloads { times, per_days }: ExpectedDownloads) -> String {
    let plural = |number: i32| if number == 1 { "" } else { "s" };
    format!("more than {times} time{} within {per_days} day{}", plural(times), plural(per_days))
}

/// The warning to a licensee that, with what it asks for now, downloads more of a version than is expected.
pub(super) fn warning(
    c: &mut Conn,
    licence: &Entitlement,
    version: VersionId,
    planned: &[Planned],
    now: Instant,
) -> Result<Option<String>> {
    if expectation(c, licence)?.is_none() {
        return Ok(None);
    }
    let sizes: BTreeMap<&str, i64> =
        planned.iter().map(|one| (one.shard.path.as_str(), one.shard.size_bytes)).collect();
    let paths: Vec<&str> = sizes.keys().copied().collect();
    let known = counted(c, licence.id, version, &paths, now)?;
    let new = sizes.iter().filter(|(path, _)| !known.contains(**path)).map(|(_, size)| *size);
    let more = new.fold(0, i64::saturating_add);
    let Some(Excess { expected, bytes }) = excess(c, licence, version, more, now)? else { return Ok(None) };
    let (name, extent) = (name(c, version)?, more_than(expected));
    Ok(Some(format!(
        "you download {name} {extent}, {bytes} bytes, which is more than the terms of your licence expect"
    )))
}
