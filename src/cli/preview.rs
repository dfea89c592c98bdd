//! `corpex preview`: look into a version before it is bought, and check that its sample was drawn by lot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::Client;
use super::output::{Out, counted};
use super::reference::DatasetRef;
use super::shards;
use super::trust::{ExchangeKeys, signed_by_exchange, signed_manifest};
use crate::catalog::VersionState;
use crate::catalog::inspection::{Findings, Limits, SampledRecord, ShardFile, Source, Survey};
use crate::error::{Error, Kind, Result};
use crate::provenance::{StatementKind, lot};
use crate::signing::Envelope;
use crate::types::Digest;

/// The longest part of a record that a person is shown, in characters.
const SHOWN_CHARS: usize = 300;

#[derive(Debug, Args)]
pub(super) struct Preview {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
    /// Draw the sample again from the shards in this folder, as `corpex download` lays it out, and compare
    #[arg(long, value_name = "DIR")]
    redraw: Option<PathBuf>,
}

/// What the exchange answers.
#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    #[serde(default)]
    records: Vec<Value>,
    findings: Findings,
}

#[derive(Deserialize)]
struct Inspection {
    envelope: Envelope,
}

/// A sample that was drawn again.
#[derive(Debug, Serialize)]
struct Redrawn {
    dataset: String,
    version: i32,
    /// The exchange's lot, from which the seed came.
    seed: Digest,
    /// How many records were drawn from how many.
    drawn: usize,
    records: u64,
}

impl Preview {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let version = match self.dataset.version {
            Some(version) => version,
            None => newest_sealed(client, &self.dataset).await?,
        };
        if let Some(folder) = &self.redraw {
            let redrawn = redraw(client, &self.dataset, version, folder).await?;
            return out.result(&redrawn, || redrawn.describe());
        }
        let shown: Shown = client.get(format!("{}/preview", self.dataset.version_path(version))).send().await?;
        out.result(&shown, || shown.describe())
    }
}

/// The newest sealed version that the caller may see.
pub(super) async fn newest_sealed(client: &Client, dataset: &DatasetRef) -> Result<i32> {
    #[derive(Deserialize)]
    struct Version {
        number: i32,
        state: VersionState,
    }
    let versions: Vec<Version> = client.get_all(&format!("{}/versions", dataset.path())).await?;
    let sealed = versions.into_iter().filter(|version| version.state != VersionState::Draft);
    let newest = sealed.map(|version| version.number).max();
    newest.ok_or_else(|| Error::not_found(format_args!("a sealed version of {dataset}")))
}

/// Draws a version's sample from its shards, and compares it with what the exchange signed.
async fn redraw(client: &Client, dataset: &DatasetRef, version: i32, folder: &Path) -> Result<Redrawn> {
    let inspection: Inspection = client.get(format!("{}/inspection", dataset.version_path(version))).send().await?;
    let manifest = signed_manifest(client, dataset, version).await?;
    let trusted = ExchangeKeys::fetch(client).await?.trust().exchange_keys;
    let said = signed_by_exchange(&inspection.envelope, &trusted, StatementKind::Inspection, "the inspection")?;
    let findings: Findings = serde_json::from_value(said.predicate)?;
    let sample = findings.sample.ok_or_else(|| unverified("the exchange drew no sample of this version"))?;
    let seed = trusted.iter().find_map(|key| lot::seed(&sample.lot, manifest.pae_sha256, *key).ok());
    let seed = seed.ok_or_else(|| unverified("the lot is not the exchange's over this manifest"))?;
    let mut survey = Survey::new(seed, Limits::ORDINARY);
    for shard in &manifest.manifest.shards {
        let file = folder.join(&shard.path);
        let (found, _) = shards::digest_of(&file, |_| {}).map_err(|error| {
            Error::invalid("--redraw", format!("{} cannot be read: {}", file.display(), error.detail))
                .remedy("the lot is drawn from all shards: download those that are missing")
        })?;
        if found != shard.sha256 {
            return Err(unverified(&format!("{} is not the shard that the provider signed", file.display())));
        }
        let source: Arc<dyn Source> = Arc::new(ShardFile::open(&file)?);
        survey.read(&shard.path, shard.sha256, &source);
    }
    let records = survey.columns.records();
    let drawn: Vec<SampledRecord> = survey.draw.finish().iter().map(SampledRecord::from).collect();
    if drawn != sample.records {
        return Err(unverified("the lot draws other records than the exchange says"));
    }
    Ok(Redrawn { dataset: dataset.full_name(), version, seed, drawn: drawn.len(), records })
}

fn unverified(why: &str) -> Error {
    Error::new(Kind::Unverified, why)
}

impl Redrawn {
    fn describe(&self) -> String {
        let Self { dataset, version, seed, drawn, records } = self;
        format!("{dataset}@{version}: the lot {seed} draws the same {drawn} of {}", counted(records, "record"))
    }
}

impl Shown {
    fn describe(&self) -> String {
        let Findings { dataset, version, records, tokens, tokenizer, columns, .. } = &self.findings;
        let mut lines = vec![format!(
            "{dataset}@{version}: {}, {} ({tokenizer})\n",
            counted(records, "record"),
            counted(tokens, "token")
        )];
        lines.push(format!(
            "{:<24} {:<10} {:>8} {:>14} {:>14}  characters",
            "column", "type", "nulls", "bytes", "tokens"
        ));
        for column in columns {
            let lengths = column.lengths.map(|l| format!("{} to {}, half up to {}", l.min, l.max, l.p50));
            let nulls = column.nulls.saturating_mul(100).checked_div(*records).unwrap_or(0);
            lines.push(format!(
                "{:<24} {:<10} {:>7}% {:>14} {:>14}  {}",
                column.name,
                column.kind,
                nulls,
                column.bytes,
                column.tokens,
                lengths.unwrap_or_default()
            ));
        }
        lines.push(format!("\nthe first {} of a sample drawn by lot:", counted(self.records.len(), "record")));
        lines.extend(self.records.iter().map(|record| shortened(&record.to_string())));
        lines.join("\n")
    }
}

fn shortened(record: &str) -> String {
    let shown: String = record.chars().take(SHOWN_CHARS).collect();
    if shown.len() < record.len() { format!("{shown}…") } else { shown }
}
