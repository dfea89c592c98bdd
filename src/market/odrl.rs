//! A listing as an ODRL Offer of the version that is listed.

use serde_json::Value;

use super::listings::{Listing, ListingState};
use crate::catalog;
use crate::db::Conn;
use crate::error::{Error, Kind, Result};
use crate::identity;
use crate::terms;

/// What a listing offers, as a node of JSON-LD: see [`terms::odrl`].
///
/// # Errors
/// `WrongState` unless the listing is on the board: what cannot be bought is not offered.
pub fn offer(c: &mut Conn, listing: &Listing, public_url: &str) -> Result<Value> {
    let (dataset, version) = catalog::version(c, listing.version_id)?;
    offer_of(c, listing, &dataset.version_path(version.number), public_url)
}

/// As [`offer`], of a version whose path is known.
///
/// # Errors
/// As there.
pub fn offer_of(c: &mut Conn, listing: &Listing, version_path: &str, public_url: &str) -> Result<Value> {
    if listing.state != ListingState::Listed {
        let detail = format!("listing {} is {} and offers nothing", listing.id, listing.state);
        return Err(Error::new(Kind::WrongState, detail).remedy("its terms stay to be read at /v1/terms"));
    }
    let provider = identity::organisation(c, listing.provider_id)?;
    let terms = terms::terms(c, listing.terms_id)?;
    let target = format!("{public_url}{version_path}");
    Ok(terms::odrl::offer(public_url, offer_iri(public_url, listing), &provider, &terms, &target))
}

/// The IRI of the Offer that a listing makes.
pub fn offer_iri(public_url: &str, listing: &Listing) -> String {
    format!("{public_url}/v1/listings/{}/odrl", listing.id)
}
