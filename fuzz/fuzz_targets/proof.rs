//! `c2sp.org/tlog-proof@v1`, and the Merkle paths in it.
//!
//! What parses prints as it was. A path proves an entry under exactly one root, and connects exactly two: those that
//! the recursive definitions of RFC 6962 compute from it, if the path is as long as these say.
#![no_main]

use corpex::provenance::proof::TlogProof;
use corpex::provenance::tree::{leaf_hash, node_hash, verify_consistency, verify_inclusion};
use corpex::types::Digest;
use libfuzzer_sys::fuzz_target;

/// The root of the entries from 0 up to `size`, given one of them and its path (`PATH(m, D[n])`, read backwards).
fn root(leaf: Digest, index: u64, size: u64, path: &[Digest]) -> Option<Digest> {
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (sibling, below) = path.split_last()?;
    let split = 1 << (size - 1).ilog2();
    match index < split {
        true => Some(node_hash(root(leaf, index, split, below)?, *sibling)),
        false => Some(node_hash(*sibling, root(leaf, index - split, size - split, below)?)),
    }
}

/// The roots of `old` and of `size` entries that a consistency proof leads to (`SUBPROOF(m, D[n], b)`, read backwards).
/// `known` is the old root while it is still the left part of the range.
fn roots(old: u64, size: u64, path: &[Digest], known: Option<Digest>) -> Option<(Digest, Digest)> {
    if old == size {
        return match (path, known) {
            ([], Some(root)) => Some((root, root)),
            ([root], None) => Some((*root, *root)),
            _ => None,
        };
    }
    let (sibling, below) = path.split_last()?;
    let split = 1 << (size - 1).ilog2();
    match old <= split {
        true => roots(old, split, below, known).map(|(old, new)| (old, node_hash(new, *sibling))),
        false => roots(old - split, size - split, below, None)
            .map(|(old, new)| (node_hash(*sibling, old), node_hash(*sibling, new))),
    }
}

fuzz_target!(|input: (u64, &str)| {
    let (size, text) = input;
    let Ok(proof) = text.parse::<TlogProof>() else { return };
    assert_eq!(proof.to_string(), text);
    let (leaf, number, path) = (leaf_hash(text), proof.index, proof.path.as_slice());
    let other = leaf_hash("other");

    let claimed = (number < size).then(|| root(leaf, number, size, path)).flatten();
    assert_eq!(verify_inclusion(leaf, number, size, path, claimed.unwrap_or(leaf)).is_ok(), claimed.is_some());
    assert!(verify_inclusion(leaf, number, size, path, other).is_err());

    let connects = (1..size).contains(&number).then(|| roots(number, size, path, Some(leaf))).flatten();
    if let Some((old, new)) = connects {
        verify_consistency(number, old, size, new, path).expect("the definition accepts it");
        assert!(verify_consistency(number, old, size, other, path).is_err());
        assert!(verify_consistency(number, other, size, new, path).is_err());
    } else if number != size {
        assert!(verify_consistency(number, leaf, size, other, path).is_err());
    }
});
