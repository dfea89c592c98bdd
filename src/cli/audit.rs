//! `corpex audit`: recompute what can be recomputed, and report every difference.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::json;

use super::output::{Out, Progress, counted};
use crate::app::App;
use crate::catalog::StoredObject;
use crate::catalog::stored::{self, objects};
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::provenance::passport::PassportKey;
use crate::provenance::{self, publication};
use crate::store::StorageKey;
use crate::types::{DAY, Digest, EntryId, Hasher, Instant, ObjectId};
use crate::{compliance, identity, jobs};

/// Objects read at a time.
const PAGE: i64 = 200;
/// How far the clocks of instances may be apart: what was recorded in this time before `--since` is looked at once more.
const SKEW: Duration = DAY;

/// Reads the database and the object store directly; the server may be running.
///
/// Recomputes every balance from the postings, every state from its history, licences from trades, the log's root from its
/// entries, the entries from the statements and signing keys from the statements about them; verifies every signature; compares
/// the log with what the object store remembers of it; reads every stored object back; and looks for jobs that were set aside and
/// for objects that nothing refers to.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Compare only the statements, and read back only the objects, that were recorded since this time: the `taken_at` of
    /// an earlier audit. Everything else is recomputed in full
    #[arg(long, value_name = "INSTANT")]
    since: Option<Instant>,
    /// Report objects that nothing refers to once they are this old: an object that is just being stored has no record yet
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    orphans_after: u32,
    #[command(flatten, next_help_heading = "Settings of the exchange")]
    config: Config,
}

impl Audit {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        let app = App::open_standing(self.config).await?;
        let taken_at = app.clock.now();
        let since = self.since.map(|since| since.minus(SKEW));
        let mut findings = app.db.read(compliance::audit).await?;
        let (keys, origin) = (app.keys.clone(), app.config.log_origin.clone());
        findings.extend(app.db.read(move |c| provenance::audit::audit(c, &keys, &origin)).await?);
        findings.extend(log_was_set_back(&app).await?);
        for (id, job, error) in app.db.read(jobs::set_aside).await? {
            findings.push(format!("job {id} was set aside: {job:?} failed too often, at last with: {error}"));
        }
        let statements = statements(&app, out, since, &mut findings).await?;
        let objects = stored_objects(&app, out, since, &mut findings).await?;
        orphans(&app, taken_at.minus(Duration::from_secs(u64::from(self.orphans_after) * 60)), &mut findings).await?;
        let document =
            json!({ "taken_at": taken_at, "findings": findings, "statements": statements, "objects": objects });
        out.result(&document, || match findings.as_slice() {
            [] => format!(
                "no differences: the books balance, every state has its history, the log is whole ({statements} statements \
                 compared), {objects} objects have the bytes on record; taken at {taken_at}"
            ),
            some => some.join("\n"),
        })?;
        match findings.len() {
            0 => Ok(()),
            count => Err(Error::new(Kind::Unverified, format!("found {}", counted(count, "difference")))),
        }
    }
}

/// Whether the object store remembers more of the log than the database holds.
async fn log_was_set_back(app: &App) -> Result<Option<String>> {
    match publication::mark(&app.db, &app.store, &app.keys, &app.config.log_origin).await {
        Ok(mark) => app.db.read(move |c| provenance::audit::remembered(c, mark.as_ref())).await,
        Err(error) if error.kind == Kind::Unverified => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// Compares statements with their log entries, and verifies their signatures; gives how many.
async fn statements(app: &App, out: &Out, since: Option<Instant>, findings: &mut Vec<String>) -> Result<usize> {
    let progress = out.count("statements", app.db.read(provenance::audit::extent).await?);
    let (mut after, mut count) = (since.map(EntryId::first_at), 0);
    loop {
        let keys = app.keys.clone();
        let compare = move |c: &mut _| provenance::audit::statements(c, &keys, &find_key, after);
        let Some(compared) = app.db.read(compare).await? else { break };
        after = Some(compared.last);
        count += compared.statements;
        findings.extend(compared.found);
        progress.advance(compared.statements);
    }
    progress.finish();
    Ok(count)
}

/// An organisation's key, whatever its state.
fn find_key(c: &mut Conn, key_id: Digest) -> Result<Option<PassportKey>> {
    identity::signing_key(c, key_id)?.map(|key| identity::passport_key(c, &key)).transpose()
}

/// Reads objects back and compares them with their records; gives how many.
async fn stored_objects(app: &App, out: &Out, since: Option<Instant>, findings: &mut Vec<String>) -> Result<usize> {
    let progress = out.progress("reading", app.db.read(stored::total_object_bytes).await?);
    let (mut after, mut count) = (since.map(|since| ObjectId::first_at(since).to_string()).unwrap_or_default(), 0);
    loop {
        let from = after.clone();
        let page = app.db.read(move |c| objects(c, &from, PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = last.id.to_string();
        count += page.len();
        for object in page {
            if let Err(error) = check_object(app, &object, &progress).await {
                findings.push(format!("object {} ({}): {error}", object.id, object.sha256));
            }
        }
    }
    progress.finish();
    Ok(count)
}

async fn check_object(app: &App, object: &StoredObject, progress: &Progress) -> Result<()> {
    let bar = progress.file(&object.sha256.to_string(), u64::try_from(object.size_bytes).unwrap_or(0));
    let mut hasher = Hasher::default();
    let mut bytes = app.store.read(&object.storage_key, None).await?;
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        hasher.update(&piece);
        bar.advance(u64::try_from(piece.len()).unwrap_or(0));
    }
    let found = hasher.finish();
    bar.finish("read");
    if found == object.sha256 {
        Ok(())
    } else {
        Err(Error::new(Kind::DigestMismatch, format!("the stored bytes have sha256 {found}")))
    }
}

/// Looks for objects, written before `before`, that no record, no open upload and no job refers to.
async fn orphans(app: &App, before: Instant, findings: &mut Vec<String>) -> Result<()> {
    let marks = publication::mark_keys(&app.db, &app.keys, &app.config.log_origin).await?;
    let mut after: Option<StorageKey> = None;
    loop {
        let held = app.store.held(after.as_ref()).await?;
        let Some(last) = held.last() else { return Ok(()) };
        after = Some(last.key.clone());
        let old = held.into_iter().filter(|object| object.written_at < before && !marks.contains(&object.key));
        let keys: Vec<_> = old.map(|object| object.key).collect();
        for key in app.db.read(move |c| stored::without_owner(c, keys)).await? {
            let text = key.to_string();
            if !app.db.read(move |c| jobs::will_sweep(c, &text)).await? {
                findings.push(format!("the stored object {key} belongs to nothing"));
            }
        }
    }
}
