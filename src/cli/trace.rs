//! `corpex trace`: where bytes came from and who holds them, for compliance staff.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::client::{Client, broken, pass_on};
use super::output::{Out, counted};
use super::shards;
use super::whole::Whole;
use crate::compliance::{Chain, Event, ExportFormat, Trace as Traced};
use crate::error::{Error, Kind, Result};
use crate::types::{Instant, Page};

/// The most lines that a person is shown of one list.
const SHORT: usize = 10;
/// The most events that a person is shown.
const PAGE: usize = 50;

#[derive(Debug, Default, Args)]
pub(super) struct Trace {
    /// A file, a SHA-256 (of bytes, a signed document or a key), ORG, ORG/NAME, ORG/NAME@VERSION,
    /// ORG/NAME@VERSION:PATH, terms, a listing, an evaluation, an order, a contract, an entitlement, a dispute,
    /// a certificate (CPX-…), or a log entry (log:INDEX)
    #[arg(value_name = "SUBJECT")]
    pub(super) subject: Option<String>,
    /// Show the terms in force at this time, such as 2026-01-31T08:00:00Z; by default now
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<Instant>,
    /// Include a proof for every log entry that is named (with --json)
    #[arg(long)]
    pub(super) proofs: bool,
    /// List what happened, from this time on
    #[arg(long, value_name = "TIME", help_heading = "Events")]
    pub(super) from: Option<Instant>,
    /// List what happened before this time
    #[arg(long, value_name = "TIME", help_heading = "Events")]
    pub(super) to: Option<Instant>,
    /// List events of this kind: manifest, contract, delivery, first-seen, transition, conflict, …
    #[arg(long, help_heading = "Events")]
    pub(super) kind: Option<String>,
    /// List only events that also concern this organisation
    #[arg(long, value_name = "ORG", help_heading = "Events")]
    pub(super) organisation: Option<String>,
    /// Write every event to a file: csv, jsonl (JSON Lines) or prov (PROV-JSON)
    #[arg(long, value_name = "FORMAT", help_heading = "Events")]
    pub(super) export: Option<ExportFormat>,
    /// The file to write; by default standard output
    #[arg(long, value_name = "FILE", requires = "export", help_heading = "Events")]
    pub(super) out: Option<PathBuf>,
}

impl Trace {
    pub(super) async fn run(mut self, client: &Client, out: &Out) -> Result<()> {
        self.hash_file()?;
        if let Some(format) = self.export {
            return self.write(client, out, format).await;
        }
        let lists = [&self.kind, &self.organisation].iter().any(|filter| filter.is_some());
        if lists || self.from.is_some() || self.to.is_some() {
            return self.list(client, out).await;
        }
        let traced = self.chains(client).await?;
        // What belongs to no version, such as a key, may be on record all the same.
        let events = match traced.chains.is_empty() && !out.is_json() {
            true => Some(self.events(client).await?),
            false => None,
        };
        let subject = self.subject.unwrap_or_default();
        out.result(&traced, || {
            match events {
                Some(page) if page.items.is_empty() => {
                    return format!("nothing on the exchange has to do with {subject}");
                }
                Some(page) => return format!("{subject} is of no version; on record is\n{}", listed(&page)),
                None => {}
            }
            let mut text = traced.chains.iter().map(describe).collect::<Vec<_>>().join("\n\n");
            if traced.next.is_some() {
                text.push_str("\n\n… and more versions: trace one of them, or export the events");
            }
            text
        })
    }

    /// The chains of the subject: the first page of them.
    pub(super) async fn chains(&self, client: &Client) -> Result<Traced> {
        let subject = self.subject.as_deref().ok_or_else(|| {
            Error::invalid("SUBJECT", "there is nothing to trace")
                .remedy("name a subject, or a time with --from and --to")
        })?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("subject", subject).extend_pairs(self.at.map(|at| ("at", at.to_string())));
        query.append_pair("proofs", if self.proofs { "true" } else { "false" });
        client.get(format!("/v1/trace?{}", query.finish())).send().await.map_err(|error: Error| match error.kind {
            Kind::NotFound => error.remedy(format!("there is no file {subject} here either")),
            _ => error,
        })
    }

    async fn list(&self, client: &Client, out: &Out) -> Result<()> {
        let page = self.events(client).await?;
        out.result(&page, || match page.items.is_empty() {
            true => "nothing of the kind happened".to_string(),
            false => listed(&page),
        })
    }

    /// What happened: the first page of it.
    async fn events(&self, client: &Client) -> Result<Page<Event>> {
        client.get(format!("/v1/trace/events?{}&limit={PAGE}", self.filter())).send().await
    }

    /// Writes the events to a file, which takes its name when it is whole; or to standard output.
    async fn write(&self, client: &Client, out: &Out, format: ExportFormat) -> Result<()> {
        let path = format!("/v1/trace/export?format={format}&{}", self.filter());
        let mut answer = client.get(path).response().await?;
        let Some(file) = &self.out else {
            return pass_on(answer, out).await.map_err(|error| error.remedy("export again"));
        };
        let mut whole = Whole::begin(file)?;
        let mut bytes = 0_u64;
        while let Some(piece) = answer.chunk().await.map_err(cut_off)? {
            whole.write(&piece)?;
            bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(0));
        }
        whole.finish()?;
        out.result(&json!({ "file": file, "bytes": bytes }), || {
            format!("{}: {}", file.display(), counted(bytes, "byte"))
        })
    }

    /// The parameters that say which events are wanted.
    fn filter(&self) -> String {
        let times = [("from", self.from), ("to", self.to)];
        let texts = [("subject", &self.subject), ("kind", &self.kind), ("organisation", &self.organisation)];
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(texts.iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))))
            .extend_pairs(times.iter().filter_map(|(name, at)| at.map(|at| (name, at.to_string()))))
            .finish()
    }

    /// Puts the digest of a file in the place of its name.
    fn hash_file(&mut self) -> Result<()> {
        if let Some(path) = self.subject.as_deref().map(Path::new).filter(|path| path.is_file()) {
            self.subject = Some(shards::digest_of(path, |_| {})?.0.to_string());
        }
        Ok(())
    }

    /// The trace of a file, for a command of which it is a step.
    pub(super) async fn of_file(client: &Client, file: &Path) -> Result<Traced> {
        let mut trace = Self { subject: Some(file.display().to_string()), ..Self::default() };
        trace.hash_file()?;
        trace.chains(client).await
    }
}

