//! What a server tells those who watch it while it runs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corpex::config::Config;
use corpex::events::dispatch;
use corpex::leases::Claimant;
use corpex::worker;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::command_line::{deposit, papers};
use crate::support::TestApp;
use crate::support::process::{Exchange, organisation};

/// Somebody who collects traces (OTLP over HTTP) and keeps what was sent.
struct Collector {
    url: String,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (url, sent) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<u8>>>::default());
        let all = sent.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let all = all.clone();
                std::thread::spawn(move || while take(&connection, &all).is_some() {});
            }
        });
        Self { url, sent }
    }

    fn was_sent(&self, text: &str) -> bool {
        self.sent.lock().unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }
}

/// Takes one request; none when there are no more.
fn take(connection: &TcpStream, all: &Mutex<Vec<u8>>) -> Option<()> {
    let (mut reader, mut length) = (BufReader::new(connection), 0);
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    assert!(first.starts_with("POST /v1/traces "), "{first}");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    all.lock().unwrap().extend(body);
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    (&mut &*connection).write_all(answer.as_bytes()).ok()
}

/// What the exchange says of this to Prometheus.
async fn state(app: &TestApp, of: &str) -> i64 {
    let told = app.anonymous().get("/metrics").text().await.unwrap();
    let line = format!(r#"corpex_state{{of="{of}"}} "#);
    told.lines()
        .find_map(|told| told.strip_prefix(&line))
        .unwrap_or_else(|| panic!("{of} is not told of"))
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_worker_is_told_until_one_comes() {
    let without_a_worker = |config: &mut Config| (config.no_worker, config.webhook_private_networks) = (true, true);
    let app = TestApp::start_with(without_a_worker).await;
    let lab = app.organisation("verse-lab").await;
    let nobody = json!({ "url": "http://127.0.0.1:9/nobody-listens-here" });
    lab.post("/v1/organisations/verse-lab/webhooks", &nobody).await.unwrap();
    while dispatch::step(app.app(), &Claimant::new("one")).await.unwrap() {}
    assert_eq!((state(&app, "webhooks_waiting").await, state(&app, "swept_at").await), (1, 0));
    let (stop, began) = (CancellationToken::new(), app.clock.now().unix().0);
    let working = tokio::spawn(worker::run(app.app().clone(), stop.clone()));
    let done = tokio::time::timeout(Duration::from_secs(60), async {
        while state(&app, "webhooks_waiting").await > 0 || state(&app, "swept_at").await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    done.await.expect("no worker comes");
    assert!(u64::try_from(state(&app, "swept_at").await).unwrap() >= began);
    stop.cancel();
    working.await.unwrap().unwrap();
}

#[test]
fn every_alert_is_explained_and_asks_for_what_is_told() {
    let read = |file: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (alerts, explained) = (read("deploy/alerts.yaml"), read("docs/operations.md"));
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let in_the_table: Vec<_> = explained
        .lines()
        .filter_map(|line| line.strip_prefix("| `Corpex")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(in_the_table.iter().map(|name| format!("Corpex{name}")).collect::<Vec<_>>(), names);
    for asked in [alerts, read("deploy/grafana.json").replace('\\', "")] {
        let states: Vec<_> = asked.split(r#"of=""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(states.len() > 5, "{states:?}");
        for of in states {
            assert!(explained.contains(&format!(r#"| `of="{of}"` |"#)), "{of} is told by nobody");
        }
    }
}

#[tokio::test]
async fn a_request_is_a_trace_of_its_transactions_and_of_what_it_asked_of_the_store_and_holds_no_secret() {
    let collector = Collector::open();
    let mut exchange = Exchange::serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str())]).await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    deposit(&operator, "poetry-house", 1);
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name).display().to_string();
    std::fs::create_dir(at("source")).unwrap();
    std::fs::write(at("source/a.jsonl"), "{}\n").unwrap();
    let (source, (terms, provenance)) = (at("source"), papers(work.path()));
    provider.json(&[
        "publish",
        &source,
        "--dataset",
        "poetry-house/poems",
        "--terms",
        &terms,
        "--provenance",
        &provenance,
    ]);
    let token = exchange.operate(&["admin", "issue-token", "--email", "operator@exchange.test"]).stdout;
    let token = String::from_utf8(token).unwrap().trim().to_string();
    let secret = exchange.person("operator-again", &token);
    secret.api("GET", "/v1/organisations", &Value::Null);
    exchange.stop();

    let told = ["request", "/v1/deposits", "transaction", "write", "store", "put", "job", "InspectVersion", "corpex"];
    for text in told {
        assert!(collector.was_sent(text), "no trace tells of {text}");
    }
    for text in [token.as_str(), "Bearer", crate::support::PASSWORD, "signature="] {
        assert!(!collector.was_sent(text), "a trace tells {text}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nothing_up() {
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{nowhere}");
    let mut exchange = Exchange::serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]).await;
    let operator = exchange.platform("operator");
    organisation(&exchange, &operator, "poetry-house");
    exchange.stop();
}
