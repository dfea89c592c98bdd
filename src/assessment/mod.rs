//! The compliance gate: not compliant, not listed (不合规不挂牌).
//!
//! Compliance staff answer a checklist about a sealed version and decide. A version that passes is registered: it gets
//! a certificate with a number that anybody can look up. Both are statements that the exchange signs. An assessment is
//! good until a date; when it lapses the version is assessed again, and keeps its certificate.
//!
//! Invariant: a version has a valid assessment when its latest one passed and has not lapsed; only then is it offered.
//! Invariant: a version has at most one certificate, and has one if it ever passed.

mod checklist;
mod queries;
pub mod routes;

use std::time::Duration;

use diesel::{Insertable, Queryable, Selectable};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use checklist::{Answer, CHECKLIST, ChecklistItem, Evidence, Finding, check_evidence};

use crate::catalog::{self, Dataset, Seal, Version, VersionState};
use crate::db::{self, Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller};
use crate::jobs::{self, Job};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, Recorded, ResourceDescriptor, StatementKind};
use crate::text_enum;
use crate::types::{
    AssessmentId, CertificateId, DAY, Digest, Instant, Page, PageQuery, StatementId, UserId, VersionId, kind,
};

/// The longest that an assessment may be good for, in days.
pub const MAX_VALID_DAYS: i32 = 1095;
/// No certificate number is longer.
const MAX_NUMBER_LENGTH: usize = 32;
/// The name of the manifest among a statement's subjects.
const SUBJECT: &str = "manifest";
/// How often another certificate number is drawn when one is taken.
const NUMBER_ATTEMPTS: usize = 8;

text_enum! {
    /// How an assessment ends.
    pub enum Decision {
        /// The version may be listed.
        Passed = "passed",
        /// It may not.
        Failed = "failed",
    }
}

/// What compliance staff submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAssessment {
    /// An answer to every item of the checklist.
    pub checklist: Vec<Answer>,
    /// `passed` is impossible with a non-compliant finding; `failed` needs one.
    pub decision: Decision,
    /// For how many days it is valid, 1 to 1,095.
    pub valid_days: i32,
}

/// A finished assessment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The assessment.
    pub id: AssessmentId,
    /// What was assessed.
    pub version_id: VersionId,
    /// The answers.
    pub checklist: Vec<Answer>,
    /// How it ended.
    pub decision: Decision,
    /// Who assessed.
    pub assessor_id: UserId,
    /// The exchange's statement of it.
    pub statement_id: StatementId,
    /// When.
    pub assessed_at: Instant,
    /// Until when it is good.
    pub valid_until: Instant,
}

/// The registration of a version.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::certificates, check_for_backend(MultiBackend))]
pub struct Certificate {
    /// The certificate.
    pub id: CertificateId,
    /// The number on it, such as `CPX-2026-0123456789`.
    pub number: String,
    /// What is registered.
    pub version_id: VersionId,
    /// The assessment that led to it.
    pub assessment_id: AssessmentId,
    /// The exchange's statement of it.
    pub statement_id: StatementId,
    /// When.
    pub issued_at: Instant,
}

/// The predicate of an assessment statement (`schemas/assessment.v1.json`).
#[derive(Debug, Serialize)]
struct AssessmentPredicate<'a> {
    assessment: AssessmentId,
    dataset: String,
    version: i32,
    manifest_sha256: Digest,
    checklist: &'a [Answer],
    decision: Decision,
    assessor: UserId,
    assessed_at: Instant,
    valid_until: Instant,
}

/// The predicate of a certificate statement (`schemas/certificate.v1.json`).
#[derive(Debug, Serialize)]
struct CertificatePredicate<'a> {
    number: &'a str,
    dataset: String,
    version: i32,
    manifest_sha256: Digest,
    provider: Provider,
    assessment: AssessmentId,
    assessment_sha256: Digest,
    issued_at: Instant,
}

#[derive(Debug, Serialize)]
struct Provider {
    handle: String,
    legal_name: String,
    registration_number: String,
}

