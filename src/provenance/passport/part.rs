//! Parts of a version: which of its shards a selection takes, and the digest that names them.
//!
//! The market draws up licences with it, and a verifier, who has nothing but signed documents, finds the same shards.

use crate::types::{Digest, Hasher};

/// What tells the shards of a version apart, as its manifest spells it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facets<'a> {
    /// The language of its records: a BCP 47 tag.
    pub language: Option<&'a str>,
    /// What its records are about.
    pub domain: Option<&'a str>,
    /// The licence of its records: an SPDX expression.
    pub licence: Option<&'a str>,
}

impl Facets<'_> {
    /// Whether these match every list of a selection that is not empty: one of the language ranges, domains and licences.
    pub fn selected_by(self, languages: &[String], domains: &[impl AsRef<str>], licences: &[String]) -> bool {
        let same = |one: &str, other: &str| one == other;
        matches_one(languages, self.language, is_in_range)
            && matches_one(domains, self.domain, same)
            && matches_one(licences, self.licence, same)
    }
}

fn matches_one(wanted: &[impl AsRef<str>], of: Option<&str>, same: fn(&str, &str) -> bool) -> bool {
    wanted.is_empty() || of.is_some_and(|of| wanted.iter().any(|one| same(one.as_ref(), of)))
}

/// Whether a language range matches a tag (RFC 4647 §3.3.1).
fn is_in_range(range: &str, tag: &str) -> bool {
    let (head, rest) = tag.split_at_checked(range.len()).unwrap_or((tag, ""));
    head.eq_ignore_ascii_case(range) && (rest.is_empty() || rest.starts_with('-'))
}

/// The SHA-256 of paths that are sorted by their bytes, each followed by a line feed.
pub fn paths_sha256<'a>(sorted: impl IntoIterator<Item = &'a str>) -> Digest {
    let mut hasher = Hasher::default();
    for path in sorted {
        hasher.update(path.as_bytes());
        hasher.update(b"\n");
    }
    hasher.finish()
}
