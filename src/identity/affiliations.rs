//! Who belongs together: organisations declare their affiliates, and what one declares holds for both.

use std::collections::{BTreeMap, VecDeque};

use super::{Organisation, queries};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};

/// The most organisations that are looked at for one question.
const MOST_LOOKED_AT: usize = 1000;

/// Keeps what a new organisation declares where it can be followed.
pub(super) fn declare(c: &mut Conn, organisation: &Organisation) -> Result<()> {
    for affiliate in &organisation.affiliations.0 {
        queries::insert_affiliation(c, &organisation.handle, affiliate)?;
    }
    Ok(())
}

/// The shortest chain of declared affiliations from one organisation to another, both included; `None` when they do not
/// belong together.
///
/// # Errors
/// `TooLarge` when so many organisations belong to the first that it cannot be told.
pub fn affiliation(c: &mut Conn, from: &str, to: &str) -> Result<Option<Vec<String>>> {
    let mut came_from: BTreeMap<String, String> = BTreeMap::from([(from.to_string(), String::new())]);
    let mut next = VecDeque::from([from.to_string()]);
    let limit = i64::try_from(MOST_LOOKED_AT).unwrap_or(i64::MAX);
    while let Some(here) = next.pop_front() {
        if here == to {
            return Ok(Some(way_back(&came_from, here)));
        }
        for there in queries::list_affiliates(c, &here, limit)? {
            if !came_from.contains_key(&there) {
                came_from.insert(there.clone(), here.clone());
                next.push_back(there);
            }
        }
        if came_from.len() > MOST_LOOKED_AT {
            let detail = format!("more than {MOST_LOOKED_AT} organisations belong to {from}: too many to look through");
            return Err(Error::new(Kind::TooLarge, detail));
        }
    }
    Ok(None)
}

fn way_back(came_from: &BTreeMap<String, String>, end: String) -> Vec<String> {
    let step = |here: &String| came_from.get(here).filter(|before| !before.is_empty()).cloned();
    let mut way: Vec<String> = std::iter::successors(Some(end), step).collect();
    way.reverse();
    way
}
