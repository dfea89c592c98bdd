//! Listing the objects of the directory.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::error::Result;
use crate::store::{HeldObject, StorageKey};
use crate::types::Instant;

/// The objects of the first folder that has any after `after`, in order: there are 256 folders.
pub(super) fn held(root: &Path, after: Option<&StorageKey>) -> Result<Vec<HeldObject>> {
    for folder in 0..=u8::MAX {
        let prefix = format!("{}{folder:02x}/", StorageKey::PREFIX);
        if after.is_some_and(|after| !after.as_str().starts_with(&prefix) && *after.as_str() > *prefix) {
            continue;
        }
        let mut found = objects(&root.join(&prefix), &prefix)?;
        found.retain(|object| after.is_none_or(|after| object.key > *after));
        if !found.is_empty() {
            found.sort_by(|one, other| one.key.cmp(&other.key));
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn objects(folder: &Path, prefix: &str) -> Result<Vec<HeldObject>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(key) = entry.file_name().to_str().and_then(|name| format!("{prefix}{name}").parse().ok()) else {
            continue;
        };
        // One that is gone by now is not held.
        let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        let micros = written.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        found
            .push(HeldObject { key, written_at: Instant::from_unix_micros(i64::try_from(micros).unwrap_or(i64::MAX)) });
    }
    Ok(found)
}
