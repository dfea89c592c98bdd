//! The change of a balance that is kept beside its postings.

use diesel::prelude::*;
use diesel::result::Error as Diesel;
use diesel::sql_types::{Array, BigInt, Text};

use super::accounts;
use crate::db::{Append, Conn};
use crate::types::AccountId;

/// What an account held, and holds from now on. Those of one account follow each other.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Gate {
    pub(in crate::ledger) account_id: AccountId,
    pub(in crate::ledger) from: i64,
    pub(in crate::ledger) to: i64,
}

impl Append for Gate {
    fn table() -> &'static str {
        std::any::type_name::<accounts::table>()
    }
    fn insert(gates: &[Self], c: &mut Conn) -> QueryResult<usize> {
        let changes = of_each_account(gates);
        let changed = match (c, changes.as_slice()) {
            (Conn::Pg(pg), [_, _, ..]) => set_together(pg, &changes)?,
            (c, _) => changes.iter().try_fold(0, |changed, gate| Ok::<_, Diesel>(changed + set(c, *gate)?))?,
        };
        match changed == changes.len() {
            true => Ok(changed),
            false => Err(Diesel::QueryBuilderError("a balance changed within a serialisable transaction".into())),
        }
    }
}

fn set(c: &mut Conn, Gate { account_id, from, to }: Gate) -> QueryResult<usize> {
    diesel::update(accounts::table.find(account_id).filter(accounts::gated_balance_minor.eq(from)))
        .set(accounts::gated_balance_minor.eq(to))
        .execute(c)
}

/// The same for many, in one statement.
fn set_together(pg: &mut PgConnection, changes: &[Gate]) -> QueryResult<usize> {
    let ids: Vec<_> = changes.iter().map(|gate| gate.account_id).collect();
    let (from, to): (Vec<_>, Vec<_>) = changes.iter().map(|gate| (gate.from, gate.to)).unzip();
    diesel::sql_query(
        "UPDATE ledger_accounts SET gated_balance_minor = gates.becomes \
         FROM UNNEST($1, $2, $3) AS gates (id, was, becomes) \
         WHERE ledger_accounts.id = gates.id AND ledger_accounts.gated_balance_minor = gates.was",
    )
    .bind::<Array<Text>, _>(ids)
    .bind::<Array<BigInt>, _>(from)
    .bind::<Array<BigInt>, _>(to)
    .execute(pg)
}

/// What becomes of each account, from before the first of its changes until after the last.
fn of_each_account(gates: &[Gate]) -> Vec<Gate> {
    let mut changes: Vec<Gate> = Vec::new();
    for gate in gates {
        match changes.iter_mut().find(|change| change.account_id == gate.account_id) {
            Some(change) => change.to = gate.to,
            None => changes.push(*gate),
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::ledger::closings::tests::after_sales;
    use crate::types::Instant;

    fn gate(account_id: AccountId, from: i64, to: i64) -> Gate {
        Gate { account_id, from, to }
    }

    #[test]
    fn the_changes_of_an_account_are_one_from_before_the_first_until_after_the_last() {
        let [a, b] = [1, 2].map(|at| AccountId::new(Instant::from_unix_micros(at)));
        let changes = of_each_account(&[gate(a, 9, 7), gate(b, 5, 4), gate(a, 7, 1)]);
        let changes: Vec<_> = changes.iter().map(|gate| (gate.account_id, gate.from, gate.to)).collect();
        assert_eq!(changes, [(a, 9, 1), (b, 5, 4)]);
    }

    #[tokio::test]
    async fn a_balance_that_is_not_what_it_was_said_to_be_stays_and_fails_the_change() {
        let (_folder, db, _) = after_sales(0).await;
        let change = move |c: &mut Conn| -> Result<()> {
            Gate::insert(&[gate(AccountId::new(Instant::from_unix_micros(1)), 9, 7)], c)?;
            Ok(())
        };
        let error = db.write(change).await.unwrap_err();
        let cause = error.cause::<Diesel>().unwrap().to_string();
        assert!(cause.contains("a balance changed within a serialisable transaction"), "{cause}");
    }
}
