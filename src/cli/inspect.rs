//! `corpex audit`: recompute what can be recomputed, and report every difference.

use clap::Args;
use futures_util::StreamExt as _;
use serde_json::json;

use super::output::{Out, Progress};
use crate::app::App;
use crate::catalog::{self, StoredObject};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::types::Hasher;
use crate::{compliance, provenance};

/// Objects read at a time.
const PAGE: i64 = 200;

/// Looks directly at the database and the object store; the server may be running.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    config: Config,
}

impl Audit {
    pub(super) async fn run(self, out: &Out) -> Result<()> {
        let file = self.config.data_dir.join("corpex.sqlite3");
        if self.config.database_url.is_none() && !file.exists() {
            return Err(Error::invalid(
                "data-dir",
                format!("there is no exchange at {}", self.config.data_dir.display()),
            )
            .remedy("give the --data-dir or --database-url that `corpex serve` runs with"));
        }
        let app = App::open(self.config).await?;
        let differences = app.db.read(compliance::reconcile).await?;
        let mut findings: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let (keys, origin) = (app.keys.clone(), app.config.log_origin.clone());
        findings.extend(app.db.read(move |c| provenance::audit::audit(c, &keys, &origin)).await?);
        let objects = self::objects(&app, out, &mut findings).await?;
        let document = json!({ "findings": findings, "objects": objects });
        out.result(&document, || match findings.as_slice() {
            [] => format!(
                "no differences: the books balance, the log is whole, {objects} objects have the bytes on record"
            ),
            some => some.join("\n"),
        })?;
        match findings.len() {
            0 => Ok(()),
            count => Err(Error::new(Kind::Unverified, format!("{count} differences were found"))),
        }
    }
}

/// Reads every object back and compares it with its record; gives how many there are.
async fn objects(app: &App, out: &Out, findings: &mut Vec<String>) -> Result<usize> {
    let total = app.db.read(catalog::total_object_bytes).await?;
    let progress = out.progress("reading", total);
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let from = after.clone();
        let page = app.db.read(move |c| catalog::objects(c, &from, PAGE)).await?;
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
