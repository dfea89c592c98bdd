//! The command line: server and client in one program.
//!
//! Results go to standard output, as text or (`--json`) as one JSON document; everything else, progress
//! included, goes to standard error. Exit codes: 0 done, 1 refused or failed, 2 usage, 3 a log that misbehaved.

mod acceptance;
mod admin;
mod api;
mod attempts;
mod audit;
mod buy;
pub mod client;
mod contract;
mod demo;
mod download;
mod evaluate;
mod exchange_keys;
mod holdings;
mod hub_cache;
mod key;
mod licence;
mod listing;
pub mod login;
mod logout;
mod model;
mod monitor;
mod organisation;
mod output;
mod pace;
mod passport;
mod pay;
mod preview;
mod publish;
mod reference;
mod search;
mod serve;
mod shards;
mod subset;
mod telemetry;
mod trace;
mod trust;
mod verify;
mod whole;
mod witness;

use std::process::ExitCode;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::client::Client;
use crate::cli::output::Out;
use crate::error::{Error, Result};

pub use reference::DatasetRef;

/// Corpus Exchange: list, license, deliver and prove AI training corpora.
#[derive(Debug, Parser)]
#[command(name = "corpex", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every client command understands.
#[derive(Debug, Clone, Args)]
struct Global {
    /// The exchange to talk to; by default that of the saved login
    #[arg(long, global = true, env = "CORPEX_SERVER", value_name = "URL", help_heading = "Client options")]
    server: Option<String>,
    /// The API token to present; by default that of the saved login, if the server is the same. Prefer the variable: other
    /// users of this computer can see arguments
    #[arg(
        long,
        global = true,
        env = "CORPEX_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Client options"
    )]
    token: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Client options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the exchange
    Serve(serve::Serve),
    /// Run queued jobs and the log's sequencer, without serving requests
    Worker(serve::Worker),
    /// Bring the database schema up to date, and exit
    Migrate(serve::Migrate),
    /// Show a whole trade on a real server: publish, license, buy, download, verify, trace
    Demo(demo::Demo),
    /// Manage accounts directly on the exchange's database: those of its staff, and anybody's lost tokens and passwords
    Admin(admin::Admin),
    /// Remember a server and a credential: the given --token, or one made with an e-mail address and password
    ///
    /// With a password, the token made for the previous login is revoked, and every token made with it. Where the account may
    /// have no more tokens, the oldest one that `corpex login` made for it is revoked as well.
    Login(login::Login),
    /// Forget the remembered login, and revoke the token that was made for it
    Logout,
    /// Manage the signing keys of an organisation, whose private halves stay on this computer, or of the exchange itself
    Key(key::Key),
    /// Hash, upload, sign and seal a folder as a new version of a dataset
    Publish(publish::Publish),
    /// Put versions on the board, take them off, and list what is or was there of a dataset
    Listing(listing::ListingArgs),
    /// Find datasets
    Search(search::Search),
    /// Look into a version before buying it: its columns, and records that the exchange drew by lot
    Preview(preview::Preview),
    /// Download a version's whole sample to evaluate it before buying, where its terms offer that
    Evaluate(evaluate::Evaluate),
    /// License a version: order, contract, payment
    Buy(buy::Buy),
    /// Sign and pay an existing order, which was placed or negotiated over the API
    Pay(pay::Pay),
    /// Renew a licence before it ends: order, contract, payment
    Renew(pay::Renew),
    /// Accept an order's delivery, or the partial refund that is offered: the provider is paid
    Accept(acceptance::Accept),
    /// Reject an order's delivery, or the partial refund that is offered: the provider cures it, or refunds
    Reject(acceptance::Reject),
    /// Offer the buyer of a rejected delivery to deliver again, or a refund
    Cure(acceptance::Cure),
    /// Say that a rejected delivery was delivered again: the buyer accepts or rejects it anew
    Redeliver(acceptance::Redeliver),
    /// List the orders that your organisations placed and received
    Orders(holdings::Holdings),
    /// List the licences that your organisations may use: their own, and those they may use as affiliates
    Licences(holdings::Holdings),
    /// Download a licensed version, every byte checked against its signed manifest
    Download(download::Download),
    /// Save the offline proof of a licence, or of an evaluation
    Passport(passport::PassportCommand),
    /// Check a downloaded folder or a passport, without trusting the exchange
    Verify(verify::Verify),
    /// Declare which versions a model was trained on, and list what was declared
    Model(model::Model),
    /// Watch a log from outside; exit code 3 when a new checkpoint does not continue the last one
    Monitor(monitor::Monitor),
    /// Run a witness: cosign the checkpoints of a log for as long as each continues the last one
    Witness(witness::Witness),
    /// Ask where bytes came from and who holds them (compliance staff)
    Trace(trace::Trace),
    /// Recompute balances, states, licences, the log and stored bytes from the records, and report every difference
    Audit(audit::Audit),
    /// Send one request to the exchange's API and print the answer
    Api(api::Api),
    /// Print the API description (OpenAPI 3.1, YAML)
    Openapi,
}

