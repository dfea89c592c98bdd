//! Licence terms over HTTP: publish, read.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Terms, TermsDocument, odrl};
use crate::app::App;
use crate::db::Conn;
use crate::error::{Problem, Result};
use crate::http::answers::json_ld;
use crate::http::input::{Json, Query};
use crate::identity::routes::MaybeCaller;
use crate::identity::{self, Caller};
use crate::provenance;
use crate::signing::Envelope;
use crate::types::{Digest, Instant, Page, PageQuery, TermsId};

/// Terms to publish.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTerms {
    /// An in-toto statement of kind `terms`, signed by an active key of the provider. Its predicate holds the
    /// provider's handle and the document; its one subject is the document, named `terms`, by the SHA-256 of its
    /// canonical JSON.
    envelope: Envelope,
}

/// Published terms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TermsView {
    /// The terms.
    id: TermsId,
    /// The handle of the provider.
    organisation: String,
    /// SHA-256 of the signed document: of its DSSE pre-authentication encoding.
    sha256: Digest,
    /// What they say.
    document: TermsDocument,
    /// When they were published.
    published_at: Instant,
}

/// Published terms with the provider's signature.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignedTermsView {
    #[serde(flatten)]
    terms: TermsView,
    /// What the provider signed.
    envelope: Envelope,
}

impl TermsView {
    fn new(organisation: String, terms: Terms) -> Self {
        let Terms { id, sha256, document, published_at, .. } = terms;
        Self { id, organisation, sha256, document, published_at }
    }
}

fn signed(c: &mut Conn, terms: Terms) -> Result<SignedTermsView> {
    let organisation = identity::organisation(c, terms.organisation_id)?.handle;
    let envelope = provenance::statement(c, terms.statement_id)?.envelope;
    Ok(SignedTermsView { terms: TermsView::new(organisation, terms), envelope })
}

/// Publishes licence terms.
///
/// For admins and signers of a verified organisation. Publishing the same document again returns the same terms.
#[utoipa::path(tag = "terms", security(("bearer" = [])), responses(
    (status = 201, body = SignedTermsView),
    (status = 200, body = SignedTermsView, description = "This document was published before"),
    (status = 403, body = Problem, description = "The caller is neither admin nor signer of the organisation"),
    (status = 404, body = Problem, description = "No such organisation"),
    (status = 422, body = Problem, description = "The document or its signature was refused"),
))]
#[post("/v1/terms")]
pub(crate) async fn publish_terms(app: Data<App>, caller: Caller, input: Json<NewTerms>) -> Result<HttpResponse> {
    let (keys, now, envelope) = (app.keys.clone(), app.clock.now(), input.into_inner().envelope);
    let work = move |c: &mut Conn| {
        let (terms, new) = super::publish(c, &keys, &caller, &envelope, now)?;
        Ok((signed(c, terms)?, new))
    };
    let (view, new) = app.db.write(work).await?;
    Ok(if new { HttpResponse::Created() } else { HttpResponse::Ok() }.json(view))
}

/// Shows licence terms.
///
/// Public.
#[utoipa::path(tag = "terms", security(()), params(("id" = TermsId, Path, description = "The terms")), responses(
    (status = 200, body = SignedTermsView),
    (status = 404, body = Problem, description = "No such terms"),
))]
#[get("/v1/terms/{id}")]
pub(crate) async fn get_terms(app: Data<App>, id: Path<TermsId>) -> Result<Json<SignedTermsView>> {
    let id = id.into_inner();
    let work = move |c: &mut Conn| {
        let terms = super::terms(c, id)?;
        signed(c, terms)
    };
    Ok(Json(app.db.read(work).await?))
}

/// Shows licence terms as a Set of ODRL 2.2 rules, in JSON-LD, for everything that is listed under them. Words that are not
/// ODRL's own are defined in `/v1/odrl-profile`.
///
/// Public.
#[utoipa::path(tag = "terms", security(()), params(("id" = TermsId, Path, description = "The terms")), responses(
    (status = 200, body = serde_json::Value, content_type = "application/ld+json"),
    (status = 404, body = Problem, description = "No such terms"),
))]
#[get("/v1/terms/{id}/odrl")]
pub(crate) async fn get_terms_odrl(app: Data<App>, id: Path<TermsId>) -> Result<HttpResponse> {
    let (id, url) = (id.into_inner(), app.config.public_url());
    let work = move |c: &mut Conn| {
        let terms = super::terms(c, id)?;
        let provider = identity::organisation(c, terms.organisation_id)?;
        Ok(odrl::set(&url, &provider, &terms))
    };
    Ok(json_ld(&app.db.read(work).await?))
}

/// Defines the words of licence terms that ODRL 2.2 lacks: the exchange's profile of it, in JSON-LD.
///
/// Public.
#[utoipa::path(tag = "terms", security(()), responses(
    (status = 200, body = serde_json::Value, content_type = "application/ld+json"),
))]
#[get("/v1/odrl-profile")]
pub(crate) async fn get_odrl_profile(app: Data<App>) -> HttpResponse {
    json_ld(&odrl::profile(&app.config.public_url()))
}

/// Lists the licence terms that an organisation published, oldest first.
///
/// Public.
#[utoipa::path(tag = "terms", security(()), params(("handle" = String, Path, description = "The organisation's handle"), PageQuery), responses(
    (status = 200, body = Page<TermsView>),
    (status = 404, body = Problem, description = "No such organisation, or it is not verified and not yours"),
))]
#[get("/v1/organisations/{handle}/terms")]
pub(crate) async fn list_terms(
    app: Data<App>,
    caller: MaybeCaller,
    handle: Path<String>,
    page: Query<PageQuery>,
) -> Result<Page<TermsView>> {
    let handle = handle.into_inner();
    let organisation = handle.clone();
    let terms = app.db.read(move |c| super::list(c, caller.0.as_ref(), &handle, &page)).await?;
    Ok(terms.map(|terms| TermsView::new(organisation.clone(), terms)))
}
