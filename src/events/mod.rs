//! Events: the steps of which each organisation is notified because they concern it.
//!
//! Every step is put into the outbox by its own transaction ([`crate::history`]). One [dispatcher](dispatch) at a time
//! takes it from there, finds whom it concerns, and numbers it for each of them. A consumer continues reading after the
//! number that it read last, or has events sent to a [webhook](webhooks).
//!
//! Invariant: an organisation's events are numbered 1, 2, 3 … in the order in which they become readable: whoever reads
//! on from a cursor misses none.
//! Invariant: an event holds the states and the identifier: no reason, no person, no amount, no secret. Those only are told who
//! may see the thing in both states, and by a dispute those whose money it froze.

mod audience;
pub mod dispatch;
mod queries;
pub mod retention;
pub mod routes;
pub mod webhooks;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::types::{Instant, OrganisationId, PageQuery, TransitionId};

/// The most types that one filter may name.
const MOST_TYPES: usize = 50;

/// A step, as one organisation is told of it.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::events, check_for_backend(MultiBackend))]
pub struct Event {
    /// Who is told.
    pub organisation_id: OrganisationId,
    /// Which of its events this is, from 1 on.
    pub position: i64,
    /// The step: the same for everybody who is told of it, however often.
    pub id: TransitionId,
    /// What took the step, and the state it came to: `order.escrowed`.
    pub event_type: String,
    /// The identifier of what took the step.
    pub subject: String,
    /// The state before; absent for the first.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: String,
    /// When it happened.
    pub occurred_at: Instant,
}

/// An event as it is sent, over the feed and to webhooks alike: the payload of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Message {
    /// It never changes: an event whose `id` was seen before can be ignored.
    pub id: TransitionId,
    /// What changed, and its new state: `order.escrowed`, `listing.listed`, `entitlement.revoked`.
    pub r#type: String,
    /// When it happened.
    pub timestamp: Instant,
    /// What happened.
    pub data: Step,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// The handle of the organisation that is notified.
    pub organisation: String,
    /// Which of its events this is, from 1 on, without gaps.
    pub position: i64,
    /// The identifier of what took the step.
    pub subject: String,
    /// The state before; absent for the first.
    pub from_state: Option<String>,
    /// The state after.
    pub to_state: String,
}

impl Event {
    /// The event as its organisation, which has this handle, is sent it.
    pub fn message(self, handle: &str) -> Message {
        let Self { position, id, event_type, subject, from_state, to_state, occurred_at, .. } = self;
        let data = Step { organisation: handle.to_string(), position, subject, from_state, to_state };
        Message { id, r#type: event_type, timestamp: occurred_at, data }
    }
}

/// The events of an organisation after a cursor, oldest first: up to one page; and the position to go on from, which lies past
/// those that `types` leaves out, so that none is looked through again. For its members only.
///
/// # Errors
/// `NotFound`, `Forbidden`; `Invalid`, naming the parameter; `Gone` when what comes after the cursor is no longer kept.
pub fn events(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    types: &[String],
    page: &PageQuery,
) -> Result<(Vec<Event>, i64)> {
    let organisation = identity::for_member(c, caller, handle, &[])?;
    check_types(types)?;
    let after = after(page)?;
    if page.cursor.is_some() {
        retention::require_kept(c, organisation.id, after)?;
    }
    let limit = page.limit()?;
    let found = queries::list_events(c, organisation.id, types, after, limit)?;
    let next = match found.last() {
        Some(last) if i64::try_from(found.len()).is_ok_and(|length| length >= limit) => last.position,
        _ => queries::find_last_position(c, organisation.id)?.unwrap_or(after).max(after),
    };
    Ok((found, next))
}

/// The position that a cursor names.
fn after(page: &PageQuery) -> Result<i64> {
    let position: i64 = page.after_number()?.unwrap_or(0);
    if position < 0 { Err(PageQuery::not_a_cursor()) } else { Ok(position) }
}

/// Refuses a filter that names too many types, or something that is not one.
fn check_types(types: &[String]) -> Result<()> {
    if types.len() > MOST_TYPES {
        return Err(Error::invalid("types", format!("these are {} types, and {MOST_TYPES} at most", types.len())));
    }
    types.iter().try_for_each(|text| audience::check_type(text))
}
