//! What the evaluations of a passport cover: a sample that the exchange drew by lot, for as many days as the provider's
//! terms say; and that exactly this sample was handed out, within that time.

use serde::{Deserialize, Serialize};

use super::chain::named;
use super::exchange::ExchangeKeys;
use super::verify::{Opened, failed};
use crate::error::Result;
use crate::provenance::lot;
use crate::provenance::statement::StatementKind;
use crate::signing::Envelope;
use crate::types::{DAY, Digest, EvaluationId, Instant};

/// A sample that an evaluation covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvaluatedSample {
    /// What its statement grants.
    #[serde(flatten)]
    pub granted: Evaluation,
    /// The seed of its draw.
    pub seed: Digest,
}

/// A right to evaluate a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Its identifier.
    pub evaluation: EvaluationId,
    /// The handle of the lab.
    pub organisation: String,
    /// The manifest from which the sample was drawn.
    pub manifest_sha256: Digest,
    /// The digest of the sample's bytes.
    pub sample_sha256: Digest,
    /// Since when it holds.
    pub granted_at: Instant,
    /// Until when.
    pub expires_at: Instant,
}

/// What an inspection says of the sample that it drew.
#[derive(Deserialize)]
struct Inspection {
    manifest_sha256: Digest,
    sample: Option<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    lot: Envelope,
    sha256: Digest,
}

/// What a receipt says of a link to a sample.
#[derive(Deserialize)]
struct Receipt {
    evaluation: EvaluationId,
    sample_sha256: Digest,
    issued_at: Instant,
}

/// What each evaluation covers, and what is not proven of the draw.
pub(super) fn evaluated(
    opened: &[Opened],
    exchange: &ExchangeKeys,
    unchecked: &mut Vec<String>,
) -> Result<Vec<EvaluatedSample>> {
    let mut samples = Vec::new();
    for document in opened.iter().filter(|document| document.kind == StatementKind::Evaluation) {
        let granted = granted(document)?;
        document.is_of_its_time(granted.granted_at).map_err(|why| failed(&document.name, "time", why))?;
        is_offered(document, &granted, opened).map_err(|why| failed(&document.name, "terms", why))?;
        let seed = seed_of(&granted, opened, exchange).map_err(|why| failed(&document.name, "sample", why))?;
        unchecked.push(format!(
            "that the lot {seed} draws the sample {} is for who has the shards to check: corpex preview --redraw",
            granted.sample_sha256
        ));
        samples.push(EvaluatedSample { granted, seed });
    }
    for receipt in opened.iter().filter(|document| document.kind == StatementKind::EvaluationReceipt) {
        is_covered(receipt, opened).map_err(|why| failed(&receipt.name, "evaluation", why))?;
    }
    Ok(samples)
}

fn granted(document: &Opened) -> Result<Evaluation> {
    let said = Evaluation::deserialize(&document.statement.predicate);
    said.map_err(|error| failed(&document.name, "evaluation", error))
}

/// Refuses an evaluation for a longer or a shorter time than its terms offer, or whose terms offer none.
fn is_offered(document: &Opened, granted: &Evaluation, opened: &[Opened]) -> Result<(), String> {
    let terms = named(&document.statement.predicate, "terms_sha256", opened);
    let days = terms.and_then(|terms| terms.statement.predicate.pointer("/document/evaluation_days")?.as_u64());
    let days = days.and_then(|days| u32::try_from(days).ok());
    let days = days.ok_or("its terms offer no evaluation")?;
    match granted.granted_at.plus(DAY * days) == granted.expires_at {
        true => Ok(()),
        false => Err(format!("its terms offer {days} days, and it ends at {}", granted.expires_at)),
    }
}

/// The seed with which the sample was drawn: the lot is the exchange's, over the manifest.
fn seed_of(granted: &Evaluation, opened: &[Opened], exchange: &ExchangeKeys) -> Result<Digest, String> {
    for document in opened.iter().filter(|document| document.kind == StatementKind::Inspection) {
        let said = Inspection::deserialize(&document.statement.predicate).map_err(|error| error.to_string())?;
        let is_its = said.manifest_sha256 == granted.manifest_sha256;
        if let Some(sample) = said.sample.filter(|sample| is_its && sample.sha256 == granted.sample_sha256) {
            let known = sample.lot.signatures.iter().find_map(|signature| exchange.find(signature.keyid));
            let known = known.ok_or("the lot of its sample is not the exchange's")?;
            return lot::seed(&sample.lot, granted.manifest_sha256, known.key).map_err(|error| error.to_string());
        }
    }
    Err(format!("no inspection that is in the passport drew {} from its manifest", granted.sample_sha256))
}

/// Refuses a receipt for what the evaluation that it names does not cover, and says why.
fn is_covered(document: &Opened, opened: &[Opened]) -> Result<(), String> {
    let said = &document.statement.predicate;
    let granted = named(said, "evaluation_sha256", opened).ok_or("it names no evaluation that is in the passport")?;
    let granted = Evaluation::deserialize(&granted.statement.predicate).map_err(|error| error.to_string())?;
    let receipt = Receipt::deserialize(said).map_err(|error| error.to_string())?;
    if (receipt.evaluation, receipt.sample_sha256) != (granted.evaluation, granted.sample_sha256) {
        return Err(format!("it is for another sample than that of {}", granted.evaluation));
    }
    match (granted.granted_at..granted.expires_at).contains(&receipt.issued_at) {
        true => document.is_of_its_time(receipt.issued_at),
        false => Err(format!("at {} {} did not hold", receipt.issued_at, granted.evaluation)),
    }
}
