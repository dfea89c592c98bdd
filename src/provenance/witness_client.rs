//! The exchange's side of C2SP tlog-witness: shows each new checkpoint to the configured witnesses and gathers what
//! they cosign.
//!
//! A witness that does not answer costs its cosignature, and a bounded moment. One that has seen a longer log than
//! this database knows, or another one, means that the database was set back: then nothing is published.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use tokio::time::timeout;

use super::cosignature;
use super::log;
use super::note::{Checkpoint, Note, NoteSignature};
use super::policy::{Policy, Witness};
use super::sequencer;
use super::witness::Submission;
use crate::db::Db;
use crate::error::{Error, Kind, Result};
use crate::outgoing;
use crate::types::Instant;

/// How long a witness may take over one checkpoint.
const PATIENCE: Duration = Duration::from_millis(800);
/// The most bytes of a witness's answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// The witnesses of one exchange.
pub(super) struct Witnesses {
    http: reqwest::Client,
    policy: Policy,
    /// By name: the size of the last checkpoint that each is known to have.
    seen: Mutex<HashMap<String, u64>>,
}

/// What one witness said of a checkpoint.
enum Answer {
    Cosigned(NoteSignature),
    /// The last checkpoint that it has cosigned has this size, and is not the one from which it was to go on.
    Has(u64),
}

impl Witnesses {
    /// The witnesses of a policy; those without a URL are not asked.
    pub(super) fn new(policy: Policy) -> Result<Self> {
        Ok(Self { http: outgoing::client(|client| client)?, policy, seen: Mutex::default() })
    }

    /// How many of the policy's witnesses cosigned a note.
    pub(super) fn count(&self, note: &str) -> Result<usize> {
        Ok(self.policy.cosignatures(&note.parse()?, Instant::from_unix_micros(0))?.len())
    }

    /// Shows a checkpoint to every witness, and gives its note with their cosignatures.
    ///
    /// Fails as unverified when a witness has seen more than this database holds, or something else, and as unavailable when
    /// those that answered in time are no quorum.
    pub(super) async fn cosign(&self, db: &Db, checkpoint: &Checkpoint) -> Result<String> {
        let mut note: Note = checkpoint.note.parse()?;
        let asked = self.policy.witnesses.iter().filter(|witness| witness.url.is_some());
        let mut answers: FuturesUnordered<_> = asked
            .map(|witness| async move {
                let answered = timeout(PATIENCE, self.ask(db, witness, checkpoint)).await;
                (witness, answered.unwrap_or_else(|_| Err(no_cosignature(witness, "it did not answer in time"))))
            })
            .collect();
        while let Some((witness, answer)) = answers.next().await {
            match answer {
                Ok(line) => note.signatures.push(line),
                Err(error) if error.kind == Kind::Unverified => return Err(error),
                Err(error) => tracing::warn!(witness = witness.name, %error, "a checkpoint goes without a cosignature"),
            }
        }
        let by = self.policy.cosignatures(&note, Instant::from_unix_micros(0))?;
        self.policy.require_quorum(&by).map_err(|error| Error::new(Kind::Unavailable, error.detail))?;
        Ok(note.to_string())
    }

    /// Submits a checkpoint, from the size that the witness has; asks for that size at most once.
    async fn ask(&self, db: &Db, witness: &Witness, checkpoint: &Checkpoint) -> Result<NoteSignature> {
        let known = self.seen().get(&witness.name).copied().unwrap_or(0);
        let mut old_size = known.min(checkpoint.tree_size);
        for _ in 0..2 {
            match self.submit(db, witness, checkpoint, old_size).await? {
                Answer::Cosigned(line) => {
                    self.seen().insert(witness.name.clone(), checkpoint.tree_size);
                    return Ok(line);
                }
                Answer::Has(size) if size > checkpoint.tree_size => {
                    let (name, holds) = (&witness.name, checkpoint.tree_size);
                    let why =
                        format!("the witness {name} has cosigned {size} entries, and this database holds {holds}");
                    return Err(sequencer::stopped(why));
                }
                // It was told this very size, and does not take the root.
                Answer::Has(size) if size == old_size && size == checkpoint.tree_size => {
                    let why = format!("the witness {} has cosigned another root for {size} entries", witness.name);
                    return Err(sequencer::stopped(why));
                }
                Answer::Has(size) => old_size = size,
            }
        }
        Err(no_cosignature(witness, "it cannot decide how long the log is"))
    }

    async fn submit(&self, db: &Db, witness: &Witness, checkpoint: &Checkpoint, old_size: u64) -> Result<Answer> {
        let to = checkpoint.clone();
        let proof = db.read(move |c| log::consistency(c, old_size, &to)).await?;
        let body = Submission { old_size, proof, checkpoint: checkpoint.note.clone() }.to_string();
        let url = witness.url.as_ref().map(|url| format!("{}/add-checkpoint", url.as_str().trim_end_matches('/')));
        let request = self.http.post(url.unwrap_or_default()).body(body);
        let failed = |error: reqwest::Error| no_cosignature(witness, "it cannot be reached").because(error);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let size_follows = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == "text/x.tlog.size");
        let text = bounded_text(response).await.map_err(failed)?;
        match status {
            StatusCode::OK => self.accepted(witness, checkpoint, &text),
            StatusCode::CONFLICT if size_follows => match text.trim_end().parse() {
                Ok(size) => Ok(Answer::Has(size)),
                Err(_) => Err(no_cosignature(witness, "it answered with a size that is not a number")),
            },
            StatusCode::UNPROCESSABLE_ENTITY => {
                let why = text.lines().next().unwrap_or_default();
                Err(sequencer::stopped(format!("the witness {} has seen another history: {why}", witness.name)))
            }
            status => Err(no_cosignature(witness, &format!("it answered {status}: {}", text.trim_end()))),
        }
    }

    /// The witness's own line in its answer; whatever else stands there is ignored.
    fn accepted(&self, witness: &Witness, checkpoint: &Checkpoint, text: &str) -> Result<Answer> {
        let unsigned: Note = checkpoint.note.parse()?;
        for line in text.lines().filter_map(|line| line.parse::<NoteSignature>().ok()) {
            let alone = Note { text: unsigned.text.clone(), signatures: vec![line.clone()] };
            if matches!(cosignature::cosigned_at(&alone, &witness.key), Ok(Some(_))) {
                return Ok(Answer::Cosigned(line));
            }
        }
        Err(no_cosignature(witness, "its answer holds no cosignature by its key"))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn no_cosignature(witness: &Witness, why: &str) -> Error {
    Error::new(Kind::Unavailable, format!("no cosignature by the witness {}: {why}", witness.name))
}

/// The text of an answer; what goes beyond the bound is cut off.
async fn bounded_text(mut response: reqwest::Response) -> reqwest::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER
        && let Some(piece) = response.chunk().await?
    {
        bytes.extend_from_slice(&piece);
    }
    bytes.truncate(MAX_ANSWER);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
