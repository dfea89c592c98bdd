//! `corpex pay`: an order that stands, signed where it waits for that, and paid. `corpex renew`: a renewal, ordered and then paid
//! so.
//!
//! They can be repeated: a licence is not renewed twice and a contract not signed twice, and the payment carries a key made from
//! the order and the voucher.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::buy::{Bought, Paid, by_option};
use super::client::Client;
use super::contract::{Buyer, Ordered, agree};
use super::output::Out;
use crate::error::{Error, Kind, Result};
use crate::market::OrderState;
use crate::signing::{Bytes, IN_TOTO_PAYLOAD_TYPE};
use crate::types::{Digest, EntitlementId, OrderId};

#[derive(Debug, Args)]
pub(super) struct Pay {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    #[command(flatten)]
    buyer: Buyer,
}

#[derive(Debug, Args)]
pub(super) struct Renew {
    /// The licence (entitlement_…)
    #[arg(value_name = "LICENCE")]
    licence: EntitlementId,
    /// Renew again what was renewed before: give a text that is new for each such renewal
    #[arg(long, value_name = "TEXT", default_value = "")]
    again: String,
    #[command(flatten)]
    buyer: Buyer,
}

/// An order, as the exchange shows it.
#[derive(Deserialize)]
struct Standing {
    #[serde(flatten)]
    ordered: Ordered,
    state: OrderState,
    contract_payload: Bytes,
}

impl Pay {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        pay(client, out, self.order, &self.buyer, "").await
    }
}

impl Renew {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        #[derive(Deserialize)]
        struct Renewal {
            id: OrderId,
        }
        let once = Digest::of(format!("{}{}", self.licence, self.again));
        let path = format!("/v1/entitlements/{}/renewals", self.licence);
        let Renewal { id } = client.post(path).idempotent(format!("renew-{once}")).send().await?;
        pay(client, out, id, &self.buyer, " (--again TEXT renews it once more)").await.map_err(by_again)
    }
}

/// Signs an order where it waits for that, and pays it. `again` says how to pay once more, where the command can.
async fn pay(client: &Client, out: &Out, order: OrderId, buyer: &Buyer, again: &str) -> Result<()> {
    let path = format!("/v1/orders/{order}");
    let Standing { ordered, state, contract_payload } = client.get(path.as_str()).send().await?;
    let is_unpaid = matches!(state, OrderState::AwaitingSignature | OrderState::AwaitingPayment);
    if is_unpaid {
        let organisation = buyer.organisation(client).await?;
        buyer.agree_to(&ordered, &organisation, out)?;
    }
    if state == OrderState::AwaitingSignature {
        let key = buyer.key.read(&ordered.buyer)?;
        let contract = ordered.contract(&contract_payload)?;
        agree([("order", contract.order.to_string(), order.to_string())])?;
        let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, contract_payload.0);
        client.post(format!("{path}/contract")).json(&json!({ "envelope": envelope }))?.response().await?;
    }
    let voucher = buyer.voucher.map(|programme| format!("?voucher={programme}")).unwrap_or_default();
    let once = format!("pay-{order}{voucher}");
    let sent = client.post(format!("{path}/payment{voucher}")).idempotent(once).send().await;
    let paid: Paid = sent.map_err(by_option)?;
    let bought = paid.into_bought(ordered.dataset, ordered.version);
    out.result(&bought, || {
        let Bought { dataset, version, order, entitlement, price } = &bought;
        match is_unpaid {
            true => format!("paid {price} for {dataset}@{version}: {order}, licensed by {entitlement}"),
            false => format!(
                "{dataset}@{version} was paid before, {price}: {order}, licensed by {entitlement}; nothing was paid \
                 now{again}"
            ),
        }
    })
}

/// The refusal of a renewal that can no longer be paid, by the option that makes it another one.
fn by_again(error: Error) -> Error {
    match error.kind {
        Kind::WrongState if error.remedy.is_none() => error.remedy("--again TEXT orders another renewal"),
        _ => error,
    }
}
