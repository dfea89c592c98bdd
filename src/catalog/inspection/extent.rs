//! How much memory the pages of a column need when they are decoded, computed before the library decodes them.
//!
//! The library allocates as many values as a page claims to have, rows of any length, and every value in full, even if it
//! shares most of it with the one before. A few bytes can ask for a great deal of each.

use parquet::basic::{ConvertedType, Encoding, Type as PhysicalType};
use parquet::column::page::Page;
use parquet::errors::Result;
use parquet::schema::types::ColumnDescriptor;

use super::pages::{MAX_PAGE_BYTES, fault, too_large};
use crate::types::length;

/// What one value of a row takes beside its bytes while the row is put together: its levels, and the value as the library
/// and as JSON have it; and each group that it lies in as much again.
const VALUE_BYTES: u64 = 96;
/// Names that lead to a value and make no group of their own: those of a list and of what repeats in it.
const NAMES_OF_LIST: usize = 2;
/// What one value takes in a dictionary, beside its bytes.
const ENTRY_BYTES: u64 = 32;
/// The largest decimal: to write one in digits takes time by the square of them.
pub(super) const MAX_DECIMAL_BYTES: u64 = 512;
/// What is kept for each value of a page that is packed as differences.
const LENGTH_BYTES: u64 = 8;

/// How much memory the pages of a column ask for.
pub(super) struct Extent {
    physical: PhysicalType,
    /// Whether values are decimals of a varying length.
    decimal: bool,
    /// The bytes of a value, where all have the same.
    width: u64,
    /// The highest level of repetition, and whether there are levels of definition.
    levels: (i16, bool),
    /// What a value of a row takes at least, under all its names.
    value_bytes: u64,
    /// The longest value of the dictionary.
    longest_entry: u64,
    /// How many values the row has so far in which the last page ended.
    open_row: u64,
}

impl Extent {
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        let parts = column.path().parts();
        let groups = u64::try_from(parts.len().saturating_sub(NAMES_OF_LIST).max(1)).unwrap_or(u64::MAX);
        let names: u64 = parts.iter().map(|part| length(part.as_bytes())).sum();
        let value_bytes = groups.saturating_mul(VALUE_BYTES).saturating_add(names);
        let (physical, width) = (column.physical_type(), u64::try_from(column.type_length()).unwrap_or(0).max(1));
        let levels = (column.max_rep_level(), column.max_def_level() > 0);
        let decimal = physical == PhysicalType::BYTE_ARRAY && column.converted_type() == ConvertedType::DECIMAL;
        Self { physical, decimal, width, levels, value_bytes, longest_entry: 0, open_row: 0 }
    }

    /// What an unpacked page comes to, beside its own bytes.
    ///
    /// # Errors
    /// When it says more than its bytes can hold, or what no writer writes.
    pub(super) fn take(&mut self, page: &Page) -> Result<u64> {
        let Page::DictionaryPage { buf, num_values, .. } = page else { return self.take_values(page) };
        let (size, values) = (length(buf), u64::from(*num_values));
        let (least, longest) = match self.physical {
            PhysicalType::BOOLEAN => (1, 1),
            PhysicalType::INT32 | PhysicalType::FLOAT => (4, 4),
            PhysicalType::INT64 | PhysicalType::DOUBLE => (8, 8),
            PhysicalType::INT96 => (12, 12),
            PhysicalType::FIXED_LEN_BYTE_ARRAY => (self.width, self.width),
            PhysicalType::BYTE_ARRAY => (4, longest_text(buf)),
        };
        if values > size / least {
            return Err(fault(format!("a dictionary of {size} bytes cannot have {values} values")));
        }
        self.longest_entry = longest;
        Ok(values.saturating_mul(ENTRY_BYTES))
    }

    fn take_values(&mut self, page: &Page) -> Result<u64> {
        let (count, encoding) = (u64::from(page.num_values()), page.encoding());
        let differs = matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY);
        if !differs && !self.decimal && self.levels.0 == 0 {
            return Ok(0);
        }
        let Parts { repetition, values } = Parts::of(page, self.levels)?;
        let (decoded, longest) = match encoding {
            _ if differs => differences(values, encoding, count)?,
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => (0, self.longest_entry),
            _ if self.decimal => (0, longest_text(values)),
            _ => (0, 0),
        };
        if self.decimal && longest > MAX_DECIMAL_BYTES {
            return Err(fault(format!("a decimal has more than {MAX_DECIMAL_BYTES} bytes")));
        }
        let Some(levels) = repetition else { return Ok(decoded) };
        let (row, open) = rows(levels, self.levels.0, count, self.open_row);
        self.open_row = open;
        // Bytes that stand in the page itself are counted with the page.
        let apart = if decoded == 0 { longest } else { 0 };
        Ok(row.saturating_mul(self.value_bytes.saturating_add(apart)).saturating_add(decoded))
    }
}

