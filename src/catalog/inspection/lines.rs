//! JSON Lines: one record a line.

use std::cell::Cell;
use std::io::{self, BufRead as _, BufReader, Read};
use std::rc::Rc;

use super::source::Source;
use super::unpacking::{Limits, Packing, unpack};
use crate::types::length;

/// The byte order mark, which some programs put before a text in UTF-8. It is ignored, as RFC 8259 (section 8.1) allows.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Shows every record of a shard, with its index from 0: each line that is not blank. Answers how many there were.
///
/// # Errors
/// Those of the source, of `show`, and of what is not packed as it should be or exceeds a limit.
pub(super) fn for_each(
    source: &dyn Source,
    packing: Option<Packing>,
    limits: Limits,
    show: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let taken = Rc::new(Cell::new(0));
    let packed = Counted { inner: source.read(0..source.size_bytes())?, count: taken.clone() };
    let unpacked = unpack(BufReader::with_capacity(1 << 16, packed), packing);
    let mut lines = BufReader::with_capacity(1 << 16, Limited { unpacked, taken, given: 0, limits });
    let (mut line, mut index, mut at_start) = (Vec::new(), 0, true);
    loop {
        line.clear();
        if (&mut lines).take(limits.record_bytes.saturating_add(1)).read_until(b'\n', &mut line)? == 0 {
            return Ok(index);
        }
        let record = line.strip_suffix(b"\n").unwrap_or(&line);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        let mark = if std::mem::take(&mut at_start) { BYTE_ORDER_MARK } else { &[] };
        let record = record.strip_prefix(mark).unwrap_or(record);
        if length(record) > limits.record_bytes {
            return Err(io::Error::other(format!("record {index} is longer than {} bytes", limits.record_bytes)));
        }
        if !record.trim_ascii().is_empty() {
            show(index, record)?;
            index = index.saturating_add(1);
        }
    }
}

/// Bytes that are counted as they pass.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get().saturating_add(u64::try_from(read).unwrap_or(u64::MAX)));
        Ok(read)
    }
}

/// What is unpacked, up to the limits.
struct Limited<'a> {
    unpacked: Box<dyn Read + 'a>,
    /// How much of the shard was read so far.
    taken: Rc<Cell<u64>>,
    given: u64,
    limits: Limits,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        self.given = self.given.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        self.limits.check(self.given, self.taken.get())?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use bytes::Bytes;
    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const LIMITS: Limits = Limits { unpacked_bytes: 16 << 20, ratio: 50, record_bytes: 10 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    fn records(bytes: &[u8], packing: Option<Packing>) -> io::Result<Vec<(u64, String)>> {
        let mut found = Vec::new();
        let mut show = |index, record: &[u8]| {
            found.push((index, String::from_utf8(record.to_vec()).unwrap()));
            Ok(())
        };
        for_each(&Bytes::copy_from_slice(bytes), packing, LIMITS, &mut show)?;
        Ok(found)
    }

    fn why(bytes: &[u8], packing: Option<Packing>) -> String {
        records(bytes, packing).unwrap_err().to_string()
    }

    #[test]
    fn records_are_the_lines_that_are_not_blank_however_they_are_packed() {
        let lines = b"{\"n\":1}\n\n  \r\n{\"n\":2}\r\n{\"n\":3}";
        let expected = [(0, "{\"n\":1}".to_string()), (1, "{\"n\":2}".to_string()), (2, "{\"n\":3}".to_string())];
        let (one, other) = lines.split_at(9);
        let members = [gzip(one), gzip(other)].concat();
        let skippable = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let frames = [zstd(one), skippable.to_vec(), zstd(other)].concat();
        for (bytes, packing) in [(lines.to_vec(), None), (members, Some(Packing::Gzip)), (frames, Some(Packing::Zstd))]
        {
            assert_eq!(records(&bytes, packing).unwrap(), expected, "{packing:?}");
        }
        assert!(records(b"", None).unwrap().is_empty());
    }

    #[test]
    fn a_mark_before_the_first_line_is_none_of_it() {
        let lines = "\u{feff}{}\n\u{feff}{}\n".as_bytes();
        let expected = [(0, "{}".to_string()), (1, "\u{feff}{}".to_string())];
        for (bytes, packing) in
            [(lines.to_vec(), None), (gzip(lines), Some(Packing::Gzip)), (zstd(lines), Some(Packing::Zstd))]
        {
            assert_eq!(records(&bytes, packing).unwrap(), expected, "{packing:?}");
        }
    }

    #[test]
    fn bombs_are_stopped_and_told() {
        let line = b"0\n".repeat(4 << 20);
        for (bytes, packing) in [(gzip(&line), Packing::Gzip), (zstd(&line), Packing::Zstd)] {
            assert_eq!(why(&bytes, Some(packing)), "it unpacks to more than 50 times its size", "{packing:?}");
        }
        assert_eq!(why(&b"0\n".repeat(9 << 20), None), "it unpacks to more than 16777216 bytes");
        assert_eq!(why(b"{}\n01234567890\n", None), "record 1 is longer than 10 bytes");
        assert_eq!(records(b"0123456789\n", None).unwrap().len(), 1);
    }

    #[test]
    fn corrupt_bytes_are_told() {
        let whole = gzip(b"{}\n{}\n");
        assert!(!why(&whole[..whole.len() - 3], Some(Packing::Gzip)).is_empty());
        let whole = zstd(b"{}\n{}\n");
        assert!(!why(&whole[..whole.len() - 1], Some(Packing::Zstd)).is_empty());
        for packing in [Packing::Gzip, Packing::Zstd] {
            assert!(!why(b"{}\n{}\n{}\n", Some(packing)).is_empty(), "{packing:?}");
        }
    }
}
