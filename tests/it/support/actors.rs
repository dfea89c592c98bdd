//! The people of a story, with the verbs of their trade.

use base64::Engine as _;
use corpex::cli::client::{Client, Request};
use corpex::error::Result;
use corpex::provenance::{ResourceDescriptor, Statement, StatementKind};
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, SecretKey, canonical_json};
use corpex::types::{DAY, Digest};
use serde_json::{Value, json};

pub const PASSWORD: &str = "correct horse battery staple";

/// Somebody with a credential; for members of an organisation, also its handle and its signing key.
#[derive(Clone)]
pub struct Actor {
    pub client: Client,
    pub email: String,
    pub handle: String,
    pub key: SecretKey,
}

/// A sealed version.
#[derive(Clone, Debug)]
pub struct Published {
    pub dataset: String,
    pub version: i64,
    pub manifest: Envelope,
}

impl Published {
    pub fn path(&self) -> String {
        format!("/v1/datasets/{}/versions/{}", self.dataset, self.version)
    }

    /// This version as the manifest of another one names it as a parent.
    pub fn as_parent(&self) -> Value {
        json!({ "dataset": self.dataset, "version": self.version, "manifest_sha256": self.manifest.pae_sha256() })
    }
}

/// A listing that can be bought.
#[derive(Clone, Debug)]
pub struct Offer {
    pub listing: String,
    pub terms: String,
    pub dataset: String,
}

impl Actor {
    /// The operator or a compliance officer.
    pub fn platform(client: Client, email: &str) -> Self {
        Self { client, email: email.to_string(), handle: String::new(), key: SecretKey::generate() }
    }

    /// Signs up a person and an organisation.
    pub async fn register(anonymous: &Client, handle: &str) -> Self {
        Self::register_with(anonymous, handle, &[]).await
    }

    /// The same, of an organisation that declares affiliates.
    pub async fn register_with(anonymous: &Client, handle: &str, affiliations: &[&str]) -> Self {
        let email = format!("admin@{handle}.test");
        let person = json!({ "email": email, "password": PASSWORD });
        let _: Value = anonymous.post("/v1/users").json(&person).unwrap().send().await.unwrap();
        let session: Value = anonymous.post("/v1/sessions").json(&person).unwrap().send().await.unwrap();
        let signed_in = anonymous.with_token(session["access_token"].as_str().unwrap());
        let token: Value = signed_in.post("/v1/tokens").json(&token_wish("write", 300)).unwrap().send().await.unwrap();
        let client = anonymous.with_token(token["token"].as_str().unwrap());
        let organisation = json!({
            "handle": handle, "legal_name": format!("{handle} Ltd"), "registration_number": format!("91310000{handle}"),
            "country": "CN", "affiliations": affiliations,
        });
        let _: Value = client.post("/v1/organisations").json(&organisation).unwrap().send().await.unwrap();
        Self { client, email, handle: handle.to_string(), key: SecretKey::generate() }
    }

