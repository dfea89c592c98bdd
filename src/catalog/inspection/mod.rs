//! Inspection: what the exchange finds when it reads a sealed version, and the sample that it draws.
//!
//! A job reads every shard once, as far as it is JSON Lines or Parquet: it counts records, tells the columns apart and
//! measures them, and draws a few records by a [`draw`] that neither the provider nor the exchange can steer. What it
//! finds is a signed statement. Whoever has the shards can draw again and compare.
//!
//! Nothing about a shard is trusted: what it unpacks to, how long its records are and how deep they go have limits, and
//! memory is bounded whatever its size. Reading takes far longer than hashing, so a version is sealed before it is
//! inspected; one with a shard that is not what it says it is gets no sample, and its listings are taken off the board
//! with the reason.
//!
//! Invariant: a version is inspected once, and what was found never changes.

mod columns;
pub mod draw;
mod extent;
mod footer;
mod layout;
mod lines;
mod pages;
mod queries;
pub(crate) mod routes;
mod source;
mod survey;
mod table;
mod unpacking;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use diesel::{Insertable, Queryable, Selectable};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub use self::columns::{Column, ColumnType, Lengths};
pub use self::layout::{NamedType, ShardColumns};
pub use self::source::{ShardFile, Source};
pub use self::survey::{Format, FormatShare, Survey, UnreadableShard};
pub use self::unpacking::{Limits, Packing};

use self::draw::Drawn;
use self::source::StoredShard;
use super::uploads::verification::put_verified;
use super::{Dataset, Seal, Shard, StoredObject, Version, queries as catalog_queries};
use crate::app::App;
use crate::config::MAX_SHARDS;
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::jobs::{self, Job};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, Statement, StatementKind, lot};
use crate::schema::inspections;
use crate::signing::{Envelope, canonical_json};
use crate::store::StorageKey;
use crate::types::{Digest, Instant, ObjectId, StatementId, VersionId, length};

/// The name of the sample among a statement's subjects, and the path under which it is delivered.
pub const SAMPLE_PATH: &str = "sample.jsonl";
/// What the sample's bytes are.
pub const SAMPLE_MEDIA_TYPE: &str = "application/jsonl";
/// The step of a version that was inspected, whatever its state: it stays as it is.
pub const INSPECTED: &str = "inspected";
/// Of how many versions the findings are read at a time: those of one may be some hundred kilobytes.
const READ_TOGETHER: usize = 20;

/// The inspection of a version.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = inspections, check_for_backend(MultiBackend))]
pub struct Inspection {
    /// Of which version.
    pub version_id: VersionId,
    /// The exchange's statement of what it found.
    pub statement_id: StatementId,
    /// The sample's bytes: records as JSON Lines, the lowest rank first. Absent where none could be drawn.
    pub sample_object_id: Option<ObjectId>,
    /// Why the version may not be offered: the first shard that is not what it says it is.
    pub refusal: Option<String>,
    /// When it was made.
    pub inspected_at: Instant,
}

/// What the exchange states of a version that it read (`schemas/inspection.v1.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// The digest of its signed manifest.
    pub manifest_sha256: Digest,
    /// The shards by format.
    pub formats: Vec<FormatShare>,
    /// How many records were read.
    pub records: u64,
    /// How many tokens their text has.
    pub tokens: u64,
    /// What counted them.
    pub tokenizer: String,
    /// The columns, by name; the first 256.
    pub columns: Vec<Column>,
    /// Whether there are more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub further_columns: bool,
    /// The shards whose columns are not just those of their format; of a hundred shards at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<ShardColumns>,
    /// Whether there are shards that were not compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub further_shards: bool,
    /// How many shards do not match the extension of their path.
    pub unreadable_shards: u64,
    /// The first hundred of them.
    pub unreadable: Vec<UnreadableShard>,
    /// What was drawn; absent where no record was read, or some shard is unreadable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// When it was found.
    pub inspected_at: Instant,
}

