//! Webhooks: what happens reaches a receiver signed, in order and at least once, and no door inside a network.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use corpex::error::Kind;
use corpex::events::retention;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Actor, TestApp};

/// One request that a receiver was sent.
#[derive(Clone, Debug)]
struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(header, _)| header == name).unwrap().1
    }

    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Verifies as the libraries of Standard Webhooks do.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        mac.update(format!("{id}.{timestamp}.{}", self.body).as_bytes());
        let expected = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// Somebody's server: keeps what it is sent, and answers with the status that it is told.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    status: Arc<Mutex<&'static str>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (received, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new("204 No Content")));
        let (kept, answer) = (received.clone(), status.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                while whole(&bytes).is_none() {
                    let mut piece = [0; 4096];
                    match stream.read(&mut piece).await {
                        Ok(read @ 1..) => bytes.extend_from_slice(&piece[..read]),
                        _ => break,
                    }
                }
                kept.lock().unwrap().extend(whole(&bytes));
                let status = *answer.lock().unwrap();
                let head = format!(
                    "HTTP/1.1 {status}\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                );
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        Self { url, received, status }
    }

    fn answer(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }

    /// What came so far, once it is this much.
    async fn received(&self, count: usize) -> Vec<Received> {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let so_far = self.received.lock().unwrap().clone();
                if so_far.len() >= count {
                    return so_far;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("the receiver was not sent what it waits for")
    }
}

/// A request, once all of it is there.
fn whole(bytes: &[u8]) -> Option<Received> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let headers: Vec<_> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_string()))
        .collect();
    let length: usize = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    (body.len() == length).then(|| Received { headers, body: body.to_string() })
}

/// An exchange in a private network that keeps events for 30 days, a lab, and the webhook that it has at a receiver.
async fn story() -> (TestApp, Actor, Receiver, Value) {
    let settings = |config: &mut corpex::config::Config| {
        (config.webhook_private_networks, config.event_retention_days) = (true, 30);
    };
    let app = TestApp::start_with(settings).await;
    let lab = app.lab("verse-lab", 0).await;
    app.told().await;
    let receiver = Receiver::start().await;
    let wanted = json!({ "url": receiver.url, "types": ["deposit.posted"] });
    let webhook = lab.post("/v1/organisations/verse-lab/webhooks", &wanted).await.unwrap();
    (app, lab, receiver, webhook)
}

fn path(webhook: &Value, rest: &str) -> String {
    format!("/v1/organisations/verse-lab/webhooks/{}{rest}", webhook["id"].as_str().unwrap())
}

