//! The server is killed in the middle of things, again and again, and nothing is lost or done twice.
//!
//! `CORPEX_TORTURE_KILLS` says how often, where a few times are not enough, and `CORPEX_TORTURE_SEED` varies the moments.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use corpex::cli::client::Client;
use corpex::error::Kind;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::command_line::{assess, deposit};
use crate::support::process::{Exchange, Person, files, organisation};
use crate::support::{Actor, Offer, kinds_in_log, token_wish};

const SHARDS: u8 = 12;
const SHARD_BYTES: usize = 700_000;
/// How many send at once.
const LANES: usize = 8;

pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

/// How often the server is killed.
fn kills(otherwise: u64) -> u64 {
    setting("CORPEX_TORTURE_KILLS").unwrap_or(otherwise)
}

/// After how many more answers than `least` the server is killed in this round.
fn moment(round: u64, least: usize) -> usize {
    let mut chance = rand::rngs::StdRng::seed_from_u64(setting("CORPEX_TORTURE_SEED").unwrap_or(1) ^ (round << 32));
    least + chance.random_range(0..least)
}

/// Begins a command, and kills the server and then the command when it has finished `files` files.
fn cut_off(exchange: &mut Exchange, person: &Person, args: &[&str], files: usize) {
    let mut command = person.begin(args);
    let lines = BufReader::new(command.stderr.take().unwrap()).lines().map_while(Result::ok);
    let done = lines.filter(|line| line.starts_with("uploading: ") || line.starts_with("downloading: "));
    let seen = done.take(files).count();
    assert_eq!(seen, files, "the command ended before it could be cut off");
    exchange.kill();
    command.kill().unwrap();
    command.wait().unwrap();
    exchange.start();
}

fn corpus(folder: &Path) {
    std::fs::create_dir_all(folder.join("data")).unwrap();
    for shard in 0..SHARDS {
        let bytes: Vec<u8> = (0..SHARD_BYTES).map(|i| (i % 251) as u8 ^ shard).collect();
        std::fs::write(folder.join(format!("data/{shard:03}.bin")), bytes).unwrap();
    }
}

#[tokio::test]
async fn what_a_part_of_breaks_ends_as_a_whole_so_that_it_is_started_again() {
    let breaks = [("FAILPOINTS", "store-change=panic"), ("CORPEX_NO_WORKER", "true")];
    let mut exchange = Exchange::serve_with(&breaks).await;
    let worker = exchange.operate(&["worker"]);
    let said = String::from_utf8(worker.stderr).unwrap();
    assert_eq!(worker.status.code(), Some(1), "{said}");
    assert!(said.contains("working") && said.contains("a part of the worker panicked"), "{said}");
    exchange.stop();
    exchange.set("CORPEX_NO_WORKER", "false".to_string());
    exchange.start();
    assert_eq!(exchange.ended(), Some(1));
    exchange.set("FAILPOINTS", String::new());
    exchange.start();
    exchange.stop();
}

