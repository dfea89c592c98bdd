//! Previews: the first records of a version's sample, for everybody who is signed in, where the provider's terms allow it.
//!
//! Invariant: nobody but insiders sees a record of a version before it is on the board under terms that allow a preview.

pub(crate) mod routes;

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use serde_json::Value;

use super::queries;
use crate::catalog::inspection::{self, Findings};
use crate::catalog::{self, VersionRef};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::Caller;
use crate::store::{StorageKey, Store};
use crate::terms;
use crate::types::VersionId;

/// The most records of a preview.
const MAX_RECORDS: usize = 10;
/// The part of a sample of which a preview is made, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// What a preview is made of.
#[derive(Debug)]
pub struct Preview {
    /// What the exchange found when it read the version.
    pub findings: Findings,
    /// Where the sample lies, and its size.
    pub sample: (StorageKey, u64),
}

/// The preview that `caller` may see.
///
/// # Errors
/// `NotFound`, also while no sample is drawn; `WrongState` for a draft; `Forbidden` where no terms allow it.
pub fn preview(c: &mut Conn, caller: &Caller, which: &VersionRef) -> Result<Preview> {
    let (dataset, version) = catalog::view_version(c, Some(caller), which)?;
    if !catalog::is_insider(Some(caller), dataset.organisation_id) {
        require_allowed(c, version.id)?;
    }
    let inspection = inspection::inspection_of(c, version.id)?;
    let sample = inspection::sample_of(c, &inspection)?;
    Ok(Preview { findings: inspection::findings(c, &inspection)?.0, sample })
}

/// Refuses a version that is not on the board under terms that allow a preview.
fn require_allowed(c: &mut Conn, version: VersionId) -> Result<()> {
    for listing in queries::list_listed(c, &[version])? {
        if terms::terms(c, listing.terms_id)?.document.preview {
            return Ok(());
        }
    }
    let refused = Error::new(Kind::Forbidden, "no terms on which this version is offered allow a preview");
    Err(refused.remedy("look at its card and at what the exchange found in it, or ask the provider"))
}

/// The first records of a sample: up to ten, as far as they lie within its first 256 KiB.
///
/// # Errors
/// Those of the store.
pub async fn first_records(store: &Store, (key, size_bytes): &(StorageKey, u64)) -> Result<Vec<Value>> {
    let end = MAX_BYTES.min(*size_bytes);
    let stream = store.read(key, Some(0..end)).await?;
    let bytes: BytesMut = stream
        .try_fold(BytesMut::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        })
        .await?;
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    let broken = |error: serde_json::Error| Error::internal("a line of a sample is no JSON").because(error);
    lines.take(MAX_RECORDS).map(|line| serde_json::from_slice(line).map_err(broken)).collect()
}
