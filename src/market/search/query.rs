//! Search queries: read from the words and filters of a request, checked, and translated for the index.
//!
//! Nothing in a search is syntax. Every word must be found, wherever it stands; where it stands decides how relevant that
//! is. Weights are whole numbers that depend on the listing alone, for the sake of its [place](super::place).

use std::ops::Bound;

use serde::Deserialize;
use tantivy::Term;
use tantivy::query::{AllQuery, BooleanQuery, EmptyQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use utoipa::IntoParams;

use super::facets::Facet;
use super::index::{Fields, Flag};
use super::place::{Mark, Place, Sort};
use super::words::{self, Sought};
use crate::error::{Error, Result};
use crate::types::Currency;

/// The longest search, in characters.
const MOST_CHARS: usize = 200;
/// The most words of a search.
const MOST_WORDS: usize = 32;
const DEFAULT_LIMIT: i64 = 20;
/// The most listings of one page.
const MOST_LISTINGS: i64 = 100;
/// The weight of a word that is found anywhere, and what is added for one in a more telling place.
const ANYWHERE: u64 = 1;
const IN_NAMES: u16 = 2;
const IN_TAGS: u16 = 4;
const IN_TITLE: u16 = 8;

/// What is searched for on the board. Without any word or filter, everything is found.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// Words in Chinese or English that must all be found in the title, the card, the tags or the names of the dataset, its
    /// provider and its columns; at most 200 characters.
    pub q: Option<String>,
    /// The handle of the organisation that offers it.
    pub organisation: Option<String>,
    /// The kind of data. Here and in every other facet, several values are parted by commas, and one of them must fit.
    pub modality: Option<String>,
    /// A BCP 47 tag; `zh` finds `zh-Hans`, too.
    pub language: Option<String>,
    /// What the data is about.
    pub domain: Option<String>,
    /// A use that the terms permit.
    pub r#use: Option<String>,
    /// A band of prices.
    pub price: Option<String>,
    /// The highest price, in minor units.
    #[param(minimum = 0)]
    pub max_price: Option<u64>,
    /// The currency of `max_price`; CNY when absent.
    #[param(value_type = Option<String>)]
    pub currency: Option<Currency>,
    /// A band of sizes.
    pub size: Option<String>,
    /// How the shards are written: `jsonl`, `parquet`, …
    pub format: Option<String>,
    /// The handle of the organisation that offers it.
    pub provider: Option<String>,
    /// An item of the checklist that was found not to apply.
    pub assessment: Option<String>,
    /// In which order; by relevance when absent.
    #[param(inline)]
    pub sort: Option<Sort>,
    /// The `next` of the page before; absent for the first page.
    pub cursor: Option<String>,
    /// The most items wanted, 1 to 100; 20 when absent.
    #[param(minimum = 1)]
    pub limit: Option<i64>,
}

/// A checked search.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// None when no words were given; empty when there is no word in what was given.
    words: Option<Vec<Sought>>,
    /// Of each, one term must fit.
    filters: Vec<(Facet, Vec<String>)>,
    max_price: Option<(u64, Currency)>,
    pub(super) sort: Sort,
    pub(super) after: Option<Place>,
    pub(super) limit: usize,
}

impl SearchQuery {
    /// True if something is searched for, and not only listed.
    pub(super) fn is_search(&self) -> bool {
        let narrowed = self.facets().iter().any(|(_, chosen)| chosen.is_some());
        narrowed || self.q.is_some() || self.sort.is_some() || self.max_price.is_some() || self.currency.is_some()
    }

    /// Checks it.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter.
    pub(super) fn check(&self) -> Result<Search> {
        let sort = self.sort.unwrap_or(Sort::Relevance);
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MOST_LISTINGS).contains(&limit) {
            return Err(Error::invalid("limit", format!("{limit} is not between 1 and {MOST_LISTINGS}")));
        }
        if self.currency.is_some() && self.max_price.is_none() {
            return Err(Error::invalid("currency", "a currency alone bounds no price")
                .remedy("give `max_price` with it, in minor units"));
        }
        let mut filters = Vec::new();
        let offered_by = (Facet::Provider, self.organisation.as_deref());
        for (facet, chosen) in self.facets().into_iter().chain([offered_by]) {
            let values = chosen.map(|text| facet.chosen(text)).transpose()?.unwrap_or_default();
            if !values.is_empty() {
                filters.push((facet, values));
            }
        }
        Ok(Search {
            words: self.q.as_deref().map(str::trim).filter(|q| !q.is_empty()).map(check_words).transpose()?,
            filters,
            max_price: self.max_price.map(|price| (price, self.currency.unwrap_or(Currency::CNY))),
            sort,
            after: self.cursor.as_deref().map(|cursor| Mark::read(cursor, sort)).transpose()?,
            limit: usize::try_from(limit).unwrap_or_default(),
        })
    }

    fn facets(&self) -> [(Facet, Option<&str>); 9] {
        [
            (Facet::Modality, self.modality.as_deref()),
            (Facet::Language, self.language.as_deref()),
            (Facet::Domain, self.domain.as_deref()),
            (Facet::Use, self.r#use.as_deref()),
            (Facet::Price, self.price.as_deref()),
            (Facet::Size, self.size.as_deref()),
            (Facet::Format, self.format.as_deref()),
            (Facet::Provider, self.provider.as_deref()),
            (Facet::Assessment, self.assessment.as_deref()),
        ]
    }
}

