//! The exchange's own keys in a passport: those for which a trusted key vouches, and when each was valid.
//!
//! Where a key took over from another, both signed an `exchange-key` statement; the passport carries them all. Whoever
//! trusts one of the keys, an old one or a new one, reaches the others over these.

use super::Passport;
use super::verify::failed;
use crate::error::{Error, Kind, Result};
use crate::keys::KeyRole;
use crate::provenance::exchange_keys::{KeyEvent, Succession};
use crate::provenance::note::VerifierKey;
use crate::provenance::proof::TlogProof;
use crate::provenance::statement::{Leaf, Statement, StatementKind, Validate, expect_signatures, parse_with};
use crate::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, PublicKey};
use crate::types::{Digest, Instant};

/// More keys than any exchange will ever have had; a longer chain is not followed.
const MAX_LINKS: usize = 1000;

/// A key of the exchange that the verifier may believe, in its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExchangeKey {
    pub(super) key: PublicKey,
    since: Option<Instant>,
    until: Option<Instant>,
}

impl ExchangeKey {
    /// Refuses a time at which the key did not sign, and says why.
    pub(super) fn valid_at(&self, at: Instant) -> Result<(), String> {
        let name = format!("the exchange's key {}", self.key.key_id());
        match (self.since.filter(|since| at < *since), self.until.filter(|until| at >= *until)) {
            (Some(since), _) => Err(format!("{name} was activated only at {since}, after {at}")),
            (None, Some(until)) => Err(format!("{name} was retired at {until}, before {at}")),
            (None, None) => Ok(()),
        }
    }
}

/// Refuses when none of the keys was good, for the reason of the first.
pub(super) fn any_valid_at<'a>(keys: impl IntoIterator<Item = &'a ExchangeKey>, at: Instant) -> Result<(), String> {
    let mut refusal = None;
    for key in keys {
        match key.valid_at(at) {
            Ok(()) => return Ok(()),
            Err(why) => refusal.get_or_insert(why),
        };
    }
    Err(refusal.unwrap_or_else(|| "no key of the exchange signed".to_string()))
}

/// The keys that the trusted ones vouch for.
pub(super) struct ExchangeKeys {
    statement: Vec<ExchangeKey>,
    log: Vec<ExchangeKey>,
    origin: String,
}

struct Link {
    name: String,
    says: Succession,
    recorded_at: Instant,
}

impl ExchangeKeys {
    /// Follows the passport's chain from the trusted keys; where none is given, from those that the passport names.
    /// The chain is only believed once the log proof of each statement is verified like any other.
    pub(super) fn follow(
        passport: &Passport,
        trusted: &[PublicKey],
        trusted_logs: Option<&[VerifierKey]>,
        validate: &Validate,
    ) -> Result<Self> {
        let (vkey, own) = (&passport.log_vkey, passport.exchange_key);
        let links = links(passport, validate)?;
        let named = [own];
        let trusted = if trusted.is_empty() { &named } else { trusted };
        let logs: Vec<PublicKey> = match trusted_logs {
            None => vec![vkey.key],
            Some(logs) => logs.iter().filter(|log| log.name == vkey.name).map(|log| log.key).collect(),
        };
        let statement = reach(trusted, KeyRole::Statement, &links);
        let log = reach(&logs, KeyRole::Log, &links);
        if !statement.iter().any(|known| known.key == own) {
            let why =
                format!("the passport names the key {own}, which is not the trusted one, nor does that vouch for it");
            return Err(failed("exchange_key", "trusted exchange", why));
        }
        if !log.iter().any(|known| known.key == vkey.key) {
            let why =
                format!("the passport names the log {vkey}, which is not the trusted one, nor does that vouch for it");
            return Err(failed("log_vkey", "trusted log", why));
        }
        for link in links {
            let reached = if link.says.role == KeyRole::Log { &log } else { &statement };
            if !reached.iter().any(|known| known.key == link.says.public_key) {
                let why = "no trusted key vouches for the two keys that it names";
                return Err(failed(link.name, "trusted exchange", why));
            }
        }
        Ok(Self { statement, log, origin: vkey.name.clone() })
    }

    /// The exchange's statement key with this key id.
    pub(super) fn find(&self, key_id: Digest) -> Option<&ExchangeKey> {
        self.statement.iter().find(|known| known.key.key_id() == key_id)
    }

