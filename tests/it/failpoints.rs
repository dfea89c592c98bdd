//! Every place where the exchange writes fails once, or is the last thing that it does, while a trade goes on. The people of the trade
//! send again what failed, as they would, and in the end everything was done once.
//!
//! A place is come by many times. `CORPEX_TORTURE_KILLS` says at how many of them it gives way, from the first on; otherwise
//! it does so at one, which `CORPEX_TORTURE_SEED` varies.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corpex::failpoints::Site;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::command_line::{assessment, deposit};
use crate::crash::setting;
use crate::support::process::{Exchange, Person, organisation};

/// How often a place is come by in a trade, or thereabouts.
const TIMES: u64 = 40;
/// How often one who is told to try again does.
const PATIENCE: usize = 8;
const PRICE: i64 = 1_000;
const FUNDS: i64 = 50_000_000;

/// Those who trade, and what they trade.
struct Market {
    exchange: Arc<Mutex<Exchange>>,
    provider: Person,
    lab: Person,
    compliance: Person,
    assessment: String,
    papers: tempfile::TempDir,
    trades: i64,
}

impl Market {
    async fn open() -> Self {
        let exchange = Exchange::serve().await;
        let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
        let provider = organisation(&exchange, &operator, "poetry-house");
        let lab = organisation(&exchange, &operator, "verse-lab");
        deposit(&operator, "verse-lab", FUNDS);
        let papers = tempfile::tempdir().unwrap();
        std::fs::write(papers.path().join("terms.json"), crate::support::terms(PRICE).to_string()).unwrap();
        std::fs::write(papers.path().join("provenance.json"), crate::support::provenance().to_string()).unwrap();
        let assessment = assessment(&compliance).to_string();
        Self { exchange: Arc::new(Mutex::new(exchange)), provider, lab, compliance, assessment, papers, trades: 0 }
    }

    /// Has `site` give way in this manner the `nth` time that it is come by, while there is a trade. Says whether it did.
    fn trade_while(&mut self, site: Site, how: &str, nth: u64) -> bool {
        let armed = {
            let mut exchange = self.exchange.lock().unwrap();
            exchange.end(); // what gave way in no trade may do so at any moment
            exchange.set("FAILPOINTS", format!("{}={nth}*off->1*{how}", site.name()));
            exchange.try_start()
        };
        let keeper = Keeper::of(self.exchange.clone());
        self.trade();
        let balance = |person: &Person, handle: &str, kind: &str| {
            let accounts = person.api("GET", &format!("/v1/organisations/{handle}/accounts"), &Value::Null);
            let accounts = accounts["items"].as_array().unwrap().clone();
            accounts.iter().find(|account| account["kind"] == kind).unwrap()["balance"]["amount_minor"].clone()
        };
        let (paid, earned) =
            (balance(&self.lab, "verse-lab", "wallet"), balance(&self.provider, "poetry-house", "payable"));
        let settled = self.trades * PRICE;
        assert_eq!((paid, earned), (json!(FUNDS - settled), json!(settled * 97 / 100)), "{} {how} {nth}", site.name());
        keeper.dismiss() || !armed
    }

    /// A corpus is published, assessed, listed, bought, downloaded and accepted.
    fn trade(&mut self) {
        self.trades += 1;
        let dataset = format!("poetry-house/poems-{}", self.trades);
        let at = |name: &str| self.papers.path().join(name).display().to_string();
        let source = self.papers.path().join(format!("source-{}", self.trades));
        corpus(&source, self.trades);
        let source = source.display().to_string();
        let (terms, provenance) = (at("terms.json"), at("provenance.json"));
        let publish =
            ["publish", &source, "--dataset", &dataset, "--terms", &terms, "--provenance", &provenance, "--json"];
        let published: Value = serde_json::from_str(&insist(&self.provider, &publish)).unwrap();
        insist(
            &self.compliance,
            &["api", "POST", &format!("/v1/datasets/{dataset}/versions/1/assessments"), &self.assessment],
        );
        let listing = json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] }).to_string();
        insist(&self.provider, &["api", "POST", "/v1/listings", &listing]);
        let buy = ["buy", &dataset, "--use", "pretraining of a small language model", "--json"];
        let bought: Value = serde_json::from_str(&insist(&self.lab, &buy)).unwrap();
        let to = at(&format!("target-{}", self.trades));
        insist(&self.lab, &["download", &dataset, "--to", &to]);
        let (acceptance, key) =
            (format!("/v1/orders/{}/acceptance", bought["order"].as_str().unwrap()), format!("accept-{}", self.trades));
        insist(&self.lab, &["api", "POST", &acceptance, "--idempotency-key", &key]);
    }
}

