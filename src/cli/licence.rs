//! Which licence a client command acts under.

use serde::Deserialize;

use super::client::Client;
use super::reference::DatasetRef;
use crate::catalog::Selection;
use crate::error::{Error, Kind, Result};
use crate::types::{EntitlementId, Instant};

/// A licence, as a client reads it, to one of the versions that it covers.
#[derive(Clone, Deserialize)]
pub(super) struct Entitlement {
    pub(super) id: EntitlementId,
    dataset: String,
    /// Which version: of those that it covers, the wanted one or the newest.
    pub(super) version: i32,
    versions: Vec<Covered>,
    state: String,
    /// Which of the version's shards; all of them when absent.
    pub(super) selection: Option<Selection>,
}

/// A version under a licence.
#[derive(Clone, Deserialize)]
struct Covered {
    number: i32,
    withdrawn_at: Option<Instant>,
}

/// The licence to download under: the one named, which may be that of who is affiliated with the caller, or else the caller's
/// newest active one that covers a dataset's version, all of it rather than a part.
pub(super) async fn find_active(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
) -> Result<Entitlement> {
    let held = held(client, dataset, named, |covered| covered.withdrawn_at.is_none()).await?.into_iter();
    let best = held.filter(Entitlement::is_active).max_by_key(|one| (one.version, one.selection.is_none()));
    best.ok_or_else(|| match named {
        Some(id) => Error::new(Kind::NotEntitled, format!("{id} is no active licence of {dataset}"))
            .remedy(format!("corpex api GET /v1/entitlements/{id} shows what it covers, and its history")),
        None => Error::new(Kind::NotEntitled, format!("you hold no active licence of {dataset}")).remedy(format!(
            "buy one: corpex buy {dataset} --use \"what you will do with it\"; or name your affiliate's: --entitlement ID"
        )),
    })
}

/// The licence named, or else the caller's newest that covers a dataset's version, an active one if there is one: one that
/// ended or was revoked is still proof of what was held until then.
pub(super) async fn find_any(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
) -> Result<Entitlement> {
    let held = held(client, dataset, named, |_| true).await?.into_iter();
    let best = held.max_by_key(|one| (one.is_active(), one.version));
    best.ok_or_else(|| match named {
        Some(id) => Error::new(Kind::NotEntitled, format!("{id} is no licence of {dataset}")),
        None => Error::new(Kind::NotEntitled, format!("you never held a licence of {dataset}"))
            .remedy("name your affiliate's, if you use that: --entitlement ID"),
    })
}

/// The licence named, or else the caller's licences, of a dataset's version or of the newest that each covers, where `counts`
/// says so of that version.
async fn held(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
    counts: impl Fn(&Covered) -> bool,
) -> Result<Vec<Entitlement>> {
    let mut held: Vec<Entitlement> = match named {
        Some(id) => vec![client.get(format!("/v1/entitlements/{id}")).send().await?],
        None => client.get_all("/v1/entitlements").await?,
    };
    held.retain(|one| one.dataset == dataset.full_name());
    let of_version = |one: Entitlement| {
        let covered = one.versions.iter().filter(|covered| counts(covered)).map(|covered| covered.number);
        let version = covered.filter(|number| dataset.version.is_none_or(|wanted| wanted == *number)).max()?;
        Some(Entitlement { version, ..one })
    };
    Ok(held.into_iter().filter_map(of_version).collect())
}

impl Entitlement {
    fn is_active(&self) -> bool {
        self.state == "active"
    }
}
