//! Real corpora on their way from a provider to a lab, by the commands that people type.
//!
//! `CORPEX_CORPORA` names a folder of corpora to send, one folder each; a small one is made when it is absent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corpex::cli::client::Client;
use corpex::types::Digest;
use serde_json::{Value, json};

use crate::support::process::{Exchange, Person, affiliate, files, organisation};

/// Terms, and how the corpora came to be.
pub fn papers(folder: &Path) -> (String, String) {
    let (terms, provenance) = (folder.join("terms.json"), folder.join("provenance.json"));
    let mut document = crate::support::terms(50_000);
    document["preview"] = json!(true);
    document["evaluation_days"] = json!(14);
    std::fs::write(&terms, document.to_string()).unwrap();
    std::fs::write(&provenance, crate::support::provenance().to_string()).unwrap();
    (terms.display().to_string(), provenance.display().to_string())
}

/// A folder of poems to be published, with its papers.
pub struct Poems {
    folder: String,
    /// The file of the terms.
    pub terms: String,
    provenance: String,
}

impl Poems {
    /// So many files.
    pub fn new(work: &Path, files: usize) -> Self {
        let (terms, provenance) = papers(work);
        let folder = work.join("source");
        std::fs::create_dir(&folder).unwrap();
        for number in 0..files {
            std::fs::write(folder.join(format!("{number}.jsonl")), format!("{{\"number\": {number}}}\n")).unwrap();
        }
        Self { folder: folder.display().to_string(), terms, provenance }
    }

    /// The command that publishes them, to which options may be added.
    pub fn publish(&self) -> [&str; 10] {
        let Self { folder, terms, provenance } = self;
        let dataset = "poetry-house/poems";
        ["publish", folder, "--terms", terms, "--provenance", provenance, "--dataset", dataset, "--language", "zh"]
    }
}

/// The corpora to send: (name, folder).
fn corpora(folder: &Path) -> Vec<(String, PathBuf)> {
    if let Some(given) = std::env::var_os("CORPEX_CORPORA") {
        let mut found: Vec<_> =
            std::fs::read_dir(given).unwrap().map(|entry| entry.unwrap().path()).filter(|p| p.is_dir()).collect();
        found.sort();
        assert!(!found.is_empty(), "CORPEX_CORPORA holds no corpus");
        return found.into_iter().map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), p)).collect();
    }
    let made = folder.join("small-corpus");
    std::fs::create_dir_all(made.join("data/deep")).unwrap();
    std::fs::write(made.join("data/a.jsonl"), "{\"text\":\"一\"}\n".repeat(1000)).unwrap();
    std::fs::write(made.join("data/deep/b.bin"), vec![7; 9 * 1024 * 1024]).unwrap();
    std::fs::write(made.join("data/empty.txt"), "").unwrap();
    vec![("small-corpus".to_string(), made)]
}

/// An assessment that finds everything in order.
pub fn assessment(compliance: &Person) -> Value {
    let items = compliance.api("GET", "/v1/checklist", &Value::Null);
    let answer = |item: &Value| json!({ "key": item["key"], "finding": "compliant", "evidence": [] });
    let checklist: Vec<Value> = items["items"].as_array().unwrap().iter().map(answer).collect();
    json!({ "checklist": checklist, "decision": "passed", "valid_days": 365 })
}

pub fn assess(compliance: &Person, dataset: &str, version: &Value) {
    let path = format!("/v1/datasets/{dataset}/versions/{version}/assessments");
    compliance.api("POST", &path, &assessment(compliance));
}

pub fn deposit(operator: &Person, organisation: &str, fen: i64) {
    let amount = json!({ "amount_minor": fen, "currency": "CNY" });
    operator.api(
        "POST",
        "/v1/deposits",
        &json!({ "organisation": organisation, "amount": amount, "reference": format!("bank {organisation}") }),
    );
}

