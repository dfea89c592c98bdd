//! The pages of a Parquet file, decompressed within limits.
//!
//! The library would decompress a page to whatever size it has. So it is told that pages are not compressed, and they are
//! decompressed here. What all columns hold at a time has a limit, too.

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length, RowGroupReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::extent::Extent;
use super::source::Source;
use super::unpacking::{Limits, Packing, unpack};
use crate::types::{self, length};

/// How many bytes are read from the source at a time.
const WINDOW_BYTES: u64 = 1 << 20;
/// The largest page, packed or not.
pub(super) const MAX_PAGE_BYTES: u64 = 64 << 20;
/// How many bytes Brotli reads at a time.
const BROTLI_BUFFER: usize = 4096;
/// How many bytes the pages of all columns may take at a time, with what they are decoded to.
const MAX_HELD_BYTES: u64 = 512 << 20;

/// A part of a source, kept for what is asked next: whoever reads one column reads on.
pub(super) struct Window {
    source: Arc<dyn Source>,
    kept: Mutex<(u64, Bytes)>,
}

impl Window {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, kept: Mutex::default() }
    }

    fn bytes(&self, start: u64, length: u64) -> Result<Bytes> {
        let end = start.saturating_add(length);
        if length > MAX_PAGE_BYTES || end > self.source.size_bytes() {
            return Err(fault(format!("it speaks of {length} bytes at {start}, which cannot be")));
        }
        let mut kept = self.kept.lock().map_err(|_| fault("a reader panicked"))?;
        let (from, bytes) = &*kept;
        let until = from.saturating_add(types::length(bytes));
        if start < *from || end > until {
            let wide = start..start.saturating_add(length.max(WINDOW_BYTES)).min(self.source.size_bytes());
            let mut bytes = Vec::new();
            self.source.read(wide)?.read_to_end(&mut bytes)?;
            *kept = (start, Bytes::from(bytes));
        }
        let (from, bytes) = &*kept;
        let place = |at: u64| usize::try_from(at.saturating_sub(*from)).unwrap_or(usize::MAX);
        match (place(start), place(end)) {
            (start, end) if end <= bytes.len() => Ok(bytes.slice(start..end)),
            _ => Err(fault("the source ended early")),
        }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.source.size_bytes()
    }
}

impl ChunkReader for Window {
    type T = Cursor<Bytes>;
    /// What follows, as far as the window goes: the head of a page is far smaller.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let rest = self.source.size_bytes().saturating_sub(start);
        self.bytes(start, rest.min(WINDOW_BYTES / 4)).map(Cursor::new)
    }
    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        self.bytes(start, u64::try_from(length).unwrap_or(u64::MAX))
    }
}

pub(super) fn fault(why: impl Into<String>) -> ParquetError {
    ParquetError::General(why.into())
}

/// What all readers of a file count together.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limits: Limits,
    pub(super) size_bytes: u64,
    held: AtomicU64,
    unpacked: AtomicU64,
}

impl Budget {
    pub(super) fn new(limits: Limits, size_bytes: u64) -> Self {
        Self { limits, size_bytes, held: AtomicU64::new(0), unpacked: AtomicU64::new(0) }
    }

    fn unpack(&self, bytes: u64) -> Result<()> {
        let unpacked = self.unpacked.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        Ok(self.limits.check(unpacked, self.size_bytes)?)
    }

    fn hold(&self, bytes: u64) -> Result<()> {
        match self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) {
            held if held > MAX_HELD_BYTES => {
                Err(fault(format!("its pages need more than {MAX_HELD_BYTES} bytes at a time")))
            }
            _ => Ok(()),
        }
    }
}

/// A row group whose pages are unpacked here.
pub(super) struct RowGroup<'a> {
    pub(super) metadata: &'a RowGroupMetaData,
    pub(super) source: Arc<dyn Source>,
    pub(super) budget: Arc<Budget>,
}

impl RowGroupReader for RowGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.metadata
    }
    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }
    fn get_column_page_reader(&self, i: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata.column(i);
        let as_packed = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let rows = usize::try_from(self.metadata.num_rows()).map_err(|_| fault("its number of rows is negative"))?;
        let window = Arc::new(Window::new(self.source.clone()));
        let packed = SerializedPageReader::new(window, &as_packed, rows, None)?;
        let (compression, extent) = (column.compression(), Extent::of(column.column_descr()));
        Ok(Box::new(Pages { packed, compression, extent, budget: self.budget.clone(), held: [0; 2] }))
    }
    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }
    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The pages of one column.
struct Pages {
    packed: SerializedPageReader<Window>,
    compression: Compression,
    extent: Extent,
    budget: Arc<Budget>,
    /// What the dictionary and the last page of values take.
    held: [u64; 2],
}

impl Pages {
    fn unpack(&mut self, page: Page) -> Result<Page> {
        let place = usize::from(!page.is_dictionary_page());
        if let Some(held) = self.held.get_mut(place) {
            self.budget.held.fetch_sub(std::mem::take(held), Ordering::Relaxed);
        }
        let page = self.unpacked(page)?;
        let size = length(page.buffer());
        self.budget.unpack(size)?;
        let size = size.saturating_add(self.extent.take(&page)?);
        if let Some(held) = self.held.get_mut(place) {
            *held = size;
        }
        self.budget.hold(size)?;
        Ok(page)
    }

