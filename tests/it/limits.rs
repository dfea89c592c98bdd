//! How much one client may ask, and how it is told.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::TestApp;

/// A limit that is met at the latest by then, however slowly the requests go: some of a share comes back meanwhile.
const ENOUGH: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_told_when_to_come_back_and_is_in_nobody_elses_way() {
    let app = TestApp::start_with(|config| config.requests_per_token = 40).await;
    let (eager, calm) = (HubClient::of(&app, &app.operator), HubClient::of(&app, &app.compliance));
    let mut left = Vec::new();
    let refused = loop {
        let answer = eager.get("/v1/me").await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        // The first one counted by its address, which has no limit here.
        left.extend(answer.header("ratelimit").map(str::to_string));
        assert!(left.len() < ENOUGH, "nothing was refused");
    };
    assert!(left[0].starts_with("\"token\";r=39;t="), "{left:?}");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"token\";q=40;w=60"));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit"), Some(format!("\"token\";r=0;t={wait}").as_str()));
    let problem: Value = refused.json();
    assert_eq!((&problem["status"], &problem["title"]), (&json!(429), &json!("Too many requests")), "{problem}");
    assert!(refused.header("x-request-id").is_some(), "a refusal is a request like others");

    assert_eq!(calm.get("/v1/me").await.status, StatusCode::OK);
    assert_eq!(eager.get("/healthz").await.status, StatusCode::OK, "how the process is may always be asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_made_up_do_not_get_anybody_past_the_limit_of_an_address() {
    let app = TestApp::start_with(|config| config.requests_per_address = 40).await;
    for number in 0..ENOUGH {
        let answer = HubClient::new(&app, Some(&format!("cpx_{number:043}"))).get("/v1/me").await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer:?}");
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_can_be_guessed_a_few_times_in_a_minute() {
    let app = TestApp::start_with(|config| config.attempts = 3).await;
    let right = json!({ "email": "li.wei@example.cn", "password": "correct horse battery" });
    let anybody = reqwest::Client::new();
    let send = |path: &str, body: &Value| anybody.post(format!("{}{path}", app.url)).json(body).send();
    assert_eq!(send("/v1/users", &right).await.unwrap().status(), StatusCode::CREATED);
    let wrong = json!({ "email": "Li.Wei@example.cn", "password": "incorrect horse battery" });
    for _ in 0..ENOUGH {
        let answer = send("/v1/sessions", &wrong).await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            let problem: Value = answer.json().await.unwrap();
            assert!(problem["detail"].as_str().unwrap().contains("3 attempts to sign in"), "{problem}");
            return;
        }
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{answer:?}");
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_codes_of_sign_ins_cannot_be_guessed() {
    let app = TestApp::start_with(|config| config.attempts = 3).await;
    let somebody = HubClient::of(&app, &app.operator);
    for _ in 0..ENOUGH {
        let guess = somebody.send(Method::POST, "/v1/device-logins/BCDF-GHJK/approval", &[], None).await;
        if guess.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        assert_eq!(guess.status, StatusCode::NOT_FOUND, "{guess:?}");
    }
    panic!("nothing was refused");
}
