//! Models: which versions a lab trained a model on, in the lab's own signed words.
//!
//! A lab signs a declaration alone; the exchange checks that each version it names was licensed to the lab for that very
//! use, or is the lab's own, adds its receipt and puts it in the log. A declaration never changes: a model that is
//! trained further, or for another use, is declared again.
//!
//! Who sees what: the lab's members, operators and compliance staff see all of a declaration. The provider of a version
//! in it sees that its own versions were used, by which lab and in a model of which name, and nothing else: neither the
//! other versions, nor the digest or the use, nor when it was trained. To everybody else it does not exist. The public
//! log shows that a key of the lab signed a declaration, by digest only.
//!
//! Invariant: each version was the lab's own, or under a licence of the lab whose contract permits the declared use.

mod queries;
pub mod routes;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Dataset};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Organisation, Role};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, Statement, StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::terms::Use;
use crate::types::{
    DatasetId, Digest, EntitlementId, Instant, ModelId, OrganisationId, Page, PageQuery, StatementId, VersionId, kind,
};
use crate::{delivery, market};

/// The name of the model among a statement's subjects.
const SUBJECT: &str = "model";
/// The most versions that one declaration names; its schema says so too.
const MAX_VERSIONS: i64 = 1000;

/// What a lab signs: which versions a model was trained on (`schemas/model-training.v1.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The handle of the lab.
    pub organisation: String,
    /// The model.
    pub model: NamedModel,
    /// What the versions were used for.
    pub r#use: Use,
    /// The versions, each once.
    pub trained_on: Vec<TrainingItem>,
    /// The first day of the work, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_from: Option<String>,
    /// The last day of the work, as YYYY-MM-DD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_to: Option<String>,
}

/// A model as its lab names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedModel {
    /// Its name.
    pub name: String,
    /// Which edition of it.
    pub version: String,
    /// The SHA-256 of the weights; of the model card where the weights are many files.
    pub sha256: Digest,
}

/// A version that a model was trained on, and by what right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingItem {
    /// The dataset, as `organisation/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// The digest of its sealed manifest.
    pub manifest_sha256: Digest,
    /// The licence; absent only for a version of the lab itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entitlement: Option<EntitlementId>,
}

/// A declaration that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::models, check_for_backend(crate::db::MultiBackend))]
pub struct Model {
    /// Its identifier.
    pub id: ModelId,
    /// The lab.
    pub organisation_id: OrganisationId,
    /// The model's name.
    pub name: String,
    /// Which edition of it.
    pub model_version: String,
    /// The digest that the lab gives of it.
    pub sha256: Digest,
    /// What the versions were used for.
    pub declared_use: Use,
    /// The first day of the work, as YYYY-MM-DD.
    pub trained_from: Option<String>,
    /// The last day of the work, as YYYY-MM-DD.
    pub trained_to: Option<String>,
    /// The signed declaration.
    pub statement_id: StatementId,
    /// The digest by which the log knows it.
    pub statement_sha256: Digest,
    /// When it was accepted.
    pub declared_at: Instant,
}

/// A version in a declaration.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::model_versions, check_for_backend(crate::db::MultiBackend))]
pub struct TrainedOn {
    /// Of which declaration.
    pub model_id: ModelId,
    /// Its place there, from 0.
    pub ordinal: i32,
    /// The version.
    pub version_id: VersionId,
    /// Its dataset.
    pub dataset_id: DatasetId,
    /// Whose it is.
    pub provider_id: OrganisationId,
    /// The licence; absent for a version of the lab itself.
    pub entitlement_id: Option<EntitlementId>,
}

/// How much of a declaration a caller sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    Whole,
    /// The model's name, and the caller's own versions.
    OwnVersions,
}

impl Training {
    /// The statement of this declaration: what a lab signs, and what [`declare`] expects.
    ///
    /// # Errors
    /// `Invalid` when it cannot be written as JSON.
    pub fn statement(&self) -> Result<Statement> {
        let subject = ResourceDescriptor::new(SUBJECT, self.model.sha256);
        Ok(Statement::new(StatementKind::ModelTraining, vec![subject], serde_json::to_value(self)?))
    }

