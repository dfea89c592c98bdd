//! Objects as files: one, or a directory with a file for each part, so that no byte is copied when an upload is completed.
//!
//! The file of a part is named `<number>.<how many there are>`: where one of them is missing, there is no object.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::disk::sync_file;
use super::reading::{Extent, OpenObject};
use crate::error::{Error, Kind, Result};
use crate::store::ObjectInfo;

/// Makes an object of several parts in a directory, which is about to be moved to its place.
pub(super) fn join(parts: &[PathBuf], directory: &Path) -> io::Result<()> {
    for (number, part) in (1_u32..).zip(parts) {
        fs::hard_link(part, directory.join(format!("{number}.{}", parts.len())))?;
    }
    sync_file(&File::open(directory)?)
}

/// What is known of an object, if it is there.
pub(super) fn find(object: &Path) -> io::Result<Option<ObjectInfo>> {
    let found = fs::metadata(object).and_then(|metadata| Ok(info(&metadata, &parts(object, &metadata)?)));
    match found {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the object is there, with the size it must have.
pub(super) fn stands(object: &Path, size_bytes: u64) -> Result<bool> {
    match find(object)? {
        None => Ok(false),
        Some(found) if found.size_bytes == size_bytes => Ok(true),
        Some(found) => Err(Error::new(
            Kind::WrongState,
            format!("the upload was completed before, with {} bytes instead of {size_bytes}", found.size_bytes),
        )),
    }
}

/// Opens an object, so that what is told of it and what is read from it are the same bytes: nothing else is ever put in the
/// place of parts.
pub(super) fn open(object: &Path) -> io::Result<OpenObject> {
    let file = File::open(object)?;
    let metadata = file.metadata()?;
    let parts = parts(object, &metadata)?;
    let info = info(&metadata, &parts);
    if parts.is_empty() { OpenObject::in_file(file, info) } else { Ok(OpenObject::in_parts(parts, info)) }
}

/// The parts of an object in their order; none of one that is a file.
fn parts(object: &Path, metadata: &Metadata) -> io::Result<Vec<Extent>> {
    if !metadata.is_dir() {
        return Ok(Vec::new());
    }
    let (mut parts, mut count) = (BTreeMap::new(), 0);
    for entry in fs::read_dir(object)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, of)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let (Ok(number), Ok(of)) = (number.parse::<u32>(), of.parse::<usize>()) else { continue };
        count = of;
        parts.insert(number, Extent { file: entry.path(), bytes: 0..entry.metadata()?.len() });
    }
    // They are being removed, or were lost.
    if parts.is_empty() || parts.len() != count {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(parts.into_values().collect())
}

fn info(metadata: &Metadata, parts: &[Extent]) -> ObjectInfo {
    let size_bytes = match parts {
        [] => metadata.len(),
        parts => parts.iter().map(|part| part.bytes.end).sum(),
    };
    // Without the inode, so that a directory restored from a backup keeps its marks.
    let etag = format!("{size_bytes:x}-{:x}-{:x}", metadata.mtime(), metadata.mtime_nsec());
    ObjectInfo { size_bytes, etag }
}
