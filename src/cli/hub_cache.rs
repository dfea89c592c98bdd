//! A download as the cache of the Hugging Face Hub's clients, where they find it without asking any server.
//!
//! The layout is theirs: `datasets--ORG--NAME` with `blobs` by digest, `snapshots/COMMIT` of links to them, and `refs` that
//! name the commit. A blob is another name of the downloaded file, or a copy where the two lie on different disks. Nothing
//! that was there is believed: what was checked takes its place.

use std::path::{Path, PathBuf};

use reqwest::header::ETAG;
use serde::Deserialize;

use super::client::Client;
use super::reference::DatasetRef;
use crate::catalog::{ManifestShard, check_path};
use crate::error::{Error, Kind, Result};

const README: &str = "README.md";

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

/// Puts the shards of a version, which lie in `folder`, into `cache`, with the card; gives the folder of the snapshot.
pub(super) async fn export(
    client: &Client,
    dataset: &DatasetRef,
    version: i32,
    (folder, shards): (&Path, &[ManifestShard]),
    cache: &Path,
) -> Result<PathBuf> {
    let name = dataset.full_name();
    let commit_of = async |revision: String| -> Result<String> {
        let path = format!("/api/datasets/{name}/revision/{revision}");
        checked(client.get(path).send::<Revision>().await?.sha, 40)
    };
    let tag = format!("v{version}");
    let (commit, newest) = (commit_of(tag.clone()).await?, commit_of("main".to_string()).await?);
    let with_oid = |card: reqwest::Response| async move {
        let etag = card.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
        let oid = etag.trim_matches('"').to_string();
        card.bytes().await.map(|bytes| (oid, bytes))
    };
    let (oid, card) = client.get(format!("/datasets/{name}/resolve/{commit}/{README}")).read(with_oid).await?;
    let card_oid = checked(oid, 40)?;

    let repository = cache.join(format!("datasets--{}--{}", dataset.organisation, dataset.name));
    let place = Place { repository, commit };
    std::fs::create_dir_all(place.repository.join("blobs"))?;
    place.put(&place.blob(&card_oid), |new| std::fs::write(new, &card))?;
    place.show(README, &card_oid)?;
    for shard in shards {
        check_path(&shard.path)?;
        let (oid, file) = (shard.sha256.to_string(), folder.join(&shard.path));
        place.put(&place.blob(&oid), |new| {
            std::fs::hard_link(&file, new).or_else(|_| std::fs::copy(&file, new).map(drop))
        })?;
        place.show(&shard.path, &oid)?;
    }
    place.refer(&tag)?;
    if newest == place.commit {
        place.refer("main")?;
    }
    Ok(place.snapshot())
}

/// What the server calls a commit or a file, if it is so many hexadecimal digits: it becomes the name of a file here.
fn checked(text: String, digits: usize) -> Result<String> {
    match text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(Error::new(Kind::Malformed, format!("the server calls a commit or a file {text:?}"))),
    }
}

/// Where a commit of a repository lies.
struct Place {
    repository: PathBuf,
    commit: String,
}

impl Place {
    fn snapshot(&self) -> PathBuf {
        self.repository.join("snapshots").join(&self.commit)
    }

    fn blob(&self, oid: &str) -> PathBuf {
        self.repository.join("blobs").join(oid)
    }

    /// Puts what is made apart into its place, whole or not at all, whatever was there.
    fn put(&self, at: &Path, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
        // Renaming does nothing where both are names of one file already: the new one goes with its folder.
        let apart = tempfile::tempdir_in(&self.repository)?;
        let new = apart.path().join("new");
        make(&new)?;
        Ok(std::fs::rename(new, at)?)
    }

    /// Shows a blob at a path of the commit.
    fn show(&self, path: &str, oid: &str) -> Result<()> {
        let link = self.snapshot().join(path);
        if let Some(parent) = link.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let up = "../".repeat(path.matches('/').count() + 2);
        self.put(&link, |new| std::os::unix::fs::symlink(format!("{up}blobs/{oid}"), new))
    }

    /// Lets a name lead to the commit.
    fn refer(&self, name: &str) -> Result<()> {
        let refs = self.repository.join("refs");
        std::fs::create_dir_all(&refs)?;
        self.put(&refs.join(name), |new| std::fs::write(new, &self.commit))
    }
}