    /// Checks every signature of an envelope that the exchange alone signs; gives the key that signed first.
    pub(super) fn sole_signer(&self, envelope: &Envelope, at: Instant) -> Result<PublicKey, String> {
        let mut signers = Vec::new();
        for signature in &envelope.signatures {
            let known = self.find(signature.keyid);
            let known = known.ok_or_else(|| format!("the key {} is not the exchange's", signature.keyid))?;
            envelope.verify(known.key, IN_TOTO_PAYLOAD_TYPE).map_err(|error| error.to_string())?;
            signers.push(known);
        }
        any_valid_at(signers.iter().copied(), at)?;
        signers.first().map(|first| first.key).ok_or_else(|| "nobody signed".to_string())
    }

    /// Checks that an entry of `recorded_at` is in the log, under a checkpoint by a key of the log that was not retired by
    /// then. A later key may sign for all that came before it.
    pub(super) fn check_proof(&self, proof: &TlogProof, entry: &[u8], recorded_at: Instant) -> Result<()> {
        let (mut signers, mut refusal) = (Vec::new(), None);
        for (known, vkey) in self.log.iter().zip(self.log_vkeys()?) {
            match proof.verify(entry, &vkey) {
                Ok(_) => signers.push(ExchangeKey { since: None, ..*known }),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal.filter(|_| signers.is_empty()) {
            Some(error) => Err(error),
            None => any_valid_at(&signers, recorded_at).map_err(|why| Error::new(Kind::Unverified, why)),
        }
    }

    /// The verifier keys of the log.
    pub(super) fn log_vkeys(&self) -> Result<Vec<VerifierKey>> {
        self.log.iter().map(|known| VerifierKey::new(&self.origin, known.key)).collect()
    }
}

/// Reads a statement in which one key of the exchange takes over from another: both signed it, and nobody else. Says why not.
pub(super) fn succession(envelope: &Envelope, validate: &Validate) -> Result<(Statement, Succession), String> {
    // The keys stand in the very document that they sign: they are read first, and believed once both signatures hold.
    let says = Succession::read(envelope).map_err(|error| error.to_string())?;
    expect_signatures(envelope, 2).map_err(|error| error.to_string())?;
    let read = |key| parse_with(envelope, key, StatementKind::ExchangeKey, validate).map_err(|error| error.to_string());
    read(says.replaces)?;
    let statement = read(says.public_key)?;
    if says.public_key == says.replaces || statement.subject != says.subjects() {
        return Err("its subjects are not the two keys that it names".to_string());
    }
    Ok((statement, says))
}

fn links(passport: &Passport, validate: &Validate) -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for (number, document) in passport.statements.iter().enumerate() {
        if document.kind != StatementKind::ExchangeKey {
            continue;
        }
        let name = format!("statements/{number} ({})", document.kind);
        let (_, says) = succession(&document.envelope, validate).map_err(|why| failed(&name, "signature", why))?;
        let leaf: Leaf = serde_json::from_slice(&document.leaf.0).map_err(|error| failed(&name, "log entry", error))?;
        links.push(Link { name, says, recorded_at: leaf.recorded_at });
        if links.len() > MAX_LINKS {
            return Err(failed(
                "statements",
                "format",
                format!("there are more than {MAX_LINKS} exchange-key statements"),
            ));
        }
    }
    Ok(links)
}

/// Every key of a role to which the links lead from the trusted ones, with its time.
fn reach(trusted: &[PublicKey], role: KeyRole, links: &[Link]) -> Vec<ExchangeKey> {
    let links: Vec<&Link> = links.iter().filter(|link| link.says.role == role).collect();
    let mut reached = trusted.to_vec();
    let mut at = 0;
    while let Some(key) = reached.get(at).copied() {
        for Link { says, .. } in &links {
            for (from, to) in [(says.replaces, says.public_key), (says.public_key, says.replaces)] {
                if from == key && !reached.contains(&to) {
                    reached.push(to);
                }
            }
        }
        at += 1;
    }
    let times = |key: PublicKey, event: KeyEvent| {
        let about = move |says: &Succession| match event {
            KeyEvent::Activated => says.public_key == key,
            KeyEvent::Retired => says.replaces == key,
        };
        links.iter().filter(move |l| l.says.event == event && about(&l.says)).map(|l| l.recorded_at).min()
    };
    let in_its_time =
        |key| ExchangeKey { key, since: times(key, KeyEvent::Activated), until: times(key, KeyEvent::Retired) };
    reached.into_iter().map(in_its_time).collect()
}
