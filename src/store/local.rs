//! The object store in a directory of this machine.
//!
//! ```text
//! objects/ab/<32 hex>                       an object, under its key: a file, or the directory of its parts
//! objects/ab/<32 hex>/<number>.<count>      a part of it
//! uploads/<32 hex>/<number>.<sha256>        a part of an open upload; the directory is the multipart id
//! temporary/                                whatever is being written or removed
//! ```
//!
//! Everything is written below `temporary/`, synced, moved to its place in one step, and the place's directory
//! synced, before it is acknowledged. Several processes may share the directory.
//!
//! A part's name carries its digest, so replacing a part adds a file before it removes the older one: the newest
//! file of a number is the part, whatever was interrupted.
//!
//! Invariant: the parts of an upload go only after its object is durable under its key.
//! Invariant: a file below `objects/` or `uploads/` is never written to.

mod disk;
mod listing;
mod objects;
mod parts;
mod reading;
mod small;

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tempfile::{NamedTempFile, TempDir};
use url::Url;

use disk::{ensure_directory, finished, parent, sync_directory, sync_file};
use objects::stands;
pub(super) use parts::wrong_size;
use parts::{Incoming, no_upload, standing_parts, stored_part};
pub(super) use reading::OpenObject;
use small::SmallObjects;

use super::links::{Links, Parameters};
use super::{ByteStream, HeldObject, ObjectInfo, Part, StorageKey, is_hex, parts_left_out, total_bytes};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::types::{DAY, Instant};

/// How much is hashed and written at a time.
const PIECE_BYTES: u64 = 1024 * 1024;
/// What is left in `temporary/` for this long was left by a crash.
const ABANDONED_AFTER: Duration = DAY;

/// Objects in a directory.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<Path>,
    links: Links,
    small: SmallObjects,
}

/// What a checked link permits to PUT: this part, of this size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartSlot {
    multipart_id: String,
    number: u32,
    pub(super) size_bytes: u64,
}

/// What a checked link permits to GET: this object, under this type and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Download {
    pub(super) key: StorageKey,
    pub(super) media_type: String,
    pub(super) file_name: String,
}

impl LocalStore {
    /// Opens the store in the settings' data directory, and clears what a crash left. Directories are made when they are needed.
    pub(super) async fn open(config: &Config, keys: &ExchangeKeys) -> Result<Self> {
        let links = Links::new(keys.url.seed(), public_url(config)?);
        let store = Self { root: config.objects_dir().into(), links, small: SmallObjects::default() };
        store.blocking(Self::sweep).await
    }

    pub(super) async fn begin_multipart(&self, key: &StorageKey) -> Result<String> {
        // One upload per key: the key's own digits name it.
        let multipart_id = key.name().to_string();
        let directory = self.upload_directory(&multipart_id)?;
        self.blocking(move |store| {
            store.prepare()?;
            Ok(ensure_directory(&directory)?)
        })
        .await?;
        Ok(multipart_id)
    }

    pub(super) fn part_url(
        &self,
        key: &StorageKey,
        multipart_id: &str,
        number: u32,
        size_bytes: u64,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        belongs(key, multipart_id)?;
        let parameters = [("size".to_string(), size_bytes.to_string())].into();
        self.links.sign("PUT", &part_path(multipart_id, number), parameters, ttl, now)
    }

    pub(super) fn url(
        &self,
        key: &StorageKey,
        media_type: &str,
        file_name: &str,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        let parameters =
            [("type".to_string(), media_type.to_string()), ("name".to_string(), file_name.to_string())].into();
        self.links.sign("GET", &format!("/{key}"), parameters, ttl, now)
    }

    /// Checks a link to PUT a part.
    pub(super) fn check_part_link(
        &self,
        multipart_id: &str,
        number: u32,
        query: &str,
        now: Instant,
    ) -> Result<PartSlot> {
        let mut parameters = self.links.check("PUT", &part_path(multipart_id, number), query, now)?;
        let size_bytes = take(&mut parameters, "size")?;
        let size_bytes = size_bytes.parse().map_err(|_| Error::forbidden("this link names no size"))?;
        Ok(PartSlot { multipart_id: multipart_id.to_string(), number, size_bytes })
    }

