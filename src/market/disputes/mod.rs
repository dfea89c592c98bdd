//! Disputes: either side of a trade asks the exchange to decide what becomes of its money.
//!
//! A dispute is opened while the order waits for one of the two, within the window of that wait, or after the settlement,
//! within a window then. It freezes the payout, never the licence: what is in escrow stays there, and of what was settled
//! what is unpaid is frozen, and with it what is only asked to be paid out (`recovery.rs`). An operator mediates and decides: for the
//! buyer (all goes back), for the provider (all is settled) or for a split. Either side may appeal once, within a window; then the
//! second decision, or the first that nobody appealed against, is carried out.
//!
//! Invariant: an order has one dispute at most, and no money moves before its dispute is final.
//! Invariant: a refund is at most what was paid, and the rest is settled.
//! Invariant: of what was settled no more is taken back than is unpaid, and the rest of a decision is a claim on record.

mod queries;
mod recovery;
pub mod routes;

pub use recovery::{Claim, frozen, owners_of_frozen};

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::orders::{self, DeliveryEvidence, Order, OrderState};
use crate::assessment::{self, Evidence};
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::keys::ExchangeKeys;
use crate::provenance::{self, ResourceDescriptor, StatementKind};
use crate::text_enum;
use crate::types::{DisputeId, Instant, Json, Money, OrderId, OrganisationId, text};

/// The reason of an order that a dispute refunds.
const FOR_THE_BUYER: &str = "the dispute was decided for the buyer";
/// The step that tells those whose money was frozen.
pub const FROZEN: &str = "frozen";
/// The step that tells them that it no longer is.
pub const RELEASED: &str = "released";

text_enum! {
    /// Where a dispute is in its life.
    pub enum DisputeState {
        /// The exchange mediates.
        Open = "open",
        /// An operator has decided; either side may appeal.
        Decided = "decided",
        /// One side has appealed; the exchange decides again.
        Appealed = "appealed",
        /// The decision was carried out.
        Final = "final",
    }
}

impl DisputeState {
    /// Whether a dispute in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        use DisputeState::{Appealed, Decided, Final, Open};
        matches!((self, next), (Open, Decided) | (Decided, Appealed | Final) | (Appealed, Final))
    }
}

text_enum! {
    /// For whom a dispute is decided.
    pub enum Outcome {
        /// The whole price goes back, and the licence ends.
        Buyer = "buyer",
        /// The whole price is settled.
        Provider = "provider",
        /// A part goes back, and the rest is settled.
        Split = "split",
    }
}

/// A dispute over an order.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::disputes, check_for_backend(crate::db::MultiBackend))]
pub struct Dispute {
    /// Its identifier.
    pub id: DisputeId,
    /// What it is about.
    pub order_id: OrderId,
    /// The side that opened it.
    pub opened_by: OrganisationId,
    /// Why, in its words.
    pub reason: String,
    /// What it rests on.
    pub evidence: Json<Vec<Evidence>>,
    /// Where it is in its life.
    pub state: DisputeState,
    /// In whose favour it is decided so far.
    pub outcome: Option<Outcome>,
    /// What goes back to the buyer by that decision, in minor units.
    pub refund_minor: Option<i64>,
    /// Of a dispute over what was settled, once it is final: what went back to the buyer, in minor units.
    pub recovered_minor: Option<i64>,
    /// Likewise: what could not be taken back, because it was paid out, or an operator had taken the payout up: who owes the buyer
    /// what.
    pub claims: Option<Json<Vec<Claim>>>,
    /// Until when a side may appeal.
    pub due_at: Option<Instant>,
    /// When it was opened.
    pub opened_at: Instant,
}

/// What a side brings forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDispute {
    /// What is wrong, in 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
    /// What it rests on: at most 50 documents by their digests.
    pub evidence: Vec<Evidence>,
}

/// What an operator decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DisputeDecision)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// For whom.
    pub outcome: Outcome,
    /// What goes back to the buyer: for a split only, above zero and less than the price.
    pub refund: Option<Money>,
    /// Why, in 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// A side of a trade opens a dispute; the order waits until it is final.
