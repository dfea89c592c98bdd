//! `corpex login`: remembers a server and a credential, readable by the user only. The login before is forgotten, and the token
//! that was made for it is revoked, unless the new login is with a token that was given: the old one may have made it, and would
//! take it along.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Args;
use etcetera::BaseStrategy as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, text_at};
use super::logout::Ended;
use super::output::{Out, ask};
use super::{Global, whole};
use crate::error::{Error, Kind, Result};
use crate::types::{Clock, DAY, Instant, TokenId};

/// The name of the tokens that this command makes.
const TOKEN_NAME: &str = "corpex login";
/// The days that such a token is good for.
const TOKEN_DAYS: u16 = 90;
/// How much of a line of standard input is read as a password, in bytes: more than any password has.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The e-mail address to sign in with, whatever CORPEX_TOKEN holds; asks for the password at a terminal, and otherwise
    /// reads a line of standard input
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// Sign in another program as yourself: the one that shows this code and waits
    #[arg(long, value_name = "CODE", conflicts_with = "email")]
    approve: Option<String>,
}

/// A remembered login.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    /// The exchange.
    pub server: String,
    /// An API token.
    pub token: String,
    /// The token's identifier and end, where `corpex login` made it; nothing where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// A token that was made to sign in.
#[derive(Serialize, Deserialize)]
pub struct Made {
    /// Its identifier.
    pub id: TokenId,
    /// When it ends.
    pub expires_at: Instant,
}

impl Login {
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<()> {
        if let Some(code) = &self.approve {
            return approve(&global.client()?, code, out).await;
        }
        // One that cannot be read is replaced all the same: this command is the way out.
        let before = saved().unwrap_or_default();
        let server = global.server.clone().or_else(|| before.as_ref().map(|before| before.server.clone()));
        let server = server.ok_or_else(|| {
            Error::invalid("--server", "nothing says which exchange to sign in to").remedy("give --server URL")
        })?;
        let (token, made) = match &global.token {
            Some(token) if self.email.is_none() => (token.clone(), None),
            _ => self.sign_in(&server, out).await.map(|(token, made)| (token, Some(made)))?,
        };
        let login = Saved { server, token, made };
        let email = match remember(&login).await {
            Ok(email) => email,
            Err(error) => {
                // Nobody would know of a token that was made and is remembered nowhere.
                Ended::of(login).await;
                return Err(error);
            }
        };
        let replaced = match before.filter(|before| before.token != login.token) {
            // What it was used to make is revoked with it.
            Some(Saved { server, made, .. }) if login.made.is_none() => {
                let refused = Some("it may have made the token that was given".to_string());
                Some(Ended { server, made, refused })
            }
            Some(before) => Some(Ended::of(before).await),
            None => None,
        };
        let document = json!({
            "server": login.server, "email": email, "replaced": replaced.as_ref().map(Ended::document) });
        out.result(&document, || {
            let told = replaced.as_ref().and_then(told).map(|told| format!("\n{told}")).unwrap_or_default();
            format!("signed in to {} as {email}{told}", login.server)
        })
    }

    async fn sign_in(&self, server: &str, out: &Out) -> Result<(String, Made)> {
        let client = Client::new(server, None)?;
        let email = match &self.email {
            Some(email) => email.clone(),
            None if std::io::stdin().is_terminal() => ask("E-mail: ")?,
            None => {
                return Err(Error::invalid("--email", "there is no terminal to ask for an e-mail address")
                    .remedy("give --email, and the password as a line of standard input; or give --token"));
            }
        };
        let password = password("Password: ")?;
        let who = json!({ "email": email, "password": password });
        let session: Value = client.post("/v1/sessions").safe_to_repeat().json(&who)?.send().await?;
        let signed_in = client.with_token(text_at(&session, "/access_token"));
        match make_token(&signed_in, TOKEN_NAME, TOKEN_DAYS).await {
            Err(full) if full.kind == Kind::WrongState => {
                make_room(&signed_in, full, out).await?;
                make_token(&signed_in, TOKEN_NAME, TOKEN_DAYS).await
            }
            made => made,
        }
    }
}

