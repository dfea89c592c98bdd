//! Events in the vocabulary of W3C PROV, as PROV-JSON writes it.
//!
//! The subjects of statements are *entities*; recording, delivering and verifying are *activities*; organisations and the
//! exchange are *agents*. Names are the exchange's identifiers under `urn:corpex:`. A relation may name something outside
//! the export: PROV allows it, and a narrower question has a smaller answer.
//!
//! PROV-JSON groups records by kind. To write it without holding it, the events are read once for each group.

use std::collections::HashSet;
use std::str::FromStr as _;

use serde_json::{Value, json};

use super::events::Event;
use super::queries;
use crate::db::Conn;
use crate::error::Result;
use crate::provenance::{Signers, StatementKind};
use crate::types::VersionId;

/// The groups of a document, in the order in which they are written.
const SECTIONS: &[Section] = &[
    Section::Entity,
    Section::Activity,
    Section::Agent,
    Section::Generation,
    Section::Usage,
    Section::Derivation,
    Section::Attribution,
    Section::Association,
    Section::Membership,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Entity,
    Activity,
    Agent,
    Generation,
    Usage,
    Derivation,
    Attribution,
    Association,
    Membership,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Activity => "activity",
            Self::Agent => "agent",
            Self::Generation => "wasGeneratedBy",
            Self::Usage => "used",
            Self::Derivation => "wasDerivedFrom",
            Self::Attribution => "wasAttributedTo",
            Self::Association => "wasAssociatedWith",
            Self::Membership => "hadMember",
        }
    }
}

/// A document that is being written.
#[derive(Debug, Default)]
pub(super) struct Document {
    section: usize,
    /// Whether the section has a record already; none if it is not begun.
    begun: Option<bool>,
    /// The agents that were named: as many as there are organisations, however many events.
    agents: HashSet<String>,
}

/// A record: the section it belongs to, its name there, and what it says.
type Record = (Section, String, Value);

impl Document {
    /// Writes what a page of events adds to the section at hand.
    pub(super) fn page(&mut self, c: &mut Conn, events: &[Event], text: &mut String) -> Result<()> {
        let Some(section) = SECTIONS.get(self.section).copied() else { return Ok(()) };
        let has_records = match self.begun {
            Some(has_records) => has_records,
            None => {
                if self.section == 0 {
                    text.push_str(&format!("{{{}", prefixes()));
                }
                text.push_str(&format!(",\n\"{}\":{{", section.name()));
                false
            }
        };
        let mut records = Vec::new();
        if section == Section::Derivation {
            derivations(c, events, &mut records)?;
        }
        if section == Section::Usage {
            training(c, events, &mut records)?;
        }
        if section == Section::Agent && self.agents.insert("exchange".to_string()) {
            records.push(agent("exchange", "prov:SoftwareAgent"));
        }
        for event in events {
            if section == Section::Agent {
                for handle in [&event.organisation, &event.counterparty].into_iter().flatten() {
                    if self.agents.insert(organisation(handle)) {
                        records.push(agent(&organisation(handle), "prov:Organization"));
                    }
                }
            } else {
                describe(event, &mut records);
            }
        }
        let mut comma = has_records;
        for (_, name, value) in records.into_iter().filter(|(of, ..)| *of == section) {
            text.push_str(if comma { ",\n" } else { "\n" });
            text.push_str(&format!("{}:{value}", Value::String(name)));
            comma = true;
        }
        self.begun = Some(comma);
        Ok(())
    }

    /// Ends the section at hand; true if it was the last, and the document with it.
    pub(super) fn end_section(&mut self, text: &mut String) -> bool {
        text.push('}');
        self.section += 1;
        self.begun = None;
        let ended = self.section >= SECTIONS.len();
        if ended {
            text.push_str("}\n");
        }
        ended
    }
}

fn prefixes() -> String {
    let prefixes = json!({ "corpex": "urn:corpex:" });
    format!("\"prefix\":{prefixes}")
}

