//! Entries: what the index and the answers of a search hold of a listing.

use std::collections::HashMap;

use super::facets::{self, Facet};
use super::queries::{self, OnBoard};
use crate::catalog::card::Card;
use crate::catalog::{Dataset, inspection};
use crate::db::{self, Conn};
use crate::error::{Error, Result};
use crate::terms::{self, TermsDocument, Use};
use crate::types::{DatasetId, ListingId, Money, TermsId, VersionId};

/// The keys of a card's front matter whose values are tags.
const TAGS: &[&str] = &["tags", "keywords", "task_categories", "license", "pretty_name"];
const MOST_TAGS: usize = 100;
/// How much of a card is searched, in bytes.
const CARD_BYTES: usize = 64 * 1024;
/// How many bytes of cards are read at a time: a card may have a mebibyte.
const BATCH_BYTES: i64 = 8 * 1024 * 1024;
/// How many listings are read at a time.
const BATCH: usize = 500;
/// The most formats of one version; of a version with more, some are left out.
const MOST_FORMATS: usize = 50;

/// A listing on the board, with what it is searched by and shown with.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The listing.
    pub listing: ListingId,
    /// What it offers.
    pub version_id: VersionId,
    /// On which terms.
    pub terms_id: TermsId,
    /// The dataset of which that is a version.
    pub dataset: Dataset,
    /// The number of the version.
    pub version: i32,
    /// The beginning of the dataset card of that version.
    pub card: String,
    /// The legal name of the provider.
    pub provider: String,
    /// The sum of the sizes of its shards.
    pub size_bytes: u64,
    /// What it costs.
    pub price: Money,
    /// The uses that its terms permit.
    pub uses: Vec<Use>,
    /// How its shards are written.
    pub formats: Vec<String>,
    /// The items of the checklist that its latest assessment found not to apply.
    pub not_applicable: Vec<String>,
    /// The names of its columns; none unless it is read to be indexed, nor before it was inspected.
    pub columns: Vec<String>,
}

impl Entry {
    /// Every value of every facet, as it is indexed.
    pub(super) fn facet_terms(&self) -> Vec<String> {
        let mut terms = vec![
            Facet::Modality.term(self.dataset.modality.as_str()),
            Facet::Domain.term(self.dataset.domain.as_str()),
            Facet::Price.term(facets::price_band(self.price)),
            Facet::Size.term(facets::size_band(self.size_bytes)),
            Facet::Provider.term(&self.dataset.handle),
        ];
        terms.extend(facets::languages(&self.dataset.languages).iter().map(|tag| Facet::Language.term(tag)));
        terms.extend(self.uses.iter().map(|wanted| Facet::Use.term(wanted.as_str())));
        terms.extend(self.formats.iter().map(|format| Facet::Format.term(format)));
        terms.extend(self.not_applicable.iter().map(|item| Facet::Assessment.term(item)));
        terms
    }

    /// The tags in the card's front matter; none where that cannot be read.
    pub(super) fn tags(&self) -> Vec<String> {
        let Ok(card) = Card::parse(&self.card) else { return Vec::new() };
        let values = TAGS.iter().filter_map(|key| card.front_matter.get(*key));
        let texts = values.flat_map(|value| match value.as_sequence() {
            Some(list) => list.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>(),
            None => value.as_str().into_iter().collect(),
        });
        texts.take(MOST_TAGS).map(str::to_string).collect()
    }

    /// The part of the card's Markdown that is searched.
    pub(super) fn text(&self) -> &str {
        let text = Card::body_of(&self.card);
        text.get(..text.floor_char_boundary(CARD_BYTES)).unwrap_or(text)
    }
}

/// The listings of these datasets that are searched, which are those of the newest version on the board: in batches whose cards
/// have at most [`BATCH_BYTES`] together, or of a single listing.
pub(super) fn batches(c: &mut Conn, datasets: &[DatasetId]) -> Result<Vec<Vec<ListingId>>> {
    let mut found = queries::list_sizes(c, datasets)?;
    let mut newest: HashMap<DatasetId, i32> = HashMap::new();
    for (_, dataset, version, _) in &found {
        let number = newest.entry(*dataset).or_insert(*version);
        *number = (*version).max(*number);
    }
    found.retain(|(_, dataset, version, _)| newest.get(dataset) == Some(version));
    Ok(in_batches(found.into_iter().map(|(listing, _, _, bytes)| (listing, bytes))))
}

