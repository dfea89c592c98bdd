//! Who is calling: from the `Authorization` header to a user with memberships.
//!
//! Accepted are `Bearer` with an access token or an API token, and `Basic` with an API token as the password
//! (whatever the user name), for tools that know nothing else.
//!
//! Invariant: what is remembered about a credential is at most [`REMEMBERED`] old, and never outlives it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::jwt::Claims;
use super::tokens::TokenText;
use super::{PlatformRole, Role, Scope, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::types::{Digest, Instant, OrganisationId, SessionId, TokenId, UserId};

/// Longer headers hold no credential of ours.
const LONGEST_HEADER: usize = 4096;
/// For how long a credential is believed without asking the database again.
const REMEMBERED: Duration = Duration::from_secs(4);
/// After how long one request that shows it asks the database, so that not all of them do when it is believed no longer.
const RENEWED_AFTER: Duration = Duration::from_secs(3);
const MOST_REMEMBERED: usize = 10_000;

/// An organisation for which a user acts, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organisation.
    pub organisation_id: OrganisationId,
    /// Its handle.
    pub handle: String,
    /// What the user may do for it.
    pub role: Role,
    /// Whether an operator has verified it.
    pub verified: bool,
}

/// The user behind a request, and what the user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The user's e-mail address.
    pub email: String,
    /// What the user may do for the platform, if anything.
    pub platform_role: Option<PlatformRole>,
    /// How far the credential reaches.
    pub scope: Scope,
    /// The session or API token that was presented.
    pub credential: Credential,
    /// The organisations for which the user acts.
    pub memberships: Vec<Membership>,
}

impl Caller {
    /// The caller's membership of `organisation_id`, if it has one of `roles` (any role, when there are none).
    ///
    /// Admins may do everything. [`Kind::NotFound`] for those who are not members at all,
    /// [`Kind::Forbidden`] when the role is too small. See [`Caller::may_for`] for what others may know of.
    pub fn may(&self, organisation_id: OrganisationId, roles: &[Role]) -> Result<&Membership> {
        let membership = self.member_of(organisation_id).ok_or_else(|| Error::withheld("what you asked for"))?;
        if roles.is_empty() || membership.role == Role::Admin || roles.contains(&membership.role) {
            return Ok(membership);
        }
        let mut enough: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        enough.extend((!roles.contains(&Role::Admin)).then_some(Role::Admin.as_str()));
        let (handle, role) = (&membership.handle, membership.role);
        Err(Error::forbidden(format!("this takes the role {} in {handle}; yours is {role}", enough.join(" or ")))
            .remedy(format!("ask an admin of {handle}")))
    }
    /// As [`Caller::may`], for something of `whose` that the caller sees anyway: [`Kind::Forbidden`] for those who
    /// are not members. Denying that it exists would be untrue, and would hide from staff and from the other side of
    /// a trade why they are refused.
    pub fn may_for(
        &self,
        organisation_id: OrganisationId,
        whose: impl fmt::Display,
        roles: &[Role],
    ) -> Result<&Membership> {
        self.may_for_one_of(&[organisation_id], whose, roles)
    }
    /// As [`Caller::may_for`], for something of several organisations: for a member of more than one, the first in which its role
    /// suffices.
    pub fn may_for_one_of(
        &self,
        organisations: &[OrganisationId],
        whose: impl fmt::Display,
        roles: &[Role],
    ) -> Result<&Membership> {
        let own = organisations.iter().filter_map(|id| self.member_of(*id));
        // Of equal ones the first: where its role suffices in none, that one says so.
        match own.min_by_key(|membership| self.may(membership.organisation_id, roles).is_err()) {
            Some(membership) => self.may(membership.organisation_id, roles),
            None => Err(Error::forbidden(format!("only members of {whose} may do this"))),
        }
    }
    /// The caller's membership of `organisation_id`, if there is one.
    pub fn member_of(&self, organisation_id: OrganisationId) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.organisation_id == organisation_id)
    }
    /// The caller's membership of the organisation with this handle, if there is one.
    pub fn member_of_handle(&self, handle: &str) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.handle == handle)
    }
    /// The organisations that the caller is a member of.
    pub fn organisations(&self) -> Vec<OrganisationId> {
        self.memberships.iter().map(|membership| membership.organisation_id).collect()
    }
    /// True for compliance staff.
    pub fn is_compliance(&self) -> bool {
        self.platform_role == Some(PlatformRole::Compliance)
    }
    /// True for the platform's staff, whatever its role.
    pub fn is_staff(&self) -> bool {
        self.platform_role.is_some()
    }
    /// True for those who see everything of an organisation: its members, and the platform's staff.
    pub fn sees(&self, organisation_id: OrganisationId) -> bool {
        self.is_staff() || self.member_of(organisation_id).is_some()
    }
    /// True for members of either side of a trade, and the platform's staff.
    pub fn sees_trade(&self, buyer: OrganisationId, provider: OrganisationId) -> bool {
        self.sees(buyer) || self.sees(provider)
    }
    /// Refuses everyone but operators.
    pub fn require_operator(&self) -> Result<()> {
        self.require(PlatformRole::Operator)
    }
    /// Refuses everyone but operators whose credential stands in this very transaction: for what moves money between the bank
    /// and the exchange. See [`super::for_standing_member`].
    pub fn require_standing_operator(&self, c: &mut Conn, now: Instant) -> Result<()> {
        self.require_operator()?;
        self.require_standing(c, now)
    }
    /// Refuses everyone but compliance staff.
    pub fn require_compliance(&self) -> Result<()> {
        self.require(PlatformRole::Compliance)
    }
    /// Refuses everyone but staff of the platform.
    pub fn require_staff(&self) -> Result<()> {
        match self.is_staff() {
            true => Ok(()),
            false => Err(Error::forbidden("this takes the platform role operator or compliance")),
        }
    }

    /// Refuses a credential that ended since it was checked: what it would make must not outlive it unseen.
    pub(super) fn require_standing(&self, c: &mut Conn, now: Instant) -> Result<()> {
        let stands = match self.credential {
            Credential::Session(id) => queries::find_session(c, id)?.is_some_and(|session| session.stands(now)),
            Credential::Token(id) => super::standing_token(c, id, now)?.is_some(),
        };
        match stands {
            true => Ok(()),
            false => Err(unauthenticated("the credential of this request has just ended")),
        }
    }

    fn require(&self, role: PlatformRole) -> Result<()> {
        match self.platform_role == Some(role) {
            true => Ok(()),
            false => Err(Error::forbidden(format!("this takes the platform role {role}"))),
        }
    }
}

