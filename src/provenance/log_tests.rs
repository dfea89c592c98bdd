//! The log in a database, step by step.

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use serde_json::json;

use super::note::{Checkpoint, VerifierKey};
use super::proof::TlogProof;
use super::tree::{self, TileReader, Tree};
use super::*;
use crate::db::Db;
use crate::leases::Claimant;
use crate::provenance::tiles::Tile;
use crate::signing::SecretKey;
use crate::types::Clock;

#[path = "publication_tests.rs"]
mod publication_tests;

const ORIGIN: &str = "corpex.example/log";

/// A PostgreSQL database is shared by all tests: each takes a schema of its own.
fn own_schema(url: &str) -> String {
    let name = format!("log_{:016x}", rand::random::<u64>());
    PgConnection::establish(url).unwrap().batch_execute(&format!("CREATE SCHEMA {name}")).unwrap();
    format!("{url}{}options=-csearch_path%3D{name}", if url.contains('?') { '&' } else { '?' })
}

struct Log {
    db: Db,
    keys: ExchangeKeys,
    clock: Clock,
    _dir: tempfile::TempDir,
}

impl Log {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => own_schema(&url),
            Err(_) => dir.path().join("corpex.sqlite3").to_str().unwrap().to_string(),
        };
        let db = Db::open(&url, 2).unwrap();
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
        let (keys, owner, now) = (self.keys.clone(), Claimant::new(owner), self.clock.now());
        let extend = move |c: &mut Conn| {
            let signed = sequencer::integrate(c, &keys, ORIGIN, &owner, None, now)?;
            let signed = signed.map(|signed| signed.checkpoint);
            if let Some(checkpoint) = &signed {
                assert!(sequencer::publish(c, &owner, checkpoint.tree_size, &checkpoint.note, now)?);
            }
            Ok(signed)
        };
        self.db.write(extend).await
    }
    async fn integrate(&self) -> Option<Checkpoint> {
        self.integrate_as("first").await.unwrap()
    }
    async fn sql(&self, sqlite: &str, postgres: &str) {
        let (sqlite, postgres) = (sqlite.to_string(), postgres.to_string());
        let sql = move |c: &mut Conn| match c {
            Conn::Sqlite(c) => c.batch_execute(&sqlite),
            Conn::Pg(c) => c.batch_execute(&postgres),
        };
        self.db.write(move |c| Ok(sql(c)?)).await.unwrap();
    }
    async fn proof(&self, entry_id: EntryId) -> Option<TlogProof> {
        self.db.read(move |c| log::proof_of(c, entry_id)).await.unwrap().map(|text| text.parse().unwrap())
    }
    async fn leaf(&self, entry_id: EntryId) -> String {
        self.db.read(move |c| log::leaf(c, entry_id)).await.unwrap()
    }
    /// Records an entry about `subject`, and gives the statement and the leaf.
    async fn record(&self, entry: NewEntry) -> (StoredStatement, String) {
        let (entry, now) = (std::sync::Mutex::new(Some(entry)), self.clock.now());
        let recorded = self.db.write(move |c| {
            let recorded = entry.lock().unwrap().take().unwrap().record(c, "subject", now)?;
            let about = statements_about(c, "subject")?;
            assert_eq!(about.iter().map(|stored| stored.id).collect::<Vec<_>>(), [recorded.id]);
            Ok((statement(c, recorded.id)?, log::leaf(c, recorded.entry_id)?))
        });
        recorded.await.unwrap()
    }
    /// The differences that an audit finds.
    async fn audit(&self) -> String {
        let keys = self.keys.clone();
        self.db.read(move |c| audit::audit(c, &keys, ORIGIN)).await.unwrap().join("; ")
    }
    async fn status(&self) -> sequencer::LogStatus {
        self.db.read(sequencer::status).await.unwrap()
    }
}

