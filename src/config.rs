//! Settings: command-line flags with environment fallbacks, and their defaults for a laptop.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command};
use url::Url;

use crate::types::BASIS_POINTS;

/// How the server runs. Every flag has an environment variable; the flag wins.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where the embedded database, the local object store and the exchange's keys live
    #[arg(long, env = "CORPEX_DATA_DIR", default_value = "./corpex-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The address to serve on
    #[arg(long, env = "CORPEX_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// The URL under which clients reach this server, if a proxy stands in front of it
    #[arg(long, env = "CORPEX_PUBLIC_URL", value_name = "URL", value_parser = PublicUrl)]
    pub public_url: Option<String>,
    /// postgres://… for a fleet; by default an SQLite file in the data directory
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// postgres://… of a replica of that database, from which searches and the Hub's lists read their rows while it answers
    #[arg(long, env = "DATABASE_READ_URL", value_name = "URL", hide_env_values = true)]
    pub database_read_url: Option<String>,
    /// Connections per process, to each of the two databases
    #[arg(long, env = "CORPEX_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500))]
    pub database_connections: u32,
    /// Keep objects in this S3 bucket instead of the data directory
    #[arg(long, env = "CORPEX_S3_BUCKET", value_name = "BUCKET")]
    pub s3_bucket: Option<String>,
    /// An S3 service other than AWS (Garage, Ceph, SeaweedFS)
    #[arg(long, env = "CORPEX_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// The bucket's region; by default AWS_REGION
    #[arg(long, env = "CORPEX_S3_REGION", value_name = "REGION")]
    pub s3_region: Option<String>,
    /// Address the bucket as BUCKET.host instead of host/BUCKET
    #[arg(long, env = "CORPEX_S3_VIRTUAL_HOST")]
    pub s3_virtual_host: bool,
    /// The directory of the exchange's keys; by default `keys` in the data directory
    #[arg(long, env = "CORPEX_KEYS_DIR", value_name = "DIR")]
    pub keys_dir: Option<PathBuf>,
    /// The log's name, the first line of every checkpoint; it can never change once the log has entries
    #[arg(long, env = "CORPEX_LOG_ORIGIN", default_value = "corpex.localhost/log", value_name = "NAME")]
    pub log_origin: String,
    /// A C2SP tlog-policy file: which witnesses to ask for cosignatures of the log's checkpoints, and how many must give
    /// one
    #[arg(long, env = "CORPEX_LOG_POLICY", value_name = "FILE")]
    pub log_policy: Option<PathBuf>,
    /// The exchange's share of each price, in basis points
    #[arg(long, env = "CORPEX_FEE_BASIS_POINTS", default_value_t = 300, value_name = "BP", value_parser = clap::value_parser!(i64).range(0..=BASIS_POINTS))]
    pub fee_basis_points: i64,
    /// The part of the exchange's fee that is tax, in basis points
    #[arg(long, env = "CORPEX_TAX_BASIS_POINTS", default_value_t = 0, value_name = "BP", value_parser = clap::value_parser!(i64).range(0..=BASIS_POINTS))]
    pub tax_basis_points: i64,
    /// How many minor units, of whatever currency, an operator may move alone in a day (UTC) by deposits, withdrawals and
    /// their reversals; anything beyond takes two operators, with 0 everything
    #[arg(long, env = "CORPEX_APPROVAL_ABOVE", default_value_t = DEFAULT_APPROVAL_ABOVE, value_name = "AMOUNT", value_parser = clap::value_parser!(i64).range(0..))]
    pub approval_above: i64,
    /// How long a buyer has to pay an order, in days
    #[arg(long, env = "CORPEX_PAYMENT_WINDOW_DAYS", default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub payment_window_days: i32,
    /// How long a buyer has to download what it paid for, in days; after that it counts as accepted
    #[arg(long, env = "CORPEX_DOWNLOAD_WINDOW_DAYS", default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=3650))]
    pub download_window_days: i32,
    /// How long a buyer has to accept or reject once everything was delivered, in days
    #[arg(long, env = "CORPEX_ACCEPTANCE_WINDOW_DAYS", default_value_t = 14, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub acceptance_window_days: i32,
    /// How long a provider has to cure what was rejected, in days
    #[arg(long, env = "CORPEX_CURE_WINDOW_DAYS", default_value_t = 14, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub cure_window_days: i32,
    /// For how many days a listing is announced, so that others may object, before it goes on the board; with 0 it goes on
    /// the board at once
    #[arg(long, env = "CORPEX_PUBLIC_NOTICE_DAYS", default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(0..=365))]
    pub public_notice_days: i32,
    /// How long after the settlement of an order either side may open a dispute over it, in days
    #[arg(long, env = "CORPEX_DISPUTE_WINDOW_DAYS", default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub dispute_window_days: i32,
    /// How long either side may appeal against the decision of a dispute, in days
    #[arg(long, env = "CORPEX_APPEAL_WINDOW_DAYS", default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub appeal_window_days: i32,
    /// How long before the end of a licence its holder is notified, in days
    #[arg(long, env = "CORPEX_RENEWAL_NOTICE_DAYS", default_value_t = 30, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub renewal_notice_days: i32,
    /// How long a side has to send the next message of a negotiation, in days
    #[arg(long, env = "CORPEX_NEGOTIATION_WINDOW_DAYS", default_value_t = 14, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(1..=365))]
    pub negotiation_window_days: i32,
    /// How long events, and the log of attempts to deliver them to webhooks, are kept, in days
    #[arg(long, env = "CORPEX_EVENT_RETENTION_DAYS", default_value_t = 400, value_name = "DAYS", value_parser = clap::value_parser!(i32).range(30..=36_500))]
    pub event_retention_days: i32,
    /// Permit webhooks to private addresses and without TLS, for an exchange inside a private network
    #[arg(long, env = "CORPEX_WEBHOOK_PRIVATE_NETWORKS")]
    pub webhook_private_networks: bool,
    /// How many requests one credential may send in a minute; all credentials of one account together may send ten times as
    /// many; 0 for no limit. Each process counts separately
    #[arg(long, env = "CORPEX_REQUESTS_PER_TOKEN", default_value_t = 6000, value_name = "N")]
    pub requests_per_token: u32,
    /// How many requests an address may send in a minute without a credential known to be valid; 0 for no limit
    #[arg(long, env = "CORPEX_REQUESTS_PER_ADDRESS", default_value_t = 1200, value_name = "N")]
    pub requests_per_address: u32,
    /// How often in a minute a password or sign-in code may be tried, for one account and from one address, and accounts be
    /// registered from one address; 0 for no limit
    #[arg(long, env = "CORPEX_ATTEMPTS", default_value_t = 10, value_name = "N")]
    pub attempts: u32,
    /// How many proxies in front add to X-Forwarded-For; with 0 a client's address is that of its connection
    #[arg(long, env = "CORPEX_TRUSTED_PROXIES", default_value_t = 0, value_name = "N")]
    pub trusted_proxies: u8,
    /// How long a server that is told to stop says so on /readyz while it still takes requests: as long as the proxy needs
    /// to notice
    #[arg(long, env = "CORPEX_DRAIN_SECONDS", default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(0..=120))]
    pub drain_seconds: u8,
    /// Write logs as JSON lines
    #[arg(long, env = "CORPEX_LOG_JSON")]
    pub log_json: bool,
    /// Leave queued jobs and the log's sequencer to separate `corpex worker` processes
    #[arg(long, env = "CORPEX_NO_WORKER")]
    pub no_worker: bool,
}

