//! The `webhooks` and `webhook_attempts` tables.

use diesel::prelude::*;

use super::{Attempt, Webhook};
use crate::db::{Among as _, Conn};
use crate::schema::{webhook_attempts, webhooks};
use crate::types::{AttemptId, Instant, OrganisationId, WebhookId};

pub(super) fn insert_webhook(c: &mut Conn, webhook: &Webhook) -> QueryResult<usize> {
    diesel::insert_into(webhooks::table).values(webhook).execute(c)
}

pub(super) fn find_webhook(c: &mut Conn, id: WebhookId) -> QueryResult<Option<Webhook>> {
    webhooks::table.find(id).select(Webhook::as_select()).first(c).optional()
}

pub(super) fn list_webhooks(c: &mut Conn, owner: OrganisationId, limit: i64) -> QueryResult<Vec<Webhook>> {
    webhooks::table
        .filter(webhooks::organisation_id.eq(owner))
        .order(webhooks::id)
        .limit(limit)
        .select(Webhook::as_select())
        .load(c)
}

pub(super) fn count_webhooks(c: &mut Conn, owner: OrganisationId) -> QueryResult<i64> {
    webhooks::table.filter(webhooks::organisation_id.eq(owner)).count().get_result(c)
}

pub(super) fn delete_webhook(c: &mut Conn, id: WebhookId) -> QueryResult<usize> {
    diesel::delete(webhooks::table.find(id)).execute(c)
}

pub(super) fn set_generation(c: &mut Conn, id: WebhookId, generation: i32, until: Instant) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id))
        .set((webhooks::generation.eq(generation), webhooks::overlap_until.eq(until)))
        .execute(c)
}

pub(super) fn set_resumed(c: &mut Conn, id: WebhookId, position: i64, now: Instant) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id))
        .set((
            webhooks::position.eq(position),
            webhooks::failures.eq(0),
            webhooks::due_at.eq(now),
            webhooks::disabled_at.eq(None::<Instant>),
            webhooks::disabled_because.eq(None::<String>),
        ))
        .execute(c)
}

/// Makes the webhooks of these organisations that wait for nothing due now.
pub(super) fn set_due(c: &mut Conn, owners: &[OrganisationId], now: Instant) -> QueryResult<usize> {
    let idle = webhooks::due_at.is_null().and(webhooks::disabled_at.is_null());
    diesel::update(webhooks::table.filter(webhooks::organisation_id.among(owners).and(idle)))
        .set(webhooks::due_at.eq(now))
        .execute(c)
}

pub(super) fn find_due(c: &mut Conn, now: Instant) -> QueryResult<Option<Webhook>> {
    webhooks::table
        .filter(webhooks::due_at.assume_not_null().le(now))
        .order((webhooks::due_at, webhooks::id))
        .select(Webhook::as_select())
        .first(c)
        .optional()
}

pub(super) fn count_due(c: &mut Conn, now: Instant) -> QueryResult<i64> {
    webhooks::table.filter(webhooks::due_at.assume_not_null().le(now)).count().get_result(c)
}

/// How far the enabled webhook that is furthest behind has come.
pub(super) fn find_least_position(c: &mut Conn, owner: OrganisationId) -> QueryResult<Option<i64>> {
    webhooks::table
        .filter(webhooks::organisation_id.eq(owner).and(webhooks::disabled_at.is_null()))
        .order(webhooks::position)
        .select(webhooks::position)
        .first(c)
        .optional()
}

/// When a courier comes next for a webhook; a disabled one waits for none.
pub(super) fn set_due_at(c: &mut Conn, id: WebhookId, due_at: Option<Instant>) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id).filter(webhooks::disabled_at.is_null()))
        .set(webhooks::due_at.eq(due_at))
        .execute(c)
}

/// Moves a webhook on, if it is still where it was read.
pub(super) fn set_delivered(c: &mut Conn, id: WebhookId, from: i64, to: i64) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id).filter(webhooks::position.eq(from)))
        .set((webhooks::position.eq(to), webhooks::failures.eq(0)))
        .execute(c)
}

pub(super) fn set_failed(c: &mut Conn, id: WebhookId, failures: i32, due_at: Instant) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id))
        .set((webhooks::failures.eq(failures), webhooks::due_at.eq(due_at)))
        .execute(c)
}

pub(super) fn set_disabled(
    c: &mut Conn,
    id: WebhookId,
    failures: i32,
    because: &str,
    now: Instant,
) -> QueryResult<usize> {
    diesel::update(webhooks::table.find(id))
        .set((
            webhooks::failures.eq(failures),
            webhooks::due_at.eq(None::<Instant>),
            webhooks::disabled_at.eq(now),
            webhooks::disabled_because.eq(because),
        ))
        .execute(c)
}

pub(super) fn insert_attempt(c: &mut Conn, attempt: &Attempt) -> QueryResult<usize> {
    diesel::insert_into(webhook_attempts::table).values(attempt).execute(c)
}

pub(super) fn list_attempts(c: &mut Conn, id: WebhookId, after: &str, limit: i64) -> QueryResult<Vec<Attempt>> {
    webhook_attempts::table
        .filter(webhook_attempts::webhook_id.eq(id))
        .filter(webhook_attempts::id.gt(after))
        .order(webhook_attempts::id)
        .limit(limit)
        .select(Attempt::as_select())
        .load(c)
}

/// Up to `limit` of them.
pub(super) fn list_some_attempts(c: &mut Conn, id: WebhookId, limit: i64) -> QueryResult<Vec<AttemptId>> {
    webhook_attempts::table
        .filter(webhook_attempts::webhook_id.eq(id))
        .limit(limit)
        .select(webhook_attempts::id)
        .load(c)
}

pub(super) fn list_attempts_before(c: &mut Conn, before: AttemptId, limit: i64) -> QueryResult<Vec<AttemptId>> {
    webhook_attempts::table
        .filter(webhook_attempts::id.lt(before))
        .order(webhook_attempts::id)
        .limit(limit)
        .select(webhook_attempts::id)
        .load(c)
}

pub(super) fn delete_attempts(c: &mut Conn, ids: &[AttemptId]) -> QueryResult<usize> {
    diesel::delete(webhook_attempts::table.filter(webhook_attempts::id.among(ids))).execute(c)
}
