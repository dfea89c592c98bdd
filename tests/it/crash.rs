//! The server is killed in the middle of things, again and again, and nothing is lost or done twice.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use corpex::cli::client::Client;
use serde_json::{Value, json};

use crate::command_line::{assess, deposit};
use crate::support::kinds_in_log;
use crate::support::process::{Exchange, Person, files, organisation};

const SHARDS: u8 = 12;
const SHARD_BYTES: usize = 700_000;

/// Begins a command, and kills the server and then the command when it has finished `files` files.
fn cut_off(exchange: &mut Exchange, person: &Person, args: &[&str], files: usize) {
    let mut command = person.begin(args);
    let lines = BufReader::new(command.stderr.take().unwrap()).lines().map_while(Result::ok);
    let done = lines.filter(|line| line.starts_with("uploading: ") || line.starts_with("downloading: "));
    let seen = done.take(files).count();
    assert_eq!(seen, files, "the command ended before it could be cut off");
    exchange.kill();
    command.kill().unwrap();
    command.wait().unwrap();
    exchange.start();
}

fn corpus(folder: &Path) {
    std::fs::create_dir_all(folder.join("data")).unwrap();
    for shard in 0..SHARDS {
        let bytes: Vec<u8> = (0..SHARD_BYTES).map(|i| (i % 251) as u8 ^ shard).collect();
        std::fs::write(folder.join(format!("data/{shard:03}.bin")), bytes).unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_loses_nothing_and_repeats_nothing() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 1_000_000);
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    corpus(&source);
    let (terms, provenance) = (work.path().join("terms.json"), work.path().join("provenance.json"));
    std::fs::write(&terms, crate::support::terms(50_000).to_string()).unwrap();
    std::fs::write(&provenance, crate::support::provenance().to_string()).unwrap();
    let (source_text, terms, provenance) =
        (source.display().to_string(), terms.display().to_string(), provenance.display().to_string());
    let dataset = "poetry-house/persistent";
    let publish =
        ["publish", &source_text, "--dataset", dataset, "--terms", &terms, "--provenance", &provenance, "--jobs", "2"];
    for files in [1, 4] {
        cut_off(&mut exchange, &provider, &publish, files);
    }
    let published = provider.json(&publish);
    assert_eq!(published["version"], 1);

    assess(&compliance, dataset, &published["version"]);
    provider.api(
        "POST",
        "/v1/listings",
        &json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] }),
    );
    let buy = ["buy", dataset, "--use", "pretraining of a small language model"];
    let mut buying = lab.begin(&buy);
    exchange.kill();
    let _ = buying.kill();
    let _ = buying.wait();
    exchange.start();
    let bought = lab.json(&buy);
    assert_eq!(bought, lab.json(&buy));

    let target = work.path().join("target");
    let to = target.display().to_string();
    let download = ["download", dataset, "--to", &to, "--jobs", "2"];
    for files in [1, 5] {
        cut_off(&mut exchange, &lab, &download, files);
    }
    lab.json(&download);
    assert_eq!(files(&source), files(&target));
    lab.done(&["verify", &to]);

    let orders = lab.api("GET", "/v1/orders", &Value::Null);
    assert_eq!(orders["items"].as_array().unwrap().len(), 1, "one purchase, one order");
    let postings = lab.api("GET", "/v1/organisations/verse-lab/postings", &Value::Null);
    assert_eq!(postings["items"].as_array().unwrap().len(), 2, "one deposit and one payment");
    let kinds = kinds_in_log(&Client::new(&exchange.url, None).unwrap()).await;
    for once in ["manifest", "terms", "assessment", "certificate", "listing", "contract", "entitlement"] {
        assert_eq!(kinds.get(once), Some(&1), "{once} statements in the log: {kinds:?}");
    }
    exchange.stop();
    exchange.audit();
}
