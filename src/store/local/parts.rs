//! Parts as files: received, found again, replaced.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use tempfile::NamedTempFile;
use tokio::task::JoinHandle;

use super::PIECE_BYTES;
use super::disk::{finished, sync_directory, sync_file};
use crate::config::CLIENT_TIMEOUT;
use crate::error::{Error, Kind, Result};
use crate::store::{MAX_PARTS, Part};
use crate::types::{Digest, Hasher, length};

/// A part on its way to the disk.
pub(super) struct Incoming {
    file: NamedTempFile,
    hasher: Hasher,
    size_bytes: u64,
}

impl Incoming {
    /// Begins a part in a temporary file.
    pub(super) fn new(file: NamedTempFile) -> Self {
        Self { file, hasher: Hasher::default(), size_bytes: 0 }
    }

    /// Moves the part to its place, durably, and removes the one that stood there.
    pub(super) fn keep(self, uploaded: &Path, number: u32) -> Result<Part> {
        let digest = self.hasher.finish();
        // File systems stamp by a coarse clock: what comes after another part must also be stamped after it.
        let newest = part_files(uploaded)?.into_iter().rfind(|file| file.number == number);
        if let Some(newest) = newest
            && self.file.as_file().metadata()?.modified()? <= newest.modified_at
        {
            self.file.as_file().set_modified(newest.modified_at + Duration::from_nanos(1))?;
        }
        sync_file(self.file.as_file())?;
        self.file.persist(uploaded.join(part_name(number, digest))).map_err(|error| no_upload(error.error))?;
        sync_directory(uploaded).map_err(no_upload)?;
        remove_replaced(&part_files(uploaded)?, number)?;
        Ok(Part { number, size_bytes: self.size_bytes, etag: digest.to_string() })
    }

    /// Writes a body to disk, one piece while the next arrives.
    pub(super) async fn receive(
        self,
        mut body: impl Stream<Item = Result<Bytes>> + Unpin,
        size_bytes: u64,
    ) -> Result<Self> {
        let (mut received, mut piece, mut piece_bytes) = (0_u64, Vec::new(), 0);
        let mut writing = self.write(Vec::new());
        while let Some(chunk) = next_chunk(&mut body).await? {
            let chunk_bytes = length(&chunk);
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
                self.size_bytes += length(&chunk);
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
pub(in crate::store) fn wrong_size(size_bytes: u64, than: &str) -> Error {
    let kind = if than == "more" { Kind::TooLarge } else { Kind::DigestMismatch };
    Error::new(kind, format!("the body has {than} than the {size_bytes} bytes that this link is for"))
        .field("Content-Length")
        .remedy("send exactly the bytes of this part")
}

/// One file of an upload.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PartFile {
    number: u32,
    modified_at: SystemTime,
    digest: Digest,
    size_bytes: u64,
    path: PathBuf,
}

fn part_name(number: u32, digest: Digest) -> String {
    format!("{number}.{digest}")
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
        let modified_at = metadata.modified()?;
        files.push(PartFile { number, modified_at, digest, size_bytes: metadata.len(), path: entry.path() });
    }
    files.sort();
    Ok(files)
}

/// The parts of an upload, by number.
pub(super) fn standing_parts(uploaded: &Path) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for file in part_files(uploaded)? {
        // Sorted by number and age: the last of a number is the part.
        parts.pop_if(|last| last.number == file.number);
        parts.push(Part { number: file.number, size_bytes: file.size_bytes, etag: file.digest.to_string() });
    }
    Ok(parts)
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
pub(super) fn stored_part(uploaded: &Path, part: &Part) -> Result<PathBuf> {
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

pub(super) fn no_upload(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::not_found("the upload").remedy("it was completed or aborted; begin a new one"),
        _ => error.into(),
    }
}
