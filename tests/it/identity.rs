//! People, organisations, credentials and keys: who may become what, and how each of it ends.

use std::time::Duration;

use base64::Engine as _;
use corpex::db::Conn;
use corpex::error::{Error, Kind};
use corpex::identity::{self, PlatformRole, Role, create_platform_user};
use corpex::provenance::{ResourceDescriptor, StatementKind};
use corpex::signing::SecretKey;
use corpex::types::{DAY, Instant};
use serde_json::{Value, json};

use crate::support::{Actor, PASSWORD, TestApp, refused, token_wish};

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{value} has no {name}"))
}

/// A person who signed up; the credential is the access token of a session.
async fn sign_up(app: &TestApp, email: &str) -> (Actor, Value) {
    let person = json!({ "email": email, "password": PASSWORD });
    let anonymous = app.anonymous();
    let _: Value = anonymous.post("/v1/users").json(&person).unwrap().send().await.unwrap();
    let session: Value = anonymous.post("/v1/sessions").json(&person).unwrap().send().await.unwrap();
    (Actor::platform(anonymous.with_token(text(&session, "access_token")), email), session)
}

async fn put_member(admin: &Actor, handle: &str, email: &str, role: &str) -> Result<Value, Error> {
    let member = json!({ "email": email, "role": role });
    admin.client.put(format!("/v1/organisations/{handle}/members")).json(&member).unwrap().send().await
}

async fn delete(actor: &Actor, path: &str) -> Result<Value, Error> {
    actor.client.delete(path).send().await
}

