//! The JSON Schemas (draft 2020-12) of every signed or submitted document, embedded and compiled once.
//!
//! Every file in `schemas/` has a line in [`SCHEMAS`]; a test keeps it so.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::error::{Error, Result};

macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../schemas/", $name, ".json")))),+]
    };
}

/// Each document's name and its schema, in the order of the alphabet.
pub const SCHEMAS: &[(&str, &str)] = schemas![
    "assessment.v1",
    "audit-trail.v1",
    "certificate.v1",
    "contract.v1",
    "deletion-attestation.v1",
    "delivery-receipt.v1",
    "dispute.v1",
    "entitlement-change.v1",
    "entitlement.v1",
    "evaluation-receipt.v1",
    "evaluation.v1",
    "exchange-key.v1",
    "inspection.v1",
    "key-registration.v1",
    "key-revocation.v1",
    "listing-change.v1",
    "listing.v1",
    "manifest.v1",
    "model-training.v1",
    "negotiation-change.v1",
    "objection.v1",
    "offer-change.v1",
    "offer.v1",
    "order-change.v1",
    "passport.v1",
    "recall.v1",
    "receipt-batch.v1",
    "settlement.v1",
    "takedown.v1",
    "terms.v1",
    "trade-certificate.v1",
];

static VALIDATORS: LazyLock<HashMap<&str, Result<Validator>>> =
    LazyLock::new(|| SCHEMAS.iter().map(|(name, text)| (*name, compile(name, text))).collect());

fn compile(name: &str, text: &str) -> Result<Validator> {
    let broken = |why: String| Error::internal(format!("the schema {name} cannot be used: {why}"));
    let schema: Value = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .build(&schema)
        .map_err(|error| broken(error.to_string()))
}

/// Checks a document against the schema `name` (`terms.v1`).
///
/// Refuses as [`crate::error::Kind::Invalid`], the field being the JSON pointer of the first fault. A name
/// that is not in [`SCHEMAS`] is a fault of the exchange.
pub fn validate(name: &str, value: &Value) -> Result<()> {
    let validator = match VALIDATORS.get(name) {
        Some(Ok(validator)) => validator,
        Some(Err(error)) => return Err(Error::internal(error.detail.clone())),
        None => return Err(Error::internal(format!("there is no schema {name:?}"))),
    };
    validator.validate(value).map_err(|fault| {
        let why = shortened(&fault.to_string());
        Error::invalid(fault.instance_path().to_string(), why).remedy(format!("follow schemas/{name}.json"))
    })
}

/// A fault may quote the whole value; what is wrong stands at the end.
fn shortened(why: &str) -> String {
    const ENDS: usize = 200;
    let count = why.chars().count();
    if count <= 2 * ENDS + 1 {
        return why.to_string();
    }
    let (start, end): (String, String) = (why.chars().take(ENDS).collect(), why.chars().skip(count - ENDS).collect());
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use serde_json::json;

    #[test]
    fn every_schema_file_is_in_the_table_and_is_valid() {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let mut files: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".json").expect("schemas/ holds only .json files").to_string())
            .collect();
        files.sort();
        assert_eq!(files, SCHEMAS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let mut ids = std::collections::HashSet::new();
        for (name, text) in SCHEMAS {
            let schema: Value = serde_json::from_str(text).unwrap();
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
            assert!(
                schema["$id"]
                    .as_str()
                    .is_some_and(|id| id.starts_with("urn:corpex:schema:") && ids.insert(id.to_string())),
                "{name}"
            );
            jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{name}: {error}"));
            compile(name, text).unwrap();
        }
    }

    #[test]
    fn a_fault_is_named_by_its_json_pointer() {
        let bad =
            json!({"root_sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "count": 0});
        let error = validate("receipt-batch.v1", &bad).unwrap_err();
        assert_eq!((error.kind, error.field.as_deref()), (Kind::Invalid, Some("/count")));
    }

    #[test]
    fn an_unlisted_name_is_a_fault_of_the_exchange() {
        assert_eq!(validate("nothing.v1", &json!({})).unwrap_err().kind, Kind::Internal);
    }
}
