//! The keys under which objects lie in the store, and by which the database knows them.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;

use super::is_hex;
use crate::error::{Error, Result};
use crate::text_column;
use crate::types::{Digest, Instant};

/// The key of one object: `objects/<2 hexadecimal digits>/<32 hexadecimal digits>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct StorageKey(String);

impl StorageKey {
    /// What all keys begin with.
    pub(super) const PREFIX: &str = "objects/";
    /// A fresh key. Its directory is taken from the random end of a UUID v7, so that keys spread evenly.
    pub fn new(now: Instant) -> Self {
        let (seconds, nanos) = now.unix();
        let uuid = uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos));
        Self(format!("{}{:02x}/{}", Self::PREFIX, uuid.as_u128() & 0xff, uuid.simple()))
    }
    /// The key that belongs to a name: the same each time, so that what is written again replaces what lies there.
    pub fn named(name: &str) -> Self {
        let digest = Digest::of(name).to_string();
        let name = digest.get(..32).unwrap_or_default();
        Self(format!("{}{}/{name}", Self::PREFIX, name.get(30..).unwrap_or_default()))
    }
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The last 32 hexadecimal digits, different for every key.
    pub(super) fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for StorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl FromStr for StorageKey {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["objects", prefix, name] if is_hex(prefix, 2) && is_hex(name, 32) => Ok(Self(text.to_string())),
            _ => Err(Error::invalid("storage_key", format!("{text:?} is not the key of an object"))),
        }
    }
}
text_column!(StorageKey);