/// Ends the oldest login of an account that may have no more tokens: it may be of a computer that is gone, and whoever knows the
/// password is not to be kept out by it.
///
/// # Errors
/// That the account is `full`, where all its tokens were made for something else.
async fn make_room(signed_in: &Client, full: Error, out: &Out) -> Result<()> {
    #[derive(Deserialize)]
    struct Standing {
        id: TokenId,
        name: String,
        created_at: Instant,
        expires_at: Instant,
        revoked_at: Option<Instant>,
    }
    let now = Clock::default().now();
    let tokens: Vec<Standing> = signed_in.get_all("/v1/tokens").await?;
    let is_login = |one: &Standing| one.name == TOKEN_NAME && one.revoked_at.is_none() && now < one.expires_at;
    let Some(oldest) = tokens.into_iter().find(is_login) else { return Err(full) };
    signed_in.delete(format!("/v1/tokens/{}", oldest.id)).send::<Value>().await?;
    out.note(format!("{}: the oldest login, of {}, was signed out for this one", full.detail, oldest.created_at));
    Ok(())
}

/// Asks whose token it is, and remembers the login; gives the e-mail address.
async fn remember(login: &Saved) -> Result<String> {
    let me: Value = Client::new(&login.server, Some(login.token.clone()))?.get("/v1/me").send().await?;
    save(login)?;
    Ok(text_at(&me, "/email").to_string())
}

/// What a person is told of the token of the login before, where it was made for that login.
fn told(Ended { server, made, refused }: &Ended) -> Option<String> {
    let Made { id, expires_at } = made.as_ref()?;
    Some(match refused {
        None => "the token of the login before is revoked, with those that it was used to make".to_string(),
        Some(why) => format!(
            "the token of the login before is not revoked: {why}. It is good until {expires_at}, unless you revoke it at \
             {server} with `corpex api DELETE /v1/tokens/{id}`"
        ),
    })
}

/// Approves the sign-in of a program that shows a code: it gets a token that may only read.
async fn approve(client: &Client, code: &str, out: &Out) -> Result<()> {
    let path = format!("/v1/device-logins/{}/approval", utf8_percent_encode(code, NON_ALPHANUMERIC));
    let approved: Value = client.post(path).send().await?;
    out.result(&approved, || format!("signed {} in", text_at(&approved, "/client")))
}

/// Makes an API token that may do all that its owner may, for some days.
pub(super) async fn make_token(signed_in: &Client, name: &str, days: u16) -> Result<(String, Made)> {
    #[derive(Deserialize)]
    struct Issued {
        token: String,
        #[serde(flatten)]
        made: Made,
    }
    let expires_at = Clock::default().now().plus(DAY * u32::from(days));
    let wanted = json!({ "name": name, "scope": "write", "expires_at": expires_at });
    let Issued { token, made } = signed_in.post("/v1/tokens").json(&wanted)?.send().await?;
    Ok((token, made))
}

/// The remembered login, if there is one.
pub(super) fn saved() -> Result<Option<Saved>> {
    let file = login_file()?;
    match fs::read_to_string(&file) {
        // The reason may quote what stands there, which is secret.
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|_| {
            Error::new(Kind::Malformed, format!("{} holds no login", file.display())).remedy("run `corpex login` again")
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::internal(format!("{} cannot be read: {error}", file.display())).because(error)),
    }
}

/// Says that something is missing and where it may come from.
pub(super) fn missing(what: &str, how: &str) -> Error {
    Error::new(Kind::Unauthenticated, format!("no {what} is known"))
        .remedy(format!("give {how}, or run `corpex login` once"))
}

fn save(login: &Saved) -> Result<()> {
    whole::write(&login_file()?, &serde_json::to_vec_pretty(login)?)
}

/// Forgets the remembered login, which there is.
pub(super) fn forget() -> Result<()> {
    Ok(fs::remove_file(login_file()?)?)
}

fn login_file() -> Result<PathBuf> {
    Ok(config_dir()?.join("login.json"))
}

/// The user's configuration directory of this program (`CORPEX_CONFIG_DIR` overrides it).
pub(super) fn config_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("CORPEX_CONFIG_DIR") {
        return Ok(PathBuf::from(dir));
    }
    let base = etcetera::choose_base_strategy()
        .map_err(|error| Error::internal("there is no home directory").because(error))?;
    Ok(base.config_dir().join("corpex"))
}

/// Asks for a password on the terminal, which does not show it; where there is none, reads a line of standard input.
pub(super) fn password(question: &str) -> Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(rpassword::prompt_password(question)?);
    }
    let mut line = String::new();
    stdin.lock().take(LONGEST_LINE).read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Error::invalid("password", "there is no terminal to ask for it, and standard input holds none")
            .remedy("give it as a line of standard input")),
        password => Ok(password.to_string()),
    }
}
