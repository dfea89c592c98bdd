//! What the entitlements of a passport license: every shard of the manifests that they name, or a part of these; and that
//! everything delivered is among them.

use std::collections::BTreeMap;
use std::rc::Rc;

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
use crate::types::{Digest, Instant};

/// A manifest that entitlements name. Its shards are read once, for all of them.
pub(super) struct Licensed<'a> {
    manifest: &'a Opened,
    shards: Shards<'a>,
    /// Why none of them can be selected, where that is so.
    undescribed: Option<String>,
    grants: Vec<Grant<'a>>,
}

/// Shards by their paths: the digest of each, and what tells it from others.
type Shards<'a> = BTreeMap<&'a str, (Digest, Facets<'a>)>;

/// An entitlement to a manifest, or to a part of it.
struct Grant<'a> {
    entitlement: Option<&'a Value>,
    part: Option<Rc<Part>>,
}

impl<'a> Licensed<'a> {
    fn of(manifest: &'a Opened) -> Self {
        let (shards, undescribed) = match described(manifest) {
            Ok(shards) => (shards, None),
            Err(why) => {
                let bare = |(path, sha256)| (path, (sha256, Facets::default()));
                (subjects(manifest).map(bare).collect(), Some(why))
            }
        };
        Self { manifest, shards, undescribed, grants: Vec::new() }
    }

    /// The shards that are licensed, as a report names them.
    pub(super) fn shards(&self) -> impl Iterator<Item = LicensedShard> {
        let (manifest_sha256, grants) = (self.manifest.pae_sha256, &self.grants);
        let is_covered = move |facets: Facets| grants.iter().any(|grant| grant.covers(facets));
        let covered = self.shards.iter().filter(move |(_, (_, facets))| is_covered(*facets));
        covered.map(move |(path, (sha256, _))| {
            let shard = ResourceDescriptor::new(*path, *sha256);
            LicensedShard { shard, manifest_sha256 }
        })
    }
}

impl Grant<'_> {
    fn covers(&self, facets: Facets) -> bool {
        self.part.as_ref().is_none_or(|part| part.selection.takes(facets))
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
    /// Whether it is what its selection takes of these shards.
    fn is_of(&self, shards: &Shards) -> bool {
        let taken = shards.iter().filter(|(_, (_, facets))| self.selection.takes(*facets));
        let paths: Vec<&str> = taken.map(|(path, _)| *path).collect();
        (self.shards, self.paths_sha256) == (paths.len(), paths_sha256(paths))
    }
}

impl Selection {
    fn takes(&self, facets: Facets) -> bool {
        facets.selected_by(&self.languages, &self.domains, &self.licences)
    }
}

/// What is licensed, in the order of the log: of the manifest that each entitlement names, and of those that joined it.
pub(super) fn licensed(opened: &[Opened]) -> Result<Vec<Licensed<'_>>> {
    let mut found = BTreeMap::new();
    for granted in opened.iter().filter(|document| document.kind == StatementKind::Entitlement) {
        let said = &granted.statement.predicate;
        is_of_its_time(granted).map_err(|why| failed(&granted.name, "time", why))?;
        let refused = |why: String| failed(&granted.name, "part", why);
        let part = said.get("part").map(Part::deserialize).transpose().map_err(|error| refused(error.to_string()))?;
        let part = part.map(Rc::new);
        let own = named(said, "manifest_sha256", opened);
        let joined = opened.iter().filter(|change| joins(change, granted));
        let joined = joined.filter_map(|change| named(&change.statement.predicate, "manifest_sha256", opened));
        for (manifest, is_own) in own.map(|own| (own, true)).into_iter().chain(joined.map(|joined| (joined, false))) {
            let place = (manifest.log_index, manifest.pae_sha256);
            let licensed = found.entry(place).or_insert_with(|| Licensed::of(manifest));
            if let Some(part) = &part {
                if let Some(why) = &licensed.undescribed {
                    return Err(failed(&manifest.name, "part", why));
                }
                if is_own && !part.is_of(&licensed.shards) {
                    return Err(refused("it is not what its selection takes from the manifest".to_string()));
                }
            }
            licensed.grants.push(Grant { entitlement: said.get("entitlement"), part: part.clone() });
        }
    }
    Ok(found.into_values().collect())
}

