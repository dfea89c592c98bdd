//! SQL assembled from parts: a trace's queries vary more than a query builder's types allow.
//!
//! Only constants of this program become text of a query. Whatever comes from outside is bound.

use std::fmt::Display;

use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::query_dsl::methods::LoadQuery;
use diesel::sql_types::{BigInt, Text};

use crate::db::{Conn, MultiBackend};

/// A query in the making.
///
/// Invariant: parameters are named in the order in which they are bound. PostgreSQL reads `$2` as the second one, and
/// SQLite as a name whose number is the order of its first appearance.
#[derive(Debug, Default)]
pub(super) struct Sql {
    text: String,
    binds: Vec<Bind>,
}

#[derive(Debug)]
enum Bind {
    Text(String),
    Number(i64),
}

impl Sql {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), binds: Vec::new() }
    }
    /// Appends text, which may name parameters that are bound already.
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }
    /// Appends text in which `?` stands for a value, wherever it appears.
    pub(super) fn push_with(&mut self, text: &str, value: impl Display) -> &mut Self {
        self.bind(text, Bind::Text(value.to_string()))
    }
    /// The same for a number.
    pub(super) fn push_number(&mut self, text: &str, number: i64) -> &mut Self {
        self.bind(text, Bind::Number(number))
    }
    /// Appends a list of values in parentheses.
    pub(super) fn push_list<T: Display>(&mut self, values: &[T]) -> &mut Self {
        for (index, value) in values.iter().enumerate() {
            self.push_with(if index == 0 { "(?" } else { ", ?" }, value);
        }
        self.push(if values.is_empty() { "(NULL)" } else { ")" })
    }

    fn bind(&mut self, text: &str, value: Bind) -> &mut Self {
        self.binds.push(value);
        let name = format!("${}", self.binds.len());
        self.text.push_str(&text.replace('?', &name));
        self
    }

    /// Runs the query.
    pub(super) fn load<T>(self, c: &mut Conn) -> QueryResult<Vec<T>>
    where
        BoxedSqlQuery<'static, MultiBackend, SqlQuery>: for<'query> LoadQuery<'query, Conn, T>,
    {
        let mut query = diesel::sql_query(self.text).into_boxed();
        for bind in self.binds {
            query = match bind {
                Bind::Text(text) => query.bind::<Text, _>(text),
                Bind::Number(number) => query.bind::<BigInt, _>(number),
            };
        }
        query.load(c)
    }
}
