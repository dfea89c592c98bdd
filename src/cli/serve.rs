//! `corpex serve`, `worker` and `migrate`: the server's side of the program.

use std::pin::pin;

use clap::Args;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::output::{Out, say};
use super::telemetry::Telemetry;
use crate::app::App;
use crate::config::Config;
use crate::error::Result;
use crate::server::{Running, signalled};
use crate::worker;

/// Without further settings it uses SQLite and a folder for the objects, in the data directory. With DATABASE_URL and
/// --s3-bucket it is one instance of a stateless fleet.
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
        let telemetry = Telemetry::start(self.config.log_json)?;
        let running = Running::start(self.config).await?;
        let signalled = signalled()?;
        say(&format!("serving on {}", running.url));
        let served = running.serve_until(signalled).await;
        telemetry.stop().await;
        served
    }
}

impl Worker {
    pub(super) async fn run(self) -> Result<()> {
        let telemetry = Telemetry::start(self.config.log_json)?;
        let app = App::open(self.config).await?;
        let stop = CancellationToken::new();
        let mut working = pin!(worker::run(app, stop.clone()));
        let signalled = signalled()?;
        say("working");
        let worked = tokio::select! {
            worked = &mut working => worked,
            () = signalled => {
                stop.cancel();
                working.await
            }
        };
        telemetry.stop().await;
        worked
    }
}

impl Migrate {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        let db = crate::db::Db::open(&self.config.database_url(), 1)?;
        db.migrate().await?;
        out.result(&json!({ "migrated": true }), || "the schema is up to date".to_string())
    }
}
