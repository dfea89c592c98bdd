//! Closing balances: what an account held up to one of its postings, written down now and then, so that reading what it
//! holds costs no more after a million postings than after a thousand.
//!
//! The accounts whose balance is not kept beside the postings, and is asked for before money leaves them, are closed: those
//! of organisations. Whoever reads such an account reads its last closing balance and sums what came after. A trade only
//! ever adds a posting; closing is a job's.
//!
//! Invariant: a closing balance is the sum of the account's postings up to the one it names, and stays so: whatever is posted
//! later sorts after it, even by an instance whose clock is behind.

use super::queries::{self, Account};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::jobs::sweep;
use crate::types::{AccountId, Instant, Money, PostingId};

/// How many postings make a closing worthwhile: whoever reads a balance sums at most about twice as many.
const STEP: i64 = 1000;

/// What an account held after one of its postings.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::ledger_closings, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Closing {
    pub(super) account_id: AccountId,
    pub(super) last_posting_id: PostingId,
    pub(super) balance_minor: i64,
    pub(super) closed_at: Instant,
}

/// What an account holds.
pub(super) fn held(c: &mut Conn, account: &Account) -> Result<i64> {
    match account.gated_balance_minor {
        Some(balance) => Ok(balance),
        None => held_through(c, account.id, None),
    }
}

/// What an account held after this posting; without one, what it holds now.
pub(super) fn held_through(c: &mut Conn, account: AccountId, last: Option<&str>) -> Result<i64> {
    let closing = queries::find_closing(c, account, last)?;
    let (closed, after) =
        closing.map_or_else(Default::default, |at| (at.balance_minor, at.last_posting_id.to_string()));
    let since = queries::sum_postings(c, account, &after, last)?;
    closed.checked_add(since).ok_or_else(|| Error::internal(format!("what {account} holds overflows")))
}

/// A fresh identifier for a posting to an account. Whatever the clock says, it sorts after the account's last posting where the
/// account keeps that beside its balance, or where the posting takes from an organisation; one that only adds to an organisation's
/// account sorts after the last closing balance, so that sales need not look for the posting before.
pub(super) fn next_posting(c: &mut Conn, account: &Account, amount: Money, now: Instant) -> Result<PostingId> {
    let last = match (account.gated_balance_minor, account.organisation_id) {
        (Some(_), _) => account.last_posting_id,
        (None, None) => None,
        (None, Some(_)) if amount.amount_minor < 0 => queries::find_last_posting(c, account.id)?,
        (None, Some(_)) => queries::find_closing(c, account.id, None)?.map(|closing| closing.last_posting_id),
    };
    Ok(PostingId::after(last, now))
}

/// Closes the accounts to which enough was posted since they were last closed.
///
/// # Errors
/// Those of the database.
pub async fn close_accounts(app: &App) -> Result<()> {
    let list = |c: &mut Conn, after: &str, _: Instant| Ok(queries::list_due_accounts(c, STEP, after, sweep::PAGE)?);
    sweep::each(&app.db, &app.clock, "an account to be closed", list, close).await
}

/// Writes down the closing balances of an account that are missing: one after every [`STEP`] postings.
fn close(c: &mut Conn, account: AccountId, now: Instant) -> Result<()> {
    loop {
        let closing = queries::find_closing(c, account, None)?;
        let after = closing.map(|closing| closing.last_posting_id.to_string()).unwrap_or_default();
        let Some(last) = queries::find_posting_number(c, account, &after, STEP)? else { return Ok(()) };
        let balance_minor = held_through(c, account, Some(&last.to_string()))?;
        queries::insert_closing(
            c,
            &Closing { account_id: account, last_posting_id: last, balance_minor, closed_at: now },
        )?;
    }
}

