//! C2SP tlog-policy: which logs are known, which witnesses, and which of them must have cosigned a checkpoint.
//!
//! One file serves everybody: the exchange submits to its witnesses and waits for its quorum, a monitor follows its
//! log, and a verifier accepts a proof only under its quorum.
//!
//! ```text
//! log     corpex.example/log+…
//! witness lab       lab.example/witness+…        https://witness.lab.example
//! witness regulator regulator.example/witness+…  https://witness.regulator.example
//! group   both all lab regulator
//! quorum  both
//! ```
//!
//! Invariant: a policy that could be read in two ways is refused: unknown words, names used before they are defined or
//! defined twice, one key under two names.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::cosignature;
use super::note::{Checkpoint, Note, VerifierKey, WitnessKey};
use crate::error::{Error, Kind, Result};
use crate::types::Instant;

/// The name for "no witness is needed".
const NONE: &str = "none";
/// A longer file is not read.
const MAX_BYTES: usize = 1024 * 1024;
/// How far a witness's clock may be behind.
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Whom a party trusts to keep a log honest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The logs whose checkpoints count; in a file that only names witnesses, none.
    pub logs: Vec<Log>,
    /// The witnesses, in the file's order.
    pub witnesses: Vec<Witness>,
    /// Everything that has a name, in the order of definition; members stand before their groups.
    named: Vec<Named>,
    /// Which of them must have witnessed a checkpoint; absent when nobody must.
    quorum: Option<usize>,
}

/// A known log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its verifier key.
    pub key: VerifierKey,
    /// Where it is served.
    pub url: Option<Url>,
}

/// A known witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Its name in this policy.
    pub name: String,
    /// Its verifier key.
    pub key: WitnessKey,
    /// Where it takes checkpoints (its submission prefix).
    pub url: Option<Url>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// A witness.
    Witness(String),
    /// A group: at least so many of the members with these places.
    Group(usize, Vec<usize>),
}

/// A checkpoint that a policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Which witnesses cosigned it, by their names in the policy, and when.
    pub by: Vec<(String, Instant)>,
}

impl Policy {
    /// The policy that trusts one log, alone.
    pub fn of_log(key: VerifierKey) -> Self {
        Self { logs: vec![Log { key, url: None }], witnesses: Vec::new(), named: Vec::new(), quorum: None }
    }

    /// The policy that takes a log and its witnesses on their own word, and needs none of them.
    pub fn unproven(key: VerifierKey, witnesses: &[WitnessKey]) -> Self {
        let witnesses = witnesses.iter().map(|key| Witness { name: key.name.clone(), key: key.clone(), url: None });
        Self { witnesses: witnesses.collect(), ..Self::of_log(key) }
    }

    /// Trusts another key of a log, unless it is known.
    pub fn trust_also(&mut self, key: VerifierKey) {
        if !self.logs.iter().any(|log| log.key == key) {
            self.logs.push(Log { key, url: None });
        }
    }

    /// Reads a policy's file.
    pub fn read(file: &Path) -> Result<Self> {
        let unreadable = |error| Error::invalid("policy", format!("{} cannot be read: {error}", file.display()));
        std::fs::read_to_string(file).map_err(unreadable)?.parse()
    }

    /// True if checkpoints count without any witness.
    pub fn needs_nobody(&self) -> bool {
        self.quorum.is_none()
    }

    /// Opens a checkpoint that one of the logs signed and a quorum of the witnesses cosigned.
    ///
    /// A cosignature from before `not_before` (less [`CLOCK_SKEW`]) is stale and does not count: its witness cannot have seen
    /// what was recorded later. Fails as unverified, and says which witnesses are there and which are missing.
    pub fn open(&self, note: &str, not_before: Instant) -> Result<Witnessed> {
        let checkpoint = self.by_a_known_log(note)?;
        let by = self.cosignatures(&checkpoint.note.parse()?, not_before)?;
        self.require_quorum(&by)?;
        Ok(Witnessed { checkpoint, by })
    }

