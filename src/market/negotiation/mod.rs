//! Negotiations: two sides come to a price, in the states and messages of the Dataspace Protocol 2025-1.
//!
//! Either side begins, with a signed offer: the buyer's is a request. Each further offer is signed, too, and names the one that it
//! answers. When the buyer has accepted an offer, or the provider agrees to a request, the provider signs the contract that the
//! exchange made out (the agreement), the buyer signs the same bytes (the verification), and the provider finalises; then the
//! exchange countersigns: there is a contract with three signatures, and an order that waits for payment.
//!
//! Invariant: a state follows another only by a message of the side that the protocol allows
//! ([`NegotiationState::senders`]); a deadline that passes in silence terminates, whoever's turn it was.
//! Invariant: nothing is agreed on but the last offer, within its window, while the listing is on the board, for a use that
//! was declared and that offer and terms permit, between verified organisations.

mod agreement;
mod messages;
mod queries;
pub mod routes;

pub use agreement::{agree, finalize, verify};
pub use messages::{DeclaredUse, accept, begin, expire_idle, reply, terminate};

use std::fmt::Display;

use serde_json::json;

use super::offers::OfferDocument;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller};
use crate::keys::ExchangeKeys;
use crate::market::orders::{self, Royalty};
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::signing::Envelope;
use crate::terms::Use;
use crate::text_enum;
use crate::types::{
    Digest, Instant, Json, ListingId, NegotiationId, OrderId, OrganisationId, PageQuery, StatementId, kind,
};

text_enum! {
    /// Where a negotiation is, in the protocol's words.
    pub enum NegotiationState {
        /// The buyer has asked for what is listed, at a price.
        Requested = "REQUESTED",
        /// The provider has offered it, at a price.
        Offered = "OFFERED",
        /// The buyer has accepted the provider's offer.
        Accepted = "ACCEPTED",
        /// The provider has signed the contract.
        Agreed = "AGREED",
        /// The buyer has signed the same contract.
        Verified = "VERIFIED",
        /// The exchange has countersigned it, and the order waits for payment.
        Finalized = "FINALIZED",
        /// A side has ended it, or nobody went on in time.
        Terminated = "TERMINATED",
    }
}

text_enum! {
    /// One of the two who negotiate.
    pub enum Side {
        /// The protocol's consumer.
        Buyer = "buyer",
        /// The protocol's provider.
        Provider = "provider",
    }
}

impl NegotiationState {
    /// The sides whose message moves a negotiation from this state to that one; none where the protocol has no such transition.
    pub fn senders(self, next: Self) -> &'static [Side] {
        use NegotiationState::{Accepted, Agreed, Finalized, Offered, Requested, Terminated, Verified};
        match (self, next) {
            (Requested, Offered | Agreed) | (Accepted, Agreed | Terminated) => &[Side::Provider],
            (Offered, Requested | Accepted) | (Agreed, Verified | Terminated) => &[Side::Buyer],
            (Verified, Finalized | Terminated) => &[Side::Provider],
            (Requested | Offered, Terminated) => &[Side::Buyer, Side::Provider],
            _ => &[],
        }
    }
    /// Whether a negotiation in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        !self.senders(next).is_empty()
    }
    /// Whether no message moves it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Finalized | Self::Terminated)
    }
}

impl Side {
    /// The state to which an offer of this side leads.
    fn proposes(self) -> NegotiationState {
        match self {
            Self::Buyer => NegotiationState::Requested,
            Self::Provider => NegotiationState::Offered,
        }
    }
}

/// A negotiation.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::negotiations, check_for_backend(crate::db::MultiBackend))]
pub struct Negotiation {
    /// Its identifier.
    pub id: NegotiationId,
    /// What it is about.
    pub listing_id: ListingId,
    /// Who would sell.
    pub provider_id: OrganisationId,
    /// Who would buy.
    pub buyer_id: OrganisationId,
    /// Where it is.
    pub state: NegotiationState,
    /// What the last offer says.
    pub offer_document: Json<OfferDocument>,
    /// The digest of the last offer.
    pub offer_sha256: Digest,
    /// The signed last offer.
    pub offer_statement_id: StatementId,
    /// The kind of use that the buyer declared.
    pub permitted_use: Option<Use>,
    /// The declared use, in the buyer's words.
    pub purpose: Option<String>,
    /// The exact bytes that both sides sign; absent while the provider cannot agree.
    pub contract_document: Option<String>,
    /// What its order would owe the providers of what the version was made from, as it was when the contract was made out.
    pub royalties: Option<Json<Vec<Royalty>>>,
    /// Those bytes with the signatures so far.
    pub agreement: Option<Json<Envelope>>,
    /// The order that came of it.
    pub order_id: Option<OrderId>,
    /// The code of its termination.
    pub termination_code: Option<String>,
    /// Why it was terminated.
    pub termination_reason: Option<String>,
    /// Until when the next message may come.
    pub due_at: Option<Instant>,
    /// When it began.
    pub created_at: Instant,
}

impl Negotiation {
    fn organisation(&self, side: Side) -> OrganisationId {
        match side {
            Side::Buyer => self.buyer_id,
            Side::Provider => self.provider_id,
        }
    }
    /// The organisation that made the last offer.
    fn offered_by(&self) -> OrganisationId {
        let said = &self.offer_document.0;
        if said.organisation == said.buyer { self.buyer_id } else { self.provider_id }
    }
}

