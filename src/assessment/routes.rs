//! The compliance gate over HTTP: the checklist, assessments, certificates.

use actix_web::web::{Data, Path};
use actix_web::{HttpResponse, get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Assessment, CHECKLIST, Certificate, ChecklistItem, Decision, Evidence, Finding, NewAssessment};
use crate::app::App;
use crate::catalog;
use crate::db::Conn;
use crate::error::{Kind, Problem, Result};
use crate::http::input::{Json, Query};
use crate::identity::{self, Caller};
use crate::provenance;
use crate::signing::Envelope;
use crate::types::{AssessmentId, Digest, Instant, Page, PageQuery};

/// The items of the checklist.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChecklistView {
    /// Every item; an assessment answers each exactly once.
    items: &'static [ChecklistItem],
}

/// An answer as people read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerView {
    /// The item.
    key: String,
    /// The item's title in Chinese; absent for an item that is no longer asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    title_zh: Option<&'static str>,
    /// The item's title in English; absent for an item that is no longer asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    title_en: Option<&'static str>,
    /// What was found.
    finding: Finding,
    /// What was found: 符合, 不符合 or 不适用.
    finding_zh: &'static str,
    /// What the finding rests on.
    evidence: Vec<Evidence>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl From<Answer> for AnswerView {
    fn from(answer: Answer) -> Self {
        let item = CHECKLIST.iter().find(|item| item.key == answer.key);
        Self {
            title_zh: item.map(|item| item.title_zh),
            title_en: item.map(|item| item.title_en),
            finding_zh: answer.finding.chinese(),
            key: answer.key,
            finding: answer.finding,
            evidence: answer.evidence,
            note: answer.note,
        }
    }
}

/// A finished assessment.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssessmentView {
    /// The assessment.
    id: AssessmentId,
    /// The answers.
    checklist: Vec<AnswerView>,
    /// How it ended.
    decision: Decision,
    /// When.
    assessed_at: Instant,
    /// Until when it is good.
    valid_until: Instant,
    /// The number of the version's certificate, if it is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_number: Option<String>,
    /// What the exchange signed.
    envelope: Envelope,
}

/// A registration certificate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CertificateView {
    /// The number on it.
    number: String,
    /// `organisation/name`.
    dataset: String,
    /// The version's number.
    version: i32,
    /// SHA-256 of the signed manifest.
    manifest_sha256: Digest,
    /// The legal name of the provider.
    provider: String,
    /// When it was issued.
    issued_at: Instant,
    /// Until when the current assessment is valid; absent when none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Instant>,
    /// What the exchange signed.
    envelope: Envelope,
}

fn assessment_view(c: &mut Conn, assessment: Assessment, certificate: Option<&Certificate>) -> Result<AssessmentView> {
    Ok(AssessmentView {
        id: assessment.id,
        checklist: assessment.checklist.into_iter().map(AnswerView::from).collect(),
        decision: assessment.decision,
        assessed_at: assessment.assessed_at,
        valid_until: assessment.valid_until,
        certificate_number: certificate.map(|certificate| certificate.number.clone()),
        envelope: provenance::statement(c, assessment.statement_id)?.envelope,
    })
}

fn certificate_view(c: &mut Conn, certificate: Certificate, now: Instant) -> Result<CertificateView> {
    let (dataset, version) = catalog::version(c, certificate.version_id)?;
    let valid_until = match super::valid_assessment(c, version.id, now) {
        Ok(assessment) => Some(assessment.valid_until),
        Err(error) if error.kind == Kind::NotAssessed => None,
        Err(error) => return Err(error),
    };
    Ok(CertificateView {
        number: certificate.number,
        dataset: dataset.full_name(),
        version: version.number,
        manifest_sha256: catalog::seal_of(c, version.id)?.manifest_sha256,
        provider: identity::organisation(c, dataset.organisation_id)?.legal_name,
        issued_at: certificate.issued_at,
        valid_until,
        envelope: provenance::statement(c, certificate.statement_id)?.envelope,
    })
}

