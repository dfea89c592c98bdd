//! What a log sends to its witnesses: an old size, a consistency proof, and the checkpoint it leads to (the body of
//! `add-checkpoint` of C2SP tlog-witness). The exchange gives the same text to anybody who asks for a consistency proof.

use std::fmt;

use crate::error::{Error, Kind, Result};
use crate::provenance::note::{decode_hash, encode_hash};
use crate::types::Digest;

/// The most hashes a proof may have.
const MAX_PROOF: usize = 63;
/// The longest body that is read, in bytes: far more than a proof and a checkpoint with a hundred signatures.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// A checkpoint and the proof that it continues the tree of `old_size`; nothing in it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The size from which the proof leads.
    pub old_size: u64,
    /// The RFC 6962 consistency proof.
    pub proof: Vec<Digest>,
    /// The signed note of the checkpoint.
    pub checkpoint: String,
}

impl Submission {
    /// Reads the body of an `add-checkpoint` request.
    pub fn read(body: &[u8]) -> Result<Self> {
        let malformed = |why: &str| Error::new(Kind::Malformed, format!("the submission {why}"));
        if body.len() > MAX_BYTES {
            return Err(malformed("is too long"));
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("is not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| malformed("has no checkpoint"))?;
        let mut lines = head.split('\n');
        let number = lines.next().and_then(|line| line.strip_prefix("old ")).unwrap_or_default();
        let old_size = number.parse::<u64>().ok().filter(|size| size.to_string() == number);
        let old_size = old_size.ok_or_else(|| malformed("does not begin with an old size"))?;
        let hash = |line: &str| decode_hash(line).ok_or_else(|| malformed("has a hash that is not 32 bytes of base64"));
        let proof = lines.take(MAX_PROOF + 1).map(hash).collect::<Result<Vec<_>>>()?;
        if proof.len() > MAX_PROOF {
            return Err(malformed("has a proof longer than 63 hashes"));
        }
        Ok(Self { old_size, proof, checkpoint: checkpoint.to_string() })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", encode_hash(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
