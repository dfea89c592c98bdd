//! Models over HTTP: declare, list, show.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Model, ModelFilter, Sight, TrainedOn};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::{self, Caller};
use crate::signing::Envelope;
use crate::terms::Use;
use crate::types::{Digest, EntitlementId, Instant, ModelId, Page, PageQuery};
use crate::{catalog, provenance};

/// A declaration to submit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewModel {
    /// An in-toto statement of kind `model-training` (schemas/model-training.v1.json), signed by an active key of the
    /// lab. Its one subject is named `model` and has the model's `sha256`.
    envelope: Envelope,
}

/// A declaration. What only the lab and the exchange's staff see is left out for others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// Its identifier.
    id: ModelId,
    /// The lab's handle.
    organisation: String,
    /// The model's name.
    name: String,
    /// Which edition of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The digest that the lab gives of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Digest>,
    /// What the versions were used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#use: Option<Use>,
    /// The first day of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_from: Option<String>,
    /// The last day of the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    trained_to: Option<String>,
    /// The digest by which the log knows the declaration.
    #[serde(skip_serializing_if = "Option::is_none")]
    statement_sha256: Option<Digest>,
    /// When it was accepted.
    declared_at: Instant,
}

/// A declaration with the versions it names.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelWithVersions {
    #[serde(flatten)]
    model: ModelView,
    /// The versions, at most 1,000; a provider sees its own.
    trained_on: Vec<TrainedOnView>,
    /// What the lab signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<Envelope>,
}

/// A version in a declaration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrainedOnView {
    /// The dataset, as `organisation/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// The licence under which it was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlement: Option<EntitlementId>,
}

fn view(c: &mut Conn, model: Model, sight: Sight) -> Result<ModelView> {
    let organisation = identity::organisation(c, model.organisation_id)?.handle;
    let Model { id, name, declared_at, .. } = model;
    let whole = sight == Sight::Whole;
    Ok(ModelView {
        id,
        organisation,
        name,
        version: whole.then_some(model.model_version),
        sha256: whole.then_some(model.sha256),
        r#use: whole.then_some(model.declared_use),
        trained_from: model.trained_from.filter(|_| whole),
        trained_to: model.trained_to.filter(|_| whole),
        statement_sha256: whole.then_some(model.statement_sha256),
        declared_at,
    })
}

fn view_with_versions(c: &mut Conn, (model, sight, used): (Model, Sight, Vec<TrainedOn>)) -> Result<ModelWithVersions> {
    catalog::load_names(c, used.iter().map(|one| one.version_id))?;
    let mut trained_on = Vec::with_capacity(used.len());
    for one in used {
        let version = catalog::name_of(c, one.version_id)?;
        let entitlement = one.entitlement_id.filter(|_| sight == Sight::Whole);
        trained_on.push(TrainedOnView { dataset: version.dataset, version: version.number, entitlement });
    }
    let envelope = match sight {
        Sight::Whole => Some(provenance::statement(c, model.statement_id)?.envelope),
        Sight::OwnVersions => None,
    };
    Ok(ModelWithVersions { model: view(c, model, sight)?, trained_on, envelope })
}

/// Declares which versions a model was trained on, in the lab's own signed statement.
///
/// For admins and signers of a verified organisation. The same declaration sent again returns the existing one.
#[utoipa::path(tag = "models", security(("bearer" = [])), responses(
    (status = 201, body = ModelWithVersions),
    (status = 200, body = ModelWithVersions, description = "This was declared before"),
    (status = 403, body = Problem, description = "The caller is neither admin nor signer of the organisation, or it holds no licence of a version"),
    (status = 404, body = Problem, description = "No such organisation, licence or version"),
    (status = 422, body = Problem, description = "The declaration or its signature was refused"),
))]
#[post("/v1/models")]
pub(crate) async fn declare_model(app: Data<App>, caller: Caller, input: Json<NewModel>) -> Result<HttpResponse> {
    let (keys, now, envelope) = (app.keys.clone(), app.clock.now(), input.into_inner().envelope);
    let declare = move |c: &mut Conn| {
        let (model, new) = super::declare(c, &keys, &caller, &envelope, now)?;
        let seen = super::model(c, &caller, model.id)?;
        Ok((view_with_versions(c, seen)?, new))
    };
    let (view, new) = app.db.write(declare).await?;
    Ok(if new { HttpResponse::Created() } else { HttpResponse::Ok() }.json(view))
}

/// Which declarations.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelQuery {
    /// Only those of the lab with this handle.
    organisation: Option<String>,
    /// Only those that name a version of this dataset: `org/name`.
    dataset: Option<String>,
    /// Only those that name this version of the dataset.
    #[param(minimum = 1)]
    version: Option<i32>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// The most items wanted, 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
}

/// Lists the models that your organisations declared, and those that were trained on what they published.
#[utoipa::path(tag = "models", security(("bearer" = [])), params(ModelQuery), responses((status = 200, body = Page<ModelView>)))]
#[get("/v1/models")]
pub(crate) async fn list_models(app: Data<App>, caller: Caller, query: Query<ModelQuery>) -> Result<Page<ModelView>> {
    let ModelQuery { organisation, dataset, version, cursor, limit } = query.into_inner();
    let (filter, page) = (ModelFilter { organisation, dataset, version }, PageQuery { cursor, limit });
    let list = move |c: &mut Conn| {
        let Page { items, next } = super::models(c, &caller, &filter, &page)?;
        identity::load_organisations(c, items.iter().map(|model| model.organisation_id))?;
        let seen = items.into_iter().map(|model| {
            let sight = super::sight(&caller, &model);
            view(c, model, sight)
        });
        Ok(Page { items: seen.collect::<Result<Vec<_>>>()?, next })
    };
    app.db.read(list).await
}

/// Shows a declaration: all of it to the lab, its name and your own versions to a provider.
#[utoipa::path(tag = "models", security(("bearer" = [])),
    params(("id" = ModelId, Path, description = "The declaration")), responses(
    (status = 200, body = ModelWithVersions),
    (status = 404, body = Problem, description = "Unknown, or nothing of yours is in it")))]
#[get("/v1/models/{id}")]
pub(crate) async fn get_model(app: Data<App>, caller: Caller, id: Path<ModelId>) -> Result<Json<ModelWithVersions>> {
    let show = move |c: &mut Conn| {
        let seen = super::model(c, &caller, *id)?;
        view_with_versions(c, seen)
    };
    Ok(Json(app.db.read(show).await?))
}
