//! What is on the board: a corpus of two builders, verses that are sold in part, and the versions of another dataset to which labs
//! subscribe.

use corpex::catalog::{self, VersionRef, inspection};
use corpex::config::Config;
use corpex::db::Conn;
use corpex::market::listings;
use corpex::provenance::StatementKind;
use corpex::types::{Instant, TermsId};
use serde_json::{Value, json};

use super::World;
use crate::model::rules::evaluations::EVALUATION_DAYS;
use crate::model::rules::objections::NOTICE_DAYS;
use crate::model::rules::settlement::SHARES;
use crate::model::rules::{PRICE, SUBSCRIPTION_DAYS, VERSES, VERSES_PRICE, VERSIONS};
use crate::model::steps::Step;
use crate::support::{Actor, Offer, Published, TestApp, terms};

/// What is bought, and the first day of those who buy it.
#[derive(Debug, Clone)]
pub(super) struct Corpus {
    pub(super) offer: Offer,
    pub(super) begun_at: Instant,
    /// How many were on the board before.
    number: i64,
    is_changed: bool,
}

impl Corpus {
    pub(super) fn first(offer: Offer, begun_at: Instant) -> Self {
        Self { offer, begun_at, number: 0, is_changed: false }
    }
}

impl World {
    /// Puts another corpus on the board for steps that change it, and for who comes after them: what was upheld stays so.
    pub(super) async fn prepare_corpus(&self, steps: &[Step]) {
        let before = self.corpus.lock().unwrap().clone();
        let is_changed = steps.iter().any(Step::is_of_corpus);
        if !is_changed && !before.is_changed {
            return;
        }
        let number = before.number + 1;
        let (name, text) = (format!("poems-{number}"), format!("{{\"poem\":{number}}}\n"));
        let published = self.house.publish(&name, &[("data/a.jsonl", text.as_bytes())]).await;
        self.app.compliance.assess(&published).await;
        let notice_days = if steps.iter().any(Step::is_of_notice) { NOTICE_DAYS } else { 0 };
        let begun_at = self.app.clock.now();
        let offer = self.list(&published, &before.offer.terms, notice_days, begun_at).await;
        *self.corpus.lock().unwrap() = Corpus { offer, begun_at, number, is_changed };
    }

    /// Announces a version for the board, with a public notice of some days, and draws its sample.
    async fn list(&self, published: &Published, terms: &str, public_notice_days: i32, now: Instant) -> Offer {
        let which = VersionRef::of(&published.dataset, 1).unwrap();
        let terms_id: TermsId = terms.parse().unwrap();
        let config = Config { public_notice_days, ..(*self.app.app().config).clone() };
        let (caller, keys) = (self.provider.caller.clone(), self.app.app().keys.clone());
        let open = move |c: &mut Conn| {
            let (dataset, version) = catalog::view_version(c, Some(&caller), &which)?;
            listings::open(c, &caller, (&config, &keys), (&dataset, &version), terms_id, now)
        };
        let listing = self.write(open).await.unwrap();
        inspection::inspect_version(self.app.app(), listing.version_id).await.unwrap();
        Offer { listing: listing.id.to_string(), terms: terms.to_string(), dataset: published.dataset.clone() }
    }
}

async fn publish_terms(provider: &Actor, document: &Value) -> String {
    provider.try_publish_terms(document).await.unwrap()["id"].as_str().unwrap().to_string()
}

/// Puts a corpus on the board that two have built, and that may be evaluated before it is bought.
pub(super) async fn corpus(app: &TestApp, provider: &Actor, co_builder: &Actor) -> Offer {
    let mut document = terms(PRICE);
    let shares = [provider, co_builder].into_iter().zip(SHARES);
    let share = |(of, points): (&Actor, i64)| json!({ "organisation": of.handle, "basis_points": points });
    document["revenue_shares"] = shares.map(share).collect();
    document["evaluation_days"] = json!(EVALUATION_DAYS);
    let terms = publish_terms(provider, &document).await;
    let published = provider.publish("poems", &[("data/a.jsonl", b"{\"poem\":0}\n")]).await;
    app.compliance.assess(&published).await;
    let offer = provider.list(&published, &terms).await;
    app.drain().await;
    offer
}

/// Puts verses on the board, a shard in each language, at a price by records, whole or in part.
pub(super) async fn verses(app: &TestApp, provider: &Actor) -> Offer {
    let name = "verses";
    let shards = VERSES.map(|(language, records)| {
        let lines: String = (0..records).map(|number| format!("{{\"{language}\":{number}}}\n")).collect();
        (format!("data/{language}.jsonl"), lines.into_bytes())
    });
    let version = provider.draft(name).await;
    for ((path, bytes), (_, records)) in shards.iter().zip(VERSES) {
        provider.put_shard(&version, &format!("{path}?records={records}"), bytes).await.unwrap();
    }
    let bytes: Vec<(&str, &[u8])> = shards.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let (subjects, mut predicate) = provider.manifest(name, 1, &bytes);
    for (index, (language, records)) in VERSES.into_iter().enumerate() {
        predicate["shards"][index]["language"] = json!(language);
        predicate["shards"][index]["records"] = json!(records);
    }
    let manifest = provider.sign(StatementKind::Manifest, subjects, predicate);
    let published = Published { dataset: format!("{}/{name}", provider.handle), version: 1, manifest };
    let sealed = json!({ "envelope": published.manifest });
    provider.post(format!("{}/seal", published.path()), &sealed).await.unwrap();
    app.compliance.assess(&published).await;
    let (amount, per) = VERSES_PRICE;
    let mut document = terms(0);
    document["price"] = json!({
        "model": "per_unit", "unit": "record", "amount": { "amount_minor": amount, "currency": "CNY" }, "per": per,
    });
    document["divisible"] = json!(true);
    provider.list(&published, &publish_terms(provider, &document).await).await
}

/// Puts the versions of a dataset on the board, to which labs subscribe.
pub(super) async fn subscription(app: &TestApp, provider: &Actor) -> Offer {
    let mut document = terms(0);
    let amount = json!({ "amount_minor": PRICE / 2, "currency": "CNY" });
    document["duration_days"] = json!(SUBSCRIPTION_DAYS);
    document["price"] = json!({ "model": "subscription", "amount": amount, "per_days": SUBSCRIPTION_DAYS / 2 });
    let terms = publish_terms(provider, &document).await;
    let first = provider.publish("essays", &[("data/a.jsonl", b"{\"essay\":1}\n")]).await;
    app.compliance.assess(&first).await;
    let offer = provider.list(&first, &terms).await;
    for number in 2..=VERSIONS {
        let text = format!("{{\"essay\":{number}}}\n");
        let later = provider.publish_version("essays", number, &[("data/a.jsonl", text.as_bytes())]).await;
        app.compliance.assess(&later).await;
        provider.list(&later, &terms).await;
    }
    app.drain().await;
    offer
}