#[tokio::test]
async fn an_empty_log_signs_its_checkpoint_once() {
    let log = Log::new().await;
    assert_eq!(log.db.read(log::checkpoint).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(log.status().await.tree_size, None);
    let first = log.integrate().await.unwrap();
    assert_eq!((first.tree_size, first.root), (0, tree::empty_root()));
    assert_eq!(log.integrate().await, None);
    let note = log.db.read(log::checkpoint).await.unwrap();
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
    assert_eq!(log.db.read(move |c| log::proof_of(c, unknown)).await.unwrap_err().kind, Kind::NotFound);
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
    for (level, index, width) in [(0, 5, 21), (0, 6, 1), (1, 0, 6), (2, 0, 1), (0, u64::MAX, 256)] {
        let missing = log.db.read(move |c| log::tile(c, Tile { level, index, width })).await;
        assert_eq!(missing.unwrap_err().kind, Kind::NotFound);
    }
    let missing = log.db.read(|c| log::entry_bundle(c, Tile { level: 0, index: 5, width: 21 })).await;
    assert_eq!(missing.unwrap_err().kind, Kind::NotFound);
}

#[tokio::test]
async fn nothing_is_served_of_entries_that_no_published_checkpoint_covers() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    let (keys, now) = (log.keys.clone(), log.clock.now());
    let integrate = move |c: &mut Conn| sequencer::integrate(c, &keys, ORIGIN, &Claimant::new("first"), None, now);
    let signed = log.db.write(integrate).await.unwrap().unwrap().checkpoint;
    let first = Tile { level: 0, index: 0, width: 1 };
    let served = async || {
        let hashes = log.db.read(move |c| log::tile(c, first)).await;
        let entries = log.db.read(move |c| log::entry_bundle(c, first)).await;
        [hashes, entries].map(|served| served.map(|bytes| !bytes.is_empty()).map_err(|error| error.kind))
    };
    assert_eq!(served().await, [Err::<bool, _>(Kind::NotFound); 2]);
    let publish = move |c: &mut Conn| sequencer::publish(c, &Claimant::new("first"), 1, &signed.note, now);
    assert!(log.db.write(publish).await.unwrap());
    assert_eq!(served().await, [Ok::<_, Kind>(true); 2]);
}

/// The root as a monitor computes it, from the entry bundles alone.
async fn entries_of(log: &Log, size: usize) -> Digest {
    let mut leaves = Vec::new();
    for (index, start) in (0..).zip((0..size).step_by(256)) {
        let width = u16::try_from((size - start).min(256)).unwrap();
        let tile = Tile { level: 0, index, width };
        let bundle = log.db.read(move |c| log::entry_bundle(c, tile)).await.unwrap();
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
            let bytes = log::tile(self.0, tile)?;
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
    let is_led_by_another = async |who: &'static str| {
        let now = log.clock.now();
        log.db.read(move |c| sequencer::is_led_by_another(c, &Claimant::new(who), now)).await.unwrap()
    };
    assert!(is_led_by_another("second").await && !is_led_by_another("first").await);
    log.clock.advance(sequencer::LEASE * 2);
    assert!(!is_led_by_another("second").await, "its lease lapsed");
    assert_eq!(log.integrate_as("second").await.unwrap().unwrap().tree_size, 1);
    log.declare("two").await;
    assert_eq!(log.integrate_as("first").await.unwrap(), None);
    log.db.write(|c| sequencer::release(c, "second")).await.unwrap();
    assert_eq!(log.integrate_as("first").await.unwrap().unwrap().tree_size, 2);
}

#[tokio::test]
async fn a_log_whose_tiles_changed_is_not_signed_any_further() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.integrate().await.unwrap();
    log.declare("two").await;
    log.sql(
        "UPDATE log_tiles SET hashes = zeroblob(32)",
        "UPDATE log_tiles SET hashes = decode(repeat('00', 32), 'hex')",
    )
    .await;
    let error = log.integrate_as("first").await.unwrap_err();
    assert_eq!(error.kind, Kind::Unverified);
    assert!(error.detail.contains("another root"), "{error}");
    log.sql(
        "UPDATE log_tiles SET hashes = zeroblob(31)",
        "UPDATE log_tiles SET hashes = decode(repeat('00', 31), 'hex')",
    )
    .await;
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
    assert_eq!(log.status().await, sequencer::LogStatus { tree_size: Some(1), queued: 1 });
}

