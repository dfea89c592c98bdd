//! What the entitlements of a passport license: every shard of the manifests that they name, or a part of them; and that
//! what was delivered is among it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::chain::named;
use super::part::{Facets, paths_sha256};
use super::verify::{CheckedDelivery, LicensedShard, Opened, failed};
use super::{DELIVERY_RECEIPT, Delivery};
use crate::error::Result;
use crate::provenance::statement::{ResourceDescriptor, StatementKind, Validate};
use crate::provenance::tree;
use crate::signing::read_canonical_json;
use crate::types::Digest;

/// The shards of one manifest that one entitlement licenses, by their paths.
pub(super) struct Licensed<'a> {
    entitlement: Option<&'a Value>,
    manifest: &'a Opened,
    shards: BTreeMap<&'a str, Digest>,
}

impl Licensed<'_> {
    /// The shards as a report names them.
    pub(super) fn shards(&self) -> impl Iterator<Item = LicensedShard> {
        let manifest_sha256 = self.manifest.pae_sha256;
        self.shards.iter().map(move |(path, sha256)| {
            let shard = ResourceDescriptor::new(*path, *sha256);
            LicensedShard { shard, manifest_sha256 }
        })
    }
}

/// The member `part` of an entitlement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    selection: Selection,
    shards: usize,
    paths_sha256: Digest,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Selection {
    languages: Vec<String>,
    domains: Vec<String>,
    licences: Vec<String>,
}

/// A shard as a manifest's predicate names it.
#[derive(Deserialize)]
struct Shard<'a> {
    path: &'a str,
    sha256: Digest,
    #[serde(borrow)]
    language: Option<&'a str>,
    #[serde(borrow)]
    domain: Option<&'a str>,
    #[serde(borrow)]
    licence: Option<&'a str>,
}

impl Part {
    /// Whether it is of these shards.
    fn is_of(&self, shards: &BTreeMap<&str, Digest>) -> bool {
        (self.shards, self.paths_sha256) == (shards.len(), paths_sha256(shards.keys().copied()))
    }
}

/// What each entitlement licenses: of the manifest that it names, and of those that joined it.
pub(super) fn licensed(opened: &[Opened]) -> Result<Vec<Licensed<'_>>> {
    let mut found = Vec::new();
    for granted in opened.iter().filter(|document| document.kind == StatementKind::Entitlement) {
        let said = &granted.statement.predicate;
        let refused = |why: String| failed(&granted.name, "part", why);
        let part = said.get("part").map(Part::deserialize).transpose().map_err(|error| refused(error.to_string()))?;
        let selection = part.as_ref().map(|part| &part.selection);
        let own = named(said, "manifest_sha256", opened);
        if let (Some(part), Some(manifest)) = (&part, own)
            && !part.is_of(&covered(manifest, selection)?)
        {
            return Err(refused("it is not what its selection takes from the manifest".to_string()));
        }
        let joined = opened.iter().filter(|change| joins(change, granted));
        let joined = joined.filter_map(|change| named(&change.statement.predicate, "manifest_sha256", opened));
        for manifest in own.into_iter().chain(joined) {
            let shards = covered(manifest, selection)?;
            found.push(Licensed { entitlement: said.get("entitlement"), manifest, shards });
        }
    }
    Ok(found)
}

/// Whether a change of a licence adds a version to it.
fn joins(change: &Opened, granted: &Opened) -> bool {
    let said = &change.statement.predicate;
    change.kind == StatementKind::EntitlementChange
        && said.get("scope").and_then(Value::as_str) == Some("joined")
        && said.get("entitlement_sha256") == Some(&Value::from(granted.pae_sha256.to_string()))
}

