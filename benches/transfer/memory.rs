//! How much memory the server holds.

use std::time::{Duration, Instant as Stopwatch};

use super::measure::resident_kib;
use super::reference::begin_fetch;
use super::shop::Shop;

const WATCHED_FOR: Duration = Duration::from_secs(16);

/// What the server holds in memory now.
pub fn resident_mib(process: u32) -> u64 {
    resident_kib(&process.to_string()) / 1024
}

/// The most that the server holds in the first and in the second half of a time in which so many always download.
pub fn under_downloads(shop: &Shop, url: &str, at_once: usize) -> (u64, u64) {
    let begin = || begin_fetch(url, &shop.authorization);
    let mut running: Vec<_> = (0..at_once).map(|_| begin()).collect();
    let (started, mut peaks) = (Stopwatch::now(), (0, 0));
    while started.elapsed() < WATCHED_FOR {
        for one in &mut running {
            if let Some(status) = one.try_wait().unwrap() {
                assert!(status.success(), "a download failed");
                *one = begin();
            }
        }
        let now = resident_mib(shop.server());
        let peak = if started.elapsed() < WATCHED_FOR / 2 { &mut peaks.0 } else { &mut peaks.1 };
        *peak = now.max(*peak);
        std::thread::sleep(Duration::from_millis(100));
    }
    for mut one in running {
        let _ = one.kill();
        let _ = one.wait();
    }
    peaks
}
