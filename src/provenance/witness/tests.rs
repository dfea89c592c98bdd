//! A witness without its server: what it cosigns, what it refuses and why, and what it remembers.

use super::*;
use crate::provenance::cosignature::cosigned_at;
use crate::provenance::tiles::Tile;
use crate::provenance::tree::{TileReader, Tree, leaf_hash, root_of};

const LOG: &str = "corpex.example/log";

fn log_key() -> SecretKey {
    SecretKey::from_seed([3; 32])
}
fn log_vkey() -> VerifierKey {
    VerifierKey::new(LOG, log_key().public()).unwrap()
}
fn now() -> Instant {
    Instant::from_unix_micros(1_800_000_000_000_000)
}
fn witness_in(folder: &Path) -> Witness {
    Witness::open("witness.example", vec![log_vkey()], folder).unwrap()
}

/// A log of small entries; `fork` entries in, its history becomes another one.
struct Log {
    leaves: Vec<Digest>,
}
impl Log {
    fn new(size: usize, fork: usize) -> Self {
        let entry = |index: usize| if index < fork { format!("{index}") } else { format!("other {index}") };
        Self { leaves: (0..size).map(|index| leaf_hash(entry(index))).collect() }
    }
    fn checkpoint(&self, size: usize) -> String {
        let root = root_of(&self.leaves[..size]);
        Checkpoint::sign(LOG, u64::try_from(size).unwrap(), root, &log_key()).unwrap().note
    }
    fn submission(&self, old: usize, new: usize) -> Submission {
        let leaves = Leaves(self.leaves[..new].to_vec());
        let old_size = u64::try_from(old).unwrap();
        let proof = Tree::new(leaves, u64::try_from(new).unwrap()).consistency_path(old_size).unwrap();
        Submission { old_size, proof, checkpoint: self.checkpoint(new) }
    }
}
/// The one tile of a log of fewer than 256 entries.
struct Leaves(Vec<Digest>);
impl TileReader for Leaves {
    fn read(&mut self, _: Tile) -> Result<Vec<Digest>> {
        Ok(self.0.clone())
    }
}
fn add(witness: &Witness, submission: &Submission) -> Result<NoteSignature, Refusal> {
    witness.add_checkpoint(submission.to_string().as_bytes(), now()).unwrap()
}

#[test]
fn a_checkpoint_that_continues_the_last_one_is_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (witness_in(folder.path()), Log::new(20, 20));
    for (old, new) in [(0, 0), (0, 5), (5, 5), (5, 13), (13, 20)] {
        let line = add(&witness, &log.submission(old, new)).unwrap();
        let note: Note = format!("{}{line}\n", log.checkpoint(new)).parse().unwrap();
        assert_eq!(cosigned_at(&note, &witness.vkey().unwrap()).unwrap(), Some(now()), "{old} to {new}");
    }
    let kept = witness.checkpoint(Digest::of(LOG)).unwrap().unwrap();
    assert_eq!(Checkpoint::open(&kept, &log_vkey()).unwrap().tree_size, 20);
    assert!(cosigned_at(&kept.parse().unwrap(), &witness.vkey().unwrap()).unwrap().is_some());
    assert_eq!(witness.checkpoint(Digest::of("another log")).unwrap(), None);
}

#[test]
fn a_history_that_was_rewritten_is_never_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let (honest, forked) = (Log::new(20, 20), Log::new(20, 3));
    let witness = witness_in(folder.path());
    add(&witness, &honest.submission(0, 8)).unwrap();
    assert_eq!(add(&witness, &forked.submission(8, 8)), Err(Refusal::Forked(8)), "the same size with another root");
    // A larger tree over another history; a proof of something else.
    for (submission, why) in [
        (forked.submission(8, 20), "does not connect the two roots"),
        (Submission { proof: honest.submission(7, 20).proof, ..honest.submission(8, 20) }, "consistency proof"),
        (Submission { proof: vec![], ..honest.submission(8, 20) }, "does not connect the two roots"),
    ] {
        let Err(Refusal::Inconsistent(said)) = add(&witness, &submission) else { panic!("cosigned: {why}") };
        assert!(said.contains(why), "{said}");
    }
    assert!(add(&witness, &honest.submission(8, 20)).is_ok(), "the honest log goes on");
}

