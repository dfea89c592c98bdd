//! How much one client may ask, and how it is told.

use corpex::db::Conn;
use corpex::error::{Kind, Result};
use corpex::identity::{self, ApiToken, Scope, TokenText};
use corpex::types::DAY;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, PASSWORD, TestApp, refused, token_wish};

/// A limit that is met at the latest by then, however slowly the requests go: some of a share comes back meanwhile.
const ENOUGH: usize = 1000;

/// Whether it was one try too many, in these words; otherwise it was answered with `before`.
async fn is_refused(answer: reqwest::Response, words: &str, before: StatusCode) -> bool {
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        assert_eq!(answer.status(), before, "{answer:?}");
        return false;
    }
    let problem: Value = answer.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    true
}

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

/// So many tokens, good for a day, that are issued at the server.
pub async fn issued(app: &TestApp, email: &str, count: usize) -> Vec<(TokenText, ApiToken)> {
    let (email, now) = (email.to_string(), app.clock.now());
    let issue = move |c: &mut Conn| {
        let one = |_| identity::issue_token(c, &email, "one of many", Scope::Read, now.plus(DAY), now);
        (0..count).map(one).collect::<Result<Vec<_>>>()
    };
    app.app().db.write(issue).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tokens_get_an_account_no_further_than_ten_do() {
    let app = TestApp::start_with(|config| config.requests_per_token = 8).await;
    let tokens = issued(&app, &app.operator.email, 12).await;
    let programs: Vec<_> = tokens.iter().map(|(text, _)| HubClient::new(&app, Some(text.reveal()))).collect();
    let refused = 'asked: {
        for program in programs.iter().cycle().take(ENOUGH) {
            let answer = program.get("/v1/me").await;
            if answer.status == StatusCode::OK {
                continue;
            }
            // A program that has used up its own share takes nothing of the account's.
            let told: Value = answer.json();
            if told["detail"].as_str().unwrap().contains("more than 80 requests of one account in a minute") {
                break 'asked answer;
            }
        }
        panic!("nothing was refused")
    };
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.header("ratelimit-policy"), Some("\"account\";q=80;w=60"));
    assert_eq!(HubClient::of(&app, &app.compliance).get("/v1/me").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_a_hundred_tokens_at_most_and_room_again_when_one_ends() {
    let app = TestApp::start().await;
    let lab = Actor::register(&app.anonymous(), "verse-lab").await;
    issued(&app, &lab.email, 98).await;
    let wish = token_wish("read", 30);
    let last = lab.post("/v1/tokens", &wish).await.unwrap();
    let full = refused(lab.post("/v1/tokens", &wish).await, Kind::WrongState, None);
    assert!(full.detail.contains("100 API tokens of this account"), "{full}");
    let path = format!("/v1/tokens/{}", last["id"].as_str().unwrap());
    let _: Value = lab.client.delete(path).send().await.unwrap();
    lab.post("/v1/tokens", &wish).await.unwrap();
    refused(lab.post("/v1/tokens", &wish).await, Kind::WrongState, None);
    app.clock.advance(DAY);
    lab.post("/v1/tokens", &wish).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_account_that_signs_in_again_and_again_the_last_hundred_sessions_stand() {
    let app = TestApp::start().await;
    let lab = Actor::register(&app.anonymous(), "verse-lab").await;
    let sign_in = || async {
        let person = json!({ "email": lab.email, "password": PASSWORD });
        let session: Value = app.anonymous().post("/v1/sessions").json(&person).unwrap().send().await.unwrap();
        app.anonymous().with_token(session["access_token"].as_str().unwrap())
    };
    let (first, second) = (sign_in().await, sign_in().await);
    for _ in 0..99 {
        sign_in().await;
    }
    let ended = refused(first.get("/v1/me").send::<Value>().await, Kind::Unauthenticated, None);
    assert!(ended.detail.contains("the session of this access token has ended"), "{ended}");
    let _: Value = second.get("/v1/me").send().await.unwrap();
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
        if is_refused(answer, "3 attempts to sign in", StatusCode::UNAUTHORIZED).await {
            return;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_an_address_is_spelled_it_is_one_account() {
    let app = TestApp::start_with(|config| (config.attempts, config.trusted_proxies) = (3, 1)).await;
    let anybody = reqwest::Client::new();
    for number in 0..ENOUGH {
        let space = if number % 2 == 0 { " " } else { "\t" };
        let wrong =
            json!({ "email": format!("{}Li.Wei@example.cn", space.repeat(number)), "password": "a guess of mine" });
        let from = format!("203.0.{}.{}", number / 250, number % 250);
        let guess = anybody.post(format!("{}/v1/sessions", app.url)).header("X-Forwarded-For", from).json(&wrong);
        let answer = guess.send().await.unwrap();
        if is_refused(answer, "to sign in to an account", StatusCode::UNAUTHORIZED).await {
            return;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_registers_a_few_people_in_a_minute_and_is_no_burden_with_those_it_may_not() {
    let app = TestApp::start_with(|config| config.attempts = 3).await;
    let anybody = reqwest::Client::new();
    let send = |person: Value| anybody.post(format!("{}/v1/users", app.url)).json(&person).send();
    let taken = json!({ "email": "li.wei@example.cn", "password": "correct horse battery" });
    assert_eq!(send(taken.clone()).await.unwrap().status(), StatusCode::CREATED);
    // No password is looked at, and none is hashed, for an address that cannot be registered.
    let short = json!({ "email": taken["email"], "password": "short" });
    let problem: Value = send(short).await.unwrap().json().await.unwrap();
    assert_eq!((&problem["status"], &problem["field"]), (&json!(409), &json!("email")), "{problem}");
    for number in 0..ENOUGH {
        let person = json!({ "email": format!("li.{number}@example.cn"), "password": "correct horse battery" });
        let answer = send(person).await.unwrap();
        if is_refused(answer, "3 attempts to register", StatusCode::CREATED).await {
            return;
        }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_begins_too_many_sign_ins_is_told_in_the_words_of_oauth_when_to_come_back() {
    let app = TestApp::start_with(|config| config.attempts = 3).await;
    let program = reqwest::Client::new();
    for _ in 0..ENOUGH {
        let request = program.post(format!("{}/oauth/device", app.url));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.body("client_id=verse-trainer").send().await.unwrap();
        if answer.status() == StatusCode::OK {
            continue;
        }
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=20).contains(&wait), "a third of a minute brings one of three back: {wait}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told["error"], "temporarily_unavailable", "{told}");
        return;
    }
    panic!("nothing was refused");
}
