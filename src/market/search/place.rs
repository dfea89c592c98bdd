//! A listing's place in sorted results, and the cursor that continues from there.
//!
//! A place is made of what a listing is: the value it is sorted by, and its identifier. Neither depends on what else is on
//! the board: not even the relevance, which counts where the words were found (see [`super::query`]), and not how rare they
//! are. So a listing keeps its place for as long as it stands, on every instance, and reading on from a place neither repeats
//! nor misses one of those that stood before, whatever is listed or withdrawn in the meantime.

use std::fmt;

use crate::error::Result;
use crate::text_enum;
use crate::types::{ListingId, PageQuery};

text_enum! {
    /// In which order.
    pub enum Sort {
        /// Where more of the words were found in more telling places; the newest first among equals.
        Relevance = "relevance",
        /// The newest listing first.
        Newest = "newest",
        /// The largest first.
        Size = "size",
        /// The cheapest first, by the number of minor units.
        Price = "price",
    }
}

/// The place of a listing: the larger comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) value: u64,
    pub(super) listing: u128,
}

impl Place {
    pub(super) fn listing(self) -> ListingId {
        ListingId::from_u128(self.listing)
    }
}

/// A place in one order, as clients send it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(pub(super) Sort, pub(super) Place);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1.value, self.1.listing())
    }
}

impl Mark {
    /// The place that a cursor names, in this order.
    pub(super) fn read(cursor: &str, sort: Sort) -> Result<Place> {
        let mut parts = cursor.split('.');
        let read = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(order), Some(value), Some(listing), None) if order == sort.as_str() => {
                value.parse().ok().zip(listing.parse::<ListingId>().ok())
            }
            _ => None,
        };
        read.map(|(value, listing)| Place { value, listing: listing.as_u128() })
            .ok_or_else(|| PageQuery::not_a_cursor().remedy("send the `next` of a page, and the same `sort`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Instant;

    #[test]
    fn a_cursor_names_the_place_in_its_own_order_only() {
        let listing = ListingId::new(Instant::from_unix_micros(1_700_000_000_000_000));
        let place = Place { value: u64::MAX - 7, listing: listing.as_u128() };
        let cursor = Mark(Sort::Price, place).to_string();
        assert_eq!(Mark::read(&cursor, Sort::Price).unwrap(), place);
        assert_eq!(place.listing(), listing);
        for (bad, sort) in
            [(cursor.as_str(), Sort::Size), ("", Sort::Price), ("price.1", Sort::Price), ("price.x.y", Sort::Price)]
        {
            assert_eq!(Mark::read(bad, sort).unwrap_err().field.as_deref(), Some("cursor"));
        }
    }
}