/// The qualified name of something of this exchange.
fn name(id: &str) -> String {
    format!("corpex:{id}")
}

fn organisation(handle: &str) -> String {
    format!("organisation-{handle}")
}

fn typed(name: &str) -> Value {
    json!({ "$": name, "type": "prov:QUALIFIED_NAME" })
}

fn time(event: &Event) -> Value {
    json!({ "$": event.at, "type": "xsd:dateTime" })
}

fn agent(id: &str, kind: &str) -> Record {
    let label = id.strip_prefix("organisation-").unwrap_or(id);
    (Section::Agent, name(id), json!({ "prov:type": typed(kind), "prov:label": label }))
}

/// What an event says, in every section but those of agents and derivations.
fn describe(event: &Event, records: &mut Vec<Record>) {
    match event.kind.as_str() {
        "delivery" => delivery(event, records),
        "first-seen" => first_sight(event, records),
        kind => {
            // Steps and conflicts have no counterpart: what they are about is told by the statements.
            if let (Ok(kind), Some(about)) = (StatementKind::from_str(kind), &event.about) {
                statement(event, kind, about, records);
            }
        }
    }
}

/// The kinds whose statement brings forth what it is about.
fn brings_forth(kind: StatementKind) -> bool {
    use StatementKind::{
        Assessment, Certificate, Contract, Entitlement, KeyRegistration, Listing, Manifest, ModelTraining,
        ReceiptBatch, Terms,
    };
    matches!(
        kind,
        Manifest
            | Terms
            | Assessment
            | Certificate
            | Listing
            | Contract
            | Entitlement
            | KeyRegistration
            | ReceiptBatch
            | ModelTraining
    )
}

fn statement(event: &Event, kind: StatementKind, about: &str, records: &mut Vec<Record>) {
    let id = event.id.as_str();
    records.push(activity(event, &format!("{kind}-statement")));
    if brings_forth(kind) {
        let mut entity = json!({ "prov:type": typed(&name(kind.as_str())), "prov:label": label(event, about) });
        if let (Some(sha256), Some(members)) = (event.pae_sha256, entity.as_object_mut()) {
            members.insert("corpex:pae_sha256".to_string(), json!(sha256));
        }
        records.push((Section::Entity, name(about), entity));
        let generation = json!({ "prov:entity": name(about), "prov:activity": name(id), "prov:time": time(event) });
        records.push((Section::Generation, blank("generation", id), generation));
        let whose = match kind {
            StatementKind::Contract | StatementKind::Entitlement => event.counterparty.as_ref(),
            _ => event.organisation.as_ref(),
        };
        if let Some(handle) = whose {
            let agent = name(&organisation(handle));
            let attribution = json!({ "prov:entity": name(about), "prov:agent": agent });
            records.push((Section::Attribution, blank("attribution", id), attribution));
        }
    } else {
        records.push(usage(event, "about", about));
    }
    if let Some(version) = event.version_id.filter(|version| version.to_string() != about) {
        records.push(usage(event, "version", &version.to_string()));
    }
    let exchange = || Some("exchange".to_string());
    let (owner, party) =
        (event.organisation.as_deref().map(organisation), event.counterparty.as_deref().map(organisation));
    let signers = match (kind, kind.signers()) {
        // Either side may have made it, and the event does not say which.
        (StatementKind::Offer, _) | (_, Signers::Exchange) => [exchange(), None],
        (_, Signers::Both) => [party, exchange()],
        (_, Signers::Organisation) => [owner, None],
    };
    for agent in signers.into_iter().flatten() {
        records.push(association(event, &agent));
    }
}

fn delivery(event: &Event, records: &mut Vec<Record>) {
    records.push(activity(event, "delivery"));
    if let Some(sha256) = event.sha256 {
        records.push(usage(event, "bytes", &format!("sha256-{sha256}")));
    }
    if let Some(version) = event.version_id {
        records.push(usage(event, "version", &version.to_string()));
    }
    if let Some(holder) = &event.counterparty {
        records.push(association(event, &organisation(holder)));
    }
}

