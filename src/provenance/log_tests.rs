//! The log in a database, step by step.

use serde_json::json;

use super::note::{Checkpoint, VerifierKey};
use super::proof::TlogProof;
use super::tree::{self, TileReader, Tree};
use super::*;
use crate::db::Db;
use crate::provenance::tiles::Tile;
use crate::signing::SecretKey;
use crate::types::Clock;

const ORIGIN: &str = "corpex.example/log";

struct Log {
    db: Db,
    keys: ExchangeKeys,
    clock: Clock,
    _dir: tempfile::TempDir,
}

impl Log {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path().join("corpex.sqlite3").to_str().unwrap(), 2).unwrap();
        db.migrate().await.unwrap();
        Self { db, keys: ExchangeKeys::generate(), clock: Clock::default(), _dir: dir }
    }
    fn vkey(&self) -> VerifierKey {
        VerifierKey::new(ORIGIN, self.keys.log.public()).unwrap()
    }
    async fn declare(&self, about: &str) -> Recorded {
        let (keys, about, now) = (self.keys.clone(), about.to_string(), self.clock.now());
        let declared = self.db.write(move |c| {
            let root = Digest::of(&about);
            let subjects = vec![ResourceDescriptor::new("batch", root)];
            let predicate = json!({"root_sha256": root, "count": 1});
            declare(c, &keys, StatementKind::ReceiptBatch, &about, subjects, &predicate, now)
        });
        declared.await.unwrap()
    }
    async fn integrate_as(&self, owner: &str) -> Result<Option<Checkpoint>> {
        let (keys, owner, now) = (self.keys.clone(), owner.to_string(), self.clock.now());
        self.db.write(move |c| sequencer::integrate(c, &keys, ORIGIN, &owner, now)).await
    }
    async fn integrate(&self) -> Option<Checkpoint> {
        self.integrate_as("first").await.unwrap()
    }
    async fn sql(&self, sql: &'static str) {
        use diesel::connection::SimpleConnection as _;
        self.db.write(move |c| Ok(c.batch_execute(sql)?)).await.unwrap();
    }
    async fn proof(&self, entry_id: EntryId) -> Option<TlogProof> {
        self.db.read(move |c| proofs::proof_of(c, entry_id)).await.unwrap().map(|text| text.parse().unwrap())
    }
    async fn leaf(&self, entry_id: EntryId) -> String {
        self.db.read(move |c| proofs::leaf(c, entry_id)).await.unwrap()
    }
    async fn status(&self) -> sequencer::LogStatus {
        self.db.read(sequencer::status).await.unwrap()
    }
}