fn organisation(handle: &str) -> Value {
    json!({ "handle": handle, "legal_name": "Verse Ltd", "registration_number": format!("R-{handle}"), "country": "CN" })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_is_hidden_until_an_operator_verifies_it() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "Wei@Verse.test").await;
    let (stranger, _) = sign_up(&app, "stranger@other.test").await;
    let made = person.post("/v1/organisations", &organisation("verse")).await.unwrap();
    assert_eq!((text(&made, "state"), &made["verified_at"]), ("registered", &Value::Null));
    let me = person.get("/v1/me").await.unwrap();
    assert_eq!(text(&me, "email"), "wei@verse.test");
    assert_eq!((text(&me["memberships"][0], "handle"), text(&me["memberships"][0], "role")), ("verse", "admin"));

    let path = "/v1/organisations/verse";
    for who in [&person, &app.operator, &app.compliance] {
        who.get(path).await.unwrap();
    }
    refused(stranger.get(path).await, Kind::NotFound, None);
    refused(stranger.get(format!("{path}/members")).await, Kind::NotFound, None);
    refused(app.anonymous().get(format!("{path}/keys")).send::<Value>().await, Kind::NotFound, None);
    assert_eq!(stranger.get("/v1/organisations").await.unwrap()["items"], json!([]));
    assert_eq!(person.get("/v1/organisations").await.unwrap()["items"][0]["handle"], "verse");
    assert_eq!(app.operator.get("/v1/organisations").await.unwrap()["items"][0]["handle"], "verse");

    refused(person.post(format!("{path}/verification"), &Value::Null).await, Kind::Forbidden, None);
    app.operator.verify("verse").await;
    refused(app.operator.post(format!("{path}/verification"), &Value::Null).await, Kind::WrongState, None);
    assert_eq!(text(&stranger.get(path).await.unwrap(), "state"), "verified");
    assert_eq!(person.get("/v1/me").await.unwrap()["memberships"][0]["verified"], true);
    assert_eq!(stranger.get("/v1/organisations").await.unwrap()["items"].as_array().unwrap().len(), 1);

    refused(person.post("/v1/organisations", &organisation("verse")).await, Kind::AlreadyExists, Some("handle"));
    let mut twin = organisation("twin");
    twin["registration_number"] = json!("R-verse");
    refused(person.post("/v1/organisations", &twin).await, Kind::AlreadyExists, Some("registration_number"));
    let mut odd = organisation("odd");
    odd["colour"] = json!("red");
    refused(person.post("/v1/organisations", &odd).await, Kind::Invalid, Some("colour"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_neither_repeat_nor_miss() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "wei@verse.test").await;
    for handle in ["bb", "aa", "cc"] {
        person.post("/v1/organisations", &organisation(handle)).await.unwrap();
    }
    let first = person.get("/v1/organisations?limit=2").await.unwrap();
    let handles = |page: &Value| {
        page["items"].as_array().unwrap().iter().map(|o| text(o, "handle").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(handles(&first), ["aa", "bb"]);
    let second = person.get(format!("/v1/organisations?limit=2&cursor={}", text(&first, "next"))).await.unwrap();
    assert_eq!((handles(&second), second.get("next")), (vec!["cc".to_string()], None));
    refused(person.get("/v1/organisations?limit=0").await, Kind::Invalid, Some("limit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_invites_members_and_one_admin_always_remains() {
    let app = TestApp::start().await;
    let (admin, _) = sign_up(&app, "admin@verse.test").await;
    let (helper, _) = sign_up(&app, "helper@verse.test").await;
    admin.post("/v1/organisations", &organisation("verse")).await.unwrap();

    // Whether somebody has registered an address is not told, and no role is given to it.
    for email in ["nobody@verse.test", "helper@verse.test"] {
        let error = refused(put_member(&admin, "verse", email, "reader").await, Kind::NotFound, Some("email"));
        assert!(error.remedy.unwrap().contains("/invitations"));
    }
    refused(put_member(&helper, "verse", "helper@verse.test", "admin").await, Kind::NotFound, None);
    let invited = admin.invite("verse", "signer").await.unwrap();
    let joined = helper.accept(&invited).await.unwrap();
    assert_eq!((text(&joined, "handle"), text(&joined, "role")), ("verse", "signer"));
    put_member(&admin, "verse", " Helper@verse.test", "reader").await.unwrap();
    let error = refused(put_member(&helper, "verse", "helper@verse.test", "admin").await, Kind::Forbidden, None);
    assert!(error.detail.contains("admin") && error.detail.contains("reader"), "{error}");

    let members = helper.get("/v1/organisations/verse/members").await.unwrap();
    assert_eq!(members["items"].as_array().unwrap().len(), 2);
    let me = admin.get("/v1/me").await.unwrap();
    let own = format!("/v1/organisations/verse/members/{}", text(&me, "user_id"));
    refused(delete(&admin, &own).await, Kind::WrongState, None);
    refused(put_member(&admin, "verse", "admin@verse.test", "trader").await, Kind::WrongState, None);
    put_member(&admin, "verse", "helper@verse.test", "admin").await.unwrap();
    delete(&admin, &own).await.unwrap();
    refused(admin.get("/v1/organisations/verse/members").await, Kind::NotFound, None);
    refused(delete(&helper, &own).await, Kind::NotFound, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_an_admin_a_moment_ago_gives_nobody_a_role() {
    let app = TestApp::start().await;
    let (admin, _) = sign_up(&app, "admin@verse.test").await;
    let (helper, _) = sign_up(&app, "helper@verse.test").await;
    admin.post("/v1/organisations", &organisation("verse")).await.unwrap();
    helper.accept(&admin.invite("verse", "admin").await.unwrap()).await.unwrap();
    // Who an instance that has not learnt yet of what follows believes to ask.
    let before = helper.caller().await;
    put_member(&admin, "verse", "helper@verse.test", "reader").await.unwrap();
    let now = app.clock.now();
    let again = move |c: &mut Conn| identity::put_member(c, &before, "verse", "helper@verse.test", Role::Admin, now);
    let error = refused(app.app().db.write(again).await, Kind::Forbidden, None);
    assert!(error.detail.contains("yours is reader"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_for_one_person_while_it_stands() {
    let app = TestApp::start().await;
    let (admin, _) = sign_up(&app, "admin@verse.test").await;
    let (helper, _) = sign_up(&app, "helper@verse.test").await;
    let (stranger, _) = sign_up(&app, "stranger@other.test").await;
    admin.post("/v1/organisations", &organisation("verse")).await.unwrap();
    refused(stranger.invite("verse", "admin").await, Kind::NotFound, None);
    refused(helper.accept(&json!({ "code": "a guess of mine" })).await, Kind::Invalid, Some("code"));

    let (first, second) =
        (admin.invite("verse", "admin").await.unwrap(), admin.invite("verse", "reader").await.unwrap());
    let listed = admin.get("/v1/organisations/verse/invitations").await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(!listed.to_string().contains(text(&first, "code")), "a code is shown once");
    helper.accept(&first).await.unwrap();
    refused(stranger.accept(&first).await, Kind::Invalid, Some("code"));
    refused(helper.accept(&second).await, Kind::WrongState, None);
    delete(&admin, &format!("/v1/organisations/verse/invitations/{}", text(&second, "id"))).await.unwrap();
    refused(stranger.accept(&second).await, Kind::Invalid, Some("code"));

    // What an admin offered ends with the admin, and with its time.
    let of_helper = helper.invite("verse", "admin").await.unwrap();
    put_member(&admin, "verse", "helper@verse.test", "reader").await.unwrap();
    refused(helper.invite("verse", "reader").await, Kind::Forbidden, None);
    refused(stranger.accept(&of_helper).await, Kind::Invalid, Some("code"));
    let token = stranger.post("/v1/tokens", &token_wish("write", 30)).await.unwrap();
    let stranger = Actor::platform(app.anonymous().with_token(text(&token, "token")), "");
    let late = admin.invite("verse", "reader").await.unwrap();
    app.clock.advance(DAY * 7);
    refused(stranger.accept(&late).await, Kind::Invalid, Some("code"));
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_of_the_platform_act_for_no_organisation() {
    let app = TestApp::start().await;
    let (admin, _) = sign_up(&app, "admin@verse.test").await;
    admin.post("/v1/organisations", &organisation("verse")).await.unwrap();
    for staff in [&app.operator, &app.compliance] {
        let invited = admin.invite("verse", "reader").await.unwrap();
        let error = refused(staff.accept(&invited).await, Kind::WrongState, None);
        assert!(error.detail.contains("platform role") && error.remedy.is_some(), "{error}");
        refused(staff.post("/v1/organisations", &organisation("own")).await, Kind::WrongState, None);
    }
    let promoted = app.app().db.write(|c| {
        let now = Instant::from_unix_micros(1);
        create_platform_user(c, "admin@verse.test", PlatformRole::Operator, now)
    });
    refused(promoted.await, Kind::AlreadyExists, Some("email"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_acts_for_a_bounded_number_of_organisations() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "wei@verse.test").await;
    let (admin, _) = sign_up(&app, "admin@other.test").await;
    admin.post("/v1/organisations", &organisation("other")).await.unwrap();
    for number in 0..100 {
        let handle = format!("verse-{number}");
        person.post("/v1/organisations", &organisation(&handle)).await.unwrap();
        app.operator.verify(&handle).await;
    }
    let error = refused(person.post("/v1/organisations", &organisation("verse")).await, Kind::WrongState, None);
    assert!(error.detail.contains("100 organisations"), "{error}");
    refused(person.accept(&admin.invite("other", "reader").await.unwrap()).await, Kind::WrongState, None);
    admin.accept(&person.invite("verse-1", "admin").await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_with_a_token_is_revoked_with_it() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "wei@verse.test").await;
    let made = person.post("/v1/tokens", &token_wish("write", 10)).await.unwrap();
    let mut minter = Actor::platform(app.anonymous().with_token(text(&made, "token")), "");
    let mut minted = Vec::new();
    for _ in 0..2 {
        let child = minter.post("/v1/tokens", &token_wish("write", 10)).await.unwrap();
        minter = Actor::platform(app.anonymous().with_token(text(&child, "token")), "");
        minter.get("/v1/me").await.unwrap();
        minted.push(minter.clone());
    }
    let own = person.post("/v1/tokens", &token_wish("write", 10)).await.unwrap();
    delete(&person, &format!("/v1/tokens/{}", text(&made, "id"))).await.unwrap();
    for child in minted {
        refused(child.get("/v1/me").await, Kind::Unauthenticated, None);
    }
    let own = Actor::platform(app.anonymous().with_token(text(&own, "token")), "");
    own.get("/v1/me").await.unwrap();
    delete(&person, "/v1/sessions/current").await.unwrap();
    own.get("/v1/me").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_session_leaves_no_token_behind() {
    let app = TestApp::start().await;
    let (thief, session) = sign_up(&app, "wei@verse.test").await;
    let made = thief.post("/v1/tokens", &token_wish("write", 300)).await.unwrap();
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    app.anonymous().post("/v1/sessions/refresh").json(&refresh).unwrap().send::<Value>().await.unwrap();
    let again = app.anonymous().post("/v1/sessions/refresh").json(&refresh).unwrap().send::<Value>().await;
    refused(again, Kind::Unauthenticated, Some("refresh_token"));
    let program = Actor::platform(app.anonymous().with_token(text(&made, "token")), "");
    refused(program.get("/v1/me").await, Kind::Unauthenticated, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_every_other_credential() {
    const NEW: &str = "another horse, another battery";
    let app = TestApp::start().await;
    let (person, session) = sign_up(&app, "wei@verse.test").await;
    let sign_in = |password: &str| {
        let (anonymous, person) = (app.anonymous(), json!({ "email": "wei@verse.test", "password": password }));
        async move { anonymous.post("/v1/sessions").json(&person).unwrap().send::<Value>().await }
    };
    let other = sign_in(PASSWORD).await.unwrap();
    let other = Actor::platform(app.anonymous().with_token(text(&other, "access_token")), "");
    let made = person.post("/v1/tokens", &token_wish("write", 10)).await.unwrap();
    let program = Actor::platform(app.anonymous().with_token(text(&made, "token")), "");
    program.get("/v1/me").await.unwrap();
    let change = async |current: &str, new: &str| {
        let change = json!({ "current_password": current, "new_password": new });
        person.client.put("/v1/me/password").json(&change).unwrap().send::<Value>().await
    };
    refused(change("a guess of mine", NEW).await, Kind::Invalid, Some("current_password"));
    refused(change(PASSWORD, "short").await, Kind::Invalid, Some("new_password"));
    other.get("/v1/me").await.unwrap();

    change(PASSWORD, NEW).await.unwrap();
    for ended in [&other, &program] {
        refused(ended.get("/v1/me").await, Kind::Unauthenticated, None);
    }
    person.get("/v1/me").await.unwrap();
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    app.anonymous().post("/v1/sessions/refresh").json(&refresh).unwrap().send::<Value>().await.unwrap();
    refused(sign_in(PASSWORD).await, Kind::Unauthenticated, None);
    sign_in(NEW).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_a_used_one_ends_the_session() {
    let app = TestApp::start().await;
    let (person, session) = sign_up(&app, "wei@verse.test").await;
    let refresh = |token: &str| {
        let (anonymous, input) = (app.anonymous(), json!({ "refresh_token": token }));
        async move { anonymous.post("/v1/sessions/refresh").json(&input).unwrap().send::<Value>().await }
    };
    let first = text(&session, "refresh_token").to_string();
    let rotated = refresh(&first).await.unwrap();
    let second = Actor::platform(app.anonymous().with_token(text(&rotated, "access_token")), "");
    second.get("/v1/me").await.unwrap();

    refused(refresh(&first).await, Kind::Unauthenticated, Some("refresh_token"));
    refused(refresh(text(&rotated, "refresh_token")).await, Kind::Unauthenticated, Some("refresh_token"));
    refused(person.get("/v1/me").await, Kind::Unauthenticated, None);
    refused(second.get("/v1/me").await, Kind::Unauthenticated, None);
    refused(refresh("unheard of").await, Kind::Unauthenticated, Some("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_a_sign_out_or_with_its_time() {
    let app = TestApp::start().await;
    let (person, session) = sign_up(&app, "wei@verse.test").await;
    person.get("/v1/me").await.unwrap();
    delete(&person, "/v1/sessions/current").await.unwrap();
    refused(person.get("/v1/me").await, Kind::Unauthenticated, None);
    let input = json!({ "refresh_token": session["refresh_token"] });
    let outcome = app.anonymous().post("/v1/sessions/refresh").json(&input).unwrap().send::<Value>().await;
    refused(outcome, Kind::Unauthenticated, Some("refresh_token"));

    let (other, session) = sign_up(&app, "other@verse.test").await;
    app.clock.advance(Duration::from_secs(606));
    refused(other.get("/v1/me").await, Kind::Unauthenticated, None);
    let input = json!({ "refresh_token": session["refresh_token"] });
    let session: Value = app.anonymous().post("/v1/sessions/refresh").json(&input).unwrap().send().await.unwrap();
    app.clock.advance(DAY * 31);
    let input = json!({ "refresh_token": session["refresh_token"] });
    let outcome = app.anonymous().post("/v1/sessions/refresh").json(&input).unwrap().send::<Value>().await;
    refused(outcome, Kind::Unauthenticated, Some("refresh_token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let app = TestApp::start().await;
    sign_up(&app, "wei@verse.test").await;
    let mut answers = Vec::new();
    for (email, password) in
        [("wei@verse.test", "not the password"), ("nobody@verse.test", PASSWORD), ("operator@exchange.test", PASSWORD)]
    {
        let wrong = json!({ "email": email, "password": password });
        let outcome = app.anonymous().post("/v1/sessions").json(&wrong).unwrap().send::<Value>().await;
        answers.push(refused(outcome, Kind::Unauthenticated, None).to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let twice = json!({ "email": "WEI@verse.test", "password": PASSWORD });
    refused(
        app.anonymous().post("/v1/users").json(&twice).unwrap().send::<Value>().await,
        Kind::AlreadyExists,
        Some("email"),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_is_shown_once_reaches_no_further_than_its_scope_and_ends() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "wei@verse.test").await;
    let made = person.post("/v1/tokens", &token_wish("write", 10)).await.unwrap();
    let program = Actor::platform(app.anonymous().with_token(text(&made, "token")), "");
    assert_eq!(text(&program.get("/v1/me").await.unwrap(), "scope"), "write");
    let listed = program.get("/v1/tokens").await.unwrap();
    assert!(!listed.to_string().contains(text(&made, "token")) && listed["items"][0].get("token").is_none());
    refused(delete(&program, "/v1/sessions/current").await, Kind::WrongState, None);

    let child = program.post("/v1/tokens", &token_wish("write", 300)).await.unwrap();
    assert_eq!(child["expires_at"], made["expires_at"], "no token prolongs itself");
    refused(person.post("/v1/tokens", &token_wish("write", 400)).await, Kind::Invalid, Some("expires_at"));
    let (stranger, _) = sign_up(&app, "stranger@other.test").await;
    let path = format!("/v1/tokens/{}", text(&made, "id"));
    refused(delete(&stranger, &path).await, Kind::NotFound, None);
    delete(&person, &path).await.unwrap();
    refused(program.get("/v1/me").await, Kind::Unauthenticated, None);
    refused(delete(&person, &path).await, Kind::WrongState, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_authorization_headers_are_refused_as_problems() {
    let app = TestApp::start().await;
    let (person, _) = sign_up(&app, "wei@verse.test").await;
    let made = person.post("/v1/tokens", &token_wish("read", 1)).await.unwrap();
    let token = text(&made, "token");
    let url = format!("{}/v1/me", app.url);
    let http = reqwest::Client::new();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("anyone:{token}"));
    let answer = http.get(&url).header("Authorization", format!("Basic {basic}")).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    let oversized = format!("Bearer {}", "a".repeat(9000));
    let odd: [&[u8]; 8] = [
        b"",
        b"Bearer",
        b"Bearer \xff\xfe",
        b"Basic !!!",
        b"Bearer a.b.c",
        b"Bearer cpx_x",
        b"Token abc",
        oversized.as_bytes(),
    ];
    for value in odd {
        let value = reqwest::header::HeaderValue::from_bytes(value).unwrap();
        let answer = http.get(&url).header("Authorization", value.clone()).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (401, &"application/problem+json".parse().unwrap()),
            "{value:?}"
        );
        // A bad credential is not the same as none, where none would do.
        let answer = http
            .get(format!("{}/v1/organisations/x1/keys", app.url))
            .header("Authorization", value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401);
    }
    let twice = http.get(&url).bearer_auth(token).bearer_auth(token).send().await.unwrap();
    assert_eq!(
        (twice.status().as_u16(), &twice.headers()["content-type"]),
        (400, &"application/problem+json".parse().unwrap())
    );
    let none = http.get(&url).send().await.unwrap();
    assert_eq!((none.status().as_u16(), none.headers().contains_key("www-authenticate")), (401, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_registered_once_by_its_holder_and_revoked_for_good() {
    let app = TestApp::start().await;
    let house = app.organisation("poetry-house").await;
    let rival = app.organisation("rival-house").await;
    let path = "/v1/organisations/poetry-house/keys";
    let listed: Value = app.anonymous().get(path).send().await.unwrap();
    assert_eq!(text(&listed["items"][0], "key_id"), house.key.public().key_id().to_string());
    let id = text(&listed["items"][0], "id").to_string();

    let registration = |key: &SecretKey, handle: &str| {
        let subject = ResourceDescriptor::new("key", key.public().key_id());
        let predicate = json!({ "organisation": handle, "public_key": key.public() });
        let signer = Actor { key: key.clone(), ..house.clone() };
        json!({ "envelope": signer.sign(StatementKind::KeyRegistration, vec![subject], predicate) })
    };
    let other = SecretKey::generate();
    refused(house.post(path, &registration(&house.key, "poetry-house")).await, Kind::AlreadyExists, Some("envelope"));
    refused(
        house.post(path, &registration(&other, "rival-house")).await,
        Kind::BadSignature,
        Some("predicate/organisation"),
    );
    refused(rival.post(path, &registration(&other, "poetry-house")).await, Kind::Forbidden, None);
    house.post(path, &registration(&other, "poetry-house")).await.unwrap();

    let revocation = format!("{path}/{id}/revocation");
    refused(rival.post(&revocation, &json!({})).await, Kind::Forbidden, None);
    let rivals = format!("/v1/organisations/rival-house/keys/{id}/revocation");
    refused(rival.post(rivals, &json!({})).await, Kind::NotFound, None);
    let future = json!({ "compromised_at": "2999-01-01T00:00:00Z" });
    refused(house.post(&revocation, &future).await, Kind::Invalid, Some("compromised_at"));
    // Whose membership has ended, of which an instance has not learnt yet.
    let mut former = rival.caller().await;
    former.memberships = house.caller().await.memberships;
    let (keys, key, now) = (app.app().keys.clone(), id.parse().unwrap(), app.clock.now());
    let revoke = move |c: &mut Conn| identity::revoke_key(c, &former, &keys, "poetry-house", key, None, now);
    refused(app.app().db.write(revoke).await, Kind::Forbidden, None);
    let revoked = house.post(&revocation, &json!({})).await.unwrap();
    assert!(revoked["revoked_at"].is_string() && revoked["compromised_at"].is_null());
    refused(house.post(&revocation, &json!({})).await, Kind::WrongState, None);
    let before = json!({ "compromised_at": "2026-01-01T00:00:00Z" });
    refused(house.post(&revocation, &before).await, Kind::Invalid, Some("compromised_at"));
    let compromised = json!({ "compromised_at": revoked["registered_at"] });
    let declared = house.post(&revocation, &compromised).await.unwrap();
    assert_eq!(declared["revoked_at"], revoked["revoked_at"]);
    assert_eq!(declared["compromised_at"], revoked["registered_at"]);
    refused(house.post(&revocation, &compromised).await, Kind::WrongState, None);
    refused(house.post(path, &registration(&house.key, "poetry-house")).await, Kind::AlreadyExists, Some("envelope"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_account_is_made_once_and_never_out_of_somebody_elses() {
    use corpex::history;
    let app = TestApp::start().await;
    sign_up(&app, "squatter@exchange.test").await;
    let now = app.clock.now();
    let make =
        |email: &'static str, role| app.app().db.write(move |c| identity::create_platform_user(c, email, role, now));
    let again = make("Operator@exchange.test", PlatformRole::Operator).await.unwrap();
    assert_eq!(again.platform_role, Some(PlatformRole::Operator));
    refused(make("operator@exchange.test", PlatformRole::Compliance).await, Kind::AlreadyExists, Some("email"));
    refused(make("squatter@exchange.test", PlatformRole::Operator).await, Kind::AlreadyExists, Some("email"));

    let later = now.plus(Duration::from_secs(1));
    let removed = app.app().db.write(move |c| {
        let user = identity::remove_platform_role(c, "Operator@exchange.test", later)?;
        history::list(c, user.id)
    });
    let reasons: Vec<_> = removed.await.unwrap().into_iter().map(|step| step.reason).collect();
    assert_eq!(reasons, ["created with the platform role operator", "the platform role operator was taken away"]);
    refused(make("operator@exchange.test", PlatformRole::Operator).await, Kind::AlreadyExists, Some("email"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_published_keys_are_the_two_that_sign_access_tokens() {
    let app = TestApp::start().await;
    let set: Value = app.anonymous().get("/.well-known/jwks.json").send().await.unwrap();
    let kids: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| text(key, "kid").to_string()).collect();
    let keys = &app.app().keys;
    assert_eq!(kids, [keys.access.public().key_id().to_string(), keys.access_next.public().key_id().to_string()]);
}
