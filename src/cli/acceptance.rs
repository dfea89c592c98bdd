//! `corpex accept` and `corpex reject`: the buyer's answer to what was delivered, or to the refund of a part that the provider
//! offers after a rejection.
//!
//! They can be repeated: what was answered before is told, and nothing is done twice.

use clap::Args;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::output::Out;
use crate::error::Result;
use crate::market::OrderState;
use crate::types::{Instant, Money, OrderId};

#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
}

#[derive(Debug, Args)]
pub(super) struct Reject {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    /// The reason, in 1 to 500 characters: both sides see it, and it becomes part of the exchange's statement
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// An order that was answered.
#[derive(Deserialize, Serialize)]
struct Answered {
    #[serde(rename(serialize = "order"))]
    id: OrderId,
    dataset: String,
    version: i32,
    state: OrderState,
    price: Money,
    /// What comes back of it, or may.
    refund: Option<Money>,
    due_at: Option<Instant>,
}

/// An order that waits for an answer.
#[derive(Deserialize)]
struct Standing {
    #[serde(flatten)]
    order: Answered,
    history: Vec<IgnoredAny>,
}

impl Accept {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        use OrderState::{Accepted, Certificated, Settled};
        let standing = Standing::read(client, self.order).await?;
        if matches!(standing.order.state, Accepted | Settled | Certificated) {
            return standing.tell(out, "accepted");
        }
        let order = standing.answer(client, "acceptance", None).await?;
        out.result(&order, || {
            let (what, Answered { id, price, .. }) = (order.what(), &order);
            match order.refund {
                None => format!("accepted {what}: {id}, {price} is settled with the provider"),
                Some(refund) => format!(
                    "accepted {what} against a refund: {id}, {refund} of {price} comes back, the rest is settled with the \
                     provider"
                ),
            }
        })
    }
}

impl Reject {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let standing = Standing::read(client, self.order).await?;
        if standing.order.state == OrderState::Rejected {
            return standing.tell(out, "rejected");
        }
        let order = standing.answer(client, "rejection", Some(&self.reason)).await?;
        out.result(&order, || {
            let until = order.due_at.map(|due| format!("until {due} ")).unwrap_or_default();
            format!(
                "rejected {}: {}, the provider has {until}to offer a cure, or {} comes back",
                order.what(),
                order.id,
                order.price
            )
        })
    }
}

impl Standing {
    async fn read(client: &Client, id: OrderId) -> Result<Self> {
        client.get(format!("/v1/orders/{id}")).send().await
    }

    /// Says that it was answered so before.
    fn tell(&self, out: &Out, how: &str) -> Result<()> {
        let order = &self.order;
        out.result(order, || {
            format!("{} was {how} before: {} is {}; nothing was done now", order.what(), order.id, order.state)
        })
    }

    /// Sends an answer to the delivery, or to the refund of a part while one is offered. An order may be rejected again after a
    /// cure: the key is of this answer at this point of its life.
    async fn answer(&self, client: &Client, answer: &str, reason: Option<&str>) -> Result<Answered> {
        let Answered { id, state, refund, .. } = &self.order;
        let of = if *state == OrderState::Curing && refund.is_some() { "cure/" } else { "" };
        let once = format!("{answer}-{id}-{}", self.history.len());
        let request = client.post(format!("/v1/orders/{id}/{of}{answer}")).idempotent(once);
        match reason {
            Some(reason) => request.json(&json!({ "reason": reason }))?.send().await,
            None => request.send().await,
        }
    }
}

impl Answered {
    fn what(&self) -> String {
        format!("{}@{}", self.dataset, self.version)
    }
}
