//! Operating the exchange: is it alive, is it ready, how is it doing.

pub mod routes;

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::error::{Error, Result};

/// The methods that are counted by name.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Counters and gauges in the Prometheus format.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    gauges: IntGaugeVec,
}

impl Metrics {
    /// All series, at zero.
    pub fn new() -> Result<Self> {
        let wrong = |error: prometheus::Error| Error::internal("a metric is declared wrongly").because(error);
        let registry = Registry::new();
        let labels = ["method", "route", "status"];
        let requests =
            IntCounterVec::new(Opts::new("corpex_requests_total", "Requests answered"), &labels).map_err(wrong)?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("corpex_request_seconds", "Time to answer, in seconds")
                .buckets(vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]),
            &["method", "route"],
        )
        .map_err(wrong)?;
        let gauges =
            IntGaugeVec::new(Opts::new("corpex_state", "Sizes of queues and of the log"), &["of"]).map_err(wrong)?;
        registry.register(Box::new(requests.clone())).map_err(wrong)?;
        registry.register(Box::new(seconds.clone())).map_err(wrong)?;
        registry.register(Box::new(gauges.clone())).map_err(wrong)?;
        Ok(Self { registry, requests, seconds, gauges })
    }

    /// Counts one answered request. `route` is the pattern, and a method that no route takes counts as `other`, so
    /// the number of series stays bounded whatever is sent.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = METHODS.iter().find(|known| **known == method).unwrap_or(&"other");
        self.requests.with_label_values(&[method, route, &status.to_string()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }

    /// Sets the present size of something.
    pub fn set(&self, of: &str, value: i64) {
        self.gauges.with_label_values(&[of]).set(value);
    }

    /// Everything, in the text format that Prometheus scrapes.
    pub fn render(&self) -> Result<String> {
        prometheus::TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| Error::internal("the metrics cannot be written").because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_methods_share_one_series() {
        let metrics = Metrics::new().unwrap();
        for method in ["GET", "AAAA", "AAAB", "get"] {
            metrics.request(method, "/healthz", 404, Duration::ZERO);
        }
        let text = metrics.render().unwrap();
        assert!(text.contains(r#"corpex_requests_total{method="other",route="/healthz",status="404"} 3"#), "{text}");
        assert!(!text.contains("AAAA"), "{text}");
    }
}
