//! Selections: the shards of a version that a buyer wants, by their facets.
//!
//! A sealed version never changes, so a selection means the same shards for ever; a [`Part`] says which by number and
//! digest, so that both sides sign the same, and anybody who holds the manifest can recompute it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::datasets::{Domain, check_language};
use super::{ManifestShard, Measure, all_shards, facets};
use crate::db::{self, Conn};
use crate::error::{Error, Result};
use crate::provenance::passport::part::{Facets, paths_sha256};
use crate::types::{Digest, VersionId};

/// The most values of one facet in a selection.
const MAX_VALUES: usize = 100;
/// The most facets that a refusal names.
const FEW: usize = 10;

/// Which shards of a version are wanted: those that match every list that is not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Shards in one of these languages: BCP 47 ranges, so that `zh` matches `zh-Hant` too (RFC 4647, basic filtering).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Shards about one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<Domain>,
    /// Shards under one of these licences: SPDX expressions, each as the manifest writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub licences: Vec<String>,
}

/// What a selection comes to: the part of a version that is licensed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What was selected.
    pub selection: Selection,
    /// How many shards that is.
    pub shards: i64,
    /// The SHA-256 of their paths, sorted by their bytes, each followed by a line feed.
    pub paths_sha256: Digest,
}

impl Selection {
    /// Checks that something is selected, in proper form.
    ///
    /// # Errors
    /// `Invalid`; the field is `selection`, or a list in it.
    pub fn check(&self) -> Result<()> {
        if *self == Self::default() {
            return Err(Error::invalid("selection", "the selection names no language, domain or licence")
                .remedy("name one, or leave the selection out for the whole version"));
        }
        for (name, length) in
            [("languages", self.languages.len()), ("domains", self.domains.len()), ("licences", self.licences.len())]
        {
            if length > MAX_VALUES {
                let detail = format!("{length} {name} are more than {MAX_VALUES}");
                return Err(Error::invalid(format!("selection.{name}"), detail));
            }
        }
        for (index, language) in self.languages.iter().enumerate() {
            check_language(language).map_err(|error| error.field(format!("selection.languages[{index}]")))?;
        }
        for (index, licence) in self.licences.iter().enumerate() {
            facets::check_licence(licence).map_err(|error| error.field(format!("selection.licences[{index}]")))?;
        }
        Ok(())
    }

    /// Whether a shard is wanted.
    pub fn includes(&self, shard: &ManifestShard) -> bool {
        let facets = Facets {
            language: shard.language.as_deref(),
            domain: shard.domain.map(Domain::as_str),
            licence: shard.licence.as_deref(),
        };
        facets.selected_by(&self.languages, &self.domains, &self.licences)
    }

    /// The wanted ones of a version's shards, sorted by path: how much they hold, and the part that they are.
    ///
    /// # Errors
    /// `Invalid`, field `selection`, when no shard is wanted; `TooLarge`.
    pub fn choose(&self, shards: &[ManifestShard]) -> Result<(Measure, Part)> {
        let chosen = || shards.iter().filter(|shard| self.includes(shard));
        let measure = Measure::of(chosen())?;
        if measure.shards == 0 {
            return Err(Error::invalid("selection", format!("no shard matches the selection ({self})"))
                .remedy(format!("choose from what there is: {}", offered(shards))));
        }
        let paths_sha256 = paths_sha256(chosen().map(|shard| shard.path.as_str()));
        Ok((measure, Part { selection: self.clone(), shards: measure.shards, paths_sha256 }))
    }
}

/// What was chosen of a sealed version: how much it holds, and the digest of its paths.
#[derive(Debug, Clone, Copy)]
struct Chosen(Measure, Digest);

/// The shards of a sealed version that a selection wants: how much they hold, and the part that they are. They are the same
/// for ever, and remembered: there may be a hundred thousand to choose from.
///
/// # Errors
/// Those of [`Selection::check`] and [`Selection::choose`].
pub fn choose(c: &mut Conn, version: VersionId, selection: &Selection) -> Result<(Measure, Part)> {
    selection.check()?;
    let key = format!("{version} {}", Digest::of(serde_json::to_vec(selection)?));
    let choose = |c: &mut Conn| {
        let shards: Vec<_> = all_shards(c, version)?.iter().map(ManifestShard::from).collect();
        let (measure, part) = selection.choose(&shards)?;
        Ok::<_, Error>(Some(Chosen(measure, part.paths_sha256)))
    };
    let chosen = db::fact(c, key, choose)?;
    let Chosen(measure, paths_sha256) = chosen.ok_or_else(|| Error::internal("a selection chooses something"))?;
    Ok((measure, Part { selection: selection.clone(), shards: measure.shards, paths_sha256 }))
}

