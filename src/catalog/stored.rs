//! What is on record of the stored objects, for those who read them back.

use std::collections::HashSet;

use super::{StoredObject, queries, uploads};
use crate::db::Conn;
use crate::error::Result;
use crate::store::StorageKey;

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
