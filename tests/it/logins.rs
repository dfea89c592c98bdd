//! Signing in and out by commands: what is remembered, and which tokens are good.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use corpex::cli::client::Client;
use serde_json::{Value, json};

use crate::support::process::{Exchange, Person, organisation};
use crate::support::{PASSWORD, token_wish};

const EMAIL: &str = "admin@verse-lab.test";

/// An exchange whose own commands remember in this folder who is signed in, and the admin of an organisation.
async fn remembering_in(config: &Path) -> (Exchange, Person) {
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let lab = organisation(&exchange, &operator, "verse-lab");
    exchange.set("CORPEX_CONFIG_DIR", config.display().to_string());
    (exchange, lab)
}

/// What a command said that ended with this exit code: its result, or why it was refused.
fn said(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(if code == 0 { output.stdout } else { output.stderr }).unwrap()
}

/// Waits until somebody's token is refused: an instance believes for a few seconds what it has just seen.
async fn locked_out(person: &Person) {
    for _ in 0..200 {
        let asked = person.run(&["api", "GET", "/v1/me"]);
        if !asked.status.success() {
            let why = said(asked, 1);
            assert!(why.contains("the API token was revoked at "), "{why}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a token that was revoked is still believed");
}

#[tokio::test]
async fn a_script_signs_in_with_a_password_on_standard_input() {
    let config = tempfile::tempdir().unwrap();
    let (exchange, _) = remembering_in(config.path()).await;
    let url = exchange.url.clone();
    let login = ["login", "--server", &url, "--email", EMAIL];
    let why = said(exchange.operate(&login[..3]), 1);
    assert!(why.contains("email: ") && why.contains("give --token"), "{why}");
    let why = said(exchange.operate_with(&login, ""), 1);
    assert!(why.contains("password: ") && why.contains("give it as a line of standard input"), "{why}");
    let why = said(exchange.operate_with(&login, "not the password"), 1);
    assert!(why.contains("no account has this e-mail address and password"), "{why}");
    let told = said(exchange.operate_with(&login, PASSWORD), 0);
    assert!(told.contains("as admin@verse-lab.test"), "{told}");
    said(exchange.operate(&["api", "GET", "/v1/me"]), 0);

    let file = config.path().join("login.json");
    let token = remembered(config.path())["token"].as_str().unwrap().to_string();
    let told = said(exchange.operate(&["logout"]), 0);
    assert!(told.contains("the token is revoked") && !file.exists(), "{told}");
    let why = said(exchange.operate(&["api", "GET", "/v1/me", "--server", &url, "--token", &token]), 1);
    assert!(why.contains("the API token was revoked at "), "{why}");
    let told = said(exchange.operate(&["logout"]), 0);
    assert!(told.contains("nobody is signed in"), "{told}");
    std::fs::write(&file, "{}").unwrap();
    let why = said(exchange.operate(&["logout"]), 1);
    assert!(why.contains("login.json holds no login") && why.contains("run `corpex login` again"), "{why}");
}

#[tokio::test]
async fn an_email_address_signs_in_with_its_password_whatever_token_the_environment_holds() {
    let config = tempfile::tempdir().unwrap();
    let (mut exchange, _) = remembering_in(config.path()).await;
    let url = exchange.url.clone();
    exchange.set("CORPEX_TOKEN", "cpx_of_somebody_else".to_string());
    let told = said(exchange.operate_with(&["login", "--server", &url, "--email", EMAIL], PASSWORD), 0);
    assert!(told.contains("as admin@verse-lab.test"), "{told}");
    assert!(remembered(config.path())["made"].is_object(), "the token was made for this login");
    let both = ["login", "--server", &url, "--email", EMAIL, "--token", "cpx_of_mine"];
    let why = said(exchange.operate(&both), 2);
    assert!(why.contains("give one of them") && !why.contains("cpx_of_mine"), "{why}");
}

#[tokio::test]
async fn who_signs_out_while_the_server_is_away_is_told_how_long_the_token_lives() {
    let config = tempfile::tempdir().unwrap();
    let (mut exchange, _) = remembering_in(config.path()).await;
    let url = exchange.url.clone();
    said(exchange.operate_with(&["login", "--server", &url, "--email", EMAIL], PASSWORD), 0);
    exchange.kill();
    let told = said(exchange.operate(&["logout"]), 0);
    assert!(told.contains("cannot be reached") && told.contains("is good until 2"), "{told}");
    assert!(!config.path().join("login.json").exists());
}

/// How many of the tokens are good that `corpex login` made.
fn good(lab: &Person) -> usize {
    let tokens = lab.api("GET", "/v1/tokens", &Value::Null);
    let is_good = |token: &&Value| token["name"] == "corpex login" && token["revoked_at"].is_null();
    tokens["items"].as_array().unwrap().iter().filter(is_good).count()
}

fn remembered(config: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(config.join("login.json")).unwrap()).unwrap()
}

#[tokio::test]
async fn who_signs_in_again_leaves_no_token_of_the_login_before() {
    let config = tempfile::tempdir().unwrap();
    let (exchange, lab) = remembering_in(config.path()).await;
    let url = exchange.url.clone();
    let login = ["login", "--server", &url, "--email", EMAIL];
    let why = said(exchange.operate(&["login", "--email", EMAIL]), 1);
    assert!(why.contains("nothing says which exchange to sign in to") && why.contains("give --server URL"), "{why}");
    let told = said(exchange.operate_with(&login, PASSWORD), 0);
    assert!(!told.contains("the login before"), "{told}");
    let told = said(exchange.operate_with(&["login", "--email", EMAIL], PASSWORD), 0);
    assert!(told.contains("the token of the login before is revoked"), "where it was, unless told otherwise: {told}");
    assert_eq!(good(&lab), 1);

    let wish = token_wish("write", 30).to_string();
    let made: Value = serde_json::from_str(&said(exchange.operate(&["api", "POST", "/v1/tokens", &wish]), 0)).unwrap();
    let given = ["login", "--server", &url, "--token", made["token"].as_str().unwrap()];
    let told = said(exchange.operate(&given), 0);
    assert!(told.contains("it may have made the token that was given") && told.contains("/v1/tokens/token_"), "{told}");
    said(exchange.operate(&["api", "GET", "/v1/me"]), 0);
    let told = said(exchange.operate(&[&given[..], &["--json"]].concat()), 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["email"], told.get("replaced")), (&json!(EMAIL), Some(&Value::Null)), "it is the same login");
}

