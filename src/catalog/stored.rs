//! The records of stored objects, for code that links to them or reads them back.

use std::collections::{HashMap, HashSet};

use super::shards::no_shard;
use super::{Shard, StoredObject, queries, uploads};
use crate::db::Conn;
use crate::error::Result;
use crate::store::StorageKey;
use crate::types::VersionId;

/// Paths that are looked up at a time.
const PATHS: usize = 500;

/// The shards of a version at these paths, in their order, each with where its bytes lie, whoever asks.
///
/// # Errors
/// `NotFound`, naming the first path at which there is none.
pub fn stored_shards(c: &mut Conn, version: VersionId, paths: &[String]) -> Result<Vec<(Shard, StorageKey)>> {
    let mut found = HashMap::new();
    for paths in paths.chunks(PATHS) {
        let paths: Vec<&str> = paths.iter().map(String::as_str).filter(|path| !path.contains('\0')).collect();
        let stored = queries::list_stored_shards_at(c, version, &paths)?;
        found.extend(stored.into_iter().map(|stored| (stored.0.path.clone(), stored)));
    }
    paths.iter().map(|path| found.get(path).cloned().ok_or_else(|| no_shard(path))).collect()
}

/// Up to `limit` objects whose identifiers sort after `after`, oldest first.
///
/// # Errors
/// Those of the database.
pub fn objects(c: &mut Conn, after: &str, limit: i64) -> Result<Vec<StoredObject>> {
    Ok(queries::list_objects(c, after, limit)?)
}

/// Which of these keys no object and no open upload has.
///
/// # Errors
/// Those of the database.
pub fn without_owner(c: &mut Conn, keys: Vec<StorageKey>) -> Result<Vec<StorageKey>> {
    let mut owned: HashSet<_> = queries::list_keys_of_objects(c, &keys)?.into_iter().collect();
    owned.extend(uploads::keys_under_way(c, &keys)?);
    Ok(keys.into_iter().filter(|key| !owned.contains(key)).collect())
}

/// The sum of the sizes of all objects, in bytes.
///
/// # Errors
/// Those of the database.
pub fn total_object_bytes(c: &mut Conn) -> Result<u64> {
    Ok(u64::try_from(queries::sum_object_bytes(c)?).unwrap_or(0))
}
