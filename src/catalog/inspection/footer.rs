//! Checks the footer of a Parquet file before the library reads it: the library recurses as deep as the schema goes, and a
//! few bytes can describe one that is deeper than any stack.

use std::io::Read as _;

use super::extent::{unzigzagged, varint};
use super::source::Source;

/// The largest footer.
const MAX_FOOTER_BYTES: u64 = 64 << 20;
/// How deep columns may lie within others.
const MAX_DEPTH: usize = 64;
/// What ends the file: the footer's length and the letters `PAR1`.
const TAIL_BYTES: u64 = 8;

/// Refuses a file that has no footer, or one that is too large or too deep.
///
/// # Errors
/// With the reason.
pub(super) fn check(source: &dyn Source) -> Result<(), String> {
    let size = source.size_bytes();
    let tail = bytes(source, size.saturating_sub(TAIL_BYTES), size)?;
    let (length, letters) = tail.split_at_checked(4).ok_or("it is too short to be Parquet")?;
    match letters {
        b"PAR1" => {}
        b"PARE" => return Err("its footer is encrypted".to_string()),
        _ => return Err("it does not end as Parquet does".to_string()),
    }
    let length = u64::from(u32::from_le_bytes(length.try_into().map_err(|_| "it is too short to be Parquet")?));
    let end = size.saturating_sub(TAIL_BYTES);
    let start = end.checked_sub(length).ok_or("its footer is longer than the file")?;
    if length > MAX_FOOTER_BYTES {
        return Err(format!("its footer has more than {MAX_FOOTER_BYTES} bytes"));
    }
    let footer = bytes(source, start, end)?;
    match Compact(&footer).depth_of_schema() {
        None => Err("its footer is corrupt".to_string()),
        Some(depth) if depth > MAX_DEPTH => Err(format!("its schema is more than {MAX_DEPTH} levels deep")),
        Some(_) => Ok(()),
    }
}

fn bytes(source: &dyn Source, start: u64, end: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = source.read(start..end).and_then(|mut reader| reader.read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Thrift's compact protocol, as far as it takes to find the schema. Nothing means that the bytes are not of it.
struct Compact<'a>(&'a [u8]);

impl Compact<'_> {
    /// How deep the schema goes: the second member of the footer is the list of its elements, each with the number of its
    /// children as its fifth member.
    fn depth_of_schema(&mut self) -> Option<usize> {
        let mut member = 0;
        while let Some((id, kind)) = self.member(member)? {
            member = id;
            if (id, kind) != (2, LIST) {
                self.skip(kind, MAX_DEPTH)?;
                continue;
            }
            let (count, kind) = self.list()?;
            if kind != STRUCT {
                return None;
            }
            return self.depth_of_elements(count);
        }
        None
    }

    fn depth_of_elements(&mut self, count: u64) -> Option<usize> {
        // How many children each element on the way down still waits for.
        let (mut open, mut deepest): (Vec<u64>, usize) = (Vec::new(), 0);
        for _ in 0..count {
            let children = self.children()?;
            deepest = deepest.max(open.len());
            if let Some(waiting) = open.last_mut() {
                *waiting = waiting.checked_sub(1)?;
            }
            if children > 0 {
                open.push(children);
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            if open.len() > MAX_DEPTH {
                return Some(open.len());
            }
        }
        Some(deepest)
    }

    /// The number of children of the next element.
    fn children(&mut self) -> Option<u64> {
        let (mut children, mut member) = (0, 0);
        while let Some((id, kind)) = self.member(member)? {
            member = id;
            match (id, kind) {
                (5, INT) => children = u64::try_from(self.integer()?).ok()?,
                _ => self.skip(kind, MAX_DEPTH)?,
            }
        }
        Some(children)
    }

    /// The number and the type of the next member of a struct; `Some(None)` at its end.
    fn member(&mut self, before: i64) -> Option<Option<(i64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let id = match head >> 4 {
            0 => self.integer()?,
            step => before.checked_add(i64::from(step))?,
        };
        Some(Some((id, head & 0x0f)))
    }

    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        Some((count, head & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let deeper = depth.checked_sub(1)?;
        match kind {
            1 | 2 => {} // true and false are their own types
            3 => drop(self.byte()?),
            4..=INT | 6 => drop(self.varint()?),
            7 => self.take(8)?,
            8 => {
                let length = self.varint()?;
                self.take(length)?;
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                for _ in 0..count {
                    // In a list even a boolean takes a byte.
                    match kind {
                        1 | 2 => drop(self.byte()?),
                        kind => self.skip(kind, deeper)?,
                    }
                }
            }
            STRUCT => {
                let mut member = 0;
                while let Some((id, kind)) = self.member(member)? {
                    member = id;
                    self.skip(kind, deeper)?;
                }
            }
            _ => return None, // a map: a footer has none
        }
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(length).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        varint(&mut self.0)
    }

    /// A number in zigzag.
    fn integer(&mut self) -> Option<i64> {
        self.varint().map(unzigzagged)
    }
}

const INT: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;