#[tokio::test]
async fn who_signs_in_again_while_the_server_of_before_is_away_is_told_how_long_that_token_lives() {
    let config = tempfile::tempdir().unwrap();
    let (exchange, lab) = remembering_in(config.path()).await;
    let url = exchange.url.clone();
    let login = ["login", "--server", &url, "--email", EMAIL];
    said(exchange.operate_with(&login, PASSWORD), 0);
    let mut elsewhere = remembered(config.path());
    elsewhere["server"] = json!("http://127.0.0.1:1");
    std::fs::write(config.path().join("login.json"), elsewhere.to_string()).unwrap();
    let told = said(exchange.operate_with(&[&login[..], &["--json"]].concat(), PASSWORD), 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    let replaced = &told["replaced"];
    assert_eq!((&replaced["server"], &replaced["revoked"]), (&elsewhere["server"], &json!(false)), "{told}");
    assert_eq!(replaced["expires_at"], elsewhere["made"]["expires_at"]);
    assert_eq!((good(&lab), &remembered(config.path())["server"]), (2, &json!(url)));
}

#[tokio::test]
async fn who_may_have_no_more_tokens_takes_the_place_of_the_oldest_login() {
    let config = tempfile::tempdir().unwrap();
    let (exchange, _) = remembering_in(config.path()).await;
    let (url, file) = (exchange.url.clone(), config.path().join("login.json"));
    let login = ["login", "--server", &url, "--email", EMAIL];
    let stranger = Client::new(&url, None).unwrap();
    let who = json!({ "email": EMAIL, "password": PASSWORD });
    let session: Value = stranger.post("/v1/sessions").json(&who).unwrap().send().await.unwrap();
    let member = stranger.with_token(session["access_token"].as_str().unwrap());
    let mut others = Vec::new();
    for _ in 0..99 {
        let made: Value = member.post("/v1/tokens").json(&token_wish("read", 30)).unwrap().send().await.unwrap();
        others.push(made["id"].as_str().unwrap().to_string());
    }
    let why = said(exchange.operate_with(&login, PASSWORD), 1);
    assert!(why.contains("100 API tokens of this account") && why.contains("revoke one of them first"), "{why}");
    member.delete(format!("/v1/tokens/{}", others[0])).send::<Value>().await.unwrap();
    said(exchange.operate_with(&login, PASSWORD), 0);
    let first = remembered(config.path());
    std::fs::remove_file(&file).unwrap();

    let again = exchange.operate_with(&login, PASSWORD);
    assert!(String::from_utf8_lossy(&again.stderr).contains("the oldest login, of 2"), "{again:?}");
    said(again, 0);
    said(exchange.operate(&["api", "GET", "/v1/me"]), 0);
    let why = stranger.with_token(first["token"].as_str().unwrap()).get("/v1/me").send::<Value>().await.unwrap_err();
    assert!(why.detail.contains("the API token was revoked at "), "{why}");
}

#[tokio::test]
async fn a_login_that_cannot_be_remembered_leaves_no_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (exchange, lab) = remembering_in(file.path()).await;
    let url = exchange.url.clone();
    let why = said(exchange.operate_with(&["login", "--server", &url, "--email", EMAIL], PASSWORD), 1);
    assert!(why.contains("login.json cannot be written"), "{why}");
    assert_eq!(good(&lab), 0);
}

