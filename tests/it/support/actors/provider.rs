//! What a provider does: it publishes, offers, and answers for what it sold.

use base64::Engine as _;
use corpex::error::Result;
use corpex::provenance::{ResourceDescriptor, StatementKind};
use corpex::signing::{Envelope, canonical_json};
use corpex::types::{DAY, Digest};
use serde_json::{Value, json};

use super::{Actor, CARD, Offer, Published, cny, provenance, terms};

impl Actor {
    /// Makes a dataset with an empty draft of version 1.
    pub async fn draft(&self, name: &str) -> String {
        let dataset = json!({
            "organisation": self.handle, "name": name, "title": "Poems of many springs", "modality": "text",
            "domain": "education", "languages": ["zh-Hant"],
        });
        self.post("/v1/datasets", &dataset).await.unwrap();
        let path = format!("/v1/datasets/{}/{name}", self.handle);
        self.post(format!("{path}/versions"), &json!({ "card": CARD })).await.unwrap();
        format!("{path}/versions/1")
    }

    /// Sends a small shard to a draft.
    pub async fn put_shard(&self, version: &str, path: &str, bytes: &[u8]) -> Result<Value> {
        let digest = base64::engine::general_purpose::STANDARD.encode(Digest::of(bytes).0);
        self.client
            .put(format!("{version}/shards/{path}"))
            .header("Content-Digest", format!("sha-256=:{digest}:"))
            .header("Content-Type", "application/jsonl")
            .bytes(bytes.to_vec())
            .send()
            .await
    }

    /// The manifest of a draft with these shards, as the provider would sign it.
    pub fn manifest(&self, name: &str, version: i64, shards: &[(&str, &[u8])]) -> (Vec<ResourceDescriptor>, Value) {
        let mut sorted = shards.to_vec();
        sorted.sort_unstable();
        let subjects = sorted.iter().map(|(path, bytes)| ResourceDescriptor::new(*path, Digest::of(bytes))).collect();
        let described: Vec<Value> = sorted
            .iter()
            .map(|(path, bytes)| {
                json!({ "path": path, "size_bytes": bytes.len(), "sha256": Digest::of(bytes), "media_type": "application/jsonl" })
            })
            .collect();
        let predicate = json!({
            "dataset": format!("{}/{name}", self.handle), "version": version, "card_sha256": Digest::of(CARD),
            "shards": described, "parents": [],
            "provenance": provenance(),
        });
        (subjects, predicate)
    }

    /// Publishes a corpus of small shards as version 1 of a new dataset.
    pub async fn publish(&self, name: &str, shards: &[(&str, &[u8])]) -> Published {
        self.publish_from(name, shards, &[]).await
    }

    /// The same, of a corpus that was made from these parents.
    pub async fn publish_from(&self, name: &str, shards: &[(&str, &[u8])], parents: &[Value]) -> Published {
        let version = self.draft(name).await;
        for (path, bytes) in shards {
            self.put_shard(&version, path, bytes).await.unwrap();
        }
        self.seal(name, shards, parents).await.unwrap()
    }

    /// Publishes a further version of a dataset.
    pub async fn publish_version(&self, name: &str, version: i64, shards: &[(&str, &[u8])]) -> Published {
        let versions = format!("/v1/datasets/{}/{name}/versions", self.handle);
        self.post(&versions, &json!({ "card": CARD })).await.unwrap();
        for (path, bytes) in shards {
            self.put_shard(&format!("{versions}/{version}"), path, bytes).await.unwrap();
        }
        self.seal_version((name, version), shards, &[]).await.unwrap()
    }

    /// Seals the draft of version 1 of a dataset.
    pub async fn seal(&self, name: &str, shards: &[(&str, &[u8])], parents: &[Value]) -> Result<Published> {
        self.seal_version((name, 1), shards, parents).await
    }

    async fn seal_version(
        &self,
        (name, version): (&str, i64),
        shards: &[(&str, &[u8])],
        parents: &[Value],
    ) -> Result<Published> {
        let (subjects, mut predicate) = self.manifest(name, version, shards);
        predicate["parents"] = json!(parents);
        let manifest = self.sign(StatementKind::Manifest, subjects, predicate);
        let sealed = Published { dataset: format!("{}/{name}", self.handle), version, manifest };
        self.post(format!("{}/seal", sealed.path()), &json!({ "envelope": sealed.manifest })).await?;
        Ok(sealed)
    }

