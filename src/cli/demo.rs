//! `corpex demo`: a whole trade on a real server, with the real client code over HTTP.
//!
//! Nothing here is staged: the server is the one that `corpex serve` runs, the buyer downloads with the code of
//! `corpex download`, and each claim that a step prints was checked by the step.

mod corpus;
mod people;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use self::people::People;
use super::client::text_at;
use super::output::{Out, counted, say};
use super::reference::DatasetRef;
use super::subset::Subset;
use super::{buy, contract, download, publish, trace, verify};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::provenance::passport::Trust;
use crate::provenance::policy::Policy;
use crate::server::{Running, signalled};
use crate::types::Currency;

const DATASET: &str = "spring-poems";

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Keep the exchange's data here; by default a temporary folder that is removed at the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address to serve on; by default a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: std::net::SocketAddr,
    /// Keep serving afterwards, until interrupted
    #[arg(long)]
    keep_serving: bool,
    /// Write everybody's tokens to this file, so that any client can be tried
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

/// Tells the story: to a person line by line, to a script as one document at the end.
struct Story<'a> {
    out: &'a Out,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    title: String,
    happened: String,
    believable_because: String,
}

impl Story<'_> {
    fn tell(&mut self, title: &str, happened: impl Into<String>, because: &str) -> Result<()> {
        let step =
            Step { title: title.to_string(), happened: happened.into(), believable_because: because.to_string() };
        if !self.out.is_json() {
            let number = self.steps.len() + 1;
            self.out.text(&format!("{number:>2}. {title}\n    {}\n    why believe it: {because}", step.happened))?;
        }
        self.steps.push(step);
        Ok(())
    }
}

