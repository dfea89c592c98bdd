//! Delivery: the right to download, the links that honour it, and the receipts that prove it.
//!
//! Paying an order grants its entitlement. Every link is asked for under an entitlement, which is checked in
//! the same transaction that records the receipt; the link leaves the exchange only after that transaction is durable.
//!
//! Receipts are committed in groups: those that arrive while one group is being written form the next. A group
//! is one statement in the log, over the root of the group's Merkle tree, so a receipt can be proven alone.
//!
//! Invariant: no link without an active entitlement to a version that is not held, and a durable receipt.
//! Invariant: no receipt is of a later time than the log entry of its batch, whatever the clocks say.

mod access;
mod audit;
mod desk;
pub mod evaluations;
mod holds;
mod passport;
pub mod purchases;
mod queries;
mod renewals;
pub mod routes;
pub mod seats;
mod standing;
pub mod subscriptions;
pub mod trades;
pub mod usage;

pub use audit::audit;
pub use desk::{Delivered, ReceiptDesk};
pub use holds::{follow_hold, hold, lift, recall};
pub use passport::{passport, passport_of_evaluation};
pub use renewals::{announce_ends, renew};
pub use standing::{change_standing, expire_ended, revoke};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access::Access;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::catalog::{self, ManifestShard, Selection, Shard};
use crate::config::SIGNED_URL_TTL;
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::identity::Caller;
use crate::keys::ExchangeKeys;
use crate::market::{self, Contract, Order};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::store::{StorageKey, Store};
use crate::text_enum;
use crate::types::{
    DAY, DatasetId, Digest, EntitlementId, Instant, Json, OrderId, OrganisationId, Page, PageQuery, ProgrammeId,
    ReceiptId, StatementId, TermsId, TokenId, UserId, VersionId, kind,
};
use crate::{history, terms};

/// The most links one request may ask for.
pub const MAX_LINKS: usize = 1000;

text_enum! {
    /// Whether an entitlement may be used.
    pub enum EntitlementState {
        /// Links are given.
        Active = "active",
        /// Links are refused for now.
        Suspended = "suspended",
        /// The licence's term ended.
        Expired = "expired",
        /// Withdrawn, for a reason in its history.
        Revoked = "revoked",
    }
}

/// A licensee's right to download one version, or what its subscription covers.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::entitlements, check_for_backend(crate::db::MultiBackend))]
pub struct Entitlement {
    /// Its identifier.
    pub id: EntitlementId,
    /// The order that it was bought with.
    pub order_id: OrderId,
    /// The licensee.
    pub organisation_id: OrganisationId,
    /// What it was bought with: what may be downloaded, and with a [subscription](subscriptions) more.
    pub version_id: VersionId,
    /// Which of its shards; all of them when absent.
    pub selection: Option<Json<Selection>>,
    /// Under which terms.
    pub terms_id: TermsId,
    /// Whether it may be used.
    pub state: EntitlementState,
    /// The exchange's statement that grants it.
    pub statement_id: StatementId,
    /// Since when it holds.
    pub granted_at: Instant,
    /// Until when; absent for a perpetual licence.
    pub expires_at: Option<Instant>,
}

/// The record of one link: the document whose hash is a leaf of its batch. Its members stand in the order of canonical JSON: see
/// [`Receipt::document`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The handle of the licensee's affiliate for which it was asked; absent when it was for the licensee itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliate: Option<String>,
    /// `org/name`.
    pub dataset: String,
    /// Under which entitlement.
    pub entitlement: EntitlementId,
    /// When the link was given.
    pub issued_at: Instant,
    /// The shard.
    pub path: String,
    /// Its identifier.
    pub receipt: ReceiptId,
    /// The API token whose seat was used; absent where the terms do not limit the seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<TokenId>,
    /// The shard's digest.
    pub sha256: Digest,
    /// The shard's size.
    pub size_bytes: i64,
    /// Who asked.
    pub user: UserId,
    /// The version of this format: 1.
    pub v: u8,
    /// The version's number.
    pub version: i32,
}

