//! `corpex login`: remembers a server and a credential, readable by the user only.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

use clap::Args;
use etcetera::BaseStrategy as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, text_at};
use super::output::Out;
use super::{Global, whole};
use crate::error::{Error, Kind, Result};
use crate::types::{Clock, DAY, Instant, TokenId};

/// The days that a token made at a prompt is good for.
const TOKEN_DAYS: u16 = 90;
/// How much of a line of standard input is read as a password, in bytes: more than any password has.
const LONGEST_LINE: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The e-mail address to sign in with; the password is asked for on a terminal, and elsewhere a line of standard input
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,
    /// Sign another program in, as yourself: one that waits and shows this code
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
    /// What is known of the token where `corpex login` made it, and was not given it.
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
        let server = global.server.clone().ok_or_else(|| {
            Error::invalid("server", "nothing says which exchange to sign in to").remedy("give --server URL")
        })?;
        let (token, made) = match &global.token {
            Some(token) => (token.clone(), None),
            None => self.sign_in(&server).await.map(|(token, made)| (token, Some(made)))?,
        };
        let me: Value = Client::new(&server, Some(token.clone()))?.get("/v1/me").send().await?;
        save(&Saved { server: server.clone(), token, made })?;
        let email = text_at(&me, "/email").to_string();
        out.result(&json!({ "server": server, "email": email }), || format!("signed in to {server} as {email}"))
    }

    async fn sign_in(&self, server: &str) -> Result<(String, Made)> {
        let client = Client::new(server, None)?;
        let email = match &self.email {
            Some(email) => email.clone(),
            None if std::io::stdin().is_terminal() => prompt("E-mail: ")?,
            None => {
                return Err(Error::invalid("email", "there is no terminal to ask for an e-mail address")
                    .remedy("give --email, and the password as a line of standard input; or give --token"));
            }
        };
        let password = password("Password: ")?;
        let session: Value =
            client.post("/v1/sessions").json(&json!({ "email": email, "password": password }))?.send().await?;
        let signed_in = client.with_token(text_at(&session, "/access_token"));
        make_token(&signed_in, "corpex login", TOKEN_DAYS).await
    }
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
        Err(error) => Err(error.into()),
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

fn prompt(question: &str) -> Result<String> {
    eprint!("{question}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim().to_string())
}