/// What a page of values consists of.
struct Parts<'a> {
    /// The levels of repetition, where there are any.
    repetition: Option<&'a [u8]>,
    values: &'a [u8],
}

impl<'a> Parts<'a> {
    #[expect(deprecated, reason = "BIT_PACKED levels are refused")]
    fn of(page: &'a Page, (repeats, defines): (i16, bool)) -> Result<Self> {
        let none = || fault("the levels of a page do not fit into it");
        match page {
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let split = |bytes: &'a [u8], at: u32| bytes.split_at_checked(usize::try_from(at).ok()?);
                let (levels, rest) = split(buf, *rep_levels_byte_len).ok_or_else(none)?;
                let (_, values) = split(rest, *def_levels_byte_len).ok_or_else(none)?;
                Ok(Self { repetition: (repeats > 0).then_some(levels), values })
            }
            Page::DataPage { buf, rep_level_encoding, def_level_encoding, .. } => {
                let bit_packed = (repeats > 0 && *rep_level_encoding == Encoding::BIT_PACKED)
                    || (defines && *def_level_encoding == Encoding::BIT_PACKED);
                if bit_packed {
                    return Err(fault("its levels are packed as no writer does since 2013: write it anew"));
                }
                let mut rest = buf.as_ref();
                let mut levels = |there: bool| match there {
                    true => sized(&mut rest).map(Some).ok_or_else(none),
                    false => Ok(None),
                };
                let repetition = levels(repeats > 0)?;
                levels(defines)?;
                Ok(Self { repetition, values: rest })
            }
            Page::DictionaryPage { .. } => Ok(Self { repetition: None, values: &[] }),
        }
    }
}

/// The bytes that follow their own length.
fn sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (size, rest) = bytes.split_first_chunk()?;
    let (sized, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*size)).ok()?)?;
    *bytes = rest;
    Some(sized)
}

/// The longest of the values in a dictionary of texts.
fn longest_text(mut entries: &[u8]) -> u64 {
    let next = || sized(&mut entries).map(length);
    std::iter::from_fn(next).max().unwrap_or(0)
}

/// How many values the longest row of a page has, and how many the last one, which the next page may go on with. `open` is
/// that number of the page before.
fn rows(mut levels: &[u8], highest: i16, count: u64, mut open: u64) -> (u64, u64) {
    let width = u64::from(i16::BITS.saturating_sub(highest.leading_zeros()));
    let (mut longest, mut left) = (open, count);
    // A level of 0 begins a row.
    let mut see = |level: u64, times: u64| {
        open = if level == 0 { 1 } else { open.saturating_add(times) };
        longest = longest.max(open);
    };
    while left > 0 {
        let Some(head) = varint(&mut levels).filter(|head| *head > 0) else { break };
        let runs = head >> 1;
        if head & 1 == 0 {
            let Some(level) = prefix(&mut levels, width.div_ceil(8)).map(number) else { break };
            see(level, runs.min(left));
            left = left.saturating_sub(runs);
        } else {
            let packed = at_most(&mut levels, runs.saturating_mul(width));
            let packed_values = runs.saturating_mul(8).min(left).min(length(packed).saturating_mul(8) / width.max(1));
            (0..packed_values).for_each(|n| see(bits(packed, n.saturating_mul(width), width), 1));
            left = left.saturating_sub(packed_values);
        }
    }
    (longest, open)
}