/// What somebody presented, unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presented {
    /// Something that should be an access token.
    AccessToken(String),
    /// An API token of the right form.
    ApiToken(TokenText),
}

impl Presented {
    /// Reads the value of an `Authorization` header (RFC 6750, RFC 7617).
    pub(super) fn read(header: &[u8]) -> Result<Self> {
        let header = std::str::from_utf8(header).map_err(|_| refused("is not text"))?;
        if header.len() > LONGEST_HEADER {
            return Err(refused("is too long"));
        }
        let (scheme, rest) = header.trim().split_once(' ').ok_or_else(|| refused("holds no credential"))?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            if !TokenText::is_meant_by(rest) {
                return Ok(Presented::AccessToken(rest.to_string()));
            }
            return api_token(rest);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = BASE64.decode(rest).map_err(|_| refused("is not base64 after `Basic`"))?;
            let pair = String::from_utf8(decoded).map_err(|_| refused("is not text"))?;
            let (_, password) = pair.split_once(':').ok_or_else(|| refused("has no password after `Basic`"))?;
            return api_token(password);
        }
        Err(refused("uses a scheme other than Bearer"))
    }

    /// What the credential is remembered by, and an API token is kept as.
    pub(super) fn sha256(&self) -> Digest {
        match self {
            Presented::AccessToken(text) => Digest::of(text),
            Presented::ApiToken(text) => text.sha256(),
        }
    }
}

fn api_token(text: &str) -> Result<Presented> {
    TokenText::parse(text).map(Presented::ApiToken).ok_or_else(|| refused("does not hold a whole API token (cpx_…)"))
}

fn refused(why: &str) -> Error {
    unauthenticated(format!("the Authorization header {why}"))
}

fn unauthenticated(detail: impl Into<String>) -> Error {
    Error::new(Kind::Unauthenticated, detail).remedy(
        "run `corpex login`, or send `Authorization: Bearer …` with an API token or what POST /v1/sessions gives",
    )
}

/// The refusal of a caller without a credential.
pub(super) fn missing() -> Error {
    unauthenticated("this request needs a credential")
}

/// Which credential a caller presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// An access token of this session.
    Session(SessionId),
    /// This API token.
    Token(TokenId),
}

impl Credential {
    /// The API token; none for somebody who signed in with a password.
    pub fn token_id(self) -> Option<TokenId> {
        match self {
            Credential::Session(_) => None,
            Credential::Token(id) => Some(id),
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credential::Session(id) => id.fmt(f),
            Credential::Token(id) => id.fmt(f),
        }
    }
}

