//! An exchange in a process of its own, with some corpora on its board, a lab that holds one, and what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use corpex::cli::client::Client;
use corpex::types::Digest;
use rand::RngExt as _;
use reqwest::Method;
use serde_json::Value;

use crate::floor::{self, Floor};
use crate::measure;
use crate::support::process::Exchange;
use crate::support::{Actor, Offer};

const CORPORA: usize = 60;
const SHARD_BYTES: usize = 64 * 1024;
const WORDS: [&str; 8] = ["poems", "songs", "letters", "essays", "novels", "plays", "diaries", "speeches"];
const PRICE_FEN: i64 = 1;
const DEPOSIT_FEN: i64 = 90_000_000;

/// What is asked, and how often among a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Browse,
    Search,
    Resolve,
    Download,
    Buy,
    Trace,
}

impl Asked {
    pub const ALL: [Asked; 6] =
        [Asked::Browse, Asked::Search, Asked::Resolve, Asked::Download, Asked::Buy, Asked::Trace];

    pub fn any(chance: &mut impl rand::Rng) -> Self {
        match chance.random_range(0..100) {
            0..30 => Asked::Browse,
            30..55 => Asked::Search,
            55..85 => Asked::Resolve,
            85..93 => Asked::Download,
            93..98 => Asked::Buy,
            _ => Asked::Trace,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Asked::Browse => "browse",
            Asked::Search => "search",
            Asked::Resolve => "resolve",
            Asked::Download => "download",
            Asked::Buy => "buy",
            Asked::Trace => "trace",
        }
    }
}

pub struct Market {
    exchange: Mutex<Exchange>,
    server: u32,
    nobody: Client,
    http: reqwest::Client,
    lab: Actor,
    officer: Actor,
    offers: Vec<Offer>,
    /// A file that the lab holds a licence for, and its digest.
    held: (String, Digest),
    /// How many downloads were cut off, or brought other bytes.
    spoilt: Arc<AtomicU64>,
}

impl Market {
    pub async fn open() -> Self {
        let floor = Floor::open(Exchange::serve_with(&measure::UNLIMITED).await);
        let provider = floor.organisation("poetry-house").await;
        let lab = floor.lab("verse-lab", DEPOSIT_FEN).await;
        let terms = provider.publish_terms(PRICE_FEN).await;
        let (mut offers, mut held) = (Vec::new(), None);
        for number in 0..CORPORA {
            let bytes = format!("{{\"text\": \"{number:08}\"}}\n").repeat(SHARD_BYTES / 21).into_bytes();
            let name = format!("{}-{number}", WORDS[number % WORDS.len()]);
            let (_, offer) = floor.listed(&provider, &name, &bytes, &terms).await;
            if held.is_none() {
                lab.buy(&offer).await.unwrap();
                let path = format!("/datasets/{}/resolve/main/data/a.jsonl", offer.dataset);
                held = Some((path, Digest::of(&bytes)));
            }
            offers.push(offer);
        }
        let Floor { exchange, nobody, compliance: officer, .. } = floor;
        let market = Self {
            server: exchange.server_id(),
            exchange: Mutex::new(exchange),
            nobody,
            http: reqwest::Client::builder().pool_max_idle_per_host(256).build().unwrap(),
            lab,
            officer,
            offers,
            held: held.unwrap(),
            spoilt: Arc::default(),
        };
        market.rest().await;
        market
    }

    pub fn server(&self) -> u32 {
        self.server
    }

    pub fn spoilt(&self) -> u64 {
        self.spoilt.load(Ordering::Relaxed)
    }

    pub fn stop(&self) {
        self.exchange.lock().unwrap().stop();
    }

    /// Waits until the exchange has nothing left to do.
    pub async fn rest(&self) {
        floor::rest(&self.nobody).await;
    }

    /// Asks once, and tells whether it was answered as it must be.
    pub async fn ask(&self, asked: Asked, draw: u32) -> bool {
        let draw = usize::try_from(draw).unwrap();
        match asked {
            Asked::Browse => self.send(Method::GET, "/v1/listings?limit=20", None, &Value::Null).await.is_some(),
            Asked::Search => {
                let path = format!("/v1/datasets?q={}", WORDS[draw % WORDS.len()]);
                self.send(Method::GET, &path, None, &Value::Null).await.is_some()
            }
            Asked::Resolve => self.send(Method::HEAD, &self.held.0, Some(&self.lab), &Value::Null).await.is_some(),
            Asked::Download => {
                let Some(answer) = self.send(Method::GET, &self.held.0, Some(&self.lab), &Value::Null).await else {
                    return false;
                };
                let (expected, spoilt) = (self.held.1, self.spoilt.clone());
                // What was asked is answered; whether the bytes are right is looked at meanwhile.
                tokio::spawn(async move {
                    let are_right = answer.bytes().await.is_ok_and(|bytes| Digest::of(bytes) == expected);
                    spoilt.fetch_add(u64::from(!are_right), Ordering::Relaxed);
                });
                true
            }
            Asked::Buy => self.buy(&self.offers[draw % self.offers.len()]).await,
            Asked::Trace => {
                let path = format!("/v1/trace?subject={}", self.held.1);
                self.send(Method::GET, &path, Some(&self.officer), &Value::Null).await.is_some()
            }
        }
    }

    async fn buy(&self, offer: &Offer) -> bool {
        let (lab, wanted) = (Some(&self.lab), self.lab.wanted(offer));
        let Some(quote) = self.send(Method::POST, "/v1/quotes", lab, &wanted).await else { return false };
        let quote: Value = quote.json().await.unwrap();
        let purchase = self.lab.purchase(&wanted, &quote);
        self.send(Method::POST, "/v1/purchases", lab, &purchase).await.is_some()
    }

    async fn send(&self, method: Method, path: &str, who: Option<&Actor>, body: &Value) -> Option<reqwest::Response> {
        let url = format!("{}{path}", self.nobody.server());
        let answer = floor::request(&self.http, method, url, who, body).send().await.ok()?;
        answer.status().is_success().then_some(answer)
    }
}
