//! The tables of organisations, members and signing keys; people and their credentials are in [`credentials`],
//! what the platform's own people read in [`audit`].

use diesel::dsl::{auto_type, exists, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::{Member, Membership, Organisation, OrganisationState, Role, SigningKey};
use crate::db::{Among as _, Conn};
use crate::schema::{memberships, organisations, signing_keys, users};
use crate::types::{Digest, Instant, OrganisationId, SigningKeyId, UserId};

mod affiliations;
mod audit;
mod credentials;
mod devices;
mod invitations;

pub(super) use affiliations::*;
pub(super) use audit::*;
pub(super) use credentials::*;
pub(super) use devices::*;
pub(super) use invitations::*;

pub(super) fn insert_organisation(c: &mut Conn, organisation: &Organisation) -> QueryResult<usize> {
    diesel::insert_into(organisations::table).values(organisation).execute(c)
}

pub(super) fn find_organisation(c: &mut Conn, id: OrganisationId) -> QueryResult<Option<Organisation>> {
    organisations::table.find(id).select(Organisation::as_select()).first(c).optional()
}

pub(super) fn list_organisations_by_id(
    c: &mut Conn,
    ids: &[OrganisationId],
) -> QueryResult<Vec<(OrganisationId, Organisation)>> {
    organisations::table
        .filter(organisations::id.among(ids))
        .select((organisations::id, Organisation::as_select()))
        .load(c)
}

pub(super) fn find_organisation_by_handle(c: &mut Conn, handle: &str) -> QueryResult<Option<Organisation>> {
    organisations::table
        .filter(organisations::handle.eq(handle))
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .select(Organisation::as_select())
        .first(c)
        .optional()
}

pub(super) fn list_organisations_by_handle(
    c: &mut Conn,
    handles: &[String],
) -> QueryResult<Vec<(String, Organisation)>> {
    organisations::table
        .filter(organisations::handle.among(handles))
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .select((organisations::handle, Organisation::as_select()))
        .load(c)
}

/// The handle of the verified organisation with this number in the country's register.
pub(super) fn find_verified_by_number(c: &mut Conn, country: &str, number: &str) -> QueryResult<Option<String>> {
    organisations::table
        .filter(organisations::country.eq(country))
        .filter(organisations::registration_number.eq(number))
        // As their index says it: SQLite looks at no value that is bound.
        .filter(sql::<Bool>("organisations.state = 'verified'"))
        .select(organisations::handle)
        .first(c)
        .optional()
}

/// The membership of a user in the organisation that is looked at.
#[auto_type]
fn membership_of(user_id: UserId) -> _ {
    memberships::table
        .filter(memberships::user_id.eq(user_id))
        .filter(memberships::organisation_id.eq(organisations::id))
}

/// The organisation that was rejected last of those that had this handle: of all, or of those that `only_for` was a member of.
pub(super) fn find_rejected(
    c: &mut Conn,
    handle: &str,
    only_for: Option<UserId>,
) -> QueryResult<Option<OrganisationId>> {
    let rows = organisations::table
        .filter(organisations::handle.eq(handle))
        .filter(organisations::state.eq(OrganisationState::Rejected))
        .order(organisations::id.desc())
        .select(organisations::id);
    match only_for {
        None => rows.first(c).optional(),
        Some(user_id) => rows.filter(exists(membership_of(user_id))).first(c).optional(),
    }
}

/// By handle, but for those that were rejected: all of them, or those that `only_for` may know of: verified, or its own.
pub(super) fn list_organisations(
    c: &mut Conn,
    only_for: Option<UserId>,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Organisation>> {
    let rows = organisations::table
        .filter(organisations::handle.gt(after))
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .order(organisations::handle)
        .limit(limit)
        .select(Organisation::as_select());
    match only_for {
        None => rows.load(c),
        Some(user_id) => {
            let verified = organisations::state.eq(OrganisationState::Verified);
            rows.filter(verified.or(exists(membership_of(user_id)))).load(c)
        }
    }
}

pub(super) fn set_organisation_state(
    c: &mut Conn,
    id: OrganisationId,
    from: OrganisationState,
    to: OrganisationState,
    verified_at: Option<Instant>,
) -> QueryResult<usize> {
    diesel::update(organisations::table.find(id).filter(organisations::state.eq(from)))
        .set((organisations::state.eq(to), organisations::verified_at.eq(verified_at)))
        .execute(c)
}

pub(super) fn insert_membership(
    c: &mut Conn,
    id: OrganisationId,
    user_id: UserId,
    role: Role,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(memberships::table)
        .values((
            memberships::organisation_id.eq(id),
            memberships::user_id.eq(user_id),
            memberships::role.eq(role),
            memberships::created_at.eq(now),
        ))
        .execute(c)
}

pub(super) fn set_role(c: &mut Conn, id: OrganisationId, user_id: UserId, role: Role) -> QueryResult<usize> {
    diesel::update(memberships::table.find((id, user_id))).set(memberships::role.eq(role)).execute(c)
}

pub(super) fn delete_membership(c: &mut Conn, id: OrganisationId, user_id: UserId) -> QueryResult<usize> {
    diesel::delete(memberships::table.find((id, user_id))).execute(c)
}

pub(super) fn count_admins(c: &mut Conn, id: OrganisationId) -> QueryResult<i64> {
    memberships::table
        .filter(memberships::organisation_id.eq(id))
        .filter(memberships::role.eq(Role::Admin))
        .count()
        .get_result(c)
}

/// For how many organisations a user acts.
pub(super) fn count_memberships(c: &mut Conn, user_id: UserId) -> QueryResult<i64> {
    memberships::table
        .inner_join(organisations::table)
        .filter(memberships::user_id.eq(user_id))
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .count()
        .get_result(c)
}

/// For how many organisations a user acts on which no operator has decided.
pub(super) fn count_undecided(c: &mut Conn, user_id: UserId) -> QueryResult<i64> {
    memberships::table
        .inner_join(organisations::table)
        .filter(memberships::user_id.eq(user_id))
        .filter(organisations::state.eq(OrganisationState::Registered))
        .count()
        .get_result(c)
}

type MemberRow = (UserId, String, Role, Instant);

fn member((user_id, email, role, created_at): MemberRow) -> Member {
    Member { user_id, email, role, created_at }
}

pub(super) fn find_member(c: &mut Conn, id: OrganisationId, user_id: UserId) -> QueryResult<Option<Member>> {
    let row: Option<MemberRow> = memberships::table
        .find((id, user_id))
        .inner_join(users::table)
        .select((users::id, users::email, memberships::role, memberships::created_at))
        .first(c)
        .optional()?;
    Ok(row.map(member))
}

/// By user id.
pub(super) fn list_members(c: &mut Conn, id: OrganisationId, after: &str, limit: i64) -> QueryResult<Vec<Member>> {
    let rows: Vec<MemberRow> = memberships::table
        .filter(memberships::organisation_id.eq(id))
        .filter(memberships::user_id.gt(after))
        .inner_join(users::table)
        .order(memberships::user_id)
        .limit(limit)
        .select((users::id, users::email, memberships::role, memberships::created_at))
        .load(c)?;
    Ok(rows.into_iter().map(member).collect())
}

/// The organisations that a user acts for, by handle: nobody acts for one that was rejected.
pub(super) fn list_memberships(c: &mut Conn, user_id: UserId) -> QueryResult<Vec<Membership>> {
    let rows: Vec<(OrganisationId, String, Role, OrganisationState)> = memberships::table
        .filter(memberships::user_id.eq(user_id))
        .inner_join(organisations::table)
        .filter(organisations::state.ne(OrganisationState::Rejected))
        .order(organisations::handle)
        .select((organisations::id, organisations::handle, memberships::role, organisations::state))
        .load(c)?;
    let membership = |(organisation_id, handle, role, state)| Membership {
        organisation_id,
        handle,
        role,
        verified: state == OrganisationState::Verified,
    };
    Ok(rows.into_iter().map(membership).collect())
}

pub(super) fn insert_key(c: &mut Conn, key: &SigningKey) -> QueryResult<usize> {
    diesel::insert_into(signing_keys::table).values(key).execute(c)
}

pub(super) fn find_key(c: &mut Conn, id: SigningKeyId) -> QueryResult<Option<SigningKey>> {
    signing_keys::table.find(id).select(SigningKey::as_select()).first(c).optional()
}

pub(super) fn find_key_by_key_id(c: &mut Conn, key_id: Digest) -> QueryResult<Option<SigningKey>> {
    signing_keys::table.filter(signing_keys::key_id.eq(key_id)).select(SigningKey::as_select()).first(c).optional()
}

pub(super) fn list_keys_by_key_id(c: &mut Conn, key_ids: &[String]) -> QueryResult<Vec<(String, SigningKey)>> {
    let keys = signing_keys::table.filter(signing_keys::key_id.among(key_ids)).select(SigningKey::as_select());
    Ok(keys.load(c)?.into_iter().map(|key| (key.key_id.to_string(), key)).collect())
}

/// By the time of registration.
pub(super) fn list_keys(c: &mut Conn, id: OrganisationId, after: &str, limit: i64) -> QueryResult<Vec<SigningKey>> {
    signing_keys::table
        .filter(signing_keys::organisation_id.eq(id))
        .filter(signing_keys::id.gt(after))
        .order(signing_keys::id)
        .limit(limit)
        .select(SigningKey::as_select())
        .load(c)
}

/// Everybody's.
pub(super) fn list_all_keys(c: &mut Conn, after: &str, limit: i64) -> QueryResult<Vec<SigningKey>> {
    signing_keys::table
        .filter(signing_keys::id.gt(after))
        .order(signing_keys::id)
        .limit(limit)
        .select(SigningKey::as_select())
        .load(c)
}

/// A key of an organisation that others may have held, if there is any.
pub(super) fn find_compromised_key(c: &mut Conn, id: OrganisationId) -> QueryResult<Option<SigningKeyId>> {
    signing_keys::table
        .filter(signing_keys::organisation_id.eq(id))
        .filter(signing_keys::compromised_at.is_not_null())
        .select(signing_keys::id)
        .first(c)
        .optional()
}

/// Revokes an active key.
pub(super) fn set_key_revoked(
    c: &mut Conn,
    id: SigningKeyId,
    revoked_at: Instant,
    compromised_at: Option<Instant>,
) -> QueryResult<usize> {
    diesel::update(signing_keys::table.find(id).filter(signing_keys::revoked_at.is_null()))
        .set((signing_keys::revoked_at.eq(revoked_at), signing_keys::compromised_at.eq(compromised_at)))
        .execute(c)
}

/// Declares a revoked key compromised, or compromised since an earlier time.
pub(super) fn set_key_compromised(c: &mut Conn, id: SigningKeyId, at: Instant) -> QueryResult<usize> {
    let later = signing_keys::compromised_at.is_null().or(signing_keys::compromised_at.assume_not_null().gt(at));
    diesel::update(signing_keys::table.find(id).filter(signing_keys::revoked_at.is_not_null()).filter(later))
        .set(signing_keys::compromised_at.eq(at))
        .execute(c)
}
