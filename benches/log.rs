//! How fast the log takes in entries, what that costs as it grows, and how long a proof takes.
//!
//! ```sh
//! cargo bench --bench log -- 10000000     # to that many entries; 1,000,000 when absent
//! ```
//!
//! SQLite with `synchronous=FULL` and a folder for the objects, both in a temporary directory (`TMPDIR`); everything goes
//! through the functions that the exchange itself runs. At each power of ten from 10^4 on it prints, for the entries around it:
//! entries per second, the cost of an entry against that at 10^4, the rate against plain durable inserts of as many rows
//! in the same file, resident memory, and how long the server takes over an inclusion proof.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant as Stopwatch};

use corpex::config::Config;
use corpex::db::{Conn, Db};
use corpex::keys::ExchangeKeys;
use corpex::provenance::note::VerifierKey;
use corpex::provenance::policy::Policy;
use corpex::provenance::publication::Publisher;
use corpex::provenance::{self, ResourceDescriptor, StatementKind, log};
use corpex::server::Running;
use corpex::store::Store;
use corpex::types::{Clock, Digest, EntryId};
use diesel::connection::SimpleConnection as _;

use measure::Figure;

const ORIGIN: &str = "bench.example/log";
/// What one step of the publisher takes in at most.
const STEP: u64 = 20 * 1024;
/// Entries over which a rate is taken.
const WINDOW: u64 = 5 * STEP;
const PROOFS: usize = 2000;
const FRESH: usize = 20;

struct Bench {
    db: Db,
    clock: Clock,
    publisher: Publisher,
    size: u64,
    /// Some of the entries, spread over the log.
    sample: Vec<EntryId>,
}

impl Bench {
    async fn open(folder: &std::path::Path) -> Self {
        let config = Config::embedded(folder);
        let db = Db::open(&config.database_url(), 4).unwrap();
        db.migrate().await.unwrap();
        let keys = Arc::new(ExchangeKeys::load_or_create(&config.keys_dir()).unwrap());
        let store = Store::open(&config, &keys).await.unwrap();
        let policy = Policy::of_log(VerifierKey::new(ORIGIN, keys.log.public()).unwrap());
        let mut publisher = Publisher::new(db.clone(), store, keys, ORIGIN, "bench", policy).unwrap();
        let clock = Clock::default();
        publisher.step(clock.now()).await.unwrap(); // signs the empty log, and takes in nothing
        Self { db, clock, publisher, size: 0, sample: Vec::new() }
    }

    /// Records entries as actions do, but by the thousand: this is not what is measured.
    async fn record(&mut self, count: u64) {
        let now = self.clock.now();
        let ids: Vec<EntryId> = (0..count).map(|_| EntryId::new(now)).collect();
        self.sample.extend(ids.iter().step_by(1000));
        let at = now.to_string().replace('T', " ").replace('Z', "");
        for page in ids.chunks(500) {
            let entries: Vec<_> = page.iter().map(|id| format!("('{id}','{}','{at}')", leaf(id))).collect();
            let queue: Vec<_> = page.iter().map(|id| format!("('{id}')")).collect();
            let sql = format!(
                "INSERT INTO log_entries (id, leaf, recorded_at) VALUES {}; INSERT INTO log_queue (entry_id) VALUES {}",
                entries.join(","),
                queue.join(",")
            );
            self.run(sql).await;
        }
    }

    async fn run(&self, sql: String) {
        self.db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap();
    }

    /// Takes in `count` entries and gives the time that the publisher needed for it.
    async fn take_in(&mut self, count: u64) -> Duration {
        let mut spent = Duration::ZERO;
        let end = self.size + count;
        while self.size < end {
            let step = STEP.min(end - self.size);
            self.record(step).await;
            let started = Stopwatch::now();
            self.publisher.step(self.clock.now()).await.unwrap();
            spent += started.elapsed();
            self.size += step;
        }
        spent
    }

