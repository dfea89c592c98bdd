//! The people of a story, with the verbs that all share; those of each trade are in a file of their own.

mod exchange;
mod lab;
mod provider;

use base64::Engine as _;
use corpex::cli::client::{Client, Request};
use corpex::error::Result;
use corpex::identity::{Caller, Credential, Membership, Scope};
use corpex::provenance::{ResourceDescriptor, Statement, StatementKind};
use corpex::server::Running;
use corpex::signing::{Envelope, IN_TOTO_PAYLOAD_TYPE, SecretKey};
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

    /// The same actor, at another instance of the exchange.
    pub fn at(&self, instance: &Running) -> Self {
        let token = self.client.token().map(str::to_string);
        Self { client: Client::new(&instance.url, token).unwrap(), ..self.clone() }
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

    /// Who this is, as the request layer knows them now.
    pub async fn caller(&self) -> Caller {
        let me = self.get("/v1/me").await.unwrap();
        let text = |of: &Value, name: &str| of[name].as_str().unwrap().to_string();
        let membership = |of: &Value| Membership {
            organisation_id: text(of, "organisation_id").parse().unwrap(),
            handle: text(of, "handle"),
            role: text(of, "role").parse().unwrap(),
            verified: of["verified"].as_bool().unwrap(),
        };
        Caller {
            user_id: text(&me, "user_id").parse().unwrap(),
            email: self.email.clone(),
            platform_role: me["platform_role"].as_str().map(|role| role.parse().unwrap()),
            scope: Scope::Write,
            credential: self.credential().await,
            memberships: me["memberships"].as_array().unwrap().iter().map(membership).collect(),
        }
    }

    /// The session of an access token, or the API token, which is its owner's first.
    async fn credential(&self) -> Credential {
        let token = self.client.token().unwrap();
        let Some(claims) = token.split('.').nth(1) else {
            let tokens = self.get("/v1/tokens").await.unwrap();
            return Credential::Token(tokens["items"][0]["id"].as_str().unwrap().parse().unwrap());
        };
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        Credential::Session(claims["sid"].as_str().unwrap().parse().unwrap())
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

    /// Asks for a payout from the wallet.
    pub async fn withdraw(&self, fen: i64) -> Result<Value> {
        self.withdraw_from("wallet", fen).await
    }

    /// Asks for a payout from the wallet or the payable.
    pub async fn withdraw_from(&self, source: &str, fen: i64) -> Result<Value> {
        let wanted = json!({ "amount": cny(fen), "from": source, "pay_to": "ICBC 6222 0000 0000 0001" });
        self.effect(format!("/v1/organisations/{}/withdrawals", self.handle), &wanted).await
    }

    /// Announces a voucher programme for corpora about education, for a hundred years; gives its id.
    pub async fn announce(&self, pool_fen: i64, rate_basis_points: i64, cap_fen: i64) -> String {
        let programme = json!({
            "organisation": self.handle, "name": "语料券", "pool": cny(pool_fen),
            "rate_basis_points": rate_basis_points, "cap_minor": cap_fen, "domains": ["education"],
            "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2126-01-01T00:00:00Z",
        });
        let announced = self.effect("/v1/voucher-programmes", &programme).await.unwrap();
        announced["id"].as_str().unwrap().to_string()
    }

    /// Registers the organisation's signing key.
    pub async fn register_key(&self) -> Value {
        let subject = ResourceDescriptor::new("key", self.key.public().key_id());
        let predicate = json!({ "organisation": self.handle, "public_key": self.key.public() });
        let envelope = self.sign(StatementKind::KeyRegistration, vec![subject], predicate);
        let path = format!("/v1/organisations/{}/keys", self.handle);
        self.post(path, &json!({ "envelope": envelope })).await.unwrap()
    }

    /// Signs bytes that came in base64.
    pub fn sign_payload(&self, payload: &Value) -> Envelope {
        let payload = base64::engine::general_purpose::STANDARD.decode(payload.as_str().unwrap_or_default()).unwrap();
        self.key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, payload)
    }

    /// Opens a dispute for a side.
    pub async fn open_dispute(&self, order: &str) -> Result<Value> {
        let evidence = json!([{ "name": "what we found", "sha256": Digest::of("what we found") }]);
        let dispute = json!({ "reason": "this is not what was described", "evidence": evidence });
        self.effect(format!("/v1/orders/{order}/dispute"), &dispute).await
    }

    /// Files a claim against version 1 of a dataset; gives its id.
    pub async fn claim(&self, dataset: &str) -> String {
        let filed = self.post("/v1/takedowns", &claim(dataset)).await.unwrap();
        filed["id"].as_str().unwrap().to_string()
    }

    /// The balance of one of the organisation's accounts, in fen.
    pub async fn balance(&self, kind: &str) -> i64 {
        let accounts = self.get(format!("/v1/organisations/{}/accounts", self.handle)).await.unwrap();
        let account = accounts["items"].as_array().unwrap().iter().find(|a| a["kind"] == kind);
        account.map_or(0, |a| a["balance"]["amount_minor"].as_i64().unwrap())
    }
}

pub const CARD: &str = "---\nlanguage:\n- zh\nlicense: other\n---\n# Poems of many springs\n";

/// An amount in fen.
fn cny(fen: i64) -> Value {
    json!({ "amount_minor": fen, "currency": "CNY" })
}

/// A terms document at a price in fen; free when zero.
pub fn terms(price_fen: i64) -> Value {
    let price = if price_fen == 0 {
        json!({ "model": "free" })
    } else {
        json!({ "model": "one_off", "amount": cny(price_fen) })
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
pub fn token_wish(scope: &str, days: u32) -> Value {
    let expires_at = corpex::types::Clock::default().now().plus(DAY * days);
    json!({ "name": "test", "scope": scope, "expires_at": expires_at })
}
