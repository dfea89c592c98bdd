//! The size of a version in the units by which it may be priced: records, bytes, tokens.

use super::{ManifestShard, Seal, queries};
use crate::db::{self, Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::schema::seals;
use crate::types::{Digest, VersionId};

/// How much some shards hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = seals, check_for_backend(MultiBackend))]
pub struct Measure {
    /// How many shards there are.
    #[diesel(column_name = shard_count)]
    pub shards: i64,
    /// The sum of their sizes.
    #[diesel(column_name = total_bytes)]
    pub bytes: i64,
    /// The sum of their records; absent unless each says how many it holds.
    #[diesel(column_name = total_records)]
    pub records: Option<i64>,
    /// The sum of their tokens; absent unless each says how many it holds.
    #[diesel(column_name = total_tokens)]
    pub tokens: Option<i64>,
}

impl Measure {
    /// Counts shards.
    ///
    /// # Errors
    /// `TooLarge` when a sum exceeds 2^63 − 1.
    pub fn of<'a>(shards: impl Iterator<Item = &'a ManifestShard>) -> Result<Self> {
        let mut sum = Self { shards: 0, bytes: 0, records: Some(0), tokens: Some(0) };
        for shard in shards {
            sum = Self {
                shards: add(sum.shards, 1)?,
                bytes: add(sum.bytes, shard.size_bytes)?,
                records: add_stated(sum.records, shard.records)?,
                tokens: add_stated(sum.tokens, shard.tokens)?,
            };
        }
        Ok(sum)
    }
}

/// What a version holds of one media type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The version.
    pub version_id: VersionId,
    /// The media type.
    pub media_type: String,
    /// How many shards are of it.
    pub files: i64,
    /// The sum of their sizes.
    pub total_bytes: i64,
    /// The path and the digest of the only one.
    pub only_file: Option<(String, Digest)>,
}

/// The shards of how many versions one statement may look through: each may have a hundred thousand.
pub const LOOKED_THROUGH_AT_ONCE: usize = 16;
/// The most media types of a version that are told: of more, the first.
const MOST_MEDIA: usize = 50;

/// What a sealed version holds, by media type.
#[derive(Debug, Clone)]
struct Held(Vec<Media>);

/// What some sealed versions hold, by version and media type, whoever asks. It is remembered: a version may have a hundred
/// thousand shards to look through, and a dataset a thousand versions.
///
/// # Errors
/// Those of the database.
pub fn media_of(c: &mut Conn, versions: &[VersionId]) -> Result<Vec<Media>> {
    db::load_ahead(c, versions.iter().copied(), held)?;
    let mut found = Vec::new();
    for version in versions {
        let alone = |c: &mut Conn| held(c, &[*version]).map(|mut held| held.pop().map(|(_, held)| held));
        found.extend(db::fact(c, version, alone)?.into_iter().flat_map(|held| held.0));
    }
    Ok(found)
}

/// What these versions hold, each; where one holds too much to be told together with others, it is not told.
fn held(c: &mut Conn, versions: &[VersionId]) -> Result<Vec<(VersionId, Held)>> {
    let found = queries::list_media(c, versions, MOST_MEDIA)?;
    Ok(found.into_iter().map(|(version, media)| (version, Held(media))).collect())
}

impl Seal {
    /// How much the whole version holds.
    pub fn measure(&self) -> Measure {
        let Self { shard_count, total_bytes, total_records, total_tokens, .. } = *self;
        Measure { shards: shard_count, bytes: total_bytes, records: total_records, tokens: total_tokens }
    }
}

fn add(sum: i64, more: i64) -> Result<i64> {
    sum.checked_add(more)
        .ok_or_else(|| Error::new(Kind::TooLarge, "the shards add up to more than can be counted").field("/shards"))
}

fn add_stated(sum: Option<i64>, more: Option<i64>) -> Result<Option<i64>> {
    sum.zip(more).map(|(sum, more)| add(sum, more)).transpose()
}
