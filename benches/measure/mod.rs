//! What several benches measure, and how they sum it up.

#![allow(dead_code, unreachable_pub)] // each takes a part

/// The settings of a server of which is measured how much it can answer, not how much it would let one client ask.
pub const UNLIMITED: [(&str, &str); 2] = [("CORPEX_REQUESTS_PER_TOKEN", "0"), ("CORPEX_REQUESTS_PER_ADDRESS", "0")];

/// What a process holds in memory now, in KiB; `self` is this one.
pub fn resident_kib(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

pub fn median(mut found: Vec<f64>) -> f64 {
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}
