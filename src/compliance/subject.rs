//! What a trace starts from: how it is written, and which records it opens.

use std::str::FromStr;

use super::queries;
use crate::assessment;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity;
use crate::types::{DatasetId, Digest, EntryId, OrderId, OrganisationId, TransitionId, VersionId};

/// How every certificate number begins.
const CERTIFICATE: &str = "CPX-";
/// What stands before the index of a log entry.
const LOG: &str = "log:";

/// What a trace starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Bytes, a signed document or a key, by digest.
    Digest(Digest),
    /// An organisation, by its handle.
    Organisation(String),
    /// A dataset: `org/name`.
    Dataset(String, String),
    /// A version: `org/name@2`.
    Version(String, String, i32),
    /// The bytes of a shard: `org/name@2:data/a.jsonl`.
    Shard(String, String, i32, String),
    /// An order, contract, entitlement or another thing that statements are about, by its identifier.
    Thing(String),
    /// A registration certificate, by its number.
    Certificate(String),
    /// An entry of the log, by its index.
    LogIndex(u64),
    /// An entry of the log, by its identifier.
    Entry(EntryId),
}

impl FromStr for Subject {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        read(text).ok_or_else(|| {
            let detail = format!("{text:?} is not something that can be traced");
            Error::invalid("subject", detail).remedy(
                "give a SHA-256, ORG, ORG/NAME, ORG/NAME@VERSION, ORG/NAME@VERSION:PATH, an order (order_…), contract \
                 (contract_…), dispute (dispute_…), entitlement (entitlement_…), evaluation (evaluation_…), listing (listing_…) or terms (terms_…), a certificate \
                 (CPX-…), or a log entry (log:INDEX or entry_…)",
            )
        })
    }
}

fn read(text: &str) -> Option<Subject> {
    if text.contains('\0') {
        return None;
    }
    if let Ok(digest) = text.parse() {
        return Some(Subject::Digest(digest));
    }
    if text.starts_with(CERTIFICATE) {
        return Some(Subject::Certificate(text.to_string()));
    }
    if let Some(index) = text.strip_prefix(LOG) {
        return index.parse().ok().map(Subject::LogIndex);
    }
    if let Some((organisation, rest)) = text.split_once('/') {
        return named(organisation, rest);
    }
    match text.split_once('_') {
        Some(("entry", _)) => text.parse().ok().map(Subject::Entry),
        Some((prefix, suffix)) if queries::is_thing(prefix) && is_suffix(suffix) => {
            Some(Subject::Thing(text.to_string()))
        }
        _ => identity::check_handle("subject", text).ok().map(|()| Subject::Organisation(text.to_string())),
    }
}

/// What follows `ORG/`: `NAME`, `NAME@VERSION` or `NAME@VERSION:PATH`.
fn named(organisation: &str, rest: &str) -> Option<Subject> {
    let organisation = organisation.to_string();
    let Some((name, version)) = rest.split_once('@') else {
        return Some(Subject::Dataset(organisation, rest.to_string()));
    };
    let (number, path) = version.split_once(':').map_or((version, None), |(number, path)| (number, Some(path)));
    let (name, number) = (name.to_string(), number.parse().ok()?);
    Some(match path {
        Some(path) => Subject::Shard(organisation, name, number, path.to_string()),
        None => Subject::Version(organisation, name, number),
    })
}

/// True for what follows the prefix of an identifier: the same for every kind.
pub(super) fn is_suffix(text: &str) -> bool {
    format!("step_{text}").parse::<TransitionId>().is_ok()
}

/// The records that a subject opens. Each scope is found by one identifier or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// What has to do with these bytes, and the lives of the versions that hold them.
    Bytes(Digest),
    /// The life of one version.
    Version(VersionId),
    /// The lives of a dataset's versions.
    Dataset(DatasetId),
    /// What an organisation published, licensed, signed and received.
    Organisation(OrganisationId),
    /// One purchase, and the life of what was bought.
    Order(OrderId),
    /// What was said of one thing that belongs to no single version: a key, terms, a batch of receipts.
    Thing(String),
}

