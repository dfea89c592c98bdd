//! `corpex verify`: checks a passport, and the files that it is about, without trusting the exchange.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::Global;
use super::download::MANIFEST_NAME;
use super::output::{Out, counted};
use super::passport::{require_licensed, require_sample};
use super::shards;
use super::subset::Subset;
use super::trust::{ExchangeKeys, named_log};
use crate::error::{Error, Kind, Result};
use crate::market::contracts;
use crate::provenance::StatementKind;
use crate::provenance::note::VerifierKey;
use crate::provenance::passport::{EvaluatedSample, LicensedShard, NarrowedVersion, Report, Standing, Trust, verify};
use crate::signing::PublicKey;
use crate::types::Digest;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A folder made by `corpex download`, or a passport
    #[arg(value_name = "DIR | PASSPORT")]
    target: PathBuf,
    /// Check that this sample is the one that the passport of `corpex evaluate` is about
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Ask no server: use only the passport, the files and the log's key
    #[arg(long)]
    offline: bool,
    /// The log's public key (`name+hash+key`), as its operator publishes it; by default the saved exchange is asked for it
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// A C2SP tlog-policy file: which log, which witnesses, and how many of them must have cosigned every proof
    #[arg(long, value_name = "FILE", conflicts_with = "log_key")]
    policy: Option<PathBuf>,
    /// A key with which the exchange signs statements (base64), as it publishes it; an older or newer one also works. May
    /// be repeated
    #[arg(long, value_name = "KEY")]
    exchange_key: Vec<PublicKey>,
}

/// What was verified.
#[derive(Debug, Serialize)]
pub(super) struct Verified {
    #[serde(flatten)]
    report: Report,
    /// Files whose bytes were compared with the manifest; absent when only a passport was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
    /// Files beside them that the manifest does not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<String>,
    /// The file whose bytes are the evaluated sample; absent when none was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<PathBuf>,
    /// Contracts whose renderings, made anew, have the digests that the parties signed.
    rendered: usize,
}

impl Verify {
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<()> {
        let mut trust = match named_log(self.log_key.as_ref(), self.policy.as_deref())? {
            None if !self.offline => ExchangeKeys::fetch(&global.any_client()?).await?.trust(),
            log => Trust { log, exchange_keys: Vec::new() },
        };
        if !self.exchange_key.is_empty() {
            trust.exchange_keys.clone_from(&self.exchange_key);
        }
        let mut verified = if self.target.is_dir() {
            folder(&self.target, &trust, out)?
        } else {
            passport(&self.target, None, &trust)?
        };
        if let Some(sample) = self.sample {
            let (found, _) = shards::digest_of(&sample, |_| {}).map_err(|error| {
                Error::invalid("--sample", format!("{} cannot be read: {}", sample.display(), error.detail))
            })?;
            require_sample(&verified.report, found)?;
            verified.sample = Some(sample);
        }
        out.result(&verified, || verified.describe())
    }
}

/// Verifies a downloaded folder: its passport, and every file against the manifest in it that was downloaded. A file
/// that was left out on purpose may be absent, and one that the manifest does not name is told of.
pub(super) fn folder(folder: &Path, trust: &Trust, out: &Out) -> Result<Verified> {
    let downloaded = match std::fs::read_to_string(folder.join(MANIFEST_NAME)) {
        Ok(digest) => Some(digest.trim().parse::<Digest>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::invalid("DIR", format!("{MANIFEST_NAME} cannot be read: {error}"))),
    };
    let mut verified = passport(&folder.join(".corpex").join("passport.json"), downloaded, trust)?;
    let subset = Subset::of(folder)?;
    let mut files = Vec::new();
    for LicensedShard { shard, .. } in &verified.report.shards {
        crate::catalog::check_path(&shard.name)?;
        let file = folder.join(&shard.name);
        if subset.wants(&shard.name) || file.exists() {
            let size_bytes = file.metadata().map_or(0, |found| found.len());
            files.push((shard, file, size_bytes));
        }
    }
    let progress = out.progress("verifying", files.iter().map(|(_, _, size_bytes)| size_bytes).sum());
    for (shard, file, size_bytes) in &files {
        let bar = progress.file(&shard.name, *size_bytes);
        let (found, _) = shards::digest_of(file, |bytes| bar.advance(bytes)).map_err(|error| {
            Error::new(Kind::DigestMismatch, format!("{} cannot be read: {}", file.display(), error.detail))
                .remedy("this file was licensed: download it again")
        })?;
        if found != shard.digest.sha256 {
            return Err(Error::new(
                Kind::DigestMismatch,
                format!("{} has sha256 {found}, and the provider signed {}", shard.name, shard.digest.sha256),
            )
            .remedy("this file is not what was licensed: download it again"));
        }
        bar.finish("is as signed");
    }
    progress.finish();
    verified.files = Some(files.len());
    verified.strangers =
        shards::strangers(folder, verified.report.shards.iter().map(|licensed| licensed.shard.name.as_str()))?;
    Ok(verified)
}

