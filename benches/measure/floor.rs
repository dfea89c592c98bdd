//! The floor of an exchange in a process of its own: its staff, whoever trades there, and what they ask.

use std::time::Duration;

use corpex::cli::client::Client;
use reqwest::Method;
use serde_json::Value;

use crate::support::process::Exchange;
use crate::support::{Actor, Offer, Published};

pub struct Floor {
    pub exchange: Exchange,
    /// A client without credentials.
    pub nobody: Client,
    pub operator: Actor,
    pub compliance: Actor,
}

impl Floor {
    /// The floor of an exchange that nobody was on before.
    pub fn open(exchange: Exchange) -> Self {
        let nobody = Client::new(&exchange.url, None).unwrap();
        let [operator, compliance] = ["operator", "compliance"].map(|role| {
            let (email, token) = exchange.appoint(role);
            Actor::platform(nobody.with_token(token), &email)
        });
        Self { exchange, nobody, operator, compliance }
    }

    /// A verified organisation with a registered signing key.
    pub async fn organisation(&self, handle: &str) -> Actor {
        let actor = Actor::register(&self.nobody, handle).await;
        self.operator.verify(handle).await;
        actor.register_key().await;
        actor
    }

    /// The same, with money in its wallet.
    pub async fn lab(&self, handle: &str, deposit_fen: i64) -> Actor {
        let lab = self.organisation(handle).await;
        self.operator.deposit(handle, deposit_fen, &format!("bank-{handle}")).await;
        lab
    }

    /// Publishes a corpus of one shard, `data/a.jsonl`, has it assessed, and lists it.
    pub async fn listed(&self, provider: &Actor, name: &str, bytes: &[u8], terms: &str) -> (Published, Offer) {
        let published = provider.publish(name, &[("data/a.jsonl", bytes)]).await;
        self.compliance.assess(&published).await;
        let offer = provider.list(&published, terms).await;
        (published, offer)
    }
}

/// Waits until the exchange has nothing left to do.
pub async fn rest(nobody: &Client) {
    for _ in 0..1200 {
        let told = nobody.get("/metrics").text().await.unwrap();
        let is_idle = |of: &str| told.lines().any(|line| line == format!(r#"corpex_state{{of="{of}"}} 0"#));
        if is_idle("jobs_live") && is_idle("log_queued") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the exchange does not come to rest");
}

/// A request, ready to be sent; one with a body has a key of its own.
pub fn request(
    http: &reqwest::Client,
    method: Method,
    url: String,
    who: Option<&Actor>,
    body: &Value,
) -> reqwest::RequestBuilder {
    let mut request = http.request(method, url);
    if let Some(token) = who.and_then(|who| who.client.token()) {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.header("Idempotency-Key", uuid::Uuid::now_v7().to_string()).json(body);
    }
    request
}
