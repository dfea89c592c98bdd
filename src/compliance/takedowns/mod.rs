//! Takedowns: somebody claims that a version must not be traded, and compliance examines the claim.
//!
//! received → triaged → rejected, or on: interim_blocked (nobody trades or downloads the version) →
//! provider_notified → countered → reinstated, or upheld → recall_issued ([`recalls`]: every licence is revoked, and
//! its holder says what became of the bytes) → closed. A provider that does not answer in time loses its turn.
//!
//! Each step has its actor and reason in the history, and a statement in the log. Statements may be shown to others:
//! who claims what is in them as a salted digest only.
//!
//! Invariant: a case moves only as [`TakedownState::may_become`] allows.
//! Invariant: a version is held from the interim block on, until the case is decided for the provider.

mod queries;
pub mod recalls;
pub mod routes;

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::assessment::{self, Evidence};
use crate::catalog::{self, VersionRef};
use crate::db::Conn;
use crate::delivery;
use crate::error::{Error, Kind, Result};
use crate::identity::{Caller, Role};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::signing::canonical_json;
use crate::text_enum;
use crate::types::{DAY, Digest, Instant, Json, OrganisationId, PageQuery, TakedownId, UserId, VersionId, kind, text};
use crate::{history, market};

/// How long a provider has to answer before a case can be decided against it unheard.
const ANSWER: Duration = DAY.saturating_mul(14);
/// Claims of one person that may wait for triage.
const MAX_WAITING: i64 = 50;
const MAX_NAME_CHARS: usize = 255;
const MAX_PROSE_CHARS: usize = 5000;
const MAX_SHARDS: usize = 1000;

text_enum! {
    /// The state of a case.
    pub enum TakedownState {
        /// Filed.
        Received = "received",
        /// Found worth examining, or not: the next step says which.
        Triaged = "triaged",
        /// Not examined further.
        Rejected = "rejected",
        /// Nobody trades or downloads the version for now.
        InterimBlocked = "interim_blocked",
        /// The provider was told, and may answer.
        ProviderNotified = "provider_notified",
        /// The provider answered.
        Countered = "countered",
        /// Decided for the provider.
        Reinstated = "reinstated",
        /// Decided for the claimant.
        Upheld = "upheld",
        /// Every licensee is told to delete the version.
        RecallIssued = "recall_issued",
        /// Every licensee answered, or was late.
        Closed = "closed",
    }
}

impl TakedownState {
    /// The states that the provider knows of.
    const NOTIFIED: &'static [Self] =
        &[Self::ProviderNotified, Self::Countered, Self::Reinstated, Self::Upheld, Self::RecallIssued, Self::Closed];

    /// Whether a case in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use TakedownState::{
            Closed, Countered, InterimBlocked, ProviderNotified, RecallIssued, Received, Reinstated, Rejected, Triaged,
            Upheld,
        };
        matches!(
            (self, next),
            (Received, Triaged)
                | (Triaged, Rejected | InterimBlocked)
                | (InterimBlocked, ProviderNotified)
                | (ProviderNotified, Countered | Reinstated | Upheld)
                | (Countered, Reinstated | Upheld)
                | (Upheld, RecallIssued)
                | (RecallIssued, Closed)
        )
    }
}

text_enum! {
    /// What a claim rests on.
    pub enum Ground {
        /// Somebody else's work, without permission.
        Copyright = "copyright",
        /// Personal information without a lawful basis.
        PersonalData = "personal_data",
        /// A trade secret.
        TradeSecret = "trade_secret",
        /// Content that the law forbids.
        UnlawfulContent = "unlawful_content",
        /// Something else; the statement says what.
        Other = "other",
    }
}

/// A claim to file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTakedown {
    /// `org/name`.
    pub dataset: String,
    /// The version's number.
    pub version: i32,
    /// Who claims: a person or an institution.
    #[schema(max_length = 255)]
    pub claimant: String,
    /// How compliance reaches the claimant. It is not shown to the provider.
    #[schema(max_length = 255)]
    pub contact: String,
    /// What the claim rests on.
    pub ground: Ground,
    /// The claim itself, in 1 to 5,000 characters.
    #[schema(max_length = 5000)]
    pub statement: String,
    /// Paths or SHA-256 digests of the shards in question, at most 1,000; none for the whole version.
    #[serde(default)]
    pub shards: Vec<String>,
    /// Documents that support the claim, at most 50.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
}

/// A claim as it is kept. Statements give the SHA-256 of its canonical JSON, and only its parties know the salt.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who claims.
    pub claimant: String,
    /// How to reach the claimant.
    pub contact: String,
    /// What the claim rests on.
    pub ground: Ground,
    /// The claim itself.
    pub statement: String,
    /// Paths or digests of the shards in question.
    pub shards: Vec<String>,
    /// Documents that support it.
    pub evidence: Vec<Evidence>,
    /// 32 random bytes, in hexadecimal.
    pub salt: Digest,
}

