//! Organisations, the parties that trade: each is registered by a person, and verified by an operator against its papers,
//! or rejected.
//!
//! Anybody can register in the name of another. So until an operator has checked, a registration number is a claim that
//! others may make, too, and a handle can be taken away again.
//!
//! Invariant: a verified organisation stays verified, and a rejected one rejected: nobody acts for it, and no handle leads to it.
//! Invariant: a handle belongs to one organisation that is not rejected, a registration number to one that is verified.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Caller, Role, affiliations, countries, members, queries};
use crate::db::{self, Ahead, Conn};
use crate::error::{Error, Kind, Result};
use crate::history::{self, Transition};
use crate::text_enum;
use crate::types::{Instant, Json, OrganisationId, PageQuery, text};

const LONGEST_LEGAL_NAME: usize = 200;
const LONGEST_REGISTRATION_NUMBER: usize = 64;
const MOST_AFFILIATIONS: usize = 100;
/// Whoever acts for so many organisations on which no operator has decided registers no other one: each takes a handle.
const MOST_UNDECIDED: i64 = 10;

/// Handles that would be mistaken for a path of the exchange, or for the exchange itself.
const RESERVED: &[&str] = &[
    "admin",
    "api",
    "compliance",
    "console",
    "corpex",
    "datasets",
    "docs",
    "exchange",
    "healthz",
    "hub",
    "log",
    "me",
    "metrics",
    "models",
    "objects",
    "openapi",
    "operator",
    "readyz",
    "spaces",
    "v1",
];

text_enum! {
    /// How far the exchange knows an organisation.
    pub enum OrganisationState {
        /// Somebody registered it.
        Registered = "registered",
        /// An operator checked that it exists and that the registrant acts for it.
        Verified = "verified",
        /// An operator found that it should not have been registered: its handle is free for another.
        Rejected = "rejected",
    }
}

impl OrganisationState {
    /// Whether an organisation in this state may next be in that one.
    pub fn may_become(self, next: Self) -> bool {
        matches!((self, next), (Self::Registered, Self::Verified | Self::Rejected))
    }
}

/// A company or institution that trades.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(treat_none_as_default_value = false)]
#[diesel(table_name = crate::schema::organisations, check_for_backend(crate::db::MultiBackend))]
pub struct Organisation {
    /// The identifier.
    pub id: OrganisationId,
    /// Its short name, part of the name of every dataset it publishes.
    pub handle: String,
    /// Its name in law.
    pub legal_name: String,
    /// Its number in the country's register.
    pub registration_number: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Handles of the organisations that it declares to be affiliated with.
    pub affiliations: Json<Vec<String>>,
    /// How far the exchange knows it.
    pub state: OrganisationState,
    /// Since when it is registered.
    pub created_at: Instant,
    /// Since when it is verified.
    pub verified_at: Option<Instant>,
}

/// A registration of an organisation that was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejection {
    /// The organisation that was registered.
    pub organisation_id: OrganisationId,
    /// The handle that it had.
    pub handle: String,
    /// Why.
    pub reason: String,
    /// When.
    pub rejected_at: Instant,
}

/// What an organisation states about itself when it is registered.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganisation {
    /// 2 to 40 of a–z, 0–9 and `-`; begins and ends with a letter or digit; no two dashes in a row.
    #[schema(min_length = 2, max_length = 40, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "shanghai-corpora")]
    pub handle: String,
    /// The legal name, at most 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    pub legal_name: String,
    /// The number in the country's register (in China the Unified Social Credit Code), at most 64 characters.
    #[schema(min_length = 1, max_length = 64)]
    pub registration_number: String,
    /// ISO 3166-1 alpha-2, in capitals.
    #[schema(min_length = 2, max_length = 2, example = "CN")]
    pub country: String,
    /// Handles of affiliated organisations, at most 100; each is of one that is verified.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub affiliations: Vec<String>,
}

/// Refuses text that cannot be the handle of an organisation; `field` is the caller's name for it.
pub fn check_handle(field: &str, handle: &str) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::invalid(field, format!("{handle:?} is not a handle: {why}"))
            .remedy("use 2 to 40 of a–z, 0–9 and single dashes inside, such as shanghai-corpora"))
    };
    if !(2..=40).contains(&handle.len()) {
        return refused("it is not 2 to 40 characters long");
    }
    if !handle.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return refused("it has a character other than a–z, 0–9 and -");
    }
    if handle.starts_with('-') || handle.ends_with('-') || handle.contains("--") {
        return refused("a dash stands at an end or beside another");
    }
    if RESERVED.contains(&handle) {
        return refused("the exchange keeps this name for itself");
    }
    Ok(())
}

