//! Subscriptions: the versions that come on the board while the term runs are licensed too, and each can be proven.

use std::path::Path;
use std::process::Command;

use corpex::delivery;
use corpex::error::{Kind, Result};
use corpex::provenance::passport::{Report, Trust, verify};
use corpex::types::{DAY, VersionId};
use diesel::connection::SimpleConnection as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::hub::HubClient;
use crate::support::{Actor, Offer, Published, TestApp, claim, refused, terms};

const PRICE: i64 = 50_000;

struct Story {
    app: TestApp,
    provider: Actor,
    lab: Actor,
    offer: Offer,
    order: String,
    entitlement: String,
}

impl Story {
    /// A lab subscribed to poems for sixty days, at 250 yuan a month, and has the first version.
    async fn begin() -> Self {
        let app = TestApp::start().await;
        let provider = app.provider().await;
        let published = provider.publish("poems", &[("data/a.jsonl", b"{}\n"), ("data/b.jsonl", b"{}\n")]).await;
        app.compliance.assess(&published).await;
        let terms = subscribe_to(&provider, json!({})).await;
        let offer = provider.list(&published, &terms).await;
        let lab = app.lab("verse-lab", PRICE).await;
        let (order, entitlement) = lab.take_delivery(&offer).await;
        assert_eq!(lab.balance("wallet").await, 0, "both months were paid at once");
        Self { app, provider, lab, offer, order, entitlement }
    }

    /// A further version of the poems, assessed.
    async fn publish(&self, number: i64) -> Published {
        let text = format!("{{\"version\":{number}}}\n");
        let published = self.provider.publish_version("poems", number, &[("data/new.jsonl", text.as_bytes())]).await;
        self.app.compliance.assess(&published).await;
        published
    }

    /// The same, put on the board on some terms.
    async fn list(&self, number: i64, terms: &str) -> Offer {
        let published = self.publish(number).await;
        let offer = self.provider.list(&published, terms).await;
        self.app.drain().await;
        offer
    }

    /// So many versions more, as if they had come about long ago: drafts, or sealed.
    async fn more_versions(&self, more: i64, sealed: bool) {
        let now = self.app.clock.now();
        let mut sql = String::new();
        for number in 2..2 + more {
            let id = VersionId::new(now);
            sql += &format!(
                "INSERT INTO versions (id, dataset_id, number, state, card, created_at) \
                 SELECT '{id}', dataset_id, {number}, 'draft', card, created_at FROM versions WHERE number = 1;"
            );
            if sealed {
                let same = "statement_id, manifest_sha256, shard_count, total_bytes, total_records, total_tokens, \
                            sealed_at, generation";
                sql += &format!(
                    "UPDATE versions SET state = 'sealed' WHERE id = '{id}'; INSERT INTO seals (version_id, {same}) \
                     SELECT '{id}', {same} FROM seals JOIN versions ON id = version_id WHERE number = 1;"
                );
            }
        }
        self.app.app().db.write(move |c| Ok(c.batch_execute(&sql)?)).await.unwrap();
    }

    async fn links(&self, version: i64, path: &str) -> Result<Value> {
        let wanted = json!({ "paths": [path], "version": version });
        self.lab.post(format!("/v1/entitlements/{}/links", self.entitlement), &wanted).await
    }

    async fn shown(&self) -> Value {
        self.lab.get(format!("/v1/entitlements/{}", self.entitlement)).await.unwrap()
    }

    /// The numbers of the versions that are licensed.
    async fn covered(&self) -> Vec<i64> {
        let shown = self.shown().await;
        let versions = shown["versions"].as_array().unwrap().iter();
        versions.filter(|one| one["withdrawn_at"].is_null()).map(|one| one["number"].as_i64().unwrap()).collect()
    }

    async fn events(&self, kind: &str) -> usize {
        self.app.told().await;
        let path = format!("/v1/events?organisation=verse-lab&types=entitlement.{kind}");
        self.lab.get(path).await.unwrap()["items"].as_array().unwrap().len()
    }

    async fn proven(&self) -> Report {
        self.app.sequenced().await;
        let path = format!("/v1/entitlements/{}/passport", self.entitlement);
        let passport = self.lab.client.get(path).text().await.unwrap();
        verify(passport.as_bytes(), &Trust::default()).unwrap()
    }