#[tokio::test]
async fn corpora_travel_from_provider_to_lab_and_every_byte_is_proven() {
    let mut exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let lab = organisation(&exchange, &operator, "verse-lab");
    deposit(&operator, "verse-lab", 10_000_000);
    let work = tempfile::tempdir().unwrap();
    let (terms, provenance) = papers(work.path());
    let log_key = log_key(&lab);

    for (name, source) in corpora(work.path()) {
        let dataset = format!("poetry-house/{name}");
        let source_text = source.display().to_string();
        let publish = [
            "publish",
            &source_text,
            "--dataset",
            &dataset,
            "--terms",
            &terms,
            "--provenance",
            &provenance,
            "--language",
            "zh-Hant",
        ];
        let published = provider.json(&publish);
        let again = provider.json(&publish);
        assert_eq!(published, again, "publishing the same folder again is recognised");
        assess(&compliance, &dataset, &published["version"]);
        let listing = json!({ "dataset": dataset, "version": published["version"], "terms_id": published["terms_id"] });
        provider.api("POST", "/v1/listings", &listing);

        let search = ["search", &name, "--use", "pretrain", "--sort", "price"];
        for _ in 0..200 {
            if lab.done(&search).contains(&dataset) {
                break; // what is listed is found within a second, but many exchanges share this machine
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(lab.done(&search).contains(&format!("{dataset}@1")));
        let buy = [
            "buy",
            &dataset,
            "--terms",
            published["terms_id"].as_str().unwrap(),
            "--use",
            "pretraining of a small language model",
        ];
        let said = lab.refused(&[&buy[..], &["--kind", "redistribute"]].concat());
        assert!(said.contains("--kind: "), "{said}");
        let bought = lab.json(&buy);
        assert_eq!(bought, lab.json(&buy), "buying the same again is the same purchase");

        let target = work.path().join(format!("{name}-downloaded"));
        let to = target.display().to_string();
        lab.json(&["download", &dataset, "--to", &to, "--jobs", "4"]);
        assert_eq!(files(&source), files(&target), "{name} differs after its journey");
        let order = lab.api("GET", &format!("/v1/orders/{}", bought["order"].as_str().unwrap()), &Value::Null);
        assert_eq!(order["state"], "delivered", "all of {name} was given, what is empty of it, too");

        let verify = ["verify", to.as_str(), "--offline", "--log-key", &log_key];
        lab.done(&verify);
        for _ in 0..200 {
            if lab.run(&["preview", &dataset]).status.success() {
                break; // it is read soon after it was sealed
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let preview = lab.json(&["preview", &dataset]);
        assert_eq!(preview["records"].as_array().unwrap().len(), 10, "{preview}");
        let redrawn = lab.done(&["preview", &dataset, "--redraw", &to]);
        assert!(redrawn.contains("draws the same 100 of "), "{redrawn}");
        let sample = work.path().join(format!("{name}.sample.jsonl"));
        the_sample_can_be_taken_as_often_as_wanted(&lab, &dataset, &sample);
        the_sample_and_the_right_to_it_are_proven_offline(&lab, &dataset, &sample, &log_key);
        assert!(compliance.done(&["trace", &dataset]).contains("evaluated by verse-lab"));
        a_file_of_another_version_is_told_of(&lab, &dataset, &target, &verify);
        flipping_a_byte_anywhere_is_refused(&lab, &target, &verify);
        lab.done(&verify);

        one_file_is_enough(&lab, &dataset, &source, &work.path().join(format!("{name}-one")), &log_key);

        let passport = work.path().join(format!("{name}.passport.json")).display().to_string();
        lab.done(&["passport", &dataset, "--out", &passport]);
        lab.done(&["verify", &passport, "--offline", "--log-key", &log_key]);
        let shard = target.join(&files(&target)[0].0).display().to_string();
        assert!(compliance.done(&["trace", &shard]).contains("held by verse-lab"));
        let listed = compliance.done(&["trace", &shard, "--kind", "delivery"]);
        assert!(listed.contains(&dataset) && listed.contains("with verse-lab"), "{listed}");
        let table = work.path().join(format!("{name}.csv"));
        compliance.done(&["trace", &dataset, "--export", "csv", "--out", &table.display().to_string()]);
        let table = std::fs::read_to_string(table).unwrap();
        assert_eq!(table, compliance.done(&["trace", &dataset, "--export", "csv"]), "to a file or to standard output");
        assert!(table.starts_with("id,at,kind,") && table.contains(",certificate,"), "{table}");

        let revocation = format!("/v1/entitlements/{}/revocation", bought["entitlement"].as_str().unwrap());
        compliance.api("POST", &revocation, &json!({ "reason": "a court ordered it" }));
        lab.done(&["passport", &dataset, "--out", &passport]);
        let verified = lab.done(&["verify", &passport, "--offline", "--log-key", &log_key]);
        assert!(verified.contains("licence: revoked at ") && verified.contains("a court ordered it"), "{verified}");
    }
    exchange.stop();
    exchange.audit();
}

fn the_sample_can_be_taken_as_often_as_wanted(lab: &Person, dataset: &str, file: &Path) {
    let to = file.display().to_string();
    let evaluate = |purpose| lab.json(&["evaluate", dataset, "--purpose", purpose, "--out", &to]);
    let taken = evaluate("to see whether the verse scans");
    let sample = std::fs::read(file).unwrap();
    assert_eq!(taken["sha256"], json!(Digest::of(&sample)));
    assert_eq!(taken["records"], 100, "{taken}");
    let again = evaluate("to see it once more");
    assert_eq!((&again["evaluation"], &again["sha256"]), (&taken["evaluation"], &taken["sha256"]));
    assert_ne!(again["entry"], taken["entry"], "each has a receipt of its own");
    let told = lab.run(&["evaluate", dataset, "--purpose", "to see it once more", "--out", &to]).stderr;
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("holds already") && told.contains("to see whether the verse scans"), "{told}");
}

fn the_sample_and_the_right_to_it_are_proven_offline(lab: &Person, dataset: &str, sample: &Path, log_key: &str) {
    let file = sample.display().to_string();
    let passport = format!("{file}.passport.json");
    let verify = ["verify", passport.as_str(), "--sample", file.as_str(), "--offline", "--log-key", log_key];
    let said = lab.done(&verify);
    assert!(said.contains("evaluation: by verse-lab from ") && said.contains(" is the evaluated sample, "), "{said}");
    for victim in [sample, Path::new(&passport)] {
        flipping_a_byte_is_refused(lab, victim, &verify);
    }
    for (wrong, why) in [
        (passport.as_str(), "no evaluation in the passport covers it"),
        ("nothing.jsonl", "--sample: nothing.jsonl cannot be read"),
    ] {
        let said = lab.refused(&[&verify[..2], &["--sample", wrong], &verify[4..]].concat());
        assert!(said.contains(why), "{said}");
    }
    let evaluation = lab.json(&verify)["samples"][0]["evaluation"].as_str().unwrap().to_string();
    std::fs::remove_file(&passport).unwrap();
    lab.done(&["passport", dataset, "--evaluation", &evaluation, "--out", &passport]);
    lab.done(&verify);
    let another = lab.refused(&["passport", "verse-lab/prose", "--evaluation", &evaluation, "--out", &passport]);
    assert!(another.contains("is no evaluation of verse-lab/prose"), "{another}");
}

fn a_file_of_another_version_is_told_of(lab: &Person, dataset: &str, folder: &Path, verify: &[&str]) {
    let (known, strange) = (folder.join("README.md"), folder.join("recalled.jsonl"));
    std::fs::write(&known, "# the card").unwrap();
    assert!(lab.json(verify).get("strangers").is_none(), "the card and what is hidden are no strangers");
    std::fs::write(&strange, "{}\n").unwrap();
    let download = ["download", dataset, "--to", folder.to_str().unwrap()];
    for command in [verify, &download[..]] {
        assert_eq!(lab.json(command)["strangers"], json!(["recalled.jsonl"]));
        let said = lab.done(command);
        assert!(said.contains("not of this version, and not checked: recalled.jsonl"), "{said}");
    }
    std::fs::remove_file(known).unwrap();
    std::fs::remove_file(strange).unwrap();
}

fn flipping_a_byte_anywhere_is_refused(lab: &Person, folder: &Path, verify: &[&str]) {
    let mut victims: Vec<PathBuf> =
        files(folder).into_iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| folder.join(name)).collect();
    victims.push(folder.join(".corpex/passport.json"));
    for victim in victims {
        flipping_a_byte_is_refused(lab, &victim, verify);
    }
}

fn flipping_a_byte_is_refused(lab: &Person, victim: &Path, verify: &[&str]) {
    let bytes = std::fs::read(victim).unwrap();
    for position in [0, bytes.len() / 3, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        std::fs::write(victim, changed).unwrap();
        let said = lab.refused(verify);
        assert!(said.len() > 20, "no reason was given for {}: {said:?}", victim.display());
    }
    std::fs::write(victim, bytes).unwrap();
}

/// Somebody who wants one file gets that, verified, and shown to the Hub's clients as their own cache is.
fn one_file_is_enough(lab: &Person, dataset: &str, source: &Path, folder: &Path, log_key: &str) {
    let all = files(source);
    let (wanted, bytes) = &all[0];
    let (to, cache) = (folder.join("files").display().to_string(), folder.join("hub"));
    let some = ["--include", wanted.as_str(), "--export-hf-cache", cache.to_str().unwrap(), "--limit-rate", "1G"];
    let fetched = lab.json(&[&["download", dataset, "--to", &to], &some[..]].concat());
    assert_eq!(files(Path::new(&to)), [(wanted.clone(), bytes.clone())]);
    let verify = ["verify", to.as_str(), "--offline", "--log-key", log_key];
    let said = lab.done(&verify);
    if all.len() > 1 {
        assert!(said.contains(&format!("1 of {} files are here", all.len())), "{said}");
        let said = lab.refused(&["preview", dataset, "--redraw", &to]);
        assert!(said.contains("--redraw: ") && said.contains("download those that are missing"), "{said}");
    }

    let snapshot = Path::new(fetched["hf_snapshot"].as_str().unwrap());
    assert_eq!(&std::fs::read(snapshot.join(wanted)).unwrap(), bytes, "links lead from the snapshot to the blob");
    assert!(std::fs::read_to_string(snapshot.join("README.md")).unwrap().starts_with("---\n"));
    let repository = cache.join(format!("datasets--{}", dataset.replace('/', "--")));
    let commit = snapshot.file_name().unwrap().to_str().unwrap();
    for name in ["main", "v1"] {
        assert_eq!(std::fs::read_to_string(repository.join("refs").join(name)).unwrap(), commit);
    }

    for was_there in [std::fs::canonicalize(snapshot.join(wanted)).unwrap(), snapshot.join(wanted)] {
        std::fs::remove_file(&was_there).unwrap();
        std::fs::write(&was_there, "something else").unwrap();
        lab.json(&[&["download", dataset, "--to", &to], &some[..]].concat());
        assert_eq!(&std::fs::read(snapshot.join(wanted)).unwrap(), bytes, "{}", was_there.display());
    }

    std::fs::remove_file(Path::new(&to).join(wanted)).unwrap();
    assert!(lab.refused(&verify).contains("cannot be read"), "what was wanted and is missing is missed");
    let nothing = lab.refused(&["download", dataset, "--to", &to, "--include", "no/such/*"]);
    assert!(nothing.contains("no shard that you license matches"), "{nothing}");
    let advice = nothing.split_once("`corpex api GET ").unwrap().1.split_once('`').unwrap().0;
    assert!(lab.done(&["api", "GET", advice]).contains(wanted), "{advice}");
}

/// The log's public key, as its operator publishes it.
fn log_key(person: &Person) -> String {
    let keys = person.api("GET", "/v1/exchange/keys", &Value::Null);
    keys["log"]["vkey"].as_str().unwrap().to_string()
}

#[tokio::test]
async fn an_affiliate_downloads_and_proves_under_the_licence_of_who_vouches_for_it() {
    let exchange = Exchange::serve().await;
    let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
    let provider = organisation(&exchange, &operator, "poetry-house");
    let cloud = organisation(&exchange, &operator, "verse-cloud");
    let lab = affiliate(&exchange, &operator, "verse-lab", &["verse-cloud"]);
    deposit(&operator, "verse-lab", 1_000_000);
    let work = tempfile::tempdir().unwrap();
    let (terms, provenance) = papers(work.path());
    let mut document = crate::support::terms(50_000);
    document["affiliates"] = json!(true);
    std::fs::write(&terms, document.to_string()).unwrap();
    let source = work.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a.jsonl"), "{}\n").unwrap();
    let (dataset, folder) = ("poetry-house/poems", source.display().to_string());
    let published = provider.json(&[
        "publish",
        &folder,
        "--dataset",
        dataset,
        "--terms",
        &terms,
        "--provenance",
        &provenance,
        "--language",
        "zh-Hant",
    ]);
    assess(&compliance, dataset, &published["version"]);
    let listing = json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] });
    provider.api("POST", "/v1/listings", &listing);
    let bought = lab.json(&["buy", dataset, "--use", "pretraining of a small language model"]);

    let (target, passport) = (work.path().join("target"), work.path().join("passport.json").display().to_string());
    let to = target.display().to_string();
    cloud.json(&["download", dataset, "--to", &to]);
    assert_eq!(files(&source), files(&target));
    cloud.json(&["passport", dataset, "--out", &passport]);
    cloud.done(&["verify", &passport]);
    let said = compliance.done(&["trace", "log:0"]);
    assert!(said.contains("log:0 is of no version") && said.contains("key-registration"), "{said}");
    let named = ["--entitlement", bought["entitlement"].as_str().unwrap()];
    let said = cloud.refused(&[&["download", "poetry-house/songs", "--to", &to], &named[..]].concat());
    assert!(said.contains("is no active licence of poetry-house/songs"), "{said}");
}

