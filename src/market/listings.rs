//! Listings: versions on the board.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::review::review;
use super::{holds, orders, queries};
use crate::assessment;
use crate::catalog::{self, Dataset, Version, lineage};
use crate::config::Config;
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::jobs::{self, Job};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::terms;
use crate::text_enum;
use crate::types::{
    AssessmentId, DAY, DatasetId, Digest, Instant, ListingId, OrganisationId, TermsId, VersionId, text,
};

/// The longest reason that somebody gives for a step of a listing, in characters: the exchange may put words before it.
pub(super) const MAX_REASON_CHARS: usize = text::MAX_REASON_CHARS - 100;

text_enum! {
    /// Where a listing is in its life.
    pub enum ListingState {
        /// Announced, so that others may object.
        PublicNotice = "public_notice",
        /// On the board: it can be bought.
        Listed = "listed",
        /// Taken off by its provider for a while.
        Paused = "paused",
        /// Taken off by the exchange for a while.
        Suspended = "suspended",
        /// Withdrawn for ever; it stays to be seen.
        Delisted = "delisted",
    }
}

impl ListingState {
    /// Whether a listing in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use ListingState::{Delisted, Listed, Paused, PublicNotice, Suspended};
        matches!(
            (self, next),
            (PublicNotice, Listed | Delisted)
                | (Listed, Paused | Suspended | Delisted)
                | (Paused, Listed | Suspended | Delisted)
                | (Suspended, Listed | Paused | Delisted)
        )
    }
}

/// A version offered under terms.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::listings, check_for_backend(crate::db::MultiBackend))]
pub struct Listing {
    /// Its identifier.
    pub id: ListingId,
    /// What is offered.
    pub version_id: VersionId,
    /// On which terms.
    pub terms_id: TermsId,
    /// The assessment that it was admitted with.
    pub assessment_id: AssessmentId,
    /// Who offers it.
    pub provider_id: OrganisationId,
    /// Where it is in its life.
    pub state: ListingState,
    /// Until when others may object.
    pub notice_ends_at: Instant,
    /// When the exchange looks at it next.
    pub review_at: Option<Instant>,
    /// The listing that its provider named as its successor when it withdrew this one.
    pub successor_id: Option<ListingId>,
    /// When it was made.
    pub created_at: Instant,
}

/// Announces a version for the board, under terms of its own provider. Where no public notice is kept, it is on the board
/// at once.
pub fn open(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    (dataset, version): (&Dataset, &Version),
    terms_id: TermsId,
    now: Instant,
) -> Result<Listing> {
    caller.may_for(dataset.organisation_id, &dataset.handle, Role::TRADERS)?;
    identity::require_verified(&identity::organisation(c, dataset.organisation_id)?)?;
    let seal = catalog::seal_of(c, version.id)?;
    let assessment = assessment::valid_assessment(c, version.id, now)?;
    catalog::inspection::require_readable(c, version.id)?;
    holds::require_free(c, version.id)?;
    orders::require_derivable(c, dataset, version)?;
    let terms = terms::terms(c, terms_id).map_err(|error| error.field("terms_id"))?;
    if terms.organisation_id != dataset.organisation_id {
        return Err(Error::not_found(format!("terms {terms_id} of {}", dataset.handle)).field("terms_id"));
    }
    terms::price(&terms.document, &seal.measure()).map_err(|error| error.field("terms_id"))?;
    if let Some(standing) = queries::find_listing_of(c, version.id, terms_id)? {
        return Err(Error::new(
            Kind::AlreadyExists,
            format!("this version was listed under these terms as {}, which is {}", standing.id, standing.state),
        )
        .remedy("resume that listing if it is paused, or list under other terms"));
    }
    let notice = DAY * config.public_notice_days.unsigned_abs();
    let listing = Listing {
        // It sorts after the others whatever the clock says: royalties go by the terms of the first one.
        id: ListingId::after(queries::find_last_listing_of(c, version.id)?, now),
        version_id: version.id,
        terms_id,
        assessment_id: assessment.id,
        provider_id: dataset.organisation_id,
        state: ListingState::PublicNotice,
        notice_ends_at: now.plus(notice),
        review_at: Some(now.plus(notice)),
        successor_id: None,
        created_at: now,
    };
    let subjects =
        vec![ResourceDescriptor::new("manifest", seal.manifest_sha256), ResourceDescriptor::new("terms", terms.sha256)];
    let predicate = json!({
        "listing": listing.id, "dataset": dataset.full_name(), "version": version.number,
        "manifest_sha256": seal.manifest_sha256, "terms_sha256": terms.sha256,
        "certificate": certificate_of(c, &listing)?, "opened_at": now, "notice_ends_at": listing.notice_ends_at,
    });
    provenance::declare(c, keys, StatementKind::Listing, listing.id, subjects, &predicate, now)?;
    queries::insert_listing(c, &listing)?;
    lineage::mark_offered(c, version.id, now)?;
    history::record(c, listing.id, None, listing.state.as_str(), caller.user_id, "announced by its provider", now)?;
    review(c, keys, listing, "exchange", now)
}

