//! `/healthz`, `/readyz` and `/metrics`.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, get};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::events::{dispatch, webhooks};
use crate::jobs::{self, sweep};
use crate::provenance::sequencer::{self, LogStatus};
use crate::types::Instant;

/// What is said of what is well.
const OK: &str = "ok";
/// A dependency that does not answer within this time counts as down.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// A log that has waited longer than this for its sequencer is stuck; so is an outbox for its dispatcher.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// Whether everything that the exchange depends on answers.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ok`, or `stopping`: it still answers requests for a while, and should be sent no more.
    instance: String,
    /// `ok`, or what is wrong.
    database: String,
    /// `ok`, or what is wrong.
    store: String,
    /// `ok`, or what is wrong.
    sequencer: String,
    /// `ok`, or what is wrong: whether organisations are notified of events.
    dispatcher: String,
}

/// Says that the process is alive.
#[utoipa::path(tag = "operations", security(()), responses((status = 200, description = "alive", body = String)))]
#[get("/healthz")]
pub(crate) async fn get_health() -> &'static str {
    "ok\n"
}

/// Says whether this instance is ready: it reaches the database, is not stopping, and the log can continue.
///
/// It also says whether the object store answers, and whether the log is extended and events are dispatched. These do not
/// make it a 503: other instances would have the same problem, and most requests need none of them.
#[utoipa::path(tag = "operations", security(()), responses(
    (status = 200, body = Readiness),
    (status = 503, body = Readiness, description = "something it needs is missing")))]
#[get("/readyz")]
pub(crate) async fn get_readiness(app: Data<App>) -> HttpResponse {
    let (store, work) = tokio::join!(in_time(app.store.check()), work(&app));
    let (database, sequencer, dispatcher) = match work {
        Ok(Work { sequencer, dispatcher, .. }) => (Ok(()), sequencer, dispatcher),
        Err(error) => (Err(error.for_another()), Err(error.for_another()), Err(error)),
    };
    let is_stopping = app.stopping.is_cancelled();
    let can_log = !sequencer.as_ref().is_err_and(|error| error.kind == Kind::Unverified);
    let is_ready = !is_stopping && database.is_ok() && can_log;
    let instance = if is_stopping { "stopping" } else { OK }.to_string();
    let [database, store, sequencer, dispatcher] = [database, store, sequencer, dispatcher].map(said);
    let checked = Readiness { instance, database, store, sequencer, dispatcher };
    if is_ready { HttpResponse::Ok().json(checked) } else { HttpResponse::ServiceUnavailable().json(checked) }
}

/// What is said of a part.
fn said(checked: Result<()>) -> String {
    checked.err().map_or_else(|| OK.to_string(), |error| error.to_string())
}

/// What a check gives, unless it takes too long.
async fn in_time<T>(check: impl Future<Output = Result<T>>) -> Result<T> {
    let too_late = || Error::new(Kind::Unavailable, format!("no answer within {} seconds", CHECK_LIMIT.as_secs()));
    tokio::time::timeout(CHECK_LIMIT, check).await.unwrap_or_else(|_| Err(too_late()))
}

/// What the database says of the work of the exchange: how much there is, and whether somebody does it.
struct Work {
    jobs: jobs::Count,
    log: LogStatus,
    webhooks_waiting: i64,
    swept_at: Option<Instant>,
    sequencer: Result<()>,
    dispatcher: Result<()>,
}

/// Fails when the database does not answer in time.
async fn work(app: &App) -> Result<Work> {
    let now = app.clock.now();
    let look = move |c: &mut Conn| {
        Ok(Work {
            jobs: jobs::count(c)?,
            log: sequencer::status(c)?,
            webhooks_waiting: webhooks::waiting(c, now)?,
            swept_at: sweep::last(c)?,
            sequencer: sequencer::check(c, WAIT_LIMIT, now),
            dispatcher: dispatch::check(c, WAIT_LIMIT, now),
        })
    };
    in_time(app.db.check(look)).await
}

/// Reports counters and gauges to Prometheus. What is counted in the database stays unchanged while that is unavailable
/// (`corpex_state{of="database_reached"}` is 0 then).
#[utoipa::path(tag = "operations", security(()), responses(
    (status = 200, description = "metrics in Prometheus text format", body = String, content_type = "text/plain")))]
#[get("/metrics")]
pub(crate) async fn get_metrics(app: Data<App>) -> Result<HttpResponse> {
    let (store, work) = tokio::join!(in_time(app.store.check()), work(&app));
    app.metrics.set("database_reached", i64::from(work.is_ok()));
    app.metrics.set("store_reached", i64::from(store.is_ok()));
    if let Ok(Work { jobs, log, webhooks_waiting, swept_at, sequencer, dispatcher }) = work {
        app.metrics.set("jobs_live", jobs.live);
        app.metrics.set("jobs_dead", jobs.dead);
        app.metrics.set("log_tree_size", gauge(log.tree_size.unwrap_or(0)));
        app.metrics.set("log_queued", gauge(log.queued));
        app.metrics.set("webhooks_waiting", webhooks_waiting);
        app.metrics.set("swept_at", gauge(swept_at.map_or(0, |at| at.unix().0)));
        app.metrics.set("sequencer_stuck", i64::from(sequencer.is_err()));
        app.metrics.set("dispatcher_stuck", i64::from(dispatcher.is_err()));
    }
    app.metrics.set("database_retries", gauge(app.db.retries()));
    app.metrics.set("database_writes_waiting", i64::try_from(app.db.waiting()).unwrap_or(i64::MAX));
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(app.metrics.render()?))
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
