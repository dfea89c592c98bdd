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
use crate::provenance::{self, StatementKind, VerifiedEnvelope};
use crate::shelf::Shelf;
use crate::signing::{Envelope, PublicKey};
use crate::types::{Digest, Instant, VersionId};

/// The largest signed manifest, in bytes of JSON: 100,000 shards with ordinary paths fit.
pub const MAX_SEAL_BYTES: usize = 128 * 1024 * 1024;
/// Shards that are written with one statement: those of which the same is said, and those that each have a count.
const ALIKE_AT_ONCE: usize = 500;
const COUNTS_AT_ONCE: usize = 100;

/// The signed manifests that were asked for lately, as JSON.
pub type Manifests = Shelf<Bytes>;

/// A manifest, and the envelope in which a key signed it. There is no way to have one but to read it.
#[derive(Debug)]
pub struct SignedManifest {
    envelope: VerifiedEnvelope,
    manifest: Manifest,
}

impl SignedManifest {
    /// Reads a manifest that `key` signed. Pure; many shards take their time, and so this is no part of a transaction: others who
    /// write would wait.
    ///
    /// # Errors
    /// `BadSignature`; `Invalid`, `TooLarge` or `AlreadyExists`, naming the field at fault.
    pub fn read(envelope: Envelope, key: PublicKey) -> Result<Self> {
        let (envelope, statement) = VerifiedEnvelope::open(envelope, &[key], StatementKind::Manifest)?;
        let manifest = Manifest::from_statement(&statement)?;
        Ok(Self { envelope, manifest })
    }
}

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

/// Checks that `caller` may seal this draft with a manifest that the key with the key id `signer` signed; gives that key, too.
///
/// # Errors
/// As [`may_seal`]; `BadSignature` for a foreign, revoked or unknown key.
pub fn may_seal_with(
    c: &mut Conn,
    caller: &Caller,
    which: &VersionRef,
    signer: Digest,
) -> Result<(Dataset, Version, PublicKey)> {
    let (dataset, version) = may_seal(c, caller, which)?;
    let key = identity::signing_key_for(c, dataset.organisation_id, signer)?.public_key;
    Ok((dataset, version, key))
}

/// Seals a draft with its manifest, signed by an active key of the organisation.
///
/// # Errors
/// As [`may_seal_with`]; `Invalid` or `DigestMismatch`, naming the first place where the manifest differs from what was
/// verified, or a parent that it may not name; `NotFound` for a parent that is not there.
pub fn seal(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    which: &VersionRef,
    SignedManifest { envelope, manifest }: &SignedManifest,
    now: Instant,
) -> Result<Described> {
    let (dataset, version, _) = may_seal_with(c, caller, which, envelope.signer())?;
    let most = i64::try_from(MAX_SHARDS).unwrap_or(i64::MAX);
    let verified = queries::list_shards(c, version.id, "", most.saturating_add(1))?;
    let verified: Vec<ManifestShard> = verified.iter().map(ManifestShard::from).collect();
    let card_sha256 = card_sha256(c, &version)?;
    manifest.check_against(&dataset.full_name(), version.number, card_sha256, &verified).map_err(in_predicate)?;
    let parents = lineage::check_parents(c, (&dataset, &version), &manifest.parents).map_err(in_predicate)?;
    let recorded = provenance::admit(c, keys, version.id, envelope, now)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::manifest::tests::manifest;
    use crate::error::Kind;
    use crate::provenance::Statement;
    use crate::signing::SecretKey;
    use serde_json::json;

    fn statement(manifest: &Manifest) -> Statement {
        Statement::new(StatementKind::Manifest, manifest.subjects(), serde_json::to_value(manifest).unwrap())
    }

    #[test]
    fn no_manifest_is_had_of_an_envelope_that_is_refused() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let good = statement(&manifest());
        let read = SignedManifest::read(good.sign(&key).unwrap(), key.public()).unwrap();
        assert_eq!((read.manifest, read.envelope.signer()), (manifest(), key.public().key_id()));

        let (mut more, mut swapped, mut backwards) = (good.clone(), good.clone(), manifest());
        more.predicate["colour"] = json!("red");
        swapped.subject.swap(0, 1);
        backwards.provenance.collected_from = Some("2026-02-02".into());
        backwards.provenance.collected_to = Some("2026-01-01".into());
        for (envelope, kind, field) in [
            (good.sign(&other), Kind::BadSignature, "signatures"),
            (more.sign(&key), Kind::Invalid, "predicate"),
            (swapped.sign(&key), Kind::Invalid, "subject/0"),
            (statement(&backwards).sign(&key), Kind::Invalid, "predicate/provenance/collected_to"),
        ] {
            let error = SignedManifest::read(envelope.unwrap(), key.public()).unwrap_err();
            assert_eq!((error.kind, error.field.as_deref()), (kind, Some(field)), "{error}");
        }
    }
}