    /// A claim about the second version, taken through these steps of compliance.
    async fn claim_second(&self, steps: &[&str]) -> String {
        let mut claim = claim(&self.offer.dataset);
        (claim["version"], claim["shards"]) = (json!(2), json!(["data/new.jsonl"]));
        let case = self.lab.post("/v1/takedowns", &claim).await.unwrap()["id"].as_str().unwrap().to_string();
        self.decide(&case, steps).await;
        case
    }

    async fn decide(&self, case: &str, steps: &[&str]) {
        for step in steps {
            if *step == "upholding" {
                self.provider.counter(case).await.unwrap();
            }
            self.app.compliance.decide(case, step).await.unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> String {
        let token = self.lab.client.token().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corpex"));
        let output = command.args(["--server", &self.app.url, "--token", token]).args(args).output().unwrap();
        let (said, complained) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {said}{complained}");
        said
    }
}

/// Terms of a subscription for sixty days, of which some members are changed.
async fn subscribe_to(provider: &Actor, changes: Value) -> String {
    let mut document = terms(0);
    document["duration_days"] = json!(60);
    let amount = json!({ "amount_minor": PRICE / 2, "currency": "CNY" });
    document["price"] = json!({ "model": "subscription", "amount": amount, "per_days": 30 });
    document.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_comes_on_the_board_while_the_term_runs_is_licensed_and_proven() {
    let story = Story::begin().await;
    assert_eq!(story.covered().await, [1]);
    story.publish(2).await;
    let early = refused(story.links(2, "data/new.jsonl").await, Kind::NotEntitled, Some("version"));
    assert!(early.remedy.unwrap().contains("versions that it covers"));
    story.list(3, &story.offer.terms).await;
    assert_eq!((story.covered().await, story.events("extended").await), (vec![1, 3], 1));
    story.links(3, "data/new.jsonl").await.unwrap();
    story.links(1, "data/a.jsonl").await.unwrap();
    refused(story.links(3, "data/a.jsonl").await, Kind::NotFound, None);
    let file = "/datasets/poetry-house/poems/resolve/v3/data/new.jsonl";
    let hub = HubClient::of(&story.app, &story.lab);
    assert_eq!(hub.get(file).await.status, StatusCode::TEMPORARY_REDIRECT);

    let report = story.proven().await;
    let count = |kind: &str| report.statements.iter().filter(|one| one.kind.as_str() == kind).count();
    assert_eq!((count("manifest"), count("contract"), count("entitlement-change")), (2, 1, 1));
    assert_eq!(report.deliveries.len(), 3, "a.jsonl, b.jsonl, and new.jsonl of version 3");
    let text = format!("/v1/orders/{}/contract/rendering?lang=en&format=text", story.order);
    let text = story.lab.client.get(text).text().await.unwrap();
    assert!(
        text.contains("Subscription: later versions") && text.contains("60 days at CNY 250.00 for every 30"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_downloads_the_newest_version_of_a_subscription_or_the_one_that_is_named() {
    let story = Story::begin().await;
    story.list(2, &story.offer.terms).await;
    story.app.sequenced().await;
    let work = tempfile::tempdir().unwrap();
    for (dataset, shard) in [("poetry-house/poems", "data/new.jsonl"), ("poetry-house/poems@1", "data/a.jsonl")] {
        let folder = work.path().join(shard.replace('/', "-"));
        let to = folder.display().to_string();
        story.command(&["download", dataset, "--to", &to]);
        story.app.sequenced().await;
        assert!(Path::new(&folder).join(shard).exists(), "{dataset}");
        let verified = story.command(&["verify", &to]);
        assert!(verified.contains(" equal to the signed manifest"), "{verified}");
        std::fs::write(folder.join(shard), b"{\"forged\":true}\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corpex"));
        let forged = command.args(["--server", &story.app.url, "verify", &to]).output().unwrap();
        assert!(!forged.status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_versions_the_newest_joins_takes_the_place_of_the_first_and_is_shown() {
    let story = Story::begin().await;
    story.more_versions(1001, false).await;
    let newest = story.list(1003, &story.offer.terms).await;
    assert_eq!(story.covered().await, [1, 1003]);
    story.links(1003, "data/new.jsonl").await.unwrap();
    let late = story.app.lab("prose-lab", PRICE).await;
    let entitlement = late.buy(&story.offer).await.unwrap();
    story.app.drain().await;
    let shown = late.get(format!("/v1/entitlements/{entitlement}")).await.unwrap();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 2, "{shown}");

    let first = format!("/v1/listings/{}", story.offer.listing);
    story.provider.post(format!("{first}/withdraw"), &json!({})).await.unwrap();
    assert_eq!(story.lab.get(first).await.unwrap()["successor"], newest.listing);
    let listed = story.lab.get("/v1/listings?dataset=poetry-house/poems").await.unwrap();
    let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|listing| listing["id"].clone()).collect();
    assert_eq!(listed, [story.offer.listing.as_str(), newest.listing.as_str()]);
    story.app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lab_licensed_stays_its_repository_however_many_versions_came_later() {
    let story = Story::begin().await;
    story.provider.post(format!("/v1/listings/{}/withdraw", story.offer.listing), &json!({})).await.unwrap();
    story.more_versions(1001, true).await;
    let hub = HubClient::of(&story.app, &story.lab);
    let answer = hub.get("/datasets/poetry-house/poems/resolve/v1/data/a.jsonl").await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT, "{answer:?}");
    story.app.abandon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sold_otherwise_or_allows_less_or_comes_too_late_does_not_join() {
    let story = Story::begin().await;
    let once = story.provider.publish_terms(100).await;
    let narrow = subscribe_to(&story.provider, json!({ "territory": ["CN"] })).await;
    let wide = subscribe_to(&story.provider, json!({ "affiliates": true, "duration_days": 30 })).await;
    story.list(2, &once).await;
    story.list(3, &narrow).await;
    assert_eq!(story.covered().await, [1]);
    refused(story.links(2, "data/new.jsonl").await, Kind::NotEntitled, Some("version"));
    story.list(4, &wide).await;
    assert_eq!(story.covered().await, [1, 4]);

    story.app.clock.advance(DAY * 60);
    story.list(5, &story.offer.terms).await;
    assert_eq!(story.covered().await, [1, 4], "the term was over");
    refused(story.links(4, "data/new.jsonl").await, Kind::NotEntitled, None);
    delivery::expire_ended(story.app.app()).await.unwrap();
    assert_eq!(story.shown().await["state"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_joined_stays_when_it_leaves_the_board_and_what_came_before_joins_at_the_purchase() {
    let story = Story::begin().await;
    let second = story.list(2, &story.offer.terms).await;
    story.provider.post(format!("/v1/listings/{}/pause", second.listing), &json!({})).await.unwrap();
    story.links(2, "data/new.jsonl").await.unwrap();
    story.list(3, &story.offer.terms).await;
    assert_eq!(story.covered().await, [1, 2, 3]);

    let other = story.app.lab("prose-lab", PRICE).await;
    let entitlement = other.buy(&story.offer).await.unwrap();
    story.app.drain().await;
    let path = format!("/v1/entitlements/{entitlement}");
    let numbers = |shown: Value| {
        let versions = shown["versions"].as_array().unwrap().clone();
        versions.iter().map(|one| one["number"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(other.get(&path).await.unwrap()), [1, 3], "the second is paused");
    story.provider.post(format!("/v1/listings/{}/resume", second.listing), &json!({})).await.unwrap();
    story.app.drain().await;
    assert_eq!(numbers(other.get(&path).await.unwrap()), [1, 3, 2]);
    assert_eq!(story.events("extended").await, 2, "nobody is told twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_download_of_later_versions_is_not_the_delivery_of_the_order() {
    let story = Story::begin().await;
    story.list(2, &story.offer.terms).await;
    let other = story.app.lab("prose-lab", PRICE).await;
    let order = other.order(&story.offer).await.unwrap();
    let paid = other.pay(&order).await.unwrap();
    story.app.drain().await;
    let entitlement = paid["entitlement"]["id"].as_str().unwrap();
    let wanted = json!({ "paths": ["data/new.jsonl"], "version": 2 });
    other.post(format!("/v1/entitlements/{entitlement}/links"), &wanted).await.unwrap();
    other.links(entitlement, &["data/a.jsonl"]).await.unwrap();
    let state = || async { other.get(format!("/v1/orders/{order}")).await.unwrap()["state"].clone() };
    assert_eq!(state().await, "delivering", "one of its two shards");
    other.links(entitlement, &["data/b.jsonl"]).await.unwrap();
    assert_eq!(state().await, "delivered");
    other.answer(&order, "acceptance").await.unwrap();
    assert_eq!(story.provider.balance("payable").await, PRICE - 1500, "the whole term is settled at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_about_one_version_holds_and_withdraws_that_version_alone() {
    let story = Story::begin().await;
    story.list(2, &story.offer.terms).await;
    story.links(2, "data/new.jsonl").await.unwrap();
    let case = story.claim_second(&["triage", "interim-block"]).await;
    let held = refused(story.links(2, "data/new.jsonl").await, Kind::NotEntitled, Some("version"));
    assert!(held.detail.contains("the subject of a claim"), "{held}");
    story.links(1, "data/a.jsonl").await.unwrap();
    let other = story.claim_second(&["triage", "interim-block"]).await;
    for case in [case, other] {
        refused(story.links(2, "data/new.jsonl").await, Kind::NotEntitled, Some("version"));
        story.decide(&case, &["notification", "reinstatement"]).await;
    }
    story.links(2, "data/new.jsonl").await.unwrap();
    assert_eq!((story.events("narrowed").await, story.events("extended").await), (1, 2), "two claims were one hold");

    story.claim_second(&["triage", "interim-block", "notification", "upholding", "recall"]).await;
    let gone = refused(story.links(2, "data/new.jsonl").await, Kind::NotEntitled, Some("version"));
    assert!(gone.detail.contains("was recalled"), "{gone}");
    story.links(1, "data/a.jsonl").await.unwrap();
    assert_eq!((story.covered().await, story.shown().await["state"].clone()), (vec![1], json!("active")));
    let recall = story.lab.get("/v1/recalls").await.unwrap()["items"][0].clone();
    assert_eq!((&recall["version"], &recall["entitlement_id"]), (&json!(2), &json!(story.entitlement)));
    let path = format!("/v1/recalls/{}", recall["id"].as_str().unwrap());
    story.lab.post(format!("{path}/acknowledgement"), &Value::Null).await.unwrap();
    let attested = story.lab.attestation(&recall, story.app.clock.now());
    story.lab.post(format!("{path}/deletion"), &json!({ "envelope": attested })).await.unwrap();
    assert_eq!(story.events("narrowed").await, 3, "held, held again, and withdrawn");
    let report = story.proven().await;
    let narrowed: Vec<_> = report.narrowed.iter().map(|one| (one.version.as_str(), one.scope.as_str())).collect();
    assert_eq!(narrowed, [(format!("{}@2", story.offer.dataset).as_str(), "withdrawn")]);
    assert_eq!(report.standing.unwrap().state, "active");
    assert_eq!(report.statements.iter().filter(|one| one.kind.as_str() == "manifest").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_ends_with_its_first_version_only_while_it_can_be_refunded() {
    let story = Story::begin().await;
    story.list(2, &story.offer.terms).await;
    story.lab.answer(&story.order, "acceptance").await.unwrap();
    let late = story.app.lab("prose-lab", PRICE).await;
    let unsettled = late.buy(&story.offer).await.unwrap();
    let case = story.lab.claim(&story.offer.dataset).await;
    story.decide(&case, &["triage", "interim-block", "notification", "upholding", "recall"]).await;
    assert_eq!(late.get(format!("/v1/entitlements/{unsettled}")).await.unwrap()["state"], "revoked");
    assert_eq!(late.balance("wallet").await, PRICE);
    assert_eq!((story.covered().await, story.lab.balance("wallet").await), (vec![2], 0));
    story.links(2, "data/new.jsonl").await.unwrap();
    refused(story.links(1, "data/a.jsonl").await, Kind::NotEntitled, Some("version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn compliance_traces_a_later_version_to_its_subscribers_and_models_may_rest_on_it() {
    let story = Story::begin().await;
    story.list(2, &story.offer.terms).await;
    story.links(2, "data/new.jsonl").await.unwrap();
    for (version, deliveries) in [(1, 2), (2, 1)] {
        let path = format!("/v1/trace?subject=poetry-house/poems@{version}");
        let traced = story.app.compliance.get(path).await.unwrap().to_string();
        assert!(traced.contains("verse-lab"), "{traced}");
        let path = format!("/v1/trace/events?subject=poetry-house/poems@{version}&kind=delivery");
        let delivered = story.app.compliance.get(path).await.unwrap();
        assert_eq!(delivered["items"].as_array().unwrap().len(), deliveries, "{delivered}");
    }
    let dataset = story.offer.dataset.as_str();
    story.lab.declare_model_on("verse", (dataset, 2), &story.entitlement).await.unwrap();
    let never = story.publish(3).await;
    let refusal = story.lab.declare_model_on("verse-3", (dataset, never.version), &story.entitlement).await;
    assert_eq!(refusal.unwrap_err().kind, Kind::Invalid);
}
