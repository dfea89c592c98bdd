//! API tokens, for programs: `cpx_` and 256 random bits, shown once, kept as SHA-256.
//!
//! The prefix lets secret scanners find a leaked one. A hash without salt is enough: nobody can guess 256 bits.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::caller::SignedIn;
use super::{Caller, Scope, find_user, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::types::{DAY, Digest, Instant, PageQuery, TokenId, UserId, kind, text};

const PREFIX: &str = "cpx_";
const LONGEST_NAME: usize = 100;
/// How many tokens of one user may stand at once.
const MOST_STANDING: usize = 100;
const MOST_DAYS: u32 = 365;
/// The longest life of an API token.
const LONGEST_LIFE: Duration = DAY.saturating_mul(MOST_DAYS);

const ACTIVE: &str = "active";
const REVOKED: &str = "revoked";

/// The text of a secret token. It prints as its digest only; [`TokenText::reveal`] is for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// A fresh API token.
    pub fn generate() -> Self {
        Self(format!("{PREFIX}{}", random_text()))
    }
    /// A fresh refresh token.
    pub(super) fn generate_refresh() -> Self {
        Self(random_text())
    }
    /// Reads an API token; none when the text does not have its form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (bytes.len() == 32).then(|| Self(text.to_string()))
    }
    /// True for text that claims to be an API token.
    pub(super) fn is_meant_by(text: &str) -> bool {
        text.starts_with(PREFIX)
    }
    /// The secret itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
    /// What is kept of it.
    pub fn sha256(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({})", self.sha256())
    }
}

fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// An API token, without its text.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::api_tokens, check_for_backend(crate::db::MultiBackend))]
pub struct ApiToken {
    /// The identifier.
    pub id: TokenId,
    /// Whose it is.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// The digest of its text.
    pub token_sha256: Digest,
    /// How far it reaches.
    pub scope: Scope,
    /// When it was issued.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Instant,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Instant>,
    /// The session or token with which it was asked for; none for one that was issued at the server.
    pub minted_by: Option<String>,
}

/// What is wanted of a new API token.
#[derive(Debug, Clone)]
pub(super) struct NewToken {
    /// What its owner calls it.
    pub(super) name: String,
    /// How far it reaches.
    pub(super) scope: Scope,
    /// When it ends.
    pub(super) expires_at: Instant,
    /// The session or token with which it was asked for.
    pub(super) minted_by: Option<String>,
}

/// Issues a token to the caller. One that is asked for with another token ends no later than that one, and is revoked with it.
pub(super) fn create(
    c: &mut Conn,
    signed_in: &SignedIn,
    text: &TokenText,
    wanted: &NewToken,
    now: Instant,
) -> Result<ApiToken> {
    signed_in.caller.require_standing(c, now)?;
    let expires_at = signed_in.limit().map_or(wanted.expires_at, |limit| limit.min(wanted.expires_at));
    insert(c, signed_in.caller.user_id, text, &NewToken { expires_at, ..wanted.clone() }, now)
}

/// Issues a token to the user with this e-mail address; done at the server, not over HTTP.
///
/// The text is returned here and nowhere else. [`Kind::NotFound`] when there is no such user,
/// [`Kind::Invalid`] when it would end in the past or after more than a year, [`Kind::WrongState`] when the user has too many.
pub fn issue_token(
    c: &mut Conn,
    email: &str,
    name: &str,
    scope: Scope,
    expires_at: Instant,
    now: Instant,
) -> Result<(TokenText, ApiToken)> {
    let user = find_user(c, email)?;
    let text = TokenText::generate();
    let wanted = NewToken { name: name.to_string(), scope, expires_at, minted_by: None };
    let token = insert(c, user.id, &text, &wanted, now)?;
    Ok((text, token))
}

