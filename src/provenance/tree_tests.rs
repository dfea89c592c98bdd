//! The tree against the RFC's own recursive definition, and against published vectors.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// `MTH(D[n])`, word for word.
fn naive_root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            node_hash(naive_root(left), naive_root(right))
        }
    }
}

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// `PATH(m, D[n])`, word for word.
fn naive_path(m: usize, leaves: &[Digest]) -> Vec<Digest> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m < k {
        [naive_path(m, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(m - k, right), vec![naive_root(left)]].concat()
    }
}

/// `SUBPROOF(m, D[n], b)`, word for word.
fn naive_subproof(m: usize, leaves: &[Digest], b: bool) -> Vec<Digest> {
    if m == leaves.len() {
        return if b { Vec::new() } else { vec![naive_root(leaves)] };
    }
    let k = naive_split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if m <= k {
        [naive_subproof(m, left, b), vec![naive_root(right)]].concat()
    } else {
        [naive_subproof(m - k, right, false), vec![naive_root(left)]].concat()
    }
}

#[derive(Default)]
struct Memory(HashMap<(u8, u64), Vec<Digest>>);

impl TileReader for &mut Memory {
    fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
        self.0.get(&(tile.level, tile.index)).cloned().ok_or_else(|| Error::internal("no such tile"))
    }
}

fn leaves(count: usize) -> Vec<Digest> {
    (0..count).map(|i| leaf_hash(i.to_string())).collect()
}

/// A tree grown in batches, its tiles kept as the sequencer keeps them.
fn grown(leaves: &[Digest], batch: usize) -> (Memory, Frontier) {
    let (mut memory, mut frontier) = (Memory::default(), Frontier::default());
    for some in leaves.chunks(batch) {
        frontier = Frontier::read(&mut &mut memory, frontier.size()).unwrap();
        for (tile, hashes) in frontier.append(some) {
            assert_eq!(usize::from(tile.width), hashes.len());
            memory.0.insert((tile.level, tile.index), hashes);
        }
    }
    (memory, frontier)
}

fn published_leaves() -> Vec<Digest> {
    let entries = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    entries.iter().map(|entry| leaf_hash(hex::decode(entry).unwrap())).collect()
}

