//! The catalogue: datasets, their versions, and the shards that these consist of.
//!
//! A dataset belongs to an organisation. A version starts as a draft, whose card and shards may change; sealing it
//! with the provider's signed manifest ends that for ever. Bytes arrive through [`uploads`] and become shards only
//! after they were read back from the store and found to have the declared size and digest.
//!
//! Invariant: a sealed version's card and shards never change.
//! Invariant: every shard refers to an object, and every object's bytes were verified.
//! Invariant: whoever is not an insider of the organisation learns of a version only once it is assessed.

pub mod card;
pub mod datasets;
pub mod facets;
pub mod glob;
pub mod inspection;
pub mod lineage;
pub mod manifest;
mod measure;
pub mod paths;
mod queries;
pub(crate) mod routes;
pub mod seal;
mod selection;
mod shards;
pub mod stored;
pub mod uploads;
pub mod versions;

use std::fmt::{self, Display};

use diesel::{Insertable, Queryable, Selectable};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::db::{self, Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{Caller, Role};
use crate::schema::{objects as objects_table, organisations, seals, versions as versions_table};
use crate::store::StorageKey;
use crate::text_enum;
use crate::types::{DatasetId, Digest, Instant, Json, ObjectId, OrganisationId, StatementId, VersionId};

pub use datasets::{Domain, Modality};
pub use manifest::{Manifest, ManifestShard, Origin};
pub use measure::{LOOKED_THROUGH_AT_ONCE, Measure, Media, media_of};
pub use paths::check_path;
pub use selection::{Part, Selection, choose};
pub use shards::{Shard, all_shards, shard, shards, shards_with_digests_in};
pub use uploads::verification::{sweep_object, sweep_stale_uploads, verify_upload};

/// A named corpus.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = crate::schema::datasets, check_for_backend(MultiBackend))]
pub struct Dataset {
    /// Which dataset.
    pub id: DatasetId,
    /// Whose it is.
    pub organisation_id: OrganisationId,
    /// The handle of that organisation.
    #[diesel(select_expression = organisations::handle)]
    pub handle: String,
    /// The name within the organisation.
    pub name: String,
    /// The title that people read.
    pub title: String,
    /// What kind of data it is.
    pub modality: Modality,
    /// What it is about.
    pub domain: Domain,
    /// In which languages: BCP 47 tags.
    #[diesel(deserialize_as = Json<Vec<String>>)]
    pub languages: Vec<String>,
    /// When it was registered.
    pub created_at: Instant,
}

impl Dataset {
    /// `organisation/name`: how documents and people refer to it.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.handle, self.name)
    }

    /// The path at which the exchange shows it: its name in documents that others read, after the exchange's address.
    pub fn path(&self) -> String {
        format!("/v1/datasets/{}/{}", self.handle, self.name)
    }

    /// The same of one of its versions.
    pub fn version_path(&self, number: i32) -> String {
        format!("{}/versions/{number}", self.path())
    }
}

text_enum! {
    /// The life of a version.
    pub enum VersionState {
        /// Its card and shards may change.
        Draft = "draft",
        /// The provider signed what it consists of.
        Sealed = "sealed",
        /// Compliance looks at it.
        Assessing = "assessing",
        /// Compliance found it fit.
        Assessed = "assessed",
        /// Compliance found it unfit.
        Rejected = "rejected",
    }
}

/// One edition of a dataset, without its card, which may be long: see [`card_of`].
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = versions_table, check_for_backend(MultiBackend))]
pub struct Version {
    /// Which version.
    pub id: VersionId,
    /// Of which dataset.
    pub dataset_id: DatasetId,
    /// 1, 2, 3 … within the dataset.
    pub number: i32,
    /// Where in its life it is.
    pub state: VersionState,
    /// When it was begun.
    pub created_at: Instant,
}

/// The provider's signature under a version.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = seals, check_for_backend(MultiBackend))]
pub struct Seal {
    /// Which version.
    pub version_id: VersionId,
    /// The signed manifest.
    pub statement_id: StatementId,
    /// The digest by which the log knows the manifest.
    pub manifest_sha256: Digest,
    /// How many shards it names.
    pub shard_count: i64,
    /// The sum of their sizes.
    pub total_bytes: i64,
    /// The sum of their records, if each says how many it holds.
    pub total_records: Option<i64>,
    /// The sum of their tokens, if each says how many it holds.
    pub total_tokens: Option<i64>,
    /// When it was accepted.
    pub sealed_at: Instant,
    /// How many steps lie between it and the furthest version that it was made from.
    pub generation: i32,
}

