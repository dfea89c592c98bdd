//! The messages up to the agreement: requests and offers in reply to one another, acceptance, termination.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Negotiation, NegotiationState, Side};
use super::{advance, announce, negotiation, queries, require_turn, visible_negotiation};
use crate::app::App;
use crate::catalog;
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::history;
use crate::identity::{self, Caller, Role};
use crate::jobs::sweep;
use crate::keys::ExchangeKeys;
use crate::market::offers::{self, Checked};
use crate::market::orders::{self, Deal, Grounds};
use crate::provenance;
use crate::signing::Envelope;
use crate::terms::Use;
use crate::types::{Instant, Json, NegotiationId, text};

/// The longest code of a termination, in characters.
const MAX_CODE_CHARS: usize = 64;

/// What the buyer says that it will use the corpus for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeclaredUse {
    /// The kind of use: one of those in the offer.
    pub r#use: Use,
    /// What the corpus will be used for, in 10 to 2,000 characters. It becomes part of the contract.
    #[schema(min_length = 10, max_length = 2000)]
    pub purpose: String,
}

/// A side begins to negotiate: the buyer with a request, and the use that it declares; the provider with an offer.
///
/// # Errors
/// As for a private offer, [`offers::make`]; `Invalid`, naming `replies_to_sha256`, for an offer that answers another.
pub fn begin(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    side: Side,
    (envelope, declared): (Envelope, Option<&DeclaredUse>),
    now: Instant,
) -> Result<Negotiation> {
    let checked = offers::check(c, caller, envelope, now)?;
    require_made_by(&checked, side)?;
    if checked.document.replies_to_sha256.is_some() {
        return Err(Error::invalid("replies_to_sha256", "the first offer of a negotiation answers no other")
            .remedy("leave it out, or send the offer in the negotiation that it belongs to"));
    }
    offers::require_new(c, &checked.signed)?;
    let id = NegotiationId::new(now);
    let recorded = provenance::countersign(c, keys, id, &checked.signed, now)?;
    let begun = Negotiation {
        id,
        listing_id: checked.listing.id,
        provider_id: checked.provider.id,
        buyer_id: checked.buyer.id,
        state: side.proposes(),
        offer_document: Json(checked.document),
        offer_sha256: recorded.pae_sha256,
        offer_statement_id: recorded.id,
        permitted_use: None,
        purpose: None,
        contract_document: None,
        royalties: None,
        agreement: None,
        order_id: None,
        termination_code: None,
        termination_reason: None,
        due_at: Some(now.plus(orders::days(config.negotiation_window_days))),
        created_at: now,
    };
    let begun = make_out_for(c, config, declare(begun, declared)?, side == Side::Buyer, now)?;
    queries::insert_negotiation(c, &begun)?;
    history::record(c, id, None, begun.state.as_str(), caller.user_id, &format!("begun by the {side}"), now)?;
    Ok(begun)
}

/// A side answers the last offer with one of its own, which names it.
///
/// # Errors
/// As for a private offer, [`offers::make`]; `WrongState` when it is not its turn; `Invalid`, naming the member that does not fit.
pub fn reply(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    side: Side,
    (envelope, declared): (Envelope, Option<&DeclaredUse>),
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    caller.may_for(before.organisation(side), format!("the {side}"), Role::SIGNERS)?;
    require_turn(&before, side.proposes(), side, now)?;
    let checked = offers::check(c, caller, envelope, now)?;
    require_made_by(&checked, side)?;
    for (member, same) in [
        ("listing", checked.listing.id == before.listing_id),
        ("buyer", checked.buyer.id == before.buyer_id),
        ("replies_to_sha256", checked.document.replies_to_sha256 == Some(before.offer_sha256)),
    ] {
        if !same {
            let detail = format!("the offer does not answer {}, the last one of {id}", before.offer_sha256);
            return Err(Error::invalid(member, detail).remedy("sign an offer that does"));
        }
    }
    let recorded = provenance::countersign(c, keys, id, &checked.signed, now)?;
    let replied = Negotiation {
        offer_document: Json(checked.document),
        offer_sha256: recorded.pae_sha256,
        offer_statement_id: recorded.id,
        contract_document: None,
        royalties: None,
        ..before
    };
    let replied = make_out_for(c, config, declare(replied, declared)?, side == Side::Buyer, now)?;
    advance(c, config, replied, side.proposes(), caller.user_id, &format!("the {side} made an offer"), now)
}

/// The buyer accepts the provider's last offer, for the use that it declares now or declared before.
pub fn accept(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    declared: Option<&DeclaredUse>,
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    caller.may_for(before.buyer_id, "the buyer", Role::DEALERS)?;
    require_turn(&before, NegotiationState::Accepted, Side::Buyer, now)?;
    let from = before.state;
    let accepted = make_out_for(c, config, declare(before, declared)?, true, now)?;
    let reason = "the buyer accepted the offer";
    let accepted = advance(c, config, accepted, NegotiationState::Accepted, caller.user_id, reason, now)?;
    announce(c, keys, accepted, from, Some(Side::Buyer), now)
}

/// A side ends a negotiation, where the protocol lets it.
pub fn terminate(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    (code, reason): (&str, &str),
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    let side = side_of(caller, &before)?;
    let code = text::readable("code", code, MAX_CODE_CHARS)?;
    let reason = text::reason(reason)?;
    require_turn(&before, NegotiationState::Terminated, side, now)?;
    end(c, (config, keys), before, (code, reason), (caller.user_id.to_string(), Some(side)), now)
}

