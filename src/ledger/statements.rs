//! Statements of account: what an organisation's accounts in one currency held before a period, every line of it, and
//! what they held after.
//!
//! Lines are read a page at a time, however many there are. A posting's identifier begins with its time, so a period is
//! a range of identifiers, and the balance before any line is a closing balance and a sum over the index from there. Whatever
//! the clocks of instances say, the lines of a wallet stand as they were posted, and no line takes what came after it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::accounts::{AccountKind, authorise_reader};
use super::closings;
use super::postings::TransactionKind;
use super::queries::{self, Account};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::types::csv::{self, Cell};
use crate::types::{AccountId, Currency, Instant, Money, Page, PageQuery, PostingId, TransactionId, kind};

/// Lines of a CSV file read at a time.
const PAGE: i64 = 1000;

/// Which statement.
#[derive(Debug, Clone)]
pub struct StatementQuery {
    /// Of this organisation.
    pub handle: String,
    /// Its accounts in this currency.
    pub currency: Currency,
    /// Since when.
    pub from: Instant,
    /// Until when, that moment excluded.
    pub to: Instant,
}

/// An amount in minor units, and as people write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Amount {
    /// Minor units: fen for CNY, cents for USD.
    pub amount_minor: i64,
    /// ISO 4217 code.
    pub currency: Currency,
    /// The same amount in whole units, with as many decimals as the currency has.
    #[schema(example = "-12.50")]
    pub decimal: String,
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency, decimal: money.decimal() }
    }
}

/// What one account held before and after the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountSummary {
    /// Which account.
    pub account: AccountKind,
    /// What it held when the period began.
    pub opening: Amount,
    /// What it held when the period ended: opening and every line.
    pub closing: Amount,
}

/// One movement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatementLine {
    /// The posting.
    pub id: PostingId,
    /// When.
    pub posted_at: Instant,
    /// Which account.
    pub account: AccountKind,
    /// Why money moved.
    pub kind: TransactionKind,
    /// What it was for: a bank reference, an order, a withdrawal or a transaction that was reversed.
    pub reference: String,
    /// The transaction it belongs to.
    pub transaction_id: TransactionId,
    /// Above zero: credited; below zero: debited.
    pub amount: Amount,
    /// What the account held after it.
    pub balance: Amount,
}

/// A statement, with one page of its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountStatement {
    /// The handle of the organisation.
    pub organisation: String,
    /// Of its accounts in this currency.
    pub currency: Currency,
    /// Since when.
    pub from: Instant,
    /// Until when, that moment excluded.
    pub to: Instant,
    /// The accounts, before and after.
    pub accounts: Vec<AccountSummary>,
    /// The lines, oldest first.
    #[serde(flatten)]
    pub lines: Page<StatementLine>,
}

/// A posting with its transaction.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = crate::schema::ledger_postings, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Line {
    pub(super) id: PostingId,
    account_id: AccountId,
    amount_minor: i64,
    transaction_id: TransactionId,
    #[diesel(select_expression = crate::schema::ledger_transactions::kind)]
    kind: TransactionKind,
    #[diesel(select_expression = crate::schema::ledger_transactions::reference)]
    reference: String,
    #[diesel(select_expression = crate::schema::ledger_transactions::posted_at)]
    posted_at: Instant,
}

/// Gives a statement with one page of its lines.
///
/// # Errors
/// As [`super::accounts()`]; `Invalid` for a period that ends before it begins.
pub fn statement(c: &mut Conn, caller: &Caller, query: &StatementQuery, page: &PageQuery) -> Result<AccountStatement> {
    let (mut ledger, limit) = (open(c, caller, query)?, page.limit()?);
    let (opening, closing) = (ledger.sums(c, &ledger.begin)?, ledger.sums(c, &ledger.end)?);
    let summary = |account: &Account| -> Result<AccountSummary> {
        let held = |sums: &Balances| sums.get(&account.id).copied().unwrap_or(0);
        let amount = |minor| Amount::from(Money::new(minor, query.currency));
        let (opening, closing) = (amount(held(&opening)), amount(held(&closing)));
        Ok(AccountSummary { account: account.kind, opening, closing })
    };
    let accounts = ledger.accounts.iter().map(summary).collect::<Result<_>>()?;
    ledger.skip_to(c, page.after_id::<kind::Posting>()?)?;
    let lines = Page::new(ledger.next(c, limit.saturating_add(1))?, limit, |line| line.id.to_string());
    let StatementQuery { handle, currency, from, to } = query.clone();
    Ok(AccountStatement { organisation: handle, currency, from, to, accounts, lines })
}

