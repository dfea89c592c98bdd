//! `corpex accept` and `corpex reject`: the buyer's answer to what was delivered, or to the refund of a part that the provider
//! offers after a rejection. `corpex cure` and `corpex redeliver`: the provider's answer to a rejection.
//!
//! They can be repeated: what was answered before is told, and nothing is done twice.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::output::Out;
use crate::error::{Error, Result};
use crate::history::Transition;
use crate::market::OrderState;
use crate::market::orders::{CureOffer, Remedy};
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

#[derive(Debug, Args)]
pub(super) struct Cure {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    /// Instead of delivering again, refund this many minor units (fen, cents): the whole price at once, or a part of it if the
    /// buyer agrees
    #[arg(long, value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(1..))]
    refund: Option<i64>,
    /// What you offer, in 1 to 500 characters: both sides see it, and it becomes part of the exchange's statement
    #[arg(long, value_name = "TEXT")]
    note: String,
}

#[derive(Debug, Args)]
pub(super) struct Redeliver {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    /// What you have done, in 1 to 500 characters: both sides see it, and it becomes part of the exchange's statement
    #[arg(long, value_name = "TEXT")]
    note: String,
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
    history: Vec<Transition>,
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
            format!(
                "rejected {}: {}, the provider has {}to offer a cure, or {} comes back",
                order.what(),
                order.id,
                order.until(),
                order.price
            )
        })
    }
}

impl Cure {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let standing = Standing::read(client, self.order).await?;
        let price = standing.order.price;
        let refund = self.refund.map(|amount| Money::new(amount, price.currency));
        let cured = if refund == Some(price) { OrderState::Refunded } else { OrderState::Curing };
        if (standing.order.state, standing.order.refund) == (cured, refund) {
            return standing.tell(out, "answered so");
        }
        let remedy = refund.map_or(Remedy::Redelivery {}, |amount| Remedy::Refund { amount });
        let offer = json!(CureOffer { remedy, note: self.note });
        let order = standing.take(client, "cure", Some(offer)).await?;
        out.result(&order, || {
            let (what, until, Answered { id, .. }) = (order.what(), order.until(), &order);
            match refund {
                None => format!(
                    "offered to deliver {what} again: {id}, you have {until}to do so and say so with `corpex redeliver`, or \
                     {price} goes back"
                ),
                Some(refund) if refund == price => format!("refunded {what}: {id}, {price} went back"),
                Some(refund) => format!(
                    "offered to refund a part of {what}: {id}, the buyer has {until}to reject that, or {refund} of {price} \
                     goes back"
                ),
            }
        })
    }
}

impl Redeliver {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let standing = Standing::read(client, self.order).await?;
        if standing.is_redelivered() {
            return standing.tell(out, "delivered again");
        }
        let order = standing.take(client, "redelivery", Some(json!({ "note": self.note }))).await?;
        out.result(&order, || {
            format!(
                "delivered {} again: {}, the buyer has {}to accept or reject it",
                order.what(),
                order.id,
                order.until()
            )
        })
    }
}

/// An error that names a field of the request, by the option that gave it.
fn by_option(error: Error) -> Error {
    match error.field.as_deref() {
        Some("note") => error.field("--note"),
        Some("reason") => error.field("--reason"),
        Some(field) if field.starts_with("remedy.") => error.field("--refund"),
        _ => error,
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

    /// Whether what was rejected was delivered again, and is for the buyer to answer.
    fn is_redelivered(&self) -> bool {
        use OrderState::{Curing, Delivered, Delivering};
        let was_cured = self.history.iter().any(|step| step.to_state == Curing.as_str());
        was_cured && matches!(self.order.state, Delivering | Delivered)
    }

    /// Sends the buyer's answer to the delivery, or to the refund of a part while one is offered.
    async fn answer(&self, client: &Client, answer: &str, reason: Option<&str>) -> Result<Answered> {
        let is_offered = self.order.state == OrderState::Curing && self.order.refund.is_some();
        let of = if is_offered { "cure/" } else { "" };
        self.take(client, &format!("{of}{answer}"), reason.map(|reason| json!({ "reason": reason }))).await
    }

    /// Takes a step of the order's life. It may come again later: the key is of this step at this point of that life.
    async fn take(&self, client: &Client, step: &str, input: Option<Value>) -> Result<Answered> {
        let id = self.order.id;
        let once = format!("{step}-{id}-{}", self.history.len());
        let request = client.post(format!("/v1/orders/{id}/{step}")).idempotent(once);
        let sent = match input {
            Some(input) => request.json(&input)?.send().await,
            None => request.send().await,
        };
        sent.map_err(by_option)
    }
}

impl Answered {
    fn what(&self) -> String {
        format!("{}@{}", self.dataset, self.version)
    }

    /// Until when somebody is to act, before what they may do.
    fn until(&self) -> String {
        self.due_at.map(|due| format!("until {due} ")).unwrap_or_default()
    }
}
