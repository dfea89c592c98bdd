//! Money: double entry, append-only.
//!
//! Every movement is one transaction of two postings or more in one currency, which sum to zero. A posting above
//! zero credits its account, one below zero debits it; so the bank account, which stands for money held outside, is
//! at or below zero, and what the exchange owes to others is above it.
//!
//! A balance is the sum of an account's postings. Only a wallet also keeps its balance beside them, because it gates
//! spending: two buyers' trades therefore never write the same row.
//!
//! Invariant: the postings of every transaction sum to zero.
//! Invariant: a wallet's gated balance equals the sum of its postings, and is never below zero.
//! Invariant: a kind and a reference occur together once, ever.

mod queries;
pub mod routes;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller};
use crate::text_enum;
use crate::types::{
    AccountId, Currency, Instant, Money, OrganisationId, Page, PageQuery, PostingId, TransactionId, kind,
};

/// The longest reference of a deposit, in characters: what bank statements carry.
const MAX_REFERENCE_CHARS: usize = 140;

text_enum! {
    /// What an account is for.
    pub enum AccountKind {
        /// Money held outside, at the exchange's bank. Of the exchange.
        Bank = "bank",
        /// What an organisation has deposited and not yet spent.
        Wallet = "wallet",
        /// What is owed to an organisation for its sales.
        Payable = "payable",
        /// Payments whose orders are not settled yet. Of the exchange.
        Escrow = "escrow",
        /// What the exchange has earned. Of the exchange.
        Fees = "fees",
    }
}

text_enum! {
    /// Why money moved.
    pub enum TransactionKind {
        /// Money arrived at the bank for an organisation; the reference is the bank's.
        Deposit = "deposit",
        /// A buyer paid into escrow; the reference is the order.
        Payment = "payment",
        /// Escrow went to the provider and to fees; the reference is the order.
        Settlement = "settlement",
        /// Escrow went back to the buyer; the reference is the order.
        Refund = "refund",
    }
}

/// Names an account, which exists once per currency and is opened when first posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// What this organisation has deposited and not yet spent.
    Wallet(OrganisationId),
    /// What is owed to this organisation.
    Payable(OrganisationId),
    /// The exchange's bank account.
    Bank,
    /// Payments that wait for settlement.
    Escrow,
    /// The exchange's earnings.
    Fees,
}

impl AccountRef {
    /// What the account is for.
    pub fn kind(self) -> AccountKind {
        match self {
            Self::Wallet(_) => AccountKind::Wallet,
            Self::Payable(_) => AccountKind::Payable,
            Self::Bank => AccountKind::Bank,
            Self::Escrow => AccountKind::Escrow,
            Self::Fees => AccountKind::Fees,
        }
    }
    /// The organisation it belongs to; absent for the exchange's own.
    pub fn owner(self) -> Option<OrganisationId> {
        match self {
            Self::Wallet(owner) | Self::Payable(owner) => Some(owner),
            Self::Bank | Self::Escrow | Self::Fees => None,
        }
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner() {
            Some(owner) => write!(f, "the {} of {owner}", self.kind()),
            None => write!(f, "the exchange's {}", self.kind()),
        }
    }
}

/// An account of an organisation, with what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountBalance {
    /// The account.
    pub id: AccountId,
    /// What it is for.
    pub kind: AccountKind,
    /// What it holds.
    pub balance: Money,
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

/// Money that arrived at the exchange's bank for an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeposit {
    /// The handle of the organisation whose wallet is credited.
    pub organisation: String,
    /// What arrived; above zero.
    pub amount: Money,
    /// The bank's reference, 1 to 140 characters. It works once, ever.
    pub reference: String,
}

/// A recorded deposit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Deposit {
    /// The ledger transaction.
    pub transaction_id: TransactionId,
    /// The handle of the organisation.
    pub organisation: String,
    /// What arrived.
    pub amount: Money,
    /// The bank's reference.
    pub reference: String,
    /// What the wallet holds now.
    pub balance: Money,
}