#[tokio::test]
async fn a_log_that_lost_its_checkpoint_or_places_is_not_signed_any_further() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.integrate().await.unwrap();
    log.sql(
        "DROP TRIGGER log_publications_refuse_DELETE; DELETE FROM log_publications; \
         DROP TRIGGER log_checkpoints_refuse_DELETE; DELETE FROM log_checkpoints WHERE tree_size = 1",
        "ALTER TABLE log_publications DISABLE TRIGGER USER; DELETE FROM log_publications; \
         ALTER TABLE log_checkpoints DISABLE TRIGGER USER; DELETE FROM log_checkpoints WHERE tree_size = 1",
    )
    .await;
    assert!(log.integrate_as("first").await.unwrap_err().detail.contains("1 entries have places, and 0 are signed"));
    log.sql("DELETE FROM log_checkpoints", "DELETE FROM log_checkpoints").await;
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
}

#[tokio::test]
async fn an_audit_finds_a_key_that_is_not_what_the_log_says() {
    let mut log = Log::new().await;
    let (first, next, now) = (log.keys.clone(), SecretKey::generate(), log.clock.now());
    log.keys.statement_next = Some(next.clone());
    let both = log.keys.clone();
    let rotated = log.db.write(move |c| {
        exchange_keys::enrol(c, &first)?;
        exchange_keys::activate(c, &first, KeyRole::Statement, &next, now)?;
        exchange_keys::retire(c, &both, KeyRole::Statement, ORIGIN, now)
    });
    assert!(rotated.await.unwrap());
    assert_eq!(log.db.read(exchange_keys::audit).await.unwrap(), [""; 0]);
    let alive_again = "UPDATE exchange_keys SET retired_at = NULL";
    log.db.write(move |c| Ok(c.batch_execute(alive_again)?)).await.unwrap();
    let id = log.keys.statement.public().key_id();
    let found = log.db.read(exchange_keys::audit).await.unwrap();
    assert_eq!(found, [format!("the exchange's statement key {id} is not what the log says of it")]);
    let lost = "DELETE FROM exchange_keys WHERE replaces IS NOT NULL";
    log.db.write(move |c| Ok(c.batch_execute(lost)?)).await.unwrap();
    let found = log.db.read(exchange_keys::audit).await.unwrap();
    assert!(found.iter().any(|found| found.ends_with("is lost")), "{found:?}");
}

#[tokio::test]
async fn an_audit_finds_a_checkpoint_that_was_shown_and_never_signed() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.integrate().await.unwrap();
    assert_eq!(log.audit().await, "");
    log.sql("DROP TRIGGER log_publications_refuse_UPDATE", "ALTER TABLE log_publications DISABLE TRIGGER USER").await;
    let other = Checkpoint::sign(ORIGIN, 1, Digest::of("another history"), &log.keys.log).unwrap().note;
    for (note, why) in [(other.as_str(), "is not the one that was signed"), ("nothing", "does not verify")] {
        let update = format!("UPDATE log_publications SET note = '{note}' WHERE tree_size = 1");
        log.sql(&update, &update).await;
        assert!(log.audit().await.contains(why), "{}", log.audit().await);
    }
}

#[tokio::test]
async fn an_audit_finds_an_entry_whose_place_is_far_beyond_the_others() {
    let log = Log::new().await;
    log.integrate().await.unwrap();
    log.declare("one").await;
    log.declare("two").await;
    log.integrate().await.unwrap();
    log.sql("DROP TRIGGER log_sequence_refuse_UPDATE", "ALTER TABLE log_sequence DISABLE TRIGGER USER").await;
    let far = "UPDATE log_sequence SET leaf_index = 1000000000000000 WHERE leaf_index = 1";
    log.sql(far, far).await;
    assert_eq!(log.audit().await, "of 1000000000000001 places in the log 2 are taken: some are lost");
}

