//! Changes of the balances that are kept beside their postings.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::result::Error as Diesel;
use diesel::sql_types::{Array, BigInt, Text};

use super::accounts;
use crate::db::{Append, Conn};
use crate::types::{AccountId, PostingId};

/// What an account held before a posting, and holds after it. Each change of an account begins where the one before ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Gate {
    pub(in crate::ledger) account_id: AccountId,
    pub(in crate::ledger) from: i64,
    pub(in crate::ledger) to: i64,
    pub(in crate::ledger) posting_id: PostingId,
}

impl Append for Gate {
    fn table() -> &'static str {
        std::any::type_name::<accounts::table>()
    }
    fn insert(gates: &[Self], c: &mut Conn) -> QueryResult<usize> {
        let changes = of_each_account(gates)?;
        let changed = match (c, changes.as_slice()) {
            (Conn::Pg(pg), [_, _, ..]) => set_together(pg, &changes)?,
            (c, _) => changes.iter().try_fold(0, |changed, gate| Ok::<_, Diesel>(changed + set(c, *gate)?))?,
        };
        match changed == changes.len() {
            true => Ok(changed),
            false => Err(astray()),
        }
    }
}

/// The error for a balance that is not what a change takes it for.
fn astray() -> Diesel {
    Diesel::QueryBuilderError("a balance changed within a serialisable transaction".into())
}

fn set(c: &mut Conn, Gate { account_id, from, to, posting_id }: Gate) -> QueryResult<usize> {
    diesel::update(accounts::table.find(account_id).filter(accounts::gated_balance_minor.eq(from)))
        .set((accounts::gated_balance_minor.eq(to), accounts::last_posting_id.eq(posting_id)))
        .execute(c)
}

/// As [`set`], for many in one statement.
fn set_together(pg: &mut PgConnection, changes: &[Gate]) -> QueryResult<usize> {
    let ids: Vec<_> = changes.iter().map(|gate| gate.account_id).collect();
    let (from, to): (Vec<_>, Vec<_>) = changes.iter().map(|gate| (gate.from, gate.to)).unzip();
    let postings: Vec<_> = changes.iter().map(|gate| gate.posting_id).collect();
    diesel::sql_query(
        "UPDATE ledger_accounts SET gated_balance_minor = gates.becomes, last_posting_id = gates.posting_id \
         FROM UNNEST($1, $2, $3, $4) AS gates (id, was, becomes, posting_id) \
         WHERE ledger_accounts.id = gates.id AND ledger_accounts.gated_balance_minor = gates.was",
    )
    .bind::<Array<Text>, _>(ids)
    .bind::<Array<BigInt>, _>(from)
    .bind::<Array<BigInt>, _>(to)
    .bind::<Array<Text>, _>(postings)
    .execute(pg)
}

/// One change for each account, from before its first until after its last; in the order of the accounts, so that transactions
/// which change the same ones wait for each other and never deadlock.
fn of_each_account(gates: &[Gate]) -> QueryResult<Vec<Gate>> {
    let mut changes: BTreeMap<AccountId, Gate> = BTreeMap::new();
    for gate in gates {
        let change = changes.entry(gate.account_id).or_insert(Gate { to: gate.from, ..*gate });
        if change.to != gate.from {
            return Err(astray());
        }
        (change.to, change.posting_id) = (gate.to, gate.posting_id);
    }
    Ok(changes.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::ledger::closings::tests::after_sales;
    use crate::ledger::{AccountRef, TransactionKind, balance, post, queries};
    use crate::types::{Currency, Instant, Money};

    fn gate(account_id: AccountId, from: i64, to: i64) -> Gate {
        Gate { account_id, from, to, posting_id: PostingId::new(Instant::from_unix_micros(to)) }
    }

    #[test]
    fn the_changes_of_an_account_are_one_if_they_follow_each_other() {
        let [a, b] = [1, 2].map(|at| AccountId::new(Instant::from_unix_micros(at)));
        let changes = of_each_account(&[gate(b, 5, 4), gate(a, 9, 7), gate(a, 7, 1)]).unwrap();
        let changes = changes.iter().map(|gate| (gate.account_id, gate.from, gate.to, gate.posting_id.made_at()));
        let at = Instant::from_unix_micros;
        assert_eq!(changes.collect::<Vec<_>>(), [(a, 9, 1, at(1)), (b, 5, 4, at(4))]);
        let twice = of_each_account(&[gate(a, 9, 7), gate(b, 5, 4), gate(a, 9, 8)]);
        assert!(twice.is_err_and(|error| error.to_string().contains("a balance changed")));
    }

    #[tokio::test]
    async fn a_balance_that_is_not_what_it_was_taken_for_stays_and_fails_the_change() {
        let (_folder, db, payable) = after_sales(0).await;
        let wallet = AccountRef::Wallet(payable.owner().unwrap());
        let deposit = move |c: &mut Conn| {
            let lines = [-5, 5].map(|minor| Money::new(minor, Currency::CNY));
            let lines = [(AccountRef::Bank, lines[0]), (wallet, lines[1])];
            post(c, TransactionKind::Deposit, "a deposit", &lines, Instant::from_unix_micros(1))
        };
        db.write(deposit).await.unwrap();
        let change = move |from: i64| {
            move |c: &mut Conn| -> Result<()> {
                let account = queries::find_account(c, wallet, Currency::CNY)?.unwrap();
                Gate::insert(&[gate(account.id, from, 3)], c)?;
                Ok(())
            }
        };
        let error = db.write(change(4)).await.unwrap_err();
        assert_eq!(error.cause::<Diesel>().unwrap().to_string(), astray().to_string());
        let held = move |c: &mut Conn| balance(c, wallet, Currency::CNY);
        assert_eq!(db.read(held).await.unwrap().amount_minor, 5);
        db.write(change(5)).await.unwrap();
        assert_eq!(db.read(held).await.unwrap().amount_minor, 3);
    }
}
