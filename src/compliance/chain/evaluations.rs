//! Evaluations in a chain: who was given a sample of the version before it was bought.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Facts, Logged, MOST_LISTED, Party, note_cut, queries};
use crate::compliance::subject::Scope;
use crate::db::Conn;
use crate::error::Result;
use crate::provenance::{self, StatementKind};
use crate::types::{EvaluationId, Instant, PageQuery, StatementId, TermsId, VersionId};

/// One evaluation, and the links that were given to its sample.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Evaluated {
    /// Who evaluated.
    pub holder: Party,
    /// The evaluation.
    pub evaluation: EvaluationId,
    /// The terms that offered it.
    pub terms: TermsId,
    /// What for, in the lab's words.
    pub purpose: String,
    /// Since when.
    pub granted_at: Instant,
    /// Until when.
    pub expires_at: Instant,
    /// The exchange's statement that grants it.
    pub logged: Logged,
    /// The receipts for links to the sample, oldest first.
    pub samples: Vec<Logged>,
}

pub(super) fn evaluations(
    c: &mut Conn,
    facts: &mut Facts,
    version: VersionId,
    scope: &Scope,
    cut_lists: &mut Vec<String>,
) -> Result<Vec<Evaluated>> {
    let mut rows = queries::list_evaluations(c, version, scope, MOST_LISTED + 1)?;
    note_cut(&mut rows, "evaluations", cut_lists);
    let mut found = Vec::with_capacity(rows.len());
    for (evaluation, holder) in rows {
        let mut receipts = receipts(c, evaluation.id)?;
        note_cut(&mut receipts, "samples", cut_lists);
        facts.learn(c, receipts.iter().copied().chain([evaluation.statement_id]))?;
        found.push(Evaluated {
            holder: holder.into(),
            evaluation: evaluation.id,
            terms: evaluation.terms_id,
            purpose: evaluation.purpose,
            granted_at: evaluation.granted_at,
            expires_at: evaluation.expires_at,
            logged: facts.of(evaluation.statement_id)?,
            samples: receipts.into_iter().map(|id| facts.of(id)).collect::<Result<_>>()?,
        });
    }
    Ok(found)
}

/// The receipts of an evaluation: one for each link.
fn receipts(c: &mut Conn, id: EvaluationId) -> Result<Vec<StatementId>> {
    let page = PageQuery { cursor: None, limit: Some(MOST_LISTED + 2) };
    let said = provenance::page_about(c, id, &page)?;
    Ok(said.iter().filter(|one| one.kind == StatementKind::EvaluationReceipt).map(|one| one.id).collect())
}
