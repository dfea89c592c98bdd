//! A mix of requests as labs, providers and compliance staff send them: first as fast as they are answered, then at a steady
//! rate below that.
//!
//! At the steady rate each request has its moment before any is sent, and its time counts from that moment, whether or not the
//! requests before it were answered by then: a server that stalls cannot make those that wait look fast (coordinated omission).
//! The bytes of a download do not count, only the time until they begin.
//!
//! `cargo bench --bench load` takes a minute at the steady rate, `LOAD_SECONDS=600` takes ten. It runs on SQLite and a
//! directory, or where `TEST_DATABASE_URL` and `TEST_S3_ENDPOINT` say; the server is a process of its own, and shares the machine with
//! what asks. It fails while the figures are not met.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation
)]
#![allow(dead_code, unreachable_pub, unused_imports)] // of what the stories share, this takes a part

#[path = "measure/floor.rs"]
mod floor;
#[path = "load/market.rs"]
mod market;
mod measure;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use hdrhistogram::Histogram;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc;

use market::{Asked, Market};
use measure::Figure;

const SEED: u64 = 20_261_126;
/// How many ask at once when they ask as fast as they are answered.
const CLIENTS: u64 = 32;
const SATURATED_FOR: Duration = Duration::from_secs(15);
/// The steady rate, as a part of the fastest.
const STEADY: f64 = 0.7;
/// What 99 of 100 answers must begin within.
const P99_AT_MOST: Duration = Duration::from_millis(50);
/// How much more memory the server may hold at the end than after the first seconds.
const GROWTH_AT_MOST: f64 = 1.1;
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let steady_for = std::env::var("LOAD_SECONDS").map_or(60, |seconds| seconds.parse().unwrap());
    let market = Arc::new(Market::open().await);
    println!("seed {SEED}; {CLIENTS} clients for {} s, then a steady rate for {steady_for} s", SATURATED_FOR.as_secs());
    let fastest = saturate(&market).await;
    let rate = fastest * STEADY;
    println!("saturated: {fastest:.0} requests/s; steady: {rate:.0} requests/s");
    market.rest().await;
    let outcome = steadily(&market, rate, Duration::from_secs(steady_for)).await;
    let mut all = Histogram::<u64>::new(3).unwrap();
    println!("{:10} {:>9} {:>9} {:>9} {:>9} {:>9}", "", "requests", "p50 ms", "p99 ms", "p99.9 ms", "max ms");
    for (what, times) in &outcome.times {
        row(what.name(), times);
        all.add(times).unwrap();
    }
    row("all", &all);
    let growth = outcome.memory_kib.1 as f64 / outcome.memory_kib.0 as f64;
    println!("memory: {} MiB, then {} MiB", outcome.memory_kib.0 / 1024, outcome.memory_kib.1 / 1024);
    let (spoilt, stopping) = (market.spoilt(), Stopwatch::now());
    market.stop();
    let ms = |part: f64| all.value_at_quantile(part) as f64 / 1000.0;
    measure::require(&[
        Figure::noted("requests/s as fast as they are answered", fastest),
        Figure::noted("requests/s at the steady rate", rate),
        Figure::at_most("failed requests", outcome.failed as f64, 0.0),
        Figure::at_most("downloads of wrong bytes", spoilt as f64, 0.0),
        Figure::noted("p50 at the steady rate, ms", ms(0.5)),
        Figure::at_most("p99 at the steady rate, ms", ms(0.99), P99_AT_MOST.as_secs_f64() * 1000.0),
        Figure::at_most("memory at the end in what it was at first", growth, GROWTH_AT_MOST),
        Figure::at_most("stopped under load, s", stopping.elapsed().as_secs_f64(), STOPPED_WITHIN.as_secs_f64()),
    ]);
}

fn row(name: &str, times: &Histogram<u64>) {
    let ms = |micros: u64| micros as f64 / 1000.0;
    println!(
        "{name:10} {:>9} {:>9.1} {:>9.1} {:>9.1} {:>9.1}",
        times.len(),
        ms(times.value_at_quantile(0.5)),
        ms(times.value_at_quantile(0.99)),
        ms(times.value_at_quantile(0.999)),
        ms(times.max())
    );
}

/// How many requests a second are answered when each client sends the next as soon as it has its answer.
async fn saturate(market: &Arc<Market>) -> f64 {
    let (answered, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients = (0..CLIENTS).map(|client| {
        let (market, answered, is_over) = (market.clone(), answered.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut chance = rand::rngs::StdRng::seed_from_u64(SEED ^ client);
            while !is_over.load(Ordering::Relaxed) {
                let asked = Asked::any(&mut chance);
                assert!(market.ask(asked, chance.random()).await, "{} failed", asked.name());
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    tokio::time::sleep(SATURATED_FOR).await;
    let rate = answered.load(Ordering::Relaxed) as f64 / SATURATED_FOR.as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    rate
}

struct Outcome {
    times: Vec<(Asked, Histogram<u64>)>,
    failed: u64,
    /// The server's, after the first seconds and at the end.
    memory_kib: (u64, u64),
}

async fn steadily(market: &Arc<Market>, rate: f64, for_so_long: Duration) -> Outcome {
    let mut chance = rand::rngs::StdRng::seed_from_u64(SEED);
    let (tell, mut told) = mpsc::unbounded_channel();
    let (start, mut due, mut early) = (Stopwatch::now(), Duration::ZERO, None);
    while due < for_so_long {
        // As far apart as those of many who know nothing of each other.
        due += Duration::from_secs_f64(-(1.0 - chance.random::<f64>()).ln() / rate);
        tokio::time::sleep_until((start + due).into()).await;
        if early.is_none() && due > for_so_long / 6 {
            early = Some(measure::resident_kib(&market.server().to_string()));
        }
        let (market, tell, asked, draw) = (market.clone(), tell.clone(), Asked::any(&mut chance), chance.random());
        tokio::spawn(async move {
            let is_answered = market.ask(asked, draw).await;
            let _ = tell.send((asked, is_answered, (start + due).elapsed()));
        });
    }
    drop(tell);
    let mut times: Vec<_> = Asked::ALL.iter().map(|asked| (*asked, Histogram::new(3).unwrap())).collect();
    let mut failed = 0;
    while let Some((asked, is_answered, took)) = told.recv().await {
        failed += u64::from(!is_answered);
        let (_, of_its_kind) = times.iter_mut().find(|(kind, _)| *kind == asked).unwrap();
        of_its_kind.record(took.as_micros() as u64).unwrap();
    }
    Outcome { times, failed, memory_kib: (early.unwrap(), measure::resident_kib(&market.server().to_string())) }
}
