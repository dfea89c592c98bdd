//! The chain: the life of each version that a subject touches, from its maker to its holders, as one document.
//!
//! Every list in it is bounded, and says when it was cut; [`super::events`] gives the same without a bound.

mod evaluations;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::evaluations::Evaluated;
use super::conflicts::{self, Conflict};
use super::queries::{self, DeliveriesOf};
use super::subject::Scope;
use crate::assessment;
use crate::catalog::{self, Selection, lineage};
use crate::db::Conn;
use crate::delivery::EntitlementState;
use crate::error::{Error, Result};
use crate::identity::{self, Organisation};
use crate::models;
use crate::provenance::log;
use crate::terms::TermsDocument;
use crate::types::{
    Cursor, Digest, EntitlementId, EntryId, Instant, ListingId, ModelId, Money, OrderId, PageQuery, ReceiptId,
    StatementId, TermsId, TransitionId, UserId, VersionId, kind,
};

/// The most rows of each list within a chain.
const MOST_LISTED: i64 = 100;
/// The most chains of one answer, and how many there are when nobody says.
const MOST_CHAINS: i64 = 100;
const FEW_CHAINS: i64 = 20;

/// What is known about a subject.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// One chain for each version that the subject touches, oldest version first.
    pub chains: Vec<Chain>,
    /// The `cursor` that asks for the next chains; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
    /// Where proofs were asked for: for each log entry named above that has its place, its `c2sp.org/tlog-proof@v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<BTreeMap<EntryId, String>>,
}

/// The life of one version, from its maker to its holders.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Chain {
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// The version's state.
    pub state: String,
    /// Who published it.
    pub provider: Party,
    /// The shards in question.
    pub shards: Vec<TracedShard>,
    /// The signed manifest, once sealed.
    pub sealed: Option<Logged>,
    /// Every assessment, oldest first.
    pub assessments: Vec<Assessed>,
    /// Its registration certificate.
    pub certificate: Option<Certified>,
    /// The terms under which it was on the board at the time asked about, or now.
    pub terms: Vec<TermsInForce>,
    /// The licences to it, oldest first.
    pub licences: Vec<Licence>,
    /// Who evaluated its sample, oldest first.
    #[serde(default)]
    pub evaluations: Vec<Evaluated>,
    /// Where another organisation sealed the same bytes.
    pub conflicts: Vec<Conflict>,
    /// What was made from it, and what was made from that, and so on; nearest first.
    pub derived: Vec<Derived>,
    /// Models whose labs declared that they were trained on it, or on what was made from it.
    pub models: Vec<TrainedModel>,
    /// The lists above that hold their first 100 only; the events of the same subject have the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<String>,
}

/// An organisation, as its registration names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// Its handle.
    pub handle: String,
    /// Its legal name.
    pub legal_name: String,
    /// Its registration number.
    pub registration_number: String,
}

impl From<Organisation> for Party {
    fn from(organisation: Organisation) -> Self {
        let Organisation { handle, legal_name, registration_number, .. } = organisation;
        Self { handle, legal_name, registration_number }
    }
}

/// One shard.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TracedShard {
    /// Its path in the version.
    pub path: String,
    /// Its digest.
    pub sha256: Digest,
    /// Its size.
    pub size_bytes: i64,
    /// When bytes of this digest were first verified here, whoever brought them.
    pub first_seen_at: Instant,
}

/// A statement in the log: `GET /v1/log/proofs/{entry}` proves it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Logged {
    /// The statement.
    pub statement: StatementId,
    /// The digest of what was signed.
    pub pae_sha256: Digest,
    /// The log entry.
    pub entry: EntryId,
    /// The entry's place in the log; null while it waits for one.
    pub log_index: Option<i64>,
    /// When it was recorded.
    pub at: Instant,
}

/// One assessment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Assessed {
    /// `passed` or `failed`.
    pub decision: String,
    /// Until when it counts.
    pub valid_until: Instant,
    /// Its statement.
    pub logged: Logged,
}

/// The registration.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Certified {
    /// The number on the certificate.
    pub number: String,
    /// Its statement.
    pub logged: Logged,
}

