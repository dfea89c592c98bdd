//! The queue of work that a transaction promised.
//!
//! [`enqueue`] inserts a job in the caller's transaction, so the work exists exactly when its cause does. A
//! worker leases a job, runs it and [`finish`]es it; a worker that dies loses its lease, and another takes
//! the job. Jobs therefore run at least once, and must be idempotent. One that fails again and again, or ends
//! every worker that begins it, is set aside for a person to look at; one that fails because something it needs is away waits
//! for that.
//!
//! While versions change, a program may meet jobs of a kind that only a newer one knows: it leaves them to that one.

mod queries;
pub mod sweep;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::types::{EntitlementId, Instant, JobId, Json, ListingId, TakedownId, UploadId, VersionId};

/// A job that failed this often is set aside for a person to look at.
const MAX_ATTEMPTS: i32 = 12;
/// The most attempts that count of those that failed because something was away.
const MOST_AWAY: i32 = MAX_ATTEMPTS / 2;
/// So is one that was begun this often, and neither done nor failed: it ends whoever runs it.
const MOST_BEGUN: i32 = 100;
/// Behind how many jobs that it does not know a program looks for one that it does.
const MOST_UNKNOWN: i64 = 100;
/// How long a worker holds a job before another may take it.
pub const LEASE: Duration = Duration::from_secs(10);

/// Everything that can be queued: data only. [`crate::worker`] says what each one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Put an upload together, read it back and compare it with what was declared.
    VerifyUpload {
        /// The upload whose parts are complete.
        upload_id: UploadId,
    },
    /// Remove an object of the store that nothing refers to.
    SweepObject {
        /// Where it lies.
        storage_key: String,
    },
    /// Look for bytes of a sealed version that another organisation sealed too.
    FlagConflicts {
        /// The version.
        version_id: VersionId,
    },
    /// Extend a subscription that was just bought to what is newer and on the board.
    ExtendSubscription {
        /// The licence.
        entitlement_id: EntitlementId,
    },
    /// Extend the subscriptions to a dataset to the version that came on the board.
    ExtendSubscriptions {
        /// Its listing.
        listing_id: ListingId,
    },
    /// Read a sealed version, and draw its sample.
    InspectVersion {
        /// The version.
        version_id: VersionId,
    },
    /// Bring the listings of a version that was assessed to where they belong.
    ReviewListings {
        /// The version.
        version_id: VersionId,
    },
    /// Bring the licences to a version whose hold began or ended to where they belong.
    FollowHold {
        /// The version.
        version_id: VersionId,
        /// The claim because of which it was held.
        cause: TakedownId,
        /// When the hold began or ended.
        since: Instant,
    },
    /// Issue the recalls of a case that are not issued yet.
    IssueRecalls {
        /// The case.
        takedown_id: TakedownId,
    },
}

impl Job {
    /// Whether it may take hours: it reads a whole corpus.
    fn is_long(&self) -> bool {
        matches!(self, Self::InspectVersion { .. })
    }
}

/// Which jobs a lane of a worker takes. However many long ones wait, one lane is there for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Every job.
    Any,
    /// All but those that may take hours.
    Short,
}

impl Lane {
    /// Whether what it takes may take hours: each answer that there is.
    fn lengths(self) -> &'static [bool] {
        match self {
            Self::Any => &[false, true],
            Self::Short => &[false],
        }
    }
}

/// A job in a worker's hands.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Which job.
    pub id: JobId,
    /// What to do.
    pub job: Job,
    /// How often it was tried, this time included.
    pub attempts: i32,
    owner: String,
}

impl Leased {
    /// Whether the job is set aside when it fails with this error.
    pub fn is_set_aside_by(&self, error: &Error) -> bool {
        self.attempts_that_count(error) >= MAX_ATTEMPTS
    }

    /// How many attempts count once this one failed. However long something that a job needs is away, there are attempts left for
    /// what goes wrong when it is back.
    fn attempts_that_count(&self, error: &Error) -> i32 {
        match error.kind {
            Kind::Unavailable => self.attempts.min(MOST_AWAY),
            _ => self.attempts,
        }
    }
}

/// Queues a job in the caller's transaction, to run at `run_at` or later.
pub fn enqueue(c: &mut Conn, job: Job, run_at: Instant) -> Result<JobId> {
    let id = JobId::new(run_at);
    let is_long = job.is_long();
    queries::insert_job(c, id, (&Json(job), is_long), run_at)?;
    Ok(id)
}

/// True if some job waits for this lane of a worker now.
pub fn is_any_due(c: &mut Conn, lane: Lane, now: Instant) -> Result<bool> {
    Ok(find_due(c, lane, now)?.is_some())
}

