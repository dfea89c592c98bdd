//! Facets: the properties by which a search can be narrowed down, and results counted.
//!
//! A listing has any number of values in each. They are written `facet=value`, and indexed so: one field serves all facets,
//! to filter by as well as to count.

use crate::assessment::{Answer, Finding};
use crate::catalog::{Domain, Modality};
use crate::error::{Error, Result};
use crate::terms::Use;
use crate::text_enum;
use crate::types::Money;

/// The most values of one facet that a filter may name, and that an answer counts.
pub(super) const MOST_VALUES: usize = 50;
const LONGEST_VALUE: usize = 200;

text_enum! {
    /// A property by which the board can be filtered.
    pub enum Facet {
        /// The kind of data.
        Modality = "modality",
        /// A BCP 47 tag, or the language alone.
        Language = "language",
        /// What the data is about.
        Domain = "domain",
        /// A use that the terms permit.
        Use = "use",
        /// What it costs, roughly.
        Price = "price",
        /// How large it is, roughly.
        Size = "size",
        /// How the shards are written.
        Format = "format",
        /// The handle of the organisation that offers it.
        Provider = "provider",
        /// An item of the checklist that its assessment found not to apply: `personal_information` holds none.
        Assessment = "assessment",
    }
}

impl Facet {
    /// How a value of this facet is indexed.
    pub(super) fn term(self, value: &str) -> String {
        [self.as_str(), "=", value].concat()
    }

    /// The facet and the value of a term.
    pub(super) fn read(term: &str) -> Option<(Self, &str)> {
        let (facet, value) = term.split_once('=')?;
        Some((facet.parse().ok()?, value))
    }

    /// The values that a filter names, separated by commas, as they are indexed: a listing fits that has any of them.
    pub(super) fn chosen(self, text: &str) -> Result<Vec<String>> {
        let refused = |why: String| Err(Error::invalid(self.as_str(), why).remedy("name values that `facets` counts"));
        let values: Vec<&str> = text.split(',').map(str::trim).filter(|value| !value.is_empty()).collect();
        if values.len() > MOST_VALUES {
            return refused(format!("these are {} values, and {MOST_VALUES} at most", values.len()));
        }
        if let Some(odd) = values.iter().find(|v| v.len() > LONGEST_VALUE || v.chars().any(char::is_control)) {
            return refused(format!("{:?} is not a value", odd.chars().take(20).collect::<String>()));
        }
        for value in &values {
            let known = match self {
                Self::Modality => value.parse::<Modality>().map(drop),
                Self::Domain => value.parse::<Domain>().map(drop),
                Self::Use => value.parse::<Use>().map(drop),
                _ => Ok(()),
            };
            known.map_err(|error| error.field(self.as_str()))?;
        }
        Ok(values
            .into_iter()
            .map(|value| if self == Self::Language { tag(value) } else { value.to_string() })
            .collect())
    }
}

/// A language tag in the usual case (RFC 5646, section 2.1.1): `zh-Hans-CN`.
fn tag(text: &str) -> String {
    let usual = |(index, subtag): (usize, &str)| match (index, subtag.len()) {
        (1.., 2) => subtag.to_ascii_uppercase(),
        (1.., 4) => {
            let (first, rest) = subtag.split_at_checked(1).unwrap_or((subtag, ""));
            first.to_ascii_uppercase() + &rest.to_ascii_lowercase()
        }
        _ => subtag.to_ascii_lowercase(),
    };
    text.split('-').enumerate().map(usual).collect::<Vec<_>>().join("-")
}

/// A language by its tag, and by its first subtag alone: whoever looks for Chinese finds simplified Chinese.
pub(super) fn languages(tags: &[String]) -> Vec<String> {
    let both = |tag: String| [tag.split('-').next().map(str::to_string), Some(tag)];
    let mut found: Vec<String> = tags.iter().map(|text| tag(text)).flat_map(both).flatten().collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The band of a price, in whole units of its currency.
pub(super) fn price_band(price: Money) -> &'static str {
    match price.whole_units() {
        _ if price.amount_minor == 0 => "free",
        ..1_000 => "under_1000",
        1_000..10_000 => "1000_to_10000",
        10_000..100_000 => "10000_to_100000",
        100_000..1_000_000 => "100000_to_1000000",
        _ => "from_1000000",
    }
}

/// The band of a size.
pub(super) fn size_band(bytes: u64) -> &'static str {
    const GIB: u64 = 1 << 30;
    match bytes / GIB {
        0 => "under_1_gib",
        1..10 => "1_to_10_gib",
        10..100 => "10_to_100_gib",
        100..1024 => "100_gib_to_1_tib",
        _ => "from_1_tib",
    }
}

/// The short name of a media type.
pub(super) fn format(media_type: &str) -> String {
    let name = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = match name.as_str() {
        "application/jsonl" | "application/x-ndjson" | "application/jsonl+zstd" | "application/jsonl+gzip" => "jsonl",
        "application/vnd.apache.parquet" | "application/x-parquet" => "parquet",
        "text/csv" => "csv",
        "application/json" => "json",
        "application/x-tar" => "tar",
        "text/plain" => "text",
        "application/octet-stream" => "other",
        other => other,
    };
    known.to_string()
}

/// The items that an assessment found not to apply.
pub(super) fn not_applicable(checklist: &[Answer]) -> Vec<String> {
    checklist
        .iter()
        .filter(|answer| answer.finding == Finding::NotApplicable)
        .map(|answer| answer.key.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;

    #[test]
    fn a_term_holds_its_facet_and_its_value() {
        for facet in Facet::ALL.iter().copied() {
            assert_eq!(Facet::read(&facet.term("a=b")), Some((facet, "a=b")));
        }
        assert_eq!(Facet::read("colour=red"), None);
    }

    #[test]
    fn a_language_is_found_by_its_tag_and_by_its_name_alone() {
        assert_eq!(languages(&["zh-hans".into(), "EN-gb".into(), "zh".into()]), ["en", "en-GB", "zh", "zh-Hans"]);
        assert_eq!(Facet::Language.chosen("ZH-HANS, en").unwrap(), ["zh-Hans", "en"]);
    }

    #[test]
    fn bands_begin_where_they_say() {
        let band = |minor| price_band(Money::new(minor, Currency::CNY));
        assert_eq!(
            [0, 1, 99_999, 100_000, 100_000_000].map(band),
            ["free", "under_1000", "under_1000", "1000_to_10000", "from_1000000"]
        );
        let band_of_yen = |yen| price_band(Money::new(yen, "JPY".parse().unwrap()));
        assert_eq!([1, 999, 1000].map(band_of_yen), ["under_1000", "under_1000", "1000_to_10000"]);
        assert_eq!(
            [0, (1 << 30) - 1, 1 << 30, 1 << 40].map(size_band),
            ["under_1_gib", "under_1_gib", "1_to_10_gib", "from_1_tib"]
        );
    }

    #[test]
    fn a_filter_that_is_no_value_names_its_facet() {
        for bad in ["a\0", &"x".repeat(LONGEST_VALUE + 1), &"a,".repeat(MOST_VALUES + 1)] {
            assert_eq!(Facet::Format.chosen(bad).unwrap_err().field.as_deref(), Some("format"));
        }
    }
}