/// Assesses a sealed version; one that passes is registered, if it was not before.
///
/// # Errors
/// `Forbidden` for everybody but compliance staff; `NotFound`; `WrongState` unless the version is sealed, or was
/// assessed before; `Invalid`.
pub fn assess(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    which: (&str, &str, i32),
    input: &NewAssessment,
    now: Instant,
) -> Result<(Assessment, Option<Certificate>)> {
    caller.require_compliance()?;
    let (dataset, version) = catalog::find_version(c, which.0, which.1, which.2)?;
    // The last assessment has the latest time, even if the one before was made by a clock that is ahead.
    let assessed_at = match newest(c, version.id)? {
        Some(before) => now.max(before.assessed_at.plus(Duration::from_micros(1))),
        None => now,
    };
    let valid_until = validity(input.valid_days, assessed_at)?;
    checklist::check(&input.checklist, input.decision)?;
    let seal = catalog::seal_of(c, version.id)?;
    move_version(c, caller, &version, input.decision, now)?;
    jobs::enqueue(c, Job::ReviewListings { version_id: version.id }, now)?;
    let subject = Subject { dataset, version, seal };
    let assessed = declare_assessment(c, keys, caller, &subject, input, (assessed_at, valid_until))?;
    let (assessment, recorded) = &assessed;
    let certificate = match (input.decision, queries::find_certificate(c, subject.version.id)?) {
        (Decision::Passed, None) => Some(issue_certificate(c, keys, &subject, assessment, recorded, assessed_at)?),
        (Decision::Passed, standing) => standing,
        (Decision::Failed, _) => None,
    };
    Ok((assessed.0, certificate))
}

/// What is assessed.
struct Subject {
    dataset: Dataset,
    version: Version,
    seal: Seal,
}

impl Subject {
    fn descriptor(&self) -> Vec<ResourceDescriptor> {
        vec![ResourceDescriptor::new(SUBJECT, self.seal.manifest_sha256)]
    }
}

fn validity(days: i32, now: Instant) -> Result<Instant> {
    match u32::try_from(days) {
        Ok(whole @ 1..) if days <= MAX_VALID_DAYS => Ok(now.plus(DAY * whole)),
        _ => Err(Error::invalid("valid_days", format!("{days} is not between 1 and {MAX_VALID_DAYS}"))),
    }
}

fn move_version(c: &mut Conn, caller: &Caller, version: &Version, decision: Decision, now: Instant) -> Result<()> {
    let (to, reason) = match decision {
        Decision::Passed => (VersionState::Assessed, "assessment passed"),
        Decision::Failed => (VersionState::Rejected, "assessment failed"),
    };
    let ready = [VersionState::Sealed, VersionState::Assessed];
    catalog::move_state(c, version.id, &ready, VersionState::Assessing, caller.user_id, "assessment begun", now)?;
    catalog::move_state(c, version.id, &[VersionState::Assessing], to, caller.user_id, reason, now)
}

fn declare_assessment(
    c: &mut Conn,
    keys: &ExchangeKeys,
    caller: &Caller,
    subject: &Subject,
    input: &NewAssessment,
    (assessed_at, valid_until): (Instant, Instant),
) -> Result<(Assessment, Recorded)> {
    let id = AssessmentId::new(assessed_at);
    let predicate = AssessmentPredicate {
        assessment: id,
        dataset: subject.dataset.full_name(),
        version: subject.version.number,
        manifest_sha256: subject.seal.manifest_sha256,
        checklist: &input.checklist,
        decision: input.decision,
        assessor: caller.user_id,
        assessed_at,
        valid_until,
    };
    let kind = StatementKind::Assessment;
    let recorded = provenance::declare(c, keys, kind, id, subject.descriptor(), &predicate, assessed_at)?;
    let assessment = Assessment {
        id,
        version_id: subject.version.id,
        checklist: input.checklist.clone(),
        decision: input.decision,
        assessor_id: caller.user_id,
        statement_id: recorded.id,
        assessed_at,
        valid_until,
    };
    queries::insert_assessment(c, &assessment)?;
    Ok((assessment, recorded))
}

fn issue_certificate(
    c: &mut Conn,
    keys: &ExchangeKeys,
    subject: &Subject,
    assessment: &Assessment,
    assessed: &Recorded,
    now: Instant,
) -> Result<Certificate> {
    let provider = identity::organisation(c, subject.dataset.organisation_id)?;
    let (id, number) = (CertificateId::new(now), free_number(c, now)?);
    let predicate = CertificatePredicate {
        number: &number,
        dataset: subject.dataset.full_name(),
        version: subject.version.number,
        manifest_sha256: subject.seal.manifest_sha256,
        provider: Provider {
            handle: provider.handle,
            legal_name: provider.legal_name,
            registration_number: provider.registration_number,
        },
        assessment: assessment.id,
        assessment_sha256: assessed.pae_sha256,
        issued_at: now,
    };
    let kind = StatementKind::Certificate;
    let recorded = provenance::declare(c, keys, kind, id, subject.descriptor(), &predicate, now)?;
    let certificate = Certificate {
        id,
        number,
        version_id: subject.version.id,
        assessment_id: assessment.id,
        statement_id: recorded.id,
        issued_at: now,
    };
    queries::insert_certificate(c, &certificate)?;
    Ok(certificate)
}