impl Receipt {
    /// The receipt as canonical JSON (RFC 8785). Plain JSON of it is that: its members are in order, and of its numbers, which
    /// are small, none has a fraction.
    pub fn document(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// One shard that is to be delivered, with the receipt for it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The receipt that will be recorded.
    pub receipt: Receipt,
    /// What the link will lead to.
    pub shard: Arc<Shard>,
    /// Where its bytes lie.
    pub storage_key: StorageKey,
    /// A warning that more is downloaded than the terms expect, if that is so.
    pub warning: Option<String>,
}

impl Planned {
    /// The same delivery once more, with a receipt of its own, which is of no earlier time.
    pub fn again(&self, now: Instant) -> Self {
        let mut again = self.clone();
        (again.receipt.receipt, again.receipt.issued_at) = (ReceiptId::new(now), now.max(self.receipt.issued_at));
        again
    }
}

/// Pays an order from the buyer's wallet, and a voucher of `programme`, into escrow, and grants the licence, or lengthens the
/// one that it renews.
pub fn pay_order(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    order_id: OrderId,
    programme: Option<ProgrammeId>,
    now: Instant,
) -> Result<(Order, Entitlement)> {
    let order = market::pay(c, caller, order_id, programme, now)?;
    if order.renews.is_some() {
        return renewals::extend(c, caller, keys, order, now);
    }
    let contract = market::contract_of(c, order.id)?;
    let entitlement = grant(c, caller, keys, &order, &contract, now)?;
    Ok((order, entitlement))
}

fn grant(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    order: &Order,
    contract: &Contract,
    now: Instant,
) -> Result<Entitlement> {
    let id = EntitlementId::new(now);
    let version = catalog::name_of(c, order.version_id)?;
    let seal = catalog::seal_of(c, order.version_id)?;
    let expires_at = term_of(c, order.terms_id)?.map(|term| now.plus(term));
    let part = order.selection().map(|selection| catalog::choose(c, order.version_id, selection)).transpose()?;
    let subjects = vec![
        ResourceDescriptor::new("contract", contract.sha256),
        ResourceDescriptor::new("manifest", seal.manifest_sha256),
    ];
    let mut predicate = json!({
        "entitlement": id, "order": order.id, "contract_sha256": contract.sha256,
        "dataset": version.dataset, "version": version.number,
        "manifest_sha256": seal.manifest_sha256, "granted_at": now, "expires_at": expires_at,
    });
    if let (Some((_, part)), Some(members)) = (part, predicate.as_object_mut()) {
        members.insert("part".to_string(), serde_json::to_value(part)?);
    }
    let statement = provenance::declare(c, keys, StatementKind::Entitlement, id, subjects, &predicate, now)?;
    let entitlement = Entitlement {
        id,
        order_id: order.id,
        organisation_id: order.buyer_id,
        version_id: order.version_id,
        selection: order.selection.clone(),
        terms_id: order.terms_id,
        state: EntitlementState::Active,
        statement_id: statement.id,
        granted_at: now,
        expires_at,
    };
    db::append(c, entitlement.clone())?;
    history::record(c, id, None, "active", caller.user_id, "the order was paid", now)?;
    subscriptions::begin(c, &entitlement, order.listing_id, now)?;
    Ok(entitlement)
}

/// For how long terms license; none for ever.
fn term_of(c: &mut Conn, id: TermsId) -> Result<Option<Duration>> {
    let days = terms::terms(c, id)?.document.duration_days.and_then(|days| u32::try_from(days).ok());
    Ok(days.map(|days| DAY * days))
}

/// One of the caller's entitlements, or one that the caller's organisation may use as an affiliate of the licensee; the
/// platform's roles see every one.
pub fn entitlement(c: &mut Conn, caller: &Caller, id: EntitlementId) -> Result<Entitlement> {
    let named = || format!("entitlement {id}");
    let entitlement = queries::find_entitlement(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    let sees =
        caller.sees(entitlement.organisation_id) || access::affiliate(c, &caller.memberships, &entitlement)?.is_some();
    if sees { Ok(entitlement) } else { Err(Error::withheld(named())) }
}

/// An entitlement, whoever asks. Callers authorise.
pub fn entitlement_of(c: &mut Conn, id: EntitlementId) -> Result<Entitlement> {
    queries::find_entitlement(c, id)?.ok_or_else(|| Error::not_found(format!("entitlement {id}")))
}

/// Each of these entitlements that there is. Callers authorise.
pub fn entitlements_by_id(c: &mut Conn, ids: &[EntitlementId]) -> Result<HashMap<EntitlementId, Entitlement>> {
    Ok(queries::list_entitlements_by_id(c, ids)?.into_iter().map(|entitlement| (entitlement.id, entitlement)).collect())
}

/// The entitlements of the caller's organisations, and those that they may use as affiliates of the holders, oldest first. A page
/// is short where a licensee that vouches for them holds licences that are for it alone. A caller for whom more than 1,000 verified
/// organisations vouch is given its own alone, and may use the others all the same.
pub fn entitlements(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Page<Entitlement>> {
    let limit = page.limit()?;
    let holders = [caller.organisations(), access::licensees(c, &caller.memberships)?].concat();
    let after = page.after_id::<kind::Entitlement>()?;
    let rows = queries::list_entitlements(c, &holders, after, limit.saturating_add(1))?;
    let Page { items: held, next } = Page::new(rows, limit, |entitlement| entitlement.id.to_string());
    terms::load_terms(c, held.iter().map(|entitlement| entitlement.terms_id))?;
    let mut items = Vec::with_capacity(held.len());
    for entitlement in held {
        if caller.member_of(entitlement.organisation_id).is_some() || access::lets_affiliates(c, &entitlement)? {
            items.push(entitlement);
        }
    }
    Ok(Page { items, next })
}

/// The licences to versions of these datasets, each with the version: those that the caller's organisations hold, and then those
/// that they may use as affiliates of the holders; whatever their standing, each oldest first.
pub fn licences(c: &mut Conn, caller: &Caller, datasets: &[DatasetId]) -> Result<Vec<(VersionId, Entitlement)>> {
    let holders = caller.organisations();
    let mut licences = licences_of(c, &holders, datasets)?;
    licences.extend(access::of_others(c, &caller.memberships, datasets)?);
    Ok(licences)
}

/// The licences of these organisations to versions of these datasets, each with the version, oldest first.
fn licences_of(
    c: &mut Conn,
    holders: &[OrganisationId],
    datasets: &[DatasetId],
) -> Result<Vec<(VersionId, Entitlement)>> {
    if holders.is_empty() {
        return Ok(Vec::new());
    }
    let bought = queries::list_entitlements_to(c, holders, datasets)?;
    let mut licences: Vec<_> = bought.into_iter().map(|licence| (licence.version_id, licence)).collect();
    licences.extend(subscriptions::of(c, holders, datasets)?);
    licences.sort_by_key(|(_, licence)| licence.id);
    Ok(licences)
}

/// The receipts under an entitlement, oldest first. Callers authorise.
pub fn receipts_of(c: &mut Conn, entitlement_id: EntitlementId, after: &str, limit: i64) -> Result<Vec<Receipt>> {
    Ok(queries::list_receipts(c, entitlement_id, after, limit)?.into_iter().map(|receipt| receipt.0).collect())
}

/// Decides which links a caller gets to a version that a licence covers, the one that it was bought with where no number is
/// given, and writes the receipts for them. Nothing is recorded yet: see [`ReceiptDesk`].
pub fn plan(
    c: &mut Conn,
    caller: &Caller,
    id: EntitlementId,
    (number, paths): (Option<i32>, &[String]),
    now: Instant,
) -> Result<Vec<Planned>> {
    let entitlement = entitlement(c, caller, id)?;
    let Access { affiliate, seat } = access::may_use(c, caller, &entitlement, now)?;
    if paths.is_empty() || paths.len() > MAX_LINKS {
        return Err(Error::invalid("paths", format!("ask for 1 to {MAX_LINKS} paths at a time, not {}", paths.len())));
    }
    let (dataset, version) = subscriptions::require_covered(c, &entitlement, number)?;
    let dataset = dataset.full_name();
    let planned = |(shard, storage_key): (Shard, StorageKey)| {
        require_covered(&entitlement, &shard)?;
        let receipt = Receipt {
            affiliate: affiliate.clone(),
            dataset: dataset.clone(),
            entitlement: id,
            issued_at: now.max(entitlement.granted_at), // another instance may have granted it, whose clock is ahead
            path: shard.path.clone(),
            receipt: ReceiptId::new(now),
            seat,
            sha256: shard.sha256,
            size_bytes: shard.size_bytes,
            user: caller.user_id,
            v: 1,
            version: version.number,
        };
        Ok(Planned { receipt, shard: Arc::new(shard), storage_key, warning: None })
    };
    let stored = catalog::stored::stored_shards(c, version.id, paths)?;
    let mut planned: Vec<Planned> = stored.into_iter().map(planned).collect::<Result<_>>()?;
    if let Some(warning) = usage::warning(c, &entitlement, version.id, &planned, now)? {
        planned.iter_mut().for_each(|one| one.warning = Some(warning.clone()));
    }
    Ok(planned)
}

/// An entitlement under which the caller may download this version now.
pub fn require_use(c: &mut Conn, caller: &Caller, id: EntitlementId, number: i32, now: Instant) -> Result<Entitlement> {
    let entitlement = entitlement(c, caller, id)?;
    access::may_use(c, caller, &entitlement, now)?;
    subscriptions::require_covered(c, &entitlement, Some(number))?;
    Ok(entitlement)
}

impl Entitlement {
    /// Which of the version's shards may be downloaded; all of them when absent.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref().map(|selection| &selection.0)
    }
    /// Whether a shard of the version may be downloaded.
    pub fn covers(&self, shard: &Shard) -> bool {
        self.selection().is_none_or(|selection| selection.includes(&ManifestShard::from(shard)))
    }
}

/// Refuses a shard that is not in the part that was licensed.
fn require_covered(entitlement: &Entitlement, shard: &Shard) -> Result<()> {
    match entitlement.selection() {
        Some(selection) if !entitlement.covers(shard) => {
            let Entitlement { id, .. } = entitlement;
            let detail =
                format!("shard {:?} is not in the part that entitlement {id} licenses: {selection}", shard.path);
            Err(Error::new(Kind::NotEntitled, detail).field("paths").remedy("buy the part that it is in, or all"))
        }
        _ => Ok(()),
    }
}

/// The link to a shard's bytes, good for five minutes.
pub async fn link(store: &Store, key: &StorageKey, shard: &Shard, now: Instant) -> Result<url::Url> {
    let file_name = shard.path.rsplit('/').next().unwrap_or("shard");
    store.url(key, &shard.media_type, file_name, SIGNED_URL_TTL, now).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::canonical_json;

    #[test]
    fn a_receipt_is_written_as_canonical_json() {
        let now = Instant::from_unix_micros(1_700_000_000_000_000);
        for (affiliate, seat) in [(None, None), (Some("verse-lab".to_string()), Some(TokenId::new(now)))] {
            let receipt = Receipt {
                affiliate,
                dataset: "poetry-house/tang".to_string(),
                entitlement: EntitlementId::new(now),
                issued_at: now,
                path: "诗/\"a\\b\" \u{1f600}\u{7f}\u{0}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{2028}.jsonl".to_string(),
                receipt: ReceiptId::new(now),
                seat,
                sha256: Digest::of("shard"),
                size_bytes: 5 * 1024 * 1024 * 1024,
                user: UserId::new(now),
                v: 1,
                version: i32::MAX,
            };
            assert_eq!(receipt.document().unwrap().into_bytes(), canonical_json(&receipt).unwrap());
        }
    }
}
