//! Objections: while a listing is on public notice (公示), any verified organisation may say why it must not go on the
//! board, and compliance decides.
//!
//! An objection stands in the way of every listing of the same version that is on public notice: withdrawing one listing and
//! announcing another outruns nobody. If it is upheld it ends them all, and if it is dismissed, none. Each step is stated in the
//! log, which has of the objector and the reason a salted digest only. The objector, the provider and compliance can read it all.
//!
//! Invariant: an organisation objects to a listing at most once, and never to its own.

mod queries;
pub mod routes;

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::listings::{self, Listing, ListingState, MAX_REASON_CHARS};
use super::review::{listings_of, review_all};
use crate::assessment::{self, Evidence};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::signing::canonical_json;
use crate::text_enum;
use crate::types::{
    Digest, Instant, Json, ListingId, ObjectionId, OrganisationId, PageQuery, UserId, VersionId, kind, text,
};

const MAX_OBJECTION_CHARS: usize = 2000;

text_enum! {
    /// The state of an objection.
    pub enum ObjectionState {
        /// Compliance has to decide it; until then no listing of the version leaves its public notice for the board.
        Open = "open",
        /// The listing was withdrawn for ever, and with it those of the version that were on public notice.
        Upheld = "upheld",
        /// It does not stand in the way.
        Dismissed = "dismissed",
    }
}

impl ObjectionState {
    /// Whether an objection in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        matches!((self, next), (Self::Open, Self::Upheld | Self::Dismissed))
    }
}

/// Why a listing must not go on the board.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewObjection {
    /// The handle of the organisation that objects.
    pub organisation: String,
    /// Why, in 1 to 2,000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    pub reason: String,
    /// Documents that support it, at most 50.
    #[serde(default)]
    #[schema(max_items = 50)]
    pub evidence: Vec<Evidence>,
}

/// The objection itself, of which statements in the log give the digest only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectionDocument {
    /// Who objects.
    pub organisation: String,
    /// Why.
    pub reason: String,
    /// Documents that support it.
    pub evidence: Vec<Evidence>,
    /// 32 random bytes, in hexadecimal.
    pub salt: Digest,
}

/// An objection to a listing.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::objections, check_for_backend(crate::db::MultiBackend))]
pub struct Objection {
    /// Its identifier.
    pub id: ObjectionId,
    /// To what.
    pub listing_id: ListingId,
    /// Who objects.
    pub objector_id: OrganisationId,
    /// The person who filed it.
    pub filed_by: UserId,
    /// What it says.
    pub document: Json<ObjectionDocument>,
    /// The digest by which statements refer to it.
    pub document_sha256: Digest,
    /// Its state.
    pub state: ObjectionState,
    /// When it was filed.
    pub filed_at: Instant,
}

/// An organisation objects to a listing while that is on public notice.
pub fn object(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: ListingId,
    input: &NewObjection,
    now: Instant,
) -> Result<Objection> {
    let objector =
        identity::for_member(c, caller, &input.organisation, Role::DEALERS).map_err(|e| e.field("organisation"))?;
    identity::require_verified(&objector).map_err(|e| e.field("organisation"))?;
    let document = document(input)?;
    let listing = listings::listing(c, id)?;
    if listing.provider_id == objector.id {
        return Err(Error::invalid("organisation", format!("{} cannot object to its own listing", objector.handle))
            .remedy("withdraw the listing instead"));
    }
    require_on_notice(&listing, now)?;
    if let Some(standing) = queries::find_objection_of(c, id, objector.id)? {
        let detail =
            format!("{} objected to this listing already: {} is {}", objector.handle, standing.id, standing.state);
        return Err(Error::new(Kind::AlreadyExists, detail).field("organisation"));
    }
    let objection = Objection {
        id: ObjectionId::new(now),
        listing_id: id,
        objector_id: objector.id,
        filed_by: caller.user_id,
        document_sha256: Digest::of(canonical_json(&document)?),
        document: Json(document),
        state: ObjectionState::Open,
        filed_at: now,
    };
    queries::insert_objection(c, &objection)?;
    put_on_record(c, keys, &objection, None, caller.user_id, "filed", now)?;
    Ok(objection)
}

fn document(input: &NewObjection) -> Result<ObjectionDocument> {
    assessment::check_evidence(&input.evidence)?;
    Ok(ObjectionDocument {
        organisation: input.organisation.clone(),
        reason: text::readable("reason", &input.reason, MAX_OBJECTION_CHARS)?,
        evidence: input.evidence.clone(),
        salt: Digest(rand::random()),
    })
}