#[test]
fn a_log_that_shrank_or_is_behind_is_told_the_last_size() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (witness_in(folder.path()), Log::new(20, 20));
    add(&witness, &log.submission(0, 13)).unwrap();
    for (old, new) in [(0, 5), (0, 13), (0, 20), (5, 13), (12, 20)] {
        assert_eq!(add(&witness, &log.submission(old, new)), Err(Refusal::Conflict(13)), "{old} to {new}");
    }
}

#[test]
fn a_witness_remembers_across_restarts_and_serves_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(20, 20);
    let (vkey, second) = {
        let witness = witness_in(folder.path());
        add(&witness, &log.submission(0, 13)).unwrap();
        (witness.vkey().unwrap(), Witness::open("witness.example", vec![log_vkey()], folder.path()).err())
    };
    assert!(second.unwrap().detail.contains("another witness uses"));
    let again = witness_in(folder.path());
    assert_eq!(again.vkey().unwrap(), vkey);
    assert_eq!(add(&again, &Log::new(20, 3).submission(0, 20)), Err(Refusal::Conflict(13)));
    assert!(add(&again, &log.submission(13, 20)).is_ok());
}

#[test]
fn what_is_not_the_logs_own_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (witness, log) = (witness_in(folder.path()), Log::new(20, 20));
    let stranger = SecretKey::from_seed([9; 32]);
    let signed_by = |origin: &str, key: &SecretKey| {
        let checkpoint = Checkpoint::sign(origin, 1, Digest::of("root"), key).unwrap().note;
        add(&witness, &Submission { old_size: 0, proof: vec![], checkpoint })
    };
    assert_eq!(signed_by("other.example/log", &log_key()), Err(Refusal::UnknownLog("other.example/log".into())));
    assert!(matches!(signed_by(LOG, &stranger), Err(Refusal::Forbidden(why)) if why.contains("no signature by")));
    let mut tampered = log.submission(0, 5);
    tampered.checkpoint = tampered.checkpoint.replace("\n5\n", "\n6\n");
    assert!(matches!(add(&witness, &tampered), Err(Refusal::Forbidden(why)) if why.contains("is not what")));
    let empty = Checkpoint::sign(LOG, 0, Digest::of("root"), &log_key()).unwrap().note;
    let empty = add(&witness, &Submission { old_size: 0, proof: vec![], checkpoint: empty });
    assert!(matches!(empty, Err(Refusal::Inconsistent(why)) if why.contains("empty tree")));
    assert_eq!(witness.checkpoint(Digest::of(LOG)).unwrap(), None, "nothing was kept");
}

#[test]
fn a_submission_has_one_spelling() {
    let submission = Log::new(20, 20).submission(5, 13);
    let good = submission.to_string();
    assert_eq!(Submission::read(good.as_bytes()).unwrap(), submission);
    let first_hash = good.lines().nth(1).unwrap();
    for (from, to, why) in [
        ("old 5", "old 05", "old size"),
        ("old 5", "old +5", "old size"),
        ("old 5", "new 5", "old size"),
        ("old 5\n", "", "old size"),
        (first_hash, "AAAA", "32 bytes of base64"),
        ("\n\n", "\n", "32 bytes of base64"),
    ] {
        let error = Submission::read(good.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(error.detail.contains(why), "{from} to {to}: {error}");
    }
    let long = good.replacen(first_hash, &vec![first_hash; 64].join("\n"), 1);
    assert!(Submission::read(long.as_bytes()).unwrap_err().detail.contains("longer than 63"));
    assert!(Submission::read(&vec![b'a'; submission::MAX_BYTES + 1]).unwrap_err().detail.contains("too long"));
    assert!(Submission::read(&[0xff, b'\n', b'\n']).unwrap_err().detail.contains("UTF-8"));
    let folder = tempfile::tempdir().unwrap();
    let larger = Submission { old_size: 14, ..submission };
    assert!(matches!(add(&witness_in(folder.path()), &larger), Err(Refusal::Malformed(why)) if why.contains("larger")));
}
