//! Lineage: which versions and which sources outside the exchange a version was made from, and what was made from it.
//!
//! A manifest names the parents; they are checked and recorded when it is sealed, and never change afterwards.
//!
//! Invariant: the graph of versions has no cycle. Only sealed versions can be parents, and a sealed version never gets
//! another parent. Each seal has a generation, one above the highest of its parents'; foreign keys and a check of the
//! table hold every line to that, so the database would refuse a cycle even if this code did not.
//! Invariant: a parent of another organisation was on the board at some time, and its manifest is the one named.

mod parent;
mod queries;
pub(crate) mod routes;

pub(super) use parent::check;
pub use parent::{NamedParent, Parent, ParentVersion, Source};

use std::collections::HashSet;

use diesel::{Queryable, Selectable};
use serde::Deserialize;
use utoipa::ToSchema;

use self::queries::MadeFrom;
use super::datasets::sees;
use super::queries::Sees;
use super::{Dataset, Version, VersionRef, VersionState, view_version};
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::identity::Caller;
use crate::schema::{datasets, organisations, seals, versions};
use crate::types::{Digest, Instant, Page, PageQuery, VersionId, kind};

/// A line of a version's lineage: one of its parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentLink {
    /// The parent's place in the manifest, from 0.
    pub ordinal: i32,
    /// The version, if it is one on this exchange.
    pub version_id: Option<VersionId>,
    /// The parent as the manifest names it.
    pub parent: Parent,
}

/// A sealed version that another one was made from, or that was made from it.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = versions, check_for_backend(MultiBackend))]
pub struct Relative {
    /// Which version.
    #[diesel(select_expression = versions::id)]
    pub version_id: VersionId,
    /// The handle of the organisation whose it is.
    #[diesel(select_expression = organisations::handle)]
    pub handle: String,
    /// The name of the dataset.
    #[diesel(select_expression = datasets::name)]
    pub name: String,
    /// The version's number.
    pub number: i32,
    /// Where in its life it is.
    pub state: VersionState,
    /// The digest of its manifest.
    #[diesel(select_expression = seals::manifest_sha256)]
    pub manifest_sha256: Digest,
}

impl Relative {
    /// `organisation/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.handle, self.name)
    }
}

/// In which direction lineage is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To what a version was made from.
    Up,
    /// To what was made from it.
    Down,
}

/// What a walk through lineage came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// Each version once, nearest first, with the number of steps to it.
    pub found: Vec<(u32, Relative)>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
}

/// What sealing a version records of its lineage.
pub(super) struct Checked {
    /// One above the highest generation of the parents.
    pub(super) generation: i32,
    links: Vec<NewLink>,
}

/// A parent that was checked.
struct NewLink {
    /// The version and its generation, if it is one on this exchange.
    version: Option<(VersionId, i32)>,
    parent: Parent,
}

/// Checks that a version may have the parents that its manifest names.
///
/// # Errors
/// `NotFound`, `Invalid` or `DigestMismatch`; the field is a JSON pointer into the manifest.
pub(super) fn check_parents(c: &mut Conn, child: (&Dataset, &Version), parents: &[Parent]) -> Result<Checked> {
    let mut checked = Checked { generation: 0, links: Vec::with_capacity(parents.len()) };
    for (index, parent) in parents.iter().enumerate() {
        let version = match parent {
            Parent::Source(_) => None,
            Parent::Version(named) => {
                let found = check_version(c, child, named).map_err(|error| {
                    let field = error.field.clone().unwrap_or_default();
                    error.field(format!("/parents/{index}/{field}"))
                })?;
                Some(found)
            }
        };
        if let Some((_, generation)) = version {
            let above = generation.checked_add(1).ok_or_else(|| Error::internal("generations are used up"))?;
            checked.generation = checked.generation.max(above);
        }
        checked.links.push(NewLink { version, parent: parent.clone() });
    }
    Ok(checked)
}

/// The version that a manifest names as a parent, and its generation. The field of an error is the parent's own.
fn check_version(
    c: &mut Conn,
    (dataset, version): (&Dataset, &Version),
    named: &ParentVersion,
) -> Result<(VersionId, i32)> {
    let unknown = || {
        let what = format!("version {} of dataset {}", named.version, named.dataset);
        Error::not_found(what)
            .field("dataset")
            .remedy("name a version that was listed, or one of your own; name a source elsewhere by url or sha256")
    };
    let (handle, name) = named.dataset.split_once('/').ok_or_else(unknown)?;
    let parent = queries::find_candidate(c, handle, name, named.version)?.ok_or_else(unknown)?;
    if parent.id == version.id {
        return Err(Error::invalid("version", "a version cannot be made from itself")
            .remedy("name the version that it was made from, or leave the parent out"));
    }
    let own = parent.organisation_id == dataset.organisation_id;
    if !own && parent.state != VersionState::Assessed {
        return Err(unknown());
    }
    let Some(seal) = parent.seal else {
        let detail = format!("{}@{} is a draft: what it consists of can still change", named.dataset, named.version);
        return Err(Error::invalid("version", detail).remedy("seal it first, or leave the parent out"));
    };
    if !own && !queries::was_offered(c, parent.id)? {
        let detail = format!("{}@{} was never on the board", named.dataset, named.version);
        return Err(Error::invalid("version", detail).remedy("ask its provider to list it, or leave the parent out"));
    }
    if seal.manifest_sha256 != named.manifest_sha256 {
        let detail = format!(
            "the manifest of {}@{} has digest {}, and {} was named",
            named.dataset, named.version, seal.manifest_sha256, named.manifest_sha256
        );
        return Err(Error::new(Kind::DigestMismatch, detail)
            .field("manifest_sha256")
            .remedy("fetch that version's manifest again, look at it, and sign a new manifest"));
    }
    Ok((parent.id, seal.generation))
}