fn require_on_notice(listing: &Listing, now: Instant) -> Result<()> {
    let refused = |detail: String| {
        Err(Error::new(Kind::WrongState, detail).remedy("file a claim against the version at POST /v1/takedowns"))
    };
    match listing.state {
        ListingState::PublicNotice if now < listing.notice_ends_at => Ok(()),
        ListingState::PublicNotice => {
            refused(format!("the public notice of {} ended at {}", listing.id, listing.notice_ends_at))
        }
        state => refused(format!("listing {} is {state}, and no longer on public notice", listing.id)),
    }
}

/// Compliance upholds or dismisses an objection.
pub fn decide(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: ObjectionId,
    to: ObjectionState,
    reason: &str,
    now: Instant,
) -> Result<Objection> {
    caller.require_compliance()?;
    let reason = text::readable("reason", reason, MAX_REASON_CHARS)?;
    let objection = queries::find_objection(c, id)?.ok_or_else(|| Error::not_found(format!("objection {id}")))?;
    let from = objection.state;
    if !from.may_become(to) || queries::set_objection_state(c, id, from, to)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("objection {id} is {from} and cannot become {to}")));
    }
    let objection = Objection { state: to, ..objection };
    put_on_record(c, keys, &objection, Some(from), caller.user_id, &reason, now)?;
    let version = listings::listing(c, objection.listing_id)?.version_id;
    if to == ObjectionState::Dismissed {
        review_all(c, keys, version, "exchange", now)?;
        return Ok(objection);
    }
    let reason = format!("an objection was upheld: {reason}");
    for listing in listings_of(c, version)? {
        let ends = listing.id == objection.listing_id || listing.state == ListingState::PublicNotice;
        if ends && listing.state.may_become(ListingState::Delisted) {
            listings::advance(c, keys, listing, ListingState::Delisted, caller.user_id, &reason, now)?;
        }
    }
    Ok(objection)
}

/// The objections to a listing that the caller may see, oldest first: compliance and the provider all, others their own.
pub fn objections(c: &mut Conn, caller: &Caller, id: ListingId, page: &PageQuery) -> Result<Vec<Objection>> {
    let listing = listings::listing(c, id)?;
    let (after, limit) = (page.after_id::<kind::Objection>()?, page.limit()?.saturating_add(1));
    let own = caller.organisations();
    let all = caller.is_compliance() || caller.member_of(listing.provider_id).is_some();
    Ok(queries::list_objections(c, id, (!all).then_some(own.as_slice()), after, limit)?)
}

/// The organisation that objects, and the provider of the listing.
pub fn sides(c: &mut Conn, id: ObjectionId) -> Result<[OrganisationId; 2]> {
    let objection = queries::find_objection(c, id)?.ok_or_else(|| Error::not_found(format!("objection {id}")))?;
    Ok([objection.objector_id, listings::listing(c, objection.listing_id)?.provider_id])
}

/// Whether an objection to a listing of this version is open.
pub(super) fn is_any_open(c: &mut Conn, version: VersionId) -> Result<bool> {
    Ok(queries::is_any_open(c, version)?)
}

fn put_on_record(
    c: &mut Conn,
    keys: &ExchangeKeys,
    objection: &Objection,
    from: Option<ObjectionState>,
    actor: UserId,
    reason: &str,
    now: Instant,
) -> Result<()> {
    let Objection { id, listing_id, document_sha256, state, .. } = objection;
    history::record(c, id, from.map(ObjectionState::as_str), state.as_str(), actor, reason, now)?;
    let opening = listings::opening_of(c, *listing_id)?;
    let predicate = json!({
        "objection": id, "listing": listing_id, "listing_sha256": opening, "objection_sha256": document_sha256,
        "state": state, "at": now,
    });
    let subjects = vec![ResourceDescriptor::new("listing", opening)];
    provenance::declare(c, keys, StatementKind::Objection, listing_id, subjects, &predicate, now)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objection_is_decided_once() {
        use ObjectionState::{Dismissed, Open, Upheld};
        for from in ObjectionState::ALL {
            for to in ObjectionState::ALL {
                let drawn = [(Open, Upheld), (Open, Dismissed)].contains(&(*from, *to));
                assert_eq!(from.may_become(*to), drawn, "{from} to {to}");
            }
        }
    }
}
