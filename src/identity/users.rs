//! People. A person is known by an e-mail address; platform staff have a platform role as well.

use super::caller::{Credential, SignedIn};
use super::{PlatformRole, passwords, queries, sessions};
use crate::app::App;
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::types::{Instant, UserId};

const REGISTERED: &str = "registered";
const LONGEST_EMAIL: usize = 254;
const LONGEST_LOCAL_PART: usize = 64;
const LONGEST_LABEL: usize = 63;

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = crate::schema::users, check_for_backend(crate::db::MultiBackend))]
pub struct User {
    /// The identifier.
    pub id: UserId,
    /// The e-mail address, in lower case.
    pub email: String,
    /// What the person may do for the platform, if anything.
    pub platform_role: Option<PlatformRole>,
    /// When the account was created.
    pub created_at: Instant,
}

/// The one spelling of an e-mail address: trimmed, in lower case.
pub(super) fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Checks an e-mail address and gives its one spelling.
///
/// It accepts what mail systems use in practice: visible ASCII before the `@`, a host name after it.
fn email_address(text: &str) -> Result<String> {
    let email = normal_email(text);
    let refused = |why: &str| {
        Error::invalid("email", format!("this is not an e-mail address: {why}")).remedy("write name@host.example")
    };
    let (local, domain) = email.split_once('@').ok_or_else(|| refused("it has no @"))?;
    if email.len() > LONGEST_EMAIL || local.len() > LONGEST_LOCAL_PART {
        return Err(refused("it is too long"));
    }
    let is_local = |b: u8| b.is_ascii_graphic() && !b"@,;:<>()[]\\\"".contains(&b);
    if local.is_empty() || !local.bytes().all(is_local) {
        return Err(refused("the part before the @ is empty, or has a character that is not allowed"));
    }
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if !domain.split('.').all(is_label) {
        return Err(refused("the part after the @ is not a host name"));
    }
    Ok(email)
}

/// The one spelling of an e-mail address that nobody has registered; [`Kind::AlreadyExists`] when it is taken.
pub(super) fn free_email(c: &mut Conn, email: &str) -> Result<String> {
    let email = email_address(email)?;
    if queries::find_user_by_email(c, &email)?.is_some() {
        return Err(Error::new(Kind::AlreadyExists, "an account with this e-mail address exists")
            .field("email")
            .remedy("sign in at POST /v1/sessions"));
    }
    Ok(email)
}

/// Registers a person who signs in with a password. Anyone may; [`Kind::AlreadyExists`] when the address is taken.
pub(super) fn register(c: &mut Conn, email: &str, password_phc: &str, now: Instant) -> Result<User> {
    let email = free_email(c, email)?;
    let user = User { id: UserId::new(now), email, platform_role: None, created_at: now };
    insert(c, &user, Some(password_phc), "registered")?;
    Ok(user)
}

/// Changes the caller's password and ends every other session and token of the caller. Whoever calls this has checked the
/// present password.
pub(super) fn change_password(c: &mut Conn, signed_in: &SignedIn, password_phc: &str, now: Instant) -> Result<()> {
    signed_in.caller.require_standing(c, now)?;
    let (user_id, keep) = (signed_in.caller.user_id, Some(signed_in.caller.credential));
    replace_password(c, user_id, password_phc, keep, "the password was changed", now)
}

/// Gives somebody who signs in with a password another one, and ends every session and token of the account; done at the
/// server, not over HTTP.
///
/// # Errors
/// `Invalid`, naming `password`; `NotFound`, naming `email`; `WrongState` for an account that signs in with tokens only.
pub async fn set_password(app: &App, email: &str, password: String) -> Result<User> {
    let phc = passwords::hash("password", password).await?;
    let (email, now) = (normal_email(email), app.clock.now());
    app.db
        .write(move |c| {
            let (user, present) = queries::find_credentials(c, &email)?.ok_or_else(|| unknown(&email))?;
            if present.is_none() {
                return Err(Error::new(Kind::WrongState, format!("the account {email} signs in with tokens only"))
                    .field("email")
                    .remedy("issue one with `corpex admin issue-token`"));
            }
            replace_password(c, user.id, &phc, None, "the password was set at the server", now)?;
            Ok(user)
        })
        .await
}

fn replace_password(
    c: &mut Conn,
    user_id: UserId,
    password_phc: &str,
    keep: Option<Credential>,
    reason: &str,
    now: Instant,
) -> Result<()> {
    queries::set_password(c, user_id, password_phc)?;
    history::record(c, user_id, Some(REGISTERED), REGISTERED, user_id, reason, now)?;
    sessions::end_credentials(c, user_id, keep, reason, now)
}

/// Ends every session and token of an account, which stays; done at the server, not over HTTP.
///
/// # Errors
/// `NotFound`, naming `email`.
pub fn revoke_credentials(c: &mut Conn, email: &str, now: Instant) -> Result<User> {
    let user = find_user(c, email)?;
    sessions::end_credentials(c, user.id, None, "revoked at the server", now)?;
    Ok(user)
}

