//! Tables that are whole, and tables that are not.

use std::io;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::*;

#[derive(Default)]
struct Seen {
    columns: Vec<(String, ColumnType)>,
    rows: Vec<Value>,
}

impl Reading for Seen {
    fn column(&mut self, name: &str, kind: ColumnType) {
        self.columns.push((name.to_string(), kind));
    }
    fn row(&mut self, index: u64, row: Value) -> io::Result<()> {
        assert_eq!(usize::try_from(index).unwrap(), self.rows.len());
        self.rows.push(row);
        Ok(())
    }
}

fn seen(bytes: Vec<u8>) -> Result<Seen, String> {
    let mut seen = Seen::default();
    let source: Arc<dyn Source> = Arc::new(Bytes::from(bytes));
    read(&source, Limits::ORDINARY, &mut seen).map(|_| seen)
}

/// Two row groups of texts and numbers, each text as often as the number beside it says.
fn table(version: WriterVersion, dictionary: bool) -> Vec<u8> {
    let schema = "message poems { required binary text (UTF8); optional int64 lines; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_writer_version(version).set_dictionary_enabled(dictionary);
    let properties = properties.set_compression(Compression::UNCOMPRESSED).set_encoding(Encoding::PLAIN).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for texts in [["one", "two"], ["two", "three"]] {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let texts = texts.map(ByteArray::from);
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[7], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn rows_come_in_order_however_they_are_written() {
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        for dictionary in [true, false] {
            let seen = seen(table(version, dictionary)).unwrap();
            let columns = [("text".to_string(), ColumnType::String), ("lines".to_string(), ColumnType::Integer)];
            assert_eq!(seen.columns, columns);
            let rows = [("one", Some(7)), ("two", None), ("two", Some(7)), ("three", None)];
            assert_eq!(seen.rows, rows.map(|(text, lines)| json!({ "text": text, "lines": lines })));
        }
    }
}

#[test]
fn no_change_of_a_byte_ends_the_reader() {
    let whole = table(WriterVersion::PARQUET_1_0, true);
    std::panic::set_hook(Box::new(|_| {})); // what is caught need not be told
    for at in 0..whole.len() {
        for byte in [0, 0x7f, 0xff] {
            let mut broken = whole.clone();
            broken[at] = byte;
            let _ = seen(broken);
        }
    }
    let _ = std::panic::take_hook();
    for end in 0..whole.len() {
        assert!(seen(whole[..end].to_vec()).is_err(), "{end} bytes are no table");
    }
}

#[test]
fn a_schema_without_a_floor_is_refused() {
    // One element within the other, each with an empty name: member 3 (repetition), 4 (name) and 5 (children).
    let level = [0x35, 0x00, 0x18, 0x00, 0x15, 0x02, 0x00];
    let mut footer = vec![0x15, 0x02, 0x19, 0xfc, 0xa0, 0x8d, 0x06];
    footer.extend(level.repeat(100_000));
    let size = u32::try_from(footer.len()).unwrap().to_le_bytes();
    let Err(why) = seen([&b"PAR1"[..], &footer, &size, b"PAR1"].concat()) else { panic!("it was read") };
    assert_eq!(why, "Parquet error: its schema is more than 64 levels deep");
}
