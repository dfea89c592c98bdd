//! Sessions: from a password to a sign-out, at most thirty days.
//!
//! A session holds one refresh token at a time. Each is good once: using it gives the next. A used one that
//! comes back means that two parties hold the session, so it is revoked for both (RFC 9700 §4.14), with every API token that
//! was asked for with it. Signing out leaves those: a program may go on when its owner has left.
//!
//! Of the sessions of a user who signs in again and again, the last ones stand.
//!
//! Invariant: a revoked session gives no token and none of its access tokens is believed.

use std::time::Duration;

use super::caller::Credential;
use super::queries;
use super::tokens::{self, TokenText};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::types::{DAY, Digest, Instant, SessionId, UserId};

/// How long a session lasts, however often it is refreshed.
const LIFETIME: Duration = DAY.saturating_mul(30);
/// How many sessions of one user may stand at once.
const MOST_STANDING: usize = 100;

const ACTIVE: &str = "active";
const REVOKED: &str = "revoked";
const STOLEN: &str = "a used refresh token came back";

/// A sign-in of a user.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::sessions, check_for_backend(crate::db::MultiBackend))]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) user_id: UserId,
    pub(super) created_at: Instant,
    pub(super) expires_at: Instant,
    pub(super) revoked_at: Option<Instant>,
}

impl Session {
    /// Whether it was neither revoked nor has expired.
    pub(super) fn stands(&self, now: Instant) -> bool {
        self.revoked_at.is_none() && self.expires_at > now
    }
}

/// What a refresh token that was presented turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refreshed {
    /// The current one: the session goes on with the next.
    Rotated(Session),
    /// A used one: the session is revoked.
    Reused(Session),
}

impl Refreshed {
    /// The session that goes on; [`Kind::Unauthenticated`] when it was revoked.
    ///
    /// The refusal is made only here, after the transaction, so that the revocation is kept.
    pub(super) fn into_session(self) -> Result<Session> {
        match self {
            Refreshed::Rotated(session) => Ok(session),
            Refreshed::Reused(_) => {
                Err(refused("was used before, so somebody else may hold it; the session was revoked"))
            }
        }
    }
}

/// The password hash behind an e-mail address in its one spelling, if there is one: not yet a proof of anything.
pub(super) fn password_phc(c: &mut Conn, email: &str) -> Result<Option<String>> {
    Ok(queries::find_credentials(c, email)?.and_then(|(_, phc)| phc))
}

/// The refusal of a wrong address or password; it does not say which of the two is wrong.
pub(super) fn wrong_credentials() -> Error {
    Error::new(Kind::Unauthenticated, "no account has this e-mail address and password")
        .remedy("check both; register at POST /v1/users if you have no account")
}

/// Opens a session for whoever showed the password behind `phc`, if it is still that of the account.
pub(super) fn open(c: &mut Conn, email: &str, phc: &str, refresh_token: &TokenText, now: Instant) -> Result<Session> {
    let found = queries::find_credentials(c, email)?.filter(|(_, current)| current.as_deref() == Some(phc));
    let user_id = found.ok_or_else(wrong_credentials)?.0.id;
    for id in queries::list_standing_sessions(c, user_id, now)?.into_iter().rev().skip(MOST_STANDING - 1) {
        revoke(c, id, user_id, "too many were opened after it", now)?;
    }
    let session =
        Session { id: SessionId::new(now), user_id, created_at: now, expires_at: now.plus(LIFETIME), revoked_at: None };
    queries::insert_session(c, &session)?;
    queries::insert_refresh_token(c, refresh_token.sha256(), session.id, now)?;
    history::record(c, session.id, None, ACTIVE, user_id, "signed in with a password", now)?;
    Ok(session)
}

/// Trades the refresh token `presented` for `next`, or revokes the session if it was used before.
pub(super) fn refresh(c: &mut Conn, presented: Digest, next: &TokenText, now: Instant) -> Result<Refreshed> {
    let Some((session, used)) = queries::find_refresh_token(c, presented)? else {
        return Err(refused("is not one of this exchange"));
    };
    if session.revoked_at.is_some() {
        return Err(refused("belongs to a session that was revoked"));
    }
    if session.expires_at <= now {
        return Err(refused("belongs to a session that has expired"));
    }
    if used || queries::set_refresh_token_used(c, presented, now)? != 1 {
        revoke(c, session.id, session.user_id, STOLEN, now)?;
        tokens::revoke_minted(c, &session.id.to_string(), session.user_id, STOLEN, now)?;
        return Ok(Refreshed::Reused(session));
    }
    queries::insert_refresh_token(c, next.sha256(), session.id, now)?;
    Ok(Refreshed::Rotated(session))
}

/// Ends a session: its refresh token and its access tokens stop working.
pub(super) fn revoke(c: &mut Conn, id: SessionId, actor: UserId, reason: &str, now: Instant) -> Result<()> {
    if queries::set_session_revoked(c, id, now)? != 1 {
        return Err(Error::new(Kind::WrongState, "this session was revoked already"));
    }
    history::record(c, id, Some(ACTIVE), REVOKED, actor, reason, now)
}

/// Ends every session and API token of a user, but the one to `keep`, and every sign-in of a program that waits for its
/// token. Callers authorise.
pub(super) fn end_credentials(
    c: &mut Conn,
    user_id: UserId,
    keep: Option<Credential>,
    reason: &str,
    now: Instant,
) -> Result<()> {
    queries::delete_device_logins_of(c, user_id)?;
    for id in queries::list_standing_sessions(c, user_id, now)? {
        if keep != Some(Credential::Session(id)) {
            revoke(c, id, user_id, reason, now)?;
        }
    }
    for id in queries::list_standing_tokens(c, user_id, now)? {
        if keep != Some(Credential::Token(id)) {
            tokens::revoke_standing(c, id, user_id, reason, now)?;
        }
    }
    Ok(())
}

fn refused(why: &str) -> Error {
    Error::new(Kind::Unauthenticated, format!("the refresh token {why}"))
        .field("refresh_token")
        .remedy("sign in again at POST /v1/sessions")
}
