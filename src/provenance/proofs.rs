//! What clients, auditors and mirrors ask of the log: checkpoint, tiles, entries, proofs.
//!
//! All of it is public, and read in one snapshot: a proof always fits the checkpoint it carries.

use super::note::Checkpoint;
use super::passport::PassportStatement;
use super::proof::TlogProof;
use super::queries;
use super::tiles::{TILE_WIDTH, Tile};
use super::tree::{TileReader, Tree};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::signing::Bytes;
use crate::types::{Digest, EntryId, StatementId};

/// The bytes of one hash.
const HASH_BYTES: usize = 32;

/// The log's tiles as the database keeps them.
pub(super) struct DatabaseTiles<'a>(pub(super) &'a mut Conn);

impl TileReader for DatabaseTiles<'_> {
    fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
        let index = stored(tile.index)?;
        let bytes = queries::find_tile(self.0, i32::from(tile.level), index)?.unwrap_or_default();
        let (hashes, rest) = bytes.as_chunks();
        if hashes.len() < usize::from(tile.width) || !rest.is_empty() {
            let detail = format!("tile {} of level {} of the log is damaged or missing", tile.index, tile.level);
            return Err(Error::new(Kind::Unverified, detail));
        }
        Ok(hashes.iter().map(|hash| Digest(*hash)).collect())
    }
}

/// A size or index as the database keeps it.
pub(super) fn stored(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::not_found(format!("entry {number} of the log")))
}

/// A size or index as the tree counts it.
pub(super) fn counted(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| Error::new(Kind::Unverified, "a number of the log is negative"))
}

/// The signed note of the last checkpoint.
pub fn checkpoint(c: &mut Conn) -> Result<String> {
    let row = queries::find_last_checkpoint(c)?;
    Ok(row.ok_or_else(|| Error::new(Kind::Unavailable, "the log's first checkpoint is not signed yet"))?.note)
}

/// The `c2sp.org/tlog-proof@v1` text for an entry under the last checkpoint; `None` while it waits for its place.
pub fn proof_of(c: &mut Conn, entry_id: EntryId) -> Result<Option<String>> {
    leaf(c, entry_id)?;
    let (Some(index), Some(checkpoint)) = (queries::find_leaf_index(c, entry_id)?, queries::find_last_checkpoint(c)?)
    else {
        return Ok(None);
    };
    let (index, size) = (counted(index)?, counted(checkpoint.tree_size)?);
    let path = Tree::new(DatabaseTiles(c), size).inclusion_path(index)?;
    Ok(Some(TlogProof { extra: None, index, path, checkpoint: checkpoint.note }.to_string()))
}

/// The bytes of an entry: canonical JSON.
pub fn leaf(c: &mut Conn, entry_id: EntryId) -> Result<String> {
    queries::find_leaf(c, entry_id)?.ok_or_else(|| Error::not_found(format!("the log entry {entry_id}")))
}

/// A statement with its entry and proof, as a passport carries it; `None` while the entry waits for its place.
pub fn logged(c: &mut Conn, id: StatementId) -> Result<Option<PassportStatement>> {
    let statement = super::statement(c, id)?;
    let leaf = Bytes(leaf(c, statement.entry_id)?.into_bytes());
    Ok(proof_of(c, statement.entry_id)?.map(|proof| PassportStatement {
        kind: statement.kind,
        envelope: statement.envelope,
        receipt: statement.receipt,
        leaf,
        proof,
    }))
}

/// The bytes of a tile of hashes, as wide as asked.
pub fn tile(c: &mut Conn, level: u8, index: u64, width: u16) -> Result<Vec<u8>> {
    let mut bytes = queries::find_tile(c, i32::from(level), stored(index)?)?.unwrap_or_default();
    let wanted = usize::from(width) * HASH_BYTES;
    if bytes.len() < wanted {
        return Err(not_that_far());
    }
    bytes.truncate(wanted);
    Ok(bytes)
}

/// An entry bundle: each entry after its length in two bytes, big-endian.
pub fn entries_tile(c: &mut Conn, index: u64, width: u16) -> Result<Vec<u8>> {
    let from = index.checked_mul(u64::from(TILE_WIDTH)).ok_or_else(not_that_far)?;
    let leaves = queries::list_leaves(c, stored(from)?, i64::from(width))?;
    if leaves.len() < usize::from(width) {
        return Err(not_that_far());
    }
    let mut bundle = Vec::new();
    for leaf in leaves {
        let length =
            u16::try_from(leaf.len()).map_err(|_| Error::internal("a log entry is longer than 65,535 bytes"))?;
        bundle.extend(length.to_be_bytes());
        bundle.extend(leaf.as_bytes());
    }
    Ok(bundle)
}

fn not_that_far() -> Error {
    Error::new(Kind::NotFound, "the log has no such tile, or none that wide")
        .remedy("read /log/checkpoint: its tree size says which tiles there are")
}

/// The proof that the tree of `old` entries is a prefix of the checkpoint's.
pub(super) fn consistency(c: &mut Conn, old: u64, checkpoint: &Checkpoint) -> Result<Vec<Digest>> {
    Tree::new(DatabaseTiles(c), checkpoint.tree_size).consistency_path(old)
}
