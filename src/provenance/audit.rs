//! Recomputing the log from its entries.

use super::exchange_keys;
use super::proofs::{counted, stored};
use super::tree::{self, Frontier};
use super::{queries, statement::Leaf};
use crate::db::Conn;
use crate::error::Result;
use crate::keys::ExchangeKeys;
use crate::types::EntryId;

/// Entries and statements read at a time.
const PAGE: i64 = 1000;

/// Recomputes the log's root from every entry, every entry from its statement, and the exchange's keys from the statements
/// about them; describes each difference.
pub fn audit(c: &mut Conn, keys: &ExchangeKeys, origin: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    root(c, keys, origin, &mut found)?;
    publication(c, keys, origin, &mut found)?;
    leaves(c, &mut found)?;
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

fn leaves(c: &mut Conn, found: &mut Vec<String>) -> Result<()> {
    let mut after: Option<EntryId> = None;
    loop {
        let page = queries::list_statements_with_leaves(c, after, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.entry_id);
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
    }
}
