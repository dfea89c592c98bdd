//! Where an index keeps its files: in a folder, and in memory once they are read.
//!
//! A file that is mapped into memory kills the process when somebody truncates it. The files of an index are written once and
//! never changed, so they are read whole, once, and shared by all who search: whatever becomes of them on the disk, what is
//! being served stays as it was.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};

/// A folder whose files are held in memory for as long as somebody reads them.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    files: MmapDirectory,
    held: Arc<Mutex<HashMap<PathBuf, Weak<[u8]>>>>,
}

impl Folder {
    pub(super) fn open(path: &Path) -> tantivy::Result<Self> {
        Ok(Self { path: path.to_path_buf(), files: MmapDirectory::open(path)?, held: Arc::default() })
    }

    fn bytes(&self, file: &Path) -> Result<Arc<[u8]>, OpenReadError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = held.get(file).and_then(Weak::upgrade) {
            return Ok(bytes);
        }
        let bytes: Arc<[u8]> = std::fs::read(self.path.join(file)).map_err(|error| unreadable(error, file))?.into();
        held.retain(|_, bytes| bytes.strong_count() > 0);
        held.insert(file.to_path_buf(), Arc::downgrade(&bytes));
        Ok(bytes)
    }
}

fn unreadable(error: io::Error, file: &Path) -> OpenReadError {
    match error.kind() {
        io::ErrorKind::NotFound => OpenReadError::FileDoesNotExist(file.to_path_buf()),
        _ => OpenReadError::wrap_io_error(error, file.to_path_buf()),
    }
}

impl Directory for Folder {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(OwnedBytes::new(self.bytes(path)?)))
    }
    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.files.delete(path)
    }
    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.files.exists(path)
    }
    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        self.files.open_write(path)
    }
    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.files.atomic_read(path)
    }
    fn atomic_write(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        self.files.atomic_write(path, data)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }
    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.files.acquire_lock(lock)
    }
    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.files.watch(callback)
    }
}
