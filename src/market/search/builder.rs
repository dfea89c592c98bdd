//! Filling a new index with a whole board: builders gather segments side by side, each in memory of its own, and the index is
//! assembled of these in the end.
//!
//! No document waits in a queue, and none is merged: while one builder writes a segment to the disk, the others go on.

use tantivy::indexer::{AddOperation, SegmentWriter};
use tantivy::{Index, Segment, SegmentMeta};

use super::entry::Entry;
use super::index::{Fields, broken};
use crate::error::Result;

/// Gathers one segment after the other.
pub(super) struct Builder {
    index: Index,
    fields: Fields,
    /// The memory in which it gathers a segment.
    bytes: usize,
    begun: Option<(Segment, SegmentWriter)>,
    built: Vec<SegmentMeta>,
}

impl Builder {
    pub(super) fn new(index: Index, fields: Fields, bytes: usize) -> Self {
        Self { index, fields, bytes, begun: None, built: Vec::new() }
    }

    /// Adds listings that no builder of the index has got.
    pub(super) fn add(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(()); // a segment has at least one
        }
        let (segment, mut writer) = self.begun.take().map_or_else(|| self.begin(), Ok).map_err(broken)?;
        for entry in entries {
            let operation = AddOperation { opstamp: 0, document: self.fields.document(entry) };
            writer.add_document(operation).map_err(broken)?;
        }
        let is_full = writer.mem_usage() >= self.bytes;
        self.begun = Some((segment, writer));
        if is_full { self.end() } else { Ok(()) }
    }

    fn begin(&self) -> tantivy::Result<(Segment, SegmentWriter)> {
        let segment = self.index.new_segment();
        let writer = SegmentWriter::for_segment(self.bytes, segment.clone())?;
        Ok((segment, writer))
    }

    /// Writes the segment that is begun, if one is.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some((segment, writer)) = self.begun.take() else { return Ok(()) };
        let documents = writer.max_doc();
        writer.finalize().map_err(broken)?;
        self.built.push(segment.with_max_doc(documents).meta().clone());
        Ok(())
    }

    /// The segments that were written.
    pub(super) fn built(self) -> Vec<SegmentMeta> {
        self.built
    }
}