#[tokio::test]
async fn another_origin_or_key_cannot_continue_the_log() {
    let mut log = Log::new().await;
    log.integrate().await.unwrap();
    let (keys, now) = (log.keys.clone(), log.clock.now());
    let elsewhere = log
        .db
        .write(move |c| sequencer::integrate(c, &keys, "other.example/log", &Claimant::new("first"), None, now))
        .await;
    assert_eq!(elsewhere.unwrap_err().kind, Kind::Unverified);
    log.keys.log = SecretKey::generate();
    assert_eq!(log.integrate_as("first").await.unwrap_err().kind, Kind::Unverified);
}

/// The predicates of other domains have their own schemas, and tests there.
fn lenient(_: &str, _: &serde_json::Value) -> Result<()> {
    Ok(())
}

fn signed(kind: StatementKind, key: &SecretKey) -> Envelope {
    let subjects = vec![ResourceDescriptor::new("document", Digest::of("document"))];
    Statement::new(kind, subjects, json!({"party": "lab"})).sign(key).unwrap()
}

fn opened(kind: StatementKind, envelope: &Envelope, signers: &[PublicKey]) -> Result<VerifiedEnvelope> {
    Ok(VerifiedEnvelope::open_with(envelope.clone(), signers, kind, &lenient)?.0)
}

#[tokio::test]
async fn an_admitted_statement_gets_the_exchanges_receipt() {
    let log = Log::new().await;
    let (key, keys, now, kind) = (SecretKey::generate(), &log.keys, log.clock.now(), StatementKind::Terms);
    let envelope = signed(kind, &key);
    let (verified, statement) = VerifiedEnvelope::open_with(envelope.clone(), &[key.public()], kind, &lenient).unwrap();
    let entry = admitted(&[&keys.statement], &verified, now).unwrap();
    let receipt = entry.receipt.clone().unwrap();
    let (stored, leaf) = log.record(entry).await;
    assert_eq!((stored.kind, stored.subject.as_str()), (kind, "subject"));
    assert_eq!((&stored.envelope, stored.receipt.as_ref()), (&envelope, Some(&receipt)));
    statement::verify_receipt(&receipt, &statement, kind, &envelope, keys.statement.public()).unwrap();
    assert!(leaf.contains(&key.public().key_id().to_string()) && leaf.contains("receipt_pae_sha256"));
}

#[tokio::test]
async fn the_entry_of_a_contract_does_not_name_the_trading_party() {
    let log = Log::new().await;
    let (key, keys, kind) = (SecretKey::generate(), &log.keys, StatementKind::Contract);
    let contract = opened(kind, &signed(kind, &key), &[key.public()]).unwrap();
    let entry = countersigned(&[&keys.statement], &contract).unwrap();
    let (stored, leaf) = log.record(entry).await;
    let (party, exchange) = (key.public(), keys.statement.public());
    assert!(!leaf.contains(&party.key_id().to_string()));
    assert!(leaf.contains(&exchange.key_id().to_string()) && !leaf.contains("receipt"));
    for key in [party, exchange] {
        statement::parse_with(&stored.envelope, key, kind, &lenient).unwrap();
    }
    assert_eq!(stored.receipt, None);
}

