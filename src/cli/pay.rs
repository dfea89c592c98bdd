//! `corpex pay`: an order that stands, signed where it waits for that, and paid: a renewal, or what was ordered or negotiated
//! over the API.
//!
//! It can be repeated: a contract that was signed is not signed again, and the payment carries a key made from the order and
//! the voucher.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::buy::{Bought, Paid};
use super::client::Client;
use super::contract::{Buyer, Ordered, agree};
use super::output::Out;
use crate::error::Result;
use crate::market::OrderState;
use crate::signing::{Bytes, IN_TOTO_PAYLOAD_TYPE};
use crate::types::{OrderId, ProgrammeId};

#[derive(Debug, Args)]
pub(super) struct Pay {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    /// A voucher programme (programme_…) that pays its part of the price
    #[arg(long, value_name = "ID")]
    voucher: Option<ProgrammeId>,
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
        let path = format!("/v1/orders/{}", self.order);
        let Standing { ordered, state, contract_payload } = client.get(path.as_str()).send().await?;
        let is_unpaid = matches!(state, OrderState::AwaitingSignature | OrderState::AwaitingPayment);
        if is_unpaid {
            let organisation = self.buyer.organisation(client).await?;
            self.buyer.agree_to(&ordered, &organisation, out)?;
        }
        if state == OrderState::AwaitingSignature {
            let key = self.buyer.key.read(&ordered.buyer)?;
            let contract = ordered.contract(&contract_payload)?;
            agree([("order", contract.order.to_string(), self.order.to_string())])?;
            let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, contract_payload.0);
            client.post(format!("{path}/contract")).json(&json!({ "envelope": envelope }))?.response().await?;
        }
        let voucher = self.voucher.map(|programme| format!("?voucher={programme}")).unwrap_or_default();
        let once = format!("pay-{}{voucher}", self.order);
        let paid: Paid = client.post(format!("{path}/payment{voucher}")).idempotent(once).send().await?;
        let bought = paid.into_bought(ordered.dataset, ordered.version);
        out.result(&bought, || {
            let Bought { dataset, version, order, entitlement, price } = &bought;
            match is_unpaid {
                true => format!("paid {price} for {dataset}@{version}: {order}, licensed by {entitlement}"),
                false => format!(
                    "{dataset}@{version} was paid before, {price}: {order}, licensed by {entitlement}; nothing was paid now"
                ),
            }
        })
    }
}
