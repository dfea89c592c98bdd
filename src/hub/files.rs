//! The files of a commit, and the tree they form.
//!
//! Shards are what the Hub calls LFS files: named by their SHA-256, with a small pointer file in git. README.md is an
//! ordinary file. Object names are git's own, so that clients can check what they downloaded.

use std::sync::Arc;

use bytes::Bytes;
use sha1::{Digest as _, Sha1};

use super::{Readme, Refusal, Revision, Shelf};
use crate::catalog::{self, Dataset, Shard};
use crate::db::Conn;
use crate::error::Result;
use crate::shelf::Weighs;
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

    /// Its place in a tree: a folder stands before what lies in it.
    pub fn place(&self) -> String {
        match self {
            Entry::File(file) => file.path.clone(),
            Entry::Folder(path) => within(path),
        }
    }
}

/// How the paths of all that lies in a folder begin.
fn within(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

/// All files of a commit.
#[derive(Debug, Clone)]
pub struct Files {
    /// The commit.
    pub commit: String,
    /// The generated card.
    pub readme: Readme,
    /// The front matter of the card as JSON, where it can be written so.
    pub card_data: Option<Bytes>,
    /// By the bytes of their paths.
    files: Vec<File>,
}

/// The files of a commit: as they stand on the shelf, or read and put there.
pub fn files(c: &mut Conn, shelf: &Shelf, dataset: &Dataset, revision: &Revision) -> Result<Arc<Files>> {
    shelf.find_or(&revision.commit, || read(c, dataset, revision))
}

fn read(c: &mut Conn, dataset: &Dataset, revision: &Revision) -> Result<Files> {
    let card = catalog::card_of(c, revision.version_id())?;
    let mut shards = catalog::all_shards(c, revision.version_id())?;
    shards.retain(|shard| revision.shows(shard));
    let readme = Readme::write(dataset, &card, &shards)?;
    let files = shards.into_iter().map(File::of_shard).chain([File::of_readme(&readme.text)]).collect();
    Ok(Files::new(revision.commit(), readme, files))
}

impl Weighs for Files {
    fn weight(&self) -> usize {
        let of_file = |file: &File| file.path.len().saturating_add(size_of::<File>() + OID_DIGITS);
        let of_card = self.readme.text.len().saturating_mul(3); // with its front matter, and that as JSON
        self.files.iter().map(of_file).fold(of_card, usize::saturating_add)
    }
}

impl Files {
    /// A commit with these files, in whatever order.
    pub(super) fn new(commit: String, readme: Readme, mut files: Vec<File>) -> Self {
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let card_data = serde_json::to_vec(&readme.front_matter).ok().map(Bytes::from);
        Self { commit, readme, card_data, files }
    }

    /// Every file, by path.
    pub fn all(&self) -> &[File] {
        &self.files
    }

    /// The file or folder at a path.
    pub fn entry<'a>(&'a self, path: &'a str) -> Option<Entry<'a>> {
        if let Ok(at) = self.files.binary_search_by(|file| file.path.as_str().cmp(path)) {
            return self.files.get(at).map(Entry::File);
        }
        (!self.below(&within(path)).is_empty()).then_some(Entry::Folder(path))
    }

    /// The entries of a folder, or everything below it, in the order of their [places](Entry::place): at most `limit` of those
    /// that come after the place `after`. The root is the folder without a name.
    ///
    /// Takes as long as what it gives, however much lies before and after.
    pub fn tree(
        &self,
        folder: &str,
        recursive: bool,
        (after, limit): (&str, usize),
    ) -> Result<Vec<Entry<'_>>, Refusal> {
        let prefix = within(folder);
        let below = self.below(&prefix);
        if below.is_empty() && !folder.is_empty() {
            return Err(Refusal::Entry { path: folder.to_string(), commit: self.commit.clone() });
        }
        let mut left = past(below, |file| file.path.as_str() <= after);
        let (mut found, mut last) = (Vec::new(), after);
        while let Some((file, rest)) = left.split_first().filter(|_| found.len() < limit) {
            let ends = file.path.match_indices('/').map(|(end, _)| end).filter(|end| *end >= prefix.len());
            let levels = if recursive { usize::MAX } else { 1 };
            let folders: Vec<&str> = ends.filter_map(|end| file.path.get(..=end)).take(levels).collect();
            // A folder whose place was passed has been told of.
            let new = folders.iter().copied().filter(|place| *place > last);
            found.extend(new.filter_map(|place| place.strip_suffix('/')).map(Entry::Folder));
            match folders.first().filter(|_| !recursive) {
                Some(place) => left = past(rest, |file| file.path.starts_with(*place)),
                None => {
                    found.push(Entry::File(file));
                    (left, last) = (rest, file.path.as_str());
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn below(&self, prefix: &str) -> &[File] {
        let from = past(&self.files, |file| file.path.as_str() < prefix);
        from.get(..from.partition_point(|file| file.path.starts_with(prefix))).unwrap_or_default()
    }
}

/// The files after the first ones, of which `is_before` holds.
fn past(files: &[File], is_before: impl Fn(&File) -> bool) -> &[File] {
    files.get(files.partition_point(is_before)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_the_name_that_git_gives_it() {
        assert_eq!(git_blob(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(git_blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    fn files_at<S: ToString>(paths: impl IntoIterator<Item = S>) -> Files {
        let file = |path: S| File { path: path.to_string(), size_bytes: 1, oid: String::new(), lfs: None };
        Files::new(String::new(), Readme::default(), paths.into_iter().map(file).collect())
    }

    fn some() -> Files {
        files_at(["README.md", "data/a/1", "data/a/2", "data/b", "data-2/c"])
    }

    fn tree(files: &Files, folder: &str, recursive: bool) -> Vec<String> {
        files.tree(folder, recursive, ("", usize::MAX)).unwrap().iter().map(|entry| entry.path().to_string()).collect()
    }

    #[test]
    fn a_folder_holds_its_own_entries_or_everything_below_it() {
        let files = some();
        assert_eq!(tree(&files, "", false), ["README.md", "data-2", "data"]);
        assert_eq!(
            tree(&files, "", true),
            ["README.md", "data-2", "data-2/c", "data", "data/a", "data/a/1", "data/a/2", "data/b"]
        );
        assert_eq!(tree(&files, "data", false), ["data/a", "data/b"]);
        assert_eq!(tree(&files, "data", true), ["data/a", "data/a/1", "data/a/2", "data/b"]);
    }

    #[test]
    fn the_pages_of_a_tree_are_the_whole_of_it() {
        let files = files_at(["a/b/c/1", "a/b/c/2", "a/b-c/3", "a/b0", "a.b/4", "z/y/x/5", "z/y/x/6"]);
        for (folder, recursive) in [("", true), ("", false), ("a", true), ("a", false), ("a/b", true), ("z", false)] {
            for limit in 1..4 {
                let (mut after, mut seen) = (String::new(), Vec::new());
                loop {
                    let page = files.tree(folder, recursive, (after.as_str(), limit)).unwrap();
                    let Some(last) = page.last() else { break };
                    after = last.place();
                    seen.extend(page.iter().map(|entry| entry.path().to_string()));
                }
                assert_eq!(seen, tree(&files, folder, recursive), "{folder:?} {recursive} {limit}");
            }
        }
    }

    #[test]
    fn a_page_of_a_tree_of_deep_folders_holds_no_more_than_was_asked_for() {
        let files = files_at((0..100).map(|n| format!("{n:03}/{}x", "a/".repeat(500))));
        let page = files.tree("", true, ("", 1000)).unwrap();
        assert_eq!(page.len(), 1000);
        assert_eq!(page[502].path(), "001", "the first file and its 501 folders stand before");
    }

    #[test]
    fn only_what_is_there_is_found() {
        let files = some();
        assert!(matches!(files.entry("data/b"), Some(Entry::File(_))));
        assert!(matches!(files.entry("data/a"), Some(Entry::Folder("data/a"))));
        for nothing in ["dat", "data/", "data/b/", "..", "data/../data", "\0", "/"] {
            assert!(files.entry(nothing).is_none(), "{nothing:?}");
            assert!(files.tree(nothing, true, ("", 1)).is_err(), "{nothing:?}");
        }
        assert!(files.tree("data/b", false, ("", 1)).is_err(), "a file is no folder");
    }
}
