//! Orders: from a declared use to settlement.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::listings::{self, Listing, ListingState};
use super::{holds, queries};
use crate::assessment;
use crate::catalog;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Organisation, Role};
use crate::keys::ExchangeKeys;
use crate::ledger::{self, AccountRef, TransactionKind};
use crate::provenance::{self, ResourceDescriptor, Statement, StatementKind};
use crate::signing::Envelope;
use crate::terms::{self, Use};
use crate::text_enum;
use crate::types::{
    BASIS_POINTS, ContractId, Currency, Digest, Instant, ListingId, Money, OrderId, OrganisationId, PageQuery,
    StatementId, TermsId, VersionId, kind,
};

/// Who may buy for an organisation.
const BUYERS: &[Role] = &[Role::Trader];
/// Who may commit an organisation with its signature.
const SIGNERS: &[Role] = &[Role::Signer];
/// A declared use says something, and no more than fits a page.
const PURPOSE_CHARS: std::ops::RangeInclusive<usize> = 10..=2000;

text_enum! {
    /// Where an order is in its life.
    pub enum OrderState {
        /// The contract waits for the buyer's signature.
        AwaitingSignature = "awaiting_signature",
        /// Agreed; it waits for payment.
        AwaitingPayment = "awaiting_payment",
        /// Paid into escrow; nothing was delivered yet.
        Escrowed = "escrowed",
        /// Some shards were delivered.
        Delivering = "delivering",
        /// Every shard was delivered.
        Delivered = "delivered",
        /// The buyer accepted what was delivered.
        Accepted = "accepted",
        /// The provider was paid.
        Settled = "settled",
    }
}

impl OrderState {
    /// Whether an order in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Delivered, Delivering, Escrowed, Settled};
        matches!(
            (self, next),
            (AwaitingSignature, AwaitingPayment)
                | (AwaitingPayment, Escrowed)
                | (Escrowed, Delivering)
                | (Delivering, Delivered | Accepted)
                | (Delivered, Accepted)
                | (Accepted, Settled)
        )
    }
}

/// A purchase.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = crate::schema::orders, check_for_backend(crate::db::MultiBackend))]
pub struct Order {
    /// Its identifier.
    pub id: OrderId,
    /// What was ordered from the board.
    pub listing_id: ListingId,
    /// Who buys.
    pub buyer_id: OrganisationId,
    /// Who sells.
    pub provider_id: OrganisationId,
    /// What is bought.
    pub version_id: VersionId,
    /// On which terms.
    pub terms_id: TermsId,
    /// The kind of use.
    pub permitted_use: Use,
    /// The declared use, in the buyer's words.
    pub purpose: String,
    /// The price in minor units.
    pub price_minor: i64,
    /// The exchange's part of the price, in minor units.
    pub fee_minor: i64,
    /// The currency of both.
    pub currency: Currency,
    /// The exact bytes that both sides sign: canonical JSON.
    pub contract_document: String,
    /// Where it is in its life.
    pub state: OrderState,
    /// When it was made.
    pub created_at: Instant,
}

impl Order {
    /// What the buyer pays.
    pub fn price(&self) -> Money {
        Money::new(self.price_minor, self.currency)
    }
    /// The exchange's part of it.
    pub fn fee(&self) -> Money {
        Money::new(self.fee_minor, self.currency)
    }
}

/// An agreement with both signatures.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
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

/// What a buyer wants.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// What to buy.
    pub listing_id: ListingId,
    /// The buying organisation's handle.
    pub organisation: String,
    /// The kind of use, which the terms must permit.
    pub r#use: Use,
    /// What the corpus will be used for, in 10 to 2,000 characters. It becomes part of the contract.
    #[schema(min_length = 10, max_length = 2000)]
    pub purpose: String,
}

/// Orders what is on the board, for a declared use that the terms permit.
pub fn place(c: &mut Conn, caller: &Caller, config: &Config, input: &NewOrder, now: Instant) -> Result<Order> {
    let buyer = identity::for_member(c, caller, &input.organisation, BUYERS).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&buyer)?;
    check_purpose(&input.purpose)?;
    let listing = open_listing(c, input.listing_id, now).map_err(|error| error.field("listing_id"))?;
    if listing.provider_id == buyer.id {
        return Err(Error::invalid("organisation", format!("{} cannot buy from itself", buyer.handle)));
    }
    let terms = terms::terms(c, listing.terms_id)?;
    terms::permits(&terms.document, input.r#use)?;
    let price = terms::price(&terms.document);
    let shares = [config.fee_basis_points, BASIS_POINTS - config.fee_basis_points];
    let fee = price.split(&shares)?.first().copied().unwrap_or(Money::zero(price.currency));
    let mut order = Order {
        id: OrderId::new(now),
        listing_id: listing.id,
        buyer_id: buyer.id,
        provider_id: listing.provider_id,
        version_id: listing.version_id,
        terms_id: listing.terms_id,
        permitted_use: input.r#use,
        purpose: input.purpose.clone(),
        price_minor: price.amount_minor,
        fee_minor: fee.amount_minor,
        currency: price.currency,
        contract_document: String::new(),
        state: OrderState::AwaitingSignature,
        created_at: now,
    };
    order.contract_document = contract_document(c, &order, &listing, &buyer)?;
    queries::insert_order(c, &order)?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "ordered", now)?;
    Ok(order)
}