/// Verified bytes in the store.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = objects_table, check_for_backend(MultiBackend))]
pub struct StoredObject {
    /// Which object.
    pub id: ObjectId,
    /// The SHA-256 of the bytes.
    pub sha256: Digest,
    /// Their number.
    pub size_bytes: i64,
    /// Where they lie.
    pub storage_key: StorageKey,
    /// The store's mark of the content that was verified.
    pub etag: String,
    /// When they were read back.
    pub verified_at: Instant,
}

/// A dataset as a path names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DatasetRef {
    /// The handle of the organisation.
    pub organisation: String,
    /// The name of the dataset.
    pub name: String,
}

/// A version as a path names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct VersionRef {
    /// The handle of the organisation.
    pub organisation: String,
    /// The name of the dataset.
    pub name: String,
    /// The version's number.
    #[param(minimum = 1)]
    pub number: i32,
}

impl VersionRef {
    /// The version of this number of a dataset that somebody named as `org/name`.
    ///
    /// # Errors
    /// As [`split_name`].
    pub fn of(dataset: &str, number: i32) -> Result<Self> {
        let (organisation, name) = split_name(dataset)?;
        Ok(Self { organisation: organisation.to_string(), name: name.to_string(), number })
    }
}

/// The organisation's handle and the dataset's own name, of a dataset that somebody named as `org/name`.
///
/// # Errors
/// `Invalid`, with the field `dataset`.
pub fn split_name(dataset: &str) -> Result<(&str, &str)> {
    let wrong = || Error::invalid("dataset", format!("{dataset:?} is not of the form org/name"));
    dataset.split_once('/').ok_or_else(wrong)
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dataset {}/{}", self.organisation, self.name)
    }
}
impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} of dataset {}/{}", self.number, self.organisation, self.name)
    }
}

/// True for those who see everything of an organisation: its members, operators and compliance staff.
pub fn is_insider(caller: Option<&Caller>, organisation: OrganisationId) -> bool {
    caller.is_some_and(|caller| caller.sees(organisation))
}

/// The visibility rule: insiders see every version, everybody else those that are assessed.
pub fn may_see(caller: Option<&Caller>, organisation: OrganisationId, state: VersionState) -> bool {
    state == VersionState::Assessed || is_insider(caller, organisation)
}

/// A dataset that `caller` may see: an insider any, everybody else one with an assessed version.
///
/// # Errors
/// `NotFound`.
pub fn view_dataset(c: &mut Conn, caller: Option<&Caller>, which: &DatasetRef) -> Result<Dataset> {
    let dataset = queries::find_dataset(c, &which.organisation, &which.name)?;
    let dataset = dataset.ok_or_else(|| Error::not_found(which))?;
    let seen = is_insider(caller, dataset.organisation_id) || queries::has_assessed_version(c, dataset.id)?;
    if seen { Ok(dataset) } else { Err(Error::withheld(which)) }
}

/// A version that `caller` may see; see [`may_see`].
///
/// # Errors
/// `NotFound`.
pub fn view_version(c: &mut Conn, caller: Option<&Caller>, which: &VersionRef) -> Result<(Dataset, Version)> {
    match queries::find_version(c, &which.organisation, &which.name, which.number)? {
        Some((dataset, version)) if may_see(caller, dataset.organisation_id, version.state) => Ok((dataset, version)),
        Some(_) => Err(Error::withheld(which)),
        None => Err(Error::not_found(which)),
    }
}

/// A draft that `caller` may change.
///
/// # Errors
/// `NotFound`, `Forbidden`, or `WrongState` when it is sealed.
fn edit_draft(c: &mut Conn, caller: &Caller, which: &VersionRef) -> Result<(Dataset, Version)> {
    let (dataset, version) = view_version(c, Some(caller), which)?;
    caller.may_for(dataset.organisation_id, &dataset.handle, Role::DEALERS)?;
    require_draft(&version)?;
    Ok((dataset, version))
}

fn require_draft(version: &Version) -> Result<()> {
    if version.state == VersionState::Draft {
        return Ok(());
    }
    let detail = format!("version {} is {}: only a draft can be changed", version.number, version.state);
    Err(Error::new(Kind::WrongState, detail).remedy("begin a new version"))
}

/// The dataset of this name, whoever asks: the caller of this function authorises.
///
/// # Errors
/// `NotFound`.
pub fn find_dataset(c: &mut Conn, handle: &str, name: &str) -> Result<Dataset> {
    queries::find_dataset(c, handle, name)?.ok_or_else(|| Error::not_found(format_args!("dataset {handle}/{name}")))
}

/// Up to `limit` sealed versions of these datasets, those of the greatest numbers, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn sealed_versions(c: &mut Conn, datasets: &[DatasetId], limit: i64) -> Result<Vec<VersionId>> {
    Ok(queries::list_sealed(c, datasets, limit)?)
}

