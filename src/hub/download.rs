//! A file of a commit, and whether its caller may have it.

use std::sync::Arc;

use super::{Files, README, Refusal, Repo, Revision, Shelf, files, repo_at};
use crate::config::Config;
use crate::db::Conn;
use crate::delivery::{self, Entitlement, Planned};
use crate::error::{Error, Kind, Result};
use crate::identity::Caller;
use crate::types::Instant;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The handle of the organisation.
    pub organisation: String,
    /// The name of the dataset.
    pub name: String,
    /// A revision, in any of its names.
    pub revision: String,
    /// The path of the file.
    pub path: String,
}

/// A file that the caller may have.
#[derive(Debug, Clone)]
pub struct Found {
    /// `org/name`.
    pub dataset: String,
    /// The commit that the revision stands for.
    pub commit: String,
    /// Warnings: that the licence ends soon, or that more is downloaded than its terms expect.
    pub warnings: Vec<String>,
    /// The file itself.
    pub content: Content,
}

/// Where the bytes of a file come from.
#[derive(Debug, Clone)]
pub enum Content {
    /// A shard, with the receipt that has to be recorded before its bytes leave.
    Shard(Box<Planned>),
    /// The generated card, among the files of its commit.
    Readme(Arc<Files>),
}

/// Finds a file, for a caller with a licence that may be used now. A caller without one is told where the listings are.
pub fn find(
    c: &mut Conn,
    caller: Option<&Caller>,
    wanted: &Wanted,
    (shelf, config): (&Shelf, &Config),
    now: Instant,
) -> Result<Found, Refusal> {
    let (repo, revision) = &repo_at(c, caller, (&wanted.organisation, &wanted.name), &wanted.revision)?;
    let missing = || Refusal::Entry { path: wanted.path.clone(), commit: revision.commit() };
    let (licence, content) = under_licence(c, caller, (repo, revision), &config.public_url(), |c, caller, licence| {
        if wanted.path != README {
            let path = [wanted.path.clone()];
            let mut planned = delivery::plan(c, caller, licence.id, (Some(revision.number), &path), now)?;
            let planned = planned.pop().ok_or_else(|| Error::internal("a shard was planned and is not there"))?;
            if !revision.shows(&planned.shard) {
                return Err(Error::not_found("the file")); // licensed, and not of this commit
            }
            return Ok(Content::Shard(Box::new(planned)));
        }
        delivery::require_use(c, caller, licence.id, revision.number, now)?;
        Ok(Content::Readme(files(c, shelf, &repo.dataset, revision)?))
    })
    .map_err(|refusal| match refusal {
        Refusal::Failed(error) if error.kind == Kind::NotFound => missing(),
        refusal => refusal,
    })?;
    let dataset = repo.dataset.full_name();
    let notice = i64::from(config.renewal_notice_days);
    let ending = licence.expires_at.and_then(|end| ending(&dataset, revision, (end, notice), now));
    let excess = match &content {
        Content::Shard(planned) => planned.warning.as_ref(),
        Content::Readme(_) => None,
    };
    let excess = excess.map(|excess| format!("downloads {dataset} {}; {excess}", revision.tag()));
    Ok(Found { dataset, commit: revision.commit(), warnings: ending.into_iter().chain(excess).collect(), content })
}

/// What `give` gives under the first of the caller's licences to a revision that allows it: one licence may be for a part, and
/// another for the rest. A caller without a credential has none.
fn under_licence<T>(
    c: &mut Conn,
    caller: Option<&Caller>,
    (repo, revision): (&Repo, &Revision),
    front_door: &str,
    give: impl Fn(&mut Conn, &Caller, &Entitlement) -> Result<T>,
) -> Result<(Entitlement, T), Refusal> {
    let gated = |why: String| Refusal::Gated { signed_in: caller.is_some(), why };
    let dataset = repo.dataset.full_name();
    let mut why =
        format!("{dataset} {} takes a licence: see {front_door}/v1/listings?dataset={dataset}", revision.tag());
    let Some(caller) = caller else { return Err(gated(why + ", or send the token of a licensee")) };
    for licence in &revision.licences {
        match give(c, caller, licence) {
            Ok(given) => return Ok((licence.clone(), given)),
            Err(error) if matches!(error.kind, Kind::NotEntitled | Kind::Forbidden) => why = error.to_string(),
            Err(error) => return Err(error.into()),
        }
    }
    let others: Vec<String> = repo.revisions.iter().filter(|other| other.is_licensed()).map(Revision::tag).collect();
    if revision.licences.is_empty() && !others.is_empty() {
        why = format!("{why}; you hold a licence to {}: name it as the revision", others.join(", "));
    }
    Err(gated(why))
}

/// What a client prints once when the licence ends within so many days: a topic, and the text for it.
fn ending(dataset: &str, revision: &Revision, (end, notice): (Instant, i64), now: Instant) -> Option<String> {
    let days = now.days_until(end);
    let plural = if days == 1 { "day" } else { "days" };
    let name = format!("{dataset} {}", revision.tag());
    (days <= notice).then(|| format!("licence {name}; your licence to {name} ends in {days} {plural}, at {end}"))
}
