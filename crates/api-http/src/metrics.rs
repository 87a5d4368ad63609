//! The figures of the API itself.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Counts and times answers, by method, route and status. Cheap to clone; one per process.
#[derive(Clone, Debug)]
pub struct Metrics {
    answers: IntCounterVec,
    seconds: HistogramVec,
    rounds: HistogramVec,
    pub(crate) edge: EdgeMetrics,
    /// What lists in progress hold.
    pub(crate) list_memory: IntGauge,
    /// What answers about one large image hold.
    pub(crate) image_memory: IntGauge,
}

/// From a cached refusal to the deadline.
const BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Metrics {
    /// Figures that `registry` shows.
    ///
    /// # Errors
    /// The registry has figures of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let answers = IntCounterVec::new(
            Opts::new("vitrine_http_requests_total", "Requests answered."),
            &["method", "route", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "vitrine_http_request_duration_seconds",
                "Time from a request's head to its answer.",
            )
            .buckets(BUCKETS.to_vec()),
            &["method", "route"],
        )?;
        let rounds = HistogramVec::new(
            HistogramOpts::new("vitrine_round_calls", "Calls answered together by one look or write.")
                .buckets(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            &["call"],
        )?;
        let list_memory =
            IntGauge::new("vitrine_list_memory_bytes", "Memory that lists in progress hold, of 64 MiB.")?;
        let image_memory = IntGauge::new(
            "vitrine_image_memory_bytes",
            "Memory that answers about one large image each hold, of 16 MiB.",
        )?;
        registry.register(Box::new(list_memory.clone()))?;
        registry.register(Box::new(image_memory.clone()))?;
        registry.register(Box::new(rounds.clone()))?;
        registry.register(Box::new(answers.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        Ok(Self { answers, seconds, rounds, edge: EdgeMetrics::new(registry)?, list_memory, image_memory })
    }

    /// How large the rounds of this kind of call are.
    pub(crate) fn round(&self, call: &str) -> Histogram {
        self.rounds.with_label_values(&[call])
    }

    /// Counts an answer; `method` as [`known_method`] gives it.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let mut digits = [b'0'; 3];
        for (at, unit) in [100, 10, 1].into_iter().enumerate() {
            digits[at] += u8::try_from(status / unit % 10).unwrap_or_default();
        }
        let status = str::from_utf8(&digits).unwrap_or("000");
        self.answers.with_label_values(&[method, route, status]).inc();
        self.seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
    }
}

/// The method of a request, or `other`: clients may invent methods of any length, and neither metrics nor the log may grow
/// with them.
pub(crate) fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    }
}

/// Counts connections, and those on which the server refused what never became a request.
#[derive(Clone, Debug)]
pub(crate) struct EdgeMetrics {
    open: IntGauge,
    body_bytes: IntGauge,
    rejected: IntCounterVec,
}

/// Why a connection was rejected: the values of the label `reason`.
const REASONS: [&str; 9] =
    ["full", "idle", "large_head", "long_target", "malformed", "no_room", "slow_head", "slow_reader", "tls"];

impl EdgeMetrics {
    /// Metrics that `registry` shows.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let open = IntGauge::new("vitrine_http_connections", "Connections that clients have open.")?;
        let body_bytes = IntGauge::new("vitrine_http_body_buffer_bytes", "Bytes that request bodies hold.")?;
        let rejected = IntCounterVec::new(
            Opts::new(
                "vitrine_http_rejected_connections_total",
                "Connections that the server ended without answering a request, or before the client took the answer.",
            ),
            &["reason"],
        )?;
        for reason in REASONS {
            rejected.with_label_values(&[reason]);
        }
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(body_bytes.clone()))?;
        registry.register(Box::new(rejected.clone()))?;
        Ok(Self { open, body_bytes, rejected })
    }

    pub(crate) fn open(&self, connections: usize) {
        self.open.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    pub(crate) fn body_bytes(&self, bytes: usize) {
        self.body_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    #[cfg(test)]
    pub(crate) fn count_rejected(&self, reason: &str) -> u64 {
        self.rejected.with_label_values(&[reason]).get()
    }
}
