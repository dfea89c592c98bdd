//! The server: an exchange that answers requests, how it starts and how it stops.

mod admission;
mod description;
pub mod documentation;
mod envelope;
mod methods;
mod payload;
pub mod routes;

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::error::PathError;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, PathConfig, PayloadConfig, ServiceConfig};
use actix_web::{App as HttpApp, HttpRequest, HttpServer};
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::catalog::seal;
use crate::config::{CLIENT_TIMEOUT, Config, MAX_SMALL_SHARD_BYTES};
use crate::error::{Error, Result};
use crate::market::search;
use crate::{hub, identity, worker};

/// Requests in flight at a stop get this long to finish.
const SHUTDOWN_SECONDS: u64 = 30;

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
                .wrap(from_fn(admission::admit))
                .wrap(from_fn(envelope::envelop))
                // A request is compared with one pattern after the other: those of which there are most come first.
                .configure(routes::hub)
                .configure(routes::own)
                .configure(routes::rest_of_hub)
                .configure(outside_the_api)
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

/// Bounds and refusals of what the framework reads, and the answer where no route matches.
fn outside_the_api(cfg: &mut ServiceConfig) {
    let small_shard = usize::try_from(MAX_SMALL_SHARD_BYTES).unwrap_or(usize::MAX);
    cfg.app_data(PayloadConfig::new(small_shard))
        .app_data(PathConfig::default().error_handler(refuse_path))
        .service(documentation::page())
        .service(documentation::lead_in)
        .default_service(web::to(methods::no_route));
}

fn refuse_path(error: PathError, request: &HttpRequest) -> actix_web::Error {
    Error::not_found(request.path()).because(error.to_string()).into()
}
