//! A whole exchange for one test, and the people who use it.
//!
//! Each [`TestApp`] is a real server on a real port with its own database: SQLite in a temporary folder, or,
//! with `TEST_DATABASE_URL`, a schema of its own on that PostgreSQL. Its objects lie in the folder, too, or, with
//! `TEST_S3_ENDPOINT` and `TEST_S3_BUCKET`, in that bucket. When it is dropped, the queue must be
//! empty, the books must balance, and every state must be where its history leads; a test that leaves any otherwise fails.

mod actors;
mod database;
mod log;
pub mod process;
pub mod wire;

pub use actors::{Actor, CARD, Offer, PASSWORD, Published, claim, provenance, terms, token_wish};
pub use database::{TestDatabase, counted, in_one_group, keep_busy, use_bucket_of_the_environment, watch};
pub use log::kinds_in_log;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use corpex::app::App;
use corpex::cli::client::Client;
use corpex::config::Config;
use corpex::db::Conn;
use corpex::error::{Error, Kind, Result};
use corpex::events::dispatch;
use corpex::identity::{self, PlatformRole, Scope};
use corpex::provenance::sequencer;
use corpex::server::Running;
use corpex::types::{Clock, DAY};
use corpex::{compliance, jobs};
use serde_json::Value;
use tokio::sync::Barrier;

/// A refusal for this reason and no other, with something to act on.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T>, kind: Kind, field: Option<&str>) -> Error {
    let error = outcome.expect_err("this had to be refused");
    assert_eq!((error.kind, error.field.as_deref()), (kind, field), "{error:?}");
    assert!(error.detail.len() > 10, "{error:?} says too little");
    error
}

/// The state that the last step in a history led to, who took the step, and why.
pub fn last_step(shown: &Value) -> (&str, &str, &str) {
    let step = shown["history"].as_array().unwrap().last().unwrap();
    let text = |name: &str| step[name].as_str().unwrap();
    (text("to_state"), text("actor"), text("reason"))
}

/// The predicate of the contract that an order came with.
pub fn contract(order: &Value) -> Value {
    let payload = base64::engine::general_purpose::STANDARD.decode(order["contract_payload"].as_str().unwrap());
    serde_json::from_slice::<Value>(&payload.unwrap()).unwrap()["predicate"].clone()
}

