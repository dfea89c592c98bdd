//! How often a licensee is expected to download what it licensed: a provider that pays for delivery, or watches for leaks,
//! wants to know of more. More is not refused.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::TermsDocument;
use crate::error::{Error, Result};

/// The most times that terms may expect.
const MAX_TIMES: i32 = 1000;
/// The longest window, in days.
const MAX_PER_DAYS: i32 = 366;

/// So many times what is licensed, within so many days. Past it downloads still work; they carry a warning, and both sides
/// are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDownloads {
    /// How many times the bytes that are licensed, 1 to 1,000.
    #[schema(minimum = 1, maximum = 1000)]
    pub times: i32,
    /// Within how many days (UTC), the present one included, 1 to 366.
    #[schema(minimum = 1, maximum = 366)]
    pub per_days: i32,
}

pub(super) fn check(document: &TermsDocument) -> Result<()> {
    let Some(ExpectedDownloads { times, per_days }) = document.expected_downloads else { return Ok(()) };
    for (field, value, most) in [("times", times, MAX_TIMES), ("per_days", per_days, MAX_PER_DAYS)] {
        if !(1..=most).contains(&value) {
            let detail =
                format!("{value} is not between 1 and {most}; leave `expected_downloads` out for no expectation");
            return Err(Error::invalid(format!("document.expected_downloads.{field}"), detail));
        }
    }
    Ok(())
}
