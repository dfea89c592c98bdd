//! Which files of a corpus somebody wants on a machine: patterns of paths, kept beside the files, so that what was left
//! out on purpose is told from what is missing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::whole;
use crate::catalog::glob;
use crate::error::{Error, Result};

/// The wanted files: those that match a pattern to include, if there is one, and none to exclude.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Subset {
    /// Download only files whose paths match: `*` stays within a folder, `**` spans folders. May be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Leave out files whose paths match. May be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

impl Subset {
    /// Whether a file is wanted.
    pub(super) fn wants(&self, path: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(pattern, path));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// What was wanted when `folder` was downloaded; everything when nothing is said there.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let file = file_in(folder);
        match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                Error::invalid("DIR", format!("{} does not say which files were wanted: {error}", file.display()))
                    .remedy("download again with the same patterns")
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down in `folder` what is wanted there.
    pub(super) fn keep(&self, folder: &Path) -> Result<()> {
        let file = file_in(folder);
        if *self == Self::default() {
            return match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            };
        }
        whole::write(&file, &serde_json::to_vec_pretty(self)?)
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join(".corpex").join("subset.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subset(include: &[&str], exclude: &[&str]) -> Subset {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect();
        Subset { include: owned(include), exclude: owned(exclude) }
    }

    #[test]
    fn what_is_included_and_not_excluded_is_wanted() {
        assert!(Subset::default().wants("data/a.jsonl"));
        let some = subset(&["data/*.jsonl", "LICENCE"], &["data/b*"]);
        let wanted: Vec<_> =
            ["data/a.jsonl", "data/b.jsonl", "data/deep/a.jsonl", "LICENCE"].map(|path| some.wants(path)).into();
        assert_eq!(wanted, [true, false, false, true]);
    }

    #[test]
    fn a_folder_remembers_what_was_wanted_until_everything_is() {
        let folder = tempfile::tempdir().unwrap();
        let some = subset(&["**/*.parquet"], &[]);
        some.keep(folder.path()).unwrap();
        assert_eq!(Subset::of(folder.path()).unwrap(), some);
        Subset::default().keep(folder.path()).unwrap();
        assert_eq!(Subset::of(folder.path()).unwrap(), Subset::default());
    }
}