#[tokio::test]
async fn a_killed_server_loses_nothing_and_repeats_nothing() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 1_000_000);
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    corpus(&source);
    let (terms, provenance) = (work.path().join("terms.json"), work.path().join("provenance.json"));
    std::fs::write(&terms, crate::support::terms(50_000).to_string()).unwrap();
    std::fs::write(&provenance, crate::support::provenance().to_string()).unwrap();
    let (source_text, terms, provenance) =
        (source.display().to_string(), terms.display().to_string(), provenance.display().to_string());
    let dataset = "poetry-house/persistent";
    let publish =
        ["publish", &source_text, "--dataset", dataset, "--terms", &terms, "--provenance", &provenance, "--jobs", "2"];
    for files in [1, 4] {
        cut_off(&mut exchange, &provider, &publish, files);
    }
    let published = provider.json(&publish);
    assert_eq!(published["version"], 1);

    assess(&compliance, dataset, &published["version"]);
    provider.api(
        "POST",
        "/v1/listings",
        &json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] }),
    );
    let buy = ["buy", dataset, "--use", "pretraining of a small language model"];
    let mut buying = lab.begin(&buy);
    exchange.kill();
    let _ = buying.kill();
    let _ = buying.wait();
    exchange.start();
    let bought = lab.json(&buy);
    assert_eq!(bought, lab.json(&buy));

    let target = work.path().join("target");
    let to = target.display().to_string();
    let download = ["download", dataset, "--to", &to, "--jobs", "2"];
    for files in [1, 5] {
        cut_off(&mut exchange, &lab, &download, files);
    }
    lab.json(&download);
    assert_eq!(files(&source), files(&target));
    lab.done(&["verify", &to]);

    let orders = lab.api("GET", "/v1/orders", &Value::Null);
    assert_eq!(orders["items"].as_array().unwrap().len(), 1, "one purchase, one order");
    let postings = lab.api("GET", "/v1/organisations/verse-lab/postings", &Value::Null);
    assert_eq!(postings["items"].as_array().unwrap().len(), 2, "one deposit and one payment");
    let kinds = kinds_in_log(&Client::new(&exchange.url, None).unwrap()).await;
    for once in ["manifest", "terms", "assessment", "certificate", "listing", "contract", "entitlement"] {
        assert_eq!(kinds.get(once), Some(&1), "{once} statements in the log: {kinds:?}");
    }
    let feed = lab.api("GET", "/v1/events?organisation=verse-lab&limit=1000", &Value::Null);
    let told = |kind: &str| feed["items"].as_array().unwrap().iter().filter(|event| event["type"] == kind).count();
    for once in ["deposit.posted", "order.escrowed", "entitlement.active"] {
        assert_eq!(told(once), 1, "{once} among the events: {feed}");
    }
    exchange.stop();
    exchange.audit();
}

/// Deposits of one fen by many at once while the server is killed and starts again. Gives each key with its answer;
/// those whose answer was cut off asked again.
async fn deposit_while_killed(exchange: &mut Exchange, operator: &Client, round: u64) -> Vec<(String, Value)> {
    let (answered, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let lanes = (0..LANES).map(|lane| {
        let (operator, answered, killed) = (operator.clone(), answered.clone(), killed.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !killed.load(Ordering::Relaxed) {
                let key = format!("{round}-{lane}-{}", answers.len());
                let answer = deposit_once(&operator, &key).await.unwrap();
                answers.push((key, answer));
                answered.fetch_add(1, Ordering::Relaxed);
            }
            answers
        })
    });
    let lanes: Vec<_> = lanes.collect();
    kill_after(exchange, &answered, moment(round, 3 * LANES), &killed).await;
    let mut answers = Vec::new();
    for lane in lanes {
        answers.extend(lane.await.unwrap());
    }
    answers
}

/// Kills the server when so much is done, and starts it again.
async fn kill_after(exchange: &mut Exchange, done: &AtomicUsize, most: usize, killed: &AtomicBool) {
    let so_much = async {
        while done.load(Ordering::Relaxed) < most {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), so_much).await.expect("nothing is answered");
    exchange.kill();
    killed.store(true, Ordering::Relaxed);
    exchange.start();
}

