//! Search over the board: words in Chinese and English, facets, and several orders.
//!
//! The unit is a listing of the newest version of a dataset that has one on the board. An index in each process, derived from
//! the database, finds and counts; what it finds is then read from the database, or from the copy that follows it where there
//! is one, so that nobody is shown what is not on the board there any more. What is listed is found within a second, on every
//! instance; a copy that lags behind adds what it lags.
//!
//! Invariant: an answer holds only listings that were on the board when it was made, or at the moment that the copy shows.
//! Invariant: the numbers of an answer are exact for the index as of one commit.

mod builder;
mod changes;
mod directory;
mod entry;
mod facets;
mod follow;
mod gather;
mod highlight;
mod index;
mod place;
mod queries;
mod query;
pub mod routes;
mod sheet;
mod values;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

pub use changes::{dataset_concerned, number};
pub use entry::Entry;
pub use facets::Facet;
pub use follow::follow;
pub use highlight::Piece;
pub use index::{BoardIndex, Reach, Reading};
pub use place::Sort;
pub use query::SearchQuery;

use highlight::Marker;
use place::Mark;
use query::Search;

use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::types::{Cursor, ListingId};

/// How long a search waits for the first index of a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// The place where searches find the index of their process.
#[derive(Clone)]
pub struct Finder(watch::Sender<Option<Reading>>);

impl Default for Finder {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Finder {
    fn set(&self, reading: Reading) {
        self.0.send_replace(Some(reading));
    }

    /// The index; one that is only being built is waited for a little.
    async fn reading(&self) -> Result<Reading> {
        let mut there = self.0.subscribe();
        let found = tokio::time::timeout(PATIENCE, there.wait_for(Option::is_some)).await;
        found.ok().and_then(|found| found.ok()?.clone()).ok_or_else(|| {
            Error::new(Kind::Unavailable, "the search index is being built").remedy("try again in a moment")
        })
    }
}

/// What a search found: one page of it.
#[derive(Debug, Clone)]
pub struct Found {
    /// The listings, in order.
    pub hits: Vec<Hit>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
    /// How many there are on all pages.
    pub total: u64,
    /// How many of all have each value, the most frequent first, at most 50 values of each facet.
    pub facets: BTreeMap<Facet, Vec<Counted>>,
}

/// A listing that was found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The listing, as it is now.
    pub entry: Entry,
    /// Where the words were found in its title.
    pub title: Option<Vec<Piece>>,
    /// The part of its card around the first word that was found there.
    pub card: Option<Vec<Piece>>,
}

/// How many listings have a value of a facet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counted {
    /// The value, as a filter names it.
    pub value: String,
    /// How many.
    pub count: u64,
}

/// What an index knows of a search, before anything is read from the database.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// The listings of one page, in order.
    pub listings: Vec<ListingId>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
    /// How many there are on all pages.
    pub total: u64,
    /// As in [`Found`].
    pub facets: BTreeMap<Facet, Vec<Counted>>,
}

/// Searches the board. Everybody may.
///
/// # Errors
/// `Invalid`, naming the parameter; `Unavailable` while the first index of this process is built.
pub async fn search(app: &App, query: &SearchQuery) -> Result<Found> {
    let search = query.check()?;
    let reading = app.finder.reading().await?;
    let look = move || look_up(&reading, &search).map(|found| (search, found));
    let (search, LookedUp { listings, next, total, facets }) = tokio::task::spawn_blocking(look)
        .await
        .map_err(|error| Error::internal("a search panicked").because(error))??;
    let hits = app.db.read_catalogue(move |c| Ok(hits(entry::of_listings(c, &listings)?, &listings, &search))).await?;
    Ok(Found { hits, next, total, facets })
}

impl Reading {
    /// Looks something up, with what is indexed now.
    ///
    /// # Errors
    /// `Invalid`, naming the parameter.
    pub fn look_up(&self, query: &SearchQuery) -> Result<LookedUp> {
        look_up(self, &query.check()?)
    }
}

/// One place more than wanted tells that there is another page.
fn look_up(reading: &Reading, search: &Search) -> Result<LookedUp> {
    let gathered = gather::gather(reading, search, search.limit.saturating_add(1)).map_err(index::broken)?;
    let more = gathered.places.len() > search.limit;
    let page = gathered.places.get(..search.limit).unwrap_or(&gathered.places);
    let next = page.last().filter(|_| more).map(|place| Cursor(Mark(search.sort, *place).to_string()));
    let listings = page.iter().map(|place| place.listing()).collect();
    Ok(LookedUp {
        listings,
        next,
        total: gathered.total,
        facets: reading.sheets.values.most_frequent(&gathered.counts),
    })
}

/// The listings in the order in which they were found, with their matches.
fn hits(entries: Vec<Entry>, order: &[ListingId], search: &Search) -> Vec<Hit> {
    let mut marker = Marker::new(search.all_words());
    let mut entries: HashMap<ListingId, Entry> = entries.into_iter().map(|entry| (entry.listing, entry)).collect();
    let hit = |entry: Entry| {
        let title = marker.whole(&entry.dataset.title);
        let card = marker.around(entry.text());
        Hit { entry, title, card }
    };
    order.iter().filter_map(|listing| entries.remove(listing)).map(hit).collect()
}