    /// Checks what a schema cannot say.
    fn check(&self) -> Result<()> {
        let mut seen = HashMap::new();
        for (index, item) in self.trained_on.iter().enumerate() {
            if let Some(before) = seen.insert((&item.dataset, item.version), index) {
                let detail = format!("this is version {before} of the list again");
                return Err(Error::invalid(format!("/trained_on/{index}"), detail).remedy("name each version once"));
            }
        }
        match (&self.trained_from, &self.trained_to) {
            (Some(from), Some(to)) if from > to => Err(Error::invalid("/trained_to", format!("{to} is before {from}"))),
            _ => Ok(()),
        }
    }
}

/// Accepts a declaration that an active key of the caller's organisation signed. The same declaration again gives the one
/// that stands already; the flag tells whether it is new.
///
/// # Errors
/// `NotFound` or `Forbidden` unless the caller is an admin or signer of the organisation; `BadSignature`; `Invalid`,
/// `NotEntitled`, `UseNotPermitted` or `DigestMismatch`, naming the item at fault.
pub fn declare(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    envelope: &Envelope,
    now: Instant,
) -> Result<(Model, bool)> {
    let organisation = identity::for_member(c, caller, &provenance::claimed_organisation(envelope)?, Role::SIGNERS)?;
    identity::require_verified(&organisation)?;
    let statement_sha256 = envelope.pae_sha256();
    if let Some(standing) = queries::find_model_by_statement(c, organisation.id, statement_sha256)? {
        return Ok((standing, false));
    }
    let key = identity::signing_key_for(c, organisation.id, envelope.sole_signature()?.keyid)?.public_key;
    let (verified, signed) = VerifiedEnvelope::open(envelope.clone(), &[key], StatementKind::ModelTraining)?;
    let training: Training = serde_json::from_value(signed.predicate.clone())
        .map_err(|error| Error::invalid("predicate", format!("this is not a declaration: {error}")))?;
    training.check().map_err(in_predicate)?;
    if signed != training.statement()? {
        return Err(Error::invalid("subject", "the statement must have one subject: the model, by its digest")
            .remedy("name it \"model\", with the sha256 that the predicate gives of it"));
    }
    let id = ModelId::new(now);
    let mut used = Vec::with_capacity(training.trained_on.len());
    for (ordinal, item) in (0_i32..).zip(&training.trained_on) {
        let (dataset, version_id) = check_item(c, caller, &organisation, &training, item).map_err(|error| {
            let field = error.field.clone().unwrap_or_default();
            in_predicate(error.field(format!("/trained_on/{ordinal}/{field}")))
        })?;
        let (dataset_id, provider_id) = (dataset.id, dataset.organisation_id);
        let entitlement_id = item.entitlement;
        used.push(TrainedOn { model_id: id, ordinal, version_id, dataset_id, provider_id, entitlement_id });
    }
    let recorded = provenance::admit(c, keys, id, &verified, now)?;
    let model = Model {
        id,
        organisation_id: organisation.id,
        name: training.model.name,
        model_version: training.model.version,
        sha256: training.model.sha256,
        declared_use: training.r#use,
        trained_from: training.trained_from,
        trained_to: training.trained_to,
        statement_id: recorded.id,
        statement_sha256,
        declared_at: now,
    };
    queries::insert_model(c, &model, &used)?;
    Ok((model, true))
}

/// Names a field of the predicate by where it stands in the statement.
fn in_predicate(error: Error) -> Error {
    let pointer = error.field.clone().unwrap_or_default();
    error.field(format!("predicate{pointer}"))
}

/// The version that an item names, if the lab may have used it so. The field of an error is the item's own.
fn check_item(
    c: &mut Conn,
    caller: &Caller,
    lab: &Organisation,
    training: &Training,
    item: &TrainingItem,
) -> Result<(Dataset, VersionId)> {
    let named = format!("{}@{}", item.dataset, item.version);
    let (dataset, version) = match item.entitlement {
        Some(id) => licensed(c, caller, lab, training, (id, item.version))?,
        None => own(c, lab, item)?,
    };
    if (dataset.full_name(), version.number) != (item.dataset.clone(), item.version) {
        let licensed = format!("{}@{}", dataset.full_name(), version.number);
        return Err(Error::invalid("entitlement", format!("this is a licence of {licensed}, not of {named}"))
            .remedy("name the licence of the version that was used: GET /v1/entitlements lists yours"));
    }
    let sealed = catalog::seal_of(c, version.id).map_err(|error| error.field("version"))?.manifest_sha256;
    if sealed != item.manifest_sha256 {
        let detail = format!("the manifest of {named} has digest {sealed}, and {} was named", item.manifest_sha256);
        return Err(Error::new(Kind::DigestMismatch, detail)
            .field("manifest_sha256")
            .remedy("compare the manifest that you have with the one of the exchange"));
    }
    Ok((dataset, version.id))
}