/// The listing of this identifier, if it can be bought now: it is on the board, its assessment is valid, and the provider
/// stands by what it signed.
fn open_listing(c: &mut Conn, id: ListingId, now: Instant) -> Result<Listing> {
    let listing = listings::listing(c, id)?;
    if listing.state != ListingState::Listed {
        return Err(Error::new(Kind::WrongState, format!("listing {id} is {}, and takes no orders", listing.state)));
    }
    assessment::valid_assessment(c, listing.version_id, now)?;
    let signed =
        [catalog::seal_of(c, listing.version_id)?.statement_id, terms::terms(c, listing.terms_id)?.statement_id];
    identity::require_sound(c, listing.provider_id, &signed)?;
    Ok(listing)
}

fn check_purpose(purpose: &str) -> Result<()> {
    let (said, length) = (purpose.trim().chars().count(), purpose.chars().count());
    let readable = !purpose.chars().any(|ch| ch.is_control() && ch != '\n');
    if said >= *PURPOSE_CHARS.start() && length <= *PURPOSE_CHARS.end() && readable {
        return Ok(());
    }
    let detail = format!(
        "the declared use has {length} characters; say in {} to {} what the corpus will be used for",
        PURPOSE_CHARS.start(),
        PURPOSE_CHARS.end()
    );
    Err(Error::invalid("purpose", detail))
}

/// The statement that both sides sign, as canonical JSON.
fn contract_document(c: &mut Conn, order: &Order, listing: &Listing, buyer: &Organisation) -> Result<String> {
    let provider = identity::organisation(c, order.provider_id)?;
    let (dataset, version) = catalog::version(c, order.version_id)?;
    let seal = catalog::seal_of(c, order.version_id)?;
    let terms = terms::terms(c, order.terms_id)?;
    let certificate = assessment::certificate_of(c, order.version_id)?
        .ok_or_else(|| Error::internal(format!("{} passed its assessment without a certificate", order.version_id)))?
        .number;
    let party = |of: &Organisation| json!({ "handle": of.handle, "legal_name": of.legal_name, "registration_number": of.registration_number });
    let subjects =
        vec![ResourceDescriptor::new("manifest", seal.manifest_sha256), ResourceDescriptor::new("terms", terms.sha256)];
    let predicate = json!({
        "order": order.id, "listing": listing.id, "buyer": party(buyer), "provider": party(&provider),
        "dataset": dataset.full_name(), "version": version.number, "manifest_sha256": seal.manifest_sha256,
        "terms": terms.id, "terms_sha256": terms.sha256, "certificate": certificate,
        "use": order.permitted_use, "purpose": order.purpose, "price": order.price(), "fee": order.fee(),
        "created_at": order.created_at,
    });
    let payload = Statement::new(StatementKind::Contract, subjects, predicate).to_payload()?;
    String::from_utf8(payload).map_err(|error| Error::internal("canonical JSON is UTF-8").because(error))
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
    caller.may_for(order.buyer_id, "the buyer", SIGNERS)?;
    let signer = envelope.sole_signature()?.keyid;
    if let Some(standing) = standing_contract(c, id, &envelope)? {
        return Ok((order, standing));
    }
    require_state(&order, OrderState::AwaitingSignature)?;
    open_listing(c, order.listing_id, now)?;
    if envelope.payload.0 != order.contract_document.as_bytes() {
        return Err(Error::new(Kind::BadSignature, "the signed document is not this order's contract")
            .field("payload")
            .remedy("sign the bytes of `contract_payload` exactly as the order gives them"));
    }
    let key = identity::signing_key_for(c, order.buyer_id, signer)?;
    let recorded = provenance::countersign(c, keys, StatementKind::Contract, id, envelope, key.public_key, now)?;
    let contract = Contract {
        id: ContractId::new(now),
        order_id: id,
        sha256: recorded.pae_sha256,
        statement_id: recorded.id,
        agreed_at: now,
    };
    queries::insert_contract(c, &contract)?;
    let order = advance(c, order, OrderState::AwaitingPayment, caller.user_id, "the contract was signed", now)?;
    Ok((order, contract))
}

/// The contract of an order, if it stands with this very signature.
fn standing_contract(c: &mut Conn, id: OrderId, envelope: &Envelope) -> Result<Option<Contract>> {
    let Some(contract) = queries::find_contract_of(c, id)? else { return Ok(None) };
    let signed = provenance::statement(c, contract.statement_id)?.envelope;
    let same = signed.payload == envelope.payload && envelope.signatures.iter().all(|s| signed.signatures.contains(s));
    Ok(same.then_some(contract))
}

