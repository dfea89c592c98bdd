//! Recomputes the books.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::AccountKind;
use super::{closings, queries};
use crate::db::Conn;
use crate::error::Result;
use crate::text_enum;
use crate::types::{Currency, Money, OrganisationId, ProgrammeId};

text_enum! {
    /// What must be true of the books.
    pub enum Rule {
        /// The postings of a transaction sum to zero in each currency.
        Balanced = "balanced",
        /// A transaction has two postings or more.
        Complete = "complete",
        /// A balance that is kept beside the postings is their sum.
        Gate = "gate",
        /// A closing balance is the sum of the postings up to it.
        Closing = "closing",
        /// No account of an organisation is below zero.
        NotOverdrawn = "not_overdrawn",
        /// What is held for an organisation is what its withdrawals wait for.
        Held = "held",
        /// What is frozen for an organisation is what the disputes that are not final froze.
        Frozen = "frozen",
        /// What is in escrow is the price of every order that is paid, and neither settled nor refunded.
        Escrow = "escrow",
        /// What a programme's pool holds is what was paid in and clawed back, less what was used and returned.
        Vouchers = "vouchers",
    }
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// The rule that is broken.
    pub rule: Rule,
    /// The transaction, account or organisation that breaks it.
    pub subject: String,
    /// What the rule asks for.
    #[schema(example = "CNY 0.00")]
    pub expected: String,
    /// What is found instead.
    #[schema(example = "CNY 0.05")]
    pub found: String,
}

impl Difference {
    /// That `subject` has `found` where the rule asks for `expected`.
    pub fn new(rule: Rule, subject: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self { rule, subject: subject.to_string(), expected: expected.to_string(), found: found.to_string() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {} instead of {}", self.subject, self.rule, self.found, self.expected)
    }
}

/// Recomputes every invariant of the ledger and gives each difference; nothing for books that are in order.
/// Of transactions and accounts, some 1,000 for each rule are reported at most.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for (transaction, currency, sum) in queries::list_unbalanced(c)? {
        let (zero, sum) = (Money::zero(currency), Money::new(sum, currency));
        found.push(Difference::new(Rule::Balanced, transaction, zero, sum));
    }
    for transaction in queries::list_incomplete(c)? {
        found.push(Difference::new(Rule::Complete, transaction, "two postings or more", "fewer than two"));
    }
    for (account, currency, gate, sum) in queries::list_gates_astray(c)? {
        let (gate, sum) = (Money::new(gate, currency), Money::new(sum, currency));
        found.push(Difference::new(Rule::Gate, account, sum, gate));
    }
    for (account, closing, sum) in closings::list_astray(c)? {
        let currency = queries::currency_of(c, account)?;
        let (closing, sum) = (Money::new(closing, currency), Money::new(sum, currency));
        found.push(Difference::new(Rule::Closing, account, sum, closing));
    }
    for (account, currency, sum) in queries::list_overdrawn(c)? {
        found.push(Difference::new(Rule::NotOverdrawn, account, "zero or more", Money::new(sum, currency)));
    }
    let waiting = queries::sum_unpaid_withdrawals(c)?;
    let waiting = waiting.into_iter().map(|(owner, currency, sum)| ((owner.to_string(), currency), sum)).collect();
    let holding = queries::list_holding(c, AccountKind::Held)?;
    let owner = |owner: Option<_>| owner.map(|id: OrganisationId| id.to_string()).unwrap_or_default();
    let holding = holding.into_iter().map(|(of, currency, sum)| ((owner(of), currency), sum)).collect();
    found.extend(compare(Rule::Held, &waiting, &holding));
    Ok(found)
}

/// What is in escrow, by currency.
///
/// # Errors
/// Those of the database.
pub fn escrow(c: &mut Conn) -> Result<Vec<(Currency, i64)>> {
    let holding = queries::list_holding(c, AccountKind::Escrow)?;
    Ok(holding.into_iter().map(|(_, currency, sum)| (currency, sum)).collect())
}

