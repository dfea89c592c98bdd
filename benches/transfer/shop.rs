//! An exchange in a process of its own, a provider and a lab.

use std::path::Path;
use std::time::{Duration, Instant as Stopwatch};

use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::measure;
use crate::support::process::{Exchange, Person, organisation};
use crate::support::{provenance, terms, token_wish};

pub struct Shop {
    exchange: Exchange,
    compliance: Person,
    provider: Person,
    lab: Person,
    /// What the lab shows.
    pub authorization: String,
}

impl Shop {
    pub async fn open() -> Self {
        let exchange = Exchange::serve_with(&measure::UNLIMITED).await;
        let (operator, compliance) = (exchange.platform("operator"), exchange.platform("compliance"));
        let provider = organisation(&exchange, &operator, "poetry-house");
        let lab = organisation(&exchange, &operator, "verse-lab");
        let token = lab.api("POST", "/v1/tokens", &token_wish("read", 30));
        let authorization = format!("Bearer {}", token["token"].as_str().unwrap());
        let folder = exchange.folder.path();
        std::fs::write(folder.join("terms.json"), terms(0).to_string()).unwrap();
        std::fs::write(folder.join("provenance.json"), provenance().to_string()).unwrap();
        Self { exchange, compliance, provider, lab, authorization }
    }

    pub fn server(&self) -> u32 {
        self.exchange.server_id()
    }

    pub fn restart(&mut self) {
        self.exchange.stop();
        self.exchange.start();
    }

    /// Publishes a folder, and gives how long that took.
    pub fn publish(&self, name: &str, folder: &Path) -> Duration {
        let started = Stopwatch::now();
        self.published(name, folder);
        started.elapsed()
    }

    fn published(&self, name: &str, folder: &Path) -> Value {
        let at = |name: &str| self.exchange.folder.path().join(name).display().to_string();
        let (folder, dataset) = (folder.display().to_string(), format!("poetry-house/{name}"));
        let (terms, provenance) = (at("terms.json"), at("provenance.json"));
        let papers = ["--terms", &terms, "--provenance", &provenance, "--language", "zh-Hant"];
        self.provider.json(&[&["publish", &folder, "--dataset", &dataset], &papers[..]].concat())
    }

    /// Publishes, lists and sells a corpus of files of these sizes, and gives the address of the first of them.
    pub fn sell(&self, name: &str, files: &[(&str, usize)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (path, size) in files {
            match size {
                3 => write(&folder.path().join(path), b"{}\n"),
                size => write_random(&folder.path().join(path), *size),
            }
        }
        let published = self.published(name, folder.path());
        let dataset = format!("poetry-house/{name}");
        self.assess(&dataset);
        let wanted = json!({ "dataset": dataset, "version": 1, "terms_id": published["terms_id"] });
        self.provider.api("POST", "/v1/listings", &wanted);
        let terms = published["terms_id"].as_str().unwrap();
        self.lab.json(&["buy", &dataset, "--terms", terms, "--use", "pretraining of a small language model"]);
        self.rest();
        let commit = &published["manifest_sha256"].as_str().unwrap()[..40];
        format!("{}/datasets/{dataset}/resolve/{commit}/{}", self.exchange.url, files[0].0)
    }

    fn assess(&self, dataset: &str) {
        let items = self.compliance.api("GET", "/v1/checklist", &Value::Null);
        let answer = |item: &Value| json!({ "key": item["key"], "finding": "compliant", "evidence": [] });
        let checklist: Vec<Value> = items["items"].as_array().unwrap().iter().map(answer).collect();
        let assessment = json!({ "checklist": checklist, "decision": "passed", "valid_days": 365 });
        self.compliance.api("POST", &format!("/v1/datasets/{dataset}/versions/1/assessments"), &assessment);
    }

    /// Waits until the exchange has nothing left to do.
    pub fn rest(&self) {
        let metrics = format!("{}/metrics", self.exchange.url);
        for _ in 0..1200 {
            let told = super::reference::run("curl", &["-sSf", "--noproxy", "*", &metrics]);
            if told.lines().any(|line| line == r#"corpex_state{of="jobs_live"} 0"#) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("jobs are left over");
    }
}

/// Writes a file of bytes that nothing can compress, other ones each time.
pub fn write_random(file: &Path, size: usize) {
    let mut random = rand::rngs::SmallRng::from_rng(&mut rand::rng());
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    write(file, &bytes);
}

fn write(file: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
}
