//! Merkle trees as RFC 6962 hashes them: roots, inclusion proofs, consistency proofs.
//!
//! The tree is append-only, and is read from tiles through [`TileReader`], so that the same mathematics serves
//! the exchange's database, a mirror, and tests. A [`Frontier`] is the little that must be known to append.
//!
//! Everything here is pure; nothing here trusts what it is given: verification takes a root and says yes or why not.

use std::collections::{BTreeMap, HashMap};

use super::tiles::{TILE_HEIGHT, TILE_WIDTH, Tile};
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, Hasher};

/// The hash of an entry: SHA-256 of a zero byte and the entry (RFC 6962, section 2.1).
pub fn leaf_hash(entry: impl AsRef<[u8]>) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(&[0]);
    hasher.update(entry.as_ref());
    hasher.finish()
}

/// The hash of an inner node: SHA-256 of a one byte and both children (RFC 6962, section 2.1).
pub fn node_hash(left: Digest, right: Digest) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(&[1]);
    hasher.update(&left.0);
    hasher.update(&right.0);
    hasher.finish()
}

/// The root of the tree without entries: the hash of nothing.
pub fn empty_root() -> Digest {
    Digest::of(b"")
}

/// The root of a small tree whose leaf hashes are all in memory.
pub fn root_of(leaf_hashes: &[Digest]) -> Digest {
    fold(leaf_hashes.to_vec()).unwrap_or_else(empty_root)
}

/// The inclusion proof of one leaf of a small tree whose leaf hashes are all in memory.
///
/// Fails if there is no such leaf.
pub fn path_of(leaf_hashes: &[Digest], index: usize) -> Result<Vec<Digest>> {
    if index >= leaf_hashes.len() {
        return Err(outside(index, leaf_hashes.len()));
    }
    let (mut level, mut position, mut path) = (leaf_hashes.to_vec(), index, Vec::new());
    while level.len() > 1 {
        path.extend(level.get(position ^ 1));
        level = fold_once(&level);
        position /= 2;
    }
    Ok(path)
}

/// Hashes neighbours together once. A last hash without a neighbour goes up as it is, which is how RFC 6962
/// treats a tree whose size is not a power of two.
fn fold_once(level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node_hash(*left, *right)),
            [alone] => Some(*alone),
            _ => None,
        })
        .collect()
}

fn fold(mut level: Vec<Digest>) -> Option<Digest> {
    while level.len() > 1 {
        level = fold_once(&level);
    }
    level.pop()
}

fn outside(index: impl std::fmt::Display, size: impl std::fmt::Display) -> Error {
    Error::new(Kind::Unverified, format!("the tree has {size} entries, and none with the index {index}"))
}

/// Where the hashes of a tree are read from.
pub trait TileReader {
    /// Reads a tile: at least its first `tile.width` hashes.
    fn read(&mut self, tile: Tile) -> Result<Vec<Digest>>;
}

impl<R: TileReader> TileReader for &mut R {
    fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
        (**self).read(tile)
    }
}

/// A tree of a known size, read tile by tile. Each tile is read at most once.
pub struct Tree<R> {
    reader: R,
    size: u64,
    seen: HashMap<Tile, Vec<Digest>>,
}

impl<R: TileReader> Tree<R> {
    /// The tree of the first `size` entries.
    pub fn new(reader: R, size: u64) -> Self {
        Self { reader, size, seen: HashMap::new() }
    }

    /// The root (`MTH(D[n])` of RFC 6962).
    pub fn root(&mut self) -> Result<Digest> {
        self.range(0, self.size)
    }

