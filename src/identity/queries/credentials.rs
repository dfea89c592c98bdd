//! The tables of people, sessions, refresh tokens and API tokens.

use diesel::prelude::*;

use crate::db::{Among as _, Conn};
use crate::identity::sessions::Session;
use crate::identity::{ApiToken, PlatformRole, User};
use crate::schema::{api_tokens, refresh_tokens, sessions, users};
use crate::types::{Digest, Instant, SessionId, TokenId, UserId};

pub(in crate::identity) fn insert_user(c: &mut Conn, user: &User, password_phc: Option<&str>) -> QueryResult<usize> {
    diesel::insert_into(users::table)
        .values((
            users::id.eq(user.id),
            users::email.eq(&user.email),
            users::password_phc.eq(password_phc),
            users::platform_role.eq(user.platform_role),
            users::created_at.eq(user.created_at),
        ))
        .execute(c)
}

pub(in crate::identity) fn find_user(c: &mut Conn, id: UserId) -> QueryResult<Option<User>> {
    users::table.find(id).select(User::as_select()).first(c).optional()
}

pub(in crate::identity) fn list_users_by_id(c: &mut Conn, ids: &[UserId]) -> QueryResult<Vec<(UserId, User)>> {
    users::table.filter(users::id.among(ids)).select((users::id, User::as_select())).load(c)
}

pub(in crate::identity) fn find_user_by_email(c: &mut Conn, email: &str) -> QueryResult<Option<User>> {
    users::table.filter(users::email.eq(email)).select(User::as_select()).first(c).optional()
}

pub(in crate::identity) fn find_credentials(c: &mut Conn, email: &str) -> QueryResult<Option<(User, Option<String>)>> {
    users::table.filter(users::email.eq(email)).select((User::as_select(), users::password_phc)).first(c).optional()
}

pub(in crate::identity) fn clear_platform_role(c: &mut Conn, id: UserId) -> QueryResult<usize> {
    diesel::update(users::table.find(id)).set(users::platform_role.eq(None::<PlatformRole>)).execute(c)
}

pub(in crate::identity) fn insert_session(c: &mut Conn, session: &Session) -> QueryResult<usize> {
    diesel::insert_into(sessions::table).values(session).execute(c)
}

pub(in crate::identity) fn find_session(c: &mut Conn, id: SessionId) -> QueryResult<Option<Session>> {
    sessions::table.find(id).select(Session::as_select()).first(c).optional()
}

pub(in crate::identity) fn set_session_revoked(c: &mut Conn, id: SessionId, now: Instant) -> QueryResult<usize> {
    diesel::update(sessions::table.find(id).filter(sessions::revoked_at.is_null()))
        .set(sessions::revoked_at.eq(now))
        .execute(c)
}

pub(in crate::identity) fn insert_refresh_token(
    c: &mut Conn,
    sha256: Digest,
    session_id: SessionId,
    now: Instant,
) -> QueryResult<usize> {
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::token_sha256.eq(sha256),
            refresh_tokens::session_id.eq(session_id),
            refresh_tokens::created_at.eq(now),
        ))
        .execute(c)
}

/// The session of a refresh token, and whether the token was used.
pub(in crate::identity) fn find_refresh_token(c: &mut Conn, sha256: Digest) -> QueryResult<Option<(Session, bool)>> {
    refresh_tokens::table
        .find(sha256)
        .inner_join(sessions::table)
        .select((Session::as_select(), refresh_tokens::used_at.is_not_null()))
        .first(c)
        .optional()
}

pub(in crate::identity) fn set_refresh_token_used(c: &mut Conn, sha256: Digest, now: Instant) -> QueryResult<usize> {
    diesel::update(refresh_tokens::table.find(sha256).filter(refresh_tokens::used_at.is_null()))
        .set(refresh_tokens::used_at.eq(now))
        .execute(c)
}

pub(in crate::identity) fn insert_token(c: &mut Conn, token: &ApiToken) -> QueryResult<usize> {
    diesel::insert_into(api_tokens::table).values(token).execute(c)
}

pub(in crate::identity) fn find_token(c: &mut Conn, id: TokenId) -> QueryResult<Option<ApiToken>> {
    api_tokens::table.find(id).select(ApiToken::as_select()).first(c).optional()
}

pub(in crate::identity) fn find_token_by_digest(c: &mut Conn, sha256: Digest) -> QueryResult<Option<ApiToken>> {
    api_tokens::table.filter(api_tokens::token_sha256.eq(sha256)).select(ApiToken::as_select()).first(c).optional()
}

/// By the time of issue.
pub(in crate::identity) fn list_tokens(
    c: &mut Conn,
    user_id: UserId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<ApiToken>> {
    api_tokens::table
        .filter(api_tokens::user_id.eq(user_id))
        .filter(api_tokens::id.gt(after))
        .order(api_tokens::id)
        .limit(limit)
        .select(ApiToken::as_select())
        .load(c)
}

/// The tokens that were asked for with a session or token and were not revoked.
pub(in crate::identity) fn list_standing_tokens_minted_by(c: &mut Conn, minter: &str) -> QueryResult<Vec<TokenId>> {
    api_tokens::table
        .filter(api_tokens::minted_by.eq(minter).and(api_tokens::revoked_at.is_null()))
        .order(api_tokens::id)
        .select(api_tokens::id)
        .load(c)
}

/// The tokens of a user that neither were revoked nor have expired.
pub(in crate::identity) fn list_standing_tokens(
    c: &mut Conn,
    user_id: UserId,
    now: Instant,
) -> QueryResult<Vec<TokenId>> {
    api_tokens::table
        .filter(
            api_tokens::user_id.eq(user_id).and(api_tokens::revoked_at.is_null()).and(api_tokens::expires_at.gt(now)),
        )
        .order(api_tokens::id)
        .select(api_tokens::id)
        .load(c)
}

/// The sessions of a user that neither were revoked nor have expired.
pub(in crate::identity) fn list_standing_sessions(
    c: &mut Conn,
    user_id: UserId,
    now: Instant,
) -> QueryResult<Vec<SessionId>> {
    sessions::table
        .filter(sessions::user_id.eq(user_id).and(sessions::revoked_at.is_null()).and(sessions::expires_at.gt(now)))
        .order(sessions::id)
        .select(sessions::id)
        .load(c)
}

pub(in crate::identity) fn set_password(c: &mut Conn, user_id: UserId, password_phc: &str) -> QueryResult<usize> {
    diesel::update(users::table.find(user_id)).set(users::password_phc.eq(password_phc)).execute(c)
}

pub(in crate::identity) fn set_token_revoked(c: &mut Conn, id: TokenId, now: Instant) -> QueryResult<usize> {
    diesel::update(api_tokens::table.find(id).filter(api_tokens::revoked_at.is_null()))
        .set(api_tokens::revoked_at.eq(now))
        .execute(c)
}
