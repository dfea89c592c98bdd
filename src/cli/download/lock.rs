//! One download at a time into a folder: otherwise one could write to a partial file that another has just verified.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Keeps others out of a folder until what this gives is dropped, or its process ends.
pub(super) fn alone_in(folder: &Path) -> Result<File> {
    let own = folder.join(".corpex");
    let opened = std::fs::create_dir_all(&own)
        .and_then(|()| OpenOptions::new().read(true).write(true).create(true).truncate(false).open(own.join("lock")));
    let mut lock = opened.map_err(|error| {
        Error::invalid("--to", format!("nothing can be written to {}: {error}", folder.display()))
            .remedy("name a folder that you may write to; it is made where there is none")
    })?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let process = std::io::read_to_string(&lock).unwrap_or_default();
            let detail = format!("process {process} is downloading into {} already", folder.display());
            return Err(Error::new(Kind::WrongState, detail)
                .field("--to")
                .remedy("wait until it is done, or download to another folder"));
        }
        // Some network file systems have no locks: there people look after themselves.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    lock.set_len(0)?;
    lock.write_all(std::process::id().to_string().as_bytes())?;
    Ok(lock)
}
