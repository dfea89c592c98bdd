//! Denials: who was turned away, counted for a second and then recorded.
//!
//! Anybody can have themselves turned away as often as they like. So alike denials of a second are one record, a second has a bounded
//! number of records, and where nobody knows who asked, the route's pattern takes the place of the path, and the address that of
//! the user.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::queries;
use super::{AuditOutcome, AuditRecord, days};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Kind, Result};
use crate::types::{AuditId, Instant, UserId};

/// How long denials are counted before they are recorded.
const GATHERED_FOR: Duration = Duration::from_secs(1);
/// How many records are made of them at most; the rest is counted in one.
const MOST_RECORDS: usize = 500;
/// How much of a path is kept.
const LONGEST_REQUEST: usize = 500;
/// What stands in the place of the request where there were too many.
const FURTHER: &str = "further requests of the same second";

/// The denials that are not recorded yet. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Denials(Arc<Mutex<HashMap<Denied, i64>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Denied {
    user_id: Option<UserId>,
    /// Of whoever is not known.
    address: Option<IpAddr>,
    request: String,
    reason: Kind,
}

impl Denials {
    /// Whether a refusal of this kind belongs on record.
    pub fn concern(kind: Kind) -> bool {
        matches!(kind, Kind::Unauthenticated | Kind::Forbidden | Kind::NotEntitled | Kind::RateLimited)
    }

    /// Counts a denial: who asked, if that is known, from where, for what, and why that was refused.
    pub fn count(&self, user_id: Option<UserId>, address: IpAddr, request: &str, reason: Kind) {
        let address = user_id.is_none().then_some(address);
        let request = request.chars().take(LONGEST_REQUEST).collect();
        self.add(Denied { user_id, address, request, reason }, 1);
    }

    fn add(&self, denied: Denied, times: i64) {
        let mut counted = self.lock();
        let is_one_too_many = counted.len() >= MOST_RECORDS && !counted.contains_key(&denied);
        let denied = match is_one_too_many {
            true => Denied { user_id: None, address: None, request: FURTHER.to_string(), reason: denied.reason },
            false => denied,
        };
        let count = counted.entry(denied).or_default();
        *count = count.saturating_add(times);
    }

    /// Records what was counted. What cannot be recorded is kept.
    async fn flush(&self, app: &App) -> Result<()> {
        let counted: Vec<_> = self.lock().drain().collect();
        if counted.is_empty() {
            return Ok(());
        }
        let (rows, now) = (counted.clone(), app.clock.now());
        let recorded = app.db.write(move |c| record(c, &rows, now)).await;
        if recorded.is_err() {
            counted.into_iter().for_each(|(denied, times)| self.add(denied, times));
        }
        recorded
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Denied, i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(c: &mut Conn, counted: &[(Denied, i64)], now: Instant) -> Result<()> {
    let day = days::open_day(c, now)?;
    for (denied, times) in counted {
        let record = AuditRecord {
            id: AuditId::new(now),
            day: day.clone(),
            user_id: denied.user_id,
            address: denied.address.map(|address| address.to_string()),
            outcome: AuditOutcome::Denied,
            request: denied.request.clone(),
            reason: Some(denied.reason.slug().to_string()),
            times: *times,
            recorded_at: now,
        };
        queries::insert_audit_record(c, &record)?;
    }
    Ok(())
}

/// Records denials, until `stop`, and then the last of them.
pub async fn keep_denials(app: App, stop: CancellationToken) {
    loop {
        let is_last = tokio::select! { () = tokio::time::sleep(GATHERED_FOR) => false, () = stop.cancelled() => true };
        if let Err(error) = app.denials.flush(&app).await {
            tracing::error!(?error, "denials could not be recorded; they are kept");
        }
        if is_last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_are_turned_away_the_records_are_bounded_and_every_one_counts() {
        let denials = Denials::default();
        for number in 0..2 * u32::try_from(MOST_RECORDS).unwrap() {
            let from = IpAddr::from(number.to_be_bytes());
            denials.count(None, from, &format!("GET /{number}"), Kind::Forbidden);
            denials.count(None, from, "GET /1", Kind::Unauthenticated);
        }
        denials.count(None, IpAddr::from([192, 0, 2, 1]), &"x".repeat(10_000), Kind::Unauthenticated);
        let counted = denials.lock();
        assert!(counted.len() <= MOST_RECORDS + 2, "one more for each reason: {}", counted.len());
        assert_eq!(counted.values().sum::<i64>(), 4 * i64::try_from(MOST_RECORDS).unwrap() + 1);
    }
}
