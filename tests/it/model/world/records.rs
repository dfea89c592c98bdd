//! What must be true of the records after every sequence, whatever the rules say.

use corpex::compliance;
use corpex::db::MultiBackend;
use diesel::prelude::*;

use super::World;
use super::trades::Standing;
use crate::model::rules::Trade;

impl World {
    /// What is asked of the database.
    pub(super) async fn select<T: QueryableByName<MultiBackend> + Send + 'static>(&self, sql: String) -> Vec<T> {
        self.app.app().db.read(move |c| Ok(diesel::sql_query(sql).load(c)?)).await.unwrap()
    }

    /// A licence to use exists exactly where a trade is paid and not refunded, and it was neither revoked nor recalled.
    pub async fn check_licences(&self, trades: &[Trade]) -> Result<(), String> {
        for trade in trades {
            let Standing { order_state, licence_state, revocations, recalls, .. } = self.standing(trade).await;
            let expected = match order_state.as_str() {
                // It lengthens one, and has none of its own.
                _ if trade.renews.is_some() => None,
                "awaiting_signature" | "awaiting_payment" | "cancelled" | "expired" => None,
                // It was over before.
                _ if licence_state.as_deref() == Some("expired") => Some("expired"),
                "refunded" => Some("revoked"),
                _ if revocations + recalls > 0 => Some("revoked"),
                // It stands all the same.
                _ if licence_state.as_deref() == Some("suspended") => Some("suspended"),
                _ => Some("active"),
            };
            if licence_state.as_deref() != expected {
                return Err(format!("the licence of {}, {order_state}, is {licence_state:?}", trade.id));
            }
        }
        Ok(())
    }

    /// Every transaction balances, every balance is the sum of its postings, and escrow holds what unsettled orders paid.
    pub async fn check_books(&self) -> Result<(), String> {
        let differences = self.app.app().db.read(compliance::reconcile).await.unwrap();
        if differences.is_empty() { Ok(()) } else { Err(format!("the books are out of order: {differences:#?}")) }
    }
}