type Balances = BTreeMap<AccountId, i64>;

/// A period that is read line by line.
#[derive(Debug)]
struct Ledger {
    accounts: Vec<Account>,
    currency: Currency,
    begin: String,
    end: String,
    /// The last line that was read, or what precedes the first.
    after: String,
    /// What each account held after it.
    held: Balances,
}

fn open(c: &mut Conn, caller: &Caller, query: &StatementQuery) -> Result<Ledger> {
    let organisation = authorise_reader(c, caller, &query.handle)?;
    if query.to <= query.from {
        let detail = format!("the period from {} ends at {}, before it begins", query.from, query.to);
        return Err(Error::invalid("to", detail).remedy("give a time after `from`; that moment is excluded"));
    }
    let accounts = queries::list_accounts_in(c, organisation, query.currency)?;
    let (begin, end) = (PostingId::first_at(query.from).to_string(), PostingId::first_at(query.to).to_string());
    let mut ledger =
        Ledger { accounts, currency: query.currency, after: String::new(), begin, end, held: Balances::new() };
    ledger.held = ledger.sums(c, &ledger.begin)?;
    ledger.after.clone_from(&ledger.begin);
    Ok(ledger)
}

impl Ledger {
    /// What each account held after its postings up to this identifier, which may be the first one of an instant.
    fn sums(&self, c: &mut Conn, last: &str) -> Result<Balances> {
        let sum = |account: &Account| Ok((account.id, closings::held_through(c, account.id, Some(last))?));
        self.accounts.iter().map(sum).collect()
    }

    /// Goes on after this posting of the period.
    fn skip_to(&mut self, c: &mut Conn, posting: &str) -> Result<()> {
        if posting > self.begin.as_str() {
            self.after = posting.to_string();
            self.held = self.sums(c, posting)?;
        }
        Ok(())
    }

    /// The next lines.
    fn next(&mut self, c: &mut Conn, limit: i64) -> Result<Vec<StatementLine>> {
        let ids: Vec<AccountId> = self.accounts.iter().map(|account| account.id).collect();
        let rows = queries::list_lines(c, &ids, &self.after, &self.end, limit)?;
        rows.into_iter().map(|row| self.line(row)).collect()
    }

    fn line(&mut self, row: Line) -> Result<StatementLine> {
        let account = self.accounts.iter().find(|account| account.id == row.account_id);
        let account = account.ok_or_else(|| Error::internal(format!("{} is of another account", row.id)))?.kind;
        let (amount, held) =
            (Money::new(row.amount_minor, self.currency), self.held.entry(row.account_id).or_default());
        let balance = Money::new(*held, self.currency).plus(amount)?;
        *held = balance.amount_minor;
        self.after = row.id.to_string();
        Ok(StatementLine {
            id: row.id,
            posted_at: row.posted_at,
            account,
            kind: row.kind,
            reference: row.reference,
            transaction_id: row.transaction_id,
            amount: amount.into(),
            balance: balance.into(),
        })
    }
}

/// A statement that is being written as one file.
///
/// A page is read, written and forgotten before the next is read. What it says of the end is what it has written, so
/// the file is whole in itself even while money moves.
#[derive(Debug)]
pub struct StatementFile {
    ledger: Ledger,
    query: StatementQuery,
    begun: bool,
    ended: bool,
}

/// Begins a statement as one CSV file.
///
/// # Errors
/// As [`statement`].
pub fn statement_file(c: &mut Conn, caller: &Caller, query: StatementQuery) -> Result<StatementFile> {
    Ok(StatementFile { ledger: open(c, caller, &query)?, query, begun: false, ended: false })
}

