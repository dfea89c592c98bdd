//! A witness over HTTP, as C2SP tlog-witness has it: `add-checkpoint`, and the last checkpoint of each log.
//!
//! A server of its own, not part of the exchange: labs and regulators run it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, Bytes, Data, Path, PayloadConfig};
use actix_web::{App, HttpResponse, HttpServer, get, post};

use super::submission::MAX_BYTES;
use super::{Refusal, Witness};
use crate::config::CLIENT_TIMEOUT;
use crate::error::{Error, Result};
use crate::types::{Clock, Digest};

const TEXT: &str = "text/plain; charset=utf-8";
/// How a witness tells the size of the last checkpoint that it cosigned.
const SIZE: &str = "text/x.tlog.size";
/// Requests in flight at a stop get this long to finish.
const SHUTDOWN_SECONDS: u64 = 10;

/// A witness that answers until it is stopped.
pub struct Serving {
    /// Where it answers.
    pub address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Starts a witness on an address; it is bound when this returns.
    pub fn start(witness: Witness, clock: Clock, listen: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(listen).map_err(|error| {
            Error::internal(format!("cannot listen on {listen}: {error}")).remedy("choose another --listen address")
        })?;
        let address = listener.local_addr()?;
        let (witness, clock) = (Data::new(witness), Data::new(clock));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(witness.clone())
                .app_data(clock.clone())
                .app_data(PayloadConfig::new(MAX_BYTES))
                .service(add_checkpoint)
                .service(get_checkpoint)
                .service(get_health)
        })
        .workers(2)
        .client_request_timeout(CLIENT_TIMEOUT)
        .keep_alive(Duration::from_secs(75))
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals()
        .listen(listener)?
        .run();
        Ok(Self { address, handle: server.handle(), served: tokio::spawn(server) })
    }

    /// Stops; requests in flight finish.
    pub async fn stop(self) -> Result<()> {
        self.handle.stop(true).await;
        self.served.await.map_err(|error| Error::internal("the witness panicked").because(error))??;
        Ok(())
    }
}

#[post("/add-checkpoint")]
async fn add_checkpoint(witness: Data<Witness>, clock: Data<Clock>, body: Bytes) -> Result<HttpResponse> {
    let now = clock.now();
    let answer = web::block(move || witness.add_checkpoint(&body, now))
        .await
        .map_err(|error| Error::internal("the witness's disk work ended early").because(error))??;
    Ok(match answer {
        Ok(cosignature) => HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT)).body(format!("{cosignature}\n")),
        Err(refusal) => {
            tracing::warn!(?refusal, "a checkpoint was not cosigned");
            refused(&refusal)
        }
    })
}

#[get("/{origin}/checkpoint")]
async fn get_checkpoint(witness: Data<Witness>, origin: Path<Digest>) -> Result<HttpResponse> {
    let origin = origin.into_inner();
    let note = web::block(move || witness.checkpoint(origin))
        .await
        .map_err(|error| Error::internal("the witness's disk work ended early").because(error))??;
    let note = note.ok_or_else(|| Error::not_found("a cosigned checkpoint of this log"))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, TEXT)).insert_header((CACHE_CONTROL, "no-cache")).body(note))
}

#[get("/healthz")]
async fn get_health() -> &'static str {
    "ok\n"
}

fn refused(refusal: &Refusal) -> HttpResponse {
    let (status, why) = match refusal {
        Refusal::Malformed(why) => (StatusCode::BAD_REQUEST, why.clone()),
        Refusal::Forbidden(why) => (StatusCode::FORBIDDEN, why.clone()),
        Refusal::UnknownLog(origin) => {
            (StatusCode::NOT_FOUND, format!("this witness does not know the log {origin:?}"))
        }
        Refusal::Conflict(size) | Refusal::Forked(size) => {
            return HttpResponse::Conflict().insert_header((CONTENT_TYPE, SIZE)).body(format!("{size}\n"));
        }
        Refusal::Inconsistent(why) => (StatusCode::UNPROCESSABLE_ENTITY, why.clone()),
    };
    HttpResponse::build(status).insert_header((CONTENT_TYPE, TEXT)).body(format!("{why}\n"))
}
