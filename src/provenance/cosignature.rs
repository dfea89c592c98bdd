//! C2SP tlog-cosignature: how a witness says that it saw a checkpoint, and that it continues all it saw before.
//!
//! A cosignature is one more signature line under the checkpoint's note. It covers a time and the note's text,
//! under a header of its own, so that it can never pass for a signature of the log (`cosignature/v1`, Ed25519).

use super::note::{Note, NoteSignature, WitnessKey};
use crate::error::{Error, Kind, Result};
use crate::signing::SecretKey;
use crate::types::Instant;

/// Bytes of the time before the signature.
const TIME_BYTES: usize = 8;

/// Cosigns a checkpoint's text as the witness `name`, at `now`.
pub fn cosign(text: &str, name: &str, key: &SecretKey, now: Instant) -> Result<NoteSignature> {
    let witness = WitnessKey::new(name, key.public())?;
    let (seconds, _) = now.unix();
    let signature = key.sign(&message(seconds, text));
    let signature = [seconds.to_be_bytes().as_slice(), &signature].concat();
    Ok(NoteSignature { key_id: witness.key_id(), name: witness.name, signature })
}

/// When `witness` cosigned the note last; `None` if the note carries no cosignature of this witness.
///
/// Fails as unverified if one of its lines does not verify: such a note was tampered with.
pub fn cosigned_at(note: &Note, witness: &WitnessKey) -> Result<Option<Instant>> {
    let key_id = witness.key_id();
    let lines = note.signatures.iter().filter(|line| line.name == witness.name && line.key_id == key_id);
    let mut last = None;
    for line in lines {
        last = last.max(Some(verify(&note.text, &line.signature, witness)?));
    }
    Ok(last)
}

/// Checks one cosignature over a checkpoint's text, and gives its time.
fn verify(text: &str, signature: &[u8], witness: &WitnessKey) -> Result<Instant> {
    let refused =
        |why: &str| Error::new(Kind::Unverified, format!("the cosignature of the witness {} {why}", witness.name));
    let (time, signature) =
        signature.split_first_chunk::<TIME_BYTES>().ok_or_else(|| refused("is shorter than its time"))?;
    let seconds = u64::from_be_bytes(*time);
    let micros = i64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1_000_000));
    let micros = micros.ok_or_else(|| refused("is of a time that no calendar has"))?;
    let verified = witness.key.verify(&message(seconds, text), signature);
    verified.map_err(|error| refused("does not verify").because(error))?;
    Ok(Instant::from_unix_micros(micros))
}

/// What is signed: a header of its own, the time, the text of the note.
fn message(seconds: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provenance::note::{Checkpoint, VerifierKey};
    use crate::types::Digest;

    const NAME: &str = "witness.example/w1";

    fn witness() -> (SecretKey, WitnessKey) {
        let key = SecretKey::from_seed([5; 32]);
        let public = WitnessKey::new(NAME, key.public()).unwrap();
        (key, public)
    }
    fn at(seconds: i64) -> Instant {
        Instant::from_unix_micros(seconds * 1_000_000)
    }
    fn cosigned() -> Note {
        let log = SecretKey::from_seed([3; 32]);
        let checkpoint = Checkpoint::sign("corpex.example/log", 7, Digest::of("root"), &log).unwrap();
        let mut note: Note = checkpoint.note.parse().unwrap();
        note.signatures.push(cosign(&note.text, NAME, &witness().0, at(1_800_000_000)).unwrap());
        note
    }

    #[test]
    fn a_cosignature_is_read_back_with_its_time() {
        let note: Note = cosigned().to_string().parse().unwrap();
        assert_eq!(cosigned_at(&note, &witness().1).unwrap(), Some(at(1_800_000_000)));
        let log = VerifierKey::new("corpex.example/log", SecretKey::from_seed([3; 32]).public()).unwrap();
        assert_eq!(Checkpoint::open(&note.to_string(), &log).unwrap().tree_size, 7);
    }

    #[test]
    fn the_latest_of_several_cosignatures_counts() {
        let mut note = cosigned();
        note.signatures.insert(1, cosign(&note.text, NAME, &witness().0, at(1_900_000_000)).unwrap());
        assert_eq!(cosigned_at(&note, &witness().1).unwrap(), Some(at(1_900_000_000)));
    }

    #[test]
    fn another_witness_or_none_is_not_counted() {
        let other = WitnessKey::new("other.example/w", witness().0.public()).unwrap();
        assert_eq!(cosigned_at(&cosigned(), &other).unwrap(), None);
        let impostor = WitnessKey::new(NAME, SecretKey::from_seed([6; 32]).public()).unwrap();
        assert_eq!(cosigned_at(&cosigned(), &impostor).unwrap(), None);
    }

    #[test]
    fn no_byte_of_a_cosignature_can_be_changed() {
        let (_, witness) = witness();
        let line = cosigned().signatures.len() - 1;
        for byte in 0..TIME_BYTES + 64 {
            let mut note = cosigned();
            note.signatures[line].signature[byte] ^= 1;
            assert!(cosigned_at(&note, &witness).is_err(), "byte {byte}");
        }
        let mut note = cosigned();
        note.signatures[line].signature.truncate(TIME_BYTES - 1);
        assert!(cosigned_at(&note, &witness).unwrap_err().detail.contains("shorter than its time"));
        note.signatures[line].signature = vec![0xff; TIME_BYTES + 64];
        assert!(cosigned_at(&note, &witness).unwrap_err().detail.contains("no calendar"));
    }

    #[test]
    fn a_cosignature_belongs_to_its_text() {
        let mut note = cosigned();
        note.text = note.text.replace("\n7\n", "\n8\n");
        assert!(cosigned_at(&note, &witness().1).unwrap_err().detail.contains("does not verify"));
    }

    #[test]
    fn a_log_cannot_be_its_own_witness_by_mistake() {
        let key = SecretKey::from_seed([3; 32]);
        let (log, witness) =
            (VerifierKey::new(NAME, key.public()).unwrap(), WitnessKey::new(NAME, key.public()).unwrap());
        assert_ne!(log.key_id(), witness.key_id());
        assert!(witness.to_string().parse::<VerifierKey>().is_err());
        assert!(log.to_string().parse::<WitnessKey>().is_err());
        assert_eq!(witness.to_string().parse::<WitnessKey>().unwrap(), witness);
    }
}