#[tokio::test]
async fn an_audit_finds_a_signature_that_was_taken_from_a_contract_or_is_anothers() {
    let log = Log::new().await;
    let (buyer, stranger, keys) = (SecretKey::generate(), SecretKey::generate(), log.keys.clone());
    let kind = StatementKind::Contract;
    let contract = opened(kind, &signed(kind, &buyer), &[buyer.public()]).unwrap();
    let entry = countersigned(&[&keys.statement], &contract).unwrap();
    let (stored, _) = log.record(entry).await;
    let holder = passport::PassportKey {
        organisation: "lab".to_string(),
        key_id: buyer.public().key_id(),
        public_key: buyer.public(),
        registered_at: log.clock.now(),
        revoked_at: None,
        compromised_at: None,
    };
    let audit = async || {
        let (keys, holder) = (keys.clone(), holder.clone());
        let audit = move |c: &mut Conn| {
            let holder = holder.clone();
            let find = move |_: &mut Conn, key_id: Digest| -> Result<Option<passport::PassportKey>> {
                Ok(Some(holder.clone()).filter(|holder| holder.key_id == key_id))
            };
            audit::statements(c, &keys, &find, None)
        };
        log.db.read(audit).await.unwrap().unwrap().found.join("; ")
    };
    assert_eq!(audit().await, "");
    let set = async |envelope: &Envelope| {
        let update = format!("UPDATE statements SET envelope = '{}'", serde_json::to_string(envelope).unwrap());
        log.sql(&update, &update).await;
    };
    log.sql("DROP TRIGGER statements_refuse_UPDATE", "ALTER TABLE statements DISABLE TRIGGER USER").await;
    let mut alone = stored.envelope.clone();
    alone.signatures.remove(0);
    set(&alone).await;
    assert!(audit().await.ends_with("one of the two sides did not sign"), "{}", audit().await);
    let mut forged = stored.envelope.clone();
    forged.signatures[0].sig = signed(kind, &stranger).signatures[0].sig.clone();
    set(&forged).await;
    assert!(audit().await.contains("was not made by key"), "{}", audit().await);
    let mut another = alone;
    stranger.add_signature(&mut another);
    set(&another).await;
    assert!(audit().await.contains("there is no key"), "{}", audit().await);
}

#[test]
fn a_contract_that_both_sides_sign_takes_the_signature_of_each_and_of_nobody_else() {
    let (seller, buyer, keys) = (SecretKey::generate(), SecretKey::generate(), ExchangeKeys::generate());
    let sign = |envelope: &Envelope, signers: &[PublicKey]| {
        countersigned(&[&keys.statement], &opened(StatementKind::Contract, envelope, signers)?)
    };
    let one = signed(StatementKind::Contract, &seller);
    let mut two = one.clone();
    buyer.add_signature(&mut two);
    let sides = [seller.public(), buyer.public()];
    assert_eq!(sign(&two, &sides).unwrap().envelope.signatures.len(), 3);
    for (envelope, signers) in [(&one, &sides[..]), (&two, &sides[..1]), (&two, &[sides[0], keys.statement.public()])] {
        assert_eq!(sign(envelope, signers).map(drop).unwrap_err().kind, Kind::BadSignature);
    }
    assert_eq!(sign(&one, &[]).map(drop).unwrap_err().kind, Kind::BadSignature, "somebody signs with the exchange");
}

#[test]
fn a_statement_signed_by_the_wrong_side_is_refused() {
    let (key, keys, now) = (SecretKey::generate(), ExchangeKeys::generate(), Instant::from_unix_micros(0));
    let admit =
        |kind, envelope: &Envelope, key| admitted(&[&keys.statement], &opened(kind, envelope, &[key])?, now).map(drop);
    let terms = signed(StatementKind::Terms, &key);
    let foreign = SecretKey::generate().public();
    assert_eq!(admit(StatementKind::Terms, &terms, foreign).unwrap_err().kind, Kind::BadSignature);
    let mut twice = terms.clone();
    key.add_signature(&mut twice);
    assert_eq!(admit(StatementKind::Terms, &twice, key.public()).unwrap_err().kind, Kind::BadSignature);
    let assessment = signed(StatementKind::Assessment, &key);
    assert_eq!(admit(StatementKind::Assessment, &assessment, key.public()).unwrap_err().kind, Kind::Internal);

    let countersign = |kind, by: &SecretKey| {
        countersigned(&[&keys.statement], &opened(kind, &signed(kind, by), &[by.public()])?).map(drop)
    };
    assert_eq!(countersign(StatementKind::Contract, &keys.statement).unwrap_err().kind, Kind::BadSignature);
    assert_eq!(countersign(StatementKind::Listing, &key).unwrap_err().kind, Kind::Internal);
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
