//! Points in time, in UTC, to the microsecond: no database keeps more. And the clock that makes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, NaiveTime, SecondsFormat, Timelike as _, Utc};
use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{IsNull, Output, ToSql};
use diesel::sql_types::Timestamp;
use diesel::sqlite::Sqlite;
use serde::{Deserialize, Serialize};

use crate::db::MultiBackend;
use crate::error::Error;
use crate::types::from_text;

/// Twenty-four hours.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The first and the last microsecond that RFC 3339 can write: those of the years 1 to 9999.
const WRITABLE: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

/// A point in time: UTC, microseconds, written as RFC 3339 with six decimals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
#[diesel(sql_type = Timestamp)]
pub struct Instant(NaiveDateTime);

impl Instant {
    /// The instant this many microseconds after 1970-01-01T00:00:00Z, or the nearest that RFC 3339 can write.
    pub fn from_unix_micros(micros: i64) -> Self {
        let micros = micros.clamp(*WRITABLE.start(), *WRITABLE.end());
        Self(DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default().naive_utc())
    }
    /// 1970-01-01T00:00:00Z, before all that is on record: the other end of a range up to some instant. SQLite, which keeps no
    /// statistics here, reads a range that has both ends by its index; one with a single end it may look for among all rows.
    pub fn epoch() -> Self {
        Self::from_unix_micros(0)
    }
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn unix_micros(self) -> i64 {
        self.0.and_utc().timestamp_micros()
    }
    /// Whole seconds since 1970-01-01T00:00:00Z (zero before it), and the nanoseconds beyond.
    pub fn unix(self) -> (u64, u32) {
        let utc = self.0.and_utc();
        (u64::try_from(utc.timestamp()).unwrap_or(0), utc.timestamp_subsec_nanos())
    }
    /// This instant, later by `duration`; at most the last that RFC 3339 can write.
    pub fn plus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_unix_micros(self.unix_micros().saturating_add(micros))
    }
    /// This instant, earlier by `duration`; at least the first that RFC 3339 can write.
    pub fn minus(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_unix_micros(self.unix_micros().saturating_sub(micros))
    }
    /// How many days are left until `end`, one that is begun counting whole; none when it is past.
    pub fn days_until(self, end: Self) -> i64 {
        let left = u64::try_from(end.unix_micros().saturating_sub(self.unix_micros())).unwrap_or(0);
        i64::try_from(u128::from(left).div_ceil(DAY.as_micros())).unwrap_or(i64::MAX)
    }
    /// The day, in UTC: 2026-01-31. Days sort as their texts do.
    pub fn day(self) -> String {
        self.0.date().to_string()
    }
    /// When this day began, in UTC.
    pub fn day_began(self) -> Self {
        Self(self.0.date().and_time(NaiveTime::MIN))
    }
    /// As SQLite keeps it: six decimals always, so that the text sorts as the time does.
    fn sqlite_text(self) -> String {
        // chrono would read a pattern for it anew each time.
        let (date, time) = (self.0.date(), self.0.time());
        let (hour, minute, second, micros) = (time.hour(), time.minute(), time.second(), time.nanosecond() / 1000);
        format!("{date} {hour:02}:{minute:02}:{second:02}.{micros:06}")
    }
    /// The calendar year, in UTC.
    pub fn year(self) -> i32 {
        chrono::Datelike::year(&self.0)
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.and_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}
impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Instant {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        // An offset can carry a time out of the years that RFC 3339 can write.
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| at.timestamp_micros())
            .filter(|micros| WRITABLE.contains(micros))
            .map(Self::from_unix_micros)
            .ok_or_else(|| Error::invalid("", format!("{text:?} is not an RFC 3339 time such as 2026-01-31T08:00:00Z")))
    }
}
impl Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
impl utoipa::PartialSchema for Instant {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .into()
    }
}
impl utoipa::ToSchema for Instant {
    fn name() -> std::borrow::Cow<'static, str> {
        "instant".into()
    }
}
impl ToSql<Timestamp, Pg> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> diesel::serialize::Result {
        ToSql::<Timestamp, Pg>::to_sql(&self.0, out)
    }
}
impl ToSql<Timestamp, Sqlite> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> diesel::serialize::Result {
        out.set_value(self.sqlite_text());
        Ok(IsNull::No)
    }
}
impl ToSql<Timestamp, MultiBackend> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, MultiBackend>) -> diesel::serialize::Result {
        out.set_value((Timestamp, self));
        Ok(IsNull::No)
    }
}
impl<DB: diesel::backend::Backend> FromSql<Timestamp, DB> for Instant
where
    NaiveDateTime: FromSql<Timestamp, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
        Ok(Self(NaiveDateTime::from_sql(bytes)?))
    }
}

/// Where `now` comes from. Tests move it; nothing else may.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_micros: Arc<AtomicI64>,
}

impl Clock {
    /// The present instant.
    #[allow(clippy::disallowed_methods)] // the one home of the wall clock
    pub fn now(&self) -> Instant {
        let micros = Utc::now().timestamp_micros();
        Instant::from_unix_micros(micros.saturating_add(self.offset_micros.load(Ordering::Relaxed)))
    }
    /// Moves this clock, and every clone of it, forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.offset_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_keep_microseconds_and_print_as_rfc3339() {
        let at: Instant = "2026-01-31T08:00:00.000001+08:00".parse().unwrap();
        assert_eq!(at.to_string(), "2026-01-31T00:00:00.000001Z");
    }

    #[test]
    fn instants_are_kept_with_six_decimals_whatever_their_year() {
        for micros in [*WRITABLE.start(), -1, 0, 1, 1_700_000_000_000_000, 1_700_000_000_120_000, *WRITABLE.end()] {
            let at = Instant::from_unix_micros(micros);
            assert_eq!(at.sqlite_text(), at.0.format("%Y-%m-%d %H:%M:%S%.6f").to_string());
        }
    }

    #[test]
    fn a_clock_moves_together_with_its_clones() {
        let clock = Clock::default();
        let before = clock.now();
        clock.clone().advance(Duration::from_secs(3600));
        assert!(clock.now() >= before.plus(Duration::from_secs(3600)));
    }

    #[test]
    fn no_duration_leads_out_of_the_years_that_can_be_written() {
        let now = Instant::from_unix_micros(0);
        assert_eq!(now.plus(Duration::MAX).to_string(), "9999-12-31T23:59:59.999999Z");
        assert_eq!(now.minus(Duration::MAX).to_string(), "0001-01-01T00:00:00.000000Z");
    }

    #[test]
    fn an_offset_cannot_lead_out_of_the_years_that_can_be_written() {
        for bad in ["0000-01-01T00:00:00+10:00", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-01:00"] {
            assert!(bad.parse::<Instant>().is_err(), "{bad}");
        }
        assert_eq!("9999-12-31T23:59:59+01:00".parse::<Instant>().unwrap().year(), 9999);
    }
}
