//! The audit file for a programme's funder: each funding, use, clawback and return, with what the pool held after it.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Programme, programme, queries};
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::ledger::Amount;
use crate::market::{contract_of, orders};
use crate::text_enum;
use crate::types::csv::{self, Cell};
use crate::types::{Digest, Instant, Money, MovementId, OrderId, Page, PageQuery, ProgrammeId, kind};

/// Movements of a CSV file read at a time.
const PAGE: i64 = 200;

text_enum! {
    /// Why a pool changed.
    pub enum MovementKind {
        /// The funder paid in.
        Funding = "funding",
        /// A purchase used it.
        Use = "use",
        /// The purchase was refunded.
        Clawback = "clawback",
        /// The funder took back what was left.
        Return = "return",
    }
}

/// A change of a programme's pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VoucherMovement {
    /// The movement.
    pub id: MovementId,
    /// When.
    pub moved_at: Instant,
    /// Why.
    pub kind: MovementKind,
    /// The purchase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// The digest of its signed contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract_sha256: Option<Digest>,
    /// The buyer's handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buyer: Option<String>,
    /// Above zero: into the pool; below zero: out of it.
    pub amount: Amount,
    /// What the pool held after it.
    pub remaining: Amount,
}

/// The movements of a programme, oldest first.
///
/// # Errors
/// `NotFound` for those who are neither the funder's members nor the exchange's staff.
pub fn movements(c: &mut Conn, caller: &Caller, id: ProgrammeId, page: &PageQuery) -> Result<Page<VoucherMovement>> {
    let programme = authorised(c, caller, id)?;
    let limit = page.limit()?;
    let rows = read(c, &programme, page.after_id::<kind::Movement>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |row| row.id.to_string()))
}

fn authorised(c: &mut Conn, caller: &Caller, id: ProgrammeId) -> Result<Programme> {
    let programme = programme(c, id)?;
    if caller.sees(programme.funder_id) {
        return Ok(programme);
    }
    Err(Error::withheld(format!("the audit file of programme {id}")))
}

/// The movements after one, with what the pool held after each.
fn read(c: &mut Conn, programme: &Programme, after: &str, limit: i64) -> Result<Vec<VoucherMovement>> {
    let mut remaining = Money::new(queries::sum_through(c, programme.id, after)?, programme.currency);
    let rows = queries::list_movements(c, programme.id, after, limit)?;
    orders::load_contracts(c, rows.iter().filter_map(|row| row.order_id))?;
    identity::load_organisations(c, rows.iter().filter_map(|row| row.buyer_id))?;
    let mut movements = Vec::with_capacity(rows.len());
    for row in rows {
        let amount = Money::new(row.amount_minor, programme.currency);
        remaining = remaining.plus(amount)?;
        movements.push(VoucherMovement {
            id: row.id,
            moved_at: row.moved_at,
            kind: row.kind,
            order_id: row.order_id,
            contract_sha256: row.order_id.map(|order| contract_of(c, order)).transpose()?.map(|of| of.sha256),
            buyer: row.buyer_id.map(|buyer| identity::organisation(c, buyer)).transpose()?.map(|of| of.handle),
            amount: amount.into(),
            remaining: remaining.into(),
        });
    }
    Ok(movements)
}

/// The movements of a programme as one CSV file that is being written.
#[derive(Debug)]
pub struct VoucherFile {
    programme: Programme,
    after: String,
    begun: bool,
    ended: bool,
}

/// Begins the file.
///
/// # Errors
/// As [`movements`].
pub fn voucher_file(c: &mut Conn, caller: &Caller, id: ProgrammeId) -> Result<VoucherFile> {
    Ok(VoucherFile { programme: authorised(c, caller, id)?, after: String::new(), begun: false, ended: false })
}

/// The columns of the file.
const COLUMNS: [&str; 11] = [
    "movement",
    "at",
    "kind",
    "order",
    "contract_sha256",
    "buyer",
    "amount",
    "amount_minor",
    "remaining",
    "remaining_minor",
    "currency",
];

impl VoucherFile {
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
        }
        let page = read(c, &self.programme, &self.after, PAGE)?;
        self.ended = i64::try_from(page.len()).unwrap_or(0) < PAGE;
        for movement in page {
            self.after = movement.id.to_string();
            csv::row(&mut piece, cells(movement));
        }
        Ok(Some(piece.into_bytes()))
    }
}

fn cells(movement: VoucherMovement) -> [Cell; 11] {
    let (amount, remaining) = (movement.amount, movement.remaining);
    [
        Cell::Text(movement.id.to_string()),
        Cell::Text(movement.moved_at.to_string()),
        Cell::Text(movement.kind.to_string()),
        Cell::Text(movement.order_id.map(|id| id.to_string()).unwrap_or_default()),
        Cell::Text(movement.contract_sha256.map(|digest| digest.to_string()).unwrap_or_default()),
        Cell::Text(movement.buyer.unwrap_or_default()),
        Cell::Number(amount.decimal),
        Cell::Number(amount.amount_minor.to_string()),
        Cell::Number(remaining.decimal),
        Cell::Number(remaining.amount_minor.to_string()),
        Cell::Text(amount.currency.to_string()),
    ]
}
