//! Labs that each send one request after the other to an instance, and turn to the other one when theirs is gone.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant as Stopwatch};

use corpex::cli::client::text_at;
use corpex::db::Db;
use corpex::outgoing;
use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::cores::{self, CORES};
use crate::floor::{self, Floor};
use crate::measure;
use crate::support::{Actor, Offer};

/// How many labs ask each instance.
const LABS: usize = 32;
const PRICE_FEN: i64 = 1;
const DEPOSIT_FEN: i64 = 1_000_000;
/// How long they ask before anything counts.
const WARM_UP: Duration = Duration::from_secs(2);
/// The longest that a lab waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many failures are shown.
const SHOWN: usize = 10;

/// What a lab does.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// It asks for a file that it holds a licence for, and is led to the bucket: the receipt is durable then.
    Resolve,
    /// It asks for a quote, signs the contract, and buys.
    Buy,
}

/// All labs, and what became of their requests.
pub struct Labs {
    labs: Vec<Lab>,
    /// The address, on any instance, of a file that each lab holds a licence for.
    held: String,
    /// What they buy.
    offer: Offer,
    /// How many requests for the file were answered.
    resolved: AtomicUsize,
    /// How many purchases were answered.
    bought: AtomicUsize,
    /// How many requests were not answered as they must be.
    failed: AtomicUsize,
    /// How many requests had no answer, for their connection was closed.
    cut_off: AtomicUsize,
}

struct Lab {
    actor: Actor,
    /// The orders that were acknowledged to it.
    orders: Mutex<HashSet<String>>,
}

impl Labs {
    pub async fn open(floor: &Floor) -> Self {
        let provider = floor.organisation("poetry-house").await;
        let terms = provider.publish_terms(PRICE_FEN).await;
        let (published, licensed) = floor.listed(&provider, "songs", b"{\"text\":\"a song\"}\n", &terms).await;
        let (_, offer) = floor.listed(&provider, "poems", b"{\"text\":\"a poem\"}\n", &terms).await;
        let mut labs = Vec::new();
        for number in 0..LABS * CORES.len() {
            let actor = floor.lab(&format!("lab-{number}"), DEPOSIT_FEN).await;
            let bought = actor.buy_at_a_quote(&licensed).await.unwrap();
            let orders = Mutex::new(HashSet::from([text_at(&bought, "/order/id").to_string()]));
            labs.push(Lab { actor, orders });
        }
        let commit = &published.manifest.pae_sha256().to_string()[..40];
        Self {
            labs,
            held: format!("/datasets/{}/resolve/{commit}/data/a.jsonl", published.dataset),
            offer,
            resolved: AtomicUsize::default(),
            bought: AtomicUsize::default(),
            failed: AtomicUsize::default(),
            cut_off: AtomicUsize::default(),
        }
    }

    pub fn failed(&self) -> usize {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn cut_off(&self) -> usize {
        self.cut_off.load(Ordering::Relaxed)
    }

    fn done(&self) -> usize {
        self.resolved.load(Ordering::Relaxed) + self.bought.load(Ordering::Relaxed)
    }

    /// How often in a second one kind of work is done at these instances.
    pub fn rate(&self, work: Work, instances: &[String], time: Duration) -> f64 {
        self.ask(&[work], instances, time, || {
            let (begun, before) = (Stopwatch::now(), self.done());
            std::thread::sleep(time);
            (self.done() - before) as f64 / begun.elapsed().as_secs_f64()
        })
    }

    /// Has the labs of each of these instances do the work, one kind after the other, again and again; those of one instance on
    /// its core. When all is under way `meanwhile` is done, and after so much time they end.
    pub fn ask<T>(&self, work: &[Work], instances: &[String], time: Duration, meanwhile: impl FnOnce() -> T) -> T {
        let until = Stopwatch::now() + WARM_UP + time;
        std::thread::scope(|scope| {
            for (first, labs) in self.labs.chunks(LABS).take(instances.len()).enumerate() {
                scope.spawn(move || {
                    cores::keep_to(CORES[first]);
                    self.ask_from_here(labs, work, (instances, first), until);
                });
            }
            std::thread::sleep(WARM_UP);
            meanwhile()
        })
    }

    fn ask_from_here(&self, labs: &[Lab], work: &[Work], (instances, at): (&[String], usize), until: Stopwatch) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let http = outgoing::client(|client| client.timeout(PATIENCE)).unwrap();
            let asker = |lab| Asker { of: self, lab, http: &http, instances, at };
            join_all(labs.iter().map(|lab| asker(lab).work(work, until))).await;
        });
    }

    /// How many orders and receipts are not there although they were acknowledged, and how many are there that were not.
    pub async fn lost_and_untold(&self, db: &Db) -> (usize, usize) {
        let (recorded, resolved) = (measure::count(db, "receipts").await, self.resolved.load(Ordering::Relaxed));
        let (mut lost, mut untold) = (resolved.saturating_sub(recorded), recorded.saturating_sub(resolved));
        for lab in &self.labs {
            let orders: Vec<Value> = lab.actor.client.get_all("/v1/orders").await.unwrap();
            let found: HashSet<String> = orders.iter().map(|order| text_at(order, "/id").to_string()).collect();
            let told = lab.orders.lock().unwrap();
            lost += told.difference(&found).count();
            untold += found.difference(&told).count();
        }
        (lost, untold)
    }
}

