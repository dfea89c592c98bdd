//! Objects as they are read: from an open file, one piece ahead.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use super::disk::finished;
use crate::error::Result;
use crate::store::{ByteStream, ObjectInfo, part_of, range_not_satisfiable};
use crate::types::length;

/// How much is read at a time: little enough to stay in a processor's cache until it is sent.
const PIECE_BYTES: u64 = 256 * 1024;
/// What is no longer than this is read when it is opened.
const SMALL_BYTES: u64 = 16 * 1024;

/// An object whose file is open.
pub(in crate::store) struct OpenObject {
    content: Content,
    pub(in crate::store) info: ObjectInfo,
}

/// A piece that is being read, and the file, for the next one.
type Ahead = JoinHandle<Result<(File, Bytes)>>;

enum Content {
    InMemory(Bytes),
    InFile(File),
}

impl OpenObject {
    /// An open file, and what is known of it.
    pub(super) fn new(mut file: File, info: ObjectInfo) -> Result<Self> {
        let content = match info.size_bytes <= SMALL_BYTES {
            true => Content::InMemory(read_exactly(&mut file, info.size_bytes)?),
            false => Content::InFile(file),
        };
        Ok(Self { content, info })
    }

    /// Bytes that were read before.
    pub(super) fn held(info: ObjectInfo, bytes: Bytes) -> Self {
        Self { content: Content::InMemory(bytes), info }
    }

    /// All of it, if it is in memory.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        match &self.content {
            Content::InMemory(bytes) => Some(bytes),
            Content::InFile(_) => None,
        }
    }

    /// Reads a range, one piece ahead of whoever takes them.
    pub(in crate::store) fn read(self, range: Range<u64>) -> Result<ByteStream> {
        match self.content {
            Content::InMemory(bytes) => part_of(&bytes, range),
            Content::InFile(_) if range.start > range.end || range.end > self.info.size_bytes => {
                Err(range_not_satisfiable(self.info.size_bytes))
            }
            Content::InFile(file) => Ok(read_ahead(file, range).boxed()),
        }
    }
}

fn read_ahead(file: File, range: Range<u64>) -> impl stream::Stream<Item = Result<Bytes>> + Send {
    let left = range.end.saturating_sub(range.start);
    let ahead = read_piece(file, Some(range.start), left);
    let next = |(left, ahead): (u64, Option<Ahead>)| async move {
        match finished(ahead?).await {
            Ok((file, piece)) => {
                let left = left.saturating_sub(length(&piece));
                Some((Ok(piece), (left, read_piece(file, None, left))))
            }
            Err(error) => Some((Err(error), (0, None))),
        }
    };
    stream::unfold((left, ahead), next)
}

/// Begins to read what follows in the file, or what begins at `from`; nothing when nothing is left.
fn read_piece(mut file: File, from: Option<u64>, left: u64) -> Option<Ahead> {
    (left > 0).then(|| {
        tokio::task::spawn_blocking(move || {
            if let Some(from) = from {
                file.seek(SeekFrom::Start(from))?;
            }
            let piece = read_exactly(&mut file, left.min(PIECE_BYTES))?;
            Ok((file, piece))
        })
    })
}

/// The next bytes of a file, so many and no fewer.
fn read_exactly(file: &mut File, size: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = file.take(size).read_to_end(&mut piece)?;
    match u64::try_from(read) == Ok(size) {
        true => Ok(piece.into()),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}