/// Terms under which a version was on the board.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TermsInForce {
    /// The terms.
    pub terms: TermsId,
    /// What they say.
    pub document: TermsDocument,
    /// The listing that offered them.
    pub listing: ListingId,
    /// Since when it had been on the board without a break.
    pub since: Instant,
    /// The provider's statement of the terms.
    pub logged: Logged,
}

/// One licence and what was delivered under it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Licence {
    /// Who holds it.
    pub holder: Party,
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// Whether it may be used.
    pub state: EntitlementState,
    /// Which of the version's shards are licensed; null for all of them.
    pub selection: Option<Selection>,
    /// The order.
    pub order: OrderId,
    /// The terms that the contract pins.
    pub terms: TermsId,
    /// The digest of the contract that both sides signed.
    pub contract_sha256: Digest,
    /// The kind of use.
    pub permitted_use: String,
    /// The declared use.
    pub purpose: String,
    /// What it cost.
    pub price: Money,
    /// Since when.
    pub granted_at: Instant,
    /// Until when it is valid; null for a perpetual licence.
    pub expires_at: Option<Instant>,
    /// The contract's statement.
    pub logged: Logged,
    /// Links that were given to the shards in question.
    pub deliveries: Vec<Delivery>,
}

/// A version that was made from another one, perhaps by way of others.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Derived {
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// The digest of its signed manifest, which names its parents.
    pub manifest_sha256: Digest,
    /// How many steps away it is.
    pub distance: u32,
}

/// A model, as its lab declared it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrainedModel {
    /// The declaration.
    pub model: ModelId,
    /// The model's name.
    pub name: String,
    /// Which edition of it.
    pub model_version: String,
    /// The digest that the lab gives of it.
    pub sha256: Digest,
    /// Whose it is.
    pub lab: Party,
    /// What the versions were used for.
    pub declared_use: String,
    /// The lab's statement.
    pub logged: Logged,
}

/// One link that was given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The receipt.
    pub receipt: ReceiptId,
    /// The shard's path.
    pub path: String,
    /// The shard's digest.
    pub sha256: Digest,
    /// The user who requested it.
    pub user: UserId,
    /// When.
    pub issued_at: Instant,
    /// The statement of the receipt's batch.
    pub logged: Logged,
}

/// What else is asked of a trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The date at which terms are in force.
    pub(super) at: Instant,
    /// Whether proofs come along.
    pub(super) proofs: bool,
}

/// A page of chains.
pub(super) fn chains(c: &mut Conn, scope: &Scope, wanted: Wanted, page: &PageQuery) -> Result<Trace> {
    let limit = page.limit.unwrap_or(FEW_CHAINS);
    if !(1..=MOST_CHAINS).contains(&limit) {
        return Err(Error::invalid("limit", format!("{limit} is not between 1 and {MOST_CHAINS}")));
    }
    let mut versions = queries::list_versions(c, scope, page.after_id::<kind::Version>()?, limit.saturating_add(1))?;
    let more = cut(&mut versions, limit);
    let next = versions.last().filter(|_| more).map(|last| Cursor(last.to_string()));
    let mut chains = Vec::with_capacity(versions.len());
    let mut facts = Facts::default();
    for version in versions {
        chains.push(chain(c, &mut facts, version, scope, wanted)?);
    }
    let proofs = if wanted.proofs { Some(facts.proofs(c)?) } else { None };
    Ok(Trace { chains, next, proofs })
}