fn corpus(folder: &Path, number: i64) {
    std::fs::create_dir_all(folder.join("data")).unwrap();
    for shard in ["a", "b"] {
        std::fs::write(folder.join(format!("data/{shard}.jsonl")), format!("{{\"poem\":\"{shard}{number}\"}}\n"))
            .unwrap();
    }
}

/// Runs a command until it succeeds, or is told that it succeeded before.
fn insist(person: &Person, args: &[&str]) -> String {
    let mut failures = Vec::new();
    while failures.len() < PATIENCE {
        let output = person.run(args);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
        if !failures.is_empty() && told.contains("already") {
            return told;
        }
        failures.push(told);
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("corpex {args:?} failed again and again: {failures:#?}")
}

/// Starts the server again, with nothing armed, when it ends by itself.
struct Keeper {
    dismissed: Arc<Mutex<bool>>,
    at_work: std::thread::JoinHandle<bool>,
}

impl Keeper {
    fn of(exchange: Arc<Mutex<Exchange>>) -> Self {
        let dismissed = Arc::new(Mutex::new(false));
        let until = dismissed.clone();
        let at_work = std::thread::spawn(move || {
            let mut gave_way = false;
            loop {
                let is_last = *until.lock().unwrap();
                {
                    let mut exchange = exchange.lock().unwrap();
                    gave_way |= exchange.has_said("a failpoint gives way");
                    if !exchange.is_running() {
                        gave_way = true;
                        exchange.set("FAILPOINTS", String::new());
                        exchange.start();
                    }
                }
                if is_last {
                    return gave_way;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Self { dismissed, at_work }
    }

    /// Whether something gave way.
    fn dismiss(self) -> bool {
        *self.dismissed.lock().unwrap() = true;
        self.at_work.join().unwrap()
    }
}

/// The places that are come by here: an S3 bucket has no object directory.
fn sites() -> Vec<Site> {
    let is_s3 = std::env::var_os("TEST_S3_ENDPOINT").is_some();
    Site::ALL.into_iter().filter(|site| !(is_s3 && site.name().starts_with("disk"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_write_fails_or_is_the_last_the_trade_is_done_once() {
    let mut market = Market::open().await;
    let mut chance = rand::rngs::StdRng::seed_from_u64(setting("CORPEX_TORTURE_SEED").unwrap_or(1));
    for site in sites() {
        for how in ["return", "return(abort)"] {
            let Some(most) = setting("CORPEX_TORTURE_KILLS") else {
                let mut nth = chance.random_range(0..TIMES);
                while !market.trade_while(site, how, nth) {
                    assert_ne!(nth, 0, "no trade comes by {}", site.name());
                    nth /= 4;
                }
                continue;
            };
            let tried = (0..most).take_while(|nth| market.trade_while(site, how, *nth)).count();
            eprintln!("{}={how}: at {tried} moments", site.name());
            assert_ne!(tried, 0, "no trade comes by {}", site.name());
        }
    }
    let exchange = Arc::into_inner(market.exchange).unwrap();
    let mut exchange = exchange.into_inner().unwrap();
    exchange.end();
    exchange.set("FAILPOINTS", String::new());
    exchange.start();
    exchange.stop();
    exchange.audit();
}
