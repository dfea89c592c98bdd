//! Accounts: whose money it is, and its purpose.
//!
//! An organisation's wallet and what it holds for payout keep their balance beside their postings, because it gates
//! spending; so does the pool of a voucher programme, which only the purchases that it pays for write. A payable does
//! not: every sale of a provider would write that one row. What may be taken from it is the sum of its postings, read from
//! its last [closing balance](super::closings) on, in the serialisable transaction that takes it.

use std::fmt;

use super::{closings, queries};
use crate::db::{self, Ahead, Conn};
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::text_enum;
use crate::types::{
    AccountId, Currency, Instant, Money, OrganisationId, Page, PageQuery, PostingId, ProgrammeId, kind,
};

text_enum! {
    /// What an account is for.
    pub enum AccountKind {
        /// Money held outside, at the exchange's bank. Of the exchange.
        Bank = "bank",
        /// What an organisation has deposited and not yet spent.
        Wallet = "wallet",
        /// What an organisation has asked to be paid out, and the bank has not paid yet.
        Held = "held",
        /// What is owed to an organisation for its sales.
        Payable = "payable",
        /// What was owed to it for a sale that is disputed: nobody can take it out until the dispute is final.
        Frozen = "frozen",
        /// Payments whose orders are not settled yet. Of the exchange.
        Escrow = "escrow",
        /// What the exchange has earned. Of the exchange.
        Fees = "fees",
        /// The tax in its fees, until it is paid. Of the exchange.
        Tax = "tax",
        /// What a programme has to subsidise purchases with. Kept by the exchange, one for each programme.
        Vouchers = "vouchers",
    }
}

impl AccountKind {
    /// Whether the balance is kept beside the postings.
    fn is_gated(self) -> bool {
        matches!(self, Self::Wallet | Self::Held | Self::Vouchers)
    }
}

/// Names an account, which exists once per currency and is opened when first posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// What this organisation has deposited and not yet spent.
    Wallet(OrganisationId),
    /// What this organisation has asked to be paid out.
    Held(OrganisationId),
    /// What is owed to this organisation.
    Payable(OrganisationId),
    /// What of it is disputed.
    Frozen(OrganisationId),
    /// The exchange's bank account.
    Bank,
    /// Payments that wait for settlement.
    Escrow,
    /// The exchange's earnings.
    Fees,
    /// The tax in the exchange's fees.
    Tax,
    /// The pool of this programme.
    Vouchers(ProgrammeId),
}

impl AccountRef {
    /// What the account is for.
    pub fn kind(self) -> AccountKind {
        match self {
            Self::Wallet(_) => AccountKind::Wallet,
            Self::Held(_) => AccountKind::Held,
            Self::Payable(_) => AccountKind::Payable,
            Self::Frozen(_) => AccountKind::Frozen,
            Self::Bank => AccountKind::Bank,
            Self::Escrow => AccountKind::Escrow,
            Self::Fees => AccountKind::Fees,
            Self::Tax => AccountKind::Tax,
            Self::Vouchers(_) => AccountKind::Vouchers,
        }
    }
    /// The organisation it belongs to; absent for the exchange's own.
    pub fn owner(self) -> Option<OrganisationId> {
        match self {
            Self::Wallet(owner) | Self::Held(owner) | Self::Payable(owner) | Self::Frozen(owner) => Some(owner),
            Self::Bank | Self::Escrow | Self::Fees | Self::Tax | Self::Vouchers(_) => None,
        }
    }
    /// The programme whose pool it is.
    pub fn programme(self) -> Option<ProgrammeId> {
        match self {
            Self::Vouchers(programme) => Some(programme),
            _ => None,
        }
    }
}

