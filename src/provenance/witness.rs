//! A witness: remembers the last checkpoint of each log it was told of, and cosigns only what continues it.
//!
//! A lab or regulator runs one (`corpex witness`), with keys and state of its own. Because it never signs two
//! histories of one log, everybody who asks for its cosignature sees the same log (C2SP tlog-witness).
//!
//! Invariant: a cosignature leaves only after the checkpoint that it is over is on disk.
//! Invariant: of one log, each checkpoint that was cosigned continues all that were before.

pub mod routes;
mod submission;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use self::submission::Submission;
use super::cosignature;
use super::note::{Checkpoint, Note, NoteSignature, VerifierKey, WitnessKey};
use super::tree;
use crate::error::{Error, Result};
use crate::keys;
use crate::signing::SecretKey;
use crate::types::{Digest, Instant};

/// Who a witness is, and where it keeps what it must not forget.
pub struct Witness {
    name: String,
    key: SecretKey,
    /// By origin: the keys under which its checkpoints are taken.
    logs: HashMap<String, Vec<VerifierKey>>,
    folder: PathBuf,
    /// Checking a checkpoint against the last one and keeping it are one step.
    one_at_a_time: Mutex<()>,
    /// Held for as long as this process may write to the folder.
    _lock: File,
}

/// Why a checkpoint is not cosigned: the answers of C2SP tlog-witness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The submission cannot be read, or its old size is larger than its new one.
    Malformed(String),
    /// No trusted key of the log signed it.
    Forbidden(String),
    /// The witness was not told of this log.
    UnknownLog(String),
    /// The old size is not that of the last checkpoint cosigned, which is this one.
    Conflict(u64),
    /// The last checkpoint cosigned has this size too, and another root: the log misbehaves.
    Forked(u64),
    /// The checkpoint does not continue the last one cosigned: the log misbehaves.
    Inconsistent(String),
}

impl Witness {
    /// Opens a witness of these logs with its state in `folder`, making key and folder when they are missing.
    ///
    /// Fails as invalid if a name is unfit or another process uses the folder.
    pub fn open(name: &str, logs: Vec<VerifierKey>, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|_| {
            Error::invalid("state-dir", format!("another witness uses {}", folder.display()))
                .remedy("run one witness for each folder: two could sign two histories")
        })?;
        let key = keys::load_or_create(&folder.join("witness.key"))?;
        WitnessKey::new(name, key.public())?;
        let mut by_origin: HashMap<String, Vec<VerifierKey>> = HashMap::new();
        for log in logs {
            by_origin.entry(log.name.clone()).or_default().push(log);
        }
        Ok(Self {
            name: name.to_string(),
            key,
            logs: by_origin,
            folder: folder.to_path_buf(),
            one_at_a_time: Mutex::new(()),
            _lock: lock,
        })
    }

    /// The verifier key by which others know the witness.
    pub fn vkey(&self) -> Result<WitnessKey> {
        WitnessKey::new(&self.name, self.key.public())
    }

    /// Cosigns a checkpoint that continues the last one, after keeping it. Blocks for the disk.
    ///
    /// The outer error is a fault of the witness itself; the inner one is the log's.
    pub fn add_checkpoint(&self, body: &[u8], now: Instant) -> Result<Result<NoteSignature, Refusal>> {
        let submission = match Submission::read(body) {
            Ok(submission) => submission,
            Err(error) => return Ok(Err(Refusal::Malformed(error.detail))),
        };
        let checkpoint = match self.open_checkpoint(&submission.checkpoint) {
            Ok(checkpoint) => checkpoint,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let _held = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.last(&checkpoint.origin)?;
        if let Err(refusal) = continues(last.as_ref(), &submission, &checkpoint) {
            return Ok(Err(refusal));
        }
        let mut note: Note = checkpoint.note.parse()?;
        let cosignature = cosignature::cosign(&note.text, &self.name, &self.key, now)?;
        // Kept with the log's lines and ours: a checkpoint may carry any number of others.
        let logs = self.logs.get(&checkpoint.origin).map(Vec::as_slice).unwrap_or_default();
        note.signatures.retain(|line| logs.iter().any(|log| line.name == log.name && line.key_id == log.key_id()));
        note.signatures.push(cosignature.clone());
        self.keep(&checkpoint.origin, &note)?;
        Ok(Ok(cosignature))
    }

    /// The last checkpoint that was cosigned of the log whose origin has this SHA-256, with the cosignature.
    pub fn checkpoint(&self, origin_sha256: Digest) -> Result<Option<String>> {
        match self.logs.keys().find(|origin| Digest::of(origin.as_bytes()) == origin_sha256) {
            Some(origin) => self.stored(origin),
            None => Ok(None),
        }
    }

    fn open_checkpoint(&self, note: &str) -> Result<Checkpoint, Refusal> {
        let origin = note.lines().next().unwrap_or_default();
        let keys = self.logs.get(origin).ok_or_else(|| Refusal::UnknownLog(origin.to_string()))?;
        let mut why = String::new();
        for key in keys {
            match Checkpoint::open(note, key) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => why = error.detail,
            }
        }
        Err(Refusal::Forbidden(why))
    }

    fn last(&self, origin: &str) -> Result<Option<Checkpoint>> {
        let Some(note) = self.stored(origin)? else { return Ok(None) };
        match self.open_checkpoint(&note) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(refusal) => {
                Err(Error::internal(format!("the checkpoint kept of {origin} cannot be read any more: {refusal:?}"))
                    .remedy("give the witness every key the log had, or restore its folder"))
            }
        }
    }

    fn file(&self, origin: &str) -> PathBuf {
        self.folder.join(format!("{}.checkpoint", Digest::of(origin.as_bytes())))
    }

    fn stored(&self, origin: &str) -> Result<Option<String>> {
        match fs::read_to_string(self.file(origin)) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, origin: &str, note: &Note) -> Result<()> {
        replace_durably(&self.file(origin), note.to_string().as_bytes())
    }
}

/// Replaces a file in one step that survives a power cut.
pub(super) fn replace_durably(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(File::open(folder)?.sync_all()?)
}

/// Whether a checkpoint continues the last one cosigned, in the order in which the standard asks.
fn continues(last: Option<&Checkpoint>, submission: &Submission, checkpoint: &Checkpoint) -> Result<(), Refusal> {
    if submission.old_size > checkpoint.tree_size {
        return Err(Refusal::Malformed(format!(
            "the old size {} is larger than the checkpoint's {}",
            submission.old_size, checkpoint.tree_size
        )));
    }
    let (size, root) = last.map_or((0, tree::empty_root()), |last| (last.tree_size, last.root));
    if submission.old_size != size {
        return Err(Refusal::Conflict(size));
    }
    if checkpoint.tree_size == 0 && checkpoint.root != tree::empty_root() {
        return Err(Refusal::Inconsistent("the empty tree has another root".to_string()));
    }
    if checkpoint.tree_size == size && checkpoint.root != root && submission.proof.is_empty() {
        return Err(Refusal::Forked(size));
    }
    tree::verify_consistency(size, root, checkpoint.tree_size, checkpoint.root, &submission.proof)
        .map_err(|error| Refusal::Inconsistent(error.detail))
}

#[cfg(test)]
#[path = "witness/tests.rs"]
mod tests;
