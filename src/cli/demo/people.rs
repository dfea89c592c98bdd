//! The people of the demonstration, and what they do outside the client commands.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::admin;
use crate::cli::client::{Client, items, text_at};
use crate::cli::key::{self, KeyFile};
use crate::cli::login::make_token;
use crate::error::{Error, Kind, Result};
use crate::identity::PlatformRole;
use crate::server::Running;
use crate::types::{Digest, Money};

/// Days that the demonstration's tokens are good for.
const TOKEN_DAYS: u16 = 30;

/// Everybody.
pub(super) struct People {
    operator: Client,
    operator_token: String,
    pub(super) compliance: Client,
    compliance_token: String,
    pub(super) provider: Party,
    pub(super) lab: Party,
    pub(super) stranger: Party,
}

/// An organisation and its administrator.
pub(super) struct Party {
    pub(super) handle: String,
    pub(super) client: Client,
    pub(super) key_id: Digest,
    token: String,
    key: PathBuf,
}

impl Party {
    pub(super) fn key_file(&self) -> KeyFile {
        KeyFile { key: Some(self.key.clone()) }
    }
}

impl People {
    /// Makes the platform's accounts on the database, as `corpex admin` does, and signs everybody else up over HTTP.
    pub(super) async fn gather(running: &Running, folder: &Path) -> Result<Self> {
        let anonymous = Client::new(&running.url, None)?;
        let mut platform = Vec::new();
        for (email, role) in
            [("operator@demo.example", PlatformRole::Operator), ("compliance@demo.example", PlatformRole::Compliance)]
        {
            admin::create_user(&running.app, email, role).await?;
            platform.push(admin::issue_token(&running.app, email, TOKEN_DAYS).await?);
        }
        let (Some(compliance_token), Some(operator_token)) = (platform.pop(), platform.pop()) else {
            return Err(Error::internal("two tokens were issued"));
        };
        let operator = anonymous.with_token(&operator_token);
        let keys = folder.join("demo").join("keys");
        Ok(Self {
            provider: sign_up(&anonymous, &operator, &keys, "poetry-house").await?,
            lab: sign_up(&anonymous, &operator, &keys, "verse-lab").await?,
            stranger: sign_up(&anonymous, &operator, &keys, "other-lab").await?,
            compliance: anonymous.with_token(&compliance_token),
            operator,
            operator_token,
            compliance_token,
        })
    }

    /// Compliance staff answer every item of the checklist; gives the certificate's number.
    pub(super) async fn assess(&self, dataset: &str, version: i32) -> Result<String> {
        let asked: Value = self.compliance.get("/v1/checklist").send().await?;
        let evidence = json!([{ "name": "review.txt", "sha256": Digest::of("reviewed") }]);
        let answer = |item: &Value| json!({ "key": item["key"], "finding": "compliant", "evidence": evidence });
        let checklist: Vec<Value> = items(&asked).iter().map(answer).collect();
        let assessment = json!({ "checklist": checklist, "decision": "passed", "valid_days": 365 });
        let path = format!("/v1/datasets/{dataset}/versions/{version}/assessments");
        let assessed: Value = self.compliance.post(path).json(&assessment)?.send().await?;
        match text_at(&assessed, "/certificate_number") {
            "" => Err(Error::new(Kind::Malformed, "a passed assessment gives a certificate")),
            number => Ok(number.to_string()),
        }
    }

    /// The operator records money that arrived at the bank.
    pub(super) async fn deposit(&self, organisation: &str, fen: i64) -> Result<()> {
        let amount = json!({ "amount_minor": fen, "currency": "CNY" });
        let deposit =
            json!({ "organisation": organisation, "amount": amount, "reference": format!("demo-{organisation}") });
        self.operator
            .post("/v1/deposits")
            .idempotent(format!("demo-{organisation}"))
            .json(&deposit)?
            .send::<Value>()
            .await
            .map(drop)
    }

    /// What one of a party's accounts holds.
    pub(super) async fn balance(&self, party: &Party, kind: &str) -> Result<String> {
        let accounts: Value = party.client.get(format!("/v1/organisations/{}/accounts", party.handle)).send().await?;
        let account = items(&accounts).iter().find(|account| text_at(account, "/kind") == kind);
        account
            .map(|account| money(account.get("balance").unwrap_or(&Value::Null)))
            .ok_or_else(|| Error::internal(format!("there is no {kind} account")))
    }

    /// What lets any client be tried against this exchange.
    pub(super) fn credentials(&self, server: &str, dataset: &str, version: i32, source: &Path) -> Result<Value> {
        Ok(json!({
            "server": server,
            "tokens": {
                "operator": self.operator_token, "compliance": self.compliance_token, "provider": self.provider.token,
                "lab": self.lab.token, "stranger": self.stranger.token,
            },
            "dataset": dataset,
            "version": version,
            "source_dir": std::fs::canonicalize(source.join("corpus"))?,
        }))
    }
}

/// An amount as the API gives it, as a person reads it.
pub(super) fn money(value: &Value) -> String {
    serde_json::from_value::<Money>(value.clone()).map(|money| money.to_string()).unwrap_or_else(|_| value.to_string())
}

async fn sign_up(anonymous: &Client, operator: &Client, keys: &Path, handle: &str) -> Result<Party> {
    let password: String = hex::encode(rand::random::<[u8; 16]>());
    let person = json!({ "email": format!("admin@{handle}.example"), "password": password });
    anonymous.post("/v1/users").json(&person)?.response().await?;
    let session: Value = anonymous.post("/v1/sessions").json(&person)?.send().await?;
    let signed_in = anonymous.with_token(text_at(&session, "/access_token"));
    let (token, _) = make_token(&signed_in, "demo", TOKEN_DAYS).await?;
    let client = anonymous.with_token(&token);
    let organisation = json!({
        "handle": handle, "legal_name": format!("{handle} (demonstration)"), "registration_number": format!("DEMO-{handle}"),
        "country": "CN", "affiliations": [],
    });
    client.post("/v1/organisations").json(&organisation)?.response().await?;
    operator.post(format!("/v1/organisations/{handle}/verification")).response().await?;
    let file = KeyFile { key: Some(keys.join(format!("{handle}.key"))) };
    let (secret, path) = file.read_or_make(handle)?;
    key::register(&client, handle, &secret, None).await?;
    Ok(Party { handle: handle.to_string(), client, key_id: secret.public().key_id(), token, key: path })
}
