//! Buying in one step: at a quote, with its contract signed, from the buyer's wallet.
//!
//! What placing, signing and paying do one after another, with the same rules, in one transaction; such an order begins
//! its life in escrow.

use super::contract::record_contract;
use super::payment::{download_due, into_escrow};
use super::place::{self, take_offer};
use super::quotes::{redeem, used};
use super::{Contract, NewOrder, Order, OrderState};
use crate::config::Config;
use crate::db::{self, Ahead, Conn, Db};
use crate::error::{Error, Result};
use crate::identity::{self, Caller, Organisation, Role};
use crate::keys::ExchangeKeys;
use crate::provenance::{StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::types::{Instant, ProgrammeId};
use crate::{history, ledger};

/// What a buyer sends to buy at a quote.
#[derive(Debug)]
pub struct Purchase {
    /// What it asked to be quoted.
    pub wanted: NewOrder,
    /// The quote, as it came ([`super::quotes::seal`]).
    pub quote: String,
    /// The quoted contract, signed; or why its envelope was not opened ([`open_envelope`]). A purchase is refused for that, but
    /// one that was made, and is repeated, is answered all the same.
    pub envelope: Result<VerifiedEnvelope>,
    /// The voucher programme that pays its part of the price.
    pub voucher: Option<ProgrammeId>,
}

impl Purchase {
    /// Whether it only appends, and may be gathered with others: a private offer and a voucher depend on the purchases before.
    pub fn only_appends(&self) -> bool {
        self.wanted.offer_id.is_none() && self.voucher.is_none()
    }

    /// What [`purchase`] loads: the buyer, its key and its wallets.
    pub fn ahead(&self, caller: &Caller) -> Vec<Ahead> {
        let mut ahead = self.wanted.ahead(caller);
        let signed = self.envelope.as_ref().ok();
        ahead.extend(signed.map(|signed| identity::ahead_of_signing_key(signed.signer())));
        let buyer = caller.member_of_handle(&self.wanted.organisation);
        ahead.extend(buyer.map(|buyer| ledger::ahead_of_wallets(buyer.organisation_id)));
        ahead
    }
}

/// Opens the envelope of the buyer of what is `wanted`, ahead of the transaction: within it, all others who write would wait for
/// that. The key of a key id never changes, and is remembered; whether it is active, and the buyer's, is for [`purchase`] to say.
///
/// # Errors
/// `BadSignature`, or `Invalid` with the field at fault; where the key is yet to be read, those of who may not buy.
pub async fn open_envelope(
    db: &Db,
    caller: &Caller,
    wanted: &NewOrder,
    envelope: Envelope,
) -> Result<VerifiedEnvelope> {
    let signer = envelope.sole_signature()?.keyid;
    let (caller, wanted) = (caller.clone(), wanted.clone());
    let find = move |c: &mut Conn| {
        let buyer = buyer(c, &caller, &wanted)?;
        Ok(identity::signing_key_for(c, buyer.id, signer)?.public_key)
    };
    let key = db.fact(signer, find).await?;
    Ok(VerifiedEnvelope::open(envelope, &[key], StatementKind::Contract)?.0)
}

/// The organisation that is to buy, if the caller may place its order, sign its contract and pay.
fn buyer(c: &mut Conn, caller: &Caller, wanted: &NewOrder) -> Result<Organisation> {
    let buyer = place::buyer(c, caller, wanted)?;
    caller.may_for(buyer.id, "the buyer", Role::SIGNERS)?;
    Ok(buyer)
}

/// Places, signs and pays a quoted order. The caller needs the roles for all three.
pub fn purchase(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    config: &Config,
    purchase: &Purchase,
    now: Instant,
) -> Result<(Order, Contract)> {
    let buyer = buyer(c, caller, &purchase.wanted)?;
    let signed = purchase.envelope.as_ref().map_err(Error::for_another)?;
    identity::signing_key_for(c, buyer.id, signed.signer())?;
    let quoted = redeem(c, &buyer, keys, config, (purchase, signed), now)?;
    let due = download_due(&quoted, now);
    let order = Order { state: OrderState::Escrowed, due_at: Some(due), ..quoted };
    db::append(c, order.clone()).map_err(|error| db::or_taken(error, || used(&order)))?;
    take_offer(c, caller, &purchase.wanted, order.id, now)?;
    let contract = record_contract(c, keys, &order, signed, now)?;
    into_escrow(c, &order, purchase.voucher, now)?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "bought at a quote", now)?;
    Ok((order, contract))
}
