//! The read API of the Hugging Face Hub over the exchange's catalogue: a lab points `HF_ENDPOINT` here, and its existing
//! tools find, check and stream the corpora that it licensed.
//!
//! A dataset is a repository, and each sealed version of it a commit: `main` is the newest one that the caller may see,
//! `v3` and `3` are tags, and a commit's name is the first 40 hexadecimal digits of the manifest's digest. The files are
//! the shards, which the Hub would keep as LFS files, and a README.md made from the provider's card. To a caller who licensed a
//! part, that part is the repository: a commit of its own, with the shards of the part alone. A caller who buys another part, or
//! loses one, finds another commit. The one from before is still found by its name, and gives what is still licensed.
//!
//! The API is somebody else's: its paths, parameters, headers and error codes are what published clients were seen to
//! need, and its description is theirs. So it is left out of `openapi.yaml`.
//!
//! Invariant: a version that the caller may not see reads exactly like one that does not exist.
//! Invariant: the files of a commit are made from the sealed version and the selection of its part alone, and never change.

mod board;
mod download;
mod files;
mod lately;
mod readme;
mod refusal;
pub(crate) mod routes;
mod yaml;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::catalog::{self, Dataset, ManifestShard, Seal, Selection, Shard};
use crate::db::Conn;
use crate::delivery::{self, Entitlement, EntitlementState};
use crate::error::{Kind, Result};
use crate::identity::Caller;
use crate::market;
use crate::signing::canonical_json;
use crate::types::{DatasetId, Digest, VersionId};

pub use board::{BoardQuery, board, find_on_board, tags};
pub use download::{Content, Found, Wanted, find};
pub use files::{Entry, File, Files, README, files};
pub use lately::Lately;
pub use readme::Readme;
pub use refusal::Refusal;

/// The files of the commits that were asked for lately.
pub type Shelf = crate::shelf::Shelf<Files>;

/// How many listings are looked at, and how many sealed versions are shown to insiders, for each dataset that is asked for: of
/// those of all of them together, the ones with the greatest numbers.
const MAX_REVISIONS: i64 = 1000;
/// How many licences to parts of a version, the newest ones, are looked through for a commit from before.
const MAX_PARTS: usize = 32;
/// The branch that every repository has.
const MAIN: &str = "main";
/// The digits of a commit's name.
const COMMIT_DIGITS: usize = 40;
/// What may stand unencoded in a path.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The commit that stands for a sealed version.
pub fn commit_of(seal: &Seal) -> String {
    name_of(seal.manifest_sha256)
}

/// The path of a file of a commit of `dataset` (`org/name`), as an address has it.
pub fn file_path(dataset: &str, commit: &str, path: &str) -> String {
    format!("/datasets/{dataset}/resolve/{commit}/{}", utf8_percent_encode(path, IN_PATHS))
}

/// A dataset as its caller sees it.
#[derive(Debug, Clone)]
pub struct Repo {
    /// The dataset.
    pub dataset: Dataset,
    /// Whether it can be seen only because the caller is who it is.
    pub is_private: bool,
    /// Versions that the caller may see, newest first: all of them, or those that were asked for; never empty.
    pub revisions: Vec<Revision>,
}

/// A sealed version as its caller sees it.
#[derive(Debug, Clone)]
pub struct Revision {
    /// The version's number.
    pub number: i32,
    /// Its seal.
    pub seal: Seal,
    /// Whether it is on the board.
    pub is_listed: bool,
    /// The licences to it that the caller's organisations hold or may use as affiliates, whether they may be used now or not.
    pub licences: Vec<Entitlement>,
    /// The parts that it is to the caller, in a fixed order; none when it is the whole version.
    parts: Vec<Selection>,
    commit: String,
}

impl Revision {
    /// The commit that stands for it.
    pub fn commit(&self) -> String {
        self.commit.clone()
    }

    /// Whether one of the licences to it is in force.
    pub fn is_licensed(&self) -> bool {
        self.licences.iter().any(is_in_force)
    }

    /// Whether it shows a shard of the version.
    pub fn shows(&self, shard: &Shard) -> bool {
        if self.parts.is_empty() {
            return true;
        }
        let shard = ManifestShard::from(shard);
        self.parts.iter().any(|part| part.includes(&shard))
    }

    /// The tag that names it.
    pub fn tag(&self) -> String {
        format!("v{}", self.number)
    }

    /// What people read of the commit.
    pub fn title(&self) -> String {
        format!("Version {}", self.number)
    }

