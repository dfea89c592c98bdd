//! Objects as they are read: from an open file, or from the files of the parts one after the other; one piece ahead.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek as _, SeekFrom, Take};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use super::disk::finished;
use crate::error::Result;
use crate::store::{ByteStream, ObjectInfo, part_of, range_not_satisfiable};

/// How much is read at a time: little enough to stay in a processor's cache until it is sent.
const PIECE_BYTES: u64 = 256 * 1024;
/// What is no longer than this is read when it is opened.
const SMALL_BYTES: u64 = 16 * 1024;

/// An object that can be read.
pub(in crate::store) struct OpenObject {
    content: Content,
    pub(in crate::store) info: ObjectInfo,
}

enum Content {
    Memory(Bytes),
    File(File),
    Parts(Vec<Extent>),
}

/// Bytes of an object that lie in one file.
pub(super) struct Extent {
    pub(super) file: PathBuf,
    /// Which bytes of the file.
    pub(super) bytes: Range<u64>,
}

impl OpenObject {
    /// An open file, and what is known of it.
    pub(super) fn in_file(mut file: File, info: ObjectInfo) -> io::Result<Self> {
        let content = match info.size_bytes <= SMALL_BYTES {
            true => Content::Memory(read_exactly(&mut file, info.size_bytes)?),
            false => Content::File(file),
        };
        Ok(Self { content, info })
    }

    /// All parts in their order, and what is known of the whole.
    pub(super) fn in_parts(parts: Vec<Extent>, info: ObjectInfo) -> Self {
        Self { content: Content::Parts(parts), info }
    }

    /// Bytes that were read before.
    pub(super) fn held(info: ObjectInfo, bytes: Bytes) -> Self {
        Self { content: Content::Memory(bytes), info }
    }

    /// All of it, if it is in memory.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            Content::File(_) | Content::Parts(_) => None,
        }
    }

    /// Reads a range, one piece ahead of whoever takes them.
    pub(in crate::store) fn read(self, range: Range<u64>) -> Result<ByteStream> {
        let rest = match self.content {
            Content::Memory(bytes) => return part_of(&bytes, range),
            _ if range.start > range.end || range.end > self.info.size_bytes => {
                return Err(range_not_satisfiable(self.info.size_bytes));
            }
            Content::File(file) => Rest::of_file(file, &range)?,
            Content::Parts(parts) => Rest::of_parts(parts, &range),
        };
        Ok(read_ahead(rest).boxed())
    }
}

/// What is left to read of a range: of the file that is open, and of those that follow it.
struct Rest {
    open: Option<Take<File>>,
    following: std::vec::IntoIter<Extent>,
}

/// A piece that is being read, and what is left after it.
type Ahead = JoinHandle<Result<(Rest, Bytes)>>;

impl Rest {
    fn of_file(file: File, range: &Range<u64>) -> io::Result<Self> {
        Ok(Self { open: Some(within(file, range)?), following: Vec::new().into_iter() })
    }

    fn of_parts(parts: Vec<Extent>, range: &Range<u64>) -> Self {
        let mut before = 0_u64;
        let mut following = Vec::new();
        for Extent { file, bytes } in parts {
            let in_file = |at: u64| at.saturating_sub(before).min(bytes.end);
            let wanted = in_file(range.start)..in_file(range.end);
            before = before.saturating_add(bytes.end);
            if !wanted.is_empty() {
                following.push(Extent { file, bytes: wanted });
            }
        }
        Self { open: None, following: following.into_iter() }
    }

    /// Begins to read the next piece; nothing when nothing is left.
    fn read_piece(mut self) -> Option<Ahead> {
        if self.is_open_read() && self.following.as_slice().is_empty() {
            return None;
        }
        Some(tokio::task::spawn_blocking(move || {
            let piece = self.piece()?;
            Ok((self, piece))
        }))
    }

    fn piece(&mut self) -> io::Result<Bytes> {
        if self.is_open_read()
            && let Some(next) = self.following.next()
        {
            self.open = Some(within(File::open(next.file)?, &next.bytes)?);
        }
        let file = self.open.as_mut().ok_or(ErrorKind::UnexpectedEof)?;
        let size = file.limit().min(PIECE_BYTES);
        read_exactly(file, size)
    }

    /// Whether nothing is left of the file that is open.
    fn is_open_read(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.limit() == 0)
    }
}

/// A range of a file.
fn within(mut file: File, range: &Range<u64>) -> io::Result<Take<File>> {
    file.seek(SeekFrom::Start(range.start))?;
    Ok(file.take(range.end.saturating_sub(range.start)))
}

fn read_ahead(rest: Rest) -> impl stream::Stream<Item = Result<Bytes>> + Send {
    let next = |ahead: Option<Ahead>| async move {
        match finished(ahead?).await {
            Ok((rest, piece)) => Some((Ok(piece), rest.read_piece())),
            Err(error) => Some((Err(error), None)),
        }
    };
    stream::unfold(rest.read_piece(), next)
}

/// The next bytes of a file, so many and no fewer.
fn read_exactly(file: &mut impl Read, size: u64) -> io::Result<Bytes> {
    let mut piece = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    let read = file.take(size).read_to_end(&mut piece)?;
    match u64::try_from(read) == Ok(size) {
        true => Ok(piece.into()),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}
