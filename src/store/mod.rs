//! Where the bytes live: a directory of this machine, or an S3 bucket. Both promise the same.
//!
//! Large objects arrive in parts (as in S3 multipart uploads), through URLs signed for one part each, and leave
//! through URLs signed for one object each; small ones are put and read directly. Nothing here knows what the
//! bytes mean: digests are checked by the domains, which read the bytes back.
//!
//! Invariant: what was acknowledged (a part, a completed upload, a put) survives a crash and a power cut.
//! Invariant: an object appears under its key whole, or not at all; completing or deleting twice is as good as once.
//! Invariant: keys are chosen by the exchange. No name that a user gave ever becomes part of a key or a path.
//! Invariant: a signed URL permits one part of one upload, of one size, or one object, until it expires. Signed
//! URLs are never logged.

mod key;
mod links;
mod local;
pub(crate) mod routes;
mod s3;

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde::{Deserialize, Serialize};
use tokio::task::coop::consume_budget;
use tracing::Instrument as _;
use url::Url;
use utoipa::ToSchema;

pub use key::StorageKey;
pub use local::LocalStore;
pub use s3::{S3Credentials, S3Store};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::failpoints::{self, Site};
use crate::keys::ExchangeKeys;
use crate::types::{Instant, length};

/// The most parts one upload may have (a limit of S3).
pub const MAX_PARTS: u32 = 10_000;
const DEFAULT_PART_BYTES: u64 = 8 * MEBIBYTE;
const MEBIBYTE: u64 = 1024 * 1024;

/// An object's bytes as they are read, in pieces of at most about 1 MiB.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A part of bytes in memory, as a stream.
///
/// # Errors
/// `RangeNotSatisfiable`, when they do not reach so far.
pub(crate) fn part_of(bytes: &Bytes, part: Range<u64>) -> Result<ByteStream> {
    let size_bytes = length(bytes);
    if part.start > part.end || part.end > size_bytes {
        return Err(range_not_satisfiable(size_bytes));
    }
    let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
    let part = bytes.slice(place(part.start)..place(part.end));
    Ok(stream::once(async { Ok(part) }).boxed())
}

/// The part size for an object of `size_bytes`: 8 MiB, or the fewest whole MiB that need at most
/// [`MAX_PARTS`] parts.
pub fn part_size_for(size_bytes: u64) -> u64 {
    let least = size_bytes.div_ceil(u64::from(MAX_PARTS));
    DEFAULT_PART_BYTES.max(least.div_ceil(MEBIBYTE) * MEBIBYTE)
}

/// How many parts an object of `size_bytes` has: none when it has no bytes, for some S3 services refuse empty
/// parts.
pub fn part_count(size_bytes: u64, part_size_bytes: u64) -> u64 {
    size_bytes.div_ceil(part_size_bytes.max(1))
}

/// The exact size of part `number` (1-based) of an object, or none when the object has no such part.
pub fn size_of_part(size_bytes: u64, part_size_bytes: u64, number: u32) -> Option<u64> {
    let number = u64::from(number);
    if number == 0 || number > part_count(size_bytes, part_size_bytes) {
        return None;
    }
    let start = (number - 1).checked_mul(part_size_bytes)?;
    Some(part_size_bytes.min(size_bytes.saturating_sub(start)))
}

/// Whether `text` is exactly `digits` lower-case hexadecimal digits: safe as a file name.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// One durable part of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UploadedPart)]
pub struct Part {
    /// Its place in the object, from 1.
    pub number: u32,
    /// Its size.
    pub size_bytes: u64,
    /// The store's mark of its content, without quotes: the hexadecimal SHA-256 in a directory; in S3 whatever the
    /// service says (empty from a service that says nothing).
    pub etag: String,
}

/// What the store knows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its size.
    pub size_bytes: u64,
    /// The store's mark of its content, without quotes: another one whenever the content was replaced.
    pub etag: String,
}

/// An object that the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldObject {
    /// Its key.
    pub key: StorageKey,
    /// When it was written, by the store's own clock.
    pub written_at: Instant,
}

