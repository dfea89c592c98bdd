//! One pass over all results of a search: their number, the number for each facet value, and the first results after a
//! cursor.
//!
//! What is found in a segment is a set of its documents, which is counted against the sets of its [`Sheet`]. The first places of
//! a large set are read off an order of the sheet; those of a small one are found document by document. Of several
//! conditions, the one that fewest documents meet comes first: a large set meets the next one bit by bit, the documents of a
//! small one are looked for there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tantivy::query::{EnableScoring, Weight};
use tantivy::schema::IndexRecordOption;
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocId, DocSet, Searcher, SegmentReader, Term};

use super::index::Reading;
use super::place::{Place, Sort};
use super::query::Search;
use super::sheet::{Docs, Sheet};
use super::values::Counts;

/// A set is large if it holds at least one in so many documents of its segment.
const LARGE: u64 = 32;

fn is_large(set: u64, documents: u32) -> bool {
    set.saturating_mul(LARGE) >= u64::from(documents)
}

/// What a search gathers of the listings that it finds.
#[derive(Debug)]
pub(super) struct Gathered {
    /// How many were found, wherever they stand.
    pub(super) total: u64,
    /// How many have each value of every facet.
    pub(super) counts: Counts,
    /// The first places after the cursor.
    pub(super) places: Vec<Place>,
}

/// Gathers what a search finds: of the places, as many as `places`.
pub(super) fn gather(reading: &Reading, search: &Search, places: usize) -> tantivy::Result<Gathered> {
    let searcher: Searcher = reading.searcher();
    let scoring = EnableScoring::disabled_from_searcher(&searcher);
    let weights = search.queries(&reading.fields).into_iter().map(|query| query.weight(scoring));
    let weights = weights.collect::<tantivy::Result<Vec<_>>>()?;
    let bonuses = search.bonuses(&reading.fields);
    let sheets = searcher.segment_readers().iter().map(|segment| reading.sheets.of(segment));
    let sheets = sheets.collect::<tantivy::Result<Vec<_>>>()?;
    let mut all = Gathered { total: 0, counts: reading.sheets.values.zero(), places: Vec::new() };
    for (segment, sheet) in searcher.segment_readers().iter().zip(&sheets) {
        let found = found(&weights, segment)?;
        let total = found.count();
        if total == 0 {
            continue;
        }
        let part = Part { segment, sheet, found, total };
        all.total = all.total.saturating_add(total);
        part.count(&mut all.counts);
        all.places.extend(match search.sort {
            Sort::Relevance => part.most_relevant(search, &bonuses, places)?,
            sort => part.first(sort, search.after, places, |_| true),
        });
    }
    all.places.sort_unstable_by_key(|place| Reverse(*place));
    all.places.truncate(places);
    Ok(all)
}

/// The documents of a segment that all of these find, and that are not deleted.
fn found(weights: &[Box<dyn Weight>], segment: &SegmentReader) -> tantivy::Result<Docs> {
    let (documents, alive) = (segment.max_doc(), segment.alive_bitset());
    let scorers = weights.iter().map(|weight| weight.scorer(segment, 1.0));
    let mut scorers = scorers.collect::<tantivy::Result<Vec<_>>>()?;
    scorers.sort_by_key(|scorer| scorer.cost());
    let mut scorers = scorers.into_iter();
    let mut found = Docs::none_of(documents);
    if let Some(fewest) = scorers.next() {
        for_each(fewest, |doc| {
            if alive.is_none_or(|alive| alive.is_alive(doc)) {
                found.insert(doc);
            }
        });
    }
    Ok(scorers.fold(found, |found, scorer| common(&found, scorer, documents)))
}

/// The documents of a set, of so many, that are in another one, too. If they are few, they are looked for there one by one.
fn common(docs: &Docs, mut other: impl DocSet, documents: u32) -> Docs {
    let mut common = Docs::none_of(documents);
    if is_large(docs.count(), documents) {
        for_each(other, |doc| common.insert(doc));
        common.keep(docs);
        return common;
    }
    for doc in docs.iter() {
        if other.doc() < doc {
            other.seek(doc);
        }
        if other.doc() == doc {
            common.insert(doc);
        }
    }
    common
}

fn for_each(mut docs: impl DocSet, mut each: impl FnMut(DocId)) {
    let mut buffer = [0; COLLECT_BLOCK_BUFFER_LEN];
    loop {
        let filled = docs.fill_buffer(&mut buffer);
        buffer.iter().take(filled).for_each(|doc| each(*doc));
        if filled < buffer.len() {
            return;
        }
    }
}

/// What is found in one segment.
struct Part<'a> {
    segment: &'a SegmentReader,
    sheet: &'a Sheet,
    found: Docs,
    /// How many these are.
    total: u64,
}