/// A sample of a version, and how it was drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The exchange's signature under the manifest's digest, from which the seed comes.
    pub lot: Envelope,
    /// What was drawn, the lowest rank first.
    pub records: Vec<SampledRecord>,
    /// The SHA-256 of the sample: these records, each followed by a line feed.
    pub sha256: Digest,
    /// Its size.
    pub size_bytes: u64,
}

/// One record of a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampledRecord {
    /// The path of its shard.
    pub path: String,
    /// Its index among the records of the shard, from 0.
    pub index: u64,
    /// The SHA-256 of its bytes: of the line, or of a row as JSON.
    pub sha256: Digest,
}

impl From<&Drawn> for SampledRecord {
    fn from(drawn: &Drawn) -> Self {
        Self { path: drawn.path.clone(), index: drawn.index, sha256: Digest::of(&drawn.bytes) }
    }
}

/// Where the sample of a version lies, and its size.
///
/// # Errors
/// `NotFound` when none was drawn.
pub fn sample_of(c: &mut Conn, inspection: &Inspection) -> Result<(StorageKey, u64)> {
    let object = inspection.sample_object_id.map(|id| catalog_queries::find_object(c, id)).transpose()?.flatten();
    let object = object.ok_or_else(|| {
        let why = inspection.refusal.as_deref().unwrap_or("no shard holds records as JSON Lines or Parquet");
        Error::not_found("a sample of this version").remedy(format!("none was drawn: {why}"))
    })?;
    Ok((object.storage_key, u64::try_from(object.size_bytes).unwrap_or(0)))
}

/// The inspection of a version, if it was made.
///
/// # Errors
/// Those of the database.
pub fn find(c: &mut Conn, version: VersionId) -> Result<Option<Inspection>> {
    Ok(queries::find_inspection(c, version)?)
}

/// The inspection of a version. Callers authorise.
///
/// # Errors
/// `WrongState` while the version is not sealed, and then `NotFound` while there is none.
pub fn inspection_of(c: &mut Conn, version: VersionId) -> Result<Inspection> {
    super::seal_of(c, version)?;
    find(c, version)?.ok_or_else(|| {
        Error::not_found("an inspection of this version")
            .remedy("it is made after the version is sealed: ask again soon")
    })
}

/// What an inspection found, and the statement that says so.
///
/// # Errors
/// Those of the database.
pub fn findings(c: &mut Conn, inspection: &Inspection) -> Result<(Findings, provenance::StoredStatement)> {
    let stored = provenance::statement(c, inspection.statement_id)?;
    let statement: Statement = serde_json::from_slice(&stored.envelope.payload.0)?;
    Ok((serde_json::from_value(statement.predicate)?, stored))
}

/// The names of the columns of each of these versions that was inspected.
///
/// # Errors
/// Those of the database.
pub fn column_names(c: &mut Conn, versions: &[VersionId]) -> Result<HashMap<VersionId, Vec<String>>> {
    let mut names = HashMap::new();
    for some in versions.chunks(READ_TOGETHER) {
        for (version, envelope) in queries::list_statements(c, some)? {
            // A statement in a form that is no longer read gives no names, and does not keep others from giving theirs.
            names.insert(version, names_stated(&envelope.0).unwrap_or_default());
        }
    }
    Ok(names)
}

/// The names of the columns in a statement of what was found; the rest of it is passed over.
fn names_stated(envelope: &Envelope) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Stated {
        predicate: Found,
    }
    #[derive(Deserialize)]
    struct Found {
        columns: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let stated: Stated = serde_json::from_slice(&envelope.payload.0)?;
    Ok(stated.predicate.columns.into_iter().map(|column| column.name).collect())
}

impl Findings {
    /// The columns of a shard's records; none where they are not known.
    pub fn columns_of(&self, path: &str) -> Option<&[NamedType]> {
        if let Some(own) = self.differing.iter().find(|shard| shard.path == path) {
            return Some(&own.columns);
        }
        let of = Format::of(path);
        self.columns_of_format(of).filter(|_| !self.further_shards)
    }

    /// The columns of the records in all shards of a format together.
    pub fn columns_of_format(&self, (format, packing): (Format, Option<Packing>)) -> Option<&[NamedType]> {
        let share = self.formats.iter().find(|share| share.format == format && share.packing == packing)?;
        Some(&share.columns)
    }
}

