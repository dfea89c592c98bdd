//! The log as published tools read it: the crates `signed_note` and `tlog_tiles`, which share no code with this one.
//!
//! Other tools, in Python and JavaScript, have their turn in `scripts/interop`.

use std::collections::HashMap;

use corpex::cli::client::Client;
use corpex::provenance::note::{Note, VerifierKey};
use corpex::provenance::{self, ResourceDescriptor, StatementKind};
use corpex::types::{Digest, EntryId};
use serde_json::{Value, json};
use signed_note::{NoteError, StandardSigner, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Error, Hash, HashReader as _, Tile, TileHashReader, TileReader};

use crate::support::TestApp;

/// C2SP's tiles are eight levels high. The path of a tile does not say so, as that of the Go checksum database does.
const HEIGHT: u8 = 8;

/// A log that somebody read once, over HTTP, with a published tool.
struct Mirror {
    checkpoint: Checkpoint,
    tiles: HashMap<Tile, Vec<u8>>,
    entries: Vec<Vec<u8>>,
}

impl TileReader for Mirror {
    fn height(&self) -> u8 {
        HEIGHT
    }
    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        tiles.iter().map(|tile| self.tiles.get(tile).cloned().ok_or(Error::InvalidTile)).collect()
    }
    fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
}

impl Mirror {
    async fn read(anyone: &Client) -> Self {
        let note = anyone.get("/log/checkpoint").text().await.unwrap();
        let checkpoint = opened(&note, &vkey(anyone).await).unwrap();
        let (mut tiles, mut entries) = (HashMap::new(), Vec::new());
        for tile in Tile::new_tiles(HEIGHT, 0, checkpoint.size()) {
            tiles.insert(tile, fetched(anyone, tile).await);
            if tile.level() == 0 {
                let mut bundle = tile;
                bundle.set_is_data();
                let bytes = fetched(anyone, bundle).await;
                let mut rest = bytes.as_slice();
                while let [high, low, more @ ..] = rest {
                    let (entry, more) = more.split_at(usize::from(u16::from_be_bytes([*high, *low])));
                    entries.push(entry.to_vec());
                    rest = more;
                }
            }
        }
        Self { checkpoint, tiles, entries }
    }
    fn hashes(&self) -> TileHashReader<'_> {
        TileHashReader::new(self.checkpoint.size(), *self.checkpoint.hash(), self)
    }
}

async fn vkey(anyone: &Client) -> String {
    let keys: Value = anyone.get("/v1/exchange/keys").send().await.unwrap();
    keys["log"]["vkey"].as_str().unwrap().to_string()
}

async fn fetched(anyone: &Client, tile: Tile) -> Vec<u8> {
    let path = tile.path().replacen("tile/8/data/", "tile/entries/", 1).replacen("tile/8/", "tile/", 1);
    anyone.get(format!("/log/{path}")).response().await.unwrap().bytes().await.unwrap().to_vec()
}

/// Reads a checkpoint as `signed_note` and `tlog_tiles` do, believing one key.
fn opened(note: &str, vkey: &str) -> Result<Checkpoint, NoteError> {
    let note = signed_note::Note::from_bytes(note.as_bytes())?;
    let known = VerifierList::new(vec![Box::new(StandardVerifier::new(vkey).unwrap())]);
    let (verified, _) = note.verify(&known)?;
    assert_eq!(verified.len(), 1);
    Ok(Checkpoint::from_bytes(note.text()).expect("a signed checkpoint is well-formed"))
}

