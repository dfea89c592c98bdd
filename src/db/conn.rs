//! One connection type over both databases.

#![allow(missing_docs, clippy::disallowed_methods)] // what the derive writes has no documentation, and calls what it wraps

use diesel::{PgConnection, SqliteConnection};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Conn {
    /// PostgreSQL, or a database that speaks its protocol.
    Pg(PgConnection),
    /// SQLite, compiled in.
    Sqlite(SqliteConnection),
}
