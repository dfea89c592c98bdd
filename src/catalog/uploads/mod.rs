//! How bytes arrive: declared first, sent in parts straight to the store, then verified.
//!
//! A client declares path, size and SHA-256, and gets a signed URL for each part. Parts may be sent in any order, in
//! parallel and again; each is durable when it is answered. When all stand, the client completes the upload, and a
//! job puts them together and reads every byte back ([`verification`]): either may take longer than a request. Only then is
//! there a shard. Small shards may take one request ([`small`]).
//!
//! The store comes first and the row second: what a crash between the two leaves behind is found again by the next
//! request, or swept, or is a transfer without a single part.
//!
//! Invariant: of a version no more uploads are open than it may have shards.
//! Invariant: the answer to a declared digest does not depend on what other organisations have uploaded.

mod parts;
mod queries;
pub(crate) mod routes;
pub mod small;
pub mod verification;

use std::time::Duration;

use diesel::{Insertable, Queryable, Selectable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use parts::{sign, standing_parts, whole, with_urls};

use super::manifest::check_shard;
use super::{ManifestShard, Shard, VersionRef, edit_draft, is_insider, queries as catalog_queries};
use crate::app::App;
use crate::config::{MAX_SHARDS, SIGNED_URL_TTL};
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::identity::{Caller, Role};
use crate::jobs::{self, Job};
use crate::schema::uploads;
use crate::store::{self, StorageKey};
use crate::text_enum;
use crate::types::{DAY, Digest, Instant, ObjectId, UploadId, VersionId};

/// The most part URLs in one answer.
pub const MAX_URLS: usize = 1000;
/// An upload that is not completed for so long is given up.
pub const OPEN_FOR: Duration = DAY.saturating_mul(7);

text_enum! {
    /// The state of an upload.
    pub enum UploadState {
        /// Parts are being sent.
        Open = "open",
        /// Complete; the parts are put together, and the bytes read back.
        Verifying = "verifying",
        /// The bytes are what was declared; the shard stands.
        Verified = "verified",
        /// The bytes are not what was declared, or never came.
        Refused = "refused",
    }
}

/// An upload.
#[derive(Debug, Clone, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = uploads, check_for_backend(MultiBackend))]
pub struct Upload {
    /// Which upload.
    pub id: UploadId,
    /// Into which version.
    pub version_id: VersionId,
    /// The declared path.
    pub path: String,
    /// The declared media type.
    pub media_type: String,
    /// The declared count of records.
    pub records: Option<i64>,
    /// The declared size.
    pub size_bytes: i64,
    /// The declared digest.
    pub sha256: Digest,
    /// The size of every part but the last.
    pub part_size_bytes: i64,
    /// Where the bytes go.
    pub storage_key: StorageKey,
    /// The store's name for the transfer in parts; empty when there is none.
    pub multipart_id: String,
    /// How far it is.
    pub state: UploadState,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// When it was declared.
    pub created_at: Instant,
    /// When its last part stood.
    pub completed_at: Option<Instant>,
}

impl Upload {
    fn new(
        version_id: VersionId,
        input: &NewUpload,
        storage_key: StorageKey,
        multipart_id: String,
        now: Instant,
    ) -> Self {
        let part_size = store::part_size_for(unsigned(input.size_bytes));
        Self {
            id: UploadId::new(now),
            version_id,
            path: input.path.clone(),
            media_type: input.media_type.clone(),
            records: input.records,
            size_bytes: input.size_bytes,
            sha256: input.sha256,
            part_size_bytes: i64::try_from(part_size).unwrap_or(i64::MAX),
            storage_key,
            multipart_id,
            state: UploadState::Open,
            refusal: None,
            created_at: now,
            completed_at: None,
        }
    }

    /// How many parts there are; an empty shard has none.
    pub fn part_count(&self) -> u32 {
        let count = store::part_count(unsigned(self.size_bytes), unsigned(self.part_size_bytes));
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The size of a part, counted from 1; none if there is no such part.
    pub fn part_bytes(&self, number: u32) -> Option<u64> {
        store::size_of_part(unsigned(self.size_bytes), unsigned(self.part_size_bytes), number)
    }

    fn shard(&self, object_id: ObjectId) -> Shard {
        Shard {
            version_id: self.version_id,
            path: self.path.clone(),
            object_id,
            sha256: self.sha256,
            size_bytes: self.size_bytes,
            media_type: self.media_type.clone(),
            records: self.records,
            language: None,
            domain: None,
            licence: None,
            tokens: None,
        }
    }

    fn in_parts(&self) -> bool {
        !self.multipart_id.is_empty()
    }
}

/// A size that was checked not to be negative.
fn unsigned(size_bytes: i64) -> u64 {
    u64::try_from(size_bytes).unwrap_or(0)
}

/// What a client declares before it sends anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// The shard's path, relative to the version's root.
    pub path: String,
    /// Its size in bytes, at most 5 GiB.
    #[schema(minimum = 0)]
    pub size_bytes: i64,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its media type.
    #[serde(default = "unknown_media_type")]
    pub media_type: String,
    /// How many records it holds.
    #[schema(minimum = 0)]
    pub records: Option<i64>,
}

/// What bytes of unknown meaning are called (RFC 2046).
pub fn unknown_media_type() -> String {
    "application/octet-stream".to_string()
}

impl NewUpload {
    /// Checks what is declared.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`, naming the field.
    pub fn check(&self) -> Result<()> {
        let (path, media_type) = (self.path.clone(), self.media_type.clone());
        check_shard(&ManifestShard::verified(path, self.size_bytes, self.sha256, media_type, self.records))
    }
}

/// Where to PUT one part. It is not printed, because the address is a credential.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartUrl {
    /// The part, counted from 1.
    pub number: u32,
    /// The address, valid until `expires_at` of the answer.
    pub url: String,
}

