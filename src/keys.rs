//! The exchange's own secrets: the keys with which it signs, and the key of its signed URLs.
//!
//! They live in one directory, a file each, readable by the owner only. The first instance makes them; a fleet
//! mounts the same directory everywhere. Back them up: a log whose key is lost cannot be continued.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Error, Result};
use crate::signing::SecretKey;

/// The exchange's secrets.
#[derive(Debug, Clone)]
pub struct ExchangeKeys {
    /// Signs the exchange's statements and countersigns contracts.
    pub statement: SecretKey,
    /// Signs checkpoints of the transparency log.
    pub log: SecretKey,
    /// Signs access tokens.
    pub access: SecretKey,
    /// Published beside `access`, so that tokens can move to it without a gap.
    pub access_next: SecretKey,
    /// Authenticates URLs of the local store.
    pub url: SecretKey,
}

impl ExchangeKeys {
    /// Reads the keys from `dir`, making those that are missing.
    pub fn load_or_create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        let key = |name: &str| load_or_create(&dir.join(name));
        Ok(Self {
            statement: key("statement.key")?,
            log: key("log.key")?,
            access: key("access.key")?,
            access_next: key("access-next.key")?,
            url: key("url.key")?,
        })
    }

    /// Fresh keys that are kept nowhere.
    pub fn generate() -> Self {
        let key = SecretKey::generate;
        Self { statement: key(), log: key(), access: key(), access_next: key(), url: key() }
    }
}

/// Reads a 32-byte seed in hexadecimal, or makes one. Safe when several processes start at once: the file
/// appears whole under its name, and the first one wins.
pub(crate) fn load_or_create(path: &Path) -> Result<SecretKey> {
    loop {
        match fs::read_to_string(path) {
            Ok(text) => {
                let mut seed = [0; 32];
                hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| {
                    Error::internal(format!("{} does not hold a key: 64 hexadecimal digits", path.display()))
                })?;
                return Ok(SecretKey::from_seed(seed));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
            Err(error) => return Err(error.into()),
        }
    }
}

fn create(path: &Path) -> Result<()> {
    let temporary = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    writeln!(file, "{}", hex::encode(SecretKey::generate().seed()))?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?),
    }
}

/// Lets the key in `next` take the place of the one in `current`, which is kept as `aside`. Cut off anywhere, it can be
/// done again: `current` always holds one key or the other.
pub(crate) fn take_over(current: &Path, next: &Path, aside: &Path) -> Result<()> {
    match fs::hard_link(current, aside) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => fs::rename(next, current)?,
    }
    Ok(fs::File::open(current.parent().unwrap_or(Path::new(".")))?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = ExchangeKeys::load_or_create(dir.path()).unwrap();
        let second = ExchangeKeys::load_or_create(dir.path()).unwrap();
        assert_eq!(first.log.public(), second.log.public());
        assert_ne!(first.log.public(), first.statement.public());
        let mode = fs::metadata(dir.path().join("log.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