/// A caller, and when the credential ends that proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedIn {
    pub(super) caller: Caller,
    pub(super) expires_at: Instant,
}

impl SignedIn {
    /// When a credential that is made with this one must have ended; a session sets no bound.
    pub(super) fn limit(&self) -> Option<Instant> {
        self.caller.credential.token_id().map(|_| self.expires_at)
    }
}

/// The caller behind a verified access token, if its session stands.
pub(super) fn by_session(c: &mut Conn, claims: &Claims, now: Instant) -> Result<SignedIn> {
    let session = queries::find_session(c, claims.sid)?.filter(|session| session.user_id == claims.sub);
    let session = session.ok_or_else(|| unauthenticated("the access token belongs to no session"))?;
    if !session.stands(now) {
        return Err(unauthenticated("the session of this access token has ended"));
    }
    let caller = caller(c, session.user_id, Scope::Write, Credential::Session(session.id))?;
    Ok(SignedIn { caller, expires_at: claims.expires_at() })
}

/// The caller behind an API token, if it stands.
pub(super) fn by_token(c: &mut Conn, sha256: Digest, now: Instant) -> Result<SignedIn> {
    let token = queries::find_token_by_digest(c, sha256)?;
    let token = token.ok_or_else(|| unauthenticated("the API token is not one of this exchange"))?;
    if let Some(at) = token.revoked_at {
        return Err(unauthenticated(format!("the API token was revoked at {at}")));
    }
    if token.expires_at <= now {
        return Err(unauthenticated(format!("the API token expired at {}", token.expires_at)));
    }
    let caller = caller(c, token.user_id, token.scope, Credential::Token(token.id))?;
    Ok(SignedIn { caller, expires_at: token.expires_at })
}

fn caller(c: &mut Conn, user_id: UserId, scope: Scope, credential: Credential) -> Result<Caller> {
    let user = super::user(c, user_id)?;
    let memberships = queries::list_memberships(c, user_id)?;
    Ok(Caller { user_id, email: user.email, platform_role: user.platform_role, scope, credential, memberships })
}

/// The memberships of a user. Callers authorise.
pub fn memberships_of(c: &mut Conn, user_id: UserId) -> Result<Vec<Membership>> {
    Ok(queries::list_memberships(c, user_id)?)
}

/// The callers of the last few seconds, by the digest of their credential. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub struct CallerCache {
    remembered: Arc<Mutex<HashMap<Digest, Remembered>>>,
}

#[derive(Debug)]
struct Remembered {
    signed_in: Arc<SignedIn>,
    since: Instant,
    /// Whether somebody was told to ask again.
    is_renewed: bool,
}

impl Remembered {
    fn holds(&self, now: Instant) -> bool {
        self.since <= now && now < self.since.plus(REMEMBERED) && now < self.signed_in.expires_at
    }
}

impl CallerCache {
    /// The caller behind a credential, if it was checked a moment ago.
    pub(super) fn find(&self, sha256: Digest, now: Instant) -> Option<Arc<SignedIn>> {
        self.lock().get(&sha256).filter(|entry| entry.holds(now)).map(|entry| entry.signed_in.clone())
    }
    /// As [`CallerCache::find`]; but after some seconds nothing, once: whoever asks then is to check the credential again.
    pub(super) fn find_or_renew(&self, sha256: Digest, now: Instant) -> Option<Arc<SignedIn>> {
        let mut remembered = self.lock();
        let entry = remembered.get_mut(&sha256).filter(|entry| entry.holds(now))?;
        let is_due = entry.since.plus(RENEWED_AFTER) <= now;
        if is_due && !std::mem::replace(&mut entry.is_renewed, true) {
            return None;
        }
        Some(entry.signed_in.clone())
    }
    /// Remembers a credential that was checked at `since`.
    pub(super) fn remember(&self, sha256: Digest, signed_in: Arc<SignedIn>, since: Instant) {
        let mut remembered = self.lock();
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, entry| entry.holds(since));
        }
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(sha256, Remembered { signed_in, since, is_renewed: false });
    }
    /// Forgets a user, whose credentials or memberships changed. Other instances follow within seconds.
    pub fn forget_user(&self, user_id: UserId) {
        self.lock().retain(|_, entry| entry.signed_in.caller.user_id != user_id);
    }
    /// Forgets everybody: an organisation changed.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Remembered>> {
        // Every entry is whole at any moment, so a panic elsewhere spoils nothing.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "caller_tests.rs"]
mod tests;
