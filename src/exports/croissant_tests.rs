//! What becomes a record set, and what a card says of columns and of responsible use.

use super::*;
use crate::types::{Digest, Instant, ObjectId, VersionId};

fn shards(paths: impl IntoIterator<Item = String>) -> Vec<Shard> {
    let now = Instant::from_unix_micros(0);
    let shard = |path: String| Shard {
        version_id: VersionId::new(now),
        sha256: Digest::of(&path),
        path,
        object_id: ObjectId::new(now),
        size_bytes: 1,
        media_type: "application/octet-stream".into(),
        records: None,
        language: None,
        domain: None,
        licence: None,
        tokens: None,
    };
    paths.into_iter().map(shard).collect()
}

fn files(shards: &[Shard]) -> Vec<File<'_>> {
    shards.iter().enumerate().map(|(index, shard)| File::new(index, shard)).collect()
}

fn formats(files: &[File<'_>]) -> BTreeSet<Format> {
    files.iter().filter_map(|file| file.format.clone()).collect()
}

/// What a card says of one column.
fn named_text() -> Known {
    Known { found: None, named: Some(vec![Field { name: "full text".into(), data_type: "sc:Text" }]) }
}

/// What was found in shards.
fn found(formats: Value, differing: Value) -> Known {
    let digest = Digest::of("manifest");
    let findings = json!({
        "dataset": "o/n", "version": 1, "manifest_sha256": digest, "formats": formats, "records": 0, "tokens": 0,
        "tokenizer": "t", "columns": [], "differing": differing, "unreadable_shards": 0, "unreadable": [],
        "inspected_at": Instant::from_unix_micros(0),
    });
    Known { found: Some(serde_json::from_value(findings).unwrap()), named: named_text().named }
}

fn fields(set: &Value) -> Vec<(&str, &str)> {
    set["field"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["name"].as_str().unwrap(), f["dataType"].as_str().unwrap()))
        .collect()
}

