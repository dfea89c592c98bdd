//! What a trace reads. It reads across the tables of every domain, by one identifier or digest at a time, and writes
//! nothing but what compliance itself keeps.

use diesel::dsl::{exists, select};
use diesel::prelude::*;

use crate::db::{Among as _, Conn};
use crate::schema::{log_sequence, model_versions, objects, shards, statements, version_parents};
use crate::types::{Digest, EntryId, ModelId, VersionId};

mod abouts;
mod chain;
mod conflicts;
mod events;
mod sql;

pub(super) use abouts::{About, is_thing, list_abouts};
pub(super) use chain::*;
pub(super) use conflicts::*;
pub(super) use events::{EventRow, SOURCES, Source, Window, list_events};

/// What the statement of a log entry is about.
pub(super) fn find_subject_of_entry(c: &mut Conn, entry: EntryId) -> QueryResult<Option<String>> {
    statements::table.filter(statements::entry_id.eq(entry)).select(statements::subject).first(c).optional()
}

/// What the statement at a place of the log is about.
pub(super) fn find_subject_at(c: &mut Conn, leaf_index: i64) -> QueryResult<Option<String>> {
    let entry = log_sequence::table.find(leaf_index).select(log_sequence::entry_id).first::<EntryId>(c).optional()?;
    entry.map_or(Ok(None), |entry| find_subject_of_entry(c, entry))
}

/// What the first statement with this digest is about.
pub(super) fn find_subject_of_pae(c: &mut Conn, sha256: Digest) -> QueryResult<Option<String>> {
    statements::table
        .filter(statements::pae_sha256.eq(sha256))
        .order(statements::id)
        .select(statements::subject)
        .first(c)
        .optional()
}

/// The versions that these were made from: (child, parent).
pub(super) fn list_parents(c: &mut Conn, children: &[VersionId]) -> QueryResult<Vec<(VersionId, VersionId)>> {
    version_parents::table
        .filter(version_parents::child_id.among(children))
        .filter(version_parents::parent_id.is_not_null())
        .order((version_parents::child_id, version_parents::ordinal))
        .select((version_parents::child_id, version_parents::parent_id.assume_not_null()))
        .load(c)
}

/// The versions that models were trained on: (model, version).
pub(super) fn list_training(c: &mut Conn, models: &[&str]) -> QueryResult<Vec<(ModelId, VersionId)>> {
    model_versions::table
        .filter(model_versions::model_id.among(models))
        .order((model_versions::model_id, model_versions::ordinal))
        .select((model_versions::model_id, model_versions::version_id))
        .load(c)
}

/// True if bytes of this digest are, or were, a shard.
pub(super) fn has_bytes(c: &mut Conn, sha256: Digest) -> QueryResult<bool> {
    let stored = select(exists(objects::table.filter(objects::sha256.eq(sha256)))).get_result(c)?;
    Ok(stored || select(exists(shards::table.filter(shards::sha256.eq(sha256)))).get_result(c)?)
}
