//! What the receipts show about the delivery of an order.

use super::super::queries;
use crate::db::Conn;
use crate::error::Result;
use crate::market::{DeliveryEvidence, Order};

/// What was delivered of an order so far. Callers authorise.
pub fn evidence_of(c: &mut Conn, order: &Order) -> Result<DeliveryEvidence> {
    let shards = order.shard_count;
    let none = DeliveryEvidence { shards_delivered: 0, shards, last_receipt: None, last_receipt_at: None };
    let Some(entitlement) = queries::find_entitlement_of(c, order.licensed_by())? else { return Ok(none) };
    let Some((last, at)) = queries::find_last_receipt(c, &entitlement)? else { return Ok(none) };
    let shards_delivered = queries::count_paths(c, &entitlement)?;
    Ok(DeliveryEvidence { shards_delivered, last_receipt: Some(last), last_receipt_at: Some(at), ..none })
}