/// The columns of the file.
const COLUMNS: [&str; 12] = [
    "row",
    "at",
    "account",
    "kind",
    "reference",
    "transaction",
    "posting",
    "amount",
    "amount_minor",
    "balance",
    "balance_minor",
    "currency",
];

impl StatementFile {
    /// The next piece of the file; `None` after the last.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next(&mut self, c: &mut Conn) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut piece = String::new();
        if !self.begun {
            self.begun = true;
            csv::row(&mut piece, COLUMNS.map(|name| Cell::Text(name.to_string())));
            self.balances(&mut piece, "opening", self.query.from);
        }
        let lines = self.ledger.next(c, PAGE)?;
        self.ended = i64::try_from(lines.len()).unwrap_or(0) < PAGE;
        for line in &lines {
            csv::row(&mut piece, cells(line));
        }
        if self.ended {
            self.balances(&mut piece, "closing", self.query.to);
        }
        Ok(Some(piece.into_bytes()))
    }

    /// A row for what each account holds now.
    fn balances(&self, piece: &mut String, row: &str, at: Instant) {
        for account in &self.ledger.accounts {
            let held = self.ledger.held.get(&account.id).copied().unwrap_or(0);
            let balance = Money::new(held, self.query.currency);
            let words = [row.to_string(), at.to_string(), account.kind.to_string()];
            let empty = std::iter::repeat_n(String::new(), 6);
            let texts = words.into_iter().chain(empty).map(Cell::Text);
            csv::row(piece, texts.chain(numbers(&balance.into())).chain([currency(self.query.currency)]));
        }
    }
}

fn cells(line: &StatementLine) -> impl Iterator<Item = Cell> {
    let words = [
        "line".to_string(),
        line.posted_at.to_string(),
        line.account.to_string(),
        line.kind.to_string(),
        line.reference.clone(),
        line.transaction_id.to_string(),
        line.id.to_string(),
    ];
    let amounts = numbers(&line.amount).into_iter().chain(numbers(&line.balance));
    words.into_iter().map(Cell::Text).chain(amounts).chain([currency(line.amount.currency)])
}

fn numbers(amount: &Amount) -> [Cell; 2] {
    [Cell::Number(amount.decimal.clone()), Cell::Number(amount.amount_minor.to_string())]
}

fn currency(currency: Currency) -> Cell {
    Cell::Text(currency.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::closings::tests::after_sales;

    #[tokio::test]
    async fn a_file_that_is_read_in_pages_has_every_line_once() {
        for sales in [PAGE - 1, PAGE, PAGE + 1] {
            let (_folder, db, payable) = after_sales(sales).await;
            let (currency, from) = (Currency::CNY, Instant::from_unix_micros(0));
            let to = from.plus(crate::types::DAY);
            let read = move |c: &mut Conn| {
                let accounts = queries::find_account(c, payable, currency)?.into_iter().collect();
                let (begin, end) = (PostingId::first_at(from).to_string(), PostingId::first_at(to).to_string());
                let ledger = Ledger { accounts, currency, after: begin.clone(), begin, end, held: Balances::new() };
                let query = StatementQuery { handle: String::new(), currency, from, to };
                let mut file = StatementFile { ledger, query, begun: false, ended: false };
                let mut text = Vec::new();
                while let Some(piece) = file.next(c)? {
                    text.extend(piece);
                }
                Ok(String::from_utf8(text).unwrap())
            };
            let text = db.read(read).await.unwrap();
            let rows: Vec<_> = text.split_terminator("\r\n").map(|row| row.split(',').collect::<Vec<_>>()).collect();
            let lines: Vec<_> = rows.iter().filter(|row| row[0] == "line").map(|row| row[10]).collect();
            assert_eq!(lines, (1..=sales).map(|balance| balance.to_string()).collect::<Vec<_>>());
            assert_eq!(rows.last().map(|row| (row[0], row[10])), Some(("closing", &*sales.to_string())));
        }
    }
}