fn check_registration_number(number: &str) -> Result<()> {
    let visible = |c: char| !c.is_whitespace() && !text::is_hidden(c);
    if !(1..=LONGEST_REGISTRATION_NUMBER).contains(&number.chars().count()) || !number.chars().all(visible) {
        let detail = format!("a registration number is 1 to {LONGEST_REGISTRATION_NUMBER} visible characters");
        return Err(Error::invalid("registration_number", detail).remedy("write it without spaces"));
    }
    Ok(())
}

fn check_affiliations(affiliations: &[String]) -> Result<()> {
    if affiliations.len() > MOST_AFFILIATIONS {
        return Err(Error::invalid("affiliations", format!("at most {MOST_AFFILIATIONS} can be declared")));
    }
    affiliations.iter().try_for_each(|handle| check_handle("affiliations", handle))
}

impl NewOrganisation {
    fn check(self, now: Instant) -> Result<Organisation> {
        check_handle("handle", &self.handle)?;
        check_registration_number(&self.registration_number)?;
        countries::check(&self.country)?;
        check_affiliations(&self.affiliations)?;
        let mut affiliations = self.affiliations;
        affiliations.sort();
        affiliations.dedup();
        Ok(Organisation {
            id: OrganisationId::new(now),
            legal_name: text::readable("legal_name", &self.legal_name, LONGEST_LEGAL_NAME)?,
            handle: self.handle,
            registration_number: self.registration_number,
            country: self.country,
            affiliations: Json(affiliations),
            state: OrganisationState::Registered,
            created_at: now,
            verified_at: None,
        })
    }
}

/// Registers an organisation, with the caller as its first admin.
///
/// [`Kind::Invalid`] names the field at fault, such as affiliates that are not verified, [`Kind::AlreadyExists`] the one that is
/// taken. [`Kind::WrongState`] for staff of the platform, and for whoever acts for too many organisations, or for too many on
/// which no operator has decided.
pub fn register_organisation(
    c: &mut Conn,
    caller: &Caller,
    input: NewOrganisation,
    now: Instant,
) -> Result<Organisation> {
    let new = input.check(now)?;
    let taken = |field: &str, detail: String| Err(Error::new(Kind::AlreadyExists, detail).field(field));
    if queries::find_organisation_by_handle(c, &new.handle)?.is_some() {
        let detail =
            format!("the handle {:?} is taken; choose another, or ask the operator if it should be yours", new.handle);
        return taken("handle", detail);
    }
    if queries::find_verified_by_number(c, &new.country, &new.registration_number)?.is_some() {
        let detail = "an organisation with this registration number and country is verified; ask one of its admins, or the operator";
        return taken("registration_number", detail.to_string());
    }
    if queries::count_undecided(c, caller.user_id)? >= MOST_UNDECIDED {
        let detail = format!("{MOST_UNDECIDED} organisations for which you act were neither verified nor rejected yet");
        return Err(
            Error::new(Kind::WrongState, detail).remedy("register another when an operator has decided on one of them")
        );
    }
    queries::insert_organisation(c, &new)?;
    affiliations::declare(c, &new)?;
    history::record(c, new.id, None, new.state.as_str(), caller.user_id, "registered", now)?;
    members::insert_first_admin(c, new.id, caller.user_id, now)?;
    Ok(new)
}

/// Verifies an organisation; operators only.
///
/// [`Kind::WrongState`] when it is verified already, [`Kind::AlreadyExists`] when another is with its registration number.
pub fn verify_organisation(c: &mut Conn, caller: &Caller, handle: &str, now: Instant) -> Result<Organisation> {
    caller.require_operator()?;
    let organisation = find_organisation(c, handle)?;
    let holder = queries::find_verified_by_number(c, &organisation.country, &organisation.registration_number)?;
    if let Some(holder) = holder.filter(|holder| holder != handle) {
        return Err(Error::new(Kind::AlreadyExists, format!("{holder} is verified with this registration number"))
            .field("registration_number")
            .remedy(format!("reject this one at POST /v1/organisations/{handle}/rejection")));
    }
    decide(c, caller, organisation, OrganisationState::Verified, "verified by an operator", now)
}

/// Rejects the registration of an organisation that is not who it says it is; operators only.
///
/// [`Kind::WrongState`] when it is verified, [`Kind::Invalid`] without a reason.
pub fn reject_organisation(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    reason: &str,
    now: Instant,
) -> Result<Rejection> {
    caller.require_operator()?;
    let reason = text::reason(reason)?;
    let organisation = find_organisation(c, handle)?;
    let Organisation { id, handle, .. } = decide(c, caller, organisation, OrganisationState::Rejected, &reason, now)?;
    // Whoever has the handle next declares its own affiliates, and nobody becomes a member of this one any more.
    queries::delete_affiliations(c, &handle)?;
    queries::delete_invitations(c, id)?;
    Ok(Rejection { organisation_id: id, handle, reason, rejected_at: now })
}

