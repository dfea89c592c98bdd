//! Fetches one shard into the folder: its segments arrive in parallel, and are hashed in order as they are completed.
//!
//! `.corpex/partial/NAME` has each segment at its place, and `NAME.done` says which of them arrived whole, so that a later run
//! goes on with what an earlier one left. Neither is believed: the shard takes its name only when the digest of all of it is
//! the one that was signed.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use super::segment::{Links, SEGMENT_BYTES, Segment, segments};
use crate::catalog::{ManifestShard, check_path};
use crate::cli::client::Client;
use crate::cli::output::{FileProgress, Progress};
use crate::cli::pace::Pace;
use crate::cli::shards;
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, EntitlementId, Hasher};

/// What became of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fetched {
    Now,
    WasThere,
}

/// Fetches shards of one licence into one folder.
pub(super) struct Fetcher {
    pub(super) client: Client,
    pub(super) entitlement: EntitlementId,
    pub(super) version: i32,
    pub(super) folder: PathBuf,
    pub(super) progress: Progress,
    pub(super) pace: Pace,
    /// One permit for each connection that may be open.
    pub(super) connections: Semaphore,
    /// How many there are in all.
    pub(super) at_once: usize,
}

impl Fetcher {
    pub(super) async fn shard(self: Arc<Self>, shard: ManifestShard) -> Result<Fetched> {
        // The manifest is signed, but not by us: its paths are checked as if it were not.
        check_path(&shard.path)?;
        let size = u64::try_from(shard.size_bytes).unwrap_or(0);
        let target = self.folder.join(&shard.path);
        let bar = Arc::new(self.progress.file(&shard.path, size));
        if is_there(&target, &shard).await? {
            bar.advance(size);
            bar.finish("was there");
            return Ok(Fetched::WasThere);
        }
        let partial = Partial::of(&self.folder, &shard).await?;
        let found = self.fetch(&shard, &partial, &bar).await?;
        if found != shard.sha256 {
            partial.remove().await?;
            return Err(Error::new(
                Kind::DigestMismatch,
                format!(
                    "{} was signed with sha256 {} and arrived with {found}; it was thrown away",
                    shard.path, shard.sha256
                ),
            )
            .remedy("run the command again; if it happens again, tell the exchange's operator"));
        }
        partial.rename(&target).await?;
        bar.finish("verified");
        Ok(Fetched::Now)
    }

    /// Brings the partial file to completion, and gives the digest of all of it.
    async fn fetch(
        self: &Arc<Self>,
        shard: &ManifestShard,
        partial: &Partial,
        bar: &Arc<FileProgress>,
    ) -> Result<Digest> {
        let all = segments(u64::try_from(shard.size_bytes).unwrap_or(0));
        let mut standing = partial.standing(&all).await?;
        let missing: Vec<Segment> = all.iter().filter(|segment| !standing.contains(&segment.number)).copied().collect();
        for segment in all.iter().filter(|segment| standing.contains(&segment.number)) {
            bar.advance(segment.length);
        }
        let links = Arc::new(Links::new(self.client.clone(), self.entitlement, self.version, shard.path.clone()));
        if all.is_empty() {
            // An empty shard has no segments. That it was delivered is put on record all the same.
            links.other_than(None).await?;
        }
        let mut running = futures_util::stream::iter(missing)
            .map(|segment| {
                let (this, links, bar, file) = (self.clone(), links.clone(), bar.clone(), partial.file.clone());
                let fetching = async move {
                    let _connection = this.connections.acquire().await;
                    segment.fetch(&this.client, &links, &file, &this.pace, &bar).await.map(|()| segment.number)
                };
                tokio::spawn(fetching)
            })
            .buffer_unordered(self.at_once);
        let mut hashed = Hashed::default();
        hashed.advance(&partial.file, &all, &standing).await?;
        while let Some(ended) = running.next().await {
            let number = ended.map_err(|error| Error::internal("a download task panicked").because(error))??;
            partial.note(number).await?;
            standing.insert(number);
            hashed.advance(&partial.file, &all, &standing).await?;
        }
        Ok(hashed.hasher.finish())
    }
}