/// Takes the next job that is due for this lane, if there is one.
pub fn lease(c: &mut Conn, owner: &str, lane: Lane, now: Instant) -> Result<Option<Leased>> {
    let Some((id, job, attempts)) = find_due(c, lane, now)? else {
        return Ok(None);
    };
    let attempts = attempts + 1;
    queries::set_leased(c, id, owner, attempts, now.plus(LEASE))?;
    if attempts > MOST_BEGUN {
        queries::set_failed(c, id, owner, (attempts, true), "every worker that began it ended before it did", now)?;
        return Ok(None);
    }
    Ok(Some(Leased { id, job, attempts, owner: owner.to_string() }))
}

/// The oldest job that is due for this lane of those that this program knows, and how often it was tried.
fn find_due(c: &mut Conn, lane: Lane, now: Instant) -> Result<Option<(JobId, Job, i32)>> {
    let known = |due: Vec<(JobId, String, i32)>| {
        due.into_iter().find_map(|(id, payload, attempts)| Some((id, serde_json::from_str(&payload).ok()?, attempts)))
    };
    let first = queries::list_due_jobs(c, lane, now, 1)?;
    if first.is_empty() {
        return Ok(None);
    }
    match known(first) {
        Some(due) => Ok(Some(due)),
        None => Ok(known(queries::list_due_jobs(c, lane, now, MOST_UNKNOWN)?)),
    }
}

/// Extends the lease of a job that takes long. False if it was lost.
pub fn renew(c: &mut Conn, leased: &Leased, now: Instant) -> Result<bool> {
    Ok(queries::set_lease_end(c, leased.id, &leased.owner, now.plus(LEASE))? == 1)
}

/// Removes a job that is done. False if the lease was lost: somebody else has the job now.
pub fn finish(c: &mut Conn, leased: &Leased) -> Result<bool> {
    Ok(queries::delete_leased(c, leased.id, &leased.owner)? == 1)
}

/// Puts a failed job back for later, twice as long each time, or sets it aside when it failed too often.
pub fn back_off(c: &mut Conn, leased: &Leased, error: &Error, now: Instant) -> Result<()> {
    let (attempts, dead) = (leased.attempts_that_count(error), leased.is_set_aside_by(error));
    let wait = Duration::from_millis(500 << attempts.clamp(0, 12));
    queries::set_failed(c, leased.id, &leased.owner, (attempts, dead), &error.to_string(), now.plus(wait))?;
    Ok(())
}

/// Hands a job back untouched, at a graceful stop.
pub fn hand_back(c: &mut Conn, leased: &Leased, now: Instant) -> Result<()> {
    queries::set_ready(c, leased.id, &leased.owner, leased.attempts - 1, now)?;
    Ok(())
}

/// How many jobs wait or run, and how many were set aside.
pub fn count(c: &mut Conn) -> Result<Count> {
    Ok(Count { live: queries::count_live(c)?, dead: queries::count_dead(c)? })
}

/// The jobs that were set aside after too many failures, with what the last one failed with; at most 1,000.
///
/// # Errors
/// Those of the database.
pub fn set_aside(c: &mut Conn) -> Result<Vec<(JobId, Job, String)>> {
    Ok(queries::list_dead(c)?.into_iter().map(|(id, job, error)| (id, job.0, error.unwrap_or_default())).collect())
}

/// Whether this object waits to be removed.
///
/// # Errors
/// Those of the database.
pub fn will_sweep(c: &mut Conn, storage_key: &str) -> Result<bool> {
    Ok(queries::is_queued(c, &Json(Job::SweepObject { storage_key: storage_key.to_string() }))?)
}

