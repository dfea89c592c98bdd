//! Where a tile of the log is: C2SP tlog-tiles coordinates and their paths.
//!
//! A tile is 256 consecutive hashes of one tree level, and levels are eight apart: the hash of a full tile of
//! level 0 is one hash in a tile of level 1. The last tile of a level is partial until it is full.
//!
//! Invariant: a tile has one path. Leading zeros, missing digits and superfluous parts are refused.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};

/// How many hashes a full tile holds.
pub const TILE_WIDTH: u16 = 256;
/// How many levels of the tree one tile spans.
pub const TILE_HEIGHT: u32 = 8;
/// The highest level a path may name.
const MAX_LEVEL: u8 = 63;

/// A tile: 1 to 256 hashes of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// 0 for leaf hashes; one more for each eight levels of the tree.
    pub level: u8,
    /// The tile's place in its level, from 0.
    pub index: u64,
    /// How many hashes it holds; 256 when full.
    pub width: u16,
}

/// What a path below `/log/tile/` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `<L>/<N>[.p/<W>]`: hashes.
    Hashes(Tile),
    /// `entries/<N>[.p/<W>]`: the entries under a tile of level 0.
    Entries(Tile),
}

impl Tile {
    /// The tile that holds the hash number `position` of `level`, as wide as it is in a tree of `size` entries.
    /// `None` if the tree does not reach that far.
    pub fn holding(level: u8, position: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        let index = position / u64::from(TILE_WIDTH);
        let start = index.checked_mul(u64::from(TILE_WIDTH))?;
        let width = u16::try_from(hashes.checked_sub(start)?.min(u64::from(TILE_WIDTH))).ok()?;
        (position < hashes).then_some(Self { level, index, width })
    }

    /// The partial tiles at the right edge of a tree of `size` entries, lowest level first.
    pub fn right_edge(size: u64) -> Vec<Self> {
        let partial = |level: u8| {
            let hashes = hashes_at(level, size);
            let width = u16::try_from(hashes % u64::from(TILE_WIDTH)).ok()?;
            (width > 0).then_some(Self { level, index: hashes / u64::from(TILE_WIDTH), width })
        };
        (0..=MAX_LEVEL).take_while(|level| hashes_at(*level, size) > 0).filter_map(partial).collect()
    }

    fn write_place(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups = vec![format!("{:03}", self.index % 1000)];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if self.width < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

/// How many hashes a level of tiles holds in a tree of `size` entries.
fn hashes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level) * TILE_HEIGHT).unwrap_or(0)
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Resource::Hashes(tile) => {
                write!(f, "{}/", tile.level)?;
                tile.write_place(f)
            }
            Resource::Entries(tile) => {
                f.write_str("entries/")?;
                tile.write_place(f)
            }
        }
    }
}

impl FromStr for Resource {
    type Err = Error;
    fn from_str(path: &str) -> Result<Self> {
        let refused = || {
            Error::new(Kind::NotFound, format!("{path:?} is not a path of a tile")).remedy(
                "write <level>/<index>, or entries/<index>, as C2SP tlog-tiles has it: 0/x001/x234/067 or 0/000.p/5",
            )
        };
        let (kind, place) = path.split_once('/').ok_or_else(refused)?;
        let (index, width) = parse_place(place).ok_or_else(refused)?;
        let resource = match kind {
            "entries" => Resource::Entries(Tile { level: 0, index, width }),
            level => {
                let level = level.parse().ok().filter(|level| *level <= MAX_LEVEL).ok_or_else(refused)?;
                Resource::Hashes(Tile { level, index, width })
            }
        };
        // Whatever does not print as it was written is a second spelling.
        if resource.to_string() == path { Ok(resource) } else { Err(refused()) }
    }
}

fn parse_place(place: &str) -> Option<(u64, u16)> {
    let (index, width) = match place.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| (1..TILE_WIDTH).contains(width))?),
        None => (place, TILE_WIDTH),
    };
    let digits = |group: &str| (group.len() == 3).then(|| group.parse::<u64>().ok()).flatten();
    let mut groups = index.rsplit('/');
    let mut number = digits(groups.next()?)?;
    let mut scale: u64 = 1;
    for group in groups {
        scale = scale.checked_mul(1000)?;
        number = number.checked_add(digits(group.strip_prefix('x')?)?.checked_mul(scale)?)?;
    }
    Some((number, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_path_of_the_specification_reads_and_writes() {
        let tile = Tile { level: 0, index: 1_234_067, width: 256 };
        assert_eq!("0/x001/x234/067".parse::<Resource>().unwrap(), Resource::Hashes(tile));
        assert_eq!(Resource::Hashes(tile).to_string(), "0/x001/x234/067");
        let partial = Resource::Entries(Tile { level: 0, index: 273, width: 112 });
        assert_eq!(partial.to_string(), "entries/273.p/112");
        assert_eq!("entries/273.p/112".parse::<Resource>().unwrap(), partial);
    }

    #[test]
    fn a_second_spelling_of_a_path_is_refused() {
        for bad in [
            "",
            "0",
            "0/",
            "0/1",
            "0/01",
            "0/0001",
            "00/001",
            "+0/001",
            "0/+01",
            "0/001/002",
            "0/x000/001",
            "0/x001/x002",
            "64/000",
            "-1/000",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/+1",
            "0/000.p/",
            "0/000.p",
            "0/000/",
            "/0/000",
            "data/000",
            "entries/0",
            "entries/x001",
            "0/y001/000",
            "0/000.p/1.p/1",
            "0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert!(bad.parse::<Resource>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_tree_of_the_specification_has_three_partial_tiles() {
        let edge = Tile::right_edge(70_000);
        let tile = |level, index, width| Tile { level, index, width };
        assert_eq!(edge, [tile(0, 273, 112), tile(1, 1, 17), tile(2, 0, 1)]);
        assert_eq!(Tile::right_edge(256), [tile(1, 0, 1)]);
        assert_eq!(Tile::right_edge(0), []);
        assert_eq!(Tile::holding(0, 69_999, 70_000), Some(tile(0, 273, 112)));
        assert_eq!(Tile::holding(0, 70_000, 70_000), None);
        assert_eq!(Tile::holding(63, 0, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn every_tile_has_a_path_that_reads_back(level in 0..=63_u8, index: u64, width in 1..=256_u16) {
            for resource in [Resource::Hashes(Tile { level, index, width }), Resource::Entries(Tile { level: 0, index, width })] {
                prop_assert_eq!(resource.to_string().parse::<Resource>().unwrap(), resource);
            }
        }
    }
}
