//! Quotes: an order as it would be placed now, with its contract, and nothing of it stored.
//!
//! A buyer that signs the contract of a quote and sends both back buys in one step. The exchange knows its own quotes again
//! by their seal, a MAC over the order and the contract. A quote reserves nothing: at the purchase every rule is applied
//! again, and the order must come out as it was quoted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;

use super::Order;
use super::contract::contract_document;
use super::place::{NewOrder, buyer, draft};
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{Caller, Organisation};
use crate::keys::ExchangeKeys;
use crate::types::{Digest, Instant, OrderId, length};

/// The field of a purchase that holds the quote.
const FIELD: &str = "quote";
const AGAIN: &str = "ask for another at POST /v1/quotes";

/// The order as it would be placed now. Until its `due_at` it can be bought as it is, as long as nothing that it rests on
/// has changed.
pub fn quote(c: &mut Conn, caller: &Caller, config: &Config, wanted: &NewOrder, now: Instant) -> Result<Order> {
    let buyer = buyer(c, caller, wanted)?;
    let (order, grounds) = draft(c, &buyer, config, wanted, (OrderId::new(now), now), now)?;
    let contract_document = contract_document(c, &order, &buyer, grounds)?;
    Ok(Order { contract_document, ..order })
}

/// A quoted order, as its buyer keeps it: all but the contract, and the MAC over both.
pub fn seal(keys: &ExchangeKeys, order: &Order) -> Result<String> {
    let terms = serde_json::to_vec(order)?;
    let mac = mac(keys, &terms, order.contract_document.as_bytes())?.finalize().into_bytes();
    Ok(format!("{}.{}", BASE64.encode(terms), BASE64.encode(mac)))
}

/// The order that was quoted with this contract.
///
/// # Errors
/// `Invalid`, when this exchange did not seal the two together.
pub(super) fn open(keys: &ExchangeKeys, sealed: &str, contract: &[u8]) -> Result<Order> {
    let foreign = || {
        Error::invalid(FIELD, "this is not a quote of this exchange for the signed contract")
            .remedy("send back a quote as it came, with the very contract it came with, signed")
    };
    let (terms, seal) = sealed.split_once('.').ok_or_else(foreign)?;
    let terms = BASE64.decode(terms).map_err(|_| foreign())?;
    let seal = BASE64.decode(seal).map_err(|_| foreign())?;
    mac(keys, &terms, contract)?.verify_slice(&seal).map_err(|_| foreign())?;
    let contract_document = String::from_utf8(contract.to_vec()).map_err(|_| foreign())?;
    Ok(Order { contract_document, ..serde_json::from_slice(&terms)? })
}

fn mac(keys: &ExchangeKeys, terms: &[u8], contract: &[u8]) -> Result<Hmac<Sha256>> {
    let key = Hmac::<Sha256>::new_from_slice(&keys.quote.seed());
    let mut mac = key.map_err(|error| Error::internal(error.to_string()))?;
    for part in [terms, contract] {
        mac.update(&length(part).to_be_bytes());
        mac.update(part);
    }
    Ok(mac)
}

/// The refusal of a quote that became this order.
pub(super) fn used(order: &Order) -> Error {
    let detail = format!("the quote was used: it became order {}", order.id);
    Error::new(Kind::AlreadyExists, detail).field(FIELD).remedy(AGAIN)
}

/// What a quoted contract names that its order does not hold.
#[derive(Deserialize)]
struct Quoted {
    predicate: QuotedOffer,
}

#[derive(Deserialize)]
struct QuotedOffer {
    offer_sha256: Option<Digest>,
}

/// Refuses an order that was quoted too long ago, or would come out otherwise now. Its insertion shows whether the quote was used
/// before.
pub(super) fn require_kept(
    c: &mut Conn,
    buyer: &Organisation,
    config: &Config,
    wanted: &NewOrder,
    quoted: &Order,
    now: Instant,
) -> Result<()> {
    if let Some(end) = quoted.due_at.filter(|_| quoted.is_overdue(now)) {
        return Err(Error::new(Kind::WrongState, format!("the quote ended at {end}")).field(FIELD).remedy(AGAIN));
    }
    let (order, grounds) = draft(c, buyer, config, wanted, (quoted.id, quoted.created_at), now)?;
    let contract_document = quoted.contract_document.clone();
    let Quoted { predicate } = serde_json::from_str(&contract_document)?;
    match predicate.offer_sha256 == grounds.offer_sha256 && (Order { contract_document, ..order }) == *quoted {
        true => Ok(()),
        false => Err(Error::new(Kind::WrongState, "the order would come out otherwise than it was quoted")
            .field(FIELD)
            .remedy(AGAIN)),
    }
}
