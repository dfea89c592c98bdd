//! `corpex witness`: a witness that a lab or a regulator runs for an exchange's log.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::output::say;
use super::telemetry::Telemetry;
use crate::error::{Error, Result};
use crate::provenance::note::VerifierKey;
use crate::provenance::witness::{self, routes::Serving};
use crate::server::signalled;
use crate::types::Clock;

/// Keeps its key and the log's last checkpoint in --state-dir: back that up, and never run two witnesses on copies of it.
/// Give the exchange the printed verifier key and the witness's address; the exchange then asks it for cosignatures.
#[derive(Debug, Args)]
pub(super) struct Witness {
    /// The log's name: the first line of its checkpoints
    #[arg(long, value_name = "NAME")]
    origin: String,
    /// The log's verifier key (name+hash+key); give each of them while the log changes keys
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<VerifierKey>,
    /// The name under which the witness signs: a URL without its scheme
    #[arg(long, env = "CORPEX_WITNESS_NAME", default_value = "witness.localhost", value_name = "NAME")]
    name: String,
    /// Where the witness keeps its key and the log's last checkpoint
    #[arg(long, env = "CORPEX_WITNESS_STATE_DIR", default_value = "./corpex-witness", value_name = "DIR")]
    state_dir: PathBuf,
    /// The address to serve on
    #[arg(long, env = "CORPEX_WITNESS_LISTEN", default_value = "127.0.0.1:8090", value_name = "ADDR")]
    listen: SocketAddr,
    /// Write logs as JSON lines
    #[arg(long, env = "CORPEX_LOG_JSON")]
    log_json: bool,
}

impl Witness {
    pub(super) async fn run(self) -> Result<()> {
        let telemetry = Telemetry::start(self.log_json)?;
        if let Some(other) = self.key.iter().find(|key| key.name != self.origin) {
            return Err(Error::invalid(
                "--key",
                format!("this key is of the log {:?}, not of {:?}", other.name, self.origin),
            ));
        }
        let witness = witness::Witness::open(&self.name, self.key, &self.state_dir)?;
        let vkey = witness.vkey()?;
        let serving = Serving::start(witness, Clock::default(), self.listen)?;
        let signalled = signalled()?;
        say(&format!("witness {vkey}"));
        say(&format!("serving on http://{}", serving.address));
        signalled.await;
        let stopped = serving.stop().await;
        telemetry.stop().await;
        stopped
    }
}
