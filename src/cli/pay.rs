//! `corpex pay`: an order that stands, signed where it waits for that, and paid: a renewal, or what was ordered or negotiated
//! over the API.
//!
//! It can be repeated: a contract that was signed is not signed again, and the payment carries a key made from the order and
//! the voucher.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::buy::{Paid, agree};
use super::client::Client;
use super::key::KeyFile;
use super::output::Out;
use crate::catalog::Selection;
use crate::error::Result;
use crate::market::{OrderState, contracts};
use crate::provenance::Statement;
use crate::signing::{Bytes, IN_TOTO_PAYLOAD_TYPE};
use crate::terms::Use;
use crate::types::{Money, OrderId, ProgrammeId};

#[derive(Debug, Args)]
pub(super) struct Pay {
    /// The order (order_…)
    #[arg(value_name = "ORDER")]
    order: OrderId,
    /// A voucher programme (programme_…) that pays its part of the price
    #[arg(long, value_name = "ID")]
    voucher: Option<ProgrammeId>,
    #[command(flatten)]
    key: KeyFile,
}

/// An order, as the exchange shows it.
#[derive(Deserialize)]
struct Standing {
    buyer: String,
    dataset: String,
    version: i32,
    selection: Option<Selection>,
    terms_id: String,
    r#use: Use,
    purpose: String,
    price: Money,
    renews: Option<OrderId>,
    state: OrderState,
    contract_payload: Bytes,
}

impl Pay {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let path = format!("/v1/orders/{}", self.order);
        let standing: Standing = client.get(path.as_str()).send().await?;
        let what = format!("{}@{}", standing.dataset, standing.version);
        out.note(format!("{what}: {} under {}, to {}", standing.price, standing.terms_id, standing.r#use));
        if standing.state == OrderState::AwaitingSignature {
            let key = self.key.read(&standing.buyer)?;
            self.check_contract(&standing)?;
            let envelope = key.sign_envelope(IN_TOTO_PAYLOAD_TYPE, standing.contract_payload.0);
            client.post(format!("{path}/contract")).json(&json!({ "envelope": envelope }))?.response().await?;
        }
        let voucher = self.voucher.map(|programme| format!("?voucher={programme}")).unwrap_or_default();
        let once = format!("pay-{}{voucher}", self.order);
        let Paid { order, entitlement } =
            client.post(format!("{path}/payment{voucher}")).idempotent(once).send().await?;
        let document = json!({ "order": order.id, "entitlement": entitlement.id, "price": order.price });
        let (price, order, licence) = (order.price, order.id, entitlement.id);
        out.result(&document, || match standing.state {
            OrderState::AwaitingSignature | OrderState::AwaitingPayment => {
                format!("paid {price} for {what}: {order}, licensed by {licence}")
            }
            _ => format!("{what} was paid before, {price}: {order}, licensed by {licence}; nothing was paid now"),
        })
    }

    /// Looks at what is about to be signed: it must be this order and no other, and read as its renderings do.
    fn check_contract(&self, standing: &Standing) -> Result<()> {
        let statement: Statement = serde_json::from_slice(&standing.contract_payload.0)?;
        let contract = contracts::check(statement.predicate)?;
        let selected = |selection: Option<Selection>| selection.map(|lists| lists.to_string()).unwrap_or_default();
        let renewed = |order: Option<OrderId>| order.map(|order| order.to_string()).unwrap_or_default();
        agree([
            ("renews", renewed(contract.renews), renewed(standing.renews)),
            ("part", selected(contract.part.map(|part| part.selection)), selected(standing.selection.clone())),
            ("order", contract.order.to_string(), self.order.to_string()),
            ("dataset", contract.dataset, standing.dataset.clone()),
            ("version", contract.version.to_string(), standing.version.to_string()),
            ("terms", contract.terms.to_string(), standing.terms_id.clone()),
            ("buyer", contract.buyer.handle, standing.buyer.clone()),
            ("purpose", contract.purpose, standing.purpose.clone()),
            ("use", contract.r#use.to_string(), standing.r#use.to_string()),
            ("price", contract.price.to_string(), standing.price.to_string()),
        ])
    }
}
