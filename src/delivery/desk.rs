//! The receipt desk: receipts that arrive together are committed together, each answered after its commit.
//!
//! The parts of a receipt that do not depend on its batch are made by the request that asks for it, before it joins the queue:
//! there is one desk for all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::access::{require_seat, require_usable};
use super::{Entitlement, Planned, Receipt, queries, subscriptions, usage};
use crate::db::{Conn, Db};
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::market;
use crate::provenance::{self, ResourceDescriptor, StatementKind, tree};
use crate::types::{Clock, Digest, EntitlementId, Instant, ReceiptBatchId, TokenId, VersionId};

/// Requests that may wait; more are told to come back.
const QUEUE: usize = 1024;
/// The most requests in one group.
const GROUP: usize = 256;
/// A group with so many receipts takes no more requests: together they are fewer than this and [`MAX_LINKS`](super::MAX_LINKS).
const FULL: usize = 1000;
/// How many files of unfinished deliveries are remembered at most; then all are forgotten.
const MOST_REMEMBERED: usize = 100_000;

/// A shard whose receipt is durable.
pub type Delivered = Planned;

type Answer = oneshot::Sender<Result<()>>;

/// Receipts that are to be recorded together, or not at all.
type Request<R = Written> = (Vec<R>, Answer);

/// Commits receipts in groups. Cheap to clone.
#[derive(Clone)]
pub struct ReceiptDesk {
    requests: mpsc::Sender<Request>,
}

/// A receipt that is ready to be recorded.
pub(super) struct Written {
    pub(super) receipt: Receipt,
    /// The receipt as canonical JSON, whose hash is the leaf.
    pub(super) document: String,
    leaf: Digest,
    /// How many records its shard holds.
    pub(super) records: Option<i64>,
}

impl Written {
    fn new(planned: &Planned) -> Result<Self> {
        let (receipt, records) = (planned.receipt.clone(), planned.shard.records);
        let document = receipt.document()?;
        let leaf = tree::leaf_hash(&document);
        Ok(Self { receipt, document, leaf, records })
    }
}

impl ReceiptDesk {
    /// Opens a desk; it closes when every clone of it is gone.
    pub fn open(db: Db, keys: Arc<ExchangeKeys>, clock: Clock) -> Self {
        let (requests, mut waiting) = mpsc::channel(QUEUE);
        let name: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        tokio::spawn(async move {
            let mut unfinished = Unfinished::default();
            while let Some(group) = next_group(&mut waiting).await {
                commit_group(&db, (&keys, &name), clock.now(), group, &mut unfinished).await;
            }
        });
        Self { requests }
    }

    /// Records receipts; when this returns `Ok`, they are durable and the links may leave.
    pub async fn record(&self, planned: Vec<Planned>) -> Result<Vec<Delivered>> {
        let receipts = planned.iter().map(Written::new).collect::<Result<_>>()?;
        let (answer, answered) = oneshot::channel();
        let busy = |_| Error::new(Kind::Unavailable, "too many downloads are being started at once");
        self.requests.try_send((receipts, answer)).map_err(busy)?;
        answered.await.map_err(|_| Error::new(Kind::Unavailable, "the exchange is stopping"))??;
        Ok(planned)
    }
}

/// The requests that wait, once one does, as far as they make a group; none when no more will come.
async fn next_group<R>(waiting: &mut mpsc::Receiver<Request<R>>) -> Option<Vec<Request<R>>> {
    let first = waiting.recv().await?;
    let (mut receipts, mut group) = (first.0.len(), vec![first]);
    while group.len() < GROUP && receipts < FULL {
        let Ok(next) = waiting.try_recv() else { break };
        receipts = receipts.saturating_add(next.0.len());
        group.push(next);
    }
    Some(group)
}

/// The files, of a version each, that are on record of licences whose delivery was found unfinished with them: another
/// receipt for one of these does not finish it.
#[derive(Default)]
struct Unfinished(HashMap<EntitlementId, HashSet<(i32, String)>>);