    /// This version as the caller saw it under an earlier commit: parts that were bought one after the other, in force or not.
    fn before(&self, commit: &str) -> Result<Option<Self>> {
        let mut licences: Vec<&Entitlement> = self.licences.iter().collect();
        licences.sort_by_key(|licence| Reverse(licence.id));
        let bought: Vec<_> = licences.into_iter().filter_map(Entitlement::selection).take(MAX_PARTS).collect();
        for run in (1..=bought.len()).flat_map(|length| bought.windows(length)) {
            let parts = in_order(run.iter().map(|part| (*part).clone()).collect());
            if commit_of_parts(&self.seal, &parts)? == commit {
                return Ok(Some(Self { parts, commit: commit.to_string(), ..self.clone() }));
            }
        }
        Ok(None)
    }

    /// Which version this is.
    pub fn version_id(&self) -> VersionId {
        self.seal.version_id
    }
}

impl Repo {
    fn new(dataset: Dataset, revisions: Vec<Revision>) -> Self {
        Self { is_private: !revisions.iter().any(|revision| revision.is_listed), dataset, revisions }
    }

    /// What a client means by a revision: `main`, a tag or a commit, with or without `refs/heads/` or `refs/tags/`.
    pub fn revision(&self, text: &str) -> Result<Revision, Refusal> {
        let name = without_kind(text);
        let is_meant = |revision: &&Revision| {
            let tag = revision.tag();
            name == tag
                || tag.strip_prefix('v') == Some(name)
                || name == revision.commit()
                || name == commit_of(&revision.seal)
        };
        let found = if name == MAIN { self.revisions.first() } else { self.revisions.iter().find(is_meant) };
        if let Some(found) = found {
            return Ok(found.clone());
        }
        for revision in self.revisions.iter().filter(|_| is_commit(name)) {
            if let Some(before) = revision.before(name)? {
                return Ok(before);
            }
        }
        Err(Refusal::Revision { revision: text.to_string() })
    }
}

/// The repository of this name, with the versions that `caller` may see: those on the board, those it may use a licence
/// to, and those of its own organisations.
pub fn repo(c: &mut Conn, caller: Option<&Caller>, organisation: &str, name: &str) -> Result<Repo, Refusal> {
    let dataset = find_dataset(c, caller, organisation, name)?;
    repo_to(c, caller, dataset, Depth::All)
}

/// As [`repo`], and what a client means by a revision; of the versions no more than the newest, that one, and those that the
/// caller has a licence to.
pub fn repo_at(
    c: &mut Conn,
    caller: Option<&Caller>,
    (organisation, name): (&str, &str),
    revision: &str,
) -> Result<(Repo, Revision), Refusal> {
    let dataset = find_dataset(c, caller, organisation, name)?;
    let depth = match without_kind(revision) {
        MAIN => Depth::Newest,
        name => Depth::With(named(c, dataset.id, name)?),
    };
    let repo = repo_to(c, caller, dataset, depth)?;
    let revision = repo.revision(revision)?;
    Ok((repo, revision))
}

/// What a client means by the name of a branch or a tag that says which of them it is.
fn without_kind(revision: &str) -> &str {
    ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| revision.strip_prefix(prefix)).unwrap_or(revision)
}

