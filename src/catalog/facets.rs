//! Facets: the properties by which the shards of one version differ, so that a buyer can choose some of them: language,
//! domain, and licence. Beside them stands the count of tokens, by which shards may be priced.
//!
//! The provider states all of this in the manifest that it signs. `corpex publish` takes it from the dataset card:
//!
//! ```yaml
//! language: zh            # of every shard, as on the Hugging Face Hub
//! license: cc-by-4.0
//! domain: education
//! shards:                 # and of some shards, by their paths
//! - path: en/*.jsonl
//!   language: en
//! - path: zh/exams.jsonl
//!   licence: LicenseRef-Exams
//!   tokens: 1250000
//! ```

use serde::Deserialize;
use yaml_serde::Value;

use super::card::Card;
use super::datasets::{Domain, check_language};
use super::glob;
use super::manifest::{MAX_COUNT, ManifestShard};
use crate::error::{Error, Result};

/// The longest licence expression, in bytes.
const MAX_LICENCE_BYTES: usize = 500;

/// Checks what is said of one shard's facets and tokens.
///
/// # Errors
/// `Invalid`; the field is the shard's own.
pub(super) fn check(shard: &ManifestShard) -> Result<()> {
    if let Some(language) = &shard.language {
        check_language(language).map_err(|error| error.field("language"))?;
    }
    if let Some(licence) = &shard.licence {
        check_licence(licence)?;
    }
    match shard.tokens {
        Some(tokens) if !(0..=MAX_COUNT).contains(&tokens) => {
            Err(Error::invalid("tokens", format!("{tokens} is not between 0 and {MAX_COUNT}")))
        }
        _ => Ok(()),
    }
}

/// Checks an SPDX licence expression.
pub(super) fn check_licence(licence: &str) -> Result<()> {
    let refused = |why: &dyn std::fmt::Display| {
        Error::invalid("licence", format!("{licence:?} is not an SPDX licence expression: {why}"))
            .remedy("write one such as CC-BY-4.0 or MIT OR Apache-2.0; a licence of your own is LicenseRef-Name")
    };
    if licence.len() > MAX_LICENCE_BYTES {
        return Err(refused(&format_args!("it is longer than {MAX_LICENCE_BYTES} bytes")));
    }
    spdx::Expression::parse(licence).map(drop).map_err(|error| refused(&error.reason))
}

/// What a card says of the shards whose paths match a pattern.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    /// A pattern of paths ([`glob`]).
    path: String,
    language: Option<String>,
    domain: Option<Domain>,
    #[serde(alias = "license")]
    licence: Option<String>,
    /// Of the one shard that matches.
    tokens: Option<i64>,
}

/// What a card says of its shards.
#[derive(Debug, Clone)]
pub struct Facets {
    defaults: Rule,
    rules: Vec<Rule>,
}

impl Facets {
    /// Reads a card's front matter: `language`, `license` and `domain` hold for every shard where they name one, and each
    /// entry of `shards` for those whose paths it matches.
    ///
    /// # Errors
    /// `Invalid`, field `card`, saying where.
    pub fn of(card: &Card<'_>) -> Result<Self> {
        let front = |name: &str| card.front_matter.get(name);
        let defaults = Rule {
            path: "**".to_string(),
            language: front("language").and_then(only).map(str::to_string),
            domain: front("domain").and_then(only).and_then(|domain| domain.parse().ok()),
            // The Hub also knows names such as `other`, which say nothing that a licensee could rely on.
            licence: front("license").and_then(only).map(spdx_of).filter(|licence| check_licence(licence).is_ok()),
            tokens: None,
        };
        let rules = match front("shards") {
            None => Vec::new(),
            Some(Value::Sequence(items)) => items.iter().enumerate().map(rule).collect::<Result<_>>()?,
            Some(_) => return Err(refused("shards", &"this is not a list")),
        };
        Ok(Self { defaults, rules })
    }