fn first_sight(event: &Event, records: &mut Vec<Record>) {
    let Some(sha256) = event.sha256 else { return };
    let bytes = format!("sha256-{sha256}");
    let label = event.path.clone().unwrap_or_else(|| sha256.to_string());
    let entity = json!({ "prov:type": typed("corpex:bytes"), "prov:label": label, "corpex:sha256": sha256 });
    records.push((Section::Entity, name(&bytes), entity));
    records.push(activity(event, "verification"));
    records.push(usage(event, "bytes", &bytes));
    records.push(association(event, "exchange"));
    if let Some(version) = event.version_id {
        let member = json!({ "prov:collection": name(&version.to_string()), "prov:entity": name(&bytes) });
        records.push((Section::Membership, blank("member", &event.id), member));
    }
}

/// From each version that was sealed to the versions that it was made from.
fn derivations(c: &mut Conn, events: &[Event], records: &mut Vec<Record>) -> Result<()> {
    let sealed = events.iter().filter(|event| event.kind == StatementKind::Manifest.as_str());
    let sealed: Vec<VersionId> = sealed.filter_map(|event| event.version_id).collect();
    for (child, parent) in queries::list_parents(c, &sealed)? {
        let derivation = json!({
            "prov:generatedEntity": name(&child.to_string()), "prov:usedEntity": name(&parent.to_string()),
        });
        records.push((Section::Derivation, format!("_:derivation-{child}-{parent}"), derivation));
    }
    Ok(())
}

/// From each training that was declared to the versions that went into it.
fn training(c: &mut Conn, events: &[Event], records: &mut Vec<Record>) -> Result<()> {
    let declared: Vec<&Event> =
        events.iter().filter(|event| event.kind == StatementKind::ModelTraining.as_str()).collect();
    let models: Vec<&str> = declared.iter().filter_map(|event| event.about.as_deref()).collect();
    for (model, version) in queries::list_training(c, &models)? {
        let of_model = |event: &&&Event| event.about.as_deref() == Some(model.to_string().as_str());
        if let Some(event) = declared.iter().find(of_model) {
            records.push(usage(event, &version.to_string(), &version.to_string()));
        }
    }
    Ok(())
}

fn activity(event: &Event, kind: &str) -> Record {
    let value = json!({
        "prov:type": typed(&name(kind)), "prov:startTime": event.at, "prov:endTime": event.at,
        "corpex:log_index": event.log_index.map(|index| index.to_string()).unwrap_or_default(),
    });
    (Section::Activity, name(&event.id), value)
}

fn usage(event: &Event, what: &str, entity: &str) -> Record {
    let value = json!({ "prov:activity": name(&event.id), "prov:entity": name(entity), "prov:time": time(event) });
    (Section::Usage, blank(&format!("use-{what}"), &event.id), value)
}

fn association(event: &Event, agent: &str) -> Record {
    let value = json!({ "prov:activity": name(&event.id), "prov:agent": name(agent) });
    (Section::Association, blank(&format!("association-{agent}"), &event.id), value)
}

/// The name of a relation, which nothing refers to.
fn blank(what: &str, id: &str) -> String {
    format!("_:{what}-{id}")
}

fn label(event: &Event, about: &str) -> String {
    match (&event.dataset, event.version) {
        (Some(dataset), Some(version)) => format!("{dataset}@{version}"),
        _ => about.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_side_of_a_trade_is_said_to_have_made_an_offer_of_the_other() {
        let agents = |kind: StatementKind| {
            let mut records = Vec::new();
            describe(&Event { kind: kind.to_string(), ..Event::example() }, &mut records);
            let made_by = records.into_iter().filter(|(section, ..)| *section == Section::Association);
            made_by.map(|(_, _, said)| said["prov:agent"].as_str().unwrap().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(agents(StatementKind::Contract), ["corpex:organisation-text", "corpex:exchange"]);
        assert_eq!(agents(StatementKind::Offer), ["corpex:exchange"]);
    }
}
