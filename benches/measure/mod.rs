//! What several benches measure, and how they sum it up.

#![allow(dead_code, unreachable_pub, clippy::print_stdout)] // each takes a part

use std::io::Write as _;

use corpex::db::Db;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

/// Where figures are written down as well, a line of Markdown each; `scripts/figures` puts them together.
const KEPT_IN: &str = "CORPEX_FIGURES";

/// Something that was measured, and the limit that it should keep.
pub struct Figure {
    text: String,
    is_met: bool,
}

impl Figure {
    pub fn at_least(what: &str, found: f64, least: f64) -> Self {
        Self::new(what, found, &format!("at least {least}"), found >= least)
    }
    pub fn at_most(what: &str, found: f64, most: f64) -> Self {
        Self::new(what, found, &format!("at most {most}"), found <= most)
    }
    /// Without a limit.
    pub fn noted(what: &str, found: f64) -> Self {
        Self::new(what, found, "", true)
    }

    fn new(what: &str, found: f64, limit: &str, is_met: bool) -> Self {
        let found = if found.abs() < 100.0 { format!("{found:.2}") } else { format!("{found:.0}") };
        let verdict = if is_met { "" } else { "  <- not met" };
        println!("{what}: {found}{}{limit}{verdict}", if limit.is_empty() { "" } else { ", " });
        if let Some(file) = std::env::var_os(KEPT_IN) {
            let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
            let verdict = if is_met { "" } else { "**not met**" };
            writeln!(file, "| {what} | {found} | {limit} | {verdict} |").unwrap();
        }
        Self { text: format!("{what}: {found}, {limit}"), is_met }
    }
}

/// Fails if any figure is not met.
pub fn require(figures: &[Figure]) {
    let missed: Vec<_> = figures.iter().filter(|figure| !figure.is_met).map(|figure| figure.text.as_str()).collect();
    assert!(missed.is_empty(), "not met:\n{}", missed.join("\n"));
}

/// The settings of a server of which is measured how much it can answer, not how much it would let one client ask.
pub const UNLIMITED: [(&str, &str); 3] =
    [("CORPEX_REQUESTS_PER_TOKEN", "0"), ("CORPEX_REQUESTS_PER_ADDRESS", "0"), ("CORPEX_ATTEMPTS", "0")];

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// How many rows a table has.
pub async fn count(db: &Db, table: &str) -> usize {
    let sql = format!("SELECT COUNT(*) AS count FROM {table}");
    let count = db.read(move |c| Ok(diesel::sql_query(sql).get_result::<Count>(c)?.count)).await;
    usize::try_from(count.unwrap()).unwrap()
}

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
