//! Parquet files of one column, whose pages are whatever one likes.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// The name of the column, and of what repeats where it is a list.
const NAMES: [&str; 3] = ["text", "list", "element"];

#[derive(Debug, Arbitrary)]
pub struct Table<'a> {
    physical: u8,
    type_length: i8,
    converted: Option<u8>,
    /// Required, optional or repeated.
    repetition: u8,
    /// Whether the column is a list of such values.
    listed: bool,
    codec: u8,
    rows: i32,
    dictionary: Option<Page<'a>>,
    pages: Vec<Page<'a>>,
}

#[derive(Debug, Arbitrary)]
struct Page<'a> {
    values: i32,
    encoding: u8,
    /// Of a page of the second version: the sizes of its levels, and whether the rest is packed.
    second: Option<(u8, u8, bool)>,
    bytes: &'a [u8],
}

impl Table<'_> {
    /// The whole file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = b"PAR1".to_vec();
        let dictionary = self.dictionary.as_ref().map(|page| {
            let start = file.len();
            let header = Struct(vec![(1, I32(page.values)), (2, I32(i32::from(page.encoding % 10)))]);
            page.put(&mut file, 2, 7, header);
            start
        });
        let data = file.len();
        for page in &self.pages {
            let (values, encoding) = (I32(page.values), I32(i32::from(page.encoding % 10)));
            match page.second {
                None => page.put(&mut file, 0, 5, Struct(vec![(1, values), (2, encoding), (3, I32(3)), (4, I32(3))])),
                Some((repetition, definition, packed)) => {
                    let sizes = [(5, I32(definition.into())), (6, I32(repetition.into())), (7, Bool(packed))];
                    let head = [(1, values), (2, I32(0)), (3, I32(page.values)), (4, encoding)];
                    page.put(&mut file, 3, 8, Struct(head.into_iter().chain(sizes).collect()));
                }
            }
        }
        let footer = self.footer(dictionary, data, file.len());
        let start = file.len();
        footer.put(&mut file);
        let size = file.len() - start;
        file.extend((size as u32).to_le_bytes());
        file.extend(b"PAR1");
        file
    }

    fn footer(&self, dictionary: Option<usize>, data: usize, end: usize) -> Value {
        let physical = I32(i32::from(self.physical % 8));
        let own = I32(i32::from(self.repetition % 3));
        let named = |name: &str, repetition, children| {
            Struct(vec![(3, repetition), (4, Text(name.as_bytes().to_vec())), (5, I32(children))])
        };
        let name = if self.listed { NAMES[2] } else { NAMES[0] };
        let mut leaf = vec![(1, physical.clone()), (2, I32(self.type_length.into())), (3, own), (4, Text(name.into()))];
        leaf.extend(self.converted.map(|converted| (6, I32(i32::from(converted % 23)))));
        let mut schema = vec![Struct(vec![(4, Text(b"table".to_vec())), (5, I32(1))])];
        let path = match self.listed {
            true => {
                let mut list = named(NAMES[0], I32(1), 1);
                if let Struct(members) = &mut list {
                    members.push((6, I32(3)));
                }
                schema.extend([list, named(NAMES[1], I32(2), 1)]);
                NAMES.to_vec()
            }
            false => vec![name],
        };
        schema.push(Struct(leaf));
        let values = self.pages.iter().map(|page| i64::from(page.values)).sum();
        let start = dictionary.unwrap_or(data);
        let size = (end - start) as i64;
        let path = path.into_iter().map(|name| Text(name.into())).collect();
        let mut column = vec![
            (1, physical),
            (2, List(vec![I32(0)])),
            (3, List(path)),
            (4, I32(i32::from(self.codec % 8))),
            (5, I64(values)),
            (6, I64(size)),
            (7, I64(size)),
            (9, I64(data as i64)),
        ];
        column.extend(dictionary.map(|start| (11, I64(start as i64))));
        let chunk = Struct(vec![(2, I64(start as i64)), (3, Struct(column))]);
        let group = Struct(vec![(1, List(vec![chunk])), (2, I64(size)), (3, I64(self.rows.into()))]);
        Struct(vec![(1, I32(1)), (2, List(schema)), (3, I64(self.rows.into())), (4, List(vec![group]))])
    }
}

impl Page<'_> {
    fn put(&self, file: &mut Vec<u8>, kind: i32, member: u8, header: Value) {
        let size = I32(self.bytes.len() as i32);
        Struct(vec![(1, I32(kind)), (2, size.clone()), (3, size), (member, header)]).put(file);
        file.extend(self.bytes);
    }
}

/// What Thrift's compact protocol writes.
#[derive(Clone)]
enum Value {
    Bool(bool),
    I32(i32),
    I64(i64),
    Text(Vec<u8>),
    List(Vec<Value>),
    Struct(Vec<(u8, Value)>),
}
use Value::*;

impl Value {
    fn kind(&self) -> u8 {
        match self {
            Bool(true) => 1,
            Bool(false) => 2,
            I32(_) => 5,
            I64(_) => 6,
            Text(_) => 8,
            List(_) => 9,
            Struct(_) => 12,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Bool(_) => {}
            I32(number) => Self::varint(out, zigzag(i64::from(*number))),
            I64(number) => Self::varint(out, zigzag(*number)),
            Text(text) => {
                Self::varint(out, text.len() as u64);
                out.extend(text);
            }
            List(items) => {
                out.push((items.len() as u8) << 4 | items.first().map_or(5, Value::kind));
                items.iter().for_each(|item| item.put(out));
            }
            Struct(members) => {
                let mut before = 0;
                for (member, value) in members {
                    out.push((member - before) << 4 | value.kind());
                    value.put(out);
                    before = *member;
                }
                out.push(0);
            }
        }
    }

    fn varint(out: &mut Vec<u8>, mut number: u64) {
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}