    fn unpacked(&self, mut page: Page) -> Result<Page> {
        match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = unpacked(buf, self.compression)?,
            Page::DataPageV2 { is_compressed: false, .. } => {}
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels =
                    usize::try_from(def_levels_byte_len.saturating_add(*rep_levels_byte_len)).unwrap_or(usize::MAX);
                if levels > buf.len() {
                    return Err(fault("the levels of a page do not fit into it"));
                }
                let values = match buf.slice(levels..) {
                    none if none.is_empty() => none,
                    values => unpacked(&values, self.compression)?,
                };
                *buf = [buf.slice(..levels), values].concat().into();
            }
        }
        Ok(page)
    }
}

/// A page's bytes as they were before they were packed.
fn unpacked(packed: &Bytes, compression: Compression) -> Result<Bytes> {
    let packing = match compression {
        Compression::UNCOMPRESSED => return Ok(packed.clone()),
        Compression::SNAPPY => return unsnapped(packed),
        Compression::GZIP(_) => Packing::Gzip,
        Compression::ZSTD(_) => Packing::Zstd,
        Compression::BROTLI(_) => return read_whole(Decompressor::new(packed.as_ref(), BROTLI_BUFFER)),
        Compression::LZ4_RAW => return unlz4(packed).map(Bytes::from),
        Compression::LZ4 => return unframed(packed),
        Compression::LZO => {
            return Err(fault("LZO is not read: write it with ZSTD, SNAPPY, GZIP, LZ4_RAW or BROTLI"));
        }
    };
    read_whole(unpack(packed.as_ref(), Some(packing)))
}

fn read_whole(unpacked: impl Read) -> Result<Bytes> {
    let mut bytes = Vec::new();
    unpacked.take(MAX_PAGE_BYTES + 1).read_to_end(&mut bytes)?;
    if length(&bytes) > MAX_PAGE_BYTES {
        return Err(too_large());
    }
    Ok(bytes.into())
}

pub(super) fn too_large() -> ParquetError {
    fault(format!("a page unpacks to more than {MAX_PAGE_BYTES} bytes"))
}

/// A block of LZ4 unpacks to no more than 255 times its size.
fn unlz4(packed: &[u8]) -> Result<Vec<u8>> {
    let most = length(packed).saturating_mul(255).saturating_add(64).min(MAX_PAGE_BYTES);
    let most = usize::try_from(most).map_err(|_| too_large())?;
    lz4_flex::block::decompress(packed, most).map_err(|error| fault(format!("LZ4: {error}")))
}

/// Unpacks LZ4 in the frames of Hadoop, as writers made it before LZ4_RAW: blocks, each after its two sizes.
fn unframed(mut packed: &[u8]) -> Result<Bytes> {
    let broken = || fault("its LZ4 has not the frames of Hadoop: write it with LZ4_RAW or ZSTD");
    let mut bytes = Vec::new();
    while let Some((sizes, rest)) = packed.split_first_chunk::<8>() {
        let [_, _, _, _, size @ ..] = *sizes;
        let block = usize::try_from(u32::from_be_bytes(size)).map_err(|_| broken())?;
        let (block, rest) = rest.split_at_checked(block).ok_or_else(broken)?;
        bytes.extend(unlz4(block)?);
        if length(&bytes) > MAX_PAGE_BYTES {
            return Err(too_large());
        }
        packed = rest;
    }
    if packed.is_empty() { Ok(bytes.into()) } else { Err(broken()) }
}

fn unsnapped(packed: &[u8]) -> Result<Bytes> {
    let snapped = |error: snap::Error| fault(error.to_string());
    let size = u64::try_from(snap::raw::decompress_len(packed).map_err(snapped)?).unwrap_or(u64::MAX);
    if size > MAX_PAGE_BYTES {
        return Err(too_large());
    }
    Ok(snap::raw::Decoder::new().decompress_vec(packed).map_err(snapped)?.into())
}

impl Iterator for Pages {
    type Item = Result<Page>;
    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.packed.get_next_page()?;
        page.map(|page| self.unpack(page)).transpose()
    }
    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }
    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.held.iter().sum(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use parquet::basic::BrotliLevel;

    use super::*;

    #[test]
    fn every_codec_of_parquet_but_lzo_is_unpacked() {
        let whole = b"spring ".repeat(20);
        let lz4 = lz4_flex::block::compress(&whole);
        let sizes = [whole.len(), lz4.len()].map(|size| u32::try_from(size).unwrap().to_be_bytes());
        let framed = [&sizes.concat()[..], &lz4].concat();
        let brotli = hex::decode("1b8b000024408a90c42aa9f40f").unwrap();
        for (packed, compression) in [
            (whole.clone(), Compression::UNCOMPRESSED),
            (lz4, Compression::LZ4_RAW),
            (framed, Compression::LZ4),
            (brotli, Compression::BROTLI(BrotliLevel::default())),
        ] {
            assert_eq!(unpacked(&Bytes::from(packed), compression).unwrap(), whole, "{compression}");
        }
        let why = unpacked(&Bytes::from(whole), Compression::LZO).unwrap_err().to_string();
        assert!(why.contains("write it with ZSTD"), "{why}");
    }

    #[test]
    fn what_is_not_lz4_is_refused_and_what_would_not_end_is_stopped() {
        for broken in [&b"\xff\xff\xff"[..], &[0x10, 0x41, 0xff, 0xff]] {
            assert!(unlz4(broken).is_err());
            assert!(unframed(broken).is_err());
        }
        let bomb = lz4_flex::block::compress(&vec![0; usize::try_from(MAX_PAGE_BYTES).unwrap() + 1]);
        assert!(unlz4(&bomb).is_err());
    }
}