    pub async fn get(&self, path: impl Into<String>) -> Result<Value> {
        self.client.get(path).send().await
    }
    pub async fn post(&self, path: impl Into<String>, body: &Value) -> Result<Value> {
        self.client.post(path).json(body)?.send().await
    }
    /// Posts with a fresh idempotency key.
    pub async fn effect(&self, path: impl Into<String>, body: &Value) -> Result<Value> {
        self.keyed(&uuid::Uuid::now_v7().to_string(), path, body).send().await
    }
    pub fn keyed(&self, key: &str, path: impl Into<String>, body: &Value) -> Request<'_> {
        self.client.post(path).idempotent(key).json(body).unwrap()
    }

    /// Signs a statement of the actor's organisation.
    pub fn sign(&self, kind: StatementKind, subjects: Vec<ResourceDescriptor>, predicate: Value) -> Envelope {
        let payload = Statement::new(kind, subjects, predicate).to_payload().unwrap();
        self.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload)
    }

    /// Invites somebody to act for an organisation.
    pub async fn invite(&self, handle: &str, role: &str) -> Result<Value> {
        self.post(format!("/v1/organisations/{handle}/invitations"), &json!({ "role": role })).await
    }

    /// Accepts an invitation.
    pub async fn accept(&self, invited: &Value) -> Result<Value> {
        self.post("/v1/invitations/acceptance", &json!({ "code": invited["code"] })).await
    }

    /// The operator verifies an organisation.
    pub async fn verify(&self, handle: &str) {
        let _: Value = self.client.post(format!("/v1/organisations/{handle}/verification")).send().await.unwrap();
    }

    /// The operator records a deposit.
    pub async fn deposit(&self, handle: &str, fen: i64, reference: &str) -> Value {
        let amount = json!({ "amount_minor": fen, "currency": "CNY" });
        self.effect("/v1/deposits", &json!({ "organisation": handle, "amount": amount, "reference": reference }))
            .await
            .unwrap()
    }

    /// Asks for a payout from the wallet.
    pub async fn withdraw(&self, fen: i64) -> Result<Value> {
        self.withdraw_from("wallet", fen).await
    }

    /// Asks for a payout from the wallet or the payable.
    pub async fn withdraw_from(&self, source: &str, fen: i64) -> Result<Value> {
        let amount = json!({ "amount_minor": fen, "currency": "CNY" });
        let wanted = json!({ "amount": amount, "from": source, "pay_to": "ICBC 6222 0000 0000 0001" });
        self.effect(format!("/v1/organisations/{}/withdrawals", self.handle), &wanted).await
    }

    /// Announces a voucher programme for corpora about education, for a hundred years; gives its id.
    pub async fn announce(&self, pool_fen: i64, rate_basis_points: i64, cap_fen: i64) -> String {
        let programme = json!({
            "organisation": self.handle, "name": "语料券", "pool": { "amount_minor": pool_fen, "currency": "CNY" },
            "rate_basis_points": rate_basis_points, "cap_minor": cap_fen, "domains": ["education"],
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2126-01-01T00:00:00Z",
        });
        let announced = self.effect("/v1/voucher-programmes", &programme).await.unwrap();
        announced["id"].as_str().unwrap().to_string()
    }

    /// Pays an order with a voucher.
    pub async fn pay_with(&self, programme: &str, order: &str) -> Result<Value> {
        self.effect(format!("/v1/orders/{order}/payment?voucher={programme}"), &Value::Null).await
    }

    /// Registers the organisation's signing key.
    pub async fn register_key(&self) -> Value {
        let subject = ResourceDescriptor::new("key", self.key.public().key_id());
        let predicate = json!({ "organisation": self.handle, "public_key": self.key.public() });
        let envelope = self.sign(StatementKind::KeyRegistration, vec![subject], predicate);
        let path = format!("/v1/organisations/{}/keys", self.handle);
        self.post(path, &json!({ "envelope": envelope })).await.unwrap()
    }

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

    /// A compliance officer finds everything in order.
    pub async fn assess(&self, published: &Published) -> Value {
        self.assess_for(published, 365).await
    }

    /// The same, for some days.
    pub async fn assess_for(&self, published: &Published, days: u32) -> Value {
        let items: Value = self.get("/v1/checklist").await.unwrap();
        let checklist: Vec<Value> = items["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| json!({ "key": item["key"], "finding": "compliant", "evidence": [] }))
            .collect();
        let assessment = json!({ "checklist": checklist, "decision": "passed", "valid_days": days });
        self.post(format!("{}/assessments", published.path()), &assessment).await.unwrap()
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

    /// Asks for an evaluation of what is on the board.
    pub async fn evaluate(&self, offer: &Offer) -> Result<Value> {
        let purpose = "to see whether the verse scans";
        let wanted = json!({ "listing_id": offer.listing, "organisation": self.handle, "purpose": purpose });
        self.effect("/v1/evaluations", &wanted).await
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
            "price": { "amount_minor": fen, "currency": "CNY" }, "valid_from": now,
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
        let envelope = self.sign_payload(&quote["contract_payload"]);
        Ok(json!({ "order": wanted, "quote": quote["quote"], "envelope": envelope }))
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

    /// Signs bytes that came in base64.
    pub fn sign_payload(&self, payload: &Value) -> Envelope {
        let payload = base64::engine::general_purpose::STANDARD.decode(payload.as_str().unwrap_or_default()).unwrap();
        self.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload)
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

    /// Offers for the provider to deliver again.
    pub async fn offer_redelivery(&self, order: &str) -> Result<Value> {
        let offer = json!({ "remedy": { "kind": "redelivery" }, "note": "the store was down" });
        self.effect(format!("/v1/orders/{order}/cure"), &offer).await
    }

    /// Offers for the provider to refund an amount in fen.
    pub async fn offer_refund(&self, order: &str, fen: i64) -> Result<Value> {
        let amount = json!({ "amount_minor": fen, "currency": "CNY" });
        let offer = json!({ "remedy": { "kind": "refund", "amount": amount }, "note": "we are sorry" });
        self.effect(format!("/v1/orders/{order}/cure"), &offer).await
    }

    /// Opens a dispute for a side.
    pub async fn open_dispute(&self, order: &str) -> Result<Value> {
        let evidence = json!([{ "name": "what we found", "sha256": Digest::of("what we found") }]);
        let dispute = json!({ "reason": "this is not what was described", "evidence": evidence });
        self.effect(format!("/v1/orders/{order}/dispute"), &dispute).await
    }

    /// Decides a dispute for the exchange: at `decision` or `appeal/decision`, for `buyer`, `provider` or `split`.
    pub async fn decide_dispute(&self, order: &str, step: &str, outcome: &str, fen: Option<i64>) -> Result<Value> {
        let refund = fen.map(|fen| json!({ "amount_minor": fen, "currency": "CNY" }));
        let decision = json!({ "outcome": outcome, "refund": refund, "reason": "so we found" });
        self.effect(format!("/v1/orders/{order}/dispute/{step}"), &decision).await
    }

    /// Says for the provider that it has delivered again.
    pub async fn redeliver(&self, order: &str) -> Result<Value> {
        self.effect(format!("/v1/orders/{order}/redelivery"), &json!({ "note": "all poems are there now" })).await
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

    /// Files a claim against version 1 of a dataset; gives its id.
    pub async fn claim(&self, dataset: &str) -> String {
        let filed = self.post("/v1/takedowns", &claim(dataset)).await.unwrap();
        filed["id"].as_str().unwrap().to_string()
    }

    /// Compliance takes a case a step further.
    pub async fn decide(&self, case: &str, step: &str) -> Result<Value> {
        let why = json!({ "reason": format!("{step}, for good reasons") });
        self.effect(format!("/v1/takedowns/{case}/{step}"), &why).await
    }

    /// The provider answers a claim.
    pub async fn counter(&self, case: &str) -> Result<Value> {
        let answer = json!({ "statement": "These poems are a thousand years old.\nNobody owns them." });
        self.post(format!("/v1/takedowns/{case}/counter"), &answer).await
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

    /// The balance of one of the organisation's accounts, in fen.
    pub async fn balance(&self, kind: &str) -> i64 {
        let accounts = self.get(format!("/v1/organisations/{}/accounts", self.handle)).await.unwrap();
        let account = accounts["items"].as_array().unwrap().iter().find(|a| a["kind"] == kind);
        account.map_or(0, |a| a["balance"]["amount_minor"].as_i64().unwrap())
    }
}

pub const CARD: &str = "---\nlanguage:\n- zh\nlicense: other\n---\n# Poems of many springs\n";

/// A terms document at a price in fen; free when zero.
pub fn terms(price_fen: i64) -> Value {
    let price = if price_fen == 0 {
        json!({ "model": "free" })
    } else {
        json!({ "model": "one_off", "amount": { "amount_minor": price_fen, "currency": "CNY" } })
    };
    json!({
        "permitted_uses": ["pretrain", "finetune", "evaluate", "retrieve", "derive"], "prohibited_uses": ["redistribute"],
        "territory": ["*"], "duration_days": null, "attribution": true, "affiliates": false, "price": price,
    })
}

/// A claim against version 1 of a dataset.
pub fn claim(dataset: &str) -> Value {
    json!({
        "dataset": dataset, "version": 1, "claimant": "李清照", "contact": "li@spring.example", "ground": "copyright",
        "statement": "These are my poems.\nI gave them to nobody.", "shards": ["data/a.jsonl"],
        "evidence": [{ "name": "first edition", "sha256": Digest::of("first edition") }],
    })
}

/// How a corpus came to be, in the vocabulary of the manifest.
pub fn provenance() -> Value {
    json!({
        "collection_method": "other", "source_licence": "public domain", "consent": "not required",
        "personal_data": "none",
    })
}

/// What to ask for to get an API token that ends after some days.
pub fn token_wish(scope: &str, days: u64) -> Value {
    let expires_at = corpex::types::Clock::default().now().plus(std::time::Duration::from_secs(days * 24 * 3600));
    json!({ "name": "test", "scope": scope, "expires_at": expires_at })
}