impl Subject {
    /// Looks the subject up.
    ///
    /// # Errors
    /// `NotFound`. A digest that nobody knows is no error: that nothing has to do with it is the answer.
    pub(super) fn resolve(&self, c: &mut Conn) -> Result<Scope> {
        match self {
            Self::Digest(sha256) => digest(c, *sha256),
            Self::Organisation(handle) => Ok(Scope::Organisation(identity::find_organisation(c, handle)?.id)),
            Self::Dataset(handle, name) => Ok(Scope::Dataset(catalog::find_dataset(c, handle, name)?.id)),
            Self::Version(handle, name, number) => {
                Ok(Scope::Version(catalog::find_version(c, handle, name, *number)?.1.id))
            }
            Self::Shard(handle, name, number, path) => {
                let (_, version) = catalog::find_version(c, handle, name, *number)?;
                Ok(Scope::Bytes(catalog::shard(c, version.id, path)?.sha256))
            }
            Self::Thing(id) => thing(c, id)?.ok_or_else(|| Error::not_found(id)),
            Self::Certificate(number) => Ok(Scope::Version(assessment::certificate(c, number)?.version_id)),
            Self::LogIndex(index) => {
                let about = match i64::try_from(*index) {
                    Ok(index) => queries::find_subject_at(c, index)?,
                    Err(_) => None,
                };
                let about = about.ok_or_else(|| Error::not_found(format_args!("entry {index} of the log")))?;
                Ok(thing(c, &about)?.unwrap_or(Scope::Thing(about)))
            }
            Self::Entry(entry) => {
                let about = queries::find_subject_of_entry(c, *entry)?;
                let about = about.ok_or_else(|| Error::not_found(format_args!("the log entry {entry}")))?;
                Ok(thing(c, &about)?.unwrap_or(Scope::Thing(about)))
            }
        }
    }
}

/// Bytes, if any version holds them; else a signed document; else a key.
fn digest(c: &mut Conn, sha256: Digest) -> Result<Scope> {
    if !queries::has_bytes(c, sha256)? {
        if let Some(about) = queries::find_subject_of_pae(c, sha256)? {
            return Ok(thing(c, &about)?.unwrap_or(Scope::Thing(about)));
        }
        if let Some(key) = identity::signing_key(c, sha256)? {
            return Ok(Scope::Thing(key.id.to_string()));
        }
    }
    Ok(Scope::Bytes(sha256))
}

/// The purchase or version that a thing belongs to, or the thing alone; `None` if there is no such thing.
fn thing(c: &mut Conn, id: &str) -> Result<Option<Scope>> {
    let about = queries::list_abouts(c, &[id])?.pop();
    Ok(about.map(|about| match (about.order_id, about.version_id) {
        (Some(order), _) => Scope::Order(order),
        (None, Some(version)) => Scope::Version(version),
        (None, None) => Scope::Thing(id.to_string()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_recognised_by_its_shape() {
        let text = |text: &str| text.to_string();
        let order = OrderId::new(crate::types::Instant::from_unix_micros(1)).to_string();
        let digest = "ab".repeat(32);
        for (written, subject) in [
            (digest.as_str(), Subject::Digest(digest.parse().unwrap())),
            ("verse-lab", Subject::Organisation(text("verse-lab"))),
            ("acme/poems", Subject::Dataset(text("acme"), text("poems"))),
            ("acme/poems@2", Subject::Version(text("acme"), text("poems"), 2)),
            ("acme/poems@2:a/b@3:c", Subject::Shard(text("acme"), text("poems"), 2, text("a/b@3:c"))),
            ("CPX-2026-0123456789", Subject::Certificate(text("CPX-2026-0123456789"))),
            ("log:17", Subject::LogIndex(17)),
            (&order, Subject::Thing(order.clone())),
        ] {
            assert_eq!(written.parse::<Subject>().unwrap(), subject, "{written}");
        }
    }

    #[test]
    fn what_is_no_subject_is_refused_with_the_forms_that_are() {
        for bad in ["what is this", "", "log:", "log:-1", "order_", "user_01jd0000000000000000000000", "a/b@x", "a\0b"]
        {
            let error = bad.parse::<Subject>().unwrap_err();
            assert_eq!(error.field.as_deref(), Some("subject"), "{bad:?}");
            assert!(error.remedy.unwrap().contains("ORG/NAME@VERSION:PATH"));
        }
    }
}
