//! Whom a step concerns: one table, from the kind of thing that took it to the organisations that may learn of it.

use super::webhooks;
use crate::catalog;
use crate::compliance::takedowns;
use crate::db::Conn;
use crate::delivery;
use crate::error::{Kind, Result};
use crate::history::Unsent;
use crate::types::OrganisationId;
use crate::{identity, ledger, market};

/// The type of a step: the kind of its subject, as the subject's identifier names it, and the state it came to.
pub(super) fn event_type(step: &Unsent) -> String {
    format!("{}.{}", kind(&step.subject), step.to_state)
}

/// The organisations that may learn of the step, each once: those that see its subject in both states. Nobody, when that is
/// a matter of one person, or nothing is known of it any more.
pub(super) fn audience(c: &mut Conn, step: &Unsent) -> Result<Vec<OrganisationId>> {
    match concerned(c, step) {
        Err(error) if error.kind == Kind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

fn concerned(c: &mut Conn, step: &Unsent) -> Result<Vec<OrganisationId>> {
    let subject = step.subject.as_str();
    Ok(match kind(subject) {
        "org" => vec![subject.parse()?],
        "member" => vec![subject.split('/').next().unwrap_or_default().parse()?],
        "key" => vec![identity::holder_of_key(c, subject.parse()?)?],
        "dataset" => vec![catalog::owner_of_dataset(c, subject.parse()?)?],
        "version" => vec![catalog::version(c, subject.parse()?)?.0.organisation_id],
        "deposit" => vec![ledger::deposits::credited(c, subject.parse()?)?],
        "withdrawal" => vec![ledger::withdrawals::paid(c, subject.parse()?)?],
        "listing" => vec![market::listings::listing(c, subject.parse()?)?.provider_id],
        "objection" => market::objections::sides(c, subject.parse()?)?.to_vec(),
        "programme" => vec![market::vouchers::programme(c, subject.parse()?)?.funder_id],
        "dispute" => parties(&market::disputes::disputed_order(c, subject.parse()?)?),
        "order" => parties(&market::order(c, subject.parse()?)?),
        "entitlement" => {
            let order = delivery::entitlement_of(c, subject.parse()?)?.order_id;
            parties(&market::order(c, order)?)
        }
        "takedown" => takedowns::notified_by(c, subject.parse()?, &step.to_state)?.into_iter().collect(),
        "webhook" => vec![webhooks::owner(c, subject.parse()?)?],
        "recall" => vec![takedowns::recalls::licensee(c, subject.parse()?)?],
        _ => Vec::new(),
    })
}

fn parties(order: &market::Order) -> Vec<OrganisationId> {
    vec![order.buyer_id, order.provider_id]
}

/// The kind of thing that an identifier names: what stands before its underscore. A membership is named by both its sides.
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

    #[test]
    fn the_kind_of_a_subject_is_what_its_identifier_begins_with() {
        assert_eq!(kind("order_01k000"), "order");
        assert_eq!(kind("org_01k000"), "org");
        assert_eq!(kind("org_01k000/user_01k000"), "member");
    }
}
