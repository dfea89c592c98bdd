//! Subscriptions: a licence whose terms license new versions grows while its term runs.
//!
//! A version joins when it is on the board on terms that [`terms::joins`] finds wide enough: a job looks for subscriptions when
//! it goes on the board, or comes back, and for what is newer and on the board already when a licence is granted. It is of
//! the same dataset, newer than the version that the licence was bought with, sealed, and assessed. Each that joins has a statement
//! of the exchange, which the licensee's passport carries with the manifest of the version.
//!
//! What joined stays until the licence ends, whatever becomes of its listing. A claim about one version holds that version
//! alone, and a recall withdraws it alone; the licence ends with a version only while its price is still in escrow.
//!
//! Invariant: a licence covers the version that it was bought with, and those that joined it, and no others.

mod queries;

use std::fmt::Display;

use serde_json::json;

use super::standing::announce;
use super::{Entitlement, EntitlementState};
use crate::app::App;
use crate::catalog::{self, Dataset, Version};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::jobs::{self, Job, sweep};
use crate::keys::ExchangeKeys;
use crate::market::{self, Listing, listings};
use crate::types::{DatasetId, EntitlementId, Instant, ListingId, OrganisationId, VersionId};
use crate::{history, terms};

/// What became of one version of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum ScopeChange {
    /// It is licensed too.
    Joined,
    /// A claim about it is examined: no links for now.
    Held,
    /// No claim about it stands any more.
    Restored,
    /// It was recalled: no links any more.
    Withdrawn,
}

impl ScopeChange {
    /// The step of the licence's history.
    fn step(self) -> &'static str {
        match self {
            Self::Joined | Self::Restored => "extended",
            Self::Held | Self::Withdrawn => "narrowed",
        }
    }
}

/// A version that a subscription covers, or covered.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::subscription_versions, check_for_backend(crate::db::MultiBackend))]
pub struct CoveredVersion {
    /// The licence.
    pub entitlement_id: EntitlementId,
    /// The version.
    pub version_id: VersionId,
    /// Under which it was on the board when it joined.
    pub listing_id: ListingId,
    /// Since when it is covered.
    pub joined_at: Instant,
    /// Since when it is not covered any more.
    pub withdrawn_at: Option<Instant>,
}

/// Begins the subscription of a licence that was just granted, if its terms are those of one, with the version that it was
/// bought with.
pub(super) fn begin(c: &mut Conn, entitlement: &Entitlement, listing_id: ListingId, now: Instant) -> Result<()> {
    if !is_one(c, entitlement)? {
        return Ok(());
    }
    let (entitlement_id, version_id) = (entitlement.id, entitlement.version_id);
    let first = CoveredVersion { entitlement_id, version_id, listing_id, joined_at: now, withdrawn_at: None };
    db::flush(c)?;
    queries::insert_version(c, &first)?;
    // A listing that comes on the board at this very moment finds no such licence yet: so the licence looks for it afterwards.
    jobs::enqueue(c, Job::ExtendSubscription { entitlement_id }, now)?;
    Ok(())
}

/// Extends a subscription to what is on the board, and newer than what it was bought with.
pub async fn catch_up(app: &App, id: EntitlementId) -> Result<()> {
    let list = move |c: &mut Conn, after: &str, _: Instant| {
        let bought = super::entitlement_of(c, id)?.version_id;
        let (_, own) = catalog::version(c, bought)?;
        market::listed_since(c, &own, after, sweep::PAGE)
    };
    join_each(app, list, |listing| (id, listing)).await
}

/// Extends the subscriptions that run to the version of a listing that came on the board.
pub async fn extend(app: &App, id: ListingId) -> Result<()> {
    let list = move |c: &mut Conn, after: &str, now: Instant| {
        let listing = listings::listing(c, id)?;
        let (_, version) = catalog::version(c, listing.version_id)?;
        Ok(queries::list_running(c, &version, now, after, sweep::PAGE)?)
    };
    join_each(app, list, |subscription| (subscription, id)).await
}

