//! What a second instance brings, and what is lost when one is stopped.
//!
//! First one instance works on one core, which it shares with PostgreSQL, Garage and the labs that ask it; then two work on two
//! cores: each instance and its labs on one of them, PostgreSQL and Garage on both. With twice as much of everything they do
//! nearly twice as much, unless one waits for the other. This is repeated, and the median of the rounds counts.
//!
//! At last one of the two is stopped while labs ask both. They know nothing but the addresses, and turn to the other instance
//! when a connection is refused or closed. What was acknowledged must be there, and nothing else: a request whose connection
//! closes under it has had no effect, and can be sent again.
//!
//! `WITH_FSYNC=1 scripts/with-services cargo bench --bench fleet` takes some three minutes, and fails while a figure is not
//! met. It needs the cores 0 and 1, and `taskset` of util-linux.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::disallowed_methods)]
#![allow(dead_code, unreachable_pub, unused_imports)] // of what the stories share, this takes a part

#[path = "fleet/cores.rs"]
mod cores;
#[path = "measure/floor.rs"]
mod floor;
#[path = "fleet/labs.rs"]
mod labs;
mod measure;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use corpex::cli::client::Client;
use corpex::db::Db;

use cores::{CORES, Services};
use floor::Floor;
use labs::{Labs, Work};
use measure::{Figure, median};
use support::TestDatabase;
use support::process::Exchange;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(8);
const WORK: [(Work, &str); 2] = [(Work::Resolve, "resolves"), (Work::Buy, "purchases")];
/// What two instances must do, in what one does.
const TWO_AT_LEAST: f64 = 1.7;
/// How long the labs go on when one instance is told to stop.
const AFTERWARDS: Duration = Duration::from_secs(6);
/// As many connections to the database as an instance has by default.
const CONNECTIONS: &str = "16";

fn main() {
    // `cargo test --all-targets` and `cargo bench` both run this; only the latter says so.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run());
}

async fn run() {
    let mut fleet = Fleet::open().await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push([fleet.rates(1).await, fleet.rates(2).await]);
    }
    let mut figures = Vec::new();
    for (number, (_, name)) in WORK.iter().enumerate() {
        let of = |instances: usize| rounds.iter().map(|round| round[instances - 1][number]).collect::<Vec<_>>();
        let ratios = of(1).iter().zip(of(2)).map(|(one, two)| two / one).collect();
        figures.extend([
            Figure::noted(&format!("{name}/s of one instance on one core"), median(of(1))),
            Figure::noted(&format!("{name}/s of two instances on two cores"), median(of(2))),
            Figure::at_least(&format!("{name} of two in those of one"), median(ratios), TWO_AT_LEAST),
        ]);
    }
    figures.extend(fleet.remove_one().await);
    measure::require(&figures);
}

/// Two instances, what they stand on, and who asks them.
struct Fleet {
    instances: [Exchange; 2],
    labs: Labs,
    nobody: Client,
    services: Services,
    database: Arc<TestDatabase>,
    _keys: tempfile::TempDir,
}

impl Fleet {
    async fn open() -> Self {
        let services = Services::of_the_environment();
        let (keys, database) = (tempfile::tempdir().unwrap(), Arc::new(TestDatabase::create().await));
        let folder = keys.path().display().to_string();
        let own = [("CORPEX_KEYS_DIR", folder.as_str()), ("CORPEX_DATABASE_CONNECTIONS", CONNECTIONS)];
        let settings = [&measure::UNLIMITED[..], &own[..]].concat();
        let serve = || Exchange::serve_on(database.clone(), &settings);
        let floor = Floor::open(serve());
        let labs = Labs::open(&floor).await;
        let Floor { exchange, nobody, .. } = floor;
        let mut instances = [exchange, serve()];
        // Each makes as many threads as it has cores when it starts.
        instances.iter_mut().for_each(Exchange::stop);
        Self { instances, labs, nobody, services, database, _keys: keys }
    }

    /// Has so many instances serve, each on its core, and the services on the same cores; gives where they are.
    async fn serve(&mut self, wanted: usize) -> Vec<String> {
        self.services.keep_to(&CORES[..wanted]);
        for (number, instance) in self.instances.iter_mut().enumerate() {
            match (number < wanted, instance.is_running()) {
                (true, false) => cores::on(CORES[number], || instance.start()),
                (false, true) => instance.stop(),
                (true, true) | (false, false) => {}
            }
        }
        floor::rest(&self.nobody).await;
        self.instances[..wanted].iter().map(|instance| instance.url.clone()).collect()
    }

    /// How often in a second so many instances do each kind of work.
    async fn rates(&mut self, instances: usize) -> [f64; 2] {
        let mut rates = [0.0; 2];
        for (rate, (work, name)) in rates.iter_mut().zip(WORK) {
            let at = self.serve(instances).await;
            *rate = self.labs.rate(work, &at, ROUND);
            println!("instances: {instances}, {rate:.0} {name}/s");
        }
        rates
    }

    /// Stops one of two instances while both are asked.
    async fn remove_one(&mut self) -> [Figure; 4] {
        let (at, before) = (self.serve(2).await, self.labs.cut_off());
        self.labs.ask(&WORK.map(|(work, _)| work), &at, AFTERWARDS, || self.instances[1].stop());
        let cut_off = self.labs.cut_off() - before;
        let db = Db::open(self.database.url.as_deref().unwrap(), 1).unwrap();
        let (lost, untold) = self.labs.lost_and_untold(&db).await;
        [
            Figure::at_most("requests that failed", (self.labs.failed() + before) as f64, 0.0),
            Figure::at_most("acknowledged purchases and receipts that were lost", lost as f64, 0.0),
            Figure::at_most("purchases and receipts that were not acknowledged", untold as f64, 0.0),
            Figure::noted("requests whose connection closed when an instance was stopped", cut_off as f64),
        ]
    }
}
