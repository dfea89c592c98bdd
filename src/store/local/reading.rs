//! Objects as they are read: from an open file, one piece ahead.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;

use super::PIECE_BYTES;
use super::disk::finished;
use crate::error::Result;
use crate::store::{ByteStream, ObjectInfo, range_not_satisfiable};

/// An object whose file is open.
pub(in crate::store) struct OpenObject {
    file: Arc<File>,
    pub(in crate::store) info: ObjectInfo,
}

impl OpenObject {
    /// An open file, and what is known of it.
    pub(super) fn new(file: File, info: ObjectInfo) -> Self {
        Self { file: Arc::new(file), info }
    }

    /// Reads a range, one piece ahead of whoever takes them.
    pub(in crate::store) fn read(self, range: Range<u64>) -> Result<ByteStream> {
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