/// Records that money arrived for an organisation, and credits its wallet.
///
/// # Errors
/// `Forbidden` for everybody but operators; `Invalid`; `AlreadyExists` when the reference was used before.
pub fn deposit(c: &mut Conn, caller: &Caller, input: &NewDeposit, now: Instant) -> Result<Deposit> {
    caller.require_operator()?;
    let organisation = identity::find_organisation(c, &input.organisation).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&organisation).map_err(|e| e.field("organisation"))?;
    check_deposit(input)?;
    let wallet = AccountRef::Wallet(organisation.id);
    let lines = [(AccountRef::Bank, input.amount.negated()?), (wallet, input.amount)];
    let transaction_id = post(c, TransactionKind::Deposit, &input.reference, &lines, now)?;
    history::record(c, transaction_id, None, "posted", caller.user_id, &input.reference, now)?;
    Ok(Deposit {
        transaction_id,
        organisation: organisation.handle,
        amount: input.amount,
        reference: input.reference.clone(),
        balance: balance(c, wallet, input.amount.currency)?,
    })
}

fn check_deposit(input: &NewDeposit) -> Result<()> {
    if input.amount.amount_minor <= 0 {
        return Err(Error::invalid("amount.amount_minor", "a deposit is above zero"));
    }
    let characters = input.reference.chars().count();
    let readable = !input.reference.chars().any(char::is_control) && input.reference.trim() == input.reference;
    if !(1..=MAX_REFERENCE_CHARS).contains(&characters) || !readable {
        let detail = format!("a bank reference is 1 to {MAX_REFERENCE_CHARS} printed characters, without space around");
        return Err(Error::invalid("reference", detail));
    }
    Ok(())
}

