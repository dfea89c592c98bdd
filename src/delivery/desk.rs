//! The receipt desk: receipts that arrive together are committed together, each answered after its commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::access::{require_seat, require_usable};
use super::usage::{self, Metered};
use super::{Planned, Receipt, queries, subscriptions};
use crate::db::{Conn, Db};
use crate::error::{Error, Kind, Result};
use crate::keys::ExchangeKeys;
use crate::market;
use crate::provenance::{self, ResourceDescriptor, StatementKind, tree};
use crate::types::{Clock, EntitlementId, Instant, ReceiptBatchId, TokenId, VersionId};

/// Requests that may wait; more are told to come back.
const QUEUE: usize = 1024;
/// The most requests in one group.
const GROUP: usize = 256;

/// A shard whose receipt is durable.
pub type Delivered = Planned;

type Answer = oneshot::Sender<Result<()>>;

/// Commits receipts in groups. Cheap to clone.
#[derive(Clone)]
pub struct ReceiptDesk {
    requests: mpsc::Sender<(Vec<Metered>, Answer)>,
}

impl ReceiptDesk {
    /// Opens a desk; it closes when every clone of it is gone.
    pub fn open(db: Db, keys: Arc<ExchangeKeys>, clock: Clock) -> Self {
        let (requests, mut waiting) = mpsc::channel::<(Vec<Metered>, Answer)>(QUEUE);
        let name: Arc<str> = uuid::Uuid::now_v7().to_string().into();
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(GROUP);
            while waiting.recv_many(&mut group, GROUP).await > 0 {
                commit_group(&db, (&keys, &name), clock.now(), std::mem::take(&mut group)).await;
            }
        });
        Self { requests }
    }

    /// Records receipts; when this returns `Ok`, they are durable and the links may leave.
    pub async fn record(&self, planned: Vec<Planned>) -> Result<Vec<Delivered>> {
        let receipts = planned.iter().map(Metered::from).collect();
        let (answer, answered) = oneshot::channel();
        let busy = |_| Error::new(Kind::Unavailable, "too many downloads are being started at once");
        self.requests.try_send((receipts, answer)).map_err(busy)?;
        answered.await.map_err(|_| Error::new(Kind::Unavailable, "the exchange is stopping"))??;
        Ok(planned)
    }
}

async fn commit_group(
    db: &Db,
    (keys, desk): (&Arc<ExchangeKeys>, &Arc<str>),
    now: Instant,
    group: Vec<(Vec<Metered>, Answer)>,
) {
    let (requests, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
    let (keys, desk) = (keys.clone(), desk.clone());
    let outcome = db.write(move |c| commit(c, (&keys, &desk), &requests, now)).await;
    match outcome {
        Ok(each) => {
            for (answer, result) in answers.into_iter().zip(each) {
                // A client that went away meanwhile has its receipt, and no link.
                let _ = answer.send(result);
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(Error::new(error.kind, error.detail.clone())));
            }
        }
    }
}

/// Writes one batch with the receipts of every request whose entitlement still holds; one that no longer does
/// is refused without harm to the others.
fn commit(
    c: &mut Conn,
    (keys, desk): (&ExchangeKeys, &str),
    requests: &[Vec<Metered>],
    now: Instant,
) -> Result<Vec<Result<()>>> {
    let mut checked = Checked::new();
    let mut outcomes = Vec::with_capacity(requests.len());
    let mut admitted = Vec::new();
    for receipts in requests {
        let versions: Result<Vec<_>> =
            receipts.iter().map(|metered| check(c, &mut checked, &metered.receipt, now)).collect();
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
    if !admitted.is_empty() {
        usage::count(c, desk, &admitted, now)?;
        let receipts: Vec<_> = admitted.iter().map(|(version, metered)| (*version, &metered.receipt)).collect();
        write_batch(c, keys, &receipts, now)?;
        let licences: HashSet<_> = checked.into_keys().map(|(id, ..)| id).collect();
        for id in licences {
            note_progress(c, id, now)?;
        }
    }
    Ok(outcomes)
}

/// Licences that were found usable, each with the seat and the number of the version that it was found with; and that version.
type Checked = HashMap<(EntitlementId, Option<TokenId>, i32), VersionId>;

/// The version that a receipt is for, if its licence may be used for it now.
fn check(c: &mut Conn, checked: &mut Checked, receipt: &Receipt, now: Instant) -> Result<VersionId> {
    let Receipt { entitlement: id, seat, version: number, .. } = receipt;
    if let Some(version) = checked.get(&(*id, *seat, *number)) {
        return Ok(*version);
    }
    let entitlement =
        queries::find_entitlement(c, *id)?.ok_or_else(|| Error::not_found(format!("entitlement {id}")))?;
    require_usable(&entitlement, now)?;
    if seat.is_some() {
        require_seat(c, *seat, &entitlement)?;
    }
    let (_, version) = subscriptions::require_covered(c, &entitlement, Some(*number))?;
    checked.insert((*id, *seat, *number), version.id);
    Ok(version.id)
}

fn write_batch(c: &mut Conn, keys: &ExchangeKeys, receipts: &[(VersionId, &Receipt)], now: Instant) -> Result<()> {
    let batch = ReceiptBatchId::new(now);
    let documents =
        receipts.iter().map(|(_, receipt)| crate::signing::canonical_json(receipt)).collect::<Result<Vec<_>>>()?;
    let leaves: Vec<_> = documents.iter().map(tree::leaf_hash).collect();
    let root = tree::root_of(&leaves);
    let subject = vec![ResourceDescriptor::new(batch.to_string(), root)];
    let predicate = json!({ "root_sha256": root, "count": receipts.len() });
    let statement = provenance::declare(c, keys, StatementKind::ReceiptBatch, batch, subject, &predicate, now)?;
    let count = i32::try_from(receipts.len()).map_err(|_| Error::internal("a receipt batch is bounded"))?;
    queries::insert_batch(c, batch, root, count, statement.id, now)?;
    queries::insert_receipts(c, batch, receipts)?;
    Ok(())
}

/// Moves the order along: the first link begins its delivery, and the first link to the last shard of what it was bought with
/// completes it.
fn note_progress(c: &mut Conn, id: EntitlementId, now: Instant) -> Result<()> {
    let Some(entitlement) = queries::find_entitlement(c, id)? else { return Ok(()) };
    let order = market::mark_delivering(c, entitlement.order_id, now)?;
    if order.state == market::OrderState::Delivering && queries::count_paths(c, &entitlement)? >= order.shard_count {
        market::mark_delivered(c, entitlement.order_id, now)?;
    }
    Ok(())
}