/// An upload as the store knows it.
#[derive(Clone)]
pub struct UploadStatus {
    /// What was declared, and how far it is.
    pub upload: Upload,
    /// The parts that stand, in order; none are told of once it is complete.
    pub standing: Vec<u32>,
    /// Addresses for parts that do not stand, at most [`MAX_URLS`].
    pub urls: Vec<PartUrl>,
    /// When the addresses cease to work.
    pub expires_at: Option<Instant>,
}

impl From<Upload> for UploadStatus {
    fn from(upload: Upload) -> Self {
        Self { upload, standing: Vec::new(), urls: Vec::new(), expires_at: None }
    }
}

/// Declares an upload and answers where to send its parts. An upload declared before with the same path, digest and
/// size is answered again, so that a client can resume. Bytes that the organisation uploaded before need no transfer:
/// the answer is `verified` at once.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`; `Invalid` or `TooLarge`, naming the field; those of the store.
pub async fn open(app: &App, caller: &Caller, which: &VersionRef, input: &NewUpload) -> Result<UploadStatus> {
    let now = app.clock.now();
    if let Some(upload) = declare(app, caller, which, input, None).await? {
        if upload.state != UploadState::Open {
            return Ok(upload.into());
        }
        match standing_parts(app, &upload).await? {
            Some(standing) => return with_urls(app, upload, standing, now).await,
            None => forget(app, &upload).await?,
        }
    }
    let key = StorageKey::new(now);
    let multipart_id = app.store.begin_multipart(&key).await?;
    let declared = declare(app, caller, which, input, Some((key.clone(), multipart_id.clone()))).await;
    match declared {
        Ok(Some(upload)) if upload.storage_key == key => with_urls(app, upload, Vec::new(), now).await,
        other => {
            // Somebody else was faster, or it was refused: what was begun here is of no use.
            app.store.abort_multipart(&key, &multipart_id).await?;
            match other? {
                Some(upload) => status(app, upload).await,
                None => Err(Error::internal("an upload was neither found nor made")),
            }
        }
    }
}

