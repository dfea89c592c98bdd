//! What a running exchange is made of.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::db::Db;
use crate::delivery::ReceiptDesk;
use crate::error::{Error, Kind, Result};
use crate::http::limits::Limits;
use crate::identity::{CallerCache, Denials};
use crate::keys::ExchangeKeys;
use crate::market::search::Finder;
use crate::ops::Metrics;
use crate::provenance::exchange_keys;
use crate::provenance::note::{self, VerifierKey};
use crate::provenance::policy::Policy;
use crate::store::Store;
use crate::types::Clock;

/// Everything a request handler, a job or a server command works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// The database.
    pub db: Db,
    /// The exchange's secrets.
    pub keys: Arc<ExchangeKeys>,
    /// Where `now` comes from.
    pub clock: Clock,
    /// What `/metrics` reports.
    pub metrics: Metrics,
    /// The objects.
    pub store: Store,
    /// Which witnesses are asked to cosign the log, and how many must.
    pub log_policy: Policy,
    /// Where receipts are committed.
    pub receipts: ReceiptDesk,
    /// Where searches find the index of this process.
    pub finder: Finder,
    /// The callers whose credentials were checked a moment ago.
    pub caller_cache: CallerCache,
    /// The refusals that are not on record yet.
    pub denials: Denials,
    /// How much one client may ask.
    pub limits: Arc<Limits>,
    /// Cancelled when this process begins to stop.
    pub stopping: CancellationToken,
}

impl App {
    /// Opens an exchange to serve it: brings its schema up to date, and begins it where there is none.
    pub async fn open(config: Config) -> Result<Self> {
        let db = database(&config)?;
        db.migrate().await?;
        Self::begun(config, db).await
    }

    /// Opens an exchange that others serve, or begins it where there is none.
    ///
    /// # Errors
    /// `WrongState`, when its schema is not up to date.
    pub async fn open_or_begin(config: Config) -> Result<Self> {
        let db = database(&config)?;
        match db.is_empty().await? {
            true => db.migrate().await?,
            false => db.require_migrated().await?,
        }
        Self::begun(config, db).await
    }

    /// Opens an exchange that others serve; never begins one, and brings nothing up to date.
    ///
    /// # Errors
    /// `NotFound`, when there is none or a key of it is missing; `WrongState`, when its schema is not up to date.
    pub async fn open_standing(config: Config) -> Result<Self> {
        let url = config.database_url();
        if !url.contains("://") && !Path::new(&url).exists() {
            return Err(Error::new(Kind::NotFound, format!("there is no exchange at {url}"))
                .remedy("give the --data-dir or --database-url that `corpex serve` runs with"));
        }
        let db = database(&config)?;
        db.require_migrated().await?;
        let keys = Arc::new(ExchangeKeys::load(&config.keys_dir())?);
        let own = keys.clone();
        db.read(move |c| exchange_keys::require_own(c, &own)).await?;
        Self::over(config, db, keys).await
    }

    /// Over a database whose schema is up to date: the keys of an exchange that stands are there, and those of a new one are made.
    async fn begun(config: Config, db: Db) -> Result<Self> {
        let keys = match db.read(exchange_keys::are_on_record).await? {
            true => ExchangeKeys::load(&config.keys_dir())?,
            false => ExchangeKeys::load_or_create(&config.keys_dir())?,
        };
        let keys = Arc::new(keys);
        let own = keys.clone();
        db.write(move |c| exchange_keys::enrol(c, &own)).await?;
        Self::over(config, db, keys).await
    }

    async fn over(config: Config, db: Db, keys: Arc<ExchangeKeys>) -> Result<Self> {
        let db = match &config.database_read_url {
            Some(copy) => db.with_copy(copy, config.database_connections)?,
            None => db,
        };
        let log_policy = match &config.log_policy {
            Some(file) => Policy::read(file)?,
            None => Policy::of_log(VerifierKey::new(&config.log_origin, keys.log.public())?),
        };
        let store = Store::open(&config, &keys).await?;
        let clock = Clock::default();
        let receipts = ReceiptDesk::open(db.clone(), keys.clone(), clock.clone());
        Ok(Self {
            limits: Arc::new(Limits::new(&config)),
            config: Arc::new(config),
            db,
            keys,
            clock,
            metrics: Metrics::new()?,
            store,
            log_policy,
            receipts,
            finder: Finder::default(),
            caller_cache: CallerCache::default(),
            denials: Denials::default(),
            stopping: CancellationToken::new(),
        })
    }

    /// The log's public key in the C2SP form: what a verifier is given.
    pub fn log_vkey(&self) -> Result<VerifierKey> {
        VerifierKey::new(&self.config.log_origin, self.keys.log.public())
    }
}

fn database(config: &Config) -> Result<Db> {
    note::check_name(&config.log_origin)?;
    Db::open(&config.database_url(), config.database_connections)
}