/// The shards of a manifest that a selection takes; all of them when nothing is selected.
fn covered<'a>(manifest: &'a Opened, selection: Option<&Selection>) -> Result<BTreeMap<&'a str, Digest>> {
    let subjects = manifest.statement.subject.iter().map(|shard| (shard.name.as_str(), shard.digest.sha256));
    let Some(Selection { languages, domains, licences }) = selection else { return Ok(subjects.collect()) };
    let refused = |why: String| failed(&manifest.name, "part", why);
    let described = manifest.statement.predicate.get("shards").unwrap_or(&Value::Null);
    let described = Vec::<Shard>::deserialize(described).map_err(|error| refused(error.to_string()))?;
    if !described.iter().map(|shard| (shard.path, shard.sha256)).eq(subjects) {
        return Err(refused("the shards that it describes are not its subjects".to_string()));
    }
    let wanted = |shard: &Shard| {
        let facets = Facets { language: shard.language, domain: shard.domain, licence: shard.licence };
        facets.selected_by(languages, domains, licences)
    };
    Ok(described.into_iter().filter(wanted).map(|shard| (shard.path, shard.sha256)).collect())
}

/// Checks a receipt: that its batch commits to it, and that it is for a shard that its licence covers.
pub(super) fn open_delivery(
    delivery: &Delivery,
    opened: &[Opened],
    licensed: &[Licensed<'_>],
    validate: &Validate,
    name: &str,
) -> Result<CheckedDelivery> {
    let refused = |check: &str, why: String| failed(name, check, why);
    let batch = usize::try_from(delivery.batch).ok().and_then(|batch| opened.get(batch));
    let batch = batch.filter(|batch| batch.kind == StatementKind::ReceiptBatch);
    let batch =
        batch.ok_or_else(|| refused("receipt", format!("statement {} is not a receipt batch", delivery.batch)))?;
    let predicate = &batch.statement.predicate;
    let root: Option<Digest> = predicate.get("root_sha256").and_then(Value::as_str).and_then(|root| root.parse().ok());
    let root = root.ok_or_else(|| refused("receipt", "the batch names no root".into()))?;
    if predicate.get("count").and_then(Value::as_u64) != Some(u64::from(delivery.tree_size)) {
        return Err(refused("receipt", "the batch has another number of receipts".into()));
    }
    let (leaf, index, size) =
        (tree::leaf_hash(&delivery.receipt.0), u64::from(delivery.leaf_index), u64::from(delivery.tree_size));
    tree::verify_inclusion(leaf, index, size, &delivery.path, root)
        .map_err(|error| refused("receipt", error.to_string()))?;

    let receipt = read_canonical_json(&delivery.receipt.0);
    let receipt = receipt.map_err(|why| refused("receipt", format!("the receipt {why}")))?;
    validate(DELIVERY_RECEIPT, &receipt).map_err(|error| refused("receipt", error.to_string()))?;
    is_licensed(&receipt, licensed).map_err(|why| refused("licence", why))?;
    Ok(CheckedDelivery { receipt_sha256: Digest::of(&delivery.receipt.0), batch_sha256: batch.pae_sha256 })
}

/// Refuses a receipt for what the licence that it names does not cover, and says why.
fn is_licensed(receipt: &Value, licensed: &[Licensed<'_>]) -> Result<(), String> {
    let [entitlement, dataset, version, path, sha256] = ["entitlement", "dataset", "version", "path", "sha256"]
        .map(|member| receipt.get(member).unwrap_or(&Value::Null));
    let mut own = licensed.iter().filter(|licensed| licensed.entitlement == Some(entitlement)).peekable();
    if own.peek().is_none() {
        return Err(format!("the receipt is for {entitlement}, which the passport does not hold"));
    }
    let is_meant = |licensed: &&Licensed| {
        let said = &licensed.manifest.statement.predicate;
        said.get("dataset") == Some(dataset) && said.get("version") == Some(version)
    };
    let meant =
        own.find(is_meant).ok_or_else(|| format!("{entitlement} does not cover {dataset} in version {version}"))?;
    let found = path.as_str().and_then(|path| meant.shards.get(path)).map(|sha256| Value::from(sha256.to_string()));
    match found.as_ref() == Some(sha256) {
        true => Ok(()),
        false => Err(format!("{entitlement} covers no shard {path} with the digest {sha256}")),
    }
}
