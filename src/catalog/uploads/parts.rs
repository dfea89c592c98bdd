//! The parts of an upload: which were received, where to send the others, and how they become one object.

use std::collections::BTreeMap;

use super::{MAX_URLS, PartUrl, Upload, UploadStatus};
use crate::app::App;
use crate::config::SIGNED_URL_TTL;
use crate::error::{Error, Kind, Result};
use crate::store::Part;
use crate::types::Instant;

/// The numbers of the parts that stand; nothing if the store does not know the transfer.
pub(super) async fn standing_parts(app: &App, upload: &Upload) -> Result<Option<Vec<u32>>> {
    if !upload.in_parts() {
        return Ok(Some(Vec::new()));
    }
    if app.store.head(&upload.storage_key).await?.is_some() {
        return Ok(Some((1..=upload.part_count()).collect())); // put together, and stopped before that was recorded
    }
    match app.store.parts(&upload.storage_key, &upload.multipart_id).await {
        Ok(parts) => {
            let right = |part: &&Part| Some(part.size_bytes) == upload.part_bytes(part.number);
            Ok(Some(parts.iter().filter(right).map(|part| part.number).collect()))
        }
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The upload with addresses for the parts that do not stand.
pub(super) async fn with_urls(app: &App, upload: Upload, standing: Vec<u32>, now: Instant) -> Result<UploadStatus> {
    let missing: Vec<u32> =
        (1..=upload.part_count()).filter(|number| !standing.contains(number)).take(MAX_URLS).collect();
    let urls = sign(app, &upload, &missing, now).await?;
    Ok(UploadStatus { upload, standing, urls, expires_at: Some(now.plus(SIGNED_URL_TTL)) })
}

/// Addresses for parts, which must be parts of the upload.
pub(super) async fn sign(app: &App, upload: &Upload, numbers: &[u32], now: Instant) -> Result<Vec<PartUrl>> {
    let mut urls = Vec::with_capacity(numbers.len());
    for &number in numbers {
        let (key, multipart_id) = (&upload.storage_key, &upload.multipart_id);
        let size_bytes = upload.part_bytes(number).unwrap_or(0);
        let url = app.store.part_url(key, multipart_id, number, size_bytes, SIGNED_URL_TTL, now).await?;
        urls.push(PartUrl { number, url: url.into() });
    }
    Ok(urls)
}

/// The parts that one object is made of, all of them; nothing once it is made.
///
/// # Errors
/// `WrongState` when parts are missing; `DigestMismatch` when one has not the size it must have; those of the store.
pub(super) async fn whole(app: &App, upload: &Upload) -> Result<Option<Vec<Part>>> {
    let (store, key) = (&app.store, &upload.storage_key);
    let parts = match store.parts(key, &upload.multipart_id).await {
        Ok(parts) => check_parts(upload, parts),
        Err(error) if error.kind == Kind::NotFound => {
            let detail = "the store no longer has the parts of this upload";
            Err(Error::new(Kind::WrongState, detail).remedy("declare the upload again"))
        }
        Err(error) => return Err(error),
    };
    match parts {
        Ok(parts) => Ok(Some(parts)),
        // A completed upload has no parts any more.
        Err(_) if store.head(key).await?.is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The parts in order, if they are all there and add up to the declared size.
fn check_parts(upload: &Upload, parts: Vec<Part>) -> Result<Vec<Part>> {
    let mut standing: BTreeMap<u32, Part> = parts.into_iter().map(|part| (part.number, part)).collect();
    let mut chosen = Vec::with_capacity(standing.len());
    let mut missing = Vec::new();
    for number in 1..=upload.part_count() {
        let expected = upload.part_bytes(number).unwrap_or(0);
        match standing.remove(&number) {
            Some(part) if part.size_bytes == expected => chosen.push(part),
            Some(part) => {
                let detail = format!("part {number} has {} bytes, and {expected} were expected", part.size_bytes);
                return Err(Error::new(Kind::DigestMismatch, detail).field("parts").remedy("send that part again"));
            }
            None => missing.push(number.to_string()),
        }
    }
    if missing.is_empty() {
        return Ok(chosen);
    }
    let shown = missing.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    let more = if missing.len() > 10 { " …" } else { "" };
    let detail = format!("{} of {} parts are missing: {shown}{more}", missing.len(), upload.part_count());
    Err(Error::new(Kind::WrongState, detail).field("parts").remedy("send them, then complete the upload again"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::uploads::{NewUpload, unknown_media_type};
    use crate::store::StorageKey;
    use crate::types::{Digest, VersionId};

    fn upload(size_bytes: i64) -> Upload {
        let input = NewUpload {
            path: "a".into(),
            size_bytes,
            sha256: Digest::of("a"),
            media_type: unknown_media_type(),
            records: None,
        };
        let now = Instant::from_unix_micros(0);
        let id = VersionId::new(now);
        Upload { part_size_bytes: 10, ..Upload::new(id, &input, StorageKey::new(now), "m".into(), now) }
    }

    fn part(number: u32, size_bytes: u64) -> Part {
        Part { number, size_bytes, etag: String::new() }
    }

    #[test]
    fn parts_cover_the_declared_size_exactly() {
        for (size, sizes) in [(0, vec![]), (1, vec![1]), (10, vec![10]), (11, vec![10, 1]), (30, vec![10, 10, 10])] {
            let upload = upload(size);
            let count = u32::try_from(sizes.len()).unwrap();
            assert_eq!(upload.part_count(), count, "{size}");
            assert_eq!((1..=count).map(|n| upload.part_bytes(n).unwrap()).collect::<Vec<_>>(), sizes, "{size}");
            assert_eq!(upload.part_bytes(count + 1), None, "{size}");
        }
    }

    #[test]
    fn parts_that_add_up_are_put_in_order() {
        let numbers = |parts: Vec<Part>| parts.into_iter().map(|part| part.number).collect::<Vec<_>>();
        assert_eq!(numbers(check_parts(&upload(11), vec![part(2, 1), part(1, 10)]).unwrap()), [1, 2]);
        assert!(check_parts(&upload(0), vec![]).unwrap().is_empty());
    }

    #[test]
    fn missing_and_misshapen_parts_are_named() {
        let error = check_parts(&upload(35), vec![part(1, 10), part(3, 10)]).unwrap_err();
        assert_eq!(error.kind, Kind::WrongState);
        assert!(error.detail.contains("2 of 4 parts are missing: 2, 4"), "{error}");
        let error = check_parts(&upload(11), vec![part(1, 9), part(2, 1)]).unwrap_err();
        assert_eq!(error.kind, Kind::DigestMismatch);
        assert!(error.detail.contains("part 1 has 9 bytes, and 10"), "{error}");
    }
}
