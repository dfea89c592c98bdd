//! How the documents of a passport hang together: each reference leads to a statement of the right kind, and each
//! delivery receipt to its batch and to a shard of the manifest.

use serde_json::Value;

use super::Delivery;
use super::verify::{CheckedDelivery, Opened, failed};
use crate::error::Result;
use crate::provenance::statement::StatementKind;
use crate::provenance::tree;
use crate::signing::read_canonical_json;
use crate::types::Digest;

/// The members by which a predicate or a receipt refers to another statement: its `pae_sha256`.
const REFERENCES: &[(&str, StatementKind)] = &[
    ("manifest_sha256", StatementKind::Manifest),
    ("terms_sha256", StatementKind::Terms),
    ("assessment_sha256", StatementKind::Assessment),
    ("certificate_sha256", StatementKind::Certificate),
    ("offer_sha256", StatementKind::Offer),
    ("contract_sha256", StatementKind::Contract),
    ("entitlement_sha256", StatementKind::Entitlement),
];

/// References without which the chain from the bytes to the licence is broken.
const CHAIN: &[(StatementKind, StatementKind)] = &[
    (StatementKind::Assessment, StatementKind::Manifest),
    (StatementKind::Contract, StatementKind::Manifest),
    (StatementKind::Contract, StatementKind::Terms),
    (StatementKind::Entitlement, StatementKind::Contract),
    (StatementKind::EntitlementChange, StatementKind::Entitlement),
];

/// Follows the references between statements: each must lead to a statement of the right kind.
pub(super) fn chain(opened: &[Opened], unchecked: &mut Vec<String>) -> Result<Vec<Vec<StatementKind>>> {
    if !opened.iter().any(|document| document.kind == StatementKind::Manifest) {
        return Err(failed("statements", "chain", "there is no manifest: nothing says what the data is"));
    }
    for kind in [StatementKind::Terms, StatementKind::Assessment, StatementKind::Contract, StatementKind::Entitlement] {
        if !opened.iter().any(|document| document.kind == kind) {
            unchecked.push(format!("the passport holds no {kind}"));
        }
    }
    opened.iter().try_for_each(|document| keeps_its_offer(document, opened))?;
    opened.iter().try_for_each(|document| is_licensed(document, opened))?;
    opened.iter().map(|document| refers_to(document, opened, unchecked)).collect()
}

/// The members that a contract repeats from the offer that it rests on, and where they are in the contract.
const KEPT: &[(&str, &str)] = &[
    ("/provider", "/provider/handle"),
    ("/buyer", "/buyer/handle"),
    ("/listing", "/listing"),
    ("/manifest_sha256", "/manifest_sha256"),
    ("/terms_sha256", "/terms_sha256"),
    ("/price", "/price"),
];

/// A contract says what the offer says that it rests on. Where it was not negotiated, the provider made that offer: it signed
/// nothing else.
fn keeps_its_offer(contract: &Opened, opened: &[Opened]) -> Result<()> {
    let said = &contract.statement.predicate;
    let named = said.get("offer_sha256").and_then(Value::as_str).filter(|_| contract.kind == StatementKind::Contract);
    let Some(offer) = opened.iter().find(|other| named == Some(other.pae_sha256.to_string().as_str())) else {
        return Ok(());
    };
    let refused = |what: &str| Err(failed(&contract.name, "offer", format!("{what} is not what the offer says")));
    let offered = &offer.statement.predicate;
    if let Some((_, member)) = KEPT.iter().find(|(its, own)| offered.pointer(its) != said.pointer(own)) {
        return refused(member);
    }
    let uses = offered.get("uses").and_then(Value::as_array);
    if !said.get("use").is_some_and(|wanted| uses.is_some_and(|uses| uses.contains(wanted))) {
        return refused("/use");
    }
    match said.get("negotiation").is_some() || offered.get("organisation") == offered.get("provider") {
        true => Ok(()),
        false => Err(failed(&contract.name, "offer", "the provider did not make it")),
    }
}