/// The digest of the segments that stand without a gap, from the first on.
#[derive(Default)]
struct Hashed {
    hasher: Hasher,
    segments: usize,
}

impl Hashed {
    /// Hashes the segments up to the first gap that is left.
    async fn advance(&mut self, file: &Path, all: &[Segment], standing: &HashSet<u32>) -> Result<()> {
        let rest = all.iter().skip(self.segments);
        let ready: Vec<Segment> = rest.take_while(|segment| standing.contains(&segment.number)).copied().collect();
        let (Some(first), Some(last)) = (ready.first(), ready.last()) else { return Ok(()) };
        let (from, to) = (first.from, last.from + last.length);
        let (path, hasher) = (file.to_path_buf(), self.hasher.clone());
        let hashing = tokio::task::spawn_blocking(move || hash_part(&path, hasher, from, to)).await;
        self.hasher = hashing.map_err(|error| Error::internal("hashing panicked").because(error))??;
        self.segments += ready.len();
        Ok(())
    }
}

fn hash_part(path: &Path, hasher: Hasher, from: u64, to: u64) -> Result<Hasher> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let (hasher, size) = shards::feed(file.take(to - from), hasher, |_| {})?;
    match size == to - from {
        true => Ok(hasher),
        false => Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()),
    }
}

/// A shard that is not there yet, and which of its segments are.
struct Partial {
    file: PathBuf,
    done: PathBuf,
}

impl Partial {
    async fn of(folder: &Path, shard: &ManifestShard) -> Result<Self> {
        // Two shards may have the same bytes, and arrive at the same time.
        let name = Digest::of(format!("{}\n{}\n{SEGMENT_BYTES}", shard.sha256, shard.path)).to_string();
        let file = folder.join(".corpex").join("partial").join(name);
        create_parent(&file).await?;
        let done = file.with_extension("done");
        tokio::fs::OpenOptions::new().append(true).create(true).open(&file).await?;
        Ok(Self { file, done })
    }

    /// The segments that arrived whole, as far as is known, and that the file is long enough for.
    async fn standing(&self, all: &[Segment]) -> Result<HashSet<u32>> {
        let length = tokio::fs::metadata(&self.file).await?.len();
        let fits = |number: &u32| {
            all.iter().any(|segment| segment.number == *number && segment.from + segment.length <= length)
        };
        let text = match tokio::fs::read_to_string(&self.done).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        // The last line may have been cut off.
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(lines.filter_map(|line| line.parse().ok()).filter(fits).collect())
    }

    /// Notes that a segment arrived whole, once it is on the disk.
    async fn note(&self, number: u32) -> Result<()> {
        tokio::fs::File::open(&self.file).await?.sync_data().await?;
        let mut done = tokio::fs::OpenOptions::new().append(true).create(true).open(&self.done).await?;
        done.write_all(format!("{number}\n").as_bytes()).await?;
        Ok(done.flush().await?)
    }

    /// Gives it its name, durably.
    async fn rename(self, target: &Path) -> Result<()> {
        tokio::fs::File::open(&self.file).await?.sync_all().await?;
        create_parent(target).await?;
        // Before: it says nothing of a file that has its name, and would of the next one.
        remove_file(&self.done).await?;
        tokio::fs::rename(&self.file, target).await?;
        if let Some(parent) = target.parent() {
            tokio::fs::File::open(parent).await?.sync_all().await?;
        }
        Ok(())
    }

    async fn remove(self) -> Result<()> {
        remove_file(&self.done).await?;
        remove_file(&self.file).await
    }
}

async fn remove_file(file: &Path) -> Result<()> {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

async fn is_there(target: &Path, shard: &ManifestShard) -> Result<bool> {
    match tokio::fs::metadata(target).await {
        Ok(metadata) if i64::try_from(metadata.len()).ok() == Some(shard.size_bytes) => {
            let target = target.to_path_buf();
            let hashed = tokio::task::spawn_blocking(move || shards::digest_of(&target, |_| {})).await;
            let (found, _) = hashed.map_err(|error| Error::internal("hashing panicked").because(error))??;
            Ok(found == shard.sha256)
        }
        _ => Ok(false),
    }
}

async fn create_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    Ok(())
}