/// In one transaction: the upload that answers this declaration, made from `begun` when there is none yet.
async fn declare(
    app: &App,
    caller: &Caller,
    which: &VersionRef,
    input: &NewUpload,
    begun: Option<(StorageKey, String)>,
) -> Result<Option<Upload>> {
    let (caller, which, input, now) = (caller.clone(), which.clone(), input.clone(), app.clock.now());
    app.db
        .write(move |c| {
            if let Some(upload) = find_standing(c, &caller, &which, &input, now)? {
                return Ok(Some(upload));
            }
            let Some((key, multipart_id)) = begun.clone() else {
                return Ok(None);
            };
            let (_, version) = edit_draft(c, &caller, &which)?;
            let upload = Upload::new(version.id, &input, key, multipart_id, now);
            insert_open(c, &upload)?;
            Ok(Some(upload))
        })
        .await
}

/// Inserts an open upload, unless its version has as many of them as it may have shards.
fn insert_open(c: &mut Conn, upload: &Upload) -> Result<()> {
    let most = i64::try_from(MAX_SHARDS).unwrap_or(i64::MAX);
    if queries::count_open(c, upload.version_id)? >= most {
        let detail = format!("{MAX_SHARDS} uploads into this version are open, and a version has no more shards");
        return Err(Error::new(Kind::WrongState, detail)
            .field("path")
            .remedy("complete some of them first, or wait: one that is not completed within 7 days is given up"));
    }
    queries::insert_upload(c, upload)?;
    Ok(())
}

/// What there is already of a declared shard: an upload in progress, or bytes that the organisation has, of which the shard is
/// made. Media type and count of records become the ones now declared.
fn find_standing(
    c: &mut Conn,
    caller: &Caller,
    which: &VersionRef,
    input: &NewUpload,
    now: Instant,
) -> Result<Option<Upload>> {
    let (dataset, version) = edit_draft(c, caller, which)?;
    input.check()?;
    if let Some(upload) = queries::find_upload_in_progress(c, version.id, input)? {
        queries::set_description(c, upload.id, &input.media_type, input.records)?;
        return Ok(Some(Upload { media_type: input.media_type.clone(), records: input.records, ..upload }));
    }
    let known = catalog_queries::find_object_of(c, dataset.organisation_id, input.sha256, input.size_bytes)?;
    let Some(object) = known else {
        return Ok(None);
    };
    let done = queries::find_verified_upload(c, version.id, input)?;
    let upload = match done {
        Some(done) => Upload { media_type: input.media_type.clone(), records: input.records, ..done },
        None => {
            // Nothing is sent, so the key stays empty for ever; the row exists to be asked about.
            let upload = Upload::new(version.id, input, StorageKey::new(now), String::new(), now);
            let upload = Upload { state: UploadState::Verified, completed_at: Some(now), ..upload };
            queries::insert_upload(c, &upload)?;
            upload
        }
    };
    catalog_queries::set_shard(c, &upload.shard(object.id))?;
    Ok(Some(upload))
}

/// Gives up an upload whose parts the store no longer has.
async fn forget(app: &App, upload: &Upload) -> Result<()> {
    let id = upload.id;
    let reason = "the store no longer has the parts of this upload";
    let refused = move |c: &mut Conn| Ok(queries::set_refused(c, id, UploadState::Open, reason)?);
    app.db.write(refused).await.map(drop)
}

/// An upload, whoever asks.
///
/// # Errors
/// `NotFound`.
pub fn upload(c: &mut Conn, id: UploadId) -> Result<Upload> {
    queries::find_upload(c, id)?.ok_or_else(|| Error::not_found(format_args!("upload {id}")))
}

