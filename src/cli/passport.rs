//! `corpex passport`: fetch a licence's proof, verify it, keep it. And the manifest that a download is checked against.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::licence::find_any;
use super::login::write_private;
use super::output::Out;
use super::reference::DatasetRef;
use crate::catalog::Manifest;
use crate::error::{Error, Kind, Result};
use crate::provenance::note::{VerifierKey, WitnessKey};
use crate::provenance::passport::{self, Report, Trust};
use crate::provenance::policy::Policy;
use crate::provenance::{self, StatementKind};
use crate::signing::{Envelope, PublicKey};
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

/// The exchange's public keys, as it publishes them.
#[derive(Deserialize)]
pub(super) struct ExchangeKeys {
    log: LogKey,
    keys: Vec<ExchangeKey>,
}

#[derive(Deserialize)]
struct LogKey {
    vkey: VerifierKey,
    #[serde(default)]
    witnesses: Vec<WitnessKey>,
}

/// A key of the exchange: of the log where it has a `vkey`, else one that signs statements.
#[derive(Deserialize)]
struct ExchangeKey {
    public_key: PublicKey,
    vkey: Option<VerifierKey>,
}

impl ExchangeKeys {
    pub(super) async fn fetch(client: &Client) -> Result<Self> {
        client.get("/v1/exchange/keys").send().await
    }

    /// Trust in the exchange that was asked, and in the log that it names: in all keys that they have or had.
    pub(super) fn trust(self) -> Trust {
        let exchange_keys = self.keys.iter().filter(|key| key.vkey.is_none()).map(|key| key.public_key).collect();
        Trust { log: Some(self.log_policy()), exchange_keys }
    }

    /// Trust in the log alone.
    pub(super) fn log_policy(self) -> Policy {
        let mut policy = Policy::unproven(self.log.vkey, &self.log.witnesses);
        for key in self.keys.into_iter().filter_map(|key| key.vkey) {
            policy.trust_also(key);
        }
        policy
    }
}

/// Fetches a licence's passport and keeps it only when it verifies and, where one is given, names that manifest.
pub(super) async fn save(client: &Client, id: EntitlementId, manifest: Option<Digest>, file: &Path) -> Result<Report> {
    let trust = ExchangeKeys::fetch(client).await?.trust();
    let bytes = client.get(format!("/v1/entitlements/{id}/passport")).text().await?.into_bytes();
    let report = passport::verify(&bytes, &trust)?;
    let names =
        |wanted: Digest| report.statements.iter().any(|s| s.kind == StatementKind::Manifest && s.pae_sha256 == wanted);
    if let Some(wanted) = manifest.filter(|wanted| !names(*wanted)) {
        return Err(Error::new(
            Kind::Unverified,
            format!("the passport does not name the manifest {wanted} that was downloaded"),
        ));
    }
    write_private(file, &bytes)?;
    Ok(report)
}

/// A manifest whose signature was checked.
pub(super) struct SignedManifest {
    pub(super) pae_sha256: Digest,
    pub(super) manifest: Manifest,
}

/// Fetches a version's manifest and checks that a key of its provider signed it.
pub(super) async fn signed_manifest(client: &Client, dataset: &DatasetRef, version: i32) -> Result<SignedManifest> {
    #[derive(Deserialize)]
    struct Key {
        public_key: PublicKey,
    }
    let envelope: Envelope = client.get(format!("{}/manifest", dataset.version_path(version))).send().await?;
    let keys: Vec<Key> = client.get_all(&format!("/v1/organisations/{}/keys", dataset.organisation)).await?;
    let signed_by = |key: &Key| envelope.signatures.iter().any(|signature| signature.keyid == key.public_key.key_id());
    let key = keys.into_iter().find(signed_by).ok_or_else(|| {
        Error::new(
            Kind::BadSignature,
            format!("the manifest of {dataset} is not signed by a key of {}", dataset.organisation),
        )
    })?;
    let statement = provenance::parse(&envelope, key.public_key, StatementKind::Manifest)?;
    let manifest = Manifest::from_statement(&statement)?;
    if manifest.dataset != dataset.full_name() || manifest.version != version {
        return Err(Error::new(
            Kind::Unverified,
            format!("the manifest speaks of {}@{}", manifest.dataset, manifest.version),
        ));
    }
    Ok(SignedManifest { pae_sha256: envelope.pae_sha256(), manifest })
}