#[tokio::test]
async fn who_leaves_or_lost_a_token_or_password_is_locked_out_at_the_server() {
    const NEW: &str = "another horse, another battery";
    let (colleague, member) = ("operator@exchange.test", "admin@verse-lab.test");
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let lab = organisation(&exchange, &operator, "verse-lab");
    let admin = |command: &str, email: &str| exchange.operate(&["admin", command, "--email", email]);
    let set_password =
        |email: &str, password: &str| exchange.operate_with(&["admin", "set-password", "--email", email], password);
    for command in ["revoke-tokens", "remove-role"] {
        let why = said(admin(command, "nobody@verse-lab.test"), 1);
        assert!(why.contains("no account has the e-mail address") && why.contains("how it is spelled"), "{why}");
    }

    lab.api("GET", "/v1/me", &Value::Null);
    let told = said(admin("revoke-tokens", member), 0);
    assert!(told.starts_with(member) && told.contains("within 5 seconds"), "{told}");
    locked_out(&lab).await;
    let lab = exchange.person("verse-lab", said(admin("issue-token", member), 0).trim());
    let me = lab.api("GET", "/v1/me", &Value::Null);
    assert_eq!(me["memberships"][0]["handle"], "verse-lab", "the account stays: {me}");

    let why = said(set_password(member, "too short"), 1);
    assert!(why.contains("password: a password has 12 to 256 characters; this one has 9"), "{why}");
    let why = said(set_password("nobody@verse-lab.test", NEW), 1);
    assert!(why.contains("no account has the e-mail address"), "{why}");
    let why = said(set_password(colleague, NEW), 1);
    assert!(why.contains("signs in with tokens only") && why.contains("corpex admin issue-token"), "{why}");
    lab.api("GET", "/v1/me", &Value::Null);
    said(set_password(member, NEW), 0);
    locked_out(&lab).await;
    let sign_in = |password: &str| {
        let who = json!({ "email": member, "password": password }).to_string();
        operator.run(&["api", "POST", "/v1/sessions", &who])
    };
    let why = said(sign_in(PASSWORD), 1);
    assert!(why.contains("no account has this e-mail address and password"), "{why}");
    said(sign_in(NEW), 0);

    operator.api("GET", "/v1/audit/records", &Value::Null);
    let told = said(exchange.operate(&["admin", "remove-role", "--email", colleague, "--json"]), 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["email"], told.get("role")), (&json!(colleague), Some(&Value::Null)));
    locked_out(&operator).await;
    let why = said(admin("remove-role", colleague), 1);
    assert!(why.contains("has no platform role") && why.contains("corpex admin revoke-tokens"), "{why}");
    let again = ["admin", "create-user", "--email", colleague, "--role", "operator"];
    assert!(said(exchange.operate(&again), 1).contains("use another address"), "no account gets a role that it lost");
    let former = exchange.person("former", said(admin("issue-token", colleague), 0).trim());
    let why = former.refused(&["api", "GET", "/v1/audit/records"]);
    assert!(why.contains("this takes the platform role operator"), "{why}");
    exchange.stop();
    exchange.audit();
}
