//! The API's description is the API.

#[test]
fn openapi_yaml_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let said = corpex::ops::routes::openapi_yaml().unwrap();
    assert!(kept == said, "openapi.yaml is out of date; write it again with `cargo run -- openapi > openapi.yaml`");
}

#[test]
fn every_operation_is_described() {
    let document = serde_json::to_value(corpex::app::routes::openapi()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(!summary.is_empty(), "{method} {path} has no summary");
            assert!(operation["tags"].is_array(), "{method} {path} has no tag");
        }
    }
}