/// The buyer pays from its wallet into escrow. A free licence moves no money.
pub fn pay(c: &mut Conn, caller: &Caller, id: OrderId, now: Instant) -> Result<Order> {
    let order = visible_order(c, caller, id)?;
    caller.may_for(order.buyer_id, "the buyer", BUYERS)?;
    require_state(&order, OrderState::AwaitingPayment)?;
    holds::require_free(c, order.version_id)?;
    let price = order.price();
    if price.amount_minor > 0 {
        let lines = [(AccountRef::Wallet(order.buyer_id), price.negated()?), (AccountRef::Escrow, price)];
        ledger::post(c, TransactionKind::Payment, &id.to_string(), &lines, now)?;
    }
    advance(c, order, OrderState::Escrowed, caller.user_id, "paid into escrow", now)
}

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

/// Delivery began: an order in escrow is delivering from now on; any other is left as it is.
pub fn mark_delivering(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Escrowed {
        return Ok(order);
    }
    advance(c, order, OrderState::Delivering, "exchange", "the first link was given", now)
}

/// Every shard was delivered.
pub fn mark_delivered(c: &mut Conn, id: OrderId, now: Instant) -> Result<Order> {
    let order = order(c, id)?;
    if order.state != OrderState::Delivering {
        return Ok(order);
    }
    advance(c, order, OrderState::Delivered, "exchange", "a link to every shard was given", now)
}

/// An order. Callers authorise.
pub fn order(c: &mut Conn, id: OrderId) -> Result<Order> {
    queries::find_order(c, id)?.ok_or_else(|| Error::not_found(format!("order {id}")))
}

/// An order that the caller may see: a member of either side, or the platform's staff.
pub fn visible_order(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<Order> {
    let order = order(c, id)?;
    let party = caller.member_of(order.buyer_id).is_some() || caller.member_of(order.provider_id).is_some();
    if party || caller.is_operator() || caller.is_compliance() {
        Ok(order)
    } else {
        Err(Error::not_found(format!("order {id}")))
    }
}

/// The orders of the caller's organisations, on either side, oldest first.
pub fn orders(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Order>> {
    let own: Vec<OrganisationId> = caller.memberships.iter().map(|m| m.organisation_id).collect();
    Ok(queries::list_orders(c, &own, page.after_id::<kind::Order>()?, page.limit()?.saturating_add(1))?)
}

/// The contract of an order. Callers authorise.
pub fn contract_of(c: &mut Conn, order: OrderId) -> Result<Contract> {
    queries::find_contract_of(c, order)?
        .ok_or_else(|| Error::new(Kind::WrongState, format!("the contract of order {order} is not signed yet")))
}

/// The order that a contract governs. Callers authorise.
pub fn order_of_contract(c: &mut Conn, id: ContractId) -> Result<OrderId> {
    Ok(queries::find_contract(c, id)?.ok_or_else(|| Error::not_found(format!("contract {id}")))?.order_id)
}

fn require_state(order: &Order, state: OrderState) -> Result<()> {
    if order.state == state { Ok(()) } else { Err(wrong_state(order, state.as_str())) }
}

fn wrong_state(order: &Order, needed: &str) -> Error {
    Error::new(
        Kind::WrongState,
        format!("order {} is {}, and this can be done when it is {needed}", order.id, order.state),
    )
}

/// Moves an order to its next state, if it is still where it was read.
fn advance(
    c: &mut Conn,
    order: Order,
    to: OrderState,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Order> {
    if !order.state.may_become(to) || queries::set_order_state(c, order.id, order.state, to)? != 1 {
        return Err(wrong_state(&order, &format!("one step before {to}")));
    }
    history::record(c, order.id, Some(order.state.as_str()), to.as_str(), actor, reason, now)?;
    Ok(Order { state: to, ..order })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_an_orders_life_exist() {
        use OrderState::{Accepted, AwaitingPayment, AwaitingSignature, Delivered, Delivering, Escrowed, Settled};
        let edges = [
            (AwaitingSignature, AwaitingPayment),
            (AwaitingPayment, Escrowed),
            (Escrowed, Delivering),
            (Delivering, Delivered),
            (Delivering, Accepted),
            (Delivered, Accepted),
            (Accepted, Settled),
        ];
        for from in OrderState::ALL {
            for to in OrderState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_declared_use_must_say_something() {
        assert!(check_purpose("pretraining of a small model").is_ok());
        let padded = format!("pretraining of a small model{}", " ".repeat(2000));
        for bad in ["", "training", "   \n      ", "with a bell \u{7} in it", &padded] {
            assert_eq!(check_purpose(bad).unwrap_err().field.as_deref(), Some("purpose"), "{bad:?}");
        }
    }
}
