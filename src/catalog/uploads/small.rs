//! A small shard in one request, its digest in the `Content-Digest` header (RFC 9530).

use bytes::Bytes;

use super::{NewUpload, Upload, UploadState, find_standing, insert_open, verification};
use crate::app::App;
use crate::catalog::{Shard, VersionRef, edit_draft, require_draft, shard, version, view_version};
use crate::config::MAX_SMALL_SHARD_BYTES;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{Caller, Role};
use crate::signing;
use crate::store::StorageKey;
use crate::types::{Digest, Instant, length};

/// Checks, before any body is read, that `caller` may put shards into this draft.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`.
pub async fn may_put(app: &App, caller: &Caller, which: &VersionRef) -> Result<()> {
    let (caller, which) = (caller.clone(), which.clone());
    app.db
        .read(move |c| {
            let (dataset, version) = view_version(c, Some(&caller), &which)?;
            caller.may_for(dataset.organisation_id, &dataset.handle, Role::DEALERS)?;
            require_draft(&version)
        })
        .await
}

/// Stores a shard whose bytes are at hand. It stands, durably, when this returns.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`; `DigestMismatch` when the bytes are not those of the declared digest;
/// `Invalid` or `TooLarge`, naming the field; those of the store.
pub async fn put(app: &App, caller: &Caller, which: &VersionRef, input: &NewUpload, bytes: Bytes) -> Result<Shard> {
    let (input, bytes) = tokio::task::spawn_blocking({
        let input = input.clone();
        move || check_bytes(&input, &bytes).map(|()| (input, bytes))
    })
    .await
    .map_err(|error| Error::internal("hashing panicked").because(error))??;
    let now = app.clock.now();
    let (by, to, declared) = (caller.clone(), which.clone(), input.clone());
    let upload = app.db.write(move |c| begin(c, &by, &to, &declared, now)).await?;
    if upload.state != UploadState::Open {
        return app.db.read(move |c| shard(c, upload.version_id, &upload.path)).await;
    }
    let etag = verification::put_verified(&app.store, &upload.storage_key, bytes, upload.sha256).await?;
    app.db
        .write(move |c| {
            require_draft(&version(c, upload.version_id)?.1)?;
            verification::settle(c, &upload, &etag, now)?;
            shard(c, upload.version_id, &upload.path)
        })
        .await
}

/// The shard's upload: one that is verified already, or a new one whose key tells a sweep what to look for should
/// this process die between the store and the database.
fn begin(c: &mut Conn, caller: &Caller, which: &VersionRef, input: &NewUpload, now: Instant) -> Result<Upload> {
    let (_, version) = edit_draft(c, caller, which)?;
    if let Some(upload) = find_standing(c, caller, which, input, now)?
        && upload.state == UploadState::Verified
    {
        return Ok(upload);
    }
    let upload = Upload::new(version.id, input, StorageKey::new(now), String::new(), now);
    insert_open(c, &upload)?;
    Ok(upload)
}

fn check_bytes(input: &NewUpload, bytes: &[u8]) -> Result<()> {
    if length(bytes) > MAX_SMALL_SHARD_BYTES {
        return Err(too_large());
    }
    let found = Digest::of(bytes);
    if found != input.sha256 {
        let detail = format!("SHA-256 {} was declared, and {found} was found", input.sha256);
        return Err(Error::new(Kind::DigestMismatch, detail).field("Content-Digest").remedy("send the bytes again"));
    }
    Ok(())
}

/// The refusal of a body that does not fit into one request.
pub fn too_large() -> Error {
    let detail = format!("a shard of more than {MAX_SMALL_SHARD_BYTES} bytes does not fit into one request");
    Error::new(Kind::TooLarge, detail).remedy("declare an upload, and send it in parts")
}

/// Reads the SHA-256 of a `Content-Digest` header: `sha-256=:<base64>:`, beside other digests if there are any.
///
/// # Errors
/// `Invalid`, field `Content-Digest`.
pub fn parse_content_digest(header: Option<&str>) -> Result<Digest> {
    let refused = |why: &str| {
        Error::invalid("Content-Digest", why).remedy("send `Content-Digest: sha-256=:<base64 of the SHA-256>:`")
    };
    let header = header.ok_or_else(|| refused("the digest of the bytes must come with them"))?;
    let value = header
        .split(',')
        .filter_map(|member| member.trim().split_once('='))
        .find_map(|(algorithm, value)| (algorithm == "sha-256").then_some(value))
        .ok_or_else(|| refused("the header names no sha-256"))?;
    let bytes = value
        .strip_prefix(':')
        .and_then(|value| value.strip_suffix(':'))
        .and_then(|value| value.parse::<signing::Bytes>().ok())
        .and_then(|bytes| <[u8; 32]>::try_from(bytes.0).ok())
        .ok_or_else(|| refused("the sha-256 is not 32 bytes of base64 between colons"))?;
    Ok(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_digest_is_read_as_rfc_9530_writes_it() {
        let digest = Digest::of(b"abc");
        let value = format!("sha-256=:{}:", signing::Bytes(digest.0.to_vec()));
        for header in [value.clone(), format!("sha-512=:YWJj:, {value}"), format!(" {value} ,md5=:YQ==:")] {
            assert_eq!(parse_content_digest(Some(&header)).unwrap(), digest, "{header}");
        }
    }

    #[test]
    fn a_content_digest_that_is_missing_or_malformed_is_refused() {
        let hex = format!("sha-256=:{}:", Digest::of(b"abc"));
        for header in [None, Some(""), Some("sha-512=:YWJj:"), Some("sha-256=YWJj"), Some("sha-256=:YWJj:"), Some(&hex)]
        {
            let error = parse_content_digest(header).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("Content-Digest"), "{header:?}");
        }
    }

    #[test]
    fn bytes_of_another_digest_are_refused_with_both() {
        let input = NewUpload {
            path: "a".into(),
            size_bytes: 3,
            sha256: Digest::of("abc"),
            media_type: super::super::unknown_media_type(),
            records: None,
        };
        check_bytes(&input, b"abc").unwrap();
        let error = check_bytes(&input, b"abd").unwrap_err();
        assert_eq!(error.kind, Kind::DigestMismatch);
        assert!(error.detail.contains(&Digest::of("abd").to_string()), "{error}");
    }
}