/// Refuses a version with a shard that is not what it says it is.
///
/// # Errors
/// `WrongState`, with the shard and the reason.
pub fn require_readable(c: &mut Conn, version: VersionId) -> Result<()> {
    match find(c, version)?.and_then(|inspection| inspection.refusal) {
        None => Ok(()),
        Some(refusal) => Err(Error::new(Kind::WrongState, refusal).remedy("mend the shard, and publish a new version")),
    }
}

/// What an inspection needs to know.
struct Plan {
    dataset: Dataset,
    version: Version,
    seal: Seal,
    lot: Envelope,
    seed: Digest,
    /// Every shard, and where its bytes lie.
    shards: Vec<(Shard, StorageKey)>,
}

/// Reads a version, and states what is found.
///
/// # Errors
/// Those of the store and the database: the job is to be tried again.
pub async fn inspect_version(app: &App, version_id: VersionId) -> Result<()> {
    let keys = app.keys.clone();
    let Some(plan) = app.db.read(move |c| plan(c, &keys, version_id)).await? else { return Ok(()) };
    let mut survey = Survey::new(plan.seed, Limits::ORDINARY);
    // When this is dropped, whoever reads for it stops, too.
    let stop = CancellationToken::new();
    let _given_up = stop.clone().drop_guard();
    for (shard, key) in &plan.shards {
        survey = read(app, survey, shard, key, &stop).await?;
    }
    let (findings, sample) = conclude(&plan, survey, app.clock.now());
    let object = match sample {
        Some(bytes) => Some(keep(app, version_id, bytes).await?),
        None => None,
    };
    let (keys, now) = (app.keys.clone(), app.clock.now());
    app.db.write(move |c| record(c, &keys, version_id, object.as_ref(), &findings, now)).await
}

fn plan(c: &mut Conn, keys: &ExchangeKeys, version_id: VersionId) -> Result<Option<Plan>> {
    if find(c, version_id)?.is_some() {
        return Ok(None);
    }
    let (dataset, version) = super::version(c, version_id)?;
    let seal = super::seal_of(c, version_id)?;
    let (lot, exchange) =
        provenance::sign_apart(c, keys, lot::LOT_TYPE, canonical_json(&lot::lot(seal.manifest_sha256))?)?;
    let seed = lot::seed(&lot, seal.manifest_sha256, exchange)?;
    let most = i64::try_from(MAX_SHARDS).unwrap_or(i64::MAX);
    let shards = catalog_queries::list_stored_shards(c, version_id, most)?;
    Ok(Some(Plan { dataset, version, seal, lot, seed, shards }))
}

/// Shows a survey every record of a shard.
async fn read(
    app: &App,
    mut survey: Survey,
    shard: &Shard,
    key: &StorageKey,
    stop: &CancellationToken,
) -> Result<Survey> {
    let size_bytes = u64::try_from(shard.size_bytes).unwrap_or(0);
    let stored = Arc::new(StoredShard::new(app.store.clone(), key.clone(), size_bytes, stop.clone()));
    let (path, sha256, source) = (shard.path.clone(), shard.sha256, stored.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let source: Arc<dyn Source> = source;
        survey.read(&path, sha256, &source);
        survey
    });
    let survey = reading.await.map_err(|error| Error::internal("an inspection panicked").because(error))?;
    match stored.fault() {
        None => Ok(survey),
        Some(fault) => Err(fault),
    }
}