fn decide(
    c: &mut Conn,
    caller: &Caller,
    organisation: Organisation,
    to: OrganisationState,
    reason: &str,
    now: Instant,
) -> Result<Organisation> {
    let (id, from) = (organisation.id, organisation.state);
    let verified_at = (to == OrganisationState::Verified).then_some(now);
    if !from.may_become(to) || queries::set_organisation_state(c, id, from, to, verified_at)? != 1 {
        return Err(Error::new(Kind::WrongState, format!("{} is {from} already", organisation.handle)));
    }
    history::record(c, id, Some(from.as_str()), to.as_str(), caller.user_id, reason, now)?;
    Ok(Organisation { state: to, verified_at, ..organisation })
}

/// Why an organisation with this handle was rejected: of those that the caller was a member of, or of all for staff of the
/// platform, the one that was rejected last.
pub fn rejection(c: &mut Conn, caller: &Caller, handle: &str) -> Result<Rejection> {
    let named = || format!("a rejection of {handle:?}");
    let only_for = (!caller.is_staff()).then_some(caller.user_id);
    let Some(id) = queries::find_rejected(c, handle, only_for)? else {
        let is_hidden = queries::find_rejected(c, handle, None)?.is_some();
        return Err(if is_hidden { Error::withheld(named()) } else { Error::not_found(named()) });
    };
    let step = history::last_into(c, id, OrganisationState::Rejected.as_str())?;
    let Transition { reason, at, .. } = step.ok_or_else(|| Error::internal(format!("{id} has no history")))?;
    Ok(Rejection { organisation_id: id, handle: handle.to_string(), reason, rejected_at: at })
}

/// The organisations that the caller may know of, by handle: up to one more than a page.
///
/// Operators and compliance see all, others the verified ones and their own; nobody those that were rejected.
pub fn organisations(c: &mut Conn, caller: &Caller, page: &PageQuery) -> Result<Vec<Organisation>> {
    let only_for = (!caller.is_staff()).then_some(caller.user_id);
    Ok(queries::list_organisations(c, only_for, page.after()?, page.limit()?.saturating_add(1))?)
}

/// The organisation with this handle, if the caller (or somebody without credential) may know of it.
pub fn visible_organisation(c: &mut Conn, caller: Option<&Caller>, handle: &str) -> Result<Organisation> {
    let organisation = find_organisation(c, handle)?;
    if organisation.state == OrganisationState::Verified || caller.is_some_and(|caller| caller.sees(organisation.id)) {
        return Ok(organisation);
    }
    Err(unseen(handle, Error::withheld))
}

/// The organisation with this handle; [`Kind::NotFound`] otherwise. Callers check who may know of it.
pub fn find_organisation(c: &mut Conn, handle: &str) -> Result<Organisation> {
    db::load_once(c, handle, |c| queries::find_organisation_by_handle(c, handle))?
        .ok_or_else(|| unseen(handle, Error::not_found))
}

/// Announces that a shared read or a gathered write is going to call [`find_organisation`] with this handle.
pub fn ahead_of_organisation(handle: &str) -> Ahead {
    Ahead::new(handle, |c, handles| {
        Ok(db::load_ahead(c, handles.iter().cloned(), queries::list_organisations_by_handle)?)
    })
}

/// The organisation with this identifier.
pub fn organisation(c: &mut Conn, id: OrganisationId) -> Result<Organisation> {
    db::load_once(c, id, |c| queries::find_organisation(c, id))?
        .ok_or_else(|| Error::not_found(format!("organisation {id}")))
}

/// Loads the organisations with these identifiers together, for a page that asks [`organisation`] for each.
pub fn load_organisations(c: &mut Conn, ids: impl IntoIterator<Item = OrganisationId>) -> Result<()> {
    Ok(db::load_ahead(c, ids, queries::list_organisations_by_id)?)
}

/// Refuses an organisation that no operator has verified: it cannot trade yet.
pub fn require_verified(organisation: &Organisation) -> Result<()> {
    let handle = &organisation.handle;
    match organisation.state {
        OrganisationState::Verified => Ok(()),
        OrganisationState::Rejected => Err(Error::new(Kind::WrongState, format!("{handle} was rejected"))),
        OrganisationState::Registered => {
            Err(Error::new(Kind::WrongState, format!("{handle} is registered, but not verified"))
                .remedy(format!("an operator verifies it at POST /v1/organisations/{handle}/verification")))
        }
    }
}

/// The organisation behind a handle, for a caller who is a member with one of `roles` (any, when there are none).
///
/// The membership may have ended up to 4 seconds ago, and so may the caller's credential: see [`for_standing_member`].
///
/// [`Kind::NotFound`] for those who may not know of the organisation, [`Kind::Forbidden`] for others.
pub fn for_member(c: &mut Conn, caller: &Caller, handle: &str, roles: &[Role]) -> Result<Organisation> {
    let organisation = visible_organisation(c, Some(caller), handle)?;
    caller.may_for(organisation.id, handle, roles)?;
    Ok(organisation)
}

