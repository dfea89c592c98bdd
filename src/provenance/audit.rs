//! Recomputes the log from its entries, and the entries from the statements, and verifies their signatures again.

use std::collections::HashMap;

use serde_json::Value;

use super::exchange_keys;
use super::log::{counted, stored};
use super::note::Checkpoint;
use super::passport::PassportKey;
use super::passport::signers::{self, Holder};
use super::queries::{self, StatementRow};
use super::statement::{Leaf, verify_receipt};
use super::tree::{self, Frontier};
use crate::db::Conn;
use crate::error::Result;
use crate::keys::{ExchangeKeys, KeyRole};
use crate::signing::{IN_TOTO_PAYLOAD_TYPE, PublicKey};
use crate::types::{Digest, EntryId};

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
    let (entries, statements) = (queries::count_entries(c)?, queries::count_statements(c)?);
    if entries != statements {
        found.push(format!("the log has {entries} entries for {statements} statements: some are lost"));
    }
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
    let places = counted(queries::count_places(c)?)?;
    let mut computed = Frontier::default();
    // Where a place is left out, the pages overlap: as many entries as have places are enough to see that.
    while computed.size() < places {
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
    let end = queries::find_last_leaf_index(c)?.map_or(Ok(0), |last| counted(last).map(|last| last + 1))?;
    if end != places {
        found.push(format!("of {end} places in the log {places} are taken: some are lost"));
    }
    let (entries, queued) = (counted(queries::count_entries(c)?)?, counted(queries::count_queued(c)?)?);
    if entries != places + queued {
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

/// Finds an organisation's key by its key id.
pub type FindKey = dyn Fn(&mut Conn, Digest) -> Result<Option<PassportKey>>;

/// Compares the next thousand statements with the log entries that they must have, those after `after`, and verifies every signature
/// on them; nothing when there are no more.
///
/// # Errors
/// Those of the database.
pub fn statements(
    c: &mut Conn,
    keys: &ExchangeKeys,
    find_key: &FindKey,
    after: Option<EntryId>,
) -> Result<Option<Compared>> {
    let page = queries::list_statements_with_leaves(c, after, PAGE)?;
    let Some(last) = page.last().map(|(statement, _)| statement.entry_id) else { return Ok(None) };
    let known = Known::of(c, keys, find_key, &page)?;
    let mut found = Vec::new();
    for (statement, leaf) in &page {
        let logged: Result<Leaf, _> = serde_json::from_str(leaf);
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
        if !matches!(expected, Ok(Ok(expected)) if expected == *leaf) {
            found.push(format!("statement {} is not what its log entry {} says", statement.id, statement.entry_id));
        }
        if let Err(why) = known.verify(statement) {
            found.push(format!("the {} statement {}: {why}", statement.kind, statement.id));
        }
    }
    Ok(Some(Compared { statements: page.len(), last, found }))
}

/// Accepts any predicate: each was checked against its schema when it was admitted.
fn admitted(_: &str, _: &Value) -> Result<()> {
    Ok(())
}

/// The keys that may have signed some statements.
struct Known {
    exchange: HashMap<Digest, PublicKey>,
    organisations: HashMap<Digest, PassportKey>,
}

impl Known {
    fn of(c: &mut Conn, keys: &ExchangeKeys, find_key: &FindKey, page: &[(StatementRow, String)]) -> Result<Self> {
        let on_record = exchange_keys::exchange_keys(c)?.into_iter().filter(|key| key.role == KeyRole::Statement);
        let own = on_record.map(|key| key.public_key).chain([keys.statement.public()]).map(|key| (key.key_id(), key));
        let mut known = Self { exchange: own.collect(), organisations: HashMap::new() };
        for signature in page.iter().flat_map(|(statement, _)| &statement.envelope.0.signatures) {
            let key_id = signature.keyid;
            if !known.exchange.contains_key(&key_id)
                && !known.organisations.contains_key(&key_id)
                && let Some(key) = find_key(c, key_id)?
            {
                known.organisations.insert(key_id, key);
            }
        }
        Ok(known)
    }

    /// Checks the signatures on a statement and on its receipt, and who made them.
    fn verify(&self, row: &StatementRow) -> Result<(), String> {
        let own = |key_id: Digest| self.exchange.get(&key_id).copied();
        let holder = |key_id: Digest| {
            own(key_id).map(Holder::Exchange).or(self.organisations.get(&key_id).map(Holder::Organisation))
        };
        let envelope = &row.envelope.0;
        let signed = signers::signed(row.kind, envelope, &admitted, &holder)?;
        let Some(receipt) = signed.receipt(row.receipt.as_ref().map(|receipt| &receipt.0))? else { return Ok(()) };
        let mut first = None;
        for signature in &receipt.signatures {
            let key = own(signature.keyid).ok_or("somebody else than the exchange signed its receipt")?;
            receipt.verify(key, IN_TOTO_PAYLOAD_TYPE).map_err(|error| error.to_string())?;
            first = first.or(Some(key));
        }
        let first = first.ok_or("nobody signed its receipt")?;
        verify_receipt(receipt, &signed.statement, row.kind, envelope, first).map_err(|error| error.to_string())?;
        Ok(())
    }
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
