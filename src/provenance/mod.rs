//! provenance
pub mod tiles;
pub mod tree;