/// Verifies a passport; of the shards that it licenses, those of one manifest count where one is given.
fn passport(file: &Path, manifest: Option<Digest>, trust: &Trust) -> Result<Verified> {
    let bytes = std::fs::read(file).map_err(|error| {
        Error::invalid("PASSPORT", format!("{} cannot be read: {error}", file.display()))
            .remedy("name a folder that `corpex download` completed, or a passport")
    })?;
    let mut report = verify(&bytes, trust)?;
    let mut rendered = 0;
    for contract in report.statements.iter().filter(|statement| statement.kind == StatementKind::Contract) {
        contracts::check(contract.predicate.clone())?;
        rendered += 1;
    }
    if let Some(manifest) = manifest {
        require_licensed(&report, manifest)?;
        report.shards.retain(|licensed| licensed.manifest_sha256 == manifest);
    }
    Ok(Verified { report, files: None, strangers: Vec::new(), sample: None, rendered })
}

impl Verified {
    /// What was checked, in lines for a person.
    pub(super) fn describe(&self) -> String {
        let mut lines = Vec::new();
        for statement in &self.report.statements {
            lines.push(format!(
                "ok  {:<18} entry {:>6}  {}  signed by {}",
                statement.kind.as_str(),
                statement.log_index,
                statement.recorded_at,
                statement.signed_by.join(" and ")
            ));
        }
        if let Some(Standing { state, since, reason }) = &self.report.standing {
            let proven = if state == "active" { "" } else { "; what was held until then stays proven" };
            lines.push(format!("licence: {state} at {since}, reason: {reason}{proven}"));
        }
        for NarrowedVersion { version, scope, since, reason } in &self.report.narrowed {
            lines.push(format!(
                "{version}: {scope} at {since}, reason: {reason}; what was held until then stays proven"
            ));
        }
        for EvaluatedSample { granted, seed } in &self.report.samples {
            lines.push(format!(
                "evaluation: by {} from {} until {}, of the sample {} drawn by the lot {seed}",
                granted.organisation, granted.granted_at, granted.expires_at, granted.sample_sha256
            ));
        }
        if self.rendered > 0 {
            let contracts = counted(self.rendered, "contract");
            lines.push(format!("ok  the renderings of {contracts} have the digests that were signed"));
        }
        lines.push(self.summary());
        lines.extend(self.report.unchecked.iter().map(|what| format!("not checked: {what}")));
        lines.extend(shards::warning_of(&self.strangers));
        lines.join("\n")
    }

    /// What was checked, in one line.
    pub(super) fn summary(&self) -> String {
        let Report { log, statements, deliveries, .. } = &self.report;
        let files = self.files.map(|count| match self.report.shards.len() {
            all if all == count => format!("{} equal to the signed manifest, ", counted(count, "file")),
            all => format!("{count} of {all} files are here, equal to the signed manifest, "),
        });
        let files = files.unwrap_or_default();
        let sample = self.sample.as_ref().map(|file| format!("{} is the evaluated sample, ", file.display()));
        let sample = sample.unwrap_or_default();
        let witnesses = statements.iter().map(|statement| statement.witnessed_by.len()).min().unwrap_or(0);
        format!(
            "verified: {files}{sample}{} and {} in the log {} at size {}, {}",
            counted(statements.len(), "statement"),
            counted(deliveries.len(), "delivery"),
            log.origin,
            log.tree_size,
            match witnesses {
                0 => "without witnesses".to_string(),
                some => format!("each under {} or more", counted(some, "witness")),
            }
        )
    }
}
