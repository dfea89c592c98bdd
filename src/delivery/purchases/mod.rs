//! Purchases in one step: a quoted order, signed and paid, and its licence, in one transaction.

pub mod routes;

use super::{Entitlement, grant};
use crate::config::Config;
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::market::Order;
use crate::market::orders::{self, Purchase};
use crate::types::Instant;

/// Buys at a quote, and grants the licence.
pub fn buy(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    config: &Config,
    purchase: &Purchase,
    now: Instant,
) -> Result<(Order, Entitlement)> {
    let (order, contract) = orders::purchase(c, caller, keys, config, purchase, now)?;
    let entitlement = grant(c, caller, keys, &order, &contract, now)?;
    Ok((order, entitlement))
}
