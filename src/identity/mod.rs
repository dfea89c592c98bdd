//! Identity: organisations, the people and signing keys that act for them, and the credentials that people present.
//!
//! - An organisation is *registered* by a person, who becomes its first admin, and *verified* or *rejected* by an operator.
//! - Others become members by an invitation, which they accept.
//! - A person signs in with a password and gets a short-lived access token and a rotating refresh token, or presents
//!   an API token. Either way a handler receives a [`Caller`]: permissions show in handler signatures.
//! - A signing key of a verified organisation is registered with a statement that the key itself signed; private halves
//!   never come here.
//!
//! Invariant: passwords are kept as Argon2id, every other secret as its SHA-256; none is ever logged or listed.
//! Invariant: a credential that ended (expired, revoked, signed out) stops working within 5 seconds everywhere, and at once
//! for what would outlive it ([`for_standing_member`]).
//! Invariant: whatever the platform's own people read with their credential is recorded before it is answered.
//! Invariant: the audit trail only grows, and the log holds the digest of each of its days.
//! Invariant: an organisation has at least one admin; a key id belongs to one registration for ever.

mod affiliations;
mod audit;
mod caller;
pub mod countries;
mod devices;
mod invitations;
mod jwt;
mod members;
mod organisations;
mod passwords;
mod queries;
pub mod routes;
mod sessions;
mod signing_keys;
mod tokens;
mod users;

pub use affiliations::{affiliate_among, affiliation, vouching_for};
pub use audit::{
    AuditDay, AuditOutcome, AuditRecord, Denials, audit_days, audit_keys, audit_records, audit_trail, close_days,
    keep_denials, record_read,
};
pub use caller::{Caller, CallerCache, Credential, Membership, memberships_of};
pub use members::{Member, members, put_member, remove_member};
pub use organisations::{
    NewOrganisation, Organisation, OrganisationState, Rejection, ahead_of_organisation, check_handle,
    find_organisation, for_member, for_standing_member, load_organisations, organisation, organisations,
    register_organisation, reject_organisation, rejection, require_verified, verify_organisation, visible_organisation,
};
pub(crate) use routes::lately_known;
pub use routes::{MaybeCaller, MaybeReader};
pub use signing_keys::{
    SigningKey, ahead_of_signing_key, holder_of_key, passport_key, register_key, require_sound, revoke_key,
    signing_key, signing_key_for, signing_keys,
};
pub use tokens::{ApiToken, TokenText, issue_token, revoke_token, standing_token, tokens};
pub use users::{
    User, create_platform_user, find_user, load_users, remove_platform_role, revoke_credentials, set_password, user,
};

use crate::text_enum;

text_enum! {
    /// What a member may do for an organisation.
    pub enum Role {
        /// Everything, including who the members are.
        Admin = "admin",
        /// Registers keys and publishes what they sign.
        Signer = "signer",
        /// Buys and sells.
        Trader = "trader",
        /// Looks and downloads.
        Reader = "reader",
    }
}

/// The roles that do something for an organisation, beside its admins.
impl Role {
    /// They commit it with its signature.
    pub const SIGNERS: &'static [Role] = &[Role::Signer];
    /// They buy and sell for it, with its money.
    pub const TRADERS: &'static [Role] = &[Role::Trader];
    /// They deal and answer for it, and edit what it offers, where that takes neither.
    pub const DEALERS: &'static [Role] = &[Role::Signer, Role::Trader];
    /// They take and use what it has a right to.
    pub const USERS: &'static [Role] = &[Role::Trader, Role::Signer, Role::Reader];
}

text_enum! {
    /// What a person may do for the platform itself.
    pub enum PlatformRole {
        /// Verifies organisations, records deposits, keeps the exchange running.
        Operator = "operator",
        /// Assesses versions and reads everything; each such read is kept for audit.
        Compliance = "compliance",
    }
}

text_enum! {
    /// How far a credential reaches.
    pub enum Scope {
        /// It may look, not change.
        Read = "read",
        /// It may do all that its owner may.
        Write = "write",
    }
}
