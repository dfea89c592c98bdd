//! The small values that every domain speaks in: identifiers, digests, money, instants, JSON columns, pages; and text.
//!
//! Each validates when it is made, prints one way, and is stored as text (instants as timestamps), so that
//! the same row reads the same on SQLite and on PostgreSQL.
//!
//! Invariant: a value of a type in this file is well formed; nothing downstream checks it again.

pub mod csv;
mod digest;
mod id;
mod instant;
mod json;
mod money;
mod page;
pub mod text;

pub use digest::{Digest, Hasher};
pub use id::*;
pub use instant::{Clock, DAY, Instant};
pub use json::Json;
pub use money::{BASIS_POINTS, Currency, Money};
pub use page::{Cursor, Page, PageQuery, merged};

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{self, Visitor};

use crate::error::Error;

/// Reads a value that is written as text. What is no such value is refused while the decoder stands at it, and so knows where.
pub(crate) fn from_text<'de, T: FromStr<Err = Error>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(Text(PhantomData))
}

struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = Error>> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error: Error| E::custom(error.field("")))
    }
}

/// How many bytes these are.
pub fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Stores a type in a `TEXT` column through its `Display` and `FromStr`.
#[macro_export]
macro_rules! text_column {
    ($name:ident $(< $t:ident $(: $bound:path)? >)?) => {
        impl$(<$t $(: $bound)?>)? diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name$(<$t>)? {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                use std::io::Write as _;
                write!(out, "{self}")?;
                Ok(diesel::serialize::IsNull::No)
            }
        }
        impl$(<$t $(: $bound)?>)? diesel::serialize::ToSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for $name$(<$t>)? {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::sqlite::Sqlite>) -> diesel::serialize::Result {
                out.set_value(self.to_string());
                Ok(diesel::serialize::IsNull::No)
            }
        }
        impl$(<$t $(: $bound)?>)? diesel::serialize::ToSql<diesel::sql_types::Text, $crate::db::MultiBackend> for $name$(<$t>)? {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, $crate::db::MultiBackend>) -> diesel::serialize::Result {
                out.set_value((diesel::sql_types::Text, self));
                Ok(diesel::serialize::IsNull::No)
            }
        }
        impl<$($t $(: $bound)?,)? DB> diesel::deserialize::FromSql<diesel::sql_types::Text, DB> for $name$(<$t>)?
        where
            DB: diesel::backend::Backend,
            String: diesel::deserialize::FromSql<diesel::sql_types::Text, DB>,
        {
            fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
                let text = <String as diesel::deserialize::FromSql<diesel::sql_types::Text, DB>>::from_sql(bytes)?;
                Ok(text.parse()?)
            }
        }
    };
}

/// Declares an enumeration whose variants have one spelling, used in JSON, in the database and in
/// the API description alike.
// The spelling is taken as a bare token: a `literal` would reach the description's derive wrapped, and be overlooked there.
#[macro_export]
macro_rules! text_enum {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:tt),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
                 utoipa::ToSchema, diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        $vis enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// The one spelling of this value.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text),+ } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str { self.as_str() }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::error::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok($name::$variant),)+
                    other => Err($crate::error::Error::invalid("", format!(
                        "{other:?} is not one of {}", [$($text),+].join(", ")))),
                }
            }
        }
        $crate::text_column!($name);
    };
}