/// Extends the subscription of each pair to its listing, each in a transaction of its own. `list` gives a page of identifiers
/// that sort after a key, in order, and `pair` says for which subscription and listing one stands.
async fn join_each<T, L>(app: &App, list: L, pair: impl Fn(T) -> (EntitlementId, ListingId)) -> Result<()>
where
    T: Display + Send + 'static,
    L: Fn(&mut Conn, &str, Instant) -> Result<Vec<T>> + Clone + Send + 'static,
{
    let mut after = String::new();
    loop {
        let (list, from, now) = (list.clone(), after, app.clock.now());
        let page = app.db.read(move |c| list(c, &from, now)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.to_string();
        for (subscription, listing) in page.into_iter().map(&pair) {
            let (keys, now) = (app.keys.clone(), app.clock.now());
            app.db.write(move |c| join(c, &keys, subscription, listing, now)).await?;
        }
    }
}

/// Extends a subscription to the version of a listing, if the one runs, the other is on the board, and they fit; and does so
/// once.
fn join(c: &mut Conn, keys: &ExchangeKeys, id: EntitlementId, listing: ListingId, now: Instant) -> Result<()> {
    let entitlement = super::entitlement_of(c, id)?;
    let Some(listing) = on_the_board(c, listing, now)? else { return Ok(()) };
    if !runs(&entitlement, now) || !fits(c, &entitlement, &listing)? {
        return Ok(());
    }
    if queries::find_version(c, id, listing.version_id)?.is_some() {
        return Ok(());
    }
    let (version_id, listing_id) = (listing.version_id, listing.id);
    let joined = CoveredVersion { entitlement_id: id, version_id, listing_id, joined_at: now, withdrawn_at: None };
    queries::insert_version(c, &joined)?;
    let reason = format!("a later version is on the board under {listing_id}");
    change(c, keys, &entitlement, version_id, (ScopeChange::Joined, "exchange", &reason), now)
}

/// A listing, if it can be bought now.
fn on_the_board(c: &mut Conn, id: ListingId, now: Instant) -> Result<Option<Listing>> {
    match market::orders::open_listing(c, id, now) {
        Ok(listing) => Ok(Some(listing)),
        Err(error) if error.kind.status().is_client_error() => Ok(None),
        Err(error) => Err(error),
    }
}

fn runs(entitlement: &Entitlement, now: Instant) -> bool {
    matches!(entitlement.state, EntitlementState::Active | EntitlementState::Suspended)
        && entitlement.expires_at.is_some_and(|end| end > now)
}

/// Whether a listing is of a newer version of the dataset, on terms that allow what the licensee's contract does.
fn fits(c: &mut Conn, entitlement: &Entitlement, listing: &Listing) -> Result<bool> {
    let (dataset, own) = catalog::version(c, entitlement.version_id)?;
    let (other, newer) = catalog::version(c, listing.version_id)?;
    if dataset.id != other.id || newer.number <= own.number {
        return Ok(false);
    }
    let wanted = market::order(c, entitlement.order_id)?.permitted_use;
    let own = terms::terms(c, entitlement.terms_id)?.document;
    Ok(terms::joins(&own, wanted, &terms::terms(c, listing.terms_id)?.document))
}

/// The version of this number, if links to it may be given under a licence that may be used; without a number, the one that
/// it was bought with.
pub(super) fn require_covered(
    c: &mut Conn,
    entitlement: &Entitlement,
    number: Option<i32>,
) -> Result<(Dataset, Version)> {
    let (dataset, own) = catalog::version(c, entitlement.version_id)?;
    let number = number.unwrap_or(own.number);
    let refused = |why: &str| {
        let detail = format!("version {number} of {} {why} entitlement {}", dataset.full_name(), entitlement.id);
        Error::new(Kind::NotEntitled, detail)
            .field("version")
            .remedy(format!("GET /v1/entitlements/{} shows the versions that it covers", entitlement.id))
    };
    let not_covered = || refused("is not covered by");
    let version = match number == own.number {
        true => own,
        false => match catalog::find_version(c, &dataset.handle, &dataset.name, number) {
            Ok((_, version)) => version,
            Err(error) if error.kind == Kind::NotFound => return Err(not_covered()),
            Err(error) => return Err(error),
        },
    };
    match queries::find_version(c, entitlement.id, version.id)? {
        None if version.id != entitlement.version_id => return Err(not_covered()),
        Some(covered) if covered.withdrawn_at.is_some() => return Err(refused("was recalled, and withdrawn from")),
        _ => {}
    }
    match market::require_free(c, version.id) {
        Ok(()) => Ok((dataset, version)),
        Err(error) if error.kind == Kind::WrongState => Err(refused("is the subject of a claim, and held under")),
        Err(error) => Err(error),
    }
}

/// The version of this number and since when a licence covers or covered it, whatever its standing; of the version that it
/// was bought with, if it never covered that one. Callers authorise.
pub fn licensed_version(c: &mut Conn, entitlement: &Entitlement, number: i32) -> Result<(Dataset, Version, Instant)> {
    let covered = queries::find_numbered(c, entitlement.id, number)?;
    let (id, since) = covered
        .map_or((entitlement.version_id, entitlement.granted_at), |covered| (covered.version_id, covered.joined_at));
    let (dataset, version) = catalog::version(c, id)?;
    Ok((dataset, version, since))
}

/// Whether a licence is a subscription.
pub(super) fn is_one(c: &mut Conn, entitlement: &Entitlement) -> Result<bool> {
    Ok(terms::is_subscription(&terms::terms(c, entitlement.terms_id)?.document))
}

/// The versions that a subscription covers or covered, with their numbers, by when they joined; none for any other licence.
pub(super) fn versions(c: &mut Conn, entitlement: &Entitlement) -> Result<Vec<(CoveredVersion, i32)>> {
    if !is_one(c, entitlement)? {
        return Ok(Vec::new());
    }
    Ok(db::load_one(c, &entitlement.id, queries::list_versions)?.unwrap_or_default())
}

/// Loads the versions of these licences together, for a page that asks [`versions`] for each.
pub(super) fn load_versions(c: &mut Conn, ids: impl IntoIterator<Item = EntitlementId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_versions)?)
}