pub fn open(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    input: &NewDispute,
    now: Instant,
) -> Result<Dispute> {
    let (order, opened_by) = side(c, caller, id)?;
    let reason = text::reason(&input.reason)?;
    assessment::check_evidence(&input.evidence)?;
    if queries::find_dispute_of(c, id)?.is_some() {
        return Err(Error::new(Kind::AlreadyExists, format!("order {id} has had its dispute"))
            .remedy("appeal against its decision, within the window for that"));
    }
    let dispute_id = DisputeId::new(now);
    let order = match order.state {
        OrderState::Certificated => {
            orders::require_disputable(&order, now)?;
            recovery::freeze(c, &order, dispute_id, caller.user_id, now)?;
            order
        }
        _ => orders::dispute(c, order, caller.user_id, now)?,
    };
    let dispute = Dispute {
        id: dispute_id,
        order_id: id,
        opened_by,
        reason: reason.clone(),
        evidence: Json(input.evidence.clone()),
        state: DisputeState::Open,
        outcome: None,
        refund_minor: None,
        recovered_minor: None,
        claims: None,
        due_at: None,
        opened_at: now,
    };
    queries::insert_dispute(c, &dispute)?;
    history::record(c, dispute.id, None, dispute.state.as_str(), caller.user_id, &reason, now)?;
    tell_owners(c, &dispute, FROZEN, (caller.user_id, &reason), now)?;
    announce(c, keys, &order, dispute, &reason, now)
}

/// An operator decides an open dispute; the sides may appeal until the window ends.
pub fn decide(
    c: &mut Conn,
    caller: &Caller,
    (keys, config): (&ExchangeKeys, &Config),
    id: OrderId,
    decision: &Decision,
    now: Instant,
) -> Result<Dispute> {
    caller.require_operator()?;
    let (order, dispute) = of_order(c, caller, id)?;
    let decided = weigh(&order, dispute, decision)?;
    let due = now.plus(orders::days(config.appeal_window_days));
    let decided = Dispute { due_at: Some(due), ..decided };
    let reason = text::reason(&decision.reason)?;
    let decided = advance(c, decided, DisputeState::Decided, caller.user_id, &reason, now)?;
    announce(c, keys, &order, decided, &reason, now)
}

/// A side appeals against the decision, in time.
pub fn appeal(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    reason: &str,
    now: Instant,
) -> Result<Dispute> {
    let (order, _) = side(c, caller, id)?;
    let reason = text::reason(reason)?;
    let dispute = find(c, id)?;
    if dispute.state == DisputeState::Decided
        && let Some(due) = dispute.due_at
        && due <= now
    {
        return Err(Error::new(Kind::WrongState, format!("the time to appeal ended at {due}"))
            .remedy("nothing is to be done: the decision is carried out"));
    }
    let dispute = Dispute { due_at: None, ..dispute };
    let dispute = advance(c, dispute, DisputeState::Appealed, caller.user_id, &reason, now)?;
    announce(c, keys, &order, dispute, &reason, now)
}

/// Another operator than the one who decided the dispute decides its appeal, and that is carried out.
pub fn decide_appeal(
    c: &mut Conn,
    caller: &Caller,
    keys: &ExchangeKeys,
    id: OrderId,
    (decision, evidence): (&Decision, &DeliveryEvidence),
    now: Instant,
) -> Result<Order> {
    caller.require_operator()?;
    let (order, dispute) = of_order(c, caller, id)?;
    if dispute.state != DisputeState::Appealed {
        return Err(cannot_become(&dispute, DisputeState::Final).remedy("a side appeals first"));
    }
    let decided = history::last_into(c, dispute.id, DisputeState::Decided.as_str())?;
    if decided.is_none_or(|step| step.actor == caller.user_id.to_string()) {
        return Err(Error::forbidden("you decided this dispute, and another operator must decide its appeal")
            .remedy("ask another operator"));
    }
    let decided = weigh(&order, dispute, decision)?;
    let reason = text::reason(&decision.reason)?;
    carry_out(c, keys, order, decided, (&caller.user_id.to_string(), &reason), evidence, now)
}

