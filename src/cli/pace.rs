//! The rate limit for everything that a command sends or fetches.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A pace that everybody who has a copy keeps to together; none when it is not limited.
#[derive(Clone, Default)]
pub(super) struct Pace(Option<Arc<(NonZeroU32, DefaultDirectRateLimiter)>>);

impl Pace {
    /// At most so many bytes a second.
    pub(super) fn new(bytes_per_second: Option<NonZeroU32>) -> Self {
        Self(bytes_per_second.map(|rate| Arc::new((rate, RateLimiter::direct(Quota::per_second(rate))))))
    }

    /// Waits until so many bytes may go.
    pub(super) async fn take(&self, bytes: u64) {
        let Some((most, limiter)) = self.0.as_deref() else { return };
        let mut left = bytes;
        while let Some(some) = NonZeroU32::new(u32::try_from(left).unwrap_or(u32::MAX).min(most.get())) {
            // It refuses only more than `most` at once.
            let _ = limiter.until_n_ready(some).await;
            left -= u64::from(some.get());
        }
    }
}

/// Reads a rate in bytes a second: `500k`, `20M`, `1G`, by thousands, or a plain number.
pub(super) fn rate(text: &str) -> Result<NonZeroU32, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 1_000),
        Some((at, 'M')) => (text.get(..at), 1_000_000),
        Some((at, 'G')) => (text.get(..at), 1_000_000_000),
        _ => (Some(text), 1),
    };
    let number = number.and_then(|number| number.parse::<u32>().ok());
    number
        .and_then(|number| number.checked_mul(factor))
        .and_then(NonZeroU32::new)
        .ok_or_else(|| format!("{text:?} is not a rate such as 500k, 20M or 1G, up to 4G bytes a second"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_by_thousands() {
        let read = |text: &str| rate(text).ok().map(NonZeroU32::get);
        assert_eq!(["7", "500k", "20M", "4G"].map(read), [7, 500_000, 20_000_000, 4_000_000_000].map(Some));
        assert_eq!(["", "M", "0", "5G", "-1", "1.5M", "10 M", "3春"].map(read), [None; 8]);
    }

    #[tokio::test]
    async fn more_than_a_second_is_worth_is_taken_bit_by_bit() {
        Pace::new(NonZeroU32::new(u32::MAX)).take(u64::from(u32::MAX) + 1).await;
        Pace::default().take(u64::MAX).await;
    }
}
