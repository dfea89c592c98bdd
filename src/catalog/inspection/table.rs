//! Parquet: the schema from the footer, the rows one by one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Type as PhysicalType};
use parquet::errors::Result;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::record::reader::TreeBuilder;
use parquet::schema::types::{ColumnDescPtr, Type};
use serde_json::Value;

use super::columns::ColumnType;
use super::extent::MAX_DECIMAL_BYTES;
use super::footer;
use super::pages::{Budget, RowGroup, Window, fault};
use super::source::Source;
use super::unpacking::Limits;
use crate::types::length;

/// The most columns that a file may have, those within others counted each.
const MAX_LEAVES: usize = 1000;
/// The most digits of a decimal; those behind the point are no more.
const MAX_DIGITS: i32 = 1000;
/// How many rows of a column are decoded at a time, where none is longer than the other.
const BATCH: usize = 256;
/// How many bytes rows may have as JSON, whatever the size of the file.
const FREE_ROW_BYTES: u64 = 64 << 20;
/// How many more they may have for each byte of the file: a column of nothing but nulls, or of one value, takes next to none.
const ROW_RATIO: u64 = 4096;

/// What a table shows as it is read.
pub(super) trait Reading {
    /// A column, before any row.
    fn column(&mut self, name: &str, kind: ColumnType);
    /// A row and its index from 0, as JSON.
    ///
    /// # Errors
    /// To stop.
    fn row(&mut self, index: u64, row: Value) -> std::io::Result<()>;
}

/// Reads a table whole. Answers how many rows there were.
///
/// # Errors
/// With the reason, where it is not the table that it says it is, or exceeds a limit.
pub(super) fn read(source: &Arc<dyn Source>, limits: Limits, reading: &mut dyn Reading) -> Result<u64, String> {
    // The library takes some things for granted that whoever wrote the file need not have kept.
    let outcome = catch_unwind(AssertUnwindSafe(|| read_whole(source, limits, reading)));
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("its pages contradict its footer".to_string()),
    }
}

fn read_whole(source: &Arc<dyn Source>, limits: Limits, reading: &mut dyn Reading) -> Result<u64> {
    footer::check(source.as_ref()).map_err(fault)?;
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    let metadata: ParquetMetaData = reader.parse_and_finish(&Window::new(source.clone()))?;
    let schema = metadata.file_metadata().schema_descr_ptr();
    if schema.num_columns() > MAX_LEAVES {
        return Err(fault(format!("it has {} columns, more than {MAX_LEAVES}", schema.num_columns())));
    }
    let is_long = |column: &&ColumnDescPtr| {
        let bytes = u64::try_from(column.type_length()).unwrap_or(0);
        column.converted_type() == ConvertedType::DECIMAL
            && (column.type_precision() > MAX_DIGITS || bytes > MAX_DECIMAL_BYTES)
    };
    if let Some(column) = schema.columns().iter().find(is_long) {
        return Err(fault(format!("the decimal {} has more than {MAX_DIGITS} digits", column.name())));
    }
    for field in schema.root_schema().get_fields() {
        reading.column(field.name(), kind_of(field));
    }
    let budget = Arc::new(Budget::new(limits, source.size_bytes()));
    let repeats = schema.columns().iter().any(|column| column.max_rep_level() > 0);
    let batch = if repeats { 1 } else { BATCH };
    let most = FREE_ROW_BYTES.saturating_add(source.size_bytes().saturating_mul(ROW_RATIO)).min(limits.unpacked_bytes);
    let (mut index, mut shown) = (0_u64, 0_u64);
    for metadata in metadata.row_groups() {
        if metadata.num_columns() != schema.num_columns() {
            return Err(fault("a row group has other columns than the schema"));
        }
        let group = RowGroup { metadata, source: source.clone(), budget: budget.clone() };
        for row in TreeBuilder::new().with_batch_size(batch).as_iter(schema.clone(), &group)? {
            let row = row?.to_json_value();
            shown = shown.saturating_add(extent(&row));
            if shown > most {
                return Err(fault(format!("its rows are more than {most} bytes")));
            }
            reading.row(index, row)?;
            index = index.saturating_add(1);
        }
    }
    Ok(index)
}

/// About how large a row is.
fn extent(value: &Value) -> u64 {
    match value {
        Value::String(text) => length(text.as_bytes()),
        Value::Array(items) => items.iter().map(extent).fold(2, u64::saturating_add),
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| length(name.as_bytes()).saturating_add(extent(value));
            members.iter().map(member).fold(2, u64::saturating_add)
        }
        _ => 4,
    }
}

/// What the schema says of a column.
fn kind_of(field: &Type) -> ColumnType {
    let info = field.get_basic_info();
    if info.has_repetition() && info.repetition() == parquet::basic::Repetition::REPEATED {
        return ColumnType::Array;
    }
    let converted = info.converted_type();
    if field.is_group() {
        return match converted {
            ConvertedType::LIST => ColumnType::Array,
            _ => ColumnType::Object,
        };
    }
    match (converted, info.logical_type_ref()) {
        (ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON, _) => return ColumnType::String,
        (ConvertedType::DATE, _) => return ColumnType::Date,
        (ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS, _) => return ColumnType::DateTime,
        (ConvertedType::TIME_MILLIS | ConvertedType::TIME_MICROS, _) => return ColumnType::String,
        (ConvertedType::DECIMAL, _) => return ColumnType::Number,
        (_, Some(LogicalType::Timestamp { .. })) => return ColumnType::DateTime,
        (_, Some(LogicalType::Float16)) => return ColumnType::Number,
        _ => {}
    }
    match field.get_physical_type() {
        PhysicalType::BOOLEAN => ColumnType::Boolean,
        PhysicalType::INT32 | PhysicalType::INT64 => ColumnType::Integer,
        PhysicalType::INT96 => ColumnType::DateTime,
        PhysicalType::FLOAT | PhysicalType::DOUBLE => ColumnType::Number,
        PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => ColumnType::Binary,
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