#[tokio::test]
async fn an_empty_log_signs_its_checkpoint_once() {
    let log = Log::new().await;
    assert_eq!(log.db.read(proofs::checkpoint).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(log.status().await.tree_size, None);
    let first = log.integrate().await.unwrap();
    assert_eq!((first.tree_size, first.root), (0, tree::empty_root()));
    assert_eq!(log.integrate().await, None);
    let note = log.db.read(proofs::checkpoint).await.unwrap();
    assert_eq!(Checkpoint::open(&note, &log.vkey()).unwrap(), first);
}

#[tokio::test]
async fn an_entry_waits_then_gets_a_proof_that_anyone_can_check() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    let recorded = log.declare("one").await;
    assert_eq!(log.proof(recorded.entry_id).await, None);
    assert_eq!(log.status().await.queued, 1);

    let checkpoint = log.integrate().await.unwrap();
    assert_eq!(checkpoint.tree_size, 1);
    assert_eq!(log.status().await, sequencer::LogStatus { tree_size: Some(1), queued: 0 });
    let (proof, leaf) = (log.proof(recorded.entry_id).await.unwrap(), log.leaf(recorded.entry_id).await);
    assert_eq!(proof.verify(leaf.as_bytes(), &log.vkey()).unwrap(), checkpoint);
    assert!(leaf.contains(&recorded.pae_sha256.to_string()));
    assert!(!leaf.contains("one"));
    let unknown = EntryId::new(log.clock.now());
    assert_eq!(log.db.read(move |c| proofs::proof_of(c, unknown)).await.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn a_thousand_entries_make_tiles_bundles_and_proofs_that_agree() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    let (keys, now) = (log.keys.clone(), log.clock.now());
    let recorded = log.db.write(move |c| {
        let one = |i: i32| {
            let root = Digest::of(i.to_string());
            let subjects = vec![ResourceDescriptor::new("batch", root)];
            let predicate = json!({"root_sha256": root, "count": 1});
            declare(c, &keys, StatementKind::ReceiptBatch, i, subjects, &predicate, now)
        };
        (0..1300).map(one).collect::<Result<Vec<_>>>()
    });
    let recorded = recorded.await.unwrap();
    assert_eq!(log.integrate().await.unwrap().tree_size, 1024);
    let checkpoint = log.integrate().await.unwrap();
    assert_eq!(checkpoint.tree_size, 1300);
    assert_eq!(log.integrate().await, None);

    for at in [0, 255, 256, 1023, 1024, 1299] {
        let entry_id = recorded[at].entry_id;
        let (proof, leaf) = (log.proof(entry_id).await.unwrap(), log.leaf(entry_id).await);
        assert_eq!(proof.verify(leaf.as_bytes(), &log.vkey()).unwrap(), checkpoint);
    }
    assert_eq!(entries_of(&log, 1300).await, checkpoint.root);
    assert_eq!(tiles_of(&log, 1300).await, checkpoint.root);
    let missing = |level, index, width| log.db.read(move |c| proofs::tile(c, level, index, width));
    for (level, index, width) in [(0, 5, 21), (0, 6, 1), (1, 0, 6), (2, 0, 1)] {
        assert_eq!(missing(level, index, width).await.unwrap_err().kind, Kind::NotFound);
    }
    assert!(log.db.read(|c| proofs::entries_tile(c, 5, 21)).await.is_err());
}

/// The root as a monitor computes it, from the entry bundles alone.
async fn entries_of(log: &Log, size: usize) -> Digest {
    let mut leaves = Vec::new();
    for (index, start) in (0..).zip((0..size).step_by(256)) {
        let width = u16::try_from((size - start).min(256)).unwrap();
        let bundle = log.db.read(move |c| proofs::entries_tile(c, index, width)).await.unwrap();
        let mut rest = bundle.as_slice();
        while let Some((length, tail)) = rest.split_first_chunk() {
            let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
            leaves.push(tree::leaf_hash(entry));
            rest = tail;
        }
    }
    assert_eq!(leaves.len(), size);
    tree::root_of(&leaves)
}

/// The root as a client computes it, from the served tiles.
async fn tiles_of(log: &Log, size: u64) -> Digest {
    struct Served<'a>(&'a mut Conn);
    impl TileReader for Served<'_> {
        fn read(&mut self, tile: Tile) -> Result<Vec<Digest>> {
            let bytes = proofs::tile(self.0, tile.level, tile.index, tile.width)?;
            Ok(bytes.as_chunks().0.iter().map(|hash| Digest(*hash)).collect())
        }
    }
    log.db.read(move |c| Tree::new(Served(c), size).root()).await.unwrap()
}

#[tokio::test]
async fn one_sequencer_holds_the_log_until_its_lease_lapses() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    assert_eq!(log.integrate_as("second").await.unwrap(), None);
    log.clock.advance(sequencer::LEASE * 2);
    assert_eq!(log.integrate_as("second").await.unwrap().unwrap().tree_size, 1);
    log.declare("two").await;
    assert_eq!(log.integrate_as("first").await.unwrap(), None);
    let now = log.clock.now();
    log.db.write(move |c| sequencer::release(c, "second", now)).await.unwrap();
    assert_eq!(log.integrate_as("first").await.unwrap().unwrap().tree_size, 2);
}

#[tokio::test]
async fn a_log_whose_tiles_changed_is_not_signed_any_further() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.integrate().await.unwrap();
    log.declare("two").await;
    log.sql("UPDATE log_tiles SET hashes = zeroblob(32)").await;
    let error = log.integrate_as("first").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unverified);
    assert!(error.detail.contains("another root"), "{error}");
    log.sql("UPDATE log_tiles SET hashes = zeroblob(31)").await;
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
    assert_eq!(log.status().await, sequencer::LogStatus { tree_size: Some(1), queued: 1 });
}

#[tokio::test]
async fn a_log_that_lost_its_checkpoint_or_places_is_not_signed_any_further() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.integrate().await.unwrap();
    log.sql("DROP TRIGGER log_checkpoints_refuse_DELETE; DELETE FROM log_checkpoints WHERE tree_size = 1").await;
    assert!(log.integrate_as("first").await.unwrap_err().detail.contains("1 entries have places, and 0 are signed"));
    log.sql("DELETE FROM log_checkpoints").await;
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
}

