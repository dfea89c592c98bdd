//! Who acts for an organisation, and as what.
//!
//! Invariant: an organisation keeps at least one admin.

use super::{Caller, Role, find_user, organisations, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::types::{Instant, OrganisationId, PageQuery, UserId, kind};

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

/// Makes a registered person a member, or changes a member's role; admins only.
///
/// [`Kind::NotFound`] when nobody registered with the address, [`Kind::WrongState`] when no admin would be left.
pub fn put_member(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    email: &str,
    role: Role,
    now: Instant,
) -> Result<Member> {
    let organisation = organisations::for_member(c, caller, handle, &[Role::Admin])?;
    let user = find_user(c, email)?;
    let present = queries::find_member(c, organisation.id, user.id)?;
    match &present {
        Some(member) if member.role == role => return Ok(member.clone()),
        Some(member) => {
            keep_an_admin(c, organisation.id, member, Some(role))?;
            queries::set_role(c, organisation.id, user.id, role)?;
        }
        None => {
            queries::insert_membership(c, organisation.id, user.id, role, now)?;
        }
    }
    let from = present.as_ref().map(|member| member.role.as_str());
    record(c, organisation.id, user.id, from, role.as_str(), caller.user_id, now)?;
    let since = present.map_or(now, |member| member.created_at);
    Ok(Member { user_id: user.id, email: user.email, role, created_at: since })
}

/// Ends a membership; admins only. [`Kind::WrongState`] when no admin would be left.
pub fn remove_member(c: &mut Conn, caller: &Caller, handle: &str, user_id: UserId, now: Instant) -> Result<Member> {
    let organisation = organisations::for_member(c, caller, handle, &[Role::Admin])?;
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
    if !caller.is_operator() && !caller.is_compliance() {
        caller.may(organisation.id, &[])?;
    }
    Ok(queries::list_members(c, organisation.id, page.after_id::<kind::User>()?, page.limit()?.saturating_add(1))?)
}

/// Makes the person who registered an organisation its admin.
pub(super) fn insert_first_admin(c: &mut Conn, id: OrganisationId, user_id: UserId, now: Instant) -> Result<()> {
    queries::insert_membership(c, id, user_id, Role::Admin, now)?;
    record(c, id, user_id, None, Role::Admin.as_str(), user_id, now)
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
