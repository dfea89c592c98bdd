//! From the agreement on: the provider signs, the buyer verifies by signing the same, the exchange countersigns.

use super::messages::declared_use;
use super::{Negotiation, NegotiationState, Side};
use super::{advance, announce, require_turn, visible_negotiation};
use crate::config::Config;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Role, SigningKey};
use crate::keys::ExchangeKeys;
use crate::market::orders;
use crate::market::{Listing, offers};
use crate::provenance::{self, StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::terms;
use crate::types::{Instant, Json, NegotiationId};

/// The provider agrees: it signs the contract of the last offer.
///
/// # Errors
/// `WrongState` when it is not its turn, or what was offered cannot be kept any more; `BadSignature`.
pub fn agree(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    envelope: &Envelope,
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    caller.may_for(before.provider_id, "the provider", Role::SIGNERS)?;
    require_turn(&before, NegotiationState::Agreed, Side::Provider, now)?;
    require_kept(c, &before, now)?;
    signed_by(c, &before, Side::Provider, envelope)?;
    let from = before.state;
    let agreed = Negotiation { agreement: Some(Json(envelope.clone())), ..before };
    let reason = "the provider signed the contract";
    let agreed = advance(c, config, agreed, NegotiationState::Agreed, caller.user_id, reason, now)?;
    announce(c, keys, agreed, from, Some(Side::Provider), now)
}

/// The buyer verifies the agreement: it signs the same contract.
pub fn verify(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    envelope: &Envelope,
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    caller.may_for(before.buyer_id, "the buyer", Role::SIGNERS)?;
    require_turn(&before, NegotiationState::Verified, Side::Buyer, now)?;
    signed_by(c, &before, Side::Buyer, envelope)?;
    let from = before.state;
    let mut both = agreement(&before)?;
    both.signatures.extend(envelope.signatures.clone());
    let verified = Negotiation { agreement: Some(Json(both)), ..before };
    let reason = "the buyer signed the same contract";
    let verified = advance(c, config, verified, NegotiationState::Verified, caller.user_id, reason, now)?;
    announce(c, keys, verified, from, Some(Side::Buyer), now)
}

/// The provider finalises: the exchange countersigns the contract, and the order waits for payment.
pub fn finalize(
    c: &mut Conn,
    caller: &Caller,
    (config, keys): (&Config, &ExchangeKeys),
    id: NegotiationId,
    now: Instant,
) -> Result<Negotiation> {
    let before = visible_negotiation(c, caller, id)?;
    caller.may_for(before.provider_id, "the provider", Role::DEALERS)?;
    require_turn(&before, NegotiationState::Finalized, Side::Provider, now)?;
    let listing = require_kept(c, &before, now)?;
    let signed = agreement(&before)?;
    let mut signers = Vec::new();
    for (side, signature) in [Side::Provider, Side::Buyer].into_iter().zip(&signed.signatures) {
        signers.push(identity::signing_key_for(c, before.organisation(side), signature.keyid)?.public_key);
    }
    let (signed, statement) = VerifiedEnvelope::open(signed, &signers, StatementKind::Contract)?;
    let royalties = before.royalties.clone().unwrap_or_default();
    let (between, contract) = ((&listing, before.buyer_id), (&signed, statement));
    let order = orders::conclude(c, (config, keys), between, royalties, contract, caller, now)?;
    let from = before.state;
    let finalized = Negotiation { order_id: Some(order.id), ..before };
    let reason = "the exchange countersigned the contract";
    let finalized = advance(c, config, finalized, NegotiationState::Finalized, caller.user_id, reason, now)?;
    announce(c, keys, finalized, from, Some(Side::Provider), now)
}

/// The listing, if what was offered last can be kept now: the offer within its window, what it offers on the board and
/// the use permitted, both sides verified, and their signatures sound.
fn require_kept(c: &mut Conn, negotiation: &Negotiation, now: Instant) -> Result<Listing> {
    let offer = &negotiation.offer_document.0;
    offers::require_valid(offer.valid_from, offer.valid_until, now).map_err(|error| error.field("offer"))?;
    let listing = orders::open_listing(c, negotiation.listing_id, now).map_err(|error| error.field("listing_id"))?;
    let (wanted, _) = declared_use(negotiation)?;
    terms::permits(&terms::terms(c, listing.terms_id)?.document, wanted)?;
    for side in Side::ALL {
        let organisation = identity::organisation(c, negotiation.organisation(*side))?;
        identity::require_verified(&organisation).map_err(|error| error.field(side.as_str()))?;
    }
    identity::require_sound(c, negotiation.offered_by(), &[negotiation.offer_statement_id])
        .map_err(|error| error.field("offer"))?;
    Ok(listing)
}

/// The active key of a side that signed the negotiation's contract, and nothing else.
fn signed_by(c: &mut Conn, negotiation: &Negotiation, side: Side, envelope: &Envelope) -> Result<SigningKey> {
    let signature = envelope.sole_signature()?;
    let document = negotiation.contract_document.as_deref().unwrap_or_default();
    if envelope.payload.0 != document.as_bytes() {
        return Err(Error::new(Kind::BadSignature, "the signed document is not this negotiation's contract")
            .field("payload")
            .remedy("sign the bytes of `contract_payload` exactly as the negotiation gives them"));
    }
    let key = identity::signing_key_for(c, negotiation.organisation(side), signature.keyid)?;
    provenance::parse(envelope, key.public_key, StatementKind::Contract)?;
    Ok(key)
}

fn agreement(negotiation: &Negotiation) -> Result<Envelope> {
    let signed = negotiation.agreement.clone().map(|agreement| agreement.0);
    signed.ok_or_else(|| Error::internal(format!("{} was agreed on without a signature", negotiation.id)))
}