async fn attempts(lab: &Actor, webhook: &Value) -> Vec<Value> {
    lab.get(path(webhook, "/attempts")).await.unwrap()["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_and_signed_and_a_secret_is_replaced_without_a_gap() {
    let (app, lab, receiver, webhook) = story().await;
    let secret = webhook["secret"].as_str().unwrap();
    app.operator.deposit("verse-lab", 100, "bank-1").await;
    app.operator.deposit("verse-lab", 200, "bank-2").await;
    let received = receiver.received(2).await;
    let feed = lab.get("/v1/events?organisation=verse-lab&types=deposit.posted").await.unwrap();
    assert_eq!(json!(received.iter().map(Received::event).collect::<Vec<_>>()), feed["items"]);
    for request in &received {
        assert!(request.is_signed_with(secret), "{request:?}");
        assert_eq!(request.header("webhook-id"), request.event()["id"]);
    }
    let listed = lab.get("/v1/organisations/verse-lab/webhooks").await.unwrap();
    assert!(!listed.to_string().contains("secret"), "a secret is shown once: {listed}");

    let rotated = lab.post(path(&webhook, "/secret"), &json!({ "overlap_hours": 1 })).await.unwrap();
    let new = rotated["secret"].as_str().unwrap();
    app.operator.deposit("verse-lab", 300, "bank-3").await;
    let third = receiver.received(3).await[2].clone();
    assert!(third.is_signed_with(secret) && third.is_signed_with(new));
    app.clock.advance(Duration::from_secs(3601));
    app.operator.deposit("verse-lab", 400, "bank-4").await;
    let fourth = receiver.received(4).await[3].clone();
    assert!(!fourth.is_signed_with(secret) && fourth.is_signed_with(new));

    let refused = lab.post(path(&webhook, "/secret"), &json!({ "overlap_hours": 169 })).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("overlap_hours")));
    lab.client.delete(path(&webhook, "")).send::<Value>().await.unwrap();
    assert_eq!(lab.get(path(&webhook, "/attempts")).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_waits_for_outlasts_its_time() {
    let (app, lab, receiver, webhook) = story().await;
    receiver.answer("500 Internal Server Error");
    app.operator.deposit("verse-lab", 100, "bank-1").await;
    while attempts(&lab, &webhook).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    app.clock.advance(corpex::types::DAY * 31);
    app.operator.deposit("verse-lab", 200, "bank-2").await;
    app.told().await;
    retention::remove_old(app.app()).await.unwrap();
    let kept = lab.get("/v1/events?organisation=verse-lab&types=deposit.posted").await.unwrap();
    assert_eq!(kept["items"].as_array().unwrap().len(), 2, "the old one is waited for: {kept}");
    let from_the_first = lab.post(path(&webhook, "/resumption"), &json!({ "cursor": "0" })).await.unwrap_err();
    assert_eq!((from_the_first.kind, from_the_first.field.as_deref()), (Kind::Gone, Some("cursor")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_tried_again_and_at_last_it_is_disabled_and_resumed() {
    let (app, lab, receiver, webhook) = story().await;
    // A redirect counts as a refusal: nothing goes where it leads.
    receiver.answer("302 Found");
    app.operator.deposit("verse-lab", 100, "bank-1").await;
    app.operator.deposit("verse-lab", 200, "bank-2").await;
    receiver.received(1).await;
    receiver.answer("500 Internal Server Error");
    for count in 2..=16 {
        while attempts(&lab, &webhook).await.len() < count - 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        app.clock.advance(Duration::from_secs(6 * 60 * 60));
        receiver.received(count).await;
    }
    let sent = receiver.received(16).await;
    assert!(
        sent.iter().all(|request| request.header("webhook-id") == sent[0].header("webhook-id")),
        "one after the other"
    );
    let listed = loop {
        let listed = lab.get("/v1/organisations/verse-lab/webhooks").await.unwrap()["items"][0].clone();
        if !listed["disabled_at"].is_null() {
            break listed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(listed["failures"], 16);
    assert!(listed["disabled_because"].as_str().unwrap().contains("answered 500"), "{listed}");
    let tried = attempts(&lab, &webhook).await;
    assert_eq!((tried.len(), &tried[0]["status"], &tried[15]["status"]), (16, &json!(302), &json!(500)));

    receiver.answer("200 OK");
    lab.post(path(&webhook, "/resumption"), &json!({})).await.unwrap();
    let amount = |request: &Received| request.event()["data"]["subject"].clone();
    let resumed = receiver.received(18).await;
    assert!(amount(&resumed[16]) == amount(&sent[0]) && amount(&resumed[17]) != amount(&sent[0]));
    lab.post(path(&webhook, "/resumption"), &json!({ "cursor": "0" })).await.unwrap();
    let again = receiver.received(20).await;
    assert_eq!(again[18].header("webhook-id"), resumed[16].header("webhook-id"), "sent again with the same id");
    let refused = lab.post(path(&webhook, "/resumption"), &json!({ "cursor": "999" })).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("cursor")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_leads_to_public_addresses_only() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    for url in [
        "https://127.0.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://localhost:8080/",
        "http://hooks.example/",
        "https://me:secret@hooks.example/",
        "hooks.example",
    ] {
        let refused = lab.post("/v1/organisations/verse-lab/webhooks", &json!({ "url": url })).await.unwrap_err();
        assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("url")), "{url}: {refused:?}");
        assert!(refused.remedy.is_some_and(|remedy| remedy.contains("public internet")), "{url}");
    }
    let private =
        lab.post("/v1/organisations/verse-lab/webhooks", &json!({ "url": "https://10.1.2.3/" })).await.unwrap_err();
    assert!(private.detail.contains("10.1.2.3"), "the address is named: {private:?}");
    let wrong = json!({ "url": "https://1.1.1.1/", "types": ["order"] });
    let refused = lab.post("/v1/organisations/verse-lab/webhooks", &wrong).await.unwrap_err();
    assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("types")));
}