/// Issues a token to a user, who was asked. Callers authorise.
///
/// [`Kind::Invalid`] names the field at fault, [`Kind::WrongState`] when the user has too many.
pub(super) fn insert(
    c: &mut Conn,
    user_id: UserId,
    text: &TokenText,
    wanted: &NewToken,
    now: Instant,
) -> Result<ApiToken> {
    let name = text::readable("name", &wanted.name, LONGEST_NAME)?;
    if wanted.expires_at <= now || wanted.expires_at > now.plus(LONGEST_LIFE) {
        return Err(Error::invalid("expires_at", format!("a token ends after now, and within {MOST_DAYS} days")));
    }
    require_room(c, user_id, now)?;
    let token = ApiToken {
        id: TokenId::new(now),
        user_id,
        name,
        token_sha256: text.sha256(),
        scope: wanted.scope,
        created_at: now,
        expires_at: wanted.expires_at,
        revoked_at: None,
        minted_by: wanted.minted_by.clone(),
    };
    queries::insert_token(c, &token)?;
    history::record(c, token.id, None, ACTIVE, user_id, &format!("issued with the scope {}", token.scope), now)?;
    Ok(token)
}

/// Refuses a user of whom as many tokens stand as may at once.
pub(super) fn require_room(c: &mut Conn, user_id: UserId, now: Instant) -> Result<()> {
    if queries::list_standing_tokens(c, user_id, now)?.len() < MOST_STANDING {
        return Ok(());
    }
    let detail = format!("{MOST_STANDING} API tokens of this account may be used already");
    Err(Error::new(Kind::WrongState, detail)
        .remedy("revoke one of them first: GET /v1/tokens lists them, DELETE /v1/tokens/{id} revokes one"))
}

/// The caller's own tokens, oldest first: up to one more than a page.
pub fn tokens(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<ApiToken>> {
    Ok(queries::list_tokens(c, caller.user_id, page.after_id::<kind::Token>()?, page.limit()?.saturating_add(1))?)
}

/// The token of this identifier, if it can be used now; whoever asks. Callers authorise.
pub fn standing_token(c: &mut Conn, id: TokenId, now: Instant) -> Result<Option<ApiToken>> {
    Ok(queries::find_token(c, id)?.filter(|token| token.revoked_at.is_none() && token.expires_at > now))
}

/// Revokes one of the caller's own tokens, and what was asked for with it.
pub fn revoke_token(c: &mut Conn, caller: &Caller, id: TokenId, now: Instant) -> Result<ApiToken> {
    let named = || format!("token {id}");
    let token = queries::find_token(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    if token.user_id != caller.user_id {
        return Err(Error::withheld(named()));
    }
    if queries::set_token_revoked(c, id, now)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("the token {:?} was revoked already", token.name)));
    }
    history::record(c, id, Some(ACTIVE), REVOKED, caller.user_id, "revoked by its owner", now)?;
    revoke_minted(c, &id.to_string(), caller.user_id, "revoked with the token that it was asked for with", now)?;
    Ok(ApiToken { revoked_at: Some(now), ..token })
}

/// Revokes the tokens that were asked for with a session or token, and with those, and so on; programs whose sign-in was
/// approved with one of them get none.
pub(super) fn revoke_minted(c: &mut Conn, by: &str, actor: UserId, reason: &str, now: Instant) -> Result<()> {
    let mut minters = vec![by.to_string()];
    while let Some(minter) = minters.pop() {
        queries::delete_device_logins_approved_with(c, &minter)?;
        for token in queries::list_standing_tokens_minted_by(c, &minter)? {
            revoke_standing(c, token, actor, reason, now)?;
            minters.push(token.to_string());
        }
    }
    Ok(())
}

/// Revokes a token that was not revoked.
pub(super) fn revoke_standing(c: &mut Conn, id: TokenId, actor: UserId, reason: &str, now: Instant) -> Result<()> {
    queries::set_token_revoked(c, id, now)?;
    history::record(c, id, Some(ACTIVE), REVOKED, actor, reason, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_prefix_and_43_characters_and_hides_in_logs() {
        let token = TokenText::generate();
        assert_eq!(token.reveal().len(), 47);
        assert_eq!(TokenText::parse(token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), format!("TokenText({})", token.sha256()));
        assert_ne!(token, TokenText::generate());
    }

    #[test]
    fn text_of_another_form_is_no_token() {
        let good = TokenText::generate();
        let text = good.reveal();
        for bad in [
            "",
            "cpx_",
            &text[1..],
            &text[..46],
            &format!("{text}A"),
            &format!("{text}="),
            &text.replace("cpx_", "CPX_"),
        ] {
            assert_eq!(TokenText::parse(bad), None, "{bad}");
        }
    }
}
