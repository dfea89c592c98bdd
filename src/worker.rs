//! The background of an exchange: queued jobs, the sequencer of the transparency log, and the dispatcher of events.
//!
//! Any number of workers may run, in `corpex serve` and in `corpex worker`; leases keep them apart.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::app::App;
use crate::compliance::{self, takedowns};
use crate::error::{Error, Result};
use crate::events::webhooks::courier;
use crate::events::{dispatch, retention};
use crate::jobs::{self, Job, Lane, Leased};
use crate::leases::Claimant;
use crate::provenance::publication::Publisher;
use crate::provenance::sequencer;
use crate::{catalog, delivery, identity, ledger, market};

/// What works on jobs at once.
const LANES: [Lane; 2] = [Lane::Any, Lane::Short];
/// To how many webhooks one process sends at once.
const COURIERS: usize = 16;
/// How often an idle worker looks for work; the sequencer and the dispatcher let it gather for as long, and take it at once.
const IDLE: Duration = Duration::from_millis(100);
/// How often one looks for what time has ended: abandoned uploads, public notices, assessments, licences past their
/// term, orders past their deadline, offers past their window, idle negotiations, late recalls; and closes accounts and days of the audit trail.
const SWEEP: Duration = Duration::from_secs(10 * 60);
/// How long it waits after a failure of the database.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the log waits at most after failures that follow each other, twice as long each time: after each it reads again all
/// that the object store remembers, which fares no better for being asked often.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Works until `stop`; then hands the jobs in hand back, and returns.
///
/// # Errors
/// `Internal`, when a part of it ends before: the others have been stopped then.
pub async fn run(app: App, stop: CancellationToken) -> Result<()> {
    let app = App { db: app.db.for_background(), ..app };
    let (owner, stop) = (uuid::Uuid::now_v7().to_string(), stop.child_token());
    let (db, store, keys, policy) = (app.db.clone(), app.store.clone(), app.keys.clone(), app.log_policy.clone());
    let publisher = Publisher::new(db, store, keys, &app.config.log_origin, &owner, policy)?;
    let mut tasks = JoinSet::new();
    for (number, lane) in LANES.into_iter().enumerate() {
        tasks.spawn(work(app.clone(), format!("{owner}/{number}"), lane, stop.clone()));
    }
    tasks.spawn(sweep(app.clone(), stop.clone()));
    tasks.spawn(tell(app.clone(), owner.clone(), stop.clone()));
    tasks.spawn(send(app.clone(), stop.clone()));
    tasks.spawn(sequence(app, owner, publisher, stop.clone()));
    let mut worked = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(panic) = ended {
            worked = Err(Error::internal("a part of the worker panicked").because(panic));
            stop.cancel();
        }
    }
    worked
}

/// What each job does: the one place where jobs meet the domains.
async fn perform(app: &App, job: Job) -> Result<()> {
    match job {
        Job::VerifyUpload { upload_id } => catalog::verify_upload(app, upload_id).await,
        Job::SweepObject { storage_key } => catalog::sweep_object(app, &storage_key).await,
        Job::FlagConflicts { version_id } => compliance::flag_conflicts(app, version_id).await,
        Job::ExtendSubscription { entitlement_id } => delivery::subscriptions::catch_up(app, entitlement_id).await,
        Job::ExtendSubscriptions { listing_id } => delivery::subscriptions::extend(app, listing_id).await,
        Job::InspectVersion { version_id } => catalog::inspection::inspect_version(app, version_id).await,
        Job::ReviewListings { version_id } => market::review_listings(app, version_id).await,
        Job::FollowHold { version_id, cause, since } => delivery::follow_hold(app, version_id, cause, since).await,
        Job::IssueRecalls { takedown_id } => takedowns::recalls::issue_rest(app, takedown_id).await,
    }
}

async fn work(app: App, owner: String, lane: Lane, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let pause = match next(&app, &owner, lane).await {
            Ok(Some(leased)) => {
                run_one(&app, leased, &stop).await;
                continue;
            }
            Ok(None) => IDLE,
            Err(error) => {
                tracing::error!(?error, "the job queue cannot be read");
                PAUSE
            }
        };
        stop.run_until_cancelled(sleep(pause)).await;
    }
}

async fn next(app: &App, owner: &str, lane: Lane) -> Result<Option<Leased>> {
    let now = app.clock.now();
    if !app.db.read(move |c| jobs::is_any_due(c, lane, now)).await? {
        return Ok(None);
    }
    let owner = owner.to_string();
    app.db.write(move |c| jobs::lease(c, &owner, lane, now)).await
}