    /// Says of each shard what the card says of it; where several entries match, the last one that says something.
    ///
    /// # Errors
    /// `Invalid`, field `card`: an entry that matches no shard, or counts the tokens of several.
    pub fn describe(&self, shards: &mut [ManifestShard]) -> Result<()> {
        for shard in shards.iter_mut() {
            self.defaults.describe(shard);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let matching = shards.iter_mut().filter(|shard| glob::matches(&rule.path, &shard.path));
            let count = matching.map(|shard| rule.describe(shard)).count();
            let here = format!("shards[{index}]");
            if count == 0 {
                return Err(refused(&here, &format_args!("no shard's path matches {:?}", rule.path)));
            }
            if count > 1 && rule.tokens.is_some() {
                let why = format!("tokens are counted shard by shard, and {count} match {:?}", rule.path);
                return Err(refused(&here, &why));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn describe(&self, shard: &mut ManifestShard) {
        let Self { path: _, language, domain, licence, tokens } = self;
        shard.language = language.clone().or(shard.language.take());
        shard.domain = domain.or(shard.domain);
        shard.licence = licence.clone().or(shard.licence.take());
        shard.tokens = tokens.or(shard.tokens);
    }
}

fn rule((index, item): (usize, &Value)) -> Result<Rule> {
    let here = format!("shards[{index}]");
    let mut rule: Rule = yaml_serde::from_value(item.clone()).map_err(|error| refused(&here, &error))?;
    rule.licence = rule.licence.as_deref().map(spdx_of);
    if let Some(licence) = &rule.licence {
        check_licence(licence).map_err(|error| refused(&here, &error.detail))?;
    }
    if let Some(language) = &rule.language {
        check_language(language).map_err(|error| refused(&here, &error.detail))?;
    }
    Ok(rule)
}

fn refused(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::invalid("card", format!("`{what}` in the front matter: {why}"))
        .remedy("write `path`, and what you know of language, domain, licence and tokens")
}

/// The text, or the one text of a list.
fn only(value: &Value) -> Option<&str> {
    match value {
        Value::Sequence(items) => match items.as_slice() {
            [one] => one.as_str(),
            _ => None,
        },
        one => one.as_str(),
    }
}

/// The SPDX identifier of a licence that the Hub writes in lower case; anything else as it is.
fn spdx_of(licence: &str) -> String {
    let known = spdx::identifiers::LICENSES.iter().find(|known| known.name.eq_ignore_ascii_case(licence));
    known.map_or(licence, |known| known.name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Digest;

    fn shard(path: &str) -> ManifestShard {
        ManifestShard::verified(path.into(), 3, Digest::of(path), "application/jsonl".into(), None)
    }

    fn described(front_matter: &str) -> Result<Vec<ManifestShard>> {
        let mut shards = vec![shard("en/a.jsonl"), shard("en/more/b.jsonl"), shard("zh.jsonl")];
        let text = format!("---\n{front_matter}---\n");
        Facets::of(&Card::parse(&text)?)?.describe(&mut shards)?;
        shards.iter().try_for_each(check)?;
        Ok(shards)
    }

    #[test]
    fn a_card_describes_every_shard_and_then_some() {
        let shards = described(
            "language: [zh]\nlicense: cc-by-4.0\ndomain: education\nshards:\n- path: en/**\n  language: en\n- path: en/*.jsonl\n  license: MIT OR Apache-2.0\n  tokens: 12\n",
        )
        .unwrap();
        let facets: Vec<_> = shards
            .iter()
            .map(|s| (s.language.as_deref().unwrap(), s.licence.as_deref().unwrap(), s.domain.unwrap(), s.tokens))
            .collect();
        assert_eq!(
            facets,
            [
                ("en", "MIT OR Apache-2.0", Domain::Education, Some(12)),
                ("en", "CC-BY-4.0", Domain::Education, None),
                ("zh", "CC-BY-4.0", Domain::Education, None),
            ]
        );
    }

    #[test]
    fn what_names_several_or_nothing_certain_is_no_default() {
        for front_matter in ["", "language: [zh, en]\nlicense: other\n", "license: [mit, unknown]\ndomain: poetry\n"] {
            assert_eq!(described(front_matter).unwrap()[2], shard("zh.jsonl"), "{front_matter:?}");
        }
    }

    #[test]
    fn each_entry_that_cannot_be_meant_is_refused_with_its_reason() {
        for (front_matter, reason) in [
            ("shards: zh.jsonl\n", "`shards` in the front matter: this is not a list"),
            ("shards:\n- path: fr/*\n  language: fr\n", "no shard's path matches \"fr/*\""),
            ("shards:\n- path: en/**\n  tokens: 5\n", "2 match \"en/**\""),
            ("shards:\n- path: '[en'\n", "`shards[0]` in the front matter: "),
            ("shards:\n- path: zh.jsonl\n- path: zh.jsonl\n  laguage: zh\n", "`shards[1]` in the front matter: "),
            ("shards:\n- path: zh.jsonl\n  language: zh_CN\n", "\"zh_CN\" is not a language tag"),
            ("shards:\n- path: zh.jsonl\n  licence: freely\n", "\"freely\" is not an SPDX licence expression"),
            ("shards:\n- path: zh.jsonl\n  domain: poetry\n", "poetry"),
        ] {
            let error = described(front_matter).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("card"), "{front_matter:?}");
            assert!(error.detail.contains(reason) && error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn a_facet_out_of_form_names_its_field() {
        let with = |change: fn(&mut ManifestShard)| {
            let mut shard = shard("a");
            change(&mut shard);
            check(&shard).unwrap_err().field.unwrap()
        };
        assert_eq!(with(|s| s.language = Some("z".into())), "language");
        assert_eq!(with(|s| s.licence = Some("cc-by-4.0".into())), "licence");
        assert_eq!(with(|s| s.licence = Some(String::new())), "licence");
        assert_eq!(with(|s| s.licence = Some("MIT OR ".repeat(100))), "licence");
        assert_eq!(with(|s| s.tokens = Some(-1)), "tokens");
        assert_eq!(with(|s| s.tokens = Some(MAX_COUNT + 1)), "tokens");
    }
}