impl Unfinished {
    /// The licences to which some of these receipts add a file that may be new.
    fn may_progress(&self, requests: &[Vec<Written>]) -> HashSet<EntitlementId> {
        let adds = |Receipt { entitlement, version, path, .. }: &Receipt| {
            let files = self.0.get(entitlement);
            files.is_none_or(|files| !files.contains(&(*version, path.clone())))
        };
        let receipts = requests.iter().flatten().map(|written| &written.receipt);
        receipts.filter(|receipt| adds(receipt)).map(|receipt| receipt.entitlement).collect()
    }

    /// Remembers what was recorded of those licences, of all that were `looked_at`, that are still unfinished. The others are
    /// forgotten: what is delivered again begins anew.
    fn note(&mut self, recorded: &[&Receipt], looked_at: &HashSet<EntitlementId>, unfinished: &[EntitlementId]) {
        for finished in looked_at.iter().filter(|id| !unfinished.contains(id)) {
            self.0.remove(finished);
        }
        if self.0.values().map(HashSet::len).sum::<usize>() >= MOST_REMEMBERED {
            self.0.clear();
        }
        for receipt in recorded.iter().filter(|receipt| unfinished.contains(&receipt.entitlement)) {
            self.0.entry(receipt.entitlement).or_default().insert((receipt.version, receipt.path.clone()));
        }
    }
}

async fn commit_group(
    db: &Db,
    (keys, desk): (&Arc<ExchangeKeys>, &Arc<str>),
    now: Instant,
    group: Vec<Request>,
    unfinished: &mut Unfinished,
) {
    let (requests, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let (keys, desk) = (keys.clone(), desk.clone());
    let (may_progress, requests) = (unfinished.may_progress(&requests), Arc::new(requests));
    let queued = requests.clone();
    let looked_at = may_progress.clone();
    match db.write(move |c| commit(c, (&keys, &desk), &queued, &may_progress, now)).await {
        Ok((each, still_unfinished)) => {
            let admitted = requests.iter().zip(&each).filter(|(_, result)| result.is_ok());
            let recorded: Vec<_> =
                admitted.flat_map(|(receipts, _)| receipts).map(|written| &written.receipt).collect();
            unfinished.note(&recorded, &looked_at, &still_unfinished);
            for (answer, result) in answers.into_iter().zip(each) {
                // A client that went away meanwhile has its receipt, and no link.
                let _ = answer.send(result);
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.for_another()));
            }
        }
    }
}

/// What became of each request, and which licences have got something new and are still unfinished.
type Committed = (Vec<Result<()>>, Vec<EntitlementId>);

/// Writes one batch with the receipts of every request whose entitlement still holds; one that no longer does
/// is refused without harm to the others.
fn commit(
    c: &mut Conn,
    (keys, desk): (&ExchangeKeys, &str),
    requests: &[Vec<Written>],
    may_progress: &HashSet<EntitlementId>,
    now: Instant,
) -> Result<Committed> {
    let mut checked = Checked::new();
    let mut outcomes = Vec::with_capacity(requests.len());
    let mut admitted = Vec::new();
    for receipts in requests {
        let versions: Result<Vec<_>> =
            receipts.iter().map(|written| check(c, &mut checked, &written.receipt, now)).collect();
        match versions {
            // The transaction failed, and with it everybody's.
            Err(failed) if failed.kind.status().is_server_error() => return Err(failed),
            Err(refused) => outcomes.push(Err(refused)),
            Ok(versions) => {
                admitted.extend(versions.into_iter().zip(receipts));
                outcomes.push(Ok(()));
            }
        }
    }
    if admitted.is_empty() {
        return Ok((outcomes, Vec::new()));
    }
    let concerned: HashMap<_, _> =
        checked.into_values().map(|(entitlement, _)| (entitlement.id, entitlement)).collect();
    usage::count(c, desk, &concerned, &admitted, now)?;
    write_batch(c, keys, &admitted, now)?;
    let given: HashSet<_> = admitted.iter().map(|(_, written)| written.receipt.entitlement).collect();
    let mut unfinished = Vec::new();
    for entitlement in given.intersection(may_progress).filter_map(|id| concerned.get(id)) {
        if note_progress(c, entitlement, now)? == Progress::Unfinished {
            unfinished.push(entitlement.id);
        }
    }
    Ok((outcomes, unfinished))
}