/// Of each of these datasets the newest sealed version, if there is one, whoever asks.
pub fn newest_sealed_versions(c: &mut Conn, datasets: &[DatasetId]) -> Result<Vec<VersionId>> {
    Ok(queries::list_newest_sealed(c, datasets)?)
}

/// The version of a dataset with this number, if it is sealed, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn sealed_with_number(c: &mut Conn, dataset: DatasetId, number: i32) -> Result<Option<VersionId>> {
    Ok(queries::find_sealed(c, dataset, number)?)
}

/// The sealed versions of a dataset with a manifest whose digest begins so, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn sealed_with_digest(c: &mut Conn, dataset: DatasetId, digest: &str) -> Result<Vec<VersionId>> {
    Ok(queries::list_sealed_with(c, dataset, digest)?)
}

/// Those of these versions that are sealed, by dataset, number and seal, greatest number first, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn sealed_among(c: &mut Conn, versions: &[VersionId]) -> Result<Vec<(DatasetId, i32, Seal)>> {
    Ok(queries::list_seals_among(c, versions)?)
}

/// The version of this name, whoever asks: the caller of this function authorises.
///
/// # Errors
/// `NotFound`.
pub fn find_version(c: &mut Conn, handle: &str, name: &str, number: i32) -> Result<(Dataset, Version)> {
    queries::find_version(c, handle, name, number)?
        .ok_or_else(|| Error::not_found(format_args!("version {number} of dataset {handle}/{name}")))
}

/// The version of this identifier, whoever asks.
///
/// # Errors
/// `NotFound`.
pub fn version(c: &mut Conn, id: VersionId) -> Result<(Dataset, Version)> {
    queries::find_version_by_id(c, id)?.ok_or_else(|| Error::not_found(format_args!("version {id}")))
}

/// The card of a version, whoever asks.
///
/// # Errors
/// `NotFound`.
pub fn card_of(c: &mut Conn, id: VersionId) -> Result<String> {
    queries::find_card(c, id)?.ok_or_else(|| Error::not_found(format_args!("version {id}")))
}

/// How documents and people refer to a version: neither part ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionName {
    /// `organisation/name` of its dataset.
    pub dataset: String,
    /// Its number within the dataset.
    pub number: i32,
}

/// The name of a version, whoever asks.
///
/// # Errors
/// `NotFound`.
pub fn name_of(c: &mut Conn, id: VersionId) -> Result<VersionName> {
    let found = db::fact(c, id, |c| queries::find_version_name(c, id))?;
    found.ok_or_else(|| Error::not_found(format_args!("version {id}")))
}

/// Loads the names of these versions together, for a page that asks [`name_of`] for each.
pub fn load_names(c: &mut Conn, ids: impl IntoIterator<Item = VersionId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_version_names)?)
}

/// Whose dataset this is.
///
/// # Errors
/// `NotFound`.
pub fn owner_of_dataset(c: &mut Conn, id: DatasetId) -> Result<OrganisationId> {
    queries::find_owner(c, id)?.ok_or_else(|| Error::not_found(format_args!("dataset {id}")))
}

/// The seal of a version, if it has one.
///
/// # Errors
/// Those of the database.
pub fn find_seal(c: &mut Conn, id: VersionId) -> Result<Option<Seal>> {
    Ok(db::fact(c, id, |c| queries::find_seal(c, id))?)
}

/// Loads the seals of these versions together, for a page that asks [`find_seal`] for each.
pub fn load_seals(c: &mut Conn, ids: impl IntoIterator<Item = VersionId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_seals_by_version)?)
}

/// The seal of a version.
///
/// # Errors
/// `WrongState` when it has none.
pub fn seal_of(c: &mut Conn, id: VersionId) -> Result<Seal> {
    find_seal(c, id)?.ok_or_else(|| {
        Error::new(Kind::WrongState, "the version is not sealed")
            .remedy("the provider seals it with a signed manifest first")
    })
}

/// Moves a version from one of the states `from` to `to`, and records who did it and why.
///
/// # Errors
/// `NotFound`; `WrongState`, naming the present state.
pub fn move_state(
    c: &mut Conn,
    id: VersionId,
    from: &[VersionState],
    to: VersionState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<()> {
    let (_, version) = version(c, id)?;
    if !from.contains(&version.state) || queries::set_version_state(c, id, version.state, to)? != 1 {
        let wanted = from.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" or ");
        let detail = format!("version {} is {}: only {wanted} can become {to}", version.number, version.state);
        return Err(Error::new(Kind::WrongState, detail));
    }
    history::record(c, id, Some(version.state.as_str()), to.as_str(), actor, reason, now)
}