/// A negotiation. Callers authorise.
pub fn negotiation(c: &mut Conn, id: NegotiationId) -> Result<Negotiation> {
    queries::find_negotiation(c, id)?.ok_or_else(|| Error::not_found(named(id)))
}

/// A negotiation that the caller may see: a member of either side, or the platform's staff.
pub fn visible_negotiation(c: &mut Conn, caller: &Caller, id: NegotiationId) -> Result<Negotiation> {
    let found = negotiation(c, id)?;
    if caller.sees_trade(found.buyer_id, found.provider_id) { Ok(found) } else { Err(Error::withheld(named(id))) }
}

/// The negotiations of the caller's organisations, oldest first: up to one more than a page.
pub fn negotiations(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Negotiation>> {
    let own = caller.organisations();
    Ok(queries::list_negotiations(c, &own, page.after_id::<kind::Negotiation>()?, page.limit()?.saturating_add(1))?)
}

/// The statement of the offer that an order's negotiation ended with, if it was negotiated. Callers authorise.
pub fn negotiated_offer_of(c: &mut Conn, order: OrderId) -> Result<Option<StatementId>> {
    Ok(queries::find_negotiation_of(c, order)?.map(|found| found.offer_statement_id))
}

fn named(id: NegotiationId) -> String {
    format!("negotiation {id}")
}

/// Refuses a message that cannot come now, or not from this side.
fn require_turn(negotiation: &Negotiation, to: NegotiationState, side: Side, now: Instant) -> Result<()> {
    let Negotiation { id, state, due_at, .. } = negotiation;
    let refused = |detail: String, remedy: &str| Err(Error::new(Kind::WrongState, detail).remedy(remedy));
    if state.is_final() {
        return refused(format!("negotiation {id} is {state}"), "begin another");
    }
    if let Some(due) = due_at.filter(|due| *due <= now) {
        return refused(format!("negotiation {id} is {state}, and that ended at {due}"), "begin another");
    }
    match state.senders(to) {
        [] => refused(format!("negotiation {id} is {state} and cannot become {to}"), "see whose turn it is"),
        senders if !senders.contains(&side) => {
            let detail = format!("negotiation {id} is {state}, and the {side} cannot make it {to}");
            refused(detail, "wait for the other side")
        }
        _ => Ok(()),
    }
}

/// Moves a negotiation on, if it is still where it was read; the time for the next message begins.
fn advance(
    c: &mut Conn,
    config: &Config,
    moved: Negotiation,
    to: NegotiationState,
    actor: impl Display,
    reason: &str,
    now: Instant,
) -> Result<Negotiation> {
    let from = moved.state;
    let due_at = (!to.is_final()).then(|| now.plus(orders::days(config.negotiation_window_days)));
    let moved = Negotiation { state: to, due_at, ..moved };
    if !from.may_become(to) || queries::set_negotiation(c, &moved, from)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("negotiation {} has left {from}", moved.id)));
    }
    history::record(c, moved.id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    Ok(moved)
}

/// States a step in the log, with the side whose message it was; none where nobody's was.
fn announce(
    c: &mut Conn,
    keys: &ExchangeKeys,
    moved: Negotiation,
    from: NegotiationState,
    side: Option<Side>,
    now: Instant,
) -> Result<Negotiation> {
    let organisation = match side {
        Some(side) => Some(identity::organisation(c, moved.organisation(side))?.handle),
        None => None,
    };
    let predicate = json!({
        "negotiation": moved.id, "offer_sha256": moved.offer_sha256, "from_state": from, "state": moved.state,
        "organisation": organisation, "code": moved.termination_code, "reason": moved.termination_reason,
        "changed_at": now,
    });
    let subjects = vec![ResourceDescriptor::new("offer", moved.offer_sha256)];
    provenance::declare(c, keys, StatementKind::NegotiationChange, moved.id, subjects, &predicate, now)?;
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transitions_are_those_of_the_dataspace_protocol() {
        use NegotiationState::{Accepted, Agreed, Finalized, Offered, Requested, Terminated, Verified};
        // The figure of the protocol's section "State Machine": C is the consumer, P the provider.
        let figure = [
            (Requested, Offered, "P"),
            (Requested, Agreed, "P"),
            (Requested, Terminated, "C/P"),
            (Offered, Requested, "C"),
            (Offered, Accepted, "C"),
            (Offered, Terminated, "C/P"),
            (Accepted, Agreed, "P"),
            (Accepted, Terminated, "P"),
            (Agreed, Verified, "C"),
            (Agreed, Terminated, "C"),
            (Verified, Finalized, "P"),
            (Verified, Terminated, "P"),
        ];
        for from in NegotiationState::ALL {
            for to in NegotiationState::ALL {
                let drawn = figure.iter().find(|(a, b, _)| (a, b) == (from, to)).map_or("", |(_, _, who)| *who);
                let senders = from.senders(*to).iter().map(|side| if *side == Side::Buyer { "C" } else { "P" });
                assert_eq!(senders.collect::<Vec<_>>().join("/"), drawn, "{from} to {to}");
            }
            assert_eq!(from.is_final(), !NegotiationState::ALL.iter().any(|to| from.may_become(*to)), "{from}");
        }
    }
}