/// An upload as its organisation's members and the exchange's staff may see it.
///
/// # Errors
/// `NotFound`; those of the store.
pub async fn get(app: &App, caller: &Caller, id: UploadId) -> Result<UploadStatus> {
    let caller = caller.clone();
    let upload = app.db.read(move |c| view(c, &caller, id)).await?;
    status(app, upload).await
}

fn view(c: &mut Conn, caller: &Caller, id: UploadId) -> Result<Upload> {
    let upload = upload(c, id)?;
    let (dataset, _) = super::version(c, upload.version_id)?;
    if is_insider(Some(caller), dataset.organisation_id) {
        return Ok(upload);
    }
    Err(Error::withheld(format_args!("upload {id}")))
}

fn edit(c: &mut Conn, caller: &Caller, id: UploadId) -> Result<Upload> {
    let upload = view(c, caller, id)?;
    let (dataset, _) = super::version(c, upload.version_id)?;
    caller.may_for(dataset.organisation_id, &dataset.handle, Role::DEALERS)?;
    Ok(upload)
}

async fn status(app: &App, upload: Upload) -> Result<UploadStatus> {
    let standing = match upload.state {
        UploadState::Open => standing_parts(app, &upload).await?.unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(UploadStatus { standing, ..upload.into() })
}

/// Fresh addresses for some parts.
///
/// # Errors
/// `NotFound`, `Forbidden`; `WrongState` unless the upload is open; `Invalid` for a part that it does not have.
pub async fn refresh_urls(app: &App, caller: &Caller, id: UploadId, numbers: &[u32]) -> Result<UploadStatus> {
    let now = app.clock.now();
    let caller = caller.clone();
    let upload = app.db.read(move |c| edit(c, &caller, id)).await?;
    require_open(&upload)?;
    if numbers.is_empty() || numbers.len() > MAX_URLS {
        return Err(Error::invalid("parts", format!("ask for 1 to {MAX_URLS} parts at a time")));
    }
    let count = upload.part_count();
    if let Some(number) = numbers.iter().find(|number| !(1..=count).contains(*number)) {
        return Err(Error::invalid("parts", format!("there is no part {number}: the parts are 1 to {count}")));
    }
    let urls = sign(app, &upload, numbers, now).await?;
    Ok(UploadStatus { urls, expires_at: Some(now.plus(SIGNED_URL_TTL)), ..upload.into() })
}

fn require_open(upload: &Upload) -> Result<()> {
    if upload.state == UploadState::Open && upload.in_parts() {
        return Ok(());
    }
    let detail = format!("the upload is {}: it takes no parts", upload.state);
    Err(Error::new(Kind::WrongState, detail).remedy("declare the upload again"))
}

/// Ends the sending of parts, and queues that they are put together and verified. Completing again answers how far the
/// upload is.
///
/// # Errors
/// `NotFound`, `Forbidden`; `WrongState` when parts are missing or the upload was refused; `DigestMismatch` when a
/// part has not the size it must have; those of the store.
pub async fn complete(app: &App, caller: &Caller, id: UploadId) -> Result<UploadStatus> {
    let by = caller.clone();
    let upload = app.db.read(move |c| edit(c, &by, id)).await?;
    if matches!(upload.state, UploadState::Verifying | UploadState::Verified) {
        return Ok(upload.into());
    }
    require_open(&upload)?;
    whole(app, &upload).await?;
    let now = app.clock.now();
    let upload = app
        .db
        .write(move |c| {
            if queries::set_completed(c, id, now)? == 1 {
                jobs::enqueue(c, Job::VerifyUpload { upload_id: id }, now)?;
            }
            self::upload(c, id)
        })
        .await?;
    match upload.state {
        UploadState::Refused => require_open(&upload).map(|()| upload.into()),
        _ => Ok(upload.into()),
    }
}

/// The keys among these of uploads that are not done with.
pub(super) fn keys_under_way(c: &mut Conn, keys: &[StorageKey]) -> Result<Vec<StorageKey>> {
    Ok(queries::list_keys_under_way(c, keys)?)
}
