//! What the columns of a corpus hold: types, nulls, bytes, tokens, lengths. Memory is bounded however many records there are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_segmentation::{UNICODE_VERSION, UnicodeSegmentation as _};
use utoipa::ToSchema;

use super::layout::Known;
use crate::text_enum;

/// The most columns that are told apart.
pub(super) const MAX_COLUMNS: usize = 256;
/// The longest name of a column, in characters; a longer one is no column.
const MAX_NAME_CHARS: usize = 200;
/// Lengths keep as many of their leading binary digits.
const DIGITS: u32 = 8;

text_enum! {
    /// What the values of a column are, nulls apart.
    pub enum ColumnType {
        /// Text.
        String = "string",
        /// Whole numbers.
        Integer = "integer",
        /// Numbers.
        Number = "number",
        /// True or false.
        Boolean = "boolean",
        /// Days, of a Parquet column that says so.
        Date = "date",
        /// Moments, of a Parquet column that says so.
        DateTime = "date-time",
        /// Bytes, of a Parquet column that does not say more; in base64.
        Binary = "binary",
        /// Lists.
        Array = "array",
        /// Objects.
        Object = "object",
        /// Values of several types.
        Mixed = "mixed",
        /// Nothing: there was no value but null.
        Null = "null",
    }
}

impl ColumnType {
    /// The type of a value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// The type of a column that has values of both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Null, some) | (some, Self::Null) => some,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            _ => Self::Mixed,
        }
    }
}

/// How tokens are counted: words as Unicode divides text (UAX 29), which for Chinese are its characters.
pub(super) fn tokenizer() -> String {
    let (major, minor, patch) = UNICODE_VERSION;
    format!("uax29-words/{major}.{minor}.{patch}")
}

/// A column of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name: a member of the records.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// How many records have no value: null, or no such member.
    pub nulls: u64,
    /// The size of the values: text in UTF-8, everything else as JSON.
    pub bytes: u64,
    /// How many tokens its text has.
    pub tokens: u64,
    /// The lengths of its texts; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Lengths>,
}

/// The lengths of texts, in characters (Unicode scalar values), by nearest rank over all of them. The smallest and the
/// largest are exact; the others are rounded down to eight binary digits, so at most 1/128 too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// The smallest.
    pub min: u64,
    /// A quarter is no longer.
    pub p25: u64,
    /// Half is no longer.
    pub p50: u64,
    /// Three quarters are no longer.
    pub p75: u64,
    /// 95 of 100 are no longer.
    pub p95: u64,
    /// 99 of 100 are no longer.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// Columns as they are counted.
#[derive(Debug, Default)]
pub struct Columns {
    records: u64,
    tallies: BTreeMap<String, Tally>,
    /// Whether there were more than are told apart.
    pub further: bool,
}

#[derive(Debug)]
struct Tally {
    known: Known,
    values: u64,
    bytes: u64,
    tokens: u64,
    lengths: Histogram,
}

impl Columns {
    /// Names a column, as the schema of a file does.
    pub fn declare(&mut self, name: &str, kind: ColumnType) {
        if let Some(tally) = self.tally(name) {
            tally.known.declare(kind);
        }
    }

    /// Counts a record. Only objects have columns.
    pub fn count(&mut self, record: &Value) {
        self.records = self.records.saturating_add(1);
        let Value::Object(members) = record else { return };
        for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            if let Some(tally) = self.tally(name) {
                tally.count(value);
            }
        }
    }

    fn tally(&mut self, name: &str) -> Option<&mut Tally> {
        if !self.tallies.contains_key(name) {
            if self.tallies.len() >= MAX_COLUMNS || !is_name(name) {
                self.further = true;
                return None;
            }
            self.tallies.insert(name.to_string(), Tally::new());
        }
        self.tallies.get_mut(name)
    }

    /// How many records were counted.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// What was counted, by name.
    pub fn finish(self) -> Vec<Column> {
        let records = self.records;
        let column = |(name, tally): (String, Tally)| Column {
            name,
            kind: tally.known.kind(),
            nulls: records.saturating_sub(tally.values),
            bytes: tally.bytes,
            tokens: tally.tokens,
            lengths: tally.lengths.quantiles(),
        };
        self.tallies.into_iter().map(column).collect()
    }
}

impl Tally {
    fn new() -> Self {
        let lengths = Histogram::default();
        Self { known: Known::default(), values: 0, bytes: 0, tokens: 0, lengths }
    }

    fn count(&mut self, value: &Value) {
        self.values = self.values.saturating_add(1);
        if self.known.see(value) {
            self.bytes = self.bytes.saturating_add(counted(value.as_str().map_or(0, str::len)));
            return;
        }
        match value {
            Value::String(text) => {
                self.bytes = self.bytes.saturating_add(counted(text.len()));
                self.tokens = self.tokens.saturating_add(counted(text.unicode_words().count()));
                self.lengths.add(counted(text.chars().count()));
            }
            other => self.bytes = self.bytes.saturating_add(counted(other.to_string().len())),
        }
    }
}

