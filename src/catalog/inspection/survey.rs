//! One reading of all shards of a version: what it finds.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::columns::{ColumnType, Columns};
use super::draw::Draw;
use super::layout::{Layout, Layouts, NamedType, ShardColumns};
use super::source::Source;
use super::unpacking::{Limits, Packing};
use super::{lines, table};
use crate::text_enum;
use crate::types::Digest;

/// The most unreadable shards that are named.
const MAX_NAMED: usize = 100;
/// The longest reason, in characters.
const MAX_REASON_CHARS: usize = 300;

text_enum! {
    /// How a shard holds its records.
    pub enum Format {
        /// One JSON value a line.
        JsonLines = "json-lines",
        /// Apache Parquet.
        Parquet = "parquet",
        /// In a way that is not looked into.
        Other = "other",
    }
}

impl Format {
    /// The format and the packing of a shard, by the end of its path, as the Hub and its tools tell them.
    pub fn of(path: &str) -> (Self, Option<Packing>) {
        let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let packed = [(".gz", Packing::Gzip), (".zst", Packing::Zstd), (".zstd", Packing::Zstd)];
        let packed = packed.iter().find_map(|(end, packing)| Some((name.strip_suffix(end)?, Some(*packing))));
        let (stem, packing) = packed.unwrap_or((&name, None));
        match stem.rsplit_once('.').map(|(_, end)| end) {
            Some("jsonl" | "ndjson" | "jsonlines") => (Self::JsonLines, packing),
            Some("parquet") if packing.is_none() => (Self::Parquet, None),
            _ => (Self::Other, None),
        }
    }
}

/// The shards of one format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormatShare {
    /// How they hold their records.
    pub format: Format,
    /// How they are compressed as a whole; absent where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packing: Option<Packing>,
    /// How many there are.
    pub shards: u64,
    /// Their size.
    pub bytes: u64,
    /// How many records they hold; none are seen of other formats.
    pub records: u64,
    /// The columns of their records, by name; the first 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<NamedType>,
}

/// A shard that does not match the extension of its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreadableShard {
    /// Its path.
    pub path: String,
    /// Why it cannot be read.
    pub reason: String,
}

/// What is found while shards are read.
#[derive(Debug)]
pub struct Survey {
    limits: Limits,
    /// What their columns hold.
    pub columns: Columns,
    /// The sample.
    pub draw: Draw,
    formats: BTreeMap<(Format, Option<Packing>), (FormatShare, Layout)>,
    layouts: Layouts<(Format, Option<Packing>)>,
    /// The first that cannot be read.
    pub unreadable: Vec<UnreadableShard>,
    /// How many cannot be read.
    pub unreadable_shards: u64,
    seen: HashSet<Digest>,
}

impl Survey {
    /// Begins a survey that draws a sample by this seed.
    pub fn new(seed: Digest, limits: Limits) -> Self {
        Self {
            limits,
            columns: Columns::default(),
            draw: Draw::new(seed),
            formats: BTreeMap::new(),
            layouts: Layouts::new(),
            unreadable: Vec::new(),
            unreadable_shards: 0,
            seen: HashSet::new(),
        }
    }

    /// Reads a shard. What is wrong with it is noted; where the source failed, the survey is worth nothing.
    pub fn read(&mut self, path: &str, sha256: Digest, source: &Arc<dyn Source>) {
        let (format, packing) = Format::of(path);
        // Of bytes that are there twice, each record would have the same rank twice.
        let drawn = self.seen.insert(sha256);
        let mut shown = Shown { survey: self, layout: Layout::default(), path, sha256, drawn };
        let read = match format {
            Format::JsonLines => {
                let limits = shown.survey.limits;
                let mut show = |index, bytes: &[u8]| shown.line(index, bytes);
                lines::for_each(source.as_ref(), packing, limits, &mut show).map_err(|error| error.to_string())
            }
            Format::Parquet => table::read(source, shown.survey.limits, &mut shown),
            Format::Other => Ok(0),
        };
        let layout = shown.layout;
        let records = read.as_ref().copied().unwrap_or(0);
        let share = FormatShare { format, packing, shards: 0, bytes: 0, records: 0, columns: Vec::new() };
        let (share, common) = self.formats.entry((format, packing)).or_insert((share, Layout::default()));
        common.merge(&layout);
        share.shards = share.shards.saturating_add(1);
        share.bytes = share.bytes.saturating_add(source.size_bytes());
        share.records = share.records.saturating_add(records);
        match read {
            Err(reason) => self.note(path, &reason),
            Ok(_) if format != Format::Other => self.layouts.keep(path, (format, packing), layout),
            Ok(_) => {}
        }
    }

    fn note(&mut self, path: &str, reason: &str) {
        self.unreadable_shards = self.unreadable_shards.saturating_add(1);
        if self.unreadable.len() < MAX_NAMED {
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            let reason = reason.chars().map(plain).take(MAX_REASON_CHARS).collect();
            self.unreadable.push(UnreadableShard { path: path.to_string(), reason });
        }
    }

    /// The shards by format.
    pub fn formats(&self) -> Vec<FormatShare> {
        let share = |(share, layout): &(FormatShare, Layout)| {
            let mut share = share.clone();
            share.columns = layout.columns();
            share
        };
        self.formats.values().map(share).collect()
    }

    /// The shards that do not have just the columns of their format; and whether not all were compared.
    pub fn differing(&self) -> (Vec<ShardColumns>, bool) {
        let of_format = |of| self.formats.get(&of).map(|(_, layout)| layout.columns()).unwrap_or_default();
        (self.layouts.differing(of_format), self.layouts.further)
    }
}

/// A shard whose records are shown to a survey.
struct Shown<'a> {
    survey: &'a mut Survey,
    layout: Layout,
    path: &'a str,
    sha256: Digest,
    drawn: bool,
}

impl Shown<'_> {
    fn line(&mut self, index: u64, bytes: &[u8]) -> io::Result<()> {
        let record: Value = serde_json::from_slice(bytes)
            .map_err(|error| io::Error::other(format!("record {index} is not JSON: {error}")))?;
        self.record(index, &record, || bytes.to_vec());
        Ok(())
    }

    fn record(&mut self, index: u64, record: &Value, bytes: impl FnOnce() -> Vec<u8>) {
        self.survey.columns.count(record);
        self.layout.see(record);
        if self.drawn {
            self.survey.draw.show((self.path, self.sha256), index, bytes);
        }
    }
}

impl table::Reading for Shown<'_> {
    fn column(&mut self, name: &str, kind: ColumnType) {
        self.survey.columns.declare(name, kind);
        self.layout.declare(name, kind);
    }
    fn row(&mut self, index: u64, row: Value) -> io::Result<()> {
        self.record(index, &row, || row.to_string().into_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_path_tells_the_format() {
        for (path, format, packing) in [
            ("a.jsonl", Format::JsonLines, None),
            ("data/a.NDJSON", Format::JsonLines, None),
            ("a.jsonl.gz", Format::JsonLines, Some(Packing::Gzip)),
            ("a.jsonl.zst", Format::JsonLines, Some(Packing::Zstd)),
            ("train-00000-of-00003.parquet", Format::Parquet, None),
            ("a.parquet.gz", Format::Other, None),
            ("a.tar", Format::Other, None),
            ("a.json", Format::Other, None),
            ("jsonl", Format::Other, None),
            ("a.jsonl/b", Format::Other, None),
        ] {
            assert_eq!(Format::of(path), (format, packing), "{path}");
        }
    }
}