    /// Checks a link to GET an object.
    pub(super) fn check_download_link(&self, key: StorageKey, query: &str, now: Instant) -> Result<Download> {
        let mut parameters = self.links.check("GET", &format!("/{key}"), query, now)?;
        Ok(Download { key, media_type: take(&mut parameters, "type")?, file_name: take(&mut parameters, "name")? })
    }

    /// Takes the bytes of one part; it is durable when this returns. The body must have exactly the slot's size.
    pub(super) async fn put_part(
        &self,
        slot: &PartSlot,
        body: impl Stream<Item = Result<Bytes>> + Unpin,
    ) -> Result<Part> {
        let directory = self.upload_directory(&slot.multipart_id)?;
        let incoming = self
            .blocking(move |store| {
                fs::metadata(&directory).map_err(no_upload)?;
                Ok(Incoming::new(store.temporary_file()?))
            })
            .await?;
        let incoming = incoming.receive(body, slot.size_bytes).await?;
        let (number, directory) = (slot.number, self.upload_directory(&slot.multipart_id)?);
        self.blocking(move |_| incoming.keep(&directory, number)).await
    }

    pub(super) async fn parts(&self, key: &StorageKey, multipart_id: &str) -> Result<Vec<Part>> {
        belongs(key, multipart_id)?;
        let directory = self.upload_directory(multipart_id)?;
        self.blocking(move |_| standing_parts(&directory)).await
    }

    pub(super) async fn complete_multipart(
        &self,
        key: &StorageKey,
        multipart_id: &str,
        parts: Vec<Part>,
    ) -> Result<()> {
        belongs(key, multipart_id)?;
        let (object, uploaded) = (self.object_path(key), self.upload_directory(multipart_id)?);
        self.blocking(move |store| {
            let size_bytes = total_bytes(&parts);
            if !stands(&object, size_bytes)? {
                match store.assemble(&object, &uploaded, &parts) {
                    // Another call was quicker.
                    Err(_) if stands(&object, size_bytes)? => {}
                    result => result?,
                }
            }
            sync_directory(parent(&object))?;
            store.forget(&uploaded)
        })
        .await
    }

    pub(super) async fn abort_multipart(&self, key: &StorageKey, multipart_id: &str) -> Result<()> {
        belongs(key, multipart_id)?;
        let directory = self.upload_directory(multipart_id)?;
        self.blocking(move |store| store.forget(&directory)).await
    }

    pub(super) async fn put(&self, key: &StorageKey, bytes: Bytes) -> Result<()> {
        let object = self.object_path(key);
        self.blocking(move |store| {
            let mut file = store.temporary_file()?;
            file.write_all(&bytes)?;
            ensure_directory(parent(&object))?;
            sync_file(file.as_file())?;
            file.persist(&object).map_err(|error| error.error)?;
            Ok(sync_directory(parent(&object))?)
        })
        .await
    }

    pub(super) async fn head(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        let object = self.object_path(key);
        self.blocking(move |_| Ok(objects::find(&object)?)).await
    }

    pub(super) async fn read(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ByteStream> {
        let object = self.open_object(key).await?;
        let range = range.unwrap_or(0..object.info.size_bytes);
        object.read(range)
    }

    async fn open_object(&self, key: &StorageKey) -> Result<OpenObject> {
        let (key, path) = (key.clone(), self.object_path(key));
        self.blocking(move |_| {
            objects::open(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::not_found(format!("the object {key}")),
                _ => error.into(),
            })
        })
        .await
    }

    /// Opens an object that is delivered. Such an object never changes, so a small one may come from memory.
    pub(super) async fn open_sealed(&self, key: &StorageKey) -> Result<OpenObject> {
        if let Some((info, bytes)) = self.small.find(key) {
            return Ok(OpenObject::held(info, bytes));
        }
        let object = self.open_object(key).await?;
        if let Some(bytes) = object.whole() {
            self.small.keep(key.clone(), object.info.clone(), bytes.clone());
        }
        Ok(object)
    }

    pub(super) async fn held(&self, after: Option<&StorageKey>) -> Result<Vec<HeldObject>> {
        let after = after.cloned();
        self.blocking(move |store| listing::held(&store.root, after.as_ref())).await
    }

    pub(super) async fn delete(&self, key: &StorageKey) -> Result<()> {
        self.small.forget(key);
        let object = self.object_path(key);
        self.blocking(move |store| store.forget(&object)).await
    }

