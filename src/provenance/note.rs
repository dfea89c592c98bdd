//! C2SP signed notes, verifier keys (`vkey`s), and the log's checkpoints.
//!
//! A checkpoint is a signed note of three lines: origin, tree size, root hash. It is all that a client must
//! remember of the log, and what witnesses cosign.
//!
//! Invariant: a checkpoint parsed here has no extension lines, and one spelling for its size and root.
//! Signatures by unknown keys are kept and ignored; a signature by the known key must verify. Witnesses' lines are
//! read by [`super::cosignature`].

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::signing::{PublicKey, SecretKey};
use crate::types::Digest;

/// The signature type of plain Ed25519 over the note's text.
const ED25519: u8 = 1;
/// The signature type of a witness: Ed25519 over a time and the note's text (C2SP tlog-cosignature).
const COSIGNATURE_V1: u8 = 4;
/// More signatures than this are not read; the standard asks for 16 at least.
const MAX_SIGNATURES: usize = 100;
/// A longer note is not read.
const MAX_NOTE_BYTES: usize = 1024 * 1024;

fn refused(what: &str, why: impl fmt::Display) -> Error {
    Error::new(Kind::Unverified, format!("the {what} {why}"))
}

/// Checks the name of a log or a key: not empty, no white space, no plus sign, no control characters.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+') {
        let detail =
            format!("{name:?} cannot name a log: a name has no spaces, no plus sign and no control characters");
        return Err(
            Error::invalid("log_origin", detail).remedy("use a URL without its scheme, such as corpex.example/log")
        );
    }
    Ok(())
}

/// A C2SP vkey: a name, the Ed25519 key that signs under it, and by `TYPE` what it signs. Written
/// `name+keyid+base64(type || key)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vkey<const TYPE: u8> {
    /// The name in the signature lines; for a log, its origin.
    pub name: String,
    /// The Ed25519 key.
    pub key: PublicKey,
}

/// The verifier key of a log: it signs the text of its checkpoints.
pub type VerifierKey = Vkey<ED25519>;
/// The verifier key of a witness: it signs times and texts of checkpoints.
pub type WitnessKey = Vkey<COSIGNATURE_V1>;

impl<const TYPE: u8> Vkey<TYPE> {
    /// The verifier key of a name and a key; the name must be fit for a signature line.
    pub fn new(name: &str, key: PublicKey) -> Result<Self> {
        check_name(name)?;
        Ok(Self { name: name.to_string(), key })
    }
    /// The first four bytes of SHA-256(name ‖ newline ‖ type ‖ public key).
    pub fn key_id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = Digest::of([self.name.as_bytes(), b"\n", &[TYPE], &self.key.to_bytes()].concat()).0;
        [a, b, c, d]
    }
}

impl<const TYPE: u8> fmt::Display for Vkey<TYPE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([&[TYPE], self.key.to_bytes().as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.key_id()))
    }
}
impl<const TYPE: u8> FromStr for Vkey<TYPE> {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let (field, published) = match TYPE {
            COSIGNATURE_V1 => ("witness_vkey", "its witness prints it"),
            _ => ("log_vkey", "the exchange publishes it at /v1/exchange/keys"),
        };
        let malformed = || {
            Error::invalid(field, "this is not a verifier key of the kind expected here")
                .remedy(format!("write name+keyid+key as {published}"))
        };
        let (name, rest) = text.split_once('+').ok_or_else(malformed)?;
        let (_, encoded) = rest.split_once('+').ok_or_else(malformed)?;
        let key = match BASE64.decode(encoded).map_err(|_| malformed())?.split_first() {
            Some((found, key)) if *found == TYPE => PublicKey::from_bytes(key)?,
            _ => return Err(malformed()),
        };
        let verifier = Self::new(name, key)?;
        // The key id is computed from the rest, so a wrong one shows here.
        if verifier.to_string() == text { Ok(verifier) } else { Err(malformed()) }
    }
}
impl<const TYPE: u8> Serialize for Vkey<TYPE> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, const TYPE: u8> Deserialize<'de> for Vkey<TYPE> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A text and the signatures under it, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text, which ends with a newline.
    pub text: String,
    /// The signature lines, in their order.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Whose key.
    pub name: String,
    /// Which key of that name.
    pub key_id: [u8; 4],
    /// The signature, in the format of the key's type.
    pub signature: Vec<u8>,
}

