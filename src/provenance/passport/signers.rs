//! Who signed a statement: whether every signature is valid, and the signers are those that its kind requires.

use std::collections::HashSet;

use serde_json::Value;

use super::exchange::succession;
use super::{PassportKey, keys};
use crate::provenance::statement::{Signers, Statement, StatementKind, Validate, parse_with};
use crate::signing::{Envelope, PublicKey};
use crate::types::Digest;

/// The name of the exchange among those who signed.
const EXCHANGE: &str = "exchange";

/// Whose key it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::provenance) enum Holder<'k> {
    /// One of the exchange's own.
    Exchange(PublicKey),
    /// An organisation's.
    Organisation(&'k PassportKey),
}

/// A statement, and who signed it.
pub(in crate::provenance) struct Signed<'k> {
    pub(in crate::provenance) statement: Statement,
    /// The exchange's keys, in the order of their signatures.
    pub(super) exchange: Vec<PublicKey>,
    /// The organisations', in the order of theirs.
    pub(super) organisations: Vec<&'k PassportKey>,
    /// The keys of which the log entry names one.
    logged: Vec<Digest>,
}

impl Signed<'_> {
    /// The organisations' handles, and `exchange`.
    pub(super) fn names(&self) -> Vec<String> {
        let own = (!self.exchange.is_empty()).then(|| EXCHANGE.to_string());
        self.organisations.iter().map(|key| key.organisation.clone()).chain(own).collect()
    }

    /// Whose signature the log entry must name, where it names this one.
    pub(super) fn logged_as(&self, named: Digest) -> Digest {
        match self.logged.contains(&named) {
            true => named,
            false => self.logged.first().copied().unwrap_or(named),
        }
    }

    /// The exchange's receipt: there is one exactly when an organisation signed alone.
    pub(in crate::provenance) fn receipt<'r>(
        &self,
        receipt: Option<&'r Envelope>,
    ) -> Result<Option<&'r Envelope>, String> {
        match (receipt, self.exchange.is_empty()) {
            (None, true) => Err("the exchange's receipt is missing".to_string()),
            (Some(_), false) => Err("the exchange does not give a receipt to itself".to_string()),
            (receipt, _) => Ok(receipt),
        }
    }
}

/// Checks every signature of a statement, and that those signed who must for its kind; says why not. `holder` knows whose key
/// a key id is of. When the keys were good is not looked at.
pub(in crate::provenance) fn signed<'k>(
    kind: StatementKind,
    envelope: &Envelope,
    validate: &Validate,
    holder: &dyn Fn(Digest) -> Option<Holder<'k>>,
) -> Result<Signed<'k>, String> {
    distinct(envelope)?;
    if kind == StatementKind::ExchangeKey {
        let (statement, says) = succession(envelope, validate)?;
        let (exchange, logged) = (vec![says.replaces, says.public_key], vec![says.replaces.key_id()]);
        return Ok(Signed { statement, exchange, organisations: Vec::new(), logged });
    }
    let (mut statement, mut exchange, mut organisations) = (None, Vec::new(), Vec::new());
    for signature in &envelope.signatures {
        let key = match holder(signature.keyid) {
            Some(Holder::Exchange(key)) => {
                exchange.push(key);
                key
            }
            Some(Holder::Organisation(key)) => {
                organisations.push(key);
                key.public_key
            }
            None => return Err(format!("there is no key {}", signature.keyid)),
        };
        statement = Some(parse_with(envelope, key, kind, validate).map_err(|error| error.to_string())?);
    }
    let statement = statement.ok_or("nobody signed")?;
    let by_exchange = !exchange.is_empty();
    let replaces = keys::replaced(kind, &statement.predicate);
    let speaks_for = speaks_for(kind, &statement.predicate);
    let needed = speaks_for.len().max(1) + usize::from(replaces.is_some());
    expect_parties(kind, by_exchange, organisations.len(), needed)?;
    speakers_signed(&speaks_for, &organisations)?;
    keys::possession(kind, &statement, &organisations)?;
    // Any of the exchange's signatures; an organisation's new key rather than the one it replaces.
    let logged = match by_exchange {
        true => exchange.iter().map(|key| key.key_id()).collect(),
        false => organisations.iter().map(|key| key.key_id).filter(|key_id| replaces != Some(*key_id)).collect(),
    };
    Ok(Signed { statement, exchange, organisations, logged })
}

/// Refuses an envelope in which one key signs twice: only its first signature would be looked at.
pub(super) fn distinct(envelope: &Envelope) -> Result<(), String> {
    let mut seen = HashSet::new();
    match envelope.signatures.iter().find(|signature| !seen.insert(signature.keyid)) {
        Some(twice) => Err(format!("the key {} signs twice", twice.keyid)),
        None => Ok(()),
    }
}

/// Refuses a statement that others signed than must for its kind.
fn expect_parties(kind: StatementKind, by_exchange: bool, parties: usize, needed: usize) -> Result<(), String> {
    let expected = match kind.signers() {
        Signers::Organisation if by_exchange => return Err("the exchange signed in place of an organisation".into()),
        Signers::Exchange if parties > 0 => return Err("somebody else signed in place of the exchange".into()),
        Signers::Both if !by_exchange || parties == 0 => return Err("one of the two sides did not sign".into()),
        Signers::Organisation | Signers::Both => needed,
        Signers::Exchange => 0,
    };
    match parties == expected {
        true => Ok(()),
        false => Err(format!("{parties} organisations' keys signed it, and {expected} was expected")),
    }
}

/// Refuses a statement that a key of somebody else signed, or none of one that it speaks for.
fn speakers_signed(speaks_for: &[&str], parties: &[&PassportKey]) -> Result<(), String> {
    let who = speaks_for.join(" and ");
    let stranger = parties.iter().find(|key| !speaks_for.contains(&key.organisation.as_str()));
    if let Some(key) = stranger.filter(|_| !speaks_for.is_empty()) {
        return Err(format!("it speaks for {who}, and a key of {} signed it", key.organisation));
    }
    match speaks_for.iter().find(|party| !parties.iter().any(|key| key.organisation == **party)) {
        None => Ok(()),
        Some(silent) => Err(format!("it speaks for {who}, and no key of {silent} signed it")),
    }
}

/// The handles of the organisations for which a statement speaks, by its own words; its schema requires them. A contract
/// speaks for the buyer, and where it was negotiated for the provider too: else the provider signed beforehand.
fn speaks_for(kind: StatementKind, predicate: &Value) -> Vec<&str> {
    let seller = (kind == StatementKind::Contract && predicate.get("negotiation").is_some())
        .then(|| predicate.pointer("/provider/handle").and_then(Value::as_str).unwrap_or_default());
    first_party(kind, predicate).into_iter().chain(seller).collect()
}

fn first_party(kind: StatementKind, predicate: &Value) -> Option<&str> {
    let text = |pointer: &str| predicate.pointer(pointer).and_then(Value::as_str);
    match kind {
        StatementKind::Manifest => text("/dataset")?.split('/').next(),
        StatementKind::Terms | StatementKind::KeyRegistration => text("/organisation"),
        StatementKind::DeletionAttestation | StatementKind::ModelTraining | StatementKind::Offer => {
            text("/organisation")
        }
        StatementKind::Contract => text("/buyer/handle"),
        _ => None,
    }
}
