//! A document in a `TEXT` column.

use std::fmt;
use std::str::FromStr;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::text_column;

/// A value stored as JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[serde(transparent)]
#[diesel(sql_type = diesel::sql_types::Text)]
pub struct Json<T>(pub T);

/// What a JSON column's content must be able to do.
pub trait Document: Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static> Document for T {}

impl<T: Document> fmt::Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}
impl<T: Document> FromStr for Json<T> {
    type Err = serde_json::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text).map(Self)
    }
}
text_column!(Json<T: Document>);
