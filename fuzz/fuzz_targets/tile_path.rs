//! Paths below `/log/tile/`, as a stranger may write them.
//!
//! A path that is accepted has no second spelling, and names a tile that some tree has.
#![no_main]

use corpex::provenance::tiles::{Resource, TILE_WIDTH};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|path: &str| {
    let Ok(resource) = path.parse::<Resource>() else { return };
    assert_eq!(resource.to_string(), path);
    let (Resource::Hashes(tile) | Resource::Entries(tile)) = resource;
    assert!((1..=TILE_WIDTH).contains(&tile.width));
    assert!(tile.level == 0 || matches!(resource, Resource::Hashes(_)));
});
