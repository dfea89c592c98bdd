//! Webhooks: a verified organisation's events, sent to an address of its own, signed as [Standard Webhooks] have it.
//!
//! A webhook remembers how far its receiver has come. A [courier] sends what comes after, in order, one event at a time,
//! and tries again, later each time, what was not taken; a receiver that refuses for too long is disabled until an admin
//! resumes it, from wherever in the past.
//!
//! Invariant: an event counts as delivered only after its receiver answered 2xx: each is sent at least once, in order.
//! Invariant: a request leaves for a checked address only, follows no redirect, and reads nothing of the answer but its
//! status.
//!
//! [Standard Webhooks]: https://www.standardwebhooks.com/

mod address;
pub mod courier;
mod queries;
pub mod routes;
mod secret;

use std::time::Duration;

use self::secret::Secret;
use super::retention::AT_ONCE;
use crate::app::App;
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Organisation, Role};
use crate::keys::ExchangeKeys;
use crate::types::{AttemptId, Instant, Json, OrganisationId, PageQuery, TransitionId, WebhookId, kind};

/// The most webhooks that an organisation may have.
const MOST_WEBHOOKS: i64 = 10;
/// The longest that a replaced secret may go on signing.
const LONGEST_OVERLAP_HOURS: u64 = 7 * 24;
const ADMINS: &[Role] = &[Role::Admin];
const ACTIVE: &str = "active";
const DISABLED: &str = "disabled";

/// Where an organisation is sent its events.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::webhooks, check_for_backend(MultiBackend))]
pub struct Webhook {
    /// Its identifier.
    pub id: WebhookId,
    /// Whose events.
    pub organisation_id: OrganisationId,
    /// Where they go.
    pub url: String,
    /// Which types; all, when there are none.
    pub types: Json<Vec<String>>,
    /// Which of its secrets signs, from 1 on.
    pub generation: i32,
    /// Until when the secret before signs, too.
    pub overlap_until: Option<Instant>,
    /// The last of the organisation's events that was delivered.
    pub position: i64,
    /// How often delivery of the next event has failed in a row.
    pub failures: i32,
    /// When a courier comes next; null while nothing waits.
    pub due_at: Option<Instant>,
    /// Since when nothing is sent any more.
    pub disabled_at: Option<Instant>,
    /// Why.
    pub disabled_because: Option<String>,
    /// When it was made.
    pub created_at: Instant,
}

/// One try to deliver an event.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::webhook_attempts, check_for_backend(MultiBackend))]
pub struct Attempt {
    /// Its identifier.
    pub id: AttemptId,
    /// To which webhook.
    pub webhook_id: WebhookId,
    /// Which event.
    pub event_id: TransitionId,
    /// What the receiver answered, if it did.
    pub status: Option<i32>,
    /// Why it does not count as delivered.
    pub failure: Option<String>,
    /// When.
    pub attempted_at: Instant,
}

/// Makes a webhook that is sent what happens from now on, and gives its secret, this once. For admins of verified organisations
/// only: the exchange sends no requests for strangers.
///
/// # Errors
/// `NotFound`, `Forbidden`; `Invalid`, naming the field; `WrongState` when there are too many, or nobody has verified it.
async fn register(
    app: &App,
    caller: Caller,
    handle: String,
    url: String,
    types: Vec<String>,
) -> Result<(Webhook, Secret)> {
    let (private, now) = (app.config.webhook_private_networks, app.clock.now());
    let (asker, whose) = (caller.clone(), handle.clone());
    let may_have = move |c: &mut Conn| identity::require_verified(&identity::for_member(c, &asker, &whose, ADMINS)?);
    app.db.read(may_have).await?;
    super::check_types(&types)?;
    let url = address::parse(&url, private)?;
    address::resolve(&url, private).await?;
    let keys = app.keys.clone();
    let insert = move |c: &mut Conn| {
        let organisation = identity::for_standing_member(c, &caller, &handle, ADMINS, now)?;
        if queries::count_webhooks(c, organisation.id)? >= MOST_WEBHOOKS {
            return Err(Error::new(Kind::WrongState, format!("{handle} has {MOST_WEBHOOKS} webhooks"))
                .remedy("remove one of them first"));
        }
        let webhook = Webhook {
            id: WebhookId::new(now),
            organisation_id: organisation.id,
            url: url.to_string(),
            types: Json(types.clone()),
            generation: 1,
            overlap_until: None,
            position: super::queries::find_last_position(c, organisation.id)?.unwrap_or(0),
            failures: 0,
            due_at: None,
            disabled_at: None,
            disabled_because: None,
            created_at: now,
        };
        queries::insert_webhook(c, &webhook)?;
        history::record(c, webhook.id, None, ACTIVE, caller.user_id, "registered", now)?;
        let secret = Secret::derive(&keys, webhook.id, webhook.generation)?;
        Ok((webhook, secret))
    };
    app.db.write(insert).await
}

/// The webhooks of an organisation, oldest first, for its admins.
pub fn webhooks(c: &mut Conn, caller: &Caller, handle: &str) -> Result<Vec<Webhook>> {
    let organisation = identity::for_member(c, caller, handle, ADMINS)?;
    Ok(queries::list_webhooks(c, organisation.id, MOST_WEBHOOKS)?)
}

/// Removes a webhook with its log of attempts, a part of them at a time: other writes do not wait for all of it. Admins only.
async fn remove(app: &App, caller: &Caller, handle: &str, id: WebhookId) -> Result<Webhook> {
    let now = app.clock.now();
    loop {
        let (caller, handle) = (caller.clone(), handle.to_string());
        if let Some(removed) = app.db.write(move |c| remove_some(c, &caller, &handle, id, now)).await? {
            return Ok(removed);
        }
    }
}