/// What is frozen, by organisation and currency.
///
/// # Errors
/// Those of the database.
pub fn frozen(c: &mut Conn) -> Result<Vec<(OrganisationId, Currency, i64)>> {
    let holding = queries::list_holding(c, AccountKind::Frozen)?.into_iter();
    Ok(holding.filter_map(|(owner, currency, sum)| Some((owner?, currency, sum))).collect())
}

/// What each programme's pool holds.
///
/// # Errors
/// Those of the database.
pub fn pools(c: &mut Conn) -> Result<Vec<(ProgrammeId, Currency, i64)>> {
    let pools = queries::list_pools(c)?.into_iter();
    Ok(pools.filter_map(|(programme, currency, sum)| Some((programme?, currency, sum))).collect())
}

/// How many accounts, transactions and postings were looked at.
///
/// # Errors
/// Those of the database.
pub fn extent(c: &mut Conn) -> Result<(i64, i64, i64)> {
    Ok(queries::count_all(c)?)
}

type Sums = BTreeMap<(String, Currency), i64>;

/// Each subject whose sums differ; what is absent is zero.
pub fn compare(rule: Rule, expected: &Sums, found: &Sums) -> Vec<Difference> {
    let of = |sums: &Sums, key: &(String, Currency)| sums.get(key).copied().unwrap_or(0);
    let mut keys: Vec<_> = expected.keys().chain(found.keys()).collect();
    keys.sort();
    keys.dedup();
    let differing = keys.into_iter().filter(|key| of(expected, key) != of(found, key));
    let difference = |key: &(String, Currency)| {
        let money = |sums| Money::new(of(sums, key), key.1);
        Difference::new(rule, &key.0, money(expected), money(found))
    };
    differing.map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db;
    use crate::error::Kind;
    use crate::ledger::accounts::open_account;
    use crate::ledger::{AccountKind, AccountRef, TransactionKind, balance, post};
    use crate::types::{AccountId, Currency, Instant, PostingId, TransactionId};

    fn cny(minor: i64) -> Money {
        Money::new(minor, Currency::CNY)
    }

    #[tokio::test]
    async fn an_audit_finds_what_is_wrong_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let db = crate::db::Db::open(&folder.path().join("books.sqlite3").display().to_string(), 2).unwrap();
        db.migrate().await.unwrap();
        let now = Instant::from_unix_micros(1);
        let sound = move |c: &mut Conn| {
            let lines = [(AccountRef::Bank, cny(-7)), (AccountRef::Escrow, cny(7))];
            post(c, TransactionKind::Deposit, "sound", &lines, now)
        };
        db.write(sound).await.unwrap();
        assert_eq!(db.read(audit).await.unwrap(), []);
        let again = db.write(sound).await.unwrap_err();
        assert_eq!((again.kind, again.field.as_deref()), (Kind::AlreadyExists, Some("reference")));
        assert_eq!(db.read(|c| balance(c, AccountRef::Bank, Currency::CNY)).await.unwrap(), cny(-7));

        let break_each_rule = move |c: &mut Conn| {
            let bank = open_account(c, AccountRef::Bank, Currency::CNY, now)?;
            let lonely = TransactionId::new(now);
            let (kind, reference) = (TransactionKind::Deposit, "lonely".to_string());
            db::append(c, queries::TransactionRow { id: lonely, kind, reference, posted_at: now })?;
            let (id, account_id) = (PostingId::new(now), bank.id);
            db::append(c, queries::PostingRow { id, transaction_id: lonely, account_id, amount_minor: 5 })?;
            let kind = AccountKind::Wallet;
            let gated_balance_minor = Some(3);
            queries::insert_account(
                c,
                &queries::Account { id: AccountId::new(now), kind, gated_balance_minor, ..bank },
            )?;
            Ok(lonely.to_string())
        };
        let lonely = db.write(break_each_rule).await.unwrap();
        let found: Vec<_> = db.read(audit).await.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains(&lonely) && found[0].contains("CNY 0.05"), "{found:?}");
        assert!(found[1].contains(&lonely) && found[1].contains("fewer than two"), "{found:?}");
        assert!(found[2].contains("CNY 0.03") && found[2].contains("CNY 0.00"), "{found:?}");
    }
}
