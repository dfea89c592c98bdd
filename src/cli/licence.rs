//! Which licence a client command acts under.

use serde::Deserialize;

use super::client::Client;
use super::organisation::own_organisations;
use super::reference::DatasetRef;
use crate::catalog::Selection;
use crate::delivery::EntitlementState;
use crate::error::{Error, Kind, Result};
use crate::types::{EntitlementId, Instant};

/// A licence, as a client reads it, to one of the versions that it covers.
#[derive(Clone, Deserialize)]
pub(super) struct Entitlement {
    pub(super) id: EntitlementId,
    /// The licensee's handle.
    organisation: String,
    dataset: String,
    /// Which version: of those that it covers, the wanted one or the newest.
    pub(super) version: i32,
    versions: Vec<Covered>,
    state: EntitlementState,
    /// Which of the version's shards; all of them when absent.
    pub(super) selection: Option<Selection>,
}

/// A version under a licence.
#[derive(Clone, Deserialize)]
struct Covered {
    number: i32,
    withdrawn_at: Option<Instant>,
}

/// The licence to download under: the one named, or else, of the active ones that the caller may use, that which covers the
/// newest version of a dataset, or the one wanted; all of it rather than a part, and the caller's own rather than one that it
/// uses as an affiliate.
pub(super) async fn find_active(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
) -> Result<Entitlement> {
    let usable = usable(client, dataset, named, |covered| covered.withdrawn_at.is_none()).await?;
    let active: Vec<_> = usable.into_iter().filter(Entitlement::is_active).collect();
    let best = best(client, active, |one| (one.version, one.selection.is_none())).await?;
    best.ok_or_else(|| match named {
        Some(id) => Error::new(Kind::NotEntitled, format!("{id} is no active licence of {dataset}"))
            .remedy(format!("corpex api GET /v1/entitlements/{id} shows what it covers, and its history")),
        None => Error::new(Kind::NotEntitled, format!("you have no active licence of {dataset}"))
            .remedy(format!("buy one: corpex buy {dataset} --use \"what you will do with it\"")),
    })
}

/// The licence named, or else the newest of a dataset's version that the caller may use, an active one if there is one, and its
/// own if there is one: one that ended or was revoked is still proof of what was held until then.
pub(super) async fn find_any(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
) -> Result<Entitlement> {
    let usable = usable(client, dataset, named, |_| true).await?;
    let best = best(client, usable, |one| (one.is_active(), one.version)).await?;
    best.ok_or_else(|| match named {
        Some(id) => Error::new(Kind::NotEntitled, format!("{id} is no licence of {dataset}")),
        None => Error::new(Kind::NotEntitled, format!("you never had a licence of {dataset}")),
    })
}

/// The best of these by `rank`; of equal ones the caller's own, and the newest.
async fn best<R: Ord>(
    client: &Client,
    licences: Vec<Entitlement>,
    rank: impl Fn(&Entitlement) -> R,
) -> Result<Option<Entitlement>> {
    let own = match licences.len() {
        0 | 1 => Vec::new(),
        _ => own_organisations(client).await?,
    };
    Ok(licences.into_iter().max_by_key(|one| (rank(one), own.contains(&one.organisation))))
}

/// The licence named, or else those that the caller may use, of a dataset's version or of the newest that each covers, where
/// `counts` says so of that version.
async fn usable(
    client: &Client,
    dataset: &DatasetRef,
    named: Option<EntitlementId>,
    counts: impl Fn(&Covered) -> bool,
) -> Result<Vec<Entitlement>> {
    let mut usable: Vec<Entitlement> = match named {
        Some(id) => vec![client.get(format!("/v1/entitlements/{id}")).send().await?],
        None => client.get_all("/v1/entitlements").await?,
    };
    usable.retain(|one| one.dataset == dataset.full_name());
    let of_version = |one: Entitlement| {
        let covered = one.versions.iter().filter(|covered| counts(covered)).map(|covered| covered.number);
        let version = covered.filter(|number| dataset.version.is_none_or(|wanted| wanted == *number)).max()?;
        Some(Entitlement { version, ..one })
    };
    Ok(usable.into_iter().filter_map(of_version).collect())
}

impl Entitlement {
    fn is_active(&self) -> bool {
        self.state == EntitlementState::Active
    }
}