    /// Opens a checkpoint that one of the logs signed; witnesses are not looked at.
    pub fn by_a_known_log(&self, note: &str) -> Result<Checkpoint> {
        let mut refusal = Error::new(Kind::Unverified, "the policy names no log");
        for log in &self.logs {
            match Checkpoint::open(note, &log.key) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    /// Which witnesses cosigned a note since `not_before` (less [`CLOCK_SKEW`]), and when.
    pub fn cosignatures(&self, note: &Note, not_before: Instant) -> Result<Vec<(String, Instant)>> {
        let mut by = Vec::new();
        for witness in &self.witnesses {
            if let Some(at) = cosignature::cosigned_at(note, &witness.key)?
                && at.plus(CLOCK_SKEW) >= not_before
            {
                by.push((witness.name.clone(), at));
            }
        }
        Ok(by)
    }

    /// Refuses a set of witnesses that is no quorum.
    pub fn require_quorum(&self, by: &[(String, Instant)]) -> Result<()> {
        let there: HashSet<&str> = by.iter().map(|(name, _)| name.as_str()).collect();
        if self.quorum.is_none_or(|quorum| self.witnessed(&there).get(quorum).copied().unwrap_or(false)) {
            return Ok(());
        }
        let missing: Vec<_> =
            self.witnesses.iter().map(|witness| witness.name.as_str()).filter(|name| !there.contains(name)).collect();
        let mut there: Vec<_> = there.into_iter().collect();
        there.sort_unstable();
        let detail = format!(
            "too few witnesses cosigned the checkpoint: there are [{}], and [{}] are missing or stale",
            there.join(", "),
            missing.join(", ")
        );
        Err(Error::new(Kind::Unverified, detail))
    }

    /// For everything that has a name, whether it witnessed.
    fn witnessed(&self, there: &HashSet<&str>) -> Vec<bool> {
        let mut all: Vec<bool> = Vec::with_capacity(self.named.len());
        for named in &self.named {
            all.push(match named {
                Named::Witness(name) => there.contains(name.as_str()),
                Named::Group(least, members) => {
                    members.iter().filter(|member| all.get(**member).copied().unwrap_or(false)).count() >= *least
                }
            });
        }
        all
    }
}

impl FromStr for Policy {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if text.len() > MAX_BYTES {
            return Err(Error::invalid("policy", format!("a policy has at most {MAX_BYTES} bytes")));
        }
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            reader.read(&words).map_err(|why| {
                Error::invalid("policy", format!("line {number}: {why}"))
                    .remedy("write the policy as C2SP tlog-policy has it: log, witness, group and quorum lines")
            })?;
        }
        let quorum = reader.quorum.ok_or_else(|| {
            Error::invalid("policy", "the policy says no quorum").remedy("end it with a line such as 'quorum none'")
        })?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, named: reader.named, quorum })
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<Log>,
    witnesses: Vec<Witness>,
    named: Vec<Named>,
    places: HashMap<String, usize>,
    quorum: Option<Option<usize>>,
}

impl Reader {
    fn read(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", key] => self.log(key, None),
            ["log", key, url] => self.log(key, Some(url)),
            ["witness", name, key] => self.witness(name, key, None),
            ["witness", name, key, url] => self.witness(name, key, Some(url)),
            ["group", name, least, members @ ..] => self.group(name, least, members),
            ["quorum", name] => {
                let quorum = if *name == NONE { None } else { Some(self.known(name)?) };
                match self.quorum.replace(quorum) {
                    None => Ok(()),
                    Some(_) => Err("the quorum is said twice".to_string()),
                }
            }
            [word, ..] => Err(format!("this is not a {word:?} line that can be understood")),
        }
    }

    fn log(&mut self, key: &str, url: Option<&str>) -> Result<(), String> {
        let key: VerifierKey = key.parse().map_err(|error: Error| error.to_string())?;
        if self.logs.iter().any(|log| log.key.key == key.key) {
            return Err("this log's key stands in the policy already".to_string());
        }
        self.logs.push(Log { key, url: address(url)? });
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: Option<&str>) -> Result<(), String> {
        let key: WitnessKey = key.parse().map_err(|error: Error| error.to_string())?;
        if self.witnesses.iter().any(|witness| witness.key.key == key.key) {
            return Err("this witness's key stands in the policy already".to_string());
        }
        self.name(name, Named::Witness(name.to_string()))?;
        self.witnesses.push(Witness { name: name.to_string(), key, url: address(url)? });
        Ok(())
    }

    fn group(&mut self, name: &str, least: &str, members: &[&str]) -> Result<(), String> {
        let known = members.iter().map(|member| self.known(member)).collect::<Result<Vec<_>, _>>()?;
        let least = match least {
            "all" => known.len(),
            "any" => 1,
            number => number.parse().map_err(|_| format!("{number:?} is neither all, any nor a number"))?,
        };
        if !(1..=known.len()).contains(&least) {
            return Err(format!("a group of {} cannot need {least} of them", known.len()));
        }
        self.name(name, Named::Group(least, known))
    }

    fn name(&mut self, name: &str, named: Named) -> Result<(), String> {
        if name == NONE || self.places.insert(name.to_string(), self.named.len()).is_some() {
            return Err(format!("the name {name:?} is taken"));
        }
        self.named.push(named);
        Ok(())
    }

    fn known(&self, name: &str) -> Result<usize, String> {
        self.places.get(name).copied().ok_or_else(|| format!("{name:?} was not defined above"))
    }
}

fn address(url: Option<&str>) -> Result<Option<Url>, String> {
    let read = |url: &str| {
        let parsed = Url::parse(url).ok().filter(|parsed| matches!(parsed.scheme(), "http" | "https"));
        parsed.ok_or_else(|| format!("{url:?} is not an http or https URL"))
    };
    url.map(read).transpose()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
