//! The shards of a version: its files, each of which refers to verified bytes.

use diesel::{Insertable, Queryable, Selectable};

use super::{Domain, ManifestShard, queries};
use crate::config::MAX_SHARDS;
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Result};
use crate::types::{Digest, ObjectId, VersionId};

/// A file of a version. Its bytes are verified.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::shards, check_for_backend(MultiBackend))]
pub struct Shard {
    /// Of which version.
    pub version_id: VersionId,
    /// The path, relative to the version's root.
    pub path: String,
    /// The verified bytes.
    pub object_id: ObjectId,
    /// Their SHA-256.
    pub sha256: Digest,
    /// Their number.
    pub size_bytes: i64,
    /// The media type.
    pub media_type: String,
    /// How many records it holds, if the provider says so.
    pub records: Option<i64>,
    /// The language of its records, if the signed manifest says so: a BCP 47 tag.
    pub language: Option<String>,
    /// What they are about, if the signed manifest says so.
    pub domain: Option<Domain>,
    /// Their licence, if the signed manifest says so: an SPDX expression.
    pub licence: Option<String>,
    /// How many tokens it holds, if the signed manifest says so.
    pub tokens: Option<i64>,
}

impl From<&Shard> for ManifestShard {
    fn from(shard: &Shard) -> Self {
        Self {
            path: shard.path.clone(),
            size_bytes: shard.size_bytes,
            sha256: shard.sha256,
            media_type: shard.media_type.clone(),
            records: shard.records,
            language: shard.language.clone(),
            domain: shard.domain,
            licence: shard.licence.clone(),
            tokens: shard.tokens,
        }
    }
}

/// One shard of a version, whoever asks.
///
/// # Errors
/// `NotFound`.
pub fn shard(c: &mut Conn, version: VersionId, path: &str) -> Result<Shard> {
    let found = if path.contains('\0') { None } else { queries::find_shard(c, version, path)? };
    found.ok_or_else(|| no_shard(path))
}

/// The refusal of a path at which there is no shard.
pub(super) fn no_shard(path: &str) -> Error {
    Error::not_found(format_args!("shard {path:?}"))
}

/// Up to `limit` shards of a version whose paths sort after `after`, by the bytes of their paths.
///
/// # Errors
/// Those of the database.
pub fn shards(c: &mut Conn, version: VersionId, after: &str, limit: i64) -> Result<Vec<Shard>> {
    Ok(queries::list_shards(c, version, after, limit)?)
}

/// All shards of a sealed version, by the bytes of their paths, as its manifest has them.
///
/// # Errors
/// Those of the database.
pub fn all_shards(c: &mut Conn, version: VersionId) -> Result<Vec<Shard>> {
    let most = i64::try_from(MAX_SHARDS).unwrap_or(i64::MAX);
    Ok(queries::list_shards(c, version, "", most)?)
}

/// The shards of a version that have one of these digests.
///
/// # Errors
/// Those of the database.
pub fn shards_with_digests_in(c: &mut Conn, version: VersionId, digests: &[Digest]) -> Result<Vec<Shard>> {
    Ok(queries::list_shards_with_digests_in(c, version, digests)?)
}