/// The closing balances that are not the sum of the postings up to them: account, what is written down, and the sum. The first
/// of them, if there are very many.
pub(super) fn list_astray(c: &mut Conn) -> Result<Vec<(AccountId, i64, i64)>> {
    let mut astray = Vec::new();
    let mut after = String::new();
    loop {
        let accounts = queries::list_closed_accounts(c, &after, sweep::PAGE)?;
        let Some(last) = accounts.last() else { return Ok(astray) };
        after = last.to_string();
        for account in accounts {
            let (mut balance, mut from) = (0_i64, String::new());
            while let Some(closing) = queries::find_closing_after(c, account, &from)? {
                let to = closing.last_posting_id.to_string();
                balance = balance.saturating_add(queries::sum_postings(c, account, &from, Some(&to))?);
                if closing.balance_minor != balance {
                    astray.push((account, closing.balance_minor, balance));
                }
                from = to;
            }
        }
        if i64::try_from(astray.len()).is_ok_and(|found| found >= queries::MAX_FINDINGS) {
            return Ok(astray);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::Kind;
    use crate::ledger::{AccountRef, Rule, TransactionKind, audit, balance, post};
    use crate::types::{Currency, DAY, OrganisationId};

    fn now() -> Instant {
        Instant::from_unix_micros(1_000_000_000)
    }
    fn cny(minor: i64) -> Money {
        Money::new(minor, Currency::CNY)
    }

    /// A provider that was credited one fen by each of so many sales.
    pub(in crate::ledger) async fn after_sales(sales: i64) -> (tempfile::TempDir, crate::db::Db, AccountRef) {
        let folder = tempfile::tempdir().unwrap();
        let db = crate::db::Db::open(&folder.path().join("books.sqlite3").display().to_string(), 2).unwrap();
        db.migrate().await.unwrap();
        let owner = OrganisationId::new(now());
        let organisation = format!(
            "INSERT INTO organisations (id, handle, legal_name, registration_number, country, affiliations, state, created_at) \
             VALUES ('{owner}', 'poetry-house', 'Poetry House', '1', 'CN', '[]', 'registered', '2026-01-01 00:00:00')"
        );
        let payable = AccountRef::Payable(owner);
        db.write(move |c| {
            diesel::connection::SimpleConnection::batch_execute(c, &organisation)?;
            for sale in 0..sales {
                settle(c, payable, &sale.to_string(), now().plus(Duration::from_secs(sale.unsigned_abs())))?;
            }
            Ok(())
        })
        .await
        .unwrap();
        (folder, db, payable)
    }

    fn settle(c: &mut Conn, payable: AccountRef, reference: &str, now: Instant) -> Result<()> {
        let lines = [(AccountRef::Escrow, cny(-1)), (payable, cny(1))];
        post(c, TransactionKind::Settlement, reference, &lines, now).map(drop)
    }

    fn account_of(c: &mut Conn, payable: AccountRef) -> Account {
        queries::find_account(c, payable, Currency::CNY).unwrap().unwrap()
    }

    /// What is summed beyond the last closing.
    fn open_postings(c: &mut Conn, account: AccountId) -> usize {
        let closing = queries::find_closing(c, account, None).unwrap();
        let after = closing.map(|closing| closing.last_posting_id.to_string()).unwrap_or_default();
        (1..).take_while(|n| queries::find_posting_number(c, account, &after, *n).unwrap().is_some()).count()
    }

    #[tokio::test]
    async fn what_is_read_of_an_account_does_not_grow_with_what_was_posted_to_it() {
        let sales = 3 * STEP + 5;
        let (_folder, db, payable) = after_sales(sales).await;
        db.write(move |c| {
            let account = account_of(c, payable);
            close(c, account.id, now())?;
            close(c, account.id, now())?;
            assert_eq!(open_postings(c, account.id), 5);
            assert_eq!(balance(c, payable, Currency::CNY)?, cny(sales));
            for (nth, held) in [(1, 1), (STEP - 1, STEP - 1), (STEP, STEP), (STEP + 1, STEP + 1), (sales, sales)] {
                let last = queries::find_posting_number(c, account.id, "", nth)?.unwrap().to_string();
                assert_eq!(held_through(c, account.id, Some(&last))?, held, "after posting {nth}");
            }
            let lines = [(payable, cny(-sales)), (AccountRef::Bank, cny(sales))];
            post(c, TransactionKind::Withdrawal, "payout", &lines, now())?;
            assert_eq!(balance(c, payable, Currency::CNY)?, cny(0));
            Ok(())
        })
        .await
        .unwrap();
        let too_much = move |c: &mut Conn| {
            let lines = [(payable, cny(-1)), (AccountRef::Bank, cny(1))];
            post(c, TransactionKind::Withdrawal, "one fen more", &lines, now())
        };
        assert_eq!(db.write(too_much).await.unwrap_err().kind, Kind::InsufficientFunds);
    }

    #[tokio::test]
    async fn an_account_is_due_once_enough_was_posted_to_it_and_not_again_before_as_much_was() {
        let (_folder, db, payable) = after_sales(STEP - 1).await;
        db.write(move |c| {
            let due = |c: &mut Conn| queries::list_due_accounts(c, STEP, "", 10);
            let account = account_of(c, payable);
            assert_eq!(due(c)?, []);
            settle(c, payable, "one more", now().plus(DAY))?;
            assert_eq!(due(c)?, [account.id]);
            assert_eq!(queries::list_due_accounts(c, STEP, &account.id.to_string(), 10)?, []);
            close(c, account.id, now())?;
            assert_eq!(due(c)?, []);
            Ok(())
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_is_posted_by_a_clock_that_is_behind_counts_after_the_closing() {
        let (_folder, db, payable) = after_sales(STEP).await;
        db.write(move |c| {
            let account = account_of(c, payable);
            close(c, account.id, now())?;
            for late in ["late", "later still"] {
                settle(c, payable, late, Instant::from_unix_micros(0))?;
            }
            assert_eq!((held(c, &account)?, open_postings(c, account.id)), (STEP + 2, 2));
            assert_eq!(audit(c)?, []);
            Ok(())
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_is_taken_by_a_clock_that_is_behind_comes_after_what_it_was_taken_from() {
        let (_folder, db, payable) = after_sales(3).await;
        db.write(move |c| {
            let lines = [(payable, cny(-3)), (AccountRef::Bank, cny(3))];
            post(c, TransactionKind::Withdrawal, "payout", &lines, Instant::from_unix_micros(0))?;
            let account = account_of(c, payable).id;
            let mut held = Vec::new();
            for number in 1..=4 {
                let posting = queries::find_posting_number(c, account, "", number)?.unwrap().to_string();
                held.push(held_through(c, account, Some(&posting))?);
            }
            assert_eq!(held, [1, 2, 3, 0]);
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Statements of account find the lines of a period by the time in their identifiers.
    #[tokio::test]
    async fn what_is_posted_after_a_closing_keeps_the_time_of_its_clock() {
        let (_folder, db, payable) = after_sales(STEP).await;
        db.write(move |c| {
            let account = account_of(c, payable);
            close(c, account.id, now())?;
            let much_later = now().plus(DAY);
            settle(c, payable, "much later", much_later)?;
            let posting = queries::find_posting_number(c, account.id, "", STEP + 1)?.unwrap();
            assert_eq!(posting.made_at(), much_later);
            Ok(())
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_closing_that_is_not_the_sum_is_found() {
        let (_folder, db, payable) = after_sales(3).await;
        db.write(move |c| {
            let account_id = account_of(c, payable).id;
            let last_posting_id = queries::find_posting_number(c, account_id, "", 2)?.unwrap();
            let wrong = Closing { account_id, last_posting_id, balance_minor: 7, closed_at: now() };
            queries::insert_closing(c, &wrong)?;
            let found = audit(c)?;
            assert_eq!(found.iter().map(|one| one.rule).collect::<Vec<_>>(), [Rule::Closing]);
            assert_eq!(found[0].to_string(), format!("{account_id} (closing): CNY 0.07 instead of CNY 0.02"));
            Ok(())
        })
        .await
        .unwrap();
    }
}