    /// The reference: as many rows as a step places, inserted in transactions of 1,024 and nothing else.
    async fn plain_inserts(&self) -> Duration {
        self.run("CREATE TABLE IF NOT EXISTS reference (place BIGINT PRIMARY KEY, entry TEXT NOT NULL UNIQUE)".into())
            .await;
        let now = self.clock.now();
        let mut spent = Duration::ZERO;
        for batch in 0..20_u64 {
            let base = self.size * 100 + batch * 1024;
            let rows: Vec<_> = (0..1024).map(|row| format!("({},'{}')", base + row, EntryId::new(now))).collect();
            let sql = format!("INSERT INTO reference (place, entry) VALUES {}", rows.join(","));
            let started = Stopwatch::now();
            self.run(sql).await;
            spent += started.elapsed();
        }
        spent
    }

    /// How long proofs take inside the server: median and 99th percentile.
    async fn proofs(&self) -> (Duration, Duration) {
        let mut times = Vec::with_capacity(PROOFS);
        for _ in 0..PROOFS {
            let id = self.sample[rand::random_range(0..self.sample.len())];
            let started = Stopwatch::now();
            self.db.read(move |c: &mut Conn| log::proof_of(c, id)).await.unwrap().unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        (times[PROOFS / 2], times[PROOFS * 99 / 100])
    }
}

/// An entry of ordinary length.
fn leaf(id: &EntryId) -> String {
    let digest = Digest::of(id.to_string());
    format!(
        r#"{{"kind":"receipt-batch","pae_sha256":"{digest}","recorded_at":"2026-11-23T00:00:00.000000Z","signature_sha256":"{digest}","signer_key_sha256":"{digest}","v":1}}"#
    )
}

/// How long a fresh entry waits for its proof in a served exchange: from its commit, median and worst.
async fn fresh(folder: &std::path::Path) -> (Duration, Duration) {
    let running = Running::start(Config::embedded(folder)).await.unwrap();
    let app = running.app.clone();
    let mut times = Vec::new();
    for number in 0..FRESH {
        let (keys, now) = (app.keys.clone(), app.clock.now());
        let recorded = app.db.write(move |c| {
            let root = Digest::of(number.to_string());
            let subjects = vec![ResourceDescriptor::new("batch", root)];
            let predicate = serde_json::json!({ "root_sha256": root, "count": 1 });
            provenance::declare(c, &keys, StatementKind::ReceiptBatch, number, subjects, &predicate, now)
        });
        let entry = recorded.await.unwrap().entry_id;
        let started = Stopwatch::now();
        while app.db.read(move |c| log::proof_of(c, entry)).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.push(started.elapsed());
        tokio::time::sleep(Duration::from_millis(u64::try_from(number).unwrap() * 13)).await;
    }
    running.stop().await.unwrap();
    times.sort();
    (times[FRESH / 2], times[FRESH - 1])
}

#[tokio::main]
async fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let most = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(folder.path()).await;
    println!(
        "{:>10} {:>11} {:>9} {:>12} {:>9} {:>11} {:>11}",
        "entries", "entries/s", "cost", "vs. inserts", "RSS MiB", "proof p50", "proof p99"
    );
    let (mut first, mut target) = (None, 10_000_u64);
    while target <= most {
        while bench.size + WINDOW < target {
            bench.take_in(STEP.min(target - WINDOW - bench.size)).await;
        }
        let count = WINDOW.min(target - bench.size);
        let per_entry = bench.take_in(count).await.as_secs_f64() / count as f64;
        let plain = bench.plain_inserts().await.as_secs_f64() / STEP as f64;
        let (p50, p99) = bench.proofs().await;
        let cost = per_entry / *first.get_or_insert(per_entry);
        println!(
            "{:>10} {:>11.0} {cost:>8.2}x {:>11.2}x {:>9} {:>8.3} ms {:>8.3} ms",
            bench.size,
            1.0 / per_entry,
            plain / per_entry,
            measure::resident_kib("self") / 1024,
            p50.as_secs_f64() * 1000.0,
            p99.as_secs_f64() * 1000.0
        );
        Figure::noted(&format!("entries/s sequenced, {} entries in the log", bench.size), 1.0 / per_entry);
        Figure::noted("the same in plain durable inserts", plain / per_entry);
        target *= 10;
    }
    let (p50, worst) = fresh(&folder.path().join("served")).await;
    Figure::noted("ms until a fresh entry has its proof, median", p50.as_secs_f64() * 1000.0);
    Figure::noted(&format!("the same, worst of {FRESH}"), worst.as_secs_f64() * 1000.0);
}
