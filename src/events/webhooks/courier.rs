//! Couriers carry events to receivers.
//!
//! A courier takes a webhook that is due by putting it off: should it die on the way, another comes for it then. It
//! delivers a few events in a row, so that no receiver keeps it for long.

use std::time::Duration;

use reqwest::ClientBuilder;
use url::Url;

use super::secret::Secret;
use super::{ACTIVE, Attempt, DISABLED, Webhook, address, queries};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::events::{self, Event};
use crate::types::{AttemptId, Instant, WebhookId};
use crate::{history, identity, outgoing};

/// For how long a webhook is one courier's.
const TURN: Duration = Duration::from_secs(90);
/// The most events that one courier delivers in its turn.
const MOST_IN_A_TURN: usize = 5;
/// How long a receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often in a row an event may fail before its webhook is disabled: with the waits between, half a day to a day.
const MOST_FAILURES: i32 = 16;
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(6 * 60 * 60);

/// Takes a webhook that is due, if there is one.
pub async fn take(app: &App) -> Result<Option<Webhook>> {
    let now = app.clock.now();
    if app.db.read(move |c| Ok(queries::find_due(c, now)?)).await?.is_none() {
        return Ok(None);
    }
    let take = move |c: &mut Conn| {
        let due = queries::find_due(c, now)?;
        if let Some(webhook) = &due {
            queries::set_due_at(c, webhook.id, Some(now.plus(TURN)))?;
        }
        Ok(due)
    };
    app.db.write(take).await
}

/// Delivers what waits for a webhook that was taken: some events, until one fails.
pub async fn deliver(app: &App, mut webhook: Webhook) -> Result<()> {
    for _ in 0..MOST_IN_A_TURN {
        let Some(event) = next(app, &webhook).await? else {
            let (id, now) = (webhook.id, app.clock.now());
            return app.db.write(move |c| rest(c, id, now)).await;
        };
        let position = event.position;
        let attempt = attempt(app, &webhook, event).await?;
        let delivered = attempt.failure.is_none();
        let now = app.clock.now();
        let (id, from) = (webhook.id, webhook.position);
        app.db.write(move |c| note(c, id, (from, position), &attempt, now)).await?;
        if !delivered {
            return Ok(());
        }
        webhook.position = position;
    }
    let (id, now) = (webhook.id, app.clock.now());
    app.db.write(move |c| Ok(queries::set_due_at(c, id, Some(now)).map(drop)?)).await
}

async fn next(app: &App, webhook: &Webhook) -> Result<Option<Event>> {
    let webhook = webhook.clone();
    app.db.read(move |c| waiting(c, &webhook)).await
}

/// The first event that waits for a webhook.
fn waiting(c: &mut Conn, webhook: &Webhook) -> Result<Option<Event>> {
    let Webhook { organisation_id, types, position, .. } = webhook;
    Ok(events::queries::list_events(c, *organisation_id, &types.0, *position, 1)?.into_iter().next())
}

/// Leaves a webhook without a due time until its organisation has a new event, unless one came meanwhile. What the webhook's types
/// leave out counts as delivered, and is not looked at again.
fn rest(c: &mut Conn, id: WebhookId, now: Instant) -> Result<()> {
    let Some(webhook) = queries::find_webhook(c, id)? else { return Ok(()) };
    if waiting(c, &webhook)?.is_some() {
        queries::set_due_at(c, id, Some(now))?;
        return Ok(());
    }
    let last = events::queries::find_last_position(c, webhook.organisation_id)?.unwrap_or(webhook.position);
    queries::set_delivered(c, id, webhook.position, last)?;
    queries::set_due_at(c, id, None)?;
    Ok(())
}

/// Records an attempt, and moves the webhook on, puts it off or disables it.
fn note(c: &mut Conn, id: WebhookId, (from, to): (i64, i64), attempt: &Attempt, now: Instant) -> Result<()> {
    let Some(webhook) = queries::find_webhook(c, id)? else {
        return Ok(()); // removed meanwhile
    };
    queries::insert_attempt(c, attempt)?;
    let Some(failure) = &attempt.failure else {
        queries::set_delivered(c, id, from, to)?;
        return Ok(());
    };
    if webhook.disabled_at.is_some() {
        return Ok(()); // by another courier, which came when this one's turn was over
    }
    let failures = webhook.failures.saturating_add(1);
    if failures < MOST_FAILURES {
        queries::set_failed(c, id, failures, now.plus(wait(failures, rand::random_range(0.5..1.0))))?;
        return Ok(());
    }
    let because = format!("{failures} attempts in a row failed; the last one: {failure}");
    queries::set_disabled(c, id, failures, &because, now)?;
    history::record(c, id, Some(ACTIVE), DISABLED, "exchange", &because, now)
}

/// How long to wait after so many failures: twice as long each time up to six hours, times a random factor.
fn wait(failures: i32, jitter: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(20);
    (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT).mul_f64(jitter)
}