impl queries::Account {
    /// The reference that names this account.
    pub(super) fn name(&self) -> Result<AccountRef> {
        let astray = || Error::internal(format!("account {} is nobody's", self.id));
        let owner = self.organisation_id.ok_or_else(astray);
        Ok(match self.kind {
            AccountKind::Bank => AccountRef::Bank,
            AccountKind::Escrow => AccountRef::Escrow,
            AccountKind::Fees => AccountRef::Fees,
            AccountKind::Tax => AccountRef::Tax,
            AccountKind::Wallet => AccountRef::Wallet(owner?),
            AccountKind::Held => AccountRef::Held(owner?),
            AccountKind::Payable => AccountRef::Payable(owner?),
            AccountKind::Frozen => AccountRef::Frozen(owner?),
            AccountKind::Vouchers => AccountRef::Vouchers(self.programme_id.ok_or_else(astray)?),
        })
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.owner(), self.programme()) {
            (Some(owner), _) => write!(f, "the {} of {owner}", self.kind()),
            (None, Some(programme)) => write!(f, "the pool of {programme}"),
            (None, None) => write!(f, "the exchange's {}", self.kind()),
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

/// The accounts of an organisation with their balances, in the order in which they were opened.
///
/// # Errors
/// `NotFound` for those who are neither members nor staff of the exchange.
pub fn accounts(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Page<AccountBalance>> {
    let organisation = authorise_reader(c, caller, handle)?;
    let limit = page.limit()?;
    let rows = queries::list_accounts(c, organisation, page.after_id::<kind::Account>()?, limit.saturating_add(1))?;
    let rows = rows.into_iter().map(|account| {
        let balance = Money::new(closings::held(c, &account)?, account.currency);
        Ok(AccountBalance { id: account.id, kind: account.kind, balance })
    });
    Ok(Page::new(rows.collect::<Result<Vec<_>>>()?, limit, |account| account.id.to_string()))
}

/// Members, operators and compliance staff may read an organisation's money; nobody else learns of it.
pub(super) fn authorise_reader(c: &mut Conn, caller: &Caller, handle: &str) -> Result<OrganisationId> {
    let organisation = identity::visible_organisation(c, Some(caller), handle)?;
    if caller.sees(organisation.id) {
        return Ok(organisation.id);
    }
    Err(Error::withheld(format_args!("the ledger of {handle}")))
}

/// What an account holds, which is the sum of its postings; zero if it was never posted to.
///
/// # Errors
/// `Internal` when the sum is larger than an `i64`.
pub fn balance(c: &mut Conn, account: AccountRef, currency: Currency) -> Result<Money> {
    let minor = match queries::find_account(c, account, currency)? {
        Some(row) => closings::held(c, &row)?,
        None => 0,
    };
    Ok(Money::new(minor, currency))
}

/// Announces that a gathered write is going to move money from or to an organisation's wallets.
pub fn ahead_of_wallets(organisation: OrganisationId) -> Ahead {
    Ahead::new(organisation, |c, organisations| {
        for wallet in queries::list_accounts_of(c, AccountKind::Wallet, organisations)? {
            keep(&wallet, wallet.name()?);
        }
        Ok(())
    })
}

pub(super) fn open_account(
    c: &mut Conn,
    account: AccountRef,
    currency: Currency,
    now: Instant,
) -> Result<queries::Account> {
    let find = |c: &mut Conn| {
        db::flush_of::<queries::Gate>(c)?;
        queries::find_account(c, account, currency)
    };
    if let Some(row) = db::load_once(c, key(account, currency), find)? {
        return Ok(row);
    }
    let row = queries::Account {
        id: AccountId::new(now),
        organisation_id: account.owner(),
        programme_id: account.programme(),
        kind: account.kind(),
        currency,
        gated_balance_minor: account.kind().is_gated().then_some(0),
        last_posting_id: None,
        created_at: now,
    };
    queries::insert_account(c, &row)?;
    keep(&row, account);
    Ok(row)
}

/// Changes the balance that an account keeps beside its postings from `from` to `to`, by this posting.
pub(super) fn swap_gate(
    c: &mut Conn,
    account: AccountRef,
    row: &queries::Account,
    (from, to): (i64, i64),
    posting_id: PostingId,
) -> Result<()> {
    db::append(c, queries::Gate { account_id: row.id, from, to, posting_id })?;
    let (gated_balance_minor, last_posting_id) = (Some(to), Some(posting_id));
    keep(&queries::Account { gated_balance_minor, last_posting_id, ..row.clone() }, account);
    Ok(())
}

/// The key by which a transaction remembers an account.
fn key(account: AccountRef, currency: Currency) -> String {
    format!("{account} in {currency}")
}

fn keep(row: &queries::Account, account: AccountRef) {
    db::keep(key(account, row.currency), Some(row.clone()));
}
