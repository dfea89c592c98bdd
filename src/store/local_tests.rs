//! Directories that are made when they are needed, what crashes leave of uploads, and objects in parts.

use std::fs::File;

use futures_util::TryStreamExt as _;

use super::*;

struct Crashed {
    _dir: tempfile::TempDir,
    config: Config,
    keys: ExchangeKeys,
    store: LocalStore,
    key: StorageKey,
    id: String,
}

impl Crashed {
    /// An upload with three parts.
    async fn before_completion() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::embedded(dir.path());
        let keys = ExchangeKeys::generate();
        let store = LocalStore::open(&config, &keys).await.unwrap();
        let key = StorageKey::new(Instant::from_unix_micros(0));
        let id = store.begin_multipart(&key).await.unwrap();
        let this = Self { _dir: dir, config, keys, store, key, id };
        for (number, text) in [(1, "one "), (2, "two "), (3, "three")] {
            this.put(number, text).await;
        }
        this
    }
    async fn put(&self, number: u32, text: &'static str) -> Part {
        let slot = PartSlot { multipart_id: self.id.clone(), number, size_bytes: text.len() as u64 };
        let body = futures_util::stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
        self.store.put_part(&slot, body).await.unwrap()
    }
    async fn parts(&self) -> Vec<Part> {
        self.store.parts(&self.key, &self.id).await.unwrap()
    }
    fn uploaded(&self) -> PathBuf {
        self.store.upload_directory(&self.id).unwrap()
    }
    /// Completes the upload.
    async fn complete(&self) -> ObjectInfo {
        self.store.complete_multipart(&self.key, &self.id, self.parts().await).await.unwrap();
        self.store.head(&self.key).await.unwrap().unwrap()
    }
    /// Opens the store anew, completes, and finds everything done.
    async fn complete_after_restart(&self, parts: Vec<Part>) {
        let store = LocalStore::open(&self.config, &self.keys).await.unwrap();
        store.complete_multipart(&self.key, &self.id, parts).await.unwrap();
        assert_eq!(text(&store, &self.key, 0..13).await, "one two three");
        assert!(!self.uploaded().exists());
    }
}

async fn text(store: &LocalStore, key: &StorageKey, range: Range<u64>) -> String {
    let pieces: Vec<Bytes> = store.read(key, Some(range)).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(pieces.concat()).unwrap()
}

#[tokio::test]
async fn a_store_leaves_nothing_where_nothing_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::embedded(&dir.path().join("data"));
    let store = LocalStore::open(&config, &ExchangeKeys::generate()).await.unwrap();
    let key = StorageKey::new(Instant::from_unix_micros(0));
    assert!(store.held(None).await.unwrap().is_empty() && store.head(&key).await.unwrap().is_none());
    assert!(!config.data_dir.exists());
    let id = store.begin_multipart(&key).await.unwrap();
    store.abort_multipart(&key, &id).await.unwrap();
    assert!(!store.upload_directory(&id).unwrap().exists());
}

#[tokio::test]
async fn a_crash_while_the_parts_are_joined_loses_none() {
    let crashed = Crashed::before_completion().await;
    let half = crashed.store.temporary().join("half");
    fs::create_dir(&half).unwrap();
    objects::join(&[stored_part(&crashed.uploaded(), &crashed.parts().await[0]).unwrap()], &half).unwrap();
    crashed.complete_after_restart(crashed.parts().await).await;
}

#[tokio::test]
async fn a_crash_after_the_object_stands_is_finished_by_the_next_call() {
    for parts_left in [3, 1, 0] {
        let crashed = Crashed::before_completion().await;
        let parts = crashed.parts().await;
        let object = crashed.store.object_path(&crashed.key);
        ensure_directory(parent(&object)).unwrap();
        crashed.store.assemble(&object, &crashed.uploaded(), &parts).unwrap();
        for entry in fs::read_dir(crashed.uploaded()).unwrap().skip(parts_left) {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        crashed.complete_after_restart(parts).await;
    }
}

#[tokio::test]
async fn a_range_is_read_from_the_parts_that_it_touches() {
    let upload = Crashed::before_completion().await;
    assert_eq!(upload.complete().await.size_bytes, 13);
    for (range, expected) in [(0..13, "one two three"), (2..9, "e two t"), (4..8, "two "), (8..8, ""), (12..13, "e")] {
        assert_eq!(text(&upload.store, &upload.key, range.clone()).await, expected, "{range:?}");
    }
    let beyond = upload.store.read(&upload.key, Some(12..14)).await.err().unwrap();
    assert_eq!(beyond.kind, Kind::RangeNotSatisfiable);
}

#[tokio::test]
async fn an_object_of_which_a_part_was_lost_is_not_there() {
    let upload = Crashed::before_completion().await;
    let told = upload.complete().await;
    let object = upload.store.object_path(&upload.key);
    let (last, aside) = (object.join("3.3"), upload.store.temporary().join("aside"));
    fs::rename(&last, &aside).unwrap();
    assert_eq!(upload.store.head(&upload.key).await.unwrap(), None);
    assert_eq!(upload.store.read(&upload.key, None).await.err().unwrap().kind, Kind::NotFound);
    fs::rename(&aside, &last).unwrap();
    assert_eq!(upload.store.head(&upload.key).await.unwrap().unwrap().size_bytes, told.size_bytes);
    upload.store.delete(&upload.key).await.unwrap();
    assert!(!object.exists());
}

#[tokio::test]
async fn a_crash_while_a_part_is_replaced_leaves_the_newest() {
    let crashed = Crashed::before_completion().await;
    let old = File::options()
        .write(true)
        .create_new(true)
        .open(crashed.uploaded().join(format!("3.{}", crate::types::Digest::of("the replaced part"))));
    old.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let parts = crashed.parts().await;
    assert_eq!(parts.iter().map(|part| part.size_bytes).collect::<Vec<_>>(), [4, 4, 5]);
    crashed.complete_after_restart(parts).await;
}

#[tokio::test]
async fn a_part_that_was_replaced_since_it_was_listed_is_refused() {
    let crashed = Crashed::before_completion().await;
    let listed = crashed.parts().await;
    crashed.put(3, "drei").await;
    let error = crashed.store.complete_multipart(&crashed.key, &crashed.id, listed).await.unwrap_err();
    assert_eq!((error.kind, error.field.as_deref()), (Kind::WrongState, Some("parts")));
    crashed.put(3, "three").await;
    crashed.complete_after_restart(crashed.parts().await).await;
}

#[tokio::test]
async fn what_an_old_crash_left_is_cleared_and_what_is_new_is_kept() {
    let crashed = Crashed::before_completion().await;
    let temporary = crashed.store.temporary();
    let (old, new) = (temporary.join("old"), temporary.join("new"));
    fs::write(&new, "").unwrap();
    File::create(&old).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    LocalStore::open(&crashed.config, &crashed.keys).await.unwrap();
    assert_eq!((old.exists(), new.exists()), (false, true));
}