/// The size of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Waiting or leased.
    pub live: i64,
    /// Set aside after too many failures.
    pub dead: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::types::DAY;

    async fn empty() -> (tempfile::TempDir, Db, Instant) {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        (folder, db, Instant::from_unix_micros(1_800_000_000_000_000))
    }

    #[tokio::test]
    async fn a_job_of_a_newer_version_is_left_to_it_and_keeps_nobody_from_the_others() {
        let (_folder, db, now) = empty().await;
        let (id, then) = (JobId::new(now), "'2026-01-01 00:00:00.000000'");
        let newer = format!(
            "INSERT INTO jobs (id, payload, is_long, state, run_at, attempts, created_at) \
             VALUES ('{id}', '{{\"job\": \"not_known_yet\"}}', FALSE, 'ready', {then}, 0, {then})"
        );
        let known = Job::SweepObject { storage_key: "objects/00/none".to_string() };
        let job = known.clone();
        db.write(move |c| {
            diesel::connection::SimpleConnection::batch_execute(c, &newer)?;
            enqueue(c, job.clone(), now)
        })
        .await
        .unwrap();
        let take = async || db.write(move |c| lease(c, "worker", Lane::Any, now)).await.unwrap().map(|job| job.job);
        assert_eq!(take().await, Some(known));
        assert_eq!(take().await, None);
        assert_eq!(db.read(count).await.unwrap().live, 2);
    }

    #[tokio::test]
    async fn a_job_that_ends_whoever_runs_it_is_set_aside_at_last() {
        let (_folder, db, now) = empty().await;
        let job = Job::SweepObject { storage_key: "objects/00/none".to_string() };
        let queued = job.clone();
        db.write(move |c| enqueue(c, queued.clone(), now)).await.unwrap();
        let begun = move |c: &mut Conn| {
            let mut begun = 0;
            // Each worker is gone when the next one looks.
            while lease(c, "worker", Lane::Any, now.plus(LEASE * 2 * (begun + 1)))?.is_some() {
                begun += 1;
            }
            Ok(begun)
        };
        assert_eq!(db.write(begun).await.unwrap(), MOST_BEGUN.unsigned_abs());
        let [(_, aside, why)]: [_; 1] = db.read(set_aside).await.unwrap().try_into().unwrap();
        assert_eq!((aside, why.as_str()), (job, "every worker that began it ended before it did"));
    }

    #[tokio::test]
    async fn a_job_that_fails_while_something_is_away_is_not_set_aside_however_long_that_lasts() {
        let (_folder, db, now) = empty().await;
        let job = Job::SweepObject { storage_key: "objects/00/none".to_string() };
        db.write(move |c| enqueue(c, job.clone(), now)).await.unwrap();
        let fails = async |kind: Kind, times: i32, apart: Duration, from: Instant| {
            let fail = move |c: &mut Conn| {
                let mut at = from;
                for _ in 0..times {
                    let leased = lease(c, "worker", Lane::Any, at)?.ok_or_else(|| Error::internal("none is due"))?;
                    back_off(c, &leased, &Error::new(kind, "it failed"), at)?;
                    at = at.plus(apart);
                }
                Ok(at)
            };
            db.write(fail).await.unwrap()
        };
        let then = fails(Kind::Unavailable, MOST_BEGUN * 2, Duration::from_secs(32), now).await;
        let then = fails(Kind::Internal, MAX_ATTEMPTS - MOST_AWAY - 1, DAY, then).await;
        assert_eq!(db.read(count).await.unwrap().dead, 0);
        fails(Kind::Internal, 1, DAY, then).await;
        assert_eq!(db.read(count).await.unwrap().dead, 1, "it had failed often enough");
    }

    #[tokio::test]
    async fn a_job_whose_lease_lapsed_is_taken_again_in_its_turn() {
        let (_folder, db, now) = empty().await;
        let job = |key: &str| Job::SweepObject { storage_key: format!("objects/00/{key}") };
        let queued = [job("first"), job("second"), job("third")];
        let run_at = [now, now.plus(LEASE), now.plus(LEASE * 2)];
        db.write(move |c| queued.iter().zip(run_at).try_for_each(|(job, at)| enqueue(c, job.clone(), at).map(drop)))
            .await
            .unwrap();
        let take = async |at| db.write(move |c| lease(c, "worker", Lane::Any, at)).await.unwrap().map(|job| job.job);
        assert_eq!(take(now).await, Some(job("first")));
        assert_eq!(take(now).await, None);
        let lapsed = now.plus(LEASE * 2);
        assert_eq!(take(lapsed).await, Some(job("first")));
        assert_eq!(take(lapsed).await, Some(job("second")));
        assert_eq!(take(lapsed).await, Some(job("third")));
        assert_eq!(take(lapsed).await, None);
    }

    #[tokio::test]
    async fn whatever_long_jobs_wait_one_lane_is_there_for_the_others() {
        let (_folder, db, now) = empty().await;
        let long = Job::InspectVersion { version_id: VersionId::new(now) };
        let short = Job::SweepObject { storage_key: "objects/00/none".to_string() };
        let (first, second) = (long.clone(), short.clone());
        db.write(move |c| {
            enqueue(c, first.clone(), now)?;
            enqueue(c, second.clone(), now.plus(LEASE))
        })
        .await
        .unwrap();
        let later = now.plus(LEASE * 2);
        assert!(!db.read(move |c| is_any_due(c, Lane::Short, now)).await.unwrap(), "only a long one is due");
        let taken = async |lane| db.write(move |c| lease(c, "worker", lane, later)).await.unwrap().map(|job| job.job);
        assert_eq!(taken(Lane::Short).await, Some(short));
        assert_eq!(taken(Lane::Short).await, None);
        assert_eq!(taken(Lane::Any).await, Some(long));
    }
}
