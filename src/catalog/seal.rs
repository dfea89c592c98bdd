//! Sealing: the provider signs what a version consists of, and from then on it never changes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::manifest::in_predicate;
use super::versions::{Described, card_sha256};
use super::{
    Dataset, Manifest, ManifestShard, Measure, Seal, Version, VersionRef, VersionState, lineage, move_state, queries,
    require_draft, seal_of, view_version,
};
use crate::config::MAX_SHARDS;
use crate::db::Conn;
use crate::error::Result;
use crate::identity::{self, Caller, Role};
use crate::jobs::{self, Job};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, StatementKind};
use crate::shelf::Shelf;
use crate::signing::Envelope;
use crate::types::{Instant, VersionId};

/// The largest signed manifest, in bytes of JSON: 100,000 shards with ordinary paths fit.
pub const MAX_SEAL_BYTES: usize = 128 * 1024 * 1024;
/// Shards that are written with one statement: those of which the same is said, and those that each have a count.
const ALIKE_AT_ONCE: usize = 500;
const COUNTS_AT_ONCE: usize = 100;

/// The signed manifests that were asked for lately, as JSON.
pub type Manifests = Shelf<Bytes>;

/// Checks, before any body is read, that `caller` may seal this draft.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`.
pub fn may_seal(c: &mut Conn, caller: &Caller, which: &VersionRef) -> Result<(Dataset, Version)> {
    let (dataset, version) = view_version(c, Some(caller), which)?;
    caller.may_for(dataset.organisation_id, &dataset.handle, Role::SIGNERS)?;
    identity::require_verified(&identity::organisation(c, dataset.organisation_id)?)?;
    require_draft(&version)?;
    Ok((dataset, version))
}

/// Seals a draft with its manifest, signed by an active key of the organisation.
///
/// # Errors
/// `NotFound`, `Forbidden`, `WrongState`; `BadSignature` for a foreign, revoked or unknown key; `Invalid` or
/// `DigestMismatch`, naming the first place where the manifest differs from what was verified, or a parent that it may
/// not name; `NotFound` for a parent that is not there.
pub fn seal(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    which: &VersionRef,
    envelope: &Envelope,
    now: Instant,
) -> Result<Described> {
    let (dataset, version) = may_seal(c, caller, which)?;
    let signer = envelope.sole_signature()?.keyid;
    let key = identity::signing_key_for(c, dataset.organisation_id, signer)?.public_key;
    let manifest = Manifest::from_statement(&provenance::parse(envelope, key, StatementKind::Manifest)?)?;
    let most = i64::try_from(MAX_SHARDS).unwrap_or(i64::MAX);
    let verified = queries::list_shards(c, version.id, "", most.saturating_add(1))?;
    let verified: Vec<ManifestShard> = verified.iter().map(ManifestShard::from).collect();
    let card_sha256 = card_sha256(c, &version)?;
    manifest.check_against(&dataset.full_name(), version.number, card_sha256, &verified).map_err(in_predicate)?;
    let parents = lineage::check_parents(c, (&dataset, &version), &manifest.parents).map_err(in_predicate)?;
    let recorded = provenance::admit(c, keys, StatementKind::Manifest, version.id, envelope, key, now)?;
    let measure = Measure::of(manifest.shards.iter()).map_err(in_predicate)?;
    let seal = Seal {
        version_id: version.id,
        statement_id: recorded.id,
        manifest_sha256: recorded.pae_sha256,
        shard_count: measure.shards,
        total_bytes: measure.bytes,
        total_records: measure.records,
        total_tokens: measure.tokens,
        sealed_at: now,
        generation: parents.generation,
    };
    queries::insert_seal(c, &seal)?;
    record_facets(c, version.id, &manifest.shards)?;
    lineage::record(c, version.id, &parents)?;
    let sealed = VersionState::Sealed;
    move_state(c, version.id, &[VersionState::Draft], sealed, caller.user_id, "sealed by the provider", now)?;
    // Later, and after every sealing alike: whether somebody sealed the same bytes must not show in this answer.
    jobs::enqueue(c, Job::FlagConflicts { version_id: version.id }, now)?;
    jobs::enqueue(c, Job::InspectVersion { version_id: version.id }, now)?;
    Ok((Version { state: sealed, ..version }, card_sha256, Some(seal)))
}

/// Keeps what the provider says of each shard beside what was verified of it. Many shards are written together: the others
/// who write wait meanwhile.
fn record_facets(c: &mut Conn, version: VersionId, shards: &[ManifestShard]) -> Result<()> {
    let mut alike: HashMap<_, Vec<&str>> = HashMap::new();
    for shard in shards {
        let said = (shard.language.as_deref(), shard.domain, shard.licence.as_deref());
        if said != (None, None, None) {
            alike.entry(said).or_default().push(&shard.path);
        }
    }
    for (said, paths) in alike {
        for paths in paths.chunks(ALIKE_AT_ONCE) {
            queries::set_facets(c, version, paths, said)?;
        }
    }
    let counts = shards.iter().filter_map(|shard| Some((shard.path.as_str(), shard.tokens?)));
    for counts in counts.collect::<Vec<_>>().chunks(COUNTS_AT_ONCE) {
        queries::set_tokens(c, version, counts)?;
    }
    Ok(())
}

/// The signed manifest of a version that `caller` may see, as JSON.
///
/// # Errors
/// `NotFound`; `WrongState` when it is not sealed.
pub fn manifest(
    c: &mut Conn,
    caller: Option<&Caller>,
    which: &VersionRef,
    manifests: &Manifests,
) -> Result<Arc<Bytes>> {
    let (_, version) = view_version(c, caller, which)?;
    let id = seal_of(c, version.id)?.statement_id;
    manifests.find_or(&id.to_string(), || Ok(serde_json::to_vec(&provenance::statement(c, id)?.envelope)?.into()))
}