fn in_batches<T>(items: impl Iterator<Item = (T, i64)>) -> Vec<Vec<T>> {
    let (mut batches, mut batch, mut held) = (Vec::new(), Vec::new(), 0_i64);
    for (item, bytes) in items {
        let with = held.saturating_add(bytes);
        if !batch.is_empty() && (with > BATCH_BYTES || batch.len() >= BATCH) {
            batches.push(std::mem::take(&mut batch));
            held = bytes;
        } else {
            held = with;
        }
        batch.push(item);
    }
    batches.extend((!batch.is_empty()).then_some(batch));
    batches
}

/// How the shards of a sealed version are written.
#[derive(Debug, Clone)]
struct Formats(Vec<String>);

/// The entries of those listings that are on the board. The formats of their shards are remembered: what a search finds may have
/// millions of shards to look through.
pub(super) fn of_listings(c: &mut Conn, listings: &[ListingId]) -> Result<Vec<Entry>> {
    let found = queries::list_on_board(c, listings)?;
    let versions = versions(&found);
    db::load_ahead(c, versions.iter().copied(), list_formats)?;
    let mut formats = HashMap::new();
    for version in versions {
        let load = |c: &mut Conn| Ok::<_, Error>(list_formats(c, &[version])?.pop().map(|(_, formats)| formats));
        formats.extend(db::fact(c, version, load)?.map(|known| (version, known)));
    }
    entries(c, found, &formats)
}

/// As [`of_listings`], with the names of their columns, to be indexed.
pub(super) fn to_index(c: &mut Conn, listings: &[ListingId]) -> Result<Vec<Entry>> {
    let found = queries::list_on_board(c, listings)?;
    let versions = versions(&found);
    let formats = list_formats(c, &versions)?.into_iter().collect();
    let mut entries = entries(c, found, &formats)?;
    let columns = inspection::column_names(c, &versions)?;
    for entry in &mut entries {
        entry.columns = columns.get(&entry.version_id).cloned().unwrap_or_default();
    }
    Ok(entries)
}

fn versions(found: &[OnBoard]) -> Vec<VersionId> {
    let mut versions: Vec<VersionId> = found.iter().map(|row| row.version_id).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn list_formats(c: &mut Conn, versions: &[VersionId]) -> Result<Vec<(VersionId, Formats)>> {
    let mut found: HashMap<VersionId, Vec<String>> = HashMap::new();
    for (version, media_type) in queries::list_media_types(c, versions)? {
        let known = found.entry(version).or_default();
        let format = facets::format(&media_type);
        if known.len() < MOST_FORMATS && !known.contains(&format) {
            known.push(format);
        }
    }
    Ok(found.into_iter().map(|(version, formats)| (version, Formats(formats))).collect())
}

fn entries(c: &mut Conn, found: Vec<OnBoard>, formats: &HashMap<VersionId, Formats>) -> Result<Vec<Entry>> {
    let checklists = queries::list_checklists(c, &versions(&found))?.into_iter();
    let latest: HashMap<VersionId, Vec<String>> =
        checklists.map(|(version, answers)| (version, facets::not_applicable(&answers.0))).collect();
    let entry = |row: OnBoard| {
        // Terms whose price cannot be counted for this version are listed by nobody.
        let price = terms::price(&row.terms.0, &row.measure).ok()?;
        Some(Entry {
            formats: formats.get(&row.version_id).map(|formats| formats.0.clone()).unwrap_or_default(),
            not_applicable: latest.get(&row.version_id).cloned().unwrap_or_default(),
            size_bytes: u64::try_from(row.measure.bytes).unwrap_or(0),
            price,
            uses: permitted(&row.terms.0),
            listing: row.listing,
            version_id: row.version_id,
            terms_id: row.terms_id,
            dataset: row.dataset,
            version: row.version,
            card: row.card,
            provider: row.provider,
            columns: Vec::new(),
        })
    };
    Ok(found.into_iter().filter_map(entry).collect())
}

fn permitted(document: &TermsDocument) -> Vec<Use> {
    Use::ALL.iter().copied().filter(|wanted| terms::is_permitted(document, *wanted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_bounded_in_bytes_and_in_number_and_lose_nothing() {
        let batches = |sizes: &[i64]| in_batches(sizes.iter().copied().enumerate());
        assert!(batches(&[]).is_empty());
        assert_eq!(batches(&[1, 2, 3]), [vec![0, 1, 2]]);
        assert_eq!(batches(&[BATCH_BYTES, 1, BATCH_BYTES + 1, 1]), [vec![0], vec![1], vec![2], vec![3]]);
        let many = batches(&[1; BATCH + 1]);
        assert_eq!(many.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH, 1]);
    }
}
