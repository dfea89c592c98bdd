//! Versions: drafts, their cards, and lists of what a version holds.

use super::card::Card;
use super::{
    DatasetRef, Seal, Shard, Version, VersionRef, VersionState, card_of, edit_draft, is_insider, queries, view_dataset,
    view_version,
};
use crate::db::{self, Conn};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::types::{Digest, Instant, Page, PageQuery, VersionId};

/// A version together with the digest of its card, and its seal, if it has one.
pub type Described = (Version, Digest, Option<Seal>);

/// Begins the next version of a dataset as a draft.
///
/// # Errors
/// `NotFound`, `Forbidden`; those of [`Card::parse`].
pub fn create(c: &mut Conn, caller: &Caller, which: &DatasetRef, card: &str, now: Instant) -> Result<Described> {
    let dataset = view_dataset(c, Some(caller), which)?;
    caller.may_for(dataset.organisation_id, &dataset.handle, Role::DEALERS)?;
    identity::require_verified(&identity::organisation(c, dataset.organisation_id)?)?;
    Card::parse(card)?;
    let last = queries::find_last_number(c, dataset.id)?.unwrap_or(0);
    let number = last.checked_add(1).ok_or_else(|| Error::internal("version numbers are used up"))?;
    let version = Version {
        id: VersionId::new(now),
        dataset_id: dataset.id,
        number,
        state: VersionState::Draft,
        created_at: now,
    };
    queries::insert_version(c, &version, card)?;
    history::record(c, version.id, None, version.state.as_str(), caller.user_id, "begun", now)?;
    Ok((version, Digest::of(card), None))
}

/// Replaces the card of a draft; with `if_match`, only if the card's digest is still that one.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`; `Stale` when the card changed; those of [`Card::parse`].
pub fn set_card(
    c: &mut Conn,
    caller: &Caller,
    which: &VersionRef,
    card: &str,
    if_match: Option<&[Digest]>,
) -> Result<Described> {
    let (_, version) = edit_draft(c, caller, which)?;
    Card::parse(card)?;
    if let Some(known) = if_match {
        let present = card_sha256(c, &version)?;
        if !known.contains(&present) {
            return Err(Error::new(Kind::Stale, format!("the card is now {present}"))
                .field("If-Match")
                .remedy("fetch the card again, and repeat the change with its ETag"));
        }
    }
    queries::set_card(c, version.id, card)?;
    Ok((version, Digest::of(card), None))
}

/// A version that `caller` may see.
///
/// # Errors
/// `NotFound`.
pub fn get(c: &mut Conn, caller: Option<&Caller>, which: &VersionRef) -> Result<Described> {
    let (_, version) = view_version(c, caller, which)?;
    let seal = queries::find_seal(c, version.id)?;
    described(c, (version, seal))
}

fn described(c: &mut Conn, (version, seal): (Version, Option<Seal>)) -> Result<Described> {
    let card_sha256 = card_sha256(c, &version)?;
    Ok((version, card_sha256, seal))
}

/// The card of a version that `caller` may see, and its digest.
///
/// # Errors
/// `NotFound`.
pub fn card(c: &mut Conn, caller: Option<&Caller>, which: &VersionRef) -> Result<(String, Digest)> {
    let (_, version) = view_version(c, caller, which)?;
    let card = card_of(c, version.id)?;
    let sha256 = sha256_of(c, &version, |_| Ok(card.as_str()))?;
    Ok((card, sha256))
}

/// The digest of a card that does not change any more.
#[derive(Debug, Clone, Copy)]
struct CardDigest(Digest);

/// The SHA-256 of a version's card: its ETag, and what the manifest names. That of a sealed version is remembered.
pub(super) fn card_sha256(c: &mut Conn, version: &Version) -> Result<Digest> {
    sha256_of(c, version, |c| card_of(c, version.id))
}

/// As [`card_sha256`]; `card` reads the card, where its digest is not remembered.
fn sha256_of<T: AsRef<[u8]>>(
    c: &mut Conn,
    version: &Version,
    card: impl FnOnce(&mut Conn) -> Result<T>,
) -> Result<Digest> {
    let read = |c: &mut Conn| Ok::<_, Error>(Some(CardDigest(Digest::of(card(c)?))));
    let digest = if version.state == VersionState::Draft { read(c)? } else { db::fact(c, version.id, read)? };
    digest.map(|digest| digest.0).ok_or_else(|| Error::internal("a version has a card"))
}

/// The versions of a dataset that `caller` may see, in the order of their numbers.
///
/// # Errors
/// `NotFound`; `Invalid`, naming the parameter.
pub fn list(c: &mut Conn, caller: Option<&Caller>, which: &DatasetRef, page: &PageQuery) -> Result<Page<Described>> {
    let dataset = view_dataset(c, caller, which)?;
    let limit = page.limit()?;
    let after: i32 = page.after_number()?.unwrap_or(0);
    let assessed_only = !is_insider(caller, dataset.organisation_id);
    let rows = queries::list_versions(c, dataset.id, assessed_only, after, limit.saturating_add(1))?;
    let Page { items, next } = Page::new(rows, limit, |(version, _)| version.number.to_string());
    let items = items.into_iter().map(|version| described(c, version)).collect::<Result<_>>()?;
    Ok(Page { items, next })
}

/// The shards of a version that `caller` may see, sorted by path.
///
/// # Errors
/// `NotFound`; `Invalid`, naming the parameter.
pub fn list_shards(c: &mut Conn, caller: Option<&Caller>, which: &VersionRef, page: &PageQuery) -> Result<Page<Shard>> {
    let (_, version) = view_version(c, caller, which)?;
    let limit = page.limit()?;
    let rows = queries::list_shards(c, version.id, page.after()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |shard| shard.path.clone()))
}

/// Takes a shard out of a draft. Its bytes stay verified, and can be added again without a transfer while another
/// version of the organisation holds them.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`.
pub fn remove_shard(c: &mut Conn, caller: &Caller, which: &VersionRef, path: &str) -> Result<Shard> {
    let (_, version) = edit_draft(c, caller, which)?;
    let shard = super::shard(c, version.id, path)?;
    queries::delete_shard(c, version.id, path)?;
    Ok(shard)
}
