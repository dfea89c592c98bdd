//! Recomputing the books.

use super::queries;
use crate::db::Conn;
use crate::error::Result;
use crate::types::Money;

/// Recomputes every invariant of the ledger and describes each violation; nothing for books that are in order.
/// At most 1,000 violations of each kind are reported.
///
/// # Errors
/// Those of the database.
pub fn audit(c: &mut Conn) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (transaction, currency, sum) in queries::list_unbalanced(c)? {
        found.push(format!("transaction {transaction} sums to {} instead of zero", Money::new(sum, currency)));
    }
    for transaction in queries::list_incomplete(c)? {
        found.push(format!("transaction {transaction} has fewer than two postings"));
    }
    for (account, gate, sum) in queries::list_gates_astray(c)? {
        found.push(format!("account {account} says that it holds {gate} minor units, and its postings sum to {sum}"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        assert_eq!(db.read(audit).await.unwrap(), Vec::<String>::new());
        let again = db.write(sound).await.unwrap_err();
        assert_eq!((again.kind, again.field.as_deref()), (Kind::AlreadyExists, Some("reference")));
        assert_eq!(db.read(|c| balance(c, AccountRef::Bank, Currency::CNY)).await.unwrap(), cny(-7));

        let break_each_rule = move |c: &mut Conn| {
            let bank = open_account(c, AccountRef::Bank, Currency::CNY, now)?;
            let lonely = TransactionId::new(now);
            queries::insert_transaction(c, lonely, TransactionKind::Deposit, "lonely", now)?;
            queries::insert_posting(c, PostingId::new(now), lonely, bank.id, 5)?;
            let kind = AccountKind::Wallet;
            let gated_balance_minor = Some(3);
            queries::insert_account(
                c,
                &queries::Account { id: AccountId::new(now), kind, gated_balance_minor, ..bank },
            )?;
            Ok(lonely.to_string())
        };
        let lonely = db.write(break_each_rule).await.unwrap();
        let found = db.read(audit).await.unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains(&lonely) && found[0].contains("CNY 0.05"), "{found:?}");
        assert!(found[1].contains(&lonely) && found[1].contains("fewer than two"), "{found:?}");
        assert!(found[2].contains("3 minor units, and its postings sum to 0"), "{found:?}");
    }
}