/// A certificate number that nobody has. Numbers are drawn, not counted: a counter would be one row that every
/// registration writes.
fn free_number(c: &mut Conn, now: Instant) -> Result<String> {
    for _ in 0..NUMBER_ATTEMPTS {
        let number = format!("CPX-{:04}-{:010}", now.year(), rand::random_range(0..10_000_000_000_u64));
        if queries::find_certificate_by_number(c, &number)?.is_none() {
            return Ok(number);
        }
    }
    Err(Error::new(Kind::Unavailable, "no free certificate number was found").remedy("try again"))
}

/// The assessment on whose strength a version is offered now: its latest, if that passed and has not lapsed. A failed
/// one counts at once, even if it was made by a clock that is ahead.
///
/// # Errors
/// `NotAssessed`, saying which of these is missing.
pub fn valid_assessment(c: &mut Conn, version: VersionId, now: Instant) -> Result<Assessment> {
    match newest(c, version)? {
        Some(failed) if failed.decision == Decision::Failed => gate(Some(failed), now),
        _ => assessment_at(c, version, now),
    }
}

/// The same at the moment of an order: the assessment that the order relied on.
///
/// # Errors
/// As [`valid_assessment`].
pub fn assessment_at(c: &mut Conn, version: VersionId, at: Instant) -> Result<Assessment> {
    // One that came later says nothing of that moment.
    let latest = match newest(c, version)? {
        Some(newest) if newest.assessed_at > at => queries::find_last_assessment(c, version, Some(at))?,
        newest => newest,
    };
    gate(latest, at)
}

fn newest(c: &mut Conn, version: VersionId) -> Result<Option<Assessment>> {
    Ok(db::load_once(c, version, |c| queries::find_last_assessment(c, version, None))?)
}

fn gate(latest: Option<Assessment>, now: Instant) -> Result<Assessment> {
    let refused = |detail: String, remedy: &str| Err(Error::new(Kind::NotAssessed, detail).remedy(remedy));
    match latest {
        None => refused("the version was never assessed".into(), "ask the exchange's compliance staff to assess it"),
        Some(failed) if failed.decision == Decision::Failed => {
            let detail = format!("the version failed its assessment at {}", failed.assessed_at);
            refused(detail, "mend what the assessment names, and publish a new version")
        }
        Some(lapsed) if lapsed.valid_until <= now => {
            let detail = format!("the version's assessment lapsed at {}", lapsed.valid_until);
            refused(detail, "ask the exchange's compliance staff to assess it again")
        }
        Some(valid) => Ok(valid),
    }
}

/// Up to `limit` assessments of a version, oldest first. Callers authorise.
///
/// # Errors
/// Those of the database.
pub fn assessments_of(c: &mut Conn, version: VersionId, limit: i64) -> Result<Vec<Assessment>> {
    Ok(queries::list_assessments(c, version, "", limit)?)
}

/// The certificate of a version, if it was ever registered.
///
/// # Errors
/// Those of the database.
pub fn certificate_of(c: &mut Conn, version: VersionId) -> Result<Option<Certificate>> {
    Ok(db::fact(c, version, |c| queries::find_certificate(c, version))?)
}

/// The certificate of a version that passed its assessment.
///
/// # Errors
/// Those of the database.
pub fn registered(c: &mut Conn, version: VersionId) -> Result<Certificate> {
    certificate_of(c, version)?.ok_or_else(|| Error::internal(format!("{version} passed without a certificate")))
}

/// The certificate with a number. Certificates are public.
///
/// # Errors
/// `NotFound`.
pub fn certificate(c: &mut Conn, number: &str) -> Result<Certificate> {
    let shaped = number.len() <= MAX_NUMBER_LENGTH && number.bytes().all(|b| b.is_ascii_graphic());
    let found = if shaped { queries::find_certificate_by_number(c, number)? } else { None };
    found.ok_or_else(|| Error::not_found(format_args!("certificate {number:?}")))
}

