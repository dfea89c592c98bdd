//! What a version was made from, as its manifest and its card state it: versions on this exchange, and sources outside it.
//!
//! Both are one JSON object, told apart by its keys: a version by `dataset` and `version`, a source by `url`, `sha256`
//! or both. A card may leave out the digest of a version's manifest; whoever signs the manifest looks it up first.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::catalog::manifest::CollectionMethod;
use crate::error::{Error, Result};
use crate::types::Digest;

/// The most parents a version may name.
const MAX_PARENTS: usize = 1000;
/// The longest address of a source, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// Something a version was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Parent {
    /// A version sealed on this exchange.
    Version(ParentVersion),
    /// A source elsewhere.
    Source(Source),
}

/// A parent that was sealed on this exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ParentVersion {
    /// The dataset, as `organisation/name`.
    pub dataset: String,
    /// The version's number.
    #[schema(minimum = 1)]
    pub version: i32,
    /// The digest of its sealed manifest.
    pub manifest_sha256: Digest,
}

/// A parent outside the exchange, named by its address, the digest of its bytes, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LineageSource)]
pub struct Source {
    /// Where it lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The SHA-256 of its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// What people call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection_method: Option<CollectionMethod>,
    /// The first day on which it was collected, as YYYY-MM-DD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_from: Option<String>,
    /// The last day on which it was collected, as YYYY-MM-DD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collected_to: Option<String>,
    /// Its licence: an SPDX expression where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// A parent as a dataset card names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedParent {
    /// A version on the exchange; the digest of its manifest may be left to be looked up.
    Version(String, i32, Option<Digest>),
    /// A source elsewhere.
    Source(Source),
}

impl<'de> Deserialize<'de> for NamedParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keys::deserialize(deserializer)?.into_parent().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NamedParent::deserialize(deserializer)? {
            NamedParent::Version(dataset, version, Some(manifest_sha256)) => {
                Ok(Self::Version(ParentVersion { dataset, version, manifest_sha256 }))
            }
            NamedParent::Version(_, _, None) => Err(serde::de::Error::missing_field("manifest_sha256")),
            NamedParent::Source(source) => Ok(Self::Source(source)),
        }
    }
}

/// Every key that a parent of either sort may have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    dataset: Option<String>,
    version: Option<i32>,
    manifest_sha256: Option<Digest>,
    url: Option<String>,
    sha256: Option<Digest>,
    title: Option<String>,
    collection_method: Option<CollectionMethod>,
    collected_from: Option<String>,
    collected_to: Option<String>,
    licence: Option<String>,
}

impl Keys {
    fn into_parent(self) -> Result<NamedParent> {
        let source = Source {
            url: self.url,
            sha256: self.sha256,
            title: self.title,
            collection_method: self.collection_method,
            collected_from: self.collected_from,
            collected_to: self.collected_to,
            licence: self.licence,
        };
        let missing = |field: &str| Error::invalid(field, "a version on the exchange is named by dataset and version");
        match (self.dataset, self.version) {
            (None, None) if self.manifest_sha256.is_none() => {
                source.check()?;
                Ok(NamedParent::Source(source))
            }
            (Some(dataset), Some(version)) => match source.first_key() {
                None => Ok(NamedParent::Version(dataset, version, self.manifest_sha256)),
                Some(key) => Err(Error::invalid(key, "this belongs to a source elsewhere, not to a version")
                    .remedy("name two parents: the version, and the source")),
            },
            (None, _) => Err(missing("dataset")),
            (Some(_), None) => Err(missing("version")),
        }
    }
}

