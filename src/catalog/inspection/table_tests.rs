//! Tables that are whole, and tables that are not.

use std::io;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
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

/// One row group of one column, and these values in it under these levels of definition and repetition.
fn column<T: DataType>(schema: &str, encoding: Encoding, values: &[T::T], levels: Option<(&[i16], &[i16])>) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_dictionary_enabled(encoding == Encoding::RLE_DICTIONARY);
    let properties = match encoding {
        Encoding::RLE_DICTIONARY => properties,
        other => properties.set_encoding(other),
    };
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<T>().write_batch(values, levels.map(|levels| levels.0), levels.map(|levels| levels.1)).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

fn why(bytes: Vec<u8>) -> String {
    match seen(bytes) {
        Ok(seen) => panic!("{} rows were read", seen.rows.len()),
        Err(why) => why,
    }
}

#[test]
fn a_row_that_a_few_bytes_make_endless_is_refused() {
    let (nulls, one_row) = (vec![2; 5_000_000], [vec![0], vec![1; 4_999_999]].concat());
    let bytes = column::<ByteArrayType>(LISTS, Encoding::PLAIN, &[], Some((&nulls, &one_row)));
    assert!(bytes.len() < 1000, "{}", bytes.len());
    assert_eq!(why(bytes), "Parquet error: its pages need more than 536870912 bytes at a time");
}

/// A list of words in each row.
const LISTS: &str =
    "message poems { optional group words (LIST) { repeated group list { optional binary element (UTF8); } } }";

#[test]
fn lists_are_read_whole_however_their_rows_lie_in_pages() {
    let rows = [vec!["spring", "dawn"], vec!["moon"], vec!["frost"; 3000]];
    let values: Vec<ByteArray> = rows.iter().flatten().map(|word| ByteArray::from(*word)).collect();
    let repetition: Vec<i16> = rows.iter().flat_map(|row| (0..row.len()).map(|at| i16::from(at > 0))).collect();
    let definition = vec![3; values.len()];
    for encoding in
        [Encoding::PLAIN, Encoding::RLE_DICTIONARY, Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY]
    {
        let bytes = column::<ByteArrayType>(LISTS, encoding, &values, Some((&definition, &repetition)));
        assert_eq!(seen(bytes).unwrap().rows, rows.clone().map(|words| json!({ "words": words })), "{encoding}");
    }
}

#[test]
fn a_table_that_is_encrypted_is_told() {
    let mut bytes = table(WriterVersion::PARQUET_2_0, true);
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(b"PARE");
    assert_eq!(why(bytes), "Parquet error: its footer is encrypted");
}

#[test]
fn numbers_of_two_bytes_are_numbers() {
    let halves = [[0x00, 0x3e], [0x00, 0x7e]].map(|bytes| FixedLenByteArray::from(bytes.to_vec()));
    let schema = "message vectors { required fixed_len_byte_array (2) half (FLOAT16); }";
    let seen = seen(column::<FixedLenByteArrayType>(schema, Encoding::PLAIN, &halves, None)).unwrap();
    assert_eq!(seen.columns, [("half".to_string(), ColumnType::Number)]);
    assert_eq!(seen.rows, [json!({ "half": 1.5 }), json!({ "half": null })], "what is no number is nothing in JSON");
}

#[test]
fn a_text_that_each_value_takes_up_from_the_one_before_is_not_copied_without_end() {
    let text = ByteArray::from("spring ".repeat(10_000).as_str());
    let schema = "message poems { required binary text (UTF8); }";
    let bytes = column::<ByteArrayType>(schema, Encoding::DELTA_BYTE_ARRAY, &vec![text.clone(); 1000], None);
    assert!(bytes.len() < 100_000, "{}", bytes.len());
    assert_eq!(why(bytes), "Parquet error: a page unpacks to more than 67108864 bytes");
    let bytes = column::<ByteArrayType>(schema, Encoding::DELTA_BYTE_ARRAY, &vec![text; 100], None);
    assert_eq!(seen(bytes).unwrap().rows.len(), 100);
}

#[test]
fn a_decimal_that_would_take_for_ever_to_write_is_refused() {
    let schema = |precision: i32, scale: i32| {
        format!("message prices {{ required binary price (DECIMAL({precision},{scale})); }}")
    };
    let one = |bytes: usize| [ByteArray::from(vec![1; bytes])];
    let read = |precision, scale, encoding, bytes| {
        seen(column::<ByteArrayType>(&schema(precision, scale), encoding, &one(bytes), None)).map(|seen| seen.rows)
    };
    assert_eq!(read(9, 2, Encoding::PLAIN, 2).unwrap(), [json!({ "price": "2.57" })]);
    let why = read(i32::MAX, i32::MAX, Encoding::PLAIN, 2).unwrap_err();
    assert_eq!(why, "Parquet error: the decimal price has more than 1000 digits");
    for encoding in
        [Encoding::PLAIN, Encoding::RLE_DICTIONARY, Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY]
    {
        assert!(read(9, 2, encoding, 512).is_ok(), "{encoding}");
        let why = read(9, 2, encoding, 513).unwrap_err();
        assert_eq!(why, "Parquet error: a decimal has more than 512 bytes", "{encoding}");
    }
}

#[test]
fn rows_of_next_to_nothing_end_too() {
    let schema = format!("message poems {{ required boolean {}; }}", "read_".repeat(200));
    let bytes = column::<BoolType>(&schema, Encoding::RLE, &vec![true; 100_000], None);
    assert!(bytes.len() < 4000, "{}", bytes.len());
    let why = why(bytes);
    assert!(why.starts_with("Parquet error: its rows are more than "), "{why}");
}

/// What the fuzzer begins with (fuzz/README.md); `UPDATE_VECTORS=1 cargo test seeds` writes it anew.
#[test]
fn the_seeds_of_the_fuzzer_are_tables() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/shard");
    let words = ["spring", "spring dawn", "moon"].map(ByteArray::from);
    let lists = |encoding| column::<ByteArrayType>(LISTS, encoding, &words, Some((&[3, 3, 2, 0, 3], &[0, 1, 1, 0, 0])));
    for (name, bytes) in [
        ("dictionary.parquet", table(WriterVersion::PARQUET_1_0, true)),
        ("second.parquet", table(WriterVersion::PARQUET_2_0, false)),
        ("lists.parquet", lists(Encoding::RLE_DICTIONARY)),
        ("differences.parquet", lists(Encoding::DELTA_BYTE_ARRAY)),
        ("lengths.parquet", lists(Encoding::DELTA_LENGTH_BYTE_ARRAY)),
    ] {
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let rows = seen(std::fs::read(folder.join(name)).unwrap()).unwrap().rows.len();
        assert!((3..=4).contains(&rows), "{name} has {rows} rows");
    }
}
