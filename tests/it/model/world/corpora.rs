//! What is on the board: a corpus, and the versions of another to which labs subscribe.

use corpex::types::Instant;
use serde_json::json;

use super::World;
use crate::model::rules::{PRICE, SUBSCRIPTION_DAYS, VERSIONS};
use crate::support::{Actor, Offer, TestApp, terms};

/// What is bought, and the first day of those who buy it.
#[derive(Debug, Clone)]
pub(super) struct Corpus {
    pub(super) offer: Offer,
    pub(super) begun_at: Instant,
    /// How many were on the board before.
    number: i64,
    is_claimed: bool,
}

impl Corpus {
    pub(super) fn first(offer: Offer, begun_at: Instant) -> Self {
        Self { offer, begun_at, number: 0, is_claimed: false }
    }
}

impl World {
    /// Puts another corpus on the board for those who will make claims about it, and for who comes after them: what was upheld
    /// stays so.
    pub(super) async fn prepare_corpus(&self, is_claimed: bool) {
        let before = self.corpus.lock().unwrap().clone();
        if !is_claimed && !before.is_claimed {
            return;
        }
        let number = before.number + 1;
        let (name, text) = (format!("poems-{number}"), format!("{{\"poem\":{number}}}\n"));
        let published = self.house.publish(&name, &[("data/a.jsonl", text.as_bytes())]).await;
        self.app.compliance.assess(&published).await;
        let offer = self.house.list(&published, &before.offer.terms).await;
        let begun_at = self.app.clock.now();
        *self.corpus.lock().unwrap() = Corpus { offer, begun_at, number, is_claimed };
    }
}

/// Puts the versions of a dataset on the board, to which labs subscribe.
pub(super) async fn subscription(app: &TestApp, provider: &Actor) -> Offer {
    let mut document = terms(0);
    let amount = json!({ "amount_minor": PRICE / 2, "currency": "CNY" });
    document["duration_days"] = json!(SUBSCRIPTION_DAYS);
    document["price"] = json!({ "model": "subscription", "amount": amount, "per_days": SUBSCRIPTION_DAYS / 2 });
    let terms = provider.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
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
