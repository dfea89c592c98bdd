//! Licences, as client commands read them, and which one a command acts under.

use serde::Deserialize;

use super::client::Client;
use super::organisation::own_organisations;
use super::reference::DatasetRef;
use crate::catalog::Selection;
use crate::delivery::EntitlementState;
use crate::error::{Error, Kind, Result};
use crate::types::{EntitlementId, Instant, OrderId};

/// A licence, as a client reads it, to one of the versions that it covers.
#[derive(Clone, Deserialize)]
pub(super) struct Entitlement {
    pub(super) id: EntitlementId,
    pub(super) order_id: OrderId,
    /// The licensee's handle.
    pub(super) organisation: String,
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

/// Every licence that the caller may use, or might once.
pub(super) async fn all(client: &Client) -> Result<Vec<Entitlement>> {
    client.get_all("/v1/entitlements").await
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
        None => all(client).await?,
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

    /// Whether it covers a version of a dataset, or covered it.
    pub(super) fn covers(&self, dataset: &DatasetRef, number: i32) -> bool {
        self.dataset == dataset.full_name() && self.versions.iter().any(|covered| covered.number == number)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subscription_covers_the_versions_that_joined_it_too() {
        let versions = [1, 3].map(|number| json!({ "number": number, "withdrawn_at": null }));
        let now = Instant::from_unix_micros(0);
        let shown = json!({
            "id": EntitlementId::new(now), "order_id": OrderId::new(now), "organisation": "verse-lab",
            "dataset": "poetry-house/poems", "version": 1, "versions": versions, "state": "active", "selection": null,
        });
        let licence: Entitlement = serde_json::from_value(shown).unwrap();
        let poems: DatasetRef = "poetry-house/poems".parse().unwrap();
        let odes: DatasetRef = "poetry-house/odes".parse().unwrap();
        assert_eq!([1, 2, 3].map(|number| licence.covers(&poems, number)), [true, false, true]);
        assert!(!licence.covers(&odes, 1));
    }
}