/// Reads the URL of a server, and does not show one that it refuses: a password may stand in it.
#[derive(Clone)]
struct PublicUrl;

impl TypedValueParser for PublicUrl {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, given: &OsStr) -> Result<String, clap::Error> {
        public_url(given.to_str().unwrap_or_default()).map_err(|why| {
            let arg = arg.map(ToString::to_string).unwrap_or_default();
            command.clone().error(ErrorKind::ValueValidation, format!("invalid value for '{arg}': {why}"))
        })
    }
}

/// The URL of a server, if links to what it has can be made from it.
fn public_url(text: &str) -> Result<String, String> {
    // The parser drops white space, which would stand in the links.
    let is_clean = !text.contains(char::is_whitespace);
    match Url::parse(text) {
        Ok(url) if is_clean && matches!(url.scheme(), "http" | "https") && is_bare(&url) => Ok(text.to_string()),
        _ => Err("give one such as https://exchange.example, with no password and nothing after its path".to_string()),
    }
}

/// Whether a URL has no user name, no password and nothing after its path: the paths of a server can lie below it.
pub(crate) fn is_bare(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none()
}

/// One million yuan.
const DEFAULT_APPROVAL_ABOVE: i64 = 100_000_000;
/// The largest JSON body.
pub const MAX_JSON_BYTES: usize = 8 * 1024 * 1024;
/// The largest JSON body of somebody who has shown no credential.
pub const MAX_ANONYMOUS_JSON_BYTES: usize = 16 * 1024;
/// The largest shard that one small PUT may carry.
pub const MAX_SMALL_SHARD_BYTES: u64 = 32 * 1024 * 1024;
/// The largest shard.
pub const MAX_SHARD_BYTES: i64 = 5 * 1024 * 1024 * 1024;
/// The most shards a version may have.
pub const MAX_SHARDS: usize = 100_000;
/// How long a signed URL is good for.
pub const SIGNED_URL_TTL: Duration = Duration::from_secs(300);
/// How long a client may take to send a request's head, between two pieces of its body, and to take any byte of the
/// answer.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

