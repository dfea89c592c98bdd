//! Which licence a client command acts under.

use serde::Deserialize;

use super::buy::Items;
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
    let mut best: Option<Entitlement> = None;
    let mut cursor = String::new();
    loop {
        #[derive(Deserialize)]
        struct PageOf {
            #[serde(flatten)]
            page: Items<Entitlement>,
            next: Option<String>,
        }
        let found: PageOf = client.get(format!("/v1/entitlements?limit=1000{cursor}")).send().await?;
        for one in found.page.items {
            let matches = one.dataset == dataset.full_name()
                && one.state == "active"
                && dataset.version.is_none_or(|wanted| wanted == one.version);
            if matches && best.as_ref().is_none_or(|b| b.version <= one.version) {
                best = Some(one);
            }
        }
        match found.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    best.ok_or_else(|| {
        Error::new(Kind::NotEntitled, format!("you hold no active licence of {dataset}"))
            .remedy(format!("buy one: corpex buy {dataset} --use \"what you will do with it\""))
    })
}
