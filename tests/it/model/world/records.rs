//! What must be true of the records after every sequence, whatever the rules say.

use std::collections::BTreeMap;

use corpex::compliance;
use corpex::db::MultiBackend;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde_json::{Value, json};

use super::World;
use super::trades::Standing;
use crate::model::rules::settlement::PAYEES;
use crate::model::rules::{Book, Goods, Trade};
use crate::model::sql::listed;

/// A posting, of which order's price.
#[derive(Debug, QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    order_id: String,
    #[diesel(sql_type = Text)]
    transaction_id: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    account: String,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = BigInt)]
    amount_minor: i64,
}

#[derive(Debug, QueryableByName)]
struct Sum {
    #[diesel(sql_type = BigInt)]
    amount_minor: i64,
}

/// What an order is for, as it is kept beside its contract.
#[derive(Debug, QueryableByName)]
struct Ordered {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    contract_document: String,
    #[diesel(sql_type = BigInt)]
    price_minor: i64,
    #[diesel(sql_type = Text)]
    manifest_sha256: String,
    #[diesel(sql_type = Text)]
    terms_sha256: String,
    /// How many licences came of it that are of another version, or on other terms.
    #[diesel(sql_type = BigInt)]
    strays: i64,
}

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

    /// Prices and payouts add up, contracts say what was agreed, and every life has taken its steps.
    pub(super) async fn check_records(&self, book: &Book) -> Result<(), String> {
        self.check_prices(&book.trades).await?;
        self.check_payouts().await?;
        self.check_contracts(&book.trades).await?;
        self.check_steps(book).await
    }

    /// Every transaction about an order balances in each currency; its price is captured whole when it is paid, leaves escrow once,
    /// and no more of it goes back.
    async fn check_prices(&self, trades: &[Trade]) -> Result<(), String> {
        let orders = listed(trades.iter().map(|trade| trade.id));
        let sql = format!(
            "SELECT COALESCE(disputes.order_id, ledger_transactions.reference) AS order_id, \
             ledger_transactions.id AS transaction_id, ledger_transactions.kind AS kind, \
             ledger_accounts.kind AS account, ledger_accounts.currency AS currency, ledger_postings.amount_minor \
             FROM ledger_transactions \
             JOIN ledger_postings ON ledger_postings.transaction_id = ledger_transactions.id \
             JOIN ledger_accounts ON ledger_accounts.id = ledger_postings.account_id \
             LEFT JOIN disputes ON disputes.id = ledger_transactions.reference \
             WHERE ledger_transactions.kind IN ('payment', 'settlement', 'refund', 'freeze', 'recovery') \
             AND ledger_transactions.reference IN \
                 (SELECT id FROM orders WHERE id IN ({orders}) \
                  UNION ALL SELECT id FROM disputes WHERE order_id IN ({orders}))"
        );
        let mut lines: BTreeMap<String, Vec<Line>> = BTreeMap::new();
        for line in self.select::<Line>(sql).await {
            lines.entry(line.order_id.clone()).or_default().push(line);
        }
        for trade in trades {
            check_price(trade, &lines.remove(&trade.id.to_string()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Nobody is paid out more than was settled and not taken back.
    async fn check_payouts(&self) -> Result<(), String> {
        for number in 0..PAYEES {
            let payee = self.payee(number).organisation;
            let earned = format!(
                "SELECT CAST(COALESCE(SUM(ledger_postings.amount_minor), 0) AS BIGINT) AS amount_minor \
                 FROM ledger_postings \
                 JOIN ledger_accounts ON ledger_accounts.id = ledger_postings.account_id \
                 JOIN ledger_transactions ON ledger_transactions.id = ledger_postings.transaction_id \
                 WHERE ledger_accounts.organisation_id = '{payee}' \
                 AND ledger_transactions.kind IN ('settlement', 'freeze', 'recovery')"
            );
            let asked = format!(
                "SELECT CAST(COALESCE(SUM(amount_minor), 0) AS BIGINT) AS amount_minor FROM withdrawals \
                 WHERE organisation_id = '{payee}' AND state IN ('requested', 'processing', 'executed')"
            );
            let (earned, asked) = (self.select::<Sum>(earned).await, self.select::<Sum>(asked).await);
            let (earned, asked) = (earned[0].amount_minor, asked[0].amount_minor);
            if asked > earned {
                return Err(format!("{payee} is paid out {asked}, and has earned {earned}"));
            }
        }
        Ok(())
    }

    /// A contract is kept as it was made out, and pins the version, the part of it, the price and the terms; the licence is of
    /// these.
    async fn check_contracts(&self, trades: &[Trade]) -> Result<(), String> {
        let sql = format!(
            "SELECT orders.id, orders.contract_document, orders.price_minor, seals.manifest_sha256, \
             terms.sha256 AS terms_sha256, \
             (SELECT COUNT(*) FROM entitlements WHERE entitlements.order_id = orders.id \
                 AND (entitlements.version_id <> orders.version_id OR entitlements.terms_id <> orders.terms_id)) AS strays \
             FROM orders JOIN seals ON seals.version_id = orders.version_id JOIN terms ON terms.id = orders.terms_id \
             WHERE orders.id IN ({})",
            listed(trades.iter().map(|trade| trade.id))
        );
        let ordered: Vec<Ordered> = self.select(sql).await;
        let ordered: BTreeMap<_, _> = ordered.into_iter().map(|order| (order.id.clone(), order)).collect();
        for trade in trades {
            let offer = match trade.goods {
                Goods::Corpus => self.offer(),
                Goods::Essays => self.subscription.clone(),
                Goods::Verses => self.verses.clone(),
            };
            let order = &ordered[&trade.id.to_string()];
            let contract: Value = serde_json::from_str(&order.contract_document).unwrap();
            let contract = &contract["predicate"];
            let expected = json!([
                offer.dataset, 1, order.manifest_sha256, offer.listing, offer.terms, order.terms_sha256,
                { "amount_minor": trade.price, "currency": "CNY" }, trade.part,
            ]);
            let language = &contract["part"]["selection"]["languages"][0];
            let pinned = ["dataset", "version", "manifest_sha256", "listing", "terms", "terms_sha256", "price"];
            let found: Vec<&Value> = pinned.iter().map(|name| &contract[*name]).chain([language]).collect();
            let is_kept = order.contract_document == trade.contract && order.price_minor == trade.price;
            if json!(found) != expected || !is_kept || order.strays > 0 {
                return Err(format!("the contract of {order:?} pins {found:?}, not {expected}"));
            }
        }
        Ok(())
    }
}

/// What moved of the price of a trade is what the rules say.
fn check_price(trade: &Trade, lines: &[Line]) -> Result<(), String> {
    let mut sums: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for line in lines {
        *sums.entry((line.transaction_id.as_str(), line.currency.as_str())).or_default() += line.amount_minor;
    }
    if sums.values().any(|sum| *sum != 0) {
        return Err(format!("a transaction about {} does not balance: {lines:#?}", trade.id));
    }
    let sum = |of: &[&str], kinds: &[&str]| {
        let moved =
            lines.iter().filter(|line| of.contains(&line.account.as_str()) && kinds.contains(&line.kind.as_str()));
        moved.map(|line| line.amount_minor).sum::<i64>()
    };
    let captured = sum(&["escrow"], &["payment"]);
    let released = -sum(&["escrow"], &["settlement", "refund"]);
    let given_back = sum(&["wallet", "vouchers"], &["refund", "recovery"]);
    let paid = if trade.is_paid() { trade.price } else { 0 };
    let resolved = if trade.is_in_escrow() { 0 } else { paid };
    let expected = (paid, resolved, trade.given_back());
    if (captured, released, given_back) != expected || given_back > captured {
        let named = "captured, released and given back";
        return Err(format!("{named} of {} are {:?}, not {expected:?}", trade.id, (captured, released, given_back)));
    }
    Ok(())
}