/// The subscriptions of these organisations that cover versions of these datasets beside the one that they were bought with,
/// whatever their standing, in no order; each with that version.
pub(super) fn of(
    c: &mut Conn,
    holders: &[OrganisationId],
    datasets: &[DatasetId],
) -> Result<Vec<(VersionId, Entitlement)>> {
    Ok(queries::list_covering(c, holders, datasets)?)
}

/// States that a claim about one version began or ceased to hold it, of the first `limit` subscriptions that cover it, sort
/// after `after` and of which that is not on record: which ones. That it is held is read from the version itself.
pub(super) fn note_hold(
    c: &mut Conn,
    keys: &ExchangeKeys,
    version: VersionId,
    (is_held, actor): (bool, impl Display),
    (after, limit): (&str, i64),
    now: Instant,
) -> Result<Vec<EntitlementId>> {
    let (what, reason) = match is_held {
        true => (ScopeChange::Held, "a claim about the version is examined"),
        false => (ScopeChange::Restored, "no claim about the version stands"),
    };
    let untold = queries::list_untold(c, version, is_held, after, limit)?;
    for subscription in &untold {
        queries::set_held(c, subscription.id, version, is_held.then_some(now))?;
        change(c, keys, subscription, version, (what, &actor, reason), now)?;
    }
    Ok(untold.into_iter().map(|subscription| subscription.id).collect())
}

/// Withdraws one version from a subscription for ever. Callers authorise.
pub(super) fn withdraw(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: &Entitlement,
    version: VersionId,
    (actor, reason): (impl Display, &str),
    now: Instant,
) -> Result<()> {
    let is_first = queries::set_withdrawn(c, entitlement.id, version, now)? == 1;
    if is_first && entitlement.state.may_become(EntitlementState::Revoked) {
        change(c, keys, entitlement, version, (ScopeChange::Withdrawn, actor, reason), now)?;
    }
    Ok(())
}

/// Puts on record what became of one version of a subscription.
fn change(
    c: &mut Conn,
    keys: &ExchangeKeys,
    entitlement: &Entitlement,
    version: VersionId,
    (what, actor, reason): (ScopeChange, impl Display, &str),
    now: Instant,
) -> Result<()> {
    let manifest = catalog::seal_of(c, version)?.manifest_sha256;
    let (dataset, version) = catalog::version(c, version)?;
    history::record(c, entitlement.id, Some(entitlement.state.as_str()), what.step(), actor, reason, now)?;
    let more = json!({
        "scope": what, "dataset": dataset.full_name(), "version": version.number, "manifest_sha256": manifest,
    });
    announce(c, keys, entitlement, entitlement.state, reason, more, now)
}