/// What a licence of the lab covers, if its contract permits the declared use and it held before the work ended.
fn licensed(
    c: &mut Conn,
    caller: &Caller,
    lab: &Organisation,
    training: &Training,
    (id, number): (EntitlementId, i32),
) -> Result<(Dataset, catalog::Version)> {
    let entitlement = delivery::entitlement(c, caller, id).map_err(|error| error.field("entitlement"))?;
    if entitlement.organisation_id != lab.id {
        return Err(Error::new(Kind::NotEntitled, format!("{id} is not a licence of {}", lab.handle))
            .field("entitlement")
            .remedy("name a licence of the organisation that signs"));
    }
    let permitted = market::order(c, entitlement.order_id)?.permitted_use;
    if permitted != training.r#use {
        let detail = format!("the contract of {id} permits {permitted}, and {} is declared", training.r#use);
        return Err(Error::new(Kind::UseNotPermitted, detail)
            .field("entitlement")
            .remedy("name a licence for this use, or declare each use by itself"));
    }
    let (dataset, version, since) = delivery::subscriptions::licensed_version(c, &entitlement, number)?;
    let granted_at = since.to_string();
    if training.trained_to.as_deref().is_some_and(|to| granted_at.get(..10).is_some_and(|day| to < day)) {
        let detail = format!("{id} licenses it since {granted_at}, when the work had ended");
        return Err(Error::new(Kind::NotEntitled, detail)
            .field("entitlement")
            .remedy("name the licence that was held at the time, or correct trained_to"));
    }
    Ok((dataset, version))
}

/// A version of the lab itself, for which it needs no licence.
fn own(c: &mut Conn, lab: &Organisation, item: &TrainingItem) -> Result<(Dataset, catalog::Version)> {
    match item.dataset.split_once('/') {
        Some((handle, name)) if handle == lab.handle => {
            catalog::find_version(c, handle, name, item.version).map_err(|error| error.field("dataset"))
        }
        _ => Err(Error::new(Kind::NotEntitled, format!("no licence is named for {}@{}", item.dataset, item.version))
            .field("entitlement")
            .remedy("name the licence under which it was used: GET /v1/entitlements lists yours")),
    }
}

/// A declaration, and how much of it `caller` sees.
///
/// # Errors
/// `NotFound`.
pub fn model(c: &mut Conn, caller: &Caller, id: ModelId) -> Result<(Model, Sight, Vec<TrainedOn>)> {
    let named = || format!("model {id}");
    let model = queries::find_model(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    let mut used = queries::list_versions(c, id, MAX_VERSIONS)?;
    let sight = sight(caller, &model);
    if sight == Sight::OwnVersions {
        used.retain(|one| caller.member_of(one.provider_id).is_some());
    }
    if sight == Sight::OwnVersions && used.is_empty() {
        Err(Error::withheld(named()))
    } else {
        Ok((model, sight, used))
    }
}

/// How much `caller` sees of a declaration that it may know of.
pub fn sight(caller: &Caller, model: &Model) -> Sight {
    if caller.sees(model.organisation_id) { Sight::Whole } else { Sight::OwnVersions }
}

/// Which declarations are wanted.
#[derive(Debug, Clone, Default)]
pub struct ModelFilter {
    /// Those of the lab with this handle.
    pub organisation: Option<String>,
    /// Those that name a version of this dataset: `organisation/name`.
    pub dataset: Option<String>,
    /// Those that name this version of the dataset.
    pub version: Option<i32>,
}

/// The declarations that `caller` may know of, oldest first.
///
/// # Errors
/// `Invalid`, naming the parameter.
pub fn models(c: &mut Conn, caller: &Caller, filter: &ModelFilter, page: &PageQuery) -> Result<Page<Model>> {
    let (limit, after) = (page.limit()?, page.after_id::<kind::Model>()?);
    let own = caller.organisations();
    let mut wanted = queries::Wanted { labs: own.clone(), providers: own, ..queries::Wanted::default() };
    wanted.all = caller.is_staff();
    if let Some(handle) = &filter.organisation {
        match found(identity::visible_organisation(c, Some(caller), handle))? {
            Some(lab) => wanted.of = Some(lab.id),
            None => return Ok(Page::new(Vec::new(), limit, |model: &Model| model.id.to_string())),
        }
    }
    match (&filter.dataset, filter.version) {
        (None, None) => {}
        (None, Some(_)) => {
            return Err(Error::invalid("version", "a version is one of a dataset; name the dataset too"));
        }
        (Some(dataset), version) => match named_dataset(c, dataset, version)? {
            Some((dataset, version)) => {
                // A provider learns of its own versions only, not which others a model was trained on.
                wanted.providers.retain(|provider| *provider == dataset.organisation_id);
                (wanted.dataset, wanted.version) = (Some(dataset.id), version);
            }
            None => return Ok(Page::new(Vec::new(), limit, |model: &Model| model.id.to_string())),
        },
    }
    let rows = queries::list_models(c, &wanted, after, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |model| model.id.to_string()))
}

