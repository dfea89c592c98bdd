//! Compliance: where bytes came from, who holds them, and under which terms.
//!
//! A [`trace`] starts from almost anything (see [`Subject`]) and tells the life of each version that it touches;
//! [`events`] tells the same as flat rows, filtered and page by page, and [`export`] writes them to a file.
//! [`conflicts`] are flagged after each sealing; [`takedowns`] are claims against what was sealed.
//!
//! Invariant: no trace without an audit record that was durable before it: the request layer makes one of every read of
//! staff.

mod audit;
mod chain;
mod conflicts;
mod events;
mod export;
mod prov;
mod queries;
mod reconciliation;
pub mod routes;
mod subject;
pub mod takedowns;

pub use audit::audit;
pub use chain::{
    Assessed, Certified, Chain, Delivery, Derived, Evaluated, Licence, Logged, Party, TermsInForce, Trace, TracedShard,
    TrainedModel,
};
pub use conflicts::{Conflict, SealedPlace, conflicts, flag_conflicts};
pub use events::{Event, EventQuery};
pub use export::{Export, ExportFormat, export};
pub use reconciliation::{Reconciliation, reconcile, reconciliation};
pub use subject::Subject;

use self::chain::Wanted;
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::types::{Instant, Page, PageQuery};

/// What is asked about a subject.
#[derive(Debug, Clone, Default)]
pub struct TraceQuery {
    /// What to trace, as [`Subject`] reads it.
    pub subject: String,
    /// The time at which the terms shown are in force; now when absent.
    pub at: Option<Instant>,
    /// Whether to prove every log entry that is named.
    pub proofs: bool,
    /// Which chains.
    pub page: PageQuery,
}

/// What the exchange knows about a subject: one chain for each version that it touches.
///
/// # Errors
/// `Forbidden` for everybody but compliance staff; `Invalid`, naming the parameter; `NotFound`.
pub fn trace(c: &mut Conn, caller: &Caller, query: &TraceQuery, now: Instant) -> Result<Trace> {
    caller.require_compliance()?;
    let scope = query.subject.parse::<Subject>()?.resolve(c)?;
    let wanted = Wanted { at: query.at.unwrap_or(now), proofs: query.proofs };
    chain::chains(c, &scope, wanted, &query.page)
}

/// Everything that happened to a subject, to an organisation or within a time, oldest first.
///
/// # Errors
/// As [`trace`].
pub fn events(
    c: &mut Conn,
    caller: &Caller,
    query: &EventQuery,
    page: &PageQuery,
    now: Instant,
) -> Result<Page<Event>> {
    caller.require_compliance()?;
    query.open(c, now)?.page(c, page.after()?, page.limit()?)
}
