//! What is kept in memory of each segment, so that a search with many results need not look at each of them: the sort
//! orders of its listings, and which listings have the most common facet values.
//!
//! A segment never changes, but that documents are deleted from it; those a search leaves out itself.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tantivy::columnar::ColumnValues;
use tantivy::index::SegmentId;
use tantivy::{DocId, Searcher, SegmentReader};

use super::place::{Place, Sort};
use super::values::Values;

/// A value that at least one in so many documents has is counted by its set; a rarer one document by document.
const COMMON: u64 = 64;

/// A set of a segment's documents.
#[derive(Debug, Clone)]
pub(super) struct Docs(Vec<u64>);

impl Docs {
    pub(super) fn none_of(documents: u32) -> Self {
        Self(vec![0; index(documents).div_ceil(64)])
    }
    pub(super) fn insert(&mut self, doc: DocId) {
        if let Some(word) = self.0.get_mut(index(doc / 64)) {
            *word |= 1 << (doc % 64);
        }
    }
    /// Leaves only those that are in the other, too.
    pub(super) fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }
    /// Those of so many documents that are not in it.
    pub(super) fn others(&self, documents: u32) -> Self {
        let mut others: Vec<u64> = self.0.iter().map(|word| !word).collect();
        let rest = documents % 64;
        if let Some(last) = others.last_mut().filter(|_| rest > 0) {
            *last &= (1_u64 << rest) - 1;
        }
        Self(others)
    }
    pub(super) fn contains(&self, doc: DocId) -> bool {
        self.0.get(index(doc / 64)).is_some_and(|word| (word >> (doc % 64)) & 1 == 1)
    }
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
    /// How many are in both.
    pub(super) fn count_common(&self, other: &Self) -> u64 {
        self.0.iter().zip(&other.0).map(|(one, other)| u64::from((one & other).count_ones())).sum()
    }
    pub(super) fn iter(&self) -> impl Iterator<Item = DocId> + '_ {
        (0..).zip(&self.0).flat_map(|(number, word): (u32, &u64)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(number * 64 + bit)
            })
        })
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What is kept of one segment.
pub(super) struct Sheet {
    /// The documents, the newest listing first.
    pub(super) newest: Vec<DocId>,
    /// Where each document stands in that order.
    rank: Vec<u32>,
    /// The documents, the largest first, and the cheapest first.
    largest: Vec<DocId>,
    cheapest: Vec<DocId>,
    /// The columns by which documents are placed.
    pub(super) columns: Columns,
    /// The sets of the values that many have, by the number of the value.
    pub(super) common: Vec<(u32, Docs)>,
    /// The other values.
    pub(super) rare: Rare,
}

/// The values that few have, by their numbers.
#[derive(Default)]
pub(super) struct Rare {
    /// How many documents have each.
    pub(super) totals: Vec<(u32, u64)>,
    /// The values of each document: those from the first to the second offset.
    offsets: Vec<u32>,
    numbers: Vec<u32>,
}