#[tokio::test]
async fn another_origin_or_key_cannot_continue_the_log() {
    let mut log = Log::new().await;
    log.integrate().await.unwrap();
    let (keys, now) = (log.keys.clone(), log.clock.now());
    let elsewhere = log.db.write(move |c| sequencer::integrate(c, &keys, "other.example/log", "first", now)).await;
    assert_eq!(elsewhere.unwrap_err().kind, Kind::Unverified);
    log.keys.log = SecretKey::generate();
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
}

fn batch(key: &SecretKey) -> Envelope {
    let root = Digest::of("root");
    let predicate = json!({"root_sha256": root, "count": 1});
    let subjects = vec![ResourceDescriptor::new("batch", root)];
    Statement::new(StatementKind::ReceiptBatch, subjects, predicate).sign(key).unwrap()
}

#[tokio::test]
async fn an_admitted_statement_gets_the_exchanges_receipt() {
    let log = Log::new().await;
    let (key, keys, now) = (SecretKey::generate(), log.keys.clone(), log.clock.now());
    let envelope = batch(&key);
    let admitted = log.db.write(move |c| {
        let kind = StatementKind::ReceiptBatch;
        let recorded = admit(c, &keys, kind, "subject", &envelope, key.public(), now)?;
        assert_eq!(statements_about(c, "subject")?.len(), 1);
        let mut twice = envelope.clone();
        key.add_signature(&mut twice);
        assert_eq!(admit(c, &keys, kind, "subject", &twice, key.public(), now).unwrap_err().kind, Kind::BadSignature);
        let foreign = keys.statement.public();
        assert_eq!(admit(c, &keys, kind, "subject", &envelope, foreign, now).unwrap_err().kind, Kind::BadSignature);
        let (stored, leaf) = (statement(c, recorded.id)?, proofs::leaf(c, recorded.entry_id)?);
        Ok((stored, recorded, leaf, key.public()))
    });
    let (stored, recorded, leaf, key) = admitted.await.unwrap();
    assert_eq!(stored.envelope, recorded.envelope);
    let receipt = stored.receipt.unwrap();
    let read = parse(&stored.envelope, key, StatementKind::ReceiptBatch).unwrap();
    let exchange = log.keys.statement.public();
    statement::verify_receipt(&receipt, &read, stored.kind, &stored.envelope, exchange).unwrap();
    assert!(leaf.contains(&key.key_id().to_string()) && leaf.contains("receipt_pae_sha256"));
}

#[tokio::test]
async fn the_entry_of_a_contract_does_not_name_the_trading_party() {
    let log = Log::new().await;
    let (key, keys, now) = (SecretKey::generate(), log.keys.clone(), log.clock.now());
    let (envelope, party) = (batch(&key), key.public());
    let signed = log.db.write(move |c| {
        let kind = StatementKind::ReceiptBatch;
        let recorded = countersign(c, &keys, kind, "subject", envelope.clone(), party, now)?;
        let (stored, leaf) = (statement(c, recorded.id)?, proofs::leaf(c, recorded.entry_id)?);
        Ok((leaf, recorded, stored))
    });
    let (leaf, recorded, stored) = signed.await.unwrap();
    let exchange = log.keys.statement.public();
    assert!(!leaf.contains(&party.key_id().to_string()));
    assert!(leaf.contains(&exchange.key_id().to_string()) && !leaf.contains("receipt"));
    for key in [party, exchange] {
        parse(&recorded.envelope, key, StatementKind::ReceiptBatch).unwrap();
    }
    assert_eq!((stored.envelope, stored.receipt), (recorded.envelope, None));
}

#[tokio::test]
async fn the_exchange_does_not_sign_what_breaks_its_own_schema() {
    let log = Log::new().await;
    let (keys, now) = (log.keys.clone(), log.clock.now());
    let refused = log.db.write(move |c| {
        let subjects = vec![ResourceDescriptor::new("batch", Digest::of("root"))];
        declare(c, &keys, StatementKind::ReceiptBatch, "subject", subjects, &json!({"count": 0}), now)
    });
    assert_eq!(refused.await.unwrap_err().kind, Kind::Internal);
}
