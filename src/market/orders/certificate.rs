//! The trade certificate (交易凭证): a number, and the exchange's signed word that the trade is settled.
//!
//! The number holds the year in which the order was placed, and is made from the order's identifier: unique without a
//! counter that every trade would write.

use serde_json::json;

use super::{Order, OrderState, advance, contract_of, visible_order, wrong_state};
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind, StoredStatement};
use crate::types::{Digest, Instant, OrderId};

/// The number of an order's certificate, once it has one.
pub fn certificate_number(order: &Order) -> Option<String> {
    (order.state == OrderState::Certificated).then(|| number(order))
}

/// Such as `CPX-T-2026-01KAY0…`.
fn number(order: &Order) -> String {
    let id = order.id.to_string();
    let unique = id.rsplit('_').next().unwrap_or_default().to_uppercase();
    format!("CPX-T-{:04}-{unique}", order.created_at.year())
}

/// Certifies a settled trade.
pub(super) fn certify(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    settlement: Digest,
    now: Instant,
) -> Result<Order> {
    let version = catalog::name_of(c, order.version_id)?;
    let manifest = catalog::seal_of(c, order.version_id)?.manifest_sha256;
    let (contract, number) = (contract_of(c, order.id)?.sha256, number(&order));
    let subjects =
        vec![ResourceDescriptor::new("contract", contract), ResourceDescriptor::new("settlement", settlement)];
    let predicate = json!({
        "number": number, "order": order.id, "contract_sha256": contract, "settlement_sha256": settlement,
        "buyer": identity::organisation(c, order.buyer_id)?.handle,
        "provider": identity::organisation(c, order.provider_id)?.handle,
        "dataset": version.dataset, "version": version.number, "manifest_sha256": manifest,
        "use": order.permitted_use, "price": order.price(), "refund": order.refund(), "issued_at": now,
    });
    provenance::declare(c, keys, StatementKind::TradeCertificate, order.id, subjects, &predicate, now)?;
    advance(c, order, OrderState::Certificated, None, "exchange", &number, now)
}

/// The certificate of an order that the caller may see: its number and the statement.
pub fn trade_certificate(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<(String, StoredStatement)> {
    let order = visible_order(c, caller, id)?;
    let number = certificate_number(&order).ok_or_else(|| wrong_state(&order, "certificated"))?;
    let found = provenance::first_about(c, id, StatementKind::TradeCertificate)?;
    Ok((number, found.ok_or_else(|| Error::internal(format!("order {id} has no certificate")))?))
}