impl Note {
    /// Signs a text, which must end with a newline.
    pub fn sign(text: &str, name: &str, key: &SecretKey) -> Result<Self> {
        let verifier = VerifierKey::new(name, key.public())?;
        let signature = key.sign(text.as_bytes()).to_vec();
        let signatures = vec![NoteSignature { name: verifier.name.clone(), key_id: verifier.key_id(), signature }];
        let note = Self { text: text.to_string(), signatures };
        // Whatever cannot be read back must not be signed.
        note.to_string().parse::<Note>()?.verify(&verifier)?;
        Ok(note)
    }

    /// Checks every signature by `verifier`, of which there must be one at least. Others are ignored.
    pub fn verify(&self, verifier: &VerifierKey) -> Result<()> {
        let (name, key_id) = (&verifier.name, verifier.key_id());
        let mut found = false;
        for line in self.signatures.iter().filter(|line| line.name == *name && line.key_id == key_id) {
            let verified = verifier.key.verify(self.text.as_bytes(), &line.signature);
            verified.map_err(|error| refused("note", format!("is not what {name} signed")).because(error))?;
            found = true;
        }
        match found {
            true => Ok(()),
            false => Err(refused("note", format!("carries no signature by {name}, key {}", hex::encode(key_id)))),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = BASE64.encode([self.key_id.as_slice(), &self.signature].concat());
        write!(f, "— {} {encoded}", self.name)
    }
}
impl FromStr for Note {
    type Err = Error;
    fn from_str(note: &str) -> Result<Self> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(refused("note", format!("is longer than {MAX_NOTE_BYTES} bytes")));
        }
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(refused("note", "contains a control character"));
        }
        let end = note.rfind("\n\n").ok_or_else(|| refused("note", "has no blank line before its signatures"))?;
        let (text, lines) = note.split_at(end + 1);
        let lines = lines.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or_else(|| refused("note", "does not end with a signature and a newline"))?;
        let signatures =
            lines.split('\n').take(MAX_SIGNATURES + 1).map(str::parse::<NoteSignature>).collect::<Result<Vec<_>>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(refused("note", format!("carries more than {MAX_SIGNATURES} signatures")));
        }
        Ok(Self { text: text.to_string(), signatures })
    }
}