impl Part<'_> {
    /// Counts the values of every facet. Of the rarer ones, those of the documents that are not found are taken from all where
    /// these documents are fewer.
    fn count(&self, counts: &mut Counts) {
        let Sheet { common, rare, .. } = self.sheet;
        common.iter().for_each(|(number, docs)| counts.add(*number, self.found.count_common(docs)));
        let documents = self.segment.max_doc();
        if self.total.saturating_mul(2) <= u64::from(documents) {
            self.found.iter().flat_map(|doc| rare.of(doc)).for_each(|number| counts.add(*number, 1));
        } else {
            rare.totals.iter().for_each(|(number, all)| counts.add(*number, *all));
            let others = self.found.others(documents);
            others.iter().flat_map(|doc| rare.of(doc)).for_each(|number| counts.take_one(*number));
        }
    }

    /// The first places in an order, of the documents that `also` wants.
    fn first(&self, sort: Sort, after: Option<Place>, most: usize, also: impl Fn(DocId) -> bool) -> Vec<Place> {
        let place = |doc: &DocId| self.sheet.columns.place(sort, *doc);
        let follows = |place: &Place| after.is_none_or(|after| *place < after);
        if is_large(self.total, self.segment.max_doc()) {
            let order = self.sheet.order(sort);
            let start = order.partition_point(|doc| !follows(&place(doc)));
            let rest = order.get(start..).unwrap_or_default().iter();
            return rest.filter(|doc| self.found.contains(**doc) && also(**doc)).take(most).map(place).collect();
        }
        let mut first = First::new(most);
        self.found.iter().filter(|doc| also(*doc)).map(|doc| place(&doc)).filter(follows).for_each(|p| first.add(p));
        first.places()
    }

    /// The first places by relevance: of the documents that have the words in telling places, and of the newest others.
    fn most_relevant(&self, search: &Search, bonuses: &[(Term, u16)], most: usize) -> tantivy::Result<Vec<Place>> {
        let (extra, told) = self.bonuses(bonuses)?;
        let bonus = |doc: DocId| extra.get(usize::try_from(doc).unwrap_or(usize::MAX)).copied().unwrap_or(0);
        let base = search.relevance();
        // Within a segment, ranks stand for listings: the document that follows the cursor among those of its relevance.
        let newest = &self.sheet.newest;
        let at =
            search.after.map(|after| newest.partition_point(|doc| self.sheet.columns.listing(*doc) >= after.listing));
        let limit = search.after.zip(at.and_then(|at| u32::try_from(at).ok())).map(|(after, at)| (after.value, at));
        let mut first = First::new(most);
        for doc in told {
            let value = base.saturating_add(u64::from(bonus(doc)));
            if first.last().is_some_and(|(last, _)| value < *last) {
                continue;
            }
            let rank = self.sheet.rank(doc);
            if limit.is_none_or(|(last, at)| value < last || value == last && rank >= at) {
                first.add((value, Reverse(rank)));
            }
        }
        let placed = |(value, Reverse(rank)): (u64, Reverse<u32>)| {
            let doc = newest.get(usize::try_from(rank).unwrap_or(usize::MAX)).copied().unwrap_or_default();
            Place { value, listing: self.sheet.columns.listing(doc) }
        };
        let mut places: Vec<Place> = first.places().into_iter().map(placed).collect();
        let plain = match search.after {
            Some(after) if after.value < base => return Ok(places),
            Some(after) if after.value == base => Some(Place { value: 0, listing: after.listing }),
            _ => None,
        };
        let others = self.first(Sort::Newest, plain, most, |doc| bonus(doc) == 0);
        places.extend(others.into_iter().map(|place| Place { value: base, ..place }));
        Ok(places)
    }

    /// How much more relevant each document is than one that has the words anywhere, and which documents are.
    fn bonuses(&self, bonuses: &[(Term, u16)]) -> tantivy::Result<(Vec<u16>, Vec<DocId>)> {
        let mut extra = vec![0_u16; usize::try_from(self.segment.max_doc()).unwrap_or(0)];
        let mut told = Vec::new();
        for (term, weight) in bonuses {
            let index = self.segment.inverted_index(term.field())?;
            let Some(postings) = index.read_postings(term, IndexRecordOption::Basic)? else { continue };
            for doc in common(&self.found, postings, self.segment.max_doc()).iter() {
                let Some(extra) = extra.get_mut(usize::try_from(doc).unwrap_or(usize::MAX)) else { continue };
                if *extra == 0 {
                    told.push(doc);
                }
                *extra = extra.saturating_add(*weight);
            }
        }
        Ok((extra, told))
    }
}

/// The largest of the items that are added, up to a number.
struct First<T> {
    most: usize,
    /// The smallest on top.
    kept: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> First<T> {
    fn new(most: usize) -> Self {
        Self { most, kept: BinaryHeap::with_capacity(most.saturating_add(1)) }
    }
    /// The smallest that is kept, once there are as many as wanted.
    fn last(&self) -> Option<&T> {
        self.kept.peek().filter(|_| self.kept.len() >= self.most).map(|Reverse(last)| last)
    }
    fn add(&mut self, one: T) {
        if self.last().is_some_and(|last| one <= *last) {
            return;
        }
        self.kept.push(Reverse(one));
        if self.kept.len() > self.most {
            self.kept.pop();
        }
    }
    fn places(self) -> Vec<T> {
        self.kept.into_iter().map(|Reverse(one)| one).collect()
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