/// A manifest is of what a contract names, or joined a subscription: by a change of the licence, whose contract licenses new
/// versions of that dataset.
fn is_licensed(manifest: &Opened, opened: &[Opened]) -> Result<()> {
    let contracts = || opened.iter().filter(|other| other.kind == StatementKind::Contract);
    if manifest.kind != StatementKind::Manifest || contracts().next().is_none() {
        return Ok(());
    }
    let member = |of: &Opened, pointer: &str| of.statement.predicate.pointer(pointer).cloned();
    let sha256 = Some(Value::from(manifest.pae_sha256.to_string()));
    if contracts().any(|contract| member(contract, "/manifest_sha256") == sha256) {
        return Ok(());
    }
    let joined = opened.iter().any(|change| {
        change.kind == StatementKind::EntitlementChange
            && member(change, "/scope") == Some("joined".into())
            && member(change, "/manifest_sha256") == sha256
    });
    let dataset = member(manifest, "/dataset");
    let sells_it = |contract: &Opened| {
        member(contract, "/licence/new_versions") == Some(true.into()) && member(contract, "/dataset") == dataset
    };
    match joined && contracts().any(sells_it) {
        true => Ok(()),
        false => {
            Err(failed(&manifest.name, "licence", "neither does a contract name it, nor did it join a subscription"))
        }
    }
}

fn refers_to(document: &Opened, opened: &[Opened], unchecked: &mut Vec<String>) -> Result<Vec<StatementKind>> {
    let found = references(&document.statement.predicate, opened, &document.name)?;
    for (_, target) in CHAIN.iter().filter(|(from, _)| *from == document.kind) {
        match found.iter().find(|(kind, _)| kind == target) {
            Some((_, true)) => {}
            Some((_, false)) => {
                return Err(failed(
                    &document.name,
                    "chain",
                    format!("it refers to a {target} that the passport does not hold"),
                ));
            }
            None => unchecked.push(format!("{} does not say which {target} it is about", document.name)),
        }
    }
    let absent = found.iter().filter(|(_, present)| !present).map(|(kind, _)| kind);
    for kind in absent.filter(|kind| !CHAIN.contains(&(document.kind, **kind))) {
        unchecked.push(format!("{} refers to a {kind} that the passport does not hold", document.name));
    }
    Ok(found.into_iter().filter(|(_, present)| *present).map(|(kind, _)| kind).collect())
}

/// The references of a document, and whether the passport holds any statement of that kind. Where it does, the
/// digest must be of one of them.
fn references(document: &Value, opened: &[Opened], name: &str) -> Result<Vec<(StatementKind, bool)>> {
    let mut found = Vec::new();
    for (member, kind) in REFERENCES {
        let Some(digest) = document.get(member) else { continue };
        let mut candidates = opened.iter().filter(|other| other.kind == *kind).peekable();
        let present = candidates.peek().is_some();
        let same = |other: &Opened| digest.as_str() == Some(other.pae_sha256.to_string().as_str());
        if present && !candidates.any(same) {
            let why = format!("{member} is {digest}, and the passport's {kind} has another digest");
            return Err(failed(name, "chain", why));
        }
        found.push((*kind, present));
    }
    Ok(found)
}

/// Checks a receipt against its batch, and against the manifest where it names a shard.
pub(super) fn open_delivery(delivery: &Delivery, opened: &[Opened], name: &str) -> Result<CheckedDelivery> {
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
    references(&receipt, opened, name)?;
    let text = |member: &str| receipt.get(member).and_then(Value::as_str);
    if let (Some(path), Some(sha256)) = (text("path"), text("sha256")) {
        let version = receipt.get("version");
        let is_meant = |manifest: &&Opened| {
            let own = manifest.statement.predicate.get("version");
            manifest.kind == StatementKind::Manifest && (version.is_none() || own == version)
        };
        let shards = opened.iter().filter(is_meant).flat_map(|manifest| &manifest.statement.subject);
        if !shards.into_iter().any(|shard| shard.name == path && shard.digest.sha256.to_string() == sha256) {
            return Err(refused("chain", format!("the manifest names no shard {path:?} with the digest {sha256}")));
        }
    }
    Ok(CheckedDelivery { receipt_sha256: Digest::of(&delivery.receipt.0), batch_sha256: batch.pae_sha256 })
}
