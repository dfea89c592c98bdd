//! Keeps the index of a process up to date: it follows the changes of the board, and rebuilds what is lost.
//!
//! Each process that answers searches has an index of its own, in its data directory, and one task that writes it. The task
//! looks for changes several times a second, reads what is on the board now of the datasets that they name, and commits; it
//! does not matter how often or how late it reads a dataset again.
//!
//! An index whose files are gone or damaged, or that cannot be written, is built anew beside the one that is served, and put in its
//! place: whoever searches meanwhile is served from memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::builder::Builder;
use super::entry::{self, Entry};
use super::index::{BoardIndex, Reach};
use super::queries;
use crate::app::App;
use crate::db::{Conn, Db};
use crate::error::{Error, Result};
use crate::types::{DatasetId, ListingId};

/// How long the task waits between two looks for changes, and at least between two commits.
const TICK: Duration = Duration::from_millis(150);
/// How long the task waits after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The most changes that one commit takes in.
const MOST_CHANGES: i64 = 1000;
/// Datasets that are read at a time to build an index.
const PAGE: i64 = 500;
/// After so many looks without a change, the memory for writing is given back: what is merged in the background is done by then,
/// and no change waits for it.
const IDLE_TICKS: u32 = 200;
/// The most processes that may share a data directory.
const MOST_SLOTS: u32 = 16;

/// Keeps the index true until `stop`.
pub async fn follow(app: App, stop: CancellationToken) {
    let mut keeper = None;
    while let Some(kept) = stop.run_until_cancelled(keep(&app, keeper.take())).await {
        let pause = match kept {
            Ok((kept, more)) => {
                keeper = Some(kept);
                if more { Duration::ZERO } else { TICK }
            }
            Err(error) => {
                tracing::error!(?error, "the search index could not be kept, and is opened again or built anew");
                PAUSE
            }
        };
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

/// One look, for which an index is begun where none is kept yet. True when there may be more to take in at once.
async fn keep(app: &App, keeper: Option<Keeper>) -> Result<(Keeper, bool)> {
    let mut kept = match keeper {
        Some(kept) => kept,
        None => Keeper::begin(app).await?,
    };
    if !kept.index.stands() {
        return Err(Error::internal("the search index is not where it was"));
    }
    let position = kept.index.reach().position();
    let Some(News { reach, datasets, batches, is_full }) = app.db.read(move |c| news(c, position)).await? else {
        kept.idle = kept.idle.saturating_add(1);
        if kept.idle == IDLE_TICKS {
            kept = in_background(kept, |kept| kept.index.rest()).await?;
        }
        return Ok((kept, false));
    };
    let removed = move |kept: &mut Keeper| {
        kept.idle = 0;
        kept.index.remove(&datasets)
    };
    kept = in_background(kept, removed).await?;
    for listings in batches {
        let entries = read_batch(app.db.clone(), listings).await?;
        kept = in_background(kept, move |kept| kept.index.add(&entries)).await?;
    }
    kept = in_background(kept, move |kept| kept.index.commit(reach)).await?;
    Ok((kept, is_full))
}

/// New changes: up to which one they go; the datasets that they name, in order; and the listings of these that are searched now, in
/// batches.
struct News {
    reach: Reach,
    datasets: Vec<DatasetId>,
    batches: Vec<Vec<ListingId>>,
    /// Whether there may be more changes after these.
    is_full: bool,
}

/// What changed after a position; none where nothing did.
fn news(c: &mut Conn, position: i64) -> Result<Option<News>> {
    let changes = queries::list_changes(c, position, MOST_CHANGES)?;
    let Some(last) = changes.last() else { return Ok(None) };
    let is_full = changes.len() >= usize::try_from(MOST_CHANGES).unwrap_or(usize::MAX);
    let mut datasets: Vec<DatasetId> = changes.iter().map(|change| change.dataset_id).collect();
    datasets.sort_unstable();
    datasets.dedup();
    let batches = entry::batches(c, &datasets)?;
    Ok(Some(News { reach: Reach::to(Some(*last)), datasets, batches, is_full }))
}

/// Works on an index on a blocking thread. One over which the work panics counts as lost.
async fn in_background<K: Send + 'static>(
    mut index: K,
    work: impl FnOnce(&mut K) -> Result<()> + Send + 'static,
) -> Result<K> {
    let done = tokio::task::spawn_blocking(move || work(&mut index).map(|()| index)).await;
    done.map_err(|error| Error::internal("work on the search index panicked").because(error))?
}

/// The writer of this process's index.
struct Keeper {
    index: BoardIndex,
    /// Looks since the last change.
    idle: u32,
    _slot: Slot,
}

impl Keeper {
    async fn begin(app: &App) -> Result<Self> {
        // The database is asked first: while it is away, no index is read from the disk over and over.
        let last = Reach::to(app.db.read(|c| Ok(queries::find_last_change(c)?)).await?);
        let slot = Slot::take(&app.config.search_dir())?;
        let folder = slot.index();
        let opened = tokio::task::spawn_blocking(move || BoardIndex::open(&folder)).await.unwrap_or(None);
        let reach = opened.as_ref().map_or(Reach(None), BoardIndex::reach);
        let index = match (opened, app.db.read(move |c| knows(c, reach)).await?) {
            (Some(index), true) => index,
            _ => build(&app.db, &slot, last).await?,
        };
        app.finder.set(index.reading());
        Ok(Self { index, idle: 0, _slot: slot })
    }
}

/// True if this database has the change up to which an index goes. One that goes up to none is of no database.
fn knows(c: &mut Conn, reach: Reach) -> Result<bool> {
    let Some((position, step)) = reach.0 else { return Ok(false) };
    Ok(queries::find_change(c, position)?.is_some_and(|change| change.step_id == step))
}

/// Builds an index from the database, and puts it in the place of the one before.
///
/// A listing that comes on the board meanwhile is read here, or comes as a change after `reach`: the changes up to there were
/// committed before anything was read.
async fn build(db: &Db, slot: &Slot, reach: Reach) -> Result<BoardIndex> {
    let (folder, next) = (slot.index(), slot.next());
    remove(&next)?;
    let index = BoardIndex::create(&next)?;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4));
    // One more: it goes on while another waits for the disk or the database.
    let builders = fill(db, index.builders(threads.saturating_add(1))).await?;
    let put = move || {
        index.assemble(builders, reach)?;
        remove(&folder)?;
        std::fs::rename(&next, &folder)?;
        BoardIndex::open(&folder).ok_or_else(|| Error::internal("the search index that was just built cannot be used"))
    };
    let put = tokio::task::spawn_blocking(put).await;
    put.map_err(|error| Error::internal("opening the search index panicked").because(error))?
}

