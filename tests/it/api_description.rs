//! The API's description is the API.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use crate::hub::HubClient;
use crate::support::TestApp;

#[test]
fn openapi_yaml_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let said = corpex::server::documentation::openapi_yaml().unwrap();
    assert!(kept == said, "openapi.yaml is out of date; write it again with `cargo run -- openapi > openapi.yaml`");
}

#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(corpex::server::routes::openapi()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path} has no summary");
            assert!(operation["tags"].is_array(), "{method} {path} has no tag");
        }
    }
}

/// Every `$ref` below a value.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn whatever_is_referred_to_is_described() {
    let document = serde_json::to_value(corpex::server::routes::openapi()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "the references were not found");
    for reference in found {
        let described = document.pointer(reference.strip_prefix('#').unwrap());
        assert!(described.is_some(), "{reference} leads nowhere");
    }
}

/// Two types of one name would be described as the one that was met last.
#[test]
fn no_two_schemas_share_a_name() {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in crate::tidy::sources() {
        // A type is described when it derives that, or is listed by our own macro, which does.
        let described = text.split("ToSchema").skip(1).chain(text.split("text_enum! {").skip(1));
        for rest in described.filter(|rest| !rest.starts_with([';', ',', '}', ' '])) {
            let item = rest.split_once("struct ").map(|(before, after)| (before.len(), after));
            let choice = rest.split_once("enum ").map(|(before, after)| (before.len(), after));
            let Some((until, item)) = item.into_iter().chain(choice).min_by_key(|(until, _)| *until) else { continue };
            let renamed = rest[..until].split_once("schema(as = ").and_then(|(_, name)| name.split(')').next());
            let name = renamed.unwrap_or_else(|| item.split([' ', '<', '(', '{', ';']).next().unwrap());
            names.entry(name.to_string()).or_default().push(file.clone());
        }
    }
    assert!(names.len() > 100, "the schemas were not found");
    names.retain(|_, files| files.len() > 1);
    assert!(names.is_empty(), "give one of each another name, with schema(as = …): {names:#?}");
}

#[test]
fn every_operation_says_how_it_is_refused_and_what_its_path_holds() {
    let document = serde_json::to_value(corpex::server::routes::openapi()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let takes_json = operation["requestBody"]["content"]["application/json"].is_object();
            for status in ["default", "503"].into_iter().chain(takes_json.then_some("413")) {
                assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_the_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(of_the_path, path.matches('{').count(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let said = &response["content"]["application/json"]["schema"]["$ref"];
                assert_ne!(said, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_refuses_other_methods_with_those_that_it_answers() {
    let app = TestApp::start().await;
    let anyone = HubClient::new(&app, None);
    let described = [corpex::server::routes::openapi(), corpex::server::routes::hub_openapi()];
    let described = described.map(|api| serde_json::to_value(api).unwrap()["paths"].as_object().unwrap().clone());
    for (pattern, methods) in described.into_iter().flatten().filter(|(pattern, _)| !pattern.starts_with("/api/")) {
        let mut answers: BTreeSet<String> = methods.as_object().unwrap().keys().map(|m| m.to_uppercase()).collect();
        if answers.contains("GET") {
            answers.insert("HEAD".to_string());
        }
        let pieces = pattern.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, rest)| rest));
        let path = pieces.collect::<Vec<_>>().join("x");
        let refused = anyone.send(Method::PATCH, &path, &[], None).await;
        assert_eq!(refused.status, 405, "{pattern}: {refused:?}");
        assert_eq!(refused.json()["type"], "urn:corpex:problem:method-not-allowed");
        let allowed: BTreeSet<String> = refused.header("allow").unwrap().split(", ").map(str::to_string).collect();
        assert_eq!(answers, allowed, "{pattern}");
    }
    for nowhere in ["/v1/nothing", "/"] {
        assert_eq!(anyone.send(Method::PATCH, nowhere, &[], None).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_get_answers_head() {
    let app = TestApp::start().await;
    let anyone = HubClient::new(&app, None);
    for path in
        ["/healthz", "/readyz", "/openapi.yaml", "/docs/", "/v1/checklist", "/v1/me", "/api/datasets", "/v1/nothing"]
    {
        let (got, told) = (anyone.get(path).await, anyone.send(Method::HEAD, path, &[], None).await);
        assert_eq!((told.status, told.body.len()), (got.status, 0), "{path}");
        for name in ["content-type", "content-length", "x-error-code"] {
            assert_eq!(told.header(name), got.header(name), "{name} of {path}");
        }
    }
    assert_eq!(anyone.send(Method::HEAD, "/v1/sessions", &[], None).await.status, 405);
    let front = anyone.get("/").await;
    assert_eq!(front.status, 307);
    assert_eq!(front.header("location"), Some("docs/"), "who knows the host alone finds the API");
}
