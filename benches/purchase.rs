//! How many complete purchases an exchange makes in a second.
//!
//! A purchase is what a lab does: it asks for a quote, signs its contract, and buys; that places the order, countersigns
//! the contract, pays into escrow and grants the entitlement. All of it is durable, and every statement is in the log's
//! queue, which the exchange's own sequencer empties meanwhile.
//!
//! What a purchase costs must not depend on how many there were: the figures are taken again after a million, for which
//! the first thousand are repeated in the database under other identifiers.
//!
//! `cargo bench --bench purchase` runs on SQLite; with `TEST_DATABASE_URL` on a schema of its own on that PostgreSQL,
//! against `pgbench` (TPC-B-like, from the same installation or `PGBENCH`) with as many clients, turn about. It fails
//! while the figures are not met.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::disallowed_methods)]
#![allow(dead_code, unreachable_pub, unused_imports)] // of what the stories share, this takes a part

#[path = "purchase/history.rs"]
mod history;
mod measure;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use corpex::delivery::purchases;
use corpex::identity::Caller;
use corpex::market::orders::{NewOrder, Purchase, SignedQuote, quotes};
use corpex::signing::{IN_TOTO_PAYLOAD_TYPE, SecretKey};
use corpex::terms::Use;
use rand::seq::IndexedRandom as _;

use measure::Figure;
use support::{Offer, TestApp};

const CLIENTS: u32 = 32;
const LABS: usize = 64;
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: usize = 3;
const PRICE_FEN: i64 = 1;
const DEPOSIT_FEN: i64 = 1_000_000;
/// What this must reach on SQLite, in purchases a second.
const SQLITE_AT_LEAST: f64 = 500.0;
/// What this must reach on PostgreSQL, as a part of pgbench's transactions.
const PGBENCH_AT_LEAST: f64 = 0.5;
/// How many purchases lie in the past at first, and how many times as many later.
const FEW: usize = 1000;
const TIMES: usize = 1000;
/// What a purchase may cost then, in what it cost before.
const GROWTH_AT_MOST: f64 = 1.3;

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let app = TestApp::start_with(|config| config.database_connections = CLIENTS + 4).await;
    let shop = Arc::new(Shop::open(&app).await);
    while measure::count(&app.app().db, "orders").await < FEW {
        buy_for(&app, &shop, Duration::from_secs(1)).await;
    }
    let young = best_of(&app, &shop).await;
    let enough = match std::env::var("TEST_DATABASE_URL") {
        Ok(server) => against_pgbench(&app, &shop, &server).await,
        Err(_) => Figure::at_least("purchases/s on SQLite", young, SQLITE_AT_LEAST),
    };
    history::repeat_past(app.app(), FEW, TIMES).await;
    let old = best_of(&app, &shop).await;
    let growth = young / old;
    let growth =
        Figure::at_most(&format!("cost of one after {} in that of the first", FEW * TIMES), growth, GROWTH_AT_MOST);
    // Nobody deposited what the repeated purchases paid: such books cannot balance.
    app.abandon().await;
    measure::require(&[enough, growth]);
}

/// How many purchases there are for every transaction of `pgbench`.
async fn against_pgbench(app: &TestApp, shop: &Arc<Shop>, server: &str) -> Figure {
    let reference = Pgbench::prepare(server);
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let transactions = reference.run();
        let (purchases, retries) = buy_for(app, shop, ROUND).await;
        println!(
            "PostgreSQL: {purchases:.0} purchases/s ({retries} repeated writes); pgbench {transactions:.0} transactions/s"
        );
        ratios.push(purchases / transactions);
    }
    Figure::at_least("purchases in transactions of pgbench (TPC-B)", measure::median(ratios), PGBENCH_AT_LEAST)
}

async fn best_of(app: &TestApp, shop: &Arc<Shop>) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..ROUNDS {
        let (purchases, _) = buy_for(app, shop, ROUND).await;
        println!("{purchases:.0} purchases/s");
        best = best.max(purchases);
    }
    best
}

