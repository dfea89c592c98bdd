//! The repositories that somebody may see, as a list.

use super::{Repo, visible};
use crate::catalog::Dataset;
use crate::catalog::datasets::{self, DatasetQuery};
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;

/// Datasets looked at in one go.
const STEP: i64 = 100;
/// The most that one page looks at: where little fits, pages are short, and the list goes on.
const MOST_LOOKED_AT: usize = 1000;

/// Which repositories are wanted.
#[derive(Debug, Clone, Default)]
pub struct BoardQuery {
    /// Words that title, name or organisation contain, each somewhere.
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

/// The tags that a dataset has whatever its version.
pub fn tags(dataset: &Dataset) -> Vec<String> {
    let mut tags = vec![format!("modality:{}", dataset.modality), dataset.domain.to_string()];
    tags.extend(dataset.languages.iter().map(|language| format!("language:{language}")));
    tags
}

/// Lists the repositories that `caller` may see, newest first, and where the next page begins, if there is one.
pub fn board(c: &mut Conn, caller: Option<&Caller>, query: &BoardQuery) -> Result<(Vec<Repo>, Option<String>)> {
    let (mut found, mut looked_at, mut cursor) = (Vec::new(), 0_usize, query.cursor.clone());
    loop {
        let step = DatasetQuery {
            cursor: cursor.clone(),
            limit: Some(STEP),
            q: Some(query.words.clone()),
            organisation: query.author.clone(),
        };
        let page = datasets::list(c, caller, &step)?;
        for dataset in page.items {
            cursor = Some(dataset.id.to_string());
            looked_at = looked_at.saturating_add(1);
            let has = tags(&dataset);
            if !query.tags.iter().all(|tag| has.iter().any(|own| own.eq_ignore_ascii_case(tag))) {
                continue;
            }
            let revisions = visible(c, caller, &dataset)?;
            if !revisions.is_empty() {
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
