//! Where the bytes of a shard come from: the store, or a file.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::{ByteStream, StorageKey, Store};
use crate::types::length;

/// The bytes of a shard, read from wherever it is asked.
pub trait Source: Send + Sync {
    /// How many there are.
    fn size_bytes(&self) -> u64;
    /// Those of a range, which lies within them.
    ///
    /// # Errors
    /// When they cannot be had.
    fn read(&self, range: Range<u64>) -> io::Result<Box<dyn Read + Send>>;
}

/// A shard in the store. Its readers wait for the store: to be used where waiting is allowed.
pub(super) struct StoredShard {
    store: Store,
    key: StorageKey,
    size_bytes: u64,
    stop: CancellationToken,
    fault: Arc<Mutex<Option<Error>>>,
}

impl StoredShard {
    /// The object under a key; nothing is read any more once `stop` is cancelled.
    pub(super) fn new(store: Store, key: StorageKey, size_bytes: u64, stop: CancellationToken) -> Self {
        Self { store, key, size_bytes, stop, fault: Arc::default() }
    }

    /// Why the store did not give the bytes, if it did not.
    pub(super) fn fault(&self) -> Option<Error> {
        self.fault.lock().ok().and_then(|mut fault| fault.take())
    }
}

impl Source for StoredShard {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
    fn read(&self, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        match Handle::current().block_on(self.store.read(&self.key, Some(range))) {
            Ok(stream) => {
                let (stop, fault) = (self.stop.clone(), self.fault.clone());
                Ok(Box::new(Pieces { stream, piece: Bytes::new(), stop, fault }))
            }
            Err(error) => Err(missed(&self.fault, error)),
        }
    }
}

fn missed(fault: &Mutex<Option<Error>>, error: Error) -> io::Error {
    if let Ok(mut fault) = fault.lock() {
        fault.get_or_insert(error);
    }
    io::Error::other("the store did not give the bytes")
}

/// Bytes that the store gives piece by piece.
struct Pieces {
    stream: ByteStream,
    piece: Bytes,
    stop: CancellationToken,
    fault: Arc<Mutex<Option<Error>>>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(missed(&self.fault, Error::internal("the inspection was given up")));
        }
        while self.piece.is_empty() {
            match Handle::current().block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(missed(&self.fault, error)),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(buffer.split_at_mut(length).0);
        Ok(length)
    }
}

/// A shard in a file of this machine.
pub struct ShardFile {
    file: File,
    size_bytes: u64,
}

impl ShardFile {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        Ok(Self { file, size_bytes })
    }
}

impl Source for ShardFile {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
    fn read(&self, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(Box::new(file.take(range.end.saturating_sub(range.start))))
    }
}

/// A shard in memory.
impl Source for Bytes {
    fn size_bytes(&self) -> u64 {
        length(self)
    }
    fn read(&self, range: Range<u64>) -> io::Result<Box<dyn Read + Send>> {
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(self.len());
        Ok(Box::new(self.slice(place(range.start)..place(range.end).max(place(range.start))).reader()))
    }
}
