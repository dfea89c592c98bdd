//! Which licence a client command acts under.

use serde::Deserialize;

use super::client::Client;
use super::reference::DatasetRef;
use crate::catalog::Selection;
use crate::error::{Error, Kind, Result};
use crate::types::EntitlementId;

/// A licence, as a client reads it.
#[derive(Deserialize)]
pub(super) struct Entitlement {
    pub(super) id: EntitlementId,
    dataset: String,
    pub(super) version: i32,
    state: String,
    /// Which of the version's shards; all of them when absent.
    pub(super) selection: Option<Selection>,
}

/// The licence to download under: the one named, or else the caller's newest active one that covers a dataset's version,
/// all of it rather than a part.
pub(super) async fn find_active(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
) -> Result<Entitlement> {
    let held = held(client, dataset).await?.into_iter();
    let active = held.filter(|one| one.is_active() && named.is_none_or(|named| named == one.id));
    let best = active.max_by_key(|one| (one.version, one.selection.is_none()));
    best.ok_or_else(|| {
        Error::new(Kind::NotEntitled, format!("you hold no active licence of {dataset}"))
            .remedy(format!("buy one: corpex buy {dataset} --use \"what you will do with it\""))
    })
}

/// The caller's newest licence that covers a dataset's version, an active one if there is one: one that ended or was
/// revoked is still proof of what was held until then.
pub(super) async fn find_any(client: &Client, dataset: &DatasetRef) -> Result<Entitlement> {
    let best = held(client, dataset).await?.into_iter().max_by_key(|one| (one.is_active(), one.version));
    best.ok_or_else(|| Error::new(Kind::NotEntitled, format!("you never held a licence of {dataset}")))
}

async fn held(client: &Client, dataset: &DatasetRef) -> Result<Vec<Entitlement>> {
    let mut held: Vec<Entitlement> = client.get_all("/v1/entitlements").await?;
    held.retain(|one| one.dataset == dataset.full_name() && dataset.version.is_none_or(|wanted| wanted == one.version));
    Ok(held)
}

impl Entitlement {
    fn is_active(&self) -> bool {
        self.state == "active"
    }
}
