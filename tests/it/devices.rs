//! A program without a browser is signed in by a person somewhere else (RFC 8628).

use std::time::Duration;

use corpex::error::Kind;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::limits::issued;
use crate::support::{Actor, TestApp, refused};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const INTERVAL: Duration = Duration::from_secs(5);

async fn form(app: &TestApp, path: &str, body: &str) -> (StatusCode, Value) {
    let request = reqwest::Client::new().post(format!("{}{path}", app.url));
    let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(body.to_string());
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// A program that waits.
struct Device {
    device_code: String,
    user_code: String,
}

impl Device {
    async fn begin(app: &TestApp) -> Self {
        let (status, codes) = form(app, "/oauth/device", "client_id=verse-trainer").await;
        assert_eq!(
            (status, &codes["interval"], &codes["expires_in"]),
            (StatusCode::OK, &json!(5), &json!(900)),
            "{codes}"
        );
        let text = |key: &str| codes[key].as_str().unwrap().to_string();
        assert!(text("verification_uri_complete").ends_with(&text("user_code")), "{codes}");
        Self { device_code: text("device_code"), user_code: text("user_code") }
    }

    /// What it is told when it asks.
    async fn ask(&self, app: &TestApp) -> Value {
        form(app, "/oauth/token", &format!("grant_type={DEVICE_CODE}&client_id=x&device_code={}", self.device_code))
            .await
            .1
    }

    /// What it is told when it asks after the interval.
    async fn wait(&self, app: &TestApp) -> Value {
        app.clock.advance(INTERVAL);
        self.ask(app).await
    }

    async fn decide(&self, who: &Actor, how: &str) -> corpex::error::Result<Value> {
        who.post(format!("/v1/device-logins/{}/{how}", self.user_code), &Value::Null).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_program_gets_one_token_that_only_reads() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    let device = Device::begin(&app).await;
    assert_eq!(device.ask(&app).await["error"], "authorization_pending");
    assert_eq!(device.ask(&app).await["error"], "slow_down");
    assert_eq!(device.wait(&app).await["error"], "authorization_pending");

    let typed = device.user_code.to_lowercase().replace('-', "");
    let shown = lab.get(format!("/v1/device-logins/{typed}")).await.unwrap();
    assert_eq!((&shown["client"], &shown["decided_at"]), (&json!("verse-trainer"), &Value::Null));
    device.decide(&lab, "approval").await.unwrap();
    let again = refused(device.decide(&app.operator, "denial").await, Kind::WrongState, Some("user_code"));
    assert!(again.detail.contains("decided already"), "{again}");

    let granted = device.wait(&app).await;
    assert_eq!((&granted["token_type"], &granted["scope"]), (&json!("Bearer"), &json!("read")), "{granted}");
    let program = app.anonymous().with_token(granted["access_token"].as_str().unwrap());
    let me: Value = program.get("/v1/me").send().await.unwrap();
    assert_eq!((&me["email"], &me["scope"]), (&json!("admin@verse-lab.test"), &json!("read")));
    assert_eq!(device.wait(&app).await["error"], "expired_token", "a code is good once");
    let mine = lab.get("/v1/tokens").await.unwrap();
    assert!(mine["items"].as_array().unwrap().iter().any(|token| token["name"] == "verse-trainer"), "{mine}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_as_many_tokens_as_may_be_is_told_so_before_a_program_is_signed_in() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    let others = issued(&app, &lab.email, 99).await;
    let device = Device::begin(&app).await;
    let full = refused(device.decide(&lab, "approval").await, Kind::WrongState, None);
    assert!(full.detail.contains("100 API tokens of this account"), "{full}");
    assert_eq!(device.ask(&app).await["error"], "authorization_pending");
    lab.client.delete(format!("/v1/tokens/{}", others[0].1.id)).send::<Value>().await.unwrap();
    device.decide(&lab, "approval").await.unwrap();
    assert_eq!(device.wait(&app).await["token_type"], "Bearer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_denied_or_waits_too_long_gets_nothing() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    let (denied, late) = (Device::begin(&app).await, Device::begin(&app).await);
    denied.decide(&lab, "denial").await.unwrap();
    assert_eq!(denied.ask(&app).await["error"], "access_denied");
    late.decide(&lab, "approval").await.unwrap();
    app.clock.advance(Duration::from_secs(900));
    assert_eq!(late.ask(&app).await["error"], "expired_token");
    let later = Device::begin(&app).await;
    app.clock.advance(Duration::from_secs(900));
    refused(later.decide(&lab, "approval").await, Kind::NotFound, Some("user_code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_with_a_token_is_revoked_with_it() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    let made = lab.post("/v1/tokens", &crate::support::token_wish("write", 1)).await.unwrap();
    let stolen = Actor { client: lab.client.with_token(made["token"].as_str().unwrap()), ..lab.clone() };
    let (granted, waiting) = (Device::begin(&app).await, Device::begin(&app).await);
    granted.decide(&stolen, "approval").await.unwrap();
    waiting.decide(&stolen, "approval").await.unwrap();
    let token = granted.ask(&app).await["access_token"].as_str().unwrap().to_string();
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    lab.client.delete(path).send::<Value>().await.unwrap();
    let program = app.anonymous().with_token(&token).get("/v1/me").send::<Value>().await;
    refused(program, Kind::Unauthenticated, None);
    assert_eq!(waiting.ask(&app).await["error"], "expired_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_approved_with_a_token_ends_no_later() {
    let app = TestApp::start().await;
    let lab = app.organisation("verse-lab").await;
    let made = lab.post("/v1/tokens", &crate::support::token_wish("write", 1)).await.unwrap();
    let short = Actor { client: lab.client.with_token(made["token"].as_str().unwrap()), ..lab.clone() };
    let device = Device::begin(&app).await;
    device.decide(&short, "approval").await.unwrap();
    let lasts = device.ask(&app).await["expires_in"].as_u64().unwrap();
    assert!((1..=24 * 3600).contains(&lasts), "{lasts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_sign_in_is_refused_by_the_names_of_oauth() {
    let app = TestApp::start().await;
    for (path, body, error) in [
        ("/oauth/device", "", "invalid_request"),
        ("/oauth/device", "client_id=", "invalid_request"),
        ("/oauth/device", "client_id=a%00b", "invalid_request"),
        ("/oauth/device", "client_id=%E2%80%AEx", "invalid_request"),
        ("/oauth/token", "", "invalid_request"),
        ("/oauth/token", "grant_type=password&username=x", "unsupported_grant_type"),
        ("/oauth/token", &format!("grant_type={DEVICE_CODE}"), "invalid_request"),
        ("/oauth/token", &format!("grant_type={DEVICE_CODE}&device_code=guess%00"), "expired_token"),
        ("/oauth/token", &format!("grant_type={}", "x".repeat(100_000)), "invalid_request"),
    ] {
        let (status, told) = form(&app, path, body).await;
        assert_eq!((status, told["error"].as_str()), (StatusCode::BAD_REQUEST, Some(error)), "{path} {told}");
        assert!(told["error_description"].as_str().unwrap().len() > 10, "{told}");
    }
}
