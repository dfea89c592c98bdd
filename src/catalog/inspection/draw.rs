//! The draw: which records of a version make its sample.
//!
//! A record's rank is the HMAC-SHA256, under the seed that a [lot](crate::provenance::lot) gives, of the SHA-256 of its
//! shard and its index among the shard's records (from 0, as 8 bytes, the highest first); the lowest ranks are drawn. So a
//! draw needs memory only for what it keeps, does not depend on the order of reading, and anybody who has the shards can
//! repeat it.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::types::Digest;

/// The most records of a sample.
pub const MAX_RECORDS: usize = 100;
/// The most bytes of a sample; a single record may be longer.
pub const MAX_BYTES: usize = 16 << 20;

/// A record's rank in a draw.
pub fn rank(seed: Digest, shard_sha256: Digest, index: u64) -> Digest {
    // HMAC takes a key of any length; there is no other fault.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&seed.0) else { return Digest::of([]) };
    mac.update(&shard_sha256.0);
    mac.update(&index.to_be_bytes());
    Digest(mac.finalize().into_bytes().into())
}

/// A record that is in the draw so far.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drawn {
    /// The lower, the sooner it is drawn. No two records of different shards or indices have the same.
    pub rank: Digest,
    /// The path of its shard.
    pub path: String,
    /// Its index among the records of the shard, from 0.
    pub index: u64,
    /// Its bytes, without the line feed.
    pub bytes: Vec<u8>,
}

/// Draws of the records that it is shown the lowest ranks: as many as a sample has room for.
#[derive(Debug)]
pub struct Draw {
    seed: Digest,
    max_records: usize,
    max_bytes: usize,
    kept: BTreeSet<Drawn>,
    kept_bytes: usize,
    /// The lowest rank that found no room: nothing above it is drawn.
    cut: Option<Digest>,
}

impl Draw {
    /// A draw of a sample.
    pub fn new(seed: Digest) -> Self {
        Self::within(seed, MAX_RECORDS, MAX_BYTES)
    }

    fn within(seed: Digest, max_records: usize, max_bytes: usize) -> Self {
        Self { seed, max_records, max_bytes, kept: BTreeSet::new(), kept_bytes: 0, cut: None }
    }

    /// Shows one record of a shard.
    pub fn show(&mut self, (path, shard_sha256): (&str, Digest), index: u64, bytes: impl FnOnce() -> Vec<u8>) {
        let rank = rank(self.seed, shard_sha256, index);
        if self.cut.is_some_and(|cut| cut <= rank) {
            return;
        }
        let bytes = bytes();
        self.kept_bytes = self.kept_bytes.saturating_add(bytes.len());
        self.kept.insert(Drawn { rank, path: path.to_string(), index, bytes });
        while self.kept.len() > self.max_records || (self.kept.len() > 1 && self.kept_bytes > self.max_bytes) {
            let Some(last) = self.kept.pop_last() else { return };
            self.kept_bytes = self.kept_bytes.saturating_sub(last.bytes.len());
            self.cut = Some(last.rank);
        }
    }

    /// What was drawn, the lowest rank first.
    pub fn finish(self) -> Vec<Drawn> {
        self.kept.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(shards: &[(&str, u64)], max_records: usize, max_bytes: usize) -> Vec<(String, u64)> {
        let mut draw = Draw::within(Digest::of("seed"), max_records, max_bytes);
        for (path, records) in shards {
            for index in 0..*records {
                draw.show((path, Digest::of(path)), index, || vec![b'0'; usize::try_from(index % 7).unwrap()]);
            }
        }
        let drawn = draw.finish();
        assert!(drawn.is_sorted_by_key(|one| one.rank));
        drawn.into_iter().map(|one| (one.path, one.index)).collect()
    }

    #[test]
    fn the_order_of_reading_changes_nothing() {
        for most in [usize::MAX, 50] {
            let one = draw(&[("a", 50), ("b", 500), ("c", 5)], 20, most);
            assert_eq!(one.len() == 20, most == usize::MAX);
            assert_eq!(one, draw(&[("c", 5), ("a", 50), ("b", 500)], 20, most));
        }
    }

    #[test]
    fn a_smaller_sample_is_the_beginning_of_a_larger_one() {
        let larger = draw(&[("a", 100)], 30, usize::MAX);
        assert_eq!(draw(&[("a", 100)], 10, usize::MAX), larger[..10]);
        assert_eq!(draw(&[("a", 3)], 10, usize::MAX).len(), 3, "there are no more");
        let cut = draw(&[("a", 100)], 30, 40);
        assert!(cut.len() > 5 && larger.starts_with(&cut), "{cut:?}");
        assert_eq!(draw(&[("a", 100)], 30, 0), larger[..1], "one is always drawn");
    }

    #[test]
    fn every_record_is_as_likely() {
        let hits: u64 = (0..200_u64)
            .map(|round| {
                let mut draw = Draw::within(Digest::of(round.to_be_bytes()), 10, usize::MAX);
                (0..100).for_each(|index| draw.show(("a", Digest::of("a")), index, Vec::new));
                u64::try_from(draw.finish().iter().filter(|one| one.index < 50).count()).unwrap()
            })
            .sum();
        assert!((900..=1100).contains(&hits), "{hits} of 2,000 are in the first half");
    }

    /// Another implementation (Python's hmac) gives this.
    #[test]
    fn a_rank_is_that_of_other_implementations() {
        let seed = "f22b2d1e2edfef8f67504a3d1db91ed2097484a27bf8f02659582252292def13".parse().unwrap();
        let expected = "5bb4411bc04a6faae466b81c84b58ed1227e6c2aee79ce4f2418ea7d03b09ca2";
        assert_eq!(rank(seed, Digest::of("shard"), 258).to_string(), expected);
    }
}
