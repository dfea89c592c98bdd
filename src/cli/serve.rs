//! `corpex serve`, `worker` and `migrate`: the server's side of the program.

use std::io::IsTerminal as _;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::output::Out;
use crate::app::{App, Running, until_signalled};
use crate::config::Config;
use crate::error::Result;
use crate::worker;

/// Without further settings: SQLite and a folder for the objects, in the data directory. With DATABASE_URL and
/// --s3-bucket the same program is one of a stateless fleet.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub(super) struct Worker {
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: Config,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        start_logging(self.config.log_json);
        let running = Running::start(self.config).await?;
        eprintln!("serving on {}", running.url);
        until_signalled().await?;
        running.stop().await
    }
}

impl Worker {
    pub(super) async fn run(self) -> Result<()> {
        start_logging(self.config.log_json);
        let app = App::open(self.config).await?;
        let stop = CancellationToken::new();
        let working = tokio::spawn(worker::run(app, stop.clone()));
        eprintln!("working");
        until_signalled().await?;
        stop.cancel();
        working.await.map_err(|error| crate::error::Error::internal("the worker panicked").because(error))
    }
}

impl Migrate {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        let db = crate::db::Db::open(&self.config.database_url(), 1)?;
        db.migrate().await?;
        out.result(&json!({ "migrated": true }), || "the schema is up to date".to_string())
    }
}

/// Logs to standard error; `RUST_LOG` chooses what (default `info`).
pub(super) fn start_logging(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    let started = if json { builder.json().try_init() } else { builder.try_init() };
    if let Err(error) = started {
        eprintln!("logging was started before: {error}");
    }
}
