//! Logs on standard error, and traces for a collector.
//!
//! `RUST_LOG` says what is logged (`info`). Traces are sent where `OTEL_EXPORTER_OTLP_ENDPOINT` says, or
//! `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, by OTLP over HTTP (protobuf); the other variables of OpenTelemetry's specification do what
//! they do everywhere. A request is a trace: within it lie its transactions and what it asked of the object store. So is a job.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::output::say;
use crate::error::{Error, Result};
use crate::outgoing::prepare_tls;

/// Any of these turns traces on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// Which spans are traced: all of the exchange's own, and none of the libraries'.
const TRACED: &str = "off,corpex=debug";
const SERVICE: &str = "corpex";

/// The logs and traces of a running server.
pub(super) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts logging, as JSON lines or not, and tracing if the environment wants it.
    ///
    /// # Errors
    /// `Invalid` when a variable of OpenTelemetry's cannot be used.
    pub(super) fn start(json: bool) -> Result<Self> {
        let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let logs = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
        let logs = if json { logs.json().boxed() } else { logs.boxed() };
        let (provider, started) = if is_traced() {
            let provider = provider()?;
            let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer(SERVICE)).with_location(false);
            let traces = traces.with_threads(false).with_tracked_inactivity(false).with_filter(EnvFilter::new(TRACED));
            let both = tracing_subscriber::registry().with(logs.with_filter(wanted)).with(traces);
            (Some(provider), both.try_init())
        } else {
            (None, tracing_subscriber::registry().with(logs).with(wanted).try_init())
        };
        if let Err(error) = started {
            say(&format!("logging was started before: {error}"));
        }
        Ok(Self(provider))
    }

    /// Sends what was traced and is not sent yet.
    pub(super) async fn stop(self) {
        let Some(provider) = self.0 else { return };
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

fn is_traced() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var(name).is_ok_and(|endpoint| !endpoint.is_empty()))
}

fn provider() -> Result<SdkTracerProvider> {
    prepare_tls();
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        Error::invalid("OTEL_EXPORTER_OTLP_ENDPOINT", format!("traces cannot be sent: {error}"))
            .remedy("give the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318")
    })?;
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder(),
        None => Resource::builder().with_service_name(SERVICE),
    };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}
