//! `corpex admin`: accounts of the exchange's staff, and lost tokens and passwords of anybody, directly on its database.

use clap::{Args, Subcommand};
use serde_json::json;

use super::output::Out;
use super::{login, parse_word};
use crate::app::App;
use crate::config::Config;
use crate::error::Result;
use crate::identity::{self, PlatformRole, Scope};
use crate::types::DAY;

#[derive(Debug, Args)]
pub(super) struct Admin {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Create an account for an operator or a member of the compliance staff
    CreateUser {
        /// The account's e-mail address
        #[arg(long)]
        email: String,
        /// What the account may do
        #[arg(long, value_parser = parse_word::<PlatformRole>)]
        role: PlatformRole,
        #[command(flatten, next_help_heading = "Settings of the exchange")]
        config: Config,
    },
    /// Issue an API token for an account; it is shown only once
    IssueToken {
        /// The account's e-mail address
        #[arg(long)]
        email: String,
        /// Days until the token expires
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=365))]
        days: u16,
        #[command(flatten, next_help_heading = "Settings of the exchange")]
        config: Config,
    },
    /// End all sessions and API tokens of an account after one was lost; the account stays
    RevokeTokens(Account),
    /// Take away an account's platform role and end all its sessions and API tokens, when a colleague leaves
    RemoveRole(Account),
    /// Set a new password and end all sessions and API tokens of the account, when the old one was lost or is known to
    /// others
    ///
    /// Asks for the password at a terminal; otherwise reads a line of standard input.
    SetPassword(Account),
}

#[derive(Debug, Args)]
struct Account {
    /// The account's e-mail address
    #[arg(long)]
    email: String,
    #[command(flatten, next_help_heading = "Settings of the exchange")]
    config: Config,
}

impl Account {
    async fn open(self) -> Result<(App, String)> {
        Ok((App::open_standing(self.config).await?, self.email))
    }
}

impl Admin {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        match self.command {
            AdminCommand::CreateUser { email, role, config } => {
                let app = App::open_or_begin(config).await?;
                let user = create_user(&app, &email, role).await?;
                out.result(&json!({ "id": user.id, "email": user.email, "role": role }), || {
                    format!("{} is {role}", user.email)
                })
            }
            AdminCommand::IssueToken { email, days, config } => {
                let app = App::open_standing(config).await?;
                let token = issue_token(&app, &email, days).await?;
                out.result(&json!({ "token": token }), || token.clone())
            }
            AdminCommand::RevokeTokens(account) => {
                let (app, email) = account.open().await?;
                let now = app.clock.now();
                let user = app.db.write(move |c| identity::revoke_credentials(c, &email, now)).await?;
                signed_out(out, &user, "stays")
            }
            AdminCommand::RemoveRole(account) => {
                let (app, email) = account.open().await?;
                let now = app.clock.now();
                let user = app.db.write(move |c| identity::remove_platform_role(c, &email, now)).await?;
                signed_out(out, &user, "has no platform role any more")
            }
            AdminCommand::SetPassword(account) => {
                let (app, email) = account.open().await?;
                let user = identity::set_password(&app, &email, login::password("New password: ")?).await?;
                signed_out(out, &user, "has the new password")
            }
        }
    }
}

/// Tells how an account stands whose sessions and tokens have ended.
fn signed_out(out: &Out, user: &identity::User, how: &str) -> Result<()> {
    out.result(&json!({ "id": user.id, "email": user.email, "role": user.platform_role }), || {
        let ended = "all its sessions and API tokens have ended, and instances that run know it within 5 seconds";
        format!("{} {how}; {ended}", user.email)
    })
}

/// Makes a platform account, or finds the one that stands with the same role.
pub(super) async fn create_user(app: &App, email: &str, role: PlatformRole) -> Result<identity::User> {
    let (email, now) = (email.to_string(), app.clock.now());
    app.db.write(move |c| identity::create_platform_user(c, &email, role, now)).await
}

/// Issues a token with full scope for an account.
pub(super) async fn issue_token(app: &App, email: &str, days: u16) -> Result<String> {
    let (email, now) = (email.to_string(), app.clock.now());
    let expires_at = now.plus(DAY * u32::from(days));
    let issued =
        app.db.write(move |c| identity::issue_token(c, &email, "corpex admin", Scope::Write, expires_at, now)).await?;
    Ok(issued.0.reveal().to_string())
}