/// The object store.
#[derive(Debug, Clone)]
pub enum Store {
    /// A directory of this machine.
    Local(LocalStore),
    /// An S3 bucket.
    S3(S3Store),
}

/// Calls the same method of whichever store it is, in a span of its own.
macro_rules! either {
    ($self:ident.$operation:ident($($argument:expr),*)) => {{
        let span = tracing::debug_span!("store", operation = stringify!($operation));
        let called = async {
            match $self {
                Store::Local(store) => store.$operation($($argument),*).await,
                Store::S3(store) => store.$operation($($argument),*).await,
            }
        };
        called.instrument(span).await
    }};
}

/// The same, of a call that changes the store.
macro_rules! change {
    ($self:ident.$operation:ident($($argument:expr),*)) => {{
        failpoints::pass(Site::StoreChange)?;
        let changed = either!($self.$operation($($argument),*))?;
        failpoints::pass(Site::StoreChanged)?;
        Ok(changed)
    }};
}

impl Store {
    /// Opens the store that the settings name: the bucket if there is one, else the data directory.
    ///
    /// The directory is made if it is missing; the bucket is not looked at (see [`Store::check`]).
    pub async fn open(config: &Config, keys: &ExchangeKeys) -> Result<Self> {
        match &config.s3_bucket {
            Some(bucket) => Ok(Self::S3(S3Store::open(config, bucket, None).await?)),
            None if config.s3_endpoint.is_some() => {
                Err(Error::invalid("s3_endpoint", "an S3 endpoint is given, but no bucket")
                    .remedy("name the bucket with --s3-bucket or CORPEX_S3_BUCKET"))
            }
            None => Ok(Self::Local(LocalStore::open(config, keys).await?)),
        }
    }

    /// Opens a bucket at the settings' endpoint and region with given credentials, instead of those that AWS tools
    /// would find in the environment.
    pub async fn open_bucket(config: &Config, bucket: &str, credentials: S3Credentials) -> Result<Self> {
        Ok(Self::S3(S3Store::open(config, bucket, Some(credentials)).await?))
    }

    /// Begins an upload in parts to `key` and gives the store's name for it, the multipart id.
    pub async fn begin_multipart(&self, key: &StorageKey) -> Result<String> {
        change!(self.begin_multipart(key))
    }

    /// A URL to which one part, of exactly `size_bytes`, can be PUT until `now + ttl`. It is signed on the caller's thread: whoever
    /// wants many lets others have their turn meanwhile.
    pub async fn part_url(
        &self,
        key: &StorageKey,
        multipart_id: &str,
        number: u32,
        size_bytes: u64,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        if number == 0 || number > MAX_PARTS {
            return Err(Error::invalid("number", format!("parts are numbered 1 to {MAX_PARTS}, not {number}")));
        }
        consume_budget().await;
        match self {
            Self::Local(store) => store.part_url(key, multipart_id, number, size_bytes, ttl, now),
            Self::S3(store) => store.part_url(key, multipart_id, number, size_bytes, ttl, now).await,
        }
    }

    /// The parts that stand, by number. An upload that was completed or aborted has none, or is
    /// [`Kind::NotFound`].
    pub async fn parts(&self, key: &StorageKey, multipart_id: &str) -> Result<Vec<Part>> {
        either!(self.parts(key, multipart_id))
    }

    /// Makes the object out of its parts and ends the upload; its URLs are dead from then on. May be repeated
    /// after success, failure or a crash: it finishes what is left to do.
    ///
    /// `parts`, in any order, must be numbered 1 to their count, and be as [`Store::parts`] told. No parts make an
    /// object without bytes.
    pub async fn complete_multipart(&self, key: &StorageKey, multipart_id: &str, parts: &[Part]) -> Result<()> {
        let parts = in_order(parts)?;
        change!(self.complete_multipart(key, multipart_id, parts))
    }

    /// Ends an upload and forgets its parts. No error when it has ended already.
    pub async fn abort_multipart(&self, key: &StorageKey, multipart_id: &str) -> Result<()> {
        change!(self.abort_multipart(key, multipart_id))
    }

