//! The offer's document: what one side signs to offer the other a price, and the checks of it.

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Measure};
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, Caller, Organisation, Role};
use crate::market::{Listing, orders};
use crate::provenance::{self, ResourceDescriptor, Statement, StatementKind, VerifiedEnvelope};
use crate::signing::Envelope;
use crate::terms::{self, Terms, Use};
use crate::types::{Digest, Instant, ListingId, Money};

/// What one side of a trade offers the other (`schemas/offer.v1.json`). The listing's terms hold but for the price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferDocument {
    /// The handle of the side that makes the offer and signs it.
    pub organisation: String,
    /// The handle of who would sell.
    pub provider: String,
    /// The handle of who would buy, and nobody else.
    pub buyer: String,
    /// What is offered.
    pub listing: ListingId,
    /// The manifest of the version that is listed.
    pub manifest_sha256: Digest,
    /// The terms of the listing.
    pub terms_sha256: Digest,
    /// For which of the uses that the terms permit.
    pub uses: Vec<Use>,
    /// At what price; zero for a free licence.
    pub price: Money,
    /// From when on.
    pub valid_from: Instant,
    /// Until when; that instant excluded.
    pub valid_until: Instant,
    /// In a negotiation: the offer of the other side that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies_to_sha256: Option<Digest>,
    /// 32 random bytes: nobody can guess the document from its digest in the public log.
    pub salt: Digest,
}

/// A signed offer that was found in order, and what it is about.
pub(in crate::market) struct Checked {
    /// What it says.
    pub(in crate::market) document: OfferDocument,
    /// What is offered.
    pub(in crate::market) listing: Listing,
    /// Who would sell.
    pub(in crate::market) provider: Organisation,
    /// Who would buy.
    pub(in crate::market) buyer: Organisation,
    /// The envelope in which it was signed.
    pub(in crate::market) signed: VerifiedEnvelope,
}

/// The statement that the offering side signs. Its subjects are the manifest and the terms.
///
/// # Errors
/// `Invalid` when the document cannot be written as JSON.
pub fn statement(document: &OfferDocument) -> Result<Statement> {
    let subjects = vec![
        ResourceDescriptor::new("manifest", document.manifest_sha256),
        ResourceDescriptor::new("terms", document.terms_sha256),
    ];
    Ok(Statement::new(StatementKind::Offer, subjects, serde_json::to_value(document)?))
}

/// Checks an offer that the caller's organisation signed: it is between the provider of a listing on the board and one
/// verified buyer, within the listing's terms, and not over yet.
///
/// # Errors
/// `NotFound` or `Forbidden` unless the caller is an admin or signer of the organisation; `BadSignature`; otherwise the
/// refusal names the member of the document.
pub(in crate::market) fn check(c: &mut Conn, caller: &Caller, envelope: Envelope, now: Instant) -> Result<Checked> {
    let organisation = identity::for_member(c, caller, &provenance::claimed_organisation(&envelope)?, Role::SIGNERS)?;
    identity::require_verified(&organisation)?;
    let key = identity::signing_key_for(c, organisation.id, envelope.sole_signature()?.keyid)?;
    let (signed, said) = VerifiedEnvelope::open(envelope, &[key.public_key], StatementKind::Offer)?;
    let document: OfferDocument = serde_json::from_value(said.predicate.clone())
        .map_err(|error| Error::invalid("envelope.payload", format!("the predicate is not an offer: {error}")))?;
    let expected = statement(&document)?;
    if said.predicate != expected.predicate {
        return Err(Error::invalid("predicate", "the offer is not spelled as it must be")
            .remedy("write instants in UTC with six decimals, as 2026-01-31T08:00:00.000000Z"));
    }
    if said.subject != expected.subject {
        return Err(Error::invalid("subject", "the statement must have two subjects: the manifest and the terms")
            .remedy("name them \"manifest\" and \"terms\", with the digests that the offer names"));
    }
    let listing = orders::open_listing(c, document.listing, now).map_err(|error| error.field("listing"))?;
    let (provider, buyer) = sides(c, caller, &document, &listing)?;
    if organisation.id != provider.id && organisation.id != buyer.id {
        let detail = format!("{} is neither the provider nor the buyer of this offer", organisation.handle);
        return Err(Error::invalid("organisation", detail).remedy("sign for one of the two"));
    }
    let terms = terms::terms(c, listing.terms_id)?;
    let seal = catalog::seal_of(c, listing.version_id)?;
    for (member, named, listed) in [
        ("manifest_sha256", document.manifest_sha256, seal.manifest_sha256),
        ("terms_sha256", document.terms_sha256, terms.sha256),
    ] {
        if named != listed {
            let detail = format!("the offer names {named}, and listing {} has {listed}", listing.id);
            return Err(Error::invalid(member, detail).remedy("offer what is listed"));
        }
    }
    check_wish(&document, &terms, &seal.measure())?;
    check_window(&document, now)?;
    Ok(Checked { document, listing, provider, buyer, signed })
}