impl FromStr for NoteSignature {
    type Err = Error;
    fn from_str(line: &str) -> Result<Self> {
        let malformed = || refused("note", format!("has a malformed signature line: {line:?}"));
        let (name, encoded) = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or_else(malformed)?;
        check_name(name).map_err(|_| malformed())?;
        let bytes = BASE64.decode(encoded).map_err(|_| malformed())?;
        match bytes.split_first_chunk() {
            Some((key_id, signature @ [_, ..])) => {
                Ok(Self { name: name.to_string(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(malformed()),
        }
    }
}

/// What the log committed to at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries.
    pub tree_size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// The signed note, byte for byte.
    pub note: String,
}

impl Checkpoint {
    /// Signs a checkpoint under the log's name.
    pub fn sign(origin: &str, tree_size: u64, root: Digest, key: &SecretKey) -> Result<Self> {
        let text = format!("{origin}\n{tree_size}\n{}\n", encode_hash(&root));
        let note = Note::sign(&text, origin, key)?.to_string();
        Self::open(&note, &VerifierKey::new(origin, key.public())?)
    }

    /// Adds the signature of another key of the same log, in a line of its own.
    pub fn cosign(self, key: &SecretKey) -> Result<Self> {
        let mut note: Note = self.note.parse()?;
        note.signatures.extend(Note::sign(&note.text, &self.origin, key)?.signatures);
        Ok(Self { note: note.to_string(), ..self })
    }

    /// Reads a checkpoint that `log` signed: the origin is the log's name and the signature verifies.
    pub fn open(note: &str, log: &VerifierKey) -> Result<Self> {
        let signed: Note = note.parse()?;
        let (origin, tree_size, root) = parse_body(&signed.text)?;
        if origin != log.name {
            return Err(refused("checkpoint", format!("is of the log {origin:?}, and {:?} was expected", log.name)));
        }
        signed.verify(log)?;
        Ok(Self { origin: origin.to_string(), tree_size, root, note: note.to_string() })
    }
}

fn parse_body(text: &str) -> Result<(&str, u64, Digest)> {
    let malformed = |why: &str| refused("checkpoint", why);
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let [origin, size, root] = lines.as_slice() else {
        return Err(malformed("does not have exactly three lines: origin, tree size, root hash"));
    };
    if origin.is_empty() {
        return Err(malformed("names no origin"));
    }
    let tree_size: u64 = size.parse().map_err(|_| malformed("has a tree size that is not a number"))?;
    if tree_size.to_string() != *size {
        return Err(malformed("has a tree size that is not in its one spelling"));
    }
    let root = decode_hash(root).ok_or_else(|| malformed("has a root that is not 32 bytes of base64"))?;
    Ok((origin, tree_size, root))
}

/// A hash in standard base64, as notes and proofs write it.
pub(super) fn decode_hash(text: &str) -> Option<Digest> {
    Some(Digest(BASE64.decode(text).ok()?.try_into().ok()?))
}

/// Writes a hash in standard base64, as notes and proofs do.
pub(super) fn encode_hash(hash: &Digest) -> String {
    BASE64.encode(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    fn log() -> (SecretKey, VerifierKey) {
        let key = SecretKey::from_seed([3; 32]);
        let verifier = VerifierKey::new("corpex.example/log", key.public()).unwrap();
        (key, verifier)
    }

    #[test]
    fn the_example_of_the_specification_verifies_and_prints_as_it_was() {
        let verifier: VerifierKey = VKEY.parse().unwrap();
        assert_eq!(verifier.to_string(), VKEY);
        let note: Note = NOTE.parse().unwrap();
        note.verify(&verifier).unwrap();
        assert_eq!(note.to_string(), NOTE);
    }

    #[test]
    fn no_character_of_a_signed_note_can_be_changed() {
        let verifier: VerifierKey = VKEY.parse().unwrap();
        for at in 0..NOTE.len() {
            let mut bytes = NOTE.as_bytes().to_vec();
            bytes[at] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(text.parse::<Note>().and_then(|note| note.verify(&verifier)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_verifier_key_with_a_wrong_id_type_or_name_is_refused() {
        for bad in [
            "",
            "example.com/foo",
            "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/fob+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example.com/foo+530d903a+BOkyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            "example com+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        ] {
            assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
        }
        assert_eq!("".parse::<VerifierKey>().unwrap_err().field.as_deref(), Some("log_vkey"));
        assert_eq!(VKEY.parse::<WitnessKey>().unwrap_err().field.as_deref(), Some("witness_vkey"));
    }

    #[test]
    fn a_log_is_named_without_spaces_pluses_and_control_characters() {
        check_name("corpex.example/log").unwrap();
        for bad in ["", "a b", "a\u{a0}b", "a\nb", "a\0b", "a+b"] {
            assert_eq!(check_name(bad).unwrap_err().field.as_deref(), Some("log_origin"), "{bad:?}");
        }
    }

    #[test]
    fn a_checkpoint_keeps_its_size_and_root_and_ignores_witnesses() {
        let (key, verifier) = log();
        let checkpoint = Checkpoint::sign(&verifier.name, 42, Digest::of("root"), &key).unwrap();
        let cosigned = format!("{}— witness.example BBBBBBBBBBBB\n", checkpoint.note);
        let opened = Checkpoint::open(&cosigned, &verifier).unwrap();
        assert_eq!((opened.tree_size, opened.root), (42, Digest::of("root")));
        assert_eq!(opened.note, cosigned);
    }

    #[test]
    fn a_checkpoint_of_another_log_or_key_is_refused() {
        let (key, verifier) = log();
        let checkpoint = Checkpoint::sign(&verifier.name, 1, Digest::of("root"), &key).unwrap();
        let elsewhere = VerifierKey::new("other.example/log", key.public()).unwrap();
        assert!(Checkpoint::open(&checkpoint.note, &elsewhere).unwrap_err().detail.contains("other.example/log"));
        let other_key = VerifierKey::new(&verifier.name, SecretKey::from_seed([4; 32]).public()).unwrap();
        assert!(Checkpoint::open(&checkpoint.note, &other_key).is_err());
    }

    #[test]
    fn a_checkpoint_by_two_keys_of_the_log_is_accepted_by_either() {
        let (key, verifier) = log();
        let (other, stranger) = (SecretKey::from_seed([4; 32]), SecretKey::from_seed([5; 32]));
        let checkpoint = Checkpoint::sign(&verifier.name, 1, Digest::of("root"), &key).unwrap();
        let checkpoint = checkpoint.cosign(&other).unwrap();
        let opened = |key: &SecretKey| {
            Checkpoint::open(&checkpoint.note, &VerifierKey::new(&verifier.name, key.public()).unwrap())
        };
        assert_eq!(opened(&key).unwrap(), checkpoint);
        assert_eq!(opened(&other).unwrap(), checkpoint);
        assert!(opened(&stranger).unwrap_err().detail.contains("carries no signature by"));
    }

    #[test]
    fn a_second_bad_signature_by_the_log_itself_is_refused() {
        let (key, verifier) = log();
        let checkpoint = Checkpoint::sign(&verifier.name, 1, Digest::of("root"), &key).unwrap();
        let other = Note::sign("something else\n", &verifier.name, &key).unwrap().to_string();
        let line = other.lines().last().unwrap();
        assert!(Checkpoint::open(&format!("{}{line}\n", checkpoint.note), &verifier).is_err());
    }

    #[test]
    fn malformed_bodies_are_refused_even_when_signed() {
        let (key, verifier) = log();
        let root = encode_hash(&Digest::of("root"));
        for body in [
            format!("{}\n1\n{root}\nextension\n", verifier.name),
            format!("{}\n01\n{root}\n", verifier.name),
            format!("{}\n+1\n{root}\n", verifier.name),
            format!("{}\n-1\n{root}\n", verifier.name),
            format!("{}\n99999999999999999999\n{root}\n", verifier.name),
            format!("{}\n1\n{root}=\n", verifier.name),
            format!("{}\n1\nAAAA\n", verifier.name),
            format!("{}\n1\n", verifier.name),
            format!("\n1\n{root}\n"),
        ] {
            let note = Note::sign(&body, &verifier.name, &key).unwrap().to_string();
            assert!(Checkpoint::open(&note, &verifier).is_err(), "{body}");
        }
    }

    #[test]
    fn malformed_notes_are_refused() {
        for bad in [
            "",
            "text\n",
            "text\n\n",
            "text\n\n— a AAAAAAA=",
            "text\n\n- a AAAAAAA=\n",
            "te\txt\n\n— a AAAAAAA=\n",
            "text\n\n— a AAAA\n",
            "text\n\n— a b AAAAAAA=\n",
            "text\n\n— a AAAAAAB=\n",
            "text\n\n—  AAAAAAA=\n",
        ] {
            assert!(bad.parse::<Note>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_longer_than_a_note_or_signed_more_often_is_not_read() {
        const LINE: &str = "— witness.example BBBBBBBBBBBB\n";
        let signed = |text: &str, times| format!("{text}\n\n{}", LINE.repeat(times)).parse::<Note>();
        assert_eq!(signed("text", MAX_SIGNATURES).unwrap().signatures.len(), MAX_SIGNATURES);
        let error = signed("text", MAX_SIGNATURES + 1).unwrap_err();
        assert!(error.detail.ends_with("carries more than 100 signatures"), "{error}");
        let longest = "x".repeat(MAX_NOTE_BYTES - 2 - LINE.len());
        signed(&longest, 1).unwrap();
        let error = signed(&(longest + "x"), 1).unwrap_err();
        assert!(error.detail.ends_with("is longer than 1048576 bytes"), "{error}");
    }
}