/// The findings of a survey, and the bytes of its sample.
fn conclude(plan: &Plan, mut survey: Survey, now: Instant) -> (Findings, Option<Bytes>) {
    let (formats, further_columns) = (survey.formats(), survey.columns.further);
    let (differing, further_shards) = survey.differing();
    let unreadable = std::mem::take(&mut survey.unreadable);
    let records = survey.columns.records();
    let columns = survey.columns.finish();
    let drawn = survey.draw.finish();
    let drawn = if survey.unreadable_shards == 0 { drawn } else { Vec::new() };
    let bytes: Vec<u8> = drawn.iter().flat_map(|one| one.bytes.iter().copied().chain([b'\n'])).collect();
    let sample = (!drawn.is_empty()).then(|| Sample {
        lot: plan.lot.clone(),
        records: drawn.iter().map(SampledRecord::from).collect(),
        sha256: Digest::of(&bytes),
        size_bytes: length(&bytes),
    });
    let bytes = sample.is_some().then(|| Bytes::from(bytes));
    let findings = Findings {
        dataset: plan.dataset.full_name(),
        version: plan.version.number,
        manifest_sha256: plan.seal.manifest_sha256,
        formats,
        records,
        tokens: columns.iter().fold(0, |sum, column| sum.saturating_add(column.tokens)),
        tokenizer: columns::tokenizer(),
        columns,
        further_columns,
        differing,
        further_shards,
        unreadable_shards: survey.unreadable_shards,
        unreadable,
        sample,
        inspected_at: now,
    };
    (findings, bytes)
}

/// The object with a sample's bytes: put into the store and read back, unless it stands already.
async fn keep(app: &App, version: VersionId, bytes: Bytes) -> Result<StoredObject> {
    let sha256 = Digest::of(&bytes);
    if let Some(standing) = app.db.read(move |c| Ok(catalog_queries::find_object_by_digest(c, sha256)?)).await? {
        return Ok(standing);
    }
    let storage_key = sample_key(version, sha256);
    let size_bytes = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let etag = put_verified(&app.store, &storage_key, bytes, sha256).await?;
    let now = app.clock.now();
    Ok(StoredObject { id: ObjectId::new(now), sha256, size_bytes, storage_key, etag, verified_at: now })
}

/// Where a sample lies. The key is made of the version, so that an inspection that was cut off leaves nothing behind that the
/// next one does not take up; and of the bytes, so that no inspection replaces what another one recorded: while one key of
/// the exchange takes over from another, two of them may draw by different lots.
fn sample_key(version: VersionId, sha256: Digest) -> StorageKey {
    StorageKey::named(&format!("sample of {version}: {sha256}"))
}

fn record(
    c: &mut Conn,
    keys: &ExchangeKeys,
    version_id: VersionId,
    object: Option<&StoredObject>,
    findings: &Findings,
    now: Instant,
) -> Result<()> {
    if find(c, version_id)?.is_some() {
        return Ok(()); // another worker was faster
    }
    let sample_object_id = match object {
        None => None,
        Some(object) => Some(match catalog_queries::find_object_by_digest(c, object.sha256)? {
            Some(standing) => standing.id,
            None => {
                catalog_queries::insert_object(c, object)?;
                object.id
            }
        }),
    };
    let mut subjects = vec![ResourceDescriptor::new("manifest", findings.manifest_sha256)];
    subjects.extend(findings.sample.as_ref().map(|sample| ResourceDescriptor::new(SAMPLE_PATH, sample.sha256)));
    let inspected_at = findings.inspected_at;
    let statement =
        provenance::declare(c, keys, StatementKind::Inspection, version_id, subjects, findings, inspected_at)?;
    let refusal = findings
        .unreadable
        .first()
        .map(|UnreadableShard { path, reason }| format!("shard {path:?} is not what it says it is: {reason}"));
    if refusal.is_some() {
        jobs::enqueue(c, Job::ReviewListings { version_id }, now)?;
    }
    let inspection = Inspection { version_id, statement_id: statement.id, sample_object_id, refusal, inspected_at };
    queries::insert_inspection(c, &inspection)?;
    let (_, version) = super::version(c, version_id)?;
    // The version may have gone on since it was read.
    history::record(c, version_id, Some(version.state.as_str()), INSPECTED, "exchange", "the exchange read it", now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sample_of_a_version_takes_no_others_place() {
        let version = VersionId::new(Instant::from_unix_micros(0));
        let key = |bytes: &str| sample_key(version, Digest::of(bytes));
        assert_eq!(key("one"), key("one"), "the same sample lies where it lay");
        assert_ne!(key("one"), key("another"));
    }
}
