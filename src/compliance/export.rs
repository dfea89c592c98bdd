//! Exports: the events of a trace as one file, however many they are.
//!
//! A page is read, written and forgotten before the next is read, and it is read when the client has taken the one
//! before: memory does not grow with the export, and no database connection waits for a slow client. Whatever happens
//! after the export began is left out, so that it ends.

use super::events::{Event, EventQuery, Events};
use super::prov::Document;
use crate::db::Conn;
use crate::error::Result;
use crate::identity::Caller;
use crate::text_enum;
use crate::types::Instant;
use crate::types::csv::{self, Cell};

/// Events read at a time. For each page the database finds again all that its subject holds, which may be millions of things.
const PAGE: i64 = 5000;

text_enum! {
    /// How an export is written.
    pub enum ExportFormat {
        /// Comma-separated values (RFC 4180), with a header. A cell that a spreadsheet would take for a formula has an
        /// apostrophe before it.
        Csv = "csv",
        /// One JSON object a line.
        JsonLines = "jsonl",
        /// PROV-JSON, the W3C member submission.
        Prov = "prov",
    }
}

impl ExportFormat {
    /// The media type.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Csv => csv::MEDIA_TYPE,
            Self::JsonLines => "application/jsonl",
            Self::Prov => "application/json",
        }
    }
    /// What such a file is called.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Csv => "trace.csv",
            Self::JsonLines => "trace.jsonl",
            Self::Prov => "trace.prov.json",
        }
    }
}

/// An export that is being written.
#[derive(Debug)]
pub struct Export {
    events: Events,
    after: String,
    writer: Writer,
    ended: bool,
}

#[derive(Debug)]
enum Writer {
    Csv,
    JsonLines,
    Prov(Document),
}

/// Begins an export: checks the query and looks up what it names.
///
/// # Errors
/// As [`super::trace`].
pub fn export(c: &mut Conn, caller: &Caller, query: &EventQuery, format: ExportFormat, now: Instant) -> Result<Export> {
    caller.require_compliance()?;
    let writer = match format {
        ExportFormat::Csv => Writer::Csv,
        ExportFormat::JsonLines => Writer::JsonLines,
        ExportFormat::Prov => Writer::Prov(Document::default()),
    };
    Ok(Export { events: query.open(c, now)?, after: String::new(), writer, ended: false })
}

impl Export {
    /// The next piece of the file; `None` after the last.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next(&mut self, c: &mut Conn) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut piece = String::new();
        let begins = self.after.is_empty();
        let page = self.events.page(c, &self.after, PAGE)?;
        match &mut self.writer {
            Writer::Csv => {
                if begins {
                    csv::row(&mut piece, COLUMNS.iter().map(|(name, _)| Cell::Text((*name).to_string())));
                }
                for event in &page.items {
                    csv::row(&mut piece, COLUMNS.iter().map(|(_, field)| Cell::Text(field(event).unwrap_or_default())));
                }
            }
            Writer::JsonLines => {
                for event in &page.items {
                    piece.push_str(&serde_json::to_string(event)?);
                    piece.push('\n');
                }
            }
            Writer::Prov(document) => document.page(c, &page.items, &mut piece)?,
        }
        match page.next {
            Some(next) => self.after = next.0,
            None => {
                // PROV-JSON sorts its records by kind: the events are read once for each.
                self.after.clear();
                self.ended = match &mut self.writer {
                    Writer::Prov(document) => document.end_section(&mut piece),
                    Writer::Csv | Writer::JsonLines => true,
                };
            }
        }
        Ok(Some(piece.into_bytes()))
    }
}

type Field = fn(&Event) -> Option<String>;

/// The columns of a CSV file, named as the fields of an event.
const COLUMNS: &[(&str, Field)] = &[
    ("id", |event| Some(event.id.clone())),
    ("at", |event| Some(event.at.to_string())),
    ("kind", |event| Some(event.kind.clone())),
    ("about", |event| event.about.clone()),
    ("dataset", |event| event.dataset.clone()),
    ("version", |event| event.version.map(|number| number.to_string())),
    ("path", |event| event.path.clone()),
    ("sha256", |event| event.sha256.map(|sha256| sha256.to_string())),
    ("organisation", |event| event.organisation.clone()),
    ("counterparty", |event| event.counterparty.clone()),
    ("actor", |event| event.actor.clone()),
    ("detail", |event| event.detail.clone()),
    ("statement", |event| event.statement.map(|id| id.to_string())),
    ("pae_sha256", |event| event.pae_sha256.map(|sha256| sha256.to_string())),
    ("entry", |event| event.entry.map(|id| id.to_string())),
    ("log_index", |event| event.log_index.map(|index| index.to_string())),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_an_event_is_a_column() {
        let document = serde_json::to_value(Event::example()).unwrap();
        let fields: std::collections::BTreeSet<&str> =
            document.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(COLUMNS.iter().map(|(name, _)| *name).collect::<std::collections::BTreeSet<_>>(), fields);
    }
}
