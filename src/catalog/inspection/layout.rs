//! The columns of a shard's records and their types, which a loader needs to know before it reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::columns::{ColumnType, MAX_COLUMNS, is_name};

/// The most shards whose columns are compared with those of their format.
pub(super) const MAX_SHARDS_COMPARED: usize = 100;
/// The most columns that these have together.
pub(super) const MAX_COLUMNS_COMPARED: usize = 4096;

/// A column by its name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedType {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// A shard that has other columns than its format has in all shards together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardColumns {
    /// Its path.
    pub path: String,
    /// Its own columns, by name.
    pub columns: Vec<NamedType>,
}

/// What is known of a column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    kind: ColumnType,
    declared: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self { kind: ColumnType::Null, declared: false }
    }
}

impl Known {
    pub(super) fn kind(self) -> ColumnType {
        self.kind
    }

    /// Believes the schema of a file.
    pub(super) fn declare(&mut self, kind: ColumnType) {
        self.kind = self.kind.and(kind);
        self.declared = true;
    }

    /// Learns from a value. True where the schema said more of it than JSON can, and is believed.
    pub(super) fn see(&mut self, value: &Value) -> bool {
        use ColumnType::{Binary, Date, DateTime, Number};
        let more = matches!(
            (self.kind, value),
            (Date | DateTime | Binary | Number, Value::String(_)) | (DateTime, Value::Number(_))
        );
        if self.declared && more {
            return true;
        }
        self.kind = self.kind.and(ColumnType::of(value));
        false
    }
}

/// The columns of a shard, or of all shards of a format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout(BTreeMap<String, Known>);

impl Layout {
    pub(super) fn declare(&mut self, name: &str, kind: ColumnType) {
        if let Some(known) = self.known(name) {
            known.declare(kind);
        }
    }

    pub(super) fn see(&mut self, record: &Value) {
        let Value::Object(members) = record else { return };
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            if let Some(known) = self.known(name) {
                known.see(value);
            }
        }
    }

    fn known(&mut self, name: &str) -> Option<&mut Known> {
        if !self.0.contains_key(name) {
            if self.0.len() >= MAX_COLUMNS || !is_name(name) {
                return None;
            }
            self.0.insert(name.to_string(), Known::default());
        }
        self.0.get_mut(name)
    }

    /// Takes up the columns of another shard.
    pub(super) fn merge(&mut self, other: &Self) {
        for (name, known) in &other.0 {
            if let Some(own) = self.known(name) {
                own.kind = own.kind.and(known.kind);
            }
        }
    }

    pub(super) fn columns(&self) -> Vec<NamedType> {
        self.0.iter().map(|(name, known)| NamedType { name: name.clone(), kind: known.kind }).collect()
    }
}

/// The columns of single shards, as long as these are few.
#[derive(Debug)]
pub(super) struct Layouts<K> {
    shards: Vec<(String, K, Layout)>,
    columns: usize,
    /// Whether there were more than are compared.
    pub(super) further: bool,
}

impl<K: Copy> Layouts<K> {
    pub(super) fn new() -> Self {
        Self { shards: Vec::new(), columns: 0, further: false }
    }

    /// Keeps the columns of a shard of this format.
    pub(super) fn keep(&mut self, path: &str, of: K, layout: Layout) {
        self.columns = self.columns.saturating_add(layout.0.len());
        if self.shards.len() >= MAX_SHARDS_COMPARED || self.columns > MAX_COLUMNS_COMPARED {
            self.further = true;
            return;
        }
        self.shards.push((path.to_string(), of, layout));
    }

    /// The shards that do not have just the columns of their format.
    pub(super) fn differing(&self, of_format: impl Fn(K) -> Vec<NamedType>) -> Vec<ShardColumns> {
        let own = |(path, of, layout): &(String, K, Layout)| {
            let columns = layout.columns();
            (columns != of_format(*of)).then(|| ShardColumns { path: path.clone(), columns })
        };
        self.shards.iter().filter_map(own).collect()
    }
}