/// As [`for_member`], by the credential and the memberships that stand in this very transaction.
///
/// An instance remembers callers for up to 4 seconds ([`super::CallerCache`]), and learns only then of what was revoked at
/// another one; revocations act everywhere within 5. Most actions go by what is remembered: they call [`for_member`], or
/// [`Caller::may_for`] with what they have read. What such an action leaves is on record under the caller's name, and the
/// organisation can answer it in the ordinary way: what was bought lies in escrow and can be rejected or disputed, a listing
/// is withdrawn, what was asked for is cancelled. What commits an organisation by its signature takes an active key of it
/// besides, which is always read in the transaction.
///
/// This one is for what would let somebody in again, or take something out, after the revocation, so that an admin who has
/// revoked a credential or ended a membership, and looks then, sees all that it left: who the members are and who is invited,
/// signing keys, webhooks, payouts, the pools of voucher programmes. For the same reason, what belongs to a person and not to an
/// organisation (API tokens, sign-ins of devices, the password) asks whether the credential stands, and so does an operator's
/// step that moves money between the bank and the exchange ([`Caller::require_standing_operator`]); losing a platform role ends
/// every credential of the account. Whatever else staff do gives nobody a credential and pays nobody out, and goes by what is
/// remembered.
///
/// [`Kind::Unauthenticated`] when the credential has ended.
pub fn for_standing_member(
    c: &mut Conn,
    caller: &Caller,
    handle: &str,
    roles: &[Role],
    now: Instant,
) -> Result<Organisation> {
    caller.require_standing(c, now)?;
    let standing = Caller { memberships: queries::list_memberships(c, caller.user_id)?, ..caller.clone() };
    for_member(c, &standing, handle, roles)
}

/// The refusal of a handle that no organisation has, or none that the caller may know of.
fn unseen(handle: &str, error: fn(String) -> Error) -> Error {
    let rejection = format!("GET /v1/organisations/{handle}/rejection");
    error(format!("organisation {handle:?}"))
        .remedy(format!("check the handle; if yours was rejected, {rejection} says why"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> NewOrganisation {
        NewOrganisation {
            handle: "shanghai-corpora".into(),
            legal_name: "上海语料科技有限公司".into(),
            registration_number: "91310000MA1K35XXXX".into(),
            country: "CN".into(),
            affiliations: vec!["zeta".into(), "alpha".into(), "zeta".into()],
        }
    }

    #[test]
    fn handles_are_short_plain_and_not_reserved() {
        for good in ["ab", "a1", "shanghai-corpora", "0-0", &"a".repeat(40)] {
            check_handle("handle", good).unwrap();
        }
        let bad = [
            "",
            "a",
            &"a".repeat(41),
            "-ab",
            "ab-",
            "a--b",
            "Ab",
            "a_b",
            "a.b",
            "a/b",
            "..",
            "a b",
            "é1",
            "上海",
            "ab\n",
            "api",
            "v1",
            "datasets",
        ];
        for handle in bad {
            assert_eq!(check_handle("handle", handle).unwrap_err().field.as_deref(), Some("handle"), "{handle:?}");
        }
    }

    #[test]
    fn each_bad_field_is_named() {
        let now = Instant::from_unix_micros(0);
        let field = |change: &dyn Fn(&mut NewOrganisation)| {
            let mut input = valid();
            change(&mut input);
            input.check(now).unwrap_err().field.unwrap()
        };
        assert_eq!(field(&|o| o.legal_name = " ".into()), "legal_name");
        assert_eq!(field(&|o| o.legal_name = "a\u{202e}b".into()), "legal_name");
        assert_eq!(field(&|o| o.registration_number = "9131 0000".into()), "registration_number");
        assert_eq!(field(&|o| o.registration_number = "9".repeat(65)), "registration_number");
        assert_eq!(field(&|o| o.country = "cn".into()), "country");
        assert_eq!(field(&|o| o.affiliations = vec!["Not a handle".into()]), "affiliations");
        assert_eq!(field(&|o| o.affiliations = vec!["aa".into(); 101]), "affiliations");
        NewOrganisation { affiliations: vec!["aa".into(); 100], ..valid() }.check(now).unwrap();
    }

    #[test]
    fn affiliations_are_kept_once_each_in_order() {
        let organisation = valid().check(Instant::from_unix_micros(0)).unwrap();
        assert_eq!(organisation.affiliations.0, ["alpha", "zeta"]);
        assert_eq!(require_verified(&organisation).unwrap_err().kind, Kind::WrongState);
    }
}
