//! Reconciliation: every balance recomputed from the postings, and what is in escrow, frozen and in the pools of
//! vouchers compared with what was bought and is disputed.

use serde::Serialize;
use utoipa::ToSchema;

use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::ledger::{self, Difference, Rule};
use crate::market;
use crate::types::{Currency, Instant, OrganisationId, ProgrammeId};

/// What a recomputation of the books found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Reconciliation {
    /// When it was made.
    pub taken_at: Instant,
    /// How many accounts there are.
    pub accounts: i64,
    /// How many transactions.
    pub transactions: i64,
    /// How many postings were summed.
    pub postings: i64,
    /// Whatever is not as it must be; empty for books that are in order. At most 1,000 for each rule.
    pub differences: Vec<Difference>,
}

/// Recomputes the books for the exchange's staff.
///
/// # Errors
/// `Forbidden` for everybody else.
pub fn reconciliation(c: &mut Conn, caller: &Caller, now: Instant) -> Result<Reconciliation> {
    caller.require_staff()?;
    let (accounts, transactions, postings) = ledger::extent(c)?;
    Ok(Reconciliation { taken_at: now, accounts, transactions, postings, differences: reconcile(c)? })
}

/// Everything in the books that is not as it must be. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn reconcile(c: &mut Conn) -> Result<Vec<Difference>> {
    let mut found = ledger::audit(c)?;
    let of = |sums: Vec<(Currency, i64)>| {
        sums.into_iter().map(|(currency, sum)| (("the exchange's escrow".to_string(), currency), sum)).collect()
    };
    let (bought, held) = (of(market::in_escrow(c)?), of(ledger::escrow(c)?));
    found.extend(ledger::compare(Rule::Escrow, &bought, &held));
    let of = |sums: Vec<(OrganisationId, Currency, i64)>| {
        sums.into_iter().map(|(owner, currency, sum)| ((owner.to_string(), currency), sum)).collect()
    };
    let (disputed, held) = (of(market::disputes::frozen(c)?), of(ledger::frozen(c)?));
    found.extend(ledger::compare(Rule::Frozen, &disputed, &held));
    let of = |sums: Vec<(ProgrammeId, Currency, i64)>| {
        sums.into_iter().map(|(programme, currency, sum)| ((programme.to_string(), currency), sum)).collect()
    };
    let (moved, held) = (of(market::vouchers::pools(c)?), of(ledger::pools(c)?));
    found.extend(ledger::compare(Rule::Vouchers, &moved, &held));
    Ok(found)
}