#[test]
fn the_proofs_are_those_of_the_certificate_transparency_test_vectors() {
    const FIRST: [&str; 3] = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    let leaves = published_leaves();
    let texts = |path: Vec<Digest>| path.iter().map(Digest::to_string).collect::<Vec<_>>();
    assert_eq!(texts(path_of(&leaves, 0).unwrap()), FIRST);
    let consistency = |old: u64, size: usize| {
        let (mut memory, frontier) = grown(&leaves[..size], size);
        texts(Tree::new(&mut memory, frontier.size()).consistency_path(old).unwrap())
    };
    assert_eq!(consistency(1, 8), FIRST);
    assert_eq!(
        consistency(6, 8),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        consistency(2, 5),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

#[test]
fn the_roots_are_those_of_the_certificate_transparency_test_vectors() {
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves = published_leaves();
    for (size, root) in (1..).zip(roots) {
        assert_eq!(root_of(&leaves[..size]).to_string(), root, "{size} entries");
    }
    assert_eq!(root_of(&[]), empty_root());
}

#[test]
fn a_tree_of_several_tile_levels_has_the_root_of_the_definition() {
    let leaves = leaves(66_000);
    let (mut memory, frontier) = grown(&leaves, 1024);
    assert_eq!(frontier.root(), naive_root(&leaves));
    let mut tree = Tree::new(&mut memory, 66_000);
    let root = tree.root().unwrap();
    assert_eq!(root, frontier.root());
    for index in [0, 255, 256, 65_535, 65_536, 65_999] {
        let path = tree.inclusion_path(index).unwrap();
        verify_inclusion(leaves[usize::try_from(index).unwrap()], index, 66_000, &path, root).unwrap();
    }
    for old in [1, 256, 257, 65_536, 65_537, 66_000] {
        let path = tree.consistency_path(old).unwrap();
        verify_consistency(old, naive_root(&leaves[..usize::try_from(old).unwrap()]), 66_000, root, &path).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn roots_and_proofs_are_those_of_the_definition(size in 1..700_usize, batch in 1..300_usize, a: prop::sample::Index, b: prop::sample::Index) {
        let leaves = leaves(size);
        let (mut memory, frontier) = grown(&leaves, batch);
        let root = naive_root(&leaves);
        let (index, old) = (a.index(size), b.index(size) + 1);
        let wide = |n: usize| u64::try_from(n).unwrap();
        let mut tree = Tree::new(&mut memory, wide(size));
        prop_assert_eq!(frontier.root(), root);
        prop_assert_eq!(root_of(&leaves), root);
        prop_assert_eq!(tree.root().unwrap(), root);

        let path = tree.inclusion_path(wide(index)).unwrap();
        prop_assert_eq!(&path, &naive_path(index, &leaves));
        prop_assert_eq!(&path, &path_of(&leaves, index).unwrap());
        prop_assert!(verify_inclusion(leaves[index], wide(index), wide(size), &path, root).is_ok());

        let old_root = naive_root(&leaves[..old]);
        let proof = tree.consistency_path(wide(old)).unwrap();
        prop_assert_eq!(&proof, &naive_subproof(old, &leaves, true));
        prop_assert!(verify_consistency(wide(old), old_root, wide(size), root, &proof).is_ok());
    }

    #[test]
    fn a_changed_proof_is_refused(size in 2..200_usize, at: prop::sample::Index, byte in 0..32_usize, bit in 0..8_u8) {
        let leaves = leaves(size);
        let root = root_of(&leaves);
        let index = at.index(size);
        let wide = |n: usize| u64::try_from(n).unwrap();
        let path = path_of(&leaves, index).unwrap();
        let mut changed = path.clone();
        changed[at.index(path.len())].0[byte] ^= 1 << bit;
        prop_assert!(verify_inclusion(leaves[index], wide(index), wide(size), &changed, root).is_err());
        prop_assert!(verify_inclusion(leaves[index], wide(index), wide(size), &path[1..], root).is_err());
        prop_assert!(verify_inclusion(leaves[index], wide(index), wide(size), &[path.as_slice(), &[root]].concat(), root).is_err());
        prop_assert!(verify_inclusion(leaves[index], wide(size), wide(size), &path, root).is_err());
        let other = (index + 1) % size;
        prop_assert!(verify_inclusion(leaves[index], wide(other), wide(size), &path, root).is_err());
    }

    #[test]
    fn a_changed_consistency_proof_is_refused(size in 2..200_usize, at: prop::sample::Index, byte in 0..32_usize) {
        let leaves = leaves(size);
        let old = at.index(size - 1) + 1;
        let proof = naive_subproof(old, &leaves, true);
        let (old_root, root) = (naive_root(&leaves[..old]), naive_root(&leaves));
        let wide = |n: usize| u64::try_from(n).unwrap();
        let mut changed = proof.clone();
        changed[at.index(proof.len())].0[byte] ^= 1;
        prop_assert!(verify_consistency(wide(old), old_root, wide(size), root, &changed).is_err());
        prop_assert!(verify_consistency(wide(old), old_root, wide(size), root, &proof[1..]).is_err());
        prop_assert!(verify_consistency(wide(old), root, wide(size), root, &proof).is_err());
        prop_assert!(verify_consistency(wide(size), root, wide(old), old_root, &proof).is_err());
    }

    #[test]
    fn a_changed_tile_proves_nothing_that_is_not_so(size in 2..700_usize, tile: prop::sample::Index, at: prop::sample::Index, byte in 0..32_usize, entry: prop::sample::Index) {
        let leaves = leaves(size);
        let root = naive_root(&leaves);
        let wide = |n: usize| u64::try_from(n).unwrap();
        let (mut memory, _) = grown(&leaves, size);
        let mut tiles: Vec<_> = memory.0.keys().copied().collect();
        tiles.sort_unstable();
        let hashes = memory.0.get_mut(tile.get(&tiles)).unwrap();
        let at = at.index(hashes.len());
        hashes[at].0[byte] ^= 1;

        let index = entry.index(size);
        let path = Tree::new(&mut memory, wide(size)).inclusion_path(wide(index)).unwrap();
        let verified = verify_inclusion(leaves[index], wide(index), wide(size), &path, root).is_ok();
        prop_assert_eq!(verified, path == naive_path(index, &leaves));
    }
}
