//! Sign-in of a program that has no browser (RFC 8628): it shows a short code, a person approves it somewhere else, and the
//! program that waited gets an API token, which may only read.
//!
//! Invariant: a device code gives at most one token, after approval and before it ends. Both codes are kept as digests.

use std::time::Duration;

use super::caller::SignedIn;
use super::tokens::{self, NewToken, TokenText};
use super::{ApiToken, Scope, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::types::{DAY, Digest, Instant, UserId, text};

/// How long a person has to approve.
pub(super) const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How long a program waits between two questions, in seconds.
pub(super) const INTERVAL_SECONDS: u64 = 5;
/// How long the token is good for.
const TOKEN_LIFE: Duration = DAY.saturating_mul(30);
/// The most sign-ins that may wait at once: anyone may begin one.
const MOST_WAITING: i64 = 10_000;
/// Letters that make no words and are not taken for each other (RFC 8628, section 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LONGEST_CLIENT: usize = 80;

/// A program that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::device_logins, check_for_backend(crate::db::MultiBackend))]
pub(super) struct DeviceLogin {
    /// The digest of the code that the program keeps.
    pub(super) device_code_sha256: Digest,
    /// The digest of the code that the person reads.
    pub(super) user_code_sha256: Digest,
    /// What the program calls itself.
    pub(super) client: String,
    /// When it began.
    pub(super) created_at: Instant,
    /// When it ends, whatever was decided.
    pub(super) expires_at: Instant,
    /// When the program last asked.
    pub(super) polled_at: Option<Instant>,
    /// When a person decided.
    pub(super) decided_at: Option<Instant>,
    /// Who approved; nobody when it was denied.
    pub(super) user_id: Option<UserId>,
    /// When the token ends; nothing when it was denied.
    pub(super) token_expires_at: Option<Instant>,
    /// When the token was given.
    pub(super) spent_at: Option<Instant>,
    /// The session or token with which it was approved.
    pub(super) approved_with: Option<String>,
}

impl DeviceLogin {
    /// Whether its program may still ask.
    fn is_open(&self, now: Instant) -> bool {
        self.expires_at > now && self.spent_at.is_none()
    }
}

/// The two codes of a sign-in, known to the program and the person alone.
#[derive(Clone)]
pub(super) struct Codes {
    pub(super) device: TokenText,
    pub(super) user: String,
}

impl Codes {
    pub(super) fn generate() -> Self {
        let letter = || LETTERS.get(usize::from(rand::random_range(0..20_u8))).copied().map_or('B', char::from);
        let user = (0..9).map(|place| if place == 4 { '-' } else { letter() }).collect();
        Self { device: TokenText::generate_refresh(), user }
    }
}

/// A person may write the code in lower case, and with whatever between its letters.
fn user_code_sha256(text: &str) -> Digest {
    Digest::of(text.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase()).collect::<String>())
}

/// The answer to a program that asks how far its sign-in is.
#[derive(Debug)]
pub(super) enum Told {
    /// Nobody decided yet.
    Pending,
    /// It asked too soon.
    TooSoon,
    /// The person said no.
    Denied,
    /// The code ended, was used, or never was.
    Ended,
    /// Here is its token.
    Granted(ApiToken),
}

/// Begins a sign-in.
pub(super) fn begin(c: &mut Conn, client: &str, codes: &Codes, now: Instant) -> Result<()> {
    let client = text::readable("client_id", client, LONGEST_CLIENT)?;
    queries::delete_device_logins(c, now)?;
    if queries::count_device_logins(c)? >= MOST_WAITING {
        return Err(Error::new(Kind::RateLimited, "too many programs wait to be signed in").remedy("try again later"));
    }
    let login = DeviceLogin {
        device_code_sha256: codes.device.sha256(),
        user_code_sha256: user_code_sha256(&codes.user),
        client,
        created_at: now,
        expires_at: now.plus(LIFETIME),
        polled_at: None,
        decided_at: None,
        user_id: None,
        token_expires_at: None,
        spent_at: None,
        approved_with: None,
    };
    queries::insert_device_login(c, &login)?;
    Ok(())
}