/// Disputes whose window to appeal has passed by `now`, by their orders, which sort after `after`; at most `limit`.
pub fn list_due(c: &mut Conn, now: Instant, after: &str, limit: i64) -> Result<Vec<OrderId>> {
    Ok(queries::list_due(c, now, after, limit)?)
}

/// Carries out a decision that nobody appealed against in time; anything else is left as it is.
pub fn pass_deadline(
    c: &mut Conn,
    keys: &ExchangeKeys,
    id: OrderId,
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let order = orders::order(c, id)?;
    let Some(dispute) = queries::find_dispute_of(c, id)? else { return Ok(order) };
    if dispute.state != DisputeState::Decided || dispute.due_at.is_none_or(|due| due > now) {
        return Ok(order);
    }
    carry_out(c, keys, order, dispute, ("exchange", "nobody appealed in time"), evidence, now)
}

fn carry_out(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    dispute: Dispute,
    (actor, reason): (&str, &str),
    evidence: &DeliveryEvidence,
    now: Instant,
) -> Result<Order> {
    let dispute = Dispute { due_at: None, ..dispute };
    if order.state == OrderState::Certificated {
        return carry_out_after_settlement(c, keys, order, dispute, (actor, reason), now);
    }
    let (outcome, refund) = (dispute.outcome, dispute.refund_minor);
    let dispute = advance(c, dispute, DisputeState::Final, actor, reason, now)?;
    announce(c, keys, &order, dispute, reason, now)?;
    match outcome {
        Some(Outcome::Buyer) => orders::refund_all(c, keys, order, actor, FOR_THE_BUYER, now),
        Some(Outcome::Provider | Outcome::Split) => {
            orders::settle_dispute(c, keys, Order { refund_minor: refund, ..order }, actor, evidence, now)
        }
        None => Err(Error::internal(format!("the dispute over {} ends undecided", order.id))),
    }
}

fn carry_out_after_settlement(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: Order,
    dispute: Dispute,
    (actor, reason): (&str, &str),
    now: Instant,
) -> Result<Order> {
    let is_undone = dispute.outcome == Some(Outcome::Buyer);
    let (recovered, claims) = recovery::recover(c, &order, &dispute, now)?;
    let dispute = Dispute { recovered_minor: Some(recovered.amount_minor), claims: Some(Json(claims)), ..dispute };
    let dispute = advance(c, dispute, DisputeState::Final, actor, reason, now)?;
    tell_owners(c, &dispute, RELEASED, (actor, reason), now)?;
    announce(c, keys, &order, dispute, reason, now)?;
    orders::note_recovery(c, keys, order, (recovered, is_undone), (actor, FOR_THE_BUYER), now)
}

/// The dispute with this decision, if the decision's amount can be paid.
fn weigh(order: &Order, dispute: Dispute, decision: &Decision) -> Result<Dispute> {
    let price = order.price().minus(order.refund().unwrap_or(Money::zero(order.currency)))?;
    let refused = |detail: String, remedy: String| Err(Error::invalid("refund", detail).remedy(remedy));
    let refund_minor = match (decision.outcome, decision.refund) {
        (Outcome::Split, Some(refund)) if refund.currency != price.currency => {
            let remedy = format!("refund {}", price.currency);
            return refused(format!("{price} was paid, and {refund} is of another currency"), remedy);
        }
        (Outcome::Split, Some(refund)) if (1..price.amount_minor).contains(&refund.amount_minor) => {
            Some(refund.amount_minor)
        }
        (Outcome::Split, refund) => {
            let named = refund.map_or("nothing".to_string(), |refund| refund.to_string());
            let remedy = format!("refund above zero and less than {price}, or decide for one side");
            return refused(format!("a split of {price} cannot refund {named}"), remedy);
        }
        (Outcome::Buyer | Outcome::Provider, Some(refund)) => {
            let remedy = "leave the member out, or decide for a split".to_string();
            return refused(format!("{refund} was named, and the decision for one side names no amount"), remedy);
        }
        (Outcome::Buyer | Outcome::Provider, None) => None,
    };
    Ok(Dispute { outcome: Some(decision.outcome), refund_minor, ..dispute })
}

