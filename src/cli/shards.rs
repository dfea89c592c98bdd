//! A corpus as a folder: which files are its shards, and the properties of each.

use std::collections::HashSet;
use std::fs::{File, FileType};
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::catalog::check_path;
use crate::catalog::inspection::{Format, Packing};
use crate::config::MAX_SHARDS;
use crate::error::{Error, Result};
use crate::types::{Digest, Hasher};

const BUFFER_BYTES: usize = 1024 * 1024;
/// The card of a dataset, which lies beside its shards.
const CARD: &str = "README.md";
/// The most strange files that a person is told of by name.
const TOLD: usize = 10;

/// One file that will be a shard.
#[derive(Debug, Clone)]
pub(super) struct LocalShard {
    /// The path within the dataset, with forward slashes.
    pub(super) path: String,
    /// Where it lies.
    pub(super) file: PathBuf,
    pub(super) size_bytes: u64,
}

/// The dataset card of a folder, and its shards in the order of their paths.
///
/// Hidden files and folders are passed over; `README.md` at the top is the card. Links are refused, in place of the card, too:
/// whether they lead into the corpus or out of it, nobody would see that a version lacks what they lead to, or has it.
pub(super) fn scan(folder: &Path) -> Result<(Option<String>, Vec<LocalShard>)> {
    let mut shards = Vec::new();
    walk(folder, |file, kind| {
        if !kind.is_file() {
            let detail = format!("{} is not a file, and links are not followed", file.display());
            return Err(Error::invalid("DIR", detail).remedy("put the file itself there, or take the link away"));
        }
        if file != folder.join(CARD) {
            shards.push(local_shard(folder, file)?);
        }
        match shards.len() > MAX_SHARDS {
            true => Err(Error::invalid(
                "DIR",
                format!("there are more than {MAX_SHARDS} files; make fewer and larger shards"),
            )),
            false => Ok(()),
        }
    })?;
    if shards.is_empty() {
        return Err(Error::invalid("DIR", format!("{} holds no readable shard", folder.display()))
            .remedy("point at a folder with the corpus's files, for example data/train-00000.jsonl"));
    }
    shards.sort_by(|a, b| a.path.cmp(&b.path));
    let card = match std::fs::read_to_string(folder.join(CARD)) {
        Ok(card) => Some(card),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::invalid(CARD, format!("the dataset card cannot be read: {error}"))),
    };
    Ok((card, shards))
}

/// Meets every file below a folder, and what kind of file it is; hidden ones, and what hidden folders hold, are passed over.
fn walk(folder: &Path, mut meet: impl FnMut(PathBuf, FileType) -> Result<()>) -> Result<()> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = std::fs::read_dir(&current)
            .map_err(|error| Error::invalid("DIR", format!("{} cannot be read: {error}", current.display())))?;
        for entry in entries {
            let entry = entry?;
            let (file, kind) = (entry.path(), entry.file_type()?);
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                folders.push(file);
            } else {
                meet(file, kind)?;
            }
        }
    }
    Ok(())
}

/// The files of a folder that are neither among these shards nor a card, in order: a loader that is given the folder may read
/// them, too.
pub(super) fn strangers<'a>(folder: &Path, shards: impl Iterator<Item = &'a str>) -> Result<Vec<String>> {
    let known: HashSet<PathBuf> = shards.chain([CARD]).map(|path| folder.join(path)).collect();
    let mut strangers = Vec::new();
    walk(folder, |file, _| {
        if !known.contains(&file) {
            strangers.push(file.strip_prefix(folder).unwrap_or(&file).display().to_string());
        }
        Ok(())
    })?;
    strangers.sort();
    Ok(strangers)
}

/// A line that warns a person of such files; nothing when there are none.
pub(super) fn warning_of(strangers: &[String]) -> Option<String> {
    let named = strangers.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = strangers.len().saturating_sub(TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!strangers.is_empty()).then(|| {
        format!(
            "not of this version, and not checked: {named}{more}; what loads the folder may read them: take them away"
        )
    })
}

