//! Compares licences with the trades from which they come.

use super::queries;
use crate::db::Conn;
use crate::error::Result;
use crate::market::orders::OrderState;

/// Every licence without a trade that was paid, every such trade without its licence, and every licence that stands although
/// its price was given back. At most 1,000 of each kind.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn) -> Result<Vec<String>> {
    let (unpaid, paid): (Vec<_>, Vec<_>) = OrderState::ALL.iter().copied().partition(|state| !state.is_paid());
    let mut found = Vec::new();
    for (order, state) in queries::list_orders_without_entitlement(c, &paid)? {
        found.push(format!("order {order} is {state}, and there is no licence"));
    }
    for (entitlement, order, state) in queries::list_entitlements_of_orders(c, &unpaid)? {
        found.push(format!("licence {entitlement} stands, and its order {order} is {state}"));
    }
    for (entitlement, order) in queries::list_entitlements_of_refunded(c)? {
        found.push(format!("licence {entitlement} stands, and the price of its order {order} was given back"));
    }
    Ok(found)
}
