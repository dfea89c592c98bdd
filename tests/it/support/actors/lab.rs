//! What a lab does: it evaluates, negotiates, buys, downloads and trains.

use corpex::error::Result;
use corpex::provenance::{ResourceDescriptor, StatementKind};
use corpex::signing::Envelope;
use corpex::types::Digest;
use serde_json::{Value, json};

use super::{Actor, Offer};

impl Actor {
    /// Asks for an evaluation of what is on the board.
    pub async fn evaluate(&self, offer: &Offer) -> Result<Value> {
        let purpose = "to see whether the verse scans";
        let wanted = json!({ "listing_id": offer.listing, "organisation": self.handle, "purpose": purpose });
        self.effect("/v1/evaluations", &wanted).await
    }

    /// A private offer of a provider to this organisation, at a price in fen; gives its id.
    pub async fn offered_by(&self, provider: &Actor, offer: &Offer, fen: i64) -> String {
        let made = provider.make_offer(&provider.offer_to(&self.handle, offer, fen).await).await.unwrap();
        made["id"].as_str().unwrap().to_string()
    }

    /// Begins for a provider to negotiate with this organisation, with an offer at a price in fen; gives what it came to.
    pub async fn negotiated_by(&self, provider: &Actor, offer: &Offer, fen: i64) -> Value {
        let envelope = provider.sign_offer(&provider.offer_to(&self.handle, offer, fen).await);
        provider.effect("/v1/negotiations/offers", &json!({ "envelope": envelope })).await.unwrap()
    }

    /// Orders at a private offer; the contract waits for the signature.
    pub async fn place_at(&self, offer: &Offer, private: &str) -> Result<Value> {
        let mut wanted = self.wanted(offer);
        wanted["offer_id"] = json!(private);
        self.effect("/v1/orders", &wanted).await
    }

    /// What the offer is quoted for.
    pub fn wanted(&self, offer: &Offer) -> Value {
        json!({
            "listing_id": offer.listing, "organisation": self.handle, "use": "pretrain",
            "purpose": "pretraining of a small language model",
        })
    }

    /// A quote with its contract signed, ready to be sent as a purchase.
    pub async fn quoted(&self, offer: &Offer) -> Result<Value> {
        self.quoted_for(&self.wanted(offer)).await
    }

    /// The same, for what is wanted otherwise.
    pub async fn quoted_for(&self, wanted: &Value) -> Result<Value> {
        let quote = self.post("/v1/quotes", wanted).await?;
        Ok(self.purchase(wanted, &quote))
    }

    /// A purchase of what is wanted at a quote, whose contract this signs.
    pub fn purchase(&self, wanted: &Value, quote: &Value) -> Value {
        let envelope = self.sign_payload(&quote["contract_payload"]);
        json!({ "order": wanted, "quote": quote["quote"], "envelope": envelope })
    }

    /// Buys in one step.
    pub async fn buy_at_a_quote(&self, offer: &Offer) -> Result<Value> {
        let purchase = self.quoted(offer).await?;
        self.effect("/v1/purchases", &purchase).await
    }

    /// Orders; the contract waits for the signature.
    pub async fn place(&self, offer: &Offer) -> Result<Value> {
        self.effect("/v1/orders", &self.wanted(offer)).await
    }

    /// Orders and signs the contract; the order waits for payment.
    pub async fn order(&self, offer: &Offer) -> Result<String> {
        let order = self.place(offer).await?;
        let id = order["id"].as_str().unwrap().to_string();
        self.sign_contract(&order).await?;
        Ok(id)
    }

    /// Signs the contract that an order came with.
    pub async fn sign_contract(&self, order: &Value) -> Result<Value> {
        let envelope = self.sign_payload(&order["contract_payload"]);
        self.post(format!("/v1/orders/{}/contract", order["id"].as_str().unwrap()), &json!({ "envelope": envelope }))
            .await
    }

    pub async fn pay(&self, order: &str) -> Result<Value> {
        self.effect(format!("/v1/orders/{order}/payment"), &Value::Null).await
    }

    /// Pays an order with a voucher.
    pub async fn pay_with(&self, programme: &str, order: &str) -> Result<Value> {
        self.effect(format!("/v1/orders/{order}/payment?voucher={programme}"), &Value::Null).await
    }

    /// Orders, signs and pays; gives the entitlement's id.
    pub async fn buy(&self, offer: &Offer) -> Result<String> {
        let order = self.order(offer).await?;
        let paid = self.pay(&order).await?;
        Ok(paid["entitlement"]["id"].as_str().unwrap().to_string())
    }

    /// Orders, signs, pays and takes every shard of a small corpus; gives the order and the entitlement.
    pub async fn take_delivery(&self, offer: &Offer) -> (String, String) {
        let order = self.order(offer).await.unwrap();
        let paid = self.pay(&order).await.unwrap();
        let entitlement = paid["entitlement"]["id"].as_str().unwrap().to_string();
        self.links(&entitlement, &["data/a.jsonl", "data/b.jsonl"]).await.unwrap();
        (order, entitlement)
    }

    /// Answers for the buyer: `acceptance`, `rejection`, `cancellation`, `cure/acceptance` or `cure/rejection`.
    pub async fn answer(&self, order: &str, answer: &str) -> Result<Value> {
        let body = match answer.ends_with("acceptance") {
            true => Value::Null,
            false => json!({ "reason": "half of the poems are missing" }),
        };
        self.effect(format!("/v1/orders/{order}/{answer}"), &body).await
    }

    /// Asks for links.
    pub async fn links(&self, entitlement: &str, paths: &[&str]) -> Result<Value> {
        self.post(format!("/v1/entitlements/{entitlement}/links"), &json!({ "paths": paths })).await
    }

    /// Declares that a model was pretrained on a licensed version, the first of its dataset.
    pub async fn declare_model(&self, name: &str, dataset: &str, entitlement: &str) -> Result<Value> {
        self.declare_model_on(name, (dataset, 1), entitlement).await
    }

    /// The same, on another version.
    pub async fn declare_model_on(
        &self,
        name: &str,
        (dataset, number): (&str, i64),
        entitlement: &str,
    ) -> Result<Value> {
        let sha256 = Digest::of(name);
        let version = self.get(format!("/v1/datasets/{dataset}/versions/{number}")).await?;
        let item = json!({
            "dataset": dataset, "version": number, "manifest_sha256": version["seal"]["manifest_sha256"],
            "entitlement": entitlement,
        });
        let predicate = json!({
            "organisation": self.handle, "model": { "name": name, "version": "1", "sha256": sha256 },
            "use": "pretrain", "trained_on": [item],
        });
        let envelope =
            self.sign(StatementKind::ModelTraining, vec![ResourceDescriptor::new("model", sha256)], predicate);
        self.post("/v1/models", &json!({ "envelope": envelope })).await
    }

    /// The licensee's signed word that it deleted what was recalled.
    pub fn attestation(&self, recall: &Value, deleted_at: corpex::types::Instant) -> Envelope {
        let subject = ResourceDescriptor::new("manifest", recall["manifest_sha256"].as_str().unwrap().parse().unwrap());
        let predicate = json!({
            "organisation": self.handle, "recall": recall["id"], "dataset": recall["dataset"],
            "version": recall["version"], "manifest_sha256": recall["manifest_sha256"], "deleted_at": deleted_at,
        });
        self.sign(StatementKind::DeletionAttestation, vec![subject], predicate)
    }
}