/// Refuses an entitlement that was not granted when the log took it in.
fn is_of_its_time(granted: &Opened) -> Result<(), String> {
    let granted_at = granted.statement.predicate.get("granted_at").unwrap_or(&Value::Null);
    granted.is_of_its_time(Instant::deserialize(granted_at).map_err(|error| error.to_string())?)
}

/// Whether a change of a licence adds a version to it.
fn joins(change: &Opened, granted: &Opened) -> bool {
    let said = &change.statement.predicate;
    change.kind == StatementKind::EntitlementChange
        && said.get("scope").and_then(Value::as_str) == Some("joined")
        && said.get("entitlement_sha256") == Some(&Value::from(granted.pae_sha256.to_string()))
}

/// The shards of a manifest as it describes them, or why these are not to be believed.
fn described(manifest: &Opened) -> Result<Shards<'_>, String> {
    let described = manifest.statement.predicate.get("shards").unwrap_or(&Value::Null);
    let described = Vec::<Shard>::deserialize(described).map_err(|error| error.to_string())?;
    if !described.iter().map(|shard| (shard.path, shard.sha256)).eq(subjects(manifest)) {
        return Err("the shards that it describes are not its subjects".to_string());
    }
    let by_path =
        |Shard { path, sha256, language, domain, licence }| (path, (sha256, Facets { language, domain, licence }));
    Ok(described.into_iter().map(by_path).collect())
}

/// The paths and the digests of the shards that a manifest is about.
fn subjects(manifest: &Opened) -> impl Iterator<Item = (&str, Digest)> {
    manifest.statement.subject.iter().map(|shard| (shard.name.as_str(), shard.digest.sha256))
}

/// Checks a receipt: that its batch commits to it and was recorded no earlier, and that it is for a shard that its licence covers.
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
    let issued_at = Instant::deserialize(receipt.get("issued_at").unwrap_or(&Value::Null));
    if issued_at.map_err(|error| refused("receipt", error.to_string()))? > batch.recorded_at {
        return Err(refused("receipt", "it is of a later time than the log entry of its batch".into()));
    }
    is_licensed(&receipt, licensed).map_err(|why| refused("licence", why))?;
    Ok(CheckedDelivery { receipt_sha256: Digest::of(&delivery.receipt.0), batch_sha256: batch.pae_sha256 })
}

/// Refuses a receipt for what the licence that it names does not cover, and says why.
fn is_licensed(receipt: &Value, licensed: &[Licensed<'_>]) -> Result<(), String> {
    let [entitlement, dataset, version, path, sha256] = ["entitlement", "dataset", "version", "path", "sha256"]
        .map(|member| receipt.get(member).unwrap_or(&Value::Null));
    let grants = licensed.iter().flat_map(|licensed| licensed.grants.iter().map(move |grant| (licensed, grant)));
    let mut own = grants.filter(|(_, grant)| grant.entitlement == Some(entitlement)).peekable();
    if own.peek().is_none() {
        return Err(format!("the receipt is for {entitlement}, which the passport does not hold"));
    }
    let is_meant = |(licensed, _): &(&Licensed, &Grant)| {
        let said = &licensed.manifest.statement.predicate;
        said.get("dataset") == Some(dataset) && said.get("version") == Some(version)
    };
    let (meant, grant) =
        own.find(is_meant).ok_or_else(|| format!("{entitlement} does not cover {dataset} in version {version}"))?;
    let found = path.as_str().and_then(|path| meant.shards.get(path)).filter(|(_, facets)| grant.covers(*facets));
    match found.map(|(sha256, _)| Value::from(sha256.to_string())).as_ref() == Some(sha256) {
        true => Ok(()),
        false => Err(format!("{entitlement} covers no shard {path} with the digest {sha256}")),
    }
}
