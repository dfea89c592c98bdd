//! Whether the bytes are what was declared: the parts become one object, and every byte of it is read back from the store.
//!
//! S3 keeps no SHA-256 of an object that was sent in parts, and a claim of the client proves nothing, so this is the
//! only way to know. What was sent whole is read back as well: the exchange signs that it read every byte of a version.
//! Each function may be run again: jobs run at least once.
//!
//! Invariant: no object is recorded but with the size, digest and mark with which it was read back.

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::parts::whole;
use super::{OPEN_FOR, Upload, UploadState, catalog_queries, queries, unsigned};
use crate::app::App;
use crate::catalog::{StoredObject, VersionState, version};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::jobs::{self, Job};
use crate::store::{StorageKey, Store};
use crate::types::{Digest, Hasher, Instant, ObjectId, UploadId, length};

/// How many abandoned uploads are given up in one transaction.
const STALE_AT_ONCE: i64 = 100;

/// What the store was found to hold under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    size_bytes: u64,
    /// Absent when the size alone shows that the bytes are others.
    sha256: Option<Digest>,
    etag: String,
}

/// Puts an upload together, reads it back and makes a shard of it, or refuses it with the reason.
///
/// # Errors
/// Those of the store and the database: the job is to be tried again.
pub async fn verify_upload(app: &App, upload_id: UploadId) -> Result<()> {
    let upload = app.db.read(move |c| Ok(queries::find_upload(c, upload_id)?)).await?;
    let Some(upload) = upload.filter(|upload| upload.state == UploadState::Verifying) else {
        return Ok(());
    };
    let found = match whole(app, &upload).await {
        Ok(parts) => {
            if let Some(parts) = parts {
                app.store.complete_multipart(&upload.storage_key, &upload.multipart_id, &parts).await?;
            }
            Ok(read_back(&app.store, &upload.storage_key, unsigned(upload.size_bytes)).await?)
        }
        // Not all of the parts are there that stood when the upload was completed.
        Err(error) if matches!(error.kind, Kind::WrongState | Kind::DigestMismatch) => Err(error.detail),
        Err(error) => return Err(error),
    };
    let now = app.clock.now();
    app.db.write(move |c| conclude(c, upload_id, &found, now)).await
}

/// Puts bytes of this digest into the store, and reads them back. Gives the store's mark of them.
///
/// # Errors
/// `Internal` when the store gives back other bytes than it took; those of the store.
pub(in crate::catalog) async fn put_verified(
    store: &Store,
    key: &StorageKey,
    bytes: Bytes,
    sha256: Digest,
) -> Result<String> {
    let size_bytes = length(&bytes);
    store.put(key, bytes).await?;
    let found = read_back(store, key, size_bytes).await?;
    match found.sha256 == Some(sha256) {
        true => Ok(found.etag),
        false => Err(Error::internal(format!("the store gave back other bytes than it took for {key}"))),
    }
}

/// Reads back every byte that lies under a key, unless there are more or fewer than there should be.
async fn read_back(store: &Store, key: &StorageKey, size_bytes: u64) -> Result<Found> {
    let gone = || Error::internal(format!("{key} is not in the store"));
    let before = store.head(key).await?.ok_or_else(gone)?;
    if before.size_bytes != size_bytes {
        return Ok(Found { size_bytes: before.size_bytes, sha256: None, etag: before.etag });
    }
    let (mut hasher, mut read_bytes) = (Hasher::default(), 0_u64);
    let mut stream = store.read(key, None).await?;
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        read_bytes = read_bytes.saturating_add(length(&piece));
        hasher.update(&piece);
    }
    let after = store.head(key).await?.ok_or_else(gone)?;
    if after.etag != before.etag || read_bytes != size_bytes {
        return Err(Error::internal(format!("{key} changed while it was read")));
    }
    Ok(Found { size_bytes, sha256: Some(hasher.finish()), etag: after.etag })
}

/// Settles what was found, or refuses the upload with the reason why nothing was.
fn conclude(c: &mut Conn, id: UploadId, found: &Result<Found, String>, now: Instant) -> Result<()> {
    let upload = queries::find_upload(c, id)?.filter(|upload| upload.state == UploadState::Verifying);
    let Some(upload) = upload else {
        return Ok(()); // another worker was faster
    };
    let (_, version) = version(c, upload.version_id)?;
    let checked = match found {
        _ if version.state != VersionState::Draft => Err("the version was sealed without it".to_string()),
        Ok(found) => refusal(&upload, found).map_or(Ok(&found.etag), Err),
        Err(reason) => Err(reason.clone()),
    };
    match checked {
        Ok(etag) => settle(c, &upload, etag, now),
        Err(reason) => {
            queries::set_refused(c, id, UploadState::Verifying, &reason)?;
            sweep_later(c, &upload.storage_key, now)
        }
    }
}