/// The side for which a caller ends a negotiation: for a member of both, one for which its role suffices, and of these the one
/// that may end it.
fn side_of(caller: &Caller, negotiation: &Negotiation) -> Result<Side> {
    let sides = negotiation.state.senders(NegotiationState::Terminated).iter().chain(Side::ALL);
    let sides: Vec<_> = sides.map(|side| negotiation.organisation(*side)).collect();
    let speaks_for = caller.may_for_one_of(&sides, "the two sides of the negotiation", Role::DEALERS)?.organisation_id;
    Ok(if speaks_for == negotiation.buyer_id { Side::Buyer } else { Side::Provider })
}

/// Terminates the negotiations in which nobody went on in time.
pub async fn expire_idle(app: &App) -> Result<()> {
    let (keys, config) = (app.keys.clone(), app.config.clone());
    let list = |c: &mut Conn, after: &str, now| Ok(queries::list_due(c, now, after, sweep::PAGE)?);
    let expire = move |c: &mut Conn, id, now| expire(c, (&config, &keys), id, now);
    sweep::each(&app.db, &app.clock, "an idle negotiation", list, expire).await
}

fn expire(c: &mut Conn, with: (&Config, &ExchangeKeys), id: NegotiationId, now: Instant) -> Result<()> {
    let idle = negotiation(c, id)?;
    let Some(due) = idle.due_at.filter(|due| *due <= now) else { return Ok(()) };
    let why = ("EXPIRED".to_string(), format!("nobody went on by {due}"));
    end(c, with, idle, why, ("exchange".to_string(), None), now).map(drop)
}

fn end(
    c: &mut Conn,
    (config, keys): (&Config, &ExchangeKeys),
    before: Negotiation,
    (code, reason): (String, String),
    (actor, side): (String, Option<Side>),
    now: Instant,
) -> Result<Negotiation> {
    let from = before.state;
    let said = format!("{code}: {reason}");
    let ended = Negotiation { termination_code: Some(code), termination_reason: Some(reason), ..before };
    let ended = advance(c, config, ended, NegotiationState::Terminated, actor, &said, now)?;
    announce(c, keys, ended, from, side, now)
}

fn require_made_by(checked: &Checked, side: Side) -> Result<()> {
    let (maker, expected) = match side {
        Side::Buyer => (&checked.document.organisation, &checked.buyer.handle),
        Side::Provider => (&checked.document.organisation, &checked.provider.handle),
    };
    match maker == expected {
        true => Ok(()),
        false => Err(Error::invalid("organisation", format!("{maker} is not the {side}: {expected} is"))
            .remedy("the buyer sends requests, and the provider offers")),
    }
}

/// Notes the use that the buyer declares, if it declares one now; otherwise what it declared before stands.
fn declare(negotiation: Negotiation, declared: Option<&DeclaredUse>) -> Result<Negotiation> {
    let Some(DeclaredUse { r#use, purpose }) = declared else { return Ok(negotiation) };
    orders::check_purpose(purpose)?;
    Ok(Negotiation { permitted_use: Some(*r#use), purpose: Some(purpose.clone()), ..negotiation })
}

/// Makes out the contract of the last offer after a word of the buyer's, to which the provider may agree.
fn make_out_for(
    c: &mut Conn,
    config: &Config,
    negotiation: Negotiation,
    is_buyers_word: bool,
    now: Instant,
) -> Result<Negotiation> {
    if !is_buyers_word {
        return Ok(negotiation);
    }
    let (wanted, purpose) = declared_use(&negotiation)?;
    let offer = &negotiation.offer_document.0;
    offers::require_valid(offer.valid_from, offer.valid_until, now).map_err(|error| error.field("offer"))?;
    let listing = orders::open_listing(c, negotiation.listing_id, now).map_err(|error| error.field("listing_id"))?;
    let buyer = identity::organisation(c, negotiation.buyer_id)?;
    let shard_count = catalog::seal_of(c, listing.version_id)?.shard_count;
    let (listing, buyer, price) = (&listing, &buyer, offer.price);
    let deal = Deal { listing, selection: None, shard_count, buyer, wanted, purpose, price };
    let grounds = Grounds { offer_sha256: Some(negotiation.offer_sha256), negotiation: Some(negotiation.id) };
    let (contract, royalties) = orders::negotiated_contract(c, config, &deal, grounds, now)?;
    Ok(Negotiation { contract_document: Some(contract), royalties: Some(royalties), ..negotiation })
}

/// The use that the buyer declared, if the last offer is for it.
pub(super) fn declared_use(negotiation: &Negotiation) -> Result<(Use, &str)> {
    let (Some(wanted), Some(purpose)) = (negotiation.permitted_use, &negotiation.purpose) else {
        return Err(Error::invalid("use", "the buyer has declared no use").remedy("send a use and its purpose"));
    };
    if !negotiation.offer_document.0.uses.contains(&wanted) {
        return Err(Error::new(Kind::UseNotPermitted, format!("the offer is not for the use {wanted}"))
            .field("use")
            .remedy("declare one of its uses, or ask for an offer with others"));
    }
    Ok((wanted, purpose))
}