/// The number of the registration certificate of what a listing offers.
pub fn certificate_of(c: &mut Conn, listing: &Listing) -> Result<String> {
    Ok(assessment::registered(c, listing.version_id)?.number)
}

/// A provider takes its listing off the board for a while, or puts it back.
pub fn change(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: ListingId,
    to: ListingState,
    now: Instant,
) -> Result<Listing> {
    let listing = listing(c, id)?;
    caller.may_for(listing.provider_id, "the provider", Role::TRADERS)?;
    let remedy = match listing.state {
        ListingState::Suspended => Some("the exchange suspended it, and puts it back"),
        ListingState::PublicNotice => {
            Some("it goes on the board when its public notice is over and no objection stands")
        }
        _ => None,
    };
    if let Some(remedy) = remedy {
        return Err(cannot_become(&listing, to).remedy(remedy));
    }
    if listing.state.may_become(to) && to == ListingState::Listed {
        assessment::valid_assessment(c, listing.version_id, now)?;
    }
    advance(c, keys, listing, to, caller.user_id, "by its provider", now)
}

/// Why a provider withdraws a listing, and what it offers instead.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// In at most 400 characters.
    #[serde(default)]
    #[schema(max_length = 400)]
    pub reason: Option<String>,
    /// Another listing of the same provider that replaces it.
    #[serde(default)]
    pub successor: Option<ListingId>,
}

/// A provider withdraws its listing for ever; it stays to be seen, with the reason and its successor.
pub fn withdraw(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: ListingId,
    why: &Withdrawal,
    now: Instant,
) -> Result<Listing> {
    let withdrawn = listing(c, id)?;
    caller.may_for(withdrawn.provider_id, "the provider", Role::TRADERS)?;
    let reason = match &why.reason {
        Some(reason) => text::readable("reason", reason, MAX_REASON_CHARS)?,
        None => "withdrawn by its provider".to_string(),
    };
    if let Some(successor) = why.successor {
        check_successor(c, &withdrawn, successor)?;
    }
    let withdrawn = Listing { successor_id: why.successor, ..withdrawn };
    advance(c, keys, withdrawn, ListingState::Delisted, caller.user_id, &reason, now)
}

fn check_successor(c: &mut Conn, withdrawn: &Listing, successor: ListingId) -> Result<()> {
    let found = listing(c, successor).map_err(|error| error.field("successor"))?;
    let refused = |why: &str| {
        let error = Error::invalid("successor", format!("{successor} {why}"));
        Err(error.remedy("name another listing of yours that is not withdrawn"))
    };
    match found.state {
        _ if found.id == withdrawn.id => refused("is the listing itself"),
        _ if found.provider_id != withdrawn.provider_id => refused("is of another provider"),
        ListingState::Delisted => refused("was withdrawn itself"),
        _ => Ok(()),
    }
}

/// The listing that takes another's place: the one that its provider named, or else that of the newest later version of its
/// dataset that is on the board.
pub fn successor(c: &mut Conn, listing: &Listing) -> Result<Option<ListingId>> {
    if listing.successor_id.is_some() {
        return Ok(listing.successor_id);
    }
    let (_, version) = catalog::version(c, listing.version_id)?;
    let later = queries::list_newest_listed(c, version.dataset_id, version.number, 1)?;
    Ok(later.first().map(|newest| newest.id))
}

