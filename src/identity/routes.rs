//! People, credentials, organisations and signing keys over HTTP, and the extractors that turn a request's
//! credential into a [`Caller`](crate::identity::Caller).

mod accounts;
mod audit;
mod devices;
mod extractors;
mod invitations;
mod organisations;
mod signing_keys;
mod tokens;

pub(crate) use accounts::*;
pub(crate) use audit::*;
pub(crate) use devices::*;
pub(crate) use extractors::lately_known;
pub use extractors::{MaybeCaller, MaybeReader};
pub(crate) use invitations::*;
pub(crate) use organisations::*;
pub(crate) use signing_keys::*;
pub(crate) use tokens::*;
