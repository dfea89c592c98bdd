//! The exchange's own secrets: the keys with which it signs, and those of its signed URLs, webhooks and quotes.
//!
//! They live in one directory, a file each, readable by the owner only. The first instance makes them; a fleet
//! mounts the same directory everywhere. Back them up: a log whose key is lost cannot be continued. A key that takes over
//! from another waits as `<role>-next.key`; which keys sign when is on record ([`crate::provenance::exchange_keys`]).

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::signing::SecretKey;
use crate::text_enum;
use crate::types::Digest;

text_enum! {
    /// What a signing key of the exchange signs.
    pub enum KeyRole {
        /// Statements, receipts, contracts and passports.
        Statement = "statement",
        /// Checkpoints of the log.
        Log = "log",
    }
}

/// The exchange's secrets.
#[derive(Debug, Clone)]
pub struct ExchangeKeys {
    /// Signs the exchange's statements and countersigns contracts.
    pub statement: SecretKey,
    /// Takes over from `statement`, and signs beside it once that is on record.
    pub statement_next: Option<SecretKey>,
    /// Signs checkpoints of the transparency log.
    pub log: SecretKey,
    /// Takes over from `log`, and signs beside it once that is on record.
    pub log_next: Option<SecretKey>,
    /// Signs access tokens.
    pub access: SecretKey,
    /// Published beside `access`, so that tokens can move to it without a gap.
    pub access_next: SecretKey,
    /// Authenticates URLs of the local store.
    pub url: SecretKey,
    /// The secrets of webhooks are derived from it.
    pub webhook: SecretKey,
    /// Authenticates quotes.
    pub quote: SecretKey,
}

impl ExchangeKeys {
    /// Reads the keys from `dir`, making those that are missing.
    pub fn load_or_create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        // Whoever mounts it for reading only, or owns it as another user, has said so already.
        if fs::metadata(dir)?.permissions().mode() & 0o077 != 0
            && let Err(error) = fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        {
            match error.kind() {
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                    tracing::warn!(dir = %dir.display(), %error, "others may look into the directory of the keys");
                }
                _ => return Err(error.into()),
            }
        }
        let key = |name: &str| load_or_create(&dir.join(name));
        Ok(Self {
            statement: key("statement.key")?,
            statement_next: load(&next(dir, KeyRole::Statement))?,
            log: key("log.key")?,
            log_next: load(&next(dir, KeyRole::Log))?,
            access: key("access.key")?,
            access_next: key("access-next.key")?,
            url: key("url.key")?,
            webhook: key("webhook.key")?,
            quote: key("quote.key")?,
        })
    }

    /// Fresh keys that are kept nowhere.
    pub fn generate() -> Self {
        let key = SecretKey::generate;
        Self {
            statement: key(),
            statement_next: None,
            log: key(),
            log_next: None,
            access: key(),
            access_next: key(),
            url: key(),
            webhook: key(),
            quote: key(),
        }
    }

    /// The key of a role, and the one that takes over from it.
    pub fn of(&self, role: KeyRole) -> (&SecretKey, Option<&SecretKey>) {
        match role {
            KeyRole::Statement => (&self.statement, self.statement_next.as_ref()),
            KeyRole::Log => (&self.log, self.log_next.as_ref()),
        }
    }
}

fn next(dir: &Path, role: KeyRole) -> PathBuf {
    dir.join(format!("{role}-next.key"))
}

/// Makes the key that is to take over a role of the exchange, or reads the one that waits in `dir`.
pub fn load_or_create_next(dir: &Path, role: KeyRole) -> Result<SecretKey> {
    load_or_create(&next(dir, role))
}

/// Puts the key that waits in `dir` into the place of the retired one, which is kept under its key id. Does nothing when
/// no key waits.
pub fn promote_next(dir: &Path, role: KeyRole, retired: Digest) -> Result<()> {
    let next = next(dir, role);
    if !next.exists() {
        return Ok(());
    }
    take_over(&dir.join(format!("{role}.key")), &next, &dir.join(format!("{role}-retired-{retired}.key")))
}

/// Reads a 32-byte seed in hexadecimal, or makes one. Safe when several processes start at once: the file
/// appears whole under its name, and the first one wins.
pub(crate) fn load_or_create(path: &Path) -> Result<SecretKey> {
    loop {
        match load(path)? {
            Some(key) => return Ok(key),
            None => create(path)?,
        }
    }
}

fn load(path: &Path) -> Result<Option<SecretKey>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed)
        .map_err(|_| Error::internal(format!("{} does not hold a key: 64 hexadecimal digits", path.display())))?;
    Ok(Some(SecretKey::from_seed(seed)))
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

    #[test]
    fn a_waiting_key_takes_the_place_of_the_retired_one_which_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let before = ExchangeKeys::load_or_create(dir.path()).unwrap();
        assert!(before.log_next.is_none());
        let next = load_or_create_next(dir.path(), KeyRole::Log).unwrap().public();
        assert_eq!(load_or_create_next(dir.path(), KeyRole::Log).unwrap().public(), next, "it is made once");
        assert_eq!(ExchangeKeys::load_or_create(dir.path()).unwrap().log_next.unwrap().public(), next);
        let retired = before.log.public().key_id();
        for _ in 0..2 {
            promote_next(dir.path(), KeyRole::Log, retired).unwrap();
            let after = ExchangeKeys::load_or_create(dir.path()).unwrap();
            assert_eq!((after.log.public(), after.log_next.is_none()), (next, true));
        }
        let kept = load(&dir.path().join(format!("log-retired-{retired}.key"))).unwrap().unwrap();
        assert_eq!(kept.public(), before.log.public());
    }
}
