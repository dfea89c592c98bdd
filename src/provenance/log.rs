//! What clients, auditors and mirrors read from the log: checkpoint, tiles, entries, proofs.
//!
//! All of it is public, and read in one snapshot: a proof always fits the checkpoint it carries.

use std::fmt;

use serde::Deserialize;

use super::note::Checkpoint;
use super::passport::PassportStatement;
use super::proof::TlogProof;
use super::queries::{self, PublicationRow};
use super::tiles::{TILE_WIDTH, Tile};
use super::tree::{TileReader, Tree};
use super::witness::Submission;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::signing::Bytes;
use crate::types::{Digest, EntryId, StatementId};

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

/// The note of the last published checkpoint: the log's signature, and the witnesses' as far as they gave it.
pub fn checkpoint(c: &mut Conn) -> Result<String> {
    Ok(published(c)?.note)
}

fn published(c: &mut Conn) -> Result<PublicationRow> {
    let row = queries::find_last_publication(c)?;
    row.ok_or_else(|| Error::new(Kind::Unavailable, "the log's first checkpoint is not published yet"))
}

/// The `c2sp.org/tlog-proof@v1` text for an entry under the last published checkpoint; `None` while it waits for that.
pub fn proof_of(c: &mut Conn, entry_id: EntryId) -> Result<Option<String>> {
    leaf(c, entry_id)?;
    let (Some(index), Some(checkpoint)) = (queries::find_leaf_index(c, entry_id)?, queries::find_last_publication(c)?)
    else {
        return Ok(None);
    };
    let (index, size) = (counted(index)?, counted(checkpoint.tree_size)?);
    if index >= size {
        return Ok(None);
    }
    let path = Tree::new(DatabaseTiles(c), size).inclusion_path(index)?;
    Ok(Some(TlogProof { extra: None, index, path, checkpoint: checkpoint.note }.to_string()))
}

/// What a proof is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum ProofSubject {
    /// An entry of the log.
    Entry(EntryId),
    /// A statement, by its identifier.
    Statement(StatementId),
    /// A statement, by the digest with which others refer to it: the first that was recorded.
    Pae(Digest),
}

impl TryFrom<String> for ProofSubject {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        if let Ok(entry) = text.parse() {
            return Ok(Self::Entry(entry));
        }
        if let Ok(statement) = text.parse() {
            return Ok(Self::Statement(statement));
        }
        text.parse().map(Self::Pae).map_err(|_| {
            Error::new(Kind::NotFound, format!("{text:?} names no entry of the log"))
                .remedy("give an entry (entry_…), a statement (statement_…) or a SHA-256")
        })
    }
}
impl fmt::Display for ProofSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(id) => id.fmt(f),
            Self::Statement(id) => id.fmt(f),
            Self::Pae(digest) => digest.fmt(f),
        }
    }
}

/// The proof for an entry, or for the one that commits to a statement; `None` while it waits for its place.
pub fn proof_of_subject(c: &mut Conn, subject: ProofSubject) -> Result<Option<String>> {
    let entry_id = match subject {
        ProofSubject::Entry(id) => id,
        ProofSubject::Statement(id) => super::statement(c, id)?.entry_id,
        ProofSubject::Pae(pae) => queries::find_entry_of(c, pae)?
            .ok_or_else(|| Error::not_found(format!("a statement with the digest {pae}")))?,
    };
    proof_of(c, entry_id)
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

/// The hashes of a tile, as wide as asked.
///
/// Fails as not found where the published tree does not reach so far.
pub fn tile(c: &mut Conn, tile: Tile) -> Result<Vec<u8>> {
    require_published(c, tile)?;
    let hashes = DatabaseTiles(c).read(tile)?;
    Ok(hashes.into_iter().take(usize::from(tile.width)).flat_map(|hash| hash.0).collect())
}

/// An entry bundle: each of a tile's entries after its length in two bytes, big-endian.
///
/// Fails as not found where the published tree does not reach so far.
pub fn entry_bundle(c: &mut Conn, tile: Tile) -> Result<Vec<u8>> {
    require_published(c, tile)?;
    let from = tile.index.checked_mul(u64::from(TILE_WIDTH)).ok_or_else(not_that_far)?;
    let leaves = queries::list_leaves(c, stored(from)?, i64::from(tile.width))?;
    if leaves.len() < usize::from(tile.width) {
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

/// Refuses a tile of which the last published checkpoint does not cover every hash. Tiles are served as immutable, and what
/// nobody was shown yet is lost where a database is set back: others would take its place.
fn require_published(c: &mut Conn, tile: Tile) -> Result<()> {
    let size = queries::find_last_publication(c)?.map_or(Ok(0), |row| counted(row.tree_size))?;
    let first = tile.index.checked_mul(u64::from(TILE_WIDTH));
    let last = first.and_then(|first| first.checked_add(u64::from(tile.width).saturating_sub(1)));
    let covered = last.and_then(|last| Tile::holding(tile.level, last, size));
    covered.map(drop).ok_or_else(not_that_far)
}

fn not_that_far() -> Error {
    Error::new(Kind::NotFound, "the log has no such tile, or none that wide")
        .remedy("read /log/checkpoint: its tree size says which tiles there are")
}

/// The last published checkpoint and the proof that it continues the tree of `old_size` entries.
///
/// Fails as not found if the log is not that long.
pub fn consistency_since(c: &mut Conn, old_size: u64) -> Result<Submission> {
    let row = published(c)?;
    let size = counted(row.tree_size)?;
    if old_size > size {
        return Err(not_that_far());
    }
    let proof = Tree::new(DatabaseTiles(c), size).consistency_path(old_size)?;
    Ok(Submission { old_size, proof, checkpoint: row.note })
}

/// The proof that the tree of `old` entries is a prefix of the checkpoint's.
pub(super) fn consistency(c: &mut Conn, old: u64, checkpoint: &Checkpoint) -> Result<Vec<Digest>> {
    Tree::new(DatabaseTiles(c), checkpoint.tree_size).consistency_path(old)
}
