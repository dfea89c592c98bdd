//! The files of a commit, and the tree they form.
//!
//! Shards are what the Hub calls LFS files: named by their SHA-256, with a small pointer file in git. README.md is an
//! ordinary file. Object names are git's own, so that clients can check what they downloaded.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::{Readme, Refusal, Revision, Shelf};
use crate::catalog::{self, Dataset, Shard};
use crate::db::Conn;
use crate::error::Result;
use crate::types::Digest;

/// The digits of git's names.
const OID_DIGITS: usize = 40;
/// The path of the generated card.
pub const README: &str = "README.md";

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path from the root.
    pub path: String,
    /// Its size in bytes.
    pub size_bytes: i64,
    /// The name of git's blob: of the file itself, or of the pointer to it.
    pub oid: String,
    /// What the pointer says; nothing for an ordinary file.
    pub lfs: Option<Lfs>,
}

/// What a git LFS pointer says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lfs {
    /// The SHA-256 of the bytes.
    pub sha256: Digest,
    /// The size of the pointer itself, in bytes.
    pub pointer_bytes: usize,
}

impl File {
    fn of_shard(shard: Shard) -> Self {
        let Shard { path, sha256, size_bytes, .. } = shard;
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n");
        let lfs = Some(Lfs { sha256, pointer_bytes: pointer.len() });
        Self { path, size_bytes, oid: git_blob(pointer.as_bytes()), lfs }
    }

    fn of_readme(text: &str) -> Self {
        let size_bytes = i64::try_from(text.len()).unwrap_or(i64::MAX);
        Self { path: README.to_string(), size_bytes, oid: git_blob(text.as_bytes()), lfs: None }
    }
}

/// The name that git gives to a file's content.
fn git_blob(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex::encode(hash.finalize())
}

/// A file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A file.
    File(&'a File),
    /// A folder, by its path from the root.
    Folder(&'a str),
}

impl Entry<'_> {
    /// Its path from the root.
    pub fn path(&self) -> &str {
        match self {
            Entry::File(file) => &file.path,
            Entry::Folder(path) => path,
        }
    }

    /// Its name in git. A folder's is made up: it is the same for the same path of the same commit, and nothing more.
    pub fn oid(&self, commit: &str) -> String {
        match self {
            Entry::File(file) => file.oid.clone(),
            Entry::Folder(path) => hex::encode(Sha1::digest(format!("folder {commit} {path}"))),
        }
    }
}

/// All files of a commit.
#[derive(Debug, Clone)]
pub struct Files {
    /// The commit.
    pub commit: String,
    /// The generated card.
    pub readme: Readme,
    by_path: BTreeMap<String, File>,
}

/// The files of a commit: as they stand on the shelf, or read and put there.
pub fn files(c: &mut Conn, shelf: &Shelf, dataset: &Dataset, revision: &Revision) -> Result<Arc<Files>> {
    if let Some(files) = shelf.find(&revision.commit) {
        return Ok(files);
    }
    let files = Arc::new(read(c, dataset, revision)?);
    shelf.keep(files.clone());
    Ok(files)
}

fn read(c: &mut Conn, dataset: &Dataset, revision: &Revision) -> Result<Files> {
    let (_, version) = catalog::version(c, revision.version_id())?;
    let mut shards = catalog::all_shards(c, revision.version_id())?;
    shards.retain(|shard| revision.shows(shard));
    let readme = Readme::write(dataset, &version.card, &shards)?;
    let mut by_path: BTreeMap<_, _> =
        shards.into_iter().map(|shard| (shard.path.clone(), File::of_shard(shard))).collect();
    by_path.insert(README.to_string(), File::of_readme(&readme.text));
    Ok(Files { commit: revision.commit(), readme, by_path })
}

impl Files {
    /// About how much memory they take, in bytes.
    pub(super) fn weight(&self) -> usize {
        let of_file =
            |path: &String| path.len().saturating_mul(2).saturating_add(size_of::<(String, File)>() + OID_DIGITS);
        self.by_path.keys().map(of_file).fold(self.readme.text.len().saturating_mul(2), usize::saturating_add)
    }

    /// Every file, by path.
    pub fn all(&self) -> impl Iterator<Item = &File> {
        self.by_path.values()
    }

