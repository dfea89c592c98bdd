//! What durability requires: synced directories, and file operations that run to their end.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use tokio::task::JoinHandle;

use crate::error::{Error, Result};
use crate::failpoints::{self, Site};

pub(super) async fn finished<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    work.await.map_err(|error| Error::internal("file work ended early").because(error))?
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Syncs a file or a directory that is about to be moved to its place.
pub(super) fn sync_file(file: &File) -> io::Result<()> {
    file.sync_all()?;
    failpoints::pass(Site::DiskMove)
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    failpoints::pass(Site::DiskSync)?;
    File::open(path)?.sync_all()
}

/// Makes a directory and its parents, each durable in the one above.
pub(super) fn ensure_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        // It may be so new that whoever made it has not synced it yet.
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(error)
            if error.kind() == ErrorKind::NotFound && path.parent().is_some_and(|p| !p.as_os_str().is_empty()) =>
        {
            ensure_directory(parent(path))?;
            return ensure_directory(path);
        }
        Err(error) => return Err(error),
    }
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => sync_directory(above),
        _ => Ok(()),
    }
}