/// A case.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::takedowns, check_for_backend(crate::db::MultiBackend))]
pub struct Takedown {
    /// Its identifier.
    pub id: TakedownId,
    /// What it is about.
    pub version_id: VersionId,
    /// Whose that is.
    pub provider_id: OrganisationId,
    /// Who filed it.
    pub filed_by: UserId,
    /// The claim.
    pub claim: Json<Claim>,
    /// The digest by which statements refer to the claim.
    pub claim_sha256: Digest,
    /// The provider's answer.
    pub counter: Option<String>,
    /// Its state.
    pub state: TakedownState,
    /// When it was filed.
    pub filed_at: Instant,
}

/// Files a claim against a version that the caller may see.
pub fn file(c: &mut Conn, caller: &Caller, keys: &ExchangeKeys, input: &NewTakedown, now: Instant) -> Result<Takedown> {
    let which = VersionRef::of(&input.dataset, input.version)?;
    let (dataset, version) = catalog::view_version(c, Some(caller), &which).map_err(|error| error.field("dataset"))?;
    catalog::seal_of(c, version.id)?;
    if queries::count_received(c, caller.user_id)? >= MAX_WAITING {
        return Err(Error::new(Kind::RateLimited, format!("{MAX_WAITING} of your claims wait to be looked at"))
            .remedy("wait until some are, or name more shards in one claim"));
    }
    let claim = claim(c, version.id, input)?;
    let case = Takedown {
        id: TakedownId::new(now),
        version_id: version.id,
        provider_id: dataset.organisation_id,
        filed_by: caller.user_id,
        claim_sha256: Digest::of(canonical_json(&claim)?),
        claim: Json(claim),
        counter: None,
        state: TakedownState::Received,
        filed_at: now,
    };
    queries::insert_takedown(c, &case)?;
    put_on_record(c, keys, &case, None, caller.user_id, "filed", now)?;
    Ok(case)
}

fn claim(c: &mut Conn, version: VersionId, input: &NewTakedown) -> Result<Claim> {
    if input.shards.len() > MAX_SHARDS {
        let detail = format!("these are {}; at most {MAX_SHARDS} are taken", input.shards.len());
        return Err(Error::invalid("shards", detail));
    }
    assessment::check_evidence(&input.evidence)?;
    let (mut digests, mut paths) = (Vec::new(), Vec::new());
    for named in &input.shards {
        match named.parse::<Digest>() {
            Ok(digest) => digests.push(digest),
            Err(_) => paths.push(named.clone()),
        }
    }
    catalog::stored::stored_shards(c, version, &paths).map_err(|error| error.field("shards"))?;
    let found = catalog::shards_with_digests_in(c, version, &digests)?;
    let found: HashSet<Digest> = found.into_iter().map(|shard| shard.sha256).collect();
    if let Some(digest) = digests.iter().find(|digest| !found.contains(*digest)) {
        return Err(Error::invalid("shards", format!("no shard of this version has the digest {digest}")));
    }
    Ok(Claim {
        claimant: text::readable("claimant", &input.claimant, MAX_NAME_CHARS)?,
        contact: text::readable("contact", &input.contact, MAX_NAME_CHARS)?,
        ground: input.ground,
        statement: prose("statement", &input.statement)?,
        shards: input.shards.clone(),
        evidence: input.evidence.clone(),
        salt: Digest(rand::random()),
    })
}

/// Text of several lines that people will read.
fn prose(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    let length = text.chars().count();
    if !(1..=MAX_PROSE_CHARS).contains(&length) {
        let detail = format!("this is {length} characters long; 1 to {MAX_PROSE_CHARS} are allowed");
        return Err(Error::invalid(field, detail));
    }
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        text::readable(field, line, MAX_PROSE_CHARS)?;
    }
    Ok(text.to_string())
}

/// Compliance takes a case one step further, with everything that follows from the step.
pub fn decide(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: TakedownId,
    to: TakedownState,
    reason: &str,
    now: Instant,
) -> Result<Takedown> {
    caller.require_compliance()?;
    let reason = text::reason(reason)?;
    let case = takedown(c, caller, id)?;
    if let (TakedownState::Upheld, Some(due)) = (to, answer_due(c, &case)?)
        && now < due
    {
        return Err(Error::new(Kind::WrongState, format!("the provider may answer until {due}"))
            .remedy("uphold the claim once it has answered, or then"));
    }
    let case = advance(c, keys, case, to, caller.user_id, &reason, now)?;
    match to {
        TakedownState::InterimBlocked => delivery::hold(c, keys, case.version_id, id, now)?,
        TakedownState::Reinstated => delivery::lift(c, keys, case.version_id, id, now)?,
        TakedownState::Upheld => market::delist(c, keys, case.version_id, id, now)?,
        TakedownState::RecallIssued => recalls::issue(c, keys, &case, now)?,
        TakedownState::Closed => recalls::require_answered(c, &case)?,
        _ => {}
    }
    Ok(case)
}

