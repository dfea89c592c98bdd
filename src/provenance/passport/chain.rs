//! How the documents of a passport are linked: each reference leads to a statement of the right kind, they agree in what
//! they say of the same thing, and a contract or an evaluation binds the provider whose data and terms it names.

use serde_json::Value;

use super::verify::{Opened, failed};
use crate::error::Result;
use crate::provenance::statement::StatementKind;
use crate::types::Digest;

/// The members by which a predicate refers to another statement: its `pae_sha256`.
const REFERENCES: &[(&str, StatementKind)] = &[
    ("manifest_sha256", StatementKind::Manifest),
    ("terms_sha256", StatementKind::Terms),
    ("assessment_sha256", StatementKind::Assessment),
    ("certificate_sha256", StatementKind::Certificate),
    ("offer_sha256", StatementKind::Offer),
    ("contract_sha256", StatementKind::Contract),
    ("entitlement_sha256", StatementKind::Entitlement),
    ("evaluation_sha256", StatementKind::Evaluation),
];

/// References without which the chain from the bytes to the right to use them is broken.
const CHAIN: &[(StatementKind, StatementKind)] = &[
    (StatementKind::Assessment, StatementKind::Manifest),
    (StatementKind::Contract, StatementKind::Manifest),
    (StatementKind::Contract, StatementKind::Terms),
    (StatementKind::Entitlement, StatementKind::Contract),
    (StatementKind::EntitlementChange, StatementKind::Entitlement),
    (StatementKind::Inspection, StatementKind::Manifest),
    (StatementKind::Evaluation, StatementKind::Manifest),
    (StatementKind::Evaluation, StatementKind::Terms),
    (StatementKind::EvaluationReceipt, StatementKind::Evaluation),
];

/// Follows the references between statements: each must lead to a statement of the right kind.
pub(super) fn chain(opened: &[Opened], unchecked: &mut Vec<String>) -> Result<Vec<Vec<StatementKind>>> {
    let holds = |kind: StatementKind| opened.iter().any(|document| document.kind == kind);
    if !holds(StatementKind::Manifest) {
        return Err(failed("statements", "chain", "there is no manifest: nothing says what the data is"));
    }
    // An evaluation needs no contract; where there is a contract, there should be what it granted, too.
    let right: &[StatementKind] = match holds(StatementKind::Evaluation) && !holds(StatementKind::Contract) {
        true => &[],
        false => &[StatementKind::Contract, StatementKind::Entitlement],
    };
    for kind in [StatementKind::Terms, StatementKind::Assessment].iter().chain(right).filter(|kind| !holds(**kind)) {
        unchecked.push(format!("the passport holds no {kind}"));
    }
    let references = opened.iter().map(|document| refers_to(document, opened, unchecked)).collect::<Result<_>>()?;
    for document in opened {
        names_its_manifest(document, opened)?;
        match document.kind {
            StatementKind::Manifest => is_licensed(document, opened)?,
            StatementKind::Contract => {
                binds_its_provider(document, opened, unchecked)?;
                keeps_its_offer(document, opened)?;
            }
            StatementKind::Entitlement => grants_its_contract(document, opened)?,
            StatementKind::Evaluation => binds_its_provider(document, opened, unchecked)?,
            _ => {}
        }
    }
    Ok(references)
}

/// The statement that a predicate names by one of the [`REFERENCES`].
pub(super) fn named<'a>(predicate: &Value, member: &str, opened: &'a [Opened]) -> Option<&'a Opened> {
    let digest: Digest = predicate.get(member)?.as_str()?.parse().ok()?;
    let (_, kind) = REFERENCES.iter().find(|(reference, _)| *reference == member)?;
    opened.iter().find(|other| other.kind == *kind && other.pae_sha256 == digest)
}

/// Whoever names a manifest by its digest, and its dataset or its version too, names one thing.
fn names_its_manifest(document: &Opened, opened: &[Opened]) -> Result<()> {
    let said = &document.statement.predicate;
    let Some(manifest) = named(said, "manifest_sha256", opened) else { return Ok(()) };
    let own = &manifest.statement.predicate;
    let differs = |member: &&&str| said.get(**member).is_some_and(|said| own.get(**member) != Some(said));
    match ["dataset", "version"].iter().find(differs) {
        Some(member) => Err(failed(&document.name, "chain", format!("{member} is not that of the manifest it names"))),
        None => Ok(()),
    }
}

/// A contract binds the provider whose dataset it sells and whose terms it names: nobody else's, and both signed by that
/// provider. That it offered the one on the other it says in an offer, or by signing the contract. An evaluation, which names
/// no provider, binds whose dataset it is.
fn binds_its_provider(bond: &Opened, opened: &[Opened], unchecked: &mut Vec<String>) -> Result<()> {
    let said = &bond.statement.predicate;
    let of = |member: &str, whose: &str| {
        let whose = named(said, member, opened)?.statement.predicate.get(whose)?;
        whose.as_str()?.split('/').next()
    };
    let (dataset, terms) = (of("manifest_sha256", "dataset"), of("terms_sha256", "organisation"));
    let provider = match bond.kind {
        StatementKind::Evaluation => dataset,
        _ => said.pointer("/provider/handle").and_then(Value::as_str),
    };
    for (what, whose) in [("a manifest", dataset), ("terms", terms)] {
        if whose != provider {
            let (whose, provider) = (whose.unwrap_or("nobody"), provider.unwrap_or("nobody"));
            let why = format!("it names {what} of {whose}, and {provider} as its provider");
            return Err(failed(&bond.name, "provider", why));
        }
    }
    if said.get("negotiation").is_none() && named(said, "offer_sha256", opened).is_none() {
        unchecked.push(format!(
            "that {} offered this version on these terms is the exchange's word: {} rests on no offer that is in the passport",
            provider.unwrap_or("nobody"),
            bond.name
        ));
    }
    Ok(())
}

/// What an entitlement repeats from its contract.
const GRANTED: &[&str] = &["order", "dataset", "version", "manifest_sha256", "part"];

/// An entitlement grants what its contract agrees on, no more and no less.
fn grants_its_contract(entitlement: &Opened, opened: &[Opened]) -> Result<()> {
    let said = &entitlement.statement.predicate;
    let Some(contract) = named(said, "contract_sha256", opened) else { return Ok(()) };
    match GRANTED.iter().find(|member| said.get(**member) != contract.statement.predicate.get(**member)) {
        Some(member) => {
            Err(failed(&entitlement.name, "licence", format!("{member} is not what the contract agrees on")))
        }
        None => Ok(()),
    }
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
    let Some(offer) = named(said, "offer_sha256", opened) else { return Ok(()) };
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
    if contracts().next().is_none() {
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
    let found = references(document, opened)?;
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
fn references(document: &Opened, opened: &[Opened]) -> Result<Vec<(StatementKind, bool)>> {
    let mut found = Vec::new();
    for (member, kind) in REFERENCES {
        let said = &document.statement.predicate;
        let Some(digest) = said.get(member) else { continue };
        let present = opened.iter().any(|other| other.kind == *kind);
        if present && named(said, member, opened).is_none() {
            let why = format!("{member} is {digest}, and the passport's {kind} has another digest");
            return Err(failed(&document.name, "chain", why));
        }
        found.push((*kind, present));
    }
    Ok(found)
}