/// Moves a listing on, if it is still where it was read, and states so in the log.
pub(super) fn advance(
    c: &mut Conn,
    keys: &ExchangeKeys,
    listing: Listing,
    to: ListingState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<Listing> {
    let from = listing.state;
    if !from.may_become(to) || queries::set_listing_state(c, &listing, to)? != 1 {
        return Err(cannot_become(&listing, to));
    }
    history::record(c, listing.id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    let opening = opening_of(c, listing.id)?;
    let (dataset, version) = catalog::version(c, listing.version_id)?;
    let mut predicate = json!({
        "listing": listing.id, "listing_sha256": opening, "dataset": dataset.full_name(), "version": version.number,
        "from_state": from, "state": to, "reason": reason, "changed_at": now,
    });
    if let (Some(successor), Some(members)) = (listing.successor_id, predicate.as_object_mut()) {
        members.insert("successor".to_string(), json!(successor));
    }
    let subjects = vec![ResourceDescriptor::new("listing", opening)];
    provenance::declare(c, keys, StatementKind::ListingChange, listing.id, subjects, &predicate, now)?;
    if to == ListingState::Listed && terms::is_subscription(&terms::terms(c, listing.terms_id)?.document) {
        jobs::enqueue(c, Job::ExtendSubscriptions { listing_id: listing.id }, now)?;
    }
    Ok(Listing { state: to, ..listing })
}

/// The digest of the statement that opened a listing. By a clock that is behind, others about it may have come before.
pub(super) fn opening_of(c: &mut Conn, id: ListingId) -> Result<Digest> {
    let opening = provenance::first_about(c, id, StatementKind::Listing)?;
    Ok(opening.ok_or_else(|| Error::internal(format!("no statement opened {id}")))?.envelope.pae_sha256())
}

fn cannot_become(listing: &Listing, to: ListingState) -> Error {
    Error::new(Kind::WrongState, format!("listing {} is {} and cannot become {to}", listing.id, listing.state))
}

/// A listing; everybody may see what is on the board or was.
pub fn listing(c: &mut Conn, id: ListingId) -> Result<Listing> {
    db::load_once(c, id, |c| queries::find_listing(c, id))?.ok_or_else(|| Error::not_found(format!("listing {id}")))
}

/// Loads these listings together, and the names of their versions, for a page that asks [`listing`] and [`catalog::name_of`] for
/// each.
pub fn load_with_names(c: &mut Conn, ids: impl IntoIterator<Item = ListingId>) -> Result<()> {
    let mut versions = Vec::new();
    db::load_ahead(c, ids, |c, ids| {
        let found = queries::list_listings_by_id(c, ids);
        found.inspect(|found| versions.extend(found.iter().map(|(_, listing)| listing.version_id)))
    })?;
    catalog::load_names(c, versions)
}

/// The listings on the board of any of these versions.
pub fn listed(c: &mut Conn, versions: &[VersionId]) -> Result<Vec<Listing>> {
    Ok(queries::list_listed(c, versions)?)
}

/// The versions of these datasets that are on the board, as often as they are listed, the greatest version numbers first; at most
/// `limit`.
pub fn listed_versions(c: &mut Conn, datasets: &[DatasetId], limit: i64) -> Result<Vec<VersionId>> {
    Ok(queries::list_listed_versions(c, datasets, limit)?)
}

/// Of each of these datasets the newest version on the board, if there is one.
pub fn newest_listed_versions(c: &mut Conn, datasets: &[DatasetId]) -> Result<Vec<VersionId>> {
    Ok(queries::list_newest_versions(c, datasets)?)
}

/// Up to `limit` listings on the board of a dataset, those of its newest version first.
pub fn listed_of(c: &mut Conn, dataset: DatasetId, limit: i64) -> Result<Vec<Listing>> {
    Ok(queries::list_newest_listed(c, dataset, 0, limit)?)
}

/// The listings on the board of later versions than this one, oldest listing first: those whose identifiers sort after `after`; at
/// most `limit`.
pub fn listed_since(c: &mut Conn, version: &Version, after: &str, limit: i64) -> Result<Vec<ListingId>> {
    Ok(queries::list_listed_since(c, version, after, limit)?)
}

/// The datasets with a version on the board, newest first: those older than `before`, if that is given; at most `limit`.
pub fn listed_datasets(c: &mut Conn, before: Option<DatasetId>, limit: i64) -> Result<Vec<DatasetId>> {
    Ok(queries::list_listed_datasets(c, before, limit)?)
}

/// Listings, oldest first; those of one dataset when its organisation and name are given. Where there is no such dataset the list
/// is empty, as it is for a draft: strangers do not learn of drafts.
pub fn listings(c: &mut Conn, dataset: Option<(&str, &str)>, after: &str, limit: i64) -> Result<Vec<Listing>> {
    let found = dataset.map(|(organisation, name)| catalog::find_dataset(c, organisation, name)).transpose();
    match found {
        Ok(dataset) => Ok(queries::list_listings(c, dataset.map(|dataset| dataset.id), after, limit)?),
        Err(error) if error.kind == Kind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_a_listings_life_exist() {
        use ListingState::{Delisted, Listed, Paused, PublicNotice, Suspended};
        let edges = [
            (PublicNotice, Listed),
            (PublicNotice, Delisted),
            (Listed, Paused),
            (Listed, Suspended),
            (Listed, Delisted),
            (Paused, Listed),
            (Paused, Suspended),
            (Paused, Delisted),
            (Suspended, Listed),
            (Suspended, Paused),
            (Suspended, Delisted),
        ];
        for from in ListingState::ALL {
            for to in ListingState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }
}
