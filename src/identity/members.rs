//! Members: the people who act for an organisation, each in a role.
//!
//! Invariant: an organisation keeps at least one admin.
//! Invariant: nobody acts for an organisation and for the platform: an account never gets the role of a platform's, and
//! one that has it never becomes a member.

use super::users::normal_email;
use super::{Caller, Organisation, Role, User, organisations, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::types::{Instant, OrganisationId, PageQuery, UserId, kind};

/// For how many organisations a person may act: all of them are read with each credential.
const MOST_MEMBERSHIPS: i64 = 100;

/// A person who acts for an organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub user_id: UserId,
    /// The person's e-mail address.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// Since when the person is a member.
    pub created_at: Instant,
}

/// Changes a member's role; admins only. People who are not members are invited instead.
///
/// [`Kind::NotFound`] when no member has the address, [`Kind::WrongState`] when no admin would be left.
pub fn put_member(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    email: &str,
    role: Role,
    now: Instant,
) -> Result<Member> {
    let organisation = organisations::for_standing_member(c, caller, handle, &[Role::Admin], now)?;
    let email = normal_email(email);
    let unknown = || {
        Error::new(Kind::NotFound, format!("no member of {handle} has the e-mail address {email:?}"))
            .field("email")
            .remedy(format!("invite the person at POST /v1/organisations/{handle}/invitations"))
    };
    let user = queries::find_user_by_email(c, &email)?.ok_or_else(unknown)?;
    let member = queries::find_member(c, organisation.id, user.id)?.ok_or_else(unknown)?;
    if member.role == role {
        return Ok(member);
    }
    keep_an_admin(c, organisation.id, &member, Some(role))?;
    queries::set_role(c, organisation.id, user.id, role)?;
    record(c, organisation.id, user.id, Some(member.role.as_str()), role.as_str(), caller.user_id, now)?;
    Ok(Member { role, ..member })
}

/// Ends a membership; admins only. [`Kind::WrongState`] when no admin would be left.
pub fn remove_member(c: &mut Conn, caller: &Caller, handle: &str, user_id: UserId, now: Instant) -> Result<Member> {
    let organisation = organisations::for_standing_member(c, caller, handle, &[Role::Admin], now)?;
    let member = queries::find_member(c, organisation.id, user_id)?
        .ok_or_else(|| Error::not_found(format!("member {user_id} of {handle}")))?;
    keep_an_admin(c, organisation.id, &member, None)?;
    queries::delete_membership(c, organisation.id, user_id)?;
    record(c, organisation.id, user_id, Some(member.role.as_str()), "removed", caller.user_id, now)?;
    Ok(member)
}

/// The members of an organisation, for its members, operators and compliance: up to one more than a page.
pub fn members(c: &mut Conn, caller: &Caller, handle: &str, page: &PageQuery) -> Result<Vec<Member>> {
    let organisation = organisations::visible_organisation(c, Some(caller), handle)?;
    if !caller.is_staff() {
        caller.may(organisation.id, &[])?;
    }
    Ok(queries::list_members(c, organisation.id, page.after_id::<kind::User>()?, page.limit()?.saturating_add(1))?)
}

/// Makes the person who registered an organisation its admin.
pub(super) fn insert_first_admin(c: &mut Conn, id: OrganisationId, user_id: UserId, now: Instant) -> Result<()> {
    let user = super::user(c, user_id)?;
    require_room(c, &user)?;
    queries::insert_membership(c, id, user_id, Role::Admin, now)?;
    record(c, id, user_id, None, Role::Admin.as_str(), user_id, now)
}

/// Makes a person who accepts an invitation a member.
pub(super) fn insert_invited(
    c: &mut Conn,
    organisation: &Organisation,
    user_id: UserId,
    (role, invited_by): (Role, UserId),
    now: Instant,
) -> Result<()> {
    let Organisation { id, handle, .. } = organisation;
    let user = super::user(c, user_id)?;
    if queries::find_member(c, *id, user_id)?.is_some() {
        return Err(Error::new(Kind::WrongState, format!("{} is a member of {handle} already", user.email))
            .remedy("an admin changes the role of a member"));
    }
    require_room(c, &user)?;
    queries::insert_membership(c, *id, user_id, role, now)?;
    let reason = format!("invited by {invited_by}");
    history::record(c, format!("{id}/{user_id}"), None, role.as_str(), user_id, &reason, now)
}

/// Refuses a person who acts for as many organisations as anybody may, and the platform's staff: whoever verifies organisations,
/// moves their money or assesses what they publish is a member of none.
fn require_room(c: &mut Conn, user: &User) -> Result<()> {
    if let Some(role) = user.platform_role {
        return Err(Error::new(
            Kind::WrongState,
            format!("an account with the platform role {role} acts for nobody else"),
        )
        .remedy("register another account for the person, with another e-mail address"));
    }
    if queries::count_memberships(c, user.id)? >= MOST_MEMBERSHIPS {
        let detail = format!("{} acts for {MOST_MEMBERSHIPS} organisations, and nobody for more", user.email);
        return Err(Error::new(Kind::WrongState, detail).remedy("end another membership of the person first"));
    }
    Ok(())
}

fn keep_an_admin(c: &mut Conn, id: OrganisationId, member: &Member, becomes: Option<Role>) -> Result<()> {
    let loses_one = member.role == Role::Admin && becomes != Some(Role::Admin);
    if loses_one && queries::count_admins(c, id)? <= 1 {
        return Err(Error::new(Kind::WrongState, format!("{} is the only admin of this organisation", member.email))
            .remedy("make somebody else an admin first"));
    }
    Ok(())
}

fn record(
    c: &mut Conn,
    id: OrganisationId,
    user_id: UserId,
    from: Option<&str>,
    to: &str,
    actor: UserId,
    now: Instant,
) -> Result<()> {
    history::record(c, format!("{id}/{user_id}"), from, to, actor, "membership", now)
}
