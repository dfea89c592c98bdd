//! `c2sp.org/tlog-proof@v1`: a text that proves, without a network, that an entry is in the log.
//!
//! It holds the entry's index, the hashes from its sibling up to the root's child, and the signed checkpoint.

use std::fmt;
use std::str::FromStr;

use super::note::{Checkpoint, VerifierKey, decode_hash, encode_hash};
use super::tree;
use crate::error::{Error, Kind, Result};
use crate::signing::Bytes;
use crate::types::Digest;

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// No tree is higher than an index has bits.
const MAX_PATH: usize = 64;

/// A proof as it is written; nothing in it is verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Application data that nothing authenticates; the exchange writes none.
    pub extra: Option<Bytes>,
    /// The entry's place in the log, from 0.
    pub index: u64,
    /// The inclusion proof.
    pub path: Vec<Digest>,
    /// The signed checkpoint, byte for byte.
    pub checkpoint: String,
}

impl TlogProof {
    /// Checks that `entry` is in the log whose key is `log`, and gives the checkpoint that says so.
    pub fn verify(&self, entry: &[u8], log: &VerifierKey) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::open(&self.checkpoint, log)?;
        tree::verify_inclusion(tree::leaf_hash(entry), self.index, checkpoint.tree_size, &self.path, checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {extra}")?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", encode_hash(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
impl FromStr for TlogProof {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let malformed = |why: &str| Error::new(Kind::Unverified, format!("the log proof {why}"));
        let (head, checkpoint) = text.split_once("\n\n").ok_or_else(|| malformed("has no checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(malformed(&format!("does not start with {HEADER}")));
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => {
                let data = line.strip_prefix("extra ").unwrap_or_default();
                Some(data.parse().map_err(|_| malformed("has extra data that is not base64"))?)
            }
            None => None,
        };
        let number = lines.next().and_then(|line| line.strip_prefix("index "));
        let index = number.and_then(|number| number.parse::<u64>().ok().filter(|i| i.to_string() == number));
        let index = index.ok_or_else(|| malformed("names no index"))?;
        let hash = |line: &str| decode_hash(line).ok_or_else(|| malformed("has a hash that is not 32 bytes of base64"));
        let path = lines.take(MAX_PATH + 1).map(hash).collect::<Result<Vec<_>>>()?;
        if path.len() > MAX_PATH {
            return Err(malformed("is longer than any tree is high"));
        }
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::SecretKey;

    fn logged() -> (TlogProof, VerifierKey) {
        let key = SecretKey::from_seed([3; 32]);
        let log = VerifierKey::new("corpex.example/log", key.public()).unwrap();
        let leaves: Vec<_> = ["a", "b", "c"].iter().map(tree::leaf_hash).collect();
        let checkpoint = Checkpoint::sign(&log.name, 3, tree::root_of(&leaves), &key).unwrap().note;
        let path = tree::path_of(&leaves, 1).unwrap();
        (TlogProof { extra: None, index: 1, path, checkpoint }, log)
    }

    #[test]
    fn a_proof_is_written_as_the_specification_says() {
        let (proof, log) = logged();
        insta::assert_snapshot!(proof, @r"
        c2sp.org/tlog-proof@v1
        index 1
        Aippeebat6pa5MPl5F9+l3ESp+Y1k4INvsHsc4ok+Tw=
        WX/LMSgtNGVMIA00GPylcFxkjr8ybsc9jd7xGEH4dtg=

        corpex.example/log
        3
        NmQuc8JUCrEh46a/lUWwokmCzYMOsT080Z3jzmwCHsE=

        — corpex.example/log HUWydBejYj03HNzkJhEqOLNrFsKZ5PrRz0/mZcVnjThgOoabS28JWchvpzVYRsGrURO56B5n1Elt26+i+jFcHqP/1Ao=
        ");
        assert_eq!(proof.to_string().parse::<TlogProof>().unwrap(), proof);
        assert_eq!(proof.verify(b"b", &log).unwrap().tree_size, 3);
    }

    #[test]
    fn a_proof_of_another_entry_or_index_is_refused() {
        let (proof, log) = logged();
        assert!(proof.verify(b"a", &log).is_err());
        assert!(TlogProof { index: 0, ..proof.clone() }.verify(b"b", &log).is_err());
        assert!(TlogProof { index: 3, ..proof }.verify(b"b", &log).is_err());
    }

    #[test]
    fn extra_data_is_read_and_not_believed() {
        let (mut proof, log) = logged();
        proof.extra = Some(Bytes(b"hint".to_vec()));
        let text = proof.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra aGludA==\nindex 1\n"), "{text}");
        assert!(text.parse::<TlogProof>().unwrap().verify(b"b", &log).is_ok());
    }

    #[test]
    fn no_byte_of_a_proof_can_be_changed() {
        let (proof, log) = logged();
        let good = proof.to_string();
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(
                text.parse::<TlogProof>().and_then(|proof| proof.verify(b"b", &log)).is_err(),
                "byte {at}:\n{text}"
            );
        }
    }

    #[test]
    fn malformed_proofs_are_refused() {
        let (proof, _) = logged();
        let good = proof.to_string();
        for (from, to) in [
            ("c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2"),
            ("index 1", "index 01"),
            ("index 1", "index +1"),
            ("index 1", "Index 1"),
            ("index 1\n", ""),
            ("index 1", "extra ?\nindex 1"),
            ("\n\n", "\nAAAA\n\n"),
        ] {
            assert!(good.replacen(from, to, 1).parse::<TlogProof>().is_err(), "{from} → {to}");
        }
    }

    #[test]
    fn a_path_that_is_longer_than_any_tree_is_high_is_not_read() {
        let (proof, _) = logged();
        let read = |hashes| {
            let text = TlogProof { path: vec![Digest::of("hash"); hashes], ..proof.clone() }.to_string();
            text.parse::<TlogProof>().map(|proof| proof.path.len())
        };
        assert_eq!(read(MAX_PATH).unwrap(), MAX_PATH);
        assert!(read(MAX_PATH + 1).unwrap_err().detail.ends_with("is longer than any tree is high"));
    }
}