/// Lists the items that are checked before a version may be listed.
///
/// Public.
#[utoipa::path(tag = "assessment", security(()), responses((status = 200, body = ChecklistView)))]
#[get("/v1/checklist")]
pub(crate) async fn get_checklist() -> Json<ChecklistView> {
    Json(ChecklistView { items: CHECKLIST })
}

/// Assesses a sealed version.
///
/// For compliance staff. A version that passes is registered and gets a certificate.
#[utoipa::path(tag = "assessment", security(("bearer" = [])), params(
    ("organisation" = String, Path, description = "The provider's handle"),
    ("name" = String, Path, description = "The dataset's name"),
    ("number" = i32, Path, description = "The version's number"),
), responses(
    (status = 201, body = AssessmentView),
    (status = 403, body = Problem, description = "Not compliance staff"),
    (status = 404, body = Problem, description = "No such version"),
    (status = 409, body = Problem, description = "The version is not sealed, or was rejected"),
    (status = 422, body = Problem, description = "An answer or the decision was refused"),
))]
#[post("/v1/datasets/{organisation}/{name}/versions/{number}/assessments")]
pub(crate) async fn create_assessment(
    app: Data<App>,
    caller: Caller,
    version: Path<(String, String, i32)>,
    input: Json<NewAssessment>,
) -> Result<HttpResponse> {
    let (keys, now) = (app.keys.clone(), app.clock.now());
    let work = move |c: &mut Conn| {
        let (organisation, name, number) = &*version;
        let which = (organisation.as_str(), name.as_str(), *number);
        let (assessment, certificate) = super::assess(c, &keys, &caller, which, &input, now)?;
        assessment_view(c, assessment, certificate.as_ref())
    };
    Ok(HttpResponse::Created().json(app.db.write(work).await?))
}

/// Lists the assessments of a version, oldest first.
///
/// For the provider's members and the exchange's staff; for everybody who is signed in once the version is registered.
#[utoipa::path(tag = "assessment", security(("bearer" = [])), params(
    ("organisation" = String, Path, description = "The provider's handle"),
    ("name" = String, Path, description = "The dataset's name"),
    ("number" = i32, Path, description = "The version's number"),
    PageQuery,
), responses(
    (status = 200, body = Page<AssessmentView>),
    (status = 404, body = Problem, description = "No such version, or not for you to see"),
))]
#[get("/v1/datasets/{organisation}/{name}/versions/{number}/assessments")]
pub(crate) async fn list_assessments(
    app: Data<App>,
    caller: Caller,
    version: Path<(String, String, i32)>,
    page: Query<PageQuery>,
) -> Result<Page<AssessmentView>> {
    let work = move |c: &mut Conn| {
        let (organisation, name, number) = &*version;
        let page = super::list(c, &caller, (organisation, name, *number), &page)?;
        let certificate = match page.items.first() {
            Some(first) => super::certificate_of(c, first.version_id)?,
            None => None,
        };
        provenance::load_statements(c, page.items.iter().map(|assessment| assessment.statement_id))?;
        let items: Result<Vec<_>> =
            page.items.into_iter().map(|assessment| assessment_view(c, assessment, certificate.as_ref())).collect();
        Ok(Page { items: items?, next: page.next })
    };
    app.db.read(work).await
}

/// Shows a registration certificate.
///
/// Public.
#[utoipa::path(tag = "assessment", security(()), params(("number" = String, Path, description = "The number on the certificate")), responses(
    (status = 200, body = CertificateView),
    (status = 404, body = Problem, description = "No such certificate"),
))]
#[get("/v1/certificates/{number}")]
pub(crate) async fn get_certificate(app: Data<App>, number: Path<String>) -> Result<Json<CertificateView>> {
    let now = app.clock.now();
    let work = move |c: &mut Conn| {
        let certificate = super::certificate(c, &number)?;
        certificate_view(c, certificate, now)
    };
    Ok(Json(app.db.read(work).await?))
}