/// Reads what is on the board, as many batches at a time as there are builders, and has them indexed.
async fn fill(db: &Db, builders: Vec<Builder>) -> Result<Vec<Builder>> {
    let at_once = builders.len();
    let idle = Mutex::new(builders);
    let pages = stream::try_unfold(String::new(), |after| page(db.clone(), after));
    let batches = pages.map_ok(|batches| stream::iter(batches).map(Ok::<_, Error>)).try_flatten();
    batches.try_for_each_concurrent(at_once, |listings| take_in(db, &idle, listings)).await?;
    let begun = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
    try_join_all(begun.into_iter().map(|builder| in_background(builder, Builder::end))).await
}

/// Reads a batch, and has it indexed by a builder that has nothing to do.
async fn take_in(db: &Db, idle: &Mutex<Vec<Builder>>, listings: Vec<ListingId>) -> Result<()> {
    let entries = read_batch(db.clone(), listings).await?;
    let builder = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let builder = builder.ok_or_else(|| Error::internal("more batches are read at a time than there are builders"))?;
    let builder = in_background(builder, move |builder| builder.add(&entries)).await?;
    idle.lock().unwrap_or_else(PoisonError::into_inner).push(builder);
    Ok(())
}

/// The listings on the board of the datasets after `after`, one page of datasets, in batches; and the last of these datasets.
async fn page(db: Db, after: String) -> Result<Option<(Vec<Vec<ListingId>>, String)>> {
    let page = db.read(move |c| {
        let datasets = queries::list_datasets_on_board(c, &after, PAGE)?;
        Ok((entry::batches(c, &datasets)?, datasets.last().copied()))
    });
    let (batches, last) = page.await?;
    Ok(last.map(|last| (batches, last.to_string())))
}

async fn read_batch(db: Db, listings: Vec<ListingId>) -> Result<Vec<Entry>> {
    db.read(move |c| entry::to_index(c, &listings)).await
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A folder for the index of one process, locked for as long as it lives: several may share a data directory.
struct Slot {
    folder: PathBuf,
    _lock: File,
}

impl Slot {
    fn take(folder: &Path) -> Result<Self> {
        for number in 0..MOST_SLOTS {
            let folder = folder.join(number.to_string());
            std::fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join("lock"))?;
            match lock.try_lock() {
                Ok(()) => return Ok(Self { folder, _lock: lock }),
                Err(std::fs::TryLockError::WouldBlock) => {}
                Err(std::fs::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(Error::internal(format!("{MOST_SLOTS} processes use {} already", folder.display()))
            .remedy("give each process a data directory of its own"))
    }
    fn index(&self) -> PathBuf {
        self.folder.join("index")
    }
    fn next(&self) -> PathBuf {
        self.folder.join("next")
    }
}
