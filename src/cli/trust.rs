//! What commands accept from an exchange, and how far they trust it: its keys, and manifests that providers signed.

use std::path::Path;

use serde::Deserialize;

use super::client::Client;
use super::reference::DatasetRef;
use crate::catalog::Manifest;
use crate::error::{Error, Kind, Result};
use crate::provenance::note::{VerifierKey, WitnessKey};
use crate::provenance::passport::Trust;
use crate::provenance::policy::Policy;
use crate::provenance::{self, Statement, StatementKind};
use crate::signing::{Envelope, PublicKey};
use crate::types::Digest;

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

/// Trust in the log that is named by its key or by a policy; none when neither is given.
pub(super) fn named_log(key: Option<&VerifierKey>, policy: Option<&Path>) -> Result<Option<Policy>> {
    match (key, policy) {
        (Some(key), _) => Ok(Some(Policy::of_log(key.clone()))),
        (None, Some(file)) => Policy::read(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// Reads a statement of this kind that one of the exchange's keys signed; an error calls it `what`.
pub(super) fn signed_by_exchange(
    envelope: &Envelope,
    trusted: &[PublicKey],
    kind: StatementKind,
    what: &str,
) -> Result<Statement> {
    let said = trusted.iter().find_map(|key| provenance::parse(envelope, *key, kind).ok());
    said.ok_or_else(|| Error::new(Kind::BadSignature, format!("{what} is not signed by the exchange")))
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

/// The digest of the signed manifest that the exchange shows of a version. Callers name the field of an error.
pub(super) async fn manifest_sha256(client: &Client, dataset: &str, version: i32) -> Result<Digest> {
    let which: DatasetRef = dataset.parse().map_err(|why| Error::invalid("", why))?;
    let sent = client.get(format!("{}/manifest", which.version_path(version))).send::<Envelope>().await;
    let envelope = sent.map_err(|error| {
        let detail = format!("{dataset}@{version} has no manifest that you can see: {}", error.detail);
        Error::new(error.kind, detail).remedy("name a version that was listed, or one of your own")
    })?;
    Ok(envelope.pae_sha256())
}