    /// Writes a small object at once.
    pub async fn put(&self, key: &StorageKey, bytes: Bytes) -> Result<()> {
        change!(self.put(key, bytes))
    }

    /// What the store knows of an object, if it is there.
    pub async fn head(&self, key: &StorageKey) -> Result<Option<ObjectInfo>> {
        either!(self.head(key))
    }

    /// Reads an object, or the bytes of it from `range.start` up to, but not including, `range.end`.
    ///
    /// [`Kind::NotFound`] when it is not there, [`Kind::RangeNotSatisfiable`] when the range is not within it.
    pub async fn read(&self, key: &StorageKey, range: Option<Range<u64>>) -> Result<ByteStream> {
        either!(self.read(key, range))
    }

    /// Reads a range of an object that is delivered. Such an object never changes, so a small one may come from memory.
    pub async fn read_sealed(&self, key: &StorageKey, range: Range<u64>) -> Result<ByteStream> {
        match self {
            Self::Local(store) => store.open_sealed(key).await?.read(range),
            Self::S3(store) => Box::pin(store.read(key, Some(range))).await, // as in `url`
        }
    }

    /// Deletes an object. No error when it is not there.
    pub async fn delete(&self, key: &StorageKey) -> Result<()> {
        change!(self.delete(key))
    }

    /// The objects whose keys sort after `after`, in order, some hundreds at a time; none when there are no more. What is written
    /// or deleted meanwhile may be among them or not.
    pub async fn held(&self, after: Option<&StorageKey>) -> Result<Vec<HeldObject>> {
        either!(self.held(after))
    }

    /// A URL from which the object can be downloaded, whole or by ranges, until `now + ttl`, under a media type
    /// and a file name. Signed like that of a part.
    pub async fn url(
        &self,
        key: &StorageKey,
        media_type: &str,
        file_name: &str,
        ttl: Duration,
        now: Instant,
    ) -> Result<Url> {
        consume_budget().await;
        match self {
            Self::Local(store) => store.url(key, media_type, file_name, ttl, now),
            // The SDK's future takes ten thousand bytes, which every answer over either store would have to find room for.
            Self::S3(store) => Box::pin(store.url(key, media_type, file_name, ttl, now)).await,
        }
    }

    /// Whether the store can be used now: the directory written to, the bucket reached.
    pub async fn check(&self) -> Result<()> {
        either!(self.check())
    }
}

/// Sorts parts, and makes sure that they are numbered 1 to their count.
fn in_order(parts: &[Part]) -> Result<Vec<Part>> {
    let mut parts = parts.to_vec();
    parts.sort_by_key(|part| part.number);
    for (part, expected) in parts.iter().zip(1..) {
        if part.number != expected {
            let detail =
                format!("part {expected} is missing or given twice; the parts must be numbered 1 to their count");
            return Err(Error::invalid("parts", detail));
        }
    }
    if parts.len() > usize::try_from(MAX_PARTS).unwrap_or(usize::MAX) {
        return Err(Error::invalid("parts", format!("an object has at most {MAX_PARTS} parts, not {}", parts.len())));
    }
    Ok(parts)
}

/// The refusal to end an upload without parts that stand.
fn parts_left_out() -> Error {
    Error::new(Kind::WrongState, "parts of this upload stand that the completion does not name")
        .field("parts")
        .remedy("name every part, or abort the upload")
}

/// The sum of the parts' sizes.
fn total_bytes(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.size_bytes))
}

/// The refusal of a range that is not within the object.
fn range_not_satisfiable(size_bytes: u64) -> Error {
    Error::new(Kind::RangeNotSatisfiable, format!("the range is not within the object's {size_bytes} bytes"))
        .field("Range")
}

/// A `Content-Disposition` (RFC 6266) that saves under the last component of `file_name`, whatever characters it has.
fn content_disposition(file_name: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    // RFC 8187 attr-char: what may stand unencoded in filename*.
    const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let name = file_name.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or("download");
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ' ') { c } else { '_' };
    let fallback: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ENCODED))
}

