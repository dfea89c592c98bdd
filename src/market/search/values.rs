//! The facet values of all segments, numbered as they were met.
//!
//! By these numbers, what is counted in one segment is added to what is counted in the others; only the most frequent values
//! are named in the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::Counted;
use super::facets::{Facet, MOST_VALUES};

/// The values that segments name. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Values(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    numbers: HashMap<String, u32>,
    /// The values of each facet, each with its number.
    values: BTreeMap<Facet, Vec<(u32, String)>>,
}

/// How many listings have each value, by the value's number.
#[derive(Debug)]
pub(super) struct Counts(Vec<u64>);

impl Values {
    /// The number of a term; none where it is of no facet.
    pub(super) fn number(&self, term: &str) -> Option<u32> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(term) {
            return Some(*number);
        }
        let (facet, value) = Facet::read(term)?;
        let number = u32::try_from(known.numbers.len()).ok()?;
        known.values.entry(facet).or_default().push((number, value.to_string()));
        known.numbers.insert(term.to_string(), number);
        Some(number)
    }

    /// A count of zero for each value that is known now.
    pub(super) fn zero(&self) -> Counts {
        Counts(vec![0; self.0.read().unwrap_or_else(PoisonError::into_inner).numbers.len()])
    }

    /// The most frequent values of each facet, the most frequent first.
    pub(super) fn most_frequent(&self, counts: &Counts) -> BTreeMap<Facet, Vec<Counted>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = |facet: &Facet| {
            let values = known.values.get(facet).into_iter().flatten();
            let counted = values.map(|(number, value)| (counts.of(*number), value.as_str()));
            counted.filter(|(count, _)| *count > 0).collect::<Vec<_>>()
        };
        let named = |(count, value): (u64, &str)| Counted { value: value.to_string(), count };
        let before = |(a, one): &(u64, &str), (b, other): &(u64, &str)| b.cmp(a).then_with(|| one.cmp(other));
        let most = |mut values: Vec<(u64, &str)>| {
            if values.len() > MOST_VALUES {
                values.select_nth_unstable_by(MOST_VALUES, before);
                values.truncate(MOST_VALUES);
            }
            values.sort_unstable_by(before);
            values.into_iter().map(named).collect()
        };
        Facet::ALL.iter().map(|facet| (*facet, most(found(facet)))).collect()
    }
}

impl Counts {
    pub(super) fn add(&mut self, number: u32, more: u64) {
        if let Some(count) = self.0.get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
            *count = count.saturating_add(more);
        }
    }
    pub(super) fn take_one(&mut self, number: u32) {
        if let Some(count) = self.0.get_mut(usize::try_from(number).unwrap_or(usize::MAX)) {
            *count = count.saturating_sub(1);
        }
    }
    fn of(&self, number: u32) -> u64 {
        self.0.get(usize::try_from(number).unwrap_or(usize::MAX)).copied().unwrap_or(0)
    }
}
