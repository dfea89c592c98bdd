//! `corpex evaluate`: take the sample of a version, to evaluate it before it is bought, and the passport that proves the
//! right to it.
//!
//! It can be repeated: an evaluation that was granted before is used again for as long as it holds, whatever has become of the
//! listing, and with the terms and the purpose that it was granted for; a command that names others is told so.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::listing::open_listing;
use super::organisation::own_organisation;
use super::output::{Out, counted};
use super::passport::{self, require_sample};
use super::reference::DatasetRef;
use super::trust::{ExchangeKeys, signed_by_exchange};
use super::whole;
use crate::error::{Error, Kind, Result};
use crate::provenance::StatementKind;
use crate::provenance::passport::Report;
use crate::signing::Envelope;
use crate::types::{Clock, Digest, EntryId, EvaluationId, Instant, TermsId};

#[derive(Debug, Args)]
pub(super) struct Evaluate {
    /// ORG/NAME, or ORG/NAME@VERSION
    #[arg(value_name = "ORG/NAME[@VERSION]")]
    dataset: DatasetRef,
    /// What you want to find out, in words: it becomes part of the statement that grants the evaluation
    #[arg(long, value_name = "TEXT")]
    purpose: String,
    /// Where to save the sample (JSON Lines); its passport is saved beside it, as FILE.passport.json
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The terms (terms_…) that offer the evaluation; may be left out when there is only one choice
    #[arg(long, value_name = "ID")]
    terms: Option<TermsId>,
    /// The organisation that evaluates; yours if you belong to only one
    #[arg(long, value_name = "HANDLE")]
    organisation: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Evaluation {
    id: EvaluationId,
    dataset: String,
    version: i32,
    organisation: String,
    terms_id: TermsId,
    purpose: String,
    expires_at: Instant,
}

#[derive(Deserialize)]
struct SampleLink {
    url: String,
    receipt: Envelope,
    entry_id: EntryId,
}

/// What was taken.
#[derive(Debug, Serialize)]
struct Taken {
    dataset: String,
    version: i32,
    evaluation: EvaluationId,
    expires_at: Instant,
    file: PathBuf,
    passport: PathBuf,
    records: usize,
    size_bytes: usize,
    sha256: Digest,
    /// The log entry of the receipt.
    entry: EntryId,
}

impl Evaluate {
    pub(super) async fn run(self, client: &Client, out: &Out) -> Result<()> {
        let evaluation = self.granted(client, out).await?;
        let path = format!("/v1/evaluations/{}/links", evaluation.id);
        let link: SampleLink = client.post(path).safe_to_repeat().send().await?;
        let sha256 = receipted(client, &link.receipt, evaluation.id).await?;
        let sample = client.get(link.url).whole().await?;
        if Digest::of(&sample) != sha256 {
            let why = format!("what was sent is not the sample {sha256} that the exchange drew; nothing was saved");
            return Err(Error::new(Kind::DigestMismatch, why));
        }
        // The passport first: no sample lies anywhere without the right to it.
        let passport = beside(&self.out);
        let proves = |report: &Report| require_sample(report, sha256);
        passport::save(client, passport::of_evaluation(evaluation.id), proves, &passport).await?;
        whole::write(&self.out, &sample)?;
        let taken = Taken {
            dataset: evaluation.dataset,
            version: evaluation.version,
            evaluation: evaluation.id,
            expires_at: evaluation.expires_at,
            file: self.out,
            passport,
            records: sample.iter().filter(|byte| **byte == b'\n').count(),
            size_bytes: sample.len(),
            sha256,
            entry: link.entry_id,
        };
        out.result(&taken, || taken.describe())
    }

    /// The evaluation that holds, or one that is granted now.
    async fn granted(&self, client: &Client, out: &Out) -> Result<Evaluation> {
        let organisation = own_organisation(client, self.organisation.as_deref()).await?;
        let now = Clock::default().now();
        let before: Vec<Evaluation> = client.get_all("/v1/evaluations").await?;
        let holds =
            |one: &Evaluation| one.is_of(&self.dataset) && one.organisation == organisation && now < one.expires_at;
        if let Some(holding) = before.into_iter().filter(holds).max_by_key(|one| one.version) {
            let Evaluation { id, terms_id, purpose, .. } = &holding;
            if self.purpose != *purpose || self.terms.is_some_and(|terms| terms != *terms_id) {
                out.note(format!("{id} holds already: it is under {terms_id}, and its purpose is {purpose:?}"));
            }
            return Ok(holding);
        }
        let listing = open_listing(client, &self.dataset, self.terms, None).await?;
        let wanted = json!({ "listing_id": listing.id, "organisation": organisation, "purpose": self.purpose });
        let once = Digest::of(wanted.to_string());
        client.post("/v1/evaluations").idempotent(format!("evaluate-{once}")).json(&wanted)?.send().await
    }
}

impl Evaluation {
    /// Whether it is of a dataset, and of the version that is wanted.
    fn is_of(&self, dataset: &DatasetRef) -> bool {
        self.dataset == dataset.full_name() && dataset.version.is_none_or(|wanted| wanted == self.version)
    }
}

/// The evaluation named, which may have ended: refused unless it is of that dataset.
pub(super) async fn named(client: &Client, dataset: &DatasetRef, id: EvaluationId) -> Result<EvaluationId> {
    let found: Evaluation = client.get(format!("/v1/evaluations/{id}")).send().await?;
    match found.is_of(dataset) {
        true => Ok(found.id),
        false => Err(Error::new(Kind::NotEntitled, format!("{id} is no evaluation of {dataset}"))),
    }
}

/// Where the passport of a sample is laid.
fn beside(sample: &Path) -> PathBuf {
    let mut name = sample.as_os_str().to_os_string();
    name.push(".passport.json");
    name.into()
}

/// The digest of the sample, as the exchange's receipt for this evaluation says it.
async fn receipted(client: &Client, receipt: &Envelope, evaluation: EvaluationId) -> Result<Digest> {
    #[derive(Deserialize)]
    struct Said {
        evaluation: EvaluationId,
        sample_sha256: Digest,
    }
    let trusted = ExchangeKeys::fetch(client).await?.trust().exchange_keys;
    let said = signed_by_exchange(receipt, &trusted, StatementKind::EvaluationReceipt, "the receipt")?;
    let Said { evaluation: of, sample_sha256 } = serde_json::from_value(said.predicate)?;
    match of == evaluation {
        true => Ok(sample_sha256),
        false => Err(Error::new(Kind::Unverified, format!("the receipt is for {of}, not for {evaluation}"))),
    }
}

impl Taken {
    fn describe(&self) -> String {
        let Self { dataset, version, evaluation, expires_at, file, passport, records, .. } = self;
        format!(
            "{}: {} of {dataset}@{version}, drawn by lot, to evaluate until {expires_at} ({evaluation})\n\
             passport: {}",
            file.display(),
            counted(records, "record"),
            passport.display()
        )
    }
}
