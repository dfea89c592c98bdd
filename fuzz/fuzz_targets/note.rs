//! Signed notes, checkpoints and verifier keys.
//!
//! What parses prints as it was. A text that we sign ourselves verifies, whatever it says; as a checkpoint it is accepted
//! only in the one spelling that its three values have.
#![no_main]

use std::sync::LazyLock;

use corpex::provenance::note::{Checkpoint, Note, VerifierKey};
use corpex::signing::{Bytes, SecretKey};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::from_seed([2; 32]));
static LOG: LazyLock<VerifierKey> =
    LazyLock::new(|| VerifierKey::new("corpex.example/log", KEY.public()).expect("a fit name"));

fuzz_target!(|text: &str| {
    if let Ok(note) = text.parse::<Note>() {
        assert_eq!(note.to_string(), text);
    }
    if let Ok(vkey) = text.parse::<VerifierKey>() {
        assert_eq!(vkey.to_string(), text);
    }
    if let Ok(checkpoint) = Checkpoint::open(text, &LOG) {
        assert_eq!(checkpoint.note, text);
    }
    let Ok(note) = Note::sign(text, &LOG.name, &KEY) else { return };
    assert_eq!(note.text, text);
    if let Ok(checkpoint) = Checkpoint::open(&note.to_string(), &LOG) {
        let root = Bytes(checkpoint.root.0.to_vec());
        assert_eq!(format!("{}\n{}\n{root}\n", checkpoint.origin, checkpoint.tree_size), text);
        assert_eq!(checkpoint.origin, LOG.name);
    }
});