impl Source {
    /// The first key that it has.
    fn first_key(&self) -> Option<&'static str> {
        let keys = [
            ("url", self.url.is_some()),
            ("sha256", self.sha256.is_some()),
            ("title", self.title.is_some()),
            ("collection_method", self.collection_method.is_some()),
            ("collected_from", self.collected_from.is_some()),
            ("collected_to", self.collected_to.is_some()),
            ("licence", self.licence.is_some()),
        ];
        keys.into_iter().find(|(_, stands)| *stands).map(|(key, _)| key)
    }

    /// Checks that it can be found again, and does not contradict itself. The field is the source's own.
    fn check(&self) -> Result<()> {
        match &self.url {
            Some(url) => check_url(url)?,
            None if self.sha256.is_none() => {
                return Err(Error::invalid("url", "a source elsewhere is named by url, sha256 or both")
                    .remedy("say where it lies, or the SHA-256 of its bytes"));
            }
            None => {}
        }
        match (&self.collected_from, &self.collected_to) {
            (Some(from), Some(to)) if from > to => {
                Err(Error::invalid("collected_to", format!("{to} is before {from}")))
            }
            _ => Ok(()),
        }
    }
}

fn check_url(url: &str) -> Result<()> {
    let plain = url.len() <= MAX_URL_BYTES && url.bytes().all(|b| b.is_ascii_graphic());
    let known = url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if plain && known {
        return Ok(());
    }
    let detail = format!("{url:?} is not an address such as https://example.org/corpus, in printable ASCII");
    Err(Error::invalid("url", detail))
}

/// What makes two names the names of one thing.
#[derive(PartialEq, Eq, Hash)]
enum Same<'a> {
    Version(&'a str, i32),
    Bytes(Digest),
    Address(Option<&'a str>),
}

impl Parent {
    fn same(&self) -> Same<'_> {
        match self {
            Parent::Version(parent) => Same::Version(&parent.dataset, parent.version),
            Parent::Source(Source { sha256: Some(sha256), .. }) => Same::Bytes(*sha256),
            Parent::Source(source) => Same::Address(source.url.as_deref()),
        }
    }
}

