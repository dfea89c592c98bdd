//! The object store in a directory of this machine.
//!
//! ```text
//! objects/ab/<32 hex>                       an object, under its key
//! uploads/<32 hex>/<number>.<sha256>        a part of an open upload; the directory is the multipart id
//! temporary/                                whatever is being written
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

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;
use url::Url;

use super::links::{Links, Parameters};
use super::{ByteStream, MAX_PARTS, ObjectInfo, Part, StorageKey, is_hex, range_not_satisfiable, total_bytes};
use crate::config::{CLIENT_TIMEOUT, Config};
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::types::{Digest, Hasher, Instant};

/// How much is read, or hashed and written, at a time.
const PIECE_BYTES: u64 = 1024 * 1024;
/// What is left in `temporary/` for this long was left by a crash.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Objects in a directory.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<Path>,
    links: Links,
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
    /// Opens the store in the settings' data directory, making it if it is missing, and clears what a crash left.
    pub(super) async fn open(config: &Config, keys: &ExchangeKeys) -> Result<Self> {
        let links = Links::new(keys.url.seed(), public_url(config)?);
        let store = Self { root: config.objects_dir().into(), links };
        store
            .blocking(|store| {
                for directory in [store.root.join("objects"), store.uploads(), store.temporary()] {
                    ensure_directory(&directory)?;
                }
                store.sweep()
            })
            .await
    }

    /// The same store, whose URLs start with `public_url`.
    pub(super) fn with_public_url(self, public_url: Url) -> Self {
        Self { links: self.links.at(public_url), ..self }
    }

    pub(super) async fn begin_multipart(&self, key: &StorageKey) -> Result<String> {
        // One upload per key: the key's own digits name it.
        let multipart_id = key.name().to_string();
        let directory = self.upload_directory(&multipart_id)?;
        self.blocking(move |_| Ok(ensure_directory(&directory)?)).await?;
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
                Ok(Incoming { file: store.temporary_file()?, hasher: Hasher::default(), size_bytes: 0 })
            })
            .await?;
        let incoming = incoming.receive(body, slot.size_bytes).await?;
        let (slot, directory) = (slot.clone(), self.upload_directory(&slot.multipart_id)?);
        self.blocking(move |_| {
            let digest = incoming.hasher.finish();
            incoming.file.as_file().sync_all()?;
            incoming.file.persist(directory.join(part_name(slot.number, digest))).map_err(|e| no_upload(e.error))?;
            sync_directory(&directory).map_err(no_upload)?;
            let files = part_files(&directory)?;
            remove_replaced(&files, slot.number)?;
            Ok(Part { number: slot.number, size_bytes: incoming.size_bytes, etag: digest.to_string() })
        })
        .await
    }

    pub(super) async fn parts(&self, key: &StorageKey, multipart_id: &str) -> Result<Vec<Part>> {
        belongs(key, multipart_id)?;
        let directory = self.upload_directory(multipart_id)?;
        self.blocking(move |_| {
            let mut parts: Vec<Part> = Vec::new();
            for file in part_files(&directory)? {
                // Sorted by number and age: the last of a number is the part.
                parts.pop_if(|last| last.number == file.number);
                let etag = file.digest.to_string();
                parts.push(Part { number: file.number, size_bytes: file.size_bytes, etag });
            }
            Ok(parts)
        })
        .await
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
            file.as_file().sync_all()?;
            ensure_directory(parent(&object))?;
            file.persist(&object).map_err(|error| error.error)?;
            Ok(sync_directory(parent(&object))?)
        })
        .await
    }

    pub(super) async fn head(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        let object = self.object_path(key);
        self.blocking(move |_| match fs::metadata(&object) {
            Ok(metadata) => Ok(Some(info(&metadata))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        })
        .await
    }

    pub(super) async fn read(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ByteStream> {
        let object = self.open_object(key).await?;
        let range = range.unwrap_or(0..object.info.size_bytes);
        object.read(range)
    }

    /// Opens an object, so that what is told of it and what is read from it are the same bytes.
    pub(super) async fn open_object(&self, key: &StorageKey) -> Result<OpenObject> {
        let (key, path) = (key.clone(), self.object_path(key));
        self.blocking(move |_| {
            let file = File::open(&path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Error::not_found(format!("the object {key}")),
                _ => error.into(),
            })?;
            let info = info(&file.metadata()?);
            Ok(OpenObject { file: Arc::new(file), info })
        })
        .await
    }

    pub(super) async fn delete(&self, key: &StorageKey) -> Result<()> {
        let object = self.object_path(key);
        self.blocking(move |_| match fs::remove_file(&object) {
            Ok(()) => Ok(sync_directory(parent(&object))?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        })
        .await
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
    fn temporary_file(&self) -> Result<NamedTempFile> {
        Ok(NamedTempFile::new_in(self.temporary())?)
    }

    /// Makes the object out of its parts, durably but for the sync of its directory.
    fn assemble(&self, object: &Path, uploaded: &Path, parts: &[Part]) -> Result<()> {
        let files = parts.iter().map(|part| stored_part(uploaded, part)).collect::<Result<Vec<_>>>()?;
        ensure_directory(parent(object))?;
        if let [only] = files.as_slice() {
            return Ok(fs::hard_link(only, object)?);
        }
        let mut whole = self.temporary_file()?;
        for path in &files {
            io::copy(&mut File::open(path)?, whole.as_file_mut())?;
        }
        if whole.as_file().metadata()?.len() != total_bytes(parts) {
            return Err(Error::internal(format!("the parts of {} do not add up", object.display())));
        }
        whole.as_file().sync_all()?;
        whole.persist_noclobber(object).map_err(|error| error.error)?;
        Ok(())
    }

    /// Makes an upload disappear in one step, so that a late part finds no place, then removes its files.
    fn forget(&self, uploaded: &Path) -> Result<()> {
        let grave = tempfile::tempdir_in(self.temporary())?;
        match fs::rename(uploaded, grave.path().join("upload")) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        sync_directory(&self.uploads())?;
        Ok(grave.close()?)
    }

    /// Removes what crashed processes left in `temporary/`. Ages are taken from the file system's own clock.
    fn sweep(self) -> Result<Self> {
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

/// A part on its way to the disk.
struct Incoming {
    file: NamedTempFile,
    hasher: Hasher,
    size_bytes: u64,
}

impl Incoming {
    /// Writes a body to disk, one piece while the next arrives.
    async fn receive(self, mut body: impl Stream<Item = Result<Bytes>> + Unpin, size_bytes: u64) -> Result<Self> {
        let (mut received, mut piece, mut piece_bytes) = (0_u64, Vec::new(), 0);
        let mut writing = self.write(Vec::new());
        while let Some(chunk) = next_chunk(&mut body).await? {
            let chunk_bytes = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            received = received.saturating_add(chunk_bytes);
            if received > size_bytes {
                return Err(wrong_size(size_bytes, "more"));
            }
            piece.push(chunk);
            piece_bytes += chunk_bytes;
            if piece_bytes >= PIECE_BYTES {
                writing = finished(writing).await?.write(std::mem::take(&mut piece));
                piece_bytes = 0;
            }
        }
        if received < size_bytes {
            return Err(wrong_size(size_bytes, "fewer"));
        }
        finished(finished(writing).await?.write(piece)).await
    }

    fn write(mut self, chunks: Vec<Bytes>) -> JoinHandle<Result<Self>> {
        tokio::task::spawn_blocking(move || {
            for chunk in chunks {
                self.hasher.update(&chunk);
                self.file.write_all(&chunk)?;
                self.size_bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            }
            Ok(self)
        })
    }
}

async fn next_chunk(body: &mut (impl Stream<Item = Result<Bytes>> + Unpin)) -> Result<Option<Bytes>> {
    match tokio::time::timeout(CLIENT_TIMEOUT, body.try_next()).await {
        Ok(chunk) => chunk,
        Err(_) => {
            Err(Error::new(Kind::Timeout, "no bytes of the part arrived for too long").remedy("send the part again"))
        }
    }
}

/// The refusal of a body that does not have the size its link was signed for.
pub(super) fn wrong_size(size_bytes: u64, than: &str) -> Error {
    let kind = if than == "more" { Kind::TooLarge } else { Kind::DigestMismatch };
    Error::new(kind, format!("the body has {than} than the {size_bytes} bytes that this link is for"))
        .field("Content-Length")
        .remedy("send exactly the bytes of this part")
}

/// An object whose file is open.
pub(super) struct OpenObject {
    file: Arc<File>,
    pub(super) info: ObjectInfo,
}

impl OpenObject {
    /// Reads a range, one piece ahead of whoever takes them.
    pub(super) fn read(self, range: Range<u64>) -> Result<ByteStream> {
        if range.start > range.end || range.end > self.info.size_bytes {
            return Err(range_not_satisfiable(self.info.size_bytes));
        }
        let ahead = read_piece(&self.file, &range);
        let next = move |(file, rest, ahead): (Arc<File>, Range<u64>, Option<JoinHandle<Result<Bytes>>>)| async move {
            let ahead = ahead?;
            let piece = finished(ahead).await;
            let start = piece.as_ref().map_or(rest.end, |piece| rest.start.saturating_add(length(piece)));
            let rest = start..rest.end;
            let ahead = read_piece(&file, &rest);
            Some((piece, (file, rest, ahead)))
        };
        Ok(stream::unfold((self.file, range, ahead), next).boxed())
    }
}

fn read_piece(file: &Arc<File>, rest: &Range<u64>) -> Option<JoinHandle<Result<Bytes>>> {
    let (file, offset) = (file.clone(), rest.start);
    let size = usize::try_from(PIECE_BYTES.min(rest.end.saturating_sub(offset))).unwrap_or(0);
    (size > 0).then(|| {
        tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; size];
            file.read_exact_at(&mut piece, offset)?;
            Ok(piece.into())
        })
    })
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

async fn finished<T>(work: JoinHandle<Result<T>>) -> Result<T> {
    work.await.map_err(|error| Error::internal("file work ended early").because(error))?.map_err(when_full)
}

/// A full disk is the operator's to mend, and passes: the caller may come again.
fn when_full(error: Error) -> Error {
    match error.cause::<io::Error>().map(io::Error::kind) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Error::new(Kind::Unavailable, "the object store is full").because(error)
        }
        _ => error,
    }
}

