//! The `models` and `model_versions` tables.

use diesel::dsl::exists;
use diesel::prelude::*;

use super::{Model, TrainedOn};
use crate::appends;
use crate::db::{Among as _, Append as _, Conn};
use crate::schema::{model_versions, models};
use crate::types::{DatasetId, Digest, ModelId, OrganisationId, VersionId};

appends!(TrainedOn => model_versions);

/// Which declarations are listed.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// All of them, whoever made them and whatever they name.
    pub(super) all: bool,
    /// Otherwise those of these labs,
    pub(super) labs: Vec<OrganisationId>,
    /// and those that name a version of these providers.
    pub(super) providers: Vec<OrganisationId>,
    /// Of these, only those of this lab.
    pub(super) of: Option<OrganisationId>,
    /// Only those that name a version of this dataset.
    pub(super) dataset: Option<DatasetId>,
    /// Only those that name this version.
    pub(super) version: Option<VersionId>,
}

pub(super) fn insert_model(c: &mut Conn, model: &Model, used: &[TrainedOn]) -> QueryResult<()> {
    diesel::insert_into(models::table).values(model).execute(c)?;
    TrainedOn::insert(used, c).map(drop)
}

pub(super) fn find_model(c: &mut Conn, id: ModelId) -> QueryResult<Option<Model>> {
    models::table.find(id).select(Model::as_select()).first(c).optional()
}

pub(super) fn find_model_by_statement(c: &mut Conn, lab: OrganisationId, sha256: Digest) -> QueryResult<Option<Model>> {
    let same = models::organisation_id.eq(lab).and(models::statement_sha256.eq(sha256));
    models::table.filter(same).select(Model::as_select()).first(c).optional()
}

pub(super) fn list_versions(c: &mut Conn, id: ModelId, limit: i64) -> QueryResult<Vec<TrainedOn>> {
    model_versions::table
        .filter(model_versions::model_id.eq(id))
        .order(model_versions::ordinal)
        .limit(limit)
        .select(TrainedOn::as_select())
        .load(c)
}

pub(super) fn list_models(c: &mut Conn, wanted: &Wanted, after: &str, limit: i64) -> QueryResult<Vec<Model>> {
    let mut query = models::table
        .filter(models::id.gt(after.to_string()))
        .order(models::id)
        .limit(limit)
        .select(Model::as_select())
        .into_boxed();
    let used = model_versions::table.filter(model_versions::model_id.eq(models::id));
    if !wanted.all {
        let provided = exists(used.filter(model_versions::provider_id.among(wanted.providers.clone())));
        query = query.filter(models::organisation_id.among(wanted.labs.clone()).or(provided));
    }
    if let Some(lab) = wanted.of {
        query = query.filter(models::organisation_id.eq(lab));
    }
    if let Some(dataset) = wanted.dataset {
        query = query.filter(exists(used.filter(model_versions::dataset_id.eq(dataset))));
    }
    if let Some(version) = wanted.version {
        query = query.filter(exists(used.filter(model_versions::version_id.eq(version))));
    }
    query.load(c)
}

pub(super) fn list_models_with_version(
    c: &mut Conn,
    version: VersionId,
    after: &str,
    limit: i64,
) -> QueryResult<Vec<Model>> {
    model_versions::table
        .inner_join(models::table)
        .filter(model_versions::version_id.eq(version))
        .filter(model_versions::model_id.gt(after))
        .order(model_versions::model_id)
        .limit(limit)
        .select(Model::as_select())
        .load(c)
}