#[test]
fn each_readable_file_has_its_records_when_the_columns_are_known() {
    let shards = shards(["a.parquet", "b.jsonl", "c.jsonl.zst", "d.tar"].map(str::to_string));
    let files = files(&shards);
    assert!(record_sets(&files, &[], &Known::default()).is_empty());
    let sets = record_sets(&files, &[], &named_text());
    let ids: Vec<&str> = sets.iter().map(|set| set["@id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["records-of-file-00000", "records-of-file-00001", "records-of-file-00002"]);
    assert_eq!(files[2].format.as_ref().unwrap().media_types(), json!(["application/jsonlines", "application/zstd"]));
    let field = &sets[1]["field"][0];
    assert_eq!((&field["@id"], &field["name"]), (&json!("records-of-file-00001/0"), &json!("full text")));
    assert_eq!(field["source"], json!({ "fileObject": { "@id": "file-00001" }, "extract": { "column": "full text" } }));
}

#[test]
fn what_was_found_in_a_file_is_told_rather_than_what_the_card_says() {
    let shards = shards(["a.jsonl", "b.jsonl", "c.parquet", "d.jsonl.gz", "e.jsonl"].map(str::to_string));
    let share = |format: &str, packing: Option<&str>, columns: Value| {
        let mut share = json!({ "format": format, "shards": 1, "bytes": 1, "records": 1, "columns": columns });
        if let Some(packing) = packing {
            share["packing"] = json!(packing);
        }
        share
    };
    let common = json!([{ "name": "n", "type": "mixed" }, { "name": "text", "type": "string" }]);
    let shares = json!([
        share("json-lines", None, common),
        share("json-lines", Some("gzip"), json!([{ "name": "ok", "type": "boolean" }])),
        share("parquet", None, json!([{ "name": "at", "type": "date-time" }, { "name": "tags", "type": "array" }])),
    ]);
    let differing = json!([
        { "path": "b.jsonl", "columns": [{ "name": "n", "type": "integer" }, { "name": "x", "type": "number" }] },
        { "path": "e.jsonl", "columns": [] },
    ]);
    let known = found(shares, differing);
    let sets = record_sets(&files(&shards), &[], &known);
    let told: Vec<Vec<(&str, &str)>> = sets.iter().map(fields).collect();
    let own: [&[(&str, &str)]; 4] = [
        &[("text", "sc:Text")],
        &[("n", "sc:Integer"), ("x", "sc:Float")],
        &[("at", "sc:DateTime")],
        &[("ok", "sc:Boolean")],
    ];
    assert_eq!(told, own);
    let sets = file_sets(&formats(&files(&shards)));
    let together = record_sets(&files(&shards), &sets, &known);
    assert_eq!(together.iter().map(fields).collect::<Vec<_>>(), [own[0], own[3], own[2]]);
}

#[test]
fn many_files_are_sets_by_format() {
    let shards = shards((0..MAX_RECORD_SETS + 1).map(|n| format!("data/{n}.jsonl")).chain(["x.parquet".into()]));
    let files = files(&shards);
    let sets = file_sets(&formats(&files));
    let described: Vec<Value> = sets.iter().map(FileSet::describe).collect();
    let includes: Vec<&str> = described.iter().map(|set| set["includes"].as_str().unwrap()).collect();
    assert_eq!(includes, ["*.jsonl", "*.parquet"]);
    let records = record_sets(&files, &sets, &named_text());
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["field"][0]["source"]["fileSet"]["@id"], "files-jsonl");
}

/// A description of files that are written so many at a time.
fn written(shards: &[Shard], at_a_time: usize) -> Value {
    let mut description = Description {
        public_url: "https://exchange.example".into(),
        dataset: "o/n".into(),
        version_id: VersionId::new(Instant::from_unix_micros(0)),
        commit: "c".repeat(40),
        known: named_text(),
        head: "{\"@type\":\"sc:Dataset\",\"distribution\":[".into(),
        count: 0,
        after: String::new(),
        formats: BTreeSet::new(),
        ended: false,
    };
    let mut document = String::new();
    for files in shards.chunks(at_a_time) {
        document.push_str(&description.write(files));
    }
    description.ended = true;
    document.push_str(&description.write(&[]));
    serde_json::from_str(&document).unwrap()
}

#[test]
fn files_that_are_written_some_at_a_time_are_one_description() {
    let shards = shards((0..MAX_RECORD_SETS + 1).map(|n| format!("data/{n:03}.jsonl")).chain(["x.tar".into()]));
    let whole = written(&shards, shards.len());
    let ids: Vec<&str> =
        whole["distribution"].as_array().unwrap().iter().map(|one| one["@id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[0], &ids[101..]), (103, "file-00000", ["file-00101", "files-jsonl"].as_slice()));
    assert_eq!(whole["recordSet"].as_array().unwrap().len(), 1);
    assert_eq!(written(&shards, 7), whole);
}

#[test]
fn columns_are_those_of_a_single_config_with_types_that_have_a_word() {
    let card = |yaml: &str| named_columns(&Card::parse(&format!("---\n{yaml}---\n")).unwrap());
    let features = "dataset_info:\n  features:\n  - name: text\n    dtype: string\n  - name: year\n    dtype: uint16\n  - name: tags\n    list: string\n";
    let named = |name: &str, data_type| Field { name: name.into(), data_type };
    assert_eq!(card(features).unwrap(), [named("text", "sc:Text"), named("year", "sc:Integer")]);
    for nothing in ["license: mit\n", "dataset_info:\n- features: []\n", "dataset_info: x\n"] {
        assert_eq!(card(nothing), None, "{nothing}");
    }
}

#[test]
fn responsible_use_is_told_in_the_words_of_the_card_or_of_its_provenance() {
    let origin = "provenance:\n  collection_method: web_scraping\n  collected_from: 2024-01-01\n  source_licence: MIT\n  consent: none\n  personal_data: none\n";
    let rai_of = |yaml: &str| Value::Object(rai(&Card::parse(&format!("---\n{yaml}---\n")).unwrap()));
    assert_eq!(rai_of("license: mit\n"), json!({}));
    let said = rai_of(origin);
    assert_eq!(said["rai:dataCollectionType"], "Web Scraping");
    assert_eq!(said["rai:personalSensitiveInformation"], "No personal data.");
    assert_eq!(said["rai:dataCollectionTimeframe"], json!(["2024-01-01"]));
    let said =
        rai_of(&format!("{origin}rai:\n  dataCollectionType: Experiments\n  dataBiases: [old, few]\n  mood: good\n"));
    assert_eq!(said["rai:dataCollectionType"], json!(["Experiments"]));
    assert_eq!(said["rai:dataBiases"], json!(["old", "few"]));
    assert_eq!(said.as_object().unwrap().len(), 4, "{said}");
}