impl Demo {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        let temporary = tempfile::tempdir()?;
        let folder = self.data_dir.clone().unwrap_or_else(|| temporary.path().to_path_buf());
        if folder.join("corpex.sqlite3").exists() {
            return Err(Error::invalid("--data-dir", format!("{} holds an exchange already", folder.display()))
                .remedy("give the demo a folder of its own"));
        }
        let mut config = Config::embedded(&folder);
        config.listen = self.listen;
        let running = Running::start(config).await?;
        let told = self.tell(out, &running, &folder).await;
        if told.is_ok() && self.keep_serving {
            let signalled = signalled()?;
            say(&format!("serving on {} until interrupted", running.url));
            return running.serve_until(signalled).await;
        }
        told.and(running.stop().await)
    }

    async fn tell(&self, out: &Out, running: &Running, folder: &Path) -> Result<()> {
        let mut story = Story { out, steps: Vec::new() };
        let people = People::gather(running, folder).await?;
        story.tell(
            "A provider, a lab and a stranger register; the operator verifies them",
            format!("the exchange runs on {} with SQLite and a folder; keys {}", running.url, people.provider.key_id),
            "each key was registered with a statement signed by the key itself, and that is an entry of the public log",
        )?;
        let source = corpus::write(&folder.join("demo").join("source"))?;
        let published = self.publish(&mut story, &people, &source).await?;
        self.list(&mut story, &people, &published).await?;
        let bought = self.buy(&mut story, &people, &published).await?;
        let target = folder.join("demo").join("downloaded");
        let downloaded = self.download(&mut story, &people, &published, &source, &target).await?;
        self.verify_and_tamper(&mut story, running, &target, &downloaded).await?;
        self.refuse_the_stranger(&mut story, &people, &bought).await?;
        self.settle(&mut story, &people, &bought).await?;
        self.trace(&mut story, &people, &target).await?;
        if let Some(file) = &self.credentials {
            let credentials = people.credentials(&running.url, &published.dataset, published.version, &source)?;
            super::whole::write(file, &serde_json::to_vec_pretty(&credentials)?)?;
            out.note(format!("credentials are in {}", file.display()));
        }
        if out.is_json() { out.text(&serde_json::to_string_pretty(&json!({ "steps": story.steps }))?) } else { Ok(()) }
    }

    async fn publish(&self, story: &mut Story<'_>, people: &People, source: &Path) -> Result<publish::Published> {
        let published = publish::Publish {
            folder: source.join("corpus"),
            dataset: dataset(&people.provider.handle),
            terms: source.join("terms.json"),
            provenance: None,
            title: None,
            modality: None,
            domain: None,
            languages: Vec::new(),
            jobs: 4,
            limit_rate: None,
            key: people.provider.key_file(),
        }
        .run(&people.provider.client, &Out::silent())
        .await?;
        story.tell(
            "The provider publishes a corpus of its own",
            format!("{}@{}: {}, {}, manifest {}", published.dataset, published.version, counted(published.shards, "shard"), counted(published.bytes, "byte"), published.manifest_sha256),
            "the exchange read every byte back from its store and found the declared digests before it accepted the signed manifest",
        )?;
        Ok(published)
    }

    async fn list(&self, story: &mut Story<'_>, people: &People, published: &publish::Published) -> Result<()> {
        let listing =
            json!({ "dataset": published.dataset, "version": published.version, "terms_id": published.terms_id });
        let too_early = people.provider.client.post("/v1/listings").json(&listing)?.send::<Value>().await;
        let refusal = expect_refusal(too_early, Kind::NotAssessed)?;
        let number = people.assess(&published.dataset, published.version).await?;
        let listed: Value = people.provider.client.post("/v1/listings").json(&listing)?.send().await?;
        story.tell(
            "Not compliant, not listed; then assessed, certified and listed",
            format!("refused first: {refusal}. Then certificate {number}, listing {}", text_at(&listed, "/id")),
            "the rule is in the listing's own action, and the assessment is a signed statement in the log; this exchange keeps no public notice (--public-notice-days 0)",
        )
    }

    async fn buy(&self, story: &mut Story<'_>, people: &People, published: &publish::Published) -> Result<buy::Bought> {
        let purchase = |kind: crate::terms::Use| buy::Buy {
            dataset: dataset(&people.provider.handle),
            terms: Some(published.terms_id),
            purpose: "pretraining of a small model of classical verse".to_string(),
            kind,
            languages: Vec::new(),
            domains: Vec::new(),
            licences: Vec::new(),
            offer: None,
            again: String::new(),
            buyer: contract::Buyer {
                organisation: Some(people.lab.handle.clone()),
                max_price: Some(corpus::PRICE_FEN),
                currency: Currency::CNY,
                voucher: None,
                key: people.lab.key_file(),
            },
        };
        let forbidden = purchase(crate::terms::Use::Redistribute).run(&people.lab.client, &Out::silent()).await;
        let refusal = expect_refusal(forbidden, Kind::UseNotPermitted)?;
        people.deposit(&people.lab.handle, 1_000_000).await?;
        let bought = purchase(crate::terms::Use::Pretrain).run(&people.lab.client, &Out::silent()).await?;
        story.tell(
            "The lab declares a use, signs the contract and pays into escrow",
            format!(
                "redistribution was refused: {refusal}. Pretraining was agreed in {} for {}",
                bought.order, bought.price
            ),
            "the contract carries both signatures and pins the manifest, the terms, the use and the price",
        )?;
        Ok(bought)
    }

    async fn download(
        &self,
        story: &mut Story<'_>,
        people: &People,
        published: &publish::Published,
        source: &Path,
        target: &Path,
    ) -> Result<download::Downloaded> {
        let done = download::Download {
            dataset: dataset(&people.provider.handle),
            to: target.to_path_buf(),
            entitlement: None,
            jobs: 4,
            subset: Subset::default(),
            limit_rate: None,
            export_hf_cache: None,
        }
        .run(&people.lab.client, &Out::silent())
        .await?;
        let compared = corpus::compare(&source.join("corpus"), target)?;
        story.tell(
            "The lab downloads",
            format!("{}, {} of {}; {} compared with the provider's own, all equal", counted(done.shards, "shard"), counted(done.bytes, "byte"), published.dataset, counted(compared, "file")),
            "every byte was hashed on arrival and compared with the provider's signed manifest before the file took its name",
        )?;
        Ok(done)
    }

    async fn verify_and_tamper(
        &self,
        story: &mut Story<'_>,
        running: &Running,
        target: &Path,
        downloaded: &download::Downloaded,
    ) -> Result<()> {
        let trust = Trust { log: Some(Policy::of_log(running.app.log_vkey()?)), exchange_keys: Vec::new() };
        let quiet = Out::silent();
        let report = verify::folder(target, &trust, &quiet)?;
        story.tell(
            "The lab verifies its passport and its files, offline",
            report.summary(),
            "no server is asked: signatures, inclusion proofs and digests are recomputed from the folder and the log's public key",
        )?;
        let victim = target.join("data").join("poems-00001.jsonl");
        corpus::flip_one_byte(&victim)?;
        let refusal = expect_refusal(verify::folder(target, &trust, &quiet), Kind::DigestMismatch)?;
        corpus::flip_one_byte(&victim)?;
        let saved = std::fs::read(&downloaded.passport)?;
        std::fs::write(&downloaded.passport, corpus::with_one_byte_flipped(&saved))?;
        let second = verify::folder(target, &trust, &quiet).err().map(|error| error.to_string());
        std::fs::write(&downloaded.passport, saved)?;
        let second = second.ok_or_else(|| Error::internal("a forged passport was accepted"))?;
        story.tell(
            "One byte is changed in a shard, then in the passport",
            format!("shard: {refusal}. Passport: {second}"),
            "both were refused with the reason; put back, both verify again",
        )?;
        verify::folder(target, &trust, &quiet).map(drop)
    }

    async fn refuse_the_stranger(&self, story: &mut Story<'_>, people: &People, bought: &buy::Bought) -> Result<()> {
        let path = format!("/v1/entitlements/{}/links", bought.entitlement);
        let wanted = json!({ "paths": ["data/poems-00000.jsonl"] });
        let refused = people.stranger.client.post(path).json(&wanted)?.send::<Value>().await;
        let refusal = expect_refusal(refused, Kind::NotFound)?;
        story.tell(
            "A stranger asks for the lab's shards",
            format!("refused: {refusal}"),
            "the stranger is not even told that the licence exists",
        )
    }

    async fn settle(&self, story: &mut Story<'_>, people: &People, bought: &buy::Bought) -> Result<()> {
        let path = format!("/v1/orders/{}/acceptance", bought.order);
        let accepted: Value = people.lab.client.post(path).idempotent("demo-acceptance").send().await?;
        let paid = people.balance(&people.provider, "payable").await?;
        story.tell(
            "The lab accepts; the exchange settles",
            format!(
                "order {}; the provider is owed {paid}, the rest is the exchange's fee",
                text_at(&accepted, "/state")
            ),
            "double-entry postings in whole fen: escrow is empty again and every transaction sums to zero",
        )
    }

    async fn trace(&self, story: &mut Story<'_>, people: &People, target: &Path) -> Result<()> {
        let file = target.join("data").join("poems-00000.jsonl");
        let traced = trace::Trace::of_file(&people.compliance, &file).await?;
        let holders: Vec<_> = traced
            .chains
            .iter()
            .flat_map(|chain| &chain.licences)
            .map(|licence| licence.holder.handle.clone())
            .collect();
        let made_by: Vec<_> = traced.chains.iter().map(|chain| chain.provider.handle.clone()).collect();
        if holders != [people.lab.handle.clone()] {
            return Err(Error::internal(format!("the trace names {holders:?}")));
        }
        story.tell(
            "Compliance asks who holds a shard, given only its bytes",
            format!("made by {}, held by {}", made_by.join(", "), holders.join(", ")),
            "every link in the chain names its log entry, and the question itself was put on record",
        )
    }
}

fn dataset(organisation: &str) -> DatasetRef {
    DatasetRef { organisation: organisation.to_string(), name: DATASET.to_string(), version: None }
}

/// A step that must be refused, for one reason and no other.
fn expect_refusal<T>(outcome: Result<T>, kind: Kind) -> Result<String> {
    match outcome {
        Err(error) if error.kind == kind => Ok(error.detail),
        Err(error) => Err(error),
        Ok(_) => Err(Error::internal(format!("something that had to be refused as {} went through", kind.slug()))),
    }
}
