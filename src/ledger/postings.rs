//! Postings: how money moves.

use super::accounts::{AccountKind, AccountRef, authorise_reader, open_account, swap_gate};
use super::{closings, queries};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller};
use crate::text_enum;
use crate::types::{Instant, Money, Page, PageQuery, PostingId, TransactionId, kind};

text_enum! {
    /// Why money moved.
    pub enum TransactionKind {
        /// Money arrived at the bank for an organisation; the reference is the bank's.
        Deposit = "deposit",
        /// An organisation asked for a payout; the reference is the withdrawal.
        WithdrawalHold = "withdrawal_hold",
        /// A payout was refused, cancelled, stopped or reversed; the reference is the withdrawal.
        WithdrawalRelease = "withdrawal_release",
        /// The bank paid an organisation; the reference is the bank's.
        Withdrawal = "withdrawal",
        /// A deposit or withdrawal was wrong, and its opposite was posted; the reference is its transaction.
        Reversal = "reversal",
        /// A funder filled a programme's pool; the reference is the movement.
        VoucherFunding = "voucher_funding",
        /// A funder took back what a programme had left; the reference is the movement.
        VoucherReturn = "voucher_return",
        /// A buyer paid into escrow; the reference is the order.
        Payment = "payment",
        /// Escrow went to the provider and to fees; the reference is the order.
        Settlement = "settlement",
        /// Escrow went back to the buyer; the reference is the order.
        Refund = "refund",
        /// What was settled is disputed, and kept from payout; the reference is the dispute.
        Freeze = "freeze",
        /// A dispute over what was settled is final: what was frozen went back to the buyer, or to whom it was owed; the
        /// reference is the dispute.
        Recovery = "recovery",
    }
}

/// One line of a transaction, as the account's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The line.
    pub id: PostingId,
    /// The transaction it belongs to.
    pub transaction_id: TransactionId,
    /// Why money moved.
    pub transaction_kind: TransactionKind,
    /// What it was for: a bank reference or an order.
    pub reference: String,
    /// Which account.
    pub account_kind: AccountKind,
    /// Above zero: credited; below zero: debited.
    pub amount: Money,
    /// When.
    pub posted_at: Instant,
}

/// Moves money: posts `lines` as one transaction, opening accounts that do not exist yet. Lines of zero move nothing
/// and are left out. The caller of this function authorises.
///
/// # Errors
/// `Internal` unless two lines or more remain and sum to zero; `Invalid` on overflow or mixed currencies;
/// `AlreadyExists` when this kind and reference were posted before; `InsufficientFunds` when an account of an
/// organisation would fall below zero.
pub fn post(
    c: &mut Conn,
    kind: TransactionKind,
    reference: &str,
    lines: &[(AccountRef, Money)],
    now: Instant,
) -> Result<TransactionId> {
    let lines = balanced(lines)?;
    let posted_before = || {
        Error::new(Kind::AlreadyExists, format!("a {kind} for {reference:?} was posted before"))
            .field("reference")
            .remedy("a reference works once; check whether this is the same movement")
    };
    let id = TransactionId::new(now);
    let transaction = queries::TransactionRow { id, kind, reference: reference.to_string(), posted_at: now };
    db::append(c, transaction).map_err(|error| db::or_taken(error, posted_before))?;
    for (account, amount) in lines {
        let row = open_account(c, account, amount.currency, now)?;
        let posting = closings::next_posting(c, &row, amount, now)?;
        if let Some(gate) = row.gated_balance_minor {
            let after = remaining(account, Money::new(gate, amount.currency), amount, || named(c, account))?;
            swap_gate(c, account, &row, (gate, after.amount_minor), posting)?;
        } else if account.owner().is_some() && amount.amount_minor < 0 {
            let held = Money::new(closings::held(c, &row)?, amount.currency);
            remaining(account, held, amount, || named(c, account))?;
        }
        let amount_minor = amount.amount_minor;
        db::append(c, queries::PostingRow { id: posting, transaction_id: id, account_id: row.id, amount_minor })?;
    }
    Ok(id)
}

/// The lines that move something, if they make a transaction.
fn balanced(lines: &[(AccountRef, Money)]) -> Result<Vec<(AccountRef, Money)>> {
    let lines: Vec<_> = lines.iter().copied().filter(|(_, amount)| amount.amount_minor != 0).collect();
    let Some((_, first)) = lines.first() else {
        return Err(Error::internal("a transaction without postings"));
    };
    let sum = lines.iter().try_fold(Money::zero(first.currency), |sum, (_, amount)| sum.plus(*amount))?;
    if lines.len() < 2 || sum.amount_minor != 0 {
        return Err(Error::internal(format!("{} postings that sum to {sum} are not a transaction", lines.len())));
    }
    Ok(lines)
}

/// How a refusal names an account: by the handle of the organisation that it belongs to.
fn named(c: &mut Conn, account: AccountRef) -> Result<String> {
    Ok(match account.owner() {
        Some(owner) => format!("the {} of {}", account.kind(), identity::organisation(c, owner)?.handle),
        None => account.to_string(),
    })
}