    /// Signs and publishes terms: every use but redistribution, perpetual, at a price in fen.
    pub async fn publish_terms(&self, price_fen: i64) -> String {
        let published = self.try_publish_terms(&terms(price_fen)).await.unwrap();
        published["id"].as_str().unwrap().to_string()
    }

    pub async fn try_publish_terms(&self, document: &Value) -> Result<Value> {
        let subject = ResourceDescriptor::new("terms", Digest::of(canonical_json(document).unwrap()));
        let predicate = json!({ "organisation": self.handle, "document": document });
        let envelope = self.sign(StatementKind::Terms, vec![subject], predicate);
        self.post("/v1/terms", &json!({ "envelope": envelope })).await
    }

    /// Puts a version on the board.
    pub async fn list(&self, published: &Published, terms: &str) -> Offer {
        let wanted = json!({ "dataset": published.dataset, "version": published.version, "terms_id": terms });
        let listing = self.post("/v1/listings", &wanted).await.unwrap();
        assert_eq!(listing["state"], "listed");
        Offer {
            listing: listing["id"].as_str().unwrap().to_string(),
            terms: terms.to_string(),
            dataset: published.dataset.clone(),
        }
    }

    /// Lists what is on the board once more: free of charge, under terms with these members.
    pub async fn list_again(&self, offer: &Offer, members: &Value) -> Offer {
        let mut document = terms(0);
        document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let terms = self.try_publish_terms(&document).await.unwrap()["id"].as_str().unwrap().to_string();
        let wanted = json!({ "dataset": offer.dataset, "version": 1, "terms_id": terms });
        let listing = self.post("/v1/listings", &wanted).await.unwrap()["id"].as_str().unwrap().to_string();
        Offer { listing, terms, dataset: offer.dataset.clone() }
    }

    /// An offer of a listing to a buyer at a price in fen, from now on for thirty days; for every use but derivation.
    pub async fn offer_to(&self, buyer: &str, offer: &Offer, fen: i64) -> Value {
        let listing = self.get(format!("/v1/listings/{}", offer.listing)).await.unwrap();
        let path = format!("/v1/datasets/{}/versions/{}", offer.dataset, listing["version"]);
        let version = self.get(path).await.unwrap();
        let terms = self.get(format!("/v1/terms/{}", offer.terms)).await.unwrap();
        let now = corpex::types::Clock::default().now();
        json!({
            "organisation": self.handle, "provider": offer.dataset.split('/').next(), "buyer": buyer,
            "listing": offer.listing, "manifest_sha256": version["seal"]["manifest_sha256"],
            "terms_sha256": terms["sha256"], "uses": ["pretrain", "finetune", "evaluate", "retrieve"],
            "price": cny(fen), "valid_from": now,
            "valid_until": now.plus(DAY * 30),
            "salt": Digest::of(uuid::Uuid::now_v7().to_string()),
        })
    }

    /// Signs the document of an offer.
    pub fn sign_offer(&self, document: &Value) -> Envelope {
        let sha256 = |member: &str| document[member].as_str().unwrap().parse().unwrap();
        let subject = |name: &str| ResourceDescriptor::new(name, sha256(&format!("{name}_sha256")));
        self.sign(StatementKind::Offer, vec![subject("manifest"), subject("terms")], document.clone())
    }

    /// Makes a private offer by its document.
    pub async fn make_offer(&self, document: &Value) -> Result<Value> {
        self.effect("/v1/offers", &json!({ "envelope": self.sign_offer(document) })).await
    }

    /// Offers for the provider to deliver again.
    pub async fn offer_redelivery(&self, order: &str) -> Result<Value> {
        let offer = json!({ "remedy": { "kind": "redelivery" }, "note": "the store was down" });
        self.effect(format!("/v1/orders/{order}/cure"), &offer).await
    }

    /// Offers for the provider to refund an amount in fen.
    pub async fn offer_refund(&self, order: &str, fen: i64) -> Result<Value> {
        let offer = json!({ "remedy": { "kind": "refund", "amount": cny(fen) }, "note": "we are sorry" });
        self.effect(format!("/v1/orders/{order}/cure"), &offer).await
    }

    /// Says for the provider that it has delivered again.
    pub async fn redeliver(&self, order: &str) -> Result<Value> {
        self.effect(format!("/v1/orders/{order}/redelivery"), &json!({ "note": "all poems are there now" })).await
    }

    /// The provider answers a claim.
    pub async fn counter(&self, case: &str) -> Result<Value> {
        let answer = json!({ "statement": "These poems are a thousand years old.\nNobody owns them." });
        self.post(format!("/v1/takedowns/{case}/counter"), &answer).await
    }
}
