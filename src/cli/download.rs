//! `corpex download`: fetch a licensed version, resume after any cut, and believe nothing unchecked.
//!
//! A shard is written to `.corpex/partial`, hashed as it arrives, and takes its final name only when its size
//! and digest are those of the provider's signed manifest. At the end the passport is fetched, verified and
//! kept in `.corpex/passport.json`, so that `corpex verify DIR` works years later, offline. Whoever wants some of the files
//! only, by patterns, gets those, and the folder says so.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures_util::StreamExt as _;
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::client::Client;
use super::licence::find_active;
use super::output::{FileProgress, Out, Progress};
use super::pace::{Pace, rate};
use super::reference::DatasetRef;
use super::subset::Subset;
use super::{hub_cache, passport, shards};
use crate::catalog::{ManifestShard, check_path};
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, EntitlementId, Hasher};

/// A shard that was cut off is continued this often before the command gives up.
const ATTEMPTS: u32 = 8;

/// The file of a downloaded folder that says of which manifest it is: a subscription's passport holds several.
pub(super) const MANIFEST_NAME: &str = ".corpex/manifest";

#[derive(Debug, Args)]
pub(super) struct Download {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    pub(super) dataset: DatasetRef,
    /// The folder to download to; what is there and right already is kept
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
    /// The licence to download under (entitlement_…); your newest one when not given
    #[arg(long, value_name = "ID")]
    pub(super) entitlement: Option<EntitlementId>,
    /// Shards to fetch at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: u8,
    #[command(flatten)]
    pub(super) subset: Subset,
    /// Fetch at most so many bytes a second, all shards together: 500k, 20M, 1G
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) limit_rate: Option<NonZeroU32>,
    /// Show the files in a cache of the Hugging Face Hub's clients too, such as ~/.cache/huggingface/hub. They share the
    /// bytes where both lie on one disk
    #[arg(long, value_name = "DIR")]
    pub(super) export_hf_cache: Option<PathBuf>,
}

/// What a download came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Downloaded {
    pub(super) dataset: String,
    pub(super) version: i32,
    pub(super) shards: usize,
    pub(super) bytes: i64,
    /// Shards that were there already, with the right bytes.
    pub(super) kept: usize,
    pub(super) passport: PathBuf,
    /// The snapshot in the cache of the Hub's clients, if one was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hf_snapshot: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Links {
    links: VecDeque<Link>,
}

#[derive(Deserialize)]
struct Link {
    url: String,
}

impl Download {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<Downloaded> {
        let entitlement = find_active(client, &self.dataset, self.entitlement).await?;
        let signed = passport::signed_manifest(client, &self.dataset, entitlement.version).await?;
        let mut wanted = signed.manifest.shards;
        if let Some(selection) = &entitlement.selection {
            wanted.retain(|shard| selection.includes(shard));
        }
        wanted.retain(|shard| self.subset.wants(&shard.path));
        if wanted.is_empty() {
            return Err(Error::invalid("include", "no shard that you license matches these patterns").remedy(format!(
                "corpex inspect {}@{} lists them",
                self.dataset.full_name(),
                entitlement.version
            )));
        }
        self.subset.keep(&self.to)?;
        let bytes = wanted.iter().map(|shard| shard.size_bytes).sum();
        let progress = out.progress("downloading", u64::try_from(bytes).unwrap_or(0));
        let fetcher = Arc::new(Fetcher {
            client: client.clone(),
            entitlement: entitlement.id,
            version: entitlement.version,
            folder: self.to.clone(),
            progress,
            pace: Pace::new(self.limit_rate),
        });
        let mut running = futures_util::stream::iter(wanted.iter().cloned())
            .map(|shard| {
                let fetcher = fetcher.clone();
                async move { tokio::spawn(async move { fetcher.shard(&shard).await }).await }
            })
            .buffer_unordered(usize::from(self.jobs));
        let mut kept = 0;
        while let Some(ended) = running.next().await {
            let how = ended.map_err(|error| Error::internal("a download task panicked").because(error))??;
            kept += usize::from(how == Fetched::WasThere);
        }
        drop(running);
        fetcher.progress.finish();
        let saved = self.to.join(".corpex").join("passport.json");
        passport::save(client, entitlement.id, Some(signed.pae_sha256), &saved).await?;
        tokio::fs::write(self.to.join(MANIFEST_NAME), signed.pae_sha256.to_string()).await?;
        let _ = tokio::fs::remove_dir(self.to.join(".corpex").join("partial")).await;
        let hf_snapshot = match &self.export_hf_cache {
            Some(cache) => {
                let files = (self.to.as_path(), wanted.as_slice());
                Some(hub_cache::export(client, &self.dataset, entitlement.version, files, cache).await?)
            }
            None => None,
        };
        let done = Downloaded {
            dataset: self.dataset.full_name(),
            version: entitlement.version,
            shards: wanted.len(),
            bytes,
            kept,
            passport: saved,
            hf_snapshot,
        };
        out.result(&done, || {
            format!(
                "{} shards, {} bytes of {}@{}: every byte is as signed by {}\npassport: {}{}",
                done.shards,
                done.bytes,
                done.dataset,
                done.version,
                self.dataset.organisation,
                done.passport.display(),
                done.hf_snapshot.as_ref().map(|at| format!("\nsnapshot: {}", at.display())).unwrap_or_default()
            )
        })?;
        Ok(done)
    }
}

/// What became of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fetched {
    Now,
    WasThere,
}

/// Fetches shards of one licence into one folder.
struct Fetcher {
    client: Client,
    entitlement: EntitlementId,
    version: i32,
    folder: PathBuf,
    progress: Progress,
    pace: Pace,
}

