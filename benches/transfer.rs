//! How fast a lab gets what it licensed, and a provider's corpus arrives.
//!
//! The exchange that is measured is `corpex serve` in a process of its own, on SQLite and a folder. Every figure is a ratio
//! against a program that others wrote, which does the bare part of the same work on the same machine, turn about; the
//! median of the rounds counts:
//!
//! - answers to authorised requests for a file of three bytes, each with its durable receipt, against nginx that sends one;
//! - 1 GiB from the local store against nginx with `sendfile`;
//! - `corpex publish` of 1 GiB in 8 shards against `openssl dgst -sha256` and a `cp` with fsync;
//! - what memory the server holds, idle and under 64 downloads at once.
//!
//! `cargo bench --bench transfer` takes all of them; `-- answers`, `bytes`, `publish` or `memory` takes one. It fails while a
//! figure is not met. On Debian: `apt-get install nginx-light wrk curl openssl`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::disallowed_methods)]
#![allow(dead_code, unreachable_pub, unused_imports)] // of what the stories share, this takes a part

mod measure;
#[path = "transfer/memory.rs"]
mod memory;
#[path = "transfer/reference.rs"]
mod reference;
#[path = "transfer/shop.rs"]
mod shop;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::Duration;

use measure::{Figure, median};
use reference::{Nginx, Wrk, fetch_at_once, hash_and_copy};
use shop::Shop;

const ROUNDS: usize = 5;
const ANSWERS_FOR: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 64;
/// Answers, as a part of what nginx sends of static files.
const ANSWERS_AT_LEAST: f64 = 0.25;
/// The slowest of a hundred answers.
const P99_AT_MOST: Duration = Duration::from_millis(20);

const GIB: usize = 1024 * 1024 * 1024;
/// Bytes, as a part of what nginx sends with `sendfile`: by how many connections at once.
const BYTES_AT_LEAST: [(usize, f64); 2] = [(1, 1.0), (8, 0.9)];

const PUBLISH_ROUNDS: usize = 3;
const SHARDS: usize = 8;
/// What a publication may cost, in what hashing and copying costs.
const PUBLISH_AT_MOST: f64 = 2.5;

const IDLE_AT_MOST_MIB: u64 = 60;
const BUSY_AT_MOST_MIB: u64 = 250;
const DOWNLOADS: usize = 64;

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    reference::require_programs();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut shop = runtime.block_on(Shop::open());

    let mut figures = Vec::new();
    if is_wanted("memory") {
        figures.push(idle(&mut shop));
    }
    if is_wanted("answers") {
        figures.extend(answers(&shop));
    }
    if is_wanted("publish") {
        figures.push(publish(&shop));
    }
    if is_wanted("bytes") || is_wanted("memory") {
        let large = shop.sell("large", &[("data/large.bin", GIB)]);
        if is_wanted("bytes") {
            figures.extend(BYTES_AT_LEAST.map(|(connections, least)| bytes(&shop, &large, connections, least)));
        }
        if is_wanted("memory") {
            figures.extend(busy(&shop, &large));
        }
    }
    measure::require(&figures);
}

/// Answers a second at 64 connections, and the slowest of a hundred.
fn answers(shop: &Shop) -> [Figure; 2] {
    let tiny = shop.sell("tiny", &[("data/one.jsonl", 3), ("data/two.jsonl", 3)]);
    let nginx = Nginx::start(&[("tiny", 3)]);
    let wrk = |url: &str| Wrk::run(url, &shop.authorization, CONNECTIONS, ANSWERS_FOR);
    let (mut ratios, mut slowest) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (plain, ours) = (wrk(&nginx.url("tiny")), wrk(&tiny));
        println!(
            "answers/s: {:.0}, p99 {:.1?}; nginx {:.0}, p99 {:.1?}",
            ours.answers, ours.p99, plain.answers, plain.p99
        );
        ratios.push(ours.answers / plain.answers);
        slowest.push(ours.p99.as_secs_f64() * 1000.0);
    }
    let most = P99_AT_MOST.as_secs_f64() * 1000.0;
    [
        Figure::at_least("answers against nginx", median(ratios), ANSWERS_AT_LEAST),
        Figure::at_most("p99 of answers, ms", median(slowest), most),
    ]
}

/// 1 GiB on each of so many connections.
fn bytes(shop: &Shop, large: &str, connections: usize, least: f64) -> Figure {
    let nginx = Nginx::start(&[("large", GIB)]);
    let fetch = |url: &str| fetch_at_once(url, &shop.authorization, connections);
    // Whatever is sent first waits for the disk.
    fetch(&nginx.url("large"));
    fetch(large);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let (plain, ours) = (fetch(&nginx.url("large")), fetch(large));
        let rate = |took: Duration| connections as f64 * GIB as f64 / took.as_secs_f64() / 1e9;
        println!("{connections} x 1 GiB: {:.2} GB/s; nginx {:.2} GB/s", rate(ours), rate(plain));
        ratios.push(plain.as_secs_f64() / ours.as_secs_f64());
    }
    Figure::at_least(&format!("bytes against nginx, connections: {connections}"), median(ratios), least)
}

fn publish(shop: &Shop) -> Figure {
    let folder = tempfile::tempdir().unwrap();
    let mut ratios = Vec::new();
    for round in 0..PUBLISH_ROUNDS {
        let corpus = folder.path().join(round.to_string());
        for shard in 0..SHARDS {
            shop::write_random(&corpus.join(format!("data/{shard}.bin")), GIB / SHARDS);
        }
        let plain = hash_and_copy(&corpus.join("data"), &folder.path().join("copy"));
        let ours = shop.publish(&format!("eight-{round}"), &corpus);
        println!("1 GiB in {SHARDS} shards: {:.2?}; openssl and cp {:.2?}", ours, plain);
        ratios.push(ours.as_secs_f64() / plain.as_secs_f64());
        std::fs::remove_dir_all(corpus).unwrap();
        shop.rest();
    }
    Figure::at_most("a publication against openssl and cp", median(ratios), PUBLISH_AT_MOST)
}

fn idle(shop: &mut Shop) -> Figure {
    shop.restart();
    std::thread::sleep(Duration::from_secs(2));
    let found = memory::resident_mib(shop.server());
    Figure::at_most("MiB resident, idle", found as f64, IDLE_AT_MOST_MIB as f64)
}

/// The most that 64 downloads take, and whether it stays so.
fn busy(shop: &Shop, large: &str) -> [Figure; 2] {
    let (first, later) = memory::under_downloads(shop, large, DOWNLOADS);
    let peak = first.max(later);
    println!("MiB resident under {DOWNLOADS} downloads: {first} at first, {later} later");
    [
        Figure::at_most(&format!("MiB resident under {DOWNLOADS} downloads"), peak as f64, BUSY_AT_MOST_MIB as f64),
        Figure::at_most("memory later in what it was at first", later as f64 / first as f64, 1.1),
    ]
}
