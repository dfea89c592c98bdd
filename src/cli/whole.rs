//! Files that are written whole or not at all, and that only the user can read.

use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{Error, Kind, Result};

/// A file that takes its name when it is finished; what has the name keeps it until then.
pub(super) struct Whole {
    part: NamedTempFile,
    file: PathBuf,
}

impl Whole {
    /// Begins a file; its folder is made where there is none.
    pub(super) fn begin(file: &Path) -> Result<Self> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let begun = std::fs::create_dir_all(folder).and_then(|()| NamedTempFile::new_in(folder));
        let part = begun.map_err(|error| unwritable(file, &error))?;
        Ok(Self { part, file: file.to_path_buf() })
    }

    /// Adds bytes to it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.part.write_all(bytes).map_err(|error| unwritable(&self.file, &error))
    }

    /// Gives it its name, once it is on the disk.
    pub(super) fn finish(self) -> Result<()> {
        let Self { part, file } = self;
        part.as_file().sync_all().map_err(|error| unwritable(&file, &error))?;
        part.persist(&file).map(drop).map_err(|error| unwritable(&file, &error.error))
    }
}

/// Writes a file that has these bytes.
pub(super) fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let mut whole = Whole::begin(file)?;
    whole.write(bytes)?;
    whole.finish()
}

fn unwritable(file: &Path, why: &dyn Display) -> Error {
    Error::new(Kind::Invalid, format!("{} cannot be written: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_when_it_is_whole_and_nothing_beside_it_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (file, beside) = (folder.path().join("new/licence.json"), folder.path().join("new/licence.new"));
        write(&file, b"old").unwrap();
        std::fs::write(&beside, "somebody's").unwrap();
        let mut whole = Whole::begin(&file).unwrap();
        whole.write(b"ne").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        whole.write(b"w").unwrap();
        whole.finish().unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        drop(Whole::begin(&file).unwrap());
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path().join("new")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["licence.json", "licence.new"]);
        assert_eq!(std::fs::read(&beside).unwrap(), b"somebody's");
    }
}