/// The dataset of a filter and the version of this number; nothing where there is none.
fn named_dataset(c: &mut Conn, dataset: &str, number: Option<i32>) -> Result<Option<(Dataset, Option<VersionId>)>> {
    let (handle, name) = catalog::split_name(dataset)?;
    match number {
        Some(number) => {
            let version = found(catalog::find_version(c, handle, name, number))?;
            Ok(version.map(|(dataset, version)| (dataset, Some(version.id))))
        }
        None => Ok(found(catalog::find_dataset(c, handle, name))?.map(|dataset| (dataset, None))),
    }
}

/// What was found, or nothing where there is nothing to be seen: a filter does not tell what exists.
fn found<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Up to `limit` declarations that name a version and whose identifiers sort after `after`, whoever asks.
///
/// # Errors
/// Those of the database.
pub fn models_trained_on(c: &mut Conn, version: VersionId, after: &str, limit: i64) -> Result<Vec<Model>> {
    Ok(queries::list_models_with_version(c, version, after, limit)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schemas;

    fn training() -> Training {
        let item = |version| TrainingItem {
            dataset: "poetry-house/poems".into(),
            version,
            manifest_sha256: Digest::of("manifest"),
            entitlement: None,
        };
        Training {
            organisation: "verse-lab".into(),
            model: NamedModel { name: "Verse".into(), version: "7b".into(), sha256: Digest::of("weights") },
            r#use: Use::Pretrain,
            trained_on: vec![item(1), item(2)],
            trained_from: Some("2026-01-01".into()),
            trained_to: Some("2026-02-01".into()),
        }
    }

    #[test]
    fn a_declaration_follows_its_schema() {
        let written = serde_json::to_value(training()).unwrap();
        schemas::validate("model-training.v1", &written).unwrap();
        for (pointer, wrong) in [
            ("/model/name", json!("")),
            ("/model/name", json!("bell\u{7}")),
            ("/model/sha256", json!("abc")),
            ("/use", json!("sell")),
            ("/trained_on", json!([])),
            ("/trained_on/0/version", json!(0)),
            ("/trained_to", json!("2026-02-30")),
        ] {
            let mut changed = written.clone();
            *changed.pointer_mut(pointer).unwrap() = wrong;
            assert_eq!(schemas::validate("model-training.v1", &changed).unwrap_err().field.as_deref(), Some(pointer));
        }
    }

    #[test]
    fn a_declaration_that_contradicts_itself_is_refused() {
        training().check().unwrap();
        let mut twice = training();
        twice.trained_on[1].version = 1;
        assert_eq!(twice.check().unwrap_err().field.as_deref(), Some("/trained_on/1"));
        let backwards = Training { trained_from: Some("2026-02-02".into()), ..training() };
        assert_eq!(backwards.check().unwrap_err().field.as_deref(), Some("/trained_to"));
    }

    #[test]
    fn its_one_subject_is_the_model() {
        let statement = training().statement().unwrap();
        assert_eq!(statement.subject, [ResourceDescriptor::new("model", Digest::of("weights"))]);
        assert_eq!(statement.predicate_type, "urn:corpex:predicate:model-training:v1");
    }
}
