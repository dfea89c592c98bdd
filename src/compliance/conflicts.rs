//! Conflicts: the same bytes, sealed by two organisations.
//!
//! Sealing queues a look at the version's bytes and goes on: the provider learns nothing, neither from the answer nor
//! from how long it takes, and no history of its own mentions it. What is found is for compliance staff, who may know
//! of both sides.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Party;
use super::queries::{self, ConflictRow, Place};
use super::subject::Scope;
use crate::app::App;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::types::{ConflictId, Digest, Instant, Page, PageQuery, VersionId, kind};

/// Shards looked at in one transaction.
const PAGE: i64 = 500;

/// The same bytes in versions of two organisations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// The conflict.
    pub id: ConflictId,
    /// The digest of the bytes.
    pub sha256: Digest,
    /// Where they lie in the later version.
    pub path: String,
    /// The first version in which another organisation sealed them.
    pub earlier: SealedPlace,
    /// The version that was sealed later.
    pub later: SealedPlace,
    /// When it was flagged.
    pub flagged_at: Instant,
}

/// A sealed version and its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedPlace {
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// Who published it.
    pub provider: Party,
    /// When it was sealed.
    pub sealed_at: Instant,
}

/// Looks for the bytes of a version that was just sealed among those that other organisations sealed, and flags them.
/// Doing so again flags nothing twice.
///
/// # Errors
/// Those of the database.
pub async fn flag_conflicts(app: &App, version: VersionId) -> Result<()> {
    let mut after = Some(String::new());
    while let Some(path) = after {
        let now = app.clock.now();
        after = app.db.write(move |c| flag_some(c, version, &path, now)).await?;
    }
    Ok(())
}

/// Flags among the shards whose paths sort after `after`; gives the last of them, if there are more.
fn flag_some(c: &mut Conn, version: VersionId, after: &str, now: Instant) -> Result<Option<String>> {
    let (dataset, _) = catalog::version(c, version)?;
    let seal = catalog::seal_of(c, version)?;
    let shards = catalog::shards(c, version, after, PAGE)?;
    let last = shards.last().map(|shard| shard.path.clone());
    // Nobody can claim to have made nothing.
    let paths: Vec<(Digest, String)> =
        shards.into_iter().filter(|shard| shard.size_bytes > 0).map(|shard| (shard.sha256, shard.path)).collect();
    let digests: Vec<Digest> = paths.iter().map(|(sha256, _)| *sha256).collect();
    if digests.is_empty() {
        return Ok(last);
    }
    let earlier = queries::list_first_places(c, &digests, dataset.organisation_id, seal.statement_id)?;
    let first: HashMap<Digest, VersionId> = earlier.into_iter().collect();
    for (sha256, path) in paths {
        if let Some(earlier) = first.get(&sha256) {
            flag(c, &Place { sha256, version_id: version, path }, *earlier, now)?;
        }
    }
    // Two that are sealed at once: the later one may have looked before the earlier one was there to be seen.
    for place in queries::list_later_places(c, &digests, dataset.organisation_id, seal.statement_id, PAGE)? {
        flag(c, &place, version, now)?;
    }
    Ok(last)
}

fn flag(c: &mut Conn, later: &Place, earlier: VersionId, now: Instant) -> Result<()> {
    if !queries::has_conflict(c, later.version_id, &later.path)? {
        queries::insert_conflict(c, ConflictId::new(now), later, earlier, now)?;
    }
    Ok(())
}

/// The conflicts, oldest first.
///
/// # Errors
/// `Forbidden` for everybody but compliance staff; `Invalid`, naming the parameter.
pub fn conflicts(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Page<Conflict>> {
    caller.require_compliance()?;
    let limit = page.limit()?;
    let after = page.after_id::<kind::Conflict>()?;
    let rows = queries::list_conflicts(c, None, after, limit.saturating_add(1))?;
    let page = Page::new(rows, limit, |row| row.id.to_string());
    let items = describe(c, page.items)?;
    Ok(Page { items, next: page.next })
}

/// The conflicts of a version, or of these bytes in it.
pub(super) fn of_version(c: &mut Conn, version: VersionId, scope: &Scope, limit: i64) -> Result<Vec<Conflict>> {
    let bytes = if let Scope::Bytes(sha256) = scope { Some(*sha256) } else { None };
    let rows = queries::list_conflicts(c, Some((version, bytes)), "", limit)?;
    describe(c, rows)
}

fn describe(c: &mut Conn, rows: Vec<ConflictRow>) -> Result<Vec<Conflict>> {
    let versions: Vec<VersionId> = rows.iter().flat_map(|row| [row.earlier_version_id, row.later_version_id]).collect();
    let providers = queries::list_providers(c, &versions)?;
    identity::load_organisations(c, providers.iter().map(|(_, provider)| *provider))?;
    catalog::load_names(c, versions.iter().copied())?;
    catalog::load_seals(c, versions)?;
    let mut places: HashMap<VersionId, SealedPlace> = HashMap::new();
    for (id, provider) in providers {
        let (name, sealed_at) = (catalog::name_of(c, id)?, catalog::seal_of(c, id)?.sealed_at);
        let provider = identity::organisation(c, provider)?.into();
        places.insert(id, SealedPlace { dataset: name.dataset, version: name.number, provider, sealed_at });
    }
    let place = |id: VersionId| {
        places.get(&id).cloned().ok_or_else(|| Error::internal(format!("the version {id} of a conflict is missing")))
    };
    rows.into_iter()
        .map(|row| {
            let (earlier, later) = (place(row.earlier_version_id)?, place(row.later_version_id)?);
            let ConflictRow { id, sha256, path, flagged_at, .. } = row;
            Ok(Conflict { id, sha256, path, earlier, later, flagged_at })
        })
        .collect()
}
