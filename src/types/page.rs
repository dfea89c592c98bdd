//! Cursor pages: every list is bounded, and a page neither repeats nor misses what stood when it began.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::{Error, Result};
use crate::types::{Id, Noun};

/// The most rows one page may hold.
const MAX_LIMIT: i64 = 1000;
const DEFAULT_LIMIT: i64 = 100;

/// Where the next page begins: the sort key of the last row of this one, opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cursor(pub String);

/// The query parameters of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the page before; absent for the first page.
    pub cursor: Option<String>,
    /// The most items wanted, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
}

impl PageQuery {
    /// The wanted page size, checked.
    pub fn limit(&self) -> Result<i64> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            other => Err(Error::invalid("limit", format!("{other} is not between 1 and {MAX_LIMIT}"))),
        }
    }
    /// The cursor's key; empty text sorts before every key.
    pub fn after(&self) -> Result<&str> {
        match self.cursor.as_deref().unwrap_or("") {
            key if key.contains('\0') => Err(Self::not_a_cursor()),
            key => Ok(key),
        }
    }
    /// As [`PageQuery::after`], for a list whose sort key is an identifier of a `T`, checked.
    pub fn after_id<T: Noun>(&self) -> Result<&str> {
        match self.after()? {
            "" => Ok(""),
            key if key.parse::<Id<T>>().is_ok() => Ok(key),
            _ => Err(Self::not_a_cursor()),
        }
    }
    /// As [`PageQuery::after`], for a list whose sort key is a number; nothing for the first page.
    pub fn after_number<N: FromStr>(&self) -> Result<Option<N>> {
        match self.after()? {
            "" => Ok(None),
            key => key.parse().map(Some).map_err(|_| Self::not_a_cursor()),
        }
    }
    /// The refusal of a cursor that this list did not give.
    pub(crate) fn not_a_cursor() -> Error {
        Error::invalid("cursor", "this is not a cursor of this list").remedy("send the `next` of a page")
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// The `cursor` that asks for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Makes a page from up to `limit + 1` rows: the extra row only tells that there is a next page.
    pub fn new(mut rows: Vec<T>, limit: i64, key: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(|row| Cursor(key(row))) } else { None };
        Self { items: rows, next }
    }
    /// The same page with each item turned into something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// The first `limit` of these rows by their keys, each key once: of several lists, each up to `limit` long, the page of them all.
pub fn merged<T, K: Ord>(mut rows: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Vec<T> {
    rows.sort_unstable_by_key(&key);
    rows.dedup_by_key(|row| key(row));
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extra_row_becomes_the_cursor_of_the_next_page() {
        let page = Page::new(vec!["a", "b", "c"], 2, |row| (*row).to_string());
        assert_eq!(page.items, ["a", "b"]);
        assert_eq!(page.next, Some(Cursor("b".into())));
        assert_eq!(Page::new(vec!["a"], 2, |row| (*row).to_string()).next, None);
    }

    #[test]
    fn a_page_of_several_lists_has_the_first_of_them_all_and_each_once() {
        assert_eq!(merged(vec![1, 4, 2, 4, 3], 4, |row| *row), [1, 2, 3, 4]);
        assert_eq!(merged(vec![1, 4, 2, 4, 3], 2, |row| *row), [1, 2]);
    }

    #[test]
    fn a_page_size_out_of_bounds_names_the_field() {
        let error = PageQuery { cursor: None, limit: Some(0) }.limit().unwrap_err();
        assert_eq!(error.field.as_deref(), Some("limit"));
    }
}
