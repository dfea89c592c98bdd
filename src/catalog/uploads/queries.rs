//! The `uploads` table.

use diesel::dsl::{exists, select};
use diesel::prelude::*;

use super::{NewUpload, Upload, UploadState};
use crate::db::{Among as _, Conn};
use crate::schema::uploads;
use crate::store::StorageKey;
use crate::types::{Instant, UploadId, VersionId};

pub(super) fn insert_upload(c: &mut Conn, upload: &Upload) -> QueryResult<usize> {
    diesel::insert_into(uploads::table).values(upload).execute(c)
}

pub(super) fn find_upload(c: &mut Conn, id: UploadId) -> QueryResult<Option<Upload>> {
    uploads::table.find(id).select(Upload::as_select()).first(c).optional()
}

pub(super) fn find_upload_at(c: &mut Conn, key: &StorageKey) -> QueryResult<Option<Upload>> {
    uploads::table.filter(uploads::storage_key.eq(key)).select(Upload::as_select()).first(c).optional()
}

pub(super) fn count_open(c: &mut Conn, version: VersionId) -> QueryResult<i64> {
    uploads::table
        .filter(uploads::state.eq(UploadState::Open).and(uploads::version_id.eq(version)))
        .count()
        .get_result(c)
}

/// An upload in parts of the same path, digest and size that may still be finished.
pub(super) fn find_upload_in_progress(
    c: &mut Conn,
    version: VersionId,
    input: &NewUpload,
) -> QueryResult<Option<Upload>> {
    let open = uploads::state.eq(UploadState::Open).and(uploads::multipart_id.ne(""));
    uploads::table
        .filter(uploads::version_id.eq(version).and(uploads::path.eq(&input.path)))
        .filter(uploads::sha256.eq(input.sha256).and(uploads::size_bytes.eq(input.size_bytes)))
        .filter(open.or(uploads::state.eq(UploadState::Verifying)))
        .order(uploads::id.desc())
        .select(Upload::as_select())
        .first(c)
        .optional()
}

/// The latest upload into this path, if it had the same digest and size and was verified.
pub(super) fn find_verified_upload(c: &mut Conn, version: VersionId, input: &NewUpload) -> QueryResult<Option<Upload>> {
    let latest = uploads::table
        .filter(uploads::version_id.eq(version).and(uploads::path.eq(&input.path)))
        .order(uploads::id.desc())
        .select(Upload::as_select())
        .first(c)
        .optional()?;
    let same = |upload: &Upload| {
        upload.state == UploadState::Verified && (upload.sha256, upload.size_bytes) == (input.sha256, input.size_bytes)
    };
    Ok(latest.filter(same))
}

/// True if a later upload into the same path was verified before this one.
pub(super) fn is_superseded(c: &mut Conn, upload: &Upload) -> QueryResult<bool> {
    let later = uploads::version_id
        .eq(upload.version_id)
        .and(uploads::path.eq(&upload.path))
        .and(uploads::id.gt(upload.id))
        .and(uploads::state.eq(UploadState::Verified));
    select(exists(uploads::table.filter(later))).get_result(c)
}

pub(super) fn set_description(
    c: &mut Conn,
    id: UploadId,
    media_type: &str,
    records: Option<i64>,
) -> QueryResult<usize> {
    diesel::update(uploads::table.find(id))
        .set((uploads::media_type.eq(media_type), uploads::records.eq(records)))
        .execute(c)
}

pub(super) fn set_completed(c: &mut Conn, id: UploadId, now: Instant) -> QueryResult<usize> {
    diesel::update(uploads::table.find(id).filter(uploads::state.eq(UploadState::Open)))
        .set((uploads::state.eq(UploadState::Verifying), uploads::completed_at.eq(now)))
        .execute(c)
}

pub(super) fn set_verified(c: &mut Conn, id: UploadId, from: UploadState, completed_at: Instant) -> QueryResult<usize> {
    diesel::update(uploads::table.find(id).filter(uploads::state.eq(from)))
        .set((uploads::state.eq(UploadState::Verified), uploads::completed_at.eq(completed_at)))
        .execute(c)
}

pub(super) fn set_refused(c: &mut Conn, id: UploadId, from: UploadState, refusal: &str) -> QueryResult<usize> {
    diesel::update(uploads::table.find(id).filter(uploads::state.eq(from)))
        .set((uploads::state.eq(UploadState::Refused), uploads::refusal.eq(refusal)))
        .execute(c)
}

/// Open uploads that were declared before `before`, oldest first.
pub(super) fn list_stale(c: &mut Conn, before: Instant, limit: i64) -> QueryResult<Vec<Upload>> {
    uploads::table
        .filter(uploads::state.eq(UploadState::Open).and(uploads::created_at.lt(before)))
        .order(uploads::id)
        .limit(limit)
        .select(Upload::as_select())
        .load(c)
}

/// The keys among these that uploads have which are not done with.
pub(super) fn list_keys_under_way(c: &mut Conn, keys: &[StorageKey]) -> QueryResult<Vec<StorageKey>> {
    let under_way = uploads::state.among([UploadState::Open, UploadState::Verifying]);
    uploads::table.filter(uploads::storage_key.among(keys).and(under_way)).select(uploads::storage_key).load(c)
}