fn local_shard(folder: &Path, file: PathBuf) -> Result<LocalShard> {
    let unreadable = |why: &dyn std::fmt::Display| {
        Error::invalid("DIR", format!("{} is not a readable shard: {why}", file.display()))
    };
    let relative = file.strip_prefix(folder).map_err(|error| unreadable(&error))?;
    let path = relative.to_str().ok_or_else(|| unreadable(&"its name is not UTF-8"))?.to_string();
    check_path(&path)?;
    let size_bytes = File::open(&file).and_then(|f| f.metadata()).map_err(|error| unreadable(&error))?.len();
    Ok(LocalShard { path, file, size_bytes })
}

/// The media type that a file's name tells.
pub(super) fn media_type(path: &str) -> &'static str {
    match Format::of(path) {
        (Format::JsonLines, None) => "application/jsonl",
        (Format::JsonLines, Some(Packing::Gzip)) => "application/jsonl+gzip",
        (Format::JsonLines, Some(Packing::Zstd)) => "application/jsonl+zstd",
        (Format::Parquet, _) => "application/vnd.apache.parquet",
        (Format::Other, _) => match path.rsplit_once('.').map(|(_, end)| end) {
            Some("csv") => "text/csv",
            Some("json") => "application/json",
            Some("tar") => "application/x-tar",
            Some("txt") => "text/plain",
            _ => "application/octet-stream",
        },
    }
}

/// Reads a shard once: its digest, and its number of records where a record is a line.
pub(super) fn hash(shard: &LocalShard, mut advance: impl FnMut(u64)) -> Result<(Digest, Option<i64>)> {
    let has_lines = matches!(Format::of(&shard.path), (Format::JsonLines, None));
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(&shard.file)?);
    let mut hasher = Hasher::default();
    let (mut lines, mut last) = (0_i64, b'\n');
    loop {
        let piece = reader.fill_buf()?;
        let Some(end) = piece.last() else { break };
        last = *end;
        hasher.update(piece);
        if has_lines {
            lines += i64::try_from(piece.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(0);
        }
        let length = piece.len();
        advance(u64::try_from(length).unwrap_or(0));
        reader.consume(length);
    }
    Ok((hasher.finish(), has_lines.then_some(lines + i64::from(last != b'\n'))))
}

/// The digest of a file on disk, and its size; `advance` is told of each piece.
pub(super) fn digest_of(file: &Path, advance: impl FnMut(u64)) -> Result<(Digest, u64)> {
    let (hasher, size) = feed(File::open(file)?, Hasher::default(), advance)?;
    Ok((hasher.finish(), size))
}

/// Feeds all of a reader to a hasher that may go on with more, and gives its size.
pub(super) fn feed(mut reader: impl Read, mut hasher: Hasher, mut advance: impl FnMut(u64)) -> Result<(Hasher, u64)> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut size = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        hasher.update(piece);
        let length = u64::try_from(read).unwrap_or(0);
        size += length;
        advance(length);
    }
    Ok((hasher, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_shards_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("README.md"), "# card").unwrap();
        let error = scan(folder.path()).unwrap_err();
        assert!(error.detail.contains("no readable shard"), "{error}");
        assert!(error.remedy.is_some());
    }

    #[test]
    fn a_link_is_refused_rather_than_left_out_and_so_is_one_in_place_of_the_card() {
        for link in ["b.jsonl", CARD] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("a.jsonl"), "{}").unwrap();
            std::os::unix::fs::symlink("a.jsonl", folder.path().join(link)).unwrap();
            let error = scan(folder.path()).unwrap_err();
            assert!(error.detail.contains(&format!("{link} is not a file")), "{error}");
        }
    }

    #[test]
    fn a_last_line_without_newline_counts_as_a_record() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.jsonl"), "{}\n{}").unwrap();
        let (_, shards) = scan(folder.path()).unwrap();
        assert_eq!(hash(&shards[0], |_| {}).unwrap().1, Some(2));
    }

    #[test]
    fn json_lines_have_one_media_type_by_whatever_name_they_go() {
        for path in ["a.jsonl", "data/b.ndjson", "C.JSONL", "d.jsonlines"] {
            assert_eq!(media_type(path), "application/jsonl", "{path}");
        }
        assert_eq!(media_type("a.ndjson.zst"), "application/jsonl+zstd");
        assert_eq!(media_type("jsonl"), "application/octet-stream");
    }
}
