//! One pass over all that a search finds: how many, how many of each facet's values, and the first places after a cursor.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{ColumnValues, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::place::{Place, Sort};

/// What is wanted of those that are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gather {
    pub(super) sort: Sort,
    /// Only what comes after this place.
    pub(super) after: Option<Place>,
    /// How many places.
    pub(super) places: usize,
}

/// What there is of those that were found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// How many were found, wherever they stand.
    pub(super) total: u64,
    /// How many have each facet's value, by its term.
    pub(super) counts: HashMap<String, u64>,
    /// The first places after the cursor.
    pub(super) places: Vec<Place>,
}

impl Collector for Gather {
    type Fruit = Gathered;
    type Child = OfSegment;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<OfSegment> {
        let columns = segment.fast_fields();
        let column = |name: &str| columns.column_first_or_default::<u64>(name);
        let facets = columns.str("facets")?;
        let values = facets.as_ref().map_or(0, |column| column.num_terms());
        Ok(OfSegment {
            wanted: *self,
            total: 0,
            counts: vec![0; values],
            facets,
            places: BinaryHeap::with_capacity(self.places.saturating_add(1)),
            upper: column("upper")?,
            lower: column("lower")?,
            value: match self.sort {
                Sort::Relevance | Sort::Newest => None,
                Sort::Size => Some(column("size")?),
                Sort::Price => Some(column("price")?),
            },
        })
    }

    fn requires_scoring(&self) -> bool {
        self.sort == Sort::Relevance
    }

    fn merge_fruits(&self, fruits: Vec<tantivy::Result<Gathered>>) -> tantivy::Result<Gathered> {
        let mut all = Gathered::default();
        for fruit in fruits {
            let fruit = fruit?;
            all.total += fruit.total;
            all.places.extend(fruit.places);
            for (term, count) in fruit.counts {
                *all.counts.entry(term).or_default() += count;
            }
        }
        all.places.sort_unstable_by_key(|place| Reverse(*place));
        all.places.truncate(self.places);
        Ok(all)
    }
}

/// What there is of one segment.
pub(super) struct OfSegment {
    wanted: Gather,
    total: u64,
    /// By the number that the segment gives to a facet's term.
    counts: Vec<u64>,
    facets: Option<StrColumn>,
    /// The last of the first places on top.
    places: BinaryHeap<Reverse<Place>>,
    upper: Arc<dyn ColumnValues<u64>>,
    lower: Arc<dyn ColumnValues<u64>>,
    value: Option<Arc<dyn ColumnValues<u64>>>,
}

impl OfSegment {
    /// What a document is sorted by. Relevances are whole numbers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn value(&self, doc: DocId, score: Score) -> u64 {
        let value = self.value.as_ref().map(|column| column.get_val(doc));
        match (self.wanted.sort, value) {
            (Sort::Price, Some(price)) => u64::MAX - price,
            (_, Some(value)) => value,
            (Sort::Relevance, None) => score as u64,
            (_, None) => 0,
        }
    }

    fn consider(&mut self, doc: DocId, score: Score) {
        let value = self.value(doc, score);
        let last = match self.places.peek() {
            Some(Reverse(last)) if self.places.len() >= self.wanted.places => Some(*last),
            _ => None,
        };
        if last.is_some_and(|last| value < last.value) || self.wanted.after.is_some_and(|after| value > after.value) {
            return; // most are passed over without a look at their identifiers
        }
        let upper = u128::from(self.upper.get_val(doc)) << 64;
        let place = Place { value, listing: upper | u128::from(self.lower.get_val(doc)) };
        if self.wanted.after.is_some_and(|after| place >= after) || last.is_some_and(|last| place < last) {
            return;
        }
        self.places.push(Reverse(place));
        if self.places.len() > self.wanted.places {
            self.places.pop();
        }
    }
}

impl SegmentCollector for OfSegment {
    type Fruit = tantivy::Result<Gathered>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        if let Some(facets) = &self.facets {
            for ordinal in facets.term_ords(doc) {
                if let Some(count) = usize::try_from(ordinal).ok().and_then(|ordinal| self.counts.get_mut(ordinal)) {
                    *count += 1;
                }
            }
        }
        self.consider(doc, score);
    }

    fn harvest(self) -> tantivy::Result<Gathered> {
        let counted = (0_u64..).zip(self.counts).filter(|(_, count)| *count > 0);
        let (ordinals, numbers): (Vec<u64>, Vec<u64>) = counted.unzip();
        let (mut counts, mut numbers) = (HashMap::with_capacity(ordinals.len()), numbers.into_iter());
        if let Some(facets) = &self.facets {
            facets.dictionary().sorted_ords_to_term_cb(&ordinals, |term| {
                counts.insert(String::from_utf8_lossy(term).into_owned(), numbers.next().unwrap_or_default());
            })?;
        }
        let places = self.places.into_iter().map(|Reverse(place)| place).collect();
        Ok(Gathered { total: self.total, counts, places })
    }
}