fn cut_off(error: reqwest::Error) -> Error {
    broken(error).remedy("export again")
}

fn listed(page: &Page<Event>) -> String {
    let mut lines: Vec<String> = page.items.iter().map(line).collect();
    if page.next.is_some() {
        lines.push(format!("… and more: these are the first {PAGE}"));
    }
    lines.join("\n")
}

fn line(event: &Event) -> String {
    let mut words = vec![format!("{}  {:<16}", event.at, event.kind)];
    let version = event.version.map(|version| format!("@{version}")).unwrap_or_default();
    words.extend(event.dataset.as_ref().map(|dataset| format!("{dataset}{version}")));
    words.extend(event.path.clone());
    words.extend(event.counterparty.as_ref().map(|handle| format!("with {handle}")));
    if event.dataset.is_none() {
        words.extend(event.organisation.as_ref().map(|handle| format!("of {handle}")));
    }
    words.extend(event.detail.as_ref().map(|detail| format!("({detail})")));
    words.extend(event.log_index.map(|index| format!("log:{index}")));
    words.join("  ")
}

fn describe(chain: &Chain) -> String {
    let mut lines = vec![
        format!("{}@{}  ({})", chain.dataset, chain.version, chain.state),
        format!(
            "  published by {} ({}, {})",
            chain.provider.handle, chain.provider.legal_name, chain.provider.registration_number
        ),
    ];
    let shards = chain.shards.iter().map(|shard| {
        let (path, sha256, size) = (&shard.path, shard.sha256, counted(shard.size_bytes, "byte"));
        format!("  shard {path}  {sha256}  {size}, first seen {}", shard.first_seen_at)
    });
    add_short(&mut lines, shards, "shards");
    if let Some(sealed) = &chain.sealed {
        lines.push(format!("  sealed {}  manifest {}  {}", sealed.at, sealed.pae_sha256, place(sealed.log_index)));
    }
    let conflicts = chain.conflicts.iter().map(|conflict| {
        let (earlier, later) = (&conflict.earlier, &conflict.later);
        format!(
            "  CONFLICT {}: sealed by {} in {}@{} at {}, then by {} in {}@{} at {}",
            conflict.path,
            earlier.provider.handle,
            earlier.dataset,
            earlier.version,
            earlier.sealed_at,
            later.provider.handle,
            later.dataset,
            later.version,
            later.sealed_at
        )
    });
    add_short(&mut lines, conflicts, "conflicts");
    let assessments = chain
        .assessments
        .iter()
        .map(|one| format!("  assessed {}: {}, valid until {}", one.logged.at, one.decision, one.valid_until));
    add_short(&mut lines, assessments, "assessments");
    if let Some(certificate) = &chain.certificate {
        lines.push(format!("  registration certificate {}", certificate.number));
    }
    let terms = chain.terms.iter().map(|one| format!("  on the board under {} since {}", one.terms, one.since));
    add_short(&mut lines, terms, "terms");
    if chain.licences.is_empty() {
        lines.push("  nobody holds a licence".to_string());
    }
    let licences = chain.licences.iter().map(|licence| {
        format!(
            "  held by {} ({}): {} for {:?}, {}, since {}, contract {}\n    {} on record",
            licence.holder.handle,
            licence.holder.legal_name,
            licence.state,
            licence.purpose,
            licence.price,
            licence.granted_at,
            licence.contract_sha256,
            counted(licence.deliveries.len(), "delivery")
        )
    });
    add_short(&mut lines, licences, "licences");
    let evaluations = chain.evaluations.iter().map(|one| {
        format!(
            "  evaluated by {} ({}) until {} for {:?}: the sample was given {}",
            one.holder.handle,
            one.holder.legal_name,
            one.expires_at,
            one.purpose,
            counted(one.samples.len(), "time")
        )
    });
    add_short(&mut lines, evaluations, "evaluations");
    let derived = chain
        .derived
        .iter()
        .map(|one| format!("  went into {}@{}, {} away", one.dataset, one.version, counted(one.distance, "step")));
    add_short(&mut lines, derived, "derived versions");
    let models = chain.models.iter().map(|one| {
        let (name, edition, lab) = (&one.name, &one.model_version, &one.lab.handle);
        format!("  trained into {name} {edition} of {lab}, declared {}", one.logged.at)
    });
    add_short(&mut lines, models, "models");
    if !chain.cut.is_empty() {
        lines.push(format!("  … and more {}: list the events", chain.cut.join(", ")));
    }
    lines.join("\n")
}

fn place(log_index: Option<i64>) -> String {
    log_index.map_or_else(|| "waiting for its place in the log".to_string(), |index| format!("log:{index}"))
}

/// Adds the first lines of a list, and how many more there are.
fn add_short(lines: &mut Vec<String>, list: impl ExactSizeIterator<Item = String>, what: &str) {
    let more = list.len().saturating_sub(SHORT);
    lines.extend(list.take(SHORT));
    if more > 0 {
        lines.push(format!("  … and {more} more {what}"));
    }
}
