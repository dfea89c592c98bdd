//! What the object store remembers of the log: by whom it is found, and when it is looked up.

use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::provenance::policy::Policy;
use crate::provenance::publication::Publisher;
use crate::provenance::witness::routes::Serving;
use crate::provenance::witness::{Submission, Witness};
use crate::store::Store;

#[tokio::test]
async fn what_a_sequencer_sent_before_it_was_cut_off_does_not_set_the_mark_back() {
    let log = Log::new().await;
    let (folder, keys) = (tempfile::tempdir().unwrap(), Arc::new(log.keys.clone()));
    let store = Store::open(&Config::embedded(folder.path()), &keys).await.unwrap();
    let mark = async || {
        let mark = publication::mark(&log.db, &store, &keys, ORIGIN).await.unwrap();
        mark.map(|checkpoint| checkpoint.tree_size)
    };
    let put = async |epoch: i64, size: u64| {
        let names = publication::names(&log.db, &keys, ORIGIN).await.unwrap();
        let note = Checkpoint::sign(ORIGIN, size, Digest::of("root"), &log.keys.log).unwrap().note;
        store.put(&publication::place(&names[0], epoch), note.into()).await.unwrap();
    };
    assert_eq!(mark().await, None);
    for (epoch, size, marked) in [(1, 3, 3), (2, 5, 5), (1, 4, 5), (33, 6, 6), (34, 7, 7), (33, 6, 7)] {
        put(epoch, size).await;
        assert_eq!(mark().await, Some(marked), "after {size} entries in epoch {epoch}");
    }
}

#[tokio::test]
async fn after_a_write_that_failed_and_may_arrive_yet_the_mark_has_another_place() {
    let log = Log::new().await;
    let folder = tempfile::tempdir().unwrap();
    let config = Config::embedded(folder.path());
    let store = Store::open(&config, &Arc::new(log.keys.clone())).await.unwrap();
    let place = |epoch: i64| publication::place(&log.vkey().to_string(), epoch);
    let mut one = publisher(&log, &store, "one");
    published(&log, &mut one).await.unwrap();
    let file = config.objects_dir().join(place(1).as_str());
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap(); // no file can be moved there
    log.declare("one").await;
    published(&log, &mut one).await.unwrap_err();
    std::fs::remove_dir(&file).unwrap();
    published(&log, &mut one).await.unwrap();
    let is_held = async |epoch: i64| store.head(&place(epoch)).await.unwrap().is_some();
    assert!(!is_held(1).await && is_held(2).await);
    assert_eq!(log.status().await.tree_size, Some(1));
}

/// Gives the waiting entries their places and shows the tree, as one instance does.
async fn published(log: &Log, publisher: &mut Publisher) -> Result<()> {
    publisher.step(log.clock.now()).await
}

fn publisher(log: &Log, store: &Store, name: &str) -> Publisher {
    let keys = Arc::new(log.keys.clone());
    Publisher::new(log.db.clone(), store.clone(), keys, ORIGIN, name, Policy::of_log(log.vkey())).unwrap()
}

#[tokio::test]
async fn the_mark_is_found_by_the_key_of_today_in_a_database_that_knows_no_other() {
    let mut log = Log::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::embedded(folder.path()), &Arc::new(log.keys.clone())).await.unwrap();
    let (first, next, now) = (log.keys.clone(), SecretKey::generate(), log.clock.now());
    let enrolled = first.clone();
    log.db.write(move |c| exchange_keys::enrol(c, &enrolled)).await.unwrap();
    published(&log, &mut publisher(&log, &store, "before")).await.unwrap();
    let waiting = next.clone();
    let rotated = log.db.write(move |c| exchange_keys::activate(c, &first, KeyRole::Log, &waiting, now)).await;
    assert!(rotated.unwrap());
    log.keys.log_next = Some(next.clone());
    log.clock.advance(sequencer::LEASE * 2);
    published(&log, &mut publisher(&log, &store, "during")).await.unwrap();
    let both = log.keys.clone();
    let retired = log.db.write(move |c| exchange_keys::retire(c, &both, KeyRole::Log, ORIGIN, now)).await;
    assert!(retired.unwrap());
    (log.keys.log, log.keys.log_next) = (next, None);

    let mut empty = Log::new().await;
    empty.keys = log.keys.clone();
    let keys = empty.keys.clone();
    empty.db.write(move |c| exchange_keys::enrol(c, &keys)).await.unwrap();
    let refused = published(&empty, &mut publisher(&empty, &store, "after")).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unverified);
    assert!(refused.detail.contains("1 entries were signed and shown, and this database holds 0"), "{refused}");
    assert_eq!(empty.status().await.tree_size, None, "nothing is signed under the same origin");
    log.clock.advance(sequencer::LEASE * 2);
    published(&log, &mut publisher(&log, &store, "at last")).await.expect("the database that holds it goes on");
}

