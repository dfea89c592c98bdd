//! Acceptance and settlement: the provider is paid, less the exchange's fee.

use serde_json::json;

use super::{BUYERS, Order, OrderState, advance, contract_of, visible_order, wrong_state};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::types::{Instant, OrderId};

/// The buyer accepts what was delivered; the provider is paid in the same transaction, less the exchange's fee.
pub fn accept(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, id: OrderId, now: Instant) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", BUYERS)?;
    if !order.state.may_become(OrderState::Accepted) {
        return Err(wrong_state(&order, "delivering or delivered"));
    }
    let order = advance(c, order, OrderState::Accepted, caller.user_id, "accepted by the buyer", now)?;
    if order.price_minor > 0 {
        let (price, fee) = (order.price(), order.fee());
        let lines = [
            (AccountRef::Escrow, price.negated()?),
            (AccountRef::Payable(order.provider_id), price.minus(fee)?),
            (AccountRef::Fees, fee),
        ];
        ledger::post(c, TransactionKind::Settlement, &id.to_string(), &lines, now)?;
    }
    let contract = contract_of(c, id)?.sha256;
    let subjects = vec![ResourceDescriptor::new("contract", contract)];
    let predicate = json!({ "order": id, "contract_sha256": contract, "accepted_at": now, "settled_at": now });
    provenance::declare(c, keys, StatementKind::Settlement, id, subjects, &predicate, now)?;
    advance(c, order, OrderState::Settled, "exchange", "settled on acceptance", now)
}