/// What an account that holds `held` holds once `amount` is posted. `InsufficientFunds`, which calls the account `name`, when
/// that is below zero.
fn remaining(account: AccountRef, held: Money, amount: Money, name: impl FnOnce() -> Result<String>) -> Result<Money> {
    let after = held.plus(amount)?;
    if after.amount_minor >= 0 {
        return Ok(after);
    }
    let (needed, missing) = (amount.negated()?, after.negated()?);
    Err(Error::new(Kind::InsufficientFunds, format!("{} holds {held}, and {needed} is needed", name()?)).remedy(
        match account.kind() {
            AccountKind::Wallet => format!("have an operator record a deposit of at least {missing}, then try again"),
            _ => format!("take at most {held}"),
        },
    ))
}

/// The postings to the accounts of an organisation, oldest first.
///
/// # Errors
/// As [`super::accounts()`].
pub fn postings(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Page<Posting>> {
    let organisation = authorise_reader(c, caller, handle)?;
    let limit = page.limit()?;
    let rows = queries::list_postings(c, organisation, page.after_id::<kind::Posting>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |posting| posting.id.to_string()))
}

/// The lines of the transaction of this kind and reference, as they were posted; none where it never was. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn lines_of(c: &mut Conn, kind: TransactionKind, reference: &str) -> Result<Vec<(AccountRef, Money)>> {
    let lines = queries::list_lines_of(c, kind, reference)?.into_iter();
    lines.map(|(account, minor)| Ok((account.name()?, Money::new(minor, account.currency)))).collect()
}

/// The transaction of this kind and reference, if there is one: its reversal refers to it.
pub(super) fn transaction_of(c: &mut Conn, kind: TransactionKind, reference: &str) -> Result<Option<TransactionId>> {
    Ok(queries::find_transaction(c, kind, reference)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Currency, OrganisationId};

    fn cny(minor: i64) -> Money {
        Money::new(minor, Currency::CNY)
    }
    fn wallet() -> AccountRef {
        AccountRef::Wallet(OrganisationId::new(Instant::from_unix_micros(0)))
    }

    #[test]
    fn lines_that_sum_to_zero_are_a_transaction_without_its_zero_lines() {
        let lines = [(AccountRef::Escrow, cny(-5)), (AccountRef::Fees, cny(0)), (wallet(), cny(5))];
        assert_eq!(balanced(&lines).unwrap().len(), 2);
    }

    #[test]
    fn lines_that_do_not_balance_are_refused() {
        for lines in [
            vec![],
            vec![(wallet(), cny(0)), (AccountRef::Bank, cny(0))],
            vec![(wallet(), cny(1))],
            vec![(wallet(), cny(1)), (AccountRef::Bank, cny(-2))],
        ] {
            assert_eq!(balanced(&lines).unwrap_err().kind, Kind::Internal, "{lines:?}");
        }
    }

    #[test]
    fn currencies_do_not_mix_and_sums_do_not_overflow() {
        let mixed = [(wallet(), cny(1)), (AccountRef::Bank, Money::new(-1, "USD".parse().unwrap()))];
        assert_eq!(balanced(&mixed).unwrap_err().field.as_deref(), Some("currency"));
        let huge = [(wallet(), cny(i64::MAX)), (AccountRef::Fees, cny(i64::MAX)), (AccountRef::Bank, cny(1))];
        assert_eq!(balanced(&huge).unwrap_err().field.as_deref(), Some("amount_minor"));
    }

    proptest! {
        #[test]
        fn a_transaction_is_what_balances_to_the_minor_unit_and_nothing_else(
            amounts in prop::collection::vec(prop_oneof![-100..100_i64, i64::MIN..=i64::MAX], 1..8),
            off_by in prop_oneof![Just(0), Just(1), Just(-1), i64::MIN..=i64::MAX],
        ) {
            let exact: i128 = amounts.iter().map(|amount| i128::from(*amount)).sum();
            let Ok(last) = i64::try_from(i128::from(off_by) - exact) else { return Ok(()) };
            let amounts: Vec<_> = amounts.into_iter().chain([last]).collect();
            let lines: Vec<_> = amounts.iter().map(|amount| (AccountRef::Escrow, cny(*amount))).collect();
            // However they overflow on the way, lines that do not sum to zero are never taken.
            let moving = amounts.iter().filter(|amount| **amount != 0).count();
            match balanced(&lines) {
                Ok(kept) => {
                    prop_assert_eq!((off_by, kept.len()), (0, moving));
                    prop_assert!(moving >= 2);
                }
                Err(error) => prop_assert!(off_by != 0 || moving < 2 || error.kind == Kind::Invalid, "{error:?}"),
            }
        }
    }

    #[test]
    fn an_account_never_falls_below_zero_and_says_what_is_missing() {
        let name = || Ok("the wallet of verse-lab".to_string());
        assert_eq!(remaining(wallet(), cny(500), cny(-500), name).unwrap(), cny(0));
        let error = remaining(wallet(), cny(500), cny(-700), name).unwrap_err();
        assert_eq!(error.kind, Kind::InsufficientFunds);
        assert_eq!(error.detail, "the wallet of verse-lab holds CNY 5.00, and CNY 7.00 is needed");
        assert!(error.remedy.unwrap().contains("CNY 2.00"));
        let payable = AccountRef::Payable(OrganisationId::new(Instant::from_unix_micros(0)));
        assert!(
            remaining(payable, cny(500), cny(-700), name).unwrap_err().remedy.unwrap().contains("at most CNY 5.00")
        );
        assert!(remaining(wallet(), cny(i64::MAX), cny(1), name).is_err());
    }
}
