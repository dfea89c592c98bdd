//! Buying in one step: at a quote, with its contract signed, from the buyer's wallet.
//!
//! What placing, signing and paying do one after another, with the same rules, in one transaction; such an order begins
//! its life in escrow.

use super::contract::agree;
use super::payment::{download_due, into_escrow};
use super::place::take_offer;
use super::quotes::{redeem, used};
use super::{Contract, NewOrder, Order, OrderState};
use crate::config::Config;
use crate::db::{self, Ahead, Conn};
use crate::error::Result;
use crate::identity::{self, Caller, Role};
use crate::keys::ExchangeKeys;
use crate::signing::Envelope;
use crate::types::{Instant, ProgrammeId};
use crate::{history, ledger};

/// What a buyer sends to buy at a quote.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// What it asked to be quoted.
    pub wanted: NewOrder,
    /// The quote, as it came ([`super::quotes::seal`]).
    pub quote: String,
    /// The quoted contract, signed.
    pub envelope: Envelope,
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
        let signature = self.envelope.signatures.first();
        ahead.extend(signature.map(|signature| identity::ahead_of_signing_key(signature.keyid)));
        let buyer = caller.member_of_handle(&self.wanted.organisation);
        ahead.extend(buyer.map(|buyer| ledger::ahead_of_wallets(buyer.organisation_id)));
        ahead
    }
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
    let quoted = redeem(c, caller, keys, config, purchase, now)?;
    caller.may_for(quoted.buyer_id, "the buyer", Role::SIGNERS)?;
    let due = download_due(&quoted, now);
    let order = Order { state: OrderState::Escrowed, due_at: Some(due), ..quoted };
    db::append(c, order.clone()).map_err(|error| db::or_taken(error, || used(&order)))?;
    take_offer(c, caller, &purchase.wanted, order.id, now)?;
    let contract = agree(c, keys, &order, purchase.envelope.clone(), now)?;
    into_escrow(c, &order, purchase.voucher, now)?;
    history::record(c, order.id, None, order.state.as_str(), caller.user_id, "bought at a quote", now)?;
    Ok((order, contract))
}
