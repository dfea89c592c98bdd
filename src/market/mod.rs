//! The market: what is listed on the board, and the agreements made about it.
//!
//! A listing puts an assessed version on the board under terms that its provider signed, after a public notice in which
//! others may object; no assessment, no listing. An order declares a use, which the terms must permit; no declared use,
//! no trade. A provider may offer a version to one buyer at another price, and the two may negotiate one. An order's
//! contract is signed by the buyer, and by the provider where its signature was not given in advance; the exchange
//! countersigns. The price is paid into escrow; acceptance settles it.
//!
//! Invariant: an order pins version, terms, price and fee when it is made; nothing that changes later touches it.
//! Invariant: a state follows another only as [`OrderState::may_become`] and [`ListingState::may_become`] allow.

pub mod contracts;
pub mod disputes;
mod holds;
pub mod listings;
pub mod negotiation;
pub mod objections;
pub mod odrl;
pub mod offers;
pub mod orders;
pub mod previews;
mod queries;
mod review;
pub mod routes;
pub mod search;
pub mod vouchers;

pub use holds::{cause_of_hold, delist, hold, lift, require_free};
pub use listings::{
    Listing, ListingState, listed, listed_datasets, listed_of, listed_since, listed_versions, newest_listed_versions,
};
pub use negotiation::{NegotiationState, negotiated_offer_of};
pub use objections::ObjectionState;
pub use offers::{OfferState, offer_of};
pub use orders::{
    Contract, DeliveryEvidence, Order, OrderState, contract_of, in_escrow, mark_delivered, mark_delivering,
    mark_renewed, order, parties, parties_of, pay,
};
pub use review::{review_due_listings, review_listings};
