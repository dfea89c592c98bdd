//! The `jobs` and `sweeps` tables.

use diesel::prelude::*;

use super::{Job, Lane};
use crate::db::Conn;
use crate::schema::{jobs, sweeps};
use crate::types::{Instant, JobId, Json, merged};

pub(super) fn insert_job(
    c: &mut Conn,
    id: JobId,
    (payload, is_long): (&Json<Job>, bool),
    run_at: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(jobs::table)
        .values((
            jobs::id.eq(id),
            jobs::payload.eq(payload),
            jobs::is_long.eq(is_long),
            jobs::state.eq("ready"),
            jobs::run_at.eq(run_at),
            jobs::created_at.eq(run_at),
        ))
        .execute(c)
}

/// Up to `limit` jobs that are due for a lane, the oldest first: each with what it is, as text, and how often it was tried. A leased
/// one is due when its lease has lapsed. What is ready is read in the order of its index, so that a long queue costs no more; leased
/// are never more than there are workers.
pub(super) fn list_due_jobs(
    c: &mut Conn,
    lane: Lane,
    now: Instant,
    limit: i64,
) -> QueryResult<Vec<(JobId, String, i32)>> {
    type Due = (Instant, JobId, String, i32);
    let first = |state: &'static str| {
        jobs::table.filter(jobs::state.eq(state)).order((jobs::run_at, jobs::id)).limit(limit).select((
            jobs::run_at,
            jobs::id,
            jobs::payload,
            jobs::attempts,
        ))
    };
    let lapsed = first("leased")
        .filter(jobs::is_long.le(lane == Lane::Any))
        .filter(jobs::leased_until.assume_not_null().lt(now));
    let mut due: Vec<Due> = lapsed.load(c)?;
    for is_long in lane.lengths() {
        let ready = first("ready").filter(jobs::is_long.eq(*is_long)).filter(jobs::run_at.le(now));
        due.extend(ready.load::<Due>(c)?);
    }
    let due = merged(due, limit, |(run_at, id, ..)| (*run_at, *id)).into_iter();
    Ok(due.map(|(_, id, payload, attempts)| (id, payload, attempts)).collect())
}

pub(super) fn set_leased(c: &mut Conn, id: JobId, owner: &str, attempts: i32, until: Instant) -> QueryResult<usize> {
    diesel::update(jobs::table.find(id))
        .set((
            jobs::state.eq("leased"),
            jobs::lease_owner.eq(owner),
            jobs::leased_until.eq(until),
            jobs::attempts.eq(attempts),
        ))
        .execute(c)
}

pub(super) fn set_lease_end(c: &mut Conn, id: JobId, owner: &str, until: Instant) -> QueryResult<usize> {
    diesel::update(jobs::table.find(id).filter(jobs::lease_owner.eq(owner)))
        .set(jobs::leased_until.eq(until))
        .execute(c)
}

pub(super) fn delete_leased(c: &mut Conn, id: JobId, owner: &str) -> QueryResult<usize> {
    diesel::delete(jobs::table.find(id).filter(jobs::lease_owner.eq(owner))).execute(c)
}

pub(super) fn set_failed(
    c: &mut Conn,
    id: JobId,
    owner: &str,
    (attempts, dead): (i32, bool),
    error: &str,
    run_at: Instant,
) -> QueryResult<usize> {
    diesel::update(jobs::table.find(id).filter(jobs::lease_owner.eq(owner)))
        .set((
            jobs::state.eq(if dead { "dead" } else { "ready" }),
            jobs::lease_owner.eq(None::<String>),
            jobs::attempts.eq(attempts),
            jobs::last_error.eq(error),
            jobs::run_at.eq(run_at),
        ))
        .execute(c)
}

pub(super) fn set_ready(c: &mut Conn, id: JobId, owner: &str, attempts: i32, run_at: Instant) -> QueryResult<usize> {
    diesel::update(jobs::table.find(id).filter(jobs::lease_owner.eq(owner)))
        .set((
            jobs::state.eq("ready"),
            jobs::lease_owner.eq(None::<String>),
            jobs::attempts.eq(attempts),
            jobs::run_at.eq(run_at),
        ))
        .execute(c)
}

pub(super) fn count_live(c: &mut Conn) -> QueryResult<i64> {
    jobs::table.filter(jobs::state.ne("dead")).count().get_result(c)
}

pub(super) fn count_dead(c: &mut Conn) -> QueryResult<i64> {
    jobs::table.filter(jobs::state.eq("dead")).count().get_result(c)
}

/// A job that was set aside, and what it failed with.
type DeadJob = (JobId, Json<Job>, Option<String>);

pub(super) fn list_dead(c: &mut Conn) -> QueryResult<Vec<DeadJob>> {
    let dead = jobs::table.filter(jobs::state.eq("dead")).order(jobs::id).limit(1000);
    dead.select((jobs::id, jobs::payload, jobs::last_error)).load(c)
}

pub(super) fn is_queued(c: &mut Conn, job: &Json<Job>) -> QueryResult<bool> {
    diesel::select(diesel::dsl::exists(jobs::table.filter(jobs::payload.eq(job)))).get_result(c)
}

/// The one row of the sweeps: of all that time ends.
const DEADLINES: &str = "deadlines";

pub(super) fn insert_swept(c: &mut Conn, now: Instant) -> QueryResult<usize> {
    diesel::insert_into(sweeps::table).values((sweeps::name.eq(DEADLINES), sweeps::swept_at.eq(now))).execute(c)
}

pub(super) fn set_swept(c: &mut Conn, now: Instant) -> QueryResult<usize> {
    diesel::update(sweeps::table.find(DEADLINES)).set(sweeps::swept_at.eq(now)).execute(c)
}

pub(super) fn find_swept(c: &mut Conn) -> QueryResult<Option<Instant>> {
    sweeps::table.find(DEADLINES).select(sweeps::swept_at).first(c).optional()
}
