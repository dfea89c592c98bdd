//! Putting passports together: every statement that a licence rests on, or an evaluation, each with its proof.
//!
//! Invariant: no passport is issued that is longer than anybody reads.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::{evaluations, queries, subscriptions};
use crate::catalog::{self, inspection};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller};
use crate::keys::ExchangeKeys;
use crate::provenance::passport::{Delivery, MAX_PASSPORT_BYTES, Passport, PassportKey, PassportStatement};
use crate::provenance::policy::Witness;
use crate::provenance::{self, StatementKind, exchange_keys, log, tree};
use crate::signing::Bytes;
use crate::types::{EntitlementId, EvaluationId, Instant, PageQuery, ReceiptBatchId, StatementId, VersionId};
use crate::{assessment, market, terms};

/// Statements read at a time.
const PAGE: i64 = 1000;
/// Receipts read at a time.
const RECEIPTS: usize = 1000;
/// How long a digest is in JSON.
const DIGEST_DIGITS: usize = 64;

/// The statements of a passport that is being put together.
#[derive(Default)]
struct Statements {
    all: Vec<PassportStatement>,
    /// How many bytes the passport has at least, with its deliveries.
    bytes: usize,
}

impl Statements {
    /// Adds a statement with its proof.
    fn add(&mut self, c: &mut Conn, id: StatementId) -> Result<()> {
        let statement = log::logged(c, id)?.ok_or_else(|| {
            Error::new(Kind::Unavailable, "the log has not taken in the newest statements yet")
                .remedy("ask again in a second")
        })?;
        let signed = std::iter::once(&statement.envelope).chain(&statement.receipt);
        let written = signed.map(|envelope| in_base64(envelope.payload.0.len()));
        self.count(written.fold(statement.proof.len(), usize::saturating_add))?;
        self.all.push(statement);
        Ok(())
    }

    /// Counts what comes into the passport, so that one that is too long is given up before all of it is read.
    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(bytes);
        require_readable(self.bytes)
    }
}

