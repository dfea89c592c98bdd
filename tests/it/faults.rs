//! What an exchange stands on goes away, fills up, falls silent or lies: callers are told so and what to do, what is at hand is
//! served, and when it is back everything goes on, with nothing lost and nothing done twice.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use base64::Engine as _;
use corpex::catalog;
use corpex::config::Config;
use corpex::db::Db;
use corpex::error::{Kind, Problem};
use corpex::types::{Digest, UploadId};
use diesel::connection::SimpleConnection as _;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::wire::{State, Wire};
use crate::support::{Actor, Offer, TestApp, TestDatabase, refused, token_wish};

const PRICE: i64 = 1_000;
/// How many orders are under way when something goes away.
const BUYERS: usize = 6;

/// An exchange whose PostgreSQL is at the end of a wire; nothing where the tests run on SQLite, which is never away.
async fn with_a_distant_database() -> Option<(TestApp, Wire)> {
    let wire = Wire::to(&std::env::var("TEST_DATABASE_URL").ok()?).await;
    let app = TestApp::start_with(|config| {
        config.database_url = config.database_url.as_ref().map(|url| wire.through(url));
        config.requests_per_address = 0;
    });
    Some((app.await, wire))
}

/// An exchange whose bucket is at the end of a wire; nothing where the tests run on a directory.
async fn with_a_distant_bucket() -> Option<(TestApp, Wire)> {
    let wire = Wire::to(&std::env::var("TEST_S3_ENDPOINT").ok()?).await;
    let at_the_wire = |config: &mut Config| {
        config.s3_endpoint = config.s3_endpoint.as_ref().map(|url| wire.through(url));
        config.requests_per_address = 0;
    };
    Some((TestApp::start_with(at_the_wire).await, wire))
}

/// Somebody whose requests are sent once, whatever is answered.
struct Impatient {
    url: String,
    token: String,
}

struct Answer {
    status: StatusCode,
    retry_after: Option<u64>,
    body: String,
}

impl Impatient {
    async fn of(app: &TestApp, actor: &Actor) -> Self {
        let issued = actor.post("/v1/tokens", &token_wish("write", 1)).await.unwrap();
        Self { url: app.url.clone(), token: issued["token"].as_str().unwrap().to_string() }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let request = reqwest::Client::new().request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = request.header("Idempotency-Key", uuid::Uuid::now_v7().to_string()).json(body);
        Answer::of(request.send().await.unwrap()).await
    }

    /// Sends a small shard.
    async fn put(&self, path: &str, bytes: &[u8]) -> Answer {
        let digest = base64::engine::general_purpose::STANDARD.encode(Digest::of(bytes).0);
        let request = reqwest::Client::new().put(format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request =
            request.header("Content-Digest", format!("sha-256=:{digest}:")).header("Content-Type", "text/plain");
        Answer::of(request.body(bytes.to_vec()).send().await.unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &Value::Null).await
    }
}

impl Answer {
    async fn of(answer: reqwest::Response) -> Self {
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.map(|value| value.to_str().unwrap().parse().unwrap());
        Self { status: answer.status(), retry_after, body: answer.text().await.unwrap() }
    }

    /// That it was a 503 with these words, which says when to come again.
    #[track_caller]
    fn asks_to_come_again(&self, words: &str) {
        let problem: Problem =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body));
        assert_eq!(self.status, StatusCode::SERVICE_UNAVAILABLE, "{problem:?}");
        assert!(problem.detail.contains(words), "{problem:?}");
        assert!(self.retry_after.is_some_and(|seconds| seconds > 0), "it does not say when");
    }
}

/// Waits until the exchange says that it is ready.
async fn ready_again(anyone: &Impatient) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while anyone.get("/readyz").await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the exchange does not come back");
}

