//! Compliance: where bytes came from, who holds them, and under which terms.
//!
//! A privileged read is itself a fact: [`begin_query`] authorises it and records it, and only what it returns
//! opens the records. There is no other way in.
//!
//! Invariant: no trace without an audit record that was durable before it.

mod queries;
pub mod routes;
pub mod takedowns;

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog::{self, Dataset, Shard, Version};
use crate::db::Conn;
use crate::delivery::{self, Entitlement, EntitlementState, Receipt};
use crate::error::{Error, Result};
use crate::identity::{self, Caller};
use crate::provenance;
use crate::types::{AuditId, ContractId, Digest, EntitlementId, EntryId, Instant, Money, OrderId, StatementId, UserId};
use crate::{assessment, market};

/// The most versions, licences per version and deliveries per licence that one answer holds.
const MAX_ROWS: i64 = 1000;

/// What a trace starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Bytes, by their digest.
    Digest(Digest),
    /// A dataset and perhaps one of its versions: `org/name`, `org/name@2`.
    Dataset(String, String, Option<i32>),
    /// An order.
    Order(OrderId),
    /// A contract.
    Contract(ContractId),
}

impl FromStr for Subject {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        if let Ok(digest) = text.parse() {
            return Ok(Self::Digest(digest));
        }
        if let Ok(order) = text.parse() {
            return Ok(Self::Order(order));
        }
        if let Ok(contract) = text.parse() {
            return Ok(Self::Contract(contract));
        }
        let wrong = || {
            Error::invalid("subject", format!("{text:?} is not something that can be traced"))
                .remedy("give a SHA-256, ORG/NAME, ORG/NAME@VERSION, an order (order_…) or a contract (contract_…)")
        };
        let (organisation, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version.parse().map_err(|_| wrong())?)),
            None => (rest, None),
        };
        Ok(Self::Dataset(organisation.to_string(), name.to_string(), version))
    }
}

/// The permission to run one privileged query: its audit record stands.
#[derive(Debug)]
pub struct AuditedQuery {
    subject: Subject,
}

/// Authorises a trace and records who asked what, when. Commit this before running the query.
pub fn begin_query(c: &mut Conn, caller: &Caller, subject: &str, now: Instant) -> Result<AuditedQuery> {
    caller.require_compliance()?;
    let parsed = subject.parse()?;
    queries::insert_audit_read(c, AuditId::new(now), caller.user_id, &format!("trace {subject}"), now)?;
    Ok(AuditedQuery { subject: parsed })
}

/// Everything the exchange knows about the subject: one chain for each version it touches.
pub fn trace(c: &mut Conn, query: &AuditedQuery) -> Result<Trace> {
    let mut chains = Vec::new();
    match &query.subject {
        Subject::Digest(sha256) => {
            for (dataset, version, shard) in catalog::shards_with_digest(c, *sha256)? {
                chains.push(chain(c, &dataset, &version, vec![shard], None)?);
            }
        }
        Subject::Dataset(organisation, name, Some(number)) => {
            let (dataset, version) = catalog::find_version(c, organisation, name, *number)?;
            chains.push(whole_version(c, &dataset, &version, None)?);
        }
        Subject::Dataset(organisation, name, None) => {
            let dataset = catalog::find_dataset(c, organisation, name)?;
            for version in catalog::versions_of(c, dataset.id, MAX_ROWS)? {
                chains.push(whole_version(c, &dataset, &version, None)?);
            }
        }
        Subject::Order(id) => chains.push(order_chain(c, *id)?),
        Subject::Contract(id) => {
            let order = market::order_of_contract(c, *id)?;
            chains.push(order_chain(c, order)?);
        }
    }
    Ok(Trace { chains })
}

fn order_chain(c: &mut Conn, id: OrderId) -> Result<Chain> {
    let order = market::order(c, id)?;
    let (dataset, version) = catalog::version(c, order.version_id)?;
    whole_version(c, &dataset, &version, Some(id))
}

fn whole_version(c: &mut Conn, dataset: &Dataset, version: &Version, only: Option<OrderId>) -> Result<Chain> {
    let shards = catalog::shards(c, version.id, "", MAX_ROWS)?;
    chain(c, dataset, version, shards, only)
}