impl Fetcher {
    async fn shard(&self, shard: &ManifestShard) -> Result<Fetched> {
        // The manifest is signed, but not by us: its paths are checked as if it were not.
        check_path(&shard.path)?;
        let target = self.folder.join(&shard.path);
        let bar = self.progress.file(&shard.path, u64::try_from(shard.size_bytes).unwrap_or(0));
        if is_there(&target, shard).await? {
            bar.advance(u64::try_from(shard.size_bytes).unwrap_or(0));
            bar.finish("was there");
            return Ok(Fetched::WasThere);
        }
        // Two shards may have the same bytes, and arrive at the same time.
        let name = Digest::of(format!("{}\n{}", shard.sha256, shard.path)).to_string();
        let partial = self.folder.join(".corpex").join("partial").join(name);
        create_parent(&partial).await?;
        self.fetch(shard, &partial, &bar).await?;
        create_parent(&target).await?;
        tokio::fs::rename(&partial, &target).await?;
        sync_parent(&target).await?;
        bar.finish("verified");
        Ok(Fetched::Now)
    }

    /// Brings the partial file to completion, and checks all of it.
    async fn fetch(&self, shard: &ManifestShard, partial: &Path, bar: &FileProgress) -> Result<()> {
        let mut hasher = Hasher::default();
        let mut have = resume(partial, shard, &mut hasher).await?;
        bar.advance(have);
        let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(partial).await?;
        let size = u64::try_from(shard.size_bytes).unwrap_or(0);
        let mut attempt = 1;
        while have < size {
            let before = have;
            let got = self.continue_from(shard, &mut have, &mut file, &mut hasher, bar).await;
            match got {
                Ok(()) if have > before => attempt = 1,
                Err(error) if attempt >= ATTEMPTS || !worth_repeating(&error) => return Err(error),
                _ => attempt += 1,
            }
            if have < size {
                tokio::time::sleep(std::time::Duration::from_millis(200 << attempt.min(5))).await;
            }
        }
        file.sync_all().await?;
        let found = hasher.finish();
        if have != size || found != shard.sha256 {
            tokio::fs::remove_file(partial).await?;
            return Err(Error::new(
                Kind::DigestMismatch,
                format!(
                    "{} was signed with sha256 {} and arrived with {found}; it was thrown away",
                    shard.path, shard.sha256
                ),
            )
            .remedy("run the command again; if it happens again, tell the exchange's operator"));
        }
        Ok(())
    }

    /// Asks for a fresh link and appends what it gives, up to the shard's end or the connection's.
    async fn continue_from(
        &self,
        shard: &ManifestShard,
        have: &mut u64,
        file: &mut tokio::fs::File,
        hasher: &mut Hasher,
        bar: &FileProgress,
    ) -> Result<()> {
        let wanted = json!({ "paths": [shard.path], "version": self.version });
        let path = format!("/v1/entitlements/{}/links", self.entitlement);
        let mut links: Links = self.client.post(path).safe_to_repeat().json(&wanted)?.send().await?;
        let link = links.links.pop_front().ok_or_else(|| Error::new(Kind::Malformed, "the server gave no link"))?;
        let response =
            self.client.get(link.url).header(header::RANGE.as_str(), format!("bytes={have}-")).response().await?;
        if *have > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(Error::new(Kind::Malformed, "the server does not continue a download where it stopped"));
        }
        let size = u64::try_from(shard.size_bytes).unwrap_or(0);
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| Error::new(Kind::Unavailable, "the connection broke").because(error))?;
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            if have.saturating_add(length) > size {
                return Err(Error::new(
                    Kind::DigestMismatch,
                    format!("the server sent more than the {size} bytes of {}", shard.path),
                ));
            }
            self.pace.take(length).await;
            file.write_all(&piece).await?;
            hasher.update(&piece);
            *have += length;
            bar.advance(length);
        }
        file.flush().await?;
        Ok(())
    }
}

fn worth_repeating(error: &Error) -> bool {
    // A link that lapsed meanwhile is refused as forbidden; the next attempt asks for a new one.
    matches!(error.kind, Kind::Unavailable | Kind::Forbidden | Kind::Timeout)
}

async fn is_there(target: &Path, shard: &ManifestShard) -> Result<bool> {
    match tokio::fs::metadata(target).await {
        Ok(metadata) if i64::try_from(metadata.len()).ok() == Some(shard.size_bytes) => {
            Ok(digest_of(target.to_path_buf()).await? == shard.sha256)
        }
        _ => Ok(false),
    }
}

async fn digest_of(file: PathBuf) -> Result<Digest> {
    let hashed = tokio::task::spawn_blocking(move || shards::digest_of(&file, |_| {})).await;
    Ok(hashed.map_err(|error| Error::internal("hashing panicked").because(error))??.0)
}

/// Takes up what an earlier run left: hashes it, and says how many bytes there are.
async fn resume(partial: &Path, shard: &ManifestShard, hasher: &mut Hasher) -> Result<u64> {
    let Ok(metadata) = tokio::fs::metadata(partial).await else { return Ok(0) };
    if metadata.len() > u64::try_from(shard.size_bytes).unwrap_or(0) {
        tokio::fs::remove_file(partial).await?;
        return Ok(0);
    }
    let path = partial.to_path_buf();
    let hashed = tokio::task::spawn_blocking(move || shards::hash_into(&path, Hasher::default())).await;
    let (so_far, length) = hashed.map_err(|error| Error::internal("hashing panicked").because(error))??;
    *hasher = so_far;
    Ok(length)
}

async fn create_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    Ok(())
}

async fn sync_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::File::open(parent).await?.sync_all().await?;
    }
    Ok(())
}