/// The assessments of a version, oldest first. The provider's members and the exchange's staff may read them all;
/// everybody else once the version is registered.
///
/// # Errors
/// `NotFound`; `Invalid`.
pub fn list(c: &mut Conn, caller: &Caller, which: (&str, &str, i32), page: &PageQuery) -> Result<Page<Assessment>> {
    let (dataset, version) = catalog::find_version(c, which.0, which.1, which.2)?;
    if !caller.sees(dataset.organisation_id) && queries::find_certificate(c, version.id)?.is_none() {
        return Err(Error::withheld(format_args!("version {} of dataset {}/{}", which.2, which.0, which.1)));
    }
    let limit = page.limit()?;
    let rows = queries::list_assessments(c, version.id, page.after_id::<kind::Assessment>()?, limit.saturating_add(1))?;
    Ok(Page::new(rows, limit, |assessment| assessment.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::checklist::tests::answers;
    use super::*;
    use crate::schemas;
    use crate::types::OrganisationId;

    fn assessment(decision: Decision, valid_until: Instant) -> Assessment {
        let epoch = Instant::from_unix_micros(0);
        Assessment {
            id: AssessmentId::new(epoch),
            version_id: VersionId::new(epoch),
            checklist: answers(Finding::Compliant),
            decision,
            assessor_id: UserId::new(epoch),
            statement_id: StatementId::new(epoch),
            assessed_at: epoch,
            valid_until,
        }
    }

    #[test]
    fn only_a_passed_assessment_that_has_not_lapsed_opens_the_gate() {
        let now = Instant::from_unix_micros(1_000);
        let later = Instant::from_unix_micros(1_001);
        gate(Some(assessment(Decision::Passed, later)), now).unwrap();
        for (latest, why) in [
            (None, "never"),
            (Some(assessment(Decision::Failed, later)), "failed"),
            (Some(assessment(Decision::Passed, now)), "lapsed"),
        ] {
            let error = gate(latest, now).unwrap_err();
            assert_eq!(error.kind, Kind::NotAssessed);
            assert!(error.detail.contains(why), "{error}");
        }
    }

    #[test]
    fn an_assessment_is_good_for_whole_days_within_bounds() {
        let now = Instant::from_unix_micros(0);
        assert_eq!(validity(1, now).unwrap(), Instant::from_unix_micros(86_400_000_000));
        for bad in [0, -1, 1096, i32::MIN, i32::MAX] {
            assert_eq!(validity(bad, now).unwrap_err().field.as_deref(), Some("valid_days"));
        }
    }

    #[test]
    fn what_the_exchange_signs_follows_the_schemas() {
        let (now, digest) = (Instant::from_unix_micros(0), Digest::of("manifest"));
        let mut checklist = answers(Finding::NotApplicable);
        checklist[0].note = Some("无个人信息".into());
        let assessed = AssessmentPredicate {
            assessment: AssessmentId::new(now),
            dataset: "lingang-data/corpus".into(),
            version: 1,
            manifest_sha256: digest,
            checklist: &checklist,
            decision: Decision::Passed,
            assessor: UserId::new(now),
            assessed_at: now,
            valid_until: now,
        };
        schemas::validate("assessment.v1", &serde_json::to_value(&assessed).unwrap()).unwrap();
        let provider = Provider {
            handle: OrganisationId::new(now).to_string(),
            legal_name: "上海临港语料科技有限公司".into(),
            registration_number: "91310000MA1FL00000".into(),
        };
        let certified = CertificatePredicate {
            number: "CPX-2026-0123456789",
            dataset: "lingang-data/corpus".into(),
            version: 1,
            manifest_sha256: digest,
            provider,
            assessment: AssessmentId::new(now),
            assessment_sha256: digest,
            issued_at: now,
        };
        schemas::validate("certificate.v1", &serde_json::to_value(&certified).unwrap()).unwrap();
    }

    #[test]
    fn the_schema_knows_every_item_of_the_checklist() {
        let (_, text) = schemas::SCHEMAS.iter().find(|(name, _)| *name == "assessment.v1").unwrap();
        let schema: serde_json::Value = serde_json::from_str(text).unwrap();
        let keys: Vec<&str> = CHECKLIST.iter().map(|item| item.key).collect();
        assert_eq!(schema["$defs"]["answer"]["properties"]["key"]["enum"], serde_json::json!(keys));
    }
}
