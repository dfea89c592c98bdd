//! `corpex verify`: check a passport, and the files it speaks of, without trusting the exchange.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Global;
use super::download::MANIFEST_NAME;
use super::output::Out;
use super::shards;
use super::subset::Subset;
use super::trust::ExchangeKeys;
use crate::catalog::{Manifest, Part};
use crate::error::{Error, Kind, Result};
use crate::market::contracts;
use crate::provenance::note::VerifierKey;
use crate::provenance::passport::{Delivery, PassportStatement, Report, Standing, Trust, verify};
use crate::provenance::policy::Policy;
use crate::provenance::{ResourceDescriptor, Statement, StatementKind};
use crate::signing::PublicKey;
use crate::types::Digest;

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A folder made by `corpex download`, or a passport
    #[arg(value_name = "DIR | PASSPORT")]
    target: PathBuf,
    /// Ask no server: the passport, the files and the log's key are all that is looked at
    #[arg(long)]
    offline: bool,
    /// The log's public key (`name+hash+key`), as its operator publishes it; the saved exchange is asked when absent
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// Which log, which witnesses, and how many of them must have cosigned every proof: a C2SP tlog-policy file
    #[arg(long, value_name = "FILE", conflicts_with = "log_key")]
    policy: Option<PathBuf>,
    /// A key with which the exchange signs statements (base64), as it publishes it; an older or a newer one will do. May
    /// be given again
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
    /// Contracts whose renderings, made anew, have the digests that the parties signed.
    rendered: usize,
}

impl Verify {
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<()> {
        let given = match (&self.log_key, &self.policy) {
            (Some(key), _) => Some(Policy::of_log(key.clone())),
            (None, Some(file)) => Some(Policy::read(file)?),
            (None, None) => None,
        };
        let mut trust = match given {
            None if !self.offline => ExchangeKeys::fetch(&global.anonymous()?).await?.trust(),
            log => Trust { log, exchange_keys: Vec::new() },
        };
        if !self.exchange_key.is_empty() {
            trust.exchange_keys.clone_from(&self.exchange_key);
        }
        let verified =
            if self.target.is_dir() { folder(&self.target, &trust)? } else { passport(&self.target, None, &trust)? };
        out.result(&verified, || verified.describe())
    }
}

/// Verifies a downloaded folder: its passport, and every file against the manifest in it that was downloaded. A file
/// that was left out on purpose may be absent, and one that the manifest does not name is told of.
pub(super) fn folder(folder: &Path, trust: &Trust) -> Result<Verified> {
    let downloaded = match std::fs::read_to_string(folder.join(MANIFEST_NAME)) {
        Ok(digest) => Some(digest.trim().parse::<Digest>()?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::invalid("DIR", format!("{MANIFEST_NAME} cannot be read: {error}"))),
    };
    let mut verified = passport(&folder.join(".corpex").join("passport.json"), downloaded, trust)?;
    let subset = Subset::of(folder)?;
    let mut compared = 0;
    for shard in &verified.report.shards {
        let file = folder.join(&shard.name);
        if !subset.wants(&shard.name) && !file.exists() {
            continue;
        }
        compared += 1;
        crate::catalog::check_path(&shard.name)?;
        let (found, _) = shards::digest_of(&file, |_| {}).map_err(|error| {
            Error::new(Kind::DigestMismatch, format!("{} cannot be read: {}", file.display(), error.detail))
        })?;
        if found != shard.digest.sha256 {
            return Err(Error::new(
                Kind::DigestMismatch,
                format!("{} has sha256 {found}, and the provider signed {}", shard.name, shard.digest.sha256),
            )
            .remedy("this file is not what was licensed: download it again"));
        }
    }
    verified.files = Some(compared);
    verified.strangers = shards::strangers(folder, verified.report.shards.iter().map(|shard| shard.name.as_str()))?;
    Ok(verified)
}

