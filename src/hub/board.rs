//! The list of repositories that a caller may see, and searches among those on the board.

use std::collections::HashSet;

use super::{Depth, Repo, visible};
use crate::app::App;
use crate::catalog::Dataset;
use crate::catalog::datasets::{self, DatasetQuery};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::market;
use crate::market::search::{Entry, SearchQuery, search};

/// How many datasets are looked at in one go.
const STEP: i64 = 100;
/// The most that one page looks at: where little fits, pages are short, and the list goes on.
const MOST_LOOKED_AT: usize = 1000;
/// The most searches for one page.
const MOST_SEARCHES: usize = 10;

/// Which repositories are wanted.
#[derive(Debug, Clone, Default)]
pub struct BoardQuery {
    /// Words to search the board for; without any, everything is listed.
    pub words: String,
    /// The handle of the organisation.
    pub author: Option<String>,
    /// Tags that a repository has, all of them.
    pub tags: Vec<String>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// The most that are wanted.
    pub limit: usize,
}

impl BoardQuery {
    fn fits(&self, dataset: &Dataset) -> bool {
        let has = tags(dataset);
        self.tags.iter().all(|tag| has.iter().any(|own| own.eq_ignore_ascii_case(tag)))
    }
}

/// The tags that a dataset has whatever its version.
pub fn tags(dataset: &Dataset) -> Vec<String> {
    let mut tags = vec![format!("modality:{}", dataset.modality), dataset.domain.to_string()];
    tags.extend(dataset.languages.iter().map(|language| format!("language:{language}")));
    tags
}

/// Lists the repositories that `caller` may see, each at its newest revision, newest first, and where the next page
/// begins, if there is one.
pub fn board(c: &mut Conn, caller: Option<&Caller>, query: &BoardQuery) -> Result<(Vec<Repo>, Option<String>)> {
    let (mut found, mut looked_at, mut cursor) = (Vec::new(), 0_usize, query.cursor.clone());
    loop {
        let step = DatasetQuery { cursor: cursor.clone(), limit: Some(STEP), organisation: query.author.clone() };
        let page = datasets::list(c, caller, &step)?;
        let fitting: Vec<&Dataset> = page.items.iter().filter(|dataset| query.fits(dataset)).collect();
        let mut visible = visible(c, caller, &fitting, Depth::Newest)?;
        for dataset in page.items {
            cursor = Some(dataset.id.to_string());
            looked_at = looked_at.saturating_add(1);
            if let Some(revisions) = visible.remove(&dataset.id) {
                found.push(Repo::new(dataset, revisions));
            }
            if found.len() >= query.limit {
                return Ok((found, cursor));
            }
        }
        if page.next.is_none() {
            return Ok((found, None));
        }
        if looked_at >= MOST_LOOKED_AT {
            return Ok((found, cursor));
        }
    }
}

/// The repositories on the board in which the words are found, the most relevant first, and where the next page begins, if
/// there is one.
pub async fn find_on_board(
    app: &App,
    caller: Option<&Caller>,
    query: &BoardQuery,
) -> Result<(Vec<Repo>, Option<String>)> {
    let (mut found, mut cursor) = (Vec::new(), query.cursor.clone());
    for _ in 0..MOST_SEARCHES {
        let wanted = SearchQuery {
            q: Some(query.words.clone()),
            organisation: query.author.clone(),
            cursor: cursor.take(),
            limit: i64::try_from(query.limit.saturating_sub(found.len())).ok(),
            ..SearchQuery::default()
        };
        let page = search(app, &wanted).await?;
        let entries: Vec<Entry> = page.hits.into_iter().map(|hit| hit.entry).collect();
        let entries = entries.into_iter().filter(|entry| query.fits(&entry.dataset)).collect();
        let caller = caller.cloned();
        found.extend(app.db.read(move |c| repos(c, caller.as_ref(), entries)).await?);
        cursor = page.next.map(|next| next.0);
        if cursor.is_none() || found.len() >= query.limit {
            break;
        }
    }
    Ok((found, cursor))
}

/// The repositories of what was found. A version that is listed on several terms is one repository, by its first listing.
fn repos(c: &mut Conn, caller: Option<&Caller>, entries: Vec<Entry>) -> Result<Vec<Repo>> {
    let versions: Vec<_> = entries.iter().map(|entry| entry.version_id).collect();
    let mut listed = market::listed(c, &versions)?;
    listed.sort_by_key(|listing| listing.id);
    let mut seen = HashSet::new();
    listed.retain(|listing| seen.insert(listing.version_id));
    let is_first = |entry: &Entry| listed.iter().any(|listing| listing.id == entry.listing);
    let entries: Vec<Entry> = entries.into_iter().filter(is_first).collect();
    let datasets: Vec<&Dataset> = entries.iter().map(|entry| &entry.dataset).collect();
    let visible = visible(c, caller, &datasets, Depth::Newest)?;
    let repo = |entry: Entry| {
        let revisions = visible.get(&entry.dataset.id)?.clone();
        Some(Repo::new(entry.dataset, revisions))
    };
    Ok(entries.into_iter().filter_map(repo).collect())
}
