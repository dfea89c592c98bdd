//! Buying in one step: at a quote, with its contract signed, from the buyer's wallet.
//!
//! What placing, signing and paying do one after another, with the same rules, in one transaction; such an order begins
//! its life in escrow.

use super::contract::record_contract;
use super::payment::{download_due, into_escrow};
use super::place::{self, take_offer};
use super::{Contract, NewOrder, Order, OrderState, quotes};
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
    /// The quote, with its contract signed; or why it was not opened. A purchase is refused for that, but one that was made, and
    /// is repeated, is answered all the same.
    pub signed: Result<SignedQuote>,
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
        let signed = self.signed.as_ref().ok();
        ahead.extend(signed.map(|signed| identity::ahead_of_signing_key(signed.contract.signer())));
        let buyer = caller.member_of_handle(&self.wanted.organisation);
        ahead.extend(buyer.map(|buyer| ledger::ahead_of_wallets(buyer.organisation_id)));
        ahead
    }
}

/// A quote of this exchange, with its contract as somebody signed it. There is no way to have one but to open it.
#[derive(Debug)]
pub struct SignedQuote {
    order: Order,
    contract: VerifiedEnvelope,
}

impl SignedQuote {
    /// Opens a quote, as it came ([`quotes::seal`]), and the envelope of its contract, for the buyer of what is `wanted`. That is
    /// done ahead of the transaction: within it, all others who write would wait. The key of a key id never changes, and is
    /// remembered; whether it is active, and the buyer's, is for [`purchase`] to say.
    ///
    /// # Errors
    /// `Invalid`, when this exchange did not quote this contract; `BadSignature`; where the key is yet to be read, those of who
    /// may not buy.
    pub async fn open(
        db: &Db,
        keys: &ExchangeKeys,
        caller: &Caller,
        wanted: &NewOrder,
        quote: &str,
        envelope: Envelope,
    ) -> Result<Self> {
        let order = quotes::open(keys, quote, &envelope.payload.0)?;
        let signer = envelope.sole_signature()?.keyid;
        let (caller, wanted) = (caller.clone(), wanted.clone());
        let find = move |c: &mut Conn| {
            let buyer = buyer(c, &caller, &wanted)?;
            Ok(identity::signing_key_for(c, buyer.id, signer)?.public_key)
        };
        let key = db.fact(signer, find).await?;
        let (contract, _) = VerifiedEnvelope::open(envelope, &[key], StatementKind::Contract)?;
        Ok(Self { order, contract })
    }
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
    let SignedQuote { order: quoted, contract } = purchase.signed.as_ref().map_err(Error::for_another)?;
    identity::signing_key_for(c, buyer.id, contract.signer())?;
    quotes::require_kept(c, &buyer, config, &purchase.wanted, quoted, now)?;
    let due = download_due(quoted, now);
    let order = Order { state: OrderState::Escrowed, due_at: Some(due), ..quoted.clone() };
    db::append(c, order.clone()).map_err(|error| db::or_taken(error, || quotes::used(&order)))?;
    take_offer(c, caller, &purchase.wanted, order.id, now)?;
    let contract = record_contract(c, keys, &order, contract, now)?;
    into_escrow(c, &order, purchase.voucher, now)?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "bought at a quote", now)?;
    Ok((order, contract))
}
