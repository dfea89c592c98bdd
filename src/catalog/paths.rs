//! Which paths a shard may have.
//!
//! A path is signed in a manifest, put into URLs, and becomes a file on other people's disks. So it must mean the same, and
//! be safe, everywhere.
//!
//! Invariant: a path that passed [`check_path`] stays below the directory it is joined to.

use std::collections::HashMap;

use unicode_normalization::is_nfc;

use crate::error::{Error, Kind, Result};
use crate::provenance::ENVELOPE_SUBJECT;
use crate::types::text;

/// The longest path, in bytes of UTF-8.
pub const MAX_PATH_BYTES: usize = 1024;

/// What the exchange puts at the root of a version, and the subject that stands for a manifest in its receipt.
/// Compared without regard to case.
const RESERVED: &[&str] = &["readme.md", "croissant.json", ENVELOPE_SUBJECT];
/// Where clients keep what belongs to a download and is not data.
const RESERVED_DIRECTORY: &str = ".corpex";

/// Checks one path: relative, `/`-separated, without `.` and `..`, in Unicode normalization form C, without
/// characters that cannot be seen or that reorder others, at most [`MAX_PATH_BYTES`] long.
///
/// # Errors
/// `Invalid`, field `path`, saying what to change.
pub fn check_path(path: &str) -> Result<()> {
    let refused = |why: &str| Err(Error::invalid("path", format!("the path {path:?} {why}")));
    if path.is_empty() {
        return refused("is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(Error::invalid("path", format!("a path of {} bytes is longer than {MAX_PATH_BYTES}", path.len())));
    }
    if path.starts_with('/') {
        return refused("is absolute; leave the leading '/' out");
    }
    if path.contains('\\') {
        return refused("contains a backslash; separate directories with '/'");
    }
    if let Some(hidden) = path.chars().find(|c| is_deceptive(*c)) {
        return refused(&format!("contains U+{:04X}, a character that cannot be seen", u32::from(hidden)));
    }
    if !is_nfc(path) {
        return refused("is not in Unicode normalization form C (NFC)");
    }
    if path.as_bytes().get(1) == Some(&b':') {
        return refused("starts with a drive letter");
    }
    for segment in path.split('/') {
        match segment {
            "" => return refused("has an empty segment: '//' or a '/' at its end"),
            "." | ".." => return refused("has a segment '.' or '..'"),
            _ => {}
        }
    }
    let lower = path.to_lowercase();
    let root = lower.split('/').next().unwrap_or_default();
    if RESERVED.contains(&lower.as_str()) || root == RESERVED_DIRECTORY {
        return refused("is reserved: it names what is generated beside the data");
    }
    Ok(())
}

/// Hidden characters, except those that join or divide the words of some scripts or compose emoji, and similar ones: there are
/// sealed paths that have them, and these stay valid.
fn is_deceptive(c: char) -> bool {
    let joins = matches!(c, '\u{ad}' | '\u{200c}'..='\u{200d}' | '\u{2060}'..='\u{2065}')
        || matches!(c, '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}');
    text::is_hidden(c) && !joins
}

/// Checks that a version's paths can lie side by side on any file system: no two differ by case only, and none
/// is a directory of another.
///
/// # Errors
/// `AlreadyExists`, field `path`, naming both.
pub fn check_together<'a>(paths: impl Iterator<Item = &'a str>) -> Result<()> {
    let clash = |one: &str, other: &str, why: &str| {
        Err(Error::new(Kind::AlreadyExists, format!("the paths {one:?} and {other:?} {why}"))
            .field("path")
            .remedy("rename one of them"))
    };
    let mut seen = HashMap::new();
    for path in paths {
        if let Some(other) = seen.insert(path.to_lowercase(), path) {
            let why = if other == path { "are the same" } else { "differ by case only" };
            return clash(other, path, why);
        }
    }
    for (lower, path) in &seen {
        for (end, _) in lower.match_indices('/') {
            if let Some(file) = lower.get(..end).and_then(|parent| seen.get(parent)) {
                return clash(file, path, "cannot both exist: a file cannot be a directory");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_of_all_scripts_are_accepted() {
        for path in [
            "a",
            "data/train-00000-of-00004.jsonl.zst",
            "语料/唐诗 一.jsonl",
            "x/README.md",
            "…",
            "ab:c",
            "می\u{200c}خواهم",
            ".gitattributes",
        ] {
            check_path(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        }
        check_path(&"a".repeat(MAX_PATH_BYTES)).unwrap();
    }

    #[test]
    fn each_unsafe_path_is_refused_with_its_reason() {
        let table = [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("a//b", "empty segment"),
            ("a/", "empty segment"),
            ("../a", "'..'"),
            ("a/../b", "'..'"),
            ("a/./b", "'.'"),
            ("..", "'..'"),
            ("a\\b", "backslash"),
            ("C:/a", "drive"),
            ("c:a", "drive"),
            ("a\0b", "U+0000"),
            ("a\nb", "U+000A"),
            ("a\u{85}b", "U+0085"),
            ("a\u{202E}gpj.exe", "U+202E"),
            ("a\u{2066}b", "U+2066"),
            ("a\u{200F}", "U+200F"),
            ("a\u{FEFF}", "U+FEFF"),
            ("cafe\u{301}", "NFC"),
            ("README.md", "reserved"),
            ("readme.MD", "reserved"),
            ("croissant.json", "reserved"),
            (".corpex/state", "reserved"),
            ("_envelope_pae", "reserved"),
        ];
        for (path, reason) in table {
            let error = check_path(path).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("path"));
            assert!(error.detail.contains(reason), "{path:?}: {error}");
        }
        assert!(check_path(&"é".repeat(513)).unwrap_err().detail.contains("1026 bytes"));
    }

    #[test]
    fn paths_that_would_overwrite_each_other_somewhere_are_refused_together() {
        check_together(["a/b", "a/c", "ab"].into_iter()).unwrap();
        for (paths, reason) in [
            (["a", "a"], "the same"),
            (["A/b", "a/B"], "case only"),
            (["Ä", "ä"], "case only"),
            (["a/b", "a"], "directory"),
            (["a", "A/b/c"], "directory"),
        ] {
            let error = check_together(paths.into_iter()).unwrap_err();
            assert!(error.detail.contains(reason), "{paths:?}: {error}");
        }
    }
}