/// A lab at its work.
struct Asker<'a> {
    of: &'a Labs,
    lab: &'a Lab,
    http: &'a reqwest::Client,
    instances: &'a [String],
    /// Which of the instances it asks now.
    at: usize,
}

impl Asker<'_> {
    async fn work(mut self, work: &[Work], until: Stopwatch) {
        for kind in work.iter().cycle() {
            if Stopwatch::now() >= until {
                return;
            }
            match kind {
                Work::Resolve => self.resolve().await,
                Work::Buy => self.buy().await,
            };
        }
    }

    async fn resolve(&mut self) -> Option<()> {
        let of = self.of;
        self.send(Method::GET, &of.held, &Value::Null).await?;
        of.resolved.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn buy(&mut self) -> Option<()> {
        let (of, lab) = (self.of, self.lab);
        let wanted = lab.actor.wanted(&of.offer);
        let quote = self.post("/v1/quotes", &wanted).await?;
        let bought = self.post("/v1/purchases", &lab.actor.purchase(&wanted, &quote)).await?;
        lab.orders.lock().unwrap().insert(text_at(&bought, "/order/id").to_string());
        of.bought.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    async fn post(&mut self, path: &str, body: &Value) -> Option<Value> {
        let answer = self.send(Method::POST, path, body).await?;
        match answer.json().await {
            Ok(document) => Some(document),
            Err(error) => self.fail(&format!("{path}: {error}")),
        }
    }

    /// Sends a request to the instance that it asks now; where nobody takes the connection, nothing was sent, and the next one
    /// is asked. A connection that is kept can close while a request is on its way, and the client cannot know whether it was
    /// read: that request is counted as cut off and not repeated, so that its effect would be seen if it had one.
    async fn send(&mut self, method: Method, path: &str, body: &Value) -> Option<Response> {
        for _ in self.instances {
            let url = format!("{}{path}", self.instances[self.at]);
            match floor::request(self.http, method.clone(), url, Some(&self.lab.actor), body).send().await {
                Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::FOUND => {
                    return Some(answer);
                }
                Ok(answer) => return self.fail(&format!("{path}: {}", answer.status())),
                Err(error) if error.is_connect() => self.turn(),
                Err(error) if error.is_timeout() => return self.fail(&format!("{path}: {error}")),
                Err(_) => {
                    self.of.cut_off.fetch_add(1, Ordering::Relaxed);
                    self.turn();
                    return None;
                }
            }
        }
        self.fail(&format!("{path}: no instance takes the connection"))
    }

    fn turn(&mut self) {
        self.at = (self.at + 1) % self.instances.len();
    }

    fn fail<T>(&self, why: &str) -> Option<T> {
        if self.of.failed.fetch_add(1, Ordering::Relaxed) < SHOWN {
            eprintln!("failed: {why}");
        }
        None
    }
}
