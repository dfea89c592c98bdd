//! Affiliations: organisations declare their affiliates, and a declaration by a verified organisation holds for both. The
//! identity of unverified organisations is unknown: what they declare does not count, and nobody can declare them.
//!
//! Invariant: a declared organisation is verified, and so keeps its handle: a declaration never comes to refer to another.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{Organisation, OrganisationState, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::types::OrganisationId;

/// The most organisations that are looked at for one question.
const MOST_LOOKED_AT: usize = 1000;

/// Stores the affiliations that a new organisation declares.
///
/// # Errors
/// `Invalid` for a handle that no verified organisation has: nobody knows yet who will.
pub(super) fn declare(c: &mut Conn, organisation: &Organisation) -> Result<()> {
    let declared = &organisation.affiliations.0;
    let known = queries::list_organisations_by_handle(c, declared)?;
    for affiliate in declared {
        if !known.iter().any(|(handle, known)| handle == affiliate && known.state == OrganisationState::Verified) {
            let detail = format!("no verified organisation has the handle {affiliate:?}");
            let remedy = "GET /v1/organisations lists who is verified; have the others verified first";
            return Err(Error::invalid("affiliations", detail).remedy(remedy));
        }
        queries::insert_affiliation(c, &organisation.handle, affiliate)?;
    }
    Ok(())
}

/// Which declarations of verified organisations are followed from one to the next.
#[derive(Clone, Copy)]
enum Follow {
    /// Its own and those of others about it: who belongs together, whoever of them says so.
    All,
    /// Its own: for whom it vouches. Nobody comes in by declaring it.
    Own,
}

/// The shortest chain of declared affiliations from one organisation to one of `others`, both included; `None` when it
/// belongs to none of them.
///
/// # Errors
/// `TooLarge` when so many organisations belong to the first that it cannot be told.
pub fn affiliation(c: &mut Conn, from: &str, others: &[&str]) -> Result<Option<Vec<String>>> {
    chain(c, from, Follow::All, |here| others.contains(&here))
}

/// The first of `candidates` that an organisation declares to be its affiliate: itself, or an affiliate of its in the same
/// way. What a candidate declares of the organisation counts for nothing.
///
/// # Errors
/// `TooLarge` when the organisation has so many affiliates that it cannot be told.
pub fn affiliate_among(c: &mut Conn, of: &str, candidates: &[&str]) -> Result<Option<String>> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let way = chain(c, of, Follow::Own, |here| here != of && candidates.contains(&here))?;
    Ok(way.and_then(|mut way| way.pop()))
}

/// The organisations for which [`affiliate_among`] finds one of `candidates`, which are verified: those that vouch for it.
///
/// # Errors
/// `TooLarge` when they are so many that it cannot be told.
pub fn vouching_for(c: &mut Conn, candidates: &[&str]) -> Result<HashSet<OrganisationId>> {
    let limit = i64::try_from(MOST_LOOKED_AT).unwrap_or(i64::MAX).saturating_add(1);
    let mut found = HashSet::new();
    let mut next: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    while !next.is_empty() {
        let declaring = queries::list_verified_declaring(c, &next, limit)?;
        next = declaring.into_iter().filter(|(_, id)| found.insert(*id)).map(|(handle, _)| handle).collect();
        require_few(found.len(), &candidates.join(" and "))?;
    }
    Ok(found)
}

fn require_few(count: usize, of: &str) -> Result<()> {
    if count > MOST_LOOKED_AT {
        let detail = format!("more than {MOST_LOOKED_AT} organisations belong to {of}: too many to look through");
        return Err(Error::new(Kind::TooLarge, detail));
    }
    Ok(())
}

fn chain(c: &mut Conn, from: &str, follow: Follow, is_end: impl Fn(&str) -> bool) -> Result<Option<Vec<String>>> {
    let mut came_from: BTreeMap<String, String> = BTreeMap::from([(from.to_string(), String::new())]);
    let mut next = VecDeque::from([from.to_string()]);
    while let Some(here) = next.pop_front() {
        if is_end(&here) {
            return Ok(Some(way_back(&came_from, here)));
        }
        for there in neighbours(c, &here, follow)? {
            if !came_from.contains_key(&there) {
                came_from.insert(there.clone(), here.clone());
                next.push_back(there);
            }
        }
        require_few(came_from.len(), from)?;
    }
    Ok(None)
}

fn neighbours(c: &mut Conn, here: &str, follow: Follow) -> Result<Vec<String>> {
    let limit = i64::try_from(MOST_LOOKED_AT).unwrap_or(i64::MAX);
    let organisation = queries::find_organisation_by_handle(c, here)?;
    let mut found = match organisation.is_some_and(|known| known.state == OrganisationState::Verified) {
        true => queries::list_declared(c, here, limit)?,
        false => Vec::new(),
    };
    if let Follow::All = follow {
        let declaring = queries::list_verified_declaring(c, &[here.to_string()], limit)?;
        found.extend(declaring.into_iter().map(|(handle, _)| handle));
    }
    Ok(found)
}

fn way_back(came_from: &BTreeMap<String, String>, end: String) -> Vec<String> {
    let step = |here: &String| came_from.get(here).filter(|before| !before.is_empty()).cloned();
    let mut way: Vec<String> = std::iter::successors(Some(end), step).collect();
    way.reverse();
    way
}
