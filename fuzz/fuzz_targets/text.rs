//! Small texts: identifiers, digests, keys, times, currencies, amounts, names, paths, and patterns of paths.
//!
//! What is read has one spelling, or what it is written as reads as the same. A path that passes stays below the folder that
//! it is joined to. A pattern fits what its definition says, read letter by letter.
#![no_main]

use std::path::{Component, Path};

use corpex::catalog::{check_path, glob};
use corpex::cli::DatasetRef;
use corpex::signing::Bytes;
use corpex::store::StorageKey;
use corpex::types::{Currency, Digest, Instant, Money, OrganisationId, PageQuery, kind};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    Text(&'a str),
    Amount(i64, Vec<i64>, [u8; 3]),
    Times(i64, i64),
    Pattern(&'a str, &'a str),
}

fuzz_target!(|input: Input| {
    match input {
        Input::Text(text) => {
            one_spelling::<OrganisationId>(text);
            one_spelling::<Digest>(text);
            one_spelling::<StorageKey>(text);
            one_spelling::<Currency>(text);
            one_spelling::<Bytes>(text);
            if let Ok(dataset) = text.parse::<DatasetRef>() {
                assert_eq!(dataset.to_string().parse::<DatasetRef>().as_ref(), Ok(&dataset));
            }
            if let Ok(at) = text.parse::<Instant>() {
                assert_eq!(at.to_string().parse::<Instant>().expect("what is written reads"), at);
                assert_eq!(Instant::from_unix_micros(at.unix_micros()), at);
            }
            let query = PageQuery { cursor: Some(text.to_string()), limit: None };
            if let Ok(id) = query.after_id::<kind::Organisation>() {
                assert!(id == text && (text.is_empty() || text.parse::<OrganisationId>().is_ok()));
            }
            path(text);
            assert!(check_path(text).is_err() || glob::matches(&glob::escape(text), text));
        }
        Input::Amount(amount, weights, code) => {
            let Some(currency) = std::str::from_utf8(&code).ok().and_then(|code| code.parse().ok()) else { return };
            money(Money::new(amount, currency), &weights);
        }
        Input::Times(one, other) => {
            let (one, other) = (Instant::from_unix_micros(one), Instant::from_unix_micros(other));
            if (1..=9999).contains(&one.year()) && (1..=9999).contains(&other.year()) {
                assert_eq!(one.to_string().cmp(&other.to_string()), one.cmp(&other));
                assert_eq!(one.to_string().parse::<Instant>().expect("what is written reads"), one);
            }
        }
        Input::Pattern(pattern, path) => {
            if pattern.len() + path.len() < 40 {
                let (patterns, segments): (Vec<_>, Vec<_>) =
                    (pattern.trim_start_matches("./").split('/').collect(), path.split('/').collect());
                assert_eq!(glob::matches(pattern, path), fits(&patterns, &segments), "{pattern:?} {path:?}");
            }
        }
    }
});

fn one_spelling<T: std::str::FromStr + ToString>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fn path(text: &str) {
    if check_path(text).is_err() {
        return;
    }
    let path = Path::new(text);
    assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
    assert_eq!(path.components().count(), text.split('/').count());
    assert!(Path::new("folder").join(path).starts_with("folder"));
    assert!(!text.chars().any(char::is_control));
}

fn money(amount: Money, weights: &[i64]) {
    if let Ok(parts) = amount.split(weights) {
        let sum: i128 = parts.iter().map(|part| i128::from(part.amount_minor)).sum();
        assert_eq!(sum, i128::from(amount.amount_minor));
        assert!(parts.len() == weights.len() && parts.iter().all(|part| part.amount_minor >= 0));
    }
    if let [part, whole, ..] = *weights
        && let Ok(part) = amount.part(part, whole)
    {
        assert!((0..=amount.amount_minor.max(0)).contains(&part.amount_minor));
    }
    let digits: String = amount.decimal().chars().filter(|c| *c != '.').collect();
    assert_eq!(digits.parse::<i64>(), Ok(amount.amount_minor));
    if let Ok(sum) = amount.plus(amount) {
        assert_eq!(sum.minus(amount).expect("it was as much before"), amount);
    }
}

/// What the patterns of segments say, by their definition.
fn fits(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], path) => path.is_empty(),
        (["**"], path) => !path.is_empty(),
        (["**", after @ ..], path) => (0..=path.len()).any(|skipped| fits(after, &path[skipped..])),
        ([one, after @ ..], [segment, below @ ..]) => {
            let (one, segment): (Vec<char>, Vec<char>) = (one.chars().collect(), segment.chars().collect());
            fits_segment(&one, &segment) && fits(after, below)
        }
        _ => false,
    }
}

fn fits_segment(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], text) => text.is_empty(),
        (['*', after @ ..], text) => (0..=text.len()).any(|skipped| fits_segment(after, &text[skipped..])),
        (['?', after @ ..], [_, rest @ ..]) => fits_segment(after, rest),
        (['[', after @ ..], [c, rest @ ..]) => {
            let negated = usize::from(matches!(after, ['!' | '^', ..]));
            let end = (negated + 1..after.len()).find(|end| after[*end] == ']');
            let Some(end) = end else { return *c == '[' && fits_segment(after, rest) };
            holds(&after[negated..end], *c) != (negated == 1) && fits_segment(&after[end + 1..], rest)
        }
        ([one, after @ ..], [c, rest @ ..]) => one == c && fits_segment(after, rest),
        _ => false,
    }
}

fn holds(members: &[char], c: char) -> bool {
    match members {
        [] => false,
        [first, '-', last, rest @ ..] => (*first <= c && c <= *last) || holds(rest, c),
        [first, rest @ ..] => *first == c || holds(rest, c),
    }
}
