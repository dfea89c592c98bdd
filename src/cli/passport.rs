//! `corpex passport`: fetch the proof of a licence or of an evaluation, verify it, keep it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::evaluate;
use super::licence::find_any;
use super::output::{Out, counted};
use super::reference::DatasetRef;
use super::trust::ExchangeKeys;
use super::whole;
use crate::error::{Error, Kind, Result};
use crate::provenance::passport::{self, Report};
use crate::types::{Digest, EntitlementId, EvaluationId};

#[derive(Debug, Args)]
pub(super) struct PassportCommand {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
    /// The licence (entitlement_…); by default one for the newest version that you may use, preferably your own
    #[arg(long, value_name = "ID")]
    entitlement: Option<EntitlementId>,
    /// An evaluation (evaluation_…) by your organisation instead of a licence; it may have ended
    #[arg(long, value_name = "ID", conflicts_with = "entitlement")]
    evaluation: Option<EvaluationId>,
    /// Where to save it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl PassportCommand {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let path = match self.evaluation {
            Some(id) => of_evaluation(evaluate::named(client, &self.dataset, id).await?),
            None => of_licence(find_any(client, &self.dataset, self.entitlement).await?.id),
        };
        let report = save(client, path, |_| Ok(()), &self.out).await?;
        let document =
            json!({ "file": self.out, "statements": report.statements.len(), "deliveries": report.deliveries.len() });
        out.result(&document, || {
            let statements = counted(report.statements.len(), "statement");
            let deliveries = counted(report.deliveries.len(), "delivery");
            format!("{}: {statements} and {deliveries}, all verified", self.out.display())
        })
    }
}

/// Where a licence's passport is.
pub(super) fn of_licence(id: EntitlementId) -> String {
    format!("/v1/entitlements/{id}/passport")
}

/// Where an evaluation's passport is.
pub(super) fn of_evaluation(id: EvaluationId) -> String {
    format!("/v1/evaluations/{id}/passport")
}

/// Fetches the passport at a path and keeps it only when it verifies and proves what it is wanted for.
pub(super) async fn save(
    client: &Client,
    path: String,
    proves: impl FnOnce(&Report) -> Result<()>,
    file: &Path,
) -> Result<Report> {
    let trust = ExchangeKeys::fetch(client).await?.trust();
    let bytes = client.get(path).whole().await?;
    let report = passport::verify(&bytes, &trust)?;
    proves(&report)?;
    whole::write(file, &bytes)?;
    Ok(report)
}

/// Refuses a passport that does not license what was downloaded.
pub(super) fn require_licensed(report: &Report, manifest: Digest) -> Result<()> {
    match report.shards.iter().any(|licensed| licensed.manifest_sha256 == manifest) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Unverified,
            format!("the passport licenses nothing of the manifest {manifest} that was downloaded"),
        )),
    }
}

/// Refuses a passport none of whose evaluations covers a sample.
pub(super) fn require_sample(report: &Report, sha256: Digest) -> Result<()> {
    match report.samples.iter().any(|sample| sample.granted.sample_sha256 == sha256) {
        true => Ok(()),
        false => Err(Error::new(
            Kind::DigestMismatch,
            format!("the sample has sha256 {sha256}, and no evaluation in the passport covers it"),
        )),
    }
}
