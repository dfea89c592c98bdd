//! The index of one process: which words and facets the listings on the board have, and by what they are sorted.
//!
//! It holds no text, and decides nothing: what it finds is read from the database before it is shown to anybody.
//!
//! Every commit notes up to which change of the board it goes. An index is of use only where the database has that very
//! change: one of another database, or of a time that a restored backup knows nothing of, is built anew, as one is that was
//! made in another format, is missing, or has a file with a wrong checksum.

use std::path::Path;

use tantivy::indexer::{LogMergePolicy, NoMergePolicy};
use tantivy::schema::{BytesOptions, FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term};

use super::builder::Builder;
use super::changes::Change;
use super::directory::Folder;
use super::entry::Entry;
use super::sheet::Sheets;
use super::words;
use crate::error::{Error, Result};
use crate::types::{DatasetId, TransitionId};

/// The format of an index; raised when words or facets are made in another way, so that every index is built anew.
const FORMAT: u32 = 5;
/// The memory in which changes are gathered.
const BYTES_TO_FOLLOW: usize = 20_000_000;
/// The memory in which all builders of a new index together gather segments.
const BYTES_TO_BUILD: usize = 192_000_000;
/// Segments above this are left as they are.
const LARGEST_MERGE: usize = 250_000;
const WORDS: &str = "words";

/// The fields of the index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    /// Every word, wherever it stands.
    pub(super) words: Field,
    /// The words of the title.
    pub(super) title: Field,
    /// The words of the tags.
    pub(super) tags: Field,
    /// The words of the dataset's name, and of the names of its provider and of its columns.
    pub(super) names: Field,
    /// See [`super::facets`].
    pub(super) facets: Field,
    /// What is filtered by and not counted: see [`Flag`].
    pub(super) flags: Field,
    /// The dataset, by which listings are replaced.
    dataset: Field,
    /// The identifier's upper and lower half.
    upper: Field,
    lower: Field,
    /// In bytes.
    size: Field,
    /// In minor units.
    pub(super) price: Field,
}

/// A property that is filtered by and not counted.
pub(super) enum Flag {
    /// Priced in this currency.
    Currency(crate::types::Currency),
    /// Costs nothing, in whatever currency.
    Free,
}

impl Flag {
    pub(super) fn term(&self) -> String {
        match self {
            Self::Currency(currency) => format!("currency={currency}"),
            Self::Free => "free".to_string(),
        }
    }
}

fn schema() -> (Schema, Fields) {
    let indexed = |tokenizer: &str| {
        let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer).set_fieldnorms(false);
        TextOptions::default().set_indexing_options(indexing.set_index_option(IndexRecordOption::Basic))
    };
    let mut schema = Schema::builder();
    let fields = Fields {
        words: schema.add_text_field("words", indexed(WORDS)),
        title: schema.add_text_field("title", indexed(WORDS)),
        tags: schema.add_text_field("tags", indexed(WORDS)),
        names: schema.add_text_field("names", indexed(WORDS)),
        facets: schema.add_text_field("facets", indexed("raw").set_fast("raw")),
        flags: schema.add_text_field("flags", indexed("raw")),
        dataset: schema.add_bytes_field("dataset", BytesOptions::default().set_indexed()),
        upper: schema.add_u64_field("upper", FAST),
        lower: schema.add_u64_field("lower", FAST),
        size: schema.add_u64_field("size", FAST),
        price: schema.add_u64_field("price", FAST),
    };
    (schema.build(), fields)
}

impl Fields {
    pub(super) fn document(&self, entry: &Entry) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        let (tags, text) = (entry.tags(), entry.text());
        let own = [&entry.dataset.name, &entry.dataset.handle, &entry.provider];
        let names: Vec<&str> = own.into_iter().chain(&entry.columns).map(String::as_str).collect();
        document.add_text(self.title, &entry.dataset.title);
        tags.iter().for_each(|tag| document.add_text(self.tags, tag));
        names.iter().for_each(|name| document.add_text(self.names, name));
        let everything = [entry.dataset.title.as_str(), text];
        let everything = everything.into_iter().chain(tags.iter().map(String::as_str)).chain(names);
        everything.for_each(|text| document.add_text(self.words, text));
        entry.facet_terms().iter().for_each(|term| document.add_text(self.facets, term));
        let mut flags = vec![Flag::Currency(entry.price.currency)];
        flags.extend((entry.price.amount_minor == 0).then_some(Flag::Free));
        flags.iter().for_each(|flag| document.add_text(self.flags, flag.term()));
        document.add_bytes(self.dataset, &entry.dataset.id.as_u128().to_be_bytes());
        let id = entry.listing.as_u128();
        document.add_u64(self.upper, u64::try_from(id >> 64).unwrap_or_default());
        document.add_u64(self.lower, u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default());
        document.add_u64(self.size, entry.size_bytes);
        document.add_u64(self.price, u64::try_from(entry.price.amount_minor).unwrap_or_default());
        document
    }
}

/// Up to which change of the board an index goes: none, or the last one and its step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach(pub Option<(i64, TransitionId)>);

impl Reach {
    /// Up to this change.
    pub fn to(change: Option<Change>) -> Self {
        Self(change.map(|change| (change.position, change.step_id)))
    }
    /// The position, zero before the first change.
    pub fn position(self) -> i64 {
        self.0.map_or(0, |(position, _)| position)
    }