/// `media_type` if it has the form `type/subtype; parameters` in printable ASCII, else `application/octet-stream`.
fn safe_media_type(media_type: &str) -> &str {
    let essence = media_type.split(';').next().unwrap_or_default().trim_end();
    let token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let printable = media_type.bytes().all(|b| matches!(b, b' '..=b'~'));
    match essence.split_once('/') {
        Some((kind, subtype)) if printable && token(kind) && token(subtype) => media_type,
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The smallest size of a part that is not the last: a limit of S3.
    const MIN_PART_BYTES: u64 = 5 * MEBIBYTE;

    #[test]
    fn a_key_parses_back_and_nothing_else_does() {
        let key = StorageKey::new(Instant::from_unix_micros(1_700_000_000_000_000));
        assert_eq!(key.to_string().parse::<StorageKey>().unwrap(), key);
        let name = "0".repeat(32);
        for bad in [
            String::new(),
            name.clone(),
            format!("objects/{name}"),
            format!("objects/../{name}"),
            format!("objects/AB/{name}"),
            format!("/objects/ab/{name}"),
            format!("objects/ab/{name}/"),
            format!("objects/ab/{name}\n"),
            format!("objects/ab//{}", "0".repeat(31)),
            format!("uploads/ab/{name}"),
        ] {
            assert!(bad.parse::<StorageKey>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_object_without_bytes_has_no_parts() {
        assert_eq!(part_count(0, part_size_for(0)), 0);
        assert_eq!(size_of_part(0, part_size_for(0), 1), None);
    }

    proptest! {
        #[test]
        fn parts_keep_the_limits_of_s3_and_sum_to_the_object(size in 0..=5 * 1024 * MEBIBYTE) {
            let part_size = part_size_for(size);
            let count = part_count(size, part_size);
            prop_assert!(part_size >= MIN_PART_BYTES && count <= u64::from(MAX_PARTS));
            let sizes: Vec<_> = (1..=u32::try_from(count).unwrap()).map(|n| size_of_part(size, part_size, n).unwrap()).collect();
            prop_assert_eq!(sizes.iter().sum::<u64>(), size);
            prop_assert!(sizes.iter().rev().skip(1).all(|s| *s == part_size));
        }
        #[test]
        fn even_a_huge_object_needs_no_more_parts_than_allowed(size: u64) {
            prop_assert!(part_count(size, part_size_for(size)) <= u64::from(MAX_PARTS));
        }
        #[test]
        fn a_content_disposition_is_a_header_value_whatever_the_name(name: String) {
            let value = content_disposition(&name);
            prop_assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(value.matches('"').count(), 2);
        }
    }

    #[test]
    fn a_file_name_keeps_its_characters_and_loses_its_directories() {
        assert_eq!(
            content_disposition("../语料/训练 1.jsonl"),
            "attachment; filename=\"__ 1.jsonl\"; filename*=UTF-8''%E8%AE%AD%E7%BB%83%201.jsonl"
        );
    }

    #[test]
    fn a_media_type_that_could_break_a_header_is_not_sent() {
        assert_eq!(safe_media_type("text/csv; charset=utf-8"), "text/csv; charset=utf-8");
        for bad in ["", "text", "text/", "text/html\r\nSet-Cookie: a=b", "text/ht ml"] {
            assert_eq!(safe_media_type(bad), "application/octet-stream", "{bad:?}");
        }
    }

    #[test]
    fn parts_must_be_numbered_one_to_their_count() {
        let part = |number| Part { number, size_bytes: 1, etag: String::new() };
        assert_eq!(in_order(&[part(2), part(1)]).unwrap(), [part(1), part(2)]);
        for bad in [vec![part(2)], vec![part(1), part(1)], vec![part(1), part(3)], vec![part(0), part(1)]] {
            assert_eq!(in_order(&bad).unwrap_err().field.as_deref(), Some("parts"));
        }
    }
}
