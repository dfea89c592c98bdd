//! The `invitations` table.

use diesel::prelude::*;

use crate::db::Conn;
use crate::identity::invitations::Invitation;
use crate::schema::invitations;
use crate::types::{Digest, Instant, InvitationId, OrganisationId};

pub(in crate::identity) fn insert_invitation(c: &mut Conn, invitation: &Invitation) -> QueryResult<usize> {
    diesel::insert_into(invitations::table).values(invitation).execute(c)
}

pub(in crate::identity) fn find_invitation(
    c: &mut Conn,
    organisation: OrganisationId,
    id: InvitationId,
) -> QueryResult<Option<Invitation>> {
    invitations::table
        .find(id)
        .filter(invitations::organisation_id.eq(organisation))
        .select(Invitation::as_select())
        .first(c)
        .optional()
}

pub(in crate::identity) fn find_invitation_by_code(c: &mut Conn, code: Digest) -> QueryResult<Option<Invitation>> {
    invitations::table.filter(invitations::code_sha256.eq(code)).select(Invitation::as_select()).first(c).optional()
}

/// By the time of the invitation.
pub(in crate::identity) fn list_invitations(
    c: &mut Conn,
    organisation: OrganisationId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Invitation>> {
    invitations::table
        .filter(invitations::organisation_id.eq(organisation))
        .filter(invitations::id.gt(after))
        .order(invitations::id)
        .limit(limit)
        .select(Invitation::as_select())
        .load(c)
}

pub(in crate::identity) fn count_invitations(c: &mut Conn, organisation: OrganisationId) -> QueryResult<i64> {
    invitations::table.filter(invitations::organisation_id.eq(organisation)).count().get_result(c)
}

pub(in crate::identity) fn delete_invitation(c: &mut Conn, id: InvitationId) -> QueryResult<usize> {
    diesel::delete(invitations::table.find(id)).execute(c)
}

pub(in crate::identity) fn delete_invitations(c: &mut Conn, organisation: OrganisationId) -> QueryResult<usize> {
    diesel::delete(invitations::table.filter(invitations::organisation_id.eq(organisation))).execute(c)
}

/// Deletes those that ended.
pub(in crate::identity) fn delete_ended_invitations(
    c: &mut Conn,
    organisation: OrganisationId,
    now: Instant,
) -> QueryResult<usize> {
    let ended = invitations::organisation_id.eq(organisation).and(invitations::expires_at.le(now));
    diesel::delete(invitations::table.filter(ended)).execute(c)
}