    fn write(self) -> String {
        match self.0 {
            None => format!("{FORMAT}"),
            Some((position, step)) => format!("{FORMAT} {position} {step}"),
        }
    }
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let same_format = parts.next()?.parse() == Ok(FORMAT);
        let change = match (parts.next(), parts.next()) {
            (None, None) => None,
            (position, step) => Some((position?.parse().ok()?, step?.parse().ok()?)),
        };
        same_format.then_some(Self(change))
    }
}

/// The part of an index that searches share: a reader, which each commit brings up to date.
#[derive(Clone)]
pub struct Reading {
    reader: IndexReader,
    pub(super) fields: Fields,
    pub(super) sheets: Sheets,
}

impl Reading {
    /// A searcher over what was committed when [`Reading::reload`] was called last.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Shows what was committed since.
    fn reload(&self) -> Result<()> {
        self.reader.reload().map_err(broken)?;
        self.sheets.follow(&self.searcher()).map_err(broken)
    }
}

/// The index, for its writer.
pub struct BoardIndex {
    index: Index,
    reading: Reading,
    writer: Option<IndexWriter>,
    reach: Reach,
}

impl BoardIndex {
    /// Makes an empty index in a folder that has none.
    ///
    /// # Errors
    /// `Internal`, when the folder cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let index = Index::create(Folder::open(folder).map_err(broken)?, schema().0, Default::default());
        Self::over(index.map_err(broken)?, Reach(None))
    }

    /// Opens the index in a folder; none where it is missing, damaged, or was made in another format.
    pub fn open(folder: &Path) -> Option<Self> {
        if !folder.exists() {
            return None;
        }
        let opened = || -> tantivy::Result<Option<Self>> {
            let index = Index::open(Folder::open(folder)?)?;
            let reach = index.load_metas()?.payload.as_deref().and_then(Reach::read);
            let fits = index.schema() == schema().0 && index.validate_checksum()?.is_empty();
            Ok(reach.filter(|_| fits).and_then(|reach| Self::over(index, reach).ok()))
        };
        opened().unwrap_or_else(|error| {
            tracing::info!(%error, "the search index that was kept cannot be used, and another is built");
            None
        })
    }

    fn over(index: Index, reach: Reach) -> Result<Self> {
        index.tokenizers().register(WORDS, words::analyzer());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(broken)?;
        let reading = Reading { reader, fields: schema().1, sheets: Sheets::default() };
        reading.reload()?;
        Ok(Self { index, reading, writer: None, reach })
    }

    /// For those who search.
    pub fn reading(&self) -> Reading {
        self.reading.clone()
    }

    /// Up to which change it goes.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// True while its files are where they were.
    pub fn stands(&self) -> bool {
        self.index.load_metas().is_ok()
    }

    /// So many builders, which fill this index side by side while nobody else writes or reads it.
    pub(super) fn builders(&self, number: usize) -> Vec<Builder> {
        let bytes = BYTES_TO_BUILD / number.max(1);
        (0..number).map(|_| Builder::new(self.index.clone(), self.reading.fields, bytes)).collect()
    }

    /// Makes what builders built durable, and notes up to which change it goes; the index is to be opened then.
    pub(super) fn assemble(mut self, builders: Vec<Builder>, reach: Reach) -> Result<()> {
        let writer = self.writer()?;
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for segment in builders.into_iter().flat_map(Builder::built) {
            writer.add_segment(segment).map_err(broken)?;
        }
        self.write(reach)
    }

    /// Adds listings of datasets that it holds nothing of.
    ///
    /// # Errors
    /// `Internal`, when they cannot be written.
    pub fn add(&mut self, entries: &[Entry]) -> Result<()> {
        let fields = self.reading.fields;
        let writer = self.writer()?;
        entries.iter().try_for_each(|entry| writer.add_document(fields.document(entry)).map(drop)).map_err(broken)
    }

    /// Removes whatever there is of these datasets.
    ///
    /// # Errors
    /// `Internal`, when it cannot be written.
    pub fn remove(&mut self, datasets: &[DatasetId]) -> Result<()> {
        let field = self.reading.fields.dataset;
        let writer = self.writer()?;
        for dataset in datasets {
            writer.delete_term(Term::from_field_bytes(field, &dataset.as_u128().to_be_bytes()));
        }
        Ok(())
    }

    /// Makes what was written durable and found, and notes up to which change it goes.
    ///
    /// # Errors
    /// `Internal`, when it cannot be written.
    pub fn commit(&mut self, reach: Reach) -> Result<()> {
        self.write(reach)?;
        self.reading.reload()?;
        self.reach = reach;
        Ok(())
    }

    fn write(&mut self, reach: Reach) -> Result<()> {
        let mut commit = self.writer()?.prepare_commit().map_err(broken)?;
        commit.set_payload(&reach.write());
        commit.commit().map(drop).map_err(broken)
    }

    /// Waits for what is merged in the background, and gives the memory for writing back.
    ///
    /// # Errors
    /// `Internal`, when it cannot be written.
    pub fn rest(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        writer.wait_merging_threads().map_err(broken)?;
        self.reading.reload()
    }

    fn writer(&mut self) -> Result<&mut IndexWriter> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let writer = self.index.writer_with_num_threads(1, BYTES_TO_FOLLOW).map_err(broken)?;
                let mut merges = LogMergePolicy::default();
                merges.set_max_docs_before_merge(LARGEST_MERGE);
                writer.set_merge_policy(Box::new(merges));
                writer
            }
        };
        Ok(self.writer.insert(writer))
    }
}

pub(super) fn broken(error: tantivy::TantivyError) -> Error {
    Error::internal("the search index cannot be used").because(error)
}