async fn deposit_once(operator: &Client, key: &str) -> corpex::error::Result<Value> {
    let amount = json!({ "amount_minor": 1, "currency": "CNY" });
    let deposit = json!({ "organisation": "verse-lab", "amount": amount, "reference": format!("bank {key}") });
    operator.post("/v1/deposits").idempotent(key).json(&deposit)?.send().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn money_is_right_to_the_fen_after_the_server_is_killed_under_load() {
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    organisation(&exchange, &operator, "verse-lab");
    let token = exchange.operate(&["admin", "issue-token", "--email", "operator@exchange.test"]).stdout;
    let client = Client::new(&exchange.url, Some(String::from_utf8(token).unwrap().trim().to_string())).unwrap();
    let mut deposited = 0;
    for round in 0..kills(3) {
        let answers = deposit_while_killed(&mut exchange, &client, round).await;
        for (key, answer) in &answers {
            assert_eq!(deposit_once(&client, key).await.unwrap(), *answer, "{key} got another answer");
        }
        deposited += answers.len();
        let accounts = operator.api("GET", "/v1/organisations/verse-lab/accounts", &Value::Null);
        assert_eq!(accounts["items"][0]["balance"]["amount_minor"], deposited);
        let report = operator.api("GET", "/v1/reconciliation", &Value::Null);
        assert_eq!((&report["differences"], &report["transactions"]), (&json!([]), &json!(deposited)));
    }
    exchange.stop();
    exchange.audit();
}

/// Asks again for as long as the server is away; only for what may be done twice.
async fn until_answered<T, F: Future<Output = corpex::error::Result<T>>>(ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if error.kind == Kind::Unavailable => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// One trade from quote to settlement, whatever happens to the server meanwhile.
async fn trade(lab: &Actor, offer: &Offer, key: &str) {
    let quote = until_answered(|| lab.quoted(offer)).await;
    let bought: Value = lab.keyed(&format!("buy-{key}"), "/v1/purchases", &quote).send().await.unwrap();
    let licence = bought["entitlement"]["id"].as_str().unwrap();
    until_answered(|| lab.links(licence, &["data/a.jsonl"])).await;
    let acceptance = format!("/v1/orders/{}/acceptance", bought["order"]["id"].as_str().unwrap());
    let accepted: Value = lab.keyed(&format!("accept-{key}"), acceptance, &Value::Null).send().await.unwrap();
    assert_eq!(accepted["state"], "certificated");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn trades_and_uploads_are_done_once_however_often_the_server_is_killed_meanwhile() {
    const PRICE: i64 = 1_000;
    const FUNDS: i64 = 90_000_000;
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let nobody = Client::new(&exchange.url, None).unwrap();
    let (provider, lab) = sides(&nobody, &operator).await;
    deposit(&operator, "verse-lab", FUNDS);
    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
    assess(&compliance, &published.dataset, &json!(published.version));
    let terms = provider.publish_terms(PRICE).await;
    let (offer, draft) = (provider.list(&published, &terms).await, provider.draft("songs").await);
    let (provider, lab) = (Arc::new(provider), Arc::new(lab));
    let (mut trades, mut shards) = (0, 0);
    for round in 0..kills(2) {
        let (answered, killed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let buyers = (0..LANES / 2).map(|lane| {
            let (lab, offer, answered, killed) = (lab.clone(), offer.clone(), answered.clone(), killed.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while !killed.load(Ordering::Relaxed) {
                    trade(&lab, &offer, &format!("{round}-{lane}-{done}")).await;
                    done += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                done
            })
        });
        let buyers: Vec<_> = buyers.collect();
        let (sender, path, stop) = (provider.clone(), draft.clone(), killed.clone());
        let uploads = tokio::spawn(async move {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                let (shard, bytes) =
                    (format!("data/{round}-{done}.jsonl"), format!("{{\"line\": \"{round}-{done}\"}}\n"));
                until_answered(|| sender.put_shard(&path, &shard, bytes.as_bytes())).await;
                done += 1;
            }
            done
        });
        kill_after(&mut exchange, &answered, moment(round, 4), &killed).await;
        for buyer in buyers {
            trades += buyer.await.unwrap();
        }
        shards += uploads.await.unwrap();
        assert_eq!(provider.balance("payable").await, trades * 970, "each trade was settled once");
        assert_eq!(lab.balance("wallet").await, FUNDS - trades * PRICE, "each trade was paid once");
    }
    assert_eq!(count(&provider, &format!("{draft}/shards?limit=100")).await, shards, "each shard stands once");
    log_with(&nobody, "trade-certificate").await;
    exchange.stop();
    exchange.audit();
}

/// How many items a list has on all of its pages.
async fn count(actor: &Actor, list: &str) -> usize {
    let (mut counted, mut page) = (0, actor.get(list).await.unwrap());
    loop {
        counted += page["items"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { return counted };
        page = actor.get(format!("{list}&cursor={next}")).await.unwrap();
    }
}

/// A verified provider and a verified lab.
async fn sides(nobody: &Client, operator: &Person) -> (Actor, Actor) {
    let mut sides = Vec::new();
    for handle in ["poetry-house", "verse-lab"] {
        let side = Actor::register(nobody, handle).await;
        operator.api("POST", &format!("/v1/organisations/{handle}/verification"), &Value::Null);
        side.register_key().await;
        sides.push(side);
    }
    let [provider, lab] = sides.try_into().ok().unwrap();
    (provider, lab)
}

/// Somebody whose answers get lost.
struct Unlucky {
    actor: Actor,
    token: String,
}

impl Unlucky {
    async fn of(actor: Actor) -> Self {
        let issued = actor.post("/v1/tokens", &token_wish("write", 1)).await.unwrap();
        Self { token: issued["token"].as_str().unwrap().to_string(), actor }
    }

    /// Sends a request, kills the server once its effect is there, and starts it again; nobody read the answer. Then sends
    /// the same request again, under the same key, and gives the answer.
    async fn ask(
        &self,
        exchange: &mut Exchange,
        (path, body): (&str, &Value),
        (look, is_there): (&str, impl Fn(&Value) -> bool),
    ) -> Value {
        let key = uuid::Uuid::now_v7().to_string();
        let mut connection = self.send(exchange, &key, path, body);
        let mut looks = 0;
        while !is_there(&self.actor.get(look).await.unwrap()) {
            looks += 1;
            assert!(looks < 100_000, "{path} has no effect");
        }
        exchange.kill();
        let mut unread = String::new();
        let _ = connection.read_to_string(&mut unread);
        exchange.start();
        let answer: Value = self.actor.keyed(&key, path, body).send().await.unwrap();
        if let Some((_, lost)) = unread.split_once("\r\n\r\n")
            && let Ok(lost) = serde_json::from_str::<Value>(lost)
        {
            assert_eq!(answer, lost, "{path} was answered otherwise before");
        }
        answer
    }

    fn send(&self, exchange: &Exchange, key: &str, path: &str, body: &Value) -> TcpStream {
        let address = exchange.url.strip_prefix("http://").unwrap();
        let (mut connection, body) = (TcpStream::connect(address).unwrap(), body.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        connection.write_all(request.as_bytes()).unwrap();
        connection
    }
}

/// What the log holds, once it holds this: the lease of a killed sequencer has to lapse first.
async fn log_with(anyone: &Client, kind: &str) -> BTreeMap<String, usize> {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let kinds = kinds_in_log(anyone).await;
            if kinds.contains_key(kind) {
                return kinds;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("nobody sequences the log")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_every_answer_was_lost_is_placed_signed_paid_and_accepted_once() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let nobody = Client::new(&exchange.url, None).unwrap();
    let (provider, lab) = sides(&nobody, &operator).await;
    deposit(&operator, "verse-lab", 50_000);
    let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n")]).await;
    assess(&compliance, &published.dataset, &json!(published.version));
    let terms = provider.publish_terms(50_000).await;
    let offer = provider.list(&published, &terms).await;

    let lab = Unlucky::of(lab).await;
    let wanted = json!({
        "listing_id": offer.listing, "organisation": "verse-lab", "use": "pretrain", "purpose": "pretraining of a small model",
    });
    let is_one = |orders: &Value| orders["items"].as_array().unwrap().len() == 1;
    let order = lab.ask(&mut exchange, ("/v1/orders", &wanted), ("/v1/orders", is_one)).await;
    let shown = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let is = |state: &'static str| move |order: &Value| order["state"] == state;
    let envelope = json!({ "envelope": lab.actor.sign_payload(&order["contract_payload"]) });
    let signed = (format!("{shown}/contract"), format!("{shown}/payment"), format!("{shown}/acceptance"));
    lab.ask(&mut exchange, (&signed.0, &envelope), (&shown, is("awaiting_payment"))).await;
    let paid = lab.ask(&mut exchange, (&signed.1, &Value::Null), (&shown, is("escrowed"))).await;
    lab.actor.links(paid["entitlement"]["id"].as_str().unwrap(), &["data/a.jsonl"]).await.unwrap();
    let accepted = lab.ask(&mut exchange, (&signed.2, &Value::Null), (&shown, is("certificated"))).await;
    assert_eq!(accepted["id"], order["id"]);

    let kinds = log_with(&nobody, "trade-certificate").await;
    for once in ["contract", "entitlement", "settlement", "trade-certificate"] {
        assert_eq!(kinds.get(once), Some(&1), "{once} statements in the log: {kinds:?}");
    }
    let history = lab.actor.get(&shown).await.unwrap()["history"].as_array().unwrap().len();
    assert_eq!(history, 8, "each step once");
    assert_eq!((lab.actor.balance("wallet").await, provider.balance("payable").await), (0, 48_500));
    exchange.stop();
    exchange.audit();
}
