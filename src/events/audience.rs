//! The audience of a step: one table, from the kind of thing that took the step to the organisations that may learn of it; and the
//! types of event that there are.

use std::collections::HashMap;

use super::webhooks;
use crate::catalog::inspection::INSPECTED;
use crate::catalog::{self, VersionState};
use crate::compliance::takedowns::{self, TakedownState, recalls::RecallState};
use crate::db::Conn;
use crate::delivery::{self, Entitlement, EntitlementState};
use crate::error::{Error, Kind, Result};
use crate::history::Unsent;
use crate::identity::{OrganisationState, Role};
use crate::ledger::{DepositState, WithdrawalState};
use crate::market::disputes::{self, DisputeState};
use crate::market::{ListingState, NegotiationState, ObjectionState, OfferState, OrderState};
use crate::types::{EntitlementId, OrderId, OrganisationId};
use crate::{identity, ledger, market};

/// The type of a step: the kind of its subject, as the subject's identifier names it, and the state it came to, in lower
/// case.
pub(super) fn event_type(step: &Unsent) -> String {
    format!("{}.{}", kind(&step.subject), step.to_state.to_lowercase())
}

/// The kinds of things that have events, each with the second parts of its types of event: its states, without those in which
/// nobody is left to be told, and the steps that leave its state as it is.
fn kinds() -> [(&'static str, Vec<String>); 20] {
    fn ends(states: &[impl AsRef<str>], steps: &[&str]) -> Vec<String> {
        states.iter().map(|state| state.as_ref()).chain(steps.iter().copied()).map(str::to_lowercase).collect()
    }
    let licence_steps = ["ending", "renewed", "shortened", "extended", "narrowed", "downloads_exceeded"];
    [
        ("org", ends(&[OrganisationState::Registered, OrganisationState::Verified], &[])),
        ("member", ends(Role::ALL, &["removed"])),
        ("key", ends(&["active", "revoked"], &[])),
        ("dataset", ends(&["registered"], &[])),
        ("version", ends(VersionState::ALL, &[INSPECTED])),
        ("deposit", ends(DepositState::ALL, &[])),
        ("withdrawal", ends(WithdrawalState::ALL, &[])),
        ("listing", ends(ListingState::ALL, &[])),
        ("objection", ends(ObjectionState::ALL, &[])),
        ("programme", ends(&["announced"], &[])),
        ("dispute", ends(DisputeState::ALL, &[disputes::FROZEN, disputes::RELEASED])),
        ("offer", ends(OfferState::ALL, &[])),
        ("negotiation", ends(NegotiationState::ALL, &[])),
        ("order", ends(OrderState::ALL, &["acceptance_due"])),
        ("entitlement", ends(EntitlementState::ALL, &licence_steps)),
        ("evaluation", ends(&["granted"], &[])),
        ("seat", ends(&["assigned", "freed"], &[])),
        ("takedown", ends(TakedownState::ALL, &[])),
        ("webhook", ends(&["active", "disabled"], &[])),
        ("recall", ends(RecallState::ALL, &[])),
    ]
}

/// Refuses text that is not a type of event, and says which types there are.
pub(super) fn check_type(text: &str) -> Result<()> {
    let (kind, end) = text.split_once('.').unwrap_or((text, ""));
    let kinds = kinds();
    let there_are = match kinds.iter().find(|(name, _)| *name == kind) {
        Some((_, ends)) if ends.iter().any(|known| known == end) => return Ok(()),
        Some((_, ends)) => format!("after \"{kind}.\" comes one of {}", ends.join(", ")),
        None => format!("it begins with one of {}", kinds.each_ref().map(|(name, _)| *name).join(", ")),
    };
    Err(Error::invalid("types", format!("{text:?} is not a type of event such as order.escrowed: {there_are}"))
        .remedy("name one that there is, or leave the filter out"))
}

/// The orders and licences that steps are about, with their sides. Most steps are of these, so they are loaded all at once.
#[derive(Debug, Default)]
pub(super) struct Trades {
    licences: HashMap<EntitlementId, Entitlement>,
    sides: HashMap<OrderId, [OrganisationId; 2]>,
}

impl Trades {
    pub(super) fn of(c: &mut Conn, steps: &[Unsent]) -> Result<Self> {
        let subjects = |of: &'static str| {
            steps.iter().map(|step| step.subject.as_str()).filter(move |subject| kind(subject) == of)
        };
        let ids: Vec<EntitlementId> = subjects("entitlement").map(str::parse).collect::<Result<_, _>>()?;
        let licences = delivery::entitlements_by_id(c, &ids)?;
        let mut orders: Vec<OrderId> = subjects("order").map(str::parse).collect::<Result<_, _>>()?;
        orders.extend(licences.values().map(|licence| licence.order_id));
        Ok(Self { sides: market::parties_of(c, &orders)?, licences })
    }
    fn sides(&self, order: OrderId) -> Result<[OrganisationId; 2]> {
        self.sides.get(&order).copied().ok_or_else(|| Error::not_found(format!("order {order}")))
    }
    fn licence(&self, id: EntitlementId) -> Result<&Entitlement> {
        self.licences.get(&id).ok_or_else(|| Error::not_found(format!("entitlement {id}")))
    }
}

/// The organisations that may learn of a step, each once: those that see its subject in both states, or whose money is frozen.
/// Nobody when the subject belongs to one person, as a session does, or is not there any more.
pub(super) fn audience(c: &mut Conn, trades: &Trades, step: &Unsent) -> Result<Vec<OrganisationId>> {
    match concerned(c, trades, &step.subject, &step.to_state) {
        Err(error) if error.kind == Kind::NotFound => Ok(Vec::new()),
        other => Ok(other?.unwrap_or_default()),
    }
}