/// Runs a job while keeping its lease, and settles what became of it.
async fn run_one(app: &App, leased: Leased, stop: &CancellationToken) {
    // A task of its own, so that a job that panics fails alone. It ends with us when it is given up.
    let (whole, job) = (app.clone(), leased.job.clone());
    let span = tracing::info_span!("job", job = ?leased.job, attempts = leased.attempts);
    let task = AbortOnDropHandle::new(tokio::spawn(async move { perform(&whole, job).await }.instrument(span)));
    let performed = tokio::select! {
        outcome = task => Some(outcome.unwrap_or_else(|panic| Err(Error::internal("a job panicked").because(panic)))),
        () = keep_lease(app, &leased) => None,
        () = stop.cancelled() => None,
    };
    let now = app.clock.now();
    let settled = match performed {
        Some(Ok(())) => app.db.write(move |c| jobs::finish(c, &leased).map(drop)).await,
        Some(Err(error)) => {
            let then = if leased.is_set_aside_by(&error) { "was set aside" } else { "will be tried again" };
            tracing::warn!(?error, job = ?leased.job, attempts = leased.attempts, "a job failed and {then}");
            app.db.write(move |c| jobs::back_off(c, &leased, &error, now)).await
        }
        None => app.db.write(move |c| jobs::hand_back(c, &leased, now)).await,
    };
    if let Err(error) = settled {
        tracing::error!(?error, "a job's outcome was not recorded; its lease will lapse and it will run again");
    }
}

/// Renews the lease for as long as this is ours; returns when it was lost.
async fn keep_lease(app: &App, leased: &Leased) {
    loop {
        sleep(jobs::LEASE / 4).await;
        let (job, now) = (leased.clone(), app.clock.now());
        match app.db.write(move |c| jobs::renew(c, &job, now)).await {
            Ok(true) | Err(_) => {}
            Ok(false) => return,
        }
    }
}

/// Extends the log and publishes it. At the end another instance need not wait for the lease to lapse.
async fn sequence(app: App, owner: String, mut publisher: Publisher, stop: CancellationToken) {
    let mut after_failure = PAUSE;
    while !stop.is_cancelled() {
        let pause = match publisher.step(app.clock.now()).await {
            Ok(()) => {
                after_failure = PAUSE;
                IDLE
            }
            Err(error) => {
                tracing::error!(?error, "the log could not be extended");
                let pause = after_failure;
                after_failure = pause.saturating_mul(2).min(LONGEST_PAUSE);
                pause
            }
        };
        stop.run_until_cancelled(sleep(pause)).await;
    }
    if let Err(error) = app.db.write(move |c| sequencer::release(c, &owner)).await {
        tracing::warn!(?error, "the sequencer's lease was not given up; it will lapse");
    }
}

/// Tells organisations of the steps that concern them.
async fn tell(app: App, owner: String, stop: CancellationToken) {
    let claimant = Claimant::new(&owner);
    while !stop.is_cancelled() {
        let pause = match dispatch::step(&app, &claimant).await {
            Ok(true) => continue,
            Ok(false) => IDLE,
            Err(error) => {
                tracing::error!(?error, "events could not be dispatched");
                PAUSE
            }
        };
        stop.run_until_cancelled(sleep(pause)).await;
    }
    if let Err(error) = app.db.write(move |c| dispatch::release(c, &owner)).await {
        tracing::warn!(?error, "the dispatcher's lease was not given up; it will lapse");
    }
}

/// Sends events to webhooks, to several at once, so that a slow receiver keeps nobody waiting but itself.
async fn send(app: App, stop: CancellationToken) {
    let mut couriers = JoinSet::new();
    while !stop.is_cancelled() {
        while couriers.try_join_next().is_some() {}
        let taken = if couriers.len() < COURIERS { courier::take(&app).await } else { Ok(None) };
        let pause = match taken {
            Ok(Some(webhook)) => {
                let app = app.clone();
                couriers.spawn(async move {
                    if let Err(error) = courier::deliver(&app, webhook).await {
                        tracing::error!(?error, "a courier failed; another will come for its webhook");
                    }
                });
                continue;
            }
            Ok(None) => IDLE,
            Err(error) => {
                tracing::error!(?error, "the webhooks that are due cannot be read");
                PAUSE
            }
        };
        stop.run_until_cancelled(sleep(pause)).await;
    }
}

/// Ends what has had its time, now and then, and notes when all of it was gone through.
async fn sweep(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let swept = [
            is_done("abandoned uploads could not be swept", catalog::sweep_stale_uploads(&app).await),
            is_done(
                "listings whose notice or assessment ended could not be moved on",
                market::review_due_listings(&app).await,
            ),
            is_done("licences past their term could not be moved on", delivery::expire_ended(&app).await),
            is_done("the holders of licences that end soon could not be told", delivery::announce_ends(&app).await),
            is_done("orders past their deadline could not be moved on", delivery::trades::pass_deadlines(&app).await),
            is_done("days of the audit trail could not be closed", identity::close_days(&app).await),
            is_done("accounts could not be closed", ledger::close_accounts(&app).await),
            is_done("offers past their window could not be ended", market::offers::expire_ended(&app).await),
            is_done("idle negotiations could not be terminated", market::negotiation::expire_idle(&app).await),
            is_done("late recalls could not be marked", takedowns::recalls::mark_overdue(&app).await),
            is_done("events that were kept long enough could not be removed", retention::remove_old(&app).await),
        ];
        if swept.into_iter().all(|done| done) {
            let now = app.clock.now();
            is_done(
                "that everything was swept could not be noted",
                app.db.write(move |c| jobs::sweep::note(c, now)).await,
            );
        }
        stop.run_until_cancelled(sleep(SWEEP)).await;
    }
}

/// Whether a sweep was done. What it failed with is logged, and keeps no other.
fn is_done<T>(failure: &str, swept: Result<T>) -> bool {
    swept.inspect_err(|error| tracing::error!(?error, "{failure}")).is_ok()
}
