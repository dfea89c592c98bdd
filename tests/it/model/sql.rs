//! What the database is asked for itself, by SQL.

use std::fmt::Display;
use std::str::FromStr;

use corpex::db::Conn;
use corpex::error::{Error, Result};
use diesel::prelude::*;
use diesel::sql_types::Text;

#[derive(Debug, QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    id: String,
}

/// The identifiers that a query finds, in its order.
pub fn ids<T: FromStr<Err = Error>>(c: &mut Conn, sql: &str) -> Result<Vec<T>> {
    let found: Vec<Named> = diesel::sql_query(sql).load(c)?;
    found.into_iter().map(|named| named.id.parse()).collect()
}

/// Names as a query lists them; the first of them is nobody's.
pub fn listed(names: impl IntoIterator<Item = impl Display>) -> String {
    let names = names.into_iter().map(|name| format!(", '{name}'"));
    std::iter::once("''".to_string()).chain(names).collect()
}