#[tokio::test]
async fn an_export_whose_reader_has_had_enough_ends() {
    const MUCH: usize = 256 * 1024 * 1024;
    let exchange = Exchange::serve().await;
    let compliance = exchange.platform("compliance");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        assert!(client.read(&mut [0; 4096]).unwrap() > 0);
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n").unwrap();
        let line = [b'\n'; 64 * 1024];
        (0..MUCH / line.len()).all(|_| client.write_all(&line).is_ok())
    });
    let mut export = compliance.begin(&["trace", "--export", "csv", "--server", &server, "--token", "any"]);
    export.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    assert!(export.wait().unwrap().success());
    assert!(!serving.join().unwrap(), "all of it was fetched for nobody");
}

#[tokio::test]
async fn a_command_whose_progress_nobody_reads_goes_on() {
    let exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let poems = Poems::new(work.path(), 20);
    let mut publishing = provider.begin(&poems.publish());
    drop(publishing.stderr.take());
    let published = publishing.wait_with_output().unwrap();
    assert!(published.status.success(), "{}", published.status);
    assert!(String::from_utf8(published.stdout).unwrap().starts_with("published poetry-house/poems@1: 20 shards"));
}

#[tokio::test]
async fn a_publication_that_waits_for_a_worker_says_so_with_json_too() {
    let exchange = Exchange::serve_with(&[("CORPEX_NO_WORKER", "true")]).await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let poems = Poems::new(work.path(), 2);
    let mut publishing = provider.begin(&[&poems.publish()[..], &["--json"]].concat());
    let mut said = BufReader::new(publishing.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("waits to be verified")), "it ended, or nobody was told");
    publishing.kill().unwrap();
    publishing.wait().unwrap();
}

