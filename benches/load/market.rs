//! An exchange in a process of its own, with some corpora on its board, a lab that holds one, and what is asked of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corpex::cli::client::Client;
use corpex::types::Digest;
use rand::RngExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::measure;
use crate::support::process::Exchange;
use crate::support::{Actor, Offer, token_wish};

const CORPORA: usize = 60;
const SHARD_BYTES: usize = 64 * 1024;
const WORDS: [&str; 8] = ["poems", "songs", "letters", "essays", "novels", "plays", "diaries", "speeches"];
const PRICE_FEN: i64 = 1;

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
    url: String,
    server: u32,
    http: reqwest::Client,
    lab: Actor,
    lab_token: String,
    officer_token: String,
    offers: Vec<Offer>,
    /// A file that the lab holds a licence for, and its digest.
    held: (String, Digest),
    /// How many downloads were cut off, or brought other bytes.
    spoilt: Arc<AtomicU64>,
}

impl Market {
    pub async fn open() -> Self {
        let exchange = Exchange::serve_with(&measure::UNLIMITED).await;
        let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
        let officer = exchange.operate(&["admin", "issue-token", "--email", "compliance@exchange.test"]).stdout;
        let nobody = Client::new(&exchange.url, None).unwrap();
        let mut sides = Vec::new();
        for handle in ["poetry-house", "verse-lab"] {
            let side = Actor::register(&nobody, handle).await;
            operator.api("POST", &format!("/v1/organisations/{handle}/verification"), &Value::Null);
            side.register_key().await;
            sides.push(side);
        }
        let [provider, lab] = sides.try_into().ok().unwrap();
        let funds = json!({ "amount_minor": 90_000_000, "currency": "CNY" });
        operator.api(
            "POST",
            "/v1/deposits",
            &json!({ "organisation": "verse-lab", "amount": funds, "reference": "bank" }),
        );
        let items = compliance.api("GET", "/v1/checklist", &Value::Null);
        let answer = |item: &Value| json!({ "key": item["key"], "finding": "compliant", "evidence": [] });
        let checklist: Vec<Value> = items["items"].as_array().unwrap().iter().map(answer).collect();
        let assessment = json!({ "checklist": checklist, "decision": "passed", "valid_days": 365 });
        let terms = provider.publish_terms(PRICE_FEN).await;
        let (mut offers, mut held) = (Vec::new(), None);
        for number in 0..CORPORA {
            let bytes = format!("{{\"text\": \"{number:08}\"}}\n").repeat(SHARD_BYTES / 21).into_bytes();
            let name = format!("{}-{number}", WORDS[number % WORDS.len()]);
            let published = provider.publish(&name, &[("data/a.jsonl", &bytes)]).await;
            compliance.api("POST", &format!("{}/assessments", published.path()), &assessment);
            let offer = provider.list(&published, &terms).await;
            if held.is_none() {
                lab.buy(&offer).await.unwrap();
                let path = format!("/datasets/{}/resolve/main/data/a.jsonl", published.dataset);
                held = Some((path, Digest::of(&bytes)));
            }
            offers.push(offer);
        }
        let issued = lab.post("/v1/tokens", &token_wish("write", 30)).await.unwrap();
        let market = Self {
            url: exchange.url.clone(),
            server: exchange.server_id(),
            exchange: Mutex::new(exchange),
            http: reqwest::Client::builder().pool_max_idle_per_host(256).build().unwrap(),
            lab,
            lab_token: issued["token"].as_str().unwrap().to_string(),
            officer_token: String::from_utf8(officer).unwrap().trim().to_string(),
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
        for _ in 0..1200 {
            let told = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
            let is_idle = |of: &str| told.lines().any(|line| line == format!(r#"corpex_state{{of="{of}"}} 0"#));
            if is_idle("jobs_live") && is_idle("log_queued") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the exchange does not come to rest");
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
            Asked::Resolve => {
                self.send(Method::HEAD, &self.held.0, Some(&self.lab_token), &Value::Null).await.is_some()
            }
            Asked::Download => {
                let Some(answer) = self.send(Method::GET, &self.held.0, Some(&self.lab_token), &Value::Null).await
                else {
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
                self.send(Method::GET, &path, Some(&self.officer_token), &Value::Null).await.is_some()
            }
        }
    }

    async fn buy(&self, offer: &Offer) -> bool {
        let wanted = self.lab.wanted(offer);
        let token = Some(self.lab_token.as_str());
        let Some(quote) = self.send(Method::POST, "/v1/quotes", token, &wanted).await else { return false };
        let quote: Value = quote.json().await.unwrap();
        let envelope = self.lab.sign_payload(&quote["contract_payload"]);
        let purchase = json!({ "order": wanted, "quote": quote["quote"], "envelope": envelope });
        self.send(Method::POST, "/v1/purchases", token, &purchase).await.is_some()
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: &Value) -> Option<reqwest::Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.header("Idempotency-Key", uuid::Uuid::now_v7().to_string()).json(body);
        }
        let answer = request.send().await.ok()?;
        answer.status().is_success().then_some(answer)
    }
}