fn check_words(q: &str) -> Result<Vec<Sought>> {
    if q.contains('\0') || q.chars().count() > MOST_CHARS {
        let detail = format!("a search is at most {MOST_CHARS} characters, without NUL");
        return Err(Error::invalid("q", detail).remedy("search for fewer words"));
    }
    let words = words::sought(q);
    if words.len() > MOST_WORDS {
        let detail = format!("these are {} words, and {MOST_WORDS} at most", words.len());
        return Err(Error::invalid("q", detail).remedy("search for fewer words"));
    }
    Ok(words)
}

impl Search {
    /// The words that are searched for, with the shorter ones inside them.
    pub(super) fn all_words(&self) -> Vec<&str> {
        let words = self.words.iter().flatten();
        words.flat_map(|word| std::iter::once(&word.whole).chain(&word.parts)).map(String::as_str).collect()
    }

    /// The least relevance of a listing that has all words.
    pub(super) fn relevance(&self) -> u64 {
        self.words.iter().flatten().map(|_| ANYWHERE).sum()
    }

    /// The terms that make a listing more relevant than that, with what each adds.
    pub(super) fn bonuses(&self, fields: &Fields) -> Vec<(Term, u16)> {
        let places = [(fields.title, IN_TITLE), (fields.tags, IN_TAGS), (fields.names, IN_NAMES)];
        let of_word = |word: &Sought| places.map(|(field, weight)| (Term::from_field_text(field, &word.whole), weight));
        self.words.iter().flatten().flat_map(of_word).collect()
    }

    /// The queries of the index that find the listings, whatever their relevance: each must find a listing.
    pub(super) fn queries(&self, fields: &Fields) -> Vec<Box<dyn Query>> {
        if self.words.as_ref().is_some_and(Vec::is_empty) {
            return vec![Box::new(EmptyQuery)];
        }
        let mut parts: Vec<Box<dyn Query>> = Vec::new();
        for word in self.words.iter().flatten() {
            parts.push(anywhere(fields.words, word));
        }
        for (facet, values) in &self.filters {
            parts.push(any(values.iter().map(|value| term(fields.facets, &facet.term(value))).collect()));
        }
        if let Some((price, currency)) = self.max_price {
            let upper = Bound::Included(Term::from_field_u64(fields.price, price));
            parts.push(Box::new(RangeQuery::new(Bound::Unbounded, upper)));
            let flags = [Flag::Currency(currency), Flag::Free];
            parts.push(any(flags.iter().map(|flag| term(fields.flags, &flag.term())).collect()));
        }
        if parts.is_empty() {
            parts.push(Box::new(AllQuery));
        }
        parts
    }
}

fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic))
}

/// One of these must fit.
fn any(queries: Vec<Box<dyn Query>>) -> Box<dyn Query> {
    Box::new(BooleanQuery::union(queries))
}

/// The word, or all the shorter ones inside it.
fn anywhere(field: Field, word: &Sought) -> Box<dyn Query> {
    if word.parts.is_empty() {
        return term(field, &word.whole);
    }
    let parts = BooleanQuery::intersection(word.parts.iter().map(|part| term(field, part)).collect());
    any(vec![term(field, &word.whole), Box::new(parts)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: SearchQuery) -> String {
        query.check().unwrap_err().field.unwrap()
    }

    #[test]
    fn a_search_out_of_bounds_names_its_parameter() {
        let words = |q: &str| SearchQuery { q: Some(q.to_string()), ..SearchQuery::default() };
        for bad in [
            "a\0b",
            &"x".repeat(10 * 1024),
            &"语".repeat(MOST_CHARS + 1),
            &(0..33).map(|n| format!("{n} ")).collect::<String>(),
        ] {
            assert_eq!(refused(words(bad)), "q");
        }
        assert_eq!(refused(SearchQuery { limit: Some(101), ..SearchQuery::default() }), "limit");
        assert_eq!(refused(SearchQuery { cursor: Some("later".into()), ..SearchQuery::default() }), "cursor");
        assert_eq!(refused(SearchQuery { r#use: Some("\u{7}".into()), ..SearchQuery::default() }), "use");
        let currency = SearchQuery { currency: Some(Currency::CNY), ..SearchQuery::default() };
        assert!(currency.is_search());
        assert_eq!(refused(currency), "currency");
    }

    #[test]
    fn what_has_no_word_in_it_finds_nothing_and_nothing_at_all_finds_everything() {
        let words = |q: &str| SearchQuery { q: Some(q.to_string()), ..SearchQuery::default() }.check().unwrap().words;
        assert_eq!(words(" *:* "), Some(vec![]));
        assert_eq!(words(" "), None);
    }
}