/// Why the bytes are not those that were declared.
fn refusal(upload: &Upload, found: &Found) -> Option<String> {
    if i64::try_from(found.size_bytes) != Ok(upload.size_bytes) {
        return Some(format!("{} bytes were declared, and {} were found", upload.size_bytes, found.size_bytes));
    }
    match found.sha256 {
        Some(sha256) if sha256 == upload.sha256 => None,
        Some(sha256) => Some(format!("SHA-256 {} was declared, and {sha256} was found", upload.sha256)),
        None => Some("the bytes could not be read whole".to_string()),
    }
}

/// Makes a shard of verified bytes, in the caller's transaction. If the same bytes stand already they are used, and
/// these are swept.
///
/// # Errors
/// `WrongState` when the upload moved on in the meantime.
pub(super) fn settle(c: &mut Conn, upload: &Upload, etag: &str, now: Instant) -> Result<()> {
    let object = match catalog_queries::find_object_by_digest(c, upload.sha256)? {
        Some(object) => {
            if object.storage_key != upload.storage_key {
                sweep_later(c, &upload.storage_key, now)?;
            }
            object
        }
        None => {
            let object = StoredObject {
                id: ObjectId::new(now),
                sha256: upload.sha256,
                size_bytes: upload.size_bytes,
                storage_key: upload.storage_key.clone(),
                etag: etag.to_string(),
                verified_at: now,
            };
            catalog_queries::insert_object(c, &object)?;
            object
        }
    };
    if queries::set_verified(c, upload.id, upload.state, upload.completed_at.unwrap_or(now))? != 1 {
        return Err(Error::new(Kind::WrongState, "the upload was given up in the meantime").remedy("send it again"));
    }
    if !queries::is_superseded(c, upload)? {
        catalog_queries::set_shard(c, &upload.shard(object.id))?;
    }
    Ok(())
}

fn sweep_later(c: &mut Conn, key: &StorageKey, now: Instant) -> Result<()> {
    jobs::enqueue(c, Job::SweepObject { storage_key: key.to_string() }, now).map(drop)
}

/// Removes what lies under a key of the store, unless verified bytes or an unfinished upload are kept there. Keys are
/// never used twice, so what is unneeded now stays so.
///
/// # Errors
/// Those of the store and the database.
pub async fn sweep_object(app: &App, storage_key: &str) -> Result<()> {
    let key: StorageKey = storage_key.parse()?;
    let wanted = key.clone();
    let (needed, upload) = app
        .db
        .read(move |c| {
            let upload = queries::find_upload_at(c, &wanted)?;
            let live = |upload: &Upload| matches!(upload.state, UploadState::Open | UploadState::Verifying);
            Ok((upload.as_ref().is_some_and(live) || catalog_queries::has_object_at(c, &wanted)?, upload))
        })
        .await?;
    if needed {
        return Ok(());
    }
    if let Some(upload) = upload.filter(Upload::in_parts) {
        app.store.abort_multipart(&key, &upload.multipart_id).await?;
    }
    app.store.delete(&key).await
}

/// Gives up the uploads that were not completed within [`OPEN_FOR`], and queues the removal of what they left. Answers how
/// many there were.
///
/// # Errors
/// Those of the database.
pub async fn sweep_stale_uploads(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let mut given_up = 0_usize;
    loop {
        match app.db.write(move |c| give_up_some(c, now)).await? {
            0 => return Ok(given_up),
            some => given_up = given_up.saturating_add(some),
        }
    }
}

fn give_up_some(c: &mut Conn, now: Instant) -> Result<usize> {
    let stale = queries::list_stale(c, now.minus(OPEN_FOR), STALE_AT_ONCE)?;
    for upload in &stale {
        queries::set_refused(c, upload.id, UploadState::Open, "it was not completed within 7 days")?;
        sweep_later(c, &upload.storage_key, now)?;
    }
    Ok(stale.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::uploads::{NewUpload, unknown_media_type};
    use crate::types::VersionId;

    #[test]
    fn a_refusal_names_what_was_declared_and_what_was_found() {
        let input = NewUpload {
            path: "a".into(),
            size_bytes: 3,
            sha256: Digest::of("abc"),
            media_type: unknown_media_type(),
            records: None,
        };
        let now = Instant::from_unix_micros(0);
        let upload = Upload::new(VersionId::new(now), &input, StorageKey::new(now), "m".into(), now);
        let found = |size_bytes, sha256| Found { size_bytes, sha256, etag: "e".into() };
        assert_eq!(refusal(&upload, &found(3, Some(Digest::of("abc")))), None);
        let size = refusal(&upload, &found(4, None)).unwrap();
        assert_eq!(size, "3 bytes were declared, and 4 were found");
        let digest = refusal(&upload, &found(3, Some(Digest::of("abd")))).unwrap();
        assert!(digest.contains(&Digest::of("abc").to_string()) && digest.contains(&Digest::of("abd").to_string()));
    }
}