/// Whether it may be the name of a commit.
fn is_commit(name: &str) -> bool {
    name.len() == COMMIT_DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The sealed versions of a dataset that a tag or a commit of a whole version may name, whoever may see them.
fn named(c: &mut Conn, dataset: DatasetId, name: &str) -> Result<Vec<VersionId>> {
    match name.strip_prefix('v').unwrap_or(name).parse::<i32>() {
        Ok(number) => Ok(catalog::sealed_with_number(c, dataset, number)?.into_iter().collect()),
        Err(_) if is_commit(name) => catalog::sealed_with_digest(c, dataset, name),
        Err(_) => Ok(Vec::new()),
    }
}

fn find_dataset(c: &mut Conn, caller: Option<&Caller>, organisation: &str, name: &str) -> Result<Dataset, Refusal> {
    catalog::find_dataset(c, organisation, name).map_err(|error| match error.kind {
        Kind::NotFound => unknown(caller),
        _ => error.into(),
    })
}

fn repo_to(c: &mut Conn, caller: Option<&Caller>, dataset: Dataset, depth: Depth) -> Result<Repo, Refusal> {
    let revisions = visible(c, caller, &[&dataset], depth)?.remove(&dataset.id).ok_or_else(|| unknown(caller))?;
    Ok(Repo::new(dataset, revisions))
}

fn unknown(caller: Option<&Caller>) -> Refusal {
    Refusal::Repo { signed_in: caller.is_some() }
}

/// How many of a dataset's versions are wanted.
#[derive(Debug)]
enum Depth {
    /// Every one that the caller may see.
    All,
    /// The newest of them, and those to which the caller has a licence: there may be a thousand of each dataset of a page.
    Newest,
    /// The same, and as far as the caller may see them these, of the one dataset that is asked for.
    With(Vec<VersionId>),
}

/// The versions of each of these datasets that `caller` may see, newest first. A dataset of which it may see none is left out.
fn visible(
    c: &mut Conn,
    caller: Option<&Caller>,
    datasets: &[&Dataset],
    depth: Depth,
) -> Result<HashMap<DatasetId, Vec<Revision>>> {
    let ids: Vec<DatasetId> = datasets.iter().map(|dataset| dataset.id).collect();
    let most = i64::try_from(ids.len()).unwrap_or(i64::MAX).saturating_mul(MAX_REVISIONS);
    let is_own = |dataset: &&&Dataset| catalog::is_insider(caller, dataset.organisation_id);
    let own: Vec<DatasetId> = datasets.iter().filter(is_own).map(|dataset| dataset.id).collect();
    let mut listed: HashSet<VersionId> = match depth {
        Depth::All => market::listed_versions(c, &ids, most)?,
        Depth::Newest | Depth::With(_) => market::newest_listed_versions(c, &ids)?,
    }
    .into_iter()
    .collect();
    let named: &[VersionId] = if let Depth::With(named) = &depth { named } else { &[] };
    let others: Vec<VersionId> = named.iter().filter(|version| !listed.contains(*version)).copied().collect();
    if !others.is_empty() {
        listed.extend(market::listed(c, &others)?.into_iter().map(|listing| listing.version_id));
    }
    let mut shown = listed.clone();
    if !own.is_empty() {
        shown.extend(named);
        shown.extend(match depth {
            Depth::All => catalog::sealed_versions(c, &own, most)?,
            Depth::Newest | Depth::With(_) => catalog::newest_sealed_versions(c, &own)?,
        });
    }
    let mut licences: HashMap<VersionId, Vec<Entitlement>> = HashMap::new();
    for (version, licence) in caller.map_or(Ok(Vec::new()), |caller| delivery::licences(c, caller, &ids))? {
        shown.insert(version);
        licences.entry(version).or_default().push(licence);
    }
    let mut visible: HashMap<DatasetId, Vec<Revision>> = HashMap::new();
    for (dataset, number, seal) in catalog::sealed_among(c, &shown.into_iter().collect::<Vec<_>>())? {
        let licences = licences.remove(&seal.version_id).unwrap_or_default();
        let is_listed = listed.contains(&seal.version_id);
        let parts = if own.contains(&dataset) { Vec::new() } else { parts(&licences) };
        let commit = commit_of_parts(&seal, &parts)?;
        visible.entry(dataset).or_default().push(Revision { number, seal, is_listed, licences, parts, commit });
    }
    Ok(visible)
}

/// The parts that licences are for: of those that are in force, or else of all; none where one is for the whole version.
fn parts(licences: &[Entitlement]) -> Vec<Selection> {
    let any_in_force = licences.iter().any(is_in_force);
    let counting = licences.iter().filter(|licence| !any_in_force || is_in_force(licence));
    counting.map(|licence| licence.selection().cloned()).collect::<Option<_>>().map_or_else(Vec::new, in_order)
}

fn is_in_force(licence: &Entitlement) -> bool {
    licence.state == EntitlementState::Active
}

/// Each part once, in an order that does not tell when it was bought.
fn in_order(mut parts: Vec<Selection>) -> Vec<Selection> {
    parts.sort_by_cached_key(ToString::to_string);
    parts.dedup();
    parts
}

/// The commit that stands for parts of a version, or for all of it.
fn commit_of_parts(seal: &Seal, parts: &[Selection]) -> Result<String> {
    if parts.is_empty() {
        return Ok(commit_of(seal));
    }
    Ok(name_of(Digest::of(canonical_json(&(seal.manifest_sha256, parts))?)))
}

fn name_of(digest: Digest) -> String {
    digest.to_string().chars().take(COMMIT_DIGITS).collect()
}
