//! The order that a negotiation ends with: its contract is signed by both sides before there is an order at all.

use super::contract::{contract_document, record_contract};
use super::place::{Deal, Grounds, make_out};
use super::{Order, OrderState, Royalty, advance, days};
use crate::catalog;
use crate::config::Config;
use crate::db::{self, Conn};
use crate::error::Result;
use crate::history;
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::market::Listing;
use crate::market::contracts;
use crate::provenance::{Statement, VerifiedEnvelope};
use crate::types::{BASIS_POINTS, Instant, Json, OrderId, OrganisationId};

/// The contract that a negotiation would end with: the exact bytes that both sides sign, and the royalties that its order would
/// owe. Nothing is stored.
pub(in crate::market) fn negotiated_contract(
    c: &mut Conn,
    config: &Config,
    deal: &Deal<'_>,
    grounds: Grounds,
    now: Instant,
) -> Result<(String, Json<Vec<Royalty>>)> {
    let order = make_out(c, config, deal, (OrderId::new(now), now))?;
    Ok((contract_document(c, &order, deal.buyer, grounds)?, order.royalties))
}

/// Stores the order of a contract that both sides signed with active keys; the exchange countersigns, and the order waits
/// for payment. Callers authorise, and have checked what is agreed on.
pub(in crate::market) fn conclude(
    c: &mut Conn,
    (config, keys): (&Config, &ExchangeKeys),
    (listing, buyer_id): (&Listing, OrganisationId),
    royalties: Json<Vec<Royalty>>,
    (signed, statement): (&VerifiedEnvelope, Statement),
    caller: &Caller,
    now: Instant,
) -> Result<Order> {
    let document = contracts::check(statement.predicate)?;
    let order = Order {
        id: document.order,
        listing_id: listing.id,
        buyer_id,
        provider_id: listing.provider_id,
        version_id: listing.version_id,
        terms_id: document.terms,
        selection: None,
        shard_count: catalog::seal_of(c, listing.version_id)?.shard_count,
        permitted_use: document.r#use,
        purpose: document.purpose,
        price_minor: document.price.amount_minor,
        fee_minor: document.fee.amount_minor,
        tax_minor: document.fee.part(config.tax_basis_points, BASIS_POINTS)?.amount_minor,
        currency: document.price.currency,
        royalties,
        contract_document: String::from_utf8_lossy(&signed.envelope().payload.0).into_owned(),
        state: OrderState::AwaitingSignature,
        download_days: document.delivery_days.or(document.download_days).unwrap_or(config.download_window_days),
        acceptance_days: document.acceptance_days,
        cure_days: config.cure_window_days,
        dispute_days: config.dispute_window_days,
        dispute_until: None,
        due_at: Some(now.plus(days(config.payment_window_days))),
        refund_minor: None,
        renews: None,
        created_at: document.made_at,
    };
    db::append(c, order.clone())?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "negotiated", now)?;
    record_contract(c, keys, &order, signed, now)?;
    let due = order.due_at;
    advance(c, order, OrderState::AwaitingPayment, due, caller.user_id, "the contract was signed by both sides", now)
}
