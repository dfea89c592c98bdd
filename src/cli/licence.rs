//! Which licence a client command acts under.

use serde::Deserialize;

use super::client::Client;
use super::reference::DatasetRef;
use crate::error::{Error, Kind, Result};
use crate::types::EntitlementId;

/// A licence, as a client reads it.
#[derive(Deserialize)]
pub(super) struct Entitlement {
    pub(super) id: EntitlementId,
    dataset: String,
    pub(super) version: i32,
    state: String,
}

/// The caller's newest active licence that covers a dataset's version.
pub(super) async fn find_entitlement(client: &Client, dataset: &DatasetRef) -> Result<Entitlement> {
    let covers = |one: &Entitlement| {
        one.dataset == dataset.full_name()
            && one.state == "active"
            && dataset.version.is_none_or(|wanted| wanted == one.version)
    };
    let held: Vec<Entitlement> = client.get_all("/v1/entitlements").await?;
    let best = held.into_iter().filter(covers).max_by_key(|one| one.version);
    best.ok_or_else(|| {
        Error::new(Kind::NotEntitled, format!("you hold no active licence of {dataset}"))
            .remedy(format!("buy one: corpex buy {dataset} --use \"what you will do with it\""))
    })
}