fn chain(c: &mut Conn, facts: &mut Facts, id: VersionId, scope: &Scope, wanted: Wanted) -> Result<Chain> {
    let mut cut_lists = Vec::new();
    let (dataset, version) = catalog::version(c, id)?;
    let bytes = if let Scope::Bytes(sha256) = scope { Some(*sha256) } else { None };
    let mut shards = queries::list_shards(c, id, bytes, MOST_LISTED + 1)?;
    note_cut(&mut shards, "shards", &mut cut_lists);
    let seal = catalog::find_seal(c, id)?;
    let mut assessments = assessment::assessments_of(c, id, MOST_LISTED + 1)?;
    note_cut(&mut assessments, "assessments", &mut cut_lists);
    let certificate = assessment::certificate_of(c, id)?;
    let before = TransitionId::first_at(wanted.at.plus(Duration::from_micros(1)));
    let mut terms = queries::list_terms_before(c, id, before, MOST_LISTED + 1)?;
    note_cut(&mut terms, "terms", &mut cut_lists);
    facts.learn(
        c,
        (seal.iter().map(|seal| seal.statement_id))
            .chain(assessments.iter().map(|assessment| assessment.statement_id))
            .chain(certificate.iter().map(|certificate| certificate.statement_id))
            .chain(terms.iter().map(|terms| terms.statement_id)),
    )?;
    let licences = licences(c, facts, id, scope, &mut cut_lists)?;
    let evaluations = evaluations::evaluations(c, facts, id, scope, &mut cut_lists)?;
    let mut conflicts = conflicts::of_version(c, id, scope, MOST_LISTED + 1)?;
    note_cut(&mut conflicts, "conflicts", &mut cut_lists);
    let (derived, reached) = derived(c, id, &mut cut_lists)?;
    let models = models(c, facts, &reached, &mut cut_lists)?;
    Ok(Chain {
        dataset: dataset.full_name(),
        version: version.number,
        state: version.state.to_string(),
        provider: identity::organisation(c, dataset.organisation_id)?.into(),
        shards: shards
            .into_iter()
            .map(|(path, sha256, size_bytes, first_seen_at)| TracedShard { path, sha256, size_bytes, first_seen_at })
            .collect(),
        sealed: seal.map(|seal| facts.of(seal.statement_id)).transpose()?,
        assessments: assessments
            .into_iter()
            .map(|one| {
                let (decision, valid_until) = (one.decision.to_string(), one.valid_until);
                Ok(Assessed { decision, valid_until, logged: facts.of(one.statement_id)? })
            })
            .collect::<Result<_>>()?,
        certificate: certificate
            .map(|one| Ok::<_, Error>(Certified { number: one.number, logged: facts.of(one.statement_id)? }))
            .transpose()?,
        terms: terms
            .into_iter()
            .map(|row| {
                let (terms, document, listing, since) = (row.terms_id, row.document.0, row.listing_id, row.since);
                Ok(TermsInForce { terms, document, listing, since, logged: facts.of(row.statement_id)? })
            })
            .collect::<Result<_>>()?,
        licences,
        evaluations,
        conflicts,
        derived,
        models,
        cut: cut_lists,
    })
}

/// What was made from a version; and the version with all of that.
fn derived(c: &mut Conn, id: VersionId, cut_lists: &mut Vec<String>) -> Result<(Vec<Derived>, Vec<VersionId>)> {
    let walk = lineage::descendants(c, id, usize::try_from(MOST_LISTED).unwrap_or(0))?;
    if walk.truncated {
        cut_lists.push("derived".to_string());
    }
    let reached = std::iter::once(id).chain(walk.found.iter().map(|(_, one)| one.version_id)).collect();
    let derived = |(distance, one): (u32, lineage::Relative)| Derived {
        dataset: one.full_name(),
        version: one.number,
        manifest_sha256: one.manifest_sha256,
        distance,
    };
    Ok((walk.found.into_iter().map(derived).collect(), reached))
}