fn in_base64(bytes: usize) -> usize {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Refuses a passport of so many bytes if nobody would read it: a licence may cover any number of versions, each with a manifest of
/// any length, and any number of shards, each with a receipt.
fn require_readable(bytes: usize) -> Result<()> {
    if bytes <= MAX_PASSPORT_BYTES {
        return Ok(());
    }
    Err(Error::new(Kind::TooLarge, format!("a passport has at most {MAX_PASSPORT_BYTES} bytes"))
        .remedy("this licence rests on more than one holds: /v1/log/proofs proves each statement by itself"))
}

/// Issues the passport of one of the caller's licences: the bytes of its file.
///
/// Fails as unavailable while the log has not taken in the newest statements, which takes about a second; and as too large.
pub fn passport(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    origin: &str,
    witnesses: &[Witness],
    id: EntitlementId,
) -> Result<Vec<u8>> {
    let entitlement = super::entitlement(c, caller, id)?;
    let contract = market::contract_of(c, entitlement.order_id)?;
    let ordered_at = market::order(c, entitlement.order_id)?.created_at;
    let mut rests_on = vetting(c, entitlement.version_id, ordered_at)?.to_vec();
    rests_on.push(terms::terms(c, entitlement.terms_id)?.statement_id);
    rests_on.extend([contract.statement_id, entitlement.statement_id]);
    for (joined, _) in subscriptions::versions(c, &entitlement)? {
        if joined.version_id != entitlement.version_id {
            rests_on.extend(vetting(c, joined.version_id, joined.joined_at)?);
        }
    }
    let named = market::offer_of(c, entitlement.order_id)?.or(market::negotiated_offer_of(c, entitlement.order_id)?);
    let mut statements = Statements::default();
    for id in rests_on.into_iter().chain(named) {
        statements.add(c, id)?;
    }
    for renewal in market::orders::paid_renewals(c, entitlement.order_id)? {
        let contract = market::contract_of(c, renewal.id)?;
        statements.add(c, contract.statement_id)?;
    }
    for change in changes(c, id)? {
        statements.add(c, change)?;
    }
    let deliveries = deliveries(c, id, &mut statements)?;
    issue(c, keys, origin, witnesses, statements, deliveries)
}

/// Issues the passport of an evaluation, to members of the lab and the platform's staff. It names who took the sample, which is
/// no affair of the provider's.
///
/// Fails as [`passport`] does.
pub fn passport_of_evaluation(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    origin: &str,
    witnesses: &[Witness],
    id: EvaluationId,
) -> Result<Vec<u8>> {
    let evaluation = evaluations::evaluation(c, caller, id)?;
    if !caller.sees(evaluation.organisation_id) {
        return Err(Error::withheld(format!("evaluation {id}")));
    }
    let mut rests_on = vetting(c, evaluation.version_id, evaluation.granted_at)?.to_vec();
    rests_on.push(terms::terms(c, evaluation.terms_id)?.statement_id);
    rests_on.extend([inspection::inspection_of(c, evaluation.version_id)?.statement_id, evaluation.statement_id]);
    let taken = first_receipt(c, id)?;
    let mut statements = Statements::default();
    for id in rests_on.into_iter().chain(taken) {
        statements.add(c, id)?;
    }
    issue(c, keys, origin, witnesses, statements, Vec::new())
}

/// The receipt of the first link to a sample; later ones prove nothing more, as with [`deliveries`].
fn first_receipt(c: &mut Conn, id: EvaluationId) -> Result<Option<StatementId>> {
    Ok(provenance::first_about(c, id, StatementKind::EvaluationReceipt)?.map(|about| about.id))
}

/// Adds the keys to the statements, the organisations' and the exchange's, and signs the whole.
fn issue(
    c: &mut Conn,
    keys: &ExchangeKeys,
    origin: &str,
    witnesses: &[Witness],
    mut statements: Statements,
    deliveries: Vec<Delivery>,
) -> Result<Vec<u8>> {
    let signers = signers(c, &mut statements)?;
    for about in provenance::statements_about(c, exchange_keys::SUBJECT)? {
        statements.add(c, about.id)?;
    }
    let keys = exchange_keys::active(c, keys)?;
    let file = Passport::issue(&keys, origin, witnesses, statements.all, signers, deliveries)?.to_bytes()?;
    require_readable(file.len())?;
    Ok(file)
}

/// The statements that say what a version is, that it was assessed by then, and that it is registered.
fn vetting(c: &mut Conn, version: VersionId, at: Instant) -> Result<[StatementId; 3]> {
    Ok([
        catalog::seal_of(c, version)?.statement_id,
        assessment::assessment_at(c, version, at)?.statement_id,
        assessment::registered(c, version)?.statement_id,
    ])
}

/// Every change of the licence since it was granted, oldest first.
fn changes(c: &mut Conn, id: EntitlementId) -> Result<Vec<StatementId>> {
    let mut page = PageQuery { cursor: None, limit: Some(PAGE) };
    let mut changes = Vec::new();
    loop {
        let found = provenance::page_about(c, id, &page)?;
        let Some(last) = found.last() else { return Ok(changes) };
        page.cursor = Some(last.id.to_string());
        changes
            .extend(found.iter().filter(|about| about.kind == StatementKind::EntitlementChange).map(|about| about.id));
    }
}

/// The first receipt of each shard under the licence, with its path in its batch; the batches' statements are added
/// to `statements`. Later links to the same bytes prove nothing more, and there may be any number of them: they are not read.
fn deliveries(c: &mut Conn, id: EntitlementId, statements: &mut Statements) -> Result<Vec<Delivery>> {
    let mut batches: HashMap<ReceiptBatchId, (u32, Vec<crate::types::Digest>)> = HashMap::new();
    let mut deliveries = Vec::new();
    let first = queries::list_first_receipts(c, id)?;
    for page in first.chunks(RECEIPTS) {
        for row in queries::list_receipts_by_id(c, page)? {
            let (batch, leaves) = match batches.entry(row.batch_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let place =
                        u32::try_from(statements.all.len()).map_err(|_| Error::internal("a passport is bounded"))?;
                    let statement = queries::find_batch_statement(c, row.batch_id)?;
                    statements.add(c, statement)?;
                    new.insert((place, batch_leaves(c, row.batch_id)?))
                }
            };
            let wrong = |_| Error::internal("a receipt batch is bounded");
            let index = usize::try_from(row.batch_index).map_err(wrong)?;
            let path = tree::path_of(leaves, index)?;
            statements.count(in_base64(row.document.len()).saturating_add(path.len().saturating_mul(DIGEST_DIGITS)))?;
            deliveries.push(Delivery {
                receipt: Bytes(row.document.into_bytes()),
                batch: *batch,
                leaf_index: u32::try_from(row.batch_index).map_err(wrong)?,
                tree_size: u32::try_from(leaves.len()).map_err(wrong)?,
                path,
            });
        }
    }
    Ok(deliveries)
}

fn batch_leaves(c: &mut Conn, id: ReceiptBatchId) -> Result<Vec<crate::types::Digest>> {
    Ok(queries::list_batch(c, id)?.iter().map(tree::leaf_hash).collect())
}

/// The organisations' keys that signed the statements, with when each was good. The statements that registered
/// (and perhaps revoked) them are added, and the keys that signed those: a rotation leads to the key before.
fn signers(c: &mut Conn, statements: &mut Statements) -> Result<Vec<PassportKey>> {
    let mut awaited: Vec<_> = statements.all.iter().flat_map(|s| &s.envelope.signatures).map(|s| s.keyid).collect();
    let (mut seen, mut signers) = (HashSet::new(), Vec::new());
    while let Some(key_id) = awaited.pop() {
        // The exchange's own keys are named by the passport itself.
        let Some(key) = identity::signing_key(c, key_id)?.filter(|key| seen.insert(key.key_id)) else { continue };
        for about in provenance::statements_about(c, key.id)? {
            statements.add(c, about.id)?;
            let added = statements.all.last().into_iter().flat_map(|statement| &statement.envelope.signatures);
            awaited.extend(added.map(|signature| signature.keyid));
        }
        signers.push(identity::passport_key(c, &key)?);
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_into_a_passport_is_counted_until_it_is_too_long() {
        let mut statements = Statements::default();
        statements.count(MAX_PASSPORT_BYTES - 1).unwrap();
        statements.count(1).unwrap();
        assert_eq!(statements.count(1).unwrap_err().kind, Kind::TooLarge);
        assert_eq!((in_base64(0), in_base64(1), in_base64(3), in_base64(4)), (0, 4, 4, 8));
    }
}