impl Rare {
    /// The values of a document.
    pub(super) fn of(&self, doc: DocId) -> &[u32] {
        let at = index(doc);
        match (self.offsets.get(at), self.offsets.get(at.saturating_add(1))) {
            (Some(from), Some(to)) => self.numbers.get(index(*from)..index(*to)).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// The columns by which documents are placed.
pub(super) struct Columns {
    upper: Arc<dyn ColumnValues<u64>>,
    lower: Arc<dyn ColumnValues<u64>>,
    size: Arc<dyn ColumnValues<u64>>,
    price: Arc<dyn ColumnValues<u64>>,
}

impl Columns {
    fn of(segment: &SegmentReader) -> tantivy::Result<Self> {
        let column = |name: &str| segment.fast_fields().column_first_or_default::<u64>(name);
        Ok(Self { upper: column("upper")?, lower: column("lower")?, size: column("size")?, price: column("price")? })
    }
    pub(super) fn listing(&self, doc: DocId) -> u128 {
        (u128::from(self.upper.get_val(doc)) << 64) | u128::from(self.lower.get_val(doc))
    }
    /// What a document is sorted by, but for its relevance.
    fn value(&self, sort: Sort, doc: DocId) -> u64 {
        match sort {
            Sort::Relevance | Sort::Newest => 0,
            Sort::Size => self.size.get_val(doc),
            Sort::Price => u64::MAX - self.price.get_val(doc),
        }
    }
    /// The place of a document in an order; by relevance, as if none were more relevant.
    pub(super) fn place(&self, sort: Sort, doc: DocId) -> Place {
        Place { value: self.value(sort, doc), listing: self.listing(doc) }
    }
}

impl Sheet {
    fn of(segment: &SegmentReader, values: &Values) -> tantivy::Result<Self> {
        let columns = Columns::of(segment)?;
        let mut newest: Vec<DocId> = (0..segment.max_doc()).collect();
        newest.sort_by_cached_key(|doc| Reverse(columns.listing(*doc)));
        // The newest stay first among equals: this sorting is stable.
        let order = |sort: Sort| {
            let mut docs = newest.clone();
            docs.sort_by_cached_key(|doc| Reverse(columns.value(sort, *doc)));
            docs
        };
        let (largest, cheapest) = (order(Sort::Size), order(Sort::Price));
        let mut rank = vec![0; newest.len()];
        for (at, doc) in (0..).zip(&newest) {
            if let Some(rank) = rank.get_mut(index(*doc)) {
                *rank = at;
            }
        }
        let (common, rare) = facets(segment, values)?;
        Ok(Self { newest, rank, largest, cheapest, columns, common, rare })
    }

    /// The documents in an order; by relevance, the newest first.
    pub(super) fn order(&self, sort: Sort) -> &[DocId] {
        match sort {
            Sort::Relevance | Sort::Newest => &self.newest,
            Sort::Size => &self.largest,
            Sort::Price => &self.cheapest,
        }
    }

    /// Where a document stands among the newest.
    pub(super) fn rank(&self, doc: DocId) -> u32 {
        self.rank.get(index(doc)).copied().unwrap_or(u32::MAX)
    }
}

/// The sets of the values that many have, and the other values.
fn facets(segment: &SegmentReader, values: &Values) -> tantivy::Result<(Vec<(u32, Docs)>, Rare)> {
    let documents = segment.max_doc();
    let Some(column) = segment.fast_fields().str("facets")? else { return Ok(Default::default()) };
    let ordinals: Vec<u64> = (0..).take(column.num_terms()).collect();
    let mut numbers = Vec::with_capacity(ordinals.len());
    column.dictionary().sorted_ords_to_term_cb(&ordinals, |term| {
        numbers.push(std::str::from_utf8(term).ok().and_then(|term| values.number(term)));
    })?;
    let at = |ordinal: u64| usize::try_from(ordinal).unwrap_or(usize::MAX);
    let mut frequency = vec![0_u64; numbers.len()];
    for ordinal in (0..documents).flat_map(|doc| column.term_ords(doc)) {
        if let Some(count) = frequency.get_mut(at(ordinal)) {
            *count += 1;
        }
    }
    let is_common = |count: u64| count.saturating_mul(COMMON) >= u64::from(documents);
    let mut sets: Vec<Option<Docs>> =
        frequency.iter().map(|count| is_common(*count).then(|| Docs::none_of(documents))).collect();
    let mut rare = Rare { offsets: vec![0], ..Rare::default() };
    for doc in 0..documents {
        for ordinal in column.term_ords(doc).map(at) {
            match sets.get_mut(ordinal).and_then(Option::as_mut) {
                Some(set) => set.insert(doc),
                None => rare.numbers.extend(numbers.get(ordinal).copied().flatten()),
            }
        }
        rare.offsets.push(u32::try_from(rare.numbers.len()).unwrap_or(u32::MAX));
    }
    let mut common = Vec::new();
    for ((number, set), count) in numbers.into_iter().zip(sets).zip(frequency) {
        match (number, set) {
            (Some(number), Some(set)) => common.push((number, set)),
            (Some(number), None) => rare.totals.push((number, count)),
            (None, _) => {}
        }
    }
    Ok((common, rare))
}

/// The sheets of the segments that are searched.
#[derive(Clone, Default)]
pub(super) struct Sheets {
    made: Arc<Mutex<HashMap<SegmentId, Slot>>>,
    /// The values that they count.
    pub(super) values: Values,
}

/// The place of a sheet: one thread makes it, while the others wait.
type Slot = Arc<Mutex<Option<Arc<Sheet>>>>;

impl Sheets {
    /// The sheet of a segment, made now if it was not before.
    pub(super) fn of(&self, segment: &SegmentReader) -> tantivy::Result<Arc<Sheet>> {
        let slot = locked(&self.made).entry(segment.segment_id()).or_default().clone();
        let mut slot = locked(&slot);
        if let Some(sheet) = &*slot {
            return Ok(sheet.clone());
        }
        let sheet = Arc::new(Sheet::of(segment, &self.values)?);
        Ok(slot.insert(sheet).clone())
    }

    /// Makes those that are missing, and forgets those of segments that are no more.
    pub(super) fn follow(&self, searcher: &Searcher) -> tantivy::Result<()> {
        for segment in searcher.segment_readers() {
            self.of(segment)?;
        }
        let there = |id: &SegmentId| searcher.segment_readers().iter().any(|segment| segment.segment_id() == *id);
        locked(&self.made).retain(|id, _| there(id));
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_and_the_others_have_nothing_in_common_and_leave_no_document_out() {
        for documents in [1, 63, 64, 65, 128, 200] {
            let mut odd = Docs::none_of(documents);
            (0..documents).filter(|doc| doc % 2 == 1).for_each(|doc| odd.insert(doc));
            let others = odd.others(documents);
            let even: Vec<DocId> = (0..documents).filter(|doc| doc % 2 == 0).collect();
            assert_eq!(others.iter().collect::<Vec<_>>(), even, "of {documents}");
            odd.keep(&others);
            assert_eq!(odd.count(), 0);
        }
    }
}