impl Config {
    /// Everything at its default, below `data_dir`, on a free port, with few connections, listings on the board without public
    /// notice, and no limits to requests: what tests and the demo start from.
    pub fn embedded(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_path_buf(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            database_url: None,
            database_read_url: None,
            database_connections: 8,
            s3_bucket: None,
            s3_endpoint: None,
            s3_region: None,
            s3_virtual_host: false,
            keys_dir: None,
            log_origin: "corpex.localhost/log".to_string(),
            log_policy: None,
            fee_basis_points: 300,
            tax_basis_points: 0,
            approval_above: DEFAULT_APPROVAL_ABOVE,
            payment_window_days: 7,
            download_window_days: 90,
            acceptance_window_days: 14,
            cure_window_days: 14,
            public_notice_days: 0,
            dispute_window_days: 30,
            appeal_window_days: 7,
            renewal_notice_days: 30,
            negotiation_window_days: 14,
            event_retention_days: 400,
            requests_per_token: 0,
            requests_per_address: 0,
            attempts: 0,
            trusted_proxies: 0,
            drain_seconds: 0,
            log_json: false,
            no_worker: false,
            webhook_private_networks: false,
        }
    }

    /// Where clients reach this server, without a trailing slash.
    pub fn public_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_string(),
            // Nobody can connect to "every address".
            None if self.listen.ip().is_unspecified() => format!("http://127.0.0.1:{}", self.listen.port()),
            None => format!("http://{}", self.listen),
        }
    }

    /// Where the database is: the given URL, or the SQLite file in the data directory.
    pub fn database_url(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| self.data_dir.join("corpex.sqlite3").display().to_string())
    }

    /// The directory of the exchange's keys.
    pub fn keys_dir(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.data_dir.join("keys"))
    }

    /// The directory of the search indexes.
    pub fn search_dir(&self) -> PathBuf {
        self.data_dir.join("search")
    }

    /// The directory of the local object store.
    pub fn objects_dir(&self) -> PathBuf {
        self.data_dir.join("objects")
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    #[test]
    fn links_are_made_only_from_what_clients_can_follow() {
        for good in ["https://exchange.example", "http://127.0.0.1:8080/", "https://example.com/exchange"] {
            assert_eq!(public_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "exchange.example",
            "exchange.example:443",
            "ftp://a.example",
            "https://a.example/?b",
            "https://a@b.example",
            "https://:a@b.example",
            "https://a.example\r",
        ] {
            assert!(public_url(bad).is_err(), "{bad}");
        }
    }

    /// A command with these settings as its arguments, whatever the environment holds.
    fn command() -> Command {
        let without_environment = |arg: Arg| arg.env(None::<&'static str>);
        Config::augment_args(Command::new("corpex")).mut_args(without_environment)
    }

    #[test]
    fn a_password_in_a_public_url_is_refused_and_not_shown() {
        let given = command().try_get_matches_from(["corpex", "--public-url", "https://me:open-sesame@a.example"]);
        let refused = given.unwrap_err();
        let why = refused.to_string();
        assert_eq!(refused.exit_code(), 2, "{why}");
        assert!(why.contains("--public-url <URL>") && why.contains("no password") && !why.contains("sesame"), "{why}");
    }

    #[test]
    fn what_tests_and_the_demo_start_from_differs_from_the_defaults_where_it_says_so() {
        let given = command().get_matches_from(["corpex"]);
        let embedded = Config::embedded(Path::new("/folder"));
        let expected = Config {
            data_dir: PathBuf::from("/folder"),
            listen: embedded.listen,
            database_connections: 8,
            public_notice_days: 0,
            requests_per_token: 0,
            requests_per_address: 0,
            attempts: 0,
            ..Config::from_arg_matches(&given).unwrap()
        };
        assert_eq!(format!("{embedded:?}"), format!("{expected:?}"));
    }
}
