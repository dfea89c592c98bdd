//! The exchange's own secrets: the keys with which it signs, and those of its signed URLs, webhooks and quotes.
//!
//! They live in one directory, a file each, readable by the owner only. The first instance makes them; a fleet mounts the
//! same directory everywhere. Back them up: a log whose key is lost cannot be continued. Once an exchange exists, a missing
//! key is made only by an explicit command. A key that is to take over from another is kept as `<role>-next.key`; which
//! keys sign when is on record ([`crate::provenance::exchange_keys`]).

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
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

/// The keys that speak for the exchange: there are no others for it.
const OF_THE_EXCHANGE: [&str; 2] = ["statement", "log"];
/// The keys of which there may be others: what the ones before signed is good no longer then.
const OF_THE_MOMENT: [&str; 5] = ["access", "access-next", "url", "webhook", "quote"];

impl ExchangeKeys {
    /// Reads the keys of a new exchange from `dir`, making those that are missing.
    pub fn load_or_create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        close(dir)?;
        OF_THE_EXCHANGE.iter().chain(&OF_THE_MOMENT).try_for_each(|name| load_or_create(&file(dir, name)).map(drop))?;
        Self::load(dir)
    }

    /// Reads the keys of an exchange that stands from `dir`.
    ///
    /// # Errors
    /// `NotFound`, when one is missing.
    pub fn load(dir: &Path) -> Result<Self> {
        let key = |name: &str| load(&file(dir, name))?.ok_or_else(|| missing(dir, name));
        let keys = Self {
            statement: key("statement")?,
            statement_next: load(&next(dir, KeyRole::Statement))?,
            log: key("log")?,
            log_next: load(&next(dir, KeyRole::Log))?,
            access: key("access")?,
            access_next: key("access-next")?,
            url: key("url")?,
            webhook: key("webhook")?,
            quote: key("quote")?,
        };
        close(dir)?;
        Ok(keys)
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

/// Closes the directory to others.
fn close(dir: &Path) -> Result<()> {
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0
        && let Err(error) = fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
    {
        match error.kind() {
            // Whoever mounts it for reading only, or owns it as another user, has said so already.
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                tracing::warn!(dir = %dir.display(), %error, "others may look into the directory of the keys");
            }
            _ => return Err(error.into()),
        }
    }
    Ok(())
}

fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.key"))
}

fn next(dir: &Path, role: KeyRole) -> PathBuf {
    file(dir, &format!("{role}-next"))
}

fn missing(dir: &Path, name: &str) -> Error {
    let otherwise = match OF_THE_MOMENT.contains(&name) {
        true => "; `corpex key exchange make-missing` makes another, and what this one signed is good no longer then",
        false => "",
    };
    Error::new(Kind::NotFound, format!("the exchange's key {} is missing", file(dir, name).display())).remedy(format!(
        "restore it from the backup of the keys, or give the --keys-dir that the exchange is served with{otherwise}"
    ))
}

/// Makes those keys of a standing exchange that are missing in `dir`, and gives their names.
///
/// # Errors
/// `NotFound`, when one is missing that speaks for the exchange.
pub fn make_missing(dir: &Path) -> Result<Vec<&'static str>> {
    if let Some(lost) = OF_THE_EXCHANGE.into_iter().find(|name| !file(dir, name).exists()) {
        return Err(missing(dir, lost));
    }
    let made: Vec<_> = OF_THE_MOMENT.into_iter().filter(|name| !file(dir, name).exists()).collect();
    made.iter().try_for_each(|name| load_or_create(&file(dir, name)).map(drop))?;
    Ok(made)
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
    take_over(&file(dir, role.as_str()), &next, &file(dir, &format!("{role}-retired-{retired}")))
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
        Err(error) => {
            return Err(Error::internal(format!("the key {} cannot be read: {error}", path.display())).because(error));
        }
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
    fn of_a_standing_exchange_a_missing_key_is_made_only_on_demand_and_never_one_that_speaks_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let made = ExchangeKeys::load_or_create(dir.path()).unwrap();
        fs::remove_file(file(dir.path(), "url")).unwrap();
        let refused = ExchangeKeys::load(dir.path()).unwrap_err();
        assert_eq!(refused.kind, Kind::NotFound);
        assert!(refused.detail.contains("url.key") && refused.remedy.unwrap().contains("make-missing"));
        assert_eq!(make_missing(dir.path()).unwrap(), ["url"]);
        let other = ExchangeKeys::load(dir.path()).unwrap();
        assert_ne!(other.url.public(), made.url.public());
        assert_eq!((other.quote.public(), other.log.public()), (made.quote.public(), made.log.public()));
        fs::remove_file(file(dir.path(), "log")).unwrap();
        for refused in [ExchangeKeys::load(dir.path()).map(drop), make_missing(dir.path()).map(drop)] {
            let refused = refused.unwrap_err();
            assert!(refused.detail.contains("log.key") && !refused.remedy.unwrap().contains("make-missing"));
        }
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