    /// The proof that the entry `index` is in the tree (`PATH(m, D[n])`): from the leaf's sibling upwards.
    pub fn inclusion_path(&mut self, index: u64) -> Result<Vec<Digest>> {
        if index >= self.size {
            return Err(outside(index, self.size));
        }
        let (mut from, mut to, mut path) = (0, self.size, Vec::new());
        while to - from > 1 {
            let middle = from + split(to - from);
            if index < middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree of the first `old` entries is a prefix of this one (`PROOF(m, D[n])`).
    /// Empty when `old` is 0 or the whole size.
    pub fn consistency_path(&mut self, old: u64) -> Result<Vec<Digest>> {
        if old > self.size {
            let detail = format!("a tree of {} entries cannot continue one of {old}", self.size);
            return Err(Error::new(Kind::Unverified, detail));
        }
        if old == 0 {
            return Ok(Vec::new());
        }
        let (mut from, mut to, mut path) = (0, self.size, Vec::new());
        // While the verifier's own root is still the left part of the range, it need not be told.
        let mut known = true;
        while to != old {
            let middle = from + split(to - from);
            if old <= middle {
                path.push(self.range(middle, to)?);
                to = middle;
            } else {
                path.push(self.range(from, middle)?);
                from = middle;
                known = false;
            }
        }
        if !known {
            path.push(self.range(from, to)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The root of the entries from `from` up to, not including, `to`: a subtree as the RFC divides it.
    fn range(&mut self, from: u64, to: u64) -> Result<Digest> {
        let count = to - from;
        if count == 0 {
            return Ok(empty_root());
        }
        if count.is_power_of_two() {
            return self.perfect(count.ilog2(), from);
        }
        let middle = from + split(count);
        Ok(node_hash(self.range(from, middle)?, self.range(middle, to)?))
    }

    /// The root of the perfect subtree of 2^`height` entries that starts at the entry `from`.
    fn perfect(&mut self, height: u32, from: u64) -> Result<Digest> {
        let missing = || Error::new(Kind::Unverified, format!("the log has no tile above entry {from}"));
        let level = u8::try_from(height / TILE_HEIGHT).map_err(|_| missing())?;
        let position = from >> (u32::from(level) * TILE_HEIGHT);
        let tile = Tile::holding(level, position, self.size).ok_or_else(missing)?;
        if !self.seen.contains_key(&tile) {
            let hashes = self.reader.read(tile)?;
            self.seen.insert(tile, hashes);
        }
        let offset = usize::try_from(position % u64::from(TILE_WIDTH)).map_err(|_| missing())?;
        let count = 1_usize << (height % TILE_HEIGHT);
        let hashes = self.seen.get(&tile).and_then(|hashes| hashes.get(offset..offset + count));
        hashes.and_then(|hashes| fold(hashes.to_vec())).ok_or_else(missing)
    }
}

/// Where RFC 6962 divides `count` entries (two or more): the largest power of two smaller than `count`.
fn split(count: u64) -> u64 {
    1 << count.saturating_sub(1).max(1).ilog2()
}

/// Checks that `leaf` is entry `index` of the tree of `size` entries with this `root` (RFC 9162, section 2.1.3.2).
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, path: &[Digest], root: Digest) -> Result<()> {
    if index >= size {
        return Err(outside(index, size));
    }
    let refused = |why: &str| Error::new(Kind::Unverified, format!("the inclusion proof {why}"));
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return Err(refused("is longer than the tree is high"));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(*sibling, hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(hash, *sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(refused("is shorter than the tree is high"));
    }
    if hash == root { Ok(()) } else { Err(refused("leads to another root than the signed one")) }
}

/// Checks that the tree `(new_size, new_root)` continues `(old_size, old_root)` (RFC 9162, section 2.1.4.2).
pub fn verify_consistency(
    old_size: u64,
    old_root: Digest,
    new_size: u64,
    new_root: Digest,
    path: &[Digest],
) -> Result<()> {
    let refused = |why: &str| Error::new(Kind::Unverified, format!("the consistency proof {why}"));
    if old_size > new_size {
        return Err(refused("is of a tree that became smaller"));
    }
    if old_size == new_size || old_size == 0 {
        return match (path, old_size == new_size) {
            ([_, ..], _) => Err(refused("is longer than it can be")),
            ([], true) if old_root != new_root => Err(refused("is of two roots for one size")),
            ([], false) if old_root != empty_root() => Err(refused("starts from a wrong root of the empty tree")),
            ([], _) => Ok(()),
        };
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        (node, last) = (node >> 1, last >> 1);
    }
    // An old tree whose size is a power of two is itself the first hash, and is not repeated in the proof.
    let (first, rest) = match path {
        _ if old_size.is_power_of_two() => (old_root, path),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(refused("is empty")),
    };
    let (mut old_hash, mut new_hash) = (first, first);
    for hash in rest {
        if last == 0 {
            return Err(refused("is longer than the tree is high"));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(*hash, old_hash);
            new_hash = node_hash(*hash, new_hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new_hash = node_hash(new_hash, *hash);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match last == 0 && old_hash == old_root && new_hash == new_root {
        true => Ok(()),
        false => Err(refused("does not connect the two roots")),
    }
}

/// The right edge of a tree: the partial tile of each level, which is all one needs to append and to know the root.
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    edges: Vec<Edge>,
}

#[derive(Debug, Clone, Default)]
struct Edge {
    index: u64,
    hashes: Vec<Digest>,
    touched: bool,
}

impl Frontier {
    /// Reads the right edge of the tree of `size` entries.
    ///
    /// Fails as unverified if a tile of the edge does not hold exactly the hashes of that size.
    pub fn read(reader: &mut impl TileReader, size: u64) -> Result<Self> {
        let mut frontier = Self { size, edges: Vec::new() };
        let mut below = size;
        while below > 0 {
            frontier.edges.push(Edge { index: below / u64::from(TILE_WIDTH), ..Edge::default() });
            below >>= TILE_HEIGHT;
        }
        for tile in Tile::right_edge(size) {
            let hashes = reader.read(tile)?;
            if hashes.len() != usize::from(tile.width) {
                let detail =
                    format!("a tile of level {} holds {} hashes instead of {}", tile.level, hashes.len(), tile.width);
                return Err(Error::new(Kind::Unverified, detail));
            }
            if let Some(edge) = frontier.edges.get_mut(usize::from(tile.level)) {
                edge.hashes = hashes;
            }
        }
        Ok(frontier)
    }

    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root.
    pub fn root(&self) -> Digest {
        let mut remainder: Option<Digest> = None;
        for edge in &self.edges {
            let mut level = edge.hashes.clone();
            level.extend(remainder);
            remainder = fold(level);
        }
        remainder.unwrap_or_else(empty_root)
    }

    /// Appends leaves and gives every tile that changed, as it is afterwards.
    pub fn append(&mut self, leaves: &[Digest]) -> Vec<(Tile, Vec<Digest>)> {
        let mut full = BTreeMap::new();
        for leaf in leaves {
            self.push(*leaf, &mut full);
        }
        let mut changed: Vec<_> = full.into_iter().collect();
        for (level, edge) in (0..).zip(&mut self.edges) {
            if std::mem::take(&mut edge.touched)
                && let Ok(width @ 1..) = u16::try_from(edge.hashes.len())
            {
                changed.push((Tile { level, index: edge.index, width }, edge.hashes.clone()));
            }
        }
        changed
    }

    fn push(&mut self, leaf: Digest, full: &mut BTreeMap<Tile, Vec<Digest>>) {
        self.size += 1;
        let mut carry = leaf;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.edges.len() <= at {
                self.edges.push(Edge::default());
            }
            let Some(edge) = self.edges.get_mut(at) else { return };
            edge.hashes.push(carry);
            edge.touched = true;
            if edge.hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            let hashes = std::mem::take(&mut edge.hashes);
            let tile = Tile { level, index: edge.index, width: TILE_WIDTH };
            edge.index += 1;
            let Some(root) = fold(hashes.clone()) else { return };
            full.insert(tile, hashes);
            carry = root;
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
