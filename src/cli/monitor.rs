//! `corpex monitor`: watch a log from outside.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::Global;
use super::login::config_dir;
use super::output::{Out, counted, say};
use super::trust::{ExchangeKeys, named_log};
use crate::error::{Error, Kind, Result};
use crate::provenance::monitor::{self, Observation};
use crate::provenance::note::VerifierKey;
use crate::server::signalled;
use crate::types::Digest;

/// Trusts nothing but signatures and mathematics: it reads the log's own checkpoints, tiles and entries, and prints what is
/// new. Exit code 3 means that the log shrank, split, or serves what it did not sign; the evidence is kept beside the
/// state.
#[derive(Debug, Args)]
pub(super) struct Monitor {
    /// Where the log is served; by default the policy's URL, or /log of the exchange
    #[arg(value_name = "URL")]
    log: Option<Url>,
    /// The log's public key (`name+hash+key`); by default the saved exchange is asked for it
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// A C2SP tlog-policy file: which log, which witnesses (what those with a URL have seen is compared with it) and what
    /// quorum
    #[arg(long, value_name = "FILE", conflicts_with = "log_key")]
    policy: Option<PathBuf>,
    /// Where to remember the last checkpoint; by default a file for each log in the configuration directory
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Look once, and exit
    #[arg(long)]
    once: bool,
    /// Seconds between looks
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// Trust the tiles: do not read the entries under them
    #[arg(long)]
    skip_entries: bool,
}

impl Monitor {
    pub(super) async fn run(self, global: &Global, out: &Out) -> Result<()> {
        let policy = match named_log(self.log_key.as_ref(), self.policy.as_deref())? {
            Some(policy) => policy,
            None => ExchangeKeys::fetch(&global.any_client()?).await?.log_policy(),
        };
        let log = policy.logs.first().ok_or_else(|| {
            Error::invalid("--policy", "the policy names no log").remedy("add a line 'log VKEY [URL]' to it")
        })?;
        let url = match self.log.or_else(|| log.url.clone()) {
            Some(url) => url,
            None => Url::parse(&format!("{}/log", global.any_client()?.server()))
                .map_err(|error| Error::invalid("--server", "this is not a URL").because(error))?,
        };
        let state = match self.state {
            Some(state) => state,
            None => state_of(&log.key.name)?,
        };
        let monitor = monitor::Monitor::new(url, policy, state, !self.skip_entries)?;
        if self.once {
            let seen = monitor.look().await?;
            return out.result(&seen, || describe(&seen));
        }
        tokio::select! {
            watched = watch(&monitor, Duration::from_secs(self.interval), out) => watched,
            () = signalled()? => Ok(()),
        }
    }
}

/// Looks again and again, and tells what is new. What cannot be reached is tried again; what was caught ends the watch.
async fn watch(monitor: &monitor::Monitor, interval: Duration, out: &Out) -> Result<()> {
    let mut told = None;
    loop {
        match monitor.look().await {
            Ok(seen) if told == Some(seen.tree_size) => tracing::debug!(seen.tree_size, "nothing is new"),
            Ok(seen) => {
                out.result(&seen, || describe(&seen))?;
                told = Some(seen.tree_size);
            }
            Err(error) if error.kind == Kind::Unavailable => {
                say(&format!("corpex: {error}; looking again"));
                told = None;
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(interval).await;
    }
}

fn state_of(origin: &str) -> Result<PathBuf> {
    let folder = config_dir()?.join("monitor");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{}.checkpoint", Digest::of(origin.as_bytes()))))
}

fn describe(seen: &Observation) -> String {
    let mut line = format!(
        "ok  {}  {} ({} new)  root {}",
        seen.origin,
        counted(seen.tree_size, "entry"),
        seen.tree_size - seen.known_size,
        seen.root
    );
    for (what, names) in [("cosigned by", &seen.witnessed_by), ("compared with", &seen.compared_with)] {
        if !names.is_empty() {
            line.push_str(&format!("  {what} {}", names.join(", ")));
        }
    }
    for (kind, count) in seen.new_entries.iter().flatten() {
        line.push_str(&format!("\n      {count:>6} {kind}"));
    }
    line
}
