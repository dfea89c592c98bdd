//! Days: the audit trail is closed day by day, with a statement in the log.
//!
//! The digest of a day covers the digest of the closed day before and every record of the day, so the last one covers the whole
//! trail. A statement in the log carries it: from then on nobody, the exchange included, can take a record away unseen.
//!
//! Invariant: no record counts to a day that is closed. Both sides of that are decided in serialisable transactions.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::queries;
use crate::app::App;
use crate::db::Conn;
use crate::error::{Error, Result};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::signing::canonical_json;
use crate::types::{Digest, Hasher, Instant};

/// How many records are read at a time.
const PAGE: i64 = 1000;
/// What a statement about a day is about.
const SUBJECT: &str = "audit-trail";

/// A closed day of the audit trail.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    ToSchema,
    diesel::Queryable,
    diesel::Selectable,
    diesel::Insertable,
)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::audit_days, check_for_backend(crate::db::MultiBackend))]
pub struct AuditDay {
    /// The day (UTC): 2026-01-31.
    pub day: String,
    /// How many records count to it.
    pub records: i64,
    /// The SHA-256 of what the closed day before has here (in hexadecimal digits, nothing for the first) and of the records in the
    /// order of their ids, each as canonical JSON (RFC 8785) after a line feed.
    pub sha256: Digest,
    /// When it was closed.
    pub closed_at: Instant,
}

/// The day that a record of now counts to.
pub(super) fn open_day(c: &mut Conn, now: Instant) -> Result<String> {
    let today = now.day();
    match queries::find_last_audit_day(c)? {
        Some(last) if last.day >= today => day_after(&last.day),
        _ => Ok(today),
    }
}

fn day_after(day: &str) -> Result<String> {
    let next = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok().and_then(|day| day.checked_add_days(Days::new(1)));
    next.map(|day| day.to_string()).ok_or_else(|| Error::internal(format!("the closed day {day:?} is no day")))
}

/// Closes the days before today to which something counts.
///
/// # Errors
/// Those of the database.
pub async fn close_days(app: &App) -> Result<()> {
    loop {
        let today = app.clock.now().day();
        let closing = app.db.read(move |c| closing(c, &today)).await?;
        let Some((sum, previous)) = closing else { return Ok(()) };
        let (keys, now) = (app.keys.clone(), app.clock.now());
        let closed = app.db.write(move |c| {
            // What was summed up before may have grown since, or another instance was faster.
            let last = queries::find_last_audit_day(c)?.map(|day| day.sha256);
            if last != previous || queries::count_audit_records(c, &sum.day)? != sum.records {
                return Ok(false);
            }
            let day = AuditDay { closed_at: now, ..sum.clone() };
            queries::insert_audit_day(c, &day)?;
            let predicate = json!({
                "day": day.day, "records": day.records, "sha256": day.sha256, "previous_sha256": previous, "closed_at": now,
            });
            let subjects = vec![ResourceDescriptor::new(SUBJECT, day.sha256)];
            provenance::declare(c, &keys, StatementKind::AuditTrail, subject_id(&day.day), subjects, &predicate, now)?;
            Ok(true)
        });
        if !closed.await? {
            return Ok(());
        }
    }
}

/// What the log's statements about a day are filed under.
fn subject_id(day: &str) -> String {
    format!("{SUBJECT} {day}")
}

/// The first day before `today` that is not closed and has records, summed up, with the digest of the day before.
fn closing(c: &mut Conn, today: &str) -> Result<Option<(AuditDay, Option<Digest>)>> {
    let last = queries::find_last_audit_day(c)?;
    let after = last.as_ref().map_or("", |last| last.day.as_str());
    let Some(day) = queries::find_audit_day_after(c, after)?.filter(|day| day.as_str() < today) else {
        return Ok(None);
    };
    let previous = last.map(|last| last.sha256);
    Ok(Some((sum_up(c, day, previous)?, previous)))
}

fn sum_up(c: &mut Conn, day: String, previous: Option<Digest>) -> Result<AuditDay> {
    let (mut hasher, mut records, mut after) = (Hasher::default(), 0_i64, String::new());
    hasher.update(previous.map(|digest| digest.to_string()).unwrap_or_default().as_bytes());
    loop {
        let page = queries::list_audit_records_of(c, &day, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        for record in &page {
            hasher.update(b"\n");
            hasher.update(&canonical_json(record)?);
            records = records.saturating_add(1);
        }
    }
    Ok(AuditDay { day, records, sha256: hasher.finish(), closed_at: Instant::from_unix_micros(0) })
}

/// Everything in which the audit trail differs from what its days and the log's statements say of it: each day has one statement,
/// and each statement its day. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn audit_trail(c: &mut Conn) -> Result<Vec<String>> {
    let (mut found, mut previous, mut after) = (Vec::new(), None, String::new());
    let mut said = said(c)?;
    loop {
        let page = queries::list_audit_days(c, &after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.day.clone();
        for day in page {
            let sum = sum_up(c, day.day.clone(), previous)?;
            if (sum.records, sum.sha256) != (day.records, day.sha256) {
                found.push(format!(
                    "the audit trail of {} has {} records with digest {}; closed were {} with {}",
                    day.day, sum.records, sum.sha256, day.records, day.sha256
                ));
            }
            let said = said.remove(&day.day).unwrap_or_default();
            if !said.contains(&day.sha256.to_string()) {
                found.push(format!(
                    "no statement in the log says that the audit trail of {} was {}",
                    day.day, day.sha256
                ));
            }
            if said.len() > 1 {
                let times = said.len();
                found.push(format!("{times} statements in the log say what the audit trail of {} was", day.day));
            }
            previous = Some(day.sha256);
        }
    }
    found
        .extend(said.keys().map(|day| format!("the log says that the audit trail of {day} was closed, and it is not")));
    Ok(found)
}

/// The digests that the log's statements name for each day.
fn said(c: &mut Conn) -> Result<BTreeMap<String, Vec<String>>> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    provenance::each_of_kind(c, StatementKind::AuditTrail, |_, stored| {
        let statement: Value = serde_json::from_slice(&stored.envelope.payload.0).unwrap_or_default();
        let text = |member: &str| statement.pointer(member).and_then(Value::as_str).unwrap_or_default().to_string();
        said.entry(text("/predicate/day")).or_default().push(text("/predicate/sha256"));
        Ok(())
    })?;
    Ok(said)
}