/// One file of an upload.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PartFile {
    number: u32,
    modified_at: (i64, i64),
    digest: Digest,
    size_bytes: u64,
    path: PathBuf,
}

fn part_name(number: u32, digest: Digest) -> String {
    format!("{number}.{digest}")
}

/// The path of a part in its signed link, and in the route.
fn part_path(multipart_id: &str, number: u32) -> String {
    format!("/objects/parts/{multipart_id}/{number}")
}

/// The files of an upload by number, the older ones of a number first.
fn part_files(uploaded: &Path) -> Result<Vec<PartFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(uploaded).map_err(no_upload)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, digest)) = name.to_str().and_then(|name| name.split_once('.')) else { continue };
        let (Ok(number), Ok(digest)) = (number.parse(), digest.parse()) else { continue };
        // A file that goes in this moment was replaced.
        let Ok(metadata) = entry.metadata() else { continue };
        let modified_at = (metadata.mtime(), metadata.mtime_nsec());
        files.push(PartFile { number, modified_at, digest, size_bytes: metadata.len(), path: entry.path() });
    }
    files.sort();
    Ok(files)
}

/// Removes all but the newest file of a part. The newest stays, however many calls do this at once.
fn remove_replaced(files: &[PartFile], number: u32) -> Result<()> {
    let mut files: Vec<_> = files.iter().filter(|file| file.number == number).collect();
    files.pop();
    for file in files {
        match fs::remove_file(&file.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The file that holds exactly this part.
fn stored_part(uploaded: &Path, part: &Part) -> Result<PathBuf> {
    fs::metadata(uploaded).map_err(no_upload)?;
    let gone = || {
        let detail = format!("part {} is not in the store as it was listed", part.number);
        Error::new(Kind::WrongState, detail)
            .field("parts")
            .remedy("list the parts again, and send those that are missing")
    };
    let path = uploaded.join(part_name(part.number, part.etag.parse().map_err(|_| gone())?));
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() == part.size_bytes && part.number <= MAX_PARTS => Ok(path),
        _ => Err(gone()),
    }
}

/// Whether the object is there, with the size it must have.
fn stands(object: &Path, size_bytes: u64) -> Result<bool> {
    match fs::metadata(object) {
        Ok(metadata) if metadata.len() == size_bytes => Ok(true),
        Ok(metadata) => Err(Error::new(
            Kind::WrongState,
            format!("the upload was completed before, with {} bytes instead of {size_bytes}", metadata.len()),
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn info(metadata: &Metadata) -> ObjectInfo {
    // Without the inode, so that a directory restored from a backup keeps its marks.
    let etag = format!("{:x}-{:x}-{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    ObjectInfo { size_bytes: metadata.len(), etag }
}

fn belongs(key: &StorageKey, multipart_id: &str) -> Result<()> {
    if key.name() == multipart_id { Ok(()) } else { Err(Error::not_found("the upload")) }
}

fn no_upload(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::not_found("the upload").remedy("it was completed or aborted; begin a new one"),
        _ => error.into(),
    }
}

fn take(parameters: &mut Parameters, name: &str) -> Result<String> {
    parameters.remove(name).ok_or_else(|| Error::forbidden(format!("this link has no {name}")))
}

/// The URL under which clients reach this server: the one in the settings, or the address it listens on.
fn public_url(config: &Config) -> Result<Url> {
    let text = match &config.public_url {
        Some(url) => url.clone(),
        None if config.listen.ip().is_unspecified() => format!("http://127.0.0.1:{}", config.listen.port()),
        None => format!("http://{}", config.listen),
    };
    let refused = || Error::invalid("public_url", format!("{text:?} is not an http or https URL"));
    let url = text.parse::<Url>().map_err(|error| refused().because(error))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(refused()) }
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory and its parents, each durable in the one above.
fn ensure_directory(path: &Path) -> io::Result<()> {
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