/// Some of the facets that these shards have, to be named where a selection matches none.
fn offered(shards: &[ManifestShard]) -> String {
    let list = |name: &str, values: BTreeSet<String>| match values.len() {
        0 => format!("no {name}"),
        _ => format!("{name} {}", values.into_iter().take(FEW).collect::<Vec<_>>().join(", ")),
    };
    [
        list("languages", shards.iter().filter_map(|shard| shard.language.clone()).collect()),
        list("domains", shards.iter().filter_map(|shard| shard.domain).map(|domain| domain.to_string()).collect()),
        list("licences", shards.iter().filter_map(|shard| shard.licence.clone()).collect()),
    ]
    .join("; ")
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains: Vec<String> = self.domains.iter().map(ToString::to_string).collect();
        let lists = [("languages", &self.languages), ("domains", &domains), ("licences", &self.licences)];
        let named = lists.iter().filter(|(_, values)| !values.is_empty());
        let named: Vec<String> = named.map(|(name, values)| format!("{name} {}", values.join(", "))).collect();
        f.pad(&named.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(path: &str, language: &str, domain: Domain) -> ManifestShard {
        let bare = ManifestShard::verified(path.into(), 3, Digest::of(path), "application/jsonl".into(), Some(2));
        ManifestShard { language: Some(language.into()), domain: Some(domain), licence: Some("MIT".into()), ..bare }
    }

    fn shards() -> Vec<ManifestShard> {
        let bare = ManifestShard::verified("d".into(), 3, Digest::of("d"), "application/jsonl".into(), Some(2));
        vec![
            shard("a", "zh-Hant", Domain::Education),
            shard("b", "zhx", Domain::Education),
            shard("c", "EN", Domain::Culture),
            bare,
        ]
    }

    fn paths(selection: &Selection) -> Vec<String> {
        shards().into_iter().filter(|shard| selection.includes(shard)).map(|shard| shard.path).collect()
    }

    #[test]
    fn a_shard_matches_when_it_matches_every_list() {
        let languages = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_string()).collect::<Vec<_>>();
        for (selection, wanted) in [
            (Selection { languages: languages(&["zh"]), ..Selection::default() }, vec!["a"]),
            (Selection { languages: languages(&["zh-hant-TW"]), ..Selection::default() }, vec![]),
            (Selection { languages: languages(&["ZHX", "en"]), ..Selection::default() }, vec!["b", "c"]),
            (Selection { domains: vec![Domain::Education], ..Selection::default() }, vec!["a", "b"]),
            (
                Selection { domains: vec![Domain::Education], languages: languages(&["zh", "en"]), licences: vec![] },
                vec!["a"],
            ),
            (Selection { licences: vec!["MIT".into()], ..Selection::default() }, vec!["a", "b", "c"]),
            (Selection { licences: vec!["mit".into()], ..Selection::default() }, vec![]),
        ] {
            assert_eq!(paths(&selection), wanted, "{selection}");
        }
    }

    #[test]
    fn a_part_is_known_by_the_paths_of_its_shards() {
        let selection = Selection { domains: vec![Domain::Education], ..Selection::default() };
        let (measure, part) = selection.choose(&shards()).unwrap();
        assert_eq!((measure.shards, measure.bytes, measure.records, measure.tokens), (2, 6, Some(4), None));
        assert_eq!((part.shards, part.paths_sha256), (2, Digest::of("a\nb\n")));
    }

    #[test]
    fn a_selection_of_nothing_is_refused_with_what_there_is() {
        let none = Selection { domains: vec![Domain::Law], ..Selection::default() };
        let error = none.choose(&shards()).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("selection"));
        assert!(error.remedy.unwrap().contains("languages EN, zh-Hant, zhx; domains culture, education"));
        let with = |change: fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection.check().unwrap_err().field.unwrap()
        };
        assert_eq!(with(|_| {}), "selection");
        assert_eq!(with(|s| s.languages = vec!["zh".into(), "zh_CN".into()]), "selection.languages[1]");
        assert_eq!(with(|s| s.licences = vec!["freely".into()]), "selection.licences[0]");
        assert_eq!(with(|s| s.domains = vec![Domain::Law; 101]), "selection.domains");
    }
}