impl Cli {
    /// Reads the arguments of this process. Where they are wrong it says so, and ends the process with exit code 2.
    pub fn read() -> Self {
        let mut command = Self::command();
        let given = command.get_matches_mut();
        let has_email = given.subcommand_matches("login").is_some_and(|login| login.contains_id("email"));
        // The environment may hold a token for other commands.
        if has_email && given.value_source("token") == Some(ValueSource::CommandLine) {
            let why = "a login is with '--email <EMAIL>' and a password, or with '--token <TOKEN>': give one of them";
            command.error(ErrorKind::ArgumentConflict, why).exit();
        }
        Self::from_arg_matches(&given).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

/// Runs a command to its end and tells how it went.
pub fn run(cli: Cli) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&error.into(), cli.global.json),
    };
    let json = cli.global.json;
    match runtime.block_on(dispatch(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail(&error, json),
    }
}

async fn dispatch(Cli { global, command }: Cli) -> Result<()> {
    let out = Out::new(global.json);
    match command {
        Command::Serve(args) => args.run().await,
        Command::Worker(args) => args.run().await,
        Command::Migrate(args) => args.run(&out).await,
        Command::Demo(args) => args.run(&out).await,
        Command::Admin(args) => args.run(&out).await,
        Command::Login(args) => args.run(&global, &out).await,
        Command::Logout => logout::run(&out).await,
        Command::Key(args) => args.run(&global, &out).await,
        Command::Publish(args) => args.run(&global.client()?, &out).await.map(drop),
        Command::Listing(args) => args.run(&global.client()?, &out).await,
        Command::Search(args) => args.run(&global.any_client()?, &out).await,
        Command::Preview(args) => args.run(&global.client()?, &out).await,
        Command::Evaluate(args) => args.run(&global.client()?, &out).await,
        Command::Buy(args) => args.run(&global.client()?, &out).await.map(drop),
        Command::Pay(args) => args.run(&global.client()?, &out).await,
        Command::Renew(args) => args.run(&global.client()?, &out).await,
        Command::Accept(args) => args.run(&global.client()?, &out).await,
        Command::Reject(args) => args.run(&global.client()?, &out).await,
        Command::Cure(args) => args.run(&global.client()?, &out).await,
        Command::Redeliver(args) => args.run(&global.client()?, &out).await,
        Command::Orders(args) => args.orders(&global.client()?, &out).await,
        Command::Licences(args) => args.licences(&global.client()?, &out).await,
        Command::Download(args) => args.run(&global.client()?, &out).await.map(drop),
        Command::Passport(args) => args.run(&global.client()?, &out).await,
        Command::Verify(args) => args.run(&global, &out).await,
        Command::Model(args) => args.run(&global.client()?, &out).await,
        Command::Monitor(args) => args.run(&global, &out).await,
        Command::Witness(args) => args.run().await,
        Command::Trace(args) => args.run(&global.client()?, &out).await,
        Command::Audit(args) => args.run(&out).await,
        Command::Api(args) => args.run(&global.any_client()?, &out).await,
        Command::Openapi => out.text(&crate::server::documentation::openapi_yaml()?),
    }
}

/// Reads one of the words that an argument may be; the refusal of another names them.
fn parse_word<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Error| error.detail)
}

impl Global {
    /// A client that presents a credential; an error when there is none.
    fn client(&self) -> Result<Client> {
        let (server, token) = self.whom(login::saved()?)?;
        let Some(token) = token else {
            return Err(login::missing(&format!("token for {server}"), "--token or CORPEX_TOKEN"));
        };
        Client::new(&server, Some(token))
    }

    /// A client that presents a credential if there is one.
    fn any_client(&self) -> Result<Client> {
        let (server, token) = self.whom(login::saved()?)?;
        Client::new(&server, token)
    }

    /// The server to talk to, and the token to show it. A saved token is for the server that it was saved with.
    fn whom(&self, saved: Option<login::Saved>) -> Result<(String, Option<String>)> {
        let (saved_server, saved_token) = saved.map(|saved| (saved.server, saved.token)).unzip();
        let server = self.server.clone().or_else(|| saved_server.clone());
        let server = server.ok_or_else(|| login::missing("server", "--server or CORPEX_SERVER"))?;
        let is_saved = saved_server.is_some_and(|saved| client::is_same_server(&saved, &server));
        let token = self.token.clone().or(saved_token.filter(|_| is_saved));
        Ok((server, token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_token_is_shown_to_the_server_that_it_was_saved_with_alone() {
        let shown = |server: Option<&str>, token: Option<&str>| {
            let global = Global { server: server.map(str::to_string), token: token.map(str::to_string), json: false };
            let (server, token) = ("https://a.example/cx".to_string(), "saved".to_string());
            let saved = login::Saved { server, token, made: None };
            global.whom(Some(saved)).unwrap().1
        };
        for same in [None, Some("https://a.example/cx"), Some("HTTPS://a.example:443/cx/")] {
            assert_eq!(shown(same, None).as_deref(), Some("saved"), "{same:?}");
        }
        for other in ["https://b.example/cx", "http://a.example/cx", "https://a.example", "https://a.example:8443/cx"] {
            assert_eq!(shown(Some(other), None), None, "{other}");
            assert_eq!(shown(Some(other), Some("given")).as_deref(), Some("given"), "{other}");
        }
    }
}