/// How many bytes values take that are written as differences to those before, and how long the longest of them can be.
fn differences(mut values: &[u8], encoding: Encoding, count: u64) -> Result<(u64, u64)> {
    let most = count.min(MAX_PAGE_BYTES / LENGTH_BYTES);
    let (mut copied, mut longest_prefix, mut longest_rest) = (0_u64, 0, 0);
    let length = |length: i32| u64::try_from(length).unwrap_or(0);
    if encoding == Encoding::DELTA_BYTE_ARRAY {
        // How much of the value before each one begins with.
        packed_differences(&mut values, most, |prefix| {
            copied = copied.saturating_add(length(prefix));
            longest_prefix = length(prefix).max(longest_prefix);
        })?;
        if copied > MAX_PAGE_BYTES {
            return Err(too_large());
        }
    }
    let count = packed_differences(&mut values, most, |rest| longest_rest = length(rest).max(longest_rest))?;
    let decoded = count.saturating_mul(LENGTH_BYTES).saturating_add(copied);
    Ok((decoded, longest_prefix.saturating_add(longest_rest)))
}

/// Reads whole numbers as DELTA_BINARY_PACKED, at most so many. Answers how many there were.
fn packed_differences(bytes: &mut &[u8], most: u64, mut show: impl FnMut(i32)) -> Result<u64> {
    let corrupt = || fault("its differences are corrupt");
    let mut next = || varint(bytes).ok_or_else(corrupt);
    let (block, miniblocks, count, first) = (next()?, next()?, next()?, next()?);
    if count > most {
        return Err(fault(format!("a page of {most} values cannot have {count}")));
    }
    let each = block.checked_div(miniblocks).filter(|each| *each > 0 && each % 32 == 0).ok_or_else(corrupt)?;
    let (mut value, mut left) = (unzigzagged(first), count);
    if left > 0 {
        show(low_half(value));
        left = left.saturating_sub(1);
    }
    while left > 0 {
        let least = unzigzagged(varint(bytes).ok_or_else(corrupt)?);
        let widths = prefix(bytes, miniblocks).ok_or_else(corrupt)?;
        for width in widths {
            if left == 0 {
                break;
            }
            let width = u64::from(*width).min(64);
            let packed = at_most(bytes, each.saturating_mul(width) / 8);
            for n in 0..each.min(left) {
                let more = bits(packed, n.saturating_mul(width), width);
                value = value.wrapping_add(least).wrapping_add(more.cast_signed());
                show(low_half(value));
            }
            left = left.saturating_sub(each);
        }
    }
    Ok(count)
}

/// The library counts in 32 bits, and goes over.
fn low_half(value: i64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The number whose sign stands in its lowest bit.
pub(super) fn unzigzagged(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ (number & 1).cast_signed().wrapping_neg()
}

/// A number in groups of seven bits, the lowest first.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// So many of the next bytes.
fn prefix<'a>(bytes: &mut &'a [u8], size: u64) -> Option<&'a [u8]> {
    let (prefix, rest) = bytes.split_at_checked(usize::try_from(size).ok()?)?;
    *bytes = rest;
    Some(prefix)
}

/// So many of the next bytes, or as many as there are.
fn at_most<'a>(bytes: &mut &'a [u8], size: u64) -> &'a [u8] {
    let size = size.min(length(bytes));
    prefix(bytes, size).unwrap_or_default()
}