/// Records some statements of the exchange and waits until they are in the log.
async fn record(app: &TestApp, count: usize) -> Vec<EntryId> {
    let (keys, now) = (app.app().keys.clone(), app.clock.now());
    let recorded = app.app().db.write(move |c| {
        let one = |i: usize| {
            let root = Digest::of(i.to_string());
            let subjects = vec![ResourceDescriptor::new("batch", root)];
            let predicate = json!({ "root_sha256": root, "count": 1 });
            provenance::declare(c, &keys, StatementKind::ReceiptBatch, i, subjects, &predicate, now)
                .map(|recorded| recorded.entry_id)
        };
        (0..count).map(one).collect()
    });
    let entries = recorded.await.unwrap();
    app.sequenced().await;
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn published_tools_find_every_entry_under_the_signed_root() {
    let app = TestApp::start().await;
    // tlog_tiles 0.2.0 compares a full tile with its parent only where each perfect subtree of the size lies in a tile of
    // its own: 257 is 256 and 1.
    record(&app, 257).await;
    let mut mirror = Mirror::read(&app.anonymous()).await;
    assert_eq!(mirror.checkpoint.origin(), app.app().config.log_origin);
    assert_eq!(mirror.checkpoint.extension(), "");
    assert_eq!((mirror.checkpoint.size(), mirror.entries.len()), (257, 257));
    let places: Vec<u64> = (0..mirror.checkpoint.size()).map(|n| tlog_tiles::stored_hash_index(0, n)).collect();
    let hashes = mirror.hashes().read_hashes(&places).unwrap();
    for (entry, hash) in mirror.entries.iter().zip(hashes) {
        assert_eq!(tlog_tiles::record_hash(entry), hash);
    }

    // The tool itself refuses a tile with one other bit, whichever tile that is.
    let tiles: Vec<Tile> = mirror.tiles.keys().copied().collect();
    assert_eq!(tiles.len(), 3, "{tiles:?}");
    for tile in tiles {
        mirror.tiles.get_mut(&tile).unwrap()[7] ^= 1;
        assert!(matches!(mirror.hashes().read_hashes(&places), Err(Error::InconsistentTile)), "{tile:?}");
        mirror.tiles.get_mut(&tile).unwrap()[7] ^= 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn published_tools_accept_the_proofs_that_the_exchange_hands_out() {
    let app = TestApp::start().await;
    let entries = record(&app, 7).await;
    let (anyone, before) = (app.anonymous(), Mirror::read(&app.anonymous()).await);
    record(&app, 300).await;
    let after = Mirror::read(&anyone).await;
    let (size, root) = (after.checkpoint.size(), *after.checkpoint.hash());
    for entry in entries {
        let text = anyone.get(format!("/v1/log/proofs/{entry}")).text().await.unwrap();
        let (head, checkpoint) = text.split_once("\n\n").unwrap();
        assert_eq!(opened(checkpoint, &vkey(&anyone).await).unwrap(), after.checkpoint);
        let lines: Vec<&str> = head.lines().collect();
        let [format, index, path @ ..] = lines.as_slice() else { panic!("{head}") };
        assert_eq!(*format, "c2sp.org/tlog-proof@v1");
        let index: u64 = index.strip_prefix("index ").unwrap().parse().unwrap();
        let mut path: Vec<Hash> = path.iter().map(|hash| Hash::parse_hash(hash).unwrap()).collect();
        let leaf = tlog_tiles::record_hash(&after.entries[index as usize]);
        tlog_tiles::check_record(&path, size, root, index, leaf).unwrap();
        assert_eq!(path, tlog_tiles::prove_record(size, index, &after.hashes()).unwrap());
        path[0].0[0] ^= 1;
        assert!(matches!(tlog_tiles::check_record(&path, size, root, index, leaf), Err(Error::InvalidProof)));
    }
    let (old_size, old_root) = (before.checkpoint.size(), *before.checkpoint.hash());
    let mut proof = tlog_tiles::prove_tree(size, old_size, &after.hashes()).unwrap();
    tlog_tiles::check_tree(&proof, size, root, old_size, old_root).unwrap();
    proof[0].0[31] ^= 1;
    assert!(matches!(tlog_tiles::check_tree(&proof, size, root, old_size, old_root), Err(Error::InvalidProof)));
}

#[tokio::test(flavor = "multi_thread")]
async fn published_tools_refuse_a_checkpoint_that_was_changed_or_is_anothers() {
    let app = TestApp::start().await;
    record(&app, 1).await;
    let anyone = app.anonymous();
    let (note, vkey) = (anyone.get("/log/checkpoint").text().await.unwrap(), vkey(&anyone).await);
    let size = note.lines().nth(1).unwrap();
    let larger = note.replacen(&format!("\n{size}\n"), &format!("\n{size}0\n"), 1);
    assert!(matches!(opened(&larger, &vkey), Err(NoteError::InvalidSignature { .. })));
    assert!(matches!(opened(&note, PETERS_VKEY), Err(NoteError::UnverifiedNote)));
}

/// The key pair of the Go package `golang.org/x/mod/sumdb/note`, published for examples.
const PETERS_KEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PETERS_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

#[test]
fn we_read_what_published_tools_sign() {
    let text = Checkpoint::new("PeterNeumann", 3, tlog_tiles::record_hash(b"root"), "").unwrap().to_bytes();
    let mut note = signed_note::Note::new(&text, &[]).unwrap();
    note.add_sigs(&[&StandardSigner::new(PETERS_KEY).unwrap()]).unwrap();
    let written = String::from_utf8(note.to_bytes()).unwrap();
    let peter: VerifierKey = PETERS_VKEY.parse().unwrap();
    let read = provenance::note::Checkpoint::open(&written, &peter).unwrap();
    assert_eq!((read.tree_size, read.root.0), (3, tlog_tiles::record_hash(b"root").0));
    assert_eq!(written.parse::<Note>().unwrap().to_string(), written);
}