fn models(
    c: &mut Conn,
    facts: &mut Facts,
    reached: &[VersionId],
    cut_lists: &mut Vec<String>,
) -> Result<Vec<TrainedModel>> {
    let mut found = BTreeMap::new();
    for version in reached {
        for model in models::models_trained_on(c, *version, "", MOST_LISTED + 1)? {
            found.insert(model.id, model);
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    note_cut(&mut found, "models", cut_lists);
    facts.learn(c, found.iter().map(|model| model.statement_id))?;
    found
        .into_iter()
        .map(|one| {
            Ok(TrainedModel {
                model: one.id,
                name: one.name,
                model_version: one.model_version,
                sha256: one.sha256,
                lab: identity::organisation(c, one.organisation_id)?.into(),
                declared_use: one.declared_use.to_string(),
                logged: facts.of(one.statement_id)?,
            })
        })
        .collect()
}

fn licences(
    c: &mut Conn,
    facts: &mut Facts,
    version: VersionId,
    scope: &Scope,
    cut_lists: &mut Vec<String>,
) -> Result<Vec<Licence>> {
    let mut rows = queries::list_licences(c, version, scope, MOST_LISTED + 1)?;
    note_cut(&mut rows, "licences", cut_lists);
    if let Scope::Bytes(sha256) = scope {
        let traced = catalog::shards_with_digests_in(c, version, &[*sha256])?;
        rows.retain(|(entitlement, ..)| traced.iter().any(|shard| entitlement.covers(shard)));
    }
    let mut deliveries = Vec::new();
    if let Scope::Bytes(sha256) = scope {
        deliveries = queries::list_deliveries(c, DeliveriesOf::Bytes(*sha256), MOST_LISTED + 1)?;
        note_cut(&mut deliveries, "deliveries", cut_lists);
    } else {
        for (entitlement, ..) in &rows {
            let mut of_licence =
                queries::list_deliveries(c, DeliveriesOf::Licence(entitlement.id, version), MOST_LISTED + 1)?;
            note_cut(&mut of_licence, "deliveries", cut_lists);
            deliveries.append(&mut of_licence);
        }
    }
    let contracts = rows.iter().map(|(_, _, _, statement, _)| *statement);
    facts.learn(c, contracts.chain(deliveries.iter().map(|delivery| delivery.statement_id)))?;
    let mut by_licence: HashMap<EntitlementId, Vec<Delivery>> = HashMap::new();
    for row in deliveries {
        let queries::DeliveryRow { id: receipt, path, sha256, user_id: user, issued_at, .. } = row;
        let delivery = Delivery { receipt, path, sha256, user, issued_at, logged: facts.of(row.statement_id)? };
        by_licence.entry(row.entitlement_id).or_default().push(delivery);
    }
    rows.into_iter()
        .map(|(entitlement, order, contract_sha256, statement, holder)| {
            Ok(Licence {
                holder: holder.into(),
                entitlement: entitlement.id,
                state: entitlement.state,
                selection: entitlement.selection().cloned(),
                order: order.id,
                terms: order.terms_id,
                contract_sha256,
                permitted_use: order.permitted_use.to_string(),
                price: order.price(),
                purpose: order.purpose,
                granted_at: entitlement.granted_at,
                expires_at: entitlement.expires_at,
                logged: facts.of(statement)?,
                deliveries: by_licence.remove(&entitlement.id).unwrap_or_default(),
            })
        })
        .collect()
}

/// Where statements are in the log; each is looked up once.
#[derive(Default)]
struct Facts(HashMap<StatementId, Logged>);

impl Facts {
    fn learn(&mut self, c: &mut Conn, ids: impl Iterator<Item = StatementId>) -> Result<()> {
        let mut unknown: Vec<_> = ids.filter(|id| !self.0.contains_key(id)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        for some in unknown.chunks(1000) {
            for row in queries::list_logged(c, some)? {
                let queries::LoggedRow { id, pae_sha256, entry_id, recorded_at, leaf_index } = row;
                let logged =
                    Logged { statement: id, pae_sha256, entry: entry_id, log_index: leaf_index, at: recorded_at };
                self.0.insert(id, logged);
            }
        }
        Ok(())
    }

    fn of(&self, id: StatementId) -> Result<Logged> {
        self.0.get(&id).cloned().ok_or_else(|| Error::internal(format!("the statement {id} is missing")))
    }

    fn proofs(&self, c: &mut Conn) -> Result<BTreeMap<EntryId, String>> {
        let mut found = BTreeMap::new();
        for logged in self.0.values() {
            if let Some(proof) = log::proof_of(c, logged.entry)? {
                found.insert(logged.entry, proof);
            }
        }
        Ok(found)
    }
}

/// Removes what is beyond `limit`; true if there was something.
fn cut<T>(rows: &mut Vec<T>, limit: i64) -> bool {
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = rows.len() > limit;
    rows.truncate(limit);
    more
}

fn note_cut<T>(rows: &mut Vec<T>, name: &str, cut_lists: &mut Vec<String>) {
    if cut(rows, MOST_LISTED) && !cut_lists.iter().any(|known| known == name) {
        cut_lists.push(name.to_string());
    }
}
