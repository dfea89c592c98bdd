//! U+0000 is text to JSON, to URLs and to SQLite, and to PostgreSQL it is not: wherever it comes from, the answer is
//! a refusal.

use serde_json::{Map, Value, json};

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_in_any_path_query_or_body_is_never_the_exchanges_fault() {
    let app = TestApp::start().await;
    let document = serde_json::to_value(corpex::server::routes::openapi()).unwrap();
    let mut faults = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for url in with_nul(path, operation) {
                let client = &app.operator.client;
                let mut request = match method.as_str() {
                    "get" => client.get(&url),
                    "post" => client.post(&url).idempotent(uuid::Uuid::now_v7().to_string()),
                    "put" => client.put(&url),
                    "delete" => client.delete(&url),
                    "head" => continue,
                    other => panic!("{other} {path} is not tried"),
                };
                if let Some(media) = operation.pointer("/requestBody/content/application~1json") {
                    request = request.json(&example(&document, &media["schema"])).unwrap();
                }
                if let Err(error) = request.response().await
                    && error.kind.status().is_server_error()
                    && !error.detail.contains("Redirect")
                    && !error.detail.contains("answered 400")
                // in the words of OAuth
                {
                    faults.push(format!("{method} {url}: {error:?}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The operation's path: with NUL in no parameter, and in each one of them.
fn with_nul(path: &str, operation: &Value) -> Vec<String> {
    let parameters: Vec<_> = operation["parameters"].as_array().cloned().unwrap_or_default();
    let named = |place: &str| {
        let of_place = parameters.iter().filter(|parameter| parameter["in"] == place);
        of_place.map(|parameter| parameter["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let filled = |nul: Option<&str>| {
        named("path").iter().fold(path.to_string(), |path, name| {
            let value = if nul == Some(name) { "a%00b" } else { "1" };
            path.replace(&format!("{{{name}}}"), value).replace(&format!("{{{name}:.*}}"), value)
        })
    };
    let in_query = named("query").into_iter().map(|name| format!("{}?{name}=a%00b", filled(None)));
    std::iter::once(filled(None)).chain(named("path").iter().map(|name| filled(Some(name)))).chain(in_query).collect()
}

/// A value of a schema, with NUL in each text that is free.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(target) = schema["$ref"].as_str() {
        return example(document, document.pointer(target.trim_start_matches('#')).unwrap());
    }
    if let Some(choice) = schema["enum"].get(0) {
        return choice.clone();
    }
    for combination in ["allOf", "oneOf", "anyOf"] {
        if let Some(first) = schema[combination].as_array().and_then(|all| all.last()) {
            return example(document, first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            let filled = properties.iter().map(|(name, schema)| (name.clone(), example(document, schema)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Some("array") => json!([example(document, &schema["items"])]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("a\u{0}b"),
    }
}