/// An order with its dispute, for those who may see the order.
pub fn of_order(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<(Order, Dispute)> {
    Ok((orders::visible_order(c, caller, id)?, find(c, id)?))
}

fn find(c: &mut Conn, id: OrderId) -> Result<Dispute> {
    let missing = || Error::new(Kind::WrongState, format!("no dispute over order {id} was opened"));
    queries::find_dispute_of(c, id)?.ok_or_else(missing)
}

/// The order that a dispute is about. Callers authorise.
pub fn disputed_order(c: &mut Conn, id: DisputeId) -> Result<OrderId> {
    Ok(queries::find_dispute(c, id)?.ok_or_else(|| Error::not_found(format!("dispute {id}")))?.order_id)
}

/// The order, and the side of it for which the caller speaks: for a member of both, the buyer, unless its role suffices for the
/// provider only.
fn side(c: &mut Conn, caller: &Caller, id: OrderId) -> Result<(Order, OrganisationId)> {
    let order = orders::visible_order(c, caller, id)?;
    let sides = [order.buyer_id, order.provider_id];
    let side = caller.may_for_one_of(&sides, "the two sides of the trade", Role::TRADERS)?.organisation_id;
    Ok((order, side))
}

/// Moves a dispute on, if it is still where it was read.
fn advance(
    c: &mut Conn,
    dispute: Dispute,
    to: DisputeState,
    actor: impl std::fmt::Display,
    reason: &str,
    now: Instant,
) -> Result<Dispute> {
    let from = dispute.state;
    let moved = Dispute { state: to, ..dispute };
    if !from.may_become(to) || queries::set_dispute(c, &moved, from)? != 1 {
        return Err(cannot_become(&Dispute { state: from, ..moved }, to));
    }
    history::record(c, moved.id, Some(from.as_str()), to.as_str(), actor, reason, now)?;
    Ok(moved)
}

/// Records the step that tells those whose money a dispute froze, if it froze any, that it did, or that it no longer does.
fn tell_owners(
    c: &mut Conn,
    dispute: &Dispute,
    step: &str,
    (actor, reason): (impl std::fmt::Display, &str),
    now: Instant,
) -> Result<()> {
    if recovery::owners_of_frozen(c, dispute.id)?.is_empty() {
        return Ok(());
    }
    history::record(c, dispute.id, Some(dispute.state.as_str()), step, actor, reason, now)
}

fn cannot_become(dispute: &Dispute, to: DisputeState) -> Error {
    let Dispute { order_id, state, .. } = dispute;
    Error::new(Kind::WrongState, format!("the dispute over order {order_id} is {state} and cannot become {to}"))
}

/// States a step of a dispute in the log.
fn announce(
    c: &mut Conn,
    keys: &ExchangeKeys,
    order: &Order,
    dispute: Dispute,
    reason: &str,
    now: Instant,
) -> Result<Dispute> {
    let contract = orders::contract_of(c, order.id)?.sha256;
    let refund = dispute.refund_minor.map(|minor| Money::new(minor, order.currency));
    let mut predicate = json!({
        "dispute": dispute.id, "order": order.id, "contract_sha256": contract, "state": dispute.state,
        "opened_by": identity::organisation(c, dispute.opened_by)?.handle, "reason": reason,
        "evidence": dispute.evidence.0, "outcome": dispute.outcome, "refund": refund, "due_at": dispute.due_at,
        "changed_at": now,
    });
    if let (Some(members), Some(recovered), Some(claims)) =
        (predicate.as_object_mut(), dispute.recovered_minor, &dispute.claims)
    {
        members.insert("recovered".to_string(), json!(Money::new(recovered, order.currency)));
        members.insert("claims".to_string(), json!(claims.0));
    }
    let subjects = vec![ResourceDescriptor::new("contract", contract)];
    provenance::declare(c, keys, StatementKind::Dispute, dispute.id, subjects, &predicate, now)?;
    Ok(dispute)
}