/// Verifies a passport; of the shards that it names, those of one manifest count where one is given.
fn passport(file: &Path, manifest: Option<Digest>, trust: &Trust) -> Result<Verified> {
    let bytes = std::fs::read(file)
        .map_err(|error| Error::invalid("PASSPORT", format!("{} cannot be read: {error}", file.display())))?;
    let mut report = verify(&bytes, trust)?;
    let contents: Contents = serde_json::from_slice(&bytes)?;
    let contracts = contents.of_kind(StatementKind::Contract)?;
    let contracts = contracts.into_iter().map(|contract| contracts::check(contract.predicate));
    let contracts = contracts.collect::<Result<Vec<_>>>()?;
    if let Some(part) = contents.part()? {
        if contracts.iter().any(|contract| contract.part.as_ref() != Some(&part)) {
            return Err(unverified("the entitlement grants another part than the contract agrees on"));
        }
        let covered = contents.covered(&part)?;
        report.shards.retain(|shard| covered.contains(&shard.name));
    } else if let Some(manifest) = manifest {
        report.shards = contents.shards_of(manifest)?;
    }
    Ok(Verified { report, files: None, strangers: Vec::new(), rendered: contracts.len() })
}

/// What is read of a passport after it was verified.
#[derive(Deserialize)]
struct Contents {
    statements: Vec<PassportStatement>,
    deliveries: Vec<Delivery>,
}

impl Contents {
    fn of_kind(&self, kind: StatementKind) -> Result<Vec<Statement>> {
        let documents = self.statements.iter().filter(|document| document.kind == kind);
        documents.map(|document| Ok(serde_json::from_slice(&document.envelope.payload.0)?)).collect()
    }

    /// The shards that a manifest of the passport names.
    fn shards_of(&self, manifest: Digest) -> Result<Vec<ResourceDescriptor>> {
        let is_meant =
            |one: &&PassportStatement| one.kind == StatementKind::Manifest && one.envelope.pae_sha256() == manifest;
        let found = self.statements.iter().find(is_meant);
        let found = found.ok_or_else(|| unverified("the passport does not name the manifest that was downloaded"))?;
        let statement: Statement = serde_json::from_slice(&found.envelope.payload.0)?;
        Ok(statement.subject)
    }

    /// The part of the version that the entitlement grants; nothing when it grants the whole.
    fn part(&self) -> Result<Option<Part>> {
        let entitlement = self.of_kind(StatementKind::Entitlement)?.pop();
        let part = entitlement.and_then(|granted| granted.predicate.get("part").cloned());
        part.map(|part| Ok(serde_json::from_value(part)?)).transpose()
    }

    /// The paths of the shards in a part, recomputed from the manifest. Everything that was delivered must be among them.
    fn covered(&self, part: &Part) -> Result<HashSet<String>> {
        #[derive(Deserialize)]
        struct Receipt {
            path: String,
        }
        let manifest = self.of_kind(StatementKind::Manifest)?.pop();
        let manifest = manifest.ok_or_else(|| unverified("there is no manifest to take the licensed part from"))?;
        let mut shards = Manifest::from_statement(&manifest)?.shards;
        if part.selection.choose(&shards)?.1 != *part {
            return Err(unverified("the part that was licensed is not what its selection takes from the manifest"));
        }
        shards.retain(|shard| part.selection.includes(shard));
        let covered: HashSet<String> = shards.into_iter().map(|shard| shard.path).collect();
        for delivery in &self.deliveries {
            let Receipt { path } = serde_json::from_slice(&delivery.receipt.0)?;
            if !covered.contains(&path) {
                return Err(unverified(&format!("{path:?} was delivered, and is not in the part that was licensed")));
            }
        }
        Ok(covered)
    }
}

fn unverified(why: &str) -> Error {
    Error::new(Kind::Unverified, why)
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
        if self.rendered > 0 {
            lines.push(format!("ok  the renderings of {} contract have the digests that were signed", self.rendered));
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
            all if all == count => format!("{count} files equal to the signed manifest, "),
            all => format!("{count} of {all} files are here, equal to the signed manifest, "),
        });
        let files = files.unwrap_or_default();
        let witnesses = statements.iter().map(|statement| statement.witnessed_by.len()).min().unwrap_or(0);
        format!(
            "verified: {files}{} statements and {} deliveries in the log {} at size {}, {}",
            statements.len(),
            deliveries.len(),
            log.origin,
            log.tree_size,
            match witnesses {
                0 => "without witnesses".to_string(),
                some => format!("each under {some} witnesses or more"),
            }
        )
    }
}