    pub(super) async fn check(&self) -> Result<()> {
        self.blocking(|store| {
            let mut file = store.temporary_file()?;
            file.write_all(b"ready")?;
            Ok(file.as_file().sync_all()?)
        })
        .await
        .map_err(|error| Error::new(Kind::Unavailable, "the object directory cannot be written to").because(error))
    }

    /// Runs file work whole on a thread where it may block; a dropped request does not cut it in two.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(Self) -> Result<T> + Send + 'static) -> Result<T> {
        let store = self.clone();
        finished(tokio::task::spawn_blocking(move || work(store))).await
    }

    fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }
    fn temporary(&self) -> PathBuf {
        self.root.join("temporary")
    }
    fn object_path(&self, key: &StorageKey) -> PathBuf {
        self.root.join(key.as_str())
    }
    fn upload_directory(&self, multipart_id: &str) -> Result<PathBuf> {
        if is_hex(multipart_id, 32) {
            Ok(self.uploads().join(multipart_id))
        } else {
            Err(Error::not_found("the upload"))
        }
    }
    /// Makes the store's directories unless they stand: where the last of them does, the others are durable.
    fn prepare(&self) -> io::Result<()> {
        if !self.temporary().is_dir() {
            for directory in [self.root.to_path_buf(), self.root.join("objects"), self.uploads(), self.temporary()] {
                ensure_directory(&directory)?;
            }
        }
        Ok(())
    }
    fn temporary_file(&self) -> Result<NamedTempFile> {
        self.prepare()?;
        Ok(NamedTempFile::new_in(self.temporary())?)
    }
    fn temporary_directory(&self) -> io::Result<TempDir> {
        self.prepare()?;
        tempfile::tempdir_in(self.temporary())
    }

    /// Makes the object out of its parts, durably but for the sync of its directory.
    fn assemble(&self, object: &Path, uploaded: &Path, parts: &[Part]) -> Result<()> {
        if parts.is_empty() && !standing_parts(uploaded)?.is_empty() {
            return Err(parts_left_out());
        }
        let files = parts.iter().map(|part| stored_part(uploaded, part)).collect::<Result<Vec<_>>>()?;
        ensure_directory(parent(object))?;
        match files.as_slice() {
            [] => {
                let empty = self.temporary_file()?;
                sync_file(empty.as_file())?;
                empty.persist_noclobber(object).map_err(|error| error.error)?;
            }
            [only] => fs::hard_link(only, object)?,
            several => {
                let joined = self.temporary_directory()?;
                objects::join(several, joined.path())?;
                fs::rename(joined.path(), object)?;
                drop(joined.keep());
            }
        }
        Ok(())
    }

    /// Makes an upload or an object disappear in one step, so that a late part finds no place and nobody half an object, then
    /// removes its files. Nothing is to be done where it is gone.
    fn forget(&self, path: &Path) -> Result<()> {
        let grave = self.temporary_directory()?;
        match fs::rename(path, grave.path().join("forgotten")) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        sync_directory(parent(path))?;
        Ok(grave.close()?)
    }

    /// Removes what crashed processes left in `temporary/`. Ages are taken from the file system's own clock.
    fn sweep(self) -> Result<Self> {
        if !self.temporary().is_dir() {
            return Ok(self);
        }
        let now = self.temporary_file()?.as_file().metadata()?.modified()?;
        for entry in fs::read_dir(self.temporary())? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else { continue };
            if now.duration_since(metadata.modified()?).is_ok_and(|age| age > ABANDONED_AFTER) {
                let removed =
                    if metadata.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
                removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            }
        }
        Ok(self)
    }
}

/// The path of a part in its signed link, and in the route.
fn part_path(multipart_id: &str, number: u32) -> String {
    format!("/objects/parts/{multipart_id}/{number}")
}

fn belongs(key: &StorageKey, multipart_id: &str) -> Result<()> {
    if key.name() == multipart_id { Ok(()) } else { Err(Error::not_found("the upload")) }
}

fn take(parameters: &mut Parameters, name: &str) -> Result<String> {
    parameters.remove(name).ok_or_else(|| Error::forbidden(format!("this link has no {name}")))
}

/// The URL under which clients reach this server.
fn public_url(config: &Config) -> Result<Url> {
    let text = config.public_url();
    let refused = || Error::invalid("public_url", format!("{text:?} is not an http or https URL"));
    let url = text.parse::<Url>().map_err(|error| refused().because(error))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(refused()) }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
