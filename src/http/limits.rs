//! Rate limits per minute: by credential and account while these are known to be valid, and by address otherwise.
//!
//! Each credential has a limit of its own, so that one program does not hinder another of the same account. The account has
//! a limit for all of its credentials together, so that nobody gains by more tokens, or by refreshing a session again and
//! again.
//!
//! A client that has not shown a valid credential in the last seconds is counted by its address, so made-up credentials
//! gain nothing. The headers of each answer say what a client has left (`RateLimit`, `RateLimit-Policy`:
//! draft-ietf-httpapi-ratelimit-headers), and those of a refusal when to come back (`Retry-After`).
//!
//! Each process counts by itself: a fleet of four lets through up to four times as much.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, UserId};

const MINUTE: Duration = Duration::from_secs(60);
/// How many times as much as one credential all those of an account may ask together.
const CREDENTIALS_OF_AN_ACCOUNT: u32 = 10;
/// After so many requests, those who have all of their share again are forgotten.
const TIDY_EVERY: u32 = 4096;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The limits of one process.
pub struct Limits {
    tokens: Option<Limit<Digest>>,
    accounts: Option<Limit<UserId>>,
    addresses: Option<Limit<IpAddr>>,
    attempts: Option<Limit<Digest>>,
}

/// What a client has left of its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    policy: &'static str,
    /// Requests in a minute.
    quota: u32,
    left: u32,
    /// When all of it is there again, or, after a refusal, some of it.
    seconds: u64,
}

/// A number of requests in a minute, for each `K`: all at once, or one after the other.
struct Limit<K: Hash + Eq + Clone, C: Clock = DefaultClock> {
    name: &'static str,
    per_minute: NonZeroU32,
    clock: C,
    counts: RateLimiter<K, DashMapStateStore<K>, C, StateInformationMiddleware>,
    since_tidied: AtomicU32,
}

impl Limits {
    /// The limits that are set; one of zero is none.
    pub(crate) fn new(config: &Config) -> Self {
        let per_account = config.requests_per_token.saturating_mul(CREDENTIALS_OF_AN_ACCOUNT);
        Self {
            tokens: Limit::new("token", config.requests_per_token, DefaultClock::default()),
            accounts: Limit::new("account", per_account, DefaultClock::default()),
            addresses: Limit::new("address", config.requests_per_address, DefaultClock::default()),
            attempts: Limit::new("attempts", config.attempts, DefaultClock::default()),
        }
    }

    /// Counts a request of somebody who showed a valid credential a moment ago; nothing where that has no limit. The error says
    /// that none was left.
    pub(crate) fn request_of(&self, credential: &Digest, user_id: &UserId) -> Option<Result<Share, Share>> {
        let (tokens, accounts) = (self.tokens.as_ref()?, self.accounts.as_ref()?);
        Some(tokens.take(credential).and_then(|own| Ok(own.scarcer(accounts.take(user_id)?))))
    }

    /// The same for a request of anybody else, by its address.
    pub(crate) fn request_from(&self, address: IpAddr) -> Option<Result<Share, Share>> {
        self.addresses.as_ref().map(|limit| limit.take(&address))
    }

    /// Counts an attempt that is allowed a few times only, such as to guess the password of the account `whose`, which
    /// has one spelling.
    ///
    /// # Errors
    /// `RateLimited`, when there were too many in the last minute.
    pub fn attempt(&self, what: &str, whose: &str) -> Result<()> {
        let Some(attempts) = &self.attempts else { return Ok(()) };
        let refused = |share: Share| share.refused(&format!("attempts {what}"));
        attempts.take(&Digest::of(format!("{what} {whose}"))).map(drop).map_err(refused)
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Limit<K, C> {
    fn new(name: &'static str, per_minute: u32, clock: C) -> Option<Self> {
        let per_minute = NonZeroU32::new(per_minute)?;
        let quota = Quota::with_period(MINUTE / per_minute.get())?.allow_burst(per_minute);
        let plain: RateLimiter<_, _, _, NoOpMiddleware<C::Instant>> =
            RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        let counts = plain.with_middleware();
        Some(Self { name, per_minute, clock, counts, since_tidied: AtomicU32::new(0) })
    }

    /// Takes one request out of the share of `key`; the error says that there was none left.
    fn take(&self, key: &K) -> Result<Share, Share> {
        if self.since_tidied.fetch_add(1, Ordering::Relaxed) >= TIDY_EVERY {
            self.since_tidied.store(0, Ordering::Relaxed);
            self.counts.retain_recent();
        }
        let quota = self.per_minute.get();
        let share = |left, wait: Duration| Share {
            policy: self.name,
            quota,
            left,
            seconds: wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)),
        };
        match self.counts.check_key(key) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let taken = quota.saturating_sub(left);
                Ok(share(left, (MINUTE / quota).saturating_mul(taken)))
            }
            Err(until) => Err(share(0, until.wait_time_from(self.clock.now()).max(Duration::from_secs(1)))),
        }
    }
}