#[tokio::test]
async fn the_next_shard_is_sent_while_one_waits_to_be_verified() {
    let exchange = Exchange::serve_with(&[("CORPEX_NO_WORKER", "true")]).await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let poems = Poems::new(work.path(), 2);
    let mut publishing = provider.begin(&[&poems.publish()[..], &["--jobs", "1"]].concat());
    let anyone = Client::new(&exchange.url, None).unwrap();
    let both_wait = async {
        while !anyone.get("/metrics").text().await.unwrap().contains("corpex_state{of=\"jobs_live\"} 2\n") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both_wait).await.expect("the second is not sent");
    publishing.kill().unwrap();
    publishing.wait().unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_named_and_the_command_gives_up() {
    let mut exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    exchange.kill();
    let said = operator.refused(&["search", "poems"]);
    assert!(said.contains("cannot be reached") && said.contains("trying again") && said.contains("gave up"), "{said}");
}

#[tokio::test]
async fn a_folder_without_shards_is_refused_and_with_another_provenance_it_is_another_version() {
    let exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let (terms, provenance) = papers(work.path());
    let empty = work.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let folder = empty.display().to_string();
    let publish =
        ["publish", &folder, "--dataset", "poetry-house/empty", "--terms", &terms, "--provenance", &provenance];
    assert!(provider.refused(&publish).contains("no readable shard"));
    std::fs::write(empty.join("a.jsonl"), "{}\n").unwrap();
    let publish = [&publish[..], &["--language", "zh-Hant"]].concat();
    assert_eq!(provider.json(&publish)["version"], 1);
    let mut other = crate::support::provenance();
    other["source_licence"] = json!("CC-BY-4.0");
    std::fs::write(&provenance, other.to_string()).unwrap();
    for _ in 0..2 {
        assert_eq!(provider.json(&publish)["version"], 2, "what it says of where the same bytes come from is new");
    }
    let usage = provider.run(&["publish"]);
    assert_eq!(usage.status.code(), Some(2), "wrong usage is exit code 2");
}

#[tokio::test]
async fn what_would_be_read_otherwise_than_it_was_written_is_refused_where_it_stands() {
    let exchange = Exchange::serve().await;
    let operator = exchange.platform("operator");
    let provider = organisation(&exchange, &operator, "poetry-house");
    let work = tempfile::tempdir().unwrap();
    let poems = Poems::new(work.path(), 1);
    let publish = poems.publish();
    let right = crate::support::terms(128_000).to_string();
    for (word, another, why) in [
        ("128000", "1280.00", "floating point `1280.0`"),
        ("permitted_uses", "permited_uses", "unknown field `permited_uses`"),
        ("one_off", "oneoff", "unknown variant `oneoff`"),
    ] {
        std::fs::write(&poems.terms, right.replace(word, another)).unwrap();
        let said = provider.refused(&publish);
        assert!(said.contains("terms: ") && said.contains(why), "{said}");
    }
    std::fs::write(&poems.terms, right).unwrap();
    let said = provider.refused(&[&publish[..], &["--domain", "kultur"]].concat());
    assert!(said.contains("domain: \"kultur\" is not one of general, "), "{said}");
    provider.done(&publish);
}