/// As [`audience`]: `None` for a kind of thing that belongs to no organisation, `NotFound` for a subject that is not there.
fn concerned(c: &mut Conn, trades: &Trades, subject: &str, to_state: &str) -> Result<Option<Vec<OrganisationId>>> {
    Ok(Some(match kind(subject) {
        "org" => vec![identity::organisation(c, subject.parse()?)?.id],
        "member" => vec![subject.split('/').next().unwrap_or_default().parse()?],
        "key" => vec![identity::holder_of_key(c, subject.parse()?)?],
        "dataset" => vec![catalog::owner_of_dataset(c, subject.parse()?)?],
        "version" => vec![catalog::version(c, subject.parse()?)?.0.organisation_id],
        "deposit" => vec![ledger::deposits::beneficiary(c, subject.parse()?)?],
        "withdrawal" => vec![ledger::withdrawals::payee(c, subject.parse()?)?],
        "listing" => vec![market::listings::listing(c, subject.parse()?)?.provider_id],
        "objection" => market::objections::sides(c, subject.parse()?)?.to_vec(),
        "programme" => vec![market::vouchers::programme(c, subject.parse()?)?.funder_id],
        "dispute" => match to_state {
            disputes::FROZEN | disputes::RELEASED => disputes::owners_of_frozen(c, subject.parse()?)?,
            _ => {
                let order = disputes::disputed_order(c, subject.parse()?)?;
                market::parties(c, order)?.to_vec()
            }
        },
        "offer" => {
            let offer = market::offers::offer(c, subject.parse()?)?;
            vec![offer.buyer_id, offer.provider_id]
        }
        "negotiation" => {
            let negotiation = market::negotiation::negotiation(c, subject.parse()?)?;
            vec![negotiation.buyer_id, negotiation.provider_id]
        }
        "order" => trades.sides(subject.parse()?)?.to_vec(),
        "entitlement" => {
            let licence = trades.licence(subject.parse()?)?;
            match to_state {
                "ending" => vec![licence.organisation_id],
                _ => trades.sides(licence.order_id)?.to_vec(),
            }
        }
        "evaluation" => delivery::evaluations::sides(c, subject.parse()?)?.to_vec(),
        "seat" => vec![delivery::seats::licensee(c, subject.parse()?)?],
        "takedown" => takedowns::notified_by(c, subject.parse()?, to_state)?.into_iter().collect(),
        "webhook" => vec![webhooks::owner(c, subject.parse()?)?],
        "recall" => vec![takedowns::recalls::licensee(c, subject.parse()?)?],
        _ => return Ok(None),
    }))
}

/// The kind of thing that an identifier names: what stands before its underscore. A membership is named by its organisation and its
/// user, with a slash between them.
fn kind(subject: &str) -> &str {
    match subject.split_once('_') {
        Some(_) if subject.contains('/') => "member",
        Some((kind, _)) => kind,
        None => subject,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_life_has_an_audience() {
        use crate::types::{
            DepositId, DisputeId, EntitlementId, Instant, ListingId, NegotiationId, ObjectionId, OfferId, OrderId,
            OrganisationId, RecallId, TakedownId, TransitionId, VersionId, WithdrawalId,
        };
        let folder = tempfile::tempdir().unwrap();
        let db = crate::db::Db::open(&folder.path().join("db.sqlite3").display().to_string(), 1).unwrap();
        db.migrate().await.unwrap();
        let now = Instant::from_unix_micros(0);
        let subjects = [
            ("organisations", OrganisationId::new(now).to_string()),
            ("versions", VersionId::new(now).to_string()),
            ("deposits", DepositId::new(now).to_string()),
            ("withdrawals", WithdrawalId::new(now).to_string()),
            ("listings", ListingId::new(now).to_string()),
            ("objections", ObjectionId::new(now).to_string()),
            ("orders", OrderId::new(now).to_string()),
            ("entitlements", EntitlementId::new(now).to_string()),
            ("takedowns", TakedownId::new(now).to_string()),
            ("recalls", RecallId::new(now).to_string()),
            ("disputes", DisputeId::new(now).to_string()),
            ("offers", OfferId::new(now).to_string()),
            ("negotiations", NegotiationId::new(now).to_string()),
        ];
        assert_eq!(subjects.each_ref().map(|(life, _)| *life), crate::db::LIVES);
        for (life, subject) in subjects {
            let asked = move |c: &mut Conn| {
                let to_state = "provider_notified".to_string();
                let step = Unsent { id: TransitionId::new(now), subject, from_state: None, to_state, at: now };
                let trades = Trades::of(c, std::slice::from_ref(&step))?;
                concerned(c, &trades, &step.subject, &step.to_state)
            };
            let asked = db.read(asked).await;
            assert_eq!(asked.unwrap_err().kind, Kind::NotFound, "{life}: looked for, and not there");
        }
        assert!(db.read(|c| concerned(c, &Trades::default(), "user_01k000", "registered")).await.unwrap().is_none());
    }

    #[test]
    fn the_kind_of_a_subject_is_what_its_identifier_begins_with() {
        assert_eq!(kind("order_01k000"), "order");
        assert_eq!(kind("org_01k000"), "org");
        assert_eq!(kind("org_01k000/user_01k000"), "member");
    }
}