/// What is bought, and by whom.
struct Shop {
    offer: Offer,
    labs: Vec<(Caller, String, SecretKey)>,
}

impl Shop {
    async fn open(app: &TestApp) -> Self {
        let provider = app.provider().await;
        let offer = app.listed_corpus(&provider, "poems", PRICE_FEN).await;
        let mut labs = Vec::new();
        for number in 0..LABS {
            let lab = app.lab(&format!("lab-{number}"), DEPOSIT_FEN).await;
            labs.push((lab.caller().await, lab.handle.clone(), lab.key.clone()));
        }
        Self { offer, labs }
    }
}

/// Purchases a second over that time, and how many writes had to be repeated.
async fn buy_for(app: &TestApp, shop: &Arc<Shop>, time: Duration) -> (f64, u64) {
    let (begun, before) = (Stopwatch::now(), app.app().db.retries());
    let bought = Arc::new(AtomicU64::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let (app, shop, bought) = (app.app().clone(), shop.clone(), bought.clone());
        clients.spawn(async move {
            while begun.elapsed() < time {
                let (caller, handle, key) = shop.labs.choose(&mut rand::rng()).unwrap();
                buy(&app, &shop.offer, caller, handle, key).await;
                bought.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let rate = bought.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    (rate, app.app().db.retries() - before)
}

async fn buy(app: &corpex::app::App, offer: &Offer, caller: &Caller, handle: &str, key: &SecretKey) {
    let wanted = NewOrder {
        listing_id: offer.listing.parse().unwrap(),
        organisation: handle.to_string(),
        r#use: Use::Pretrain,
        purpose: "pretraining of a small language model".to_string(),
        offer_id: None,
        price: None,
        selection: None,
    };
    let (who, config, asked, now) = (caller.clone(), app.config.clone(), wanted.clone(), app.clock.now());
    let quoted =
        app.db.read_shared(asked.ahead(caller), move |c| quotes::quote(c, &who, &config, &asked, now)).await.unwrap();
    let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, quoted.contract_document.clone().into_bytes());
    let quote = quotes::seal(&app.keys, &quoted).unwrap();
    let signed = SignedQuote::open(&app.db, &app.keys, caller, &wanted, &quote, envelope).await;
    let purchase = Purchase { wanted, signed, voucher: None };
    let (who, keys, config, now) = (caller.clone(), app.keys.clone(), app.config.clone(), app.clock.now());
    let ahead = purchase.ahead(&who);
    app.db
        .write_gathered(ahead, move |c| purchases::buy(c, &who, &keys, &config, &purchase, now).map(drop))
        .await
        .unwrap();
}

/// The reference: `pgbench` on the same server, in a database of its own.
struct Pgbench {
    program: String,
    url: String,
}

impl Pgbench {
    fn prepare(server: &str) -> Self {
        let program = std::env::var("PGBENCH").unwrap_or_else(|_| installed());
        let this = Self { program, url: server.to_string() };
        this.call(&["--initialize", "--quiet", "--scale=16"]);
        this
    }
    /// Transactions a second over one round.
    fn run(&self) -> f64 {
        let (clients, seconds) = (format!("--client={CLIENTS}"), format!("--time={}", ROUND.as_secs()));
        let answer = self.call(&["--no-vacuum", &clients, "--jobs=2", &seconds]);
        let line = answer.lines().find_map(|line| line.strip_prefix("tps = ")).unwrap();
        line.split(' ').next().unwrap().parse().unwrap()
    }
    fn call(&self, arguments: &[&str]) -> String {
        let output = Command::new(&self.program).args(arguments).arg(&self.url).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The newest `pgbench` of the distribution's servers.
fn installed() -> String {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/pgbench")))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| "pgbench".to_string(), |path| path.display().to_string())
}
