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
    values: Vec<(Facet, String)>,
}

/// How many listings have each value, by the value's number.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<u64>);

impl Values {
    /// The number of a term; none where it is of no facet.
    pub(super) fn number(&self, term: &str) -> Option<u32> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(term) {
            return Some(*number);
        }
        let (facet, value) = Facet::read(term)?;
        let number = u32::try_from(known.values.len()).ok()?;
        known.values.push((facet, value.to_string()));
        known.numbers.insert(term.to_string(), number);
        Some(number)
    }

    /// The most frequent values of each facet, the most frequent first.
    pub(super) fn most_frequent(&self, counts: &Counts) -> BTreeMap<Facet, Vec<Counted>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: BTreeMap<Facet, Vec<(u64, &str)>> =
            Facet::ALL.iter().map(|facet| (*facet, Vec::new())).collect();
        for ((facet, value), count) in known.values.iter().zip(&counts.0).filter(|(_, count)| **count > 0) {
            found.entry(*facet).or_default().push((*count, value));
        }
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
        found.into_iter().map(|(facet, values)| (facet, most(values))).collect()
    }
}

impl Counts {
    pub(super) fn add(&mut self, number: u32, more: u64) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if at >= self.0.len() {
            self.0.resize(at.saturating_add(1), 0);
        }
        if let Some(count) = self.0.get_mut(at) {
            *count = count.saturating_add(more);
        }
    }
}
