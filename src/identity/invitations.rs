//! Invitations: how a person comes to act for an organisation.
//!
//! An admin is shown a code, once, and hands it to the person it is meant for, who accepts with it and becomes a member. So a
//! role goes to a person and not to whoever registered an e-mail address first, nobody becomes a member unasked, and no admin
//! learns which addresses are registered.
//!
//! Invariant: a code makes one member, before it ends and while the person who gave it is an admin. It is kept as its digest.

use std::time::Duration;

use super::tokens::TokenText;
use super::{Caller, Membership, OrganisationState, Role, members, organisations, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::types::{DAY, Digest, Instant, InvitationId, OrganisationId, PageQuery, UserId, kind};

/// How long somebody has to accept.
const LIFETIME: Duration = DAY.saturating_mul(7);
/// How many may stand at once for one organisation.
const MOST_STANDING: i64 = 100;

/// An invitation to become a member of an organisation, without its code.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = crate::schema::invitations, check_for_backend(crate::db::MultiBackend))]
#[diesel(treat_none_as_default_value = false)]
pub(super) struct Invitation {
    /// The identifier.
    pub(super) id: InvitationId,
    /// For which organisation.
    pub(super) organisation_id: OrganisationId,
    /// The digest of the code.
    pub(super) code_sha256: Digest,
    /// What the member may do.
    pub(super) role: Role,
    /// The admin who invites.
    pub(super) invited_by: UserId,
    /// Since when.
    pub(super) created_at: Instant,
    /// Until when it can be accepted.
    pub(super) expires_at: Instant,
}

/// Invites whoever will show the code; admins only. [`Kind::WrongState`] when too many wait.
pub(super) fn invite(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    role: Role,
    code: &TokenText,
    now: Instant,
) -> Result<Invitation> {
    let organisation = organisations::for_standing_member(c, caller, handle, &[Role::Admin], now)?;
    queries::delete_ended_invitations(c, organisation.id, now)?;
    if queries::count_invitations(c, organisation.id)? >= MOST_STANDING {
        return Err(Error::new(
            Kind::WrongState,
            format!("{MOST_STANDING} invitations of {handle} wait to be accepted"),
        )
        .remedy("withdraw one of them first"));
    }
    let invitation = Invitation {
        id: InvitationId::new(now),
        organisation_id: organisation.id,
        code_sha256: code.sha256(),
        role,
        invited_by: caller.user_id,
        created_at: now,
        expires_at: now.plus(LIFETIME),
    };
    queries::insert_invitation(c, &invitation)?;
    Ok(invitation)
}

/// The invitations of an organisation that were not accepted, oldest first, for its admins: up to one more than a page.
pub(super) fn invitations(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Vec<Invitation>> {
    let organisation = organisations::for_member(c, caller, handle, &[Role::Admin])?;
    let (after, limit) = (page.after_id::<kind::Invitation>()?, page.limit()?.saturating_add(1));
    Ok(queries::list_invitations(c, organisation.id, after, limit)?)
}

/// Withdraws an invitation; admins only.
pub(super) fn withdraw(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    id: InvitationId,
    now: Instant,
) -> Result<Invitation> {
    let organisation = organisations::for_standing_member(c, caller, handle, &[Role::Admin], now)?;
    let invitation = queries::find_invitation(c, organisation.id, id)?
        .ok_or_else(|| Error::not_found(format!("invitation {id} of {handle}")))?;
    queries::delete_invitation(c, id)?;
    Ok(invitation)
}

/// Makes the caller a member, by the code of an invitation.
///
/// [`Kind::Invalid`] when no invitation has it or it has ended, [`Kind::WrongState`] for members, for staff of the platform
/// and for who acts for too many organisations.
pub(super) fn accept(c: &mut Conn, caller: &Caller, code: &str, now: Instant) -> Result<Membership> {
    let refused = || {
        Error::invalid("code", "no invitation has this code, or it has ended")
            .remedy("ask an admin of the organisation for another one")
    };
    let found = queries::find_invitation_by_code(c, Digest::of(code))?;
    let invitation = found.filter(|invitation| invitation.expires_at > now).ok_or_else(refused)?;
    let Invitation { id, organisation_id, role, invited_by, .. } = invitation;
    let inviter = queries::find_member(c, organisation_id, invited_by)?;
    if inviter.is_none_or(|inviter| inviter.role != Role::Admin) || queries::delete_invitation(c, id)? != 1 {
        return Err(refused());
    }
    let organisation = organisations::organisation(c, organisation_id)?;
    members::insert_invited(c, &organisation, caller.user_id, (role, invited_by), now)?;
    let verified = organisation.state == OrganisationState::Verified;
    Ok(Membership { organisation_id, handle: organisation.handle, role, verified })
}
