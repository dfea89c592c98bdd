//! What a running exchange is made of, and how it starts and stops.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App as HttpApp, HttpServer};
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::catalog::seal;
use crate::config::{CLIENT_TIMEOUT, Config};
use crate::db::Db;
use crate::delivery::ReceiptDesk;
use crate::error::{Error, Kind, Result};
use crate::identity::{self, CallerCache, Denials};
use crate::keys::ExchangeKeys;
use crate::market::search::{self, Finder};
use crate::ops::Metrics;
use crate::provenance::exchange_keys;
use crate::provenance::note::{self, VerifierKey};
use crate::provenance::policy::Policy;
use crate::store::Store;
use crate::types::Clock;
use crate::{hub, worker};

mod description;
pub(crate) mod http;
pub(crate) mod input;
pub(crate) mod limits;
mod methods;
mod payload;
pub mod routes;

use limits::Limits;

/// Requests in flight at a stop get this long to finish.
const SHUTDOWN_SECONDS: u64 = 30;

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

/// An exchange that answers requests and works its queue, until it is stopped.
pub struct Running {
    /// The exchange itself.
    pub app: App,
    /// Where it answers, without a trailing slash.
    pub url: String,
    server: ServerHandle,
    stop: CancellationToken,
    no_more_requests: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

impl Running {
    /// Starts serving; the address is bound when this returns.
    pub async fn start(mut config: Config) -> Result<Self> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).map_err(|error| {
            Error::internal(format!("cannot listen on {listen}: {error}"))
                .remedy("choose another --listen address")
                .because(error)
        })?;
        // Accepted connections inherit it: one that takes no byte of its answer for so long is closed.
        socket2::SockRef::from(&listener).set_tcp_user_timeout(Some(CLIENT_TIMEOUT))?;
        config.listen = listener.local_addr()?;
        let url = config.public_url();
        let app = App::open(config).await?;
        let (stop, no_more_requests) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        if !app.config.no_worker {
            tasks.spawn(worker::run(app.clone(), stop.clone()));
        }
        tasks.spawn(search::follow(app.clone(), stop.clone()).map(Ok));
        tasks.spawn(identity::keep_denials(app.clone(), no_more_requests.clone()).map(Ok));
        let data = Data::new(app.clone());
        let (commits, manifests) = (Data::new(hub::Shelf::default()), Data::new(seal::Manifests::default()));
        let server = HttpServer::new(move || {
            HttpApp::new()
                .app_data(data.clone())
                .app_data(commits.clone())
                .app_data(manifests.clone())
                .app_data(Data::new(hub::Lately::default()))
                .wrap(from_fn(methods::answer_head))
                .wrap(from_fn(limits::admit))
                .wrap(from_fn(http::envelop))
                // A request is compared with one pattern after the other: those of which there are most come first.
                .configure(routes::hub)
                .configure(routes::own)
                .configure(routes::rest_of_hub)
                .configure(http::outside_the_api)
        })
        .client_request_timeout(CLIENT_TIMEOUT)
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        tasks.spawn(server.map_err(Error::from));
        Ok(Self { app, url, server: handle, stop, no_more_requests, tasks })
    }

    /// Serves until `over` ends or a part of it fails, and stops then. Half of a server would look like a whole one: whatever watches
    /// over it starts it again when it ends.
    pub async fn serve_until(mut self, over: impl Future<Output = ()>) -> Result<()> {
        let ended = tokio::select! {
            () = over => Ok(()),
            error = self.failed() => Err(error),
        };
        ended.and(self.stop().await)
    }

    /// Waits until a part of it ends, which none does by itself unless it fails; gives why. It is to be stopped then.
    async fn failed(&mut self) -> Error {
        let ended = self.tasks.join_next().await.map_or(Ok(()), outcome);
        ended.err().unwrap_or_else(|| Error::internal("a part of the exchange ended by itself"))
    }

    /// Stops gracefully: says for a while that it will stop, as long as the settings want, so that whoever sends requests here
    /// finds another instance; then requests in flight finish, and jobs in hand finish or go back to the queue.
    pub async fn stop(mut self) -> Result<()> {
        self.app.stopping.cancel();
        tokio::time::sleep(Duration::from_secs(self.app.config.drain_seconds.into())).await;
        self.stop.cancel();
        self.server.stop(true).await;
        self.no_more_requests.cancel();
        let mut stopped = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            stopped = stopped.and(outcome(ended));
        }
        stopped
    }
}

fn outcome(ended: Result<Result<()>, JoinError>) -> Result<()> {
    ended.unwrap_or_else(|panic| Err(Error::internal("a part of the exchange panicked").because(panic)))
}

/// A future that ends with the first SIGINT or SIGTERM after this call, whenever it is awaited.
pub fn signalled() -> Result<impl Future<Output = ()>> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! { _ = interrupted.recv() => {}, _ = terminated.recv() => {} }
        tracing::info!("stopping: requests in flight finish first");
    })
}