async fn market(app: &TestApp) -> (Actor, Offer, Actor) {
    let provider = app.provider().await;
    let offer = app.listed_corpus(&provider, "poems", PRICE).await;
    (provider, offer, app.lab("verse-lab", 100 * PRICE).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_an_exchange_says_so_at_once_and_goes_on_when_it_is_back() {
    let Some((app, wire)) = with_a_distant_database().await else { return };
    let (_, offer, lab) = market(&app).await;
    let anyone = Impatient::of(&app, &lab).await;
    wire.becomes(State::Cut);
    let order = lab.wanted(&offer);
    let asked = [
        (Method::GET, "/v1/orders", &Value::Null),
        (Method::GET, "/v1/listings", &Value::Null),
        (Method::GET, "/log/checkpoint", &Value::Null),
        (Method::POST, "/v1/orders", &order),
    ];
    let asked = asked.map(|(method, path, body)| anyone.ask(method, path, body));
    for answer in join_all(asked).await {
        answer.asks_to_come_again("the database cannot be reached");
    }
    assert_eq!(anyone.get("/healthz").await.status, StatusCode::OK);
    let ready = anyone.get("/readyz").await;
    let said: Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!((ready.status, &said["store"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("ok")));
    assert!(said["database"].as_str().unwrap().contains("cannot be reached"), "{said}");
    wire.becomes(State::Whole);
    ready_again(&anyone).await;
    assert_eq!(lab.get("/v1/orders").await.unwrap()["items"], json!([]), "what was refused was not done");
    lab.buy(&offer).await.unwrap();
    app.sequenced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purchases_that_a_cut_met_half_way_are_done_once_when_they_are_sent_again() {
    let Some((app, wire)) = with_a_distant_database().await else { return };
    let (provider, offer, lab) = market(&app).await;
    let anyone = Impatient::of(&app, &lab).await;
    for round in 0..3 {
        let quotes = join_all((0..BUYERS).map(|_| lab.quoted(&offer))).await;
        let quotes: Vec<_> = quotes.into_iter().map(|quote| quote.unwrap()).collect();
        let purchases = quotes.iter().enumerate().map(|(number, quote)| {
            let key = format!("{round}-{number}");
            let lab = &lab;
            async move { lab.keyed(&key, "/v1/purchases", quote).send::<Value>().await.unwrap() }
        });
        let cut = async {
            tokio::time::sleep(Duration::from_millis(5 * round)).await;
            wire.becomes(State::Cut);
            assert_ne!(anyone.get("/readyz").await.status, StatusCode::OK);
            wire.becomes(State::Whole);
        };
        let (bought, ()) = tokio::join!(join_all(purchases), cut);
        assert_eq!(bought.len(), BUYERS);
    }
    let paid = 3 * i64::try_from(BUYERS).unwrap() * PRICE;
    assert_eq!(lab.balance("wallet").await, 100 * PRICE - paid, "each was paid once");
    assert_eq!(lab.get("/v1/orders?limit=100").await.unwrap()["items"].as_array().unwrap().len(), 3 * BUYERS);
    assert_eq!(provider.balance("payable").await, 0, "nothing is settled");
    app.sequenced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_free_connection_is_used_over_those_there_are() {
    let Some((app, wire)) = with_a_distant_database().await else { return };
    let (_, offer, lab) = market(&app).await;
    wire.becomes(State::Full);
    for bought in join_all((0..BUYERS).map(|_| lab.buy(&offer))).await {
        bought.unwrap();
    }
    wire.becomes(State::Slow);
    lab.buy(&offer).await.unwrap();
    wire.becomes(State::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_told_of_before_who_asks_goes_away() {
    let Some((app, wire)) = with_a_distant_database().await else { return };
    let anyone = Impatient { url: app.url.clone(), token: String::new() };
    ready_again(&anyone).await;
    wire.becomes(State::Silent);
    let (ready, metrics) = tokio::join!(anyone.get("/readyz"), anyone.get("/metrics"));
    wire.becomes(State::Whole);
    let said: Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(
        (ready.status, &said["database"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("no answer within 2 seconds")),
        "{said}"
    );
    assert_eq!(metrics.status, StatusCode::OK, "{}", metrics.body);
    assert!(metrics.body.contains(r#"corpex_state{of="database_reached"} 0"#), "{}", metrics.body);
    ready_again(&anyone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_connections_are_all_in_use_is_ready_all_the_same() {
    let app = TestApp::start_with(|config| config.no_worker = true).await;
    let anyone = Impatient { url: app.url.clone(), token: String::new() };
    let connections = app.app().config.database_connections;
    let in_use = Arc::new(Barrier::new(usize::try_from(connections).unwrap() + 1));
    let working: Vec<_> = (0..connections)
        .map(|_| {
            let (db, in_use) = (app.app().db.clone(), in_use.clone());
            tokio::spawn(async move { db.read(move |_| Ok([in_use.wait(), in_use.wait()])).await })
        })
        .collect();
    in_use.wait();
    let (ready, metrics) = (anyone.get("/readyz").await, anyone.get("/metrics").await);
    in_use.wait();
    for work in working {
        work.await.unwrap().unwrap();
    }
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.body);
    assert!(metrics.body.contains(r#"corpex_state{of="database_reached"} 1"#), "{}", metrics.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_bucket_an_exchange_trades_and_takes_no_bytes() {
    let Some((app, wire)) = with_a_distant_bucket().await else { return };
    let (provider, offer, lab) = market(&app).await;
    let (uploader, version) = (Impatient::of(&app, &provider).await, provider.draft("songs").await);
    wire.becomes(State::Cut);
    let declared = json!({ "path": "data/a.jsonl", "size_bytes": 3, "sha256": Digest::of("{}\n") });
    uploader.ask(Method::POST, &format!("{version}/uploads"), &declared).await.asks_to_come_again("the object store");
    let ready = uploader.get("/readyz").await;
    let said: Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(
        (ready.status, &said["database"]),
        (StatusCode::OK, &json!("ok")),
        "most of what is asked needs no bucket"
    );
    assert!(said["store"].as_str().unwrap().contains("cannot be used"), "{said}");
    assert!(uploader.get("/metrics").await.body.contains(r#"corpex_state{of="store_reached"} 0"#));
    let licence = lab.buy(&offer).await.unwrap();
    lab.links(&licence, &["data/a.jsonl"]).await.unwrap();
    assert!(lab.get("/v1/datasets?q=poems").await.is_ok() && lab.get("/v1/orders").await.is_ok());
    wire.becomes(State::Whole);
    ready_again(&uploader).await;
    provider.put_shard(&version, "data/a.jsonl", b"{}\n").await.unwrap();
}

/// Sends a shard in one part, and gives the upload.
async fn upload(provider: &Actor, version: &str, path: &str, bytes: &[u8]) -> UploadId {
    let declared = json!({ "path": path, "size_bytes": bytes.len(), "sha256": Digest::of(bytes) });
    let upload = provider.post(format!("{version}/uploads"), &declared).await.unwrap();
    let id = upload["id"].as_str().unwrap();
    let urls = provider.post(format!("/v1/uploads/{id}/urls"), &json!({ "parts": [1] })).await.unwrap();
    provider.client.put(urls["urls"][0]["url"].as_str().unwrap()).bytes(bytes.to_vec()).response().await.unwrap();
    provider.client.post(format!("/v1/uploads/{id}/complete")).response().await.unwrap();
    id.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_a_bucket_cuts_short_or_changes_are_not_taken_for_the_shard() {
    let Some((app, wire)) = with_a_distant_bucket().await else { return };
    let provider = app.provider().await;
    let (version, bytes) = (provider.draft("songs").await, vec![b'a'; 300_000]);
    let state = async |id: UploadId| provider.get(format!("/v1/uploads/{id}")).await.unwrap();

    wire.becomes(State::Truncating(40_000));
    let cut_short = upload(&provider, &version, "data/short.txt", &bytes).await;
    refused(catalog::verify_upload(app.app(), cut_short).await, Kind::Unavailable, None);
    assert_eq!(state(cut_short).await["state"], "verifying", "it is read again later");
    wire.becomes(State::Whole);
    app.drain().await;
    assert_eq!(state(cut_short).await["state"], "verified");

    wire.becomes(State::Changing);
    let other = [bytes.as_slice(), b"b"].concat();
    let changed = upload(&provider, &version, "data/changed.txt", &other).await;
    app.drain().await;
    let settled = state(changed).await;
    assert_eq!(settled["state"], "refused");
    assert!(settled["refusal"].as_str().unwrap().contains("was found"), "{settled}");
    let uploader = Impatient::of(&app, &provider).await;
    let sent_whole = uploader.put(&format!("{version}/shards/data/whole.txt"), &[b'a'; 2000]).await;
    assert_eq!(sent_whole.status, StatusCode::INTERNAL_SERVER_ERROR, "{}", sent_whole.body);
    let gone = uploader.ask(Method::DELETE, &format!("{version}/shards/data/whole.txt"), &Value::Null).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.body);
    wire.becomes(State::Whole);
    let again = upload(&provider, &version, "data/changed.txt", &other).await;
    app.drain().await;
    assert_eq!(state(again).await["state"], "verified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_takes_no_change_and_answers_every_question() {
    let app = TestApp::start().await;
    if app.app().config.database_url.is_some() {
        return; // there is one PostgreSQL for all tests, and no way to fill it for one
    }
    let (_, offer, lab) = market(&app).await;
    let anyone = Impatient::of(&app, &lab).await;
    let db = app.app().db.clone();
    let may_hold = |pages: &'static str| {
        let db = db.clone();
        async move {
            db.write(move |c| Ok(c.batch_execute(&format!("PRAGMA max_page_count = {pages}"))?)).await.unwrap();
        }
    };
    may_hold("1").await; // no more than there are
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let order = anyone.ask(Method::POST, "/v1/orders", &lab.wanted(&offer)).await;
            if order.status != StatusCode::CREATED && order.status != StatusCode::OK {
                return order;
            }
        }
    });
    told.await.expect("it is never full").asks_to_come_again("no room");
    assert_eq!(anyone.get("/v1/orders").await.status, StatusCode::OK);
    assert_eq!(anyone.get("/v1/listings").await.status, StatusCode::OK);
    may_hold("1000000").await;
    lab.buy(&offer).await.unwrap();
    app.sequenced().await;
}

/// Only where `CORPEX_SMALL_DISK` names a folder on a disk of a few dozen MiB, and the database lies in a folder:
/// `scripts/torture` makes one.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_half_done_and_everything_goes_on_when_there_is_room() {
    let Some(disk) = std::env::var_os("CORPEX_SMALL_DISK") else { return };
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        return;
    }
    let folder = tempfile::tempdir_in(disk).unwrap();
    let at = folder.path().to_path_buf();
    let app = TestApp::start_with(|config| {
        config.data_dir = at;
        config.s3_bucket = None;
        config.s3_endpoint = None;
    });
    let app = app.await;
    let (provider, offer, lab) = market(&app).await;
    let (version, filler) = (provider.draft("songs").await, folder.path().join("filler"));
    let (buyer, uploader) = (Impatient::of(&app, &lab).await, Impatient::of(&app, &provider).await);
    for round in 0..3_i64 {
        fill(&filler);
        let shard = format!("{version}/shards/data/{round}.txt");
        let upload = uploader.put(&shard, &vec![b'a'; 300_000]).await;
        upload.asks_to_come_again("no room");
        let mut orders = 0;
        while buyer.ask(Method::POST, "/v1/orders", &lab.wanted(&offer)).await.status != StatusCode::SERVICE_UNAVAILABLE
        {
            orders += 1;
            assert!(orders < 10_000, "it is never full");
        }
        assert_eq!(buyer.get("/v1/listings").await.status, StatusCode::OK);
        std::fs::remove_file(&filler).unwrap();
        provider.put_shard(&version, &format!("data/{round}.txt"), b"there is room again").await.unwrap();
        lab.buy(&offer).await.unwrap();
        assert_eq!(lab.balance("wallet").await, (99 - round) * PRICE);
    }
    app.sequenced().await;
}

/// Writes a file until there is no room.
fn fill(file: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(file).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        let piece = vec![0; size];
        while file.write_all(&piece).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_told_to_stop_says_so_while_it_still_answers() {
    let app = TestApp::start_with(|config| config.drain_seconds = 3).await;
    let anyone = Impatient { url: app.url.clone(), token: String::new() };
    let stopping = tokio::spawn(app.abandon());
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            let ready = anyone.get("/readyz").await;
            if ready.status == StatusCode::SERVICE_UNAVAILABLE {
                return serde_json::from_str::<Value>(&ready.body).unwrap();
            }
        }
    });
    assert_eq!(told.await.unwrap()["instance"], "stopping");
    assert_eq!(anyone.get("/healthz").await.status, StatusCode::OK);
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_that_nobody_reads_holds_no_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let app = TestApp::start().await;
    let address = app.url.strip_prefix("http://").unwrap().to_string();
    for sent in ["", "5\r\nhel"] {
        let mut connection = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!("POST /nowhere HTTP/1.1\r\nHost: {address}\r\nTransfer-Encoding: chunked\r\n\r\n{sent}");
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(60), connection.read_to_string(&mut answer));
        read.await.expect("the connection stays open").unwrap();
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_read_from_a_copy_that_may_lag_behind_and_go_on_without_it() {
    let copy = TestDatabase::create().await;
    let Some(url) = copy.url.clone() else { return };
    Db::open(&url, 1).unwrap().migrate().await.unwrap();
    let wire = Wire::to(&url).await;
    let through = wire.through(&url);
    let app = TestApp::start_with(|config| config.database_read_url = Some(through)).await;
    let provider = app.provider().await;
    app.listed_corpus(&provider, "poems", PRICE).await;
    let search = async || app.anonymous().get("/v1/datasets?q=poems").send::<Value>().await.unwrap();
    while search().await["total"] == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await; // what is listed is found within a second
    }
    assert_eq!(search().await["items"], json!([]), "the copy does not have it yet");
    wire.becomes(State::Cut);
    assert_eq!(search().await["items"][0]["name"], "poems");
}