impl Share {
    /// The one of two shares of which less is left: what a client has to go by.
    fn scarcer(self, other: Self) -> Self {
        if other.left < self.left { other } else { self }
    }

    /// Refuses a request when nothing was left.
    pub(crate) fn refusal(&self) -> Error {
        self.refused(&format!("requests of one {}", self.policy))
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(Kind::RateLimited, format!("more than {} {what} in a minute", self.quota))
            .remedy(format!("wait {} s", self.seconds))
            .retry_after(self.seconds)
    }

    /// Writes into the head of an answer what is left.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let Self { policy, quota, left, seconds } = self;
        for (name, text) in [
            (RATE_LIMIT_POLICY, format!("\"{policy}\";q={quota};w={}", MINUTE.as_secs())),
            (RATE_LIMIT, format!("\"{policy}\";r={left};t={seconds}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Where a request came from, in front of so many proxies that each add what they saw to `X-Forwarded-For`. A network of
/// IPv6 that one subscriber gets counts as one address.
pub(crate) fn client_address(request: &HttpRequest, proxies: u8) -> IpAddr {
    let forwarded = request.headers().get_all(X_FORWARDED_FOR).filter_map(|value| value.to_str().ok());
    let forwarded: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
    let named = (proxies > 0).then(|| forwarded.iter().nth_back(usize::from(proxies) - 1)).flatten();
    let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.ip());
    match named.and_then(|text| text.parse().ok()).unwrap_or(peer).to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_share_is_used_up_and_comes_back_bit_by_bit() {
        let clock = FakeRelativeClock::default();
        let limit = Limit::new("token", 3, clock.clone()).unwrap();
        let lefts: Vec<_> = (0..3).map(|_| limit.take(&"lab").unwrap().left).collect();
        assert_eq!(lefts, [2, 1, 0]);
        let refused = limit.take(&"lab").unwrap_err();
        assert_eq!(refused, Share { policy: "token", quota: 3, left: 0, seconds: 20 });
        assert_eq!(limit.take(&"another lab").unwrap().left, 2, "each has a share of its own");
        clock.advance(Duration::from_secs(20));
        assert_eq!(limit.take(&"lab").unwrap(), Share { policy: "token", quota: 3, left: 0, seconds: 60 });
        clock.advance(MINUTE);
        assert_eq!(limit.take(&"lab").unwrap().left, 2, "and no more than that however long one waits");
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        assert!(Limit::<&str>::new("token", 0, DefaultClock::default()).is_none());
    }

    #[test]
    fn only_what_trusted_proxies_added_tells_an_address() {
        let from = |forwarded: &[&str], proxies| {
            let mut request = TestRequest::default().peer_addr("198.51.100.1:4000".parse().unwrap());
            for value in forwarded {
                request = request.append_header((X_FORWARDED_FOR, *value));
            }
            client_address(&request.to_http_request(), proxies).to_string()
        };
        assert_eq!(from(&["203.0.113.9"], 0), "198.51.100.1");
        assert_eq!(from(&[], 1), "198.51.100.1");
        assert_eq!(from(&["made up, 203.0.113.9"], 1), "203.0.113.9");
        assert_eq!(from(&["203.0.113.9", "10.0.0.7"], 2), "203.0.113.9");
        assert_eq!(from(&["203.0.113.9"], 2), "198.51.100.1", "a proxy was left out");
        assert_eq!(from(&["nonsense"], 1), "198.51.100.1");
        assert_eq!(from(&["2001:db8:1:2:3:4:5:6"], 1), "2001:db8:1:2::");
        assert_eq!(from(&["::ffff:203.0.113.9"], 1), "203.0.113.9");
    }
}