/// Removes a part of a webhook's log of attempts, and the webhook itself with the last of them.
fn remove_some(c: &mut Conn, caller: &Caller, handle: &str, id: WebhookId, now: Instant) -> Result<Option<Webhook>> {
    let (_, webhook) = own(c, caller, handle, id, now)?;
    let some = queries::list_some_attempts(c, id, AT_ONCE)?;
    if i64::try_from(queries::delete_attempts(c, &some)?).unwrap_or(i64::MAX) >= AT_ONCE {
        return Ok(None);
    }
    queries::delete_webhook(c, id)?;
    history::record(c, id, Some(state(&webhook)), "removed", caller.user_id, "removed by its organisation", now)?;
    Ok(Some(webhook))
}

/// Gives a webhook a new secret; the one before signs beside it for some hours more, unless it leaked. Admins only.
fn rotate(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    handle: &str,
    (id, overlap_hours): (WebhookId, u64),
    now: Instant,
) -> Result<(Webhook, Secret)> {
    let (_, webhook) = own(c, caller, handle, id, now)?;
    if overlap_hours > LONGEST_OVERLAP_HOURS {
        let detail = format!("{overlap_hours} hours are more than {LONGEST_OVERLAP_HOURS}");
        return Err(Error::invalid("overlap_hours", detail).remedy("replace the old secret at the receiver sooner"));
    }
    let generation = webhook.generation.saturating_add(1);
    let overlap_until = now.plus(Duration::from_secs(overlap_hours * 60 * 60));
    queries::set_generation(c, id, generation, overlap_until)?;
    history::record(c, id, Some(state(&webhook)), state(&webhook), caller.user_id, "its secret was replaced", now)?;
    let secret = Secret::derive(keys, id, generation)?;
    Ok((Webhook { generation, overlap_until: Some(overlap_until), ..webhook }, secret))
}

/// Sends again, from an event on or where it stopped, and enables a webhook that was disabled. Admins only.
pub fn resume(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    (id, cursor): (WebhookId, Option<&str>),
    now: Instant,
) -> Result<Webhook> {
    let (organisation, webhook) = own(c, caller, handle, id, now)?;
    let last = super::queries::find_last_position(c, organisation.id)?.unwrap_or(0);
    let page = PageQuery { cursor: cursor.map(str::to_string), limit: None };
    let position = if cursor.is_some() { super::after(&page)? } else { webhook.position };
    if position > last {
        return Err(Error::invalid(
            "cursor",
            format!("{handle} has {last} events, and this would begin after {position}"),
        )
        .remedy("send the position of an event: what comes after it is sent again"));
    }
    super::retention::require_kept(c, organisation.id, position)?;
    queries::set_resumed(c, id, position, now)?;
    history::record(c, id, Some(state(&webhook)), ACTIVE, caller.user_id, "resumed by its organisation", now)?;
    Ok(Webhook { position, failures: 0, due_at: Some(now), disabled_at: None, disabled_because: None, ..webhook })
}

/// The tries to deliver to a webhook, oldest first: up to one more than a page. Admins only.
pub fn attempts(c: &mut Conn, caller: &Caller, handle: &str, id: WebhookId, page: &PageQuery) -> Result<Vec<Attempt>> {
    let organisation = identity::for_member(c, caller, handle, ADMINS)?;
    find(c, organisation.id, id)?;
    Ok(queries::list_attempts(c, id, page.after_id::<kind::Attempt>()?, page.limit()?.saturating_add(1))?)
}

/// Makes the idle webhooks of organisations that have a new event due for a courier.
pub(super) fn wake(c: &mut Conn, organisations: &[OrganisationId], now: Instant) -> Result<()> {
    queries::set_due(c, organisations, now)?;
    Ok(())
}

/// How many webhooks are due and not taken by a courier.
///
/// # Errors
/// Those of the database.
pub fn waiting(c: &mut Conn, now: Instant) -> Result<i64> {
    Ok(queries::count_due(c, now)?)
}

/// The position of the enabled webhook of an organisation that is furthest behind; none when no webhook is enabled.
pub(super) fn furthest_behind(c: &mut Conn, organisation_id: OrganisationId) -> Result<Option<i64>> {
    Ok(queries::find_least_position(c, organisation_id)?)
}

/// Removes tries to deliver from before a time, at most so many, and tells how many it removed.
pub(super) fn remove_attempts(c: &mut Conn, before: Instant, limit: i64) -> Result<i64> {
    let old = queries::list_attempts_before(c, AttemptId::first_at(before), limit)?;
    queries::delete_attempts(c, &old)?;
    Ok(i64::try_from(old.len()).unwrap_or(i64::MAX))
}

/// The organisation whose webhook this is.
pub(super) fn owner(c: &mut Conn, id: WebhookId) -> Result<OrganisationId> {
    Ok(queries::find_webhook(c, id)?.ok_or_else(|| unknown(id))?.organisation_id)
}

/// A webhook with its organisation, for an admin who changes it now.
fn own(c: &mut Conn, caller: &Caller, handle: &str, id: WebhookId, now: Instant) -> Result<(Organisation, Webhook)> {
    let organisation = identity::for_standing_member(c, caller, handle, ADMINS, now)?;
    let webhook = find(c, organisation.id, id)?;
    Ok((organisation, webhook))
}

fn find(c: &mut Conn, owner: OrganisationId, id: WebhookId) -> Result<Webhook> {
    queries::find_webhook(c, id)?.filter(|webhook| webhook.organisation_id == owner).ok_or_else(|| unknown(id))
}

fn state(webhook: &Webhook) -> &'static str {
    if webhook.disabled_at.is_some() { DISABLED } else { ACTIVE }
}

fn unknown(id: WebhookId) -> Error {
    Error::not_found(format!("webhook {id}"))
}
