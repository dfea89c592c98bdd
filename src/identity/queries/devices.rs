//! The `device_logins` table.

use diesel::dsl::count_star;
use diesel::prelude::*;

use crate::db::Conn;
use crate::identity::devices::DeviceLogin;
use crate::schema::device_logins;
use crate::types::{Digest, Instant, UserId};

pub(in crate::identity) fn insert_device_login(c: &mut Conn, login: &DeviceLogin) -> QueryResult<usize> {
    diesel::insert_into(device_logins::table).values(login).execute(c)
}

pub(in crate::identity) fn find_device_login(c: &mut Conn, device_code: Digest) -> QueryResult<Option<DeviceLogin>> {
    device_logins::table.find(device_code).select(DeviceLogin::as_select()).first(c).optional()
}

pub(in crate::identity) fn find_device_login_by_user_code(
    c: &mut Conn,
    user_code: Digest,
) -> QueryResult<Option<DeviceLogin>> {
    device_logins::table
        .filter(device_logins::user_code_sha256.eq(user_code))
        .select(DeviceLogin::as_select())
        .first(c)
        .optional()
}

pub(in crate::identity) fn count_device_logins(c: &mut Conn) -> QueryResult<i64> {
    device_logins::table.select(count_star()).first(c)
}

/// Deletes those that ended.
pub(in crate::identity) fn delete_device_logins(c: &mut Conn, now: Instant) -> QueryResult<usize> {
    diesel::delete(device_logins::table.filter(device_logins::expires_at.le(now))).execute(c)
}

/// Deletes those that were approved with a session or token.
pub(in crate::identity) fn delete_device_logins_approved_with(c: &mut Conn, credential: &str) -> QueryResult<usize> {
    diesel::delete(device_logins::table.filter(device_logins::approved_with.eq(credential))).execute(c)
}

/// Deletes those that a user approved.
pub(in crate::identity) fn delete_device_logins_of(c: &mut Conn, user_id: UserId) -> QueryResult<usize> {
    diesel::delete(device_logins::table.filter(device_logins::user_id.eq(user_id))).execute(c)
}

pub(in crate::identity) fn set_device_login_polled(c: &mut Conn, code: Digest, now: Instant) -> QueryResult<usize> {
    diesel::update(device_logins::table.find(code)).set(device_logins::polled_at.eq(now)).execute(c)
}

/// Keeps a decision, if there is none yet.
pub(in crate::identity) fn set_device_login_decided(c: &mut Conn, decided: &DeviceLogin) -> QueryResult<usize> {
    let undecided = device_logins::table.find(decided.device_code_sha256).filter(device_logins::decided_at.is_null());
    diesel::update(undecided)
        .set((
            device_logins::decided_at.eq(decided.decided_at),
            device_logins::user_id.eq(decided.user_id),
            device_logins::token_expires_at.eq(decided.token_expires_at),
            device_logins::approved_with.eq(&decided.approved_with),
        ))
        .execute(c)
}

/// Marks a sign-in as used, if it was not.
pub(in crate::identity) fn set_device_login_spent(c: &mut Conn, code: Digest, now: Instant) -> QueryResult<usize> {
    diesel::update(device_logins::table.find(code).filter(device_logins::spent_at.is_null()))
        .set(device_logins::spent_at.eq(now))
        .execute(c)
}