/// Until when the provider may answer; none where it may not, or did.
pub fn answer_due(c: &mut Conn, case: &Takedown) -> Result<Option<Instant>> {
    let notified = match case.state {
        TakedownState::ProviderNotified => history::list(c, case.id)?.pop(),
        _ => None,
    };
    Ok(notified.map(|step| step.at.plus(ANSWER)))
}

/// The provider answers a claim against its version.
pub fn counter(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: TakedownId,
    statement: &str,
    now: Instant,
) -> Result<Takedown> {
    let case = takedown(c, caller, id)?;
    caller.may_for(case.provider_id, "the provider", Role::DEALERS)?;
    let statement = prose("statement", statement)?;
    queries::set_counter(c, id, &statement)?;
    let case = Takedown { counter: Some(statement), ..case };
    advance(c, keys, case, TakedownState::Countered, caller.user_id, "the provider answered", now)
}

/// A case that the caller may see: compliance any, whoever filed it, and the provider once it was notified.
pub fn takedown(c: &mut Conn, caller: &Caller, id: TakedownId) -> Result<Takedown> {
    let named = || format!("takedown {id}");
    let case = queries::find_takedown(c, id)?.ok_or_else(|| Error::not_found(named()))?;
    let notified = TakedownState::NOTIFIED.contains(&case.state);
    let provider = notified && caller.member_of(case.provider_id).is_some();
    if caller.is_compliance() || case.filed_by == caller.user_id || provider {
        Ok(case)
    } else {
        Err(Error::withheld(named()))
    }
}

/// The provider, if it may know of a case that came into this state: once it was notified, and not before.
///
/// # Errors
/// `NotFound`.
pub fn notified_by(c: &mut Conn, id: TakedownId, state: &str) -> Result<Option<OrganisationId>> {
    let case = queries::find_takedown(c, id)?.ok_or_else(|| Error::not_found(format!("takedown {id}")))?;
    Ok(TakedownState::NOTIFIED.contains(&state.parse()?).then_some(case.provider_id))
}

/// The cases that the caller may see, oldest first: up to one more than a page.
pub fn takedowns(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Takedown>> {
    let (after, limit) = (page.after_id::<kind::Takedown>()?, page.limit()?.saturating_add(1));
    let whose = (!caller.is_compliance()).then_some(caller);
    Ok(queries::list_takedowns(c, whose, after, limit)?)
}

fn advance(
    c: &mut Conn,
    keys: &ExchangeKeys,
    case: Takedown,
    to: TakedownState,
    actor: UserId,
    reason: &str,
    now: Instant,
) -> Result<Takedown> {
    let from = case.state;
    if !from.may_become(to) || queries::set_takedown_state(c, case.id, from, to)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("takedown {} is {from} and cannot become {to}", case.id)));
    }
    let case = Takedown { state: to, ..case };
    put_on_record(c, keys, &case, Some(from), actor, reason, now)?;
    Ok(case)
}

fn put_on_record(
    c: &mut Conn,
    keys: &ExchangeKeys,
    case: &Takedown,
    from: Option<TakedownState>,
    actor: UserId,
    reason: &str,
    now: Instant,
) -> Result<()> {
    history::record(c, case.id, from.map(TakedownState::as_str), case.state.as_str(), actor, reason, now)?;
    let (dataset, version) = catalog::version(c, case.version_id)?;
    let manifest = catalog::seal_of(c, case.version_id)?.manifest_sha256;
    let predicate = json!({
        "takedown": case.id, "state": case.state, "dataset": dataset.full_name(), "version": version.number,
        "manifest_sha256": manifest, "claim_sha256": case.claim_sha256, "at": now,
    });
    let subjects = vec![ResourceDescriptor::new("manifest", manifest)];
    provenance::declare(c, keys, StatementKind::Takedown, case.id, subjects, &predicate, now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_drawn_edges_of_a_case_exist() {
        use TakedownState::{
            Closed, Countered, InterimBlocked, ProviderNotified, RecallIssued, Received, Reinstated, Rejected, Triaged,
            Upheld,
        };
        let edges = [
            (Received, Triaged),
            (Triaged, Rejected),
            (Triaged, InterimBlocked),
            (InterimBlocked, ProviderNotified),
            (ProviderNotified, Countered),
            (ProviderNotified, Reinstated),
            (ProviderNotified, Upheld),
            (Countered, Reinstated),
            (Countered, Upheld),
            (Upheld, RecallIssued),
            (RecallIssued, Closed),
        ];
        for from in TakedownState::ALL {
            for to in TakedownState::ALL {
                assert_eq!(from.may_become(*to), edges.contains(&(*from, *to)), "{from} to {to}");
            }
        }
    }

    #[test]
    fn prose_has_lines_and_no_hidden_characters() {
        assert_eq!(
            prose("statement", " These are my poems.\n\nI never gave them away. \n").unwrap().lines().count(),
            3
        );
        for bad in ["", " \n ", "with a \u{202e} in it", &"x".repeat(5001)] {
            assert_eq!(prose("statement", bad).unwrap_err().field.as_deref(), Some("statement"), "{bad:?}");
        }
    }
}
