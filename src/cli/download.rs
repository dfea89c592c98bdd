//! `corpex download`: fetches a licensed version, resumes after any interruption, and trusts nothing unchecked.
//!
//! A shard is fetched to `.corpex/partial`, by several connections where it is large, hashed as it arrives, and takes its
//! final name only when its size and digest are those of the provider's signed manifest. At the end the passport is fetched, verified and
//! kept in `.corpex/passport.json`, so that `corpex verify DIR` works years later, offline. With patterns only some of the files
//! are fetched, and the folder says which were wanted.

mod fetch;
mod lock;
mod segment;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::sync::Semaphore;

use self::fetch::{Fetched, Fetcher};
use super::client::Client;
use super::licence::find_active;
use super::output::{Out, counted};
use super::pace::{Pace, rate};
use super::reference::DatasetRef;
use super::subset::Subset;
use super::trust::signed_manifest;
use super::{hub_cache, passport, shards, whole};
use crate::error::{Error, Result};
use crate::provenance::passport::Report;
use crate::types::EntitlementId;

/// The file of a downloaded folder that says of which manifest it is: a subscription's passport holds several.
pub(super) const MANIFEST_NAME: &str = ".corpex/manifest";

#[derive(Debug, Args)]
pub(super) struct Download {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    pub(super) dataset: DatasetRef,
    /// The folder to download to; files that are already there and correct are kept
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
    /// The licence to download under (entitlement_…); by default one for the newest version that you may use, preferably
    /// your own
    #[arg(long, value_name = "ID")]
    pub(super) entitlement: Option<EntitlementId>,
    /// Concurrent connections: to several shards, and to several parts of a large one
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) jobs: u8,
    #[command(flatten)]
    pub(super) subset: Subset,
    /// Limit the rate to this many bytes a second, all shards together: 500k, 20M, 1G
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub(super) limit_rate: Option<NonZeroU32>,
    /// Also add the files to a cache of the Hugging Face Hub's clients, such as ~/.cache/huggingface/hub; on the same disk
    /// they take no extra space
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
    /// Files beside them that the manifest does not name: an earlier version's, perhaps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) strangers: Vec<String>,
    /// The snapshot in the cache of the Hub's clients, if one was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hf_snapshot: Option<PathBuf>,
}

impl Download {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<Downloaded> {
        let entitlement = find_active(client, &self.dataset, self.entitlement).await?;
        let signed = signed_manifest(client, &self.dataset, entitlement.version).await?;
        let mut wanted = signed.manifest.shards.clone();
        if let Some(selection) = &entitlement.selection {
            wanted.retain(|shard| selection.includes(shard));
        }
        wanted.retain(|shard| self.subset.wants(&shard.path));
        if wanted.is_empty() {
            return Err(Error::invalid("--include", "no shard that you license matches these patterns").remedy(
                format!("`corpex api GET {}/shards` lists them", self.dataset.version_path(entitlement.version)),
            ));
        }
        let _lock = lock::alone_in(&self.to)?;
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
            connections: Semaphore::new(usize::from(self.jobs)),
            at_once: usize::from(self.jobs),
        });
        let mut running = futures_util::stream::iter(wanted.iter().cloned())
            .map(|shard| {
                let fetcher = fetcher.clone();
                async move { tokio::spawn(fetcher.shard(shard)).await }
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
        let proves = |report: &Report| passport::require_licensed(report, signed.pae_sha256);
        passport::save(client, passport::of_licence(entitlement.id), proves, &saved).await?;
        whole::write(&self.to.join(MANIFEST_NAME), signed.pae_sha256.to_string().as_bytes())?;
        let _ = tokio::fs::remove_dir(self.to.join(".corpex").join("partial")).await;
        let strangers = shards::strangers(&self.to, signed.manifest.shards.iter().map(|shard| shard.path.as_str()))?;
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
            strangers,
            hf_snapshot,
        };
        out.result(&done, || done.describe(&self.dataset.organisation))?;
        Ok(done)
    }
}

impl Downloaded {
    fn describe(&self, provider: &str) -> String {
        let Self { dataset, version, shards, bytes, passport, .. } = self;
        let mut lines = vec![format!(
            "{}, {} of {dataset}@{version}: every byte is as signed by {provider}",
            counted(shards, "shard"),
            counted(bytes, "byte")
        )];
        lines.push(format!("passport: {}", passport.display()));
        lines.extend(self.hf_snapshot.as_ref().map(|at| format!("snapshot: {}", at.display())));
        lines.extend(shards::warning_of(&self.strangers));
        lines.join("\n")
    }
}