    /// The file or folder at a path.
    pub fn entry<'a>(&'a self, path: &'a str) -> Option<Entry<'a>> {
        if let Some(file) = self.by_path.get(path) {
            return Some(Entry::File(file));
        }
        self.below(path).next().map(|_| Entry::Folder(path))
    }

    /// What lies in a folder, by path: its own entries, or everything below it. The root is the folder without a name.
    pub fn tree(&self, folder: &str, recursive: bool) -> Result<Vec<Entry<'_>>, Refusal> {
        let start = if folder.is_empty() { 0 } else { folder.len().saturating_add(1) };
        let mut found = BTreeMap::new();
        for file in self.below(folder) {
            let inner = file.path.get(start..).unwrap_or_default();
            let mut folders = inner.match_indices('/').filter_map(|(at, _)| file.path.get(..start.saturating_add(at)));
            match folders.next() {
                Some(first) if !recursive => {
                    found.insert(first, Entry::Folder(first));
                    continue;
                }
                Some(first) => {
                    found.insert(first, Entry::Folder(first));
                    found.extend(folders.map(|path| (path, Entry::Folder(path))));
                }
                None => {}
            }
            found.insert(&file.path, Entry::File(file));
        }
        if found.is_empty() && !folder.is_empty() {
            return Err(Refusal::Entry { path: folder.to_string(), commit: self.commit.clone() });
        }
        Ok(found.into_values().collect())
    }

    fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a File> + use<'a> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let start = Bound::Included(prefix.clone());
        self.by_path
            .range((start, Bound::Unbounded))
            .map(|(_, file)| file)
            .take_while(move |file| file.path.starts_with(&prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_the_name_that_git_gives_it() {
        assert_eq!(git_blob(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(git_blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    fn some() -> Files {
        let file = |path: &str| {
            (path.to_string(), File { path: path.to_string(), size_bytes: 1, oid: String::new(), lfs: None })
        };
        let by_path = ["README.md", "data/a/1", "data/a/2", "data/b", "data-2/c"].map(file).into();
        Files { commit: String::new(), readme: Readme::default(), by_path }
    }

    fn paths(entries: &[Entry<'_>]) -> Vec<String> {
        entries.iter().map(|entry| entry.path().to_string()).collect()
    }

    #[test]
    fn a_folder_holds_its_own_entries_or_everything_below_it() {
        let files = some();
        assert_eq!(paths(&files.tree("", false).unwrap()), ["README.md", "data", "data-2"]);
        assert_eq!(
            paths(&files.tree("", true).unwrap()),
            ["README.md", "data", "data-2", "data-2/c", "data/a", "data/a/1", "data/a/2", "data/b"]
        );
        assert_eq!(paths(&files.tree("data", false).unwrap()), ["data/a", "data/b"]);
        assert_eq!(paths(&files.tree("data", true).unwrap()), ["data/a", "data/a/1", "data/a/2", "data/b"]);
    }

    #[test]
    fn what_nobody_asked_for_longest_makes_room_on_the_shelf() {
        let shelf = Shelf::default();
        let keep = |commit: &str| {
            let readme = Readme { text: "x".repeat(10 * 1024 * 1024), ..Readme::default() };
            shelf.keep(Arc::new(Files { commit: commit.to_string(), readme, by_path: BTreeMap::new() }));
        };
        let kept = |commit: &str| shelf.find(commit).is_some();
        ["a", "b", "c", "c"].into_iter().for_each(keep);
        assert!(kept("a"), "three fit");
        keep("d");
        assert_eq!(["a", "b", "c", "d"].map(kept), [true, false, true, true]);
    }

    #[test]
    fn only_what_is_there_is_found() {
        let files = some();
        assert!(matches!(files.entry("data/b"), Some(Entry::File(_))));
        assert!(matches!(files.entry("data/a"), Some(Entry::Folder("data/a"))));
        for nothing in ["dat", "data/", "data/b/", "..", "data/../data", "\0", "/"] {
            assert!(files.entry(nothing).is_none(), "{nothing:?}");
            assert!(files.tree(nothing, true).is_err(), "{nothing:?}");
        }
        assert!(files.tree("data/b", false).is_err(), "a file is no folder");
    }
}
