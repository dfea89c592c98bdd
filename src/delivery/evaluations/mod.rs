//! Evaluations: where its terms say so, a lab may evaluate a version by its sample, free of charge, before it buys.
//!
//! An evaluation is a licence of its own: granted at once, for a declared purpose, for as many days as the terms say, and
//! only for the sample that the exchange drew. Each link to the sample is a statement in the log, committed before it
//! leaves.
//!
//! Invariant: an organisation evaluates a version once.
//! Invariant: no link to a sample without an evaluation that has not ended, and a durable receipt.

mod queries;
pub mod routes;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::catalog::inspection::{self, SAMPLE_PATH};
use crate::db::{Conn, MultiBackend};
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::keys::ExchangeKeys;
use crate::market;
use crate::provenance::{self, Recorded, ResourceDescriptor, StatementKind};
use crate::store::StorageKey;
use crate::terms::{self, Use};
use crate::types::{
    EvaluationId, Instant, ListingId, OrganisationId, PageQuery, StatementId, TermsId, UserId, VersionId, kind,
};

/// What a lab asks for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEvaluation {
    /// What to evaluate.
    pub listing_id: ListingId,
    /// The handle of the organisation that evaluates.
    pub organisation: String,
    /// What it wants to find out, in 10 to 2,000 characters.
    #[schema(min_length = 10, max_length = 2000)]
    pub purpose: String,
}

/// A lab's right to evaluate a version by its sample.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::evaluations, check_for_backend(MultiBackend))]
pub struct Evaluation {
    /// Its identifier.
    pub id: EvaluationId,
    /// Where it was offered.
    pub listing_id: ListingId,
    /// What is evaluated.
    pub version_id: VersionId,
    /// Who evaluates.
    pub organisation_id: OrganisationId,
    /// Who offers it.
    pub provider_id: OrganisationId,
    /// Under which terms.
    pub terms_id: TermsId,
    /// The user who requested it.
    pub user_id: UserId,
    /// What for, in the lab's words.
    pub purpose: String,
    /// The exchange's statement that grants it.
    pub statement_id: StatementId,
    /// Since when it holds.
    pub granted_at: Instant,
    /// Until when.
    pub expires_at: Instant,
}

/// Grants an evaluation of what is on the board, where its terms offer one.
pub fn grant(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    wanted: &NewEvaluation,
    now: Instant,
) -> Result<Evaluation> {
    let lab =
        identity::for_member(c, caller, &wanted.organisation, Role::TRADERS).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&lab).map_err(|e| e.field("organisation"))?;
    market::orders::check_purpose(&wanted.purpose)?;
    let listing = market::orders::open_listing(c, wanted.listing_id, now).map_err(|error| error.field("listing_id"))?;
    if listing.provider_id == lab.id {
        return Err(Error::invalid(
            "organisation",
            format!("{} has the whole corpus, and need not evaluate it", lab.handle),
        ));
    }
    let terms = terms::terms(c, listing.terms_id)?;
    let term = terms::evaluation(&terms.document).map_err(|error| error.field("listing_id"))?;
    if let Some(standing) = queries::find_evaluation_of(c, listing.version_id, lab.id)? {
        let detail = format!("{} was granted evaluation {} of this version already", lab.handle, standing.id);
        return Err(Error::new(Kind::AlreadyExists, detail).remedy("use that one; when it has ended, buy a licence"));
    }
    let inspection = inspection::inspection_of(c, listing.version_id)?;
    inspection::sample_of(c, &inspection)?;
    let (findings, _) = inspection::findings(c, &inspection)?;
    let (id, expires_at) = (EvaluationId::new(now), now.plus(term));
    let mut subjects = vec![
        ResourceDescriptor::new("manifest", findings.manifest_sha256),
        ResourceDescriptor::new("terms", terms.sha256),
    ];
    subjects.extend(findings.sample.as_ref().map(|sample| ResourceDescriptor::new(SAMPLE_PATH, sample.sha256)));
    let predicate = json!({
        "evaluation": id, "listing": listing.id, "organisation": lab.handle, "dataset": findings.dataset,
        "version": findings.version, "manifest_sha256": findings.manifest_sha256, "terms_sha256": terms.sha256,
        "sample_sha256": findings.sample.map(|sample| sample.sha256), "use": Use::Evaluate, "purpose": wanted.purpose,
        "granted_at": now, "expires_at": expires_at,
    });
    let statement = provenance::declare(c, keys, StatementKind::Evaluation, id, subjects, &predicate, now)?;
    let evaluation = Evaluation {
        id,
        listing_id: listing.id,
        version_id: listing.version_id,
        organisation_id: lab.id,
        provider_id: listing.provider_id,
        terms_id: terms.id,
        user_id: caller.user_id,
        purpose: wanted.purpose.clone(),
        statement_id: statement.id,
        granted_at: now,
        expires_at,
    };
    queries::insert_evaluation(c, &evaluation)?;
    history::record(c, id, None, "granted", caller.user_id, "asked for by the lab", now)?;
    Ok(evaluation)
}

