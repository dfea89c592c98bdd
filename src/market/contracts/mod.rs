//! Contracts: the one canonical document that the parties sign, and its renderings for people.
//!
//! A contract is an in-toto statement in canonical JSON: that document is what counts. People read renderings of it, in
//! Chinese and in English, as plain text and as HTML. They are made from the document by pure functions, and the
//! document holds their digests: who signs the one has signed the others, and a saved page is compared with it by
//! `sha256sum` alone.
//!
//! Invariant: renderings are made from the document without its member `renderings`, and from nothing else.
//! Invariant: whatever a party wrote into the document is shown as text: as no markup, no other line of the contract, and
//! no invisible character.

mod amounts;
mod document;
mod rendering;
pub mod routes;
mod wording;

pub use amounts::in_capitals;
pub use document::{ContractDocument, Licence, Party, PricedBy, PricedIn, check, statement};
pub use rendering::{Language, RenderingFormat, Renderings, render};