/// A number of a few bytes, the lowest first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The number in so many bits from one on, the lowest first; beyond the end there are zeros.
fn bits(bytes: &[u8], from: u64, width: u64) -> u64 {
    let start = usize::try_from(from / 8).unwrap_or(usize::MAX);
    let near: u128 = bytes.iter().skip(start).take(9).rev().fold(0, |number, byte| number << 8 | u128::from(*byte));
    let mask = u64::MAX.checked_shr(64_u64.saturating_sub(width).try_into().unwrap_or(0)).unwrap_or(0);
    u64::try_from(near >> (from % 8) & u128::from(u64::MAX)).unwrap_or(0) & mask
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::basic::Repetition;
    use parquet::schema::types::{ColumnPath, Type};
    use std::sync::Arc;

    use super::*;

    fn extent(physical: PhysicalType, repeats: i16) -> Extent {
        let kind =
            Type::primitive_type_builder("text", physical).with_repetition(Repetition::REQUIRED).build().unwrap();
        Extent::of(&ColumnDescriptor::new(Arc::new(kind), 0, repeats, ColumnPath::from("text")))
    }

    fn page(bytes: &[u8], num_values: u32, encoding: Encoding) -> Page {
        let (buf, levels) = (Bytes::copy_from_slice(bytes), Encoding::RLE);
        Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: levels,
            rep_level_encoding: levels,
            statistics: None,
        }
    }

    #[test]
    fn a_page_has_no_more_values_than_it_says() {
        // Blocks of 128 in 4 parts, and 2^42 values: four tebibytes of room.
        let bomb = [0x80, 0x01, 0x04, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00];
        for encoding in [Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY] {
            let why = extent(PhysicalType::BYTE_ARRAY, 0).take(&page(&bomb, 3, encoding)).unwrap_err().to_string();
            assert_eq!(why, "Parquet error: a page of 3 values cannot have 4398046511104");
        }
    }

    #[test]
    fn a_dictionary_has_no_more_values_than_its_bytes_hold() {
        let buf = Bytes::from(vec![0; 4096]);
        for (physical, most) in
            [(PhysicalType::BYTE_ARRAY, 1024), (PhysicalType::INT64, 512), (PhysicalType::INT96, 341)]
        {
            let dictionary = |num_values| Page::DictionaryPage {
                buf: buf.clone(),
                num_values,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            assert_eq!(extent(physical, 0).take(&dictionary(most)).unwrap(), u64::from(most) * ENTRY_BYTES);
            assert!(extent(physical, 0).take(&dictionary(most + 1)).is_err(), "{physical}");
        }
    }

    #[test]
    fn a_row_goes_on_from_page_to_page() {
        // Levels of one bit: a run of three 1, then eight packed ones, the lowest first.
        let levels = [0x06, 0x01, 0x03, 0b1101_1110];
        assert_eq!(rows(&levels, 1, 11, 0), (5, 3));
        assert_eq!(rows(&levels, 1, 11, 100), (103, 3));
        assert_eq!(rows(&levels, 1, 2, 0), (2, 2), "no more than the page has");
        assert_eq!(rows(&levels[..3], 1, 11, 0), (3, 3), "what is missing does not count");
        let mut extent = extent(PhysicalType::BYTE_ARRAY, 1);
        let levelled = [&[4, 0, 0, 0][..], &levels].concat();
        let plain = page(&levelled, 11, Encoding::PLAIN);
        assert_eq!(extent.take(&plain).unwrap(), 5 * (VALUE_BYTES + 4));
        assert_eq!(extent.take(&plain).unwrap(), 6 * (VALUE_BYTES + 4));
        // Each value may be the longest of the dictionary.
        let buf = Bytes::from([&[3, 0, 0, 0][..], b"dew", &[6, 0, 0, 0], b"spring"].concat());
        extent.take(&Page::DictionaryPage { buf, num_values: 2, encoding: Encoding::PLAIN, is_sorted: false }).unwrap();
        let packed = page(&levelled, 11, Encoding::RLE_DICTIONARY);
        assert_eq!(extent.take(&packed).unwrap(), 6 * (VALUE_BYTES + 4 + 6));
    }

    #[test]
    fn differences_are_counted_as_they_are_written() {
        // 5, 3, 1, 2, 3: the least difference is -2; the others are above it by 0, 0, 3 and 3, in two bits each.
        let bytes = [&[0x80, 0x01, 0x04, 0x05, 0x0a, 0x03, 2, 0, 0, 0, 0b1111_0000][..], &[0; 7]].concat();
        let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
        packed_differences(&mut rest, 5, |value| found.push(value)).unwrap();
        assert_eq!((found, rest), (vec![5, 3, 1, 2, 3], &[][..]));
        assert!(packed_differences(&mut bytes.as_slice(), 4, |_| {}).is_err());
    }
}