/// The chain of one version: who sealed it, how it was assessed, who licensed it and what was delivered.
fn chain(
    c: &mut Conn,
    dataset: &Dataset,
    version: &Version,
    shards: Vec<Shard>,
    only: Option<OrderId>,
) -> Result<Chain> {
    let provider = Party::of(&identity::organisation(c, dataset.organisation_id)?);
    let sealed = match catalog::find_seal(c, version.id)? {
        Some(seal) => Some(fact(c, seal.statement_id)?),
        None => None,
    };
    let mut assessments = Vec::new();
    for assessment in assessment::assessments_of(c, version.id, MAX_ROWS)? {
        assessments.push(Assessed {
            decision: assessment.decision.to_string(),
            valid_until: assessment.valid_until,
            logged: fact(c, assessment.statement_id)?,
        });
    }
    let certificate = assessment::certificate_of(c, version.id)?.map(|certificate| certificate.number);
    let mut licences = Vec::new();
    for entitlement in delivery::holders_of(c, version.id, MAX_ROWS)? {
        if only.is_none_or(|order| order == entitlement.order_id) {
            licences.push(licence(c, entitlement, &shards)?);
        }
    }
    Ok(Chain {
        dataset: format!("{}/{}", dataset.handle, dataset.name),
        version: version.number,
        state: version.state.to_string(),
        provider,
        shards: shards
            .into_iter()
            .map(|s| TracedShard { path: s.path, sha256: s.sha256, size_bytes: s.size_bytes })
            .collect(),
        sealed,
        assessments,
        certificate,
        licences,
    })
}

fn licence(c: &mut Conn, entitlement: Entitlement, shards: &[Shard]) -> Result<Licence> {
    let order = market::order(c, entitlement.order_id)?;
    let contract = market::contract_of(c, order.id)?;
    let of_interest = |receipt: &Receipt| shards.iter().any(|shard| shard.sha256 == receipt.sha256);
    let deliveries = delivery::receipts_of(c, entitlement.id, "", MAX_ROWS)?;
    Ok(Licence {
        holder: Party::of(&identity::organisation(c, entitlement.organisation_id)?),
        entitlement: entitlement.id,
        state: entitlement.state,
        order: order.id,
        contract_sha256: contract.sha256,
        permitted_use: order.permitted_use.to_string(),
        purpose: order.purpose.clone(),
        price: Money::new(order.price_minor, order.currency),
        granted_at: entitlement.granted_at,
        expires_at: entitlement.expires_at,
        logged: fact(c, contract.statement_id)?,
        deliveries: deliveries
            .into_iter()
            .filter(of_interest)
            .map(|r| Delivery { path: r.path, sha256: r.sha256, user: r.user, issued_at: r.issued_at })
            .collect(),
    })
}

fn fact(c: &mut Conn, id: StatementId) -> Result<Logged> {
    let statement = provenance::statement(c, id)?;
    Ok(Logged {
        statement: id,
        pae_sha256: statement.envelope.pae_sha256(),
        entry: statement.entry_id,
        at: statement.recorded_at,
    })
}

/// What is known about a subject.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Trace {
    /// One chain for each version that the subject touches.
    pub chains: Vec<Chain>,
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
    /// The shards in question; at most 1,000.
    pub shards: Vec<TracedShard>,
    /// The signed manifest, once sealed.
    pub sealed: Option<Logged>,
    /// Every assessment, oldest first.
    pub assessments: Vec<Assessed>,
    /// The number of its registration certificate.
    pub certificate: Option<String>,
    /// Who licensed it, oldest first; at most 1,000.
    pub licences: Vec<Licence>,
}

/// An organisation, as its registration names it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Party {
    /// Its handle.
    pub handle: String,
    /// Its legal name.
    pub legal_name: String,
    /// Its registration number.
    pub registration_number: String,
}

impl Party {
    fn of(organisation: &identity::Organisation) -> Self {
        Self {
            handle: organisation.handle.clone(),
            legal_name: organisation.legal_name.clone(),
            registration_number: organisation.registration_number.clone(),
        }
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

/// One licence and what was delivered under it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Licence {
    /// Who holds it.
    pub holder: Party,
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// Whether it may be used.
    pub state: EntitlementState,
    /// The order.
    pub order: OrderId,
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
    /// Until when; null for a perpetual licence.
    pub expires_at: Option<Instant>,
    /// The contract's statement.
    pub logged: Logged,
    /// Links that were given to the shards in question; at most 1,000.
    pub deliveries: Vec<Delivery>,
}

/// One link that was given.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The shard's path.
    pub path: String,
    /// The shard's digest.
    pub sha256: Digest,
    /// Who asked for it.
    pub user: UserId,
    /// When.
    pub issued_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_recognised_by_its_shape() {
        let digest = "ab".repeat(32);
        assert!(matches!(digest.parse(), Ok(Subject::Digest(_))));
        assert_eq!("acme/poems".parse::<Subject>().unwrap(), Subject::Dataset("acme".into(), "poems".into(), None));
        assert_eq!(
            "acme/poems@2".parse::<Subject>().unwrap(),
            Subject::Dataset("acme".into(), "poems".into(), Some(2))
        );
        let error = "what is this".parse::<Subject>().unwrap_err();
        assert_eq!(error.field.as_deref(), Some("subject"));
    }
}