#[tokio::test]
async fn the_mark_is_found_by_the_key_that_takes_over_in_a_database_that_does_not_know_of_it_yet() {
    let mut log = Log::new().await;
    log.keys.log_next = Some(SecretKey::generate());
    let (folder, keys) = (tempfile::tempdir().unwrap(), Arc::new(log.keys.clone()));
    let store = Store::open(&Config::embedded(folder.path()), &keys).await.unwrap();
    let enrolled = log.keys.clone();
    log.db.write(move |c| exchange_keys::enrol(c, &enrolled)).await.unwrap();
    let next = log.keys.log_next.as_ref().unwrap();
    let note = Checkpoint::sign(ORIGIN, 1, Digest::of("root"), &log.keys.log).unwrap().cosign(next).unwrap().note;
    let name = VerifierKey::new(ORIGIN, next.public()).unwrap().to_string();
    store.put(&publication::place(&name, 1), note.into()).await.unwrap();
    let refused = published(&log, &mut publisher(&log, &store, "one")).await.unwrap_err();
    assert!(refused.detail.contains("1 entries were signed and shown, and this database holds 0"), "{refused}");
}

#[tokio::test]
async fn what_an_instance_showed_counts_only_while_nobody_else_has_led() {
    let log = Log::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::embedded(folder.path()), &Arc::new(log.keys.clone())).await.unwrap();
    let mut one = publisher(&log, &store, "one");
    published(&log, &mut one).await.unwrap();
    log.declare("one").await;
    published(&log, &mut one).await.unwrap();
    assert_eq!(log.status().await.tree_size, Some(1));

    // Another leads, and shows more than this database holds by the time that the first one leads again.
    log.clock.advance(sequencer::LEASE * 2);
    log.declare("two").await;
    assert_eq!(log.integrate_as("two").await.unwrap().unwrap().tree_size, 2);
    let more = Checkpoint::sign(ORIGIN, 9, Digest::of("root"), &log.keys.log).unwrap().note;
    store.put(&publication::place(&log.vkey().to_string(), 2), more.into()).await.unwrap();
    log.clock.advance(sequencer::LEASE * 2);
    log.declare("three").await;
    let refused = published(&log, &mut one).await.unwrap_err();
    assert!(refused.detail.contains("9 entries were signed and shown, and this database holds 2"), "{refused}");
}

#[tokio::test]
async fn what_the_object_store_remembers_wrongly_stops_an_idle_log_for_as_long_as_it_does() {
    let log = Log::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::embedded(folder.path()), &Arc::new(log.keys.clone())).await.unwrap();
    let mut one = publisher(&log, &store, "one");
    published(&log, &mut one).await.unwrap();
    let place = publication::place(&log.vkey().to_string(), 5);
    store.put(&place, "nothing that was signed".into()).await.unwrap();
    let refused = published(&log, &mut one).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Unverified);
    assert!(refused.detail.contains("remembers a checkpoint that is none: the note has no blank line"), "{refused}");
    assert!(log.db.read(sequencer::problem).await.unwrap().is_some());
    store.delete(&place).await.unwrap();
    published(&log, &mut one).await.unwrap();
    assert_eq!(log.db.read(sequencer::problem).await.unwrap(), None);
}

#[tokio::test]
async fn why_the_log_cannot_go_on_is_written_by_its_leader_alone_and_when_it_changes() {
    let log = Log::new().await;
    log.integrate_as("leader").await.unwrap();
    let now = log.clock.now();
    let is_news = async |name: &'static str, found: Option<&'static str>| {
        log.db.read(move |c| sequencer::is_news(c, &Claimant::new(name), found, now)).await.unwrap()
    };
    assert!(is_news("leader", Some("the store is away")).await);
    let report = move |c: &mut Conn| sequencer::report(c, &Claimant::new("leader"), Some("the store is away"), now);
    log.db.write(report).await.unwrap();
    assert!(!is_news("leader", Some("the store is away")).await, "it is written already");
    for (found, why) in [(None, "it is over"), (Some("a witness is away"), "it is another reason")] {
        assert!(is_news("leader", found).await, "{why}");
        assert!(!is_news("follower", found).await, "another leads");
    }
}

#[tokio::test]
async fn a_witness_that_has_cosigned_another_tree_of_the_same_size_stops_the_log() {
    let log = Log::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Config::embedded(folder.path()), &Arc::new(log.keys.clone())).await.unwrap();
    let witness = Witness::open("lab.example/witness", vec![log.vkey()], &folder.path().join("witness")).unwrap();
    let checkpoint = Checkpoint::sign(ORIGIN, 1, Digest::of("another history"), &log.keys.log).unwrap().note;
    let shown = Submission { old_size: 0, proof: Vec::new(), checkpoint }.to_string();
    witness.add_checkpoint(shown.as_bytes(), log.clock.now()).unwrap().unwrap();
    let vkey = witness.vkey().unwrap();
    let serving = Serving::start(witness, Clock::default(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let policy = format!("witness lab {vkey} http://{}\nquorum lab\n", serving.address).parse().unwrap();
    let keys = Arc::new(log.keys.clone());
    let mut one = Publisher::new(log.db.clone(), store, keys, ORIGIN, "one", policy).unwrap();
    log.declare("one").await;
    let mut told = Vec::new();
    // The empty log comes first, and a witness may be slow to answer.
    while told.len() < 20 && !told.last().is_some_and(|why: &String| why.contains("another root")) {
        told.push(published(&log, &mut one).await.unwrap_err().detail);
    }
    assert!(told.last().unwrap().contains("the witness lab has cosigned another root for 1 entries"), "{told:?}");
    serving.stop().await.unwrap();
}