/// The two sides, as the document names them and the listing allows.
fn sides(
    c: &mut Conn,
    caller: &Caller,
    document: &OfferDocument,
    listing: &Listing,
) -> Result<(Organisation, Organisation)> {
    let provider = identity::organisation(c, listing.provider_id)?;
    if document.provider != provider.handle {
        let detail = format!("listing {} is of {}, not of {}", listing.id, provider.handle, document.provider);
        return Err(Error::invalid("provider", detail).remedy("only who listed a version can sell it"));
    }
    if document.buyer == provider.handle {
        let detail = format!("{} cannot buy from itself", provider.handle);
        return Err(Error::invalid("buyer", detail).remedy("name another organisation as the buyer"));
    }
    identity::require_verified(&provider).map_err(|error| error.field("provider"))?;
    let buyer = identity::visible_organisation(c, Some(caller), &document.buyer).map_err(|e| e.field("buyer"))?;
    identity::require_verified(&buyer).map_err(|error| error.field("buyer"))?;
    Ok((provider, buyer))
}

/// Checks the uses and the price against the terms of the listing.
fn check_wish(document: &OfferDocument, terms: &Terms, measure: &Measure) -> Result<()> {
    for wanted in &document.uses {
        terms::permits(&terms.document, *wanted).map_err(|error| error.field("uses"))?;
    }
    let listed = terms::price(&terms.document, measure)?.currency;
    if document.price.currency != listed {
        let detail = format!("the price is in {}, and the terms are in {listed}", document.price.currency);
        return Err(Error::invalid("price.currency", detail).remedy(format!("offer an amount in {listed}")));
    }
    Ok(())
}

fn check_window(document: &OfferDocument, now: Instant) -> Result<()> {
    let OfferDocument { valid_from, valid_until, .. } = document;
    if valid_until <= valid_from {
        let detail = format!("the offer would end at {valid_until}, before it begins at {valid_from}");
        return Err(Error::invalid("valid_until", detail).remedy("name a later instant"));
    }
    if *valid_until <= now {
        return Err(Error::invalid("valid_until", format!("the offer ended at {valid_until}"))
            .remedy("name an instant that is still to come"));
    }
    Ok(())
}

/// Refuses a document that was offered before, here or in a negotiation.
pub(in crate::market) fn require_new(c: &mut Conn, signed: &VerifiedEnvelope) -> Result<()> {
    match provenance::is_recorded(c, signed.pae_sha256())? {
        false => Ok(()),
        true => Err(Error::new(Kind::AlreadyExists, "this document was offered before")
            .remedy("sign another one, with another salt")),
    }
}

/// Refuses an offer outside its window.
pub(in crate::market) fn require_valid(from: Instant, until: Instant, now: Instant) -> Result<()> {
    if now < from {
        return Err(Error::new(Kind::WrongState, format!("the offer is not valid yet: it begins at {from}"))
            .remedy("come back then"));
    }
    if until <= now {
        return Err(Error::new(Kind::WrongState, format!("the offer expired at {until}"))
            .remedy("ask the other side for another offer"));
    }
    Ok(())
}