/// The sign-in that has this code, for anybody who was shown the code.
pub(super) fn device_login(c: &mut Conn, user_code: &str, now: Instant) -> Result<DeviceLogin> {
    queries::find_device_login_by_user_code(c, user_code_sha256(user_code))?
        .filter(|login| login.expires_at > now)
        .ok_or_else(|| Error::not_found("a sign-in with this code").field("user_code"))
}

/// The caller approves a sign-in, or denies it. The token that an approval gives is as one that the caller asked for: it is refused
/// while the caller has too many, for the program that fetches it could tell nobody.
pub(super) fn decide(
    c: &mut Conn,
    signed_in: &SignedIn,
    user_code: &str,
    approved: bool,
    now: Instant,
) -> Result<DeviceLogin> {
    signed_in.caller.require_standing(c, now)?;
    let login = device_login(c, user_code, now)?;
    if approved {
        tokens::require_room(c, signed_in.caller.user_id, now)?;
    }
    let token_end = now.plus(TOKEN_LIFE);
    let decided = DeviceLogin {
        decided_at: Some(now),
        user_id: approved.then_some(signed_in.caller.user_id),
        token_expires_at: approved.then(|| signed_in.limit().map_or(token_end, |limit| limit.min(token_end))),
        approved_with: approved.then(|| signed_in.caller.credential.to_string()),
        ..login
    };
    if queries::set_device_login_decided(c, &decided)? != 1 {
        return Err(Error::new(Kind::WrongState, "this sign-in was decided already").field("user_code"));
    }
    Ok(decided)
}

/// Whether a program may still ask with this code: what can be told without writing anything.
pub(super) fn is_open(c: &mut Conn, device_code: &str, now: Instant) -> Result<bool> {
    let login = queries::find_device_login(c, Digest::of(device_code))?;
    Ok(login.is_some_and(|login| login.is_open(now)))
}

/// Tells a program how far its sign-in is, and issues its token once.
pub(super) fn redeem(c: &mut Conn, device_code: &str, text: &TokenText, now: Instant) -> Result<Told> {
    let sha256 = Digest::of(device_code);
    let Some(login) = queries::find_device_login(c, sha256)? else { return Ok(Told::Ended) };
    if !login.is_open(now) {
        return Ok(Told::Ended);
    }
    let interval = Duration::from_secs(INTERVAL_SECONDS);
    queries::set_device_login_polled(c, sha256, now)?;
    if login.polled_at.is_some_and(|last| last <= now && now < last.plus(interval)) {
        return Ok(Told::TooSoon);
    }
    let (user_id, expires_at) = match (login.decided_at, login.user_id, login.token_expires_at) {
        (None, ..) => return Ok(Told::Pending),
        (_, Some(user_id), Some(expires_at)) => (user_id, expires_at),
        _ => return Ok(Told::Denied),
    };
    if queries::set_device_login_spent(c, sha256, now)? != 1 {
        return Ok(Told::Ended);
    }
    let wanted = NewToken { name: login.client, scope: Scope::Read, expires_at, minted_by: login.approved_with };
    Ok(Told::Granted(tokens::insert(c, user_id, text, &wanted, now)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_eight_letters_however_a_person_writes_it() {
        let code = Codes::generate().user;
        assert_eq!((code.len(), code.find('-')), (9, Some(4)));
        assert!(code.bytes().all(|b| b == b'-' || LETTERS.contains(&b)), "{code}");
        assert_eq!(user_code_sha256(&code), user_code_sha256(&code.replace('-', " ").to_lowercase()));
        assert_ne!(user_code_sha256(&code), user_code_sha256(&Codes::generate().user));
    }
}
