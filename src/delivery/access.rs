//! Who may use a licence: the licensee's members, and those of its affiliates where the terms allow it; where the terms
//! limit seats, only with a seat.
//!
//! A seat belongs to an API token. Somebody who signed in with a password has none, so that a limit of seats means the same
//! to people and to programs: under such terms, people use a token too.

use super::{Entitlement, EntitlementState, seats};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Membership, Role};
use crate::terms;
use crate::types::{DatasetId, Instant, OrganisationId, TokenId, VersionId};

/// As whom a caller uses a licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    /// The handle of the licensee's affiliate for which the caller acts; none for the licensee itself.
    pub(super) affiliate: Option<String>,
    /// The token whose seat is used, where seats are limited.
    pub(super) seat: Option<TokenId>,
}

/// Refuses a caller who may not use a licence now, and says as whom others do.
pub(super) fn may_use(c: &mut Conn, caller: &Caller, entitlement: &Entitlement, now: Instant) -> Result<Access> {
    let affiliate = match caller.member_of(entitlement.organisation_id) {
        Some(_) => None,
        None => affiliate(c, &caller.memberships, entitlement)?,
    };
    if affiliate.is_none() {
        caller.may_for(entitlement.organisation_id, "the buyer", Role::USERS)?;
    }
    require_usable(entitlement, now)?;
    let seat = match seats::limit(c, entitlement)? {
        None => None,
        Some(_) => Some(require_seat(c, caller.credential.token_id(), entitlement)?),
    };
    Ok(Access { affiliate, seat })
}

/// The handle of the organisation among these that may use a licence as an affiliate of the licensee: verified, and
/// declared by the licensee, or by an affiliate of its.
pub(super) fn affiliate(c: &mut Conn, memberships: &[Membership], entitlement: &Entitlement) -> Result<Option<String>> {
    let candidates = verified(memberships);
    if candidates.is_empty() || !lets_affiliates(c, entitlement)? {
        return Ok(None);
    }
    let licensee = identity::organisation(c, entitlement.organisation_id)?.handle;
    identity::affiliate_among(c, &licensee, &candidates)
}

/// The licences of others to versions of these datasets that these organisations may use as [`affiliate`]s of the licensees,
/// each with the version, whatever their standing, oldest first.
pub(super) fn of_others(
    c: &mut Conn,
    memberships: &[Membership],
    datasets: &[DatasetId],
) -> Result<Vec<(VersionId, Entitlement)>> {
    let licensees = licensees(c, memberships)?;
    let licences = super::licences_of(c, &licensees, datasets)?;
    terms::load_terms(c, licences.iter().map(|(_, entitlement)| entitlement.terms_id))?;
    let mut found = Vec::new();
    for (version, entitlement) in licences {
        if lets_affiliates(c, &entitlement)? {
            found.push((version, entitlement));
        }
    }
    Ok(found)
}

/// The organisations, other than these, whose licences these use as [`affiliate`]s, where the terms let them; none where so many
/// vouch for these that they cannot be told.
pub(super) fn licensees(c: &mut Conn, memberships: &[Membership]) -> Result<Vec<OrganisationId>> {
    let vouching = match identity::vouching_for(c, &verified(memberships)) {
        Err(error) if error.kind == Kind::TooLarge => return Ok(Vec::new()),
        vouching => vouching?,
    };
    let is_own = |id: &OrganisationId| memberships.iter().any(|m| m.organisation_id == *id);
    Ok(vouching.into_iter().filter(|id| !is_own(id)).collect())
}

/// Whether the terms of a licence let affiliates of the licensee use it.
pub(super) fn lets_affiliates(c: &mut Conn, entitlement: &Entitlement) -> Result<bool> {
    Ok(terms::terms(c, entitlement.terms_id)?.document.affiliates)
}

fn verified(memberships: &[Membership]) -> Vec<&str> {
    memberships.iter().filter(|m| m.verified).map(|m| m.handle.as_str()).collect()
}

/// Refuses a licence that may not be used now.
pub(super) fn require_usable(entitlement: &Entitlement, now: Instant) -> Result<()> {
    let refuse = |why: String| {
        let refused = Error::new(Kind::NotEntitled, format!("entitlement {} {why}", entitlement.id));
        Err(refused.remedy(format!("GET /v1/entitlements/{} shows its history", entitlement.id)))
    };
    match (entitlement.state, entitlement.expires_at) {
        (EntitlementState::Active, Some(end)) if end <= now => refuse(format!("ended at {end}")),
        (EntitlementState::Active, _) => Ok(()),
        (state, _) => refuse(format!("is {state}")),
    }
}

/// Refuses a credential that has no seat of a licence whose terms limit them.
pub(super) fn require_seat(c: &mut Conn, token: Option<TokenId>, entitlement: &Entitlement) -> Result<TokenId> {
    let refused =
        |why: String, remedy: String| Err(Error::new(Kind::NotEntitled, why).field("Authorization").remedy(remedy));
    let id = entitlement.id;
    let Some(token) = token else {
        let why = format!("the terms of entitlement {id} limit its seats, and a session has none");
        return refused(why, "use an API token that has a seat".to_string());
    };
    if seats::is_taken(c, id, token)? {
        return Ok(token);
    }
    let remedy = format!("an admin of the licensee assigns one: PUT /v1/entitlements/{id}/seats/{token}");
    refused(format!("API token {token} has no seat of entitlement {id}"), remedy)
}
