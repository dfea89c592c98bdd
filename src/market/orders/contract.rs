//! The contract of an order: what the buyer signs and the exchange countersigns.

use super::extent::extent;
use super::place::{Grounds, open_listing};
use super::{Order, OrderState, advance, queries, require_in_time, require_state, visible_order};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Organisation, Role};
use crate::keys::ExchangeKeys;
use crate::market::contracts::{self, ContractDocument, Language, Licence, Party, PricedBy, RenderingFormat};
use crate::market::offers;
use crate::provenance::{self, Statement, StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::types::{ContractId, Digest, Instant, OrderId, StatementId};
use crate::{assessment, catalog, terms};

/// An agreement with both signatures.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::contracts, check_for_backend(crate::db::MultiBackend))]
pub struct Contract {
    /// Its identifier.
    pub id: ContractId,
    /// The order it governs.
    pub order_id: OrderId,
    /// The digest by which other statements refer to it.
    pub sha256: Digest,
    /// The statement with both signatures.
    pub statement_id: StatementId,
    /// When it was agreed.
    pub agreed_at: Instant,
}

/// The statement that both sides sign, as canonical JSON.
pub(super) fn contract_document(c: &mut Conn, order: &Order, buyer: &Organisation, grounds: Grounds) -> Result<String> {
    let provider = identity::organisation(c, order.provider_id)?;
    let version = catalog::name_of(c, order.version_id)?;
    let terms = terms::terms(c, order.terms_id)?;
    let (measure, part) = extent(c, order.version_id, order.selection())?;
    let certificate = assessment::registered(c, order.version_id)?;
    let document = ContractDocument {
        order: order.id,
        listing: order.listing_id,
        buyer: Party::of(buyer),
        provider: Party::of(&provider),
        dataset: version.dataset,
        version: version.number,
        manifest_sha256: catalog::seal_of(c, order.version_id)?.manifest_sha256,
        part,
        terms: terms.id,
        terms_sha256: terms.sha256,
        certificate: certificate.number,
        r#use: order.permitted_use,
        purpose: order.purpose.clone(),
        licence: Licence::under(&terms.document),
        offer_sha256: grounds.offer_sha256,
        negotiation: grounds.negotiation,
        price: order.price(),
        priced_by: if grounds.offer_sha256.is_some() { None } else { PricedBy::under(&terms.document, &measure) },
        fee: order.fee(),
        download_days: None,
        delivery_days: Some(order.download_days),
        acceptance_days: order.acceptance_days,
        renews: order.renews,
        made_at: order.created_at,
    };
    let payload = contracts::statement(&document)?.to_payload()?;
    String::from_utf8(payload).map_err(|error| Error::internal("canonical JSON is UTF-8").because(error))
}

/// The contract of an order as people read it, signed or not: read it before you sign it.
pub fn rendering(
    c: &mut Conn,
    caller: &Caller,
    id: OrderId,
    language: Language,
    format: RenderingFormat,
) -> Result<String> {
    let order = visible_order(c, caller, id)?;
    let statement: Statement = serde_json::from_str(&order.contract_document)?;
    Ok(contracts::render(&contracts::check(statement.predicate)?, language, format))
}

/// The buyer signs the contract; the exchange countersigns it. The listing must still take orders: this is the moment
/// of the agreement. The same envelope sent again gives the contract that stands.
pub fn sign_contract(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    envelope: Envelope,
    now: Instant,
) -> Result<(Order, Contract)> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", Role::SIGNERS)?;
    envelope.sole_signature()?;
    if let Some(standing) = standing_contract(c, id, &envelope)? {
        return Ok((order, standing));
    }
    require_state(&order, OrderState::AwaitingSignature)?;
    require_in_time(&order, now, "place another order")?;
    open_listing(c, order.listing_id, now)?;
    if let Some(offer) = offers::offer_of(c, id)? {
        identity::require_sound(c, order.provider_id, &[offer]).map_err(|error| error.field("offer"))?;
    }
    let contract = agree(c, keys, &order, envelope, now)?;
    let due = order.due_at;
    let order = advance(c, order, OrderState::AwaitingPayment, due, caller.user_id, "the contract was signed", now)?;
    Ok((order, contract))
}

/// Countersigns the contract of an order that may be agreed to now. Callers authorise.
fn agree(c: &mut Conn, keys: &ExchangeKeys, order: &Order, envelope: Envelope, now: Instant) -> Result<Contract> {
    let signer = envelope.sole_signature()?.keyid;
    if envelope.payload.0 != order.contract_document.as_bytes() {
        return Err(Error::new(Kind::BadSignature, "the signed document is not this order's contract")
            .field("payload")
            .remedy("sign the bytes of `contract_payload` exactly as the order gives them"));
    }
    let key = identity::signing_key_for(c, order.buyer_id, signer)?;
    let (signed, _) = VerifiedEnvelope::open(envelope, &[key.public_key], StatementKind::Contract)?;
    record_contract(c, keys, order, &signed, now)
}

/// Countersigns the contract that the others signed with active keys, and keeps it.
pub(super) fn record_contract(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: &Order,
    signed: &VerifiedEnvelope,
    now: Instant,
) -> Result<Contract> {
    let recorded = provenance::countersign(c, keys, order.id, signed, now)?;
    let contract = Contract {
        id: ContractId::new(now),
        order_id: order.id,
        sha256: recorded.pae_sha256,
        statement_id: recorded.id,
        agreed_at: now,
    };
    db::append(c, contract.clone())?;
    Ok(contract)
}

/// The contract of an order, if it stands with this very signature.
fn standing_contract(c: &mut Conn, id: OrderId, envelope: &Envelope) -> Result<Option<Contract>> {
    let Some(contract) = queries::find_contract_of(c, id)? else { return Ok(None) };
    let signed = provenance::statement(c, contract.statement_id)?.envelope;
    let same = signed.payload == envelope.payload && envelope.signatures.iter().all(|s| signed.signatures.contains(s));
    Ok(same.then_some(contract))
}

/// The contract of an order. Callers authorise.
pub fn contract_of(c: &mut Conn, order: OrderId) -> Result<Contract> {
    db::load_once(c, order, |c| queries::find_contract_of(c, order))?
        .ok_or_else(|| Error::new(Kind::WrongState, format!("the contract of order {order} is not signed yet")))
}

/// Loads the contracts of these orders together, for a page that asks [`contract_of`] for each.
pub(in crate::market) fn load_contracts(c: &mut Conn, orders: impl IntoIterator<Item = OrderId>) -> Result<()> {
    Ok(db::load_ahead(c, orders, queries::list_contracts_of)?)
}
