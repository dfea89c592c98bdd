//! Recomputing the log from its entries, and its entries from the statements.

use super::exchange_keys;
use super::note::Checkpoint;
use super::proofs::{counted, stored};
use super::tree::{self, Frontier};
use super::{queries, statement::Leaf};
use crate::db::Conn;
use crate::error::Result;
use crate::keys::ExchangeKeys;
use crate::types::EntryId;

/// Entries and statements read at a time.
const PAGE: i64 = 1000;

/// Recomputes the log's root from every entry, and the exchange's keys from the statements about them; describes each
/// difference.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn, keys: &ExchangeKeys, origin: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    root(c, keys, origin, &mut found)?;
    publication(c, keys, origin, &mut found)?;
    found.extend(exchange_keys::audit(c)?);
    Ok(found)
}

fn root(c: &mut Conn, keys: &ExchangeKeys, origin: &str, found: &mut Vec<String>) -> Result<()> {
    let Some(row) = queries::find_last_checkpoint(c)? else { return Ok(()) };
    let signed = match exchange_keys::open_checkpoint(c, keys, origin, &row.note) {
        Ok(signed) => signed,
        Err(error) => {
            found.push(format!("the last checkpoint does not verify: {error}"));
            return Ok(());
        }
    };
    let mut computed = Frontier::default();
    loop {
        let page = queries::list_leaves(c, stored(computed.size())?, PAGE)?;
        if page.is_empty() {
            break;
        }
        let hashes: Vec<_> = page.iter().map(tree::leaf_hash).collect();
        computed.append(&hashes);
    }
    if (computed.size(), computed.root()) != (signed.tree_size, signed.root) {
        found.push(format!(
            "the log's entries give size {} and root {}; signed are size {} and root {}",
            computed.size(),
            computed.root(),
            signed.tree_size,
            signed.root
        ));
    }
    let (places, entries, queued) =
        (counted(queries::count_places(c)?)?, queries::count_entries(c)?, queries::count_queued(c)?);
    if counted(entries)? != places + counted(queued)? {
        found.push(format!("of {entries} entries {places} have places and {queued} wait: some are lost"));
    }
    Ok(())
}

/// What is shown must be one of the checkpoints that were signed.
fn publication(c: &mut Conn, keys: &ExchangeKeys, origin: &str, found: &mut Vec<String>) -> Result<()> {
    let Some(shown) = queries::find_last_publication(c)? else { return Ok(()) };
    let signed = queries::find_checkpoint(c, shown.tree_size)?;
    match exchange_keys::open_checkpoint(c, keys, origin, &shown.note) {
        Ok(checkpoint) if signed.is_some_and(|signed| signed.root_sha256 == checkpoint.root) => {}
        Ok(_) => {
            found.push(format!("the checkpoint shown for {} entries is not the one that was signed", shown.tree_size))
        }
        Err(error) => found.push(format!("the checkpoint that is shown does not verify: {error}")),
    }
    Ok(())
}

/// Statements that were compared with their log entries.
#[derive(Debug)]
pub struct Compared {
    /// How many.
    pub statements: usize,
    /// The entry of the last.
    pub last: EntryId,
    /// Each difference.
    pub found: Vec<String>,
}

/// Compares the next thousand statements with the log entries that they must have, those after `after`; nothing when there are no
/// more.
///
/// # Errors
/// Those of the database.
pub fn statements(c: &mut Conn, after: Option<EntryId>) -> Result<Option<Compared>> {
    let page = queries::list_statements_with_leaves(c, after, PAGE)?;
    let Some(last) = page.last().map(|(statement, _)| statement.entry_id) else { return Ok(None) };
    let mut found = Vec::new();
    let statements = page.len();
    for (statement, leaf) in page {
        let logged: Result<Leaf, _> = serde_json::from_str(&leaf);
        let expected = logged.map(|logged| {
            Leaf::new(
                statement.kind,
                &statement.envelope.0,
                logged.signer_key_sha256,
                statement.receipt.as_ref().map(|r| &r.0),
                statement.recorded_at,
            )
            .and_then(|leaf| leaf.to_json())
        });
        if !matches!(expected, Ok(Ok(expected)) if expected == leaf) {
            found.push(format!("statement {} is not what its log entry {} says", statement.id, statement.entry_id));
        }
    }
    Ok(Some(Compared { statements, last, found }))
}

/// Compares the log with the last checkpoint that left the exchange, as the object store remembers it.
///
/// # Errors
/// Those of the database.
pub fn remembered(c: &mut Conn, mark: Option<&Checkpoint>) -> Result<Option<String>> {
    let Some(mark) = mark else { return Ok(None) };
    let signed = queries::find_last_checkpoint(c)?.map_or(0, |row| row.tree_size);
    let here = queries::find_checkpoint(c, stored(mark.tree_size)?)?.map(|row| row.root_sha256);
    Ok((here != Some(mark.root)).then(|| {
        format!(
            "the object store remembers a checkpoint of {} entries that is not in this database, whose last has {signed}: it was \
             set back, or is another one",
            mark.tree_size
        )
    }))
}

/// How many statements there are.
///
/// # Errors
/// Those of the database.
pub fn extent(c: &mut Conn) -> Result<u64> {
    counted(queries::count_statements(c)?)
}