/// Makes an account of the platform's own staff, which signs in with tokens only; done at the server, not over HTTP.
///
/// Repeating it is harmless. [`Kind::AlreadyExists`] when the address belongs to an account with another role:
/// anyone may have registered it, so it is never promoted.
pub fn create_platform_user(c: &mut Conn, email: &str, role: PlatformRole, now: Instant) -> Result<User> {
    let email = email_address(email)?;
    match queries::find_user_by_email(c, &email)? {
        Some(user) if user.platform_role == Some(role) => Ok(user),
        Some(user) => {
            let present = user.platform_role.map_or("no platform role".to_string(), |role| format!("the role {role}"));
            Err(Error::new(Kind::AlreadyExists, format!("the account {email} exists and has {present}"))
                .field("email")
                .remedy("use another address for this role"))
        }
        None => {
            let user = User { id: UserId::new(now), email, platform_role: Some(role), created_at: now };
            insert(c, &user, None, &format!("created with the platform role {role}"))?;
            Ok(user)
        }
    }
}

/// Takes the platform role of an account away, and ends every session and token of the account; done at the server, not
/// over HTTP. The account stays, for what it did is on record under its identifier.
///
/// # Errors
/// `NotFound`, naming `email`; `WrongState` for an account that has no platform role.
pub fn remove_platform_role(c: &mut Conn, email: &str, now: Instant) -> Result<User> {
    let user = find_user(c, email)?;
    let Some(role) = user.platform_role else {
        return Err(Error::new(Kind::WrongState, format!("the account {} has no platform role", user.email))
            .field("email")
            .remedy("end its sessions and tokens with `corpex admin revoke-tokens`"));
    };
    let reason = format!("the platform role {role} was taken away");
    queries::clear_platform_role(c, user.id)?;
    history::record(c, user.id, Some(REGISTERED), REGISTERED, user.id, &reason, now)?;
    sessions::end_credentials(c, user.id, None, &reason, now)?;
    Ok(User { platform_role: None, ..user })
}

fn insert(c: &mut Conn, user: &User, password_phc: Option<&str>, reason: &str) -> Result<()> {
    queries::insert_user(c, user, password_phc)?;
    history::record(c, user.id, None, REGISTERED, user.id, reason, user.created_at)
}

/// The person with this e-mail address; [`Kind::NotFound`] if nobody registered it.
pub fn find_user(c: &mut Conn, email: &str) -> Result<User> {
    let email = normal_email(email);
    queries::find_user_by_email(c, &email)?.ok_or_else(|| unknown(&email))
}

fn unknown(email: &str) -> Error {
    Error::new(Kind::NotFound, format!("no account has the e-mail address {email:?}"))
        .field("email")
        .remedy("check how it is spelled; people register at POST /v1/users, staff with `corpex admin create-user`")
}

/// The person with this identifier.
pub fn user(c: &mut Conn, id: UserId) -> Result<User> {
    db::load_once(c, id, |c| queries::find_user(c, id))?.ok_or_else(|| Error::not_found(format!("user {id}")))
}

/// Loads the people with these identifiers together, for a page that asks [`user`] for each.
pub fn load_users(c: &mut Conn, ids: impl IntoIterator<Item = UserId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_users_by_id)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 64 characters, and as many as an address may have.
    fn longest() -> String {
        let local = "a".repeat(LONGEST_LOCAL_PART);
        let domain = format!("{0}.{0}.{1}", "b".repeat(63), "c".repeat(LONGEST_EMAIL - 64 - 1 - 2 * 64));
        format!("{local}@{domain}")
    }

    #[test]
    fn an_email_address_has_one_spelling() {
        assert_eq!(email_address("  Li.Wei+corpus@Example.CN ").unwrap(), "li.wei+corpus@example.cn");
        assert_eq!(email_address("operator@localhost").unwrap(), "operator@localhost");
        email_address(&longest()).unwrap();
    }

    #[test]
    fn what_is_not_an_email_address_is_refused_by_name() {
        let long = format!("a@{}.example", "b".repeat(64));
        let longer = format!("{}@example.cn", "a".repeat(65));
        let too_long = format!("{}c", longest());
        let bad = [
            "", "@", "a", "a@", "@b.cn", "a@b@c", "a b@c.cn", "a@b..cn", "a@-b.cn", "a@b-.cn", "a@b.cn\0", "a\n@b.cn",
            "<a@b.cn>", "a,b@c.cn", "李@b.cn", "a@例.cn", "a@b.cn.", &long, &longer, &too_long,
        ];
        for text in bad {
            assert_eq!(email_address(text).unwrap_err().field.as_deref(), Some("email"), "{text:?}");
        }
    }
}