/// Licences that were found usable, by the seat and the number of the version that each was found with; and that version.
type Checked = HashMap<(EntitlementId, Option<TokenId>, i32), (Entitlement, VersionId)>;

/// The version that a receipt is for, if its licence may be used for it now.
fn check(c: &mut Conn, checked: &mut Checked, receipt: &Receipt, now: Instant) -> Result<VersionId> {
    let Receipt { entitlement: id, seat, version: number, .. } = receipt;
    if let Some((_, version)) = checked.get(&(*id, *seat, *number)) {
        return Ok(*version);
    }
    let entitlement = super::entitlement_of(c, *id)?;
    require_usable(&entitlement, now)?;
    if seat.is_some() {
        require_seat(c, *seat, &entitlement)?;
    }
    let (_, version) = subscriptions::require_covered(c, &entitlement, Some(*number))?;
    checked.insert((*id, *seat, *number), (entitlement, version.id));
    Ok(version.id)
}

fn write_batch(c: &mut Conn, keys: &ExchangeKeys, receipts: &[(VersionId, &Written)], now: Instant) -> Result<()> {
    // No receipt is of a later time than the log entry of its batch, whatever the clocks say.
    let now = receipts.iter().map(|(_, written)| written.receipt.issued_at).fold(now, Instant::max);
    let batch = ReceiptBatchId::new(now);
    let leaves: Vec<_> = receipts.iter().map(|(_, written)| written.leaf).collect();
    let root = tree::root_of(&leaves);
    let subject = vec![ResourceDescriptor::new(batch.to_string(), root)];
    let predicate = json!({ "root_sha256": root, "count": receipts.len() });
    let statement = provenance::declare(c, keys, StatementKind::ReceiptBatch, batch, subject, &predicate, now)?;
    let count = i32::try_from(receipts.len()).map_err(|_| Error::internal("a receipt batch is bounded"))?;
    queries::insert_batch(c, batch, root, count, statement.id, now)?;
    queries::insert_receipts(c, batch, receipts)?;
    Ok(())
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Unfinished,
    /// Or beyond that.
    Finished,
}

/// Moves the order along: the first link begins its delivery, and the first link to the last shard of what it was bought with
/// completes it.
fn note_progress(c: &mut Conn, entitlement: &Entitlement, now: Instant) -> Result<Progress> {
    let order = market::mark_delivering(c, entitlement.order_id, now)?;
    if order.state != market::OrderState::Delivering {
        return Ok(Progress::Finished);
    }
    // Counting the files costs more with every receipt: they are not counted before there are downloads enough.
    if usage::shards_of(c, entitlement)? < order.shard_count
        || queries::count_paths(c, entitlement)? < order.shard_count
    {
        return Ok(Progress::Unfinished);
    }
    market::mark_delivered(c, entitlement.order_id, now)?;
    Ok(Progress::Finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many receipts each group has of requests for so many, which all wait.
    async fn groups(requests: &[usize]) -> Vec<Vec<usize>> {
        let (asked, mut waiting) = mpsc::channel(QUEUE);
        for receipts in requests {
            asked.send((vec![(); *receipts], oneshot::channel().0)).await.unwrap();
        }
        drop(asked);
        let mut groups = Vec::new();
        while let Some(group) = next_group(&mut waiting).await {
            groups.push(group.iter().map(|(receipts, _)| receipts.len()).collect());
        }
        groups
    }

    #[tokio::test]
    async fn a_group_is_closed_by_its_receipts_as_well_as_by_its_requests() {
        assert_eq!(
            groups(&[1000, 1, 998, 1, 1, 1000, 1000]).await,
            [vec![1000], vec![1, 998, 1], vec![1, 1000], vec![1000]]
        );
        assert_eq!(groups(&[1; 300]).await.iter().map(Vec::len).collect::<Vec<_>>(), [256, 44]);
        assert_eq!(groups(&[]).await, Vec::<Vec<usize>>::new());
    }
}