/// Records the parents of a version that was sealed just now.
pub(super) fn record(c: &mut Conn, child: VersionId, checked: &Checked) -> Result<()> {
    for (ordinal, link) in (0_i32..).zip(&checked.links) {
        queries::insert_parent(c, (child, checked.generation), ordinal, link.version, &link.parent)?;
    }
    Ok(())
}

/// Remembers that a version was put on the board, if it is the first time.
///
/// # Errors
/// Those of the database.
pub fn mark_offered(c: &mut Conn, id: VersionId, now: Instant) -> Result<()> {
    if !queries::was_offered(c, id)? {
        queries::insert_offered(c, id, now)?;
    }
    Ok(())
}

/// Up to `limit` parents of a version whose place in its manifest is after `after` (-1 for all), whoever asks.
///
/// # Errors
/// Those of the database.
pub fn parents_of(c: &mut Conn, id: VersionId, after: i32, limit: i64) -> Result<Vec<ParentLink>> {
    Ok(queries::list_parents(c, id, after, limit)?)
}

/// What a version was made from, and what that was made from, and so on: up to `most` versions, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn ancestors(c: &mut Conn, id: VersionId, most: usize) -> Result<Walk> {
    walk(c, id, Direction::Up, &Sees::Everything, most)
}

/// What was made from a version, and what was made from that, and so on: up to `most` versions, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn descendants(c: &mut Conn, id: VersionId, most: usize) -> Result<Walk> {
    walk(c, id, Direction::Down, &Sees::Everything, most)
}

/// Goes through the graph from `start`, breadth first, and passes through no version that is not seen.
fn walk(c: &mut Conn, start: VersionId, direction: Direction, seen_by: &Sees, most: usize) -> Result<Walk> {
    let mut walk = Walk { found: Vec::new(), truncated: false };
    let mut known = HashSet::from([start]);
    let mut layer = vec![start];
    for distance in 1_u32.. {
        let left = most.saturating_sub(walk.found.len());
        let limit = i64::try_from(left).unwrap_or(i64::MAX).saturating_add(1);
        let except: Vec<VersionId> = known.iter().copied().collect();
        let mut next = queries::list_neighbours(c, direction, &layer, &except, seen_by, limit)?;
        walk.truncated = next.len() > left;
        next.truncate(left);
        layer = next.iter().map(|relative| relative.version_id).collect();
        known.extend(&layer);
        walk.found.extend(next.into_iter().map(|relative| (distance, relative)));
        if layer.is_empty() || walk.truncated {
            break;
        }
    }
    Ok(walk)
}

/// The parents of a version that `caller` may see, in the order of its manifest.
///
/// # Errors
/// `NotFound`; `Invalid`, naming the parameter.
pub fn list_parents(
    c: &mut Conn,
    caller: Option<&Caller>,
    which: &VersionRef,
    page: &PageQuery,
) -> Result<Page<ParentLink>> {
    let (_, version) = view_version(c, caller, which)?;
    let limit = page.limit()?;
    let after: i32 = page.after_number()?.unwrap_or(-1); // parents are counted from 0
    let rows = queries::list_parents(c, version.id, after, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |link| link.ordinal.to_string()))
}

/// The versions that `caller` may see and that were made from one that `caller` may see.
///
/// # Errors
/// `NotFound`; `Invalid`, naming the parameter.
pub fn list_children(
    c: &mut Conn,
    caller: Option<&Caller>,
    which: &VersionRef,
    page: &PageQuery,
) -> Result<Page<Relative>> {
    let (_, version) = view_version(c, caller, which)?;
    page_of_children(c, caller, MadeFrom::Version(version.id), page)
}

/// The versions that `caller` may see and that name bytes of this digest as a source.
///
/// # Errors
/// `Invalid`, naming the parameter.
pub fn list_children_of_source(
    c: &mut Conn,
    caller: Option<&Caller>,
    sha256: Digest,
    page: &PageQuery,
) -> Result<Page<Relative>> {
    page_of_children(c, caller, MadeFrom::Source(sha256), page)
}

fn page_of_children(c: &mut Conn, caller: Option<&Caller>, of: MadeFrom, page: &PageQuery) -> Result<Page<Relative>> {
    let (limit, after) = (page.limit()?, page.after_id::<kind::Version>()?);
    let rows = queries::list_children(c, of, &sees(caller), after, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |relative| relative.version_id.to_string()))
}

/// The lineage of a version that `caller` may see, as far as `caller` may see it: up to `limit` versions, nearest first.
///
/// # Errors
/// `NotFound`.
pub fn trace(
    c: &mut Conn,
    caller: Option<&Caller>,
    which: &VersionRef,
    direction: Direction,
    limit: i64,
) -> Result<Walk> {
    let (_, version) = view_version(c, caller, which)?;
    walk(c, version.id, direction, &sees(caller), usize::try_from(limit).unwrap_or(0))
}