/// The accounts of an organisation with their balances, in the order in which they were opened.
///
/// # Errors
/// `NotFound` for those who are neither members nor staff of the exchange.
pub fn accounts(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Page<AccountBalance>> {
    let organisation = authorise_reader(c, caller, handle)?;
    let limit = page.limit()?;
    let rows = queries::list_accounts(c, organisation, page.after_id::<kind::Account>()?, limit.saturating_add(1))?;
    let rows = rows.into_iter().map(|account| {
        let balance = Money::new(queries::sum_postings(c, account.id)?, account.currency);
        Ok(AccountBalance { id: account.id, kind: account.kind, balance })
    });
    Ok(Page::new(rows.collect::<Result<Vec<_>>>()?, limit, |account| account.id.to_string()))
}

/// The postings to the accounts of an organisation, oldest first.
///
/// # Errors
/// As [`accounts`].
pub fn postings(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Page<Posting>> {
    let organisation = authorise_reader(c, caller, handle)?;
    let limit = page.limit()?;
    let rows = queries::list_postings(c, organisation, page.after_id::<kind::Posting>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |posting| posting.id.to_string()))
}

/// Members, operators and compliance staff may read an organisation's money; nobody else learns of it.
fn authorise_reader(c: &mut Conn, caller: &Caller, handle: &str) -> Result<OrganisationId> {
    let organisation = identity::visible_organisation(c, Some(caller), handle)?;
    let staff = caller.is_operator() || caller.is_compliance();
    if staff || caller.member_of(organisation.id).is_some() {
        return Ok(organisation.id);
    }
    Err(Error::not_found(format_args!("the ledger of {handle}")))
}

/// Moves money: posts `lines` as one transaction, opening accounts that do not exist yet. Lines of zero move nothing
/// and are left out. The caller of this function authorises.
///
/// # Errors
/// `Internal` unless two lines or more remain and sum to zero; `Invalid` on overflow or mixed currencies;
/// `AlreadyExists` when this kind and reference were posted before; `InsufficientFunds` when a wallet would fall
/// below zero.
pub fn post(
    c: &mut Conn,
    kind: TransactionKind,
    reference: &str,
    lines: &[(AccountRef, Money)],
    now: Instant,
) -> Result<TransactionId> {
    let lines = balanced(lines)?;
    if queries::transaction_exists(c, kind, reference)? {
        return Err(Error::new(Kind::AlreadyExists, format!("a {kind} for {reference:?} was posted before"))
            .field("reference")
            .remedy("a reference works once; check whether this is the same movement"));
    }
    let id = TransactionId::new(now);
    queries::insert_transaction(c, id, kind, reference, now)?;
    for (account, amount) in lines {
        let row = open_account(c, account, amount.currency, now)?;
        if let Some(gate) = row.gated_balance_minor {
            let after = gated(account, Money::new(gate, amount.currency), amount)?;
            if queries::set_gated_balance(c, row.id, gate, after.amount_minor)? != 1 {
                return Err(Error::internal(format!("{account} changed within a serialisable transaction")));
            }
        }
        queries::insert_posting(c, PostingId::new(now), id, row.id, amount.amount_minor)?;
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

/// What a wallet that holds `held` holds after `amount`, unless that is below zero.
fn gated(account: AccountRef, held: Money, amount: Money) -> Result<Money> {
    let after = held.plus(amount)?;
    if after.amount_minor >= 0 {
        return Ok(after);
    }
    let (needed, missing) = (amount.negated()?, after.negated()?);
    Err(Error::new(Kind::InsufficientFunds, format!("{account} holds {held}, and {needed} is needed"))
        .remedy(format!("have an operator record a deposit of at least {missing}, then pay again")))
}

fn open_account(c: &mut Conn, account: AccountRef, currency: Currency, now: Instant) -> Result<queries::Account> {
    if let Some(row) = queries::find_account(c, account, currency)? {
        return Ok(row);
    }
    let row = queries::Account {
        id: AccountId::new(now),
        organisation_id: account.owner(),
        kind: account.kind(),
        currency,
        gated_balance_minor: (account.kind() == AccountKind::Wallet).then_some(0),
        created_at: now,
    };
    queries::insert_account(c, &row)?;
    Ok(row)
}

/// What an account holds: the sum of its postings, zero if it was never posted to.
///
/// # Errors
/// `Internal` when the sum is larger than an `i64`.
pub fn balance(c: &mut Conn, account: AccountRef, currency: Currency) -> Result<Money> {
    let minor = match queries::find_account(c, account, currency)? {
        Some(row) => queries::sum_postings(c, row.id)?,
        None => 0,
    };
    Ok(Money::new(minor, currency))
}

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
        found.push(format!("wallet {account} says that it holds {gate} minor units, and its postings sum to {sum}"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_wallet_never_falls_below_zero_and_says_what_is_missing() {
        assert_eq!(gated(wallet(), cny(500), cny(-500)).unwrap(), cny(0));
        let error = gated(wallet(), cny(500), cny(-700)).unwrap_err();
        assert_eq!(error.kind, Kind::InsufficientFunds);
        assert!(error.detail.contains("CNY 5.00") && error.detail.contains("CNY 7.00"), "{error}");
        assert!(error.remedy.unwrap().contains("CNY 2.00"));
        assert!(gated(wallet(), cny(i64::MAX), cny(1)).is_err());
    }

    #[test]
    fn a_deposit_is_above_zero_and_has_a_printed_reference() {
        let deposit = |minor, reference: &str| {
            let (organisation, reference) = ("lab".to_string(), reference.to_string());
            check_deposit(&NewDeposit { organisation, amount: cny(minor), reference })
        };
        deposit(1, "ICBC 2026-000001 语料款").unwrap();
        for (minor, reference, field) in [
            (0, "r", "amount.amount_minor"),
            (-1, "r", "amount.amount_minor"),
            (1, "", "reference"),
            (1, " r", "reference"),
            (1, "a\nb", "reference"),
            (1, &"r".repeat(141), "reference"),
        ] {
            assert_eq!(deposit(minor, reference).unwrap_err().field.as_deref(), Some(field), "{reference:?}");
        }
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