/// Checks what can be checked without the exchange: how many there are, that each can be found again, and that none
/// is named twice.
///
/// # Errors
/// `Invalid`; the field is a JSON pointer into the manifest.
pub(in crate::catalog) fn check(parents: &[Parent]) -> Result<()> {
    if parents.len() > MAX_PARENTS {
        return Err(Error::invalid("/parents", format!("a version names at most {MAX_PARENTS} parents")));
    }
    let mut seen = HashMap::new();
    for (index, parent) in parents.iter().enumerate() {
        if let Parent::Source(source) = parent {
            source.check().map_err(|error| {
                let field = error.field.clone().unwrap_or_default();
                error.field(format!("/parents/{index}/{field}"))
            })?;
        }
        if let Some(before) = seen.insert(parent.same(), index) {
            return Err(Error::invalid(format!("/parents/{index}"), format!("this is parent {before} again"))
                .remedy("name each parent once"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schemas;

    fn digest() -> Digest {
        Digest::of("x")
    }

    /// A source with everything that can be said of one.
    fn full_source() -> Value {
        json!({
            "url": "https://example.org/corpus?part=1", "sha256": digest(), "title": "全唐诗", "licence": "CC0-1.0",
            "collection_method": "web_scraping", "collected_from": "2025-01-01", "collected_to": "2025-02-01",
        })
    }

    #[test]
    fn a_parent_is_a_version_or_a_source_and_reads_back_as_it_was_written() {
        let version = json!({ "dataset": "a/b", "version": 1, "manifest_sha256": digest() });
        assert!(matches!(serde_json::from_value(version.clone()), Ok(Parent::Version(_))));
        for written in
            [version, full_source(), json!({ "url": "https://example.org/a" }), json!({ "sha256": digest() })]
        {
            let parent: Parent = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(&parent).unwrap(), written);
        }
    }

    #[test]
    fn a_mix_of_both_is_refused_by_name() {
        for (wrong, reason) in [
            (json!({ "dataset": "a/b", "version": 1, "manifest_sha256": digest(), "url": "https://a.org/" }), "url: "),
            (json!({ "dataset": "a/b", "version": 1, "manifest_sha256": digest(), "licence": "MIT" }), "licence: "),
            (json!({ "dataset": "a/b", "version": 1 }), "`manifest_sha256`"),
            (json!({ "dataset": "a/b", "sha256": digest() }), "version: "),
            (json!({ "version": 1, "sha256": digest() }), "dataset: "),
            (json!({ "manifest_sha256": digest(), "url": "https://a.org/" }), "dataset: "),
            (json!({ "title": "everything" }), "url: "),
            (json!({ "url": "ftp://a.org/" }), "url: "),
            (json!({ "url": "https://a.org/ü" }), "url: "),
            (json!({ "url": "https://" }), "url: "),
            (json!({ "sha256": "abc" }), "hexadecimal"),
            (json!({ "sha256": digest(), "colour": "red" }), "`colour`"),
            (json!({ "sha256": digest(), "collection_method": "magic" }), "`magic`"),
            (
                json!({ "sha256": digest(), "collected_from": "2025-02-01", "collected_to": "2025-01-01" }),
                "collected_to: ",
            ),
        ] {
            let said = serde_json::from_value::<Parent>(wrong.clone()).unwrap_err().to_string();
            assert!(said.contains(reason), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_schema_draws_the_same_line_and_names_the_parent() {
        let judged = |parent: Value| {
            let schema: Value = serde_json::from_str(include_str!("../../../schemas/manifest.v1.json")).unwrap();
            let wrapped =
                json!({ "$defs": schema["$defs"], "properties": { "parents": schema["properties"]["parents"] } });
            let wrong = jsonschema::draft202012::options().should_validate_formats(true).build(&wrapped).unwrap();
            let document = json!({ "parents": [{ "sha256": digest() }, parent] });
            wrong.validate(&document).map_err(|fault| (fault.instance_path().to_string(), fault.to_string()))
        };
        judged(full_source()).unwrap();
        judged(json!({ "dataset": "a/b", "version": 1, "manifest_sha256": digest() })).unwrap();
        for (wrong, at, reason) in [
            (
                json!({ "dataset": "a/b", "version": 1, "manifest_sha256": digest(), "url": "https://a.org/" }),
                "",
                "'url'",
            ),
            (json!({ "dataset": "a/b", "version": 1 }), "", "manifest_sha256"),
            (json!({ "version": 1, "sha256": digest() }), "", ""),
            (json!({ "title": "everything" }), "", "sha256"),
            (json!({ "url": "ftp://a.org/" }), "/url", "ftp"),
            (json!({ "sha256": digest(), "collected_from": "2025-02-30" }), "/collected_from", "date"),
        ] {
            let (path, said) = judged(wrong.clone()).unwrap_err();
            assert_eq!(path, format!("/parents/1{at}"), "{wrong}: {said}");
            assert!(said.contains(reason), "{wrong}: {said}");
        }
        schemas::validate("manifest.v1", &json!({})).unwrap_err();
    }

    #[test]
    fn nothing_is_named_twice() {
        let version = |number| {
            Parent::Version(ParentVersion { dataset: "a/b".into(), version: number, manifest_sha256: digest() })
        };
        let source = |url: &str, sha256| Parent::Source(Source { url: Some(url.into()), sha256, ..Source::default() });
        let snapshots = [source("https://a.org/", Some(digest())), source("https://a.org/", Some(Digest::of("y")))];
        check(&[version(1), version(2), source("https://a.org/", None)]).unwrap();
        check(&snapshots).unwrap();
        for twice in [
            [version(1), version(1)],
            [source("https://a.org/", None), source("https://a.org/", None)],
            [source("https://a.org/", Some(digest())), source("https://b.org/", Some(digest()))],
        ] {
            let error = check(&twice).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("/parents/1"));
            assert!(error.detail.contains("parent 0 again") && error.remedy.is_some(), "{error}");
        }
        let many: Vec<_> = (0..=1000).map(version).collect();
        assert_eq!(check(&many).unwrap_err().field.as_deref(), Some("/parents"));
        let nowhere = [version(1), Parent::Source(Source { title: Some("all".into()), ..Source::default() })];
        assert_eq!(check(&nowhere).unwrap_err().field.as_deref(), Some("/parents/1/url"));
    }
}