/// The organisation that evaluates, and the one that offers it. Callers authorise.
pub fn sides(c: &mut Conn, id: EvaluationId) -> Result<[OrganisationId; 2]> {
    let found = queries::find_evaluation(c, id)?.ok_or_else(|| Error::not_found(format!("evaluation {id}")))?;
    Ok([found.organisation_id, found.provider_id])
}

/// An evaluation that the caller may see: a member of either side, or the platform's staff.
pub fn evaluation(c: &mut Conn, caller: &Caller, id: EvaluationId) -> Result<Evaluation> {
    let named = || format!("evaluation {id}");
    let evaluation = queries::find_evaluation(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    let sees = caller.sees_trade(evaluation.organisation_id, evaluation.provider_id);
    if sees { Ok(evaluation) } else { Err(Error::withheld(named())) }
}

/// The evaluations of the caller's organisations, on either side, oldest first.
pub fn evaluations(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Evaluation>> {
    let own = caller.organisations();
    let (after, limit) = (page.after_id::<kind::Evaluation>()?, page.limit()?.saturating_add(1));
    Ok(queries::list_evaluations(c, &own, after, limit)?)
}

/// A sample that may leave now.
#[derive(Debug)]
pub struct Released {
    /// Where it lies.
    pub storage_key: StorageKey,
    /// Its size.
    pub size_bytes: u64,
    /// The receipt that was recorded for it.
    pub receipt: Recorded,
}

/// Records that the sample is handed out under an evaluation. Its link may leave when this is committed.
pub fn release(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, id: EvaluationId, now: Instant) -> Result<Released> {
    let evaluation = evaluation(c, caller, id)?;
    caller.may_for(evaluation.organisation_id, "the lab", Role::USERS)?;
    if evaluation.expires_at <= now {
        let detail = format!("evaluation {id} ended at {}", evaluation.expires_at);
        return Err(Error::new(Kind::NotEntitled, detail).remedy("buy a licence of the version"));
    }
    // Another instance may have granted it, whose clock is ahead.
    let now = now.max(evaluation.granted_at);
    market::require_free(c, evaluation.version_id)?;
    let inspection = inspection::inspection_of(c, evaluation.version_id)?;
    let (storage_key, size_bytes) = inspection::sample_of(c, &inspection)?;
    let granted = provenance::statement(c, evaluation.statement_id)?.envelope.pae_sha256();
    let sample = inspection::findings(c, &inspection)?.0.sample.map(|sample| sample.sha256);
    let mut subjects = vec![ResourceDescriptor::new("evaluation", granted)];
    subjects.extend(sample.map(|sample| ResourceDescriptor::new(SAMPLE_PATH, sample)));
    let predicate = json!({
        "evaluation": id, "evaluation_sha256": granted, "sample_sha256": sample, "size_bytes": size_bytes,
        "user": caller.user_id, "issued_at": now,
    });
    let receipt = provenance::declare(c, keys, StatementKind::EvaluationReceipt, id, subjects, &predicate, now)?;
    Ok(Released { storage_key, size_bytes, receipt })
}