/// Whether a member of a record with this name is a column.
pub(super) fn is_name(name: &str) -> bool {
    name.chars().count() <= MAX_NAME_CHARS && !name.contains('\0')
}

fn counted(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// How often each length was seen, rounded down.
#[derive(Debug, Default)]
struct Histogram {
    counts: BTreeMap<u64, u64>,
    total: u64,
    min: Option<u64>,
    max: u64,
}

impl Histogram {
    fn add(&mut self, length: u64) {
        let count = self.counts.entry(rounded(length)).or_default();
        *count = count.saturating_add(1);
        self.total = self.total.saturating_add(1);
        self.min = Some(self.min.map_or(length, |min| min.min(length)));
        self.max = self.max.max(length);
    }

    /// The smallest length that so many of a hundred do not exceed.
    fn quantile(&self, percent: u64) -> u64 {
        let rank = self.total.saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        for (length, count) in &self.counts {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return *length;
            }
        }
        self.max
    }

    fn quantiles(&self) -> Option<Lengths> {
        let at = |percent| self.quantile(percent);
        self.min.map(|min| Lengths {
            min,
            p25: at(25).max(min),
            p50: at(50).max(min),
            p75: at(75).max(min),
            p95: at(95).max(min),
            p99: at(99).max(min),
            max: self.max,
        })
    }
}

/// A number of which only the first eight binary digits are kept.
fn rounded(number: u64) -> u64 {
    let digits = u64::BITS - number.leading_zeros();
    let dropped = digits.saturating_sub(DIGITS);
    (number >> dropped) << dropped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(records: &[Value]) -> Vec<Column> {
        let mut columns = Columns::default();
        records.iter().for_each(|record| columns.count(record));
        columns.finish()
    }

    #[test]
    fn columns_tell_types_nulls_bytes_tokens_and_lengths() {
        let found = columns(&[
            json!({ "text": "床前明月光", "n": 1, "tags": ["a"], "odd": 1 }),
            json!({ "text": "Hello, world", "n": 2.5, "tags": [], "odd": "one" }),
            json!({ "text": null, "n": null, "nothing": null }),
            json!(["no object"]),
        ]);
        let named = |name: &str| found.iter().find(|column| column.name == name).unwrap();
        let text = named("text");
        assert_eq!((text.kind, text.nulls, text.bytes, text.tokens), (ColumnType::String, 2, 15 + 12, 5 + 2));
        let lengths = text.lengths.unwrap();
        assert_eq!((lengths.min, lengths.p25, lengths.p50, lengths.p99, lengths.max), (5, 5, 5, 12, 12));
        assert_eq!((named("n").kind, named("n").bytes), (ColumnType::Number, 4));
        assert_eq!((named("tags").kind, named("tags").nulls, named("tags").lengths), (ColumnType::Array, 2, None));
        assert_eq!(named("odd").kind, ColumnType::Mixed);
        assert!(!found.iter().any(|column| column.name == "nothing"), "JSON does not name what is never there");
    }

    #[test]
    fn quantiles_are_exact_for_short_texts_and_less_than_a_hundredth_low_for_long_ones() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|length| histogram.add(length));
        let exact = histogram.quantiles().unwrap();
        assert_eq!(
            (exact.min, exact.p25, exact.p50, exact.p75, exact.p95, exact.p99, exact.max),
            (1, 25, 50, 75, 95, 99, 100)
        );
        for length in [0, 1, 255, 256, 257, 1000, 65_535, u64::MAX] {
            let kept = rounded(length);
            assert!(kept <= length && length - kept <= length / 128, "{length} became {kept}");
        }
    }

    #[test]
    fn a_record_cannot_make_columns_without_end() {
        let wide: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("c{n}"), json!(n))).collect();
        let mut columns = Columns::default();
        columns.count(&Value::Object(wide));
        assert!(columns.further);
        assert_eq!(columns.finish().len(), MAX_COLUMNS);
    }

    #[test]
    fn a_declared_type_says_more_than_json_can() {
        let mut columns = Columns::default();
        columns.declare("at", ColumnType::DateTime);
        columns.declare("never", ColumnType::Integer);
        columns.count(&json!({ "at": "2026-01-01 00:00:00.000 +00:00" }));
        let found = columns.finish();
        assert_eq!((found[0].kind, found[0].lengths), (ColumnType::DateTime, None));
        assert_eq!((found[1].kind, found[1].nulls), (ColumnType::Integer, 1));
    }
}