/// Does all of these at once, each in a task of its own that waits for the others to begin, and gives what they came to.
pub async fn at_once<F>(racers: impl IntoIterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let racers: Vec<F> = racers.into_iter().collect();
    let start = Arc::new(Barrier::new(racers.len()));
    let racing: Vec<_> = racers
        .into_iter()
        .map(|racer| {
            let start = start.clone();
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for racer in racing {
        outcomes.push(racer.await.unwrap());
    }
    outcomes
}

/// How long leftover jobs may take to finish before they count as left over.
const DRAIN: Duration = Duration::from_secs(20);

pub struct TestApp {
    pub operator: Actor,
    pub compliance: Actor,
    pub url: String,
    pub clock: Clock,
    running: Option<Running>,
    _database: TestDatabase,
    _folder: tempfile::TempDir,
}

impl TestApp {
    /// An exchange with an operator and one compliance officer.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, with settings of the test's own.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = TestDatabase::create().await;
        let mut config = Config::embedded(folder.path());
        database.configure(&mut config);
        use_bucket_of_the_environment(&mut config);
        change(&mut config);
        let running = Running::start(config).await.unwrap();
        let client = Client::new(&running.url, None).unwrap();
        let operator = platform_actor(&running.app, &client, "operator@exchange.test", PlatformRole::Operator).await;
        let compliance =
            platform_actor(&running.app, &client, "compliance@exchange.test", PlatformRole::Compliance).await;
        let (url, clock) = (running.url.clone(), running.app.clock.clone());
        Self { operator, compliance, url, clock, running: Some(running), _database: database, _folder: folder }
    }

    /// What the server works with, for looking inside.
    pub fn app(&self) -> &App {
        &self.running.as_ref().unwrap().app
    }

    /// Stops the server and starts it again at the same address, as an operator does to have it read its keys.
    pub async fn restart(&mut self) {
        self.restart_with(|_| {}).await;
    }

    /// The same, with settings of the test's own, and whatever else it changes while nothing runs.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        let running = self.running.take().unwrap();
        let mut config = (*running.app.config).clone();
        config.listen = running.url.strip_prefix("http://").unwrap().parse().unwrap();
        running.stop().await.unwrap();
        change(&mut config);
        let running = Running::start(config).await.unwrap();
        self.clock = running.app.clock.clone();
        self.running = Some(running);
    }

    /// One more instance of the exchange, whose clock is right whatever was done to the first one's; for the test to stop.
    pub async fn another(&self) -> Running {
        let mut config = (*self.app().config).clone();
        (config.listen, config.no_worker) = ("127.0.0.1:0".parse().unwrap(), true);
        Running::start(config).await.unwrap()
    }

    /// Stops the server for good, whatever is left in its queue and its books.
    pub async fn abandon(mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }

    /// One more person of the platform's own.
    pub async fn staff(&self, email: &str, role: PlatformRole) -> Actor {
        platform_actor(self.app(), &self.anonymous(), email, role).await
    }

    /// A client without credentials.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url, None).unwrap()
    }

    /// A verified organisation with an administrator and a registered signing key.
    pub async fn organisation(&self, handle: &str) -> Actor {
        self.affiliate(handle, &[]).await
    }

    /// The same, which declares affiliates.
    pub async fn affiliate(&self, handle: &str, affiliations: &[&str]) -> Actor {
        let actor = Actor::register_with(&self.anonymous(), handle, affiliations).await;
        self.operator.verify(handle).await;
        actor.register_key().await;
        actor
    }

    /// A provider of corpora.
    pub async fn provider(&self) -> Actor {
        self.organisation("poetry-house").await
    }

    /// A model lab with money in its wallet.
    pub async fn lab(&self, handle: &str, deposit_fen: i64) -> Actor {
        let lab = self.organisation(handle).await;
        if deposit_fen > 0 {
            self.operator.deposit(handle, deposit_fen, &format!("bank-{handle}")).await;
        }
        lab
    }

    /// Publishes, assesses and lists a small corpus at a price in fen.
    pub async fn listed_corpus(&self, provider: &Actor, name: &str, price_fen: i64) -> Offer {
        let published = provider
            .publish(name, &[("data/a.jsonl", b"{\"text\":\"one\"}\n"), ("data/b.jsonl", b"{\"text\":\"two\"}\n")])
            .await;
        self.compliance.assess(&published).await;
        let terms = provider.publish_terms(price_fen).await;
        let offer = provider.list(&published, &terms).await;
        self.drain().await;
        offer
    }

    /// Waits until no job is left, and fails when that takes too long.
    pub async fn drain(&self) {
        drain(self.app()).await;
    }

    /// Waits until organisations are told of everything that happened, and fails when that takes too long.
    pub async fn told(&self) {
        self.no_longer(dispatch::is_due, "nobody is told of what happens").await;
    }

    /// Waits until everything recorded has its place in the log, and fails when that takes too long.
    pub async fn sequenced(&self) {
        self.no_longer(sequencer::is_due, "the log does not take in what is recorded").await;
    }

    async fn no_longer(&self, is_due: fn(&mut Conn) -> Result<bool>, otherwise: &str) {
        let waited = tokio::time::timeout(DRAIN, async {
            while self.app().db.read(is_due).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect(otherwise);
    }
}

async fn drain(app: &App) {
    let drained = tokio::time::timeout(DRAIN, async {
        loop {
            let count = app.db.read(jobs::count).await.unwrap();
            assert_eq!(count.dead, 0, "a job failed for good");
            if count.live == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    drained.await.expect("jobs are left over");
}

async fn platform_actor(app: &App, client: &Client, email: &str, role: PlatformRole) -> Actor {
    let now = app.clock.now();
    let expires_at = now.plus(DAY * 300);
    let address = email.to_string();
    let token = app
        .db
        .write(move |c| {
            identity::create_platform_user(c, &address, role, now)?;
            identity::issue_token(c, &address, "test", Scope::Write, expires_at, now)
        })
        .await
        .unwrap();
    Actor::platform(client.with_token(token.0.reveal()), email)
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let failed_already = std::thread::panicking();
        let checked = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
                if !failed_already {
                    drain(&running.app).await;
                    let faults = running.app.db.read(compliance::audit).await.unwrap();
                    assert!(faults.is_empty(), "the records contradict each other: {faults:#?}");
                }
                running.stop().await.unwrap();
            });
        })
        .join();
        if let (Err(panic), false) = (checked, failed_already) {
            std::panic::resume_unwind(panic);
        }
    }
}
