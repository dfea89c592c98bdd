//! `corpex passport`: fetch a licence's proof, verify it, keep it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::Client;
use super::licence::find_any;
use super::output::Out;
use super::reference::DatasetRef;
use super::trust::ExchangeKeys;
use super::whole;
use crate::error::{Error, Kind, Result};
use crate::provenance::passport::{self, Report};
use crate::types::{Digest, EntitlementId};

#[derive(Debug, Args)]
pub(super) struct PassportCommand {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
    /// The licence (entitlement_…): an affiliate's, or one of yours; your newest one when not given
    #[arg(long, value_name = "ID")]
    entitlement: Option<EntitlementId>,
    /// Where to save it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl PassportCommand {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let entitlement = find_any(client, &self.dataset, self.entitlement).await?;
        let report = save(client, entitlement.id, None, &self.out).await?;
        let document =
            json!({ "file": self.out, "statements": report.statements.len(), "deliveries": report.deliveries.len() });
        out.result(&document, || {
            let (statements, deliveries) = (report.statements.len(), report.deliveries.len());
            format!("{}: {statements} statements and {deliveries} deliveries, all verified", self.out.display())
        })
    }
}

/// Fetches a licence's passport and keeps it only when it verifies and, where one is given, licenses that manifest.
pub(super) async fn save(client: &Client, id: EntitlementId, manifest: Option<Digest>, file: &Path) -> Result<Report> {
    let trust = ExchangeKeys::fetch(client).await?.trust();
    let bytes = client.get(format!("/v1/entitlements/{id}/passport")).text().await?.into_bytes();
    let report = passport::verify(&bytes, &trust)?;
    manifest.map_or(Ok(()), |wanted| require_licensed(&report, wanted))?;
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