async fn attempt(app: &App, webhook: &Webhook, event: Event) -> Result<Attempt> {
    let (now, event_id, owner) = (app.clock.now(), event.id, webhook.organisation_id);
    let handle = app.db.read(move |c| identity::organisation(c, owner)).await?.handle;
    let body = serde_json::to_string(&event.message(&handle))?;
    let (timestamp, id) = (now.unix().0, event_id.to_string());
    let mut signatures = Secret::derive(&app.keys, webhook.id, webhook.generation)?.sign(&id, timestamp, &body)?;
    if webhook.overlap_until.is_some_and(|until| now < until) {
        let before = Secret::derive(&app.keys, webhook.id, webhook.generation.saturating_sub(1))?;
        signatures = format!("{signatures} {}", before.sign(&id, timestamp, &body)?);
    }
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures),
        ("content-type", "application/json".to_string()),
    ];
    let (status, failure) = match send(&webhook.url, app.config.webhook_private_networks, headers, body).await {
        Ok(status @ 200..=299) => (Some(status), None),
        Ok(status) => (Some(status), Some(format!("the receiver answered {status}"))),
        Err(error) => (None, Some(error.detail)),
    };
    let (id, status) = (AttemptId::new(now), status.map(i32::from));
    Ok(Attempt { id, webhook_id: webhook.id, event_id, status, failure, attempted_at: now })
}

/// Posts to the addresses that the URL leads to now, each checked, and gives the status of the answer.
async fn send(url: &str, private_networks: bool, headers: [(&str, String); 4], body: String) -> Result<u16> {
    let url: Url = address::parse(url, private_networks)?;
    let addresses = address::resolve(&url, private_networks).await?;
    let unreachable = |error: reqwest::Error| {
        let why = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        Error::new(Kind::Unavailable, format!("the receiver {why}")).because(error.without_url())
    };
    let host = url.host_str().unwrap_or_default();
    let pinned = |client: ClientBuilder| client.no_proxy().timeout(PATIENCE).resolve_to_addrs(host, &addresses);
    let http = outgoing::client(pinned)?;
    let request = headers.into_iter().fold(http.post(url), |request, (name, value)| request.header(name, value));
    Ok(request.body(body).send().await.map_err(unreachable)?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::db::Db;
    use crate::types::{Json, OrganisationId, TransitionId};

    #[tokio::test]
    async fn a_courier_whose_turn_is_over_leaves_alone_a_webhook_that_another_disabled() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        let now = Instant::from_unix_micros(1_000_000_000);
        let webhook = Webhook {
            id: WebhookId::new(now),
            organisation_id: OrganisationId::new(now),
            url: "https://receiver.test/".to_string(),
            types: Json(Vec::new()),
            generation: 1,
            overlap_until: None,
            position: 0,
            failures: MOST_FAILURES,
            due_at: None,
            disabled_at: Some(now),
            disabled_because: Some("16 attempts in a row failed".to_string()),
            created_at: now,
        };
        let event_id = TransitionId::new(now);
        let failure = Some("the receiver did not answer in time".to_string());
        let attempt = Attempt {
            id: AttemptId::new(now),
            webhook_id: webhook.id,
            event_id,
            status: None,
            failure,
            attempted_at: now,
        };
        let referred_to = format!(
            "INSERT INTO organisations (id, handle, legal_name, registration_number, country, affiliations, state, created_at) \
             VALUES ('{}', 'poetry-house', 'Poetry House', '1', 'CN', '[]', 'registered', '2026-01-01 00:00:00'); \
             INSERT INTO transitions (id, subject, to_state, actor, reason, at) \
             VALUES ('{event_id}', 'any', 'any', 'any', 'any', '2026-01-01 00:00:00')",
            webhook.organisation_id
        );
        let (id, later) = (webhook.id, now.plus(TURN));
        let outcome = db.write(move |c| {
            c.batch_execute(&referred_to)?;
            queries::insert_webhook(c, &webhook)?;
            note(c, id, (0, 1), &attempt, later)?;
            queries::set_due_at(c, id, Some(later))?;
            Ok((
                queries::find_webhook(c, id)?,
                queries::list_attempts(c, id, "", 2)?.len(),
                history::list(c, id)?.len(),
            ))
        });
        let (left, attempts, steps) = outcome.await.unwrap();
        let left = left.unwrap();
        assert_eq!((left.failures, left.due_at, left.disabled_at), (MOST_FAILURES, None, Some(now)));
        assert_eq!((attempts, steps), (1, 0), "the attempt is on record, and the webhook was not disabled again");
    }

    #[test]
    fn waits_double_up_to_six_hours_and_last_at_least_eight_in_all() {
        assert_eq!(wait(1, 1.0), FIRST_WAIT);
        assert_eq!(wait(4, 1.0), FIRST_WAIT * 8);
        assert_eq!(wait(i32::MAX, 1.0), LONGEST_WAIT);
        let least: Duration = (1..MOST_FAILURES).map(|failures| wait(failures, 0.5)).sum();
        assert!(least > Duration::from_secs(8 * 60 * 60), "{least:?}");
    }
}
