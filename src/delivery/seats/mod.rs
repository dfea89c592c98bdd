//! Seats: which API tokens may use a licence, where its terms limit how many may at a time.
//!
//! An admin of the licensee assigns a seat to a token of a member, or of an affiliate's where the terms let affiliates use
//! the licence, and frees it again. A token that was revoked or has ended frees its seat by itself.
//!
//! Invariant: no more tokens that can be used have a seat than the terms allow.

mod queries;
pub mod routes;

use std::fmt::Display;

use super::{Entitlement, access};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, ApiToken, Caller, Role};
use crate::terms;
use crate::types::{EntitlementId, Instant, OrganisationId, PageQuery, SeatId, TokenId, UserId, kind};

/// A token that may use a licence.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::seats, check_for_backend(crate::db::MultiBackend))]
pub struct Seat {
    /// Its identifier.
    pub id: SeatId,
    /// The licence.
    pub entitlement_id: EntitlementId,
    /// The token.
    pub token_id: TokenId,
    /// Whose token it is.
    pub user_id: UserId,
    /// Since when it has the seat.
    pub assigned_at: Instant,
    /// Until when it had it; absent while it has.
    pub freed_at: Option<Instant>,
}

/// How many tokens may use a licence at a time; none when any number may.
pub fn limit(c: &mut Conn, entitlement: &Entitlement) -> Result<Option<i32>> {
    Ok(terms::terms(c, entitlement.terms_id)?.document.seats)
}

/// Whether a token has a seat.
pub(super) fn is_taken(c: &mut Conn, id: EntitlementId, token: TokenId) -> Result<bool> {
    Ok(queries::find_seat_of(c, id, token)?.is_some())
}

/// An admin of the licensee gives a token a seat; a token that has one keeps it.
///
/// # Errors
/// `NotFound`, `Forbidden`; `WrongState` when the terms do not limit the seats, or all are taken; `Invalid` for the token
/// of somebody who may not use the licence.
pub fn assign(c: &mut Conn, caller: &Caller, id: EntitlementId, token: TokenId, now: Instant) -> Result<Seat> {
    let entitlement = administered(c, caller, id)?;
    let Some(limit) = limit(c, &entitlement)? else {
        let detail = format!("the terms of entitlement {id} do not limit its seats");
        return Err(Error::new(Kind::WrongState, detail).remedy("nothing is to be done: every token may use it"));
    };
    let token = usable_token(c, &entitlement, token, now)?;
    if let Some(standing) = queries::find_seat_of(c, id, token.id)? {
        return Ok(standing);
    }
    free_ended(c, id, now)?;
    if queries::count_seats(c, id)? >= i64::from(limit) {
        let detail = format!("all {limit} seats of entitlement {id} are taken");
        return Err(Error::new(Kind::WrongState, detail)
            .field("seats")
            .remedy(format!("free one of them first: GET /v1/entitlements/{id}/seats lists them")));
    }
    let seat = Seat {
        id: SeatId::new(now),
        entitlement_id: id,
        token_id: token.id,
        user_id: token.user_id,
        assigned_at: now,
        freed_at: None,
    };
    queries::insert_seat(c, &seat)?;
    history::record(c, seat.id, None, "assigned", caller.user_id, "assigned by an admin of the licensee", now)?;
    Ok(seat)
}

/// An admin of the licensee takes a seat from a token.
pub fn free(c: &mut Conn, caller: &Caller, id: EntitlementId, token: TokenId, now: Instant) -> Result<Seat> {
    administered(c, caller, id)?;
    let missing = || {
        let detail = format!("token {token} has no seat of entitlement {id}");
        Error::new(Kind::WrongState, detail).field("token").remedy("nothing is to be done")
    };
    let seat = queries::find_seat_of(c, id, token)?.ok_or_else(missing)?;
    release(c, seat, caller.user_id, "freed by an admin of the licensee", now)
}

/// The seats of a licence, oldest first: up to one more than a page.
pub fn seats(c: &mut Conn, caller: &Caller, id: EntitlementId, page: &PageQuery) -> Result<Vec<Seat>> {
    let entitlement = super::entitlement(c, caller, id)?;
    if !caller.sees(entitlement.organisation_id) {
        return Err(Error::forbidden("only members of the licensee see who holds its seats"));
    }
    Ok(queries::list_seats(c, id, page.after_id::<kind::Seat>()?, page.limit()?.saturating_add(1))?)
}

/// The licensee whose licence a seat is of. Callers authorise.
pub fn licensee(c: &mut Conn, id: SeatId) -> Result<OrganisationId> {
    let seat = queries::find_seat(c, id)?.ok_or_else(|| Error::not_found(format!("seat {id}")))?;
    Ok(super::entitlement_of(c, seat.entitlement_id)?.organisation_id)
}

fn administered(c: &mut Conn, caller: &Caller, id: EntitlementId) -> Result<Entitlement> {
    let entitlement = super::entitlement(c, caller, id)?;
    caller.may_for(entitlement.organisation_id, "the licensee", &[Role::Admin])?;
    Ok(entitlement)
}

/// A token that can be used, of somebody who may use the licence.
fn usable_token(c: &mut Conn, entitlement: &Entitlement, id: TokenId, now: Instant) -> Result<ApiToken> {
    let refused = |why: &str| {
        let error = Error::invalid("token", format!("{id} is no token of {why}"));
        Err(error.remedy("its owner finds its identifier by GET /v1/tokens"))
    };
    let Some(token) = identity::standing_token(c, id, now)? else {
        return refused("this exchange that can be used");
    };
    let memberships = identity::memberships_of(c, token.user_id)?;
    let insider = memberships.iter().any(|membership| membership.organisation_id == entitlement.organisation_id);
    if insider || access::affiliate(c, &memberships, entitlement)?.is_some() {
        return Ok(token);
    }
    refused("somebody who may use the licence")
}

/// Frees the seats whose tokens can no longer be used.
fn free_ended(c: &mut Conn, id: EntitlementId, now: Instant) -> Result<()> {
    for seat in queries::list_seats(c, id, "", i64::from(terms::MAX_SEATS))? {
        if identity::standing_token(c, seat.token_id, now)?.is_none() {
            release(c, seat, "exchange", "its token was revoked or has ended", now)?;
        }
    }
    Ok(())
}

fn release(c: &mut Conn, seat: Seat, actor: impl Display, reason: &str, now: Instant) -> Result<Seat> {
    if queries::set_freed(c, seat.id, now)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("seat {} was freed already", seat.id)));
    }
    history::record(c, seat.id, Some("assigned"), "freed", actor, reason, now)?;
    Ok(Seat { freed_at: Some(now), ..seat })
}
